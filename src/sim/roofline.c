/* The sums behind `tandem roofline`. */
#include "tandem/roofline.h"

#include <math.h>
#include <string.h>

#include "plan.h"
#include "tandem/mem.h"
#include "tandem/numeric.h"

const char *const roofline_bound_names[] = {"compute", "memory", "fixed", "link"};

#define FIELD(member) offsetof(struct roofline_batch, member)

/* Bounds of tokens and sequences keep the sums of struct work within 63 bits. */
#define MOST_TOKENS    (1 << 22)
#define MOST_PROMPTS   (1 << 16)
#define MOST_SEQUENCES (1 << 20)

static const struct option options[] = {
    {"model", OPTION_NODE, NULL, 0, 0, NULL, FIELD(model_node),
     "name or file of the model, or the model itself"},
    {"batch", OPTION_INTEGER, "-1", -1, MOST_SEQUENCES, NULL, FIELD(decode_sequences),
     "decode sequences of a lane; negative: 1, or 0 where prefill is given"},
    {"context", OPTION_INTEGER, "2048", 1, MOST_TOKENS, NULL, FIELD(context_tokens),
     "tokens that each of them sees, the new one included"},
    {"prefill", OPTION_INTEGER, "0", 0, MOST_TOKENS, NULL, FIELD(prompt_tokens),
     "tokens of each prompt; 0: no prompts"},
    {"prompts", OPTION_INTEGER, "1", 1, MOST_PROMPTS, NULL, FIELD(prompts), "how many prompts"},
    {"cached", OPTION_INTEGER, "0", 0, MOST_TOKENS, NULL, FIELD(cached_tokens),
     "tokens of each prompt that are in the cache already"},
    {"network", OPTION_NODE, "null", 0, 0, NULL, FIELD(network_node),
     "as in a cluster: node_link is between the nodes of an instance"},
};
OPTION_TABLE(roofline_options, "roofline", "the batch of `tandem roofline`; all else are keys of a pool",
             options);

/* What the report is computed from. */
struct replica {
    struct plan plan; /* its model */
    struct plan_pool pool;
    struct timer **timers; /* by stage; owned */
};

static bool check_batch(const struct roofline_batch *batch, const struct node *node, struct error *error)
{
    if (batch->decode_sequences == 0 && batch->prompt_tokens == 0)
        return node_error(node, error, "batch 0 and prefill 0: nothing to compute; set one of them");
    if (batch->cached_tokens > 0 && batch->cached_tokens >= batch->prompt_tokens)
        return node_error(
            node, error,
            "cached %lld has to be less than prefill %lld: the last token of a prompt is always "
            "computed",
            (long long)batch->cached_tokens, (long long)batch->prompt_tokens);
    return true;
}

static bool parse(const struct node *root, struct replica *replica, struct roofline_batch *batch,
                  struct error *error)
{
    struct plan_pool *pool = &replica->pool;
    const struct option_part parts[] = {{&roofline_options, batch}, {plan_table("pool"), pool}};
    if (!option_parse_parts(parts, 2, root, error))
        return false;
    if (batch->decode_sequences < 0)
        batch->decode_sequences = batch->prompt_tokens > 0 ? 0 : 1;
    replica->plan.network_node = batch->network_node;
    if (!check_batch(batch, root, error) || !model_parse(batch->model_node, &replica->plan.model, error) ||
        !plan_parse_network(&replica->plan, error) || !plan_resolve_pool(&replica->plan, pool, root, error))
        return false;
    if (pool->kv.cache == KV_CACHE_NONE)
        return node_error(node_get(pool->kv_node, "cache"), error,
                          "decodes of a roofline read a KV cache; a step without one is prefill=TOKENS");
    if (pool->timer.level == TIMER_FIXED)
        return node_error(node_get(pool->timer_node, "level"), error,
                          "a fixed time has no operators; choose calibrated or universal");
    return true;
}

static void make_timers(struct replica *replica)
{
    const struct model_layout *layout = &replica->pool.layout;
    replica->timers = mem_array((size_t)layout->pipeline_parallel, sizeof *replica->timers);
    for (int64_t stage = 0; stage < layout->pipeline_parallel; stage++) {
        struct work_shape shape = plan_shape(&replica->plan, &replica->pool, stage);
        replica->timers[stage] = timer_new(&replica->pool.gpu, &shape, &replica->pool.timer);
    }
}

static void free_timers(struct replica *replica)
{
    for (int64_t stage = 0; replica->timers && stage < replica->pool.layout.pipeline_parallel; stage++)
        timer_free(replica->timers[stage]);
    mem_free(replica->timers);
}

/* Prompts, each behind its cached tokens up to end, and decodes. Prompts that end have a row of logits. */
static struct work work_of(const struct replica *replica, const struct roofline_batch *batch)
{
    int64_t window = replica->plan.model.sliding_window, n = batch->decode_sequences;
    struct work work = {0};
    for (int64_t i = 0; batch->prompt_tokens > 0 && i < batch->prompts; i++) {
        work_add_chunk(&work, batch->cached_tokens, batch->prompt_tokens - batch->cached_tokens, window);
        work.logit_rows++;
    }
    if (n == 0)
        return work;
    int64_t seen = window > 0 && window < batch->context_tokens ? window : batch->context_tokens;
    work.decode_sequences = n;
    work.decode_context_tokens = n * batch->context_tokens;
    work.longest_context_tokens = batch->context_tokens;
    work.sliding_context_tokens = window > 0 ? n * seen : 0;
    work.logit_rows += n;
    return work;
}

/* Through all stages of an empty replica, in so many lanes. Hosts with graphs prepare all stages at once;
 * eager ones are part of each. */
static struct roofline_time iteration_time(const struct replica *replica, const struct work *work,
                                           int64_t lanes)
{
    int64_t stages = replica->pool.layout.pipeline_parallel;
    bool eager = timer_host(&replica->pool.timer)->kind == TIMER_HOST_EAGER;
    struct roofline_time time = {0};
    for (int64_t stage = 0; stage < stages; stage++) {
        struct timer_parts parts = timer_lane_parts(replica->timers[stage], work, lanes);
        time.gpu_s += parts.total - parts.overhead;
        if (eager || stage == 0)
            time.host_s += parts.overhead;
        if (stage + 1 < stages)
            time.send_s += 1e-9 * (double)timer_send_ns(replica->timers[stage],
                                                        work->prefill_tokens + work->decode_sequences);
    }
    time.seconds = time.gpu_s + time.host_s + time.send_s;
    return time;
}

static enum roofline_bound bound_of(const struct operator_cost *cost)
{
    if (cost->link)
        return ROOFLINE_LINK;
    if (cost->compute_s >= cost->memory_s && cost->compute_s >= cost->fixed_s)
        return ROOFLINE_COMPUTE;
    return cost->memory_s >= cost->fixed_s ? ROOFLINE_MEMORY : ROOFLINE_FIXED;
}

static struct operator_cost all_runs(struct operator_cost cost, double times)
{
    cost.flops *= times;
    cost.bytes *= times;
    cost.compute_s *= times;
    cost.memory_s *= times;
    cost.fixed_s *= times;
    cost.seconds *= times;
    return cost;
}

static void list_operators(const struct replica *replica, struct roofline_report *report)
{
    struct timer_operator operators[TIMER_MOST_OPERATORS];
    report->stage = -1;
    for (int64_t stage = 0; stage < report->layout.pipeline_parallel; stage++) {
        struct timer_parts parts = timer_iteration_parts(replica->timers[stage], &report->work);
        if (report->stage >= 0 && parts.total <= report->stage_gpu_s + report->stage_host_s)
            continue;
        report->stage = stage;
        report->stage_host_s = parts.overhead;
        report->stage_gpu_s = parts.total - parts.overhead;
    }
    report->stage_layers =
        model_stage_layers(&replica->plan.model, report->layout.pipeline_parallel, report->stage);
    report->operator_count = timer_operators(replica->timers[report->stage], &report->work, operators);
    for (size_t i = 0; i < report->operator_count; i++) {
        struct operator_cost cost = all_runs(operators[i].cost, operators[i].times);
        report->operators[i] = (struct roofline_operator){
            .name = operators[i].name,
            .times = operators[i].times,
            .cost = cost,
            .bound = bound_of(&cost),
            .share = cost.seconds / (report->stage_gpu_s + report->stage_host_s),
        };
    }
}

/* Bytes of the experts that no token of the iteration is sent to, when k of n are drawn at random for each:
 * (1 - k / n)^tokens of all. */
static double untouched_bytes(const struct replica *replica, double tokens)
{
    const struct model *model = &replica->plan.model;
    double n = (double)model->experts, k = (double)model->experts_per_token;
    if (model->experts == 0 || model->experts == model->experts_per_token)
        return 0;
    return numeric_pow(1 - k / n, tokens) * (double)model_expert_bytes(model, &replica->pool.layout);
}

static struct roofline_classical classical(const struct roofline_report *report, double flops, double bytes)
{
    double gpus = (double)report->gpus;
    struct roofline_classical c = {.flops = flops, .bytes = bytes, .intensity = flops / bytes};
    c.compute_s = flops / (report->peak_flops * gpus);
    c.memory_s = bytes / (report->bandwidth * gpus);
    c.seconds = fmax(c.compute_s, c.memory_s);
    c.bound = c.compute_s >= c.memory_s ? ROOFLINE_COMPUTE : ROOFLINE_MEMORY;
    return c;
}

/* Bytes that are cached of tokens at all layers, or of those seen through windows at layers that have one;
 * over all GPUs of all lanes. */
static double kv_bytes(const struct replica *replica, double tokens, double sliding_tokens)
{
    const struct model *model = &replica->plan.model;
    const struct model_layout *layout = &replica->pool.layout;
    double all = (double)model_kv_bytes_per_token(model, layout->kv_dtype);
    double sliding = (double)model_sliding_kv_bytes_per_token(model, layout->kv_dtype);
    double copies = (double)(model_kv_copies(model, layout->tensor_parallel) * layout->lanes);
    return copies * (tokens * (all - sliding) + sliding_tokens * sliding);
}

/* Tokens of the cache that the prompts read at a layer with that window (0: none): each chunk once. */
static double prompt_kv_tokens(const struct roofline_report *report, int64_t window)
{
    const struct roofline_batch *batch = &report->batch;
    int64_t fresh = batch->prompt_tokens - batch->cached_tokens, seen = batch->prompt_tokens;
    if (window > 0)
        seen = work_sliding_read(batch->cached_tokens, fresh, window);
    return (double)(seen * batch->prompts);
}

/* FLOPs that the model needs for the batch of all lanes, as MFU counts them. */
static double model_flops(const struct replica *replica, const struct work *work)
{
    const struct model *model = &replica->plan.model;
    double layers = (double)model->layers, sliding = (double)model->sliding_window_layers / layers;
    double w = (double)work->prefill_work_x2 / 2 + (double)work->decode_context_tokens;
    double sliding_w = (double)work->sliding_prefill_work_x2 / 2 + (double)work->sliding_context_tokens;
    double tokens = (double)(work->prefill_tokens + work->decode_sequences);
    double attention = model_attention_flops(model, 1) * ((1 - sliding) * w + sliding * sliding_w);
    return (double)replica->pool.layout.lanes * (tokens * model_linear_flops_per_token(model) + attention +
                                                 (double)work->logit_rows * model_head_flops_per_row(model));
}

static void compare_with_textbook(const struct replica *replica, struct roofline_report *report)
{
    const struct gpu *gpu = &replica->pool.gpu;
    const struct work *work = &report->work;
    int64_t window = replica->plan.model.sliding_window;
    double tokens = (double)((work->prefill_tokens + work->decode_sequences) * report->layout.lanes);
    report->peak_flops = gpu_peak_flops(gpu, report->layout.weight_dtype);
    report->expert_peak_flops = gpu_peak_flops(gpu, report->layout.expert_dtype);
    report->head_peak_flops = gpu_peak_flops(gpu, DTYPE_BF16);
    report->bandwidth = gpu->bandwidth;
    report->ridge = report->peak_flops / report->bandwidth;
    report->kv_read_bytes =
        kv_bytes(replica, prompt_kv_tokens(report, 0) + (double)work->decode_context_tokens,
                 prompt_kv_tokens(report, window) + (double)work->sliding_context_tokens);
    double fresh = (double)(work->prefill_tokens + work->decode_sequences);
    report->kv_write_bytes = kv_bytes(replica, fresh, fresh);
    double flops = 2 * (double)model_active_parameters(&replica->plan.model) * tokens;
    double weights = (double)model_weight_bytes(&replica->plan.model, &report->layout);
    double touched = weights - untouched_bytes(replica, tokens);
    report->weights_alone = classical(report, flops, touched);
    report->with_kv = classical(report, flops, touched + report->kv_read_bytes + report->kv_write_bytes);
}

/* As in results.h5 (metrics/columns.c says what counts), over the time of this iteration. */
static void find_utilization(const struct replica *replica, struct roofline_report *report)
{
    const struct model *model = &replica->plan.model;
    const struct work *work = &report->work;
    int64_t tokens = (work->prefill_tokens + work->decode_sequences) * report->layout.lanes;
    double available_s = (double)report->gpus * report->time.seconds;
    double bytes =
        (double)(model_weight_bytes(model, &report->layout) - model_expert_bytes(model, &report->layout));
    for (int64_t stage = 0; stage < report->layout.pipeline_parallel; stage++)
        bytes += (double)timer_expert_bytes(replica->timers[stage], tokens);
    bytes += report->kv_read_bytes + report->kv_write_bytes;
    report->mfu = model_flops(replica, work) / (report->peak_flops * available_s);
    report->mbu = bytes / (report->bandwidth * available_s);
}

/* A prompt alone: in chunks of the budget where the policy chunks, else whole. */
static void time_request(const struct replica *replica, struct roofline_report *report)
{
    const struct scheduler_limits *limits = &replica->pool.limits;
    const struct roofline_batch *batch = &report->batch;
    bool given = batch->prompt_tokens > 0, chunks = schedulers[limits->policy]->chunks;
    int64_t prompt = given ? batch->prompt_tokens : batch->context_tokens, most = INT64_MAX;
    if (chunks || limits->chunked_prefill)
        most = limits->max_num_batched_tokens;
    if (most < INT64_MAX && limits->long_prefill_token_threshold > 0 &&
        limits->long_prefill_token_threshold < most)
        most = limits->long_prefill_token_threshold;
    report->request_prompt_tokens = prompt;
    for (int64_t done = given ? batch->cached_tokens : 0; done < prompt;) {
        int64_t chunk = prompt - done < most ? prompt - done : most;
        struct work work = {.logit_rows = done + chunk == prompt};
        work_add_chunk(&work, done, chunk, replica->plan.model.sliding_window);
        report->ttft_s += iteration_time(replica, &work, 1).seconds;
        report->request_chunks++;
        done += chunk;
    }
    struct roofline_batch alone = {.decode_sequences = 1, .context_tokens = batch->context_tokens};
    struct work work = work_of(replica, &alone);
    report->tpot_s = iteration_time(replica, &work, 1).seconds;
}

static void measure_memory(struct replica *replica, const struct node *root, struct roofline_report *report)
{
    struct plan_pool *pool = &replica->pool;
    const struct model *model = &replica->plan.model;
    int64_t stages = report->layout.pipeline_parallel;
    for (int64_t stage = 0; stage < stages; stage++) {
        int64_t bytes = model_weight_bytes_per_gpu(model, &report->layout, stage);
        report->weight_bytes_per_gpu =
            bytes > report->weight_bytes_per_gpu ? bytes : report->weight_bytes_per_gpu;
    }
    report->kv_bytes_per_token = model_kv_bytes_per_token(model, report->layout.kv_dtype);
    report->block_tokens = pool->kv.block_tokens;
    report->max_num_seqs = (pool->limits.max_num_seqs + stages - 1) / stages;
    report->max_num_batched_tokens = pool->limits.max_num_batched_tokens;
    if (!plan_find_capacity(&replica->plan, pool, root, &report->no_room))
        return;
    report->capacity_blocks = pool->member_blocks;
    struct kv kv;
    kv_init(&kv, report->block_tokens, report->capacity_blocks);
    report->maximum_batch = report->capacity_blocks / kv_blocks(&kv, report->batch.context_tokens);
    report->bound_by_seqs = report->maximum_batch > report->max_num_seqs;
    if (report->bound_by_seqs)
        report->maximum_batch = report->max_num_seqs;
}

bool roofline_compute(const char *const *sets, size_t set_count, struct roofline_report *report,
                      struct error *error)
{
    struct replica replica = {0};
    *report = (struct roofline_report){0};
    if (!plan_compose_pool(sets, set_count, &report->config, error))
        return false;
    const struct node *root = config_root(report->config);
    if (!parse(root, &replica, &report->batch, error))
        return false;
    plan_warn_pool(&replica.plan, &replica.pool);
    report->model = replica.plan.model.name;
    report->gpu = replica.pool.gpu.name;
    report->coefficients = gpu_basis(&replica.pool.gpu);
    report->host = timer_host(&replica.pool.timer)->name;
    report->layout = replica.pool.layout;
    report->gpus = replica.pool.gpus;
    report->work = work_of(&replica, &report->batch);
    make_timers(&replica);
    report->time = iteration_time(&replica, &report->work, report->layout.lanes);
    list_operators(&replica, report);
    compare_with_textbook(&replica, report);
    find_utilization(&replica, report);
    time_request(&replica, report);
    measure_memory(&replica, root, report);
    free_timers(&replica);
    return true;
}

void roofline_clear(struct roofline_report *report)
{
    config_free(report->config);
    report->config = NULL;
}
