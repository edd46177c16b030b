/* Whether pools can do what router.mixed asks of them. */
#include "plan.h"

static bool check_mixed(const struct plan *plan, struct error *error)
{
    const struct node *node = plan->router.mixed_node;
    if (plan->router.mixed.prefill_tokens == 0 && plan->router.mixed.decode_kv == 0)
        return true;
    if (!plan->disaggregated)
        return node_error(node, error,
                          "unified instances prefill and decode anyway; remove it, or use prefill and decode "
                          "pools");
    if (plan->router.mixed.decode_kv == 0)
        return true;
    node = node_get(node, "decode_kv");
    if (plan->handoff.reserve == RESERVE_BEFORE_PREFILL)
        return node_error(node, error,
                          "with handoff.reserve 'before-prefill' a decode instance holds blocks for the "
                          "request before its prompt is complete; set reserve to 'after-prefill'");
    for (size_t i = 0; i < plan->pool_count; i++) {
        const struct scheduler_limits *limits = &plan->pools[i].limits;
        if (limits->max_num_batched_tokens < limits->max_num_seqs)
            return node_error(node, error,
                              "max_num_batched_tokens (%lld) of pools[%zu] is less than max_num_seqs (%lld): "
                              "every decode needs a token an iteration; raise the one or lower the other",
                              (long long)limits->max_num_batched_tokens, i, (long long)limits->max_num_seqs);
    }
    return true;
}

bool plan_check_roles(const struct plan *plan, struct error *error)
{
    return check_mixed(plan, error);
}
