/* What the time of GPUs is for (/instances: interference_ns, decoding_ns, blocked_ns, ...), worked out by
 * hand.
 */
#include "test.h"

#include "experiment.h"

#define SECOND     INT64_C(1000000000)
#define MS         INT64_C(1000000)
#define LATENCY_NS 1000 /* of control messages, where iterations take seconds */

static struct experiment *make(const char *policy, const struct experiment_request *requests, size_t count,
                               int prefill_s, int blocks)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_trace(experiment, requests, count);
    experiment_set(experiment, "cluster.network.control_latency_us=1");
    experiment_set(
        experiment,
        "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": %d000, \"decode_ms\": 1000}",
        prefill_s);
    experiment_set(experiment, "cluster.pools[0].kv={\"block_tokens\": 16, \"blocks\": %d}", blocks);
    experiment_set(experiment,
                   "cluster.pools[0].scheduler={\"policy\": \"%s\", \"max_num_batched_tokens\": 32, "
                   "\"max_num_seqs\": 4}",
                   policy);
    return experiment;
}

static void check(const struct instance_row *instance, const int64_t expected_ns[6])
{
    CU_ASSERT_EQUAL(instance->interference_ns, (uint64_t)expected_ns[0]);
    CU_ASSERT_EQUAL(instance->decoding_ns, (uint64_t)expected_ns[1]);
    CU_ASSERT_EQUAL(instance->blocked_ns, (uint64_t)expected_ns[2]);
    CU_ASSERT_EQUAL(instance->blocked_decoding_ns, (uint64_t)expected_ns[3]);
    CU_ASSERT_EQUAL(instance->blocked_idle_ns, (uint64_t)expected_ns[4]);
    CU_ASSERT_EQUAL(instance->moving_idle_ns, (uint64_t)expected_ns[5]);
}

/* Two prompts of 32 tokens within a budget of 32, 10 s with prefill, 1 s without. Chunked: the second prompt
 * is computed beside two steps of the first request, which take 10 s each, 1 s of them for the step; then 3
 * steps. Continuous: the first request sits all of the second prompt out; then 3 steps. */
static void test_interference(void)
{
    static const struct experiment_request requests[] = {{0, 32, 4, 0, 0}, {0, 32, 4, 0, 0}};
    static const struct {
        const char *policy;
        int64_t busy_prefill_s, busy_mixed_s, expected_ns[6];
    } cases[] = {{"chunked", 10, 20, {18 * SECOND, 5 * SECOND}},
                 {"continuous", 20, 0, {10 * SECOND, 3 * SECOND}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct experiment *experiment = make(cases[i].policy, requests, 2, 10, 100);
        struct outcome outcome = experiment_run_modes(experiment, LATENCY_NS);
        CU_ASSERT_EQUAL(outcome.instances[0].busy_prefill_ns, (uint64_t)(cases[i].busy_prefill_s * SECOND));
        CU_ASSERT_EQUAL(outcome.instances[0].busy_mixed_ns, (uint64_t)(cases[i].busy_mixed_s * SECOND));
        check(&outcome.instances[0], cases[i].expected_ns);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* Chunked as above, and a third request that ends the window after 15 s; it begins after 10.5 s. Both are in
 * the first of the mixed iterations, from 10 to 20 s (and a microsecond), of which the last 9 are
 * interference. */
static void test_window(void)
{
    static const struct experiment_request requests[] = {
        {0, 32, 4, 0, 0}, {0, 32, 4, 0, 0}, {15 * SECOND, 1, 1, 0, 0}};
    struct experiment *experiment = make("chunked", requests, 3, 10, 100);
    experiment_set(experiment, "warm_up_s=10.5");
    struct outcome outcome = experiment_run_modes(experiment, LATENCY_NS);
    CU_ASSERT_EQUAL(outcome.instances[0].busy_prefill_ns, 0);
    CU_ASSERT_EQUAL(outcome.instances[0].busy_mixed_ns, (uint64_t)(9 * SECOND / 2));
    check(&outcome.instances[0], (const int64_t[6]){4 * SECOND - LATENCY_NS, SECOND / 2 + LATENCY_NS});
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* 10 blocks, prompts take 3 s. A and B have 4 and 2 of them, and one more each as they decode: C, which wants
 * 5, does not fit at 0 and at 3, but at 4, when B has ended; D, behind it, has none left then and one at 7.
 * So the queue is blocked for 7 s: the prompts of A and B, a step of both, and a step of A beside C's prompt,
 * 3 s of which decoding takes one. A has 16 more steps after that beside D's prompt. */
static void test_blocked(void)
{
    static const struct experiment_request requests[] = {
        {0, 64, 20, 0, 0}, {0, 32, 2, 0, 0}, {0, 80, 1, 0, 0}, {0, 1, 1, 0, 0}};
    struct experiment *experiment = make("chunked", requests, 4, 3, 10);
    experiment_set(experiment, "cluster.pools[0].scheduler.max_num_batched_tokens=8192");
    struct outcome outcome = experiment_run_modes(experiment, LATENCY_NS);
    CU_ASSERT_EQUAL(outcome.rows[3].prefill_queue_ns, 7 * SECOND);
    check(&outcome.instances[0], (const int64_t[6]){2 * 2 * SECOND, 19 * SECOND, 7 * SECOND, 2 * SECOND});
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Two prompts of 63 tokens at a prefill instance that has 5 blocks, room for one: it is busy for 10 ms, then
 * blocked for 3 L until the transfer begins, T, and L until it knows. Decode waits for the KV for L, T and L,
 * twice; it has long decoded the first when the second comes. */
static void test_idle(void)
{
    static const struct experiment_request requests[] = {{0, 63, 2, 0, 0}, {0, 63, 2, 0, 0}};
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    experiment_trace(experiment, requests, 2);
    for (int i = 0; i < 2; i++)
        experiment_set(experiment,
                       "cluster.pools[%d].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 2}",
                       i);
    experiment_set(experiment, "cluster.network.setup_ms=20");
    experiment_set(experiment, "cluster.pools[0].kv={\"block_tokens\": 16, \"blocks\": 5}");
    struct outcome outcome = experiment_run_modes(experiment, MS);
    const int64_t transfer_ns = outcome.rows[0].transfer_ns, held_ns = 4 * MS + transfer_ns;
    CU_ASSERT(transfer_ns > 20 * MS && transfer_ns < 21 * MS && outcome.rows[1].transfer_ns == transfer_ns);
    CU_ASSERT_EQUAL(outcome.rows[1].prefill_queue_ns, 10 * MS + held_ns);
    check(&outcome.instances[0], (const int64_t[6]){0, 0, 10 * MS + held_ns, 0, held_ns, 0});
    check(&outcome.instances[1], (const int64_t[6]){0, 2 * 2 * 2 * MS, 0, 0, 0, 2 * (2 * MS + transfer_ns)});
    outcome_clear(&outcome);
    experiment_free(experiment);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"interference", test_interference},
        {"window", test_window},
        {"blocked, busy", test_blocked},
        {"blocked or waiting for KV, idle", test_idle},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("gpu_time", cases, sizeof cases / sizeof *cases);
    MPI_Finalize();
    return code;
}
