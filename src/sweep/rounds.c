/* Rounds of a search: probes over all ranks, what came of them to all ranks. */
#include "internal.h"

#include <stdlib.h>

#include "tandem/mem.h"

static void fill_in(struct search_probe *probe, const struct point *point)
{
    const struct summary *summary = &point->results.summary;
    probe->done = 1;
    probe->failed = point->status != POINT_COMPLETED;
    if (probe->failed)
        return;
    probe->all = summary->slo_attainment;
    probe->ttft = summary->slo_ttft_attainment;
    probe->tpot = summary->slo_tpot_attainment;
    probe->saturated = summary->saturated;
}

void rounds_record(struct sweep *sweep, const struct point *point)
{
    size_t i = 0;
    while (sweep->round[i].number != point->number)
        i++;
    fill_in(&sweep->round[i], point);
}

/* What a rank does not know is 0 there. Collective. */
static void share(const struct sweep *sweep)
{
    const size_t part = 1 << 14; /* MPI counts are int */
    for (size_t at = 0; sweep->ranks > 1 && at < sweep->round_count; at += part) {
        size_t count = sweep->round_count - at < part ? sweep->round_count - at : part;
        MPI_Allreduce(MPI_IN_PLACE, sweep->round + at, (int)(count * sizeof *sweep->round), MPI_BYTE, MPI_BOR,
                      sweep->comm);
    }
}

/* Probes whose files are there; those that failed are run again. Collective. */
static void find_done(struct sweep *sweep)
{
    for (size_t i = (size_t)sweep->rank; i < sweep->round_count; i += (size_t)sweep->ranks) {
        struct point point = {0};
        if (point_read(text_string(&sweep->folder), sweep->round[i].number, sweep->candidates.identity,
                       &point) &&
            point.status == POINT_COMPLETED)
            fill_in(&sweep->round[i], &point);
        point_clear(&point);
    }
    share(sweep);
    for (size_t i = 0; i < sweep->round_count; i++)
        sweep->resumed += sweep->round[i].done;
}

static int longest_first(const void *a, const void *b)
{
    const struct search_probe *const *left = a, *const *right = b;
    double left_s = (*left)->forecast_s, right_s = (*right)->forecast_s;
    size_t left_number = (*left)->number, right_number = (*right)->number;
    return left_s != right_s ? (left_s < right_s) - (left_s > right_s)
                             : (left_number > right_number) - (left_number < right_number);
}

/* Collective. */
static void run_round(void *context, struct search_probe *probes, size_t count)
{
    struct sweep *sweep = context;
    sweep->round = probes;
    sweep->round_count = count;
    if (sweep->options->resume)
        find_done(sweep);
    const struct search_probe **order = mem_array(count, sizeof *order);
    size_t *tasks = mem_array(count, sizeof *tasks);
    sweep->task_count = 0;
    for (size_t i = 0; i < count; i++)
        if (!probes[i].done)
            order[sweep->task_count++] = &probes[i];
    qsort(order, sweep->task_count, sizeof *order, longest_first);
    for (size_t i = 0; i < sweep->task_count; i++)
        tasks[i] = order[i]->number;
    sweep->tasks = tasks;
    sweep_run_tasks(sweep);
    share(sweep);
    sweep->tasks = NULL;
    mem_free(order);
    mem_free(tasks);
}

/* By candidate, seed and rate. */
static int in_order(const void *a, const void *b)
{
    const struct sweep_point *left = a, *right = b;
    const struct search_probe *x = left->probe, *y = right->probe;
    const size_t keys[3][2] = {{x->candidate, y->candidate}, {x->seed, y->seed}, {x->rate, y->rate}};
    for (size_t i = 0; i < 3; i++)
        if (keys[i][0] != keys[i][1])
            return keys[i][0] < keys[i][1] ? -1 : 1;
    return 0;
}

size_t rounds_find(const struct sweep *sweep, size_t candidate, size_t seed, size_t rate)
{
    const struct search_probe probe = {.candidate = candidate, .seed = seed, .rate = rate};
    const struct sweep_point key = {.probe = &probe}, *found = NULL;
    if (sweep->point_count > 0)
        found = bsearch(&key, sweep->points, sweep->point_count, sizeof key, in_order);
    return found ? (size_t)(found - sweep->points) : sweep->point_count;
}

void rounds_run(struct sweep *sweep)
{
    const struct candidates *candidates = &sweep->candidates;
    struct search *search = &sweep->search;
    *search = (struct search){.spec = &candidates->search,
                              .candidates = mem_array(candidates->count, sizeof *search->candidates),
                              .candidate_count = candidates->count,
                              .deployment_count = candidates->space.family_count,
                              .round = run_round,
                              .context = sweep};
    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *candidate = &candidates->all[candidates->chosen[i]];
        search->candidates[i] =
            (struct search_candidate){.deployment = space_family(&candidates->space, candidates->chosen[i]),
                                      .cost_usd_per_hour = candidate->cost_usd_per_hour,
                                      .forecast_s = candidate->wall_s,
                                      .usable = candidate->state == CANDIDATE_GOOD};
    }
    search_run(search);
    sweep->point_count = search->probe_count;
    sweep->points = mem_array(sweep->point_count, sizeof *sweep->points);
    for (size_t i = 0; i < sweep->point_count; i++)
        sweep->points[i] = (struct sweep_point){.number = search->probes[i].number,
                                                .candidate = search->probes[i].candidate,
                                                .probe = &search->probes[i]};
    qsort(sweep->points, sweep->point_count, sizeof *sweep->points, in_order);
}
