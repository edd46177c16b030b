/* Tables in a file of their own: read back, the same bytes each time, and nothing left where there is no
 * room. */
#include "support.h"

#include <signal.h>
#include <sys/resource.h>

#include "tandem/column.h"

struct pair {
    int64_t bytes;
    double share;
    uint8_t fits;
    const char *name;
};

static const char *const names[] = {"no", "yes", NULL};
static const struct column columns[] = {
    COLUMN_NAMED("bytes", pair, bytes, "bytes", "Bytes.", NULL),
    COLUMN_NAMED("share", pair, share, "1", "Share.", NULL),
    COLUMN_NAMED("fits", pair, fits, "1", "Fits.", names),
    COLUMN_NAMED("name", pair, name, "", "Name.", NULL),
};
static const struct column_table rows_table = {"/rows", "Rows.", columns, 4};
static const struct column_table one_table = {"/one", "One row.", columns, 4};
static const struct column_table none_table = {"/none", "No rows.", columns, 4};
static struct pair rows[] = {{INT64_C(1) << 60, 0.25, 1, "a"}, {-5, 1, 0, "long name"}, {7, 0, 1, ""}};

static bool write_them(const char *where, struct error *error)
{
    const struct output_table tables[] = {{&rows_table, rows, sizeof *rows, 3, false},
                                          {&one_table, &rows[1], 0, 1, true},
                                          {&none_table, NULL, sizeof *rows, 0, false}};
    return output_write_tables(where, "tables.h5", tables, 3, "{\"a\": 1}", error);
}

static void values_come_back(void)
{
    struct error error = {0};
    int64_t bytes[3], one = 0;
    double shares[3];
    uint8_t fits[3];
    CU_ASSERT_FATAL(write_them(folder, &error));
    CU_ASSERT(!exists("tables.h5.tmp"));
    hid_t file = H5Fopen(path_of("tables.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    CU_ASSERT_FATAL(file >= 0);
    CU_ASSERT_EQUAL(int_attribute(file, "/", "schema_version"), OUTPUT_SCHEMA_VERSION);
    read_all(file, "/rows/bytes", H5T_NATIVE_INT64, bytes);
    read_all(file, "/rows/share", H5T_NATIVE_DOUBLE, shares);
    read_all(file, "/rows/fits", H5T_NATIVE_UINT8, fits);
    read_all(file, "/one/bytes", H5T_NATIVE_INT64, &one);
    for (int i = 0; i < 3; i++)
        CU_ASSERT(bytes[i] == rows[i].bytes && shares[i] == rows[i].share && fits[i] == rows[i].fits);
    CU_ASSERT_EQUAL(one, -5);
    hid_t dataset = H5Dopen2(file, "/none/bytes", H5P_DEFAULT);
    hid_t space = H5Dget_space(dataset);
    CU_ASSERT_EQUAL(H5Sget_simple_extent_npoints(space), 0);
    H5Sclose(space);
    H5Dclose(dataset);
    static const char *const attributes[][2] = {{"/", "configuration"},
                                                {"/", "tandem_version"},
                                                {"/rows", "description"},
                                                {"/rows/bytes", "unit"},
                                                {"/rows/fits", "names"}};
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        CU_ASSERT(H5Aexists_by_name(file, attributes[i][0], attributes[i][1], H5P_DEFAULT) > 0);
    H5Fclose(file);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static void same_bytes(void)
{
    struct error error = {0};
    size_t first_count, count;
    CU_ASSERT_FATAL(write_them(folder, &error));
    char *first = slurp("tables.h5", &first_count);
    CU_ASSERT_FATAL(write_them(folder, &error));
    char *again = slurp("tables.h5", &count);
    CU_ASSERT(count == first_count && memcmp(first, again, count) == 0);
    free(first);
    free(again);
    unlink(path_of("tables.h5"));
}

static void no_room(void)
{
    struct error error = {0};
    struct rlimit before, little = {.rlim_cur = 1000};
    getrlimit(RLIMIT_FSIZE, &before);
    little.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &little);
    bool good = write_them(folder, &error);
    setrlimit(RLIMIT_FSIZE, &before);
    CU_ASSERT(!good);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "tables.h5.tmp: cannot write: "));
    CU_ASSERT(!exists("tables.h5") && !exists("tables.h5.tmp"));
    CU_ASSERT(!write_them("/proc/none", &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "/proc/none/tables.h5.tmp: cannot write: "));
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    static const struct test_case cases[] = {{"values come back", values_come_back},
                                             {"the same bytes each time", same_bytes},
                                             {"no room", no_room}};
    if (!folder_make())
        return 1;
    return folder_remove(test_main("output/tables", cases, sizeof cases / sizeof *cases));
}
