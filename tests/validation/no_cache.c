/* Without a KV cache: each step computes whole sequences again. Times from the timer alone, FLOPs counted by
 * hand, how both grow, and every mode the same. */
#include "test.h"

#include "experiment.h"
#include "reference.h"
#include "tandem/rng.h"
#include "tandem/simtime.h"

#define MS INT64_C(1000000)

/* llama-2-7b on h100-sxm: FLOPs of a token in the matrices of 32 layers, of a row of the head, of a token of
 * context; FLOP/s. */
#define TOKEN_FLOPS   (2.0 * 32 * (4.0 * 4096 * 4096 + 3.0 * 4096 * 11008))
#define ROW_FLOPS     (2.0 * 4096 * 32000)
#define CONTEXT_FLOPS (4.0 * 32 * 4096)
#define PEAK          989e12

static struct experiment *whole(const char *cache)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_set(experiment, "cluster.pools[0].scheduler={\"policy\": \"continuous\"}");
    experiment_set(experiment, "cluster.pools[0].kv.cache=%s", cache);
    return experiment;
}

static struct outcome run_one(const char *model, const char *cache, int64_t prompt, int64_t output)
{
    struct experiment_request request = {0, prompt, output, 0, 0};
    struct experiment *experiment = whole(cache);
    experiment_set(experiment, "model=%s", model);
    experiment_trace(experiment, &request, 1);
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.summary.completed, 1);
    outcome_check_conserved(&outcome, MS);
    experiment_free(experiment);
    return outcome;
}

/* A prompt of 100 and 40 tokens: iterations over 100, 101, .. 139 tokens. */
static void test_alone(void)
{
    struct model_layout layout = model_layout(1, DTYPE_BF16, DTYPE_BF16);
    struct timer *timer = reference_timer("llama-2-7b", &layout, 0, 0, 0);
    struct outcome outcome = run_one("llama-2-7b", "none", 100, 40);
    int64_t time_ns = MS, tokens = 0;
    for (int64_t n = 100; n < 140; n++) {
        struct work work = {.logit_rows = 1};
        work_add_chunk(&work, 0, n, 0);
        time_ns += timer_iteration_ns(timer, &work);
        tokens += n;
        if (n == 100)
            CU_ASSERT_EQUAL(outcome.rows[0].ttft_ns, time_ns);
    }
    const struct instance_row *instance = &outcome.instances[0];
    CU_ASSERT_EQUAL(outcome.rows[0].e2e_ns, time_ns);
    CU_ASSERT_EQUAL(instance->prefill_tokens, (uint64_t)tokens - 39); /* but the new one of each step */
    CU_ASSERT_EQUAL(instance->recomputed_tokens, (uint64_t)tokens - 39 - 100);
    CU_ASSERT(instance->prefill_iterations == 1 && instance->decode_iterations == 39);
    CU_ASSERT(instance->kv_capacity_blocks == 0 && instance->kv_allocated_blocks == 0);
    CU_ASSERT_EQUAL(instance->kv_mean_utilization, 0);
    timer_free(timer);
    outcome_clear(&outcome);
}

static double flops_of(const char *cache, int64_t output, double *useful)
{
    struct outcome outcome = run_one("llama-2-7b", cache, 1, output);
    double seconds = (double)outcome.summary.end_ns * 1e-9;
    *useful = outcome.pools[0].mfu * PEAK * seconds;
    double flops = outcome.pools[0].hfu * PEAK * seconds;
    outcome_clear(&outcome);
    return flops;
}

/* From a prompt of one token: step n computes n tokens, which see n^2 / 2, or one that sees n. */
static void test_flops(void)
{
    const int64_t step = 2000;
    double none[5], kept[5], useful;
    for (int i = 1; i <= 4; i++) {
        int64_t outputs = i * step;
        double n = (double)outputs, sum = n * (n + 1) / 2, squares = n * (n + 1) * (2 * n + 1) / 6;
        none[i] = flops_of("none", outputs, &useful);
        CU_ASSERT_DOUBLE_EQUAL(none[i], sum * TOKEN_FLOPS + n * ROW_FLOPS + squares / 2 * CONTEXT_FLOPS,
                               1e-11 * none[i]);
        double needed = n * (TOKEN_FLOPS + ROW_FLOPS) + n * n / 2 * CONTEXT_FLOPS;
        CU_ASSERT_DOUBLE_EQUAL(useful, needed, 1e-11 * needed);
        kept[i] = flops_of("kept", outputs, &useful);
        CU_ASSERT_DOUBLE_EQUAL(kept[i], n * (TOKEN_FLOPS + ROW_FLOPS) + (sum - 0.5) * CONTEXT_FLOPS,
                               1e-11 * kept[i]);
    }
    /* O(n^3) and O(n^2): constant third and second differences, n^3 / 6 and n^2 / 2 of a token of context. */
    double h = (double)step;
    double third_none = none[4] - 3 * none[3] + 3 * none[2] - none[1];
    double third_kept = kept[4] - 3 * kept[3] + 3 * kept[2] - kept[1];
    CU_ASSERT_DOUBLE_EQUAL(third_none, h * h * h * CONTEXT_FLOPS, 1e-6 * third_none);
    CU_ASSERT_DOUBLE_EQUAL(kept[3] - 2 * kept[2] + kept[1], h * h * CONTEXT_FLOPS, 1e-6 * kept[1]);
    CU_ASSERT_DOUBLE_EQUAL(third_kept, 0, 1e-9 * kept[4]);
}

/* Differences of that order of times at n = h, 2h, .. */
static double difference(const double *times, int order)
{
    double copy[6];
    memcpy(copy, times, 6 * sizeof *times);
    for (int k = 0; k < order; k++)
        for (int i = 0; i < 5 - k; i++)
            copy[i] = copy[i + 1] - copy[i];
    return copy[0];
}

/* Simulated times at level calibrated: a cubic without the cache, whose cubic part leads at 240,000 tokens; a
 * quadratic with it. */
static void test_growth(void)
{
    double none[6], kept[6];
    for (int i = 0; i < 6; i++) {
        struct outcome outcome = run_one("llama-3.1-8b", "none", 1, 40000 * (i + 1));
        none[i] = (double)outcome.rows[0].e2e_ns;
        outcome_clear(&outcome);
        outcome = run_one("llama-3.1-8b", "kept", 1, 40000 * (i + 1));
        kept[i] = (double)outcome.rows[0].e2e_ns;
        outcome_clear(&outcome);
    }
    double cubic = difference(none, 3), quadratic = difference(kept, 2);
    printf("\n    cubic share %.3f, rest %.4f; quadratic share %.3f, rest %.4f; slope %.2f and %.2f",
           36 * cubic / none[5], difference(none, 4) / cubic, 18 * quadratic / kept[5],
           difference(kept, 3) / quadratic, log2(none[5] / none[2]), log2(kept[5] / kept[2]));
    CU_ASSERT(36 * cubic > 0.5 * none[5]); /* (6 h)^3 / 6 of third differences over h^3 */
    CU_ASSERT(fabs(difference(none, 4)) < 0.02 * cubic);
    CU_ASSERT(18 * quadratic > 0.3 * kept[5]);
    CU_ASSERT(fabs(difference(kept, 3)) < 0.02 * quadratic);
    CU_ASSERT(log2(none[5] / none[2]) > 2.5);
    CU_ASSERT(log2(kept[5] / kept[2]) < 2);
}

static int64_t roll(uint64_t seed, uint64_t *count, int64_t below)
{
    return (int64_t)(rng_bits(seed, 5, RNG_ROUTER, (*count)++) % (uint64_t)below);
}

/* Batches, with memory for all or for little. */
static void test_modes(void)
{
    uint64_t preemptions = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t rolls = 0;
        struct experiment *experiment = whole("none");
        double room = (const double[]){1.5e7, 3e7, 1e9}[roll(seed, &rolls, 3)];
        experiment_synthetic(
            experiment, "{\"uniform\": {\"min\": 1, \"max\": 120}}",
            "{\"uniform\": {\"min\": 1, \"max\": 60}}",
            roll(seed, &rolls, 2) ? "\"all-at-once\"" : "{\"poisson\": {\"rate_per_s\": 40}}", 60);
        experiment_set(experiment, "cluster.pools[0].kv.activations=%s",
                       (const char *const[]){"engine", "padded", "packed"}[roll(seed, &rolls, 3)]);
        experiment_set(experiment, "cluster.pools[0].kv.margin_gib=%.17g",
                       79.2 - (2 * 6738415616.0 + room) / (1 << 30));
        experiment_set(experiment, "cluster.pools[0].timer.attention=%s",
                       roll(seed, &rolls, 2) ? "materialized" : "flash");
        experiment_set(experiment, "cluster.pools[0].scheduler.max_num_seqs=%lld",
                       (long long)(1 + roll(seed, &rolls, 30)));
        experiment_set(experiment, "cluster.pools[0].pipeline_parallel=%lld",
                       (long long)(1 + roll(seed, &rolls, 2)));
        struct outcome leaping = experiment_run_well(experiment);
        CU_ASSERT_EQUAL(leaping.summary.completed, 60);
        outcome_check_conserved(&leaping, MS);
        CU_ASSERT_EQUAL(leaping.summary.kv_allocated_blocks, 0);
        for (int i = 0; i < 2; i++) {
            experiment_set(experiment, "simulation.mode=%s", i == 0 ? "aggregate" : "naive");
            struct outcome other = experiment_run_well(experiment);
            CU_ASSERT_PTR_NULL(outcome_difference(&leaping, &other));
            outcome_clear(&other);
        }
        preemptions += leaping.summary.preemptions;
        outcome_clear(&leaping);
        experiment_free(experiment);
    }
    CU_ASSERT(preemptions > 20);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"alone", test_alone},
        {"FLOPs", test_flops},
        {"growth of times", test_growth},
        {"modes", test_modes},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("no cache", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
