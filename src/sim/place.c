/* Instances on nodes: which GPUs reach each other without the network, and how many nodes that takes. */
#include "plan.h"

#include "tandem/log.h"

/* GPUs of an instance that reach each other: a domain is one node, or several (NVL72). */
static int64_t reach_of(const struct plan_pool *pool)
{
    int64_t domain = pool->gpu.nvlink_domain, node = pool->gpus_per_node;
    return domain > pool->gpu.gpus_per_node ? domain : domain < node ? domain : node;
}

/* Whether groups of GPUs divide into domains evenly: a group fits, and so does a whole number of them, or it
 * takes whole domains. */
static bool fits(int64_t group, int64_t reach)
{
    return group <= reach || group % reach == 0;
}

static bool check_groups(const struct plan_pool *pool, const struct node *node, struct error *error)
{
    const struct model_layout *layout = &pool->layout;
    int64_t reach = pool->place.reach, stage = layout->tensor_parallel * layout->lanes;
    if (!fits(layout->tensor_parallel, reach))
        return node_error(
            node, error,
            "tensor_parallel %lld does not fit %lld GPUs that reach each other (gpus_per_node, the "
            "GPU's nvlink_domain) nor takes whole ones; choose a multiple or a divisor",
            (long long)layout->tensor_parallel, (long long)reach);
    bool whole =
        stage <= reach ||
        (stage % reach == 0 && (layout->tensor_parallel >= reach || reach % layout->tensor_parallel == 0));
    return whole ||
           node_error(
               node, error,
               "a stage of tensor_parallel %lld x attention_data_parallel %lld GPUs does not fit %lld that "
               "reach each other nor takes whole ones; choose other sizes",
               (long long)layout->tensor_parallel, (long long)layout->lanes, (long long)reach);
}

/* GPUs from the first of the pool to its last when so many groups fill one domain after another. */
static int64_t span_of(int64_t groups, int64_t group, int64_t reach)
{
    int64_t each = reach / group, full = (groups - 1) / each;
    return full * reach + (groups - full * each) * group;
}

/* Nodes of the pool. Several instances share a domain where they fit; stages of an instance do as well. A
 * domain of several nodes need not be all of it there. */
static int64_t nodes_needed(const struct plan_pool *pool)
{
    int64_t reach = pool->place.reach, stage = pool->layout.tensor_parallel * pool->layout.lanes;
    int64_t gpus = pool->instances * pool->gpus; /* of stages that take whole domains */
    if (pool->gpus <= reach) {
        gpus = span_of(pool->instances, pool->gpus, reach);
    } else if (stage <= reach) {
        int64_t last = span_of(pool->layout.pipeline_parallel, stage, reach);
        gpus = (pool->instances - 1) * ((last + reach - 1) / reach * reach) + last;
    }
    return (gpus + pool->gpus_per_node - 1) / pool->gpus_per_node;
}

bool plan_place(struct plan *plan, struct plan_pool *pool, const struct node *node, struct error *error)
{
    if (pool->gpus_per_node == 0)
        pool->gpus_per_node = pool->gpu.gpus_per_node;
    pool->place.reach = reach_of(pool);
    if (!check_groups(pool, node, error))
        return false;
    pool->place.crosses = pool->gpus > pool->place.reach;
    pool->place.nodes = nodes_needed(pool);
    if (pool->nodes > 0 && pool->place.nodes > pool->nodes)
        return node_error(
            node_get(node, "nodes"), error,
            "%lld instances of %lld GPUs need %lld nodes of %lld GPUs, not %lld: raise nodes or lower "
            "instances",
            (long long)pool->instances, (long long)pool->gpus, (long long)pool->place.nodes,
            (long long)pool->gpus_per_node, (long long)pool->nodes);
    if (pool->place.crosses && plan->node_link.bandwidth_gb_per_s <= 0)
        return node_error(
            node, error,
            "an instance of %lld GPUs spans nodes: %lld GPUs reach each other; set network.node_link "
            "to the link between them (`tandem list links`)",
            (long long)pool->gpus, (long long)pool->place.reach);
    return true;
}

/* Stages fill one domain after another, as many as fit. */
static bool crosses_after(const struct plan_pool *pool, int64_t stage)
{
    int64_t each = pool->place.reach / (pool->layout.tensor_parallel * pool->layout.lanes);
    return pool->place.crosses && (each == 0 || (stage + 1) % each == 0);
}

struct work_shape plan_shape(const struct plan *plan, const struct plan_pool *pool, int64_t stage)
{
    struct work_shape shape = model_shape(&plan->model, &pool->layout, stage);
    shape.domain_gpus = pool->place.reach;
    shape.sends_over_network = crosses_after(pool, stage);
    shape.nic_line_rate = plan->node_link.bandwidth_gb_per_s * 1e9 * (double)plan->network.nics_per_gpu;
    shape.nic_bandwidth = shape.nic_line_rate * plan->node_link.efficiency;
    return shape;
}

void plan_warn_about_place(const struct plan_pool *pool)
{
    int64_t stage = pool->layout.tensor_parallel * pool->layout.lanes, reach = pool->place.reach;
    int64_t left = stage <= reach ? reach % stage : 0;
    if (stage > 1 && left > 0)
        log_warning(
            "pool %s: %lld of each %lld GPUs that reach each other are left over by groups of %lld; they are "
            "neither used nor paid for here",
            pool->name, (long long)left, (long long)reach, (long long)stage);
    bool deepep = pool->timer.all_to_all > TIMER_ALL_TO_ALL_NONE + 1; /* beyond NCCL's */
    if (pool->place.crosses)
        log_warning(
            "pool %s: an instance of %lld GPUs spans nodes; communication between them %s", pool->name,
            (long long)pool->gpus,
            deepep ? "was measured on H100 and H200 only: expect 10 to 40 % error in it"
                   : "is computed from the link's bandwidth, not measured: expect 30 % error and more in it");
}
