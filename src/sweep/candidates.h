/* The points of a sweep, checked and chosen. */
#ifndef TANDEM_SWEEP_CANDIDATES_H
#define TANDEM_SWEEP_CANDIDATES_H

#include <mpi.h>
#include <stdint.h>

#include "tandem/sim.h"

#include "search.h"
#include "space.h"

enum candidate_state { CANDIDATE_GOOD, CANDIDATE_INVALID, CANDIDATE_EXCLUDED };

/* What is known of a point before it runs. */
struct candidate {
    double wall_s; /* forecast */
    double gpus, cost_usd_per_hour;
    int64_t requests;
    uint64_t hash;  /* of its resolved configuration and its trace */
    uint64_t found; /* a bit for each variable of `where` that its configuration has; of the first 64 */
    uint32_t bad;   /* 1 + number of the path that its configuration cannot have; 0: none */
    uint32_t state;
};

struct candidates {
    struct config *base; /* the experiment; owned */
    bool is_search;      /* of a section "search": each is run with rates and seeds */
    struct search_spec search;
    struct space space;
    struct candidate *all; /* space.count of them; owned */
    char **errors;  /* one each, NULL: none; owned. Of those that this rank has looked at, on rank 0 of all */
    size_t *chosen; /* those that `where` has not excluded, in order; owned */
    size_t count;   /* of them: the points of the sweep */
    uint64_t identity; /* of sweep and program: another one has other results */
};

/* Reads the experiment and looks at points rank, rank + ranks, ..; false: error is set. Errors of single
 * points are not errors. Then candidates_choose. The caller calls candidates_clear, after an error too.
 * Local. */
bool candidates_read(const struct sim_options *options, int rank, int ranks, struct candidates *candidates,
                     struct error *error);

/* Shares what the ranks found. Collective. */
void candidates_share(MPI_Comm comm, struct candidates *candidates);

/* Chooses the points; false: no such sweep can be run, error says why. Local. */
bool candidates_choose(struct candidates *candidates, struct error *error);
void candidates_clear(struct candidates *candidates);

/* The configuration of a point, by its place in `all`; of a search's candidate with the seed and the rate of
 * a probe (NULL: the first of both). The caller owns *config (config_free), after an error too; it ends
 * before candidates. bad: 1 + number of the path that could not be set. */
bool candidates_config(const struct candidates *candidates, size_t index, const struct search_probe *probe,
                       struct config **config, uint32_t *bad, struct error *error);

/* "point" or "candidate", for messages. */
const char *candidates_noun(const struct candidates *candidates);

/* Whether a point that ran with that configuration and trace ("": none) is the one that was looked at: files
 * that it names may have changed since. */
bool candidates_is_same(const struct candidates *candidates, size_t index, const struct config *config,
                        const char *trace_sha256);

/* Appends what a point is: "name: path=value path=value", with the values of axes. */
void candidates_print(const struct candidates *candidates, size_t index, struct text *text);

#endif
