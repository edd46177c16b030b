/* results.h5: one file a run, the same bytes however many ranks made it. It is written as the run proceeds.
 */
#ifndef TANDEM_OUTPUT_H
#define TANDEM_OUTPUT_H

#include <mpi.h>

#include "tandem/error.h"
#include "tandem/results.h"
#include "tandem/text.h"

#define OUTPUT_SCHEMA_VERSION 1
#define OUTPUT_CHUNK_ROWS     65536

struct output_config {
    const char *folder; /* only rank 0's counts */
    uint64_t requests;  /* of the run: their ids are 0, 1, .. */
    uint64_t one_in;    /* rows come of the requests whose id is a multiple of it; 0: of none */
    int compression;    /* deflate level, 0: no filters */
    size_t chunk_rows;  /* 0: OUTPUT_CHUNK_ROWS */
};

/* FOLDER/results.h5 in the making. */
struct output;

/* The files that a run leaves in its folder, NULL-ended. */
extern const char *const output_run_files[];

/* Creates the folder (and those above) if needed and checks that a file can be written there, before a long
 * run. Errors name the folder and what the system said. Local, for rank 0. */
bool output_make_folder(const char *folder, struct error *error);

/* The same, and removes the named files (NULL-ended) of an earlier run. Local, for rank 0. */
bool output_prepare(const char *folder, const char *const *files, struct error *error);

/* Begins FOLDER/results.h5 under a temporary name, on rank 0. The caller owns what comes back and ends it
 * with output_close or output_abandon, whatever else failed. Collective; the communicator stays the caller's.
 */
struct output *output_open(MPI_Comm comm, const struct output_config *config);

/* Takes finished rows of this rank (any number, in any order; copied) and writes those whose turn it is: rows
 * are in the file in order of ids, and wait here for those before them. Aborts on a row that came before or
 * that config left out. Collective; false, the same on all ranks: it cannot be written, the run may as well
 * end. */
bool output_rows(struct output *output, const struct row *rows, size_t count);

/* Writes everything else (results->rows are not looked at), syncs the file and renames it; frees output. All
 * rows have to be there, or it aborts. results and configuration (resolved JSON, an attribute) are rank 0's,
 * NULL elsewhere. Collective; the same on all ranks; rank 0's error names the file and what the system said.
 */
bool output_close(struct output *output, const struct results *results, const char *configuration,
                  struct error *error);

/* Gives up: removes the unfinished file, frees output. Rank 0's error says why writing failed. Collective. */
void output_abandon(struct output *output, struct error *error);

/* Writes text to FOLDER/name under a temporary name, syncs and renames it. Local. */
bool output_write_text(const char *folder, const char *name, const char *content, struct error *error);

/* Rows of a table that are all there. */
struct output_table {
    const struct column_table *columns;
    const void *rows;
    size_t row_bytes, count;
    bool scalar; /* one row, as scalar datasets */
};

/* Writes FOLDER/name: HDF5 with a group for each table, and the configuration (JSON) as an attribute. The
 * same bytes from the same tables; synced, then renamed. Needs no MPI. Errors name the file and what the
 * system said. Local. */
bool output_write_tables(const char *folder, const char *name, const struct output_table *tables,
                         size_t count, const char *configuration, struct error *error);

/* results.h5 of a sweep in the making, on one rank. */
struct output_sweep;

/* Begins FOLDER/results.h5 under a temporary name. The caller ends it with output_sweep_end. Local. */
struct output_sweep *output_sweep_begin(const char *folder, int compression);

/* Writes groups (a bit for each enum results_group) of a point that completed, by its row of /points. Local.
 */
void output_sweep_point(struct output_sweep *sweep, size_t point, unsigned groups,
                        const struct results *results);

/* A path that differs between points. */
struct output_parameter {
    const char *path; /* without '/' */
    bool is_number;
};
union output_value {
    double number;
    const char *text;
};

/* All points in their order; everything is borrowed. */
struct output_points {
    const struct point_row *rows;
    size_t count;
    const struct output_parameter *parameters;
    size_t parameter_count;
    const union output_value *values; /* of one point after the other */
    const struct point_pool_row *pools;
    size_t pool_count;
    const struct point_class_row *classes;
    size_t class_count;
    const char *checksum, *configuration, *trace_sha256;
    bool is_search;                    /* rows have candidates, seeds and rates */
    const struct output_table *tables; /* more of them; not scalar */
    size_t table_count;
};

/* Writes the tables of the points, syncs the file and renames it; frees sweep. Local. */
bool output_sweep_end(struct output_sweep *sweep, const struct output_points *points, struct error *error);

/* Gives up: removes the unfinished file, frees sweep. Local. */
void output_sweep_abandon(struct output_sweep *sweep);

/* Appends the schema: plain lines (markdown false) or the page analysis/OUTPUT.md. Local. */
void output_describe(bool markdown, struct text *text);

#endif
