/* The case study of seeds/traditional-attention.md as a simulation: Llama-2-13B on an A100 with 50 GB for its
 * cache, sequences of 800 tokens that take 6 s ("10 batches a minute"). The document counts 1 MB a token, so
 * there are 50,000 tokens, 2,000 of them for a pre-allocated sequence. */
#include "test.h"

#include "experiment.h"

#define MS            INT64_C(1000000)
#define CACHE_TOKENS  50000
#define PROMPT_TOKENS 201
#define OUTPUT_TOKENS 600 /* of 10 ms each; the last one is never cached */

/* So many requests at once, which take a minute. */
static struct outcome minute(const char *scheduler, const char *kv, int64_t requests)
{
    char prompt[40], output[40];
    struct experiment *experiment = experiment_new(experiment_unified);
    snprintf(prompt, sizeof prompt, "{\"fixed\": %d}", PROMPT_TOKENS);
    snprintf(output, sizeof output, "{\"fixed\": %d}", OUTPUT_TOKENS);
    experiment_synthetic(experiment, prompt, output, "\"all-at-once\"", requests);
    experiment_set(experiment, "model=llama-2-13b");
    experiment_set(experiment, "cluster.pools[0].gpu=a100-sxm-80gb");
    experiment_set(experiment, "cluster.pools[0].gpu.price_usd_per_hour=3");
    experiment_set(experiment,
                   "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 10}");
    experiment_set(experiment, "cluster.pools[0].scheduler=%s", scheduler);
    experiment_set(experiment, "cluster.pools[0].scheduler.max_num_batched_tokens=100000");
    experiment_set(experiment, "cluster.pools[0].kv=%s", kv);
    experiment_set(experiment, "cluster.pools[0].kv.block_tokens=1");
    experiment_set(experiment, "cluster.pools[0].kv.blocks=%d", CACHE_TOKENS);
    struct outcome outcome = experiment_run_modes(experiment, MS);
    CU_ASSERT_EQUAL(outcome.summary.end_ns, 60000 * MS + 1 * MS);
    CU_ASSERT_EQUAL(outcome.summary.completed, (uint64_t)requests);
    CU_ASSERT_EQUAL(outcome.summary.preemptions, 0);
    CU_ASSERT_DOUBLE_EQUAL(60 * outcome.summary.completed_per_s, (double)requests, 0.02);
    experiment_free(experiment);
    return outcome;
}

#define STATIC_25 "{\"policy\": \"static\", \"static_batch_size\": 25}"
#define STATIC_62 "{\"policy\": \"static\", \"static_batch_size\": 62}"

/* Pre-allocated 250 sequences a minute and 40 % of the memory used, by need 620 and all but 400 tokens. Of
 * 2,000 tokens each there is room for no more than 25, whoever batches. */
static void test_throughput(void)
{
    static const struct {
        const char *scheduler, *kv;
        int64_t sequences, allocated;
        double used; /* share of the cache */
    } cases[] = {
        {STATIC_25, "{\"allocator\": \"contiguous-max\", \"max_length_tokens\": 2000}", 25, 2000, 0.4},
        {STATIC_62, "{\"allocator\": \"contiguous-max\", \"max_length_tokens\": 2000}", 25, 2000, 0.4},
        {"{}", "{\"allocator\": \"contiguous-max\", \"max_length_tokens\": 2000}", 25, 2000, 0.4},
        {"{}", "{\"allocator\": \"contiguous-max\", \"max_length_tokens\": 800}", 62, 800, 0.992},
        {STATIC_62, "{\"allocator\": \"contiguous-exact\"}", 62, 800, 0.992},
        {"{\"max_num_seqs\": 62}", "{\"allocator\": \"paged\"}", 62, 800, 0.992},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome outcome = minute(cases[i].scheduler, cases[i].kv, 10 * cases[i].sequences);
        const struct instance_row *instance = &outcome.instances[0];
        CU_ASSERT_EQUAL(instance->kv_peak_blocks, (uint64_t)(cases[i].sequences * cases[i].allocated));
        /* At the last boundary before the end the token in the making is not there yet. */
        CU_ASSERT_EQUAL(instance->kv_peak_tokens, (uint64_t)(cases[i].sequences * (800 - 1)));
        double tokens = (double)instance->kv_peak_tokens + (double)cases[i].sequences;
        CU_ASSERT_DOUBLE_EQUAL(tokens / CACHE_TOKENS, cases[i].used, 1e-12);
        outcome_clear(&outcome);
    }
}

/* A million requests a day: 4,000 and 1,613 GPU-minutes, 39.8 GPU-hours and $119.40 apart. */
static void test_money(void)
{
    const char *scheduler = "{\"max_num_seqs\": 62}";
    struct outcome before =
        minute(STATIC_25, "{\"allocator\": \"contiguous-max\", \"max_length_tokens\": 2000}", 250);
    struct outcome after = minute(scheduler, "{\"allocator\": \"paged\"}", 620);
    double hours_before = 1e6 / before.summary.completed_per_s / 3600;
    double hours_after = 1e6 / after.summary.completed_per_s / 3600;
    CU_ASSERT_DOUBLE_EQUAL(60 * hours_before, 4000, 0.5);
    CU_ASSERT_DOUBLE_EQUAL(60 * hours_after, 1613, 0.5);
    CU_ASSERT_DOUBLE_EQUAL(hours_before - hours_after, 39.8, 0.05);
    double usd = 1000 * (before.summary.usd_per_thousand_requests - after.summary.usd_per_thousand_requests);
    CU_ASSERT_DOUBLE_EQUAL(usd, 119.40, 0.1);
    outcome_clear(&before);
    outcome_clear(&after);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"sequences a minute and memory", test_throughput},
        {"GPU-hours and dollars", test_money},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("the case study", cases, sizeof cases / sizeof *cases);
    MPI_Finalize();
    return code;
}
