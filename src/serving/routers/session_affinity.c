#include "tandem/router.h"

static uint32_t choose(const struct router_view *view, uint64_t random)
{
    (void)random;
    return view->previous < view->count ? view->previous
                                        : tournament_winner_from(&view->loads[ROUTER_REQUESTS], view->next);
}

const struct router_policy router_policy_session_affinity = {
    .name = "session-affinity",
    .doc = "where the session had its last request; else, and without a session, as least-requests",
    .uses = 1 << ROUTER_REQUESTS,
    .sessions = true,
    .choose = choose,
};
