/* What every trace reader must do, with its default options. A new reader adds one sample here. */
#include "../../unit/workload/support.h"

#include <zlib.h>

#include "tandem/text.h"

#define ROWS 3

struct bad_row {
    const char *row;
    const char *words; /* in the message beside file and line */
};

struct sample {
    const char *reader;
    const char *header;     /* NULL: the format has none */
    const char *rows[ROWS]; /* at 0, 1.5 and 4 s: 10 + 1, 20 + 2, 30 + 3 tokens */
    struct bad_row bad[9];  /* NULL-ended; each comes after rows[1] */
};

static const struct sample samples[] = {
    {"azure",
     "TIMESTAMP,ContextTokens,GeneratedTokens",
     {"2023-11-16 18:15:46.0000000,10,1", "2023-11-16 18:15:47.5000000,20,2",
      "2023-11-16 18:15:50.0000000,30,3"},
     {{"2023-11-16 18:15:49.0000000,0,3", "ContextTokens: expected a whole number of tokens from 1"},
      {"2023-11-16 18:15:49.0000000,3,0", "GeneratedTokens: expected a whole number of tokens from 1"},
      {"2023-11-16 18:15:49.0000000,3", "expected 3 fields"},
      {"2023-11-16 18:15:49.0000000,3,4,5", "expected 3 fields"},
      {"2023-11-16 18:15:47.4999999,3,4", "expected a time not before"},
      {"18:15:49,3,4", "TIMESTAMP: expected a time stamp"}}},
    {"csv",
     "time,prompt_tokens,output_tokens",
     {"100.5,10,1", "102,20,2", "104.5,30,3"},
     {{"103,0,3", "prompt_tokens: expected a whole number of tokens from 1"},
      {"103,3,-1", "output_tokens: expected a whole number of tokens from 1"},
      {"103,3", "expected 3 fields"},
      {"101.9,3,4", "expected a time not before"},
      {"later,3,4", "time: expected a number"},
      {"103,\"3,4", "no closing quote"}}},
    {"mooncake",
     NULL,
     {"{\"timestamp\": 7000, \"input_length\": 10, \"output_length\": 1, \"hash_ids\": [0]}",
      "{\"hash_ids\":[18446744073709551600],\"output_length\":2,\"input_length\":20,\"timestamp\":8500}",
      " { \"timestamp\" : 11000 , \"input_length\" : 30 , \"output_length\" : 3 , \"hash_ids\" : [ 0 ] } "},
     {{"{\"timestamp\": 9000, \"input_length\": 0, \"output_length\": 1, \"hash_ids\": [0]}",
       "input_length: expected a whole number of tokens from 1"},
      {"{\"timestamp\": 9000, \"input_length\": 9, \"output_length\": 0, \"hash_ids\": [0]}",
       "output_length: expected a whole number of tokens from 1"},
      {"{\"timestamp\": 8499, \"input_length\": 9, \"output_length\": 1, \"hash_ids\": [0]}",
       "expected a time not before"},
      {"{\"timestamp\": 9000, \"input_length\": 9, \"output_length\": 1}", "\"hash_ids\" is missing"},
      {"{\"timestamp\": 9000, \"input_length\": 9, \"input_length\": 9}", "\"input_length\" is there twice"},
      {"{\"timestamp\": 9000, \"input\": 9}", "unknown key 'input'"},
      {"{\"timestamp\": 9000, \"input_length\": 513, \"output_length\": 1, \"hash_ids\": [0]}",
       "hash_ids: expected 2 for 513 tokens in blocks of 512, found 1"},
      {"[9000, 9, 1, [0]]", "expected '{'"}}},
};

static const struct sample *find_sample(const char *reader)
{
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        if (strcmp(samples[i].reader, reader) == 0)
            return &samples[i];
    return NULL;
}

/* The lines of a sample with an end behind each, the last one too if closed. */
static void append_lines(struct text *text, const struct sample *sample, const char *end, bool closed)
{
    if (sample->header)
        text_append(text, "%s%s", sample->header, end);
    for (size_t i = 0; i < ROWS; i++)
        text_append(text, "%s%s", sample->rows[i], i + 1 < ROWS || closed ? end : "");
}

static struct workload *create(const char *reader, const char *path, struct error *error)
{
    struct text json = {0};
    text_append(&json, "{\"trace\": {\"format\": \"%s\", \"path\": \"%s\"}}", reader, path);
    struct workload *workload = support_create(text_string(&json), 1, error);
    text_clear(&json);
    return workload;
}

/* The file must hold the three requests of the sample. */
static void check_requests(const char *reader, const char *path)
{
    static const int64_t times[ROWS] = {0, 1500000000, 4000000000};
    struct workload_request request;
    struct error error;
    struct workload *workload = create(reader, path, &error);
    if (!workload)
        printf("\n  %s\n", error.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(workload);
    CU_ASSERT_EQUAL(workload_count(workload), ROWS);
    for (int64_t i = 0; i < ROWS; i++) {
        CU_ASSERT_TRUE(workload_next(workload, &request));
        CU_ASSERT_EQUAL(request.send_ns, times[i]);
        CU_ASSERT_EQUAL(request.prompt_tokens, 10 * (i + 1));
        CU_ASSERT_EQUAL(request.output_tokens, i + 1);
        CU_ASSERT_EQUAL(request.max_tokens, i + 1);
    }
    CU_ASSERT_FALSE(workload_next(workload, &request));
    workload_free(workload);
    remove(path);
}

/* The file must be refused with words in the message. */
static void check_refused(const char *reader, const char *path, const char *words)
{
    struct error error;
    struct workload *workload = create(reader, path, &error);
    CU_ASSERT_PTR_NULL(workload);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, words));
    if (!strstr(error.text, words))
        printf("\n  %s: expected: %s\n  found: %s\n", reader, words, error.text);
    workload_free(workload);
    remove(path);
}

/* --- the checks, each for every reader
 * ----------------------------------------------------------------------- */

static void check_descriptions(const struct trace_reader *reader, const struct sample *sample)
{
    CU_ASSERT_STRING_EQUAL(reader->name, sample->reader);
    CU_ASSERT(reader->doc && strlen(reader->doc) > 20);
    CU_ASSERT(reader->recognizes && reader->line && reader->start && reader->stop);
    CU_ASSERT((reader->options == NULL) == (reader->options_size == 0));
    for (size_t i = 0; reader->options && i < reader->options->count; i++) {
        const struct option *option = &reader->options->options[i];
        CU_ASSERT(option->doc && strlen(option->doc) > 5);
        CU_ASSERT_PTR_NOT_NULL(option->fallback); /* `trace info` has no options */
        CU_ASSERT(option->offset < reader->options_size);
        for (size_t j = 0; j < workload_trace_options.count; j++)
            CU_ASSERT_STRING_NOT_EQUAL(option->name, workload_trace_options.options[j].name);
    }
}

static void check_line_ends(const struct trace_reader *reader, const struct sample *sample)
{
    static const char *const ends[] = {"\n", "\r\n", "\n\n", "\r\n\r\n"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        for (int closed = 0; closed < 2; closed++) {
            struct text text = {0};
            append_lines(&text, sample, ends[i], closed);
            check_requests(reader->name, support_write("trace", text.bytes, text.length));
            text_clear(&text);
        }
}

static void check_byte_order_mark(const struct trace_reader *reader, const struct sample *sample)
{
    struct text text = {0};
    text_append(&text, "\xef\xbb\xbf");
    append_lines(&text, sample, "\n", true);
    check_requests(reader->name, support_write("trace", text.bytes, text.length));
    text_clear(&text);
}

static void check_gzip(const struct trace_reader *reader, const struct sample *sample)
{
    struct text text = {0};
    append_lines(&text, sample, "\r\n", false);
    gzFile file = gzopen(support_path("trace.gz"), "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(gzwrite(file, text.bytes, (unsigned)text.length), (int)text.length);
    gzclose(file);
    check_requests(reader->name, support_path("trace.gz"));
    text_clear(&text);
}

/* A .gz that lost its end is refused, not read as a shorter trace. */
static void check_cut_gzip(const struct trace_reader *reader, const struct sample *sample)
{
    struct text text = {0};
    struct error error;
    char *bytes = NULL;
    size_t count = 0;
    append_lines(&text, sample, "\n", true);
    gzFile file = gzopen(support_path("trace.gz"), "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(gzwrite(file, text.bytes, (unsigned)text.length), (int)text.length);
    gzclose(file);
    CU_ASSERT_TRUE_FATAL(config_read_file(support_path("trace.gz"), &bytes, &count, &error));
    for (size_t cut = 1; cut < 20; cut += 6)
        check_refused(reader->name, support_write("trace.gz", bytes, count - cut), "cannot be read further");
    mem_free(bytes);
    text_clear(&text);
}

static void check_bad_rows(const struct trace_reader *reader, const struct sample *sample)
{
    char line[64];
    snprintf(line, sizeof line, "trace:%d: ", sample->header ? 4 : 3);
    for (size_t i = 0; i < sizeof sample->bad / sizeof sample->bad[0] && sample->bad[i].row; i++) {
        struct text text = {0};
        text_append(&text, "%s%s%s\n%s\n%s\n%s\n", sample->header ? sample->header : "",
                    sample->header ? "\n" : "", sample->rows[0], sample->rows[1], sample->bad[i].row,
                    sample->rows[2]);
        check_refused(reader->name, support_write("trace", text.bytes, text.length), sample->bad[i].words);
        check_refused(reader->name, support_write("trace", text.bytes, text.length), line);
        text_clear(&text);
    }
    CU_ASSERT_PTR_NOT_NULL(sample->bad[3].row); /* several kinds of mistakes are tried */
}

static void check_empty(const struct trace_reader *reader, const struct sample *sample)
{
    const char *header = sample->header ? sample->header : "";
    check_refused(reader->name, support_write("trace", "", 0), "trace: expected requests, found none");
    check_refused(reader->name, support_write("trace", header, strlen(header)),
                  "expected requests, found none");
    check_refused(reader->name, support_write("trace", "a\0b\n", 4),
                  "trace:1: expected text, found a zero byte");
}

static void check_recognizes(const struct trace_reader *reader, const struct sample *sample)
{
    struct text text = {0}, info = {0};
    struct error error;
    const char *first = sample->header ? sample->header : sample->rows[0];
    for (size_t i = 0; trace_readers[i]; i++)
        CU_ASSERT_EQUAL(trace_readers[i]->recognizes(first), trace_readers[i] == reader);
    CU_ASSERT_FALSE(reader->recognizes(""));
    append_lines(&text, sample, "\r\n", false);
    CU_ASSERT_TRUE(
        workload_trace_info(support_write("trace", text.bytes, text.length), NULL, NULL, &info, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&info), "requests       3\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&info), reader->name));
    text_clear(&text);
    text_clear(&info);
    remove(support_path("trace"));
}

static void for_each(void (*check)(const struct trace_reader *, const struct sample *))
{
    CU_ASSERT_PTR_NOT_NULL(trace_readers[0]);
    for (size_t i = 0; trace_readers[i]; i++) {
        const struct sample *sample = find_sample(trace_readers[i]->name);
        if (!sample)
            printf("\n  add a sample for the reader '%s'\n", trace_readers[i]->name);
        CU_ASSERT_PTR_NOT_NULL_FATAL(sample);
        check(trace_readers[i], sample);
    }
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static void test_descriptions(void)
{
    for_each(check_descriptions);
}

static void test_line_ends(void)
{
    for_each(check_line_ends);
}

static void test_byte_order_mark(void)
{
    for_each(check_byte_order_mark);
}

static void test_gzip(void)
{
    for_each(check_gzip);
    for_each(check_cut_gzip);
}

static void test_bad_rows(void)
{
    for_each(check_bad_rows);
}

static void test_empty(void)
{
    for_each(check_empty);
}

static void test_recognizes(void)
{
    for_each(check_recognizes);
    support_path(NULL);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"name, documentation, options", test_descriptions},
        {"line ends", test_line_ends},
        {"byte order mark", test_byte_order_mark},
        {"gzip", test_gzip},
        {"bad rows", test_bad_rows},
        {"empty files", test_empty},
        {"recognized by trace info", test_recognizes},
    };
    return test_main("workload readers", cases, sizeof cases / sizeof cases[0]);
}
