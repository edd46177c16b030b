#include "tandem/router.h"

static uint32_t choose(const struct router_view *view, uint64_t random)
{
    (void)random;
    return tournament_winner_from(&view->loads[ROUTER_REQUESTS], view->next);
}

const struct router_policy router_policy_least_requests = {
    .name = "least-requests",
    .doc = "the fewest requests that run or wait; ties: next in rotation",
    .uses = 1 << ROUTER_REQUESTS,
    .choose = choose,
};
