/* What the router knows of each instance where one may do work of the other role (router.mixed) or change its
 * role (router.role_switch), whatever policies compare; and who has to change it when. All local. */
#ifndef TANDEM_SERVING_ROLES_H
#define TANDEM_SERVING_ROLES_H

#include "internal.h"

#include "tandem/router.h"

#define ROLE_LEAVING ROLE_COUNT /* it gets nothing until it has changed its role */

/* One instance: what it reported last, and the dispatches beyond that report. */
struct known {
    enum instance_role role, next; /* next: of one that leaves */
    struct router_kv kv;
    int64_t sent, counted;     /* dispatches, and those that the report had seen */
    int64_t reported_requests; /* running and waiting */
    int64_t tokens,
        blocks; /* of prompts still to be computed; KV blocks in use: with those beyond the report */
    int64_t beyond_tokens, beyond_blocks; /* of them, of later dispatches */
    struct ring prompts;                  /* tokens of these, oldest first */
    struct ring computed;                 /* those of them that it computes itself: all or 0 */
};

/* Instances of a role together. */
struct role_sums {
    int64_t instances, tokens, blocks, capacity_blocks;
};

struct roles {
    const struct router_config *config; /* borrowed */
    struct known *known;                /* by entity */
    uint32_t count;
    struct role_sums sums[ROLE_COUNT + 1];
    int64_t interval_ns, cooldown_ns; /* interval 0: nobody changes */
    int64_t looked_ns, ready_ns;      /* when it looked last; the next decision is not before */
};

/* config is borrowed. The caller: roles_clear. */
void roles_init(struct roles *roles, const struct router_config *config,
                const struct router_cluster *cluster);
void roles_clear(struct roles *roles);

/* A request was sent to an instance, which computes its prompt or will hold it; and a report came, words of
 * enum report_word. */
void roles_sent(struct roles *roles, uint32_t entity, int64_t prompt_tokens, bool computes);
void roles_report(struct roles *roles, uint32_t entity, const int64_t *words);

/* mixed.prefill_tokens: whether this decode instance computes the prompt that this prefill instance would
 * get. */
bool roles_decode_prefills(const struct roles *roles, uint32_t prefill, uint32_t decode);

/* mixed.decode_kv: whether what would move from this prefill instance to this decode instance stays. */
bool roles_prefill_decodes(const struct roles *roles, uint32_t prefill, uint32_t decode);

/* role_switch: when to look next, if nothing comes before; SIMTIME_NEVER: as things are there is nothing to
 * decide. */
int64_t roles_look_ns(const struct roles *roles, int64_t now_ns);

/* Where it is time: the instance that has to change its role, and how many dispatches it got; it leaves its
 * role now. ENTITY_ROUTER: none. */
uint32_t roles_look(struct roles *roles, int64_t now_ns, int64_t *dispatches);

/* It has changed it, and has nothing. Valid until it changes again. */
const struct known *roles_switched(struct roles *roles, uint32_t entity, int64_t now_ns);

#endif
