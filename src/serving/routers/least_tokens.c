#include "tandem/router.h"

static uint32_t choose(const struct router_view *view, uint64_t random)
{
    (void)random;
    return tournament_winner_from(&view->loads[ROUTER_TOKENS], view->next);
}

const struct router_policy router_policy_least_tokens = {
    .name = "least-tokens",
    .doc = "the fewest prompt tokens still to be computed; ties: next in rotation",
    .uses = 1 << ROUTER_TOKENS,
    .choose = choose,
};
