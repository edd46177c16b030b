/* results.h5 of a sweep: what its points gave, put together. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tandem/mem.h"
#include "tandem/output.h"

#include "file.h"
#include "groups.h"
#include "h5.h"

#define FILE_NAME "results.h5"

static const char point_doc[] =
    "One group per point, named by its row of /points, of groups that sweep.keep names.";
static const char parameters_doc[] = "One column per path of the axes and named points, a row a point: "
                                     "numbers where all values are, else text "
                                     "(objects by their names). NaN or empty where a point does not set it.";

struct output_sweep {
    struct file file;
    struct h5 h5;
    bool has_points; /* the group of theirs is there */
};

struct output_sweep *output_sweep_begin(const char *folder, int compression)
{
    struct output_sweep *sweep = mem_array(1, sizeof *sweep);
    file_begin(&sweep->file, folder, FILE_NAME);
    h5_begin(&sweep->h5, &sweep->file, compression);
    return sweep;
}

void output_sweep_point(struct output_sweep *sweep, size_t point, unsigned groups,
                        const struct results *results)
{
    struct h5 *h5 = &sweep->h5;
    char prefix[64];
    if (!sweep->has_points)
        h5_close_group(h5, h5_top_group(h5, "", "/point", point_doc));
    sweep->has_points = true;
    snprintf(prefix, sizeof prefix, "/point/%06zu", point);
    h5_close_group(h5, h5_group(h5, h5->file, prefix));
    for (enum results_group group = 0; group < RESULTS_GROUPS; group++)
        if (groups >> group & 1 && groups_has(results, group))
            groups_write(h5, prefix, group, results);
}

void output_sweep_abandon(struct output_sweep *sweep)
{
    struct error ignored;
    if (sweep->file.reason == 0)
        sweep->file.reason = ECANCELED; /* HDF5 need not write what it still has */
    h5_finish(&sweep->h5, &sweep->file, &ignored);
    mem_free(sweep);
}

/* The columns of two tables, of rows that have those of the second at an offset. The caller frees them. */
static struct column_table join(const struct column_table *first, const struct column_table *second,
                                size_t offset, const char *group, const char *doc)
{
    struct column_table joined = {group, doc, NULL, first->count + second->count};
    struct column *columns = mem_array(joined.count, sizeof *columns);
    memcpy(columns, first->columns, first->count * sizeof *columns);
    memcpy(columns + first->count, second->columns, second->count * sizeof *columns);
    for (size_t i = first->count; i < joined.count; i++)
        columns[i].offset += offset;
    joined.columns = columns;
    return joined;
}

static void write_joined(struct h5 *h5, const struct column_table *first, const struct column_table *second,
                         size_t offset, const void *rows, size_t row_bytes, size_t count)
{
    const struct column_table *named = first->group[0] ? first : second;
    struct column_table table = join(first, second, offset, named->group, named->doc);
    hid_t group = h5_top_group(h5, "", table.group, table.doc);
    h5_table(h5, group, &table, rows, row_bytes, count, false);
    h5_close_group(h5, group);
    mem_free((void *)table.columns);
}

static void write_points(struct h5 *h5, const struct output_points *points)
{
    struct column_table more = {0};
    if (points->is_search)
        more = join(&column_points, &column_probes, 0, column_points.group, column_points.doc);
    write_joined(h5, points->is_search ? &more : &column_points, &column_summary,
                 offsetof(struct point_row, summary), points->rows, sizeof *points->rows, points->count);
    mem_free((void *)more.columns);
}

static void write_parameters(struct h5 *h5, const struct output_points *points)
{
    struct column *columns = mem_array(points->parameter_count, sizeof *columns);
    for (size_t i = 0; i < points->parameter_count; i++)
        columns[i] = (struct column){.name = points->parameters[i].path,
                                     .type = points->parameters[i].is_number ? COLUMN_F64 : COLUMN_STRING,
                                     .offset = i * sizeof(union output_value),
                                     .unit = "",
                                     .doc = "Value of this path; its unit is in its name."};
    struct column_table table = {"/parameters", parameters_doc, columns, points->parameter_count};
    hid_t group = h5_top_group(h5, "", table.group, table.doc);
    h5_table(h5, group, &table, points->values, points->parameter_count * sizeof(union output_value),
             points->count, false);
    h5_close_group(h5, group);
    mem_free(columns);
}

bool output_sweep_end(struct output_sweep *sweep, const struct output_points *points, struct error *error)
{
    struct h5 *h5 = &sweep->h5;
    h5_text_attribute(h5, h5->file, "kind", points->is_search ? "search" : "sweep");
    groups_root(h5, points->checksum, points->configuration, points->trace_sha256);
    write_points(h5, points);
    write_parameters(h5, points);
    write_joined(h5, &column_point_number, &column_pools, offsetof(struct point_pool_row, pool),
                 points->pools, sizeof *points->pools, points->pool_count);
    write_joined(h5, &column_point_number, &column_classes, offsetof(struct point_class_row, class),
                 points->classes, sizeof *points->classes, points->class_count);
    for (size_t i = 0; i < points->table_count; i++) {
        const struct output_table *table = &points->tables[i];
        hid_t group = h5_top_group(h5, "", table->columns->group, table->columns->doc);
        h5_table(h5, group, table->columns, table->rows, table->row_bytes, table->count, false);
        h5_close_group(h5, group);
    }
    bool good = h5_finish(h5, &sweep->file, error);
    mem_free(sweep);
    return good;
}
