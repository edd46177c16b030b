/* What the router knows of each instance where one may do work of the other role (router.mixed), whatever its
 * policies compare. All local. */
#ifndef TANDEM_SERVING_ROLES_H
#define TANDEM_SERVING_ROLES_H

#include "internal.h"

#include "tandem/router.h"

/* One instance: what it reported last, and the sums of the dispatches beyond that report. */
struct known {
    struct router_kv kv;
    int64_t counted;                        /* dispatches that the report had seen */
    int64_t reported_tokens, beyond_tokens; /* of prompts that it has still to compute */
    int64_t reported_blocks, beyond_blocks; /* KV blocks in use */
    struct ring prompts;                    /* tokens of later dispatches, oldest first */
    struct ring computed;                   /* those of them that it computes itself: all or 0 */
};

struct roles {
    const struct router_config *config; /* borrowed */
    struct known *known;                /* by entity */
    uint32_t count;
};

/* config is borrowed. The caller: roles_clear. */
void roles_init(struct roles *roles, const struct router_config *config,
                const struct router_cluster *cluster);
void roles_clear(struct roles *roles);

/* A request was sent to an instance, which computes so many tokens of prompt, or will hold them; and a report
 * came, words of enum report_word. */
void roles_sent(struct roles *roles, uint32_t entity, int64_t prompt_tokens, bool computes);
void roles_report(struct roles *roles, uint32_t entity, const int64_t *words);

/* mixed.prefill_tokens: whether this decode instance computes the prompt that this prefill instance would
 * get. */
bool roles_decode_prefills(const struct roles *roles, uint32_t prefill, uint32_t decode);

/* mixed.decode_kv: whether what would move to this decode instance decodes where it was prefilled. */
bool roles_prefill_decodes(const struct roles *roles, uint32_t decode);

#endif
