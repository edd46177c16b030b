#include "groups.h"

#include <stdio.h>

#include "tandem/output.h"

void groups_root(struct h5 *h5, const char *checksum, const char *configuration, const char *trace_sha256)
{
    h5_int_attribute(h5, h5->file, "schema_version", OUTPUT_SCHEMA_VERSION);
    h5_text_attribute(h5, h5->file, "tandem_version", TANDEM_VERSION);
    h5_text_attribute(h5, h5->file, "checksum", checksum);
    h5_text_attribute(h5, h5->file, "configuration", configuration);
    h5_text_attribute(h5, h5->file, "trace_sha256", trace_sha256 ? trace_sha256 : "");
}

static void write_table(struct h5 *h5, const char *prefix, const struct column_table *table, const void *rows,
                        size_t row_bytes, size_t count)
{
    hid_t group = h5_top_group(h5, prefix, table->group, table->doc);
    h5_table(h5, group, table, rows, row_bytes, count, false);
    h5_close_group(h5, group);
}

static void write_timeseries(struct h5 *h5, const char *prefix, const struct results *results)
{
    hid_t top = h5_top_group(h5, prefix, "/timeseries", column_timeseries.doc);
    for (size_t i = 0; i < results->pool_count; i++) {
        hid_t group = h5_group(h5, top, results->pools[i].name);
        h5_int_attribute(h5, group, "interval_ns", results->series_interval_ns);
        h5_table(h5, group, &column_timeseries, results->series[i], sizeof *results->series[i],
                 results->series_count, true);
        h5_close_group(h5, group);
    }
    h5_close_group(h5, top);
}

static void write_links(struct h5 *h5, const char *prefix, const struct results *results)
{
    write_table(h5, prefix, &column_links, results->links, sizeof *results->links, results->link_count);
    hid_t top = h5_top_group(h5, prefix, "/link_timeseries", column_link_timeseries.doc);
    for (size_t i = 0; i < results->link_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "%zu", i);
        hid_t group = h5_group(h5, top, name);
        h5_int_attribute(h5, group, "interval_ns", results->series_interval_ns);
        h5_table(h5, group, &column_link_timeseries, results->link_series[i], sizeof *results->link_series[i],
                 results->series_count, true);
        h5_close_group(h5, group);
    }
    h5_close_group(h5, top);
}

static void write_iterations(struct h5 *h5, const char *prefix, const struct results *results)
{
    hid_t group = h5_top_group(h5, prefix, column_iterations.group, column_iterations.doc);
    h5_int_attribute(h5, group, "cut_ns", results->iterations_cut_ns);
    h5_table(h5, group, &column_iterations, results->iterations, sizeof *results->iterations,
             results->iteration_count, false);
    h5_close_group(h5, group);
}

static void write_histograms(struct h5 *h5, const char *prefix, const struct results *results)
{
    hid_t top = h5_top_group(h5, prefix, "/histograms", column_histograms.doc);
    for (int i = 0; i < METRIC_COUNT; i++) {
        hid_t group = h5_group(h5, top, metric_names[i]);
        h5_table(h5, group, &column_histograms, results->histograms[i], sizeof *results->histograms[i],
                 results->histogram_counts[i], true);
        h5_close_group(h5, group);
    }
    h5_close_group(h5, top);
}

static void write_summary(struct h5 *h5, const char *prefix, const struct results *results)
{
    hid_t group = h5_top_group(h5, prefix, column_summary.group, column_summary.doc);
    h5_scalars(h5, group, &column_summary, &results->summary);
    h5_close_group(h5, group);
}

/* Of rows that are all there; a run's go into the file as they come (rows.h). */
static void write_requests(struct h5 *h5, const char *prefix, const struct results *results)
{
    hid_t group = h5_top_group(h5, prefix, column_requests.group, column_requests.doc);
    h5_int_attribute(h5, group, "one_in", results->row_one_in);
    h5_table(h5, group, &column_requests, results->rows, sizeof *results->rows, results->row_count, false);
    h5_close_group(h5, group);
}

bool groups_has(const struct results *results, enum results_group group)
{
    return group == RESULTS_LINKS        ? results->link_count > 0
           : group == RESULTS_ITERATIONS ? results->iterations != NULL
                                         : true;
}

void groups_write(struct h5 *h5, const char *prefix, enum results_group group, const struct results *results)
{
    switch (group) {
    case RESULTS_INSTANCES:
        write_table(h5, prefix, &column_instances, results->instances, sizeof *results->instances,
                    results->instance_count);
        break;
    case RESULTS_POOLS:
        write_table(h5, prefix, &column_pools, results->pools, sizeof *results->pools, results->pool_count);
        break;
    case RESULTS_CLASSES:
        write_table(h5, prefix, &column_classes, results->classes, sizeof *results->classes,
                    results->class_count);
        break;
    case RESULTS_TIMESERIES:
        write_timeseries(h5, prefix, results);
        break;
    case RESULTS_LINKS:
        write_links(h5, prefix, results);
        break;
    case RESULTS_ITERATIONS:
        write_iterations(h5, prefix, results);
        break;
    case RESULTS_HISTOGRAMS:
        write_histograms(h5, prefix, results);
        break;
    case RESULTS_SUMMARY:
        write_summary(h5, prefix, results);
        break;
    case RESULTS_REQUESTS:
        write_requests(h5, prefix, results);
        break;
    case RESULTS_GROUPS:
        break;
    }
}
