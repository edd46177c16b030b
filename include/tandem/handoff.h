/* How a request moves from its prefill to its decode instance: what a cluster can choose. */
#ifndef TANDEM_HANDOFF_H
#define TANDEM_HANDOFF_H

#include <stdint.h>

/* Who shows the first token. */
enum first_token { FIRST_TOKEN_DECODE, FIRST_TOKEN_PREFILL, FIRST_TOKEN_RELAY };
/* For how many tokens a decode instance reserves: the prompt and one, the prompt with room left for those
 * that run, the prompt and max_tokens. */
enum reserve_tokens { RESERVE_PROMPT, RESERVE_HEADROOM, RESERVE_MAX };

/* By value, ended by NULL. */
extern const char *const first_token_names[], *const reserve_tokens_names[];

struct handoff_config {
    int first_token;         /* enum first_token */
    int reserve_tokens;      /* enum reserve_tokens */
    int64_t headroom_tokens; /* RESERVE_HEADROOM: left free for each request */
};

#endif
