#include "tandem/results.h"

#include <math.h>
#include <string.h>

#include "tandem/check.h"
#include "tandem/mem.h"

#include "build.h"

/* Integrals that outgrow 64 bits (10^6 waiting requests do in about 5 h) are cut rather than wrapped. */
static uint64_t narrow(wide_t value)
{
    return value > UINT64_MAX ? UINT64_MAX : (uint64_t)value;
}

static uint64_t busy_ns(const struct usage *usage)
{
    return usage->busy_ns[PHASE_PREFILL] + usage->busy_ns[PHASE_DECODE] + usage->busy_ns[PHASE_MIXED];
}

static double flops(const struct results_pool *pool, uint64_t tokens, uint64_t logit_rows, wide_t context_x2)
{
    return (double)tokens * pool->flops_per_token + (double)logit_rows * pool->flops_per_logit_row +
           wide_to_double(context_x2) / 2 * pool->flops_per_context_token;
}

/* Shares of what GPUs can compute and move in a time, all of it together gpu_s. */
struct rates {
    double mfu, hfu, mbu;
};

static struct rates rates(const struct results_pool *pool, double gpu_s, const struct effort *effort)
{
    double all = flops(pool, effort->tokens, effort->logit_rows, effort->context_x2);
    /* Recomputed tokens have no row of logits: each row samples a token that none has sampled before. */
    double useful = flops(pool, effort->tokens - effort->recomputed_tokens - effort->padding_tokens,
                          effort->logit_rows - effort->padding_rows,
                          effort->context_x2 - effort->recomputed_context_x2 - effort->padding_context_x2);
    double bytes = (double)effort->iterations * pool->weight_bytes +
                   wide_to_double(effort->kv_read_tokens) * pool->kv_bytes_per_context_token +
                   (double)effort->tokens * pool->kv_bytes_per_token + wide_to_double(effort->expert_bytes);
    return (struct rates){.mfu = build_ratio(useful, pool->peak_flops * gpu_s),
                          .hfu = build_ratio(all, pool->peak_flops * gpu_s),
                          .mbu = build_ratio(bytes, pool->bandwidth * gpu_s)};
}

static struct effort all_phases(const struct usage *usage)
{
    struct effort sum = {0};
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        effort_add(&sum, &usage->window[phase]);
    return sum;
}

static struct rates window_rates(const struct build *build, const struct results_pool *pool, uint32_t gpus,
                                 const struct effort *effort)
{
    return rates(pool, (double)gpus * build->window_ns / (double)SIMTIME_SECOND_NS, effort);
}

/* What an instance takes in the window. */
struct energy {
    double joules;
    double capped_ns; /* busy time of phases whose power the cap cuts */
};

static void add_energy(struct energy *into, const struct energy *from)
{
    into->joules += from->joules;
    into->capped_ns += from->capped_ns;
}

/* Of instances of a pool over time_ns, all of them together: each phase at the power of its mean rates, the
 * rest idle. */
static struct energy energy(const struct results_pool *pool, double time_ns, const double busy[PHASE_COUNT],
                            const struct effort effort[PHASE_COUNT])
{
    const struct power_config *config = &pool->power;
    double gpus = (double)pool->gpus_per_instance, idle_ns = time_ns, watt_ns = 0, capped_ns = 0;
    for (int phase = PHASE_PREFILL; phase < PHASE_COUNT; phase++) {
        struct rates used = rates(pool, gpus * busy[phase] / (double)SIMTIME_SECOND_NS, &effort[phase]);
        double watts = power_watts(config, pool->tdp_watts, used.hfu, used.mbu);
        watt_ns += watts * busy[phase];
        capped_ns += watts >= power_cap_watts(config, pool->tdp_watts) ? busy[phase] : 0;
        idle_ns -= busy[phase];
    }
    watt_ns += power_watts(config, pool->tdp_watts, 0, 0) * idle_ns;
    return (struct energy){gpus * watt_ns / (double)SIMTIME_SECOND_NS, capped_ns};
}

static struct energy window_energy(const struct build *build, const struct results_pool *pool,
                                   const struct usage *usage)
{
    double busy[PHASE_COUNT];
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        busy[phase] = (double)usage->busy_ns[phase] / (double)pool->members_per_instance;
    return energy(pool, build->window_ns, busy, usage->window);
}

/* Mean over the bin of all GPUs of the pool. */
static double bin_watts(const struct results_pool *pool, const struct series_bin *bin, double width_ns)
{
    double busy[PHASE_COUNT];
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        busy[phase] = wide_to_double(bin->busy_ns[phase]) / (double)pool->members_per_instance;
    double joules = energy(pool, width_ns * (double)pool->instances, busy, bin->effort).joules;
    return build_ratio(joules * (double)SIMTIME_SECOND_NS, width_ns);
}

static double mean_watts(const struct build *build, double joules)
{
    return build_ratio(joules * (double)SIMTIME_SECOND_NS, build->window_ns);
}

/* What an allocator makes of the cache of so many instances in the window. */
struct cache {
    double utilization, cached, internal, external;
    uint64_t copied_bytes;
};

static struct cache cache(const struct build *build, const struct results_pool *pool, uint32_t instances,
                          const struct usage *usage)
{
    double time = (double)pool->kv_capacity_blocks * build->window_ns * (double)instances;
    double tokens = (double)pool->kv_block_tokens;
    double taken = wide_to_double(usage->kv_block_ns), used = wide_to_double(usage->kv_token_ns);
    double bytes = (double)usage->kv_copied_blocks * tokens * pool->kv_bytes_per_token;
    return (struct cache){.utilization = build_ratio(taken, time),
                          .cached = build_ratio(used, time * tokens),
                          .internal = build_ratio(taken * tokens - used, taken * tokens),
                          .external = build_ratio(wide_to_double(usage->kv_stranded_ns), time),
                          .copied_bytes = (uint64_t)bytes};
}

static struct instance_row instance_row(const struct build *build, const struct results_pool *pool,
                                        const struct usage *usage, const struct energy *used_energy)
{
    double price = pool->price_usd_per_gpu_hour * (double)pool->gpus_per_instance;
    struct cache kv = cache(build, pool, 1, usage);
    struct effort effort = all_phases(usage);
    struct rates used = window_rates(build, pool, pool->gpus_per_instance, &effort);
    double time = build->window_ns * (double)pool->members_per_instance;
    uint64_t members = pool->members_per_instance, lengthened_ns = usage->lengthened_ns[PHASE_MIXED];
    /* Who comes to an empty blocked queue within an iteration is blocked for less than all of it. */
    uint64_t blocked_ns = 0, mixed_ns = usage->blocked_ns[PHASE_MIXED],
             prefills_ns = usage->lengthened_blocked_ns[PHASE_MIXED];
    uint64_t decodes_ns = mixed_ns > prefills_ns ? mixed_ns - prefills_ns : 0;
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        blocked_ns += usage->blocked_ns[phase];
    return (struct instance_row){
        .pool = pool->name,
        .role = pool->role,
        .gpu = pool->gpu,
        .gpus = pool->gpus_per_instance,
        .busy_prefill_ns = usage->busy_ns[PHASE_PREFILL] / members,
        .busy_decode_ns = usage->busy_ns[PHASE_DECODE] / members,
        .busy_mixed_ns = usage->busy_ns[PHASE_MIXED] / members,
        .interference_ns = (usage->lengthened_ns[PHASE_PREFILL] + lengthened_ns) / members,
        .decoding_ns = (usage->busy_ns[PHASE_DECODE] + usage->busy_ns[PHASE_MIXED] - lengthened_ns) / members,
        .blocked_ns = blocked_ns / members,
        .blocked_decoding_ns = (usage->blocked_ns[PHASE_DECODE] + decodes_ns) / members,
        .blocked_idle_ns = usage->blocked_ns[PHASE_IDLE] / members,
        .moving_idle_ns = usage->moving_idle_ns / members,
        .utilization = build_ratio((double)busy_ns(usage), time),
        .mfu = used.mfu,
        .hfu = used.hfu,
        .mbu = used.mbu,
        .prefill_iterations = usage->iterations[PHASE_PREFILL],
        .decode_iterations = usage->iterations[PHASE_DECODE],
        .mixed_iterations = usage->iterations[PHASE_MIXED],
        .prefill_tokens = usage->prefill_tokens,
        .recomputed_tokens = usage->recomputed_tokens,
        .padding_tokens = usage->padding_tokens,
        .output_tokens = usage->output_tokens,
        .preemptions = usage->preemptions,
        .swaps = usage->swaps,
        .swapped_out_bytes = usage->swapped_out_bytes,
        .swapped_in_bytes = usage->swapped_in_bytes,
        .cached_tokens = usage->cached_tokens,
        .cached_host_tokens = usage->cached_host_tokens,
        .cached_ssd_tokens = usage->cached_ssd_tokens,
        .evicted_blocks = usage->evicted_blocks,
        .kv_capacity_blocks = pool->kv_capacity_blocks,
        .kv_peak_blocks = usage->kv_peak_blocks,
        .kv_peak_tokens = usage->kv_peak_tokens,
        .kv_allocated_blocks = usage->kv_allocated_blocks,
        .kv_freed_blocks = usage->kv_freed_blocks,
        .kv_mean_utilization = kv.utilization,
        .kv_mean_cached = kv.cached,
        .kv_internal_fragmentation = kv.internal,
        .kv_external_fragmentation = kv.external,
        .kv_allocations = usage->kv_allocations,
        .kv_copies = usage->kv_copies,
        .kv_compactions = usage->kv_compactions,
        .kv_copied_bytes = kv.copied_bytes,
        .kv_allocation_ns = usage->kv_cost_ns,
        .waiting_request_ns = narrow(usage->waiting_ns),
        .running_request_ns = narrow(usage->running_ns),
        .moving_request_ns = narrow(usage->moving_ns),
        .sent_bytes = usage->sent_bytes,
        .received_bytes = usage->received_bytes,
        .role_switches = usage->role_switches,
        .drain_ns = usage->drain_ns,
        .switched_ns = usage->switched_ns,
        .cost_usd = build_cost(build, price),
        .energy_joules = used_energy->joules,
        .mean_power_watts = mean_watts(build, used_energy->joules),
    };
}

/* usage, used_energy: the sums over the pool's instances (peak: the highest). */
static struct pool_row pool_row(const struct build *build, const struct results_pool *pool,
                                const struct usage *usage, const struct energy *used_energy)
{
    uint32_t gpus = pool->instances * pool->gpus_per_instance;
    double price = pool->price_usd_per_gpu_hour * (double)gpus;
    double cost = build_cost(build, price);
    double instance_time = build->window_ns * (double)pool->instances;
    double time = instance_time * (double)pool->members_per_instance;
    struct cache kv = cache(build, pool, pool->instances, usage);
    double run_ns = (double)build->metrics->end_ns;
    struct effort effort = all_phases(usage);
    struct rates used = window_rates(build, pool, gpus, &effort);
    bool prefills = strcmp(pool->role, "decode") != 0, decodes = strcmp(pool->role, "prefill") != 0;
    return (struct pool_row){
        .name = pool->name,
        .role = pool->role,
        .gpu = pool->gpu,
        .instances = pool->instances,
        .gpus = gpus,
        .tensor_parallel = pool->tensor_parallel,
        .pipeline_parallel = pool->pipeline_parallel,
        .attention_data_parallel = pool->attention_data_parallel,
        .expert_parallel = pool->expert_parallel,
        .kv_allocator = pool->kv_allocator,
        .kv_block_tokens = pool->kv_block_tokens,
        .kv_capacity_blocks = pool->kv_capacity_blocks,
        .price_usd_per_gpu_hour = pool->price_usd_per_gpu_hour,
        .cost_usd_per_hour = price,
        .utilization = build_ratio((double)busy_ns(usage), time),
        .utilization_prefill = build_ratio((double)usage->busy_ns[PHASE_PREFILL], time),
        .utilization_decode = build_ratio((double)usage->busy_ns[PHASE_DECODE], time),
        .utilization_mixed = build_ratio((double)usage->busy_ns[PHASE_MIXED], time),
        .mfu = used.mfu,
        .hfu = used.hfu,
        .mbu = used.mbu,
        .kv_mean_utilization = kv.utilization,
        .kv_peak_utilization = build_ratio((double)usage->kv_peak_blocks, (double)pool->kv_capacity_blocks),
        .kv_mean_cached = kv.cached,
        .kv_internal_fragmentation = kv.internal,
        .kv_external_fragmentation = kv.external,
        .kv_allocations = usage->kv_allocations,
        .kv_copies = usage->kv_copies,
        .kv_compactions = usage->kv_compactions,
        .kv_copied_bytes = kv.copied_bytes,
        .kv_allocation_ns = usage->kv_cost_ns,
        .mean_running = build_ratio(wide_to_double(usage->running_ns), run_ns),
        .mean_waiting = build_ratio(wide_to_double(usage->waiting_ns), run_ns),
        .prefill_tokens = usage->prefill_tokens,
        .padding_tokens = usage->padding_tokens,
        .output_tokens = usage->output_tokens,
        .preemptions = usage->preemptions,
        .swaps = usage->swaps,
        .swapped_out_bytes = usage->swapped_out_bytes,
        .swapped_in_bytes = usage->swapped_in_bytes,
        .cached_tokens = usage->cached_tokens,
        .cached_host_tokens = usage->cached_host_tokens,
        .cached_ssd_tokens = usage->cached_ssd_tokens,
        .evicted_blocks = usage->evicted_blocks,
        .sent_bytes = usage->sent_bytes,
        .received_bytes = usage->received_bytes,
        .role_switches = usage->role_switches,
        .drain_ns = usage->drain_ns,
        .switched_ns = usage->switched_ns,
        .usd_per_million_prefill_tokens =
            prefills ? build_ratio(cost * 1e6, (double)effort.prompt_tokens) : 0,
        .usd_per_million_output_tokens =
            decodes ? build_ratio(cost * 1e6, (double)usage->window_output_tokens) : 0,
        .gpu_hours = build_hours(build) * (double)gpus,
        .idle_cost_usd = cost * (1 - build_ratio((double)busy_ns(usage), time)),
        .effective_usd_per_hour = build_ratio(price * time, (double)busy_ns(usage)),
        .energy_joules = used_energy->joules,
        .mean_power_watts = mean_watts(build, used_energy->joules),
        .power_capped =
            build_ratio(used_energy->capped_ns, (double)busy_ns(usage) / (double)pool->members_per_instance),
        .joules_per_prefill_token =
            prefills ? build_ratio(used_energy->joules, (double)effort.prompt_tokens) : 0,
        .joules_per_output_token =
            decodes ? build_ratio(used_energy->joules, (double)usage->window_output_tokens) : 0,
    };
}

/* Instances and pools; returns the sum of all usages. */
static struct usage build_instances(const struct build *build)
{
    struct results *results = build->results;
    struct usage total = {0};
    for (size_t i = 0; i < build->pool_count; i++)
        results->instance_count += build->pools[i].instances;
    results->instances = mem_array(results->instance_count, sizeof *results->instances);
    results->pools = mem_array(build->pool_count, sizeof *results->pools);
    results->pool_count = build->pool_count;

    size_t instance = 0;
    for (size_t i = 0; i < build->pool_count; i++) {
        const struct results_pool *pool = &build->pools[i];
        struct usage sum = {0};
        struct energy pool_energy = {0};
        for (uint32_t k = 0; k < pool->instances; k++, instance++) {
            const struct usage *usage = &build->usages[instance];
            struct energy used_energy = window_energy(build, pool, usage);
            results->instances[instance] = instance_row(build, pool, usage, &used_energy);
            usage_add(&sum, usage);
            add_energy(&pool_energy, &used_energy);
        }
        results->pools[i] = pool_row(build, pool, &sum, &pool_energy);
        usage_add(&total, &sum);
    }
    return total;
}

static struct series_bin_row bin_row(const struct results_pool *pool, const struct series_bin *bin,
                                     int64_t start_ns, double width_ns)
{
    double instance_time = width_ns * (double)pool->instances;
    double time = instance_time * (double)pool->members_per_instance;
    double block_time = instance_time * (double)pool->kv_capacity_blocks;
    return (struct series_bin_row){
        .start_ns = start_ns,
        .waiting = build_ratio(wide_to_double(bin->waiting_ns), width_ns),
        .running = build_ratio(wide_to_double(bin->running_ns), width_ns),
        .moving = build_ratio(wide_to_double(bin->moving_ns), width_ns),
        .kv_used = build_ratio(wide_to_double(bin->kv_block_ns), block_time),
        .kv_cached =
            build_ratio(wide_to_double(bin->kv_token_ns), block_time * (double)pool->kv_block_tokens),
        .kv_stranded = build_ratio(wide_to_double(bin->kv_stranded_ns), block_time),
        .busy_prefill = build_ratio(wide_to_double(bin->busy_ns[PHASE_PREFILL]), time),
        .busy_decode = build_ratio(wide_to_double(bin->busy_ns[PHASE_DECODE]), time),
        .busy_mixed = build_ratio(wide_to_double(bin->busy_ns[PHASE_MIXED]), time),
        .prefill_tokens = bin->prefill_tokens,
        .output_tokens = bin->output_tokens,
        .sent_bytes = bin->sent_bytes,
        .power_watts = bin_watts(pool, bin, width_ns),
    };
}

static void build_series(const struct build *build)
{
    struct results *results = build->results;
    const struct metrics *metrics = build->metrics;
    results->series = mem_array(build->pool_count, sizeof(struct series_bin_row *));
    if (build->pool_count == 0 || metrics->series[0].interval_ns == 0)
        return;
    static const struct series_bin empty;
    int64_t interval_ns = metrics->series[0].interval_ns;
    for (size_t i = 0; i < build->pool_count; i++)
        if (metrics->series[i].count > results->series_count)
            results->series_count = metrics->series[i].count;
    results->series_interval_ns = interval_ns;

    for (size_t i = 0; i < build->pool_count; i++) {
        results->series[i] = mem_array(results->series_count, sizeof *results->series[i]);
        for (size_t k = 0; k < results->series_count; k++) {
            int64_t start_ns = (int64_t)k * interval_ns;
            int64_t left_ns = metrics->end_ns - start_ns; /* the last bin is cut at the end of the run */
            int64_t width_ns = left_ns > 0 && left_ns < interval_ns ? left_ns : interval_ns;
            const struct series_bin *bin =
                k < metrics->series[i].count ? &metrics->series[i].bins[k] : &empty;
            results->series[i][k] = bin_row(&build->pools[i], bin, start_ns, (double)width_ns);
        }
    }
}

static void build_histograms(const struct build *build)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        const struct histogram *histogram = &build->metrics->histograms[i];
        size_t count = 0;
        for (size_t k = 0; k < HISTOGRAM_BUCKETS; k++)
            count += histogram->counts[k] > 0;
        struct histogram_row *rows = mem_array(count, sizeof *rows);
        build->results->histograms[i] = rows;
        build->results->histogram_counts[i] = count;
        for (size_t k = 0; k < HISTOGRAM_BUCKETS; k++)
            if (histogram->counts[k] > 0)
                *rows++ = (struct histogram_row){histogram_bucket_low(k), histogram_bucket_high(k),
                                                 histogram->counts[k]};
    }
}

static struct percentiles percentiles(const struct build *build, enum metric metric)
{
    return build_percentiles(&build->metrics->histograms[metric]);
}

/* Time of a request in which it is served and does not wait, ns: mean over the window's completed ones. */
static double mean_service_ns(const struct metrics_counts *counts)
{
    static const enum stage served[] = {STAGE_ROUTER, STAGE_CONTROL, STAGE_PREFILL, STAGE_TRANSFER,
                                        STAGE_DECODE};
    double sum = 0;
    for (size_t i = 0; i < sizeof served / sizeof served[0]; i++)
        sum += wide_to_double(counts->window_stage_ns[served[i]]);
    return build_ratio(sum, (double)counts->window_completed);
}

/* Fewer completions than arrivals beyond those that a system without queues would still be serving (Little's
 * law), with three standard deviations of their number; or waits that grow from the first third of the window
 * to the last. */
static bool saturated(const struct build *build)
{
    const struct metrics_counts *counts = &build->metrics->counts;
    if (build->metrics->config.at_once)
        return false;
    double offered = (double)(counts->window_arrivals - counts->window_refused);
    double serving = build_ratio(offered * mean_service_ns(counts), build->window_ns);
    double missing = offered - (double)counts->window_completions - serving;
    if (missing > 0.03 * offered + 3 * sqrt(serving) + 1)
        return true;
    double first = build_ratio(wide_to_double(counts->third_wait_ns[0]), (double)counts->third_count[0]);
    double last = build_ratio(wide_to_double(counts->third_wait_ns[2]), (double)counts->third_count[2]);
    return counts->third_count[0] >= 30 && counts->third_count[2] >= 30 && last > 2 * first &&
           last > 1e6; /* few requests say nothing, nor does a factor below 1 ms */
}

static void summarize_requests(const struct build *build, struct summary *summary)
{
    const struct metrics_counts *counts = &build->metrics->counts;
    const struct metrics_config *config = &build->metrics->config;
    double arrivals = (double)counts->window_arrivals;

    summary->requests = counts->completed + counts->refused;
    summary->completed = counts->completed;
    summary->refused = counts->refused;
    summary->refused_model_length = counts->refused_by_reason[ROW_REASON_MODEL_LENGTH];
    summary->refused_kv_capacity = counts->refused_by_reason[ROW_REASON_KV_CAPACITY];
    summary->refused_queue_full = counts->refused_by_reason[ROW_REASON_QUEUE_FULL];
    summary->refused_deadline = counts->refused_by_reason[ROW_REASON_DEADLINE];
    summary->refused_session = counts->refused_by_reason[ROW_REASON_SESSION];
    summary->sessions = counts->sessions;
    summary->mean_turns = build_ratio((double)counts->turns, (double)counts->sessions);
    summary->window_arrivals = counts->window_arrivals;
    summary->window_completed = counts->window_completed;
    summary->window_start_ns = build->window_start_ns;
    summary->window_end_ns = build->window_end_ns;
    summary->end_ns = build->metrics->end_ns;
    summary->request_rate_per_s = build_per_second(build, counts->window_arrivals);
    summary->completed_per_s = build_per_second(build, counts->window_completions);
    summary->prompt_tokens = counts->prompt_tokens;
    summary->output_tokens = counts->output_tokens;
    summary->slo_ttft_ms = (double)config->slo.ttft_ns / 1e6;
    summary->slo_tpot_ms = (double)config->slo.tpot_ns / 1e6;
    summary->slo_itl_ms = (double)config->slo.itl_ns / 1e6;
    summary->slo_attainment = build_ratio((double)counts->window_slo_met, arrivals);
    summary->slo_ttft_attainment = build_ratio((double)counts->window_slo_ttft_met, arrivals);
    summary->slo_tpot_attainment = build_ratio((double)counts->window_slo_tpot_met, arrivals);
    summary->goodput_per_s = build_per_second(build, counts->window_slo_met);
    summary->moved_requests = counts->moved_requests;
    summary->kv_transfer_bytes = counts->kv_transfer_bytes;
    summary->preemptions = counts->preemptions;
    summary->swaps = counts->swaps;
    summary->swapped_bytes = counts->swapped_bytes;
    summary->cached_prompt_tokens = counts->cached_prompt_tokens;
    summary->host_prompt_tokens = counts->host_prompt_tokens;
    summary->ssd_prompt_tokens = counts->ssd_prompt_tokens;
    summary->prefix_hit_share =
        build_ratio((double)counts->cached_prompt_tokens, (double)counts->prompt_tokens);
    summary->saturated = saturated(build);
}

static void summarize_times(const struct build *build, struct summary *summary)
{
    const struct metrics_counts *counts = &build->metrics->counts;
    summary->ttft = percentiles(build, METRIC_TTFT);
    summary->ttft_prefill = percentiles(build, METRIC_TTFT_PREFILL);
    summary->tpot = percentiles(build, METRIC_TPOT);
    summary->itl = percentiles(build, METRIC_ITL);
    summary->e2e = percentiles(build, METRIC_E2E);
    summary->queue = percentiles(build, METRIC_QUEUE);
    summary->transfer = percentiles(build, METRIC_TRANSFER);
    summary->tokens_per_s_per_user = build_ratio((double)SIMTIME_SECOND_NS, summary->tpot.mean);

    double *const means[STAGE_COUNT] = {
        [STAGE_ROUTER] = &summary->mean_router_ns,
        [STAGE_CONTROL] = &summary->mean_control_ns,
        [STAGE_ROUTER_QUEUE] = &summary->mean_router_queue_ns,
        [STAGE_PREFILL_QUEUE] = &summary->mean_prefill_queue_ns,
        [STAGE_PREFILL] = &summary->mean_prefill_ns,
        [STAGE_DECODE_QUEUE] = &summary->mean_decode_queue_ns,
        [STAGE_TRANSFER] = &summary->mean_transfer_ns,
        [STAGE_ADMISSION] = &summary->mean_admission_ns,
        [STAGE_DECODE] = &summary->mean_decode_ns,
        [STAGE_STALLED] = &summary->mean_stalled_ns,
    };
    for (int i = 0; i < STAGE_COUNT; i++)
        *means[i] = build_ratio(wide_to_double(counts->window_stage_ns[i]), (double)counts->window_completed);
    summary->mean_interference_ns =
        build_ratio(wide_to_double(counts->window_interference_ns), (double)counts->window_completed);
    summary->mean_blocked_ns =
        build_ratio(wide_to_double(counts->window_blocked_ns), (double)counts->window_completed);
    summary->mean_congestion_ns =
        build_ratio(wide_to_double(counts->window_congestion_ns), (double)counts->window_completed);
}

/* Each request (or each of one_in) has exactly one row and its id gives the row's place, so rows are put
 * there by swaps in place. */
static void order_rows(struct row *rows, size_t count, uint64_t one_in)
{
    for (size_t i = 0; i < count; i++) {
        while (rows[i].id != i * one_in) {
            uint64_t id = rows[i].id, place = id / one_in;
            CHECK(id % one_in == 0 && place < count && rows[place].id != id,
                  "request %llu has two rows, or others have none", (unsigned long long)id);
            struct row other = rows[place];
            rows[place] = rows[i];
            rows[i] = other;
        }
    }
}

void results_build(struct results *results, const struct metrics *metrics, const struct results_pool *pools,
                   size_t pool_count, const struct usage *usages, struct row *rows, size_t row_count)
{
    const struct metrics_config *config = &metrics->config;
    CHECK((int64_t)pool_count == config->pools, "%zu pools", pool_count);
    memset(results, 0, sizeof *results);
    struct build build = {.results = results,
                          .metrics = metrics,
                          .pools = pools,
                          .pool_count = pool_count,
                          .usages = usages,
                          .window_start_ns = config->window_start_ns,
                          .window_end_ns = config->window_end_ns};
    if (build.window_end_ns == SIMTIME_NEVER)
        build.window_end_ns = metrics->end_ns;
    if (build.window_end_ns > build.window_start_ns)
        build.window_ns = (double)(build.window_end_ns - build.window_start_ns);

    struct usage total = build_instances(&build);
    build_series(&build);
    build_histograms(&build);
    build_classes(&build);
    summarize_requests(&build, &results->summary);
    summarize_times(&build, &results->summary);
    build_usage(&build, &total);
    order_rows(rows, row_count, config->one_in);
    results->rows = rows;
    results->row_count = row_count;
    results->row_one_in = (int64_t)config->one_in;
    results->checksum = metrics->counts.checksum;
}

void results_clear(struct results *results)
{
    mem_free(results->instances);
    for (size_t i = 0; i < results->pool_count; i++)
        mem_free(results->series[i]);
    mem_free(results->series);
    mem_free(results->pools);
    results_clear_links(results);
    mem_free(results->classes);
    for (int i = 0; i < METRIC_COUNT; i++)
        mem_free(results->histograms[i]);
    mem_free(results->iterations);
    mem_free(results->rows);
    memset(results, 0, sizeof *results);
}
