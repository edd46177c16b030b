#include "tandem/output.h"

#include <errno.h>
#include <stdio.h>

#include "tandem/mem.h"

#include "file.h"
#include "h5.h"
#include "rows.h"

#define FILE_NAME "results.h5"

struct output {
    MPI_Comm comm; /* its own: messages of the run do not mix with those of the rows */
    int rank;
    struct output_config config;
    struct rows *rows; /* NULL: none will come */
    /* On rank 0: */
    struct file file;
    struct h5 h5;
    hid_t *columns; /* datasets of /requests; owned */
};

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

/* The group of the rows, and its datasets still without them. */
static void begin_requests(struct output *output)
{
    struct h5 *h5 = &output->h5;
    const struct output_config *config = &output->config;
    hid_t group = h5_top_group(h5, column_requests.group, column_requests.doc);
    h5_int_attribute(h5, group, "one_in", (int64_t)config->one_in);
    output->columns = mem_array(column_requests.count, sizeof *output->columns);
    h5_open_table(h5, group, &column_requests, rows_expected(config), config->chunk_rows, output->columns);
    h5_close_group(h5, group);
}

static void write_chunk(void *context, const struct packed_chunk *chunk)
{
    struct output *output = context;
    const char *bytes = chunk->bytes;
    for (size_t i = 0; i < column_requests.count; i++) {
        h5_write_chunk(&output->h5, output->columns[i], chunk->first_row, bytes, chunk->lengths[i],
                       chunk->lengths[i] < chunk->rows * column_bytes(&column_requests.columns[i]));
        bytes += chunk->lengths[i];
    }
}

static void write_table(struct h5 *h5, const struct column_table *table, const void *rows, size_t row_bytes,
                        size_t count)
{
    hid_t group = h5_top_group(h5, table->group, table->doc);
    h5_table(h5, group, table, rows, row_bytes, count, false);
    h5_close_group(h5, group);
}

static void write_timeseries(struct h5 *h5, const struct results *results)
{
    hid_t top = h5_top_group(h5, "/timeseries", column_timeseries.doc);
    for (size_t i = 0; i < results->pool_count; i++) {
        hid_t group = h5_group(h5, top, results->pools[i].name);
        h5_int_attribute(h5, group, "interval_ns", results->series_interval_ns);
        h5_table(h5, group, &column_timeseries, results->series[i], sizeof *results->series[i],
                 results->series_count, true);
        h5_close_group(h5, group);
    }
    h5_close_group(h5, top);
}

static void write_links(struct h5 *h5, const struct results *results)
{
    write_table(h5, &column_links, results->links, sizeof *results->links, results->link_count);
    hid_t top = h5_top_group(h5, "/link_timeseries", column_link_timeseries.doc);
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

static void write_iterations(struct h5 *h5, const struct results *results)
{
    hid_t group = h5_top_group(h5, column_iterations.group, column_iterations.doc);
    h5_int_attribute(h5, group, "cut_ns", results->iterations_cut_ns);
    h5_table(h5, group, &column_iterations, results->iterations, sizeof *results->iterations,
             results->iteration_count, false);
    h5_close_group(h5, group);
}

static void write_histograms(struct h5 *h5, const struct results *results)
{
    hid_t top = h5_top_group(h5, "/histograms", column_histograms.doc);
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
    hid_t group = h5_top_group(h5, column_summary.group, column_summary.doc);
    h5_scalars(h5, group, &column_summary, &results->summary);
    h5_close_group(h5, group);
}

/* Rank 0's verdict for all. Collective. */
static bool agree(const struct output *output, bool good)
{
    int verdict = good;
    MPI_Bcast(&verdict, 1, MPI_INT, 0, output->comm);
    return verdict;
}

static bool is_good(const struct output *output)
{
    return output->rank != 0 || (output->file.reason == 0 && output->h5.error.text[0] == '\0');
}

struct output *output_open(MPI_Comm comm, const struct output_config *config)
{
    struct output *output = mem_array(1, sizeof *output);
    output->config = *config;
    if (output->config.chunk_rows == 0)
        output->config.chunk_rows = OUTPUT_CHUNK_ROWS;
    MPI_Comm_dup(comm, &output->comm);
    MPI_Comm_rank(comm, &output->rank);
    if (config->one_in > 0)
        output->rows = rows_new(output->comm, &output->config);
    if (output->rank != 0)
        return output;
    file_begin(&output->file, config->folder, FILE_NAME);
    h5_begin(&output->h5, &output->file, config->compression);
    if (config->one_in > 0)
        begin_requests(output);
    return output;
}

bool output_rows(struct output *output, const struct row *rows, size_t count)
{
    rows_take(output->rows, rows, count, write_chunk, output);
    return agree(output, is_good(output));
}

static void write_rest(struct output *output, const struct results *results, const char *configuration)
{
    struct h5 *h5 = &output->h5;
    write_root(h5, results, configuration);
    write_table(h5, &column_instances, results->instances, sizeof *results->instances,
                results->instance_count);
    write_table(h5, &column_pools, results->pools, sizeof *results->pools, results->pool_count);
    write_table(h5, &column_classes, results->classes, sizeof *results->classes, results->class_count);
    write_timeseries(h5, results);
    if (results->link_count > 0)
        write_links(h5, results);
    if (results->iterations)
        write_iterations(h5, results);
    write_histograms(h5, results);
    write_summary(h5, results);
}

/* Completes the file on rank 0. */
static bool finish(struct output *output, struct error *error)
{
    if (output->columns)
        h5_close_table(&output->h5, &column_requests, output->columns);
    return h5_finish(&output->h5, &output->file, error);
}

static void output_free(struct output *output)
{
    if (output->rows)
        rows_free(output->rows);
    MPI_Comm_free(&output->comm);
    mem_free(output->columns);
    mem_free(output);
}

bool output_close(struct output *output, const struct results *results, const char *configuration,
                  struct error *error)
{
    bool good = true;
    if (output->rows)
        rows_check_all(output->rows);
    if (output->rank == 0) {
        write_rest(output, results, configuration);
        good = finish(output, error);
    }
    good = agree(output, good);
    output_free(output);
    return good;
}

void output_abandon(struct output *output, struct error *error)
{
    if (output->rank == 0) {
        if (is_good(output))
            output->file.reason = ECANCELED; /* HDF5 need not write what it still has */
        finish(output, error);
    }
    output_free(output);
}
