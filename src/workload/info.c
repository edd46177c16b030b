#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "tandem/config.h"
#include "tandem/mem.h"
#include "tandem/simtime.h"
#include "tandem/text.h"

#define READER_NAMES_MAX 64
#define LARGEST_GAPS     8
#define MINUTE_NS        (60 * SIMTIME_SECOND_NS)

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Names of all readers, for messages. */
static void append_formats(struct text *text)
{
    const char *names[READER_NAMES_MAX];
    size_t count = trace_reader_names(names, READER_NAMES_MAX);
    for (size_t i = 0; i < count; i++)
        text_append(text, "%s%s", i > 0 ? ", " : "", names[i]);
}

static bool unknown_reader(const char *path, const char *format, const char *first_line, struct error *error)
{
    struct text known = {0};
    append_formats(&known);
    if (format)
        error_set(error, "unknown trace format '%s' (known: %s)", format, text_string(&known));
    else
        error_set(
            error,
            "%s:1: looks like none of the trace formats (%s): '%.200s'; if it is a CSV with other columns: "
            "--format csv --set time_column=NAME ..",
            path, text_string(&known), first_line);
    text_clear(&known);
    return false;
}

static bool choose_reader(const char *path, const char *format, const struct trace_reader **reader,
                          struct error *error)
{
    struct lines lines;
    bool more = false;
    *reader = format ? trace_reader_find(format) : NULL;
    if (format)
        return *reader ? true : unknown_reader(path, format, "", error);
    if (!lines_open(&lines, path, error))
        return false;
    bool good = lines_next(&lines, path, &more, error);
    for (size_t i = 0; good && trace_readers[i] && !*reader; i++)
        if (trace_readers[i]->recognizes(lines.line))
            *reader = trace_readers[i];
    if (good && !*reader)
        good = unknown_reader(path, NULL, lines.line, error);
    lines_close(&lines);
    return good;
}

/* All rows, which quantiles need. */
struct table {
    struct trace_rows held;
    const struct trace_row *rows; /* held.rows */
    size_t count;
    int64_t hash_tokens; /* 0: they have no hashes */
    char sha256[65];
};

static bool load(const char *path, const struct trace_reader *reader, const struct node *settings,
                 struct table *table, struct error *error)
{
    struct trace trace = {0};
    void *options = mem_array(1, reader->options_size);
    bool good = (!reader->options || option_parse(reader->options, settings, options, error)) &&
                trace_open(&trace, path, reader, options, &(struct trace_order){0}, error) &&
                trace_collect(&trace, &table->held, error);
    table->rows = table->held.rows;
    table->count = table->held.count;
    table->hash_tokens = good && reader->hash_tokens ? reader->hash_tokens(trace.state) : 0;
    memcpy(table->sha256, trace.sha256, sizeof table->sha256);
    trace_close(&trace);
    mem_free(options);
    return good;
}

/* --- arrivals
 * ------------------------------------------------------------------------------------------------ */

/* Coefficient of variation of the gaps. */
static double gap_variation(const int64_t *gaps, size_t count)
{
    double mean = 0, square = 0;
    for (size_t i = 0; i < count; i++)
        mean += seconds(gaps[i]) / (double)count;
    for (size_t i = 0; i < count; i++)
        square += (seconds(gaps[i]) - mean) * (seconds(gaps[i]) - mean) / (double)count;
    return mean > 0 ? sqrt(square) / mean : 0;
}

static void append_gaps(const struct table *table, struct text *text)
{
    size_t count = table->count - 1;
    int64_t *gaps = mem_array(count, sizeof *gaps);
    for (size_t i = 0; i < count; i++)
        gaps[i] = table->rows[i + 1].time_ns - table->rows[i].time_ns;
    text_append(text, "CV of gaps     %.3f\n", gap_variation(gaps, count));
    qsort(gaps, count, sizeof *gaps, compare);
    text_append(text, "largest gaps  ");
    for (size_t i = 0; i < LARGEST_GAPS && i < count; i++)
        text_append(text, " %.3f", seconds(gaps[count - 1 - i]));
    text_append(text, " s\n");
    mem_free(gaps);
}

/* Least and most requests of the full minutes from the first request on. */
static void append_minutes(const struct table *table, struct text *text)
{
    int64_t minutes = table->rows[table->count - 1].time_ns / MINUTE_NS;
    int64_t least = INT64_MAX, most = 0;
    size_t next = 0;
    for (int64_t minute = 0; minute < minutes; minute++) {
        int64_t requests = 0;
        for (; next < table->count && table->rows[next].time_ns < (minute + 1) * MINUTE_NS; next++)
            requests++;
        least = requests < least ? requests : least;
        most = requests > most ? requests : most;
        if (requests == 0) /* jump over long silence: only one empty minute is needed for the minimum */
            minute = table->rows[next].time_ns / MINUTE_NS - 1;
    }
    if (minutes > 0)
        text_append(text, "per minute     %lld to %lld requests (%lld full minutes)\n", (long long)least,
                    (long long)most, (long long)minutes);
}

static void append_arrivals(const struct table *table, struct text *text)
{
    int64_t span_ns = table->rows[table->count - 1].time_ns;
    text_append(text, "requests       %zu\n", table->count);
    text_append(text, "span           %.3f s\n", seconds(span_ns));
    if (span_ns == 0)
        return;
    text_append(text, "mean rate      %.3f requests/s\n", (double)(table->count - 1) / seconds(span_ns));
    append_gaps(table, text);
    append_minutes(table, text);
}

/* --- lengths
 * ------------------------------------------------------------------------------------------------- */

/* Quantile with linear interpolation between order statistics (as numpy), with one digit only where it has
 * one. */
static void append_quantile(const int64_t *sorted, size_t count, double percent, struct text *text)
{
    char digits[32];
    double rank = (double)(count - 1) * percent / 100;
    size_t below = (size_t)rank;
    double value = (double)sorted[below];
    if (below + 1 < count)
        value += (rank - (double)below) * (double)(sorted[below + 1] - sorted[below]);
    int length = snprintf(digits, sizeof digits, "%.1f", value);
    if (length > 2 && strcmp(digits + length - 2, ".0") == 0)
        digits[length - 2] = '\0';
    text_append(text, " %9s", digits);
}

static void append_lengths(const struct table *table, const char *name, bool prompt, struct text *text)
{
    static const double percents[] = {1, 10, 50, 90, 99, 99.9, 0, 100};
    int64_t *lengths = mem_array(table->count, sizeof *lengths);
    double sum = 0;
    for (size_t i = 0; i < table->count; i++) {
        lengths[i] = prompt ? table->rows[i].prompt_tokens : table->rows[i].output_tokens;
        sum += (double)lengths[i];
    }
    qsort(lengths, table->count, sizeof *lengths, compare);
    text_append(text, "%-9s %9.1f", name, sum / (double)table->count);
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++)
        append_quantile(lengths, table->count, percents[i], text);
    text_append(text, "\n");
    mem_free(lengths);
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* A hash names its block and all before it: whatever is not seen for the first time, a cache without limit
 * has. */
static void append_sharing(struct table *table, struct text *text)
{
    uint64_t *hashes = table->held.hashes;
    size_t count = table->held.hash_count, distinct = 0;
    qsort(hashes, count, sizeof *hashes, compare_hashes);
    for (size_t i = 0; i < count; i++)
        distinct += i == 0 || hashes[i] != hashes[i - 1];
    text_append(text, "\nprompt blocks  %zu of %lld tokens, %zu distinct: %.2f %% were there before\n", count,
                (long long)table->hash_tokens, distinct,
                count > 0 ? 100 * (double)(count - distinct) / (double)count : 0);
}

bool workload_trace_info(const char *path, const char *format, const struct node *settings, struct text *text,
                         struct error *error)
{
    const struct trace_reader *reader = NULL;
    struct table table = {0};
    bool good = choose_reader(path, format, &reader, error) && load(path, reader, settings, &table, error);
    if (good) {
        text_append(text, "file           %s\n", path);
        text_append(text, "sha256         %s\n", table.sha256);
        text_append(text, "format         %s (%s)\n", reader->name, reader->doc);
        append_arrivals(&table, text);
        text_append(text, "\n%-9s %9s %9s %9s %9s %9s %9s %9s %9s %9s\n", "tokens", "mean", "p1", "p10",
                    "p50", "p90", "p99", "p99.9", "min", "max");
        append_lengths(&table, "prompt", true, text);
        append_lengths(&table, "output", false, text);
        if (table.hash_tokens > 0)
            append_sharing(&table, text);
    }
    trace_rows_clear(&table.held);
    return good;
}
