/* run.json: what differs from run to run. */
#include "run.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void append_field(struct text *text, const char *key, const char *value)
{
    text_append(text, "  \"%s\": ", key);
    text_append_json(text, value);
    text_append(text, ",\n");
}

/* Figures of one rank, summed or maximized over all. */
struct rank_figures {
    double sums[5]; /* events, remote messages, iterations, compute, resident memory */
    double most[2]; /* compute, exchange */
};

static struct rank_figures rank_figures(const struct run *run)
{
    struct engine_stats stats = engine_stats(run->engine);
    double events = (double)(stats.messages + stats.wakes), iterations = 0;
    for (uint32_t entity = 0; entity < run->plan.entities; entity++) {
        if (!run->instances[entity])
            continue;
        struct usage usage = replica_usage(run->instances[entity]);
        for (int phase = PHASE_PREFILL; phase < PHASE_COUNT; phase++)
            iterations += (double)usage.iterations[phase];
    }
    struct rusage resources;
    getrusage(RUSAGE_SELF, &resources);
    struct rank_figures mine = {{events, (double)stats.remote_messages, iterations, stats.compute_s,
                                 (double)resources.ru_maxrss * 1024.0},
                                {stats.compute_s, stats.exchange_s}};
    struct rank_figures all;
    MPI_Reduce(mine.sums, all.sums, 5, MPI_DOUBLE, MPI_SUM, 0, run->comm);
    MPI_Reduce(mine.most, all.most, 2, MPI_DOUBLE, MPI_MAX, 0, run->comm);
    return all;
}

/* Rows in results.h5: output_close has seen that they all came. */
static uint64_t rows_written(const struct run *run, const struct results *results)
{
    uint64_t one_in = run->metrics.config.one_in;
    return one_in > 0 ? (results->summary.requests + one_in - 1) / one_in : 0;
}

void run_report(struct run *run, const struct results *results, struct text *text)
{
    struct rank_figures all = rank_figures(run);
    if (run->rank != 0)
        return;
    char host[256] = "", date[64] = "", checksum[20];
    time_t now = time(NULL);
    struct tm utc;
    gethostname(host, sizeof host - 1);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    snprintf(checksum, sizeof checksum, "%016llx", (unsigned long long)results->checksum);
    double windows = (double)engine_stats(run->engine).windows, wall_s = MPI_Wtime() - run->start_s;
    text_append(text, "{\n");
    append_field(text, "tandem_version", TANDEM_VERSION);
    append_field(text, "experiment", run->options->experiment);
    append_field(text, "output", run->options->output ? run->options->output : "");
    append_field(text, "checksum", checksum);
    append_field(text, "date", date);
    append_field(text, "host", host);
    append_field(text, "mode", plan_mode_names[run->plan.simulation.mode]);
    append_field(text, "partition", plan_partition_names[run->plan.simulation.partition]);
    text_append(text, "  \"ranks\": %d,\n  \"wall_s\": %.6f,\n  \"setup_s\": %.6f,\n", run->ranks, wall_s,
                run->setup_s);
    text_append(text, "  \"compute_s\": %.6f,\n  \"exchange_s\": %.6f,\n  \"output_s\": %.6f,\n", all.most[0],
                all.most[1], run->output_s);
    text_append(text, "  \"rows\": %llu,\n", (unsigned long long)rows_written(run, results));
    text_append(
        text,
        "  \"requests\": %llu,\n  \"events\": %.0f,\n  \"remote_messages\": %.0f,\n  \"iterations\": %.0f,\n",
        (unsigned long long)results->summary.requests, all.sums[0], all.sums[1], all.sums[2]);
    text_append(text, "  \"windows\": %.0f,\n  \"events_per_window\": %.3f,\n  \"imbalance\": %.4f,\n",
                windows, windows > 0 ? all.sums[0] / windows : 0,
                all.sums[3] > 0 ? all.most[0] * run->ranks / all.sums[3] : 1);
    text_append(text, "  \"simulated_s\": %.9f,\n  \"resident_bytes\": %.0f\n}\n", (double)run->end_ns * 1e-9,
                all.sums[4]);
}
