/* Instances that do work of the other role: by hand, to the nanosecond, and on random workloads. */
#include "test.h"

#include "experiment.h"

#define MS INT64_C(1000000)

/* One prefill and one decode instance with iterations of 10 ms with a prompt and of 5 without. */
static struct experiment *make_small(const struct experiment_request *requests, size_t count)
{
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    experiment_trace(experiment, requests, count);
    for (int i = 0; i < 2; i++)
        experiment_set(experiment,
                       "cluster.pools[%d].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 5}",
                       i);
    experiment_set(experiment, "cluster.network.setup_ms=0");
    return experiment;
}

/* All come at once. 0 and 1 bring what prefill has to compute from 0 over 100 tokens, so that decode computes
 * 2, and 3, which bring it to 110: 4 is prefill's again. Its instance prefills from 1 to 11 ms, decodes 2
 * to 16. The hand-offs come at 13, and get their blocks at 16. */
static void test_decode_prefills(void)
{
    static const struct experiment_request requests[] = {
        {0, 80, 2, 0, 0}, {0, 80, 2, 0, 0}, {0, 80, 2, 0, 0}, {0, 80, 1, 0, 0}, {0, 80, 2, 0, 0}};
    struct experiment *experiment = make_small(requests, 5);
    experiment_set(experiment, "cluster.router.mixed.prefill_tokens=100");
    struct outcome outcome = experiment_run_modes(experiment, MS);
    for (size_t i = 0; i < 5; i++) {
        const struct row *row = &outcome.rows[i];
        bool local = i == 2 || i == 3;
        CU_ASSERT_EQUAL(row->prefill_instance, local ? 1 : 0);
        CU_ASSERT_EQUAL(row->decode_instance, local ? -1 : 1);
        CU_ASSERT_EQUAL(row->ttft_prefill_ns, 11 * MS);
        CU_ASSERT_EQUAL(row->decode_queue_ns, local ? 0 : 3 * MS);
    }
    CU_ASSERT_EQUAL(outcome.rows[2].e2e_ns, 16 * MS);
    CU_ASSERT_EQUAL(outcome.rows[3].e2e_ns, 11 * MS);
    CU_ASSERT_EQUAL(outcome.summary.moved_requests, 3);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* 8 blocks of 16 tokens at decode, 4 for each hand-off. Both prompts are complete at 11 ms, the router knows
 * it at 12: 0 moves there, which is half of the blocks; 1 and what comes before that is reported stays, from
 * 13 on, where iteration after iteration takes 5 ms and one with the prompt of 2 takes 10, from 18 to 28. 2
 * finds 0 decoding. */
static void test_prefill_decodes(void)
{
    static const struct experiment_request requests[] = {
        {0, 63, 60, 0, 0}, {0, 63, 5, 0, 0}, {14 * MS, 20, 2, 0, 0}};
    static const char *const first_tokens[] = {"decode", "relay", "prefill"};
    for (int i = 0; i < 3; i++) {
        struct experiment *experiment = make_small(requests, 3);
        experiment_set(experiment, "cluster.router.mixed.decode_kv=0.4");
        experiment_set(experiment, "cluster.handoff.first_token=%s", first_tokens[i]);
        for (int pool = 0; pool < 2; pool++)
            experiment_set(experiment, "cluster.pools[%d].kv={\"block_tokens\": 16, \"blocks\": 8}", pool);
        struct outcome outcome = experiment_run_modes(experiment, MS);
        const struct row *moved = &outcome.rows[0], *stayed = &outcome.rows[1], *last = &outcome.rows[2];
        CU_ASSERT_EQUAL(moved->decode_instance, 1);
        CU_ASSERT(stayed->prefill_instance == 0 && stayed->decode_instance == -1);
        CU_ASSERT_EQUAL(stayed->ttft_prefill_ns, 11 * MS);
        CU_ASSERT_EQUAL(stayed->ttft_ns, (i == 2 ? 11 : 13) * MS);
        CU_ASSERT_EQUAL(stayed->control_ns, 3 * MS);
        CU_ASSERT_EQUAL(stayed->admission_ns, 0);
        CU_ASSERT_EQUAL(stayed->decode_ns, 25 * MS); /* 5, 10, 5, 5 */
        CU_ASSERT_EQUAL(stayed->e2e_ns, 38 * MS);
        CU_ASSERT_EQUAL(stayed->interference_ns, 5 * MS);
        CU_ASSERT_EQUAL(last->prefill_queue_ns, 3 * MS);
        CU_ASSERT_EQUAL(last->decode_instance, -1);
        CU_ASSERT_EQUAL(last->admission_ns, 3 * MS); /* told at 30, with the boundary at 33 */
        CU_ASSERT_EQUAL(outcome.summary.moved_requests, 1);
        CU_ASSERT_EQUAL(outcome.instances[0].mixed_iterations, 1);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* Little room, random lengths, on both ways. */
static struct experiment *make_random(uint64_t seed)
{
    static const char *const first_tokens[] = {"decode", "relay", "prefill"};
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    experiment_synthetic(experiment, "{\"uniform\": {\"min\": 1, \"max\": 900}}",
                         "{\"uniform\": {\"min\": 1, \"max\": 120}}",
                         "{\"gamma\": {\"rate_per_s\": 120, \"cv\": 3}}", 150);
    experiment_set(experiment, "seed=%llu", (unsigned long long)seed);
    experiment_set(experiment, "cluster.pools[prefill].instances=2");
    experiment_set(experiment, "cluster.pools[decode].instances=2");
    for (int pool = 0; pool < 2; pool++) {
        experiment_set(experiment, "cluster.pools[%d].kv={\"block_tokens\": 16, \"blocks\": 180}", pool);
        experiment_set(experiment,
                       "cluster.pools[%d].scheduler={\"max_num_batched_tokens\": 512, \"max_num_seqs\": 24}",
                       pool);
    }
    experiment_set(experiment, "cluster.pools[prefill].scheduler.chunked_prefill=%s",
                   seed % 2 ? "true" : "false");
    experiment_set(experiment, "cluster.pools[decode].scheduler.preemption=%s",
                   seed % 5 ? "recompute" : "swap");
    experiment_set(experiment, "cluster.handoff.first_token=%s", first_tokens[seed % 3]);
    experiment_set(experiment, "cluster.handoff.recompute_at=%s", seed % 4 ? "decode" : "prefill");
    if (seed % 6 == 5)
        experiment_set(experiment,
                       "cluster.pools[prefill].kv={\"block_tokens\": 16, \"activations\": \"packed\", "
                       "\"margin_gib\": 65}");
    if (seed % 7 == 0)
        for (int pool = 0; pool < 2; pool++) {
            experiment_set(experiment, "cluster.pools[%d].pipeline_parallel=2", pool);
            experiment_set(experiment, "cluster.pools[%d].kv.blocks=320", pool);
        }
    return experiment;
}

static void test_mixed(void)
{
    uint64_t local = 0, stayed = 0, preemptions = 0;
    for (uint64_t seed = 1; seed <= 21; seed++) {
        struct experiment *experiment = make_random(seed);
        experiment_set(experiment, "cluster.router.mixed={\"prefill_tokens\": %d, \"decode_kv\": %g}",
                       seed % 2 ? 600 : 0, seed % 3 ? 0.3 : 0);
        struct outcome outcome = experiment_run_modes(experiment, MS);
        for (size_t i = 0; i < outcome.row_count; i++) {
            const struct row *row = &outcome.rows[i];
            local += row->status == ROW_COMPLETED && row->prefill_instance >= 2;
            stayed += row->status == ROW_COMPLETED && row->control_ns == 3 * MS;
            if (seed % 2 == 0)
                CU_ASSERT(row->prefill_instance < 2);
        }
        preemptions += outcome.summary.preemptions;
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
    printf("\n    %llu prompts at decode, %llu decodes at prefill instances, %llu preemptions",
           (unsigned long long)local, (unsigned long long)stayed, (unsigned long long)preemptions);
    CU_ASSERT(local > 100 && stayed > 100 && preemptions > 50);
}

/* Thresholds that nothing reaches change nothing. */
static void test_never(void)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct experiment *experiment = make_random(seed);
        experiment_set(experiment, "cluster.pools[decode].kv.blocks=%d", 5000);
        struct outcome without = experiment_run_well(experiment);
        experiment_set(experiment, "cluster.router.mixed={\"prefill_tokens\": 1000000, \"decode_kv\": 1}");
        struct outcome with = experiment_run_well(experiment);
        CU_ASSERT_PTR_NULL(outcome_difference(&without, &with));
        outcome_clear(&without);
        outcome_clear(&with);
        experiment_free(experiment);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"decode instances prefill", test_decode_prefills},
        {"prefill instances decode", test_prefill_decodes},
        {"both, on random workloads", test_mixed},
        {"thresholds out of reach", test_never},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("roles", cases, sizeof cases / sizeof *cases);
    MPI_Finalize();
    return code;
}
