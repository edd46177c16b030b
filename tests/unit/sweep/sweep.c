/* Whole sweeps on one rank: results.h5 of a sweep has what runs of its points have, bit for bit. */
#include "../config/folder.h"
#include "../../../src/sweep/candidates.h"
#include "tandem/column.h"
#include "tandem/hash.h"
#include "tandem/mem.h"
#include "tandem/metrics.h"
#include "tandem/results.h"
#include "tandem/sweep.h"
#include "test.h"

#include <hdf5.h>
#include <mpi.h>

/* Three deployments x two seeds; the third has no room. */
static const char experiment[] =
    "{\"name\": \"e\", \"model\": \"llama-3.1-8b\", \"cluster\": \"one\","
    " \"workload\": {\"synthetic\": {\"prompt_tokens\": {\"fixed\": 300}, \"output_tokens\": {\"uniform\": "
    "{\"min\": 1,"
    "   \"max\": 60}}, \"arrivals\": {\"poisson\": {\"rate_per_s\": 50}}, \"requests\": 60}},"
    " \"slo\": {\"ttft_ms\": 100}, \"output\": {\"timeseries_interval_ms\": 100},"
    " \"sweep\": {\"axes\": {\"seed\": [5, 6]},"
    "  \"points\": [{\"name\": \"unified\"},"
    "   {\"name\": \"split\", \"set\": {\"cluster\": \"two\", \"cluster.pools[decode].instances\": 2}},"
    "   {\"name\": \"small\", \"set\": {\"cluster.pools[0].gpu\": \"a10\", \"model\": \"llama-2-70b\"}}],"
    "  \"keep\": [\"instances\", \"timeseries\", \"histograms\", \"requests\", \"links\", \"classes\"]}}";
static const char one[] =
    "{\"name\": \"one\", \"pools\": [{\"name\": \"unified\", \"role\": \"unified\", \"gpu\": "
    "\"h100-sxm\", \"instances\": 1}]}";
static const char two[] =
    "{\"name\": \"two\", \"pools\": [{\"name\": \"prefill\", \"role\": \"prefill\", \"gpu\": \"h100-sxm\", "
    "\"instances\": 1}, {\"name\": \"decode\", \"role\": \"decode\", \"gpu\": \"h100-sxm\", \"instances\": "
    "1}],"
    " \"network\": {\"kv_link\": \"ib-ndr-400g\"}}";

static const char other_two[] =
    "{\"name\": \"two\", \"pools\": [{\"name\": \"prefill\", \"role\": \"prefill\", \"gpu\": \"h100-sxm\", "
    "\"instances\": 1}, {\"name\": \"decode\", \"role\": \"decode\", \"gpu\": \"h100-sxm\", \"instances\": "
    "1}],"
    " \"network\": {\"kv_link\": \"ib-ndr-400g\", \"nics_per_gpu\": 2}}";

static enum sim_status sweep_again(const char *const *sets, size_t count, bool resume)
{
    const struct sweep_options options = {
        .sim = {.experiment = "e.json", .output = "out", .sets = sets, .set_count = count, .quiet = true},
        .ranks_per_point = 1,
        .resume = resume};
    return sweep_run(MPI_COMM_SELF, &options);
}

static enum sim_status sweep(const char *const *sets, size_t count)
{
    return sweep_again(sets, count, false);
}

static hid_t open_file(const char *path)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    CU_ASSERT_FATAL(file >= 0);
    return file;
}

/* Values of a dataset as they are in the file; the caller frees them. *size: bytes of one. */
static char *values_of(hid_t file, const char *path, size_t *size, size_t *count)
{
    hid_t dataset = H5Dopen2(file, path, H5P_DEFAULT);
    if (dataset < 0)
        printf("there is no %s\n", path);
    CU_ASSERT_FATAL(dataset >= 0);
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    *size = H5Tget_size(type);
    *count = (size_t)H5Sget_simple_extent_npoints(space);
    char *values = calloc(*count + 1, *size);
    H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(dataset);
    return values;
}

/* A table of the sweep from a row on has the rows of a table of the run. */
static void check_table(hid_t of_sweep, const char *group, size_t row, hid_t of_run, const char *run_group,
                        const struct column_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        char path[2][300];
        size_t size[2], count[2];
        snprintf(path[0], sizeof path[0], "%s/%s", group, table->columns[i].name);
        snprintf(path[1], sizeof path[1], "%s/%s", run_group, table->columns[i].name);
        char *a = values_of(of_sweep, path[0], &size[0], &count[0]),
             *b = values_of(of_run, path[1], &size[1], &count[1]);
        bool same = row + count[1] <= count[0];
        for (size_t k = 0; same && k < count[1]; k++) { /* texts of the sweep may be in longer places */
            const char *left = a + (row + k) * size[0], *right = b + k * size[1];
            same = table->columns[i].type == COLUMN_STRING ? strcmp(left, right) == 0
                                                           : memcmp(left, right, size[1]) == 0;
        }
        if (!same)
            printf("%s is not %s\n", path[0], path[1]);
        CU_ASSERT(same);
        free(a);
        free(b);
    }
}

static void check_kept(hid_t of_sweep, size_t point, hid_t of_run, const char *const *pools)
{
    char group[200], run_group[100];
#define KEPT(table, ...)                                                                                     \
    snprintf(run_group, sizeof run_group, __VA_ARGS__);                                                      \
    snprintf(group, sizeof group, "/point/%06zu%s", point, run_group);                                       \
    check_table(of_sweep, group, 0, of_run, run_group, &(table))
    KEPT(column_instances, "/instances");
    KEPT(column_classes, "/classes");
    KEPT(column_requests, "/requests");
    for (int i = 0; i < METRIC_COUNT; i++) {
        KEPT(column_histograms, "/histograms/%s", metric_names[i]);
    }
    for (size_t i = 0; pools[i]; i++) {
        KEPT(column_timeseries, "/timeseries/%s", pools[i]);
    }
    if (pools[1]) { /* prefill and decode */
        KEPT(column_links, "/links");
        KEPT(column_link_timeseries, "/link_timeseries/1");
    }
}

/* pool_row: its first in /pools. */
static void check_point(hid_t of_sweep, size_t point, size_t pool_row, const char *const *sets,
                        const char *const *pools)
{
    size_t count = 0;
    while (sets[count])
        count++;
    const struct sim_options options = {
        .experiment = "e.json", .output = "run", .sets = sets, .set_count = count, .quiet = true};
    CU_ASSERT_EQUAL_FATAL(sim_run(MPI_COMM_SELF, &options), SIM_OK);
    hid_t of_run = open_file("run/results.h5");
    check_table(of_sweep, "/points", point, of_run, "/summary", &column_summary);
    check_table(of_sweep, "/pools", pool_row, of_run, "/pools", &column_pools);
    check_table(of_sweep, "/classes", point, of_run, "/classes", &column_classes);
    check_kept(of_sweep, point, of_run, pools);
    H5Fclose(of_run);
}

static void check_strings(hid_t file, const char *path, const char *const *expected, size_t count)
{
    size_t size, found;
    char *values = values_of(file, path, &size, &found);
    CU_ASSERT_EQUAL_FATAL(found, count);
    for (size_t i = 0; i < count; i++)
        CU_ASSERT_STRING_EQUAL(values + i * size, expected[i]);
    free(values);
}

static void check_numbers(hid_t file, const char *path, const double *expected, size_t count)
{
    double values[8];
    hid_t dataset = H5Dopen2(file, path, H5P_DEFAULT);
    CU_ASSERT_FATAL(dataset >= 0);
    H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    H5Dclose(dataset);
    for (size_t i = 0; i < count; i++)
        CU_ASSERT(values[i] == expected[i] || (isnan(values[i]) && isnan(expected[i])));
}

static void points_are_as_runs_of_them(void)
{
    static const char *const unified[] = {"unified", NULL}, *const split[] = {"prefill", "decode", NULL};
    CU_ASSERT_EQUAL_FATAL(sweep(NULL, 0), SIM_FAILED); /* two points are invalid */
    hid_t file = open_file("out/results.h5");
    check_point(file, 1, 1, (const char *[]){"sweep=null", "seed=6", NULL}, unified);
    check_point(
        file, 2, 2,
        (const char *[]){"sweep=null", "seed=5", "cluster=two", "cluster.pools[decode].instances=2", NULL},
        split);
    check_numbers(file, "/points/status",
                  (const double[]){POINT_COMPLETED, POINT_COMPLETED, POINT_COMPLETED, POINT_COMPLETED,
                                   POINT_INVALID, POINT_INVALID},
                  6);
    check_numbers(file, "/points/completed", (const double[]){60, 60, 60, 60, 0, 0}, 6);
    check_numbers(file, "/points/cost_usd_per_hour", (const double[]){3, 3, 9, 9, NAN, NAN}, 6);
    check_numbers(file, "/parameters/seed", (const double[]){5, 6, 5, 6, 5, 6}, 6);
    check_numbers(file, "/parameters/cluster.pools[decode].instances",
                  (const double[]){NAN, NAN, 2, 2, NAN, NAN}, 6);
    check_numbers(file, "/pools/point", (const double[]){0, 1, 2, 2, 3, 3}, 6);
    check_strings(file, "/points/name",
                  (const char *const[]){"unified", "unified", "split", "split", "small", "small"}, 6);
    check_strings(file, "/parameters/cluster", (const char *const[]){"", "", "two", "two", "", ""}, 6);
    H5Fclose(file);
    CU_ASSERT_EQUAL(access("out/points", F_OK), -1);
}

static void a_condition_leaves_points_out(void)
{
    static const char *const sets[] = {"sweep.where=gpus_total == 3 and seed > 5", "sweep.keep=[]"};
    CU_ASSERT_EQUAL_FATAL(sweep(sets, 2), SIM_OK);
    hid_t file = open_file("out/results.h5");
    check_strings(file, "/points/name", (const char *const[]){"split"}, 1);
    check_numbers(file, "/parameters/seed", (const double[]){6}, 1);
    CU_ASSERT(H5Lexists(file, "/point", H5P_DEFAULT) <= 0);
    H5Fclose(file);
}

static ino_t file_number(const char *path)
{
    struct stat status = {0};
    CU_ASSERT_EQUAL(stat(path, &status), 0);
    return status.st_ino;
}

/* --resume of a sweep that has ended runs nothing, and gives the status that it had; not of another. */
static void an_ended_sweep_is_complete(void)
{
    static const char *const good[] = {"sweep.where=gpus_total <= 3 and cost_usd_per_hour > 0"},
                             *const other[] = {"sweep.where=gpus_total == 3"};
    CU_ASSERT_EQUAL_FATAL(sweep(NULL, 0), SIM_FAILED);
    ino_t results = file_number("out/results.h5"), report = file_number("out/run.json");
    CU_ASSERT_EQUAL(sweep_again(NULL, 0, true), SIM_FAILED);
    CU_ASSERT(file_number("out/results.h5") == results && file_number("out/run.json") == report);

    CU_ASSERT_EQUAL_FATAL(sweep(other, 1), SIM_OK);
    results = file_number("out/results.h5");
    mkdir("out/points", 0700); /* as where it is killed while it removes them */
    folder_write("out/points/000001.json", "{}");
    CU_ASSERT_EQUAL(sweep_again(other, 1, true), SIM_OK);
    CU_ASSERT_EQUAL(access("out/points", F_OK), -1);
    CU_ASSERT_EQUAL(sweep_again(good, 1, true), SIM_USER_ERROR);
    CU_ASSERT_EQUAL(sweep_again(NULL, 0, true), SIM_USER_ERROR);
    CU_ASSERT_EQUAL(file_number("out/results.h5"), results);
    CU_ASSERT_EQUAL(access("out/sweep.lock", F_OK), -1);
}

/* A file that the values name is looked up beside the experiment, whatever the working folder. */
static void files_are_beside_the_experiment(void)
{
    const struct sweep_options options = {
        .sim = {.experiment = "../e.json", .output = "../out", .quiet = true}, .ranks_per_point = 1};
    mkdir("elsewhere", 0700);
    CU_ASSERT_FATAL(chdir("elsewhere") == 0);
    CU_ASSERT_EQUAL(sweep_run(MPI_COMM_SELF, &options), SIM_FAILED); /* of the invalid ones; `two` is found */
    CU_ASSERT_FATAL(chdir("..") == 0);
    hid_t file = open_file("out/results.h5");
    check_numbers(file, "/points/gpus", (const double[]){1, 1, 3, 3}, 4);
    H5Fclose(file);
}

/* A point is told from the one that was looked at before, once a file that its values name has changed. */
static void files_that_change_are_noticed(void)
{
    const struct sim_options options = {.experiment = "e.json", .quiet = true};
    struct candidates candidates;
    struct error error;
    CU_ASSERT_FATAL(candidates_read(&options, 0, 1, &candidates, &error));
    for (int changed = 0; changed < 2; changed++) {
        for (size_t point = 0; point < 4; point++) {
            struct config *config;
            uint32_t bad;
            CU_ASSERT_FATAL(candidates_config(&candidates, point, NULL, &config, &bad, &error));
            CU_ASSERT_FATAL(sim_complete(config, &error));
            CU_ASSERT_EQUAL(candidates_is_same(&candidates, point, config, ""), changed == 0 || point < 2);
            CU_ASSERT_FALSE(candidates_is_same(&candidates, point, config, "1"));
            config_free(config);
        }
        folder_write("two.json", changed == 0 ? other_two : two);
    }
    candidates_clear(&candidates);
}

#define SEARCH                                                                                               \
    "search={\"deployments\": {\"split\": {\"set\": {\"cluster\": \"two\"}}, \"one\": {}}, "                 \
    "\"goodput\": {\"low\": 1, \"high\": 4}, \"seeds\": [5, 6]}"

/* So does a search, whatever the rate and the seed of a run; and another identity refuses --resume. */
static void a_search_notices_files_that_change(void)
{
    static const char *const sets[] = {"sweep=null", SEARCH};
    const struct sim_options options = {.experiment = "e.json", .sets = sets, .set_count = 2, .quiet = true};
    const struct search_probe probe = {.seed = 1, .rate = 3};
    struct candidates candidates[2];
    struct error error;
    for (int changed = 0; changed < 2; changed++) {
        CU_ASSERT_FATAL(candidates_read(&options, 0, 1, &candidates[changed], &error) &&
                        candidates_choose(&candidates[changed], &error));
        for (size_t candidate = 0; candidate < 2; candidate++) {
            struct config *config;
            uint32_t bad;
            CU_ASSERT_FATAL(candidates_config(candidates, candidate, &probe, &config, &bad, &error));
            CU_ASSERT_FATAL(sim_complete(config, &error));
            CU_ASSERT_EQUAL(candidates_is_same(candidates, candidate, config, ""),
                            changed == 0 || candidate == 1);
            CU_ASSERT_FALSE(candidates_is_same(candidates, candidate, config, "1"));
            config_free(config);
        }
        folder_write("two.json", changed == 0 ? other_two : two);
    }
    CU_ASSERT_NOT_EQUAL(candidates[0].identity, candidates[1].identity);
    candidates_clear(&candidates[0]);
    candidates_clear(&candidates[1]);
}

/* Version, experiment, and of each point its place, configuration and whether it can run. */
static void an_identity_is_of_all_that_results_hang_on(void)
{
    static const char *const no_identity[] = {"simulation", NULL};
    const struct sim_options options = {.experiment = "e.json", .quiet = true};
    struct candidates candidates;
    struct config *report;
    struct error error;
    CU_ASSERT_EQUAL_FATAL(sweep(NULL, 0), SIM_FAILED);
    CU_ASSERT_FATAL(config_load("out/run.json", NULL, 0, NULL, 0, &report, &error));
    const char *version = node_string(node_get(config_root(report), "tandem_version"));
    CU_ASSERT_FATAL(candidates_read(&options, 0, 1, &candidates, &error));
    for (int changed = 0; changed < 2; changed++) {
        CU_ASSERT_FATAL(candidates_choose(&candidates, &error));
        uint64_t expected =
            hash_combine(hash_bytes(1, version, strlen(version)), config_hash(candidates.base, no_identity));
        for (size_t i = 0; i < 6; i++) {
            CU_ASSERT_EQUAL(candidates.all[i].state,
                            i < 4 + (size_t)changed ? CANDIDATE_GOOD : CANDIDATE_INVALID);
            expected =
                hash_combine(hash_combine(expected, i), candidates.all[i].hash + candidates.all[i].state);
        }
        CU_ASSERT_EQUAL(candidates.identity, expected);
        candidates.all[4].state = CANDIDATE_GOOD;
        mem_free(candidates.chosen);
        candidates.count = 0;
        candidates.chosen = NULL;
    }
    candidates_clear(&candidates);
    config_free(report);
}

int main(void)
{
    const struct test_case cases[] = {
        {"points are as runs of them", points_are_as_runs_of_them},
        {"a condition leaves points out", a_condition_leaves_points_out},
        {"an ended sweep is complete", an_ended_sweep_is_complete},
        {"files are beside the experiment", files_are_beside_the_experiment},
        {"files that change are noticed", files_that_change_are_noticed},
        {"a search notices files that change", a_search_notices_files_that_change},
        {"an identity is of all that results hang on", an_identity_is_of_all_that_results_hang_on}};
    MPI_Init(NULL, NULL);
    folder_enter();
    folder_write("e.json", experiment);
    folder_write("one.json", one);
    folder_write("two.json", two);
    int code = test_main("sweep", cases, sizeof cases / sizeof *cases);
    folder_leave();
    if (mem_live_bytes() != 0)
        printf("%zu bytes were never given back\n", mem_live_bytes());
    code = mem_live_bytes() == 0 ? code : 1;
    MPI_Finalize();
    return code;
}
