/* Traces with the hashes of prompts' blocks, and rows whose times were rounded: hashes stay with their rows,
 * rows in their order. */
#include "support.h"

#include "tandem/text.h"

#define STEP_NS INT64_C(3000000000)

/* Rows at 0, 0, 0, 3, 3, 4 and 40 s with i + 1 blocks of 4 tokens: 100 i, 100 i + 1, .. */
static const int64_t times_ms[] = {0, 0, 0, 3000, 3000, 4000, 40000};
#define ROWS ((int64_t)(sizeof times_ms / sizeof times_ms[0]))

static void append_row(struct text *text, int64_t i)
{
    text_append(text, "{\"timestamp\": %lld, \"input_length\": %lld, \"output_length\": 1, \"hash_ids\": [",
                (long long)times_ms[i], (long long)(4 * i + 1));
    for (int64_t block = 0; block <= i; block++)
        text_append(text, "%s%lld", block > 0 ? ", " : "", (long long)(100 * i + block));
    text_append(text, "]}\n");
}

static struct workload *open_rows(const char *options, bool backwards, uint64_t seed)
{
    struct text text = {0}, json = {0};
    for (int64_t i = 0; i < ROWS; i++)
        append_row(&text, backwards ? ROWS - 1 - i : i);
    text_append(&json, "{\"trace\": {\"format\": \"mooncake\", \"path\": \"%s\", \"block_tokens\": 4%s}}",
                support_write("rows.jsonl", text.bytes, text.length), options);
    struct workload *workload = support_good(text_string(&json), seed);
    text_clear(&text);
    text_clear(&json);
    return workload;
}

/* Row `row` of the list above, whatever its time. */
static void check_row(const struct workload_request *request, int64_t row)
{
    CU_ASSERT_EQUAL(request->prompt_tokens, 4 * row + 1);
    CU_ASSERT_EQUAL_FATAL(request->hash_count, (size_t)row); /* the last block is not full */
    for (size_t block = 0; block < request->hash_count; block++)
        CU_ASSERT_EQUAL(request->hashes[block], 100 * (uint64_t)row + block);
}

static void test_hashes(void)
{
    struct workload *workload = open_rows("", false, 1);
    struct workload_request request;
    CU_ASSERT_EQUAL(workload_hash_tokens(workload), 4);
    for (int64_t row = 0; row < ROWS; row++) {
        CU_ASSERT_TRUE_FATAL(workload_next(workload, &request));
        CU_ASSERT_EQUAL(request.send_ns, times_ms[row] * 1000000);
        check_row(&request, row);
    }
    CU_ASSERT_FALSE(workload_next(workload, &request));
    workload_free(workload);
}

/* Stable: rows of one time stay as they were written. */
static void test_sorted(void)
{
    static const int64_t order[] = {2, 1, 0, 4, 3, 5, 6};
    struct workload *workload = open_rows(", \"sort\": true", true, 1);
    struct workload_request request;
    for (int64_t i = 0; i < ROWS; i++) {
        CU_ASSERT_TRUE_FATAL(workload_next(workload, &request));
        check_row(&request, order[i]);
    }
    workload_free(workload);
}

/* Each lies in its step, before the next time; from the first. */
static void check_spread(const char *options, bool backwards, uint64_t seed, int64_t times_ns[])
{
    static const int64_t order[] = {2, 1, 0, 4, 3, 5, 6};
    struct workload *workload = open_rows(options, backwards, seed);
    struct workload_request request;
    int64_t before_ns = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        CU_ASSERT_TRUE_FATAL(workload_next(workload, &request));
        check_row(&request, backwards ? order[i] : i);
        int64_t written_ns = times_ms[i] * 1000000;
        int64_t next_ns = i == 3 || i == 4 ? 4 * INT64_C(1000000000) : written_ns + STEP_NS;
        CU_ASSERT(request.send_ns >= before_ns && request.send_ns < next_ns);
        CU_ASSERT(request.send_ns > written_ns - STEP_NS);
        before_ns = times_ns[i] = request.send_ns;
    }
    CU_ASSERT_EQUAL(times_ns[0], 0);
    CU_ASSERT_FALSE(workload_next(workload, &request));
    CU_ASSERT_EQUAL(workload_last_send_ns(workload), before_ns);
    workload_free(workload);
}

static void test_spread(void)
{
    int64_t first[ROWS], again[ROWS], sorted[ROWS], other[ROWS];
    check_spread(", \"spread_ties_ms\": 3000", false, 1, first);
    check_spread(", \"spread_ties_ms\": 3000", false, 1, again);
    check_spread(", \"spread_ties_ms\": 3000, \"sort\": true", true, 1, sorted);
    check_spread(", \"spread_ties_ms\": 3000", false, 2, other);
    CU_ASSERT_EQUAL(memcmp(first, again, sizeof first), 0);
    CU_ASSERT_EQUAL(memcmp(first, sorted, sizeof first), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(first, other, sizeof first), 0);
    CU_ASSERT(first[1] > 0 && first[2] > first[1] && first[4] > first[3]);
}

/* A row of a window keeps its place in time: the step's start is not the window's. */
static void test_window(void)
{
    int64_t times_ns[ROWS];
    check_spread(", \"spread_ties_ms\": 3000", false, 1, times_ns);
    struct text json = {0};
    struct workload_request request;
    text_append(
        &json,
        "{\"trace\": {\"format\": \"mooncake\", \"path\": \"%s\", \"block_tokens\": 4, \"spread_ties_ms\": "
        "3000}, \"start_s\": 2.9, \"rate_scale\": 2}",
        support_path("rows.jsonl"));
    struct workload *workload = support_good(text_string(&json), 1);
    for (int64_t i = 0; i < ROWS; i++)
        if (times_ns[i] >= INT64_C(2900000000)) {
            CU_ASSERT_TRUE_FATAL(workload_next(workload, &request));
            CU_ASSERT(2 * request.send_ns - (times_ns[i] - INT64_C(2900000000)) <= 1);
            check_row(&request, i);
        }
    CU_ASSERT_FALSE(workload_next(workload, &request));
    workload_free(workload);
    text_clear(&json);
}

static void test_other_readers(void)
{
    struct workload *workload =
        support_good("{\"synthetic\": {\"prompt_tokens\": {\"fixed\": 5}, \"output_tokens\": "
                     "{\"fixed\": 1}, \"arrivals\": {\"fixed\": {\"rate_per_s\": 1}}, \"requests\": 1}}",
                     1);
    struct workload_request request;
    CU_ASSERT_EQUAL(workload_hash_tokens(workload), 0);
    CU_ASSERT_TRUE(workload_next(workload, &request));
    CU_ASSERT(request.hashes == NULL && request.hash_count == 0);
    workload_free(workload);
}

/* The figures of ../shared/data/mooncake_conversation_trace.README.md. */
static void test_real_trace(void)
{
    const char *path = test_shared_file("data/mooncake_conversation_trace.jsonl");
    struct text info = {0};
    struct error error;
    if (!path)
        return;
    CU_ASSERT_TRUE_FATAL(workload_trace_info(path, NULL, NULL, &info, &error));
    static const char *const lines[] = {
        "requests       12031\n", "mean rate      3.401 requests/s\n", "CV of gaps     3.034\n",
        "prompt blocks  288500 of 512 tokens, 182790 distinct: 36.64 % were there before\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&info), lines[i]));
    text_clear(&info);
}

static void test_nothing_left(void)
{
    remove(support_path("rows.jsonl"));
    support_path(NULL);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"hashes of blocks", test_hashes},         {"sorted", test_sorted},
        {"rounded times are spread", test_spread}, {"in a window", test_window},
        {"others have none", test_other_readers},  {"the Mooncake trace", test_real_trace},
        {"nothing is left", test_nothing_left},
    };
    return test_main("workload mooncake", cases, sizeof cases / sizeof cases[0]);
}
