/* A router policy that the program does not have: all that it takes to add one. */
#include "tandem/router.h"

/* Join-idle-queue (Lu et al. 2011), as far as reports tell who is idle. */
static uint32_t choose(const struct router_view *view, uint64_t random)
{
    const struct tournament *requests = &view->loads[ROUTER_REQUESTS];
    return tournament_least(requests) == 0 ? tournament_winner_from(requests, view->next)
                                           : (uint32_t)router_pick(random, view->count);
}

const struct router_policy router_policy_join_idle = {
    .name = "join-idle",
    .doc = "an idle instance, if there is none any",
    .uses = 1 << ROUTER_REQUESTS,
    .draws = true,
    .choose = choose,
};
