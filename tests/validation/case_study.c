/* The case study of a document (seeds/traditional-attention.md, "Case Study: Production LLM Serving") as
 * simulations: Llama-2-13B on an A100 with 50 GB of KV cache, batches of 6 s, requests of 800 tokens. It
 * counts 1 MB a token and rounds the 2,048 MB of a pre-allocated sequence to 2 GB, which is 2,000 tokens. */
#include "test.h"

#include "experiment.h"

#define SECOND       INT64_C(1000000000)
#define LATENCY_NS   1000 /* of control messages */
#define BLOCK_TOKENS 16

/* Both 25 and 62 batches are full. */
#define REQUESTS (25 * 62)

/* Static batches of 6 s of requests that cache 790 to 800 tokens, as many as the blocks have room for. */
static struct experiment *make(int64_t blocks, const char *kv)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_synthetic(experiment, "{\"fixed\": 790}", "{\"fixed\": 11}", "\"all-at-once\"", REQUESTS);
    experiment_set(experiment, "model=llama-2-13b");
    experiment_set(experiment, "cluster.network.control_latency_us=1");
    experiment_set(experiment, "cluster.pools[0].gpu=a100-sxm-80gb");
    experiment_set(experiment, "cluster.pools[0].price_usd_per_gpu_hour=3");
    experiment_set(experiment,
                   "cluster.pools[0].scheduler={\"policy\": \"static\", \"static_batch_size\": 128}");
    experiment_set(experiment,
                   "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": 30, \"decode_ms\": 597}");
    experiment_set(experiment, "cluster.pools[0].kv={\"block_tokens\": %d, \"blocks\": %lld, %s}",
                   BLOCK_TOKENS, (long long)blocks, kv);
    return experiment;
}

/* Runs it; checks how many sequences the first batch has and how long all batches take. */
static struct outcome check(struct experiment *experiment, int batch)
{
    struct outcome outcome = experiment_run_well(experiment);
    outcome_check_conserved(&outcome, LATENCY_NS);
    int first = 0;
    for (size_t i = 0; i < outcome.row_count; i++)
        first += outcome.rows[i].prefill_queue_ns == 0;
    CU_ASSERT_EQUAL(first, batch);
    int batches = (REQUESTS + batch - 1) / batch;
    CU_ASSERT_EQUAL(outcome.summary.end_ns, 6 * batches * SECOND + LATENCY_NS);
    experiment_free(experiment);
    return outcome;
}

static double per_minute(const struct outcome *outcome)
{
    return 60 * outcome->summary.completed_per_s;
}

/* GPU-hours of 1 M requests. */
static double gpu_hours(const struct outcome *outcome)
{
    return 1000 * outcome->summary.usd_per_thousand_requests / 3;
}

/* 25 sequences, 250 a minute, 40 % used, 30 GB wasted; 62 and 620; 39.8 GPU-hours and $119.40 a day. */
static void test_document(void)
{
    const int64_t blocks = 50000 / BLOCK_TOKENS; /* 50,000 MB at 1 MB a token */
    struct outcome reserved =
        check(make(blocks, "\"allocator\": \"contiguous-max\", \"max_length_tokens\": 2000"), 25);
    struct outcome needed = check(make(blocks, "\"allocator\": \"paged\""), 62);
    CU_ASSERT_DOUBLE_EQUAL(per_minute(&reserved), 250, 0.1);
    CU_ASSERT_DOUBLE_EQUAL(per_minute(&needed), 620, 0.1);
    CU_ASSERT_DOUBLE_EQUAL(reserved.pools[0].kv_mean_cached, 0.40, 0.005);
    CU_ASSERT_DOUBLE_EQUAL(50 * reserved.pools[0].kv_internal_fragmentation, 30, 0.5);
    CU_ASSERT_DOUBLE_EQUAL(gpu_hours(&reserved), 4000.0 / 60, 0.05);
    CU_ASSERT_DOUBLE_EQUAL(gpu_hours(&needed), 1613.0 / 60, 0.05);
    CU_ASSERT_DOUBLE_EQUAL(gpu_hours(&reserved) - gpu_hours(&needed), 39.8, 0.05);
    CU_ASSERT_DOUBLE_EQUAL(3 * (gpu_hours(&reserved) - gpu_hours(&needed)), 119.40, 0.1);
    outcome_clear(&needed);
    outcome_clear(&reserved);
}

/* As rounded, there is no 25th sequence of 2,048 tokens; with the model's 819,200 bytes a token there are 29,
 * and 76 by need. */
static void test_true_sizes(void)
{
    const int64_t token_bytes = 2 * 40 * 40 * 128 * 2;
    const int64_t blocks = INT64_C(50000000000) / (token_bytes * BLOCK_TOKENS);
    static const char longest[] = "\"allocator\": \"contiguous-max\", \"max_length_tokens\": 2048";
    struct outcome rounded = check(make(50000 / BLOCK_TOKENS, longest), 24);
    struct outcome reserved = check(make(blocks, longest), 29);
    struct outcome needed = check(make(blocks, "\"allocator\": \"paged\""), 76);
    outcome_clear(&needed);
    outcome_clear(&reserved);
    outcome_clear(&rounded);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"the document's figures", test_document},
        {"true sizes", test_true_sizes},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("case_study", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
