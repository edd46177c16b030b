#include "tandem/meter.h"

#include "series.h"
#include "tandem/simtime.h"

/* More requests than a run can have. */
#define MOST_REQUESTS (INT64_C(1) << 30)

void meter_init(struct meter *meter, struct metrics *metrics, int64_t pool, int64_t most_tokens)
{
    int64_t most = most_tokens > MOST_REQUESTS ? most_tokens : MOST_REQUESTS;
    *meter = (struct meter){
        .metrics = metrics, .pool = pool, .lower_ns = SIMTIME_NEVER, .longest_ns = INT64_MAX / most};
}

/* Sums may hold times from at_ns to the next bound. The two sides of the window's end overlap in an instant,
 * which is left to the exact way. */
static void open_at(struct meter *meter, int64_t at_ns)
{
    const struct metrics_config *config = &meter->metrics->config;
    int64_t limit_ns = at_ns < SIMTIME_NEVER - meter->longest_ns ? at_ns + meter->longest_ns : at_ns;
    if (at_ns < config->window_start_ns)
        limit_ns = limit_ns < config->window_start_ns ? limit_ns : config->window_start_ns - 1;
    else if (at_ns <= config->window_end_ns)
        limit_ns = limit_ns < config->window_end_ns ? limit_ns : config->window_end_ns;
    const struct series *series = &meter->metrics->series[meter->pool];
    if (series->interval_ns > 0) {
        int64_t last_ns = at_ns - at_ns % series->interval_ns + series->interval_ns - 1;
        limit_ns = last_ns < limit_ns ? last_ns : limit_ns;
    }
    meter->lower_ns = at_ns;
    meter->limit_ns = limit_ns;
}

static struct series_bin bin_of(const struct meter_sums *sums)
{
    struct series_bin bin = {.waiting_ns = sums->waiting_ns,
                             .running_ns = sums->running_ns,
                             .moving_ns = sums->moving_ns,
                             .kv_block_ns = sums->kv_block_ns,
                             .kv_token_ns = sums->kv_token_ns,
                             .kv_stranded_ns = sums->kv_stranded_ns,
                             .prefill_tokens = sums->prefill_tokens,
                             .output_tokens = sums->output_tokens,
                             .sent_bytes = sums->sent_bytes};
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        bin.busy_ns[phase] = sums->busy_ns[phase];
    return bin;
}

/* All of it ended in one bin and on one side of the window's edges: any time of that is as good. */
static void flush_effort(struct meter *meter)
{
    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        struct effort *effort = &meter->effort[phase];
        if (effort->iterations == 0)
            continue;
        metrics_effort(meter->metrics, meter->pool, &meter->usage, meter->lower_ns, (enum phase)phase,
                       effort);
        *effort = (struct effort){0};
    }
}

void meter_flush(struct meter *meter)
{
    struct meter_sums *sums = &meter->sums;
    struct usage *usage = &meter->usage;
    if (meter->lower_ns == SIMTIME_NEVER)
        return;
    bool inside = metrics_in_window(meter->metrics, meter->lower_ns);
    if (inside) {
        for (int phase = 0; phase < PHASE_COUNT; phase++) {
            usage->busy_ns[phase] += sums->busy_ns[phase];
            usage->blocked_ns[phase] += sums->blocked_ns[phase];
        }
        usage->moving_idle_ns += sums->moving_idle_ns;
        usage->kv_block_ns += sums->kv_block_ns;
        usage->kv_token_ns += sums->kv_token_ns;
        usage->kv_stranded_ns += sums->kv_stranded_ns;
        usage->window_output_tokens += sums->output_tokens;
    }
    usage->waiting_ns += sums->waiting_ns;
    usage->running_ns += sums->running_ns;
    usage->moving_ns += sums->moving_ns;
    usage->prefill_tokens += sums->prefill_tokens;
    usage->output_tokens += sums->output_tokens;
    usage->sent_bytes += sums->sent_bytes;
    struct series_bin bin = bin_of(sums);
    metrics_add_bin(meter->metrics, meter->pool, meter->lower_ns, &bin);
    flush_effort(meter);
    *sums = (struct meter_sums){0};
}

void meter_span_edge(struct meter *meter, int64_t from_ns, int64_t to_ns, const struct gauge *gauge)
{
    meter_flush(meter);
    metrics_span(meter->metrics, meter->pool, &meter->usage, from_ns, to_ns, gauge);
    open_at(meter, to_ns);
}

void meter_iteration_edge(struct meter *meter, int64_t at_ns, enum phase phase, uint64_t prefill_tokens,
                          uint64_t output_tokens, const struct effort *effort)
{
    meter_flush(meter);
    metrics_tokens(meter->metrics, meter->pool, &meter->usage, at_ns, prefill_tokens, output_tokens);
    metrics_effort(meter->metrics, meter->pool, &meter->usage, at_ns, phase, effort);
    open_at(meter, at_ns);
}

void meter_sent_edge(struct meter *meter, int64_t at_ns, uint64_t bytes)
{
    meter_flush(meter);
    metrics_sent(meter->metrics, meter->pool, &meter->usage, at_ns, bytes);
    open_at(meter, at_ns);
}
