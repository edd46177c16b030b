/* When a run counts as saturated: waits that grow over its thirds, and requests that are left at its end. */
#include "test.h"

#include "tandem/mem.h"
#include "tandem/results.h"
#include "tandem/simtime.h"

#define MS INT64_C(1000000)
#define S  SIMTIME_SECOND_NS

/* A run whose requests wait as long as wait_ns says, by third. */
static bool is_saturated(int64_t window_end_ns, const int64_t wait_ns[3], int64_t rest_ns)
{
    const struct metrics_config config = {.window_end_ns = window_end_ns, .requests = 300};
    struct metrics metrics;
    struct results results;
    metrics_init(&metrics, &config);
    for (uint64_t id = 0; id < 300; id++) {
        int64_t wait = wait_ns[id / 100];
        struct row row = {.id = id,
                          .arrival_ns = (int64_t)id * S,
                          .output_tokens = 1,
                          .ttft_ns = wait + rest_ns,
                          .e2e_ns = wait + rest_ns,
                          .prefill_queue_ns = wait,
                          .prefill_ns = rest_ns,
                          .decode_instance = -1};
        metrics_row(&metrics, &row);
    }
    results_build(&results, &metrics, NULL, 0, NULL, NULL, 0);
    bool saturated = results.summary.saturated;
    results_clear(&results);
    metrics_clear(&metrics);
    return saturated;
}

static void saturation(void)
{
    const int64_t steady[] = {10 * MS, 10 * MS, 19 * MS}, growing[] = {10 * MS, 15 * MS, 21 * MS},
                  tiny[] = {0, MS / 2, MS - 1}, from_nothing[] = {0, 0, MS + 1};
    CU_ASSERT(!is_saturated(299 * S, steady, MS));
    CU_ASSERT(is_saturated(299 * S, growing, MS));
    CU_ASSERT(is_saturated(SIMTIME_NEVER, growing, MS));
    CU_ASSERT(!is_saturated(299 * S, tiny, MS));
    CU_ASSERT(is_saturated(299 * S, from_nothing, MS));
    /* Requests that are served for a minute: 60 of 300 are under way at the last arrival, as they should be.
     */
    CU_ASSERT(!is_saturated(299 * S, steady, 60 * S));
    /* That wait for 15 s and are served at once: 15 are queued where none should be. 9 + 1 are forgiven. */
    const int64_t queued[] = {15 * S, 15 * S, 15 * S}, forgiven[] = {9 * S, 9 * S, 9 * S};
    CU_ASSERT(is_saturated(299 * S, queued, MS));
    CU_ASSERT(!is_saturated(299 * S, forgiven, MS));
}

int main(void)
{
    const struct test_case cases[] = {{"saturation", saturation}};
    return test_main("metrics/saturation", cases, sizeof cases / sizeof cases[0]);
}
