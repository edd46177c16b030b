/* What every router policy must keep to: it chooses in range, from the view and the draw alone, and every
 * request gets somewhere. And what the two first ones promise. A new policy is found by itself. */
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

/* The caller clears loads. */
static struct router_view random_view(uint64_t seed, struct tournament *loads)
{
    uint32_t count = 1 + (uint32_t)(rng_bits(seed, 0, RNG_ROUTER, 0) % MOST);
    int64_t below = 1 + (int64_t)(rng_bits(seed, 0, RNG_ROUTER, 1) % 5) * 1000; /* 1: all are equal */
    tournament_init(loads, count);
    for (uint32_t i = 0; i < count; i++)
        tournament_set(loads, i, (int64_t)(rng_bits(seed, 1, RNG_ROUTER, i) % (uint64_t)below));
    return (struct router_view){count, loads, (uint32_t)(rng_bits(seed, 0, RNG_ROUTER, 2) % count)};
}

static void test_choice(void)
{
    for (int i = 0; router_policies[i]; i++)
        for (uint64_t seed = 1; seed <= 2000; seed++) {
            struct tournament loads, copy;
            struct router_view view = random_view(seed, &loads), other = random_view(seed, &copy);
            uint64_t random = rng_bits(seed, 2, RNG_ROUTER, 0);
            uint32_t first = router_policies[i]->choose(&view, random);
            CU_ASSERT(first < view.count);
            CU_ASSERT_EQUAL(router_policies[i]->choose(&other, random), first);
            for (uint32_t k = 0; k < view.count; k++)
                CU_ASSERT_EQUAL(tournament_value(&loads, k), tournament_value(&copy, k));
            tournament_clear(&loads);
            tournament_clear(&copy);
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
    CU_ASSERT_FALSE(policy->uses_loads);
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct tournament loads;
        struct router_view view = random_view(seed, &loads);
        CU_ASSERT_EQUAL(policy->choose(&view, seed), view.next);
        tournament_clear(&loads);
    }
}

static void test_least_loaded_choice(void)
{
    const struct router_policy *policy = policy_named("least-loaded");
    CU_ASSERT_TRUE(policy->uses_loads);
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct tournament loads;
        struct router_view view = random_view(seed, &loads);
        uint32_t chosen = policy->choose(&view, seed);
        int64_t least = tournament_value(&loads, chosen);
        for (uint32_t i = 0; i < view.count; i++)
            CU_ASSERT(least <= tournament_value(&loads, i));
        /* Of equal ones, the first from next on. */
        for (uint32_t i = view.next; i != chosen; i = (i + 1) % view.count)
            CU_ASSERT(tournament_value(&loads, i) > least);
        tournament_clear(&loads);
    }
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
        {"least-loaded: the least, ties in rotation", test_least_loaded_choice},
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
