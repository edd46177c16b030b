/* A search finds what a sweep over all its candidates and rates shows. */
#include "../../../src/sweep/search.h"
#include "../config/folder.h"
#include "tandem/mem.h"
#include "tandem/sweep.h"
#include "test.h"

#include <hdf5.h>
#include <mpi.h>

static const char experiment[] =
    "{\"name\": \"e\", \"model\": \"llama-3.1-8b\", \"cluster\": \"one\","
    " \"workload\": {\"synthetic\": {\"prompt_tokens\": {\"fixed\": 1000}, \"output_tokens\": {\"uniform\": "
    "{\"min\": 1, \"max\": 60}}, \"arrivals\": {\"poisson\": {\"rate_per_s\": 5}}, \"requests\": 200}},"
    " \"slo\": {\"ttft_ms\": 200, \"tpot_ms\": 15},"
    " \"search\": {\"deployments\": {"
    "   \"unified\": {\"tune\": {\"cluster.pools[0].instances\": [1, 2, 3],"
    "      \"cluster.pools[0].scheduler.max_num_batched_tokens\": [512, 4096]}},"
    "   \"split\": {\"set\": {\"cluster\": \"two\"}, \"tune\": {\"cluster.pools[prefill].instances\": [1, 2],"
    "      \"cluster.pools[decode].instances\": [1, 2]}},"
    "   \"small\": {\"set\": {\"cluster.pools[0].gpu\": \"a10\", \"model\": \"llama-2-70b\"}}},"
    "  \"where\": \"gpus_total <= 3\","
    "  \"goodput\": {\"low\": 0.5, \"high\": 20, \"tolerance\": 0.3, \"every\": true},"
    "  \"cheapest\": {\"rates\": [0.7, 3, 4.5, 6, 9, 19]}, \"seeds\": [3, 4]}}";
static const char one[] =
    "{\"name\": \"one\", \"pools\": [{\"name\": \"unified\", \"role\": \"unified\", \"gpu\": "
    "\"h100-sxm\", \"instances\": 1}]}";
static const char two[] =
    "{\"name\": \"two\", \"pools\": [{\"name\": \"prefill\", \"role\": \"prefill\", \"gpu\": \"h100-sxm\", "
    "\"instances\": 1}, {\"name\": \"decode\", \"role\": \"decode\", \"gpu\": \"h100-sxm\", \"instances\": "
    "1}], \"network\": {\"kv_link\": \"ib-ndr-400g\"}}";

#define UNIFIED    6
#define CANDIDATES 9 /* that can run: 2 + 1 and 1 + 2 of split, and 1 + 1 */

static enum sim_status run(const char *folder, const char *const *sets, size_t count)
{
    const struct sweep_options options = {
        .sim = {.experiment = "e.json", .output = folder, .sets = sets, .set_count = count, .quiet = true},
        .ranks_per_point = 1};
    return sweep_run(MPI_COMM_SELF, &options);
}

/* Numbers of FOLDER/results.h5; the caller frees them. */
static double *numbers(const char *folder, const char *path, size_t *count)
{
    char name[100];
    snprintf(name, sizeof name, "%s/results.h5", folder);
    hid_t file = H5Fopen(name, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t dataset = H5Dopen2(file, path, H5P_DEFAULT), space = H5Dget_space(dataset);
    CU_ASSERT_FATAL(dataset >= 0);
    *count = (size_t)H5Sget_simple_extent_npoints(space);
    double *values = calloc(*count + 1, sizeof *values);
    H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    H5Sclose(space);
    H5Dclose(dataset);
    H5Fclose(file);
    return values;
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

#define SEEDS 2

/* What a sweep over all rates and seeds shows of each candidate; behind the seeds, of both together. */
static struct shown {
    double rates[100];
    size_t grid, count;
    bool holds[SEEDS + 1][CANDIDATES][100];
    double attainment[SEEDS + 1][CANDIDATES][100], cost[CANDIDATES];
    long most[SEEDS + 1][CANDIDATES];
} shown;

/* From rows of candidates, then seeds, then rates. */
static void take_rows(const double *attainment, const double *saturated)
{
    for (size_t i = 0; i < CANDIDATES; i++)
        for (size_t k = 0; k < shown.count; k++) {
            double sum = 0, growing = 0;
            for (size_t seed = 0; seed < SEEDS; seed++) {
                size_t row = (i * SEEDS + seed) * shown.count + k;
                shown.attainment[seed][i][k] = attainment[row];
                shown.holds[seed][i][k] = saturated[row] == 0 && attainment[row] >= 0.9;
                sum += attainment[row];
                growing += saturated[row];
            }
            shown.attainment[SEEDS][i][k] = sum / SEEDS;
            shown.holds[SEEDS][i][k] = 2 * growing <= SEEDS && sum / SEEDS >= 0.9;
        }
    for (size_t seed = 0; seed <= SEEDS; seed++)
        for (size_t i = 0; i < CANDIDATES; i++) {
            const bool *holds = shown.holds[seed][i];
            long most = -1;
            while (most + 1 < (long)shown.grid && holds[most + 1])
                most++;
            for (size_t k = 0; k < shown.grid; k++) /* what a search relies on */
                CU_ASSERT(holds[k] == ((long)k <= most));
            shown.most[seed][i] = most;
        }
}

static void sweep_all(void)
{
    struct config *config;
    struct search_spec spec;
    struct space space;
    struct error error;
    struct text axes = {0};
    CU_ASSERT_FATAL(config_parse(experiment, "e.json", &config, &error) &&
                    search_parse(config_root(config), &spec, &space, &error));
    shown.grid = spec.grid;
    shown.count = spec.count;
    text_append(&axes, "sweep={\"points\": [");
    for (int i = 0; i < UNIFIED; i++)
        text_append(&axes,
                    "{\"name\": \"u%d\", \"set\": {\"cluster.pools[0].instances\": %d, "
                    "\"cluster.pools[0].scheduler.max_num_batched_tokens\": %d}}, ",
                    i, 1 + i / 2, i % 2 ? 4096 : 512);
    for (int i = 0; i < 3; i++)
        text_append(&axes,
                    "{\"name\": \"s%d\", \"set\": {\"cluster\": \"two\", \"cluster.pools[0].instances\": %d, "
                    "\"cluster.pools[1].instances\": %d}}%s",
                    i, 1 + i / 2, 1 + i % 2,
                    i < 2 ? ", " : "], \"axes\": {\"seed\": [3, 4], \"workload.rate_scale\": [");
    for (size_t i = 0; i < spec.count; i++) {
        shown.rates[i] = spec.rates[i];
        text_append(&axes, "%s%.17g", i > 0 ? ", " : "", spec.rates[i]);
    }
    text_append(&axes, "]}}");
    CU_ASSERT_EQUAL_FATAL(run("all", (const char *const[]){"search=null", text_string(&axes)}, 2), SIM_OK);
    size_t points;
    double *attainment = numbers("all", "/points/slo_attainment", &points),
           *saturated = numbers("all", "/points/saturated", &points),
           *cost = numbers("all", "/points/cost_usd_per_hour", &points);
    CU_ASSERT_EQUAL_FATAL(points, CANDIDATES * SEEDS * shown.count);
    take_rows(attainment, saturated);
    for (size_t i = 0; i < CANDIDATES; i++)
        shown.cost[i] = cost[i * SEEDS * shown.count];
    free(attainment);
    free(saturated);
    free(cost);
    text_clear(&axes);
    space_clear(&space);
    search_spec_clear(&spec);
    config_free(config);
}

static bool is_better(size_t a, size_t b)
{
    const long *most = shown.most[SEEDS];
    if (most[a] != most[b])
        return most[a] > most[b];
    if (shown.cost[a] != shown.cost[b])
        return shown.cost[a] < shown.cost[b];
    return shown.attainment[SEEDS][a][most[a]] > shown.attainment[SEEDS][b][most[b]];
}

/* every: each candidate has its goodput; else only the best are known. */
static void check_search(const char *folder, bool every)
{
    size_t count;
    double *rate = numbers(folder, "/candidates/goodput_rate", &count),
           *fails = numbers(folder, "/candidates/fails_at_rate", &count),
           *best = numbers(folder, "/candidates/best", &count);
    CU_ASSERT_EQUAL_FATAL(count, CANDIDATES + 1);
    size_t bests[2] = {0, UNIFIED};
    for (size_t i = 0; i < CANDIDATES; i++) {
        size_t *of = &bests[i >= UNIFIED];
        *of = is_better(i, *of) ? i : *of;
    }
    for (size_t i = 0; i < CANDIDATES; i++) {
        long most = shown.most[SEEDS][i];
        CU_ASSERT_EQUAL(best[i], i == bests[0] || i == bests[1]);
        if (every || best[i] == 1) {
            CU_ASSERT(same(rate[i], most < 0 ? NAN : shown.rates[most]));
            CU_ASSERT(same(fails[i], most + 1 == (long)shown.grid ? NAN : shown.rates[most + 1]));
        } else {
            CU_ASSERT(isnan(rate[i]) || rate[i] <= shown.rates[most]);
            CU_ASSERT(fails[i] > shown.rates[most]);
        }
    }
    free(rate);
    free(fails);
    free(best);
    double *candidate = numbers(folder, "/cheapest/candidate", &count);
    CU_ASSERT_EQUAL_FATAL(count, shown.count - shown.grid);
    for (size_t k = 0; k < count; k++) {
        long cheapest = -1;
        size_t at = shown.grid + k;
        for (size_t i = 0; i < CANDIDATES; i++)
            if (shown.holds[SEEDS][i][at] &&
                (cheapest < 0 || shown.cost[i] < shown.cost[cheapest] ||
                 (shown.cost[i] == shown.cost[cheapest] &&
                  shown.attainment[SEEDS][i][at] > shown.attainment[SEEDS][cheapest][at])))
                cheapest = (long)i;
        CU_ASSERT_EQUAL((long)candidate[k], cheapest);
    }
    free(candidate);
}

static void a_search_finds_what_a_sweep_shows(void)
{
    sweep_all();
    CU_ASSERT_EQUAL_FATAL(run("every", NULL, 0), SIM_OK);
    check_search("every", true);
    CU_ASSERT_EQUAL_FATAL(run("best", (const char *const[]){"search.goodput.every=false"}, 1), SIM_OK);
    check_search("best", false);
    size_t all, some;
    free(numbers("every", "/points/rate", &all));
    free(numbers("best", "/points/rate", &some));
    CU_ASSERT(some < all && all < CANDIDATES * SEEDS * shown.count);
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* The tables agree with each other. */
static void tables_agree(void)
{
    size_t seeds, points, deployments, candidates;
    double *point = numbers("best", "/seeds/point", &seeds),
           *rate = numbers("best", "/seeds/goodput_rate", &seeds),
           *of_point = numbers("best", "/points/rate", &points),
           *attainment = numbers("best", "/points/slo_attainment", &points),
           *candidate = numbers("best", "/points/candidate", &points),
           *best = numbers("best", "/deployments/candidate", &deployments),
           *together = numbers("best", "/deployments/goodput_rate", &deployments),
           *low = numbers("best", "/deployments/goodput_rate_low", &deployments),
           *high = numbers("best", "/deployments/goodput_rate_high", &deployments),
           *of_best = numbers("best", "/deployments/slo_attainment", &deployments),
           *of_candidate = numbers("best", "/candidates/goodput_rate", &candidates),
           *probes = numbers("best", "/candidates/probes", &candidates),
           *status = numbers("best", "/candidates/status", &candidates), total = 0;
    CU_ASSERT_EQUAL_FATAL(seeds, 4);
    CU_ASSERT_EQUAL_FATAL(deployments, 3);
    for (size_t i = 0; i < seeds; i++) {
        size_t at = (size_t)point[i];
        CU_ASSERT_EQUAL(of_point[at], rate[i]);
        CU_ASSERT_EQUAL(candidate[at], best[i / 2]);
        CU_ASSERT(attainment[at] >= 0.9);
        CU_ASSERT_EQUAL(rate[i], shown.rates[shown.most[i % SEEDS][(size_t)best[i / 2]]]);
    }
    for (size_t i = 0; i < 2; i++) {
        size_t candidate_of = (size_t)best[i];
        CU_ASSERT_EQUAL(together[i], of_candidate[candidate_of]);
        CU_ASSERT_EQUAL(low[i], least(rate[2 * i], rate[2 * i + 1]));
        CU_ASSERT_EQUAL(high[i], -least(-rate[2 * i], -rate[2 * i + 1]));
        CU_ASSERT_EQUAL(of_best[i], shown.attainment[SEEDS][candidate_of][shown.most[SEEDS][candidate_of]]);
    }
    CU_ASSERT(best[2] == -1 && isnan(together[2]));
    for (size_t i = 0; i < candidates; i++)
        total += probes[i];
    CU_ASSERT_EQUAL((size_t)total, points);
    CU_ASSERT_EQUAL(status[candidates - 1], SEARCH_INVALID);
    double *all[] = {point, rate,     low,          high,    of_point, attainment, candidate,
                     best,  together, of_candidate, of_best, probes,   status};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

int main(void)
{
    const struct test_case cases[] = {
        {"a search finds what a sweep shows", a_search_finds_what_a_sweep_shows},
        {"tables agree", tables_agree}};
    MPI_Init(NULL, NULL);
    folder_enter();
    folder_write("e.json", experiment);
    folder_write("one.json", one);
    folder_write("two.json", two);
    int code = test_main("exhaustive", cases, sizeof cases / sizeof *cases);
    folder_leave();
    code = mem_live_bytes() == 0 ? code : 1;
    MPI_Finalize();
    return code;
}
