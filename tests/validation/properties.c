/* What no combination of policy, allocator, preemption, order and layout may break, on random workloads with
 * little room; and that the combinations that make no sense are refused. A failing case prints its
 * experiment. Times are in whole milliseconds and bins of the time series one long, so that a bin is a
 * moment. New policies and allocators are found by themselves. */
#include "test.h"

#include "experiment.h"
#include "tandem/activations.h"
#include "tandem/kv.h"
#include "tandem/mem.h"
#include "tandem/rng.h"
#include "tandem/scheduler.h"

#define MS          INT64_C(1000000)
#define SEEDS       8 /* of each combination */
#define REQUESTS    40
#define MOST_PROMPT 120
#define MOST_OUTPUT 60
#define LONGEST     (MOST_PROMPT + MOST_OUTPUT)
#define PREFILL_MS  2
#define DECODE_MS   1

/* Keys that show more of an allocator than its defaults do. */
static const struct {
    const char *name, *keys;
} variants[] = {
    {"contiguous-max", ", \"max_length_tokens\": 180"},
    {"contiguous-exact", ", \"growth_tokens\": 20"},
    {"contiguous-exact", ", \"compaction\": true"},
    {"slab", ", \"slab_classes_tokens\": [40, 100, 180]"},
};

struct dice {
    uint64_t seed, count;
};

static int64_t roll(struct dice *dice, int64_t below)
{
    return (int64_t)(rng_bits(dice->seed, 5, RNG_ROUTER, dice->count++) % (uint64_t)below);
}

/* One combination. */
struct combination {
    const struct scheduler *policy;
    const struct kv_allocator *allocator;
    const char *keys;
    enum preemption preemption;
};

/* Room for the longest request beside the watermark, seldom for much more: for each of so many micro-batches.
 */
static void set_room(struct experiment *experiment, struct dice *dice, const struct combination *of,
                     const char *pool, int64_t block_tokens, int64_t micro_batches)
{
    static const double watermarks[] = {-1, 0, 0.01, 0.15}, high[] = {0, 0, 0.2, 0.6};
    double watermark = watermarks[roll(dice, 4)], kept = watermark > 0 ? watermark : 0.01;
    int64_t longest = (LONGEST + block_tokens - 1) / block_tokens;
    int64_t places = (strcmp(of->allocator->name, "slab") == 0 ? 4 : 1) + roll(dice, 3);
    int64_t blocks = (int64_t)((double)(longest * places) / (1 - kept)) + 1 + roll(dice, longest);
    int64_t seqs = (const int64_t[]){2, 5, 30}[roll(dice, 3)] * micro_batches;
    int64_t budget = seqs + (const int64_t[]){0, 9, 64, 500}[roll(dice, 4)];
    int64_t alloc_us = of->allocator->place ? roll(dice, 2) * 1000 : 0;
    double continues = high[roll(dice, 4)], space_gib = (const double[]){0.05, 4, 4}[roll(dice, 3)];
    int threshold = (const int[]){0, 33}[roll(dice, 2)];
    const char *chunked = roll(dice, 2) ? "true" : "false", *victim = victim_names[roll(dice, 2)];
    experiment_set(experiment,
                   "cluster.pools[%s].kv={\"allocator\": \"%s\", \"block_tokens\": %lld, \"blocks\": %lld, "
                   "\"alloc_us\": %lld%s}",
                   pool, of->allocator->name, (long long)block_tokens, (long long)(blocks * micro_batches),
                   (long long)alloc_us, of->keys);
    experiment_set(
        experiment,
        "cluster.pools[%s].scheduler={\"max_num_seqs\": %lld, \"max_num_batched_tokens\": %lld, "
        "\"watermark\": %g, \"watermark_high\": %g, \"long_prefill_token_threshold\": %d, "
        "\"chunked_prefill\": %s, \"victim\": \"%s\", \"swap_gb_per_s\": 1e6, \"swap_space_gib\": %g}",
        pool, (long long)seqs, (long long)budget, watermark, continues, threshold, chunked, victim,
        space_gib);
    experiment_set(experiment, "cluster.pools[%s].instances=%lld", pool, (long long)(1 + roll(dice, 2)));
    experiment_set(experiment, "cluster.pools[%s].max_model_len=%d", pool, LONGEST);
    experiment_set(experiment,
                   "cluster.pools[%s].timer={\"level\": \"fixed\", \"prefill_ms\": %d, \"decode_ms\": %d}",
                   pool, PREFILL_MS, DECODE_MS);
}

static void set_workload(struct experiment *experiment, struct dice *dice)
{
    static const char *const arrivals[] = {"\"all-at-once\"", "{\"poisson\": {\"rate_per_s\": 200}}",
                                           "{\"closed_loop\": {\"users\": 12, \"think_time_s\": 0.01}}"};
    experiment_synthetic(experiment, "{\"uniform\": {\"min\": 1, \"max\": 120}}",
                         roll(dice, 2) ? "{\"uniform\": {\"min\": 1, \"max\": 60}}" : "{\"fixed\": 60}",
                         arrivals[roll(dice, 3)], REQUESTS);
    experiment_set(experiment, "workload.max_tokens=%lld", (long long)(roll(dice, 2) * 60));
    experiment_set(experiment, "workload.synthetic.priority_shares=[0.2, 0.3, 0.5]");
    experiment_set(experiment, "seed=%llu", (unsigned long long)dice->seed);
    experiment_set(experiment, "output.timeseries_interval_ms=1");
}

/* Two lanes of two micro-batches. */
static void divide(struct experiment *experiment, const char *pool)
{
    experiment_set(experiment, "model=mixtral-8x7b");
    experiment_set(experiment, "cluster.pools[%s].attention_data_parallel=2", pool);
    experiment_set(experiment, "cluster.pools[%s].expert_parallel=2", pool);
    experiment_set(experiment, "cluster.pools[%s].pipeline_parallel=2", pool);
}

/* A unified pool; the same workload and room for all policies of a seed. */
static struct experiment *unified(const struct combination *of, uint64_t seed, bool divided)
{
    struct dice dice = {seed, 0};
    struct experiment *experiment = experiment_new(experiment_unified);
    set_workload(experiment, &dice);
    set_room(experiment, &dice, of, "unified", (const int64_t[]){1, 4, 7, 16}[roll(&dice, 4)],
             divided ? 2 : 1);
    experiment_set(experiment, "cluster.pools[unified].scheduler.policy=%s", of->policy->name);
    experiment_set(experiment, "cluster.pools[unified].scheduler.preemption=%s",
                   preemption_names[of->preemption]);
    experiment_set(experiment, "cluster.pools[unified].scheduler.order=%s", order_names[roll(&dice, 4)]);
    experiment_set(experiment, "cluster.pools[unified].scheduler.static_batch_size=%lld",
                   (long long)(1 + roll(&dice, 20)));
    experiment_set(experiment, "cluster.pools[unified].scheduler.static_timeout_ms=%lld",
                   (long long)roll(&dice, 30));
    for (int i = 0; i < 3; i++)
        experiment_set(experiment, "cluster.pools[unified].scheduler.adaptive_%s_tokens=%lld",
                       (const char *const[]){"base", "load", "long"}[i], (long long)(1 + roll(&dice, 50)));
    experiment_set(experiment, "cluster.pools[unified].scheduler.adaptive_long_prompt_tokens=100");
    experiment_set(experiment, "cluster.pools[unified].scheduler.adaptive_short_prompt_tokens=30");
    if (divided)
        divide(experiment, "unified");
    return experiment;
}

/* A prefill and a decode pool, both with the allocator; of every third case divided. */
static struct experiment *pair(const struct combination *of, uint64_t seed)
{
    struct dice dice = {seed, 0};
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    int64_t block_tokens = (const int64_t[]){1, 4, 7, 16}[roll(&dice, 4)], members = seed % 3 == 0 ? 2 : 1;
    set_workload(experiment, &dice);
    set_room(experiment, &dice, of, "prefill", block_tokens, members);
    set_room(experiment, &dice, of, "decode", block_tokens, members);
    if (members > 1) {
        divide(experiment, "prefill");
        divide(experiment, "decode");
    }
    experiment_set(experiment, "cluster.pools[prefill].scheduler.order=%s", order_names[roll(&dice, 4)]);
    experiment_set(experiment, "cluster.pools[decode].scheduler.policy=%s", of->policy->name);
    experiment_set(experiment, "cluster.pools[decode].scheduler.preemption=%s",
                   preemption_names[of->preemption]);
    experiment_set(experiment, "cluster.handoff.first_token=%s",
                   (const char *const[]){"decode", "prefill", "relay"}[roll(&dice, 3)]);
    if (roll(&dice, 2) && members == 1) {
        experiment_set(experiment,
                       "cluster.router.role_switch={\"interval_ms\": 10, \"prefill_high_tokens\": 200, "
                       "\"prefill_low_tokens\": 100, \"decode_high_kv\": 0.5, \"decode_low_kv\": 0.5, "
                       "\"switch_ms\": 3}");
        for (int i = 0; i < 2; i++) {
            experiment_set(experiment, "cluster.pools[%d].instances=2", i);
            experiment_set(experiment, "cluster.pools[%d].scheduler.max_num_batched_tokens=200", i);
        }
    }
    if (roll(&dice, 2))
        experiment_set(experiment, "cluster.router.mixed.prefill_tokens=%lld",
                       (long long)(1 + roll(&dice, 300)));
    if (roll(&dice, 2))
        experiment_set(experiment, "cluster.router.mixed.decode_kv=%g", 0.2 + 0.2 * (double)roll(&dice, 4));
    return experiment;
}

/* Blocks of 16 tokens (or so) lie anywhere, and only the last one of a sequence is not full: over the run,
 * what is in blocks and not cached is less than a block for each running sequence and what is being computed.
 * Without a preemption, each request took the blocks that it needed, and no more. */
static void check_paged(const struct outcome *outcome)
{
    double block_tokens = (double)outcome->pools[0].kv_block_tokens, unused = 0, running = 0, computing = 0;
    double capacity = (double)outcome->pools[0].kv_capacity_blocks * outcome->pools[0].instances;
    uint64_t blocks = 0, allocated = 0;
    for (size_t i = 0; i < outcome->series_count; i++) {
        const struct series_bin_row *bin = &outcome->series[0][i];
        unused += (bin->kv_used - bin->kv_cached) * capacity * block_tokens;
        running += bin->running;
        computing += (double)(bin->prefill_tokens * PREFILL_MS + bin->output_tokens * PREFILL_MS);
    }
    double bin_ms = (double)outcome->series_interval_ns / 1e6;
    CU_ASSERT(unused * bin_ms <= 1.01 * ((block_tokens - 1) * running * bin_ms + computing));
    for (size_t i = 0; i < outcome->row_count; i++)
        blocks += (outcome->rows[i].prompt_tokens + outcome->rows[i].output_tokens - 2) /
                      outcome->pools[0].kv_block_tokens +
                  1;
    for (size_t i = 0; i < outcome->instance_count; i++)
        allocated += outcome->instances[i].kv_allocated_blocks;
    if (outcome->summary.preemptions == 0)
        CU_ASSERT_EQUAL(allocated, blocks);
}

/* What happened in the runs of a test. */
struct happened {
    uint64_t runs, preemptions, swaps, copies, switches;
};

/* Runs a case in all modes. Adds to what happened. */
static struct outcome run_case(struct experiment *experiment, struct happened *happened)
{
    struct outcome outcome = experiment_run_modes(experiment, MS);
    CU_ASSERT_EQUAL(outcome.summary.completed, REQUESTS);
    happened->runs++;
    happened->preemptions += outcome.summary.preemptions;
    happened->swaps += outcome.summary.swaps;
    for (size_t i = 0; i < outcome.instance_count; i++)
        happened->copies += outcome.instances[i].kv_copies;
    for (size_t i = 0; i < outcome.pool_count; i++)
        happened->switches += outcome.pools[i].role_switches;
    return outcome;
}

/* The same requests with the same tokens, whatever batched them. */
static bool same_tokens(const struct outcome *a, const struct outcome *b)
{
    bool same = a->row_count == b->row_count && a->summary.output_tokens == b->summary.output_tokens;
    for (size_t i = 0; same && i < a->row_count; i++)
        same = a->rows[i].prompt_tokens == b->rows[i].prompt_tokens &&
               a->rows[i].output_tokens == b->rows[i].output_tokens &&
               a->rows[i].priority == b->rows[i].priority && a->rows[i].status == b->rows[i].status;
    return same;
}

/* Every policy of unified pools with one allocator, one preemption and one seed. */
static void run_policies(struct combination of, uint64_t seed, bool divided, struct happened *happened)
{
    struct outcome first = {0};
    for (int i = 0; schedulers[i]; i++) {
        if (!schedulers[i]->roles[ROLE_UNIFIED])
            continue;
        unsigned failures = CU_get_number_of_failures();
        of.policy = schedulers[i];
        struct experiment *experiment = unified(&of, seed, divided);
        struct outcome outcome = run_case(experiment, happened);
        if (!of.allocator->place && !divided && strcmp(of.policy->name, "static") != 0)
            check_paged(&outcome);
        if (first.rows)
            CU_ASSERT_TRUE(same_tokens(&first, &outcome));
        if (CU_get_number_of_failures() > failures)
            experiment_print(experiment);
        experiment_free(experiment);
        if (first.rows)
            outcome_clear(&outcome);
        else
            first = outcome;
    }
    outcome_clear(&first);
}

static void run_pair(struct combination of, uint64_t seed, struct happened *happened)
{
    for (int i = 0; schedulers[i]; i++) {
        if (!schedulers[i]->roles[ROLE_DECODE])
            continue;
        of.policy = schedulers[i];
        struct experiment *experiment = pair(&of, seed);
        struct outcome outcome = run_case(experiment, happened);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

enum layout { ONE, DIVIDED, PAIR };

static void run_allocator(const struct kv_allocator *allocator, const char *keys, enum layout layout,
                          int seeds)
{
    static const char *const layouts[] = {"unified", "lanes and stages", "pair"};
    struct happened happened = {0};
    for (int preemption = PREEMPTION_RECOMPUTE; preemption <= PREEMPTION_SWAP; preemption++)
        for (uint64_t seed = 1; seed <= (uint64_t)seeds; seed++) {
            struct combination of = {NULL, allocator, keys, (enum preemption)preemption};
            if (layout == PAIR)
                run_pair(of, seed, &happened);
            else
                run_policies(of, seed, layout == DIVIDED, &happened);
        }
    printf(
        "\n    %s%s, %s: %llu preemptions, %llu swaps, %llu copies, %llu changes of role in %llu experiments",
        allocator->name, keys, layouts[layout], (unsigned long long)happened.preemptions,
        (unsigned long long)happened.swaps, (unsigned long long)happened.copies,
        (unsigned long long)happened.switches, (unsigned long long)happened.runs);
    CU_ASSERT_EQUAL(happened.switches > 0, layout == PAIR);
    if (strcmp(allocator->name, "contiguous-max") == 0) {
        CU_ASSERT_EQUAL(happened.preemptions, 0); /* who has room for the longest is never in want of more */
    } else {
        CU_ASSERT(happened.swaps > 10 && happened.preemptions > happened.swaps + 10);
    }
}

static void run_allocators(enum layout layout, int seeds)
{
    for (int i = 0; kv_allocators[i]; i++) {
        bool has_variant = false;
        for (size_t k = 0; k < sizeof variants / sizeof *variants; k++)
            if (strcmp(variants[k].name, kv_allocators[i]->name) == 0) {
                run_allocator(kv_allocators[i], variants[k].keys, layout, seeds);
                has_variant = true;
            }
        if (!has_variant)
            run_allocator(kv_allocators[i], "", layout, seeds);
    }
}

static void test_unified(void)
{
    run_allocators(ONE, SEEDS);
}

static void test_divided(void)
{
    run_allocators(DIVIDED, SEEDS / 2);
}

static void test_pair(void)
{
    run_allocators(PAIR, 2 * SEEDS);
}

/* Settings of one pool, of which some exclude others. */
struct settings {
    const struct scheduler *policy;
    const struct kv_allocator *allocator;
    int role, preemption, cache, activations;
};

/* Why they are refused, in a word of the message; NULL: they are not. */
static const char *reason(const struct settings *settings)
{
    const struct scheduler *policy = settings->policy;
    bool swaps = settings->preemption == PREEMPTION_SWAP, placed = settings->allocator->place != NULL;
    if (!policy->roles[settings->role])
        return policy->name;
    if (swaps && settings->role == ROLE_PREFILL)
        return "preemption 'swap' is for roles unified and decode";
    if (placed && settings->activations != ACTIVATIONS_ENGINE)
        return "activations 'padded' and 'packed' share blocks with the cache";
    if (settings->cache == KV_CACHE_KEPT)
        return NULL;
    if (placed)
        return settings->allocator->name;
    if (settings->role != ROLE_UNIFIED || !policy->without_cache)
        return "cache 'none' needs role unified and a scheduler policy that computes prompts whole";
    return swaps ? "without a KV cache there is nothing to swap" : NULL;
}

/* Whether it ran, in all modes. */
static bool try_settings(const struct settings *settings)
{
    const char *pool = role_names[settings->role], *expected = reason(settings);
    unsigned failures = CU_get_number_of_failures();
    struct experiment *experiment =
        experiment_new(settings->role == ROLE_UNIFIED ? experiment_unified : experiment_disaggregated);
    experiment_synthetic(experiment, "{\"uniform\": {\"min\": 1, \"max\": 120}}",
                         "{\"uniform\": {\"min\": 1, \"max\": 60}}", "\"all-at-once\"", 10);
    experiment_set(experiment, "cluster.pools[%s].scheduler.policy=%s", pool, settings->policy->name);
    experiment_set(experiment, "cluster.pools[%s].scheduler.preemption=%s", pool,
                   preemption_names[settings->preemption]);
    experiment_set(experiment,
                   "cluster.pools[%s].kv={\"allocator\": \"%s\", \"activations\": \"%s\", \"cache\": \"%s\"}",
                   pool, settings->allocator->name, activations_names[settings->activations],
                   settings->cache == KV_CACHE_NONE ? "none" : "kept");
    if (expected) {
        struct outcome outcome = experiment_run(experiment);
        CU_ASSERT_EQUAL(outcome.status, SIM_USER_ERROR);
        CU_ASSERT_PTR_NOT_NULL(strstr(outcome.error.text, expected));
        CU_ASSERT_PTR_NOT_NULL(strstr(outcome.error.text, "cluster.pools["));
        outcome_clear(&outcome);
        if (CU_get_number_of_failures() > failures)
            experiment_print(experiment);
    } else {
        struct outcome outcome = experiment_run_modes(experiment, MS);
        CU_ASSERT_EQUAL(outcome.summary.completed, 10);
        outcome_clear(&outcome);
    }
    experiment_free(experiment);
    return !expected;
}

/* Everything that can be set runs, or is refused for what is wrong with it. */
static void test_combinations(void)
{
    struct settings settings;
    int ran = 0, refused = 0;
    for (int i = 0; schedulers[i]; i++)
        for (int j = 0; kv_allocators[j]; j++)
            for (int role = 0; role < ROLE_COUNT; role++)
                for (int rest = 0; rest < 2 * 2 * 3; rest++) {
                    settings = (struct settings){schedulers[i], kv_allocators[j], role,
                                                 rest % 2,      rest / 2 % 2,     rest / 4};
                    *(try_settings(&settings) ? &ran : &refused) += 1;
                }
    printf("\n    %d combinations run, %d are refused", ran, refused);
    CU_ASSERT(ran > 50 && refused > ran);
}

static void test_memory(void)
{
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"what runs and what is refused", test_combinations},
        {"unified: policies, allocators, preemptions", test_unified},
        {"lanes and stages", test_divided},
        {"prefill and decode", test_pair},
        {"no memory left behind", test_memory},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("properties", cases, sizeof cases / sizeof *cases);
    MPI_Finalize();
    return code;
}
