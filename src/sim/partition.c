/* Which rank has which entity. */
#include "plan.h"

#include "tandem/check.h"
#include "tandem/mem.h"
#include "tandem/request.h"

/* Shares of the work, as measured (tests/bench/README.md, Ranks): prefill instances together take half of
 * what decode instances take for the same requests, however many they are; the router a quarter of all, the
 * fabric a seventh. */
static double pool_weight(const struct plan_pool *pool)
{
    return pool->role == ROLE_PREFILL ? 1 : 2;
}

#define ROUTER_WEIGHT         1.25
#define FABRIC_WEIGHT         0.7
#define ROUTER_WEIGHT_UNIFIED 0.6 /* of 2: no hand-offs pass it */

/* Whole ranks for each pool by weight, at least one. Returns false when there are fewer ranks than pools. */
static bool partition_pools(const struct plan *plan, const double *weights, int ranks, uint32_t *owners)
{
    if ((size_t)ranks < plan->pool_count)
        return false;
    double total = 0, before = 0;
    for (uint32_t i = 0; i < plan->entities; i++)
        total += weights[i];
    int first = 0;
    uint32_t begin = 0; /* the router and the fabric go with the first pool */
    for (size_t p = 0; p < plan->pool_count; p++) {
        const struct plan_pool *pool = &plan->pools[p];
        uint32_t end = pool->first_entity + (uint32_t)pool->instances;
        for (uint32_t i = begin; i < end; i++)
            before += weights[i];
        int left = (int)(plan->pool_count - p - 1);
        int last = p + 1 == plan->pool_count ? ranks : (int)(before / total * ranks + 0.5);
        last = last < first + 1 ? first + 1 : last;
        last = last > ranks - left ? ranks - left : last;
        engine_partition(weights + begin, end - begin, last - first, owners + begin);
        for (uint32_t i = begin; i < end; i++)
            owners[i] += (uint32_t)first;
        begin = end;
        first = last;
    }
    return true;
}

void plan_partition(const struct plan *plan, int ranks, uint32_t *owners)
{
    double *weights = mem_array(plan->entities, sizeof(double));
    int64_t instances[ROLE_COUNT] = {0};
    for (size_t p = 0; p < plan->pool_count; p++)
        instances[plan->pools[p].role] += plan->pools[p].instances;
    for (size_t p = 0; p < plan->pool_count; p++)
        for (int64_t i = 0; i < plan->pools[p].instances; i++)
            weights[plan->pools[p].first_entity + i] =
                pool_weight(&plan->pools[p]) / (double)instances[plan->pools[p].role];
    weights[ENTITY_ROUTER] = plan->disaggregated ? ROUTER_WEIGHT : ROUTER_WEIGHT_UNIFIED;
    weights[ENTITY_FABRIC] = plan->disaggregated ? FABRIC_WEIGHT : 0;
    if (plan->simulation.partition != PARTITION_POOLS || !partition_pools(plan, weights, ranks, owners))
        engine_partition(weights, plan->entities, ranks, owners);
    /* The router reads the workload, which rank 0 has opened. */
    CHECK(owners[ENTITY_ROUTER] == 0, "the router is on rank %u", owners[ENTITY_ROUTER]);
    mem_free(weights);
}
