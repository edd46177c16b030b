/* Traces as workloads: windows, scaling, limits, paths and the csv reader's own options. */
#include "support.h"

#include "tandem/text.h"

static const char azure[] = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
                            "2023-11-16 23:59:58.0000000,100,10\r\n"
                            "2023-11-16 23:59:59.5000001,200,20\r\n"
                            "2023-11-17 00:00:00.0000000,300,30\r\n"
                            "2023-11-17 00:00:08.0000000,400,40";

/* The workload of azure[] with more settings, such as ", \"rate_scale\": 2". */
static void azure_json(struct text *json, const char *settings)
{
    const char *path = support_write("azure.csv", azure, strlen(azure));
    text_append(json, "{\"trace\": {\"format\": \"azure\", \"path\": \"%s\"}%s}", path, settings);
}

static struct workload *azure_workload(const char *settings)
{
    struct text json = {0};
    azure_json(&json, settings);
    struct workload *workload = support_good(text_string(&json), 1);
    text_clear(&json);
    remove(support_path("azure.csv"));
    return workload;
}

static void azure_refused(const char *settings, const char *words)
{
    struct text json = {0};
    azure_json(&json, settings);
    support_refused(text_string(&json), words);
    text_clear(&json);
    remove(support_path("azure.csv"));
}

/* Send times of all requests; frees the workload. */
static void check_times(struct workload *workload, const int64_t *expected, size_t count)
{
    struct workload_request request = {0};
    CU_ASSERT_EQUAL(workload_count(workload), (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_TRUE(workload_next(workload, &request));
        CU_ASSERT_EQUAL(request.send_ns, expected[i]);
    }
    CU_ASSERT_FALSE(workload_next(workload, &request));
    CU_ASSERT_EQUAL(workload_last_send_ns(workload), request.send_ns);
    workload_free(workload);
}

#define TIMES(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

static void test_plain(void)
{
    struct workload *workload = azure_workload("");
    struct workload_request request;
    CU_ASSERT_STRING_EQUAL(
        workload_trace_sha256(workload),
        "d099c0c03eb3eb9fd8b3eb958b498ad94c071fe532ab13922942cfe6a2267b01"); /* sha256sum */
    CU_ASSERT_STRING_EQUAL(workload_trace_path(workload), support_path("azure.csv"));
    CU_ASSERT_EQUAL(workload_users(workload), 0);
    workload_count_longer(workload, 220);
    CU_ASSERT_TRUE(workload_next(workload, &request));
    CU_ASSERT_EQUAL(request.prompt_tokens, 100);
    CU_ASSERT_EQUAL(request.output_tokens, 10);
    CU_ASSERT_EQUAL(request.max_tokens, 10);
    struct support_sums sums = support_walk(workload);
    CU_ASSERT_EQUAL(sums.prompt_tokens, 900);
    CU_ASSERT_EQUAL(sums.output_tokens, 90);
    CU_ASSERT_EQUAL(workload_longer(workload), 2);
    workload_free(workload);
    check_times(azure_workload(""), TIMES(0, 1500000100, 2000000000, 10000000000));
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static void test_scale(void)
{
    check_times(azure_workload(", \"rate_scale\": 2"), TIMES(0, 750000050, 1000000000, 5000000000));
    check_times(azure_workload(", \"rate_scale\": 0.1"), TIMES(0, 15000001000, 20000000000, 100000000000));
    check_times(azure_workload(", \"rate_scale\": 3"), TIMES(0, 500000033, 666666667, 3333333333));
}

static void test_window(void)
{
    check_times(azure_workload(", \"start_s\": 1.5"), TIMES(100, 500000000, 8500000000));
    check_times(azure_workload(", \"start_s\": 2"), TIMES(0, 8000000000));
    check_times(azure_workload(", \"duration_s\": 2"), TIMES(0, 1500000100));
    check_times(azure_workload(", \"start_s\": 1, \"duration_s\": 9, \"rate_scale\": 0.5"),
                TIMES(1000000200, 2000000000));
    check_times(azure_workload(", \"max_requests\": 2"), TIMES(0, 1500000100));
    check_times(azure_workload(", \"start_s\": 1, \"max_requests\": 1"), TIMES(500000100));
    check_times(azure_workload(", \"max_requests\": 9"), TIMES(0, 1500000100, 2000000000, 10000000000));
}

static void test_refused(void)
{
    azure_refused(", \"start_s\": 10.5", "no request lies in the window");
    azure_refused(", \"start_s\": 10.5", "the trace spans 10.000 s");
    azure_refused(", \"rate_scale\": 0", "rate_scale");
    azure_refused(", \"rate_scale\": -1", "rate_scale");
    azure_refused(", \"start_s\": -1", "start_s");
    azure_refused(", \"rate_scal\": 1", "rate_scale");
    support_refused("{\"trace\": 5}", "expected an object with \"format\" and \"path\"");
    support_refused("{\"trace\": {\"path\": \"x\"}}", "expected an object with \"format\"");
    support_refused("{\"trace\": {\"format\": \"azur\", \"path\": \"x\"}}", "did you mean 'azure'");
    support_refused("{\"trace\": {\"format\": \"parquet\", \"path\": \"x\"}}", "known: azure, csv, mooncake");
    support_refused("{\"trace\": {\"format\": \"azure\"}}", "path");
    support_refused("{\"trace\": {\"format\": \"azure\", \"path\": \"x\", \"time_unit\": \"s\"}}",
                    "time_unit");
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

/* The user learns which key named the file, what it is and where to get it. */
static void test_missing_file(void)
{
    support_refused("{\"trace\": {\"format\": \"azure\", \"path\": \"no/trace.csv\"}}",
                    "test.json: trace.path: no/trace.csv: cannot be opened: No such file");
    support_refused("{\"trace\": {\"format\": \"azure\", \"path\": \"no.csv\"}}",
                    "github.com/Azure/AzurePublicDataset");
    support_refused("{\"trace\": {\"format\": \"csv\", \"path\": \"/no/trace.csv\"}}",
                    "/no/trace.csv: cannot be");
}

/* A relative path starts at the folder of the file that names it. */
static void test_relative_path(void)
{
    struct error error;
    char name[1024];
    support_write("relative.csv", azure, strlen(azure));
    snprintf(name, sizeof name, "%s", support_path("experiment.json"));
    struct workload *workload = support_create_in(
        name, "{\"trace\": {\"format\": \"azure\", \"path\": \"relative.csv\"}}", 1, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(workload);
    CU_ASSERT_STRING_EQUAL(workload_trace_path(workload), "relative.csv");
    workload_free(workload);
    CU_ASSERT_PTR_NULL(
        support_create_in(name, "{\"trace\": {\"format\": \"azure\", \"path\": \"other.csv\"}}", 1, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, support_path("other.csv")));
    remove(support_path("relative.csv"));
}

/* --- csv
 * ----------------------------------------------------------------------------------------------------- */

static void csv_json(struct text *json, const char *content, const char *options, const char *settings)
{
    const char *path = support_write("own.csv", content, strlen(content));
    text_append(json, "{\"trace\": {\"format\": \"csv\", \"path\": \"%s\"%s}%s}", path, options, settings);
}

static struct workload *csv_workload(const char *content, const char *options, const char *settings)
{
    struct text json = {0};
    csv_json(&json, content, options, settings);
    struct workload *workload = support_good(text_string(&json), 1);
    text_clear(&json);
    remove(support_path("own.csv"));
    return workload;
}

static void csv_refused(const char *content, const char *options, const char *words)
{
    struct text json = {0};
    csv_json(&json, content, options, "");
    support_refused(text_string(&json), words);
    text_clear(&json);
    remove(support_path("own.csv"));
}

static void test_csv_units(void)
{
    static const char *const units[] = {"s", "ms", "us", "ns"};
    static const int64_t factor[] = {1000000000, 1000000, 1000, 1};
    char options[64];
    for (size_t i = 0; i < 4; i++) {
        snprintf(options, sizeof options, ", \"time_unit\": \"%s\"", units[i]);
        check_times(csv_workload("time,prompt_tokens,output_tokens\n10,1,1\n15,2,2\n", options, ""),
                    TIMES(0, 5 * factor[i]));
    }
    check_times(
        csv_workload("time,prompt_tokens,output_tokens\n1700158546.000000001,1,1\n1700158546.5,2,2", "", ""),
        TIMES(0, 499999999));
    check_times(csv_workload("time,prompt_tokens,output_tokens\n2024-05-10 00:00:00.5+00:00,1,1\n"
                             "2024-05-10T02:00:01+02:00,2,2",
                             ", \"time_unit\": \"iso\"", ""),
                TIMES(0, 500000000));
}

static void test_csv_columns(void)
{
    struct workload_request request;
    struct workload *workload =
        csv_workload("\"who; what\";t; in ;out;limit\n\"a; \"\"b\"\"\";1; 10;5;50\nc;2;20.0;6;\n\n",
                     ", \"time_column\": \"t\", \"prompt_column\": \"in\", \"output_column\": \"out\", "
                     "\"max_tokens_column\": \"limit\", \"delimiter\": \"semicolon\"",
                     ", \"max_tokens\": 9");
    CU_ASSERT_EQUAL(workload_count(workload), 2);
    CU_ASSERT_TRUE(workload_next(workload, &request));
    CU_ASSERT_EQUAL(request.prompt_tokens, 10);
    CU_ASSERT_EQUAL(request.max_tokens, 50);
    CU_ASSERT_EQUAL(request.session, -1);
    CU_ASSERT_TRUE(workload_next(workload, &request));
    CU_ASSERT_EQUAL(request.send_ns, 1000000000);
    CU_ASSERT_EQUAL(request.prompt_tokens, 20);
    CU_ASSERT_EQUAL(request.output_tokens, 6);
    CU_ASSERT_EQUAL(request.max_tokens, 9);
    workload_free(workload);
    workload = csv_workload("time,prompt_tokens,output_tokens,class\n0,1,1,255\n1,1,1,\n2,1,1,3\n",
                            ", \"priority_column\": \"class\"", "");
    for (int64_t i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(workload_next(workload, &request));
        CU_ASSERT_EQUAL(request.priority, ((const int64_t[]){255, 0, 3})[i]);
    }
    workload_free(workload);
    workload = csv_workload("time,prompt_tokens,output_tokens,chat\n0,1,1,70000000000\n1,1,1,\n2,1,1,0\n",
                            ", \"session_column\": \"chat\"", "");
    for (int64_t i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(workload_next(workload, &request));
        CU_ASSERT_EQUAL(request.session, ((const int64_t[]){70000000000, -1, 0})[i]);
    }
    workload_free(workload);
    check_times(
        csv_workload("time\tprompt_tokens\toutput_tokens\n-5\t1\t1\n3\t2\t2", ", \"delimiter\": \"tab\"", ""),
        TIMES(0, 8000000000));
}

static void test_csv_refused(void)
{
    csv_refused("time,prompt,output_tokens\n1,1,1\n", "", "own.csv:1: there is no column 'prompt_tokens'");
    csv_refused("time,prompt,output_tokens\n1,1,1\n", "", "the header is 'time,prompt,output_tokens'");
    csv_refused("time,time,prompt_tokens,output_tokens\n1,1,1,1\n", "", "2 columns are named 'time'");
    csv_refused("time,prompt_tokens,output_tokens\n1,1\n", "",
                "own.csv:2: expected 3 fields as in the header, found 2");
    csv_refused(
        "time,prompt_tokens,output_tokens\n1,1,1\n\n2,x,1\n", "",
        "own.csv:4: prompt_tokens: expected a whole number of tokens from 1 to 1000000000, found 'x'");
    csv_refused("time,prompt_tokens,output_tokens\n1,1,0\n", "", "own.csv:2: output_tokens");
    csv_refused("time,prompt_tokens,output_tokens\nnoon,1,1\n", "", "own.csv:2: time: expected a number");
    csv_refused("time,prompt_tokens,output_tokens\n1,1,1\n", ", \"time_unit\": \"iso\"",
                "expected a time stamp");
    csv_refused("time,prompt_tokens,output_tokens\n1,1,1\n", ", \"time_unit\": \"h\"", "time_unit");
    csv_refused("time,prompt_tokens,output_tokens\n1,1,\"1\n", "",
                "own.csv:2: a quoted field has no closing quote");
    csv_refused("time,prompt_tokens,output_tokens,m\n1,1,8,7\n", ", \"max_tokens_column\": \"m\"",
                "own.csv:2: the limit of 7 tokens is below the 8 output tokens");
    csv_refused("time,prompt_tokens,output_tokens\n1,1,1\n", ", \"max_tokens_column\": \"m\"",
                "no column 'm'");
    csv_refused("time,prompt_tokens,output_tokens,p\n1,1,1,256\n", ", \"priority_column\": \"p\"",
                "own.csv:2: p: expected a class of priority from 0 to 255, found '256'");
    csv_refused("time,prompt_tokens,output_tokens,s\n1,1,1,x\n", ", \"session_column\": \"s\"",
                "own.csv:2: s: expected a number of a session from 0 to 1000000000000000, found 'x'");
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

/* Sorted by time; equal times in the order of the file. */
static void test_csv_sort(void)
{
    static const char unsorted[] =
        "time,prompt_tokens,output_tokens\n5,1,1\n2,2,1\n5,3,1\n1,4,1\n2,5,1\n1,6,1\n0,7,1\n";
    static const int64_t order[] = {7, 4, 6, 2, 5, 1, 3};
    struct workload_request request;
    csv_refused(unsorted, "", "own.csv:3: expected a time not before that of the row above");
    csv_refused(unsorted, "", "\"sort\": true");
    struct workload *workload = csv_workload(unsorted, ", \"sort\": true", "");
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        CU_ASSERT_TRUE(workload_next(workload, &request));
        CU_ASSERT_EQUAL(request.prompt_tokens, order[i]);
    }
    CU_ASSERT_EQUAL(request.send_ns, 5000000000);
    workload_free(workload);
}

/* --- trace info
 * ---------------------------------------------------------------------------------------------- */

static void test_info(void)
{
    struct text text = {0};
    struct error error;
    const char *path = support_write("info.csv", azure, strlen(azure));
    CU_ASSERT_TRUE(workload_trace_info(path, NULL, NULL, &text, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), "format         azure ("));
    CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), "requests       4\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), "span           10.000 s\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), "mean rate      0.300 requests/s\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), "largest gaps   8.000 1.500 0.500 s\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), "prompt        250.0"));
    text_clear(&text);
    CU_ASSERT_FALSE(workload_trace_info(path, "csv", NULL, &text, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "info.csv:1: there is no column 'time'"));
    CU_ASSERT_FALSE(workload_trace_info(path, "cvs", NULL, &text, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "unknown trace format 'cvs' (known: azure, csv, mooncake)"));
    path = support_write("info.csv", "hello\n", 6);
    CU_ASSERT_FALSE(workload_trace_info(path, NULL, NULL, &text, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(
        error.text, "info.csv:1: looks like none of the trace formats (azure, csv, mooncake): 'hello'"));
    remove(path);
    CU_ASSERT_FALSE(workload_trace_info(path, NULL, NULL, &text, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "cannot be opened"));
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

/* Minutes without a request count, however many; one request alone has no rate. */
static void test_info_gaps(void)
{
    static const char sparse[] =
        "time,prompt_tokens,output_tokens\n0,1,1\n1,2,1\n59,3,1\n86400.5,4,1\n86461,4,1\n";
    static const char single[] = "time,prompt_tokens,output_tokens\n7,10,3\n";
    struct text text = {0};
    struct error error;
    const char *path = support_write("info.csv", sparse, strlen(sparse));
    CU_ASSERT_TRUE(workload_trace_info(path, NULL, NULL, &text, &error));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(text_string(&text), "per minute     0 to 3 requests (1441 full minutes)\n"));
    text_clear(&text);
    path = support_write("info.csv", single, strlen(single));
    CU_ASSERT_TRUE(workload_trace_info(path, NULL, NULL, &text, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), "span           0.000 s\n"));
    CU_ASSERT_PTR_NULL(strstr(text_string(&text), "mean rate"));
    text_clear(&text);
    remove(path);
    support_path(NULL);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

/* The second workload reads no file: it may be gone. Another window, other ties and other keys are told
 * apart. */
static void test_kept(void)
{
    static const char spread[] =
        "{\"trace\": {\"format\": \"azure\", \"path\": \"%s\", \"spread_ties_ms\": 1}, "
        "\"max_requests\": 2}";
    struct text json = {0}, with_ties = {0};
    azure_json(&json, "");
    text_append(&with_ties, spread, support_path("azure.csv"));
    workload_keep_traces(true);
    struct workload *first = support_good(text_string(&json), 1);
    workload_free(support_good(text_string(&with_ties), 1));
    remove(support_path("azure.csv"));
    struct workload *second = support_good(text_string(&json), 1),
                    *third = support_good(text_string(&with_ties), 1);
    CU_ASSERT_STRING_EQUAL(workload_trace_sha256(first), workload_trace_sha256(second));
    CU_ASSERT_EQUAL(workload_count(third), 2);
    check_times(second, TIMES(0, 1500000100, 2000000000, 10000000000));
    check_times(first, TIMES(0, 1500000100, 2000000000, 10000000000));
    workload_free(third);
    workload_keep_traces(false);
    support_refused(text_string(&json), "cannot be opened");
    CU_ASSERT_EQUAL(mem_live_bytes(), json.capacity + with_ties.capacity);
    text_clear(&json);
    text_clear(&with_ties);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"plain", test_plain},
        {"rate_scale", test_scale},
        {"windows", test_window},
        {"refused", test_refused},
        {"missing file", test_missing_file},
        {"relative path", test_relative_path},
        {"csv: time units", test_csv_units},
        {"csv: columns", test_csv_columns},
        {"csv: refused", test_csv_refused},
        {"csv: sort", test_csv_sort},
        {"kept", test_kept},
        {"trace info", test_info},
        {"trace info of sparse traces", test_info_gaps},
    };
    return test_main("workload trace", cases, sizeof cases / sizeof cases[0]);
}
