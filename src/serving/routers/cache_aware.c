#include "tandem/router.h"

static int64_t requests_of(const struct router_view *view, uint32_t instance)
{
    return tournament_value(&view->loads[ROUTER_REQUESTS], instance);
}

static bool balanced(const struct router_view *view)
{
    int64_t fewest = tournament_least(&view->loads[ROUTER_REQUESTS]), most = fewest;
    for (uint32_t i = 0; i < view->count; i++)
        most = requests_of(view, i) > most ? requests_of(view, i) : most;
    return most - fewest <= view->balance->abs_threshold ||
           (double)most <= view->balance->rel_threshold * (double)fewest;
}

/* The rule of SGLang's sgl-router for contents that workers report (policy cache_aware_zmq); its older one
 * for those that it remembers (cache_aware) differs where nobody holds enough: the smallest tree there. */
static uint32_t choose(const struct router_view *view, uint64_t random)
{
    (void)random;
    uint32_t best = tournament_winner_from(&view->loads[ROUTER_REQUESTS], view->next);
    int64_t most_tokens = 0;
    if (!balanced(view))
        return best;
    for (uint32_t i = 0; i < view->count; i++)
        most_tokens = view->held_tokens[i] > most_tokens ? view->held_tokens[i] : most_tokens;
    if ((double)most_tokens <= view->balance->cache_threshold * (double)view->prompt_tokens)
        return best;
    int64_t fewest = INT64_MAX;
    for (uint32_t k = 0, i = view->next; k < view->count; k++, i = i + 1 < view->count ? i + 1 : 0)
        if (view->held_tokens[i] == most_tokens && requests_of(view, i) < fewest) {
            fewest = requests_of(view, i);
            best = i;
        }
    return best;
}

const struct router_policy router_policy_cache_aware = {
    .name = "cache-aware",
    .doc = "the instance that is taken to hold most of the prompt (router.contents), if more than "
           "router.cache_threshold of it; else, and while requests are out of balance, as least-requests",
    .uses = 1 << ROUTER_REQUESTS,
    .contents = true,
    .choose = choose,
};
