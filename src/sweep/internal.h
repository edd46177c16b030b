/* A sweep in progress on one rank. */
#ifndef TANDEM_SWEEP_INTERNAL_H
#define TANDEM_SWEEP_INTERNAL_H

#include "tandem/sweep.h"

#include "candidates.h"
#include "point.h"
#include "tandem/output.h"

#define MOST_SHOWN 5 /* of many errors or warnings of the same kind */

struct progress_line {
    bool enabled, terminal;
    double start_s, next_s;
    double done_at_start_s; /* forecasts of points that were there */
    size_t done_at_start, shown;
};

/* A row of /points. */
struct sweep_point {
    size_t number, candidate;         /* of its file; place in candidates.chosen */
    const struct search_probe *probe; /* NULL: of a sweep */
};

struct sweep {
    const struct sweep_options *options;
    MPI_Comm comm, group; /* group: MPI_COMM_NULL where this rank has nothing to do */
    int rank, ranks, group_rank, groups;
    struct candidates candidates;
    struct text folder; /* of the points */
    bool *done;         /* of a sweep: points whose files are there; owned */
    size_t *tasks;      /* the others, longest first; owned */
    size_t task_count, resumed;
    struct search search; /* of a search: rounds so far */
    struct search_probe *round;
    size_t round_count; /* of the round that runs; borrowed */
    struct sweep_point *points;
    size_t point_count; /* when all is done; owned */
    struct progress_line progress;
    double start_s, setup_s, output_s; /* when it began; until the first point; from the last point on */
    int lock;                          /* descriptor; -1: none */
};

/* What came out. */
struct assembly {
    size_t count[3]; /* points by enum point_status */
    uint64_t checksum;
    double *wall_s;     /* of each point; owned: mem_free */
    struct text answer; /* of a search: what is printed; owned */
};

/* --- lock.c: one sweep at a time in the output folder, which is there. Rank 0. */

/* False: another process has the folder. Held until lock_release, or the end of the process. */
bool lock_take(struct sweep *sweep, struct error *error);
void lock_release(struct sweep *sweep);

/* --- folder.c: what lies in FOLDER/points. Rank 0, but for folder_find. */

#define IDENTITY_BYTES 17
void folder_identity(const struct sweep *sweep, char identity[IDENTITY_BYTES]); /* as files have it */

/* Ends the process where this rank sees another folder than rank 0 has prepared. */
void folder_check(const struct sweep *sweep);

enum folder_state { FOLDER_WRONG, FOLDER_READY, FOLDER_COMPLETE };

/* Makes or checks the folder, as --resume says, and removes what must not be there. FOLDER_COMPLETE: --resume
 * of a sweep that has ended; counts and checksum of `ended` are as it was then. FOLDER_WRONG: error is set.
 */
enum folder_state folder_prepare(struct sweep *sweep, struct assembly *ended, struct error *error);

/* Of a sweep: finds the points that are done, and the tasks. Collective. */
void folder_find(struct sweep *sweep);

/* The sweep is done: removes the folder. */
void folder_remove(const struct sweep *sweep);

/* --- sweep.c */

/* Runs the tasks over the groups of ranks until none is left. Collective over all ranks. */
void sweep_run_tasks(struct sweep *sweep);

/* --- rounds.c: a search over all ranks. */

/* Searches; then the points are there. Collective. */
void rounds_run(struct sweep *sweep);

/* What a run of a probe gave; on the first rank of its group. */
void rounds_record(struct sweep *sweep, const struct point *point);

/* Place of a probe's row in `points`; point_count: there is none. When the points are there. */
size_t rounds_find(const struct sweep *sweep, size_t candidate, size_t seed, size_t rate);

/* --- answer.c: what a search found, as tables. Rank 0. */
struct answer {
    struct search_candidate_row *candidates;
    struct search_deployment_row *deployments;
    struct search_seed_row *seeds;
    struct search_cheapest_row *cheapest;
    size_t candidate_count, invalid_count, deployment_count, seed_count, cheapest_count;
    struct output_table tables[4];
    size_t table_count;
    char **parameters; /* of candidates */
};

/* rows: of /points, borrowed. The caller calls answer_clear. */
void answer_make(const struct sweep *sweep, const struct point_row *rows, struct answer *answer);
void answer_print(const struct sweep *sweep, const struct answer *answer, struct text *text);
void answer_clear(struct answer *answer);

/* --- assemble.c: from the files of points to results.h5. Rank 0. */
bool assemble(struct sweep *sweep, struct assembly *assembly, struct error *error);

/* --- show.c: what is printed. Rank 0. */
void show_points(const struct candidates *candidates, struct text *text); /* the list of --dry-run */
void show_progress_begin(struct sweep *sweep);
void show_progress(void *sweep); /* now and then; as often as one likes */
void show_progress_end(struct sweep *sweep);

/* "point 3 (name; path=value)" */
void show_point(const struct candidates *candidates, size_t point, size_t candidate, struct text *text);

/* Appends run.json. */
void show_report(const struct sweep *sweep, const struct assembly *assembly, struct text *text);

/* Seconds of a clock that only goes forward. */
double show_clock_s(void);

#endif
