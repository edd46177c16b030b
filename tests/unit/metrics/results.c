/* Results of small runs that are calculated by hand, the columns, and the printed table. */
#include "test.h"

#include "tandem/mem.h"
#include "tandem/results.h"
#include "tandem/simtime.h"

#define MS INT64_C(1000000)
#define S  SIMTIME_SECOND_NS

static const struct results_pool two_pools[] = {
    {"prefill",
     "prefill",
     "h100-sxm",
     2,
     4,
     1,
     4,
     16,
     1000,
     3.0,
     14e9,
     2e8,
     1e6,
     1e15,
     3e12,
     16e9,
     5e5,
     700,
     {0.25, 0.5, 0.5, 0.75, 0},
     2,
     3,
     4,
     5e5,
     "paged"},
    {"decode",
     "decode",
     "h200",
     1,
     2,
     1,
     2,
     16,
     500,
     4.5,
     14e9,
     2e8,
     1e6,
     2e15,
     4e12,
     16e9,
     1e6,
     600,
     {0.25, 0.5, 0.5, 0.75, 0},
     2,
     3,
     4,
     1e6,
     "slab"},
};

#define ENDED_PROMPTS 3000 /* of requests that end in the window */

static struct row request(uint64_t id, int64_t arrival_ns, int64_t ttft_ns, int64_t tpot_ns,
                          uint32_t output_tokens)
{
    int64_t decode_ns = tpot_ns * ((int64_t)output_tokens - 1);
    return (struct row){.id = id,
                        .arrival_ns = arrival_ns,
                        .prompt_tokens = 1000,
                        .output_tokens = output_tokens,
                        .ttft_ns = ttft_ns,
                        .ttft_prefill_ns = ttft_ns,
                        .e2e_ns = ttft_ns + decode_ns,
                        .max_itl_ns = output_tokens > 1 ? tpot_ns : 0,
                        .prefill_queue_ns = ttft_ns / 2,
                        .prefill_ns = ttft_ns - ttft_ns / 2,
                        .decode_ns = decode_ns,
                        .interference_ns = decode_ns / 4,
                        .blocked_ns = ttft_ns / 5,
                        .decode_instance = 2,
                        .kv_transfer_bytes = 1 << 20,
                        .transfer_ns = 0};
}

/* Four arrivals in [0 s, 10 s] (the first three meet the SLO, the third with one token), one refused. */
static void build_pools(struct results *results, struct metrics *metrics, const struct results_pool *pools)
{
    const struct metrics_config config = {.pools = 2,
                                          .window_end_ns = 10 * S,
                                          .requests = 5,
                                          .slo = {.ttft_ns = 200 * MS, .tpot_ns = 20 * MS},
                                          .series_interval_ns = S,
                                          .one_in = 1};
    static const uint64_t order[] = {3, 0, 4, 2, 1}; /* of completion */
    struct row rows[] = {request(0, 0, 100 * MS, 10 * MS, 101),
                         request(1, S, 200 * MS, 20 * MS, 51),
                         request(2, 2 * S, 150 * MS, 0, 1),
                         request(3, 10 * S, 100 * MS, 30 * MS, 101),
                         {.id = 4, .arrival_ns = 3 * S, .prompt_tokens = 9, .status = ROW_REFUSED}};
    rows[4].reason = ROW_REASON_MODEL_LENGTH;
    metrics_init(metrics, &config);
    for (size_t i = 0; i < 5; i++)
        metrics_row(metrics, &rows[order[i]]);

    struct usage usages[3];
    memset(usages, 0, sizeof usages);
    const struct gauge prefill = {.running = 1, .kv_blocks = 100, .kv_tokens = 1200, .phase = PHASE_PREFILL};
    const struct gauge decode = {.waiting = 2,
                                 .running = 4,
                                 .kv_blocks = 250,
                                 .kv_tokens = 1000,
                                 .kv_stranded_blocks = 50,
                                 .phase = PHASE_DECODE};
    metrics_span(metrics, 0, &usages[0], 0, 5 * S, &prefill);
    metrics_span(metrics, 0, &usages[1], 0, 1 * S, &prefill);
    metrics_span(metrics, 1, &usages[2], 0, 13 * S + 100 * MS, &decode); /* to the end of the run */
    metrics_tokens(metrics, 0, &usages[0], 5 * S, 4000, 0);
    metrics_effort(metrics, 0, &usages[0], 5 * S, PHASE_PREFILL,
                   &(struct effort){.iterations = 3,
                                    .tokens = 4000,
                                    .recomputed_tokens = 1000,
                                    .padding_tokens = 100,
                                    .padding_rows = 2,
                                    .padding_context_x2 = 200000,
                                    .prompt_tokens = 2500,
                                    .logit_rows = 10,
                                    .context_x2 = 6000000,
                                    .recomputed_context_x2 = 1000000,
                                    .kv_read_tokens = 6000});
    metrics_effort(metrics, 1, &usages[2], 10 * S, PHASE_DECODE,
                   &(struct effort){.iterations = 500,
                                    .tokens = 2000,
                                    .logit_rows = 2000,
                                    .context_x2 = 4000000,
                                    .kv_read_tokens = 2000000});
    metrics_effort(metrics, 1, &usages[2], 13 * S, PHASE_DECODE,
                   &(struct effort){.iterations = 9, .tokens = 9}); /* too late */
    metrics_tokens(metrics, 1, &usages[2], 10 * S, 0, 154);
    metrics_tokens(metrics, 1, &usages[2], 13 * S, 0, 100);
    usages[2].kv_peak_blocks = 400;
    usages[2].kv_peak_tokens = 1234;
    usages[2].kv_allocations = 9;
    usages[2].kv_copies = 3;
    usages[2].kv_compactions = 2;
    usages[2].kv_copied_blocks = 25;
    usages[2].kv_cost_ns = 4567;
    usages[2].kv_allocated_blocks = usages[2].kv_freed_blocks = 77;
    struct row *kept = metrics->rows;
    metrics->rows = NULL;
    results_build(results, metrics, pools, 2, usages, kept, metrics->row_count);
}

static void build_small(struct results *results, struct metrics *metrics)
{
    build_pools(results, metrics, two_pools);
}

#define NEAR(actual, expected) CU_ASSERT_DOUBLE_EQUAL(actual, expected, fabs((double)(expected)) * 1e-12)

static void requests_goodput_and_latency(void)
{
    struct metrics metrics;
    struct results results;
    build_small(&results, &metrics);
    const struct summary *summary = &results.summary;
    CU_ASSERT_EQUAL(summary->requests, 5);
    CU_ASSERT_EQUAL(summary->completed, 4);
    CU_ASSERT_EQUAL(summary->refused, 1);
    CU_ASSERT_EQUAL(summary->refused_model_length, 1);
    CU_ASSERT_EQUAL(summary->window_arrivals, 5);
    CU_ASSERT_EQUAL(summary->window_completed, 4);
    CU_ASSERT_EQUAL(summary->window_end_ns, 10 * S);
    CU_ASSERT_EQUAL(summary->end_ns, 13100 * MS);
    NEAR(summary->request_rate_per_s, 0.5);
    NEAR(summary->completed_per_s, 0.3); /* request 3 ends at 13.1 s */
    CU_ASSERT_EQUAL(summary->output_tokens, 101 + 51 + 1 + 101);
    NEAR(summary->slo_attainment, 0.6);
    NEAR(summary->slo_ttft_attainment, 0.8);
    NEAR(summary->slo_tpot_attainment, 0.6);
    NEAR(summary->goodput_per_s, 0.3);
    NEAR(summary->goodput_per_s_per_gpu, 0.03);
    NEAR(summary->slo_ttft_ms, 200);
    CU_ASSERT_EQUAL(summary->saturated, 0); /* 3 of 5, too few to say */

    NEAR(summary->ttft.mean, 137.5e6);
    CU_ASSERT_EQUAL(summary->ttft.max, 200 * MS);
    CU_ASSERT(summary->ttft.p50 >= 100 * MS && summary->ttft.p50 <= 100 * MS * 1025 / 1024);
    NEAR(summary->tpot.mean, 20e6);
    NEAR(summary->tokens_per_s_per_user, 50);
    CU_ASSERT_EQUAL(summary->itl.max, 0);
    NEAR(summary->mean_prefill_queue_ns, 137.5e6 / 2);
    NEAR(summary->mean_decode_ns, (1e9 + 1e9 + 3e9) / 4);
    CU_ASSERT_EQUAL(summary->mean_stalled_ns, 0);
    NEAR(summary->mean_interference_ns, (1e9 + 1e9 + 3e9) / 16);
    NEAR(summary->mean_blocked_ns, 137.5e6 / 5);
    CU_ASSERT(results.instances[0].padding_tokens == 100 && results.pools[0].padding_tokens == 100 &&
              results.pools[1].padding_tokens == 0);
    CU_ASSERT_EQUAL(results.row_count, 5);
    for (size_t i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(results.rows[i].id, i);
    CU_ASSERT_EQUAL(results.checksum, metrics.counts.checksum);
    results_clear(&results);
    metrics_clear(&metrics);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static void usage_and_costs(void)
{
    struct metrics metrics;
    struct results results;
    build_small(&results, &metrics);
    const struct summary *summary = &results.summary;
    const struct pool_row *prefill = &results.pools[0], *decode = &results.pools[1];
    CU_ASSERT_EQUAL(results.instance_count, 3);
    CU_ASSERT_STRING_EQUAL(results.instances[1].pool, "prefill");
    CU_ASSERT_EQUAL(results.instances[1].busy_prefill_ns, (uint64_t)S);
    NEAR(results.instances[0].utilization, 0.5);
    NEAR(results.instances[0].kv_mean_utilization, 0.05);
    NEAR(results.instances[0].cost_usd, 4 * 3.0 * 10 / 3600);
    CU_ASSERT_EQUAL(results.instances[2].waiting_request_ns, (uint64_t)(26200 * MS));
    CU_ASSERT_EQUAL(results.instances[2].decode_iterations, 509);

    NEAR(prefill->utilization, 0.3);
    NEAR(prefill->utilization_prefill, 0.3);
    CU_ASSERT_EQUAL(prefill->gpus, 8);
    NEAR(prefill->cost_usd_per_hour, 24);
    NEAR(prefill->usd_per_million_prefill_tokens,
         24.0 * 10 / 3600 / 2500 * 1e6); /* recomputed ones are none */
    CU_ASSERT_EQUAL(prefill->usd_per_million_output_tokens, 0);
    NEAR(decode->utilization, 1);
    NEAR(decode->utilization_decode, 1);
    NEAR(decode->kv_mean_utilization, 0.5);
    NEAR(decode->kv_peak_utilization, 0.8);
    CU_ASSERT_STRING_EQUAL(decode->kv_allocator, "slab");
    NEAR(prefill->kv_mean_cached, 0.3 * 1200 / 16000);
    NEAR(prefill->kv_internal_fragmentation, 1 - 1200.0 / 1600);
    CU_ASSERT_EQUAL(prefill->kv_external_fragmentation, 0);
    NEAR(decode->kv_mean_cached, 1000.0 / 8000);
    NEAR(decode->kv_internal_fragmentation, 0.75);
    NEAR(decode->kv_external_fragmentation, 0.1);
    NEAR(results.instances[2].kv_external_fragmentation, 0.1);
    CU_ASSERT_EQUAL(results.instances[2].kv_peak_tokens, 1234);
    CU_ASSERT(decode->kv_allocations == 9 && decode->kv_copies == 3 && decode->kv_compactions == 2);
    CU_ASSERT_EQUAL(decode->kv_copied_bytes, 25 * 16 * 1000000);
    CU_ASSERT_EQUAL(decode->kv_allocation_ns, 4567);
    NEAR(decode->mean_running, 4);
    NEAR(decode->mean_waiting, 2);
    NEAR(decode->usd_per_million_output_tokens, 9.0 * 10 / 3600 / 154 * 1e6);
    CU_ASSERT_EQUAL(decode->output_tokens, 254);

    CU_ASSERT_EQUAL(summary->gpus, 10);
    NEAR(summary->utilization, (0.3 * 8 + 1 * 2) / 10);
    NEAR(summary->output_tokens_per_s, 15.4);
    NEAR(summary->output_tokens_per_s_per_gpu, 1.54);
    NEAR(summary->cost_usd_per_hour, 33);
    NEAR(summary->cost_usd, 33.0 * 10 / 3600);
    NEAR(summary->usd_per_million_output_tokens, 33.0 * 10 / 3600 / 154 * 1e6);
    NEAR(summary->usd_per_thousand_requests, 33.0 * 10 / 3600 / 3 * 1e3);
    NEAR(summary->usd_per_million_input_tokens, 33.0 * 10 / 3600 / ENDED_PROMPTS * 1e6);
    NEAR(summary->usd_per_million_tokens, 33.0 * 10 / 3600 / (ENDED_PROMPTS + 154) * 1e6);
    NEAR(summary->usd_per_thousand_good_requests, 33.0 * 10 / 3600 / 3 * 1e3);
    NEAR(summary->gpu_hours, 100.0 / 3600);
    NEAR(summary->idle_gpu_hours, 0.7 * 80 / 3600);
    NEAR(summary->idle_cost_usd, 0.7 * 24 * 10 / 3600);
    NEAR(prefill->gpu_hours, 80.0 / 3600);
    NEAR(prefill->idle_cost_usd, summary->idle_cost_usd);
    NEAR(prefill->effective_usd_per_hour, 24 / 0.3);
    CU_ASSERT_EQUAL(decode->idle_cost_usd, 0);
    NEAR(decode->effective_usd_per_hour, 9);
    NEAR(summary->effective_usd_per_hour, 33 / ((0.3 * 24 + 9) / 33));
    CU_ASSERT_EQUAL(summary->kv_allocated_blocks, 77);
    CU_ASSERT_EQUAL(summary->moved_requests, 4);
    results_clear(&results);
    metrics_clear(&metrics);
}

/* What the two pools compute and move in the window. */
#define PREFILLED       (4000 * 14e9 + 10 * 2e8 + 3e6 * 1e6)
#define PREFILLED_BYTES (3 * 16e9 + (6000 + 4000) * 5e5)
#define DECODED         (2000 * 14e9 + 2000 * 2e8 + 2e6 * 1e6)
#define DECODED_BYTES   (500 * 16e9 + (2e6 + 2000) * 1e6)

/* Over 10 s: FLOPs of 4,000 tokens, 10 rows and 3e6 context tokens on the first of two instances of 4 GPUs;
 * without 1,000 tokens and 5e5 context tokens that were recomputed, and 100, 2 rows and 1e5 of padding. */
static void hardware_utilization(void)
{
    struct metrics metrics;
    struct results results;
    build_small(&results, &metrics);
    const double all = PREFILLED, useful = all - 1100 * 14e9 - 2 * 2e8 - 6e5 * 1e6, bytes = PREFILLED_BYTES;
    NEAR(results.instances[0].hfu, all / (1e15 * 4 * 10));
    NEAR(results.instances[0].mfu, useful / (1e15 * 4 * 10));
    NEAR(results.instances[0].mbu, bytes / (3e12 * 4 * 10));
    CU_ASSERT(results.instances[1].hfu == 0 && results.instances[1].mfu == 0 &&
              results.instances[1].mbu == 0);
    CU_ASSERT(results.pools[0].pipeline_parallel == 2 && results.pools[0].attention_data_parallel == 3 &&
              results.pools[0].expert_parallel == 4);
    NEAR(results.pools[0].hfu, all / (1e15 * 8 * 10));
    NEAR(results.pools[0].mfu, useful / (1e15 * 8 * 10));
    NEAR(results.pools[0].mbu, bytes / (3e12 * 8 * 10));
    NEAR(results.pools[1].hfu, DECODED / (2e15 * 2 * 10));
    CU_ASSERT_EQUAL(results.pools[1].mfu, results.pools[1].hfu); /* nothing was recomputed: the same double */
    NEAR(results.pools[1].mbu, DECODED_BYTES / (4e12 * 2 * 10));
    results_clear(&results);
    metrics_clear(&metrics);
}

/* Watts of one GPU of a pool above; shares of what it can compute and move. */
static double watts(double tdp, double mfu, double mbu)
{
    return tdp * (0.25 + 0.5 * sqrt(mfu) + 0.75 * mbu);
}

/* The first instance prefills for 5 of the 10 s, the second for 1 s without finishing anything, the third
 * decodes all the time. */
static void energy(void)
{
    struct metrics metrics;
    struct results results;
    build_small(&results, &metrics);
    const double busy = 4 * 5 * watts(700, PREFILLED / (1e15 * 4 * 5), PREFILLED_BYTES / (3e12 * 4 * 5));
    const double first = busy + 4 * 5 * 175, second = 4 * 10 * 175;
    const double third = 2 * 10 * watts(600, DECODED / (2e15 * 2 * 10), DECODED_BYTES / (4e12 * 2 * 10));
    NEAR(results.instances[0].energy_joules, first);
    NEAR(results.instances[0].mean_power_watts, first / 10);
    NEAR(results.instances[1].energy_joules, second);
    NEAR(results.instances[2].energy_joules, third);
    NEAR(results.pools[0].energy_joules, first + second);
    NEAR(results.pools[0].mean_power_watts, (first + second) / 10);
    NEAR(results.pools[0].joules_per_prefill_token, (first + second) / 2500);
    CU_ASSERT_EQUAL(results.pools[0].joules_per_output_token, 0);
    CU_ASSERT_EQUAL(results.pools[0].power_capped, 0);
    CU_ASSERT_EQUAL(results.pools[1].joules_per_prefill_token, 0);
    NEAR(results.pools[1].joules_per_output_token, third / 154);
    const double all = first + second + third;
    NEAR(results.summary.energy_joules, all);
    NEAR(results.summary.mean_power_watts, all / 10);
    NEAR(results.summary.joules_per_output_token, all / 154);
    NEAR(results.summary.kwh_per_million_output_tokens, all / 154 / 3.6);
    NEAR(results.summary.joules_per_token, all / (ENDED_PROMPTS + 154));
    NEAR(results.summary.kwh_per_million_tokens, all / (ENDED_PROMPTS + 154) / 3.6);
    results_clear(&results);
    metrics_clear(&metrics);
}

/* Caps of 176 W, just above idle, and of 300 W: the first cuts the prefills of 5 s, but not the 1 s that
 * computes nothing; the second nothing. */
static void energy_is_capped(void)
{
    struct metrics metrics;
    struct results results;
    struct results_pool pools[2] = {two_pools[0], two_pools[1]};
    pools[0].power.cap_watts = 176;
    pools[1].power.cap_watts = 300;
    build_pools(&results, &metrics, pools);
    NEAR(results.instances[0].energy_joules, 4 * (5 * 176 + 5 * 175));
    NEAR(results.instances[1].energy_joules, 4 * 10 * 175);
    NEAR(results.pools[0].power_capped, 5.0 / 6);
    CU_ASSERT_EQUAL(results.pools[1].power_capped, 0);
    NEAR(results.pools[1].energy_joules,
         2 * 10 * watts(600, DECODED / (2e15 * 2 * 10), DECODED_BYTES / (4e12 * 2 * 10)));
    results_clear(&results);
    metrics_clear(&metrics);
}

static void series_and_histograms(void)
{
    struct metrics metrics;
    struct results results;
    build_small(&results, &metrics);
    CU_ASSERT_EQUAL(results.series_count, 14);
    CU_ASSERT_EQUAL(results.series_interval_ns, S);
    const struct series_bin_row *prefill = results.series[0], *decode = results.series[1];
    NEAR(prefill[0].busy_prefill, 1);
    NEAR(prefill[1].busy_prefill, 0.5);
    CU_ASSERT_EQUAL(prefill[5].busy_prefill, 0);
    NEAR(prefill[0].kv_used, 0.1);
    NEAR(prefill[0].kv_cached, 2 * 1200 / 32000.0);
    CU_ASSERT_EQUAL(prefill[0].kv_stranded, 0);
    NEAR(decode[13].kv_cached, 1000 / 8000.0);
    NEAR(decode[13].kv_stranded, 0.1);
    CU_ASSERT_EQUAL(prefill[5].prefill_tokens, 4000);
    NEAR(decode[12].running, 4);
    NEAR(decode[13].running, 4); /* over the 0.1 s that the run still takes */
    NEAR(decode[13].kv_used, 0.5);
    CU_ASSERT_EQUAL(decode[13].start_ns, 13 * S);
    NEAR(prefill[0].power_watts, 8 * 175); /* busy, but nothing ended */
    NEAR(prefill[7].power_watts, 8 * 175);
    NEAR(decode[10].power_watts, 2 * 600); /* all that is known to have ended did so in this second: cut */
    NEAR(decode[13].power_watts,
         2 * watts(600, 9 * 14e9 / (2e15 * 2 * 0.1), (9 * 16e9 + 9 * 1e6) / (4e12 * 2 * 0.1)));

    CU_ASSERT_EQUAL(results.histogram_counts[METRIC_TTFT], 3);
    CU_ASSERT_EQUAL(results.histograms[METRIC_TTFT][0].count, 2);
    CU_ASSERT(results.histograms[METRIC_TTFT][0].low_ns <= 100 * MS);
    CU_ASSERT(results.histograms[METRIC_TTFT][0].high_ns >= 100 * MS);
    CU_ASSERT_EQUAL(results.histogram_counts[METRIC_ITL], 0);
    results_clear(&results);
    metrics_clear(&metrics);
}

/* The same sums, of instances that have four members each: busy times are means, all else is as it was. */
static void members(void)
{
    struct metrics metrics;
    struct results results;
    struct results_pool pools[] = {two_pools[0], two_pools[1]};
    pools[0].members_per_instance = pools[1].members_per_instance = 4;
    pools[0].power.cap_watts = 0.25 * 700; /* what an idle one takes */
    build_pools(&results, &metrics, pools);
    CU_ASSERT_EQUAL(results.instances[1].busy_prefill_ns, (uint64_t)(S / 4));
    NEAR(results.instances[0].utilization, 0.125);
    NEAR(results.instances[0].kv_mean_utilization, 0.05);
    NEAR(results.pools[0].utilization, 0.075);
    NEAR(results.pools[1].utilization_decode, 0.25);
    NEAR(results.pools[1].kv_mean_utilization, 0.5);
    NEAR(results.pools[1].mean_running, 4);
    NEAR(results.pools[0].power_capped, 1);
    NEAR(results.summary.utilization, (0.075 * 8 + 0.25 * 2) / 10);
    NEAR(results.series[0][0].busy_prefill, 0.25);
    NEAR(results.series[0][0].kv_used, 0.1);
    NEAR(results.series[1][12].running, 4);
    results_clear(&results);
    metrics_clear(&metrics);
}

static void closed_loop_window_ends_with_the_run(void)
{
    const struct metrics_config config = {
        .window_end_ns = SIMTIME_NEVER, .window_start_ns = S, .requests = 2};
    struct metrics metrics;
    struct results results;
    metrics_init(&metrics, &config);
    for (uint64_t id = 0; id < 2; id++) {
        struct row row = request(id, (int64_t)(id + 1) * S, S, 0, 1);
        metrics_row(&metrics, &row);
    }
    results_build(&results, &metrics, NULL, 0, NULL, NULL, 0);
    CU_ASSERT_EQUAL(results.summary.window_start_ns, S);
    CU_ASSERT_EQUAL(results.summary.window_end_ns, 3 * S);
    NEAR(results.summary.completed_per_s, 1);
    results_clear(&results);
    metrics_clear(&metrics);
}

static double double_at(const struct column *column, const void *row)
{
    double value;
    memcpy(&value, (const char *)row + column->offset, sizeof value);
    return value;
}

static void check_finite(const struct column_table *table, const void *row)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->columns[i].type == COLUMN_F64)
            CU_ASSERT(isfinite(double_at(&table->columns[i], row)));
}

/* No request, or all at one instant: quotients are 0, never NaN. */
static void empty_windows_give_zeros(void)
{
    for (uint64_t requests = 0; requests < 2; requests++) {
        const struct metrics_config config = {.pools = 2, .window_end_ns = 0, .series_interval_ns = S};
        struct metrics metrics;
        struct results results;
        struct usage usages[3];
        memset(usages, 0, sizeof usages);
        struct text text = {0};
        metrics_init(&metrics, &config);
        if (requests > 0)
            metrics_row(&metrics, &(struct row){.status = ROW_REFUSED, .reason = ROW_REASON_MODEL_LENGTH});
        results_build(&results, &metrics, two_pools, 2, usages, NULL, 0);
        check_finite(&column_summary, &results.summary);
        check_finite(&column_instances, &results.instances[0]);
        check_finite(&column_pools, &results.pools[0]);
        CU_ASSERT_EQUAL(results.summary.completed_per_s, 0);
        CU_ASSERT_EQUAL(results.summary.cost_usd, 0);
        results_print(&results, &text);
        CU_ASSERT_PTR_NULL(strstr(text_string(&text), "nan"));
        CU_ASSERT_PTR_NULL(strstr(text_string(&text), "inf"));
        text_clear(&text);
        results_clear(&results);
        metrics_clear(&metrics);
    }
}

static void columns_are_documented(void)
{
    const struct column_table *const tables[] = {&column_requests,   &column_instances,  &column_pools,
                                                 &column_timeseries, &column_histograms, &column_summary};
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (size_t i = 0; i < tables[t]->count; i++) {
            const struct column *column = &tables[t]->columns[i];
            CU_ASSERT(column->doc[0] >= 'A' || column->doc[0] == '1' || column->doc[0] == '9');
            CU_ASSERT_EQUAL(column->doc[strlen(column->doc) - 1], '.');
            CU_ASSERT((column->unit[0] == '\0') == (column->type == COLUMN_STRING));
            for (size_t k = 0; k < i; k++)
                CU_ASSERT_STRING_NOT_EQUAL(column->name, tables[t]->columns[k].name);
        }
    }
    CU_ASSERT_STRING_EQUAL(column_requests.columns[0].name, "arrival_ns");
    CU_ASSERT_STRING_EQUAL(column_requests.columns[1].name, "prompt_tokens");
    CU_ASSERT_STRING_EQUAL(column_requests.columns[2].name, "output_tokens");
}

static void the_table_says_what_matters(void)
{
    struct metrics metrics;
    struct results results;
    struct text text = {0};
    build_small(&results, &metrics);
    results.summary.saturated = 1;
    results_print(&results, &text);
    printf("\n%s", text_string(&text));
    const char *const expected[] = {"5, completed 4, refused 1 (model length 1, KV capacity 0)",
                                    "TTFT <= 200 ms, TPOT <= 20 ms",
                                    "0.3 requests/s (0.03 per GPU) meet it: 60.00 %",
                                    "312.5 ms of decode lost to others' prefills, 27.5 ms of queues",
                                    "0.05 %   0.07 %   0.02 %",
                                    "SATURATED",
                                    "137.5 ms",
                                    "2x4",
                                    "33.00 USD/h",
                                    "1868 W in the mean: 33.69 kWh per million output tokens, 121.3 J each",
                                    "prefill: 1439 W, all of it over prompt tokens 5.756 J\n",
                                    "4.00 MiB"};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), expected[i]));
    text_clear(&text);
    results_clear(&results);
    metrics_clear(&metrics);
}

static void without_an_slo_nothing_meets_it(void)
{
    const struct metrics_config config = {.window_end_ns = S, .requests = 1};
    struct metrics metrics;
    struct results results;
    struct text text = {0};
    metrics_init(&metrics, &config);
    struct row row = request(0, 0, S, 0, 1);
    metrics_row(&metrics, &row);
    results_build(&results, &metrics, NULL, 0, NULL, NULL, 0);
    results_print(&results, &text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), "SLO           none is set: no goodput\n"));
    CU_ASSERT_PTR_NULL(strstr(text_string(&text), "meet it"));
    text_clear(&text);
    results_clear(&results);
    metrics_clear(&metrics);
}

static void a_sample_is_put_in_order(void)
{
    static const uint64_t ends[] = {9, 4, 6, 0, 8, 3, 1, 2, 7, 5};
    const struct metrics_config config = {.one_in = 3};
    struct metrics metrics;
    struct results results;
    metrics_init(&metrics, &config);
    for (size_t i = 0; i < 10; i++)
        metrics_row(&metrics, &(struct row){.id = ends[i], .status = ROW_REFUSED});
    CU_ASSERT_EQUAL_FATAL(metrics.row_count, 4);
    struct row *kept = metrics.rows;
    metrics.rows = NULL;
    results_build(&results, &metrics, NULL, 0, NULL, kept, metrics.row_count);
    for (size_t i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(results.rows[i].id, 3 * i);
    CU_ASSERT_EQUAL(results.summary.requests, 10);
    results_clear(&results);
    metrics_clear(&metrics);
}

int main(void)
{
    const struct test_case cases[] = {
        {"requests, goodput and latency", requests_goodput_and_latency},
        {"usage and costs", usage_and_costs},
        {"members of an instance", members},
        {"hardware utilization", hardware_utilization},
        {"energy", energy},
        {"energy is capped", energy_is_capped},
        {"series and histograms", series_and_histograms},
        {"the window of a closed loop ends with the run", closed_loop_window_ends_with_the_run},
        {"empty windows give zeros", empty_windows_give_zeros},
        {"columns are documented", columns_are_documented},
        {"the table says what matters", the_table_says_what_matters},
        {"a sample is put in order", a_sample_is_put_in_order},
        {"without an SLO nothing meets it", without_an_slo_nothing_meets_it},
    };
    return test_main("metrics/results", cases, sizeof cases / sizeof cases[0]);
}
