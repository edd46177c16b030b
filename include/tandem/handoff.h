/* How a request moves from its prefill to its decode instance: what a cluster can choose. */
#ifndef TANDEM_HANDOFF_H
#define TANDEM_HANDOFF_H

#include <stdint.h>

/* Who shows the first token. */
enum first_token { FIRST_TOKEN_DECODE, FIRST_TOKEN_PREFILL, FIRST_TOKEN_RELAY };
/* When the decode instance is chosen and reserves blocks. */
enum reserve_when { RESERVE_AFTER_PREFILL, RESERVE_BEFORE_PREFILL };
/* Where a request is computed again that a decode instance preempts. */
enum recompute_at { RECOMPUTE_AT_DECODE, RECOMPUTE_AT_PREFILL };
/* What moves while the rest is computed: nothing, whole chunks, layers. */
enum overlap { OVERLAP_NONE, OVERLAP_CHUNK, OVERLAP_LAYER };
/* For how many tokens a decode instance reserves: the prompt and one, the prompt with room left for those
 * that run, the prompt and max_tokens. */
enum reserve_tokens { RESERVE_PROMPT, RESERVE_HEADROOM, RESERVE_MAX };

/* By value, ended by NULL. */
extern const char *const first_token_names[], *const reserve_when_names[], *const reserve_tokens_names[],
                                                                               *const recompute_at_names[],
                                                                                   *const overlap_names[];

/* What a transfer depends on at one of its ends. */
struct wire_end {
    int32_t block_tokens;
    int32_t kv_heads;     /* of one rank; MLA: 1 */
    int32_t copies;       /* of each KV head over all ranks */
    double descriptor_ns; /* receiving, of a block: layers x (keys and values) of its longest stage */
};

struct handoff_config {
    int first_token;                  /* enum first_token */
    int reserve;                      /* enum reserve_when */
    int reserve_tokens;               /* enum reserve_tokens */
    int64_t headroom_tokens;          /* RESERVE_HEADROOM: left free for each request */
    int overlap;                      /* enum overlap */
    int recompute_at;                 /* enum recompute_at */
    int64_t local_prefill_max_tokens; /* of prompts that decode instances compute themselves; 0: none */
};

#endif
