#include "search.h"

#include <math.h>
#include <stdlib.h>

#include "tandem/mem.h"

#define BATCH 8 /* candidates that `cheapest` tries at once, at least */

/* One of so many candidates of a deployment is a scout; prime, so that scouts differ in every path. */
#define SCOUTS 13

#define SEED_ROUNDS 5 /* that one seed of a best takes, about */

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

/* --- one rate of one candidate
 * ----------------------------------------------------------------------------------------------------- */

/* With one seed or with several, which hold a rate together or not. */
struct trial {
    size_t candidate, rate, seed, seeds; /* places; the first seed, and how many */
    size_t run, probe, asked;            /* seeds that were run; those of the round: the first, how many */
    double all, ttft, tpot;              /* sums over those that were run */
    size_t saturated;                    /* of them */
    bool failed, holds;
    double attainment;
};

/* The mean of all seeds, where those that were not run are the best there could be. More than half saturated:
 * so are all together. */
static struct search_probe mean_of(const struct trial *trial)
{
    double seeds = (double)trial->seeds, all = trial->all, ttft = trial->ttft, tpot = trial->tpot;
    for (size_t i = trial->run; i < trial->seeds; i++) { /* one by one, as they are added */
        all += 1;
        ttft += 1;
        tpot += 1;
    }
    return (struct search_probe){.all = all / seeds,
                                 .ttft = ttft / seeds,
                                 .tpot = tpot / seeds,
                                 .done = 1,
                                 .failed = trial->failed,
                                 .saturated = 2 * trial->saturated > trial->seeds};
}

static void add_probe(struct trial *trial, const struct search_probe *probe)
{
    trial->failed |= probe->failed;
    trial->all += probe->all;
    trial->ttft += probe->ttft;
    trial->tpot += probe->tpot;
    trial->saturated += probe->saturated;
}

/* What trials come to; the first seed may decide. */
static struct search_outlook outlook_of(size_t seeds, double rounds, double first_s)
{
    return (struct search_outlook){seeds > 1 ? 2 * rounds : rounds, first_s * (double)(1 + seeds) / 2};
}

static double forecast_of(const struct search *search, const struct trial *trials, size_t count)
{
    double forecast_s = 0;
    for (size_t i = 0; i < count; i++)
        forecast_s += search->candidates[trials[i].candidate].forecast_s;
    return forecast_s;
}

/* Asks for seeds, up to so many, of the trials that could still hold their rate. */
static void ask_seeds(struct search *search, const struct search_goal *goal, struct trial *trials,
                      size_t count, size_t most)
{
    for (size_t i = 0; i < count; i++) {
        struct trial *trial = &trials[i];
        const struct search_probe mean = mean_of(trial);
        size_t upto = most < trial->seeds ? most : trial->seeds;
        trial->probe = search->probe_count;
        trial->asked = search_holds(goal, &mean) ? upto - trial->run : 0;
        for (size_t k = 0; k < trial->asked; k++)
            ask(search, trial->candidate, trial->seed + trial->run + k, trial->rate);
    }
}

/* The first seed of all; then three times as many, of those that could still hold their rate, until that is
 * known. */
static void run_trials(struct search *search, const struct search_goal *goal, struct trial *trials,
                       size_t count)
{
    const struct search_outlook after = search->to_come;
    struct search_outlook rest = outlook_of(trials[0].seeds, 1, forecast_of(search, trials, count));
    for (size_t most = 1;; most *= 3) {
        size_t first = search->probe_count;
        ask_seeds(search, goal, trials, count, most);
        if (search->probe_count == first)
            break;
        for (size_t i = first; i < search->probe_count; i++)
            rest.forecast_s -= search->probes[i].forecast_s;
        rest.rounds -= 1;
        search->to_come.rounds = after.rounds + fmax(rest.rounds, 0);
        search->to_come.forecast_s = after.forecast_s + fmax(rest.forecast_s, 0);
        run_round(search, first);
        for (size_t i = 0; i < count; i++) {
            for (size_t k = 0; k < trials[i].asked; k++)
                add_probe(&trials[i], &search->probes[trials[i].probe + k]);
            trials[i].run += trials[i].asked;
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct search_probe mean = mean_of(&trials[i]);
        trials[i].holds = search_holds(goal, &mean);
        trials[i].attainment = mean.all;
    }
}

static double mean_forecast_s(const struct search *search)
{
    double sum_s = 0, count = 0;
    for (size_t i = 0; i < search->candidate_count; i++) {
        sum_s += search->candidates[i].usable ? search->candidates[i].forecast_s : 0;
        count += search->candidates[i].usable;
    }
    return count > 0 ? sum_s / count : 0;
}

/* Of so many rates. A candidate that fails is not asked again: say that half of them do, some at each rate.
 */
static struct search_outlook cheapest_to_come(const struct search *search, size_t rates)
{
    double all = (double)(search->spec->count - search->spec->grid), left = (double)rates;
    double failing = all > 0 ? (double)search->candidate_count / 2 * left / all : 0;
    double trials = failing + left * BATCH;
    return outlook_of(search->spec->seed_count, trials / BATCH, trials * mean_forecast_s(search));
}

/* What is after the phases of `goodput`: its own later ones (most candidates end in the first round, each
 * seed takes some), and `cheapest`. */
static void look_later(struct search *search, bool others, bool seeds)
{
    double seed_count = (double)search->spec->seed_count, mean_s = mean_forecast_s(search);
    search->later = cheapest_to_come(search, search->spec->count - search->spec->grid);
    if (others) {
        struct search_outlook phase =
            outlook_of(search->spec->seed_count, 2, 1.5 * mean_s * (double)search->candidate_count);
        search->later.rounds += phase.rounds;
        search->later.forecast_s += phase.forecast_s;
    }
    if (seeds && search->spec->seed_count > 1) {
        search->later.rounds += SEED_ROUNDS;
        search->later.forecast_s += SEED_ROUNDS * seed_count * (double)search->deployment_count * mean_s;
    }
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

static void learn(const struct trial *trial, struct group *group, struct search_bracket *bracket)
{
    bracket->failed = trial->failed;
    group->rate = (long)trial->rate;
    if (trial->holds) {
        bracket->holds = (long)trial->rate;
        bracket->attainment = trial->attainment;
        group->any = true;
    } else if (!trial->failed) {
        bracket->fails = (long)trial->rate;
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

/* After a round, half of what it asked is still in it; of a group at least one, until it has no more halves.
 */
static void look_out(struct search *search, const struct trial *trials, size_t count,
                     const struct group *groups, size_t group_count)
{
    double most = 0, all = 0, mean_s = forecast_of(search, trials, count) / (double)count;
    for (size_t i = 0; i < group_count; i++) {
        double halvings = 0;
        for (long open = (groups[i].fails - groups[i].holds) / 2; open > 1; open /= 2)
            halvings++;
        most = halvings > most ? halvings : most;
        all += halvings;
    }
    double more = all < (double)count ? all : (double)count;
    struct search_outlook phase = outlook_of(trials[0].seeds, most, (all + more) * mean_s);
    search->to_come.rounds = phase.rounds + search->later.rounds;
    search->to_come.forecast_s = phase.forecast_s + search->later.forecast_s;
}

/* Until no group is open. Brackets say which group each is of. */
static void search_brackets(struct search *search, struct search_bracket **brackets, size_t count,
                            struct group *groups, size_t group_count)
{
    struct trial *trials = mem_array(count, sizeof *trials);
    for (;;) {
        size_t asked = 0;
        for (size_t i = 0; i < count; i++) {
            struct search_bracket *bracket = brackets[i];
            const struct group *group = &groups[bracket->group];
            if (!is_open(group, bracket))
                continue;
            bracket->trial = asked;
            bracket->asked = true;
            trials[asked++] = (struct trial){.candidate = bracket->candidate,
                                             .rate = (size_t)next_rate(group, (long)search->spec->grid),
                                             .seed = bracket->seed,
                                             .seeds = bracket->seeds};
        }
        if (asked == 0)
            break;
        look_out(search, trials, asked, groups, group_count);
        run_trials(search, &search->spec->goal, trials, asked);
        for (size_t i = 0; i < count; i++)
            if (brackets[i]->asked)
                learn(&trials[brackets[i]->trial], &groups[brackets[i]->group], brackets[i]);
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
    mem_free(trials);
}

static void begin(const struct search *search, struct search_bracket *bracket, size_t candidate, size_t seed,
                  size_t seeds, size_t group)
{
    *bracket = (struct search_bracket){.holds = -1,
                                       .fails = (long)search->spec->grid,
                                       .candidate = candidate,
                                       .seed = seed,
                                       .seeds = seeds,
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

/* The candidates that are scouts, or those that are not. */
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

/* Every candidate, with all seeds together: those of a deployment together, or each for itself. Scouts go
 * first: the others begin at the rate that one of them holds, and most of them end there. */
static void search_candidates(struct search *search)
{
    bool every = search->spec->every;
    size_t group_count = every ? search->candidate_count : search->deployment_count;
    struct group *groups = make_groups(search, group_count);
    size_t *seen = mem_array(search->deployment_count, sizeof *seen);
    for (size_t i = 0; i < search->candidate_count; i++) {
        struct search_candidate *candidate = &search->candidates[i];
        begin(search, &candidate->bracket, i, 0, search->spec->seed_count, every ? i : candidate->deployment);
        candidate->scout = candidate->usable && seen[candidate->deployment]++ % SCOUTS == 0;
    }
    look_later(search, !every, true);
    search_some(search, true, groups, group_count);
    for (size_t i = 0; !every && i < group_count; i++) {
        long found = groups[i].holds;
        groups[i] = (struct group){
            .holds = found < 0 ? -1 : found - 1, .fails = (long)search->spec->grid, .guess = found};
    }
    look_later(search, false, true);
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

/* What probes of all seeds together say of one of them. */
static void learn_from_probes(const struct search *search, struct search_bracket *bracket)
{
    for (size_t i = 0; i < search->probe_count; i++) {
        const struct search_probe *probe = &search->probes[i];
        bool is_of = probe->candidate == bracket->candidate && probe->seed == bracket->seed &&
                     probe->rate < search->spec->grid;
        if (is_of && !search_holds(&search->spec->goal, probe) && (long)probe->rate < bracket->fails)
            bracket->fails = (long)probe->rate;
    }
    for (size_t i = 0; i < search->probe_count; i++) { /* above what fails nothing is believed to hold */
        const struct search_probe *probe = &search->probes[i];
        bool is_of = probe->candidate == bracket->candidate && probe->seed == bracket->seed;
        if (is_of && (long)probe->rate < bracket->fails && (long)probe->rate > bracket->holds)
            bracket->holds = (long)probe->rate;
    }
}

/* The best of each deployment with each seed alone, from the rate that is known: how much hangs on the seed.
 */
static void search_seeds(struct search *search)
{
    size_t seeds = search->spec->seed_count, most = search->deployment_count * seeds, count = 0;
    struct search_bracket **brackets = mem_array(most, sizeof *brackets);
    struct group *groups = make_groups(search, most);
    for (size_t i = 0; i < search->deployment_count; i++) {
        struct search_deployment *deployment = &search->deployments[i];
        if (deployment->best == SIZE_MAX)
            continue;
        const struct search_bracket *together = &search->candidates[deployment->best].bracket;
        deployment->seeds = mem_array(seeds, sizeof *deployment->seeds);
        deployment->seeds[0] = *together;
        for (size_t seed = 0; seeds > 1 && seed < seeds; seed++) {
            struct search_bracket *bracket = &deployment->seeds[seed];
            begin(search, bracket, deployment->best, seed, 1, count);
            learn_from_probes(search, bracket);
            groups[count] =
                (struct group){.holds = bracket->holds, .fails = bracket->fails, .guess = together->holds};
            brackets[count++] = bracket;
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

/* Of trials in order of cost: the first that holds; of equal cost the highest attainment. SIZE_MAX: none. */
static size_t cheapest_of(const struct search *search, const struct trial *trials, size_t count)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        struct search_candidate *candidate = &search->candidates[trials[i].candidate];
        if (!trials[i].holds) {
            candidate->lost_at = search->spec->rates[trials[i].rate];
            continue;
        }
        if (best == SIZE_MAX)
            best = i;
        double least_usd_per_hour = search->candidates[trials[best].candidate].cost_usd_per_hour;
        if (candidate->cost_usd_per_hour == least_usd_per_hour &&
            trials[i].attainment > trials[best].attainment)
            best = i;
    }
    return best;
}

/* In order of cost until one holds the rate, all of a cost together; those that have lost at a lower rate
 * are not asked. */
static size_t search_rate(struct search *search, const size_t *order, size_t rate)
{
    struct trial *trials = mem_array(search->candidate_count, sizeof *trials);
    size_t found = SIZE_MAX;
    for (size_t at = 0; at < search->candidate_count && found == SIZE_MAX;) {
        size_t count = 0;
        double cost = 0;
        for (; at < search->candidate_count; at++) {
            const struct search_candidate *candidate = &search->candidates[order[at]];
            if (!candidate->usable || candidate->lost_at <= search->spec->rates[rate])
                continue;
            if (count >= BATCH && candidate->cost_usd_per_hour != cost)
                break;
            cost = candidate->cost_usd_per_hour;
            trials[count++] =
                (struct trial){.candidate = order[at], .rate = rate, .seeds = search->spec->seed_count};
        }
        if (count == 0)
            break;
        search->to_come = search->later;
        run_trials(search, &search->spec->cheapest_goal, trials, count);
        size_t best = cheapest_of(search, trials, count);
        found = best == SIZE_MAX ? SIZE_MAX : trials[best].candidate;
    }
    mem_free(trials);
    return found;
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
    for (size_t i = 0; i < rates; i++) {
        search->later = cheapest_to_come(search, rates - 1 - i);
        search->cheapest[i] = search_rate(search, order, search->spec->grid + i);
    }
    mem_free(order);
}

void search_run(struct search *search)
{
    search->deployments = mem_array(search->deployment_count, sizeof *search->deployments);
    if (search->spec->goodput) {
        search_candidates(search);
        choose_best(search);
        look_later(search, false, false);
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
