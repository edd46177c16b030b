/* Sweeps: many runs of one experiment over groups of ranks, one results.h5. */
#ifndef TANDEM_SWEEP_H
#define TANDEM_SWEEP_H

#include "tandem/sim.h"

struct sweep_options {
    struct sim_options sim; /* experiment, sets, output (NULL only with dry_run), quiet */
    int ranks_per_point;    /* at least 1 */
    bool resume;            /* go on with what is in the folder; of a sweep that has ended nothing is run */
    bool dry_run;           /* only list the points, on stdout */
};

/* The files that a sweep leaves in its folder, NULL-ended; its points are in `points` until it is done. */
extern const char *const sweep_files[];

/* Option tables of sim and of sweeps, NULL-ended. */
const struct option_table *const *sweep_option_tables(void);

/* Runs a sweep. Each finished point is a file in FOLDER/points, so that a sweep that was killed can be
 * resumed; at the end they become FOLDER/results.h5. Rank 0 prints what came out and the checksum on stdout,
 * errors and progress on stderr. All ranks read the experiment and share the folder. Collective; every rank
 * returns the same: SIM_FAILED also where points are invalid or failed, with results of the others. */
enum sim_status sweep_run(MPI_Comm comm, const struct sweep_options *options);

/* As sim_check; of an experiment with a section "sweep" all points are checked and listed. Local. */
bool sweep_check(const struct sim_options *options, struct text *summary, struct error *error);

#endif
