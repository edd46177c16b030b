#include "h5.h"

#include <hdf5_hl.h>
#include <string.h>

#include "tandem/mem.h"
#include "tandem/output.h"
#include "tandem/text.h"

#include "driver.h"

#define INNERMOST_ERROR 0
#define DEFLATE_SKIPPED 2u /* mask of filters: shuffle is the first, deflate the second */

static herr_t take_reason(unsigned depth, const H5E_error2_t *entry, void *data)
{
    if (depth == INNERMOST_ERROR)
        error_set(data, "HDF5: %s: %s", entry->func_name, entry->desc);
    return 0;
}

/* Remembers why the first failing call failed. Returns its argument, an id or a status, both negative on
 * failure. */
static int64_t check(struct h5 *h5, int64_t result)
{
    if (result < 0 && h5->error.text[0] == '\0') {
        error_set(&h5->error, "HDF5 gives no reason");
        H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_reason, &h5->error);
    }
    return result;
}

/* Lists members in the order in which they were created: readers then show columns in the order of the
 * tables. */
static void keep_order(struct h5 *h5, hid_t creation)
{
    check(h5, H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED));
}

/* Property list that keeps the time of creation out of the file. */
static hid_t timeless(struct h5 *h5, hid_t class)
{
    hid_t list = check(h5, H5Pcreate(class));
    check(h5, H5Pset_obj_track_times(list, 0));
    return list;
}

void h5_begin(struct h5 *h5, struct file *file, int compression)
{
    memset(h5, 0, sizeof *h5);
    h5->compression = compression;
    H5Eget_auto2(H5E_DEFAULT, &h5->print, &h5->print_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t creation = timeless(h5, H5P_FILE_CREATE);
    keep_order(h5, creation);
    hid_t access = check(h5, H5Pcreate(H5P_FILE_ACCESS));
    h5->driver = check(h5, driver_use(access, file));
    check(h5, H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18));
    check(h5, H5Pset_fclose_degree(access, H5F_CLOSE_STRONG));
    /* No space set aside for later objects: it would be left in the file. */
    check(h5, H5Pset_meta_block_size(access, 0));
    check(h5, H5Pset_small_data_block_size(access, 0));
    h5->file = check(h5, H5Fcreate("results.h5", H5F_ACC_TRUNC, creation, access));
    H5Pclose(access);
    H5Pclose(creation);
}

/* Completes the content. What the disk said is in the file. */
static bool end_content(struct h5 *h5, struct error *error)
{
    /* The end of the file is settled here, not at the close. */
    check(h5, H5Fflush(h5->file, H5F_SCOPE_GLOBAL));
    check(h5, H5Fclose(h5->file));
    H5FDunregister(h5->driver);
    H5Eset_auto2(H5E_DEFAULT, h5->print, h5->print_data);
    return h5->error.text[0] == '\0' || error_set(error, "%s", h5->error.text);
}

bool h5_finish(struct h5 *h5, struct file *file, struct error *error)
{
    struct text prefix = {0};
    bool good = end_content(h5, error);
    if (good || file->reason != 0)
        return file_end(file, error);
    text_append(&prefix, "%s: cannot write", text_string(&file->path));
    error_prefix(error, text_string(&prefix));
    text_clear(&prefix);
    file_abandon(file);
    return false;
}

hid_t h5_group(struct h5 *h5, hid_t parent, const char *name)
{
    hid_t creation = timeless(h5, H5P_GROUP_CREATE);
    keep_order(h5, creation);
    hid_t group = check(h5, H5Gcreate2(parent, name, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Pclose(creation);
    return group;
}

void h5_close_group(struct h5 *h5, hid_t group)
{
    check(h5, H5Gclose(group));
}

hid_t h5_top_group(struct h5 *h5, const char *prefix, const char *name, const char *doc)
{
    struct text path = {0};
    text_append(&path, "%s%s", prefix, name);
    hid_t group = h5_group(h5, h5->file, text_string(&path));
    text_clear(&path);
    h5_text_attribute(h5, group, "description", doc);
    return group;
}

/* UTF-8 of bytes each, or of any length (H5T_VARIABLE). */
static hid_t string_type(struct h5 *h5, size_t bytes)
{
    hid_t type = check(h5, H5Tcopy(H5T_C_S1));
    check(h5, H5Tset_size(type, bytes));
    check(h5, H5Tset_cset(type, H5T_CSET_UTF8));
    return type;
}

static void write_attribute(struct h5 *h5, hid_t object, const char *name, hid_t file_type, hid_t memory_type,
                            hid_t space, const void *value)
{
    hid_t attribute = check(h5, H5Acreate2(object, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT));
    check(h5, H5Awrite(attribute, memory_type, value));
    H5Aclose(attribute);
}

void h5_text_attribute(struct h5 *h5, hid_t object, const char *name, const char *value)
{
    hid_t type = string_type(h5, H5T_VARIABLE);
    hid_t space = check(h5, H5Screate(H5S_SCALAR));
    write_attribute(h5, object, name, type, type, space, &value);
    H5Sclose(space);
    H5Tclose(type);
}

void h5_int_attribute(struct h5 *h5, hid_t object, const char *name, int64_t value)
{
    hid_t space = check(h5, H5Screate(H5S_SCALAR));
    write_attribute(h5, object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, space, &value);
    H5Sclose(space);
}

static void names_attribute(struct h5 *h5, hid_t object, const char *name, const char *const *values)
{
    hsize_t count = 0;
    while (values[count])
        count++;
    hid_t type = string_type(h5, H5T_VARIABLE);
    hid_t space = check(h5, H5Screate_simple(1, &count, NULL));
    write_attribute(h5, object, name, type, type, space, values);
    H5Sclose(space);
    H5Tclose(type);
}

static const char *string_at(const struct column *column, const void *rows, size_t row_bytes, size_t row)
{
    const char *string;
    memcpy(&string, (const char *)rows + row * row_bytes + column->offset, sizeof string);
    return string;
}

/* Types of a column's values in the file and in memory. */
struct types {
    hid_t file, memory;
};

static struct types number_types(const struct column *column)
{
    const struct types types[] = {
        [COLUMN_U8] = {H5T_STD_U8LE, H5T_NATIVE_UINT8},    [COLUMN_U16] = {H5T_STD_U16LE, H5T_NATIVE_UINT16},
        [COLUMN_U32] = {H5T_STD_U32LE, H5T_NATIVE_UINT32}, [COLUMN_I32] = {H5T_STD_I32LE, H5T_NATIVE_INT32},
        [COLUMN_I64] = {H5T_STD_I64LE, H5T_NATIVE_INT64},  [COLUMN_U64] = {H5T_STD_U64LE, H5T_NATIVE_UINT64},
        [COLUMN_F64] = {H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE}};
    return types[column->type];
}

/* A dataset for a column, with its attributes and without values. The caller closes it. */
static hid_t create_column(struct h5 *h5, hid_t group, const struct column *column, hid_t type, hid_t space,
                           hid_t creation)
{
    hid_t dataset =
        check(h5, H5Dcreate2(group, column->name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    h5_text_attribute(h5, dataset, "unit", column->unit);
    h5_text_attribute(h5, dataset, "description", column->doc);
    if (column->values)
        names_attribute(h5, dataset, "names", column->values);
    return dataset;
}

static hid_t write_numbers(struct h5 *h5, hid_t group, const struct column *column, const void *rows,
                           size_t row_bytes, size_t count, hid_t space, hid_t creation)
{
    struct types types = number_types(column);
    size_t size = column_bytes(column);
    char *values = mem_array(count, size);
    for (size_t i = 0; i < count; i++)
        memcpy(values + i * size, (const char *)rows + i * row_bytes + column->offset, size);
    hid_t dataset = create_column(h5, group, column, types.file, space, creation);
    if (count > 0)
        check(h5, H5Dwrite(dataset, types.memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
    mem_free(values);
    return dataset;
}

/* Strings of fixed length: they compress with the chunk, and equal ones cost nothing. */
static hid_t write_strings(struct h5 *h5, hid_t group, const struct column *column, const void *rows,
                           size_t row_bytes, size_t count, hid_t space, hid_t creation)
{
    size_t longest = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(string_at(column, rows, row_bytes, i));
        longest = length > longest ? length : longest;
    }
    size_t size = longest + 1; /* NUL-ended */
    char *values = mem_array(count, size);
    for (size_t i = 0; i < count; i++) {
        const char *string = string_at(column, rows, row_bytes, i);
        memcpy(values + i * size, string, strlen(string));
    }
    hid_t type = string_type(h5, size);
    hid_t dataset = create_column(h5, group, column, type, space, creation);
    if (count > 0)
        check(h5, H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
    H5Tclose(type);
    mem_free(values);
    return dataset;
}

static hid_t write_column(struct h5 *h5, hid_t group, const struct column *column, const void *rows,
                          size_t row_bytes, size_t count, hid_t space, hid_t creation)
{
    return (column->type == COLUMN_STRING ? write_strings : write_numbers)(h5, group, column, rows, row_bytes,
                                                                           count, space, creation);
}

/* Layout and filters of a column. An empty dataset cannot be chunked; it stays plain. */
static hid_t column_layout(struct h5 *h5, hsize_t count, hsize_t chunk_rows)
{
    hid_t creation = timeless(h5, H5P_DATASET_CREATE);
    hsize_t chunk = count < chunk_rows ? count : chunk_rows;
    if (count > 0)
        check(h5, H5Pset_chunk(creation, 1, &chunk));
    if (count > 0 && h5->compression > 0) {
        check(h5, H5Pset_shuffle(creation));
        check(h5, H5Pset_deflate(creation, (unsigned)h5->compression));
    }
    return creation;
}

void h5_table(struct h5 *h5, hid_t group, const struct column_table *table, const void *rows,
              size_t row_bytes, size_t count, bool scaled)
{
    hsize_t length = count;
    hid_t space = check(h5, H5Screate_simple(1, &length, NULL));
    hid_t creation = column_layout(h5, count, OUTPUT_CHUNK_ROWS);
    hid_t scale = H5I_INVALID_HID;
    for (size_t i = 0; i < table->count; i++) {
        const struct column *column = &table->columns[i];
        hid_t dataset = write_column(h5, group, column, rows, row_bytes, count, space, creation);
        if (scaled && i == 0) {
            check(h5, H5DSset_scale(dataset, column->name));
            scale = dataset;
            continue;
        }
        if (scaled)
            check(h5, H5DSattach_scale(dataset, scale, 0));
        check(h5, H5Dclose(dataset));
    }
    if (scaled)
        check(h5, H5Dclose(scale));
    H5Pclose(creation);
    H5Sclose(space);
}

void h5_open_table(struct h5 *h5, hid_t group, const struct column_table *table, uint64_t count,
                   size_t chunk_rows, hid_t *datasets)
{
    hsize_t length = count;
    hid_t space = check(h5, H5Screate_simple(1, &length, NULL));
    hid_t creation = column_layout(h5, count, chunk_rows);
    for (size_t i = 0; i < table->count; i++)
        datasets[i] = create_column(h5, group, &table->columns[i], number_types(&table->columns[i]).file,
                                    space, creation);
    H5Pclose(creation);
    H5Sclose(space);
}

void h5_write_chunk(struct h5 *h5, hid_t dataset, uint64_t first_row, const void *bytes, size_t count,
                    bool deflated)
{
    hsize_t offset = first_row;
    uint32_t skipped = h5->compression > 0 && !deflated ? DEFLATE_SKIPPED : 0;
    check(h5, H5Dwrite_chunk(dataset, H5P_DEFAULT, skipped, &offset, count, bytes));
}

void h5_close_table(struct h5 *h5, const struct column_table *table, const hid_t *datasets)
{
    for (size_t i = 0; i < table->count; i++)
        check(h5, H5Dclose(datasets[i]));
}

void h5_scalars(struct h5 *h5, hid_t group, const struct column_table *table, const void *row)
{
    hid_t space = check(h5, H5Screate(H5S_SCALAR));
    hid_t creation = timeless(h5, H5P_DATASET_CREATE);
    check(h5,
          H5Pset_layout(creation, H5D_COMPACT)); /* beside its attributes: a block each would be mostly air */
    for (size_t i = 0; i < table->count; i++)
        check(h5, H5Dclose(write_column(h5, group, &table->columns[i], row, 0, 1, space, creation)));
    H5Pclose(creation);
    H5Sclose(space);
}
