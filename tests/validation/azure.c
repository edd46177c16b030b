/* The real Azure conversation trace (Microsoft, Patel et al. 2024): every request, token, block and byte
 * comes out. */
#include "test.h"

#include "experiment.h"

#define LATENCY_NS 1000000

#define AZURE_REQUESTS 19366

/* Sums of the trace, read here with nothing of Tandem. */
struct trace_sums {
    uint64_t requests, prompt_tokens, output_tokens, wire_bytes;
};

/* llama-2-70b: 2 x 80 layers x 8 KV heads x 128 x 2 bytes, in blocks of 16 tokens, moved whole. */
static uint64_t wire_bytes(uint64_t prompt_tokens)
{
    return (prompt_tokens + 15) / 16 * 16 * 327680;
}

static struct trace_sums sum_trace(const char *path)
{
    struct trace_sums sums = {0};
    char line[256];
    FILE *file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(line, sizeof line, file)) {
        char *comma = strchr(line, ',');
        unsigned long long prompt = 0, output = 0;
        if (!comma)
            continue;
        char *end;
        prompt = strtoull(comma + 1, &end, 10);
        if (end == comma + 1 || *end != ',')
            continue; /* the header */
        output = strtoull(end + 1, NULL, 10);
        sums.requests++;
        sums.prompt_tokens += prompt;
        sums.output_tokens += output;
        sums.wire_bytes += wire_bytes(prompt);
    }
    fclose(file);
    return sums;
}

static const char *azure_path;

static void run_azure(const char *cluster, bool disaggregated)
{
    char json[8192];
    struct trace_sums trace = sum_trace(azure_path);
    snprintf(json, sizeof json,
             "{\"name\": \"azure\", \"model\": \"llama-2-70b\", \"cluster\": \"%s\", \"workload\": "
             "{\"trace\": {\"format\": \"azure\", \"path\": \"%s\"}}}",
             cluster, azure_path);
    struct experiment *experiment = experiment_new(json);
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(trace.requests, AZURE_REQUESTS);
    CU_ASSERT_EQUAL(outcome.summary.completed, AZURE_REQUESTS);
    CU_ASSERT_EQUAL(outcome.summary.refused, 0);
    CU_ASSERT_EQUAL(outcome.summary.prompt_tokens, trace.prompt_tokens);
    CU_ASSERT_EQUAL(outcome.summary.output_tokens, trace.output_tokens);
    CU_ASSERT_EQUAL(outcome.summary.kv_allocated_blocks, outcome.summary.kv_freed_blocks);
    CU_ASSERT(outcome.summary.kv_allocated_blocks > trace.prompt_tokens / 16);
    CU_ASSERT_EQUAL(outcome.summary.kv_transfer_bytes, disaggregated ? trace.wire_bytes : 0);
    CU_ASSERT_EQUAL(outcome.summary.moved_requests, disaggregated ? AZURE_REQUESTS : 0);
    for (size_t i = 0; disaggregated && i < outcome.row_count; i++)
        CU_ASSERT_EQUAL(outcome.rows[i].kv_transfer_bytes, wire_bytes(outcome.rows[i].prompt_tokens));
    outcome_check_conserved(&outcome, LATENCY_NS);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

static void test_azure_unified(void)
{
    run_azure("unified-4x-h100-tp4", false);
}

static void test_azure_disaggregated(void)
{
    run_azure("disagg-2p2d-h100-tp4", true);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"unified", test_azure_unified},
        {"disaggregated", test_azure_disaggregated},
    };
    azure_path = test_shared_file("data/AzureLLMInferenceTrace_conv.csv");
    if (!azure_path)
        return TEST_SKIP_EXIT_CODE;
    MPI_Init(&argc, &argv);
    int code = test_main("Azure conversation trace", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
