/* Limits of the model of time, said where a run meets them; and options that cannot act. Errors to expect are
 * those of src/hardware/README.md (How good it is, Where it breaks); where nothing was measured they are a
 * judgement, and the line says so: "not measured", "and more". */
#include "plan.h"

#include <string.h>

#include "tandem/log.h"

/* What the anchor of eager hosts was fitted to: decoders of Llama's kind. */
static bool is_like_llama(const struct model *model)
{
    return model->gated_mlp && model->norm == 0 && model->norms == 2 && model->experts == 0 &&
           model->mla_latent == 0 && model->sliding_window == 0 && !model->qk_norm && !model->qkv_bias;
}

static void warn_about_gpu(const struct plan_pool *pool)
{
    const struct gpu *gpu = &pool->gpu;
    const char *basis = gpu_basis(gpu);
    if (pool->timer.level == TIMER_UNIVERSAL || strcmp(basis, "universal") == 0)
        log_warning("pool %s: times of %s are from the universal set, no measurement of it: expect %s",
                    pool->name, gpu->name,
                    gpu->architecture == ARCHITECTURE_CDNA3
                        ? "more than 15 % error in TPOT (no AMD GPU was measured)"
                        : "8 to 14 % error in TPOT");
    else if (strcmp(basis, "borrowed") == 0)
        log_warning("pool %s: times of %s are from shares of the datasheet measured on %s, untested here: "
                    "expect 8 to "
                    "14 %% error in TPOT",
                    pool->name, gpu->name, gpu->borrowed_from);
    if (pool->layout.tensor_parallel > 1 && !gpu->allreduce_measured)
        log_warning(
            "pool %s: the all-reduce of tensor_parallel %lld over %s of %s was not measured: expect 30 %% "
            "error and more in it; give the GPU's file an allreduce group",
            pool->name, (long long)pool->layout.tensor_parallel, gpu->link, gpu->name);
}

static void warn_about_dtypes(const struct plan *plan, const struct plan_pool *pool)
{
    const struct model_layout *layout = &pool->layout;
    bool experts = plan->model.experts > 0;
    if (gpu_weight_only(&pool->gpu, layout->weight_dtype))
        log_warning(
            "pool %s: %s computes with %s weights in 16 bits; such kernels were not measured: expect 20 %% "
            "error and more in matrices",
            pool->name, pool->gpu.name, dtype_names[layout->weight_dtype]);
    if (experts && layout->expert_dtype != layout->weight_dtype && layout->expert_dtype != DTYPE_MXFP4 &&
        gpu_weight_only(&pool->gpu, layout->expert_dtype))
        log_warning(
            "pool %s: %s computes with %s experts in 16 bits; such kernels were not measured: expect 20 %% "
            "error and more in experts",
            pool->name, pool->gpu.name, dtype_names[layout->expert_dtype]);
    if (layout->kv_dtype == DTYPE_INT8 || layout->kv_dtype == DTYPE_INT4)
        log_warning("pool %s: attention over a KV cache in %s takes the coefficients of 16 bits with fewer "
                    "bytes; such "
                    "kernels were not measured: expect 20 %% error and more in decode attention",
                    pool->name, dtype_names[layout->kv_dtype]);
    if (layout->weight_dtype == DTYPE_INT8 && !gpu_weight_only(&pool->gpu, DTYPE_INT8))
        log_warning(
            "pool %s: INT8 matrices take the coefficients of FP8 with the INT8 peak: expect 20 %% error and "
            "more in matrices",
            pool->name);
}

static void warn_about_model(const struct plan *plan, const struct plan_pool *pool)
{
    const struct model *model = &plan->model;
    bool eager = timer_host(&pool->timer)->kind == TIMER_HOST_EAGER;
    if (eager && !is_like_llama(model) && pool->timer.eager_factor == 1)
        log_warning(
            "pool %s: the eager host's time has no anchor for the architecture of %s (timer.eager_factor): "
            "expect 10 to 20 %% error in decode",
            pool->name, model->name);
    if (model->experts > 0 || model->mla_latent > 0)
        log_warning(
            "pool %s: %s is timed by its operators as measured one by one; no whole run of such a model was "
            "compared, and its small kernels count as a dense model's: expect small batches to be 15 %% too "
            "fast or more",
            pool->name, model->name);
    if (model->sliding_window > 0)
        log_warning(
            "pool %s: KV of the %lld layers of %s with a window is kept whole, as engines without a hybrid "
            "cache do: fewer requests fit than in those that have one",
            pool->name, (long long)model->sliding_window_layers, model->name);
}

static void warn_about_experts(const struct plan *plan, const struct plan_pool *pool)
{
    const struct model *model = &plan->model;
    const struct model_layout *layout = &pool->layout;
    bool fp8 = layout->expert_dtype == DTYPE_FP8 || layout->expert_dtype == DTYPE_FP8_BLOCK;
    bool vllm = timer_kernels(&pool->timer) == GPU_KERNELS_VLLM;
    if (layout->expert_parallel > 1 && pool->timer.moe_imbalance == 1)
        log_warning(
            "pool %s: the load of the %lld groups of experts is taken as even; routing is not: expect "
            "experts 15 to 23 %% too fast, or set timer.moe_imbalance (0: by a power law)",
            pool->name, (long long)layout->expert_parallel);
    if (pool->gpu.architecture == ARCHITECTURE_BLACKWELL && model->experts >= 256 && fp8 && vllm)
        log_warning(
            "pool %s: vLLM's kernels for %lld experts in FP8 were not measured on %s: expect 40 to 46 %% "
            "error in experts beyond 256 tokens, or set timer.kernels to trt-llm (14 to 21 %%)",
            pool->name, (long long)model->experts, pool->gpu.name);
}

static void warn_about_scheduler(const struct plan_pool *pool)
{
    const struct scheduler_limits *limits = &pool->limits;
    bool chunks = schedulers[limits->policy]->chunks || limits->chunked_prefill;
    int64_t threshold = limits->long_prefill_token_threshold;
    int64_t longest = threshold > 0 && threshold < limits->max_num_batched_tokens
                          ? threshold
                          : limits->max_num_batched_tokens;
    if (chunks && pool->role != ROLE_DECODE && longest < 64 && pool->timer.level != TIMER_FIXED)
        log_warning("pool %s: prefill chunks of at most %lld tokens are below the 64 that attention was "
                    "measured from: "
                    "expect more than its 10 to 14 %% error over long contexts",
                    pool->name, (long long)longest);
    if (limits->chunked_prefill && pool->role != ROLE_PREFILL)
        log_warning("pool %s: scheduler.chunked_prefill has no effect in role %s", pool->name,
                    role_names[pool->role]);
    bool fixed = strcmp(schedulers[limits->policy]->name, "static") == 0;
    if (fixed && limits->preemption == PREEMPTION_SWAP)
        log_warning("pool %s: scheduler.preemption has no effect on static batches: nobody is preempted",
                    pool->name);
    if (fixed && limits->victim != VICTIM_NEWEST)
        log_warning("pool %s: scheduler.victim has no effect on static batches: nobody is preempted",
                    pool->name);
    if (limits->max_queued_requests > 0 && pool->role == ROLE_DECODE)
        log_warning("pool %s: scheduler.max_queued_requests has no effect in role decode", pool->name);
    if (fixed && (limits->watermark > 0 || limits->watermark_high > 0))
        log_warning("pool %s: scheduler.%s has no effect on static batches: they start with all blocks free",
                    pool->name, limits->watermark > 0 ? "watermark" : "watermark_high");
    if (threshold > 0 && !chunks)
        log_warning("pool %s: scheduler.long_prefill_token_threshold has no effect on whole prompts",
                    pool->name);
}

/* Blocks that are given hide that there is no room for them. */
static void warn_about_blocks_given(const struct plan *plan, const struct plan_pool *pool)
{
    struct kv_config automatic = pool->kv;
    automatic.blocks = 0;
    for (int64_t stage = 0; pool->kv.blocks > 0 && stage < pool->layout.pipeline_parallel; stage++) {
        struct kv_capacity capacity = plan_stage_capacity(plan, pool, stage);
        int64_t room = kv_capacity_blocks(&automatic, &capacity);
        if (room >= pool->kv.blocks)
            continue;
        log_warning(
            "pool %s: kv.blocks %lld are more than the %lld that the memory of %s has room for beside the "
            "weights; they are used all the same",
            pool->name, (long long)pool->kv.blocks, (long long)(room > 0 ? room : 0), pool->gpu.name);
        return;
    }
}

static void warn_about_memory(const struct plan_pool *pool)
{
    bool engine = pool->kv.activations == ACTIVATIONS_ENGINE;
    const char *key = engine ? "margin_gib" : "memory_utilization";
    if (pool->kv_node && node_get(pool->kv_node, key))
        log_warning("pool %s: kv.%s has no effect with kv.activations %s", pool->name, key,
                    activations_names[pool->kv.activations]);
}

/* Engines multiply blocks of 128 x 128 whole. */
static void warn_about_blocks(const struct plan *plan, const struct plan_pool *pool)
{
    const struct model *model = &plan->model;
    const struct model_layout *layout = &pool->layout;
    int64_t width = model->expert_width * layout->expert_parallel / (layout->tensor_parallel * layout->lanes);
    if (layout->expert_dtype == DTYPE_FP8_BLOCK && width % 128 != 0)
        log_warning(
            "pool %s: experts of width %lld on a GPU are no multiple of the 128 of fp8-block: engines refuse "
            "that; use more expert_parallel or less tensor_parallel",
            pool->name, (long long)width);
}

void plan_warn_pool(const struct plan *plan, const struct plan_pool *pool)
{
    if (pool->timer.level != TIMER_FIXED) {
        warn_about_gpu(pool);
        warn_about_dtypes(plan, pool);
        warn_about_model(plan, pool);
        warn_about_experts(plan, pool);
        warn_about_blocks(plan, pool);
        warn_about_blocks_given(plan, pool);
        plan_warn_about_place(pool);
    }
    warn_about_scheduler(pool);
    warn_about_memory(pool);
}

static void warn_about_network(const struct plan *plan)
{
    bool interleaved = plan->network.placement == PLACEMENT_INTERLEAVED;
    bool used = plan->network.local_link_node || plan->network.topology_node;
    if (!plan->disaggregated && (interleaved || used))
        log_warning("network.%s has no effect: %s has no prefill and decode pools",
                    plan->network.topology_node     ? "topology"
                    : plan->network.local_link_node ? "local_link"
                                                    : "placement",
                    plan->cluster_name);
    else if (interleaved && !used)
        log_warning("network.placement has no effect without network.local_link or network.topology");
}

static void warn_about_router(const struct plan *plan)
{
    const struct router_config *router = &plan->router;
    bool weighted = router_policy_of(router, false)->weighted ||
                    (plan->disaggregated && router_policy_of(router, true)->weighted);
    if (!plan->disaggregated && router->decode_choice > 0)
        log_warning("cluster.router.decode_policy has no effect: %s has no prefill and decode pools",
                    plan->cluster_name);
    if (!weighted && router->weights_node && node_type(router->weights_node) != NODE_NULL)
        log_warning("cluster.router.weights has no effect with policy %s",
                    router_policy_of(router, false)->name);
    if (router->max_queued_requests > 0 && router->max_requests_per_instance == 0)
        log_warning("cluster.router.max_queued_requests has no effect without max_requests_per_instance: "
                    "nobody is held");
}

static void warn_about_roles(const struct plan *plan)
{
    const struct router_role_switch *change = &plan->router.role_switch;
    int64_t prefills = 0, decodes = 0;
    for (size_t i = 0; i < plan->pool_count; i++)
        *(plan->pools[i].role == ROLE_DECODE ? &decodes : &prefills) += plan->pools[i].instances;
    if (change->interval_ms > 0 && prefills <= change->min_prefill && decodes <= change->min_decode)
        log_warning(
            "cluster.router.role_switch has no effect: there are no more than min_prefill and min_decode "
            "instances");
}

void plan_warn_sessions(const struct plan *plan, bool has_sessions)
{
    const struct router_policy *entries = router_policy_of(&plan->router, false);
    const struct router_policy *handoffs = router_policy_of(&plan->router, true);
    const struct router_policy *policy = plan->disaggregated && !entries->sessions ? handoffs : entries;
    if (!has_sessions && policy->sessions)
        log_warning("router policy %s is least-requests here: requests of this workload have no sessions "
                    "(workload.sessions, traces of format csv with a session_column)",
                    policy->name);
}

void plan_warn(const struct plan *plan)
{
    if (!plan->disaggregated && plan->handoff_node)
        log_warning("cluster.handoff has no effect: %s has no prefill and decode pools", plan->cluster_name);
    warn_about_network(plan);
    warn_about_router(plan);
    warn_about_roles(plan);
    for (size_t i = 0; i < plan->pool_count; i++)
        plan_warn_pool(plan, &plan->pools[i]);
}
