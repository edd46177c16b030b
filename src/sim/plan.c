/* From a resolved experiment to a plan: parse, fill in what is automatic, check that it fits together. */
#include "plan.h"

#include <stdio.h>
#include <string.h>

#include "tandem/check.h"
#include "tandem/mem.h"
#include "tandem/request.h"
#include "tandem/simtime.h"

#define GIB (1024.0 * 1024.0 * 1024.0)

/* Parses an object that may be absent (NULL: defaults). */
static bool parse_part(const char *table, const struct node *node, void *target, struct error *error)
{
    return option_parse(plan_table(table), node, target, error);
}

/* Scheduler limits that depend on the GPU's size and name, as vLLM V1 has them. */
static void resolve_limits(struct plan_pool *pool, const struct scheduler *policy)
{
    struct scheduler_limits *limits = &pool->limits;
    bool large = (double)pool->gpu.memory_bytes >= 70 * GIB && !strstr(pool->gpu.name, "a100");
    if (limits->max_num_batched_tokens == 0)
        limits->max_num_batched_tokens = large ? 8192 : 2048;
    if (limits->max_num_seqs == 0) {
        limits->max_num_seqs = policy->default_max_num_seqs ? policy->default_max_num_seqs
                               : large                      ? 1024
                                                            : 256;
        if (limits->max_num_seqs > limits->max_num_batched_tokens)
            limits->max_num_seqs = limits->max_num_batched_tokens;
    }
    if (limits->watermark < 0)
        limits->watermark = policy->default_watermark;
    if (limits->swap_gb_per_s <= 0)
        limits->swap_gb_per_s = gpu_host_bandwidth(&pool->gpu) / 1e9;
    if (pool->kv.host_tier_gb_per_s <= 0)
        pool->kv.host_tier_gb_per_s = gpu_host_bandwidth(&pool->gpu) / 1e9;
}

static int policy_by_name(const char *name)
{
    int index = 0;
    while (schedulers[index] && strcmp(schedulers[index]->name, name) != 0)
        index++;
    CHECK(schedulers[index], "no scheduler %s", name);
    return index;
}

static bool parse_scheduler(struct plan_pool *pool, const struct node *node, struct error *error)
{
    static const char *const by_role[ROLE_COUNT] = {"chunked", "prefill-only", "decode-only"};
    struct scheduler_limits *limits = &pool->limits;
    if (!parse_part("scheduler", pool->scheduler_node, limits, error))
        return false;
    limits->policy =
        limits->policy_choice > 0 ? limits->policy_choice - 1 : policy_by_name(by_role[pool->role]);
    const struct scheduler *policy = schedulers[limits->policy];
    const struct node *at = pool->scheduler_node ? pool->scheduler_node : node;
    if (!policy->roles[pool->role])
        return node_error(at, error, "scheduler policy '%s' is not for role %s; use '%s'", policy->name,
                          role_names[pool->role], by_role[pool->role]);
    if (limits->preemption == PREEMPTION_SWAP && pool->role == ROLE_PREFILL)
        return node_error(at, error,
                          "preemption 'swap' is for roles unified and decode: a prefill instance computes "
                          "preempted chunks again; use 'recompute'");
    resolve_limits(pool, policy);
    if (limits->order != ORDER_FCFS && pool->role == ROLE_DECODE)
        return node_error(
            node_get(at, "order"), error,
            "requests come to decode instances first come, first served; remove it, or set it in "
            "prefill pools");
    if (limits->watermark_high > 0 && limits->watermark_high < limits->watermark)
        return node_error(node_get(at, "watermark_high"), error,
                          "watermark_high (%g) is below watermark (%g): raise the one or lower the other",
                          limits->watermark_high, limits->watermark);
    if (pool->role != ROLE_PREFILL && limits->max_num_batched_tokens < limits->max_num_seqs)
        return node_error(
            at, error,
            "max_num_batched_tokens (%lld) is less than max_num_seqs (%lld): every running request "
            "needs a token an iteration; raise the one or lower the other",
            (long long)limits->max_num_batched_tokens, (long long)limits->max_num_seqs);
    return true;
}

/* Columns of the widest layer of the MLP or the experts on one GPU: what activations are sized by. */
static int64_t widest_mlp(const struct work_shape *shape)
{
    int64_t experts = shape->experts_per_token * shape->expert_width / shape->expert_tensor_parallel +
                      shape->shared_expert_width;
    return shape->mlp_width > experts ? shape->mlp_width : experts;
}

struct kv_capacity plan_stage_capacity(const struct plan *plan, const struct plan_pool *pool, int64_t stage)
{
    struct work_shape shape = model_shape(&plan->model, &pool->layout, stage);
    return (struct kv_capacity){
        .memory_bytes = pool->gpu.memory_bytes,
        .weight_bytes = model_weight_bytes_per_gpu(&plan->model, &pool->layout, stage),
        .max_num_batched_tokens = pool->limits.max_num_batched_tokens,
        .hidden = shape.hidden,
        .mlp_width_per_gpu = widest_mlp(&shape),
        .block_bytes =
            model_kv_bytes_per_token_and_gpu(&plan->model, &pool->layout, stage) * pool->kv.block_tokens,
    };
}

/* Blocks of the stage that has room for the fewest, and what it has to hold. */
static int64_t least_blocks_of(const struct plan *plan, const struct plan_pool *pool,
                               struct kv_capacity *least)
{
    int64_t least_blocks = INT64_MAX;
    *least = (struct kv_capacity){0};
    for (int64_t stage = 0; stage < pool->layout.pipeline_parallel; stage++) {
        struct kv_capacity capacity = plan_stage_capacity(plan, pool, stage);
        int64_t blocks = kv_capacity_blocks(&pool->kv, &capacity);
        bool fuller = blocks == least_blocks && capacity.weight_bytes > least->weight_bytes;
        if (blocks < least_blocks || fuller)
            *least = capacity;
        least_blocks = blocks < least_blocks ? blocks : least_blocks;
    }
    return least_blocks;
}

/* Says in the error which tensor parallelism, the present one doubled, would have room. */
static bool suggest_tensor_parallel(const struct plan *plan, const struct plan_pool *pool,
                                    const struct node *node, struct error *error)
{
    const int64_t most = 64;
    struct plan_pool wider = *pool;
    for (int64_t tp = 2 * pool->layout.tensor_parallel; tp <= most; tp *= 2) {
        struct kv_capacity capacity;
        struct error ignored, before = *error;
        wider.layout.tensor_parallel = tp;
        if (model_check_layout(&plan->model, &wider.layout, node, &ignored) &&
            least_blocks_of(plan, &wider, &capacity) > 0)
            return error_set(error, "%s; tensor_parallel %lld has room", before.text, (long long)tp);
    }
    return false;
}

/* Longest chunk of a prompt. */
static int64_t most_chunk(const struct scheduler_limits *limits)
{
    int64_t threshold = limits->long_prefill_token_threshold, budget = limits->max_num_batched_tokens;
    if (!schedulers[limits->policy]->chunks && !limits->chunked_prefill)
        return INT64_MAX;
    return threshold > 0 && threshold < budget ? threshold : budget;
}

/* Tokens that fit an empty member of an instance of the pool, what admission leaves free taken off. */
static int64_t most_tokens(const struct plan_pool *pool)
{
    int64_t blocks = pool->member_blocks;
    if (pool->kv.cache == KV_CACHE_NONE)
        return activation_most_tokens(&pool->activations, 1, INT64_MAX, INT64_MAX / 4);
    if (schedulers[pool->limits.policy]->watermark_when_idle)
        blocks -= (int64_t)(pool->limits.watermark * (double)blocks);
    if (pool->kv.allocator->place)
        return kv_most_tokens(&pool->kv, pool->member_blocks, pool->member_blocks - blocks);
    return activation_most_tokens(&pool->activations, pool->kv.block_tokens, most_chunk(&pool->limits),
                                  blocks * pool->kv.block_tokens);
}

static bool resolve_allocator(const struct plan *plan, struct plan_pool *pool, const struct node *node,
                              struct error *error)
{
    int64_t length = pool->max_model_len > 0 ? pool->max_model_len : plan->model.max_context_tokens;
    int64_t block_bytes = plan_most_kv_bytes(plan, pool) * pool->kv.block_tokens;
    pool->kv.copy_ns_per_block = 2e9 * (double)block_bytes / pool->gpu.bandwidth; /* read and written */
    node = pool->kv_node ? pool->kv_node : node;
    if (!kv_resolve(&pool->kv, pool->member_blocks, length, node, error))
        return false;
    return !pool->kv.allocator->place || most_tokens(pool) > 0 ||
           node_error(
               node, error,
               "allocator %s: the watermark of %g leaves too few of %lld KV blocks for any place; lower "
               "scheduler.watermark, or use more memory",
               pool->kv.allocator->name, pool->limits.watermark, (long long)pool->member_blocks);
}

/* What activations that are not set aside share with the cache; stages where they have least. */
static struct activation_rule activation_rule(const struct plan *plan, const struct plan_pool *pool)
{
    struct activation_rule rule = {.kind = pool->kv.activations, .room_bytes = INT64_MAX};
    for (int64_t stage = 0; stage < pool->layout.pipeline_parallel; stage++) {
        struct kv_capacity capacity = plan_stage_capacity(plan, pool, stage);
        int64_t room = kv_room_bytes(&pool->kv, &capacity);
        int64_t block = capacity.block_bytes * pool->layout.pipeline_parallel;
        rule.room_bytes = room < rule.room_bytes ? room : rule.room_bytes;
        rule.block_bytes = block > rule.block_bytes ? block : rule.block_bytes;
        capacity.max_num_batched_tokens = 1;
        rule.bytes_per_token = kv_activation_bytes(&capacity);
    }
    if (pool->kv.cache == KV_CACHE_NONE)
        rule.block_bytes = 0;
    if (pool->timer.attention == TIMER_MATERIALIZED)
        rule.score_bytes = ACTIVATIONS_SCORE_BYTES * model_shape(&plan->model, &pool->layout, 0).query_heads;
    return rule;
}

bool plan_find_capacity(const struct plan *plan, struct plan_pool *pool, const struct node *node,
                        struct error *error)
{
    const struct model_layout *layout = &pool->layout;
    struct kv_capacity least;
    int64_t least_blocks = least_blocks_of(plan, pool, &least);
    pool->lane_blocks = least_blocks;
    pool->member_blocks = least_blocks / layout->pipeline_parallel;
    if (least_blocks <= 0)
        return kv_capacity_error(&pool->kv, &least, node, error) ||
               suggest_tensor_parallel(plan, pool, node, error);
    if (pool->kv.cache == KV_CACHE_NONE)
        pool->lane_blocks = pool->member_blocks = 0;
    else if (pool->member_blocks == 0)
        return node_error(
            node, error,
            "%lld KV blocks cannot be shared by the %lld micro-batches of pipeline_parallel; use "
            "less of it, or more memory for the cache",
            (long long)least_blocks, (long long)layout->pipeline_parallel);
    if (!resolve_allocator(plan, pool, node, error))
        return false;
    pool->activations = activation_rule(plan, pool);
    pool->most_tokens = most_tokens(pool);
    return pool->most_tokens > 0 || kv_capacity_error(&pool->kv, &least, node, error);
}

/* Without a KV cache whole sequences are computed each time. With places memory is the cache's for good. */
static bool check_cache(const struct plan *plan, const struct plan_pool *pool, struct error *error)
{
    const char *allocator = pool->kv.allocator->name;
    if (pool->kv.allocator->place && pool->kv.activations != ACTIVATIONS_ENGINE)
        return node_error(
            node_get(pool->kv_node, "activations"), error,
            "activations 'padded' and 'packed' share blocks with the cache, which allocator '%s' "
            "cannot give; use allocator 'paged', or activations 'engine'",
            allocator);
    if (pool->kv.cache != KV_CACHE_NONE)
        return true;
    if (pool->kv.allocator->place)
        return node_error(
            node_get(pool->kv_node, "allocator"), error,
            "without a KV cache there is nothing that allocator '%s' could lay out; leave it away",
            allocator);
    const struct node *at = node_get(pool->kv_node, "cache");
    const struct scheduler *policy = schedulers[pool->limits.policy];
    if (pool->role != ROLE_UNIFIED || !policy->without_cache)
        return node_error(
            at, error,
            "cache 'none' needs role unified and a scheduler policy that computes prompts whole, such "
            "as 'continuous', not role %s with '%s'",
            role_names[pool->role], policy->name);
    if (pool->limits.preemption == PREEMPTION_SWAP)
        return node_error(
            at, error,
            "without a KV cache there is nothing to swap; set scheduler.preemption to 'recompute'");
    return plan->model.sliding_window == 0 ||
           node_error(
               at, error,
               "cache 'none' is for models whose attention sees all tokens; %s has layers with a sliding "
               "window",
               plan->model.name);
}

/* Data types and parallelism, as the model and the pool together say. */
static bool resolve_layout(const struct plan *plan, struct plan_pool *pool, const struct node *node,
                           struct error *error)
{
    /* In the order of the choices. */
    static const enum dtype kv_dtypes[] = {DTYPE_BF16, DTYPE_FP16, DTYPE_FP8, DTYPE_INT8, DTYPE_INT4};
    const struct model *model = &plan->model;
    int weights = pool->weight_choice > 0 ? pool->weight_choice - 1 : model->weight_dtype;
    int experts = pool->expert_choice > 0                      ? pool->expert_choice - 1
                  : model->expert_dtype != model->weight_dtype ? model->expert_dtype
                                                               : weights;
    pool->layout = (struct model_layout){.tensor_parallel = pool->tensor_parallel,
                                         .pipeline_parallel = pool->pipeline_parallel,
                                         .lanes = pool->attention_data_parallel,
                                         .expert_parallel = pool->expert_parallel,
                                         .weight_dtype = (enum dtype)weights,
                                         .expert_dtype = (enum dtype)experts,
                                         .kv_dtype = kv_dtypes[pool->kv_choice]};
    pool->gpus = pool->tensor_parallel * pool->pipeline_parallel * pool->attention_data_parallel;
    return model_check_layout(model, &pool->layout, node, error);
}

/* With the coefficients that it will use. The first stages may have no experts: the last one has all kinds of
 * layers that the timer is asked about. */
static bool check_timer(const struct plan *plan, struct plan_pool *pool, const struct node *node,
                        struct error *error)
{
    struct work_shape shape = plan_shape(plan, pool, pool->layout.pipeline_parallel - 1);
    if (pool->timer.level == TIMER_UNIVERSAL)
        gpu_use_universal(&pool->gpu);
    return timer_check(&pool->gpu, &shape, &pool->timer, pool->timer_node ? pool->timer_node : node, error);
}

bool plan_read_pool(struct plan *plan, struct plan_pool *pool, const struct node *node, struct error *error)
{
    return gpu_parse(pool->gpu_node, &pool->gpu, error) &&
           parse_part("timer", pool->timer_node, &pool->timer, error) &&
           parse_part("power", pool->power_node, &pool->power, error) &&
           power_check(&pool->power, pool->gpu.tdp_watts, pool->power_node, error) &&
           kv_parse(pool->kv_node, &pool->kv, error) && parse_scheduler(pool, node, error) &&
           check_cache(plan, pool, error) && plan_check_prefix(pool, error) &&
           resolve_layout(plan, pool, node, error);
}

bool plan_resolve_pool(struct plan *plan, struct plan_pool *pool, const struct node *node,
                       struct error *error)
{
    if (!plan_read_pool(plan, pool, node, error) || !plan_place(plan, pool, node, error) ||
        !check_timer(plan, pool, node, error))
        return false;
    if (pool->price_usd_per_gpu_hour < 0)
        pool->price_usd_per_gpu_hour = pool->gpu.price_usd_per_hour;
    return true;
}

static bool parse_pool(struct plan *plan, struct plan_pool *pool, const struct node *node,
                       struct error *error)
{
    return parse_part("pool", node, pool, error) && plan_resolve_pool(plan, pool, node, error) &&
           plan_find_capacity(plan, pool, node, error);
}

static bool check_names(const struct plan *plan, struct error *error)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < plan->pool_count; i++) {
        const struct node *node = node_at(plan->pools_node, i);
        const char *name = plan->pools[i].name;
        if (name[0] == '\0' || name[strspn(name, letters)] != '\0')
            return node_error(node_get(node, "name"), error,
                              "'%s' cannot name a group of results.h5; use letters, digits, '-' and '_'",
                              name);
        for (size_t j = 0; j < i; j++)
            if (strcmp(name, plan->pools[j].name) == 0)
                return node_error(node, error, "pool name '%s' is taken by pools[%zu]", name, j);
    }
    return true;
}

/* Unified pools, or prefill and decode pools that can hand requests on to each other. */
static bool check_roles(struct plan *plan, struct error *error)
{
    size_t count[ROLE_COUNT] = {0};
    for (size_t i = 0; i < plan->pool_count; i++)
        count[plan->pools[i].role]++;
    if (count[ROLE_UNIFIED] > 0 && count[ROLE_PREFILL] + count[ROLE_DECODE] > 0)
        return node_error(plan->pools_node, error,
                          "unified pools beside prefill or decode pools; make them all unified, or none");
    if ((count[ROLE_PREFILL] > 0) != (count[ROLE_DECODE] > 0))
        return node_error(plan->pools_node, error, "%s pools without a %s pool; add one",
                          role_names[count[ROLE_PREFILL] > 0 ? ROLE_PREFILL : ROLE_DECODE],
                          role_names[count[ROLE_PREFILL] > 0 ? ROLE_DECODE : ROLE_PREFILL]);
    plan->disaggregated = count[ROLE_PREFILL] > 0;
    for (size_t i = 1; plan->disaggregated && i < plan->pool_count; i++) {
        const struct plan_pool *first = &plan->pools[0], *pool = &plan->pools[i];
        const struct node *node = node_at(plan->pools_node, i);
        if (pool->kv_choice != first->kv_choice)
            return node_error(node, error,
                              "kv_dtype must equal that of pools[0]: a cache is moved as it is, bytes for "
                              "bytes");
    }
    return true;
}

/* What overlaps needs a decode instance from the start, whose blocks a refused prompt would leave behind. */
static bool check_handoff(const struct plan *plan, struct error *error)
{
    const struct handoff_config *handoff = &plan->handoff;
    bool before = plan->disaggregated && handoff->reserve == RESERVE_BEFORE_PREFILL;
    const struct node *refuses =
        plan->router.deadline_count > 0 ? node_get(plan->router_node, "deadline_ms") : NULL;
    for (size_t i = 0; i < plan->pool_count && !refuses; i++)
        if (plan->pools[i].role == ROLE_PREFILL && plan->pools[i].limits.max_queued_requests > 0)
            refuses = node_get(plan->pools[i].scheduler_node, "max_queued_requests");
    if (before && refuses)
        return node_error(
            refuses, error,
            "with handoff.reserve 'before-prefill' a prompt that its prefill instance refuses would "
            "leave reserved blocks behind; remove it, use router.max_queued_requests, or set reserve to "
            "'after-prefill'");
    return handoff->overlap == OVERLAP_NONE || handoff->reserve == RESERVE_BEFORE_PREFILL ||
           node_error(
               node_get(plan->handoff_node, "overlap"), error,
               "overlap '%s' needs a decode instance and its blocks before the prompt is complete; set "
               "reserve to 'before-prefill'",
               overlap_names[handoff->overlap]);
}

static bool parse_pools(struct plan *plan, struct error *error)
{
    const struct node *nodes = plan->pools_node;
    if (node_type(nodes) != NODE_ARRAY || node_size(nodes) == 0)
        return node_error(nodes, error, "expected a list of at least one pool");
    plan->pool_count = node_size(nodes);
    plan->pools = mem_array(plan->pool_count, sizeof(struct plan_pool));
    uint32_t entity = ENTITY_FIRST_INSTANCE;
    for (size_t i = 0; i < plan->pool_count; i++) {
        struct plan_pool *pool = &plan->pools[i];
        if (!parse_pool(plan, pool, node_at(nodes, i), error))
            return false;
        pool->first_entity = entity;
        entity += (uint32_t)pool->instances;
        if (pool->max_model_len > 0 &&
            (plan->max_model_len == 0 || pool->max_model_len < plan->max_model_len))
            plan->max_model_len = pool->max_model_len;
    }
    plan->entities = entity;
    return check_names(plan, error) && check_roles(plan, error) && check_handoff(plan, error);
}

bool plan_parse_network(struct plan *plan, struct error *error)
{
    const struct node *kv = NULL, *between;
    if (!parse_part("network", plan->network_node, plan, error))
        return false;
    plan->latency_ns = simtime_from_ns(plan->network.control_latency_us * 1e3);
    kv = plan->network.kv_link_node;
    between = plan->network.node_link_node ? plan->network.node_link_node : kv;
    if (plan->network.topology_node && !parse_part("topology", plan->network.topology_node, plan, error))
        return false;
    return (!kv || link_parse(kv, &plan->link, error)) &&
           (!plan->network.local_link_node ||
            link_parse(plan->network.local_link_node, &plan->local_link, error)) &&
           (!between || link_parse(between, &plan->node_link, error));
}

static bool set_ports(struct plan *plan, struct error *error)
{
    if (!plan->disaggregated)
        return true;
    if (!plan->network.kv_link_node)
        return node_error(plan->network_node ? plan->network_node : plan->cluster_node, error,
                          "%skv_link is missing: prefill and decode pools need a link to move KV over; see "
                          "`tandem list links`",
                          plan->network_node ? "" : "network.");
    plan->network.local_setup_ms =
        plan->network.setup_ms < 0 ? plan->local_link.setup_ms : plan->network.setup_ms;
    if (plan->network.setup_ms < 0)
        plan->network.setup_ms = plan->link.setup_ms;
    for (size_t i = 0; i < plan->pool_count; i++) {
        struct plan_pool *pool = &plan->pools[i];
        int64_t gpus = pool->gpus / pool->layout.lanes;
        pool->port_rate = plan->link.bandwidth_gb_per_s * 1e9 * plan->link.efficiency *
                          (double)(plan->network.nics_per_gpu * gpus);
        pool->local_rate =
            plan->local_link.bandwidth_gb_per_s * 1e9 * plan->local_link.efficiency * (double)gpus;
    }
    return plan_check_topology(plan, error);
}

static bool parse_output(struct plan *plan, struct error *error)
{
    if (!parse_part("output-options", plan->output_node, plan, error))
        return false;
    const struct node *most = plan->output_node ? node_get(plan->output_node, "iterations_max") : NULL;
    if (most && !plan->output.iterations)
        return node_error(most, error, "needs output.iterations true");
    const struct node *requests = plan->output.requests_node;
    if (requests && node_type(requests) == NODE_OBJECT)
        return parse_part("output-requests", requests, plan, error);
    if (requests && node_type(requests) != NODE_BOOL)
        return node_error(requests, error, "expected true, false or {\"one_in\": N}, not %s",
                          node_type_name(node_type(requests)));
    plan->output.one_in = !requests || node_bool(requests);
    return true;
}

/* Whether there is what the router's policy compares. */
static bool check_router(const struct plan *plan, struct error *error)
{
    for (size_t i = 0; i < plan->pool_count; i++)
        if (plan->pools[i].kv.cache == KV_CACHE_NONE &&
            (router_uses(&plan->router, false) >> ROUTER_KV & 1) != 0)
            return node_error(node_get(plan->pools[i].kv_node, "cache"), error,
                              "without a KV cache there are no blocks that router policy '%s' could compare; "
                              "use another, such as 'least-requests'",
                              router_policy_of(&plan->router, false)->name);
    return true;
}

bool plan_parse(const struct node *root, struct plan *plan, struct error *error)
{
    *plan = (struct plan){0};
    bool good = parse_part("experiment", root, plan, error) &&
                parse_part("slo", plan->slo_node, plan, error) && plan_parse_slo(plan, error) &&
                parse_output(plan, error) && parse_part("simulation", plan->simulation_node, plan, error) &&
                model_parse(plan->model_node, &plan->model, error) &&
                parse_part("cluster", plan->cluster_node, plan, error) &&
                router_parse(plan->router_node, &plan->router, error) &&
                parse_part("handoff", plan->handoff_node, plan, error) && plan_parse_network(plan, error) &&
                parse_pools(plan, error) && check_router(plan, error) && plan_check_roles(plan, error) &&
                set_ports(plan, error);
    if (good)
        plan_warn(plan);
    return good;
}

void plan_clear(struct plan *plan)
{
    mem_free(plan->pools);
    mem_free(plan->class_slos);
    router_config_clear(&plan->router);
    plan->pools = NULL;
    plan->class_slos = NULL;
}

/* As "tp4 pp2 dp8 ep32", without what is not divided. */
static const char *layout_text(const struct model_layout *layout, char *text, size_t size)
{
    const struct {
        const char *name;
        int64_t parts;
    } kinds[] = {{"pp", layout->pipeline_parallel}, {"dp", layout->lanes}, {"ep", layout->expert_parallel}};
    int length = snprintf(text, size, "tp%lld", (long long)layout->tensor_parallel);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].parts > 1)
            length += snprintf(text + length, size - (size_t)length, " %s%lld", kinds[i].name,
                               (long long)kinds[i].parts);
    return text;
}

void plan_describe(const struct plan *plan, struct text *text)
{
    for (size_t i = 0; i < plan->pool_count; i++) {
        const struct plan_pool *pool = &plan->pools[i];
        char layout[100];
        text_append(text,
                    "pool %-10s %-8s %4lld x %s %s, %s, %lld KV blocks of %lld tokens %s, budget %lld "
                    "tokens, %lld seqs, $%.2f a GPU hour\n",
                    pool->name, role_names[pool->role], (long long)pool->instances, pool->gpu.name,
                    layout_text(&pool->layout, layout, sizeof layout), schedulers[pool->limits.policy]->name,
                    (long long)pool->lane_blocks, (long long)pool->kv.block_tokens,
                    pool->layout.lanes > 1 ? "a lane" : "an instance",
                    (long long)pool->limits.max_num_batched_tokens, (long long)pool->limits.max_num_seqs,
                    pool->price_usd_per_gpu_hour);
    }
}
