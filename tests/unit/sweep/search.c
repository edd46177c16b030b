/* The search against candidates whose highest rates are known. */
#include "../../../src/sweep/search.h"
#include "tandem/mem.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST 200

/* Each candidate holds the rates up to its own, which other seeds add to; a negative one fails to run. */
struct world {
    const struct search_spec *spec;
    double holds[MOST], per_seed; /* what each seed adds; 0: by candidate, some less */
    double grows_above[3];        /* with each seed: rates from which queues grow; 0: none */
    size_t asked[MOST], total, wasted;
    const struct search *search;
    struct search_outlook first; /* after the first round */
};

static double attainment(const struct world *world, size_t candidate, size_t seed, double rate)
{
    double adds = world->per_seed > 0 ? world->per_seed * (double)seed : (double)(candidate * seed % 7) - 3;
    double most = world->holds[candidate] + (seed > 0 ? adds : 0);
    return rate <= most ? 0.97 : rate <= 2 * most ? 0.85 : 0.3;
}

/* Of all seeds together. */
static double mean_attainment(const struct world *world, size_t candidate, double rate)
{
    double sum = 0;
    for (size_t seed = 0; seed < world->spec->seed_count; seed++)
        sum += attainment(world, candidate, seed, rate);
    return sum / (double)world->spec->seed_count;
}

/* The place of the highest rate of the grid that a candidate holds; -1: none. */
static long most_of(const struct world *world, size_t candidate)
{
    long most = -1;
    while (most + 1 < (long)world->spec->grid &&
           mean_attainment(world, candidate, world->spec->rates[most + 1]) >= 0.9)
        most++;
    return most;
}

static void run_round(void *context, struct search_probe *probes, size_t count)
{
    struct world *world = context;
    const struct search_outlook *to_come = &world->search->to_come;
    CU_ASSERT(count > 0);
    CU_ASSERT(to_come->rounds >= 0 && to_come->forecast_s >= 0);
    if (world->total == 0)
        world->first = *to_come;
    for (size_t i = 0; i < count; i++) {
        struct search_probe *probe = &probes[i], same = search_probe_of(world->spec, probe->number);
        CU_ASSERT(same.candidate == probe->candidate && same.seed == probe->seed && same.rate == probe->rate);
        double rate = world->spec->rates[probe->rate];
        probe->done = 1;
        probe->failed = world->holds[probe->candidate] < 0;
        probe->all = attainment(world, probe->candidate, probe->seed, rate);
        probe->ttft = probe->tpot = 1;
        double grows_above = probe->seed < 3 ? world->grows_above[probe->seed] : 0;
        probe->saturated = grows_above > 0 && rate > grows_above;
        /* The first has decided. */
        world->wasted += probe->seed > 0 && attainment(world, probe->candidate, 0, rate) == 0.3;
        world->asked[probe->candidate]++;
        world->total++;
    }
}

/* The grid is 1, 2, .., rates; then those of cheapest. */
static struct search_spec make_spec(size_t grid, size_t seeds, const double *cheapest, size_t cheapest_count)
{
    struct search_spec spec = {.goodput = grid > 0,
                               .cheapest = cheapest_count > 0,
                               .goal = {0.9, -1, -1},
                               .cheapest_goal = {0.9, -1, -1},
                               .seed_count = seeds,
                               .grid = grid,
                               .count = grid + cheapest_count};
    spec.rates = mem_array(spec.count, sizeof *spec.rates);
    for (size_t i = 0; i < grid; i++)
        spec.rates[i] = (double)i + 1;
    for (size_t i = 0; i < cheapest_count; i++)
        spec.rates[grid + i] = cheapest[i];
    return spec;
}

/* Each run takes a second. */
static void begin(const struct search_spec *spec, struct world *world, struct search_candidate *candidates,
                  size_t count, size_t deployments, struct search *search)
{
    world->spec = spec;
    world->search = search;
    for (size_t i = 0; i < count; i++) {
        candidates[i].usable = true;
        candidates[i].forecast_s = 1;
    }
    *search = (struct search){.spec = spec,
                              .candidates = candidates,
                              .candidate_count = count,
                              .deployment_count = deployments,
                              .round = run_round,
                              .context = world};
}

/* Every highest rate, none and all of them included, in no more probes than halving needs. */
static void one_candidate_is_halved(void)
{
    for (size_t grid = 1; grid <= 40; grid++)
        for (size_t most = 0; most <= grid; most++) {
            struct search_spec spec = make_spec(grid, 1, NULL, 0);
            struct world world = {.holds = {(double)most + 0.5}};
            struct search_candidate candidate = {0};
            struct search search;
            begin(&spec, &world, &candidate, 1, 1, &search);
            search_run(&search);
            CU_ASSERT_EQUAL(candidate.bracket.holds, (long)most - 1);
            CU_ASSERT_EQUAL(candidate.bracket.fails, (long)most);
            CU_ASSERT(search.deployments[0].best == (most == 0 ? SIZE_MAX : 0));
            CU_ASSERT(UINT64_C(1) << (world.total - 1) <= grid);
            search_clear(&search);
            search_spec_clear(&spec);
        }
}

/* A rate holds with all seeds together, or does not; then each seed of the best is searched for itself,
 * whether it holds far more or less. */
static void seeds_hold_a_rate_together(void)
{
    static const double most[] = {150.5, 399.5, 500, 2.5, 60, 0.5}, adds[] = {1, 20, 300};
    for (size_t i = 0; i < sizeof most / sizeof *most; i++)
        for (size_t k = 0; k < sizeof adds / sizeof *adds; k++) {
            struct search_spec spec = make_spec(400, 3, NULL, 0);
            struct world world = {.holds = {most[i]}, .per_seed = adds[k]};
            struct search_candidate candidate = {0};
            struct search search;
            begin(&spec, &world, &candidate, 1, 1, &search);
            search_run(&search);
            CU_ASSERT_EQUAL(candidate.bracket.holds, most_of(&world, 0));
            CU_ASSERT_EQUAL(candidate.bracket.fails, most_of(&world, 0) + 1);
            for (size_t seed = 0; seed < 3; seed++) {
                const struct search_bracket *bracket = &search.deployments[0].seeds[seed];
                double own = floor(most[i] + adds[k] * (double)seed);
                CU_ASSERT_EQUAL(bracket->holds, own >= 400 ? 399 : (long)own - 1);
                CU_ASSERT_EQUAL(bracket->fails, bracket->holds + 1);
            }
            CU_ASSERT(world.total <= 3 * 9 + 3 * 9);
            CU_ASSERT(world.wasted == 0 || adds[k] > 1 || most[i] < 3); /* by the seeds alone, then */
            for (size_t a = 0; a < search.probe_count; a++)
                for (size_t b = 0; b < a; b++)
                    CU_ASSERT(search.probes[a].number != search.probes[b].number);
            search_clear(&search);
            search_spec_clear(&spec);
        }
}

/* What the first round said of the rest is right within a factor of five; nothing is left after the last. */
static void check_outlook(const struct search *search, const struct world *world)
{
    double rounds = (double)search->rounds, runs = (double)world->total;
    CU_ASSERT(world->first.rounds + 1 < 5 * rounds && world->first.rounds + 1 > rounds / 5);
    CU_ASSERT(world->first.forecast_s + 1 < 5 * runs && world->first.forecast_s > runs / 5 - MOST);
    CU_ASSERT(search->later.rounds == 0 && search->later.forecast_s == 0);
}

/* As the_best_is_the_best_of_all has them: of equal ones the later are cheaper. */
static bool is_better(const struct world *world, size_t a, size_t b)
{
    long most_a = most_of(world, a), most_b = most_of(world, b);
    if (most_a != most_b)
        return most_a > most_b;
    if ((a >= 100) != (b >= 100))
        return a >= 100;
    double rate = world->spec->rates[most_a];
    return mean_attainment(world, a, rate) > mean_attainment(world, b, rate);
}

/* The best of a deployment as when each is searched for itself, with far fewer probes. */
static void the_best_is_the_best_of_all(void)
{
    for (int run = 0; run < 4; run++) {
        bool every = run % 2 == 1;
        size_t seeds = run < 2 ? 1 : 3;
        struct search_spec spec = make_spec(100, seeds, NULL, 0);
        struct world world = {0};
        struct search_candidate candidates[MOST] = {0};
        spec.every = every;
        for (size_t i = 0; i < MOST; i++) {
            world.holds[i] = (double)(i * 37 % 90) + 0.5;
            candidates[i].deployment = i % 2;
            candidates[i].cost_usd_per_hour = i < 100 ? 8 : 7; /* of equal ones the later are cheaper */
        }
        struct search search;
        begin(&spec, &world, candidates, MOST, 2, &search);
        candidates[73].usable = false;
        world.holds[73] = 1000;
        world.holds[20] = -1; /* fails */
        search_run(&search);
        for (size_t k = 0; k < 2; k++) {
            size_t best = SIZE_MAX;
            for (size_t i = 0; i < MOST; i++)
                if (i % 2 == k && i != 73 && i != 20 && (best == SIZE_MAX || is_better(&world, i, best)))
                    best = i;
            CU_ASSERT_EQUAL(search.deployments[k].best, best);
        }
        for (size_t i = 0; i < MOST; i++) {
            const struct search_bracket *bracket = &candidates[i].bracket;
            long most = most_of(&world, i);
            CU_ASSERT(i == 73 || i == 20 || bracket->holds <= most);
            CU_ASSERT(i == 73 || i == 20 || bracket->fails > most);
            if (every && i != 73 && i != 20)
                CU_ASSERT_EQUAL(bracket->holds + 1, bracket->fails);
        }
        CU_ASSERT_EQUAL(world.asked[73], 0);
        CU_ASSERT_EQUAL(world.asked[20], 1);
        check_outlook(&search, &world);
        CU_ASSERT(every ? world.total > 6 * MOST : world.total < 3 * MOST * seeds);
        search_clear(&search);
        search_spec_clear(&spec);
    }
}

/* By brute force, whatever the costs and with or without a search for goodput before. */
static void the_cheapest_is_the_cheapest_of_all(void)
{
    static const double rates[] = {3.5, 20, 41, 77, 95};
    for (size_t run = 0; run < 4; run++)
        for (size_t costs = 1; costs <= MOST; costs = costs * 3 + 1) {
            size_t seeds = run < 2 ? 1 : 3;
            struct search_spec spec = make_spec(run % 2 * 100, seeds, rates, 5);
            struct world world = {0};
            struct search_candidate candidates[MOST] = {0};
            for (size_t i = 0; i < MOST; i++) {
                world.holds[i] = (double)(i * 37 % 90) + 0.5;
                candidates[i].cost_usd_per_hour = (double)(i * 7 % costs);
            }
            struct search search;
            begin(&spec, &world, candidates, MOST, 1, &search);
            search_run(&search);
            for (size_t k = 0; k < 5; k++) {
                size_t best = SIZE_MAX;
                for (size_t i = 0; i < MOST; i++) {
                    double cost = candidates[i].cost_usd_per_hour;
                    if (mean_attainment(&world, i, rates[k]) >= 0.9 &&
                        (best == SIZE_MAX || cost < candidates[best].cost_usd_per_hour ||
                         (cost == candidates[best].cost_usd_per_hour &&
                          mean_attainment(&world, i, rates[k]) > mean_attainment(&world, best, rates[k]))))
                        best = i;
                }
                CU_ASSERT_EQUAL(search.cheapest[k], best);
            }
            CU_ASSERT(world.total < 5 * MOST * seeds);
            check_outlook(&search, &world);
            search_clear(&search);
            search_spec_clear(&spec);
        }
}

/* All seeds together are when more than half of them are. */
static void seeds_are_saturated_together(void)
{
    for (size_t seeds = 1; seeds <= 3; seeds++) {
        static const long expected[] = {10, 20, 20}; /* of 1 the first, of 2 both, of 3 any two */
        struct search_spec spec = make_spec(100, seeds, NULL, 0);
        struct world world = {.holds = {100}, .per_seed = 1, .grows_above = {10, 20, 30}};
        struct search_candidate candidate = {0};
        struct search search;
        begin(&spec, &world, &candidate, 1, 1, &search);
        search_run(&search);
        CU_ASSERT_EQUAL(candidate.bracket.holds, expected[seeds - 1] - 1);
        for (size_t seed = 0; seed < seeds; seed++)
            CU_ASSERT_EQUAL(search.deployments[0].seeds[seed].holds, 10 * ((long)seed + 1) - 1);
        search_clear(&search);
        search_spec_clear(&spec);
    }
}

static void a_goal_wants_all_that_is_asked_for(void)
{
    const struct search_goal all = {0.9, -1, -1}, each = {-1, 0.9, 0.95};
    struct search_probe probe = {.done = 1, .all = 0.9, .ttft = 0.92, .tpot = 0.94};
    CU_ASSERT(search_holds(&all, &probe));
    CU_ASSERT(!search_holds(&each, &probe));
    probe.tpot = 0.95;
    CU_ASSERT(search_holds(&each, &probe));
    probe.saturated = 1;
    CU_ASSERT(!search_holds(&all, &probe));
}

/* --- the section */

static bool parse(const char *json, struct config **config, struct search_spec *spec, struct space *space)
{
    struct error error;
    return config_parse(json, "e.json", config, &error) &&
           search_parse(config_root(*config), spec, space, &error);
}

static void rates_are_a_grid(void)
{
    struct config *config;
    struct search_spec spec;
    struct space space;
    CU_ASSERT_FATAL(parse("{\"seed\": 7, \"slo\": {\"ttft_ms\": 100}, \"search\": {\"deployments\": {\"a\": "
                          "{}, \"b\": {\"tune\": {\"x\": [1, 2, 3], "
                          "\"y\": [4, 5]}}}, \"goodput\": {\"low\": 1, \"high\": 10, \"tolerance\": 0.8, "
                          "\"attainment\": {\"ttft\": 0.5}}, \"cheapest\": {\"rates\": [2, 3.5]}}}",
                          &config, &spec, &space));
    static const double expected[] = {1, 1.7783, 3.1623, 5.6234, 10, 2, 3.5};
    CU_ASSERT_EQUAL_FATAL(spec.count, 7);
    CU_ASSERT_EQUAL(spec.grid, 5);
    for (size_t i = 0; i < 7; i++)
        CU_ASSERT_EQUAL(spec.rates[i], expected[i]);
    CU_ASSERT_EQUAL(spec.seed_count, 1);
    CU_ASSERT_EQUAL(spec.seeds[0], 7);
    CU_ASSERT(spec.goal.all == -1 && spec.goal.ttft == 0.5 && spec.goal.tpot == -1);
    CU_ASSERT_EQUAL(spec.cheapest_goal.all, 0.9);
    CU_ASSERT_EQUAL(space.count, 7);
    CU_ASSERT_STRING_EQUAL(space_name(&space, 0), "a");
    CU_ASSERT_STRING_EQUAL(space_name(&space, 1), "b");
    struct space_value values[SPACE_MOST_PATHS];
    CU_ASSERT_EQUAL(space_values(&space, 0, values), 0);
    CU_ASSERT_EQUAL(space_values(&space, 4, values), 2);
    CU_ASSERT(node_number(values[0].value) == 2 && node_number(values[1].value) == 5);
    space_clear(&space);
    search_spec_clear(&spec);
    config_free(config);
}

int main(void)
{
    const struct test_case cases[] = {
        {"one candidate is halved", one_candidate_is_halved},
        {"seeds hold a rate together", seeds_hold_a_rate_together},
        {"the best is the best of all", the_best_is_the_best_of_all},
        {"the cheapest is the cheapest of all", the_cheapest_is_the_cheapest_of_all},
        {"seeds are saturated together", seeds_are_saturated_together},
        {"a goal wants all that is asked for", a_goal_wants_all_that_is_asked_for},
        {"rates are a grid", rates_are_a_grid}};
    int code = test_main("search", cases, sizeof cases / sizeof *cases);
    return mem_live_bytes() == 0 ? code : 1;
}
