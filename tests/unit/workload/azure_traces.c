/* The real Azure traces against the figures of their READMEs. Skipped where they are not there. */
#include "support.h"

#include "tandem/text.h"

static char conv[4096], code[4096];

static struct workload *load(const char *path)
{
    struct text json = {0};
    text_append(&json, "{\"trace\": {\"format\": \"azure\", \"path\": \"%s\"}}", path);
    struct workload *workload = support_good(text_string(&json), 1);
    text_clear(&json);
    return workload;
}

static void test_conv(void)
{
    static const struct workload_request first[] = {
        {0, 374, 44, 44, 0, -1, 0, NULL, 0},
        {4314579000, 396, 109, 109, 0, -1, 0, NULL, 0},
        {4541877000, 879, 55, 55, 0, -1, 0, NULL, 0},
        {4710427000, 91, 16, 16, 0, -1, 0, NULL, 0},
    };
    struct workload *workload = load(conv);
    struct workload_request request, last = {0};
    int64_t prompt_tokens = 0, output_tokens = 0;
    CU_ASSERT_EQUAL(workload_count(workload), 19366);
    CU_ASSERT_EQUAL(workload_last_send_ns(workload), INT64_C(3501721937000));
    workload_count_longer(workload, 4096);
    CU_ASSERT_STRING_EQUAL(workload_trace_sha256(workload),
                           "2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8");
    for (size_t i = 0; workload_next(workload, &request); i++) {
        CU_ASSERT_FATAL(request.send_ns >= last.send_ns);
        if (i < sizeof first / sizeof first[0])
            CU_ASSERT_EQUAL(memcmp(&request, &first[i], sizeof request), 0);
        prompt_tokens += request.prompt_tokens;
        output_tokens += request.output_tokens;
        last = request;
    }
    CU_ASSERT_EQUAL(prompt_tokens, 22361870);
    CU_ASSERT_EQUAL(output_tokens, 4088665);
    CU_ASSERT_EQUAL(workload_longer(workload), 1612);
    CU_ASSERT_EQUAL(last.prompt_tokens, 197);
    CU_ASSERT_EQUAL(last.output_tokens, 183);
    workload_free(workload);
}

static void test_code(void)
{
    struct workload *workload = load(code);
    CU_ASSERT_EQUAL(workload_count(workload), 8819);
    CU_ASSERT_EQUAL(workload_last_send_ns(workload), INT64_C(3435948056000));
    struct support_sums sums = support_walk(workload);
    CU_ASSERT_EQUAL(sums.requests, 8819);
    CU_ASSERT_EQUAL(sums.prompt_tokens, 18059974);
    CU_ASSERT_EQUAL(sums.output_tokens, 245896);
    workload_free(workload);
}

/* Each of the words is in the report. */
static void check_info(const char *path, const char *const *words, size_t count)
{
    struct text text = {0};
    struct error error;
    CU_ASSERT_TRUE_FATAL(workload_trace_info(path, NULL, NULL, &text, &error));
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), words[i]));
        if (!strstr(text_string(&text), words[i]))
            printf("\n  not found: %s\n", words[i]);
    }
    text_clear(&text);
}

static const char *const of_conv[] = {
    "format         azure",
    "requests       19366\n",
    "span           3501.722 s\n",
    "mean rate      5.530 requests/s\n",
    "CV of gaps     1.094\n",
    "largest gaps   4.315 3.128 3.103 3.030 2.639 2.352 1.923 1.873 s\n",
    "per minute     191 to 507 requests (58 full minutes)\n",
    "prompt       1154.7        29       207      1020    2734.5      4142    6179.",
    "output        211.1        16        54       129       424       601       954         7      1000",
};
static const char *const of_code[] = {
    "mean rate      2.566 requests/s\n",
    "per minute     0 to ",
    "prompt       2047.8        17       147      1469    5187.6      7436      7437         3      7437",
    "output         27.9         6         7        13        55     251.5     825.3         6      1899",
};

static void test_info(void)
{
    check_info(conv, of_conv, sizeof of_conv / sizeof of_conv[0]);
    check_info(code, of_code, sizeof of_code / sizeof of_code[0]);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"conv", test_conv},
        {"code", test_code},
        {"trace info", test_info},
    };
    const char *path = test_shared_file("data/AzureLLMInferenceTrace_conv.csv");
    if (!path)
        return TEST_SKIP_EXIT_CODE;
    snprintf(conv, sizeof conv, "%s", path);
    path = test_shared_file("data/AzureLLMInferenceTrace_code.csv");
    if (!path)
        return TEST_SKIP_EXIT_CODE;
    snprintf(code, sizeof code, "%s", path);
    return test_main("workload azure traces", cases, sizeof cases / sizeof cases[0]);
}
