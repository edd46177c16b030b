/* What every batch scheduler must keep to, in each role that it has: random clusters and workloads with
 * little KV room, small budgets and chunk thresholds, and all modes of the instance. A new scheduler is
 * found by itself. */
#include "test.h"

#include "experiment.h"
#include "tandem/mem.h"
#include "tandem/rng.h"
#include "tandem/scheduler.h"

#define SEEDS       150
#define MOST_PROMPT 120
#define MOST_OUTPUT 60
#define REQUESTS    80

/* Random choices of one case. */
struct dice {
    uint64_t seed, count;
};

static int64_t roll(struct dice *dice, int64_t below)
{
    return (int64_t)(rng_bits(dice->seed, 1, RNG_ROUTER, dice->count++) % (uint64_t)below);
}

/* Limits and KV room of one pool. Room for the largest request is left whatever the watermark, so that
 * nothing is refused; seldom for much more. */
static void set_pool(struct experiment *experiment, struct dice *dice, const char *pool, int64_t block_tokens)
{
    static const double watermarks[] = {-1, 0, 0.01, 0.15}, room[] = {1, 1.2, 1.5, 4};
    int64_t need = (MOST_PROMPT + MOST_OUTPUT + block_tokens - 1) / block_tokens;
    double watermark = watermarks[roll(dice, 4)];
    int64_t seqs = (const int64_t[]){1, 2, 5, 30}[roll(dice, 4)];
    int64_t budget = seqs + (const int64_t[]){0, 1, 9, 64, 500}[roll(dice, 5)];
    int64_t blocks =
        (int64_t)((double)need * room[roll(dice, 4)] / (1 - (watermark > 0 ? watermark : 0))) + 1;
    experiment_set(experiment, "cluster.pools[%s].kv.block_tokens=%lld", pool, (long long)block_tokens);
    experiment_set(experiment, "cluster.pools[%s].kv.blocks=%lld", pool, (long long)blocks);
    experiment_set(experiment, "cluster.pools[%s].scheduler.watermark=%g", pool, watermark);
    experiment_set(experiment, "cluster.pools[%s].scheduler.max_num_seqs=%lld", pool, (long long)seqs);
    experiment_set(experiment, "cluster.pools[%s].scheduler.max_num_batched_tokens=%lld", pool,
                   (long long)budget);
    experiment_set(experiment, "cluster.pools[%s].scheduler.long_prefill_token_threshold=%d", pool,
                   (const int[]){0, 0, 7, 33}[roll(dice, 4)]);
    experiment_set(experiment, "cluster.pools[%s].scheduler.chunked_prefill=%s", pool,
                   roll(dice, 2) ? "true" : "false");
    experiment_set(experiment, "cluster.pools[%s].instances=%lld", pool, (long long)(1 + roll(dice, 3)));
    if (roll(dice, 3) == 0)
        experiment_set(experiment,
                       "cluster.pools[%s].timer={\"level\": \"fixed\", \"prefill_ms\": 9, "
                       "\"decode_ms\": 3}",
                       pool);
}

/* What is beyond the usual: an order, a second watermark, batches and chunks of the policies that have them.
 */
static void set_policy(struct experiment *experiment, struct dice *dice, const char *pool, int role)
{
    static const double high[] = {0, 0, 0.2, 0.6};
    static const char *const names[] = {"base", "load", "long"};
    experiment_set(experiment, "cluster.pools[%s].scheduler.watermark_high=%g", pool, high[roll(dice, 4)]);
    experiment_set(experiment, "cluster.pools[%s].scheduler.order=%s", pool,
                   order_names[role == ROLE_DECODE ? 0 : roll(dice, 4)]);
    experiment_set(experiment, "cluster.pools[%s].scheduler.static_batch_size=%d", pool,
                   (const int[]){1, 3, 8, 50}[roll(dice, 4)]);
    experiment_set(experiment, "cluster.pools[%s].scheduler.static_timeout_ms=%d", pool,
                   (const int[]){0, 20, 500}[roll(dice, 3)]);
    for (size_t i = 0; i < 3; i++)
        experiment_set(experiment, "cluster.pools[%s].scheduler.adaptive_%s_tokens=%lld", pool, names[i],
                       (long long)(1 + roll(dice, 50)));
    experiment_set(experiment, "cluster.pools[%s].scheduler.adaptive_long_prompt_tokens=100", pool);
    experiment_set(experiment, "cluster.pools[%s].scheduler.adaptive_short_prompt_tokens=30", pool);
}

/* Returns the control latency. */
static int64_t set_workload(struct experiment *experiment, struct dice *dice)
{
    static const char *const prompts[] = {"{\"uniform\": {\"min\": 1, \"max\": 120}}", "{\"fixed\": 64}",
                                          "{\"empirical\": [1, 15, 16, 17, 32, 112, 120]}"};
    static const char *const outputs[] = {"{\"uniform\": {\"min\": 1, \"max\": 60}}", "{\"fixed\": 60}",
                                          "{\"empirical\": [1, 1, 2, 40]}"};
    static const char *const arrivals[] = {"\"all-at-once\"", "{\"poisson\": {\"rate_per_s\": 60}}",
                                           "{\"gamma\": {\"rate_per_s\": 100, \"cv\": 3}}",
                                           "{\"closed_loop\": {\"users\": 12, \"think_time_s\": 0.05}}"};
    experiment_synthetic(experiment, prompts[roll(dice, 3)], outputs[roll(dice, 3)], arrivals[roll(dice, 4)],
                         REQUESTS);
    experiment_set(experiment, "workload.max_tokens=%lld", (long long)(roll(dice, 2) * 100));
    experiment_set(experiment, "workload.synthetic.priority_shares=[0.2, 0.3, 0.5]");
    experiment_set(experiment, "seed=%lld", (long long)dice->seed);
    experiment_set(experiment, "cluster.router.policy=%s", roll(dice, 2) ? "round-robin" : "least-loaded");
    int64_t latency_us = (const int64_t[]){1, 100, 1000}[roll(dice, 3)];
    experiment_set(experiment, "cluster.network.control_latency_us=%lld", (long long)latency_us);
    experiment_set(experiment, "cluster.router.frontend_ms=%d", (int)roll(dice, 2));
    return latency_us * 1000;
}

static void set_handoff(struct experiment *experiment, struct dice *dice)
{
    static const char *const links[] = {"ib-ndr-400g", "ethernet-25g"};
    experiment_set(experiment, "cluster.handoff.first_token=%s",
                   (const char *const[]){"decode", "prefill", "relay"}[roll(dice, 3)]);
    experiment_set(experiment, "cluster.network.sharing=%s",
                   (const char *const[]){"max-min", "sender", "none"}[roll(dice, 3)]);
    experiment_set(experiment, "cluster.network.kv_link=%s", links[roll(dice, 2)]);
}

/* A random experiment with the scheduler in that role; the seed is the case. */
static struct experiment *make_case(const struct scheduler *scheduler, int role, uint64_t seed,
                                    int64_t *latency_ns)
{
    struct dice dice = {seed * ROLE_COUNT + (uint64_t)role, 0};
    struct experiment *experiment =
        experiment_new(role == ROLE_UNIFIED ? experiment_unified : experiment_disaggregated);
    int64_t block_tokens = (const int64_t[]){1, 4, 7, 16}[roll(&dice, 4)];
    *latency_ns = set_workload(experiment, &dice);
    if (role == ROLE_UNIFIED) {
        set_pool(experiment, &dice, "unified", block_tokens);
        set_policy(experiment, &dice, "unified", role);
    } else {
        set_pool(experiment, &dice, "prefill", block_tokens);
        set_pool(experiment, &dice, "decode", block_tokens);
        set_policy(experiment, &dice, "prefill", ROLE_PREFILL);
        set_policy(experiment, &dice, "decode", ROLE_DECODE);
        set_handoff(experiment, &dice);
    }
    experiment_set(experiment, "cluster.pools[%s].scheduler.policy=%s", role_names[role], scheduler->name);
    if (seed % 2 == 0) { /* victims are swapped to a host with room for nothing, few, all */
        const char *pool = role == ROLE_UNIFIED ? "unified" : "decode";
        experiment_set(experiment, "cluster.pools[%s].scheduler.preemption=swap", pool);
        experiment_set(experiment, "cluster.pools[%s].scheduler.swap_space_gib=%g", pool,
                       (const double[]){0, 0.03, 4, 4}[seed / 2 % 4]);
    }
    return experiment;
}

/* Runs a case in all modes. Returns its preemptions. */
static uint64_t run_case(const struct scheduler *scheduler, int role, uint64_t seed)
{
    int64_t latency_ns;
    struct experiment *experiment = make_case(scheduler, role, seed, &latency_ns);
    struct outcome outcome = experiment_run_modes(experiment, latency_ns);
    uint64_t preemptions = outcome.summary.preemptions;
    CU_ASSERT_EQUAL(outcome.summary.completed, REQUESTS);
    outcome_clear(&outcome);
    experiment_free(experiment);
    return preemptions;
}

static void test_random(void)
{
    for (int i = 0; schedulers[i]; i++)
        for (int role = 0; role < ROLE_COUNT; role++) {
            uint64_t preemptions = 0;
            for (uint64_t seed = 1; schedulers[i]->roles[role] && seed <= SEEDS; seed++)
                preemptions += run_case(schedulers[i], role, seed);
            if (schedulers[i]->roles[role])
                printf("\n    %s as %s: %llu preemptions in %d runs", schedulers[i]->name, role_names[role],
                       (unsigned long long)preemptions, SEEDS);
        }
}

/* Leaps end where sums of times could overflow; single iterations go on. */
static void test_centuries(void)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_synthetic(experiment, "{\"fixed\": 5}", "{\"fixed\": 9000}", "\"all-at-once\"", 2);
    experiment_set(experiment, "cluster.pools[unified].timer={\"level\": \"fixed\", \"decode_ms\": 1e9}");
    struct outcome leaping = experiment_run_well(experiment);
    experiment_set(experiment, "simulation.mode=aggregate");
    struct outcome aggregate = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(leaping.summary.completed, 2);
    CU_ASSERT(leaping.rows[0].e2e_ns > INT64_MAX / 2);
    CU_ASSERT_PTR_NULL(outcome_difference(&leaping, &aggregate));
    outcome_clear(&leaping);
    outcome_clear(&aggregate);
    experiment_free(experiment);
}

/* The tight cases are worth nothing when nobody is ever preempted. */
static void test_preemptions_occur(void)
{
    static const char *const names[] = {"chunked", "continuous", "adaptive-chunked", "decode-only"};
    static const int roles[] = {ROLE_UNIFIED, ROLE_UNIFIED, ROLE_UNIFIED, ROLE_DECODE};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        uint64_t preemptions = 0;
        for (int j = 0; schedulers[j]; j++)
            for (uint64_t seed = 1; strcmp(schedulers[j]->name, names[i]) == 0 && seed <= 10; seed++)
                preemptions += run_case(schedulers[j], roles[i], seed);
        CU_ASSERT(preemptions > 20);
    }
}

/* Requests are the same whatever batches them: lengths, classes and tokens; only times are the scheduler's.
 */
static void test_same_tokens(void)
{
    struct outcome first = {0};
    for (int i = 0; schedulers[i]; i++) {
        if (!schedulers[i]->roles[ROLE_UNIFIED])
            continue;
        int64_t latency_ns;
        struct experiment *experiment = make_case(schedulers[i], ROLE_UNIFIED, 5, &latency_ns);
        struct outcome outcome = experiment_run_well(experiment);
        if (!first.rows) {
            first = outcome;
            outcome = experiment_run_well(experiment);
        }
        CU_ASSERT_EQUAL_FATAL(outcome.row_count, first.row_count);
        uint64_t urgent = 0;
        for (size_t k = 0; k < outcome.row_count; k++) {
            const struct row *row = &outcome.rows[k], *other = &first.rows[k];
            CU_ASSERT(row->status == ROW_COMPLETED && row->prompt_tokens == other->prompt_tokens &&
                      row->output_tokens == other->output_tokens && row->priority == other->priority);
            urgent += row->priority == 0;
        }
        CU_ASSERT(urgent > 0 && urgent < outcome.row_count / 2);
        CU_ASSERT_EQUAL(outcome.summary.output_tokens, first.summary.output_tokens);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
    outcome_clear(&first);
}

static void test_same_again(void)
{
    for (int i = 0; schedulers[i]; i++)
        for (int role = 0; role < ROLE_COUNT; role++) {
            if (!schedulers[i]->roles[role])
                continue;
            int64_t latency_ns;
            struct experiment *experiment = make_case(schedulers[i], role, 3, &latency_ns);
            struct outcome first = experiment_run_well(experiment), second = experiment_run_well(experiment);
            CU_ASSERT_PTR_NULL(outcome_difference(&first, &second));
            outcome_clear(&first);
            outcome_clear(&second);
            experiment_free(experiment);
        }
}

static void test_table(void)
{
    bool has_role[ROLE_COUNT] = {false};
    for (int i = 0; schedulers[i]; i++) {
        const struct scheduler *scheduler = schedulers[i];
        CU_ASSERT(strlen(scheduler->name) > 0 && strlen(scheduler->doc) > 0);
        CU_ASSERT_EQUAL(strspn(scheduler->name, "abcdefghijklmnopqrstuvwxyz0123456789-"),
                        strlen(scheduler->name));
        CU_ASSERT(strchr(scheduler->doc, '\n') == NULL);
        CU_ASSERT_PTR_NOT_NULL(scheduler->plan);
        CU_ASSERT(scheduler->default_watermark >= 0 && scheduler->default_watermark < 1);
        int roles = 0;
        for (int role = 0; role < ROLE_COUNT; role++) {
            roles += scheduler->roles[role];
            has_role[role] |= scheduler->roles[role];
        }
        CU_ASSERT(roles > 0);
        for (int j = 0; j < i; j++)
            CU_ASSERT_STRING_NOT_EQUAL(schedulers[j]->name, scheduler->name);
    }
    CU_ASSERT(has_role[ROLE_UNIFIED] && has_role[ROLE_PREFILL] && has_role[ROLE_DECODE]);
}

/* A scheduler where it cannot be used is the user's error, with a remedy. */
static void test_wrong_role(void)
{
    for (int i = 0; schedulers[i]; i++)
        for (int role = 0; role < ROLE_COUNT; role++) {
            if (schedulers[i]->roles[role])
                continue;
            struct experiment *experiment =
                experiment_new(role == ROLE_UNIFIED ? experiment_unified : experiment_disaggregated);
            experiment_synthetic(experiment, "{\"fixed\": 5}", "{\"fixed\": 5}", "\"all-at-once\"", 1);
            experiment_set(experiment, "cluster.pools[%s].scheduler.policy=%s", role_names[role],
                           schedulers[i]->name);
            struct outcome outcome = experiment_run(experiment);
            CU_ASSERT_EQUAL(outcome.status, SIM_USER_ERROR);
            CU_ASSERT_PTR_NOT_NULL(strstr(outcome.error.text, schedulers[i]->name));
            outcome_clear(&outcome);
            experiment_free(experiment);
        }
}

/* Everything that the runs above took was given back. */
static void test_memory(void)
{
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"names, docs, roles", test_table},
        {"a role that it has not", test_wrong_role},
        {"random clusters: conservation, all modes", test_random},
        {"preemptions do occur", test_preemptions_occur},
        {"a run of centuries", test_centuries},
        {"the same requests", test_same_tokens},
        {"the same again", test_same_again},
        {"no memory left behind", test_memory},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("schedulers", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
