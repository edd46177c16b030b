/* What every KV allocator must keep to in whole runs: random clusters and workloads with little room, unified
 * and disaggregated, lanes and pipeline stages; all modes of the instance, and the tokens that paged gives. A
 * new allocator is found by itself; those of the program are tried with several settings. */
#include "test.h"

#include "experiment.h"
#include "tandem/kv.h"
#include "tandem/mem.h"
#include "tandem/rng.h"

#define SEEDS       40
#define MOST_PROMPT 120
#define MOST_OUTPUT 60
#define LONGEST     (MOST_PROMPT + MOST_OUTPUT)
#define REQUESTS    60

struct variant {
    const char *name, *keys; /* beside those of every allocator */
    bool moves, strands;     /* it has to copy sequences, and to leave blocks free that nobody can use */
};

static const struct variant variants[] = {
    {"paged", "", false, false},
    {"contiguous-max", ", \"max_length_tokens\": 180", false, false},
    {"contiguous-exact", "", true, true},
    {"contiguous-exact", ", \"growth_tokens\": 24, \"compaction\": true", true, false},
    {"slab", ", \"slab_classes_tokens\": [40, 100, 180]", true, true},
};

struct dice {
    uint64_t seed, count;
};

static int64_t roll(struct dice *dice, int64_t below)
{
    return (int64_t)(rng_bits(dice->seed, 1, RNG_ROUTER, dice->count++) % (uint64_t)below);
}

/* Room for one to eight of the longest requests, of each of three classes of slabs for one at least. */
static void set_pool(struct experiment *experiment, struct dice *dice, const char *pool,
                     const struct variant *variant, int64_t block_tokens)
{
    int64_t least = strcmp(variant->name, "slab") == 0 ? 3 : 1,
            longest = (LONGEST + block_tokens - 1) / block_tokens;
    int64_t blocks = longest * (least + roll(dice, 6)) + roll(dice, longest);
    int alloc_us = (const int[]){0, 0, 70}[roll(dice, 3)];
    int64_t seqs = (const int64_t[]){3, 8, 30}[roll(dice, 3)];
    int64_t budget = seqs + (const int64_t[]){1, 64, 500}[roll(dice, 3)];
    experiment_set(experiment,
                   "cluster.pools[%s].kv={\"allocator\": \"%s\", \"block_tokens\": %d, \"blocks\": %d, "
                   "\"alloc_us\": %d%s}",
                   pool, variant->name, (int)block_tokens, (int)blocks, alloc_us, variant->keys);
    experiment_set(experiment, "cluster.pools[%s].scheduler.max_num_seqs=%d", pool, (int)seqs);
    experiment_set(experiment, "cluster.pools[%s].scheduler.max_num_batched_tokens=%d", pool, (int)budget);
    experiment_set(experiment, "cluster.pools[%s].scheduler.long_prefill_token_threshold=%d", pool,
                   (const int[]){0, 33}[roll(dice, 2)]);
    experiment_set(experiment, "cluster.pools[%s].instances=%d", pool, (int)(1 + roll(dice, 2)));
    experiment_set(experiment, "cluster.pools[%s].max_model_len=%d", pool, LONGEST);
    if (roll(dice, 3) == 0 && strcmp(pool, "prefill") != 0)
        experiment_set(experiment, "cluster.pools[%s].scheduler.preemption=swap", pool);
}

static struct experiment *make_case(const struct variant *variant, bool disaggregated, uint64_t seed)
{
    static const char *const arrivals[] = {"\"all-at-once\"", "{\"poisson\": {\"rate_per_s\": 60}}",
                                           "{\"closed_loop\": {\"users\": 12, \"think_time_s\": 0.05}}"};
    struct dice dice = {seed, 0};
    struct experiment *experiment =
        experiment_new(disaggregated ? experiment_disaggregated : experiment_unified);
    int64_t block_tokens = (const int64_t[]){1, 4, 7, 16}[roll(&dice, 4)];
    experiment_synthetic(experiment, "{\"uniform\": {\"min\": 1, \"max\": 120}}",
                         roll(&dice, 2) ? "{\"uniform\": {\"min\": 1, \"max\": 60}}" : "{\"fixed\": 60}",
                         arrivals[roll(&dice, 3)], REQUESTS);
    experiment_set(experiment, "seed=%llu", (unsigned long long)seed);
    if (disaggregated) {
        set_pool(experiment, &dice, "prefill", variant, block_tokens);
        set_pool(experiment, &dice, "decode", variant, block_tokens);
        experiment_set(experiment, "cluster.handoff.first_token=%s",
                       (const char *const[]){"decode", "prefill", "relay"}[roll(&dice, 3)]);
    } else {
        set_pool(experiment, &dice, "unified", variant, block_tokens);
        int64_t policy = roll(&dice, 7);
        experiment_set(experiment, "cluster.pools[unified].scheduler.policy=%s",
                       policy < 3   ? "chunked"
                       : policy < 6 ? "continuous"
                                    : "static");
        if (policy == 6) {
            experiment_set(experiment, "cluster.pools[unified].scheduler.preemption=recompute");
            experiment_set(experiment, "workload.max_tokens=80");
        }
    }
    return experiment;
}

/* What happened in all runs of a variant. */
struct happened {
    uint64_t preemptions, swaps, allocations, copies, compactions;
    double external, delay;
};

static void add_happened(struct happened *happened, const struct outcome *outcome)
{
    happened->preemptions += outcome->summary.preemptions;
    happened->swaps += outcome->summary.swaps;
    for (size_t i = 0; i < outcome->instance_count; i++) {
        const struct instance_row *instance = &outcome->instances[i];
        happened->allocations += instance->kv_allocations;
        happened->copies += instance->kv_copies;
        happened->compactions += instance->kv_compactions;
        happened->external += instance->kv_external_fragmentation;
        happened->delay += (double)instance->kv_allocation_ns;
    }
}

/* Runs an experiment in all modes and takes it. */
static struct outcome run_modes(struct experiment *experiment)
{
    struct outcome outcome = experiment_run_modes(experiment, 1000000);
    CU_ASSERT_EQUAL(outcome.summary.completed, REQUESTS);
    experiment_free(experiment);
    return outcome;
}

/* The same requests with paged blocks, for the tokens. */
static void check_tokens(const struct outcome *outcome, bool disaggregated, uint64_t seed)
{
    struct experiment *experiment = make_case(&variants[0], disaggregated, seed);
    struct outcome paged = experiment_run_well(experiment);
    experiment_free(experiment);
    CU_ASSERT_EQUAL(outcome->summary.output_tokens, paged.summary.output_tokens);
    CU_ASSERT_EQUAL(outcome->summary.prompt_tokens, paged.summary.prompt_tokens);
    outcome_clear(&paged);
}

static void run_variant(const struct variant *variant)
{
    for (int disaggregated = 0; disaggregated < 2; disaggregated++) {
        struct happened happened = {0};
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct experiment *experiment = make_case(variant, disaggregated, seed);
            struct outcome outcome = run_modes(experiment);
            check_tokens(&outcome, disaggregated, seed);
            add_happened(&happened, &outcome);
            outcome_clear(&outcome);
        }
        printf("\n    %s%s, %s: %llu preemptions, %llu allocations, %llu copies, %llu compactions, %.3f "
               "stranded",
               variant->name, variant->keys, disaggregated ? "disaggregated" : "unified",
               (unsigned long long)happened.preemptions, (unsigned long long)happened.allocations,
               (unsigned long long)happened.copies, (unsigned long long)happened.compactions,
               happened.external / SEEDS);
        CU_ASSERT(happened.allocations > 0 && happened.delay > 0);
        CU_ASSERT_EQUAL(happened.swaps > 0, happened.preemptions > 0);
        /* Who has room for the longest is never in want of more. */
        CU_ASSERT_EQUAL(happened.preemptions > 20, strcmp(variant->name, "contiguous-max") != 0);
        CU_ASSERT_EQUAL(happened.copies > 0, variant->moves);
        CU_ASSERT_EQUAL(happened.compactions > 0, strstr(variant->keys, "compaction") != NULL);
        CU_ASSERT_EQUAL(happened.external > 0, variant->strands);
    }
}

static void test_program(void)
{
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        run_variant(&variants[i]);
}

static bool has_variant(const struct kv_allocator *allocator)
{
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (strcmp(variants[i].name, allocator->name) == 0)
            return true;
    return false;
}

/* Allocators that the program has not: with their defaults, and whatever they do. */
static void test_others(void)
{
    for (int i = 0; kv_allocators[i]; i++) {
        struct variant variant = {.name = kv_allocators[i]->name, .keys = ""};
        struct happened happened = {0};
        if (has_variant(kv_allocators[i]))
            continue;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct outcome outcome = run_modes(make_case(&variant, seed % 2, seed));
            check_tokens(&outcome, seed % 2, seed);
            add_happened(&happened, &outcome);
            outcome_clear(&outcome);
        }
        printf("\n    %s: %llu preemptions, %llu copies", variant.name,
               (unsigned long long)happened.preemptions, (unsigned long long)happened.copies);
        CU_ASSERT(happened.allocations > 0);
    }
}

/* Lanes and micro-batches have caches of their own; those that step together wait for the longest copy. */
static void test_members(void)
{
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        struct happened happened = {0};
        for (uint64_t seed = 1; seed <= 4; seed++) {
            struct experiment *experiment = make_case(&variants[i], false, seed);
            experiment_set(experiment, "model=mixtral-8x7b");
            experiment_set(experiment, "cluster.pools[unified].attention_data_parallel=2");
            experiment_set(experiment, "cluster.pools[unified].expert_parallel=2");
            experiment_set(experiment, "cluster.pools[unified].pipeline_parallel=2");
            experiment_set(experiment, "cluster.pools[unified].kv.block_tokens=8");
            experiment_set(experiment, "cluster.pools[unified].kv.blocks=%d", 2 * 23 * (3 + (int)seed % 2));
            struct outcome outcome = run_modes(experiment);
            add_happened(&happened, &outcome);
            outcome_clear(&outcome);
        }
        CU_ASSERT_EQUAL(happened.copies > 0, variants[i].moves);
    }
}

static void test_memory(void)
{
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"random clusters: conservation, all modes, the tokens of paged", test_program},
        {"allocators that are not the program's", test_others},
        {"lanes and pipeline stages", test_members},
        {"no memory left behind", test_memory},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("KV allocators in whole runs", cases, sizeof cases / sizeof *cases);
    MPI_Finalize();
    return code;
}
