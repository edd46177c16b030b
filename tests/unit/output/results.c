/* results.h5: written, read back with HDF5, the same bytes each time, and what happens when it cannot be
 * written. */
#define _DEFAULT_SOURCE /* mallopt's neighbours */
#include "unit/output/support.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define ROWS 70001 /* more than one chunk */
#define BINS 5

static const char configuration[] = "{\"name\": \"quickstart\", \"note\": \"\xc3\xa4\"}";

static struct row rows[ROWS];
static struct instance_row instances[] = {
    {.pool = "prefill", .role = "prefill", .gpu = "h100-sxm", .gpus = 4},
    {.pool = "d", .role = "decode", .gpu = "h200", .utilization = 0.25}};
static struct pool_row pools[] = {
    {.name = "prefill", .role = "prefill", .gpu = "h100-sxm", .kv_allocator = "paged", .instances = 1},
    {.name = "d", .role = "decode", .gpu = "h200", .kv_allocator = "slab", .mean_running = 1.5}};
static struct series_bin_row bins[2][BINS];
static struct series_bin_row *series[] = {bins[0], bins[1]};
static struct histogram_row buckets[] = {{0, 0, 5}, {4096, 4099, 7}};

static struct results example(void)
{
    struct results results = {.instances = instances,
                              .instance_count = 2,
                              .pools = pools,
                              .pool_count = 2,
                              .series = series,
                              .series_count = BINS,
                              .series_interval_ns = 1000,
                              .rows = rows,
                              .row_count = ROWS,
                              .checksum = 0x0123456789abcdef};
    for (size_t i = 0; i < ROWS; i++)
        rows[i] = (struct row){.id = i,
                               .arrival_ns = (int64_t)(i * i),
                               .prompt_tokens = (uint32_t)(i % 977),
                               .decode_instance = i % 2 ? -1 : 1,
                               .status = i % 100 == 99};
    for (size_t i = 0; i < BINS; i++)
        bins[1][i] = (struct series_bin_row){.start_ns = (int64_t)i * 1000, .running = (double)i / 3};
    results.histograms[METRIC_E2E] = buckets;
    results.histogram_counts[METRIC_E2E] = 2;
    results.summary.requests = ROWS;
    results.summary.ttft = (struct percentiles){1.5, 2, 3, 4, 5};
    results.summary.saturated = 1;
    return results;
}

static bool write_results(const char *where, const struct results *results, const char *text,
                          struct error *error)
{
    struct output_config config = {
        .folder = where, .requests = results->row_count, .one_in = results->rows != NULL, .compression = 1};
    struct output *output = output_open(MPI_COMM_SELF, &config);
    if (results->rows && !output_rows(output, results->rows, results->row_count)) {
        output_abandon(output, error);
        return false;
    }
    return output_close(output, results, text, error);
}

static void write_example(void)
{
    struct results results = example();
    struct error error = {0};
    CU_ASSERT_FATAL(write_results(folder, &results, configuration, &error));
    CU_ASSERT(exists("results.h5"));
    CU_ASSERT(!exists("results.h5.tmp"));
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

/* A text attribute of an object, in a static buffer; "" when it is not there or no UTF-8 of any length. */
static const char *text_attribute(hid_t object, const char *name)
{
    static char value[512];
    value[0] = '\0';
    if (H5Aexists(object, name) <= 0)
        return value;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    hid_t type = H5Aget_type(attribute);
    hid_t space = H5Aget_space(attribute);
    if (H5Tis_variable_str(type) > 0 && H5Tget_cset(type) == H5T_CSET_UTF8) {
        char *string = NULL;
        H5Aread(attribute, type, &string);
        snprintf(value, sizeof value, "%s", string);
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, &string);
    }
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    return value;
}

static void root_attributes(void)
{
    write_example();
    hid_t file = H5Fopen(path_of("results.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    CU_ASSERT_FATAL(file >= 0);
    CU_ASSERT_EQUAL(int_attribute(file, "/", "schema_version"), OUTPUT_SCHEMA_VERSION);
    CU_ASSERT_STRING_EQUAL(text_attribute(file, "checksum"), "0123456789abcdef");
    CU_ASSERT_STRING_EQUAL(text_attribute(file, "configuration"), configuration);
    CU_ASSERT_NOT_EQUAL(text_attribute(file, "tandem_version")[0], '\0');
    CU_ASSERT_EQUAL(int_attribute(file, "/timeseries/d", "interval_ns"), 1000);
    CU_ASSERT_EQUAL(int_attribute(file, "/requests", "one_in"), 1);
    H5Fclose(file);
}

static void values_come_back(void)
{
    static int64_t arrivals[ROWS];
    static int32_t decoders[ROWS];
    static uint8_t statuses[ROWS];
    int64_t p99 = 0, lows[2];
    double running[BINS], mean = 0;
    uint64_t counts[2];
    char names[2][8];
    write_example();
    hid_t file = H5Fopen(path_of("results.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    read_all(file, "/requests/arrival_ns", H5T_NATIVE_INT64, arrivals);
    read_all(file, "/requests/decode_instance", H5T_NATIVE_INT32, decoders);
    read_all(file, "/requests/status", H5T_NATIVE_UINT8, statuses);
    bool same = true;
    for (size_t i = 0; i < ROWS; i++)
        same &= arrivals[i] == rows[i].arrival_ns && decoders[i] == rows[i].decode_instance &&
                statuses[i] == rows[i].status;
    CU_ASSERT(same);
    read_all(file, "/timeseries/d/running", H5T_NATIVE_DOUBLE, running);
    CU_ASSERT_EQUAL(running[2], 2.0 / 3);
    read_all(file, "/histograms/e2e/count", H5T_NATIVE_UINT64, counts);
    read_all(file, "/histograms/e2e/low_ns", H5T_NATIVE_INT64, lows);
    CU_ASSERT(counts[1] == 7 && lows[1] == 4096);
    read_all(file, "/summary/ttft_p99_ns", H5T_NATIVE_INT64, &p99);
    read_all(file, "/summary/ttft_mean_ns", H5T_NATIVE_DOUBLE, &mean);
    CU_ASSERT(p99 == 4 && mean == 1.5);

    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, sizeof names[0]);
    H5Tset_cset(type, H5T_CSET_UTF8);
    read_all(file, "/pools/name", type, names);
    CU_ASSERT_STRING_EQUAL(names[0], "prefill");
    CU_ASSERT_STRING_EQUAL(names[1], "d");
    H5Tclose(type);
    H5Fclose(file);
}

/* Counts datasets, and those without unit (which texts leave empty), description or the expected filters. */
struct visit {
    int datasets, bad, timed;
};

static bool layout_is_right(hid_t dataset)
{
    hid_t creation = H5Dget_create_plist(dataset), space = H5Dget_space(dataset);
    hsize_t count = 0, chunk = 0;
    bool right =
        H5Sget_simple_extent_ndims(space) == 0 || H5Sget_simple_extent_dims(space, &count, NULL) == 1;
    if (count > 0) {
        unsigned flags, values[8];
        size_t value_count = 8;
        right &= H5Pget_layout(creation) == H5D_CHUNKED && H5Pget_chunk(creation, 1, &chunk) == 1;
        right &= chunk == (count < 65536 ? count : 65536);
        right &= H5Pget_filter_by_id2(creation, H5Z_FILTER_SHUFFLE, &flags, NULL, NULL, 0, NULL, NULL) >= 0;
        right &= H5Pget_filter_by_id2(creation, H5Z_FILTER_DEFLATE, &flags, &value_count, values, 0, NULL,
                                      NULL) >= 0;
        right &= value_count == 1 && values[0] == 1;
    }
    H5Sclose(space);
    H5Pclose(creation);
    return right;
}

static herr_t visit(hid_t root, const char *name, const H5O_info_t *info, void *data)
{
    struct visit *visit = data;
    visit->timed += info->ctime != 0;
    if (info->type != H5O_TYPE_DATASET)
        return 0;
    hid_t dataset = H5Dopen2(root, name, H5P_DEFAULT);
    bool good = H5Aexists(dataset, "unit") > 0 && strlen(text_attribute(dataset, "description")) > 5;
    good &= layout_is_right(dataset);
    if (!good)
        printf("%s lacks an attribute or a filter\n", name);
    visit->datasets++;
    visit->bad += !good;
    H5Dclose(dataset);
    return 0;
}

static void datasets_are_described_and_compressed(void)
{
    write_example();
    struct visit counts = {0};
    hid_t file = H5Fopen(path_of("results.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_NATIVE, visit, &counts, H5O_INFO_BASIC | H5O_INFO_TIME);
    size_t expected = column_requests.count + column_instances.count + column_pools.count +
                      column_classes.count + column_summary.count + 2 * column_timeseries.count +
                      METRIC_COUNT * column_histograms.count;
    CU_ASSERT_EQUAL((size_t)counts.datasets, expected);
    CU_ASSERT_EQUAL(counts.bad, 0);
    CU_ASSERT_EQUAL(counts.timed, 0);

    hid_t status = H5Dopen2(file, "/requests/status", H5P_DEFAULT);
    hid_t names = H5Aopen(status, "names", H5P_DEFAULT), type = H5Aget_type(names),
          space = H5Aget_space(names);
    char *values[2] = {NULL, NULL};
    CU_ASSERT_EQUAL_FATAL(H5Sget_simple_extent_npoints(space), 2);
    H5Aread(names, type, values);
    CU_ASSERT_STRING_EQUAL(values[0], "completed");
    CU_ASSERT_STRING_EQUAL(values[1], "refused");
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, values);
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(names);
    H5Dclose(status);
    H5Fclose(file);
}

static herr_t take_name(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
    (void)group;
    (void)info;
    snprintf(data, 64, "%s", name);
    return 1; /* the first is enough */
}

static void columns_keep_their_order_and_scale(void)
{
    write_example();
    char first[64] = "";
    hid_t file = H5Fopen(path_of("results.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t group = H5Gopen2(file, "/requests", H5P_DEFAULT);
    H5Literate(group, H5_INDEX_CRT_ORDER, H5_ITER_INC, NULL, take_name, first);
    CU_ASSERT_STRING_EQUAL(first, "arrival_ns");
    CU_ASSERT(H5Aexists_by_name(file, "/timeseries/d/running", "DIMENSION_LIST", H5P_DEFAULT) > 0);
    CU_ASSERT(H5Aexists_by_name(file, "/timeseries/d/start_ns", "REFERENCE_LIST", H5P_DEFAULT) > 0);
    CU_ASSERT(H5Aexists_by_name(file, "/histograms/e2e/count", "DIMENSION_LIST", H5P_DEFAULT) > 0);
    CU_ASSERT(H5Aexists_by_name(file, "/requests/ttft_ns", "DIMENSION_LIST", H5P_DEFAULT) == 0);
    H5Gclose(group);
    H5Fclose(file);
}

/* Memory that malloc hands out holds other bytes in the second run: none of them may reach the file. */
static void bytes_are_the_same_each_time(void)
{
    size_t counts[2];
    char *bytes[2];
    for (int i = 0; i < 2; i++) {
        H5garbage_collect();
#ifdef __GLIBC__
        mallopt(M_PERTURB, i == 0 ? 0x5a : 0xc3);
#endif
        write_example();
        bytes[i] = slurp("results.h5", &counts[i]);
    }
#ifdef __GLIBC__
    mallopt(M_PERTURB, 0);
#endif
    CU_ASSERT_EQUAL(counts[0], counts[1]);
    CU_ASSERT(counts[0] == counts[1] && memcmp(bytes[0], bytes[1], counts[0]) == 0);
    free(bytes[0]);
    free(bytes[1]);
}

static void rows_and_series_may_be_absent(void)
{
    struct results results = example();
    struct series_bin_row *none[] = {NULL, NULL};
    struct error error = {0};
    results.rows = NULL;
    results.row_count = 0;
    results.series = none;
    results.series_count = 0;
    CU_ASSERT_FATAL(write_results(folder, &results, configuration, &error));
    hid_t file = H5Fopen(path_of("results.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    CU_ASSERT_EQUAL(H5Lexists(file, "/requests", H5P_DEFAULT), 0);
    hid_t dataset = H5Dopen2(file, "/timeseries/d/running", H5P_DEFAULT);
    hid_t space = H5Dget_space(dataset);
    CU_ASSERT_EQUAL(H5Sget_simple_extent_npoints(space), 0);
    H5Sclose(space);
    H5Dclose(dataset);
    H5Fclose(file);
}

static void long_configurations_fit(void)
{
    struct results results = example();
    struct error error = {0};
    char *text = malloc(300000);
    memset(text, 'x', 299999);
    text[299999] = '\0';
    CU_ASSERT(write_results(folder, &results, text, &error));
    hid_t file = H5Fopen(path_of("results.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    CU_ASSERT_EQUAL(strlen(text_attribute(file, "configuration")), 511); /* cut by the helper's buffer */
    H5Fclose(file);
    free(text);
}

static void text_files_are_whole_too(void)
{
    struct error error = {0};
    size_t count;
    CU_ASSERT(output_write_text(folder, "run.json", "{}\n", &error));
    char *bytes = slurp("run.json", &count);
    CU_ASSERT(count == 3 && memcmp(bytes, "{}\n", 3) == 0);
    free(bytes);
    CU_ASSERT(!exists("run.json.tmp"));
}

static void folders_are_made(void)
{
    struct error error = {0};
    char deep[256];
    snprintf(deep, sizeof deep, "%s", path_of("a//b/c/"));
    CU_ASSERT(output_prepare(deep, output_run_files, &error));
    CU_ASSERT(output_prepare(deep, output_run_files, &error));
    CU_ASSERT(exists("a/b/c"));
    CU_ASSERT(!exists("a/b/c/results.h5.tmp"));
    CU_ASSERT(output_prepare("/tmp", output_run_files, &error));
    rmdir(path_of("a/b/c"));
    rmdir(path_of("a/b"));
    rmdir(path_of("a"));
}

#define SAYS(error, words) CU_ASSERT_PTR_NOT_NULL(strstr((error).text, words))

static void folders_that_cannot_be_used(void)
{
    struct error error = {0};
    struct results results = example();
    char below[256];
    CU_ASSERT(output_write_text(folder, "file", "", &error));
    snprintf(below, sizeof below, "%s", path_of("file"));
    CU_ASSERT(!output_prepare(below, output_run_files, &error));
    SAYS(error, below);
    SAYS(error, "is a file");
    snprintf(below, sizeof below, "%s", path_of("file/sub/x"));
    CU_ASSERT(!output_prepare(below, output_run_files, &error));
    SAYS(error, strerror(ENOTDIR));
    SAYS(error, "file/sub");
    CU_ASSERT(!output_prepare("", output_run_files, &error));
    CU_ASSERT(
        !output_prepare("/proc/tandem", output_run_files, &error)); /* where even root cannot make a folder */
    SAYS(error, "/proc/tandem");
    CU_ASSERT(!write_results(path_of("missing"), &results, configuration, &error));
    SAYS(error, "missing/results.h5");
    SAYS(error, strerror(ENOENT));
    unlink(path_of("file"));
}

/* A disk that is full, played by a limit on the size of files. */
static void a_full_disk_leaves_nothing(void)
{
    struct results results = example();
    struct error error = {0};
    struct rlimit limit, small;
    unlink(path_of("results.h5"));
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    bool good = write_results(folder, &results, configuration, &error);
    setrlimit(RLIMIT_FSIZE, &limit);
    CU_ASSERT(!good);
    SAYS(error, folder);
    SAYS(error, strerror(EFBIG));
    CU_ASSERT(!exists("results.h5"));
    CU_ASSERT(!exists("results.h5.tmp"));
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static void a_folder_in_the_way_is_kept(void)
{
    struct results results = example();
    struct error error = {0};
    unlink(path_of("results.h5"));
    CU_ASSERT_EQUAL(mkdir(path_of("results.h5"), 0777), 0);
    CU_ASSERT(!write_results(folder, &results, configuration, &error));
    SAYS(error, "results.h5: cannot rename");
    CU_ASSERT(!exists("results.h5.tmp"));
    rmdir(path_of("results.h5"));
}

static void hdf5_says_what_it_dislikes(void)
{
    struct results results = example();
    struct error error = {0};
    H5E_auto2_t before, after;
    void *data;
    const char *name = pools[1].name;
    H5Eget_auto2(H5E_DEFAULT, &before, &data);
    pools[1].name = "prefill"; /* twice */
    unlink(path_of("results.h5"));
    CU_ASSERT(!write_results(folder, &results, configuration, &error));
    pools[1].name = name;
    printf("%s ", error.text);
    SAYS(error, "results.h5: cannot write: HDF5: ");
    SAYS(error, "exists");
    CU_ASSERT(!exists("results.h5"));
    CU_ASSERT(!exists("results.h5.tmp"));
    H5Eget_auto2(H5E_DEFAULT, &after, &data);
    CU_ASSERT(before == after);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
    write_example(); /* and the next one succeeds */
}

int main(void)
{
    const struct test_case cases[] = {
        {"root attributes", root_attributes},
        {"values come back", values_come_back},
        {"datasets are described and compressed", datasets_are_described_and_compressed},
        {"columns keep their order and scale", columns_keep_their_order_and_scale},
        {"bytes are the same each time", bytes_are_the_same_each_time},
        {"rows and series may be absent", rows_and_series_may_be_absent},
        {"long configurations fit", long_configurations_fit},
        {"text files are whole too", text_files_are_whole_too},
        {"folders are made", folders_are_made},
        {"folders that cannot be used", folders_that_cannot_be_used},
        {"a full disk leaves nothing", a_full_disk_leaves_nothing},
        {"a folder in the way is kept", a_folder_in_the_way_is_kept},
        {"HDF5 says what it dislikes", hdf5_says_what_it_dislikes},
    };
    if (!folder_make())
        return 1;
    MPI_Init(NULL, NULL);
    int code = test_main("output/results", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    unlink(path_of("results.h5"));
    unlink(path_of("run.json"));
    return folder_remove(code);
}
