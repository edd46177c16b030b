/* Whether pools can do what router.mixed and router.role_switch ask of them, and what an instance is in
 * another role than its pool's. */
#include "plan.h"

/* Both need pools that differ. */
static bool check_disaggregated(const struct plan *plan, const struct node *node, struct error *error)
{
    return plan->disaggregated ||
           node_error(node, error,
                      "unified instances prefill and decode anyway; remove it, or use prefill and decode "
                      "pools");
}

static bool check_mixed(const struct plan *plan, struct error *error)
{
    const struct router_mixed *mixed = &plan->router.mixed;
    const struct node *node = plan->router.mixed_node;
    if (mixed->prefill_tokens == 0 && mixed->decode_kv == 0)
        return true;
    if (!check_disaggregated(plan, node, error))
        return false;
    if (mixed->decode_kv == 0)
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

struct plan_pool plan_other_role(const struct plan *plan, const struct plan_pool *pool)
{
    struct plan_pool other = *pool;
    size_t first = 0;
    while (plan->pools[first].role == pool->role)
        first++;
    other.role = plan->pools[first].role;
    other.limits = plan->pools[first].limits;
    return other;
}

static bool check_thresholds(const struct plan *plan, struct error *error)
{
    const struct router_role_switch *change = &plan->router.role_switch;
    const struct node *node = plan->router.role_switch_node;
    if (change->prefill_low_tokens > change->prefill_high_tokens)
        return node_error(node_get(node, "prefill_low_tokens"), error,
                          "it is above prefill_high_tokens (%lld): instances would change to and fro; lower "
                          "it, or raise that",
                          (long long)change->prefill_high_tokens);
    return change->decode_low_kv <= change->decode_high_kv ||
           node_error(node_get(node, "decode_low_kv"), error,
                      "it is above decode_high_kv (%g): instances would change to and fro; lower it, or "
                      "raise that",
                      change->decode_high_kv);
}

/* What an instance of the pool has to be able to do in the other role. */
static bool check_other_role(const struct plan *plan, const struct plan_pool *pool, const struct node *node,
                             struct error *error)
{
    struct plan_pool other = plan_other_role(plan, pool);
    if (pool->layout.lanes > 1 || pool->layout.pipeline_parallel > 1)
        return node_error(
            node, error,
            "pool '%s' has lanes or stages, whose members would have to change together; remove "
            "it, or use tensor_parallel",
            pool->name);
    if (pool->kv.activations != ACTIVATIONS_ENGINE)
        return node_error(node, error,
                          "pool '%s' has activations '%s', whose room depends on the scheduler of the role; "
                          "use activations 'engine'",
                          pool->name, activations_names[pool->kv.activations]);
    if (other.limits.max_num_batched_tokens > pool->limits.max_num_batched_tokens)
        return node_error(node, error,
                          "pool '%s' sets memory aside for max_num_batched_tokens %lld and would need it for "
                          "%lld in role %s; set the same in both",
                          pool->name, (long long)pool->limits.max_num_batched_tokens,
                          (long long)other.limits.max_num_batched_tokens, role_names[other.role]);
    return plan_check_prefix(&other, error);
}

static bool check_role_switch(const struct plan *plan, struct error *error)
{
    const struct node *node = plan->router.role_switch_node;
    if (plan->router.role_switch.interval_ms == 0)
        return true;
    if (!check_disaggregated(plan, node, error) || !check_thresholds(plan, error))
        return false;
    for (size_t i = 0; i < plan->pool_count; i++)
        if (!check_other_role(plan, &plan->pools[i], node, error))
            return false;
    bool looks =
        router_looks_at_contents(&plan->router, false) || router_looks_at_contents(&plan->router, true);
    return plan->router.contents != ROUTER_REPORTS || !looks ||
           node_error(node_get(plan->router_node, "contents"), error,
                      "'reports' tell what came and left since the last one, which one choice of the router "
                      "would hear half of with role_switch; use 'dispatches'");
}

bool plan_check_roles(const struct plan *plan, struct error *error)
{
    return check_mixed(plan, error) && check_role_switch(plan, error);
}
