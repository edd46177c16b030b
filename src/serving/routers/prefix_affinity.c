#include "tandem/router.h"

#include <math.h>

#include "tandem/hash.h"

/* Rendezvous hashing: each prefix has an order of all instances, which another instance leaves as it is. The
 * first in it that is not full: that with the request has no more than so many times the mean. One always is.
 */
static uint32_t choose(const struct router_view *view, uint64_t random)
{
    const struct tournament *requests = &view->loads[ROUTER_REQUESTS];
    (void)random;
    if (view->prefix == 0)
        return tournament_winner_from(requests, view->next);
    int64_t total = 1;
    for (uint32_t i = 0; i < view->count; i++)
        total += tournament_value(requests, i);
    double most = ceil(view->prefix_bound * (double)total / (double)view->count);
    uint32_t best = view->count;
    uint64_t best_rank = 0;
    for (uint32_t i = 0; i < view->count; i++) {
        uint64_t rank = hash_combine(view->prefix, i);
        if ((double)tournament_value(requests, i) + 1 > most || (best < view->count && rank <= best_rank))
            continue;
        best = i;
        best_rank = rank;
    }
    return best;
}

const struct router_policy router_policy_prefix_affinity = {
    .name = "prefix-affinity",
    .doc = "by a hash of the first router.prefix_blocks blocks, unless that instance has more than "
           "router.prefix_bound times the mean of requests: then the next by hash; without blocks as "
           "least-requests",
    .uses = 1 << ROUTER_REQUESTS,
    .prefixes = true,
    .choose = choose,
};
