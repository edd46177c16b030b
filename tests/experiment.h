/* Whole experiments for tests: written to a folder of their own, changed by sets, run in memory on
 * MPI_COMM_SELF. The program calls MPI_Init and MPI_Finalize. Whatever cannot be done ends the process. */
#ifndef TANDEM_TEST_EXPERIMENT_H
#define TANDEM_TEST_EXPERIMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/sim.h"

struct experiment;

/* What a run gave; copies. Names of pools, roles and GPUs are NULL, of links only
 * those of pools. */
struct outcome {
    enum sim_status status;
    struct error error;
    struct summary summary;
    struct row *rows;
    struct instance_row *instances;
    struct pool_row *pools;
    struct histogram_row *histograms[METRIC_COUNT];
    struct link_row *links;
    struct link_bin_row *link_bins; /* [link][bin] */
    size_t link_count;
    struct series_bin_row **series; /* [pool][bin] */
    int64_t series_interval_ns, iterations_cut_ns;
    struct iteration_row *iterations; /* none unless output.iterations */
    size_t iteration_count;
    size_t row_count, instance_count, pool_count, series_count, histogram_counts[METRIC_COUNT];
    uint64_t checksum;
};

/* One request of a trace. */
struct experiment_request {
    int64_t send_ns, prompt_tokens, output_tokens;
    int64_t max_tokens; /* 0: the output */
    int64_t priority;
};

/* One pool "unified" of one instance, or pools "prefill" and "decode" of one each: llama-2-7b on h100-sxm, no
 * frontend, control latency 1 ms, ib-ndr-400g. The workload and all else are for the test to set. */
extern const char experiment_unified[], experiment_disaggregated[];

/* The caller owns it: experiment_free, which removes the folder. */
struct experiment *experiment_new(const char *json);
void experiment_free(struct experiment *experiment);

/* Sets "path=value" (printf format), later ones win; at most 64. */
void experiment_set(struct experiment *experiment, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The workload is this trace, with the hashes of the prompts' blocks of so many tokens ("0, 1, 2"). */
void experiment_hashes(struct experiment *experiment, const struct experiment_request *requests,
                       const char *const *hashes, size_t count, int64_t block_tokens);

/* The workload is this trace, or synthetic requests (lengths and arrivals as JSON). */
void experiment_trace(struct experiment *experiment, const struct experiment_request *requests, size_t count);
/* The trace with the number of each request's session, -1 for none. */
void experiment_sessions(struct experiment *experiment, const struct experiment_request *requests,
                         const int64_t *sessions, size_t count);
void experiment_synthetic(struct experiment *experiment, const char *prompt, const char *output,
                          const char *arrivals, int64_t requests);

/* Prints what it takes to run it again by hand: its file, the trace if it has one, and the command. */
void experiment_print(const struct experiment *experiment);

/* Runs it; the caller owns what the outcome points to: outcome_clear. */
struct outcome experiment_run(const struct experiment *experiment);
void outcome_clear(struct outcome *outcome);

/* Runs it and ends the process with the message when it does not end well. */
struct outcome experiment_run_well(const struct experiment *experiment);

/* Runs it leaping, then in the other modes, which it is left with: checks with CUnit that they give the same
 * and that nothing is lost (below). Prints the experiment where a check fails. The caller owns the outcome.
 */
struct outcome experiment_run_modes(struct experiment *experiment, int64_t control_latency_ns);

/* Name of the first thing that differs between two outcomes (a column of a row, an instance's sum, a bucket,
 * a bin), NULL when rows, instances, histograms, time series, recorded iterations, figures of ITL and
 * checksum are the same. Static text. */
const char *outcome_difference(const struct outcome *a, const struct outcome *b);

/* Checks what holds for every run with CUnit: completed + refused = requests, tokens, blocks given back, peak
 * within capacity, cached tokens within blocks and blocks within capacity in each bin of the time series,
 * stages adding up, tokens conserved between rows, instances and time series, every gap of the window's
 * requests in ITL, Little's law to the nanosecond. */
void outcome_check_conserved(const struct outcome *outcome, int64_t control_latency_ns);

#endif
