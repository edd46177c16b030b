#include "h5.h"

#include <hdf5_hl.h>
#include <string.h>

#include "tandem/mem.h"

#define CHUNK_ROWS      65536
#define DEFLATE_LEVEL   1
#define INNERMOST_ERROR 0

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

/* HDF5's memory for the file. It asks for each byte that it needs; growing by factors is done here. */
static void *image_resize(void *bytes, size_t count, H5FD_file_image_op_t operation, void *data)
{
    struct h5_image *image = data;
    (void)bytes;
    (void)operation;
    if (count > image->capacity)
        image->bytes = mem_grow(image->bytes, &image->capacity, count, 1);
    image->count = count;
    return image->bytes;
}

static void *image_create(size_t count, H5FD_file_image_op_t operation, void *data)
{
    return image_resize(NULL, count, operation, data);
}

/* The file closes: its bytes stay, for h5_end. */
static herr_t image_keep(void *bytes, H5FD_file_image_op_t operation, void *data)
{
    (void)bytes;
    (void)operation;
    (void)data;
    return 0;
}

static void *data_copy(void *data)
{
    return data;
}

static herr_t data_free(void *data)
{
    (void)data;
    return 0;
}

/* In memory, so that what the disk does to the file is said by write() and not hidden in HDF5's shutdown. The
 * bytes are kept at H5Fclose: what H5Fget_file_image gives before it has a wrong checksum in its superblock
 * (1.10.8). */
static void use_memory(struct h5 *h5, hid_t access)
{
    H5FD_file_image_callbacks_t callbacks = {.image_malloc = image_create,
                                             .image_realloc = image_resize,
                                             .image_free = image_keep,
                                             .udata_copy = data_copy,
                                             .udata_free = data_free,
                                             .udata = &h5->image};
    check(h5, H5Pset_fapl_core(access, 1, 0));
    check(h5, H5Pset_file_image_callbacks(access, &callbacks));
}

void h5_begin(struct h5 *h5)
{
    memset(h5, 0, sizeof *h5);
    H5Eget_auto2(H5E_DEFAULT, &h5->print, &h5->print_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t creation = timeless(h5, H5P_FILE_CREATE);
    keep_order(h5, creation);
    hid_t access = check(h5, H5Pcreate(H5P_FILE_ACCESS));
    use_memory(h5, access);
    check(h5, H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18));
    check(h5, H5Pset_fclose_degree(access, H5F_CLOSE_STRONG));
    /* No space set aside for later objects: it would be left in the file. */
    check(h5, H5Pset_meta_block_size(access, 0));
    check(h5, H5Pset_small_data_block_size(access, 0));
    h5->file = check(h5, H5Fcreate("results.h5", H5F_ACC_TRUNC, creation, access));
    H5Pclose(access);
    H5Pclose(creation);
}

bool h5_end(struct h5 *h5, void **bytes, size_t *count, struct error *error)
{
    check(h5,
          H5Fflush(h5->file, H5F_SCOPE_GLOBAL)); /* the end of the file is settled here, not at the close */
    check(h5, H5Fclose(h5->file));
    H5Eset_auto2(H5E_DEFAULT, h5->print, h5->print_data);
    *bytes = h5->image.bytes;
    *count = h5->image.count;
    if (h5->error.text[0] == '\0')
        return true;
    mem_free(*bytes);
    *bytes = NULL;
    return error_set(error, "%s", h5->error.text);
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

static size_t column_bytes(const struct column *column)
{
    static const size_t bytes[] = {
        [COLUMN_U8] = 1,  [COLUMN_U16] = 2, [COLUMN_U32] = 4, [COLUMN_I32] = 4,
        [COLUMN_I64] = 8, [COLUMN_U64] = 8, [COLUMN_F64] = 8, [COLUMN_STRING] = sizeof(const char *)};
    return bytes[column->type];
}

static const char *string_at(const struct column *column, const void *rows, size_t row_bytes, size_t row)
{
    const char *string;
    memcpy(&string, (const char *)rows + row * row_bytes + column->offset, sizeof string);
    return string;
}

/* One column without gaps, as it goes into the file. */
struct values {
    void *bytes; /* owned */
    hid_t file_type, memory_type;
    bool owns_type;
};

/* Strings of fixed length: they compress with the chunk, and equal ones cost nothing. */
static struct values string_values(struct h5 *h5, const struct column *column, const void *rows,
                                   size_t row_bytes, size_t count)
{
    size_t longest = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(string_at(column, rows, row_bytes, i));
        longest = length > longest ? length : longest;
    }
    size_t size = longest + 1; /* NUL-ended */
    char *bytes = mem_array(count, size);
    for (size_t i = 0; i < count; i++) {
        const char *string = string_at(column, rows, row_bytes, i);
        memcpy(bytes + i * size, string, strlen(string));
    }
    hid_t type = string_type(h5, size);
    return (struct values){bytes, type, type, true};
}

static struct values column_values(struct h5 *h5, const struct column *column, const void *rows,
                                   size_t row_bytes, size_t count)
{
    if (column->type == COLUMN_STRING)
        return string_values(h5, column, rows, row_bytes, count);
    const struct {
        hid_t file, memory;
    } types[] = {
        [COLUMN_U8] = {H5T_STD_U8LE, H5T_NATIVE_UINT8},    [COLUMN_U16] = {H5T_STD_U16LE, H5T_NATIVE_UINT16},
        [COLUMN_U32] = {H5T_STD_U32LE, H5T_NATIVE_UINT32}, [COLUMN_I32] = {H5T_STD_I32LE, H5T_NATIVE_INT32},
        [COLUMN_I64] = {H5T_STD_I64LE, H5T_NATIVE_INT64},  [COLUMN_U64] = {H5T_STD_U64LE, H5T_NATIVE_UINT64},
        [COLUMN_F64] = {H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE}};
    size_t size = column_bytes(column);
    char *bytes = mem_array(count, size);
    for (size_t i = 0; i < count; i++)
        memcpy(bytes + i * size, (const char *)rows + i * row_bytes + column->offset, size);
    return (struct values){bytes, types[column->type].file, types[column->type].memory, false};
}

/* creation: the dataset's layout and filters. The caller closes the dataset. */
static hid_t write_column(struct h5 *h5, hid_t group, const struct column *column, const void *rows,
                          size_t row_bytes, size_t count, hid_t space, hid_t creation)
{
    struct values values = column_values(h5, column, rows, row_bytes, count);
    hid_t dataset = check(
        h5, H5Dcreate2(group, column->name, values.file_type, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    if (count > 0)
        check(h5, H5Dwrite(dataset, values.memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.bytes));
    h5_text_attribute(h5, dataset, "unit", column->unit);
    h5_text_attribute(h5, dataset, "description", column->doc);
    if (column->values)
        names_attribute(h5, dataset, "names", column->values);
    if (values.owns_type)
        H5Tclose(values.file_type);
    mem_free(values.bytes);
    return dataset;
}

/* An empty dataset cannot be chunked; it stays plain. */
static hid_t column_layout(struct h5 *h5, size_t count)
{
    hid_t creation = timeless(h5, H5P_DATASET_CREATE);
    hsize_t chunk = count < CHUNK_ROWS ? count : CHUNK_ROWS;
    if (count > 0) {
        check(h5, H5Pset_chunk(creation, 1, &chunk));
        check(h5, H5Pset_shuffle(creation));
        check(h5, H5Pset_deflate(creation, DEFLATE_LEVEL));
    }
    return creation;
}

void h5_table(struct h5 *h5, hid_t group, const struct column_table *table, const void *rows,
              size_t row_bytes, size_t count, bool scaled)
{
    hsize_t length = count;
    hid_t space = check(h5, H5Screate_simple(1, &length, NULL));
    hid_t creation = column_layout(h5, count);
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
