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
};

enum sim_status { SIM_OK = 0, SIM_FAILED = 1, SIM_USER_ERROR = 2 };

/* Places in an experiment where a name stands for a file. */
extern const struct config_reference sim_references[];
extern const size_t sim_reference_count;

/* Option tables of an experiment's parts, for `describe`, NULL-ended. */
const struct option_table *const *sim_option_tables(void);

/* Appends the values of an engine's preset with their sources. Local. */
bool sim_describe_engine(const struct node *engine, struct text *text, struct error *error);

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
