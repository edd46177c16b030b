/* A run in progress on one rank. */
#ifndef TANDEM_SIM_RUN_H
#define TANDEM_SIM_RUN_H

#include "plan.h"
#include "progress.h"

#include "tandem/output.h"
#include "tandem/replica.h"
#include "tandem/results.h"
#include "tandem/workload.h"

struct run {
    MPI_Comm comm;
    int rank, ranks;
    const struct sim_options *options;
    bool in_memory; /* rows are for the results and not for a file */
    struct config *config;
    struct plan plan;
    struct workload *workload; /* rank 0 */
    uint32_t *owners;
    struct engine *engine;
    struct router *router;
    struct fabric *fabric;
    struct instance_config *configs; /* one a pool; then, with role_switch, one for the other role of each */
    struct replica **instances;      /* by entity; NULL where another rank's */
    struct metrics metrics;
    struct iteration_log iterations; /* of this rank; one more than are written */
    struct slo *slos;                /* of the classes that metrics tell apart */
    struct output *output;           /* results.h5 in the making; NULL: none is */
    struct progress progress;
    int64_t end_ns;
    double start_s, setup_s, output_s;
};

/* Loads, parses and checks the experiment and opens the workload. Local: for rank 0 and for `check`. */
bool run_load(struct run *run, struct error *error);
void run_unload(struct run *run);

/* Says how many of the requests that the workload gave are longer than the model was made for. For rank 0, at
 * the end. */
void run_warn_about_lengths(const struct run *run);

/* Builds the entities of this rank, begins results.h5 where there is to be one (rows go into it as the run
 * goes on), runs the engine, closes the instances. Collective. False, the same on all ranks: results.h5
 * cannot be written and the run ended; after that only its output may be used and freed. */
bool run_simulate(struct run *run);

/* The fabric's configuration but for what is of each entity or leaf; of a cluster of so many nodes. Local. */
struct fabric_config run_fabric_config(const struct plan *plan, int64_t nodes);

/* Brings everything to rank 0 and builds the results there. Collective. */
void run_gather(struct run *run, struct results *results);

/* Frees the entities. Collective. */
void run_clear(struct run *run);

/* run.json: what differs from run to run. Collective (figures of all ranks). On rank 0 appends the text. */
void run_report(struct run *run, const struct results *results, struct text *text);

#endif
