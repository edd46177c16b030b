/* What idle GPUs cost, in the documents' case. */
#include "test.h"

#include "tandem/mem.h"
#include "tandem/results.h"
#include "tandem/simtime.h"

#define S                      SIMTIME_SECOND_NS
#define NEAR(actual, expected) CU_ASSERT_DOUBLE_EQUAL(actual, expected, fabs((double)(expected)) * 1e-12)

/* So many instances of a GPU at a price a month, busy for a share of the window of 1 s. */
static void add_fleet(struct metrics *metrics, struct results_pool *pool, struct usage *usages,
                      uint32_t index, uint32_t instances, double usd_per_month, double busy)
{
    const struct gauge working = {.running = 1, .phase = PHASE_DECODE};
    *pool = (struct results_pool){.name = "p",
                                  .role = "unified",
                                  .gpu = "g",
                                  .instances = instances,
                                  .gpus_per_instance = 1,
                                  .members_per_instance = 1,
                                  .price_usd_per_gpu_hour = usd_per_month / 730};
    for (uint32_t i = 0; i < instances; i++)
        metrics_span(metrics, (int64_t)index, &usages[i], 0, (int64_t)(busy * (double)S), &working);
}

/* The document's case (SEEDS.md): 10 GPUs at $3,000 a month, 40 % busy, against 3 of them 90 % busy and 12 at
 * $1,500, 85 % busy: $75,000 and about $31,000 for each month that all GPUs are busy. */
static void effective_cost(void)
{
    const struct metrics_config config = {.pools = 2, .window_end_ns = S, .requests = 1};
    struct results_pool pools[2];
    struct usage usages[15];
    struct metrics metrics;
    struct results results;
    memset(usages, 0, sizeof usages);
    metrics_init(&metrics, &config);
    add_fleet(&metrics, &pools[0], usages, 0, 3, 3000, 0.9);
    add_fleet(&metrics, &pools[1], usages + 3, 1, 12, 1500, 0.85);
    results_build(&results, &metrics, pools, 2, usages, NULL, 0);
    NEAR(results.summary.cost_usd_per_hour * 730, 27000);
    NEAR(results.summary.effective_usd_per_hour * 730, 27000 / (26.0 / 30));
    NEAR(results.summary.idle_gpu_hours, (3 * 0.1 + 12 * 0.15) / 3600);
    results_clear(&results);
    metrics_clear(&metrics);

    memset(usages, 0, sizeof usages);
    metrics_init(&metrics, &config);
    add_fleet(&metrics, &pools[0], usages, 0, 10, 3000, 0.4);
    add_fleet(&metrics, &pools[1], usages, 1, 0, 0, 0);
    results_build(&results, &metrics, pools, 2, usages, NULL, 0);
    NEAR(results.summary.effective_usd_per_hour * 730, 75000);
    results_clear(&results);
    metrics_clear(&metrics);
}

int main(void)
{
    const struct test_case cases[] = {{"effective cost", effective_cost}};
    return test_main("metrics/costs", cases, sizeof cases / sizeof cases[0]);
}
