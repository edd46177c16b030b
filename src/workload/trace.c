#include <string.h>

#include "internal.h"
#include "tandem/check.h"
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

/* --- rows in the order of the file
 * --------------------------------------------------------------------------- */

static bool check_row(const struct trace *trace, const struct trace_row *row, struct error *error)
{
    CHECK(row->prompt_tokens >= 1 && row->prompt_tokens <= WORKLOAD_TOKENS_MAX && row->output_tokens >= 1 &&
              row->output_tokens <= WORKLOAD_TOKENS_MAX,
          "a trace reader let a bad row through");
    if (!trace->sort && trace->rows > 0 && row->time_ns < trace->before_ns)
        return error_set(error,
                         "expected a time not before that of the row above, found an earlier one (sort the "
                         "file, or set \"sort\": true in \"trace\")");
    if (row->max_tokens > 0 && row->max_tokens < row->output_tokens)
        return error_set(error, "the limit of %lld tokens is below the %lld output tokens",
                         (long long)row->max_tokens, (long long)row->output_tokens);
    return true;
}

static bool add_place(const struct trace *trace, struct error *error)
{
    struct text place = {0};
    text_append(&place, "%s:%lld", trace->file, (long long)trace->lines.number);
    error_prefix(error, text_string(&place));
    text_clear(&place);
    return false;
}

/* The next row of the file as it is written. */
static bool read_row(struct trace *trace, struct trace_row *row, bool *more, struct error *error)
{
    bool is_row = false;
    *row = (struct trace_row){0};
    while (!is_row) {
        if (!lines_next(&trace->lines, trace->file, more, error))
            return false;
        if (!*more)
            return trace->rows > 0 ||
                   error_set(error, "%s: expected requests, found none (format \"%s\": %s)", trace->file,
                             trace->reader->name, trace->reader->doc);
        if (!trace->reader->line(trace->state, trace->lines.line, trace->lines.number, row, &is_row, error) ||
            (is_row && !check_row(trace, row, error)))
            return add_place(trace, error);
    }
    return true;
}

bool trace_next(struct trace *trace, struct trace_row *row, bool *more, struct error *error)
{
    if (trace->sorted) {
        *more = trace->rows < trace->sorted_count;
        if (*more)
            *row = trace->sorted[trace->rows];
    } else if (!read_row(trace, row, more, error)) {
        return false;
    }
    if (!*more)
        return true;
    if (trace->rows++ == 0)
        trace->first_ns = row->time_ns;
    trace->before_ns = row->time_ns;
    row->time_ns -= trace->first_ns;
    return true;
}

void trace_rewind(struct trace *trace)
{
    trace->rows = 0;
    if (!trace->sorted)
        lines_rewind(&trace->lines, trace->file);
}

bool trace_collect(struct trace *trace, struct trace_row **rows, size_t *count, struct error *error)
{
    size_t capacity = 0;
    struct trace_row row;
    bool more = true;
    *rows = NULL;
    *count = 0;
    while (trace_next(trace, &row, &more, error)) {
        if (!more)
            return true;
        if (*count == capacity)
            *rows = mem_grow(*rows, &capacity, *count + 1, sizeof row);
        (*rows)[(*count)++] = row;
    }
    return false;
}

/* --- rows in the order of time
 * ------------------------------------------------------------------------------- */

/* Merges the sorted halves [first, middle) and [middle, end) of from into to; equal times keep their order.
 */
static void merge(const struct trace_row *from, struct trace_row *to, size_t first, size_t middle, size_t end)
{
    size_t left = first, right = middle;
    for (size_t i = first; i < end; i++) {
        bool take_left = left < middle && (right >= end || from[left].time_ns <= from[right].time_ns);
        to[i] = take_left ? from[left++] : from[right++];
    }
}

/* Stable (qsort is not): requests of the same time stay in the order of the file. */
static void sort_rows(struct trace_row *rows, size_t count)
{
    struct trace_row *other = mem_array(count, sizeof *other);
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t first = 0; first < count; first += 2 * width) {
            size_t middle = first + width < count ? first + width : count;
            size_t end = middle + width < count ? middle + width : count;
            merge(rows, other, first, middle, end);
        }
        memcpy(rows, other, count * sizeof *other);
    }
    mem_free(other);
}

static bool read_sorted(struct trace *trace, struct error *error)
{
    struct trace_row *rows = NULL;
    size_t count = 0;
    bool good = trace_collect(trace, &rows, &count, error);
    if (good)
        sort_rows(rows, count);
    trace->sorted = rows;
    trace->sorted_count = count;
    trace->rows = 0;
    return good;
}

/* --- the file
 * ------------------------------------------------------------------------------------------------ */

bool trace_open(struct trace *trace, const char *file, const struct trace_reader *reader, const void *options,
                bool sort, struct error *error)
{
    *trace = (struct trace){.reader = reader, .file = mem_string(file), .sort = sort};
    trace->state = reader->start(options);
    return lines_open(&trace->lines, file, error) &&
           lines_sha256(&trace->lines, file, trace->sha256, error) && (!sort || read_sorted(trace, error));
}

void trace_close(struct trace *trace)
{
    if (trace->state)
        trace->reader->stop(trace->state);
    lines_close(&trace->lines);
    mem_free(trace->sorted);
    mem_free(trace->file);
    *trace = (struct trace){0};
}
