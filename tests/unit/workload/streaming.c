/* Traces that are read while time advances: long files, blocks and their borders, memory, and files that
 * change between the check and the run. */
#include "support.h"

#include <zlib.h>

#include "../base/child.h"
#include "tandem/text.h"

#define ROWS 200000

/* Rows of many lengths, so that lines end at every place of a block; times in ms, some the same. */
static void append_rows(struct text *text, int count)
{
    uint32_t bits = 1;
    text_append(text, "time,prompt_tokens,output_tokens,note\r\n");
    for (int i = 0; i < count; i++) {
        bits = bits * 1664525 + 1013904223;
        text_append(text, "%d,%u,%u,%.*s\r\n", i / 3 * 7, 1 + (bits >> 10), 1 + (bits >> 25),
                    (int)(bits >> 29), "abcdefg");
    }
}

static void write_gzip(const char *path, const struct text *text)
{
    gzFile file = gzopen(path, "wb1");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(gzwrite(file, text->bytes, (unsigned)text->length), (int)text->length);
    gzclose(file);
}

/* The workload of a csv trace in ms with options of "trace" and settings of "workload", such as
 * ", \"sort\": true". */
static struct workload *open_trace(const char *path, const char *options, const char *settings)
{
    char json[2048];
    snprintf(json, sizeof json,
             "{\"trace\": {\"format\": \"csv\", \"time_unit\": \"ms\", \"path\": \"%s\"%s}%s}", path, options,
             settings);
    return support_good(json, 1);
}

/* Both must give the same requests, and the last at the time that was known before. */
static void check_same(struct workload *a, struct workload *b, int64_t count)
{
    struct workload_request left = {0}, right = {0};
    int64_t given = 0;
    for (; workload_next(a, &left); given++) {
        CU_ASSERT_TRUE_FATAL(workload_next(b, &right));
        CU_ASSERT_EQUAL_FATAL(memcmp(&left, &right, sizeof left), 0);
    }
    CU_ASSERT_FALSE(workload_next(b, &right));
    CU_ASSERT_EQUAL(given, count);
    CU_ASSERT_EQUAL(workload_count(a), count);
    CU_ASSERT_EQUAL(workload_last_send_ns(a), left.send_ns);
    CU_ASSERT_EQUAL(workload_last_send_ns(b), left.send_ns);
    workload_free(a);
    workload_free(b);
}

/* As rows in memory give them, plain and compressed. */
static void test_as_from_memory(void)
{
    static const struct {
        const char *settings;
        int64_t count;
    } cases[] = {
        {"", ROWS},
        {", \"rate_scale\": 3", ROWS},
        {", \"start_s\": 100, \"duration_s\": 200", 85716},
        {", \"start_s\": 100, \"duration_s\": 200, \"max_requests\": 5, \"rate_scale\": 0.1", 5},
        {", \"max_requests\": 199999", 199999},
    };
    struct text text = {0};
    char plain[1024], compressed[1024];
    append_rows(&text, ROWS);
    snprintf(plain, sizeof plain, "%s", support_write("long.csv", text.bytes, text.length));
    snprintf(compressed, sizeof compressed, "%s", support_path("long.csv.gz"));
    write_gzip(compressed, &text);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *settings = cases[i].settings;
        check_same(open_trace(plain, "", settings), open_trace(plain, ", \"sort\": true", settings),
                   cases[i].count);
        check_same(open_trace(plain, "", settings), open_trace(compressed, "", settings), cases[i].count);
    }
    text_clear(&text);
    remove(plain);
    remove(compressed);
}

/* The rows are those that were written, wherever a block ends. */
static void test_rows(void)
{
    struct text text = {0};
    struct workload_request request;
    uint32_t bits = 1;
    append_rows(&text, ROWS);
    struct workload *workload = open_trace(support_write("long.csv", text.bytes, text.length), "", "");
    for (int64_t i = 0; workload_next(workload, &request); i++) {
        bits = bits * 1664525 + 1013904223;
        CU_ASSERT_EQUAL_FATAL(request.send_ns, i / 3 * 7000000);
        CU_ASSERT_EQUAL_FATAL(request.prompt_tokens, 1 + (bits >> 10));
        CU_ASSERT_EQUAL_FATAL(request.output_tokens, 1 + (bits >> 25));
    }
    workload_free(workload);
    text_clear(&text);
    remove(support_path("long.csv"));
}

/* Lines longer than a block, the header too. */
static void test_long_lines(void)
{
    struct text text = {0};
    char *filler = mem_array(300001, 1);
    memset(filler, 'x', 300000);
    text_append(&text, "time,prompt_tokens,output_tokens,%s\n1,2,3,%s\n2,3,4,\n3,4,5,%s", filler, filler,
                filler);
    struct workload *workload = open_trace(support_write("wide.csv", text.bytes, text.length), "", "");
    struct support_sums sums = support_walk(workload);
    CU_ASSERT_EQUAL(sums.requests, 3);
    CU_ASSERT_EQUAL(sums.prompt_tokens, 9);
    CU_ASSERT_EQUAL(sums.output_tokens, 12);
    workload_free(workload);
    mem_free(filler);
    text_clear(&text);
    remove(support_path("wide.csv"));
}

/* A zero byte far into a file is found in its line, and not before what is wrong above it. */
static void test_zero_byte(void)
{
    struct text text = {0};
    char json[2048];
    append_rows(&text, 30000);
    text.bytes[text.length - 3] = '\0';
    snprintf(json, sizeof json, "{\"trace\": {\"format\": \"csv\", \"path\": \"%s\"}}",
             support_write("zero.csv", text.bytes, text.length));
    support_refused(json, "zero.csv:30001: expected text, found a zero byte");
    char *row = strstr(text.bytes + text.length / 2, "\r\n") + 2;
    *row = 'z';
    support_write("zero.csv", text.bytes, text.length);
    support_refused(json, "time: expected a number");
    text_clear(&text);
    remove(support_path("zero.csv"));
}

/* --- memory
 * --------------------------------------------------------------------------------------------------- */

/* Live bytes in the middle of a trace of count rows. */
static size_t live_bytes(int count, const char *options)
{
    struct text text = {0};
    struct workload_request request;
    append_rows(&text, count);
    const char *path = support_write("memory.csv", text.bytes, text.length);
    text_clear(&text);
    struct workload *workload = open_trace(path, options, "");
    for (int i = 0; i < count / 2; i++)
        CU_ASSERT_TRUE_FATAL(workload_next(workload, &request));
    size_t bytes = mem_live_bytes();
    workload_free(workload);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
    remove(support_path("memory.csv"));
    return bytes;
}

static void test_memory(void)
{
    CU_ASSERT_EQUAL(live_bytes(ROWS, ""), live_bytes(100, ""));
    CU_ASSERT(live_bytes(ROWS, ", \"sort\": true") > ROWS * sizeof(int64_t)); /* so it would be seen */
}

/* --- files that change
 * ---------------------------------------------------------------------------------------- */

#define HEADER "time,prompt_tokens,output_tokens\n"
static const char checked[] = HEADER "1,10,1\n2,20,2\n3,30,3\n4,40,4\n";

/* For the child process: what the file holds after the check, and settings. */
static const char *changed, *settings;

/* Checks a file, changes it in place, and walks. */
static void walk_changed(void)
{
    const char *path = support_write("changed.csv", checked, strlen(checked));
    struct workload *workload = open_trace(path, "", settings);
    support_write("changed.csv", changed, strlen(changed));
    fprintf(stderr, "%lld requests\n", (long long)support_walk(workload).requests);
}

static void check_changed(const char *content, const char *more_settings, int exit_code, const char *words)
{
    changed = content;
    settings = more_settings;
    support_path("changed.csv"); /* one folder for parent and child */
    struct child child = child_run(walk_changed);
    CU_ASSERT_EQUAL(child.exit_code, exit_code);
    CU_ASSERT_PTR_NOT_NULL(strstr(child.output, words));
    if (!strstr(child.output, words))
        printf("\n  expected: %s\n  found:    %s\n", words, child.output);
    if (exit_code != 0)
        CU_ASSERT_PTR_NOT_NULL(strstr(child.output, "changed.csv: changed after it was checked ("));
    remove(support_path("changed.csv"));
}

static void test_changed(void)
{
    check_changed(checked, "", 0, "4 requests");
    check_changed(HEADER "1,10,1\n2,20,2\n3,30,3\n", "", 1, "(it ends too early); keep it as it is");
    check_changed("", "", 1, "changed.csv: expected requests, found none");
    check_changed(HEADER "1,10,1\n2,20,2\n3,30,3\n4,40,5\n", "", 1, "(its rows are not the same any more)");
    check_changed(HEADER "1,10,1\n2,20,2\n3,31,3\n4,40,4\n", "", 1, "its rows are not the same");
    check_changed(HEADER "1,10,1\n2.5,20,2\n3,30,3\n4,40,4\n", "", 1, "its rows are not the same");
    check_changed(HEADER "1,10,1\n2,20,2\n3,x,3\n4,40,4\n", "", 1,
                  "changed.csv:4: prompt_tokens: expected a whole number of tokens");
    check_changed(HEADER "1,10,1\n3,20,2\n2,30,3\n4,40,4\n", "", 1,
                  "changed.csv:4: expected a time not before");
    check_changed("hello\n", "", 1, "changed.csv:1: there is no column 'time'");
    check_changed(HEADER "1,10,1\n2,20,2\n3,30,3\n4e12,40,4\n", ", \"rate_scale\": 0.001", 1,
                  "its rows are not the same");
}

/* What is never given does not matter. */
static void test_changed_behind(void)
{
    check_changed(HEADER "1,10,1\n2,20,2\n3,30,3\n4,40,4\n5,50,5\n", "", 0, "4 requests");
    check_changed(HEADER "1,10,1\n2,20,2\n3,30,4\n", ", \"max_requests\": 2", 0, "2 requests");
    check_changed(HEADER "1,10,1\n2,21,2\n3,30,3\n4,40,4\n", ", \"max_requests\": 2", 1, "not the same");
    check_changed(HEADER "1,10,1\n2,20,2\n3,30,3\n4,40,5\n", ", \"duration_s\": 0.003", 0, "3 requests");
}

/* A file that is replaced or removed is still read: it was opened once. */
static void test_replaced(void)
{
    struct workload *workload = open_trace(support_write("replaced.csv", checked, strlen(checked)), "", "");
    remove(support_path("replaced.csv"));
    support_write("replaced.csv", "other", 5);
    CU_ASSERT_EQUAL(support_walk(workload).prompt_tokens, 100);
    workload_free(workload);
    remove(support_path("replaced.csv"));
    support_path(NULL);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"as from memory", test_as_from_memory},
        {"rows across blocks", test_rows},
        {"long lines", test_long_lines},
        {"zero byte", test_zero_byte},
        {"memory does not grow with the rows", test_memory},
        {"changed files", test_changed},
        {"changed behind what is given", test_changed_behind},
        {"replaced files", test_replaced},
    };
    return test_main("workload streaming", cases, sizeof cases / sizeof cases[0]);
}
