/* Requests that can never be served are refused on arrival and counted with their reason; all others are
 * served. */
#include "test.h"

#include "experiment.h"

#define LATENCY_NS 1000000

/* A request and what has to become of it. */
struct expectation {
    int64_t prompt_tokens, output_tokens;
    enum row_reason reason; /* none: completed */
};

static void check(struct experiment *experiment, const struct expectation *expected, size_t count)
{
    struct experiment_request requests[32];
    uint64_t refused[3] = {0};
    for (size_t i = 0; i < count; i++) {
        requests[i] = (struct experiment_request){(int64_t)i * 1000, expected[i].prompt_tokens,
                                                  expected[i].output_tokens, 0, 0};
        refused[expected[i].reason]++;
    }
    experiment_trace(experiment, requests, count);
    experiment_set(experiment, "slo={\"ttft_ms\": 1000000}");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL_FATAL(outcome.row_count, count);
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &outcome.rows[i];
        CU_ASSERT_EQUAL(row->reason, expected[i].reason);
        CU_ASSERT_EQUAL(row->status, expected[i].reason == ROW_REASON_NONE ? ROW_COMPLETED : ROW_REFUSED);
        CU_ASSERT_EQUAL(row->prompt_tokens, expected[i].prompt_tokens);
        CU_ASSERT_EQUAL(row->output_tokens, expected[i].output_tokens);
        CU_ASSERT((row->prefill_instance == -1) == (row->status == ROW_REFUSED));
    }
    CU_ASSERT_EQUAL(outcome.summary.refused_model_length, refused[ROW_REASON_MODEL_LENGTH]);
    CU_ASSERT_EQUAL(outcome.summary.refused_kv_capacity, refused[ROW_REASON_KV_CAPACITY]);
    CU_ASSERT_EQUAL(outcome.summary.completed, refused[ROW_REASON_NONE]);
    /* Refused requests miss the SLO. */
    CU_ASSERT_DOUBLE_EQUAL(outcome.summary.slo_attainment, (double)refused[ROW_REASON_NONE] / (double)count,
                           1e-12);
    outcome_check_conserved(&outcome, LATENCY_NS);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

#define CHECK_CASES(experiment, cases) check(experiment, cases, sizeof(cases) / sizeof((cases)[0]))

/* 10 blocks of 16: at most 160 cached tokens, so prompt + output - 1 <= 160. */
static void test_unified_capacity(void)
{
    static const struct expectation cases[] = {
        {160, 1, ROW_REASON_NONE},         {161, 1, ROW_REASON_KV_CAPACITY}, {100, 61, ROW_REASON_NONE},
        {100, 62, ROW_REASON_KV_CAPACITY}, {1, 160, ROW_REASON_NONE},        {1, 161, ROW_REASON_KV_CAPACITY},
    };
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_set(experiment, "cluster.pools[0].kv.blocks=10");
    CHECK_CASES(experiment, cases);
    experiment = experiment_new(experiment_unified); /* a request has to fit one of two micro-batches */
    experiment_set(experiment, "cluster.pools[0].kv.blocks=21");
    experiment_set(experiment, "cluster.pools[0].pipeline_parallel=2");
    CHECK_CASES(experiment, cases);
}

/* V0's watermark holds for an empty instance too: 2 of the 10 blocks are never given to a prompt, and a
 * preempted request is a prompt again. */
static void test_continuous_watermark(void)
{
    static const struct expectation cases[] = {
        {128, 1, ROW_REASON_NONE},
        {129, 1, ROW_REASON_KV_CAPACITY},
        {100, 29, ROW_REASON_NONE},
        {100, 30, ROW_REASON_KV_CAPACITY},
    };
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_set(experiment, "cluster.pools[0].kv.blocks=10");
    experiment_set(experiment, "cluster.pools[0].scheduler={\"policy\": \"continuous\", \"watermark\": 0.2}");
    CHECK_CASES(experiment, cases);
}

static void test_model_length(void)
{
    static const struct expectation cases[] =
        {
            {100, 100, ROW_REASON_NONE},
            {101, 100, ROW_REASON_MODEL_LENGTH},
            {1, 199, ROW_REASON_NONE},
            {200, 1, ROW_REASON_MODEL_LENGTH},
            {100000000, 1, ROW_REASON_MODEL_LENGTH}, /* too long for the cache too: the length is told */
        };
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_set(experiment, "cluster.pools[0].max_model_len=200");
    CHECK_CASES(experiment, cases);
    experiment = experiment_new(experiment_disaggregated);
    experiment_set(experiment, "cluster.pools[decode].max_model_len=200"); /* the strictest pool decides */
    experiment_set(experiment, "cluster.pools[prefill].max_model_len=300");
    CHECK_CASES(experiment, cases);
}

/* P/D: the prompt has to fit the prefill instance (8 blocks), prompt + output - 1 the decode instance (10
 * blocks), where at least prompt + 1 is reserved. */
static void test_disaggregated_capacity(void)
{
    static const struct expectation cases[] = {
        {128, 1, ROW_REASON_NONE},         {129, 1, ROW_REASON_KV_CAPACITY}, {128, 33, ROW_REASON_NONE},
        {128, 34, ROW_REASON_KV_CAPACITY}, {1, 160, ROW_REASON_NONE},        {1, 161, ROW_REASON_KV_CAPACITY},
    };
    static const char *const first_tokens[] = {"decode", "prefill", "relay"};
    for (int i = 0; i < 3; i++) {
        struct experiment *experiment = experiment_new(experiment_disaggregated);
        experiment_set(experiment, "cluster.pools[prefill].kv.blocks=8");
        experiment_set(experiment, "cluster.pools[decode].kv.blocks=10");
        experiment_set(experiment, "cluster.handoff.first_token=%s", first_tokens[i]);
        CHECK_CASES(experiment, cases);
    }
}

/* The reservation counts prompt + 1 tokens even where one output token needs no second slot; a request that
 * stays on the prefill instance needs none. */
static void test_reservation(void)
{
    static const struct expectation moves[] = {
        {159, 1, ROW_REASON_NONE},
        {160, 1, ROW_REASON_KV_CAPACITY},
        {159, 2, ROW_REASON_NONE},
        {160, 2, ROW_REASON_KV_CAPACITY},
    };
    static const struct expectation stays[] = {
        {160, 1, ROW_REASON_NONE},
        {320, 1, ROW_REASON_NONE},
        {321, 1, ROW_REASON_KV_CAPACITY},
        {160, 2, ROW_REASON_KV_CAPACITY},
    };
    for (int stay = 0; stay < 2; stay++) {
        struct experiment *experiment = experiment_new(experiment_disaggregated);
        experiment_set(experiment, "cluster.pools[prefill].kv.blocks=20");
        experiment_set(experiment, "cluster.pools[decode].kv.blocks=10");
        experiment_set(experiment, "cluster.handoff.first_token=%s", stay ? "prefill" : "decode");
        if (stay)
            CHECK_CASES(experiment, stays);
        else
            CHECK_CASES(experiment, moves);
    }
}

/* The smallest instance decides, since the router does not look at blocks. */
static void test_smallest_pool(void)
{
    static const struct expectation cases[] = {
        {80, 1, ROW_REASON_NONE},
        {81, 1, ROW_REASON_KV_CAPACITY},
    };
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_set(
        experiment,
        "cluster.pools=[{\"name\": \"a\", \"role\": \"unified\", \"gpu\": \"h100-sxm\", \"instances\": 1, "
        "\"kv\": {\"blocks\": 10}}, {\"name\": \"b\", \"role\": \"unified\", \"gpu\": \"h100-sxm\", "
        "\"instances\": 1, \"kv\": {\"blocks\": 5}}]");
    CHECK_CASES(experiment, cases);
}

/* A closed-loop user whose request is refused sends the next one all the same. */
static void test_closed_loop(void)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_synthetic(experiment, "{\"empirical\": [10, 1000]}", "{\"fixed\": 5}",
                         "{\"closed_loop\": {\"users\": 3, \"think_time_s\": 0}}", 300);
    experiment_set(experiment, "cluster.pools[0].max_model_len=100");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.summary.requests, 300);
    CU_ASSERT(outcome.summary.refused > 100 && outcome.summary.completed > 100);
    outcome_check_conserved(&outcome, LATENCY_NS);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"unified: KV capacity", test_unified_capacity},
        {"continuous: the watermark", test_continuous_watermark},
        {"model length", test_model_length},
        {"disaggregated: KV capacity", test_disaggregated_capacity},
        {"disaggregated: reservation", test_reservation},
        {"pools of different size", test_smallest_pool},
        {"closed loop", test_closed_loop},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("refusals", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
