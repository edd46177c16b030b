/* Activations that share the memory with the cache: what is admitted, by hand; and with little room the same
 * in every mode. */
#include "test.h"

#include "experiment.h"
#include "tandem/rng.h"

#define MS     INT64_C(1000000)
#define GIB    (1024.0 * 1024 * 1024)
#define MEMORY (79.2 * GIB)       /* h100-sxm */
#define BYTES  (2 * 6738415616.0) /* llama-2-7b */

static struct experiment *fixed_times(const char *activations, const char *attention)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_set(experiment,
                   "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 5, "
                   "\"attention\": \"%s\"}",
                   attention);
    experiment_set(experiment, "cluster.pools[0].kv.activations=%s", activations);
    experiment_set(experiment,
                   "cluster.pools[0].scheduler={\"policy\": \"continuous\", \"max_num_batched_tokens\": "
                   "100000, \"watermark\": 0}");
    return experiment;
}

/* How many of 8 prompts have their first token at the end of the first iteration, of one or both. */
static int in_first_iteration(const char *policy, const char *activations, const char *attention,
                              int64_t prompt, int64_t others)
{
    struct experiment_request requests[8];
    struct experiment *experiment = fixed_times(activations, attention);
    for (int i = 0; i < 8; i++)
        requests[i] = (struct experiment_request){0, i == 0 ? prompt : others, 2, 0, 0};
    experiment_trace(experiment, requests, 8);
    experiment_set(experiment, "cluster.pools[0].scheduler.policy=%s", policy);
    experiment_set(experiment, "cluster.pools[0].scheduler.static_batch_size=8");
    struct outcome outcome = experiment_run_well(experiment);
    int first = 0;
    for (int i = 0; i < 8; i++)
        first += outcome.rows[i].ttft_ns == 11 * MS;
    CU_ASSERT_EQUAL(outcome.summary.completed, 8);
    CU_ASSERT_EQUAL(outcome.summary.preemptions, 0);
    outcome_check_conserved(&outcome, MS);
    outcome_clear(&outcome);
    experiment_free(experiment);
    return first;
}

/* 70.5e9 bytes are left. A prompt of 8,000 has 4.19e9 in the cache, 8,000 x 2(4096 + 2 x 11008) = 0.42e9 of
 * activations and 8,000^2 x 4 x 32 = 8.19e9 of scores: five of them with scores, all eight without. */
static void test_scores_limit(void)
{
    CU_ASSERT_EQUAL(in_first_iteration("continuous", "packed", "materialized", 8000, 8000), 5);
    CU_ASSERT_EQUAL(in_first_iteration("continuous", "padded", "materialized", 8000, 8000), 5);
    CU_ASSERT_EQUAL(in_first_iteration("continuous", "packed", "flash", 8000, 8000), 8);
    CU_ASSERT_EQUAL(in_first_iteration("continuous", "padded", "flash", 8000, 8000), 8);
    CU_ASSERT_EQUAL(in_first_iteration("continuous", "engine", "materialized", 8000, 8000), 8);
}

/* One of 8,000 and seven of 100: padded each takes 8.61e9 of activations, and the cache little: seven. */
static void test_padding_limits(void)
{
    CU_ASSERT_EQUAL(in_first_iteration("continuous", "padded", "materialized", 8000, 100), 7);
    CU_ASSERT_EQUAL(in_first_iteration("continuous", "packed", "materialized", 8000, 100), 8);
    CU_ASSERT_EQUAL(in_first_iteration("continuous", "padded", "flash", 8000, 100), 8);
}

/* A static batch has slots of the longest prompt whatever the kernels do: five, as of eight such prompts. */
static void test_static_limits(void)
{
    CU_ASSERT_EQUAL(in_first_iteration("static", "padded", "materialized", 8000, 100), 5);
    CU_ASSERT_EQUAL(in_first_iteration("static", "packed", "materialized", 8000, 100), 5);
    CU_ASSERT_EQUAL(in_first_iteration("static", "packed", "flash", 8000, 100), 8);
}

/* The longest prompt that is not refused: of n tokens and one output
 * 16 ceil(n / 16) x 524,288 + n x 52,224 + n^2 x 128 bytes. */
static void test_refused(void)
{
    double room = MEMORY - GIB - BYTES;
    int64_t most = 0;
    for (int64_t n = 1;
         (double)((n + 15) / 16 * 16) * 524288 + (double)n * 52224 + (double)(n * n) * 128 <= room; n++)
        most = n;
    struct experiment_request requests[] = {{0, most, 1, 0, 0}, {0, most + 1, 1, 0, 0}};
    struct experiment *experiment = fixed_times("packed", "materialized");
    experiment_trace(experiment, requests, 2);
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT(most > 20000 && most < 25000);
    CU_ASSERT_EQUAL(outcome.rows[0].status, ROW_COMPLETED);
    CU_ASSERT_EQUAL(outcome.rows[1].reason, ROW_REASON_KV_CAPACITY);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Room for 210 cached tokens; 10.04 tokens of activations take as much as one of those. At 31 ms the first
 * request decodes on 102 tokens and the second, of 100, has computed 52: the other 48 would make 202 cached
 * and 150 of activations. It sits out until the first has its 10 tokens at 71, and the small one that came
 * at 26 is not let past it: 48 + 3 of its 10 tokens until 81. */
static void test_sits_out(void)
{
    static const struct experiment_request requests[] = {
        {0, 100, 10, 0, 0}, {0, 100, 1, 0, 0}, {25 * MS, 10, 1, 0, 0}};
    struct experiment *experiment = fixed_times("padded", "flash");
    experiment_set(experiment,
                   "cluster.pools[0].scheduler={\"max_num_batched_tokens\": 51, \"max_num_seqs\": 3}");
    experiment_set(experiment, "cluster.pools[0].kv.block_tokens=1");
    experiment_set(experiment, "cluster.pools[0].kv.margin_gib=%.17g",
                   (MEMORY - BYTES - 210 * 524288.0) / GIB);
    experiment_trace(experiment, requests, 3);
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.rows[0].e2e_ns, 71 * MS);
    CU_ASSERT_EQUAL(outcome.rows[1].e2e_ns, 81 * MS);
    CU_ASSERT_EQUAL(outcome.rows[2].prefill_queue_ns, 45 * MS);
    CU_ASSERT_EQUAL(outcome.rows[2].e2e_ns, 66 * MS);
    CU_ASSERT_EQUAL(outcome.summary.preemptions, 0);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

static int64_t roll(uint64_t seed, uint64_t *count, int64_t below)
{
    return (int64_t)(rng_bits(seed, 4, RNG_ROUTER, (*count)++) % (uint64_t)below);
}

static struct experiment *tight(uint64_t seed)
{
    uint64_t rolls = 0;
    bool pair = seed % 3 == 0;
    const char *pool = pair ? "decode" : "unified";
    struct experiment *experiment = experiment_new(pair ? experiment_disaggregated : experiment_unified);
    experiment_synthetic(
        experiment, "{\"uniform\": {\"min\": 1, \"max\": 120}}", "{\"uniform\": {\"min\": 1, \"max\": 60}}",
        roll(seed, &rolls, 2) ? "\"all-at-once\"" : "{\"poisson\": {\"rate_per_s\": 80}}", 80);
    double room = (const double[]){1.3e8, 2e8, 4e8, 1.5e9}[roll(seed, &rolls, 4)];
    int64_t seqs = (const int64_t[]){2, 5, 30}[roll(seed, &rolls, 3)];
    experiment_set(experiment, "cluster.pools[%s].kv.activations=%s", pool,
                   roll(seed, &rolls, 2) ? "padded" : "packed");
    experiment_set(experiment, "cluster.pools[%s].kv.margin_gib=%.17g", pool, (MEMORY - BYTES - room) / GIB);
    experiment_set(experiment, "cluster.pools[%s].timer.attention=%s", pool,
                   roll(seed, &rolls, 2) ? "materialized" : "flash");
    experiment_set(experiment, "cluster.pools[%s].scheduler.max_num_seqs=%lld", pool, (long long)seqs);
    experiment_set(experiment, "cluster.pools[%s].scheduler.max_num_batched_tokens=%lld", pool,
                   (long long)(seqs + roll(seed, &rolls, 200)));
    experiment_set(experiment, "cluster.pools[%s].scheduler.preemption=%s", pool,
                   roll(seed, &rolls, 2) ? "swap" : "recompute");
    static const char *const policies[] = {"chunked", "continuous", "static", "adaptive-chunked"};
    if (!pair)
        experiment_set(experiment, "cluster.pools[0].scheduler.policy=%s", policies[roll(seed, &rolls, 4)]);
    return experiment;
}

static void test_modes(void)
{
    uint64_t preemptions = 0, limited = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct experiment *experiment = tight(seed);
        struct outcome leaping = experiment_run_modes(experiment, MS);
        CU_ASSERT_EQUAL(leaping.summary.completed, 80);
        preemptions += leaping.summary.preemptions;
        for (size_t i = 0; i < leaping.pool_count; i++)
            limited += leaping.pools[i].mean_waiting > 1 && leaping.pools[i].kv_peak_utilization < 0.8;
        outcome_clear(&leaping);
        experiment_free(experiment);
    }
    printf("\n    %llu preemptions; %llu runs wait with blocks free", (unsigned long long)preemptions,
           (unsigned long long)limited);
    CU_ASSERT(preemptions > 150);
    CU_ASSERT(limited > 20);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"limited by scores", test_scores_limit},        {"limited by padding", test_padding_limits},
        {"slots of a static batch", test_static_limits}, {"refused", test_refused},
        {"a partial prefill sits out", test_sits_out},   {"modes", test_modes},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("activations", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
