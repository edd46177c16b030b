#include "point.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tandem/config.h"
#include "tandem/hash.h"
#include "tandem/mem.h"
#include "tandem/output.h"

#define HEAD_FORMAT "{\"hash\": \"%016llx\", " /* of all behind it */
#define HEAD_BYTES  29
#define EXACT       (INT64_C(1) << 53) /* whole numbers up to it are numbers in JSON, others text */

static void file_name(size_t number, char name[32])
{
    snprintf(name, 32, "%06zu.json", number);
}

/* --- writing
 * ----------------------------------------------------------------------------------------------------- */

static void write_number(double number, struct text *text)
{
    text_append(text, isfinite(number) ? "%.17g" : "\"%.17g\"", number);
}

static void write_signed(int64_t number, struct text *text)
{
    bool exact = number >= -EXACT && number <= EXACT;
    text_append(text, exact ? "%lld" : "\"%lld\"", (long long)number);
}

static void write_unsigned(uint64_t number, struct text *text)
{
    text_append(text, number <= (uint64_t)EXACT ? "%llu" : "\"%llu\"", (unsigned long long)number);
}

/* The member that a column is of. */
static void write_value(const struct column *column, const void *row, struct text *text)
{
    const char *at = (const char *)row + column->offset;
    uint64_t whole = 0;
    memcpy(&whole, at, column_bytes(column)); /* little-endian, as the file (chunk.c asserts it) */
    switch (column->type) {
    case COLUMN_F64: {
        double number;
        memcpy(&number, at, sizeof number);
        write_number(number, text);
        break;
    }
    case COLUMN_STRING: {
        const char *string;
        memcpy(&string, at, sizeof string);
        text_append_json(text, string);
        break;
    }
    case COLUMN_I32:
        write_signed((int32_t)whole, text);
        break;
    case COLUMN_I64:
        write_signed((int64_t)whole, text);
        break;
    case COLUMN_U8:
    case COLUMN_U16:
    case COLUMN_U32:
    case COLUMN_U64:
        write_unsigned(whole, text);
        break;
    }
}

/* ,"name": {"column": [..], ..} */
static void write_table(const char *name, const struct column_table *table, const void *rows,
                        size_t row_bytes, size_t count, struct text *text)
{
    text_append(text, ",\n\"%s\": {", name);
    for (size_t i = 0; i < table->count; i++) {
        text_append(text, "%s\"%s\": [", i > 0 ? ", " : "", table->columns[i].name);
        for (size_t k = 0; k < count; k++) {
            text_append(text, "%s", k > 0 ? "," : "");
            write_value(&table->columns[i], (const char *)rows + k * row_bytes, text);
        }
        text_append(text, "]");
    }
    text_append(text, "}");
}

/* Tables of a kind, one for each pool, link or metric, have its number behind the kind. */
static void write_numbered(const char *kind, size_t number, const struct column_table *table,
                           const void *rows, size_t row_bytes, size_t count, struct text *text)
{
    char name[64];
    snprintf(name, sizeof name, "%s/%zu", kind, number);
    write_table(name, table, rows, row_bytes, count, text);
}

static bool keeps(const struct point *point, enum results_group group)
{
    return (point->keep >> group & 1) != 0;
}

#define ROWS(list) list, sizeof *list

static void write_series(const struct point *point, struct text *text)
{
    const struct results *results = &point->results;
    bool links = keeps(point, RESULTS_LINKS);
    text_append(text, ",\n\"series_interval_ns\": %lld", (long long)results->series_interval_ns);
    for (size_t i = 0; keeps(point, RESULTS_TIMESERIES) && i < results->pool_count; i++)
        write_numbered("timeseries", i, &column_timeseries, ROWS(results->series[i]), results->series_count,
                       text);
    if (links)
        write_table("links", &column_links, ROWS(results->links), results->link_count, text);
    for (size_t i = 0; links && i < results->link_count; i++)
        write_numbered("link_timeseries", i, &column_link_timeseries, ROWS(results->link_series[i]),
                       results->series_count, text);
}

static void write_results(const struct point *point, struct text *text)
{
    const struct results *results = &point->results;
    text_append(text, ",\n\"checksum\": \"%llu\"", (unsigned long long)results->checksum);
    text_append(text, ",\n\"trace_sha256\": ");
    text_append_json(text, results->trace_sha256 ? results->trace_sha256 : "");
    write_table("summary", &column_summary, &results->summary, sizeof results->summary, 1, text);
    write_table("pools", &column_pools, ROWS(results->pools), results->pool_count, text);
    write_table("classes", &column_classes, ROWS(results->classes), results->class_count, text);
    if (keeps(point, RESULTS_INSTANCES))
        write_table("instances", &column_instances, ROWS(results->instances), results->instance_count, text);
    if (keeps(point, RESULTS_TIMESERIES) || keeps(point, RESULTS_LINKS))
        write_series(point, text);
    for (size_t i = 0; keeps(point, RESULTS_HISTOGRAMS) && i < METRIC_COUNT; i++)
        write_numbered("histograms", i, &column_histograms, ROWS(results->histograms[i]),
                       results->histogram_counts[i], text);
    if (keeps(point, RESULTS_REQUESTS)) {
        text_append(text, ",\n\"one_in\": %lld", (long long)results->row_one_in);
        write_table("requests", &column_requests, ROWS(results->rows), results->row_count, text);
    }
}

bool point_write(const char *folder, const struct point *point, struct error *error)
{
    struct text text = {0}, file = {0};
    char name[32];
    file_name(point->number, name);
    text_append(&text, "\"sweep\": \"%016llx\", \"point\": %zu, \"status\": \"%s\", \"wall_s\": ",
                (unsigned long long)point->identity, point->number, point_status_names[point->status]);
    write_number(point->wall_s, &text);
    text_append(&text, ",\n\"error\": ");
    text_append_json(&text, point->error);
    text_append(&text, ",\n\"warnings\": ");
    text_append_json(&text, point->warnings);
    if (point->status == POINT_COMPLETED)
        write_results(point, &text);
    text_append(&text, "}\n");
    text_append(&file, HEAD_FORMAT, (unsigned long long)hash_bytes(0, text.bytes, text.length));
    text_append(&file, "%s", text.bytes);
    bool good = output_write_text(folder, name, text_string(&file), error);
    text_clear(&text);
    text_clear(&file);
    return good;
}

/* --- reading
 * ----------------------------------------------------------------------------------------------------- */

/* A string that lives as long as the point. */
static const char *keep_string(struct point *point, const char *string)
{
    point->strings =
        mem_grow(point->strings, &point->string_capacity, point->string_count + 1, sizeof *point->strings);
    return point->strings[point->string_count++] = mem_string(string);
}

static const char *text_of(const struct node *node)
{
    return node && node_type(node) == NODE_STRING ? node_string(node) : NULL;
}

/* Integers, as numbers or text. */
static int64_t signed_of(const struct node *node)
{
    return text_of(node) ? strtoll(text_of(node), NULL, 10) : (int64_t)node_number(node);
}

static uint64_t unsigned_of(const struct node *node)
{
    return text_of(node) ? strtoull(text_of(node), NULL, 10) : (uint64_t)node_number(node);
}

static bool read_value(struct point *point, const struct column *column, const struct node *node, void *row)
{
    char *at = (char *)row + column->offset;
    enum node_type type = node_type(node);
    if (type != NODE_STRING && (type != NODE_NUMBER || column->type == COLUMN_STRING))
        return false;
    if (column->type == COLUMN_STRING) {
        const char *string = keep_string(point, node_string(node));
        memcpy(at, &string, sizeof string);
    } else if (column->type == COLUMN_F64) {
        double number = type == NODE_NUMBER ? node_number(node) : strtod(node_string(node), NULL);
        memcpy(at, &number, sizeof number);
    } else {
        bool is_signed = column->type == COLUMN_I32 || column->type == COLUMN_I64;
        uint64_t whole = is_signed ? (uint64_t)signed_of(node) : unsigned_of(node);
        memcpy(at, &whole, column_bytes(column));
    }
    return true;
}

/* Rows of a table from a member of the file; NULL where there are none. The caller owns them. */
static bool read_rows(struct point *point, const struct node *root, const char *name,
                      const struct column_table *table, size_t row_bytes, void **rows, size_t *count)
{
    const struct node *object = node_get(root, name);
    *rows = NULL;
    *count = 0;
    if (!object || node_size(object) != table->count)
        return false;
    *count = node_size(node_at(object, 0));
    *rows = mem_array(*count, row_bytes);
    for (size_t i = 0; i < table->count; i++) {
        const struct node *values = node_at(object, i);
        if (strcmp(node_key(values), table->columns[i].name) != 0 || node_type(values) != NODE_ARRAY ||
            node_size(values) != *count)
            return false;
        for (size_t k = 0; k < *count; k++)
            if (!read_value(point, &table->columns[i], node_at(values, k), (char *)*rows + k * row_bytes))
                return false;
    }
    return true;
}

static bool read_numbered(struct point *point, const struct node *root, const char *kind, size_t number,
                          const struct column_table *table, size_t row_bytes, void **rows, size_t *count)
{
    char name[64];
    snprintf(name, sizeof name, "%s/%zu", kind, number);
    return read_rows(point, root, name, table, row_bytes, rows, count);
}

static bool read_summary(struct point *point, const struct node *root)
{
    void *rows;
    size_t count;
    bool good = read_rows(point, root, "summary", &column_summary, sizeof(struct summary), &rows, &count) &&
                count == 1;
    if (good)
        memcpy(&point->results.summary, rows, sizeof(struct summary));
    mem_free(rows);
    return good;
}

/* Into a list of the results. */
#define READ(name, table, list, number)                                                                      \
    read_rows(point, root, name, table, sizeof *(list), (void **)&(list), &(number))

static bool read_series(struct point *point, const struct node *root)
{
    struct results *results = &point->results;
    const struct node *interval = node_get(root, "series_interval_ns");
    bool good = interval && node_type(interval) == NODE_NUMBER;
    if (good)
        results->series_interval_ns = signed_of(interval);
    for (size_t i = 0; good && keeps(point, RESULTS_TIMESERIES) && i < results->pool_count; i++)
        good = read_numbered(point, root, "timeseries", i, &column_timeseries, sizeof **results->series,
                             (void **)&results->series[i], &results->series_count);
    if (!good || !keeps(point, RESULTS_LINKS))
        return good;
    good = READ("links", &column_links, results->links, results->link_count);
    results->link_series = mem_array(results->link_count, sizeof *results->link_series);
    for (size_t i = 0; good && i < results->link_count; i++)
        good = read_numbered(point, root, "link_timeseries", i, &column_link_timeseries,
                             sizeof **results->link_series, (void **)&results->link_series[i],
                             &results->series_count);
    return good;
}

static bool read_results(struct point *point, const struct node *root)
{
    struct results *results = &point->results;
    const char *checksum = text_of(node_get(root, "checksum")),
               *sha256 = text_of(node_get(root, "trace_sha256"));
    bool good = checksum && sha256 && read_summary(point, root) &&
                READ("pools", &column_pools, results->pools, results->pool_count);
    results->series = mem_array(results->pool_count, sizeof *results->series);
    good = good && READ("classes", &column_classes, results->classes, results->class_count);
    if (!good)
        return false;
    results->checksum = strtoull(checksum, NULL, 10);
    results->trace_sha256 = keep_string(point, sha256);
    if (keeps(point, RESULTS_INSTANCES))
        good = READ("instances", &column_instances, results->instances, results->instance_count);
    if (keeps(point, RESULTS_TIMESERIES) || keeps(point, RESULTS_LINKS))
        good = good && read_series(point, root);
    for (size_t i = 0; good && keeps(point, RESULTS_HISTOGRAMS) && i < METRIC_COUNT; i++)
        good = read_numbered(point, root, "histograms", i, &column_histograms, sizeof **results->histograms,
                             (void **)&results->histograms[i], &results->histogram_counts[i]);
    const struct node *one_in = node_get(root, "one_in");
    if (good && keeps(point, RESULTS_REQUESTS)) {
        good = one_in && node_type(one_in) == NODE_NUMBER &&
               READ("requests", &column_requests, results->rows, results->row_count);
        results->row_one_in = good ? signed_of(one_in) : 0;
    }
    return good;
}

/* What is in front of the results. */
static bool read_head(struct point *point, const struct node *root)
{
    char identity[20];
    const char *sweep = text_of(node_get(root, "sweep")), *status = text_of(node_get(root, "status")),
               *error = text_of(node_get(root, "error")), *warnings = text_of(node_get(root, "warnings"));
    const struct node *number = node_get(root, "point"), *wall_s = node_get(root, "wall_s");
    snprintf(identity, sizeof identity, "%016llx", (unsigned long long)point->identity);
    if (!sweep || strcmp(sweep, identity) != 0 || !status || !error || !warnings || !number ||
        node_type(number) != NODE_NUMBER || node_number(number) != (double)point->number || !wall_s ||
        node_type(wall_s) != NODE_NUMBER)
        return false;
    point->wall_s = node_number(wall_s);
    point->error = keep_string(point, error);
    point->warnings = keep_string(point, warnings);
    for (point->status = 0; point_status_names[point->status]; point->status++)
        if (strcmp(point_status_names[point->status], status) == 0)
            return true;
    return false;
}

static bool is_whole(const char *bytes, size_t count)
{
    char head[HEAD_BYTES + 1];
    if (count < HEAD_BYTES || strlen(bytes) != count)
        return false;
    snprintf(head, sizeof head, HEAD_FORMAT,
             (unsigned long long)hash_bytes(0, bytes + HEAD_BYTES, count - HEAD_BYTES));
    return memcmp(bytes, head, HEAD_BYTES) == 0;
}

bool point_read(const char *folder, size_t number, uint64_t identity, struct point *point)
{
    char *bytes, name[32];
    size_t count;
    struct text path = {0};
    struct error ignored;
    struct config *file = NULL;
    unsigned keep = point->keep;
    *point = (struct point){.number = number, .identity = identity, .keep = keep};
    file_name(number, name);
    text_append(&path, "%s/%s", folder, name);
    bool good = config_read_file(text_string(&path), &bytes, &count, &ignored);
    if (good) {
        good = is_whole(bytes, count) && config_parse(bytes, name, &file, &ignored) &&
               read_head(point, config_root(file)) &&
               (point->status != POINT_COMPLETED || read_results(point, config_root(file)));
        mem_free(bytes);
    }
    config_free(file);
    text_clear(&path);
    return good;
}

void point_clear(struct point *point)
{
    results_clear(&point->results);
    for (size_t i = 0; i < point->string_count; i++)
        mem_free(point->strings[i]);
    mem_free(point->strings);
    *point = (struct point){.keep = point->keep};
}
