/* Where the instances of all pools are together: nodes, domains that need no network, leaves. */
#include "plan.h"

#include <string.h>

#include "tandem/mem.h"
#include "tandem/request.h"

const char *const plan_placement_names[] = {"pools", "interleaved", NULL};

/* GPUs from the first of an instance to its last, and to the first of the next one that it shares no domain
 * with. */
static int64_t instance_span(const struct plan_pool *pool)
{
    int64_t reach = pool->place.reach, stage = pool->layout.tensor_parallel * pool->layout.lanes;
    if (pool->gpus <= reach || stage > reach)
        return pool->gpus;
    int64_t each = reach / stage, full = (pool->layout.pipeline_parallel - 1) / each;
    return full * reach + (pool->layout.pipeline_parallel - full * each) * stage;
}

/* Instance number of a pool whose first node and domain are given; as many as fit share a domain. */
static struct plan_site site_of(const struct plan_pool *pool, int64_t number, int64_t node, int64_t domain)
{
    int64_t reach = pool->place.reach, span = instance_span(pool), first;
    if (pool->gpus <= reach)
        first = number / (reach / pool->gpus) * reach + number % (reach / pool->gpus) * pool->gpus;
    else
        first = number * ((span + reach - 1) / reach * reach);
    return (struct plan_site){.first_node = node + first / pool->gpus_per_node,
                              .last_node = node + (first + span - 1) / pool->gpus_per_node,
                              .domain = domain + first / reach};
}

/* One pool after another, each on nodes of its own. Returns the nodes of all. */
static int64_t locate_pools(const struct plan *plan, struct plan_site *sites)
{
    int64_t node = 0, domain = 0;
    for (size_t p = 0; p < plan->pool_count; p++) {
        const struct plan_pool *pool = &plan->pools[p];
        struct plan_site site = {0};
        for (int64_t i = 0; i < pool->instances; i++)
            sites[pool->first_entity + i] = site = site_of(pool, i, node, domain);
        int64_t span = (instance_span(pool) + pool->place.reach - 1) / pool->place.reach;
        domain = site.domain + span;
        node = site.last_node + 1;
    }
    return node;
}

/* The pool that is furthest behind its share: of the next instances the one whose number + 1/2 is the
 * smallest part of its pool; of several the first. */
static size_t next_pool(const struct plan *plan, const int64_t *placed)
{
    size_t least = plan->pool_count;
    for (size_t p = 0; p < plan->pool_count; p++) {
        int64_t instances = plan->pools[p].instances;
        if (placed[p] == instances)
            continue;
        if (least == plan->pool_count ||
            (2 * placed[p] + 1) * plan->pools[least].instances < (2 * placed[least] + 1) * instances)
            least = p;
    }
    return least;
}

/* Instances of all pools in turn, into a domain while they fit. Returns the nodes of all. */
static int64_t locate_interleaved(const struct plan *plan, struct plan_site *sites)
{
    int64_t reach = plan->pools[0].place.reach, per_node = plan->pools[0].gpus_per_node;
    int64_t domain = 0, used = 0, last_node = 0;
    int64_t *placed = mem_array(plan->pool_count, sizeof *placed);
    for (uint32_t i = ENTITY_FIRST_INSTANCE; i < plan->entities; i++) {
        size_t p = next_pool(plan, placed);
        int64_t gpus = plan->pools[p].gpus;
        if (used + gpus > reach) {
            domain++;
            used = 0;
        }
        int64_t first = domain * reach + used;
        last_node = (first + gpus - 1) / per_node;
        sites[plan->pools[p].first_entity + placed[p]++] =
            (struct plan_site){.first_node = first / per_node, .last_node = last_node, .domain = domain};
        used += gpus;
    }
    mem_free(placed);
    return last_node + 1;
}

int64_t plan_locate(const struct plan *plan, struct plan_site *sites)
{
    int64_t nodes = plan->network.placement == PLACEMENT_INTERLEAVED ? locate_interleaved(plan, sites)
                                                                     : locate_pools(plan, sites);
    for (uint32_t i = ENTITY_FIRST_INSTANCE; i < plan->entities; i++)
        sites[i].leaf = plan->network.leaf_nodes > 0 ? sites[i].first_node / plan->network.leaf_nodes : 0;
    return nodes;
}

int64_t plan_leaves(const struct plan *plan, int64_t nodes)
{
    int64_t leaf_nodes = plan->network.leaf_nodes;
    return leaf_nodes > 0 ? (nodes + leaf_nodes - 1) / leaf_nodes : 0;
}

void plan_leaf_rates(const struct plan *plan, const struct plan_site *sites, int64_t nodes, double *rates)
{
    int64_t *gpus = mem_array((size_t)nodes, sizeof *gpus); /* of each node */
    for (size_t p = 0; p < plan->pool_count; p++)
        for (int64_t i = 0; i < plan->pools[p].instances; i++) {
            const struct plan_site *site = &sites[plan->pools[p].first_entity + i];
            for (int64_t node = site->first_node; node <= site->last_node; node++)
                gpus[node] = plan->pools[p].gpus_per_node;
        }
    int64_t *leaf_gpus = mem_array((size_t)plan_leaves(plan, nodes), sizeof *leaf_gpus);
    for (int64_t node = 0; node < nodes; node++)
        leaf_gpus[node / plan->network.leaf_nodes] += gpus[node];
    double nic = plan->link.bandwidth_gb_per_s * 1e9 * plan->link.efficiency;
    for (int64_t leaf = 0; leaf < plan_leaves(plan, nodes); leaf++)
        rates[leaf] =
            nic * (double)(leaf_gpus[leaf] * plan->network.nics_per_gpu) / plan->network.oversubscription;
    mem_free(gpus);
    mem_free(leaf_gpus);
}

/* Interleaved pools need nodes that are alike, and instances that fit a domain. */
static bool check_interleaved(const struct plan *plan, struct error *error)
{
    for (size_t p = 0; p < plan->pool_count; p++) {
        const struct plan_pool *pool = &plan->pools[p], *first = &plan->pools[0];
        const struct node *node = node_at(plan->pools_node, p);
        if (pool->gpus_per_node != first->gpus_per_node || pool->place.reach != first->place.reach)
            return node_error(
                node, error,
                "network.placement 'interleaved' puts instances of all pools on the same nodes: "
                "gpus_per_node and the GPU's nvlink_domain must equal those of pools[0]");
        if (pool->place.crosses)
            return node_error(node, error,
                              "network.placement 'interleaved' is for instances that fit the %lld GPUs that "
                              "reach each other, not %lld; use 'pools'",
                              (long long)pool->place.reach, (long long)pool->gpus);
        if (pool->nodes > 0)
            return node_error(node_get(node, "nodes"), error,
                              "with network.placement 'interleaved' no pool has nodes of its own; remove it");
    }
    return true;
}

static bool check_leaves(const struct plan *plan, struct error *error)
{
    const struct node *node = node_get(plan->network.topology_node, "leaf_nodes");
    struct plan_site *sites = mem_array(plan->entities, sizeof *sites);
    plan_locate(plan, sites);
    bool good = true;
    for (uint32_t i = ENTITY_FIRST_INSTANCE; good && i < plan->entities; i++)
        if (sites[i].last_node / plan->network.leaf_nodes != sites[i].leaf)
            good = node_error(
                node, error,
                "instance %u is on nodes %lld to %lld, of two leaves of %lld nodes: choose another "
                "number, so that each has a leaf for all its GPUs",
                i - ENTITY_FIRST_INSTANCE, (long long)sites[i].first_node, (long long)sites[i].last_node,
                (long long)plan->network.leaf_nodes);
    mem_free(sites);
    return good;
}

bool plan_check_topology(const struct plan *plan, struct error *error)
{
    bool interleaved = plan->network.placement == PLACEMENT_INTERLEAVED;
    if (plan->network.local_link_node && !interleaved)
        return node_error(plan->network.local_link_node, error,
                          "no prefill and decode instance are on the same node; set network.placement to "
                          "'interleaved', or remove it");
    if (plan->network.topology_node && plan->network.sharing != SHARING_MAX_MIN)
        return node_error(node_get(plan->network_node, "sharing"), error,
                          "'%s' knows no uplinks, which network.topology has; use 'max-min'",
                          sharing_names[plan->network.sharing]);
    return (!interleaved || check_interleaved(plan, error)) &&
           (!plan->network.topology_node || check_leaves(plan, error));
}
