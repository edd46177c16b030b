/* What every router policy must keep to: it chooses in range, from the view and the draw alone, and every
 * request gets somewhere; where all are equal, all get as many. And what single ones promise. A new policy is
 * found by itself. */
#include "test.h"

#include "experiment.h"
#include "tandem/rng.h"
#include "tandem/router.h"

#define MOST 40

static void test_table(void)
{
    for (int i = 0; router_policies[i]; i++) {
        const struct router_policy *policy = router_policies[i];
        CU_ASSERT(strlen(policy->name) > 0 && strlen(policy->doc) > 0);
        CU_ASSERT_EQUAL(strspn(policy->name, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(policy->name));
        CU_ASSERT(strchr(policy->doc, '\n') == NULL);
        for (int j = 0; j < i; j++)
            CU_ASSERT_STRING_NOT_EQUAL(router_policies[j]->name, policy->name);
    }
}

/* What a policy is shown; the caller clears loads. */
struct scene {
    struct router_view view;
    struct tournament loads[ROUTER_LOADS];
    struct router_weights weights;
    int64_t held_tokens[MOST];
    struct router_balance balance;
};

/* below: of the values, 1: all are equal. */
static void make_scene(struct scene *scene, uint64_t seed, uint32_t count, int64_t below)
{
    for (uint32_t load = 0; load < ROUTER_LOADS; load++) {
        tournament_init(&scene->loads[load], count);
        for (uint32_t i = 0; i < count; i++)
            tournament_set(&scene->loads[load], i,
                           (int64_t)(rng_bits(seed, 1 + load, RNG_ROUTER, i) % (uint64_t)below));
    }
    scene->weights =
        (struct router_weights){(double)(seed % 3), (double)(seed % 5), 1, (double)(seed % 11) / 4};
    for (uint32_t i = 0; i < count; i++) /* few values, so that there are ties */
        scene->held_tokens[i] =
            below == 1
                ? 0
                : (int64_t)(rng_bits(seed, 21, RNG_ROUTER, i) % 4 * (rng_bits(seed, 22, RNG_ROUTER, i) % 2)) *
                      100;
    scene->balance =
        (struct router_balance){(double)(seed % 8) / 10, (int64_t)(seed % 4) * 1000, 1 + (double)(seed % 9)};
    scene->view = (struct router_view){.count = count,
                                       .next = (uint32_t)(rng_bits(seed, 0, RNG_ROUTER, 2) % count),
                                       .previous = (uint32_t)(rng_bits(seed, 0, RNG_ROUTER, 3) % (count + 1)),
                                       .loads = scene->loads,
                                       .kv_whole = 1000,
                                       .weights = &scene->weights,
                                       .prefix = rng_bits(seed, 0, RNG_ROUTER, 4) % 4,
                                       .prefix_bound = 1 + (double)(seed % 4) / 4,
                                       .prompt_tokens = 500,
                                       .held_tokens = scene->held_tokens,
                                       .balance = &scene->balance};
}

static void random_scene(struct scene *scene, uint64_t seed)
{
    uint32_t count = 1 + (uint32_t)(rng_bits(seed, 0, RNG_ROUTER, 0) % MOST);
    int64_t below = 1 + (int64_t)(rng_bits(seed, 0, RNG_ROUTER, 1) % 5) * 1000;
    make_scene(scene, seed, count, seed % 7 == 0 ? 3 : below);
}

static void clear_scene(struct scene *scene)
{
    for (int load = 0; load < ROUTER_LOADS; load++)
        tournament_clear(&scene->loads[load]);
}

static int64_t value(const struct scene *scene, enum router_load load, uint32_t instance)
{
    return tournament_value(&scene->loads[load], instance);
}

/* In range and from view and draw alone; loads that the policy does not say it uses do not matter. */
static void test_choice(void)
{
    for (int i = 0; router_policies[i]; i++)
        for (uint64_t seed = 1; seed <= 2000; seed++) {
            struct scene scene, other;
            random_scene(&scene, seed);
            random_scene(&other, seed);
            uint64_t random = router_policies[i]->draws ? rng_bits(seed, 20, RNG_ROUTER, 0) : 0;
            for (int load = 0; load < ROUTER_LOADS; load++)
                if ((router_policies[i]->uses >> load & 1) == 0)
                    tournament_clear(&other.loads[load]);
            uint32_t first = router_policies[i]->choose(&scene.view, random);
            CU_ASSERT(first < scene.view.count);
            CU_ASSERT_EQUAL(router_policies[i]->choose(&other.view, random), first);
            for (int load = 0; load < ROUTER_LOADS; load++)
                for (uint32_t k = 0; k < scene.view.count && other.loads[load].values; k++)
                    CU_ASSERT_EQUAL(tournament_value(&scene.loads[load], k),
                                    tournament_value(&other.loads[load], k));
            clear_scene(&scene);
            clear_scene(&other);
        }
}

/* Where all instances are equal and there are no sessions, all get as many requests: within five standard
 * deviations of a fair draw. */
static void test_fair(void)
{
    enum { INSTANCES = 7, DRAWS = 7000 };
    for (int i = 0; router_policies[i]; i++) {
        struct scene scene;
        int64_t counts[INSTANCES] = {0};
        make_scene(&scene, 1, INSTANCES, 1);
        scene.view.previous = INSTANCES;
        scene.view.prefix = 0;
        for (uint64_t draw = 0; draw < DRAWS; draw++) {
            uint64_t random = router_policies[i]->draws ? rng_bits(5, 0, RNG_ROUTER, draw) : 0;
            uint32_t chosen = router_policies[i]->choose(&scene.view, random);
            counts[chosen]++;
            scene.view.next = (chosen + 1) % INSTANCES;
        }
        for (int k = 0; k < INSTANCES; k++)
            CU_ASSERT_DOUBLE_EQUAL((double)counts[k], (double)DRAWS / INSTANCES,
                                   5 * sqrt((double)DRAWS / INSTANCES * (1 - 1.0 / INSTANCES)));
        clear_scene(&scene);
    }
}

static const struct router_policy *policy_named(const char *name)
{
    int i = 0;
    while (router_policies[i] && strcmp(router_policies[i]->name, name) != 0)
        i++;
    CU_ASSERT_PTR_NOT_NULL_FATAL(router_policies[i]);
    return router_policies[i];
}

static void test_round_robin_choice(void)
{
    const struct router_policy *policy = policy_named("round-robin");
    CU_ASSERT_EQUAL(policy->uses, 0);
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct scene scene;
        random_scene(&scene, seed);
        CU_ASSERT_EQUAL(policy->choose(&scene.view, seed), scene.view.next);
        clear_scene(&scene);
    }
}

static void check_least(const struct scene *scene, enum router_load load, uint32_t chosen)
{
    int64_t least = value(scene, load, chosen);
    for (uint32_t i = 0; i < scene->view.count; i++)
        CU_ASSERT(least <= value(scene, load, i));
    /* Of equal ones, the first from next on. */
    for (uint32_t i = scene->view.next; i != chosen; i = (i + 1) % scene->view.count)
        CU_ASSERT(value(scene, load, i) > least);
}

static void test_least_choice(void)
{
    static const struct {
        const char *name;
        enum router_load load;
    } policies[] = {{"least-loaded", ROUTER_WORK},
                    {"least-requests", ROUTER_REQUESTS},
                    {"least-tokens", ROUTER_TOKENS},
                    {"least-kv", ROUTER_KV}};
    for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
        const struct router_policy *policy = policy_named(policies[p].name);
        CU_ASSERT_EQUAL(policy->uses, 1U << policies[p].load);
        for (uint64_t seed = 1; seed <= 2000; seed++) {
            struct scene scene;
            random_scene(&scene, seed);
            check_least(&scene, policies[p].load, policy->choose(&scene.view, seed));
            clear_scene(&scene);
        }
    }
}

/* Each instance for an equal share of all draws, in order. */
static void test_random_choice(void)
{
    const struct router_policy *policy = policy_named("random");
    for (uint32_t count = 1; count <= 100; count++) {
        struct router_view view = {.count = count};
        CU_ASSERT_EQUAL(policy->choose(&view, 0), 0);
        CU_ASSERT_EQUAL(policy->choose(&view, UINT64_MAX), count - 1);
        for (uint32_t i = 1; i < count; i++) {
            uint64_t from = (uint64_t)(((wide_t)i << 64) / count);
            CU_ASSERT_EQUAL(policy->choose(&view, from), ((wide_t)i << 64) % count == 0 ? i : i - 1);
            CU_ASSERT_EQUAL(policy->choose(&view, from + 1), i);
        }
    }
}

/* Every ordered pair of different instances is as likely, and the one with fewer requests of it is chosen: of
 * n different ones in order of load the k-th least is for 2 (n - 1 - k) of n (n - 1) draws. */
static void test_power_of_two_choice(void)
{
    const struct router_policy *policy = policy_named("power-of-two");
    for (uint32_t count = 2; count <= 12; count++) {
        uint32_t pairs = count * (count - 1), chosen[12] = {0}, equal[12] = {0};
        struct scene scene;
        make_scene(&scene, 1, count, 1);
        for (uint32_t pair = 0; pair < pairs; pair++)
            equal[policy->choose(&scene.view, (uint64_t)(((wide_t)pair << 64) / pairs) + 1)]++;
        for (uint32_t i = 0; i < count; i++)
            tournament_set(&scene.loads[ROUTER_REQUESTS], i, 5 * i);
        for (uint32_t pair = 0; pair < pairs; pair++)
            chosen[policy->choose(&scene.view, (uint64_t)(((wide_t)pair << 64) / pairs) + 1)]++;
        for (uint32_t i = 0; i < count; i++) {
            CU_ASSERT_EQUAL(chosen[i], 2 * (count - 1 - i));
            CU_ASSERT_EQUAL(equal[i], count - 1); /* ties: the first drawn */
        }
        clear_scene(&scene);
    }
}

/* The sum as src/serving/README.md has it, instance by instance. */
static double weighted_sum(const struct scene *scene, uint32_t instance)
{
    int64_t requests = 0, tokens = 0;
    for (uint32_t i = 0; i < scene->view.count; i++) {
        requests = value(scene, ROUTER_REQUESTS, i) > requests ? value(scene, ROUTER_REQUESTS, i) : requests;
        tokens = value(scene, ROUTER_TOKENS, i) > tokens ? value(scene, ROUTER_TOKENS, i) : tokens;
    }
    return (requests > 0 ? scene->weights.requests *
                               ((double)value(scene, ROUTER_REQUESTS, instance) / (double)requests)
                         : 0) +
           (tokens > 0
                ? scene->weights.tokens * ((double)value(scene, ROUTER_TOKENS, instance) / (double)tokens)
                : 0) +
           scene->weights.kv * ((double)value(scene, ROUTER_KV, instance) / 1000) +
           (scene->weights.prefix > 0
                ? scene->weights.prefix * ((double)(500 - scene->held_tokens[instance]) / 500)
                : 0);
}

/* The first from next on of those that hold most. */
static void check_most_held(const struct scene *scene, uint32_t chosen)
{
    for (uint32_t i = 0; i < scene->view.count; i++)
        CU_ASSERT(scene->held_tokens[i] <= scene->held_tokens[chosen]);
    for (uint32_t i = scene->view.next; i != chosen; i = (i + 1) % scene->view.count)
        CU_ASSERT(scene->held_tokens[i] < scene->held_tokens[chosen]);
}

static void test_weighted_choice(void)
{
    const struct router_policy *policy = policy_named("weighted");
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct scene scene;
        random_scene(&scene, seed);
        uint32_t chosen = policy->choose(&scene.view, seed);
        double least = weighted_sum(&scene, chosen);
        for (uint32_t i = 0; i < scene.view.count; i++)
            CU_ASSERT(least <= weighted_sum(&scene, i));
        for (uint32_t i = scene.view.next; i != chosen; i = (i + 1) % scene.view.count)
            CU_ASSERT(weighted_sum(&scene, i) > least);
        /* One score alone is that policy. */
        scene.weights = (struct router_weights){.requests = 2};
        check_least(&scene, ROUTER_REQUESTS, policy->choose(&scene.view, seed));
        scene.weights = (struct router_weights){.tokens = 0.1};
        check_least(&scene, ROUTER_TOKENS, policy->choose(&scene.view, seed));
        scene.weights = (struct router_weights){.kv = 1};
        check_least(&scene, ROUTER_KV, policy->choose(&scene.view, seed));
        scene.weights = (struct router_weights){.prefix = 1};
        check_most_held(&scene, policy->choose(&scene.view, seed));
        clear_scene(&scene);
    }
}

static void test_session_choice(void)
{
    const struct router_policy *policy = policy_named("session-affinity");
    CU_ASSERT_TRUE(policy->sessions);
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct scene scene;
        random_scene(&scene, seed);
        uint32_t chosen = policy->choose(&scene.view, seed);
        if (scene.view.previous == scene.view.count)
            check_least(&scene, ROUTER_REQUESTS, chosen);
        else
            CU_ASSERT_EQUAL(chosen, scene.view.previous);
        clear_scene(&scene);
    }
}

/* As least-requests, or of those that hold most the one with the fewest requests; which of both, and which of
 * equal ones. Both come about often. */
static void test_aware_choice(void)
{
    const struct router_policy *policy = policy_named("cache-aware");
    int by_contents = 0, unbalanced = 0, too_little = 0;
    CU_ASSERT_TRUE(policy->contents);
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct scene scene;
        random_scene(&scene, seed);
        int64_t most = 0, fewest = INT64_MAX, held = 0;
        for (uint32_t i = 0; i < scene.view.count; i++) {
            int64_t requests = value(&scene, ROUTER_REQUESTS, i);
            most = requests > most ? requests : most;
            fewest = requests < fewest ? requests : fewest;
            held = scene.held_tokens[i] > held ? scene.held_tokens[i] : held;
        }
        bool balanced = !(most - fewest > scene.balance.abs_threshold &&
                          (double)most > scene.balance.rel_threshold * (double)fewest);
        bool enough = (double)held > scene.balance.cache_threshold * 500;
        uint32_t chosen = policy->choose(&scene.view, seed);
        unbalanced += !balanced;
        too_little += !enough;
        if (!balanced || !enough) {
            check_least(&scene, ROUTER_REQUESTS, chosen);
            clear_scene(&scene);
            continue;
        }
        by_contents++;
        CU_ASSERT_EQUAL(scene.held_tokens[chosen], held);
        int64_t requests = value(&scene, ROUTER_REQUESTS, chosen);
        for (uint32_t i = 0; i < scene.view.count; i++)
            CU_ASSERT(scene.held_tokens[i] < held || value(&scene, ROUTER_REQUESTS, i) >= requests);
        for (uint32_t i = scene.view.next; i != chosen; i = (i + 1) % scene.view.count)
            CU_ASSERT(scene.held_tokens[i] < held || value(&scene, ROUTER_REQUESTS, i) > requests);
        clear_scene(&scene);
    }
    CU_ASSERT(by_contents > 300 && unbalanced > 300 && too_little > 300);
}

/* Thresholds are exceeded, not reached: 6 of 10 blocks with a threshold of a half, 5 are too few; 40 requests
 * against none; 704 against 640 are not more than 1.1 times as many, 705 are. */
static void test_aware_thresholds(void)
{
    static const struct {
        int64_t held_tokens, requests[2];
        uint32_t chosen;
    } rows[] = {{60, {0, 4}, 1},   {50, {0, 4}, 0},      {100, {0, 32}, 1},
                {100, {0, 33}, 0}, {100, {640, 704}, 1}, {100, {640, 705}, 0}};
    const struct router_policy *policy = policy_named("cache-aware");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scene scene;
        make_scene(&scene, 1, 2, 1);
        scene.balance = (struct router_balance){0.5, 32, 1.1};
        scene.view.prompt_tokens = 100;
        scene.held_tokens[1] = rows[i].held_tokens;
        for (uint32_t k = 0; k < 2; k++)
            tournament_set(&scene.loads[ROUTER_REQUESTS], k, rows[i].requests[k]);
        CU_ASSERT_EQUAL(policy->choose(&scene.view, 0), rows[i].chosen);
        clear_scene(&scene);
    }
}

/* The same prefix goes to the same instance, as long as that is not full; the few that were there for another
 * number of instances move; a full one gets none. */
static void test_prefix_choice(void)
{
    const struct router_policy *policy = policy_named("prefix-affinity");
    int64_t counts[8] = {0};
    CU_ASSERT_TRUE(policy->prefixes);
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct scene scene;
        random_scene(&scene, seed);
        int64_t total = 1;
        for (uint32_t i = 0; i < scene.view.count; i++)
            total += value(&scene, ROUTER_REQUESTS, i);
        uint32_t chosen = policy->choose(&scene.view, seed);
        if (scene.view.prefix == 0)
            check_least(&scene, ROUTER_REQUESTS, chosen);
        else
            CU_ASSERT((double)value(&scene, ROUTER_REQUESTS, chosen) + 1 <=
                      ceil(scene.view.prefix_bound * (double)total / scene.view.count));
        clear_scene(&scene);

        make_scene(&scene, seed, 8, 1);
        scene.view.prefix = seed;
        chosen = policy->choose(&scene.view, 0);
        counts[chosen]++;
        scene.view.next = (scene.view.next + 3) % 8;
        CU_ASSERT_EQUAL(policy->choose(&scene.view, 0), chosen);
        scene.view.count = 7; /* without the last: others stay */
        CU_ASSERT(chosen == 7 || policy->choose(&scene.view, 0) == chosen);
        scene.view.count = 8;
        tournament_set(&scene.loads[ROUTER_REQUESTS], chosen, 100);
        CU_ASSERT_NOT_EQUAL(policy->choose(&scene.view, 0), chosen);
        clear_scene(&scene);
    }
    for (int i = 0; i < 8; i++)
        CU_ASSERT_DOUBLE_EQUAL((double)counts[i], 250, 5 * sqrt(250 * 7 / 8.0));
}

/* Every policy, unified and P/D: all is served, everybody has work, and it is the same again. */
static void test_runs(void)
{
    for (int i = 0; router_policies[i]; i++)
        for (int disaggregated = 0; disaggregated < 2; disaggregated++) {
            struct experiment *experiment =
                experiment_new(disaggregated ? experiment_disaggregated : experiment_unified);
            experiment_synthetic(experiment, "{\"uniform\": {\"min\": 10, \"max\": 2000}}",
                                 "{\"uniform\": {\"min\": 1, \"max\": 100}}",
                                 "{\"gamma\": {\"rate_per_s\": 40, \"cv\": 2}}", 300);
            experiment_set(experiment, "cluster.router.policy=%s", router_policies[i]->name);
            if (router_policies[i]->weighted)
                experiment_set(
                    experiment,
                    "cluster.router.weights={\"requests\": 1, \"tokens\": 1, \"kv\": 1, \"prefix\": 1}");
            experiment_set(experiment, "cluster.pools[0].instances=4");
            if (disaggregated)
                experiment_set(experiment, "cluster.pools[1].instances=3");
            struct outcome first = experiment_run_well(experiment), second = experiment_run_well(experiment);
            CU_ASSERT_PTR_NULL(outcome_difference(&first, &second));
            CU_ASSERT_EQUAL(first.summary.completed, 300);
            outcome_check_conserved(&first, 1000000);
            for (size_t j = 0; j < first.instance_count; j++)
                CU_ASSERT(first.instances[j].running_request_ns > 0);
            outcome_clear(&first);
            outcome_clear(&second);
            experiment_free(experiment);
        }
}

/* Requests go round in order of arrival; hand-offs in the order in which they come to the router. */
static void test_round_robin_run(void)
{
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    experiment_synthetic(experiment, "{\"fixed\": 100}", "{\"fixed\": 20}",
                         "{\"poisson\": {\"rate_per_s\": 10}}", 60);
    experiment_set(experiment, "cluster.router.policy=round-robin");
    experiment_set(experiment, "cluster.pools[0].instances=3");
    experiment_set(experiment, "cluster.pools[1].instances=2");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL_FATAL(outcome.row_count, 60);
    for (size_t i = 0; i < 60; i++) {
        CU_ASSERT_EQUAL(outcome.rows[i].prefill_instance, (int32_t)(i % 3));
        /* Equal prompts on idle instances end in order of arrival. */
        CU_ASSERT_EQUAL(outcome.rows[i].decode_instance, 3 + (int32_t)(i % 2));
    }
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Two instances, reports every 20 ms. Requests 0 to 3 go round, since a dispatch counts at once. By 3 s
 * instance 0 is idle while 1 and 3 run on, so 4 and 5 go there; then it is 2 against 2, and next in rotation
 * is instance 1. By 6 s instance 0 is idle again. */
static void test_least_loaded_run(void)
{
    static const struct experiment_request requests[] = {
        {0, 100, 2, 0, 0},          {0, 100, 2000, 0, 0},       {0, 100, 2, 0, 0},
        {0, 100, 2000, 0, 0},       {3000000000, 100, 9, 0, 0}, {3000000000, 100, 9, 0, 0},
        {3000000000, 100, 9, 0, 0}, {6000000000, 100, 9, 0, 0},
    };
    static const int32_t expected[] = {0, 1, 0, 1, 0, 0, 1, 0};
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_trace(experiment, requests, 8);
    experiment_set(experiment, "cluster.router.policy=least-loaded");
    experiment_set(experiment, "cluster.pools[0].instances=2");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL_FATAL(outcome.row_count, 8);
    CU_ASSERT(outcome.rows[1].e2e_ns > 7000000000); /* they do run on */
    for (size_t i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(outcome.rows[i].prefill_instance, expected[i]);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Prefill instances are compared by prompt tokens that they have yet to compute: one long prompt outweighs
 * several short ones. */
static void test_least_loaded_tokens(void)
{
    static const struct experiment_request requests[] = {
        {0, 3000, 2, 0, 0}, {0, 500, 2, 0, 0}, {0, 500, 2, 0, 0}, {0, 500, 2, 0, 0},
        {0, 2000, 2, 0, 0}, {0, 10, 2, 0, 0},  {0, 10, 2, 0, 0},
    };
    /* Loads of (0, 1): 3000, 0 - 500 - 1000 - 1500 - 3500; then 0 again. */
    static const int32_t expected[] = {0, 1, 1, 1, 1, 0, 0};
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    experiment_trace(experiment, requests, 7);
    experiment_set(experiment, "cluster.router.policy=least-loaded");
    experiment_set(experiment, "cluster.pools[0].instances=2");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL_FATAL(outcome.row_count, 7);
    for (size_t i = 0; i < 7; i++)
        CU_ASSERT_EQUAL(outcome.rows[i].prefill_instance, expected[i]);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"names and docs", test_table},
        {"choices: in range, from the view alone", test_choice},
        {"round-robin: next in rotation", test_round_robin_choice},
        {"least: the least, ties in rotation", test_least_choice},
        {"random: equal shares", test_random_choice},
        {"power-of-two: every pair", test_power_of_two_choice},
        {"weighted: the least sum", test_weighted_choice},
        {"session-affinity: where it was", test_session_choice},
        {"prefix-affinity: the first that is not full", test_prefix_choice},
        {"cache-aware: who holds most, if loads allow", test_aware_choice},
        {"cache-aware: thresholds", test_aware_thresholds},
        {"fair where all are equal", test_fair},
        {"runs", test_runs},
        {"round-robin: who gets what", test_round_robin_run},
        {"least-loaded: who gets what", test_least_loaded_run},
        {"least-loaded: prefill by tokens", test_least_loaded_tokens},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("routers", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
