/* A sweep in progress on one rank. */
#ifndef TANDEM_SWEEP_INTERNAL_H
#define TANDEM_SWEEP_INTERNAL_H

#include "tandem/sweep.h"

#include "candidates.h"
#include "point.h"

#define MOST_SHOWN 5 /* of many errors or warnings of the same kind */

struct progress_line {
    bool enabled, terminal;
    double start_s, next_s;
    double total_s, done_at_start_s; /* forecasts of all points, and of those that were there */
    size_t done_at_start, shown;
};

struct sweep {
    const struct sweep_options *options;
    MPI_Comm comm, group; /* group: MPI_COMM_NULL where this rank has nothing to do */
    int rank, ranks, group_rank, groups;
    struct candidates candidates;
    struct text folder; /* of the points */
    bool *done;         /* points whose files are there; owned */
    size_t *tasks;      /* the others, longest first; owned */
    size_t task_count, resumed;
    struct progress_line progress;
    double start_s, setup_s, output_s; /* when it began; until the first point; from the last point on */
};

/* --- folder.c: what lies in FOLDER/points. Rank 0, but for folder_find. */

/* Makes or checks the folder, as --resume says, and removes what must not be there. */
bool folder_prepare(struct sweep *sweep, struct error *error);

/* Finds the points that are done, and the tasks. Ends the process where this rank sees another folder.
 * Collective. */
void folder_find(struct sweep *sweep);

/* The sweep is done: removes the folder. */
void folder_remove(const struct sweep *sweep);

/* --- assemble.c: from the files of points to results.h5. Rank 0. */
struct assembly {
    size_t count[3]; /* points by enum point_status */
    uint64_t checksum;
    double *wall_s; /* of each point; owned: mem_free */
};
bool assemble(struct sweep *sweep, struct assembly *assembly, struct error *error);

/* --- show.c: what is printed. Rank 0. */
void show_points(const struct candidates *candidates, struct text *text); /* the list of --dry-run */
void show_progress_begin(struct sweep *sweep);
void show_progress(void *sweep); /* now and then; as often as one likes */
void show_progress_end(struct sweep *sweep);

/* "point 3 (name; path=value)" */
void show_point(const struct candidates *candidates, size_t point, struct text *text);

/* Appends run.json. */
void show_report(const struct sweep *sweep, const struct assembly *assembly, struct text *text);

/* Seconds of a clock that only goes forward. */
double show_clock_s(void);

#endif
