/* MFU, HFU, MBU and energy of whole runs from the shapes of the model alone, what a prompt token costs where
 * tokens are recomputed, and whose gaps ITL counts after a warm-up. */
#include "test.h"

#include "experiment.h"
#include "tandem/roofline.h"

#define LATENCY_NS 1000000
#define PEAK       989e12 /* h100-sxm, bf16, FLOP/s */
#define BANDWIDTH  3350e9 /* bytes/s */
#define TDP        700.0  /* W */

/* llama-2-7b: 32 layers of width 4096, 32 heads of 128 for queries, keys and values, MLP 11008, vocabulary
 * 32000. */
#define LAYER_VALUES  (4.0 * 4096 * 4096 + 3.0 * 4096 * 11008)
#define TOKEN_FLOPS   (2 * 32 * LAYER_VALUES)
#define ROW_FLOPS     (2.0 * 4096 * 32000)
#define CONTEXT_FLOPS (4.0 * 32 * 4096) /* scores and values */
#define KV_BYTES      (2.0 * 32 * 4096 * 2)

/* Two bytes a value; on tp GPUs the matrices, embedding and head are divided, 65 norms are on each. */
static double weight_bytes(int tp)
{
    return 2 * (32 * LAYER_VALUES + 2.0 * 32000 * 4096 + tp * 65.0 * 4096);
}

/* Sums of what one instance computes. */
struct sums {
    double iterations, tokens, rows, context, read;
};

static void add_chunk(struct sums *sums, double before, double tokens, double rows)
{
    sums->iterations++;
    sums->tokens += tokens;
    sums->rows += rows;
    sums->context += tokens * (before + tokens / 2);
    sums->read += before + tokens;
}

static void add_steps(struct sums *sums, double first_context, int steps)
{
    for (int i = 0; i < steps; i++) {
        sums->iterations++;
        sums->tokens++;
        sums->rows++;
        sums->context += first_context + i;
        sums->read += first_context + i;
    }
}

static struct sums both(struct sums a, struct sums b)
{
    return (struct sums){a.iterations + b.iterations, a.tokens + b.tokens, a.rows + b.rows,
                         a.context + b.context, a.read + b.read};
}

static double flops_of(const struct sums *sums)
{
    return sums->tokens * TOKEN_FLOPS + sums->rows * ROW_FLOPS + sums->context * CONTEXT_FLOPS;
}

static double bytes_of(const struct sums *sums, int tp)
{
    return sums->iterations * weight_bytes(tp) + (sums->read + sums->tokens) * KV_BYTES;
}

/* Joules of so many GPUs beyond those of idle ones, the whole of it in busy_ns. */
static double joules_of(const struct sums *sums, int gpus, int tp, double busy_ns)
{
    double gpu_s = gpus * busy_ns * 1e-9;
    if (busy_ns <= 0)
        return 0;
    return TDP * gpu_s *
           (0.518 * pow(flops_of(sums) / (PEAK * gpu_s), 0.448) +
            0.735 * bytes_of(sums, tp) / (BANDWIDTH * gpu_s));
}

#define NEAR(actual, expected) CU_ASSERT_DOUBLE_EQUAL(actual, expected, 1e-12 * (expected))

/* The window is the whole run: one request, or all at once. The pool has one instance, and no iteration that
 * both prefills and decodes. tp of so many GPUs divide each matrix. */
static void check_rates(const struct outcome *outcome, size_t pool, int gpus, int tp,
                        const struct sums *prefill, const struct sums *decode)
{
    double gpu_s = gpus * (double)outcome->summary.end_ns * 1e-9;
    struct sums sums = both(*prefill, *decode);
    const struct instance_row *instance = &outcome->instances[pool];
    const struct pool_row *row = &outcome->pools[pool];
    CU_ASSERT_EQUAL(outcome->summary.window_start_ns, 0);
    CU_ASSERT_EQUAL(outcome->summary.window_end_ns, outcome->summary.end_ns);
    NEAR(row->hfu, flops_of(&sums) / (PEAK * gpu_s));
    CU_ASSERT_EQUAL(row->mfu, row->hfu);
    NEAR(row->mbu, bytes_of(&sums, tp) / (BANDWIDTH * gpu_s));
    CU_ASSERT_EQUAL(instance->hfu, row->hfu);
    CU_ASSERT_EQUAL(instance->mbu, row->mbu);
    CU_ASSERT(row->mfu < 1 && row->mbu < 1);
}

static void check_energy(const struct outcome *outcome, size_t pool, int gpus, double joules)
{
    const struct pool_row *row = &outcome->pools[pool];
    double idle = 0.255 * TDP * gpus * (double)outcome->summary.end_ns * 1e-9;
    NEAR(row->energy_joules, idle + joules);
    CU_ASSERT_EQUAL(outcome->instances[pool].energy_joules, row->energy_joules);
    CU_ASSERT_EQUAL(row->power_capped, 0);
}

static void check_pool(const struct outcome *outcome, size_t pool, int tp, const struct sums *prefill,
                       const struct sums *decode)
{
    const struct instance_row *instance = &outcome->instances[pool];
    check_rates(outcome, pool, tp, tp, prefill, decode);
    check_energy(outcome, pool, tp,
                 joules_of(prefill, tp, tp, (double)instance->busy_prefill_ns) +
                     joules_of(decode, tp, tp, (double)instance->busy_decode_ns));
}

static void test_unified_alone(void)
{
    for (int tp = 1; tp <= 2; tp++) {
        struct experiment *experiment = experiment_new(experiment_unified);
        experiment_trace(experiment, &(struct experiment_request){0, 1000, 200, 0, 0}, 1);
        experiment_set(experiment, "cluster.pools[0].tensor_parallel=%d", tp);
        experiment_set(experiment, "cluster.pools[0].scheduler.max_num_batched_tokens=600");
        struct outcome outcome = experiment_run_well(experiment);
        struct sums prefill = {0}, decode = {0};
        add_chunk(&prefill, 0, 600, 0);
        add_chunk(&prefill, 600, 400, 1);
        add_steps(&decode, 1001, 199);
        check_pool(&outcome, 0, tp, &prefill, &decode);
        NEAR(outcome.summary.joules_per_output_token, outcome.pools[0].energy_joules / 200);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* Two stages have half of the weights each; one request keeps one of two micro-batches busy. */
static void test_stages_alone(void)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_trace(experiment, &(struct experiment_request){0, 1000, 200, 0, 0}, 1);
    experiment_set(experiment, "cluster.pools[0].pipeline_parallel=2");
    struct outcome outcome = experiment_run_well(experiment);
    struct sums prefill = {0}, decode = {0};
    add_chunk(&prefill, 0, 1000, 1);
    add_steps(&decode, 1001, 199);
    check_rates(&outcome, 0, 2, 1, &prefill, &decode);
    const struct row *row = &outcome.rows[0];
    const struct instance_row *instance = &outcome.instances[0];
    CU_ASSERT_EQUAL(instance->busy_prefill_ns, (uint64_t)row->prefill_ns / 2);
    CU_ASSERT_EQUAL(instance->busy_decode_ns, (uint64_t)row->decode_ns / 2);
    NEAR(outcome.pools[0].utilization,
         (double)(row->prefill_ns + row->decode_ns) / 2 / (double)outcome.summary.end_ns);
    check_energy(&outcome, 0, 2,
                 joules_of(&prefill, 2, 1, (double)row->prefill_ns / 2) +
                     joules_of(&decode, 2, 1, (double)row->decode_ns / 2));
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Model and layout, as keys of a pool, and requests: one for each lane. */
struct divided {
    const char *model;
    const char *keys[4];
    int requests, prompt;
};

enum { DIVIDED_OUTPUT = 60 }; /* tokens; instances of one member leap over most of their steps */

/* FLOPs and bytes of an iteration by `tandem roofline`. */
static void add_iteration(const struct divided *divided, const char *const *batch, double *flops,
                          double *bytes)
{
    char model[64];
    const char *sets[16] = {"gpu=h100-sxm", "kv.blocks=4000", model};
    size_t count = 3;
    struct roofline_report report;
    struct error error = {{0}};
    snprintf(model, sizeof model, "model=%s", divided->model);
    for (int i = 0; i < 4 && divided->keys[i]; i++)
        sets[count++] = divided->keys[i];
    for (; *batch; batch++)
        sets[count++] = *batch;
    bool good = roofline_compute(sets, count, &report, &error);
    CU_ASSERT_FATAL(good);
    double gpu_s = (double)report.gpus * report.time.seconds;
    *flops += report.mfu * report.peak_flops * gpu_s;
    *bytes += report.mbu * report.bandwidth * gpu_s;
    roofline_clear(&report);
}

/* What a run counts in lanes, stages, experts, latents and windows is what its iterations have by themselves.
 */
static void test_divided(void)
{
    static const struct divided cases[] = {
        {"llama-2-7b", {"pipeline_parallel=2"}, 1, 500},
        {"mixtral-8x7b", {"attention_data_parallel=4", "expert_parallel=4"}, 4, 500},
        {"qwen3-30b-a3b", {"attention_data_parallel=2", "expert_parallel=2", "pipeline_parallel=2"}, 2, 700},
        {"deepseek-v3", {"tensor_parallel=8", "expert_parallel=8"}, 1, 300},
        {"gemma-3-12b", {"tensor_parallel=2"}, 1, 1000}, /* a window of 1,024: outgrown */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct divided *divided = &cases[i];
        static const struct experiment_request none;
        struct experiment_request requests[4] = {none, none, none, none};
        char prompt[32], context[32];
        double flops = 0, bytes = 0;
        for (int k = 0; k < divided->requests; k++)
            requests[k] = (struct experiment_request){0, divided->prompt, DIVIDED_OUTPUT, 0, 0};
        struct experiment *experiment = experiment_new(experiment_unified);
        experiment_trace(experiment, requests, (size_t)divided->requests);
        experiment_set(experiment, "model=%s", divided->model);
        experiment_set(experiment, "cluster.pools[0].kv.blocks=4000");
        for (int k = 0; k < 4 && divided->keys[k]; k++)
            experiment_set(experiment, "cluster.pools[0].%s", divided->keys[k]);
        struct outcome outcome = experiment_run_well(experiment);
        snprintf(prompt, sizeof prompt, "prefill=%d", divided->prompt);
        add_iteration(divided, (const char *const[]){prompt, NULL}, &flops, &bytes);
        for (int step = 1; step < DIVIDED_OUTPUT; step++) {
            snprintf(context, sizeof context, "context=%d", divided->prompt + step);
            add_iteration(divided, (const char *const[]){"batch=1", context, NULL}, &flops, &bytes);
        }
        const struct pool_row *pool = &outcome.pools[0];
        double gpu_s = (double)pool->gpus * (double)outcome.summary.end_ns * 1e-9;
        double peak = strcmp(divided->model, "deepseek-v3") == 0 ? 2 * PEAK : PEAK; /* FP8 */
        CU_ASSERT_DOUBLE_EQUAL(pool->mfu, flops / (peak * gpu_s), 1e-3 * pool->mfu);
        CU_ASSERT_DOUBLE_EQUAL(pool->mbu, bytes / (BANDWIDTH * gpu_s), 1e-9 * pool->mbu);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* Which tokens each pool computes. */
static void disaggregated_alone(const char *first_token, double first_context, int steps)
{
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    experiment_trace(experiment, &(struct experiment_request){0, 1000, 200, 0, 0}, 1);
    experiment_set(experiment, "cluster.handoff.first_token=%s", first_token);
    experiment_set(experiment, "cluster.pools[decode].tensor_parallel=2");
    struct outcome outcome = experiment_run_well(experiment);
    struct sums prefill = {0}, decode = {0};
    const struct sums none = {0};
    add_chunk(&prefill, 0, 1000, 1);
    add_steps(&decode, first_context, steps);
    check_pool(&outcome, 0, 1, &prefill, &none);
    check_pool(&outcome, 1, 2, &none, &decode);
    NEAR(outcome.summary.energy_joules, outcome.pools[0].energy_joules + outcome.pools[1].energy_joules);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

static void test_disaggregated_alone(void)
{
    disaggregated_alone("decode", 1000, 200); /* runs the last prompt token again */
    disaggregated_alone("prefill", 1001, 199);
    disaggregated_alone("relay", 1001, 199);
}

/* Two requests of 64 + 40 tokens on 10 blocks of 16: at 80 cached tokens each has 5 blocks, the second one
 * has to go, and is computed again when the first one has ended: 80 tokens twice, and one that was sampled
 * last. */
static void test_preempted(void)
{
    const struct experiment_request requests[] = {{0, 64, 40, 0, 0}, {0, 64, 40, 0, 0}};
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_trace(experiment, requests, 2);
    experiment_set(experiment, "cluster.pools[0].kv.blocks=10");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.summary.preemptions, 1);
    CU_ASSERT_EQUAL(outcome.instances[0].recomputed_tokens, 80);
    CU_ASSERT_EQUAL(outcome.instances[0].prefill_tokens, 2 * 64 + 81);

    /* Both prompts at once; 16 steps together; the first alone; the other again, and its rest. */
    struct sums sums = {0};
    add_chunk(&sums, 0, 64, 1);
    add_chunk(&sums, 0, 64, 1);
    add_steps(&sums, 65, 16);
    add_steps(&sums, 65, 16);
    sums.iterations -= 1 + 16;
    add_steps(&sums, 81, 39 - 16);
    struct sums useful = sums;
    add_chunk(&sums, 0, 81, 1);
    add_steps(&sums, 82, 39 - 17);
    add_chunk(&useful, 80, 1, 1); /* of the 81 tokens only the last one is new */
    add_steps(&useful, 82, 39 - 17);
    double time_s = (double)outcome.summary.end_ns * 1e-9;
    NEAR(outcome.pools[0].hfu, flops_of(&sums) / (PEAK * time_s));
    NEAR(outcome.pools[0].mfu, flops_of(&useful) / (PEAK * time_s));
    NEAR(outcome.pools[0].mbu, bytes_of(&sums, 1) / (BANDWIDTH * time_s));
    CU_ASSERT(outcome.pools[0].hfu > outcome.pools[0].mfu);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* A static batch of 100 and 300 prompt tokens, 2 and 4 of output: both prompts are computed as 300, and both
 * slots decode for three steps; only what the requests need is useful. */
static void test_padded(void)
{
    const struct experiment_request requests[] = {{0, 100, 2, 0, 0}, {0, 300, 4, 0, 0}};
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_trace(experiment, requests, 2);
    experiment_set(experiment,
                   "cluster.pools[0].scheduler={\"policy\": \"static\", \"static_batch_size\": 2}");
    struct outcome outcome = experiment_run_well(experiment);
    struct sums sums = {0}, useful = {0};
    for (int slot = 0; slot < 2; slot++) {
        add_chunk(&sums, 0, 300, 1);
        add_steps(&sums, 301, 3);
    }
    sums.iterations = 1 + 3;
    add_chunk(&useful, 0, 100, 1);
    add_steps(&useful, 101, 1);
    add_chunk(&useful, 0, 300, 1);
    add_steps(&useful, 301, 3);
    double time_s = (double)outcome.summary.end_ns * 1e-9;
    NEAR(outcome.pools[0].hfu, flops_of(&sums) / (PEAK * time_s));
    NEAR(outcome.pools[0].mfu, flops_of(&useful) / (PEAK * time_s));
    NEAR(outcome.pools[0].mbu, bytes_of(&sums, 1) / (BANDWIDTH * time_s));
    CU_ASSERT_EQUAL(outcome.pools[0].padding_tokens, 202);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Recomputed tokens are no input: however often a prompt is computed, its tokens are paid for once. */
static void test_prompt_price(void)
{
    static const char *const policies[] = {"chunked", "continuous"};
    for (int i = 0; i < 4; i++) {
        struct experiment *experiment = experiment_new(experiment_unified);
        experiment_synthetic(experiment, "{\"uniform\": {\"min\": 1, \"max\": 500}}",
                             "{\"uniform\": {\"min\": 1, \"max\": 300}}", "\"all-at-once\"", 200);
        experiment_set(experiment, "cluster.pools[0].scheduler.policy=%s", policies[i % 2]);
        experiment_set(experiment, "cluster.pools[0].scheduler.max_num_batched_tokens=300");
        if (i < 2)
            experiment_set(experiment, "cluster.pools[0].kv.blocks=60");
        experiment_set(experiment, "cluster.pools[0].price_usd_per_gpu_hour=3.6");
        struct outcome outcome = experiment_run_well(experiment);
        const struct pool_row *pool = &outcome.pools[0];
        double cost = 3.6 / 3600 * (double)outcome.summary.end_ns * 1e-9;
        CU_ASSERT((outcome.instances[0].recomputed_tokens > 1000) == (i < 2));
        NEAR(pool->usd_per_million_prefill_tokens, cost * 1e6 / (double)outcome.summary.prompt_tokens);
        NEAR(pool->usd_per_million_output_tokens, cost * 1e6 / (double)outcome.summary.output_tokens);
        CU_ASSERT((pool->hfu > pool->mfu) == (i < 2));
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* Requests from before the warm-up decode on in the window, some are preempted: their gaps are not counted,
 * in either mode (outcome_check_conserved says which are). */
static void check_gaps_after_warm_up(struct experiment *experiment)
{
    experiment_synthetic(experiment, "{\"uniform\": {\"min\": 1, \"max\": 500}}",
                         "{\"uniform\": {\"min\": 1, \"max\": 300}}", "{\"poisson\": {\"rate_per_s\": 30}}",
                         600);
    experiment_set(experiment, "warm_up_s=8");
    struct outcome leaping = experiment_run_well(experiment);
    outcome_check_conserved(&leaping, LATENCY_NS);
    CU_ASSERT_EQUAL(leaping.summary.window_start_ns, INT64_C(8000000000));
    bool crossed = false; /* the case is worth something */
    for (size_t i = 0; i < leaping.row_count; i++)
        crossed |= leaping.rows[i].arrival_ns < INT64_C(8000000000) &&
                   leaping.rows[i].arrival_ns + leaping.rows[i].e2e_ns > INT64_C(8000000000);
    CU_ASSERT(crossed);
    CU_ASSERT(leaping.summary.preemptions > 50);
    experiment_set(experiment, "simulation.mode=naive");
    struct outcome naive = experiment_run_well(experiment);
    CU_ASSERT_PTR_NULL(outcome_difference(&leaping, &naive));
    outcome_clear(&naive);
    outcome_clear(&leaping);
    experiment_free(experiment);
}

static void test_gaps_after_warm_up(void)
{
    static const char *const policies[] = {"chunked", "continuous"};
    static const char *const first_tokens[] = {"decode", "prefill", "relay"};
    for (int i = 0; i < 2; i++) {
        struct experiment *experiment = experiment_new(experiment_unified);
        experiment_set(experiment, "cluster.pools[0].kv.blocks=120");
        experiment_set(experiment, "cluster.pools[0].scheduler.policy=%s", policies[i]);
        check_gaps_after_warm_up(experiment);
    }
    for (int i = 0; i < 3; i++) {
        struct experiment *experiment = experiment_new(experiment_disaggregated);
        experiment_set(experiment, "cluster.pools[decode].kv.blocks=120");
        experiment_set(experiment, "cluster.handoff.first_token=%s", first_tokens[i]);
        check_gaps_after_warm_up(experiment);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"one request, unified", test_unified_alone},
        {"one request, two stages", test_stages_alone},
        {"divided as their iterations", test_divided},
        {"one request, disaggregated", test_disaggregated_alone},
        {"a preemption", test_preempted},
        {"a static batch, padded", test_padded},
        {"price of a prompt token", test_prompt_price},
        {"gaps after a warm-up", test_gaps_after_warm_up},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("utilization", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
