/* What results.h5 needs of HDF5: a file, tables and attributes. Errors stick: after the first one all calls
 * do nothing useful and h5_finish reports it, so that callers need not check each step. All local. */
#ifndef TANDEM_OUTPUT_H5_H
#define TANDEM_OUTPUT_H5_H

#include <hdf5.h>
#include <stdint.h>

#include "tandem/column.h"
#include "tandem/error.h"

#include "file.h"

struct h5 {
    hid_t file; /* also the root group */
    hid_t driver;
    int compression; /* deflate level of tables; 0: no filters */
    struct error error;
    H5E_auto2_t print; /* the program's own way to print HDF5 errors, put back at the end */
    void *print_data;
};

/* Starts the content of a file (which stays the caller's and outlives this), and keeps HDF5 from printing
 * errors until h5_finish. */
void h5_begin(struct h5 *h5, struct file *file, int compression);

/* Completes content and file: syncs it and gives it its name, or removes it. False: error says what failed
 * first, the disk before HDF5, which fails because of it. */
bool h5_finish(struct h5 *h5, struct file *file, struct error *error);

/* Creates a group; the caller closes it with h5_close_group. */
hid_t h5_group(struct h5 *h5, hid_t parent, const char *name);
void h5_close_group(struct h5 *h5, hid_t group);

/* The group PREFIX/name ("" is the root's) with its description. */
hid_t h5_top_group(struct h5 *h5, const char *prefix, const char *name, const char *doc);

/* Scalar attributes: UTF-8 of any length, and int64. */
void h5_text_attribute(struct h5 *h5, hid_t object, const char *name, const char *value);
void h5_int_attribute(struct h5 *h5, hid_t object, const char *name, int64_t value);

/* Writes each column of count rows (of row_bytes each) as a dataset of the group. With scaled, the first
 * column becomes the dimension scale of the others. */
void h5_table(struct h5 *h5, hid_t group, const struct column_table *table, const void *rows,
              size_t row_bytes, size_t count, bool scaled);

/* Creates a dataset (into datasets, one a column) for each column of a table of numbers whose count rows come
 * later, chunk by chunk. The caller ends with h5_close_table. */
void h5_open_table(struct h5 *h5, hid_t group, const struct column_table *table, uint64_t count,
                   size_t chunk_rows, hid_t *datasets);
void h5_close_table(struct h5 *h5, const struct column_table *table, const hid_t *datasets);

/* Writes the chunk of a column that begins with row first_row: count bytes as they are in the file, that is
 * shuffled and deflated, or (deflated false) only shuffled, or with compression 0 plain. */
void h5_write_chunk(struct h5 *h5, hid_t dataset, uint64_t first_row, const void *bytes, size_t count,
                    bool deflated);

/* Writes each column of one row as a scalar dataset of the group. */
void h5_scalars(struct h5 *h5, hid_t group, const struct column_table *table, const void *row);

#endif
