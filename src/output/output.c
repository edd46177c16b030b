#include "tandem/output.h"

#include <stdio.h>

#include "tandem/mem.h"

#include "file.h"
#include "h5.h"

#define FILE_NAME "results.h5"

static void write_root(struct h5 *h5, const struct results *results, const char *configuration)
{
    char checksum[17];
    snprintf(checksum, sizeof checksum, "%016llx", (unsigned long long)results->checksum);
    h5_int_attribute(h5, h5->file, "schema_version", OUTPUT_SCHEMA_VERSION);
    h5_text_attribute(h5, h5->file, "tandem_version", TANDEM_VERSION);
    h5_text_attribute(h5, h5->file, "checksum", checksum);
    h5_text_attribute(h5, h5->file, "configuration", configuration);
    h5_text_attribute(h5, h5->file, "trace_sha256", results->trace_sha256 ? results->trace_sha256 : "");
}

/* A group of the root with its description. */
static hid_t top_group(struct h5 *h5, const char *name, const char *doc)
{
    hid_t group = h5_group(h5, h5->file, name);
    h5_text_attribute(h5, group, "description", doc);
    return group;
}

static void write_table(struct h5 *h5, const struct column_table *table, const void *rows, size_t row_bytes,
                        size_t count)
{
    hid_t group = top_group(h5, table->group, table->doc);
    h5_table(h5, group, table, rows, row_bytes, count, false);
    h5_close_group(h5, group);
}

static void write_timeseries(struct h5 *h5, const struct results *results)
{
    hid_t top = top_group(h5, "/timeseries", column_timeseries.doc);
    for (size_t i = 0; i < results->pool_count; i++) {
        hid_t group = h5_group(h5, top, results->pools[i].name);
        h5_int_attribute(h5, group, "interval_ns", results->series_interval_ns);
        h5_table(h5, group, &column_timeseries, results->series[i], sizeof *results->series[i],
                 results->series_count, true);
        h5_close_group(h5, group);
    }
    h5_close_group(h5, top);
}

static void write_histograms(struct h5 *h5, const struct results *results)
{
    hid_t top = top_group(h5, "/histograms", column_histograms.doc);
    for (int i = 0; i < METRIC_COUNT; i++) {
        hid_t group = h5_group(h5, top, metric_names[i]);
        h5_table(h5, group, &column_histograms, results->histograms[i], sizeof *results->histograms[i],
                 results->histogram_counts[i], true);
        h5_close_group(h5, group);
    }
    h5_close_group(h5, top);
}

static void write_summary(struct h5 *h5, const struct results *results)
{
    hid_t group = top_group(h5, column_summary.group, column_summary.doc);
    h5_scalars(h5, group, &column_summary, &results->summary);
    h5_close_group(h5, group);
}

bool output_write(const char *folder, const struct results *results, const char *configuration,
                  struct error *error)
{
    struct h5 h5;
    void *bytes;
    size_t count;
    h5_begin(&h5);
    write_root(&h5, results, configuration);
    if (results->rows)
        write_table(&h5, &column_requests, results->rows, sizeof *results->rows, results->row_count);
    write_table(&h5, &column_instances, results->instances, sizeof *results->instances,
                results->instance_count);
    write_table(&h5, &column_pools, results->pools, sizeof *results->pools, results->pool_count);
    write_timeseries(&h5, results);
    write_histograms(&h5, results);
    write_summary(&h5, results);
    if (!h5_end(&h5, &bytes, &count, error)) {
        struct text path = {0};
        text_append(&path, "%s/" FILE_NAME ": cannot write", folder);
        error_prefix(error, text_string(&path));
        text_clear(&path);
        return false;
    }
    bool good = file_write(folder, FILE_NAME, bytes, count, error);
    mem_free(bytes);
    return good;
}
