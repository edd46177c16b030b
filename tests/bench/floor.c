/* The floor under a run: time to take requests from a trace or a generator, and to write rows, with no
 * simulation between. Usage: bench_floor FOLDER TRACE; prints one line each, ns of CPU. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tandem/config.h"
#include "tandem/mem.h"
#include "tandem/output.h"
#include "tandem/rng.h"
#include "tandem/workload.h"

#define ROWS  1000000
#define TRIES 5

static double cpu_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, TRIES, sizeof *values, by_value);
    return values[TRIES / 2];
}

static void fail(const char *message)
{
    fprintf(stderr, "bench_floor: %s\n", message);
    exit(1);
}

/* Opening (a trace is checked whole) and taking every request, ns a request. */
static void take_requests(const char *name, const char *json)
{
    double times[TRIES];
    for (int i = 0; i < TRIES; i++) {
        struct error error = {0};
        struct config *config = NULL;
        struct workload *workload = NULL;
        struct workload_request request;
        int64_t count = 0;
        double start_s = cpu_s();
        if (!config_parse(json, "bench", &config, &error) ||
            !workload_create(config_root(config), 1, &workload, &error))
            fail(error.text);
        while (workload_next(workload, &request))
            count++;
        times[i] = 1e9 * (cpu_s() - start_s) / (double)count;
        workload_free(workload);
        config_free(config);
    }
    printf("- %s: %.0f ns a request\n", name, median(times));
}

/* Rows such as a loaded cluster gives: lengths and times spread over their usual ranges. */
static void fill(struct row *rows)
{
    int64_t arrival_ns = 0;
    for (uint64_t i = 0; i < ROWS; i++) {
        struct row *row = &rows[i];
        int64_t *const times[] = {&row->router_ns,       &row->prefill_queue_ns, &row->prefill_ns,
                                  &row->decode_queue_ns, &row->transfer_ns,      &row->admission_ns};
        arrival_ns += (int64_t)(rng_bits(1, 0, RNG_ARRIVAL, i) % 2000000);
        *row = (struct row){.id = i, .arrival_ns = arrival_ns, .control_ns = 5000000};
        row->prompt_tokens = (uint32_t)(rng_bits(1, 1, RNG_ARRIVAL, i) % 2000) + 1;
        row->output_tokens = (uint32_t)(rng_bits(1, 2, RNG_ARRIVAL, i) % 400) + 1;
        row->e2e_ns = row->control_ns;
        for (uint32_t k = 0; k < sizeof times / sizeof times[0]; k++) {
            *times[k] = (int64_t)(rng_bits(1, 3 + k, RNG_ARRIVAL, i) % 10000000);
            row->e2e_ns += *times[k];
        }
        row->ttft_prefill_ns = row->router_ns + row->prefill_queue_ns + row->prefill_ns;
        row->ttft_ns = row->e2e_ns;
        row->max_itl_ns = 8000000 + (int64_t)(rng_bits(1, 20, RNG_ARRIVAL, i) % 500000);
        row->decode_ns = (int64_t)row->output_tokens * 8100000 + *times[0] % 1000;
        row->e2e_ns += row->decode_ns;
        row->kv_transfer_bytes = (row->prompt_tokens + 15) / 16 * UINT64_C(2097152);
        row->prefill_instance = (int32_t)(i % 32);
        row->decode_instance = 32 + (int32_t)(rng_bits(1, 21, RNG_ARRIVAL, i) % 32);
    }
}

static void write_rows(const char *folder, const struct row *rows, int compression)
{
    double times[TRIES];
    for (int i = 0; i < TRIES; i++) {
        struct error error = {0};
        struct output_config config = {
            .folder = folder, .requests = ROWS, .one_in = 1, .compression = compression};
        if (!output_prepare(folder, output_run_files, &error))
            fail(error.text);
        double start_s = cpu_s();
        struct output *output = output_open(MPI_COMM_SELF, &config);
        for (size_t k = 0; k < ROWS; k += 10000)
            output_rows(output, rows + k, 10000);
        times[i] = 1e9 * (cpu_s() - start_s) / ROWS;
        output_abandon(output, &error);
    }
    printf("- rows alone, compression %d: %.0f ns a row\n", compression, median(times));
}

int main(int argc, char **argv)
{
    char json[1000];
    MPI_Init(&argc, &argv);
    if (argc != 3)
        fail("usage: bench_floor FOLDER TRACE");
    snprintf(json, sizeof json, "{\"trace\": {\"format\": \"azure\", \"path\": \"%s\"}}", argv[2]);
    if (access(argv[2], R_OK) == 0)
        take_requests("reading the Azure trace, twice and its SHA-256", json);
    take_requests(
        "generating lognormal lengths and Poisson arrivals",
        "{\"synthetic\": {\"requests\": 1000000, \"arrivals\": {\"poisson\": {\"rate_per_s\": 1120}},"
        " \"prompt_tokens\": {\"lognormal\": {\"mu\": 6.5878, \"sigma\": 0.8}},"
        " \"output_tokens\": {\"lognormal\": {\"mu\": 4.9783, \"sigma\": 0.8}}}}");
    struct row *rows = mem_array(ROWS, sizeof *rows);
    fill(rows);
    write_rows(argv[1], rows, 0);
    write_rows(argv[1], rows, 1);
    mem_free(rows);
    MPI_Finalize();
    return 0;
}
