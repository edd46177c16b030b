#include <string.h>

#include "internal.h"
#include "tandem/check.h"
#include "tandem/config.h"
#include "tandem/hash.h"
#include "tandem/mem.h"
#include "tandem/text.h"

const struct trace_reader *trace_reader_find(const char *name)
{
    for (size_t i = 0; trace_readers[i]; i++)
        if (strcmp(trace_readers[i]->name, name) == 0)
            return trace_readers[i];
    return NULL;
}

size_t trace_reader_names(const char **names, size_t capacity)
{
    size_t count = 0;
    for (; trace_readers[count] && count < capacity; count++)
        names[count] = trace_readers[count]->name;
    return count;
}

bool trace_sha256(const char *file, char hex[65], struct error *error)
{
    char *bytes = NULL;
    size_t count = 0;
    if (!config_read_file(file, &bytes, &count, error))
        return false;
    hash_sha256(bytes, count, hex);
    mem_free(bytes);
    return true;
}

static bool add_row(struct trace *trace, const struct trace_row *row, struct error *error)
{
    CHECK(row->prompt_tokens >= 1 && row->prompt_tokens <= WORKLOAD_TOKENS_MAX && row->output_tokens >= 1 &&
              row->output_tokens <= WORKLOAD_TOKENS_MAX,
          "a trace reader let a bad row through");
    if (row->max_tokens > 0 && row->max_tokens < row->output_tokens)
        return error_set(error, "the limit of %lld tokens is below the %lld output tokens",
                         (long long)row->max_tokens, (long long)row->output_tokens);
    if (trace->count == trace->capacity)
        trace->requests =
            mem_grow(trace->requests, &trace->capacity, trace->count + 1, sizeof *trace->requests);
    trace->requests[trace->count++] = (struct trace_request){
        .time_ns = row->time_ns,
        .prompt_tokens = (int32_t)row->prompt_tokens,
        .output_tokens = (int32_t)row->output_tokens,
        .max_tokens = (int32_t)row->max_tokens,
    };
    return true;
}

static bool read_line(const struct trace_reader *reader, void *state, const struct lines *lines, bool sort,
                      struct trace *trace, struct error *error)
{
    struct trace_row row = {0};
    bool is_row = false;
    if (!reader->line(state, lines->line, lines->number, &row, &is_row, error))
        return false;
    if (!is_row)
        return true;
    if (!sort && trace->count > 0 && row.time_ns < trace->requests[trace->count - 1].time_ns)
        return error_set(error,
                         "expected a time not before that of the row above, found an earlier one (sort the "
                         "file, or set \"sort\": true in \"trace\")");
    return add_row(trace, &row, error);
}

static void add_place(const char *file, int64_t number, struct error *error)
{
    struct text place = {0};
    text_append(&place, "%s:%lld", file, (long long)number);
    error_prefix(error, text_string(&place));
    text_clear(&place);
}

static bool read_lines(const char *file, const struct trace_reader *reader, void *state, bool sort,
                       struct trace *trace, struct error *error)
{
    struct lines lines;
    if (!lines_open(&lines, file, error))
        return false;
    bool more = true, good = true;
    while ((good = lines_next(&lines, file, &more, error)) && more) {
        good = read_line(reader, state, &lines, sort, trace, error);
        if (!good) {
            add_place(file, lines.number, error);
            break;
        }
    }
    lines_close(&lines);
    return good;
}

/* Merges the sorted halves [first, middle) and [middle, end) of from into to; equal times keep their order.
 */
static void merge(const struct trace_request *from, struct trace_request *to, size_t first, size_t middle,
                  size_t end)
{
    size_t left = first, right = middle;
    for (size_t i = first; i < end; i++) {
        bool take_left = left < middle && (right >= end || from[left].time_ns <= from[right].time_ns);
        to[i] = take_left ? from[left++] : from[right++];
    }
}

/* Stable (qsort is not): requests of the same time stay in the order of the file. */
static void sort_requests(struct trace *trace)
{
    struct trace_request *other = mem_array(trace->count, sizeof *other);
    for (size_t width = 1; width < trace->count; width *= 2) {
        for (size_t first = 0; first < trace->count; first += 2 * width) {
            size_t middle = first + width < trace->count ? first + width : trace->count;
            size_t end = middle + width < trace->count ? middle + width : trace->count;
            merge(trace->requests, other, first, middle, end);
        }
        memcpy(trace->requests, other, trace->count * sizeof *other);
    }
    mem_free(other);
}

bool trace_load(const char *file, const struct trace_reader *reader, const void *options, bool sort,
                struct trace *trace, struct error *error)
{
    *trace = (struct trace){0};
    void *state = reader->start(options);
    bool good = read_lines(file, reader, state, sort, trace, error);
    reader->stop(state);
    if (good && trace->count == 0)
        good = error_set(error, "%s: expected requests, found none (format \"%s\": %s)", file, reader->name,
                         reader->doc);
    if (!good) {
        trace_clear(trace);
        return false;
    }
    if (sort)
        sort_requests(trace);
    int64_t origin = trace->requests[0].time_ns;
    for (size_t i = 0; i < trace->count; i++)
        trace->requests[i].time_ns -= origin;
    return true;
}

void trace_clear(struct trace *trace)
{
    mem_free(trace->requests);
    *trace = (struct trace){0};
}

void trace_window(struct trace *trace, int64_t start_ns, int64_t duration_ns)
{
    size_t kept = 0;
    for (size_t i = 0; i < trace->count; i++) {
        struct trace_request request = trace->requests[i];
        request.time_ns -= start_ns;
        if (request.time_ns >= 0 && (duration_ns == 0 || request.time_ns < duration_ns))
            trace->requests[kept++] = request;
    }
    trace->count = kept;
}
