#include "tandem/router.h"

static uint32_t choose(const struct router_view *view, uint64_t random)
{
    (void)random;
    return tournament_winner_from(&view->loads[ROUTER_KV], view->next);
}

const struct router_policy router_policy_least_kv = {
    .name = "least-kv",
    .doc = "the smallest share of KV blocks in use; ties: next in rotation",
    .uses = 1 << ROUTER_KV,
    .choose = choose,
};
