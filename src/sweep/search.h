/* The search of an experiment: which candidates hold the SLO up to which rate. Rounds of probes, each decided
 * by the rounds before it alone, so that the answer cannot depend on who ran what. Local, but for the rounds,
 * which are the caller's. */
#ifndef TANDEM_SWEEP_SEARCH_H
#define TANDEM_SWEEP_SEARCH_H

#include "space.h"
#include "tandem/results.h"

#define SEARCH_MOST_SEEDS 1000
#define SEARCH_MOST_RATES 10000 /* of the grid */

/* Attainment that has to be reached; negative: not asked for. */
struct search_goal {
    double all, ttft, tpot;
};

/* What the section says. */
struct search_spec {
    const struct node *deployments, *goodput_node, *cheapest_node, *seeds_node;
    const char *where, *rate_path;
    bool goodput, cheapest, every;
    struct search_goal goal, cheapest_goal; /* of either */
    int64_t *seeds;                         /* owned */
    size_t seed_count;
    double *rates;      /* owned: those of the grid, ascending, then those of `cheapest`, ascending */
    size_t grid, count; /* of the grid; of both */
};

extern const struct option_table search_options, search_deployment_options, search_goodput_options,
    search_cheapest_options, search_attainment_options;

/* Reads the section "search" of an experiment and begins the space of its candidates. The caller calls
 * search_spec_clear and space_clear, after an error too. */
bool search_parse(const struct node *experiment, struct search_spec *spec, struct space *space,
                  struct error *error);
void search_spec_clear(struct search_spec *spec);

/* One run: a candidate with one of the seeds and rates, by their places. The caller of a round fills in what
 * came out. */
struct search_probe {
    size_t number; /* of its file: the same for the same probe */
    size_t candidate, seed, rate;
    double forecast_s;
    double all, ttft, tpot; /* attainment */
    uint8_t done, failed, saturated;
};

/* Whether a probe that is done, or the mean of several, reaches a goal: every attainment that is asked for,
 * and queues that do not grow. */
bool search_holds(const struct search_goal *goal, const struct search_probe *probe);

/* What is known of a candidate with all seeds together, or of a deployment's best with one: places on the
 * grid. */
struct search_bracket {
    long holds, fails;             /* highest rate that holds, -1: none; lowest that does not, grid: none */
    double attainment;             /* at `holds` */
    size_t candidate, seed, seeds; /* places; the first seed, and how many */
    size_t group, trial;           /* for search.c */
    bool live, asked;              /* likewise */
    bool failed;                   /* a run of it did: no answer */
};

/* A candidate as the search sees it. */
struct search_candidate {
    size_t deployment;
    double cost_usd_per_hour, forecast_s;
    bool usable; /* its configuration is right */
    bool scout;  /* for search.c */
    struct search_bracket bracket;
    double lost_at; /* of `cheapest`: a rate that it does not hold; infinity: none is known */
};

struct search_deployment {
    size_t best;                  /* candidate; SIZE_MAX: none */
    struct search_bracket *seeds; /* of the best, each seed alone; owned */
};

/* Work, very roughly: what a search asks for depends on what it finds. For who waits; it decides nothing. */
struct search_outlook {
    double rounds, forecast_s;
};

typedef void search_round(void *context, struct search_probe *probes, size_t count);

struct search {
    const struct search_spec *spec;
    struct search_candidate *candidates; /* borrowed; brackets are filled in here */
    size_t candidate_count, deployment_count;
    search_round *round; /* runs probes, fills them in */
    void *context;
    /* What came out; owned. */
    struct search_probe *probes; /* all, in the order in which they were asked for */
    size_t probe_count, probe_capacity, rounds;
    struct search_deployment *deployments;
    size_t *cheapest; /* for each rate of `cheapest` a candidate; SIZE_MAX: none holds it */
    struct search_outlook to_come, later; /* after the round that runs; of it, what is after the phase */
};

/* Searches. spec, candidates, the counts, round and context are set, all else is 0. The caller calls
 * search_clear. */
void search_run(struct search *search);
void search_clear(struct search *search);

/* The probe that a number stands for. */
struct search_probe search_probe_of(const struct search_spec *spec, size_t number);

#endif
