#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"
#include "tandem/check.h"
#include "tandem/mem.h"
#include "tandem/text.h"
#include "tandem/wide.h"

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

/* --- rows that are held
 * -------------------------------------------------------------------------------------- */

static void rows_add(struct trace_rows *rows, const struct trace_row *row)
{
    if (rows->count == rows->capacity)
        rows->rows = mem_grow(rows->rows, &rows->capacity, rows->count + 1, sizeof *row);
    rows->rows[rows->count++] = *row;
    if (row->hash_count == 0)
        return;
    if (rows->hash_count + row->hash_count > rows->hash_capacity)
        rows->hashes = mem_grow(rows->hashes, &rows->hash_capacity, rows->hash_count + row->hash_count,
                                sizeof *rows->hashes);
    memcpy(rows->hashes + rows->hash_count, row->hashes, row->hash_count * sizeof *rows->hashes);
    rows->hash_count += row->hash_count;
}

/* Once all are there: the hashes stay where they are. */
static void rows_link(struct trace_rows *rows)
{
    size_t at = 0;
    for (size_t i = 0; i < rows->count; i++) {
        rows->rows[i].hashes = rows->rows[i].hash_count > 0 ? rows->hashes + at : NULL;
        at += rows->rows[i].hash_count;
    }
}

void trace_rows_clear(struct trace_rows *rows)
{
    mem_free(rows->rows);
    mem_free(rows->hashes);
    *rows = (struct trace_rows){0};
}

/* --- rows in the order of the file
 * --------------------------------------------------------------------------- */

static bool check_row(const struct trace *trace, const struct trace_row *row, struct error *error)
{
    CHECK(row->prompt_tokens >= 1 && row->prompt_tokens <= WORKLOAD_TOKENS_MAX && row->output_tokens >= 1 &&
              row->output_tokens <= WORKLOAD_TOKENS_MAX,
          "a trace reader let a bad row through");
    if (!trace->sort && trace->read > 0 && row->time_ns < trace->read_ns)
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
            return trace->read > 0 ||
                   error_set(error, "%s: expected requests, found none (format \"%s\": %s)", trace->file,
                             trace->reader->name, trace->reader->doc);
        if (!trace->reader->line(trace->state, trace->lines.line, trace->lines.number, row, &is_row, error) ||
            (is_row && !check_row(trace, row, error)))
            return add_place(trace, error);
    }
    return true;
}

/* The next row with its time as written, in order of time. */
static bool next_written(struct trace *trace, struct trace_row *row, bool *more, struct error *error)
{
    if (trace->sorted.rows) {
        *more = trace->read < trace->sorted.count;
        if (*more)
            *row = trace->sorted.rows[trace->read];
    } else if (!read_row(trace, row, more, error)) {
        return false;
    }
    if (*more) {
        trace->read++;
        trace->read_ns = row->time_ns;
    }
    return true;
}

/* --- rows whose times were rounded
 * --------------------------------------------------------------------------- */

static int compare_times(const void *a, const void *b)
{
    int64_t left = ((const struct trace_row *)a)->time_ns, right = ((const struct trace_row *)b)->time_ns;
    return (left > right) - (left < right);
}

/* Draws times for the rows that were written with one, and gives the earliest to the first. */
static void spread_tied(struct trace *trace)
{
    struct trace_rows *tied = &trace->tied;
    struct trace_row *drawn = mem_array(tied->count, sizeof *drawn);
    int64_t time_ns = tied->rows[0].time_ns, length_ns = trace->spread_ns;
    if (trace->has_ahead && trace->ahead.time_ns - time_ns < length_ns)
        length_ns = trace->ahead.time_ns - time_ns;
    for (size_t i = 0; i < tied->count; i++) {
        uint64_t bits = rng_bits(trace->seed, 0, RNG_TIE, trace->given + i);
        drawn[i].time_ns = time_ns + (int64_t)((wide_t)bits * (uint64_t)length_ns >> 64);
    }
    qsort(drawn, tied->count, sizeof *drawn, compare_times);
    for (size_t i = 0; i < tied->count; i++)
        tied->rows[i].time_ns = drawn[i].time_ns;
    mem_free(drawn);
}

/* All rows of the next time; none at the end. */
static bool read_tied(struct trace *trace, struct error *error)
{
    struct trace_rows *tied = &trace->tied;
    bool more = true;
    tied->count = tied->hash_count = trace->tied_given = 0;
    if (!trace->has_ahead && !next_written(trace, &trace->ahead, &more, error))
        return false;
    if (!more)
        return true;
    do {
        rows_add(tied, &trace->ahead);
        if (!next_written(trace, &trace->ahead, &more, error))
            return false;
    } while (more && trace->ahead.time_ns == tied->rows[0].time_ns);
    trace->has_ahead = more;
    rows_link(tied);
    spread_tied(trace);
    return true;
}

static bool next_spread(struct trace *trace, struct trace_row *row, bool *more, struct error *error)
{
    if (trace->tied_given == trace->tied.count && !read_tied(trace, error))
        return false;
    *more = trace->tied_given < trace->tied.count;
    if (*more)
        *row = trace->tied.rows[trace->tied_given++];
    return true;
}

bool trace_next(struct trace *trace, struct trace_row *row, bool *more, struct error *error)
{
    if (!(trace->spread_ns > 0 ? next_spread : next_written)(trace, row, more, error))
        return false;
    if (!*more)
        return true;
    if (trace->given++ == 0)
        trace->first_ns = row->time_ns;
    trace->before_ns = row->time_ns;
    row->time_ns -= trace->first_ns;
    return true;
}

void trace_rewind(struct trace *trace)
{
    trace->read = trace->given = 0;
    trace->tied.count = trace->tied_given = 0;
    trace->has_ahead = false;
    if (!trace->sorted.rows)
        lines_rewind(&trace->lines, trace->file);
}

bool trace_collect(struct trace *trace, struct trace_rows *rows, struct error *error)
{
    struct trace_row row;
    bool more = true;
    *rows = (struct trace_rows){0};
    while (trace_next(trace, &row, &more, error)) {
        if (!more) {
            rows_link(rows);
            return true;
        }
        rows_add(rows, &row);
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

/* With their times as written. */
static bool read_sorted(struct trace *trace, struct error *error)
{
    struct trace_rows rows = {0};
    struct trace_row row;
    bool more = true;
    bool good = true;
    while ((good = next_written(trace, &row, &more, error)) && more)
        rows_add(&rows, &row);
    if (good) {
        rows_link(&rows);
        sort_rows(rows.rows, rows.count);
    }
    trace->sorted = rows;
    trace->read = 0;
    return good;
}

/* --- rows that are kept for the next run of this process
 * ----------------------------------------------------------------------------------------------------- */

#define KEPT_BYTES (64 << 20) /* of a file: of longer ones the rows are read as time goes on */

struct kept {
    char *key;
    struct trace_rows rows;
    char sha256[65];
    struct kept *next;
};

static bool keeping;
static struct kept *all_kept;

bool trace_keeps(void)
{
    return keeping;
}

static const struct kept *kept_find(const char *key)
{
    const struct kept *kept = all_kept;
    while (kept && strcmp(kept->key, key) != 0)
        kept = kept->next;
    return kept;
}

bool trace_is_kept(const char *key)
{
    return kept_find(key) != NULL;
}

/* Whether the rows of an open file are to be kept. */
static bool kept_keeps(const struct lines *lines, const char *key)
{
    struct stat status;
    return key && fstat(lines->descriptor, &status) == 0 && status.st_size <= KEPT_BYTES;
}

static void take_kept(struct trace *trace, const struct kept *kept)
{
    trace->sorted = kept->rows;
    trace->shared = true;
    memcpy(trace->sha256, kept->sha256, sizeof trace->sha256);
}

static void keep(struct trace *trace, const char *key)
{
    struct kept *kept = mem_array(1, sizeof *kept);
    *kept = (struct kept){.key = mem_string(key), .rows = trace->sorted, .next = all_kept};
    memcpy(kept->sha256, trace->sha256, sizeof kept->sha256);
    all_kept = kept;
    trace->shared = true;
}

void workload_keep_traces(bool wanted)
{
    keeping = wanted;
    while (!wanted && all_kept) {
        struct kept *kept = all_kept;
        all_kept = kept->next;
        trace_rows_clear(&kept->rows);
        mem_free(kept->key);
        mem_free(kept);
    }
}

/* --- the file
 * ------------------------------------------------------------------------------------------------ */

static bool open_file(struct trace *trace, const struct trace_order *order, struct error *error)
{
    return lines_open(&trace->lines, trace->file, error) &&
           lines_sha256(&trace->lines, trace->file, trace->sha256, error) &&
           (!(order->sort || kept_keeps(&trace->lines, order->key)) || read_sorted(trace, error));
}

bool trace_open(struct trace *trace, const char *file, const struct trace_reader *reader, const void *options,
                const struct trace_order *order, struct error *error)
{
    *trace = (struct trace){.reader = reader,
                            .file = mem_string(file),
                            .sort = order->sort,
                            .spread_ns = order->spread_ns,
                            .seed = order->seed};
    trace->state = reader->start(options);
    const struct kept *kept = order->key ? kept_find(order->key) : NULL;
    if (kept)
        take_kept(trace, kept);
    else if (!open_file(trace, order, error))
        return false;
    else if (kept_keeps(&trace->lines, order->key))
        keep(trace, order->key);
    return true;
}

void trace_close(struct trace *trace)
{
    if (trace->state)
        trace->reader->stop(trace->state);
    lines_close(&trace->lines);
    if (!trace->shared)
        trace_rows_clear(&trace->sorted);
    trace_rows_clear(&trace->tied);
    mem_free(trace->file);
    *trace = (struct trace){0};
}
