#include "tandem/metrics.h"

#include <string.h>

#include "tandem/check.h"
#include "tandem/mem.h"
#include "tandem/simtime.h"

#include "series.h"

const char *const metric_names[] = {"ttft", "ttft_prefill", "tpot", "itl", "e2e", "queue", "transfer"};

const enum metric class_metrics[] = {METRIC_TTFT, METRIC_TPOT, METRIC_E2E, METRIC_QUEUE};

void metrics_init(struct metrics *metrics, const struct metrics_config *config)
{
    CHECK(config->series_interval_ns >= 0, "interval %lld", (long long)config->series_interval_ns);
    memset(metrics, 0, sizeof *metrics);
    metrics->config = *config;
    for (int i = 0; i < METRIC_COUNT; i++)
        histogram_init(&metrics->histograms[i]);
    if (config->classes > 1)
        metrics->classes = mem_array((size_t)config->classes, sizeof *metrics->classes);
    for (int64_t class = 0; metrics->classes && class < config->classes; class ++)
        for (size_t i = 0; i < CLASS_METRICS; i++)
            histogram_init(&metrics->classes[class].histograms[i]);
    metrics->series = mem_array((size_t)config->pools, sizeof *metrics->series);
    for (int64_t pool = 0; pool < config->pools; pool++)
        series_init(&metrics->series[pool], config->series_interval_ns);
}

void metrics_clear(struct metrics *metrics)
{
    for (int i = 0; i < METRIC_COUNT; i++)
        histogram_clear(&metrics->histograms[i]);
    for (int64_t pool = 0; pool < metrics->config.pools; pool++)
        series_clear(&metrics->series[pool]);
    for (int64_t class = 0; metrics->classes && class < metrics->config.classes; class ++)
        for (size_t i = 0; i < CLASS_METRICS; i++)
            histogram_clear(&metrics->classes[class].histograms[i]);
    mem_free(metrics->classes);
    mem_free(metrics->series);
    mem_free(metrics->rows);
    memset(metrics, 0, sizeof *metrics);
}

/* Thirds are of the window's time, so that a warm-up does not empty the first; of arrival order where the
 * window's end is not known yet, or where it is one instant. */
static int third_of(const struct metrics_config *config, const struct row *row)
{
    uint64_t offset = row->id, length = config->requests;
    if (config->window_end_ns != SIMTIME_NEVER && config->window_end_ns > config->window_start_ns) {
        offset = (uint64_t)(row->arrival_ns - config->window_start_ns);
        length = (uint64_t)(config->window_end_ns - config->window_start_ns);
    }
    if (offset < length / 3)
        return 0;
    return offset < length - length / 3 ? 1 : 2;
}

static void count_stages(struct metrics *metrics, const struct row *row)
{
    const int64_t stages[STAGE_COUNT] = {
        [STAGE_ROUTER] = row->router_ns,
        [STAGE_CONTROL] = row->control_ns,
        [STAGE_ROUTER_QUEUE] = row->router_queue_ns,
        [STAGE_PREFILL_QUEUE] = row->prefill_queue_ns,
        [STAGE_PREFILL] = row->prefill_ns,
        [STAGE_DECODE_QUEUE] = row->decode_queue_ns,
        [STAGE_TRANSFER] = row->transfer_ns,
        [STAGE_ADMISSION] = row->admission_ns,
        [STAGE_DECODE] = row->decode_ns,
        [STAGE_STALLED] = row->stalled_ns,
    };
    int64_t sum = 0;
    for (int i = 0; i < STAGE_COUNT; i++) {
        CHECK(stages[i] >= 0, "request %llu: stage %d took %lld ns", (unsigned long long)row->id, i,
              (long long)stages[i]);
        metrics->counts.window_stage_ns[i] += (uint64_t)stages[i];
        sum += stages[i];
    }
    CHECK(sum == row->e2e_ns, "request %llu: its stages add up to %lld ns, not to %lld",
          (unsigned long long)row->id, (long long)sum, (long long)row->e2e_ns);
}

const struct slo *metrics_slo(const struct metrics *metrics, int64_t class)
{
    const struct metrics_config *config = &metrics->config;
    return config->class_slos ? &config->class_slos[class] : &config->slo;
}

static int64_t class_of(const struct metrics *metrics, const struct row *row)
{
    int64_t last = metrics->classes ? metrics->config.classes - 1 : 0;
    return row->priority < last ? row->priority : last;
}

/* The request's class, where there are several. */
static void count_class(struct metrics_class *class, const struct row *row, int64_t tpot_ns, int64_t queue_ns,
                        const bool met[3])
{
    const int64_t values[CLASS_METRICS] = {row->ttft_ns, tpot_ns, row->e2e_ns, queue_ns};
    class->counts.window_completed++;
    class->counts.window_slo_met += met[0];
    class->counts.window_slo_ttft_met += met[1];
    class->counts.window_slo_tpot_met += met[2];
    for (size_t i = 0; i < CLASS_METRICS; i++)
        if (class_metrics[i] != METRIC_TPOT || row->output_tokens > 1)
            histogram_add(&class->histograms[i], values[i], 1);
}

static void count_slo(struct metrics *metrics, const struct row *row, int64_t tpot_ns, int64_t queue_ns)
{
    const int64_t class = class_of(metrics, row);
    const struct slo *slo = metrics_slo(metrics, class);
    bool ttft = slo->ttft_ns == 0 || row->ttft_ns <= slo->ttft_ns;
    bool tpot = slo->tpot_ns == 0 || tpot_ns <= slo->tpot_ns; /* 0 for one token: met */
    bool itl = slo->itl_ns == 0 || row->max_itl_ns <= slo->itl_ns;
    metrics->counts.window_slo_ttft_met += ttft;
    metrics->counts.window_slo_tpot_met += tpot;
    metrics->counts.window_slo_met += ttft && tpot && itl;
    if (metrics->classes)
        count_class(&metrics->classes[class], row, tpot_ns, queue_ns,
                    (const bool[]){ttft && tpot && itl, ttft, tpot});
}

/* A completed request that arrived inside the window. */
static void count_window(struct metrics *metrics, const struct row *row)
{
    struct metrics_counts *counts = &metrics->counts;
    struct histogram *histograms = metrics->histograms;
    int64_t queue_ns =
        row->router_queue_ns + row->prefill_queue_ns + row->decode_queue_ns + row->admission_ns;
    int64_t tpot_ns = row_tpot_ns(row);

    counts->window_completed++;
    count_stages(metrics, row);
    counts->window_interference_ns += (uint64_t)row->interference_ns;
    counts->window_blocked_ns += (uint64_t)row->blocked_ns;
    counts->window_congestion_ns += (uint64_t)row->congestion_ns;
    count_slo(metrics, row, tpot_ns, queue_ns);
    int third = third_of(&metrics->config, row);
    counts->third_count[third]++;
    counts->third_wait_ns[third] += (uint64_t)(queue_ns + row->stalled_ns);

    histogram_add(&histograms[METRIC_TTFT], row->ttft_ns, 1);
    histogram_add(&histograms[METRIC_TTFT_PREFILL], row->ttft_prefill_ns, 1);
    if (row->output_tokens > 1)
        histogram_add(&histograms[METRIC_TPOT], tpot_ns, 1);
    histogram_add(&histograms[METRIC_E2E], row->e2e_ns, 1);
    histogram_add(&histograms[METRIC_QUEUE], queue_ns, 1);
    if (row->decode_instance >= 0)
        histogram_add(&histograms[METRIC_TRANSFER], row->transfer_ns, 1);
}

static void count_completed(struct metrics *metrics, const struct row *row)
{
    struct metrics_counts *counts = &metrics->counts;
    CHECK(row->e2e_ns >= row->ttft_ns, "request %llu ended before its first token",
          (unsigned long long)row->id);
    counts->completed++;
    counts->prompt_tokens += row->prompt_tokens;
    counts->output_tokens += row->output_tokens;
    counts->moved_requests += row->decode_instance >= 0;
    counts->kv_transfer_bytes += row->kv_transfer_bytes;
    counts->preemptions += row->preemptions;
    counts->swaps += row->swaps;
    counts->swapped_bytes += row->swapped_bytes;
    counts->cached_prompt_tokens += row->cached_prompt_tokens;
    counts->host_prompt_tokens += row->host_prompt_tokens;
    counts->ssd_prompt_tokens += row->ssd_prompt_tokens;
    counts->e2e_ns += (uint64_t)row->e2e_ns;
    if (metrics_in_window(metrics, row->arrival_ns + row->e2e_ns)) {
        counts->window_completions++;
        counts->window_input_tokens += row->prompt_tokens;
    }
}

void metrics_row(struct metrics *metrics, const struct row *row)
{
    struct metrics_counts *counts = &metrics->counts;
    bool window = metrics_in_window(metrics, row->arrival_ns);
    int64_t end_ns = row->arrival_ns + row->e2e_ns;

    counts->checksum += row_hash(row);
    counts->window_arrivals += window;
    counts->sessions += row->turn == 1;
    counts->turns += row->turn > 0;
    if (metrics->classes)
        metrics->classes[class_of(metrics, row)].counts.window_arrivals += window;
    if (row->status == ROW_COMPLETED) {
        count_completed(metrics, row);
        if (window)
            count_window(metrics, row);
    } else {
        counts->refused++;
        counts->refused_by_reason[row->reason]++;
        counts->window_refused += window;
    }
    if (end_ns > metrics->end_ns)
        metrics->end_ns = end_ns;
    if (metrics->config.one_in > 0 && row->id % metrics->config.one_in == 0) {
        if (metrics->row_count == metrics->row_capacity)
            metrics->rows = mem_grow(metrics->rows, &metrics->row_capacity, metrics->row_count + 1,
                                     sizeof *metrics->rows);
        metrics->rows[metrics->row_count++] = *row;
    }
}

/* A span that crosses bins, or lies in another bin than the last one did. */
static void series_span(struct metrics *metrics, struct series *series, int64_t from_ns, int64_t to_ns,
                        const struct gauge *gauge)
{
    if (!series_reaches(series, to_ns - 1))
        series_make_room(metrics, to_ns - 1);
    while (from_ns < to_ns) {
        struct series_bin *bin = series_bin_at(series, from_ns);
        int64_t left = series->interval_ns - (from_ns - series->last_start_ns);
        int64_t duration = to_ns - from_ns < left ? to_ns - from_ns : left;
        series_bin_span(bin, gauge, (uint64_t)duration);
        from_ns += duration;
    }
}

void usage_add(struct usage *into, const struct usage *from)
{
    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        into->busy_ns[phase] += from->busy_ns[phase];
        into->blocked_ns[phase] += from->blocked_ns[phase];
        into->lengthened_ns[phase] += from->lengthened_ns[phase];
        into->lengthened_blocked_ns[phase] += from->lengthened_blocked_ns[phase];
        into->iterations[phase] += from->iterations[phase];
        effort_add(&into->window[phase], &from->window[phase]);
    }
    into->moving_idle_ns += from->moving_idle_ns;
    into->kv_block_ns += from->kv_block_ns;
    into->kv_token_ns += from->kv_token_ns;
    into->kv_stranded_ns += from->kv_stranded_ns;
    into->waiting_ns += from->waiting_ns;
    into->running_ns += from->running_ns;
    into->moving_ns += from->moving_ns;
    into->prefill_tokens += from->prefill_tokens;
    into->recomputed_tokens += from->recomputed_tokens;
    into->padding_tokens += from->padding_tokens;
    into->output_tokens += from->output_tokens;
    into->window_output_tokens += from->window_output_tokens;
    into->preemptions += from->preemptions;
    into->swaps += from->swaps;
    into->swapped_out_bytes += from->swapped_out_bytes;
    into->swapped_in_bytes += from->swapped_in_bytes;
    if (from->kv_peak_blocks > into->kv_peak_blocks)
        into->kv_peak_blocks = from->kv_peak_blocks;
    if (from->kv_peak_tokens > into->kv_peak_tokens)
        into->kv_peak_tokens = from->kv_peak_tokens;
    into->kv_allocated_blocks += from->kv_allocated_blocks;
    into->kv_freed_blocks += from->kv_freed_blocks;
    into->kv_allocations += from->kv_allocations;
    into->kv_copies += from->kv_copies;
    into->kv_compactions += from->kv_compactions;
    into->kv_copied_blocks += from->kv_copied_blocks;
    into->kv_cost_ns += from->kv_cost_ns;
    into->role_switches += from->role_switches;
    into->drain_ns += from->drain_ns;
    into->switched_ns += from->switched_ns;
    into->cached_tokens += from->cached_tokens;
    into->cached_host_tokens += from->cached_host_tokens;
    into->cached_ssd_tokens += from->cached_ssd_tokens;
    into->evicted_blocks += from->evicted_blocks;
    into->sent_bytes += from->sent_bytes;
    into->received_bytes += from->received_bytes;
}

void metrics_span(struct metrics *metrics, int64_t pool, struct usage *usage, int64_t from_ns, int64_t to_ns,
                  const struct gauge *gauge)
{
    if (from_ns >= to_ns || !gauge_any(gauge))
        return;
    uint64_t duration = (uint64_t)(to_ns - from_ns);
    int64_t start = from_ns > metrics->config.window_start_ns ? from_ns : metrics->config.window_start_ns;
    int64_t end = to_ns < metrics->config.window_end_ns ? to_ns : metrics->config.window_end_ns;
    if (start < end) {
        usage->busy_ns[gauge->phase] += (uint64_t)(end - start);
        if (gauge->blocked)
            usage->blocked_ns[gauge->phase] += (uint64_t)(end - start);
        else if (gauge->phase == PHASE_IDLE && gauge->moving > 0)
            usage->moving_idle_ns += (uint64_t)(end - start);
        usage->kv_block_ns += (wide_t)(uint64_t)gauge->kv_blocks * (uint64_t)(end - start);
        usage->kv_token_ns += (wide_t)(uint64_t)gauge->kv_tokens * (uint64_t)(end - start);
        usage->kv_stranded_ns += (wide_t)(uint64_t)gauge->kv_stranded_blocks * (uint64_t)(end - start);
    }
    usage->waiting_ns += (wide_t)(uint64_t)gauge->waiting * duration;
    usage->running_ns += (wide_t)(uint64_t)gauge->running * duration;
    usage->moving_ns += (wide_t)(uint64_t)gauge->moving * duration;

    struct series *series = &metrics->series[pool];
    if (series->interval_ns == 0)
        return;
    uint64_t offset = (uint64_t)from_ns - (uint64_t)series->last_start_ns;
    uint64_t interval = (uint64_t)series->interval_ns;
    if (offset < interval && duration <= interval - offset)
        series_bin_span(&series->bins[series->last], gauge, duration);
    else
        series_span(metrics, series, from_ns, to_ns, gauge);
}

void metrics_lengthened(const struct metrics *metrics, struct usage *usage, int64_t end_ns, enum phase phase,
                        int64_t lengthened_ns, bool blocked)
{
    const struct metrics_config *config = &metrics->config;
    int64_t from = end_ns - lengthened_ns;
    from = from > config->window_start_ns ? from : config->window_start_ns;
    int64_t to = end_ns < config->window_end_ns ? end_ns : config->window_end_ns;
    if (from >= to)
        return;
    usage->lengthened_ns[phase] += (uint64_t)(to - from);
    if (blocked)
        usage->lengthened_blocked_ns[phase] += (uint64_t)(to - from);
}

/* The bin for something that happened at an instant; NULL without series. */
static struct series_bin *instant(struct metrics *metrics, int64_t pool, int64_t at_ns)
{
    struct series *series = &metrics->series[pool];
    if (series->interval_ns == 0)
        return NULL;
    if ((uint64_t)at_ns - (uint64_t)series->last_start_ns < (uint64_t)series->interval_ns)
        return &series->bins[series->last];
    if (!series_reaches(series, at_ns))
        series_make_room(metrics, at_ns);
    return series_bin_at(series, at_ns);
}

void metrics_tokens(struct metrics *metrics, int64_t pool, struct usage *usage, int64_t at_ns,
                    uint64_t prefill_tokens, uint64_t output_tokens)
{
    usage->prefill_tokens += prefill_tokens;
    usage->output_tokens += output_tokens;
    if (metrics_in_window(metrics, at_ns))
        usage->window_output_tokens += output_tokens;
    struct series_bin *bin = instant(metrics, pool, at_ns);
    if (bin) {
        bin->prefill_tokens += prefill_tokens;
        bin->output_tokens += output_tokens;
    }
}

void metrics_effort(struct metrics *metrics, int64_t pool, struct usage *usage, int64_t at_ns,
                    enum phase phase, const struct effort *effort)
{
    usage->iterations[phase] += effort->iterations;
    usage->recomputed_tokens += effort->recomputed_tokens;
    usage->padding_tokens += effort->padding_tokens;
    if (metrics_in_window(metrics, at_ns))
        effort_add(&usage->window[phase], effort);
    struct series_bin *bin = instant(metrics, pool, at_ns);
    if (bin)
        effort_add(&bin->effort[phase], effort);
}

void metrics_sent(struct metrics *metrics, int64_t pool, struct usage *usage, int64_t at_ns, uint64_t bytes)
{
    usage->sent_bytes += bytes;
    struct series_bin *bin = instant(metrics, pool, at_ns);
    if (bin)
        bin->sent_bytes += bytes;
}

void metrics_add_bin(struct metrics *metrics, int64_t pool, int64_t at_ns, const struct series_bin *sums)
{
    bool any =
        (sums->waiting_ns | sums->running_ns | sums->moving_ns | sums->kv_block_ns | sums->kv_token_ns |
         sums->kv_stranded_ns | sums->prefill_tokens | sums->output_tokens | sums->sent_bytes) != 0;
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        any = any || sums->busy_ns[phase] != 0;
    struct series_bin *bin = any ? instant(metrics, pool, at_ns) : NULL;
    if (bin)
        series_bin_merge(bin, sums);
}

void metrics_gaps(struct metrics *metrics, int64_t gap_ns, uint64_t n)
{
    histogram_add(&metrics->histograms[METRIC_ITL], gap_ns, n);
}
