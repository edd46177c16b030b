/* What results.h5 needs of HDF5: a file that is built in memory, tables and attributes. Errors stick: after
 * the first one all calls do nothing useful and h5_end reports it, so that callers need not check each step.
 * All local. */
#ifndef TANDEM_OUTPUT_H5_H
#define TANDEM_OUTPUT_H5_H

#include <hdf5.h>
#include <stdint.h>

#include "tandem/column.h"
#include "tandem/error.h"

/* The file in memory: HDF5 has it while it is open, and leaves it behind when it closes. */
struct h5_image {
    char *bytes; /* owned */
    size_t count, capacity;
};

struct h5 {
    hid_t file; /* also the root group */
    struct h5_image image;
    struct error error;
    H5E_auto2_t print; /* the program's own way to print HDF5 errors, put back at the end */
    void *print_data;
};

/* Starts an empty file in memory, and keeps HDF5 from printing errors until h5_end. */
void h5_begin(struct h5 *h5);

/* Closes the file and gives its bytes (the caller owns them: mem_free). False: error says what failed first.
 */
bool h5_end(struct h5 *h5, void **bytes, size_t *count, struct error *error);

/* Creates a group; the caller closes it with h5_close_group. */
hid_t h5_group(struct h5 *h5, hid_t parent, const char *name);
void h5_close_group(struct h5 *h5, hid_t group);

/* Scalar attributes: UTF-8 of any length, and int64. */
void h5_text_attribute(struct h5 *h5, hid_t object, const char *name, const char *value);
void h5_int_attribute(struct h5 *h5, hid_t object, const char *name, int64_t value);

/* Writes each column of count rows (of row_bytes each) as a dataset of the group. With scaled, the first
 * column becomes the dimension scale of the others. */
void h5_table(struct h5 *h5, hid_t group, const struct column_table *table, const void *rows,
              size_t row_bytes, size_t count, bool scaled);

/* Writes each column of one row as a scalar dataset of the group. */
void h5_scalars(struct h5 *h5, hid_t group, const struct column_table *table, const void *row);

#endif
