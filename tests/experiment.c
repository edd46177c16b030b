#include "experiment.h"

#include <CUnit/CUnit.h>
#include <CUnit/TestRun.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tandem/mem.h"
#include "tandem/text.h"

#define MOST_SETS 64

const char experiment_unified[] =
    "{\"name\": \"test\", \"model\": \"llama-2-7b\", \"cluster\": {\"name\": \"test\","
    " \"pools\": [{\"name\": \"unified\", \"role\": \"unified\", \"gpu\": \"h100-sxm\", \"instances\": 1,"
    "              \"scheduler\": {}, \"kv\": {}, \"timer\": {}}],"
    " \"network\": {\"control_latency_us\": 1000},"
    " \"router\": {\"policy\": \"least-loaded\", \"frontend_ms\": 0, \"frontend_us_per_token\": 0}},"
    " \"workload\": {}, \"seed\": 1}";

const char experiment_disaggregated[] =
    "{\"name\": \"test\", \"model\": \"llama-2-7b\", \"cluster\": {\"name\": \"test\","
    " \"pools\": [{\"name\": \"prefill\", \"role\": \"prefill\", \"gpu\": \"h100-sxm\", \"instances\": 1,"
    "              \"scheduler\": {}, \"kv\": {}, \"timer\": {}},"
    "             {\"name\": \"decode\", \"role\": \"decode\", \"gpu\": \"h100-sxm\", \"instances\": 1,"
    "              \"scheduler\": {}, \"kv\": {}, \"timer\": {}}],"
    " \"network\": {\"control_latency_us\": 1000, \"kv_link\": \"ib-ndr-400g\"},"
    " \"router\": {\"policy\": \"least-loaded\", \"frontend_ms\": 0, \"frontend_us_per_token\": 0},"
    " \"handoff\": {\"first_token\": \"decode\"}},"
    " \"workload\": {}, \"seed\": 1}";

struct experiment {
    const char *json;
    char folder[512], file[600], trace[600];
    char *sets[MOST_SETS];
    size_t set_count;
};

static void die(const char *what, const char *detail)
{
    fprintf(stderr, "%s: %s\n", what, detail);
    exit(1);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        die("cannot write", path);
}

struct experiment *experiment_new(const char *json)
{
    struct experiment *experiment = mem_array(1, sizeof *experiment);
    experiment->json = json;
    const char *temporary = getenv("TMPDIR");
    snprintf(experiment->folder, sizeof experiment->folder, "%s/tandem-test-XXXXXX",
             temporary ? temporary : "/tmp");
    if (!mkdtemp(experiment->folder))
        die("cannot make a folder like", experiment->folder);
    snprintf(experiment->file, sizeof experiment->file, "%s/experiment.json", experiment->folder);
    snprintf(experiment->trace, sizeof experiment->trace, "%s/trace.csv", experiment->folder);
    write_file(experiment->file, json);
    return experiment;
}

void experiment_free(struct experiment *experiment)
{
    unlink(experiment->file);
    unlink(experiment->trace);
    rmdir(experiment->folder);
    for (size_t i = 0; i < experiment->set_count; i++)
        mem_free(experiment->sets[i]);
    mem_free(experiment);
}

void experiment_set(struct experiment *experiment, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (experiment->set_count == MOST_SETS || length < 0 || (size_t)length >= sizeof text)
        die("cannot set", text);
    char *copy = mem_array((size_t)length + 1, 1);
    memcpy(copy, text, (size_t)length + 1);
    experiment->sets[experiment->set_count++] = copy;
}

void experiment_trace(struct experiment *experiment, const struct experiment_request *requests, size_t count)
{
    experiment_sessions(experiment, requests, NULL, count);
}

void experiment_sessions(struct experiment *experiment, const struct experiment_request *requests,
                         const int64_t *sessions, size_t count)
{
    struct text text = {0};
    text_append(&text, "time,prompt_tokens,output_tokens,max_tokens,priority,session\n");
    for (size_t i = 0; i < count; i++) {
        text_append(&text, "%lld,%lld,%lld,", (long long)requests[i].send_ns,
                    (long long)requests[i].prompt_tokens, (long long)requests[i].output_tokens);
        if (requests[i].max_tokens > 0)
            text_append(&text, "%lld", (long long)requests[i].max_tokens);
        text_append(&text, ",%lld,", (long long)requests[i].priority);
        if (sessions && sessions[i] >= 0)
            text_append(&text, "%lld", (long long)sessions[i]);
        text_append(&text, "\n");
    }
    write_file(experiment->trace, text_string(&text));
    text_clear(&text);
    experiment_set(experiment,
                   "workload={\"trace\": {\"format\": \"csv\", \"path\": \"%s\", \"time_unit\": \"ns\", "
                   "\"max_tokens_column\": \"max_tokens\", \"priority_column\": \"priority\", "
                   "\"session_column\": \"session\"}}",
                   experiment->trace);
}

void experiment_hashes(struct experiment *experiment, const struct experiment_request *requests,
                       const char *const *hashes, size_t count, int64_t block_tokens)
{
    struct text text = {0};
    for (size_t i = 0; i < count; i++)
        text_append(&text,
                    "{\"timestamp\": %.6f, \"input_length\": %lld, \"output_length\": %lld, \"hash_ids\": "
                    "[%s]}\n",
                    (double)requests[i].send_ns / 1e6, (long long)requests[i].prompt_tokens,
                    (long long)requests[i].output_tokens, hashes[i]);
    write_file(experiment->trace, text_string(&text));
    text_clear(&text);
    experiment_set(
        experiment,
        "workload={\"trace\": {\"format\": \"mooncake\", \"path\": \"%s\", \"block_tokens\": %lld}}",
        experiment->trace, (long long)block_tokens);
}

void experiment_synthetic(struct experiment *experiment, const char *prompt, const char *output,
                          const char *arrivals, int64_t requests)
{
    experiment_set(
        experiment,
        "workload={\"synthetic\": {\"prompt_tokens\": %s, \"output_tokens\": %s, \"arrivals\": %s, "
        "\"requests\": %lld}}",
        prompt, output, arrivals, (long long)requests);
}

void experiment_print(const struct experiment *experiment)
{
    printf("\n    cat >%s <<'END'\n%s\nEND\n", experiment->file, experiment->json);
    FILE *trace = fopen(experiment->trace, "r");
    if (trace) {
        printf("    cat >%s <<'END'\n", experiment->trace);
        for (int c = fgetc(trace); c != EOF; c = fgetc(trace))
            putchar(c);
        printf("END\n");
        fclose(trace);
    }
    printf("    mkdir -p %s; tandem run %s", experiment->folder, experiment->file);
    for (size_t i = 0; i < experiment->set_count; i++)
        printf(" --set '%s'", experiment->sets[i]);
    printf("\n");
}

static void *copy_of(const void *from, size_t count, size_t size)
{
    void *copy = mem_array(count, size);
    if (count > 0)
        memcpy(copy, from, count * size);
    return copy;
}

static void take(void *context, const struct results *results)
{
    struct outcome *outcome = context;
    outcome->summary = results->summary;
    outcome->checksum = results->checksum;
    outcome->row_count = results->row_count;
    outcome->rows = copy_of(results->rows, results->row_count, sizeof(struct row));
    outcome->instance_count = results->instance_count;
    outcome->instances = copy_of(results->instances, results->instance_count, sizeof(struct instance_row));
    outcome->pool_count = results->pool_count;
    outcome->pools = copy_of(results->pools, results->pool_count, sizeof(struct pool_row));
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        outcome->histogram_counts[metric] = results->histogram_counts[metric];
        outcome->histograms[metric] = copy_of(results->histograms[metric], results->histogram_counts[metric],
                                              sizeof(struct histogram_row));
    }
    outcome->series_interval_ns = results->series_interval_ns;
    outcome->series_count = results->series_count;
    outcome->link_count = results->link_count;
    outcome->links = copy_of(results->links, results->link_count, sizeof(struct link_row));
    outcome->link_bins = mem_array(outcome->link_count * outcome->series_count, sizeof(struct link_bin_row));
    for (size_t i = 0; i < outcome->link_count && outcome->series_count > 0; i++)
        memcpy(outcome->link_bins + i * outcome->series_count, results->link_series[i],
               outcome->series_count * sizeof(struct link_bin_row));
    for (size_t i = 0; i < outcome->link_count; i++)
        outcome->links[i].pool = NULL;
    outcome->iteration_count = results->iteration_count;
    outcome->iterations_cut_ns = results->iterations_cut_ns;
    outcome->iterations =
        copy_of(results->iterations, results->iteration_count, sizeof(struct iteration_row));
    outcome->series = mem_array(results->pool_count, sizeof *outcome->series);
    for (size_t i = 0; i < results->pool_count; i++)
        outcome->series[i] =
            copy_of(results->series[i], results->series_count, sizeof(struct series_bin_row));
    for (size_t i = 0; i < outcome->instance_count; i++)
        outcome->instances[i].pool = outcome->instances[i].role = outcome->instances[i].gpu = NULL;
    for (size_t i = 0; i < outcome->pool_count; i++)
        outcome->pools[i].name = outcome->pools[i].role = outcome->pools[i].gpu = NULL;
}

struct outcome experiment_run(const struct experiment *experiment)
{
    struct outcome outcome = {0};
    struct sim_options options = {.experiment = experiment->file,
                                  .sets = (const char *const *)experiment->sets,
                                  .set_count = experiment->set_count,
                                  .quiet = true};
    outcome.status = sim_execute(MPI_COMM_SELF, &options, take, &outcome, &outcome.error);
    return outcome;
}

struct outcome experiment_run_well(const struct experiment *experiment)
{
    struct outcome outcome = experiment_run(experiment);
    if (outcome.status != SIM_OK)
        die("the experiment does not run", outcome.error.text);
    return outcome;
}

struct outcome experiment_run_modes(struct experiment *experiment, int64_t control_latency_ns)
{
    static const char *const modes[] = {"aggregate", "naive"};
    unsigned failures = CU_get_number_of_failures();
    experiment_set(experiment, "simulation.mode=leaping");
    struct outcome leaping = experiment_run_well(experiment);
    outcome_check_conserved(&leaping, control_latency_ns);
    for (int i = 0; i < 2; i++) {
        experiment_set(experiment, "simulation.mode=%s", modes[i]);
        struct outcome other = experiment_run_well(experiment);
        const char *difference = outcome_difference(&leaping, &other);
        if (difference)
            printf("\n    leaping and %s differ in %s", modes[i], difference);
        CU_ASSERT_PTR_NULL(difference);
        outcome_clear(&other);
    }
    if (CU_get_number_of_failures() > failures)
        experiment_print(experiment);
    return leaping;
}

void outcome_clear(struct outcome *outcome)
{
    for (size_t i = 0; i < outcome->pool_count; i++)
        mem_free(outcome->series[i]);
    mem_free(outcome->series);
    mem_free(outcome->rows);
    mem_free(outcome->instances);
    mem_free(outcome->pools);
    mem_free(outcome->links);
    mem_free(outcome->link_bins);
    mem_free(outcome->iterations);
    for (int metric = 0; metric < METRIC_COUNT; metric++)
        mem_free(outcome->histograms[metric]);
    *outcome = (struct outcome){0};
}

/* Where two rows differ, NULL where not. */
static const char *row_difference(const struct row *a, const struct row *b)
{
#define COMPARE(field)                                                                                       \
    do {                                                                                                     \
        if (a->field != b->field)                                                                            \
            return #field;                                                                                   \
    } while (0)
    COMPARE(id);
    COMPARE(arrival_ns);
    COMPARE(prompt_tokens);
    COMPARE(output_tokens);
    COMPARE(ttft_ns);
    COMPARE(ttft_prefill_ns);
    COMPARE(e2e_ns);
    COMPARE(max_itl_ns);
    COMPARE(router_ns);
    COMPARE(control_ns);
    COMPARE(router_queue_ns);
    COMPARE(prefill_queue_ns);
    COMPARE(prefill_ns);
    COMPARE(decode_queue_ns);
    COMPARE(transfer_ns);
    COMPARE(admission_ns);
    COMPARE(decode_ns);
    COMPARE(stalled_ns);
    COMPARE(interference_ns);
    COMPARE(blocked_ns);
    COMPARE(congestion_ns);
    COMPARE(kv_transfer_bytes);
    COMPARE(prefill_instance);
    COMPARE(decode_instance);
    COMPARE(preemptions);
    COMPARE(swaps);
    COMPARE(swapped_bytes);
    COMPARE(cached_prompt_tokens);
    COMPARE(host_prompt_tokens);
    COMPARE(ssd_prompt_tokens);
    COMPARE(status);
    COMPARE(reason);
    COMPARE(session);
    COMPARE(turn);
    COMPARE(priority);
    return NULL;
}

static const char *instance_difference(const struct instance_row *a, const struct instance_row *b)
{
    COMPARE(busy_prefill_ns);
    COMPARE(busy_decode_ns);
    COMPARE(busy_mixed_ns);
    COMPARE(interference_ns);
    COMPARE(decoding_ns);
    COMPARE(blocked_ns);
    COMPARE(blocked_decoding_ns);
    COMPARE(blocked_idle_ns);
    COMPARE(moving_idle_ns);
    COMPARE(prefill_iterations);
    COMPARE(decode_iterations);
    COMPARE(mixed_iterations);
    COMPARE(prefill_tokens);
    COMPARE(recomputed_tokens);
    COMPARE(padding_tokens);
    COMPARE(output_tokens);
    COMPARE(preemptions);
    COMPARE(swaps);
    COMPARE(swapped_out_bytes);
    COMPARE(swapped_in_bytes);
    COMPARE(kv_capacity_blocks);
    COMPARE(kv_peak_blocks);
    COMPARE(kv_peak_tokens);
    COMPARE(kv_allocations);
    COMPARE(kv_copies);
    COMPARE(kv_compactions);
    COMPARE(kv_copied_bytes);
    COMPARE(kv_allocation_ns);
    COMPARE(kv_allocated_blocks);
    COMPARE(kv_freed_blocks);
    COMPARE(waiting_request_ns);
    COMPARE(running_request_ns);
    COMPARE(moving_request_ns);
    COMPARE(sent_bytes);
    COMPARE(received_bytes);
    COMPARE(cached_tokens);
    COMPARE(cached_host_tokens);
    COMPARE(cached_ssd_tokens);
    COMPARE(evicted_blocks);
#undef COMPARE
#define COMPARE(field)                                                                                       \
    if (a->field < b->field || a->field > b->field)                                                          \
    return #field
    COMPARE(kv_mean_utilization);
    COMPARE(kv_mean_cached);
    COMPARE(kv_external_fragmentation);
    COMPARE(mfu);
    COMPARE(hfu);
    COMPARE(mbu);
    return NULL;
#undef COMPARE
}

static bool same_links(const struct outcome *a, const struct outcome *b)
{
    bool same = a->link_count == b->link_count && a->series_count == b->series_count;
    for (size_t i = 0; same && i < a->link_count * a->series_count; i++)
        same = a->link_bins[i].bytes == b->link_bins[i].bytes;
    return same;
}

static bool same_iterations(const struct outcome *a, const struct outcome *b)
{
    bool same = a->iteration_count == b->iteration_count && a->iterations_cut_ns == b->iterations_cut_ns;
    for (size_t i = 0; same && i < a->iteration_count * column_iterations.count; i++) {
        const struct column *column = &column_iterations.columns[i % column_iterations.count];
        size_t row = i / column_iterations.count;
        same = memcmp((const char *)&a->iterations[row] + column->offset,
                      (const char *)&b->iterations[row] + column->offset, column_bytes(column)) == 0;
    }
    return same;
}

static bool same_histogram(const struct outcome *a, const struct outcome *b, int metric)
{
    bool same = a->histogram_counts[metric] == b->histogram_counts[metric];
    for (size_t i = 0; same && i < a->histogram_counts[metric]; i++) {
        const struct histogram_row *left = &a->histograms[metric][i], *right = &b->histograms[metric][i];
        same = left->low_ns == right->low_ns && left->count == right->count;
    }
    return same;
}

/* Whether the bins of all pools are the same, bit for bit. */
static bool same_series(const struct outcome *a, const struct outcome *b)
{
    bool same = a->series_count == b->series_count && a->series_interval_ns == b->series_interval_ns;
    for (size_t i = 0; same && a->series_count > 0 && i < a->pool_count; i++)
        same = memcmp(a->series[i], b->series[i], a->series_count * sizeof **a->series) == 0;
    return same;
}

const char *outcome_difference(const struct outcome *a, const struct outcome *b)
{
    static char text[128];
    const char *column = NULL;
    if (a->row_count != b->row_count || a->instance_count != b->instance_count ||
        a->pool_count != b->pool_count)
        return "number of rows, instances or pools";
    for (size_t i = 0; i < a->row_count; i++)
        if ((column = row_difference(&a->rows[i], &b->rows[i]))) {
            snprintf(text, sizeof text, "row %zu: %s", i, column);
            return text;
        }
    for (size_t i = 0; i < a->instance_count; i++)
        if ((column = instance_difference(&a->instances[i], &b->instances[i]))) {
            snprintf(text, sizeof text, "instance %zu: %s", i, column);
            return text;
        }
    for (int metric = 0; metric < METRIC_COUNT; metric++)
        if (!same_histogram(a, b, metric)) {
            snprintf(text, sizeof text, "histogram %s", metric_names[metric]);
            return text;
        }
    if (!same_series(a, b))
        return "time series";
    /* The only one of its metrics that is not a figure of rows. */
    if (memcmp(&a->summary.itl, &b->summary.itl, sizeof a->summary.itl) != 0)
        return "mean, a percentile or the longest of ITL";
    if (!same_links(a, b))
        return "bytes of a link in a bin";
    if (!same_iterations(a, b))
        return "a recorded iteration";
    return a->checksum == b->checksum ? NULL : "checksum";
}
