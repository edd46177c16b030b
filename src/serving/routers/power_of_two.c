#include "tandem/router.h"

static uint32_t choose(const struct router_view *view, uint64_t random)
{
    const struct tournament *requests = &view->loads[ROUTER_REQUESTS];
    uint32_t others = view->count - 1;
    if (others == 0)
        return 0;
    uint64_t pair =
        router_pick(random, (uint64_t)view->count * others); /* an ordered one, of different ones */
    uint32_t first = (uint32_t)(pair / others), second = (uint32_t)(pair % others);
    second += second >= first;
    return tournament_value(requests, second) < tournament_value(requests, first) ? second : first;
}

const struct router_policy router_policy_power_of_two = {
    .name = "power-of-two",
    .doc = "of two drawn at random that with fewer requests; ties: the first drawn",
    .uses = 1 << ROUTER_REQUESTS,
    .draws = true,
    .choose = choose,
};
