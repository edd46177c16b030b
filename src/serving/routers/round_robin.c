#include "tandem/router.h"

static uint32_t choose(const struct router_view *view, uint64_t random)
{
    (void)random;
    return view->next;
}

const struct router_policy router_policy_round_robin = {
    .name = "round-robin",
    .doc = "one after the other, whatever their load",
    .choose = choose,
};
