#include "tandem/router.h"

static uint32_t choose(const struct router_view *view, uint64_t random)
{
    (void)random;
    return tournament_winner_from(&view->loads[ROUTER_WORK], view->next);
}

const struct router_policy router_policy_least_loaded = {
    .name = "least-loaded",
    .doc = "the least reported load plus own dispatches since; ties: next in rotation",
    .uses = 1 << ROUTER_WORK,
    .choose = choose,
};
