#include "tandem/router.h"

static uint32_t choose(const struct router_view *view, uint64_t random)
{
    return (uint32_t)router_pick(random, view->count);
}

const struct router_policy router_policy_random = {
    .name = "random",
    .doc = "any, each as likely",
    .draws = true,
    .choose = choose,
};
