#include "tandem/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"
#include "tandem/check.h"
#include "tandem/log.h"
#include "tandem/mem.h"
#include "tandem/output.h"

/* Below, windows cost more than they save (tests/bench/README.md: two ranks lose at 20 and gain at 40). */
#define THIN_EVENTS_PER_WINDOW 30

/* Walks over all requests. */
static void describe_requests(struct workload *workload, struct text *summary)
{
    int64_t prompt_tokens = 0, output_tokens = 0, sessions = 0;
    struct workload_request request;
    while (workload_next(workload, &request)) {
        prompt_tokens += request.prompt_tokens;
        output_tokens += request.output_tokens;
        sessions += request.turn == 1;
    }
    text_append(summary, "workload: %lld requests", (long long)workload_count(workload));
    if (sessions > 0)
        text_append(summary, " in %lld sessions", (long long)sessions);
    text_append(summary, ", %lld prompt and %lld output tokens\n", (long long)prompt_tokens,
                (long long)output_tokens);
}

bool sim_check(const struct sim_options *options, struct text *summary, struct error *error)
{
    struct run run = {.options = options};
    bool good = run_load(&run, error);
    if (good) {
        plan_describe(&run.plan, summary);
        describe_requests(run.workload, summary);
        run_warn_about_lengths(&run);
    }
    run_unload(&run);
    return good;
}

/* Rank 0's verdict on the input, and the resolved configuration for all. Collective. */
static bool share_config(struct run *run, bool good)
{
    struct text text = {0};
    uint64_t length = 0;
    if (run->ranks == 1)
        return good;
    if (run->rank == 0 && good) {
        config_print(run->config, false, NULL, &text);
        length = text.length + 1;
    }
    MPI_Bcast(&length, 1, MPI_UINT64_T, 0, run->comm);
    if (length == 0)
        return false;
    CHECK(length < INT32_MAX, "a configuration of %llu bytes", (unsigned long long)length);
    char *bytes = run->rank == 0 ? text.bytes : mem_array(length, 1);
    MPI_Bcast(bytes, (int)length, MPI_CHAR, 0, run->comm);
    if (run->rank != 0) {
        struct error error = {0};
        bool parsed = config_parse(bytes, "configuration", &run->config, &error) &&
                      plan_parse(config_root(run->config), &run->plan, &error);
        CHECK(parsed, "rank 0 accepted what another does not: %s", error.text);
        mem_free(bytes);
    }
    text_clear(&text);
    return true;
}

static void warn_about_ranks(const struct run *run)
{
    if (run->rank != 0 || run->ranks == 1 || run->options->is_point)
        return;
    if ((uint32_t)run->ranks > run->plan.entities)
        log_warning(
            "%d ranks for %u instances, router and fabric: the rest has nothing to do; use fewer ranks",
            run->ranks, run->plan.entities - 2);
    if (run->plan.simulation.partition == PARTITION_POOLS && (size_t)run->ranks < run->plan.pool_count)
        log_warning("%d ranks cannot keep %zu pools apart; partitioned by weight", run->ranks,
                    run->plan.pool_count);
}

static void warn_about_windows(const struct run *run)
{
    struct engine_stats stats = engine_stats(run->engine);
    uint64_t mine = stats.messages + stats.wakes, all = 0;
    MPI_Reduce(&mine, &all, 1, MPI_UINT64_T, MPI_SUM, 0, run->comm);
    double per_window = stats.windows > 0 ? (double)all / (double)stats.windows : 0;
    if (run->rank == 0 && run->ranks > 1 && stats.windows > 1000 && per_window < THIN_EVENTS_PER_WINDOW)
        log_warning(
            "%.1f events a window are too few for %d ranks to pay; use fewer ranks (results are the same)",
            per_window, run->ranks);
}

/* What only a run shows. Collective. */
static void warn_at_end(const struct run *run)
{
    if (run->rank == 0)
        run_warn_about_lengths(run);
    if (!run->options->is_point)
        warn_about_windows(run);
}

static void warn_about_refusals(const struct summary *summary)
{
    if (summary->refused > 0)
        log_warning("%llu of %llu requests were refused: %llu are longer than max_model_len, %llu need more "
                    "KV blocks than an instance has, %llu found a queue full, %llu were late",
                    (unsigned long long)summary->refused, (unsigned long long)summary->requests,
                    (unsigned long long)summary->refused_model_length,
                    (unsigned long long)summary->refused_kv_capacity,
                    (unsigned long long)summary->refused_queue_full,
                    (unsigned long long)summary->refused_deadline);
}

/* Above that share of busy time at the cap: an iteration that the window cuts can look like it. */
#define CAPPED_SHARE 0.01

static void warn_about_power(const struct results *results)
{
    for (size_t i = 0; i < results->pool_count; i++) {
        const struct pool_row *pool = &results->pools[i];
        if (pool->power_capped > CAPPED_SHARE)
            log_warning(
                "pool %s: its GPUs take all the power they may in %.0f %% of their busy time; energy is "
                "cut there, times are not stretched",
                pool->name, 100 * pool->power_capped);
    }
}

static void warn_about_results(const struct results *results)
{
    warn_about_refusals(&results->summary);
    warn_about_power(results);
}

/* The trace's path made absolute, so that config.used.json runs from anywhere; results.h5 has it as written.
 */
static void make_trace_absolute(struct run *run)
{
    const struct node *trace = node_get(node_get(config_root(run->config), "workload"), "trace");
    const struct node *path = trace ? node_get(trace, "path") : NULL;
    struct text relative = {0}, argument = {0};
    struct error error = {0};
    if (!path)
        return;
    node_append_path(path, &relative);
    char *absolute = realpath(text_string(&relative), NULL);
    if (absolute) {
        text_append(&argument, "workload.trace.path=%s", absolute);
        CHECK(config_set(run->config, text_string(&argument), &error), "%s", error.text);
    }
    free(absolute);
    text_clear(&relative);
    text_clear(&argument);
}

/* Completes results.h5 and writes the other two files; run.json last, since it says how long the others took.
 * Collective; rank 0 writes. */
static bool write_files(struct run *run, const struct results *results, struct error *error)
{
    static const char *const not_in_results[] = {"simulation", NULL};
    const char *folder = run->options->output;
    struct text used = {0}, in_results = {0}, report = {0};
    double start_s = MPI_Wtime();
    if (run->rank == 0) {
        config_print(run->config, false, not_in_results, &in_results);
        make_trace_absolute(run);
        config_print(run->config, true, NULL, &used);
    }
    bool good = output_close(run->output, results, text_string(&in_results), error);
    if (run->rank == 0)
        good = good && output_write_text(folder, "config.used.json", text_string(&used), error);
    run->output_s += MPI_Wtime() - start_s;
    run_report(run, results, &report);
    if (run->rank == 0)
        good = good && output_write_text(folder, "run.json", text_string(&report), error);
    text_clear(&used);
    text_clear(&in_results);
    text_clear(&report);
    return good;
}

static bool check_ranks(const struct run *run, struct error *error)
{
    bool fused = run->plan.simulation.exchange == ENGINE_EXCHANGE_FUSED;
    return run->ranks <= ENGINE_FUSED_RANKS || !fused ||
           node_error(node_get(run->plan.simulation_node, "exchange"), error,
                      "fused is for %d ranks at most, not %d; use auto", ENGINE_FUSED_RANKS, run->ranks);
}

/* Loads and shares; false (on every rank) when the input is wrong. Collective. */
static bool start(struct run *run, MPI_Comm comm, const struct sim_options *options, bool in_memory,
                  struct error *error)
{
    bool good = true;
    *run = (struct run){.comm = comm, .options = options, .in_memory = in_memory};
    MPI_Comm_rank(comm, &run->rank);
    MPI_Comm_size(comm, &run->ranks);
    run->start_s = MPI_Wtime();
    if (run->rank != 0)
        log_silence();
    else
        good = run_load(run, error) && check_ranks(run, error) &&
               (!options->output || output_prepare(options->output, output_run_files, error));
    if (!share_config(run, good)) {
        run_unload(run);
        return false;
    }
    warn_about_ranks(run);
    return true;
}

enum sim_status sim_execute(MPI_Comm comm, const struct sim_options *options,
                            void (*inspect)(void *context, const struct results *results), void *context,
                            struct error *error)
{
    struct run run;
    struct results results = {0};
    if (!start(&run, comm, options, true, error))
        return SIM_USER_ERROR;
    CHECK(run_simulate(&run), "only writing a file can fail");
    warn_at_end(&run);
    run_gather(&run, &results);
    if (run.rank == 0) {
        warn_about_results(&results);
        inspect(context, &results);
    }
    results_clear(&results);
    run_clear(&run);
    run_unload(&run);
    return SIM_OK;
}

enum sim_status sim_run(MPI_Comm comm, const struct sim_options *options)
{
    struct run run;
    struct results results = {0};
    struct error error = {0};
    if (!start(&run, comm, options, false, &error)) {
        if (error.text[0])
            fprintf(stderr, "tandem: error: %s\n", error.text);
        return SIM_USER_ERROR;
    }
    if (!run_simulate(&run)) {
        output_abandon(run.output, &error);
        if (run.rank == 0)
            fprintf(stderr, "tandem: error: %s\n", error.text);
        return SIM_FAILED;
    }
    warn_at_end(&run);
    run_gather(&run, &results);
    int status = !options->output || write_files(&run, &results, &error) ? SIM_OK : SIM_FAILED;
    if (run.rank == 0 && status == SIM_OK) {
        warn_about_results(&results);
        if (options->output && !options->quiet)
            log_info("results are in %s", options->output);
        struct text table = {0};
        results_print(&results, &table);
        printf("%schecksum %016llx\n", text_string(&table), (unsigned long long)results.checksum);
        fflush(stdout);
        text_clear(&table);
    } else if (run.rank == 0) {
        fprintf(stderr, "tandem: error: %s\n", error.text);
    }
    results_clear(&results);
    run_clear(&run);
    run_unload(&run);
    MPI_Bcast(&status, 1, MPI_INT, 0, comm);
    return (enum sim_status)status;
}
