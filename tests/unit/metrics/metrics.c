/* Rows, windows, spans, series and packing. */
#include "test.h"

#include <gsl/gsl_rng.h>

#include "tandem/mem.h"
#include "tandem/metrics.h"
#include "tandem/simtime.h"

static const struct metrics_config plain = {
    .pools = 2,
    .window_end_ns = SIMTIME_NEVER,
    .requests = 100,
    .series_interval_ns = 1000,
};

/* A completed request whose stages add up: router 1, prefill queue, prefill, decode. */
static struct row completed(uint64_t id, int64_t arrival_ns, int64_t queue_ns, int64_t prefill_ns,
                            int64_t decode_ns, uint32_t output_tokens)
{
    return (struct row){
        .id = id,
        .arrival_ns = arrival_ns,
        .prompt_tokens = 100,
        .output_tokens = output_tokens,
        .ttft_ns = 1 + queue_ns + prefill_ns,
        .ttft_prefill_ns = 1 + queue_ns + prefill_ns,
        .e2e_ns = 1 + queue_ns + prefill_ns + decode_ns,
        .max_itl_ns = output_tokens > 1 ? decode_ns / (output_tokens - 1) : 0,
        .router_ns = 1,
        .prefill_queue_ns = queue_ns,
        .prefill_ns = prefill_ns,
        .decode_ns = decode_ns,
        .interference_ns = decode_ns / 3,
        .blocked_ns = queue_ns / 2,
        .decode_instance = -1,
    };
}

static void hash_depends_on_its_fields_only(void)
{
    struct row row = completed(7, 1000, 10, 20, 300, 4);
    uint64_t hash = row_hash(&row);
    struct row other = row;
    other.max_itl_ns++;
    other.interference_ns++;
    other.blocked_ns++;
    other.priority++;
    other.kv_transfer_bytes++;
    CU_ASSERT_EQUAL(row_hash(&other), hash);
#define CHANGES(field)                                                                                       \
    other = row;                                                                                             \
    other.field++;                                                                                           \
    CU_ASSERT_NOT_EQUAL(row_hash(&other), hash)
    CHANGES(id);
    CHANGES(prompt_tokens);
    CHANGES(output_tokens);
    CHANGES(arrival_ns);
    CHANGES(ttft_ns);
    CHANGES(e2e_ns);
    CHANGES(prefill_instance);
    CHANGES(decode_instance);
    CHANGES(preemptions);
    CHANGES(status);
#undef CHANGES
}

static void rows_are_counted_by_window(void)
{
    struct metrics_config config = plain;
    config.window_start_ns = 1000;
    config.window_end_ns = 2000;
    config.one_in = 1;
    struct metrics metrics;
    metrics_init(&metrics, &config);
    struct row rows[] = {
        completed(0, 999, 0, 10, 500, 5),  /* too early, ends inside */
        completed(1, 1000, 0, 10, 500, 5), /* both */
        completed(2, 1900, 0, 10, 500, 5), /* ends after the window */
        completed(3, 2000, 0, 10, 500, 1), /* the last arrival counts; no TPOT */
        {.id = 4, .arrival_ns = 1500, .status = ROW_REFUSED, .reason = ROW_REASON_KV_CAPACITY},
        completed(5, 2001, 0, 10, 500, 5), /* too late */
    };
    uint64_t checksum = 0;
    for (size_t i = 0; i < 6; i++) {
        metrics_row(&metrics, &rows[i]);
        checksum += row_hash(&rows[i]);
    }
    const struct metrics_counts *counts = &metrics.counts;
    CU_ASSERT_EQUAL(counts->completed, 5);
    CU_ASSERT_EQUAL(counts->refused, 1);
    CU_ASSERT_EQUAL(counts->refused_by_reason[ROW_REASON_KV_CAPACITY], 1);
    CU_ASSERT_EQUAL(counts->window_arrivals, 4);
    CU_ASSERT_EQUAL(counts->window_completed, 3);
    CU_ASSERT_EQUAL(counts->window_refused, 1);
    CU_ASSERT_EQUAL(counts->window_completions, 2);
    CU_ASSERT_EQUAL(counts->window_input_tokens, 200);
    CU_ASSERT_EQUAL(counts->output_tokens, 21);
    CU_ASSERT_EQUAL(metrics.histograms[METRIC_TTFT].count, 3);
    CU_ASSERT_EQUAL(metrics.histograms[METRIC_TPOT].count, 2);
    CU_ASSERT_EQUAL(metrics.histograms[METRIC_TRANSFER].count, 0);
    CU_ASSERT_EQUAL(counts->checksum, checksum);
    CU_ASSERT_EQUAL(metrics.end_ns, 2001 + 511);
    CU_ASSERT_EQUAL(metrics.row_count, 6);
    CU_ASSERT_EQUAL(metrics.rows[4].status, ROW_REFUSED);
    metrics_clear(&metrics);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static void stages_are_summed(void)
{
    struct metrics metrics;
    metrics_init(&metrics, &plain);
    struct row row = {
        .output_tokens = 2,
        .ttft_ns = 100,
        .e2e_ns = 1 + 2 + 4 + 8 + 16 + 32 + 64 + 128 + 256 + 512,
        .router_ns = 1,
        .control_ns = 2,
        .router_queue_ns = 4,
        .prefill_queue_ns = 8,
        .prefill_ns = 16,
        .decode_queue_ns = 32,
        .transfer_ns = 64,
        .admission_ns = 128,
        .decode_ns = 256,
        .stalled_ns = 512,
        .decode_instance = 1,
        .kv_transfer_bytes = 5000,
    };
    metrics_row(&metrics, &row);
    metrics_row(&metrics, &row);
    for (int i = 0; i < STAGE_COUNT; i++)
        CU_ASSERT(metrics.counts.window_stage_ns[i] == (wide_t)2 << i);
    CU_ASSERT_EQUAL(metrics.histograms[METRIC_QUEUE].max, 4 + 8 + 32 + 128);
    CU_ASSERT_EQUAL(metrics.histograms[METRIC_TRANSFER].max, 64);
    CU_ASSERT(metrics.counts.third_wait_ns[0] == 2 * (4 + 8 + 32 + 128 + 512));
    CU_ASSERT_EQUAL(metrics.counts.moved_requests, 2);
    CU_ASSERT_EQUAL(metrics.counts.kv_transfer_bytes, 10000);
    metrics_clear(&metrics);
}

static void thirds_are_of_the_window_or_of_the_order(void)
{
    struct metrics_config config = plain;
    config.requests = 9;
    for (int known_end = 0; known_end < 2; known_end++) {
        if (known_end) {
            config.window_start_ns = 3000;
            config.window_end_ns = 6000;
        }
        struct metrics metrics;
        metrics_init(&metrics, &config);
        for (uint64_t id = 0; id < 9; id++) {
            struct row row = completed(id, (int64_t)id * 1000, 10, 10, 10, 2);
            metrics_row(&metrics, &row);
        }
        /* By time: 3000 | 4000 | 5000 and 6000. */
        CU_ASSERT_EQUAL(metrics.counts.third_count[0], known_end ? 1 : 3);
        CU_ASSERT_EQUAL(metrics.counts.third_count[1], known_end ? 1 : 3);
        CU_ASSERT_EQUAL(metrics.counts.third_count[2], known_end ? 2 : 3);
        metrics_clear(&metrics);
    }
}

static void slo_is_met_jointly(void)
{
    struct metrics_config config = plain;
    config.slo.ttft_ns = 100;
    config.slo.tpot_ns = 50;
    config.slo.itl_ns = 60;
    struct metrics metrics;
    metrics_init(&metrics, &config);
    struct row rows[] = {
        completed(0, 0, 0, 99, 100, 3),   /* exactly on both bounds: met */
        completed(1, 0, 1, 99, 100, 3),   /* TTFT 101 */
        completed(2, 0, 0, 99, 103, 3),   /* TPOT rounds to 52 */
        completed(3, 0, 0, 99, 90000, 1), /* one token: TPOT met */
        completed(4, 0, 0, 99, 100, 3),   /* ITL */
        {.id = 5, .status = ROW_REFUSED, .reason = ROW_REASON_MODEL_LENGTH},
    };
    rows[4].max_itl_ns = 61;
    for (size_t i = 0; i < 6; i++)
        metrics_row(&metrics, &rows[i]);
    CU_ASSERT_EQUAL(metrics.counts.window_slo_met, 2);
    CU_ASSERT_EQUAL(metrics.counts.window_slo_ttft_met, 4);
    CU_ASSERT_EQUAL(metrics.counts.window_slo_tpot_met, 4);
    metrics_clear(&metrics);
}

static void spans_are_clipped_to_the_window(void)
{
    struct metrics_config config = plain;
    config.window_start_ns = 1500;
    config.window_end_ns = 4000;
    struct metrics metrics;
    struct usage usage = {0};
    const struct gauge gauge = {
        .waiting = 3, .running = 2, .moving = 1, .kv_blocks = 10, .phase = PHASE_DECODE};
    metrics_init(&metrics, &config);
    metrics_span(&metrics, 1, &usage, 1000, 2000, &gauge); /* cut at the start */
    metrics_span(&metrics, 1, &usage, 2000, 3000, &gauge); /* inside */
    metrics_span(&metrics, 1, &usage, 3000, 5000, &gauge); /* cut at the end */
    metrics_span(&metrics, 1, &usage, 5000, 6000, &gauge); /* after */
    metrics_span(&metrics, 1, &usage, 6000, 6000, &gauge); /* empty */
    CU_ASSERT_EQUAL(usage.busy_ns[PHASE_DECODE], 2500);
    CU_ASSERT(usage.kv_block_ns == 25000);
    CU_ASSERT(usage.waiting_ns == 15000 && usage.running_ns == 10000 && usage.moving_ns == 5000);
    CU_ASSERT_EQUAL(metrics.series[0].count, 0);
    CU_ASSERT_EQUAL(metrics.series[1].count, 6);
    for (size_t i = 0; i < 6; i++) {
        const struct series_bin *bin = &metrics.series[1].bins[i];
        wide_t width = i == 0 ? 0 : 1000;
        CU_ASSERT(bin->busy_ns[PHASE_DECODE] == width && bin->waiting_ns == 3 * width);
        CU_ASSERT(bin->running_ns == 2 * width && bin->moving_ns == width && bin->kv_block_ns == 10 * width);
    }
    metrics_tokens(&metrics, 1, &usage, 1499, 5, 1);
    metrics_tokens(&metrics, 1, &usage, 1500, 7, 2);
    metrics_tokens(&metrics, 1, &usage, 4000, 11, 3);
    metrics_tokens(&metrics, 1, &usage, 4001, 13, 4);
    metrics_sent(&metrics, 1, &usage, 4001, 99);
    CU_ASSERT_EQUAL(usage.prefill_tokens, 36);
    CU_ASSERT_EQUAL(usage.window_output_tokens, 5);
    CU_ASSERT_EQUAL(usage.output_tokens, 10);
    CU_ASSERT_EQUAL(metrics.series[1].bins[1].prefill_tokens, 12);
    CU_ASSERT_EQUAL(metrics.series[1].bins[4].output_tokens, 7);
    CU_ASSERT_EQUAL(metrics.series[1].bins[4].sent_bytes, 99);
    metrics_clear(&metrics);
}

/* Iterations count by their end, both ends of the window included, for their phase alone; recomputed tokens
 * and bins always. */
static void effort_is_summed_inside_the_window(void)
{
    struct metrics_config config = plain;
    config.window_start_ns = 1500;
    config.window_end_ns = 4000;
    struct metrics metrics;
    struct usage usage = {0};
    metrics_init(&metrics, &config);
    const int64_t ends_ns[] = {1499, 1500, 2500, 4000, 4001};
    for (size_t i = 0; i < 5; i++) {
        struct effort effort = {.iterations = 1,
                                .tokens = UINT64_C(10) << i,
                                .recomputed_tokens = UINT64_C(1) << i,
                                .padding_tokens = UINT64_C(5) << i,
                                .prompt_tokens = UINT64_C(2) << i,
                                .padding_rows = UINT64_C(1) << i,
                                .padding_context_x2 = (wide_t)1 << (60 + i),
                                .logit_rows = UINT64_C(3) << i,
                                .context_x2 = (wide_t)1 << (62 + i),
                                .recomputed_context_x2 = (wide_t)1 << (61 + i),
                                .kv_read_tokens = (wide_t)3 << (60 + i)};
        metrics_effort(&metrics, 1, &usage, ends_ns[i], PHASE_MIXED, &effort);
    }
    CU_ASSERT_EQUAL(usage.recomputed_tokens, 1 + 2 + 4 + 8 + 16);
    CU_ASSERT_EQUAL(usage.padding_tokens, 5 * 31);
    CU_ASSERT_EQUAL(usage.iterations[PHASE_MIXED], 5);
    const struct effort *window = &usage.window[PHASE_MIXED];
    CU_ASSERT_EQUAL(window->iterations, 3);
    CU_ASSERT_EQUAL(window->tokens, 140);
    CU_ASSERT_EQUAL(window->recomputed_tokens, 14);
    CU_ASSERT(window->padding_tokens == 70 && window->padding_rows == 14);
    CU_ASSERT(window->padding_context_x2 == (wide_t)7 << 61);
    CU_ASSERT_EQUAL(window->prompt_tokens, 28);
    CU_ASSERT_EQUAL(window->logit_rows, 42);
    CU_ASSERT(window->context_x2 == (wide_t)7 << 63);
    CU_ASSERT(window->recomputed_context_x2 == (wide_t)7 << 62);
    CU_ASSERT(window->kv_read_tokens == (wide_t)21 << 61);
    CU_ASSERT_EQUAL(usage.window[PHASE_DECODE].iterations + usage.window[PHASE_PREFILL].iterations, 0);
    CU_ASSERT_EQUAL(metrics.series[0].count, 0);
    const struct series_bin *bins = metrics.series[1].bins;
    CU_ASSERT_EQUAL(bins[1].effort[PHASE_MIXED].tokens, 10 + 20);
    CU_ASSERT_EQUAL(bins[2].effort[PHASE_MIXED].tokens, 40);
    CU_ASSERT(bins[4].effort[PHASE_MIXED].kv_read_tokens == (wide_t)9 << 63);
    CU_ASSERT_EQUAL(bins[1].effort[PHASE_DECODE].tokens, 0);
    metrics_clear(&metrics);
}

static void idle_time_does_not_stretch_the_series(void)
{
    struct metrics metrics;
    struct usage usage = {0};
    const struct gauge idle = {.phase = PHASE_IDLE};
    metrics_init(&metrics, &plain);
    metrics_span(&metrics, 0, &usage, 0, INT64_MAX - 1, &idle);
    CU_ASSERT_EQUAL(metrics.series[0].count, 0);
    CU_ASSERT_EQUAL(metrics.series[0].interval_ns, 1000);
    CU_ASSERT_EQUAL(usage.busy_ns[PHASE_IDLE], 0);
    metrics_clear(&metrics);
}

/* 10,000 requests that hold 100,000 blocks for a day on one instance: 8.6e22 block-ns. */
static void integrals_are_wide(void)
{
    struct metrics metrics;
    struct usage usage = {0};
    const int64_t day = 86400 * SIMTIME_SECOND_NS;
    const struct gauge gauge = {.running = 10000, .kv_blocks = 1000000000, .phase = PHASE_MIXED};
    metrics_init(&metrics, &plain);
    metrics_span(&metrics, 0, &usage, 0, day, &gauge);
    CU_ASSERT(usage.kv_block_ns == (wide_t)86400 * 1000000000 * 1000000000);
    wide_t sum = 0;
    for (size_t i = 0; i < metrics.series[0].count; i++)
        sum += metrics.series[0].bins[i].kv_block_ns;
    CU_ASSERT(sum == usage.kv_block_ns);
    CU_ASSERT(metrics.series[0].count <= SERIES_MAX_BINS && metrics.series[0].count > SERIES_MAX_BINS / 2);
    metrics_clear(&metrics);
}

/* Feeds what happens on one rank: every part-th thing of a reproducible random history of two pools. */
static void feed(struct metrics *metrics, int part, int parts, int64_t length_ns)
{
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    struct usage usage = {0};
    for (int i = 0; i < 3000; i++) {
        int64_t from = (int64_t)(gsl_rng_uniform(rng) * (double)length_ns);
        int64_t to = from + (int64_t)gsl_rng_uniform_int(rng, 5000);
        int64_t pool = (int64_t)gsl_rng_uniform_int(rng, 2);
        struct gauge gauge = {.waiting = (int64_t)gsl_rng_uniform_int(rng, 100),
                              .running = (int64_t)gsl_rng_uniform_int(rng, 100),
                              .moving = (int64_t)gsl_rng_uniform_int(rng, 10),
                              .kv_blocks = (int64_t)gsl_rng_uniform_int(rng, 1000),
                              .phase = (enum phase)gsl_rng_uniform_int(rng, PHASE_COUNT)};
        struct row row =
            completed((uint64_t)i, from, to - from, 200, (int64_t)gsl_rng_uniform_int(rng, 10000),
                      1 + (uint32_t)gsl_rng_uniform_int(rng, 20));
        if (i % parts != part)
            continue;
        metrics_span(metrics, pool, &usage, from, to, &gauge);
        metrics_tokens(metrics, pool, &usage, to, 17, 3);
        metrics_effort(metrics, pool, &usage, to, gauge.phase,
                       &(struct effort){.iterations = 1, .tokens = 20, .kv_read_tokens = 1000});
        metrics_sent(metrics, pool, &usage, to, 1000);
        if (metrics_in_window(metrics, from))
            metrics_gaps(metrics, to - from, 4);
        metrics_row(metrics, &row);
    }
    gsl_rng_free(rng);
}

static void check_same_series(const struct series *a, const struct series *b)
{
    CU_ASSERT_EQUAL(a->interval_ns, b->interval_ns);
    CU_ASSERT_EQUAL_FATAL(a->count, b->count);
    CU_ASSERT_EQUAL(memcmp(a->bins, b->bins, SERIES_MAX_BINS * sizeof *a->bins), 0);
}

static void merged_pairs_equal_wide_bins(void)
{
    struct metrics_config wide = plain;
    wide.series_interval_ns = 8000;
    struct metrics fine, coarse;
    metrics_init(&fine, &plain);
    metrics_init(&coarse, &wide);
    /* 30 ms: beyond 4,096 bins of 1 us, so pairs are merged on the way, up to 8 us. */
    feed(&fine, 0, 1, 30000000);
    feed(&coarse, 0, 1, 30000000);
    CU_ASSERT_EQUAL(coarse.series[0].interval_ns, 8000);
    for (int pool = 0; pool < 2; pool++)
        check_same_series(&fine.series[pool], &coarse.series[pool]);
    metrics_clear(&fine);
    metrics_clear(&coarse);
}

static void widening_reaches_the_interval(void)
{
    struct metrics metrics;
    struct usage usage = {0};
    metrics_init(&metrics, &plain);
    for (int64_t i = 0; i < 5; i++)
        metrics_sent(&metrics, 0, &usage, i * 1000, (uint64_t)1 << i);
    series_widen(&metrics.series[0], 1000);
    CU_ASSERT_EQUAL(metrics.series[0].count, 5);
    series_widen(&metrics.series[0], 3000);
    CU_ASSERT_EQUAL(metrics.series[0].interval_ns, 4000);
    CU_ASSERT_EQUAL(metrics.series[0].count, 2);
    CU_ASSERT_EQUAL(metrics.series[0].bins[0].sent_bytes, 15);
    CU_ASSERT_EQUAL(metrics.series[0].bins[1].sent_bytes, 16);
    CU_ASSERT_EQUAL(metrics.series[0].bins[2].sent_bytes, 0);
    metrics_clear(&metrics);
}

static void check_same_metrics(const struct metrics *a, const struct metrics *b)
{
    CU_ASSERT_EQUAL(memcmp(&a->counts, &b->counts, sizeof a->counts), 0);
    CU_ASSERT_EQUAL(a->end_ns, b->end_ns);
    for (int i = 0; i < METRIC_COUNT; i++) {
        const struct histogram *x = &a->histograms[i], *y = &b->histograms[i];
        CU_ASSERT_EQUAL(memcmp(x->counts, y->counts, HISTOGRAM_BUCKETS * sizeof *x->counts), 0);
        CU_ASSERT(x->count == y->count && x->sum == y->sum && x->min == y->min && x->max == y->max);
    }
    for (int pool = 0; pool < 2; pool++)
        check_same_series(&a->series[pool], &b->series[pool]);
}

/* Three ranks, of which one saw only the start and has narrow bins, merged in two orders. */
static void merged_ranks_equal_one(void)
{
    struct metrics ranks[3], one;
    struct text bytes[3] = {{0}, {0}, {0}};
    const int64_t lengths[] = {1000000, 30000000, 9000000};
    metrics_init(&one, &plain);
    for (int i = 0; i < 3; i++) {
        metrics_init(&ranks[i], &plain);
        feed(&ranks[i], i, 3, lengths[i]);
        feed(&one, i, 3, lengths[i]);
        metrics_pack(&ranks[i], &bytes[i]);
    }
    CU_ASSERT(ranks[0].series[0].interval_ns < ranks[1].series[0].interval_ns);
    metrics_merge(&ranks[0], bytes[1].bytes, bytes[1].length);
    metrics_merge(&ranks[0], bytes[2].bytes, bytes[2].length);
    check_same_metrics(&ranks[0], &one);
    metrics_merge(&ranks[2], bytes[1].bytes, bytes[1].length);
    struct text first = {0};
    metrics_clear(&ranks[0]);
    metrics_init(&ranks[0], &plain);
    metrics_merge(&ranks[0], bytes[0].bytes, bytes[0].length);
    metrics_pack(&ranks[0], &first);
    metrics_merge(&ranks[2], first.bytes, first.length);
    check_same_metrics(&ranks[2], &one);
    text_clear(&first);
    for (int i = 0; i < 3; i++) {
        metrics_clear(&ranks[i]);
        text_clear(&bytes[i]);
    }
    metrics_clear(&one);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static void series_can_be_off(void)
{
    struct metrics_config config = plain;
    config.series_interval_ns = 0;
    struct metrics metrics, other;
    struct usage usage = {0};
    struct text bytes = {0};
    metrics_init(&metrics, &config);
    metrics_init(&other, &config);
    metrics_span(&metrics, 0, &usage, 0, 100, &(struct gauge){.running = 1, .phase = PHASE_DECODE});
    metrics_tokens(&metrics, 0, &usage, 100, 0, 1);
    metrics_sent(&metrics, 0, &usage, 100, 8);
    CU_ASSERT_EQUAL(usage.busy_ns[PHASE_DECODE], 100);
    CU_ASSERT_EQUAL(usage.sent_bytes, 8);
    metrics_pack(&metrics, &bytes);
    metrics_merge(&other, bytes.bytes, bytes.length);
    CU_ASSERT_EQUAL(other.series[0].count, 0);
    text_clear(&bytes);
    metrics_clear(&metrics);
    metrics_clear(&other);
}

int main(void)
{
    const struct test_case cases[] = {
        {"the hash depends on its fields only", hash_depends_on_its_fields_only},
        {"rows are counted by window", rows_are_counted_by_window},
        {"stages are summed", stages_are_summed},
        {"thirds are of the window or of the order", thirds_are_of_the_window_or_of_the_order},
        {"the SLO is met jointly", slo_is_met_jointly},
        {"spans are clipped to the window", spans_are_clipped_to_the_window},
        {"effort is summed inside the window", effort_is_summed_inside_the_window},
        {"idle time does not stretch the series", idle_time_does_not_stretch_the_series},
        {"integrals are wide", integrals_are_wide},
        {"merged pairs equal wide bins", merged_pairs_equal_wide_bins},
        {"widening reaches the interval", widening_reaches_the_interval},
        {"merged ranks equal one", merged_ranks_equal_one},
        {"series can be off", series_can_be_off},
    };
    return test_main("metrics/metrics", cases, sizeof cases / sizeof cases[0]);
}
