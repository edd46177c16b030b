#include "search.h"

#include <math.h>
#include <stdlib.h>

#include "tandem/mem.h"

#define BATCH 8 /* candidates that `cheapest` tries at once, at least */

/* One of so many candidates of a deployment is a scout; prime, so that scouts differ in every path. */
#define SCOUTS 13

bool search_holds(const struct search_goal *goal, const struct search_probe *probe)
{
    return probe->done && !probe->failed && !probe->saturated && probe->all >= goal->all &&
           probe->ttft >= goal->ttft && probe->tpot >= goal->tpot;
}

struct search_probe search_probe_of(const struct search_spec *spec, size_t number)
{
    return (struct search_probe){.number = number,
                                 .candidate = number / spec->count / spec->seed_count,
                                 .seed = number / spec->count % spec->seed_count,
                                 .rate = number % spec->count};
}

/* The probes of the round that is being put together are those behind `first`. */
static void ask(struct search *search, size_t candidate, size_t seed, size_t rate)
{
    const struct search_spec *spec = search->spec;
    search->probes =
        mem_grow(search->probes, &search->probe_capacity, search->probe_count + 1, sizeof *search->probes);
    search->probes[search->probe_count++] =
        (struct search_probe){.number = (candidate * spec->seed_count + seed) * spec->count + rate,
                              .candidate = candidate,
                              .seed = seed,
                              .rate = rate,
                              .forecast_s = search->candidates[candidate].forecast_s};
}

static void run_round(struct search *search, size_t first)
{
    search->rounds++;
    search->round(search->context, search->probes + first, search->probe_count - first);
}

/* --- goodput
 * ----------------------------------------------------------------------------------------------------- */

/* Brackets that are searched together for the highest rate that any of them holds: at each rate those that
 * fail it while another holds it are out. */
struct group {
    long holds, fails;
    long guess;     /* where to begin; -1: in the middle */
    long rate;      /* of the round */
    bool any, none; /* of the round: one held the rate; some ran and none did */
};

/* The next rate to try; from a guess in steps that double. */
static long next_rate(const struct group *group, long grid)
{
    long guess = group->guess, holds = group->holds, fails = group->fails;
    if (guess >= 0 && holds < 0 && fails == grid)
        return guess;
    if (guess >= 0 && fails == grid) {
        long next = holds + (holds > guess ? holds - guess : 1);
        return next < grid - 1 ? next : grid - 1;
    }
    if (guess >= 0 && holds < 0) {
        long next = fails - (fails < guess ? guess - fails : 1);
        return next > 0 ? next : 0;
    }
    return holds + (fails - holds) / 2;
}

static bool is_open(const struct group *group, const struct search_bracket *bracket)
{
    return group->fails - group->holds > 1 && bracket->live;
}

static void learn(const struct search *search, struct group *group, struct search_bracket *bracket)
{
    const struct search_probe *probe = &search->probes[bracket->probe];
    bracket->failed = probe->failed;
    group->rate = (long)probe->rate;
    if (search_holds(&search->spec->goal, probe)) {
        bracket->holds = (long)probe->rate;
        bracket->attainment = probe->all;
        group->any = true;
    } else if (!probe->failed) {
        bracket->fails = (long)probe->rate;
        group->none = true;
    }
}

/* Who goes on after a round. */
static void decide(const struct group *group, struct search_bracket *bracket)
{
    if (bracket->asked && (bracket->failed || (group->any && bracket->holds != group->rate)))
        bracket->live = false;
    bracket->asked = false;
}

/* Until no group is open. Brackets say which group each is of. */
static void search_brackets(struct search *search, struct search_bracket **brackets, size_t count,
                            struct group *groups, size_t group_count)
{
    for (;;) {
        size_t first = search->probe_count;
        for (size_t i = 0; i < count; i++) {
            struct search_bracket *bracket = brackets[i];
            const struct group *group = &groups[bracket->group];
            if (!is_open(group, bracket))
                continue;
            bracket->probe = search->probe_count;
            bracket->asked = true;
            ask(search, bracket->candidate, bracket->seed,
                (size_t)next_rate(group, (long)search->spec->grid));
        }
        if (search->probe_count == first)
            return;
        run_round(search, first);
        for (size_t i = 0; i < count; i++)
            if (brackets[i]->asked)
                learn(search, &groups[brackets[i]->group], brackets[i]);
        for (size_t i = 0; i < count; i++)
            decide(&groups[brackets[i]->group], brackets[i]);
        for (size_t i = 0; i < group_count; i++) {
            struct group *group = &groups[i];
            if (group->any)
                group->holds = group->rate;
            else if (group->none)
                group->fails = group->rate;
            group->any = group->none = false;
        }
    }
}

static void begin(const struct search *search, struct search_bracket *bracket, size_t candidate, size_t seed,
                  size_t group)
{
    *bracket = (struct search_bracket){.holds = -1,
                                       .fails = (long)search->spec->grid,
                                       .candidate = candidate,
                                       .seed = seed,
                                       .group = group,
                                       .live = true};
}

static struct group *make_groups(const struct search *search, size_t count)
{
    struct group *groups = mem_array(count, sizeof *groups);
    for (size_t i = 0; i < count; i++)
        groups[i] = (struct group){.holds = -1, .fails = (long)search->spec->grid, .guess = -1};
    return groups;
}

/* The candidates that are scouts, or those that are not, with the first seed. */
static void search_some(struct search *search, bool scouts, struct group *groups, size_t group_count)
{
    size_t count = 0;
    struct search_bracket **brackets = mem_array(search->candidate_count, sizeof *brackets);
    for (size_t i = 0; i < search->candidate_count; i++)
        if (search->candidates[i].usable && search->candidates[i].scout == scouts)
            brackets[count++] = &search->candidates[i].bracket;
    search_brackets(search, brackets, count, groups, group_count);
    mem_free(brackets);
}

/* Every candidate with the first seed: those of a deployment together, or each for itself. Scouts go first:
 * the others begin at the rate that one of them holds, and most of them end there. */
static void search_candidates(struct search *search)
{
    bool every = search->spec->every;
    size_t group_count = every ? search->candidate_count : search->deployment_count;
    struct group *groups = make_groups(search, group_count);
    size_t *seen = mem_array(search->deployment_count, sizeof *seen);
    for (size_t i = 0; i < search->candidate_count; i++) {
        struct search_candidate *candidate = &search->candidates[i];
        begin(search, &candidate->bracket, i, 0, every ? i : candidate->deployment);
        candidate->scout = candidate->usable && seen[candidate->deployment]++ % SCOUTS == 0;
    }
    search_some(search, true, groups, group_count);
    for (size_t i = 0; !every && i < group_count; i++) {
        long found = groups[i].holds;
        groups[i] = (struct group){
            .holds = found < 0 ? -1 : found - 1, .fails = (long)search->spec->grid, .guess = found};
    }
    search_some(search, false, groups, group_count);
    mem_free(seen);
    mem_free(groups);
}

/* The highest rate; then the least cost, the highest attainment there, the first. */
static bool is_better(const struct search_candidate *a, const struct search_candidate *b)
{
    if (a->bracket.holds != b->bracket.holds)
        return a->bracket.holds > b->bracket.holds;
    if (a->cost_usd_per_hour != b->cost_usd_per_hour)
        return a->cost_usd_per_hour < b->cost_usd_per_hour;
    return a->bracket.attainment > b->bracket.attainment;
}

static void choose_best(struct search *search)
{
    for (size_t i = 0; i < search->deployment_count; i++)
        search->deployments[i].best = SIZE_MAX;
    for (size_t i = 0; i < search->candidate_count; i++) {
        const struct search_candidate *candidate = &search->candidates[i];
        size_t *best = &search->deployments[candidate->deployment].best;
        if (candidate->bracket.holds >= 0 && !candidate->bracket.failed &&
            (*best == SIZE_MAX || is_better(candidate, &search->candidates[*best])))
            *best = i;
    }
}

/* The best of each deployment with the other seeds, from the rate that is known. */
static void search_seeds(struct search *search)
{
    size_t seeds = search->spec->seed_count, most = search->deployment_count * seeds, count = 0;
    struct search_bracket **brackets = mem_array(most, sizeof *brackets);
    struct group *groups = make_groups(search, most);
    for (size_t i = 0; i < search->deployment_count; i++) {
        struct search_deployment *deployment = &search->deployments[i];
        if (deployment->best == SIZE_MAX)
            continue;
        deployment->seeds = mem_array(seeds, sizeof *deployment->seeds);
        deployment->seeds[0] = search->candidates[deployment->best].bracket;
        for (size_t seed = 1; seed < seeds; seed++) {
            groups[count].guess = deployment->seeds[0].holds;
            begin(search, &deployment->seeds[seed], deployment->best, seed, count);
            brackets[count] = &deployment->seeds[seed];
            count++;
        }
    }
    search_brackets(search, brackets, count, groups, count);
    mem_free(brackets);
    mem_free(groups);
}

/* --- cheapest
 * ----------------------------------------------------------------------------------------------------- */

static const struct search_candidate *sorted; /* qsort has no context */

static int cheapest_first(const void *a, const void *b)
{
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    double left_cost = sorted[left].cost_usd_per_hour, right_cost = sorted[right].cost_usd_per_hour;
    return left_cost != right_cost ? (left_cost > right_cost) - (left_cost < right_cost)
                                   : (left > right) - (left < right);
}

/* Of the probes of a round, in order of cost: the first that holds; of equal cost the highest attainment. */
static size_t cheapest_of(const struct search *search, size_t first)
{
    size_t best = SIZE_MAX;
    for (size_t i = first; i < search->probe_count; i++) {
        const struct search_probe *probe = &search->probes[i];
        struct search_candidate *candidate = &search->candidates[probe->candidate];
        if (!search_holds(&search->spec->cheapest_goal, probe)) {
            candidate->lost_at = search->spec->rates[probe->rate];
            continue;
        }
        if (best == SIZE_MAX)
            best = i;
        const struct search_probe *other = &search->probes[best];
        if (candidate->cost_usd_per_hour == search->candidates[other->candidate].cost_usd_per_hour &&
            probe->all > other->all)
            best = i;
    }
    return best;
}

/* In order of cost until one holds the rate, all of a cost together; those that have lost at a lower rate
 * are not asked. */
static void search_rate(struct search *search, const size_t *order, size_t rate,
                        struct search_cheapest *cheapest)
{
    *cheapest = (struct search_cheapest){SIZE_MAX, SIZE_MAX};
    for (size_t at = 0; at < search->candidate_count && cheapest->candidate == SIZE_MAX;) {
        size_t first = search->probe_count;
        double cost = 0;
        for (; at < search->candidate_count; at++) {
            const struct search_candidate *candidate = &search->candidates[order[at]];
            if (!candidate->usable || candidate->lost_at <= search->spec->rates[rate])
                continue;
            if (search->probe_count - first >= BATCH && candidate->cost_usd_per_hour != cost)
                break;
            cost = candidate->cost_usd_per_hour;
            ask(search, order[at], 0, rate);
        }
        if (search->probe_count == first)
            return;
        run_round(search, first);
        size_t best = cheapest_of(search, first);
        if (best != SIZE_MAX)
            *cheapest = (struct search_cheapest){search->probes[best].candidate, best};
    }
}

/* What a candidate did not hold in the search for goodput, it does not hold here: where the goals are the
 * same. */
static double lost_at(const struct search *search, const struct search_candidate *candidate)
{
    const struct search_spec *spec = search->spec;
    const struct search_goal *a = &spec->goal, *b = &spec->cheapest_goal;
    bool same = a->all == b->all && a->ttft == b->ttft && a->tpot == b->tpot;
    bool known = spec->goodput && same && candidate->bracket.fails < (long)spec->grid;
    return known ? spec->rates[candidate->bracket.fails] : INFINITY;
}

static void search_cheapest(struct search *search)
{
    size_t *order = mem_array(search->candidate_count, sizeof *order);
    size_t rates = search->spec->count - search->spec->grid;
    for (size_t i = 0; i < search->candidate_count; i++) {
        order[i] = i;
        search->candidates[i].lost_at = lost_at(search, &search->candidates[i]);
    }
    sorted = search->candidates;
    qsort(order, search->candidate_count, sizeof *order, cheapest_first);
    search->cheapest = mem_array(rates, sizeof *search->cheapest);
    for (size_t i = 0; i < rates; i++)
        search_rate(search, order, search->spec->grid + i, &search->cheapest[i]);
    mem_free(order);
}

void search_run(struct search *search)
{
    search->deployments = mem_array(search->deployment_count, sizeof *search->deployments);
    if (search->spec->goodput) {
        search_candidates(search);
        choose_best(search);
        search_seeds(search);
    }
    if (search->spec->cheapest)
        search_cheapest(search);
}

void search_clear(struct search *search)
{
    for (size_t i = 0; search->deployments && i < search->deployment_count; i++)
        mem_free(search->deployments[i].seeds);
    mem_free(search->deployments);
    mem_free(search->cheapest);
    mem_free(search->probes);
}
