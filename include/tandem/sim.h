/* A simulation from its experiment: configuration to entities, the run over all ranks, results. */
#ifndef TANDEM_SIM_H
#define TANDEM_SIM_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>

#include "tandem/config.h"
#include "tandem/error.h"
#include "tandem/option.h"
#include "tandem/results.h"

/* What the command line says. Borrowed. */
struct sim_options {
    const char *experiment;  /* path of the experiment */
    const char *const *sets; /* "path=value" */
    size_t set_count;
    const char *output; /* folder of the results; NULL: no files */
    bool quiet;         /* no progress */
    /* For a point of a sweep: */
    struct config
        *config;     /* instead of experiment and sets: loaded, borrowed; its engines' values are filled in */
    bool is_point;   /* nothing is said that depends on the ranks */
    bool keeps_rows; /* results have the rows of requests */
    void (*tick)(void *context); /* called now and then while it runs; may be NULL */
    void *tick_context;
};

enum sim_status { SIM_OK = 0, SIM_FAILED = 1, SIM_USER_ERROR = 2 };

/* Places in an experiment where a name stands for a file. */
extern const struct config_reference sim_references[];
extern const size_t sim_reference_count;

/* Option tables of an experiment's parts, for `describe`, NULL-ended. */
const struct option_table *const *sim_option_tables(void);

/* Appends the values of an engine's preset with their sources. Local. */
bool sim_describe_engine(const struct node *engine, struct text *text, struct error *error);

/* Appends the commands that start the pools of a configuration that is right, as it is written (before
 * sim_complete), with its engines' flags; what no flag says is named. Where no engine is named it is vllm-v1.
 * False: that file is not found. Local. */
bool sim_serve(const struct config *config, struct text *text, struct error *error);

/* The configuration of an experiment: its file with the files that it names, and the set values; not checked.
 * The caller owns *config: config_free. Local. */
bool sim_load(const struct sim_options *options, struct config **config, struct error *error);

/* What follows from a configuration of loaded files, right or wrong; figures that it does not say are 0.
 * Local. */
struct sim_totals {
    double gpus, instances, cost_usd_per_hour, tdp_watts;
};
struct sim_totals sim_totals(const struct config *config);

/* Fills in what a loaded configuration leaves out and its engines say. Local. */
bool sim_complete(struct config *config, struct error *error);

/* What a run of a configuration would be. */
struct sim_forecast {
    int64_t requests;
    double wall_s;         /* rough, of one rank */
    char trace_sha256[65]; /* "": none */
};

/* Checks a loaded configuration as a run would, trace included. Local. */
bool sim_forecast(struct config *config, struct sim_forecast *forecast, struct error *error);

/* Loads and checks an experiment (everything that `run` checks, the trace included) and appends a summary of
 * the cluster that would run. Local. */
bool sim_check(const struct sim_options *options, struct text *summary, struct error *error);

/* Runs an experiment: rank 0 reads, writes files and prints the table and the checksum on stdout; errors go
 * to stderr once. Collective over comm; every rank returns the same status. After SIM_FAILED in the middle of
 * a run its memory is not given back. */
enum sim_status sim_run(MPI_Comm comm, const struct sim_options *options);

/* Runs an experiment and shows its results to inspect, on rank 0; writes no results, prints only warnings
 * (for tests and for other programs). Collective; every rank returns the same, error is set on rank 0. */
enum sim_status sim_execute(MPI_Comm comm, const struct sim_options *options,
                            void (*inspect)(void *context, const struct results *results), void *context,
                            struct error *error);

#endif
