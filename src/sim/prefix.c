/* Prefix caching of pools: what it needs, and what instances are told of it. */
#include "plan.h"

#include <string.h>

#include "tandem/log.h"

#define GIB (1024.0 * 1024.0 * 1024.0)

/* What is shared is taken block by block, belongs to the cache alone and stays where it is. */
bool plan_check_prefix(const struct plan_pool *pool, struct error *error)
{
    const struct kv_config *kv = &pool->kv;
    const char *key = kv->prefix_caching ? "prefix_caching" : "prefix_hit_share";
    const char *tier = kv->host_tier_gib > 0 ? "host_tier_gib" : "ssd_tier_gib";
    if (!kv->prefix_caching && kv->host_tier_gib + kv->ssd_tier_gib > 0)
        return node_error(node_get(pool->kv_node, tier), error,
                          "nothing comes to this tier without prefix_caching; set it, or remove %s", tier);
    if (!kv->prefix_caching && kv->prefix_hit_share <= 0)
        return true;
    const struct node *at = node_get(pool->kv_node, key);
    if (kv->prefix_caching && kv->prefix_hit_share > 0)
        return node_error(at, error, "prefix_hit_share stands in for prefix_caching; use one of them");
    if (kv->cache == KV_CACHE_NONE)
        return node_error(at, error, "without a KV cache nothing is found in it; remove %s", key);
    if (strcmp(schedulers[pool->limits.policy]->name, "static") == 0)
        return node_error(
            at, error,
            "static batches compute all prompts at the longest one's length, whatever is cached; use "
            "another scheduler.policy, or remove %s",
            key);
    if (kv->allocator->place)
        return node_error(at, error,
                          "allocator '%s' lays sequences out as a whole, %s takes blocks; use 'paged'",
                          kv->allocator->name, key);
    if (kv->prefix_caching && kv->activations != ACTIVATIONS_ENGINE)
        return node_error(
            at, error,
            "activations '%s' share the memory with blocks in use, kept ones would be in their way; "
            "use activations 'engine'",
            activations_names[kv->activations]);
    if (kv->prefix_caching && pool->limits.preemption == PREEMPTION_SWAP)
        return node_error(
            at, error,
            "blocks that requests share cannot be swapped with one of them; set scheduler.preemption "
            "to 'recompute' (its blocks are kept)");
    return true;
}

/* Whether the router looks at them. */
static bool prefix_policy(const struct plan *plan, bool handoffs)
{
    const struct router_config *router = &plan->router;
    return (!handoffs || plan->disaggregated) &&
           (router_policy_of(router, handoffs)->prefixes || router_looks_at_contents(router, handoffs));
}

/* Of the choices that look at what blocks hold, without workloads that say it. */
static void warn_of_no_hashes(const struct plan *plan, bool handoffs)
{
    const struct router_policy *policy = router_policy_of(&plan->router, handoffs);
    if (policy->weighted)
        log_warning("router.weights.prefix has no effect: requests of this workload do not say what their "
                    "blocks hold (traces of format mooncake and sessions do)");
    else
        log_warning("router policy %s is least-requests here: requests of this workload do not say what "
                    "their blocks hold (traces of format mooncake and sessions do)",
                    policy->name);
}

/* Pools that share blocks need requests that say what is in theirs. */
bool plan_check_hashes(const struct plan *plan, int64_t hash_tokens, struct error *error)
{
    bool entries = prefix_policy(plan, false), handoffs = prefix_policy(plan, true);
    if (hash_tokens == 0 && entries)
        warn_of_no_hashes(plan, false);
    if (hash_tokens == 0 && handoffs &&
        !(entries && router_policy_of(&plan->router, false) == router_policy_of(&plan->router, true)))
        warn_of_no_hashes(plan, true);
    for (size_t i = 0; i < plan->pool_count; i++) {
        const struct kv_config *kv = &plan->pools[i].kv;
        const struct node *node = plan->pools[i].kv_node;
        bool decode = plan->pools[i].role == ROLE_DECODE;
        if (!kv->prefix_caching && plan->router.contents == ROUTER_REPORTS &&
            router_looks_at_contents(&plan->router, decode))
            log_warning("router.contents 'reports': pool '%s' has none to report without kv.prefix_caching",
                        plan->pools[i].name);
        if (!kv->prefix_caching)
            continue;
        if (hash_tokens == 0)
            return node_error(
                node_get(node, "prefix_caching"), error,
                "requests of this workload do not say what their blocks hold; use a trace that does "
                "(format mooncake), sessions, or kv.prefix_hit_share");
        if (hash_tokens % kv->block_tokens != 0)
            return node_error(
                node, error,
                "block_tokens %lld does not divide the %lld tokens of the blocks that the workload "
                "names; use a divisor of them",
                (long long)kv->block_tokens, (long long)hash_tokens);
    }
    return true;
}

int64_t plan_most_kv_bytes(const struct plan *plan, const struct plan_pool *pool)
{
    int64_t most_bytes = 0;
    for (int64_t stage = 0; stage < pool->layout.pipeline_parallel; stage++) {
        int64_t bytes = model_kv_bytes_per_token_and_gpu(&plan->model, &pool->layout, stage);
        most_bytes = bytes > most_bytes ? bytes : most_bytes;
    }
    return most_bytes;
}

bool plan_shares_blocks(const struct plan *plan)
{
    bool any = prefix_policy(plan, false) || prefix_policy(plan, true);
    for (size_t i = 0; i < plan->pool_count; i++)
        any |= plan->pools[i].kv.prefix_caching;
    return any;
}

bool plan_reports_contents(const struct plan *plan, const struct plan_pool *pool)
{
    return pool->kv.prefix_caching && plan->router.contents == ROUTER_REPORTS &&
           router_looks_at_contents(&plan->router, pool->role == ROLE_DECODE);
}

/* Room below the GPUs of a member, and how long a block takes from there, as with swapping. */
struct caching_config plan_caching(const struct plan *plan, const struct plan_pool *pool, int64_t hash_tokens)
{
    const struct kv_config *kv = &pool->kv;
    struct caching_config caching = {.on = kv->prefix_caching || kv->prefix_hit_share > 0,
                                     .hash_tokens = kv->prefix_caching ? hash_tokens : 0,
                                     .hit_share = kv->prefix_hit_share,
                                     .reports = plan_reports_contents(plan, pool)};
    const double gib[PREFIX_TIERS] = {0, kv->host_tier_gib, kv->ssd_tier_gib};
    const double gb_per_s[PREFIX_TIERS] = {0, kv->host_tier_gb_per_s, kv->ssd_tier_gb_per_s};
    double block_bytes = (double)plan_most_kv_bytes(plan, pool) * (double)hash_tokens;
    for (int tier = PREFIX_HOST; tier < PREFIX_TIERS && kv->prefix_caching; tier++) {
        caching.tier_blocks[tier] = (int64_t)(gib[tier] * GIB / block_bytes) / pool->layout.pipeline_parallel;
        caching.ns_per_block[tier] = block_bytes / gb_per_s[tier];
    }
    return caching;
}
