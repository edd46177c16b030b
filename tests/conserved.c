/* What has to hold in every outcome: what rows, instances, bins and links say of the same things. */
#include "experiment.h"

#include <CUnit/CUnit.h>
#include <CUnit/TestRun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sums over the rows, to be met by the instances' own sums. */
struct row_sums {
    uint64_t prompt_tokens, cached_tokens, output_tokens, preemptions, swaps, swapped_bytes, completed, moved,
        bytes;
    int64_t waiting_ns, running_ns, moving_ns, interference_ns;
    int64_t moving_slack_ns; /* that moving_ns could be more: rows do not say where a request stalled */
};

/* Control messages of a request that moved, in L: 5; 4 where both instances were chosen at once, 3 where its
 * layers were sent as they came. One more than that each time that it went back to prefill; 2 if it ended
 * there, 4 if it was told to stay (router.mixed). */
static int64_t control_messages(const struct outcome *outcome, int64_t latency_ns)
{
    int64_t least = 5;
    for (size_t i = 0; i < outcome->row_count; i++)
        if (outcome->rows[i].decode_instance >= 0 && outcome->rows[i].control_ns < least * latency_ns)
            least = outcome->rows[i].control_ns / latency_ns;
    return least;
}

/* Blocks are reserved while the grant (L) and the end of the flow (L) are told; where they were reserved
 * before, while the prompt waits and is computed, too, and L more. */
static void add_moving(struct row_sums *sums, const struct row *row, int64_t latency_ns, int64_t first)
{
    bool before = first < 5;
    int64_t rest = row->control_ns / latency_ns - first;
    int64_t returns = rest / (first + 1), ended_there = rest % (first + 1);
    CU_ASSERT(first >= 3 && row->control_ns % latency_ns == 0 && rest >= 0 &&
              (ended_there == 0 || ended_there == 2 || ended_there == 4));
    CU_ASSERT(returns + (ended_there > 0) <= row->preemptions);
    sums->moving_ns +=
        row->transfer_ns + row->admission_ns + (before ? first - 1 : 2) * (1 + returns) * latency_ns;
    if (before && ended_there == 0)
        sums->moving_ns += row->prefill_queue_ns + row->prefill_ns;
    if (before)
        sums->moving_slack_ns += row->stalled_ns;
    if (before && ended_there > 0)
        sums->moving_slack_ns += row->prefill_queue_ns + row->prefill_ns;
}

static struct row_sums sum_rows(const struct outcome *outcome, int64_t latency_ns)
{
    struct row_sums sums = {0};
    int64_t first = control_messages(outcome, latency_ns);
    for (size_t i = 0; i < outcome->row_count; i++) {
        const struct row *row = &outcome->rows[i];
        CU_ASSERT_EQUAL(row->id, i);
        if (row->status != ROW_COMPLETED) {
            CU_ASSERT(row->e2e_ns == 0 && row->ttft_ns == 0 && row_stages_ns(row) == 0 && row->reason != 0);
            CU_ASSERT(row->interference_ns == 0 && row->blocked_ns == 0);
            continue;
        }
        bool moved = row->decode_instance >= 0;
        sums.completed++;
        sums.prompt_tokens += row->prompt_tokens;
        sums.cached_tokens += row->cached_prompt_tokens;
        sums.output_tokens += row->output_tokens;
        sums.preemptions += row->preemptions;
        sums.swaps += row->swaps;
        sums.swapped_bytes += row->swapped_bytes;
        sums.bytes += row->kv_transfer_bytes;
        sums.moved += moved;
        sums.waiting_ns += row->prefill_queue_ns + row->decode_queue_ns + row->stalled_ns;
        sums.running_ns += row->prefill_ns + row->decode_ns;
        sums.interference_ns += row->interference_ns;
        if (moved) {
            add_moving(&sums, row, latency_ns, first);
        } else {
            bool stayed = row->control_ns == 3 * latency_ns; /* it asked the router first */
            CU_ASSERT((stayed || row->control_ns == latency_ns) && row->transfer_ns == 0);
            CU_ASSERT(stayed || row->admission_ns == 0);
            sums.moving_ns += row->admission_ns;
        }
        CU_ASSERT_EQUAL(row->e2e_ns, row_stages_ns(row));
        CU_ASSERT(row->router_ns >= 0 && row->router_queue_ns >= 0 && row->prefill_queue_ns >= 0 &&
                  row->prefill_ns > 0 && row->decode_queue_ns >= 0 && row->transfer_ns >= 0 &&
                  row->admission_ns >= 0 && row->decode_ns >= 0 && row->stalled_ns >= 0);
        CU_ASSERT(row->ttft_prefill_ns > 0 && row->ttft_ns >= row->ttft_prefill_ns &&
                  row->e2e_ns >= row->ttft_ns);
        CU_ASSERT((row->output_tokens == 1) == (row->max_itl_ns == 0));
        CU_ASSERT(row->max_itl_ns >= row_tpot_ns(row) - 1 && row->max_itl_ns <= row->e2e_ns - row->ttft_ns);
        CU_ASSERT((row->preemptions > 0) >= (row->stalled_ns > 0));
        CU_ASSERT(row->interference_ns >= 0 && row->interference_ns <= row->decode_ns);
        CU_ASSERT(row->blocked_ns >= 0 &&
                  row->blocked_ns <= row->prefill_queue_ns + row->decode_queue_ns + row->stalled_ns);
        CU_ASSERT(row->congestion_ns >= 0 && (row->congestion_ns <= row->transfer_ns || first < 5));
        CU_ASSERT(row->swaps <= row->preemptions && (row->swaps > 0) == (row->swapped_bytes > 0));
    }
    return sums;
}

/* ITL is of the requests that TTFT is of: each gap of each of them, and they add up to its decoding. */
static void check_gaps(const struct outcome *outcome)
{
    uint64_t gaps = 0, counted = 0;
    double sum_ns = 0;
    for (size_t i = 0; i < outcome->row_count; i++) {
        const struct row *row = &outcome->rows[i];
        if (row->status != ROW_COMPLETED || row->arrival_ns < outcome->summary.window_start_ns ||
            row->arrival_ns > outcome->summary.window_end_ns)
            continue;
        gaps += row->output_tokens - 1;
        sum_ns += (double)(row->e2e_ns - row->ttft_ns);
    }
    for (size_t i = 0; i < outcome->histogram_counts[METRIC_ITL]; i++)
        counted += outcome->histograms[METRIC_ITL][i].count;
    CU_ASSERT_EQUAL(counted, gaps);
    CU_ASSERT_DOUBLE_EQUAL(outcome->summary.itl.mean * (double)gaps, sum_ns, 1e-9 * sum_ns);
}

/* Tokens are in blocks and blocks in the cache at all times, and each token is in one bin. */
static void check_series(const struct outcome *outcome)
{
    uint64_t output_tokens = 0, prefill_tokens = 0, computed_tokens = 0;
    for (size_t pool = 0; pool < outcome->pool_count; pool++)
        for (size_t i = 0; i < outcome->series_count; i++) {
            const struct series_bin_row *bin = &outcome->series[pool][i];
            CU_ASSERT(bin->kv_cached >= 0 && bin->kv_cached <= bin->kv_used + 1e-12);
            CU_ASSERT(bin->kv_stranded >= 0 && bin->kv_used + bin->kv_stranded <= 1 + 1e-12);
            CU_ASSERT(bin->busy_prefill + bin->busy_decode + bin->busy_mixed <= 1 + 1e-12);
            output_tokens += bin->output_tokens;
            prefill_tokens += bin->prefill_tokens;
        }
    for (size_t i = 0; i < outcome->instance_count; i++)
        computed_tokens += outcome->instances[i].prefill_tokens;
    if (outcome->series_interval_ns > 0) {
        CU_ASSERT_EQUAL(output_tokens, outcome->summary.output_tokens);
        CU_ASSERT_EQUAL(prefill_tokens, computed_tokens);
    }
}

/* Peaks are of instances, a block's tokens are the pool's. */
static void check_peaks(const struct outcome *outcome)
{
    const struct instance_row *instance = outcome->instances;
    for (size_t pool = 0; pool < outcome->pool_count; pool++)
        for (uint32_t i = 0; i < outcome->pools[pool].instances; i++, instance++)
            CU_ASSERT(instance->kv_peak_tokens <=
                      instance->kv_peak_blocks * outcome->pools[pool].kv_block_tokens);
    CU_ASSERT_EQUAL(instance - outcome->instances, (ptrdiff_t)outcome->instance_count);
}

/* What the GPUs' time is for adds up: prefills, what they add to decodes, decodes; and nobody decodes less
 * than an instance is held up. Nanoseconds are lost where members are averaged. */
static void check_uses(const struct outcome *outcome, uint64_t interference_ns)
{
    const uint64_t lost_ns = 3;
    uint64_t window_ns = (uint64_t)(outcome->summary.window_end_ns - outcome->summary.window_start_ns);
    for (size_t i = 0; i < outcome->instance_count; i++) {
        const struct instance_row *instance = &outcome->instances[i];
        uint64_t filling_ns = instance->busy_prefill_ns + instance->busy_mixed_ns;
        uint64_t busy_ns = filling_ns + instance->busy_decode_ns;
        CU_ASSERT(instance->interference_ns <= filling_ns + lost_ns);
        CU_ASSERT(instance->interference_ns + instance->decoding_ns <= busy_ns + lost_ns);
        CU_ASSERT(instance->decoding_ns + lost_ns >= instance->busy_decode_ns);
        CU_ASSERT(instance->blocked_decoding_ns <= instance->decoding_ns);
        CU_ASSERT(instance->blocked_decoding_ns + instance->blocked_idle_ns <=
                  instance->blocked_ns + lost_ns);
        CU_ASSERT(busy_ns + instance->blocked_idle_ns + instance->moving_idle_ns <= window_ns + lost_ns);
        CU_ASSERT(instance->interference_ns <= interference_ns);
        interference_ns -= instance->interference_ns;
    }
}

void outcome_check_conserved(const struct outcome *outcome, int64_t control_latency_ns)
{
    struct row_sums rows = sum_rows(outcome, control_latency_ns);
    struct instance_row sums = {0};
    check_gaps(outcome);
    check_series(outcome);
    check_peaks(outcome);
    check_uses(outcome, (uint64_t)rows.interference_ns);
    for (size_t i = 0; i < outcome->instance_count; i++) {
        const struct instance_row *instance = &outcome->instances[i];
        CU_ASSERT_EQUAL(instance->kv_allocated_blocks, instance->kv_freed_blocks);
        CU_ASSERT(instance->kv_peak_blocks <= instance->kv_capacity_blocks);
        CU_ASSERT(instance->kv_mean_utilization >= 0 && instance->kv_mean_utilization <= 1);
        CU_ASSERT(instance->kv_mean_cached >= 0 && instance->kv_mean_cached <= instance->kv_mean_utilization);
        CU_ASSERT(instance->kv_internal_fragmentation >= 0 && instance->kv_internal_fragmentation <= 1);
        CU_ASSERT(instance->kv_external_fragmentation >= 0 &&
                  instance->kv_external_fragmentation <= 1 - instance->kv_mean_utilization + 1e-12);
        CU_ASSERT(instance->mfu >= 0 && instance->mfu <= instance->hfu);
        sums.prefill_tokens += instance->prefill_tokens;
        sums.recomputed_tokens += instance->recomputed_tokens;
        sums.output_tokens += instance->output_tokens;
        sums.preemptions += instance->preemptions;
        sums.swaps += instance->swaps;
        sums.swapped_out_bytes += instance->swapped_out_bytes;
        CU_ASSERT_EQUAL(instance->swapped_in_bytes, instance->swapped_out_bytes);
        sums.waiting_request_ns += instance->waiting_request_ns;
        sums.running_request_ns += instance->running_request_ns;
        sums.moving_request_ns += instance->moving_request_ns;
        sums.sent_bytes += instance->sent_bytes;
        sums.received_bytes += instance->received_bytes;
    }
    const struct summary *summary = &outcome->summary;
    CU_ASSERT_EQUAL(summary->completed, rows.completed);
    CU_ASSERT_EQUAL(summary->completed + summary->refused, outcome->row_count);
    CU_ASSERT_EQUAL(summary->refused, summary->refused_model_length + summary->refused_kv_capacity +
                                          summary->refused_queue_full + summary->refused_deadline +
                                          summary->refused_session);
    CU_ASSERT_EQUAL(summary->output_tokens, rows.output_tokens);
    CU_ASSERT_EQUAL(summary->prompt_tokens, rows.prompt_tokens);
    CU_ASSERT_EQUAL(sums.output_tokens, rows.output_tokens);
    CU_ASSERT_EQUAL(sums.preemptions, rows.preemptions);
    CU_ASSERT_EQUAL(sums.swaps, rows.swaps);
    CU_ASSERT_EQUAL(summary->swaps, rows.swaps);
    CU_ASSERT_EQUAL(2 * sums.swapped_out_bytes, rows.swapped_bytes);
    CU_ASSERT_EQUAL(summary->swapped_bytes, rows.swapped_bytes);
    /* A recompute also runs the last sampled token, which was in no cache before: one more for each preempted
     * decode, none for a preempted partial prefill. */
    uint64_t needed = rows.prompt_tokens - rows.cached_tokens + sums.recomputed_tokens;
    CU_ASSERT_EQUAL(summary->cached_prompt_tokens, rows.cached_tokens);
    CU_ASSERT(sums.prefill_tokens >= needed && sums.prefill_tokens <= needed + sums.preemptions - sums.swaps);
    CU_ASSERT_EQUAL(summary->moved_requests, rows.moved);
    CU_ASSERT_EQUAL(sums.sent_bytes, rows.bytes);
    CU_ASSERT_EQUAL(sums.received_bytes, rows.bytes);
    /* Little's law, L = lambda W over the whole run, holds for each realization: the same request-ns seen
     * from the instances and from the requests. */
    CU_ASSERT_EQUAL(sums.waiting_request_ns, (uint64_t)rows.waiting_ns);
    CU_ASSERT_EQUAL(sums.running_request_ns, (uint64_t)rows.running_ns);
    CU_ASSERT(sums.moving_request_ns >= (uint64_t)rows.moving_ns &&
              sums.moving_request_ns <= (uint64_t)(rows.moving_ns + rows.moving_slack_ns));
}
