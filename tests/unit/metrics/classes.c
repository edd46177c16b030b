/* Classes of priority: each with its own bounds, sums and latencies, on one rank or merged from several. */
#include "test.h"

#include "tandem/mem.h"
#include "tandem/results.h"
#include "tandem/simtime.h"

static const struct slo slos[] = {{100, 10, 0}, {0, 0, 30}, {1000, 50, 0}};
static const struct results_pool pool = {.name = "p",
                                         .role = "unified",
                                         .gpu = "g",
                                         .instances = 1,
                                         .gpus_per_instance = 1,
                                         .members_per_instance = 1,
                                         .kv_block_tokens = 1,
                                         .kv_capacity_blocks = 1};

/* A request that comes at id x 1 s. */
static struct row request(uint64_t id, uint8_t priority, int64_t ttft_ns, int64_t tpot_ns)
{
    return (struct row){.id = id,
                        .arrival_ns = (int64_t)id * SIMTIME_SECOND_NS,
                        .output_tokens = 3,
                        .ttft_ns = ttft_ns,
                        .ttft_prefill_ns = ttft_ns,
                        .e2e_ns = ttft_ns + 2 * tpot_ns,
                        .max_itl_ns = tpot_ns,
                        .prefill_queue_ns = 5,
                        .prefill_ns = ttft_ns - 5,
                        .decode_ns = 2 * tpot_ns,
                        .priority = priority,
                        .decode_instance = -1};
}

static void fill(struct metrics ranks[2])
{
    struct row rows[] = {request(0, 0, 100, 10),  /* on both bounds */
                         request(1, 1, 9000, 30), /* only its gap counts */
                         request(2, 0, 101, 10),  /* late for its class */
                         request(3, 1, 9000, 31), /* gap */
                         request(4, 9, 1000, 51), /* beyond the last: as class 2; TPOT */
                         request(5, 0, 20, 20)};  /* TPOT */
    rows[5].status = ROW_REFUSED;
    for (size_t i = 0; i < 6; i++)
        metrics_row(&ranks[i % 2], &rows[i]);
}

static void check_rows(const struct results *results)
{
    static const struct {
        uint64_t arrivals, completed, met, ttft, tpot;
        int64_t ttft_max, e2e_max;
    } expected[] = {{3, 2, 1, 1, 2, 101, 121}, {2, 2, 1, 2, 2, 9000, 9062}, {1, 1, 0, 1, 0, 1000, 1102}};
    CU_ASSERT_EQUAL_FATAL(results->class_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct class_row *row = &results->classes[i];
        double arrivals = (double)expected[i].arrivals;
        CU_ASSERT(row->priority == i && row->window_arrivals == expected[i].arrivals);
        CU_ASSERT_EQUAL(row->window_completed, expected[i].completed);
        CU_ASSERT_EQUAL(row->slo_attainment, (double)expected[i].met / arrivals);
        CU_ASSERT_EQUAL(row->slo_ttft_attainment, (double)expected[i].ttft / arrivals);
        CU_ASSERT_EQUAL(row->slo_tpot_attainment, (double)expected[i].tpot / arrivals);
        CU_ASSERT_DOUBLE_EQUAL(row->goodput_per_s, (double)expected[i].met / 5, 1e-12);
        CU_ASSERT_EQUAL(row->slo_ttft_ms, (double)slos[i].ttft_ns / 1e6);
        CU_ASSERT_EQUAL(row->slo_tpot_ms, (double)slos[i].tpot_ns / 1e6);
        CU_ASSERT_EQUAL(row->slo_itl_ms, (double)slos[i].itl_ns / 1e6);
        CU_ASSERT(row->ttft.max == expected[i].ttft_max && row->e2e.max == expected[i].e2e_max);
        CU_ASSERT(row->queue.p90 == 5 && row->queue.mean == 5);
    }
    CU_ASSERT_DOUBLE_EQUAL(results->summary.slo_attainment, 2.0 / 6, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(results->summary.slo_ttft_attainment, 4.0 / 6, 1e-12);
}

static void build(struct results *results, const struct metrics *metrics)
{
    const struct usage usage = {0};
    results_build(results, metrics, &pool, 1, &usage, NULL, 0);
}

static void test_classes(void)
{
    const struct metrics_config config = {.pools = 1,
                                          .classes = 3,
                                          .class_slos = slos,
                                          .slo = {1, 1, 1},
                                          .window_end_ns = 5 * SIMTIME_SECOND_NS,
                                          .requests = 6};
    struct metrics ranks[2];
    struct results results;
    struct text bytes = {0};
    for (int i = 0; i < 2; i++)
        metrics_init(&ranks[i], &config);
    fill(ranks);
    metrics_pack(&ranks[1], &bytes);
    metrics_merge(&ranks[0], bytes.bytes, bytes.length);
    build(&results, &ranks[0]);
    check_rows(&results);
    results_clear(&results);
    text_clear(&bytes);
    for (int i = 0; i < 2; i++)
        metrics_clear(&ranks[i]);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

/* Without classes the one row says what the summary says. */
static void test_one(void)
{
    const struct metrics_config config = {
        .pools = 1, .slo = slos[0], .window_end_ns = 5 * SIMTIME_SECOND_NS, .requests = 2};
    struct metrics metrics;
    struct results results;
    struct row rows[] = {request(0, 7, 100, 10), request(1, 0, 99, 12)};
    metrics_init(&metrics, &config);
    for (size_t i = 0; i < 2; i++)
        metrics_row(&metrics, &rows[i]);
    build(&results, &metrics);
    CU_ASSERT_EQUAL_FATAL(results.class_count, 1);
    const struct class_row *row = &results.classes[0];
    const struct summary *summary = &results.summary;
    CU_ASSERT(row->window_arrivals == 2 && row->window_completed == 2 && row->slo_attainment == 0.5);
    CU_ASSERT(row->slo_ttft_attainment == summary->slo_ttft_attainment &&
              row->slo_tpot_attainment == summary->slo_tpot_attainment);
    CU_ASSERT(row->slo_attainment == summary->slo_attainment &&
              row->goodput_per_s == summary->goodput_per_s && row->slo_ttft_ms == summary->slo_ttft_ms);
    CU_ASSERT(row->ttft.mean == 99.5 && row->ttft.mean == summary->ttft.mean &&
              row->tpot.p99 == summary->tpot.p99 && row->e2e.p50 == summary->e2e.p50 &&
              row->queue.max == summary->queue.max);
    results_clear(&results);
    metrics_clear(&metrics);
}

int main(void)
{
    static const struct test_case cases[] = {{"several", test_classes}, {"one", test_one}};
    return test_main("classes", cases, sizeof cases / sizeof cases[0]);
}
