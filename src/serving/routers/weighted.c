#include "tandem/router.h"

#include <math.h>

/* A load, divided by a whole that is the same for all instances, and its weight. */
struct score {
    enum router_load load;
    double whole, weight;
};

static double load_of(const struct router_view *view, enum router_load load, uint32_t instance)
{
    return (double)tournament_value(&view->loads[load], instance);
}

/* The largest of all, 1 where that is 0. */
static double largest(const struct router_view *view, enum router_load load)
{
    double most = 1;
    for (uint32_t i = 0; i < view->count; i++)
        most = load_of(view, load, i) > most ? load_of(view, load, i) : most;
    return most;
}

/* Those that have a weight; the loads of others are not there. */
static size_t scores_of(const struct router_view *view, struct score scores[3])
{
    const struct router_weights *weights = view->weights;
    size_t count = 0;
    if (weights->requests > 0)
        scores[count++] = (struct score){ROUTER_REQUESTS, largest(view, ROUTER_REQUESTS), weights->requests};
    if (weights->tokens > 0)
        scores[count++] = (struct score){ROUTER_TOKENS, largest(view, ROUTER_TOKENS), weights->tokens};
    if (weights->kv > 0)
        scores[count++] = (struct score){ROUTER_KV, (double)view->kv_whole, weights->kv};
    return count;
}

/* Of the prompt, what an instance would have to compute. */
static double missing_share(const struct router_view *view, uint32_t instance)
{
    return (double)(view->prompt_tokens - view->held_tokens[instance]) / (double)view->prompt_tokens;
}

static uint32_t choose(const struct router_view *view, uint64_t random)
{
    (void)random;
    struct score scores[3];
    size_t count = scores_of(view, scores);
    const double prefix = view->weights->prefix;
    uint32_t best = view->next;
    double least = INFINITY;
    for (uint32_t k = 0, i = view->next; k < view->count; k++, i = i + 1 < view->count ? i + 1 : 0) {
        double sum = 0;
        for (size_t s = 0; s < count; s++)
            sum += scores[s].weight * (load_of(view, scores[s].load, i) / scores[s].whole);
        if (prefix > 0)
            sum += prefix * missing_share(view, i);
        if (sum < least) {
            least = sum;
            best = i;
        }
    }
    return best;
}

const struct router_policy router_policy_weighted = {
    .name = "weighted",
    .doc = "the least sum of scores times router.weights; walks over all instances; ties: next in rotation",
    .uses = 1 << ROUTER_REQUESTS | 1 << ROUTER_TOKENS | 1 << ROUTER_KV,
    .contents = true,
    .weighted = true,
    .choose = choose,
};
