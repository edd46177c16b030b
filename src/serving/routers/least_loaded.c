#include "tandem/router.h"

static uint32_t choose(const struct router_view *view, uint64_t random)
{
    (void)random;
    uint32_t best = view->next;
    for (uint32_t i = 0; i < view->count; i++) {
        uint32_t candidate = (view->next + i) % view->count;
        if (view->loads[candidate] < view->loads[best])
            best = candidate;
    }
    return best;
}

const struct router_policy router_policy_least_loaded = {
    .name = "least-loaded",
    .doc = "the least reported load plus own dispatches since; ties: next in rotation",
    .uses_loads = true,
    .choose = choose,
};
