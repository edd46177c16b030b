/* output.iterations: a record of each iteration. */
#include "test.h"

#include "experiment.h"

#define MS INT64_C(1000000)

/* Blocks of 4 tokens, 5 of them; 10 ms with prefill, 5 without, a millisecond a block to the host or back:
 * the schedule of swap.c. */
static void test_by_hand(void)
{
    static const struct experiment_request requests[] = {{0, 8, 5, 0, 0}, {0, 8, 5, 0, 0}};
    /* start, duration (ms), phase, prompt tokens, their contexts, decodes, their contexts, blocks */
    static const uint64_t expected[][8] = {
        {1, 10, PHASE_PREFILL, 16, 16, 0, 0, 4},
        {11, 7, PHASE_DECODE, 0, 0, 1, 9, 3}, /* the second one's 2 blocks go first */
        {18, 5, PHASE_DECODE, 0, 0, 1, 10, 3},
        {23, 5, PHASE_DECODE, 0, 0, 1, 11, 3},
        {28, 5, PHASE_DECODE, 0, 0, 1, 12, 3},
        {33, 7, PHASE_DECODE, 0, 0, 1, 9, 3}, /* and come back */
        {40, 5, PHASE_DECODE, 0, 0, 1, 10, 3},
        {45, 5, PHASE_DECODE, 0, 0, 1, 11, 3},
        {50, 5, PHASE_DECODE, 0, 0, 1, 12, 3},
    };
    const size_t count = sizeof expected / sizeof expected[0];
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_set(experiment, "output.iterations=true");
    experiment_set(experiment, "cluster.pools[0].kv={\"block_tokens\": 4, \"blocks\": 5}");
    experiment_set(experiment,
                   "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 5}");
    experiment_set(experiment,
                   "cluster.pools[0].scheduler={\"preemption\": \"swap\", \"swap_gb_per_s\": %.17g}",
                   4 * 524288 / 1e6);
    experiment_trace(experiment, requests, 2);
    struct outcome outcome = experiment_run_modes(experiment, MS);
    CU_ASSERT_EQUAL_FATAL(outcome.iteration_count, count);
    CU_ASSERT_EQUAL(outcome.iterations_cut_ns, -1);
    for (size_t i = 0; i < count; i++) {
        const struct iteration_row *row = &outcome.iterations[i];
        CU_ASSERT(row->instance == 0 && row->group == 0);
        CU_ASSERT_EQUAL((uint64_t)row->start_ns, expected[i][0] * (uint64_t)MS);
        CU_ASSERT_EQUAL((uint64_t)row->duration_ns, expected[i][1] * (uint64_t)MS);
        CU_ASSERT_EQUAL(row->phase, expected[i][2]);
        CU_ASSERT_EQUAL(row->prefill_tokens, expected[i][3]);
        CU_ASSERT_EQUAL(row->prefill_context_tokens, expected[i][4]);
        CU_ASSERT_EQUAL(row->decode_sequences, expected[i][5]);
        CU_ASSERT_EQUAL(row->decode_context_tokens, expected[i][6]);
        CU_ASSERT_EQUAL(row->kv_used_blocks, expected[i][7]);
    }
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* The records are what the sums of each instance are of: its iterations, tokens, and (one group; the window
 * is the whole run) busy time. */
static void check_sums(const struct outcome *outcome, bool one_group)
{
    for (size_t i = 0; i < outcome->instance_count; i++) {
        const struct instance_row *instance = &outcome->instances[i];
        uint64_t count[PHASE_COUNT] = {0}, busy_ns[PHASE_COUNT] = {0}, prefill_tokens = 0, most_blocks = 0;
        for (size_t k = 0; k < outcome->iteration_count; k++) {
            const struct iteration_row *row = &outcome->iterations[k];
            if (row->instance != (int32_t)i)
                continue;
            count[row->phase]++;
            busy_ns[row->phase] += (uint64_t)row->duration_ns;
            prefill_tokens += row->prefill_tokens;
            most_blocks = row->kv_used_blocks > most_blocks ? row->kv_used_blocks : most_blocks;
        }
        CU_ASSERT_EQUAL(count[PHASE_PREFILL], instance->prefill_iterations);
        CU_ASSERT_EQUAL(count[PHASE_DECODE], instance->decode_iterations);
        CU_ASSERT_EQUAL(count[PHASE_MIXED], instance->mixed_iterations);
        CU_ASSERT_EQUAL(prefill_tokens, instance->prefill_tokens);
        CU_ASSERT(most_blocks <= instance->kv_peak_blocks && most_blocks > 0);
        if (!one_group)
            continue;
        CU_ASSERT_EQUAL(busy_ns[PHASE_PREFILL], instance->busy_prefill_ns);
        CU_ASSERT_EQUAL(busy_ns[PHASE_DECODE], instance->busy_decode_ns);
        CU_ASSERT_EQUAL(busy_ns[PHASE_MIXED], instance->busy_mixed_ns);
    }
}

static struct experiment *many(const char *json)
{
    struct experiment *experiment = experiment_new(json);
    experiment_synthetic(experiment, "{\"uniform\": {\"min\": 10, \"max\": 3000}}",
                         "{\"uniform\": {\"min\": 1, \"max\": 60}}", "\"all-at-once\"", 60);
    return experiment;
}

static void test_sums(void)
{
    for (int i = 0; i < 3; i++) {
        struct experiment *experiment = many(i == 1 ? experiment_disaggregated : experiment_unified);
        if (i == 2)
            experiment_set(experiment, "cluster.pools[0].pipeline_parallel=2");
        struct outcome without = experiment_run_well(experiment);
        CU_ASSERT(without.iteration_count == 0 && without.iterations_cut_ns == 0);
        experiment_set(experiment, "output.iterations=true");
        struct outcome outcome = experiment_run_modes(experiment, MS);
        check_sums(&outcome, i < 2);
        CU_ASSERT_EQUAL(outcome.checksum, without.checksum);
        outcome_clear(&without);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* iterations_max leaves the first ones, in order, and says when the next began. */
static void test_cut(void)
{
    struct experiment *experiment = many(experiment_disaggregated);
    experiment_set(experiment, "output.iterations=true");
    struct outcome all = experiment_run_well(experiment);
    CU_ASSERT_FATAL(all.iteration_count > 40);
    for (size_t i = 1; i < all.iteration_count; i++)
        CU_ASSERT(all.iterations[i].start_ns > all.iterations[i - 1].start_ns ||
                  (all.iterations[i].start_ns == all.iterations[i - 1].start_ns &&
                   all.iterations[i].instance > all.iterations[i - 1].instance));
    const size_t most[] = {1, 40, all.iteration_count - 1, all.iteration_count};
    for (size_t i = 0; i < sizeof most / sizeof most[0]; i++) {
        experiment_set(experiment, "output.iterations_max=%zu", most[i]);
        struct outcome some = experiment_run_well(experiment);
        CU_ASSERT_EQUAL(some.iteration_count, most[i]);
        CU_ASSERT_EQUAL(some.iterations_cut_ns,
                        most[i] < all.iteration_count ? all.iterations[most[i]].start_ns : -1);
        CU_ASSERT_EQUAL(some.iterations[most[i] - 1].start_ns, all.iterations[most[i] - 1].start_ns);
        outcome_clear(&some);
    }
    outcome_clear(&all);
    experiment_free(experiment);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"by hand", test_by_hand},
        {"sums", test_sums},
        {"cut", test_cut},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("iterations", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
