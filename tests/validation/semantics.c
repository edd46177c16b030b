/* Scheduling and hand-off against the reference simulator, on random instances with too little of everything,
 * of one batch or of lanes and micro-batches. Half of the cases have times in whole milliseconds, so that
 * messages meet iteration ends. */
#include "test.h"

#include "experiment.h"
#include "reference.h"
#include "tandem/rng.h"

#define SEEDS        250
#define OPTION_SEEDS 100
#define REQUESTS     60
#define MOST_PROMPT  150
#define MOST_OUTPUT  50

#define MODEL         "llama-2-7b"
#define DIVIDED_MODEL "mixtral-8x7b"

struct dice {
    uint64_t seed, count;
};

static int64_t roll(struct dice *dice, int64_t below)
{
    return (int64_t)(rng_bits(dice->seed, 2, RNG_ROUTER, dice->count++) % (uint64_t)below);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static struct reference_pool roll_pool(struct dice *dice, int64_t block_tokens)
{
    int64_t need = (MOST_PROMPT + MOST_OUTPUT + block_tokens - 1) / block_tokens;
    int64_t seqs = (const int64_t[]){1, 2, 3, 8, 40}[roll(dice, 5)];
    return (struct reference_pool){
        .lanes = 1,
        .stages = 1,
        .block_tokens = block_tokens,
        .blocks = need + need * (const int64_t[]){3, 6, 10, 40}[roll(dice, 4)] / 10,
        .budget = seqs + (const int64_t[]){0, 1, 9, 64, 600}[roll(dice, 5)],
        .seqs = seqs,
        .threshold = (const int64_t[]){0, 0, 7, 33}[roll(dice, 4)],
        .watermark = (const double[]){0, 0.01, 0.2}[roll(dice, 3)],
        .watermark_high = (const double[]){0, 0, 0.2, 0.5}[roll(dice, 4)],
        .order = (enum scheduler_order)roll(dice, 4),
        .batch_size = (const int64_t[]){1, 3, 8, 40}[roll(dice, 4)],
        .timeout_ns = (const int64_t[]){0, 7, 100}[roll(dice, 3)] * 1000000,
        .adaptive = {.base_tokens = 16 + roll(dice, 40),
                     .load = (const double[]){0.3, 0.8}[roll(dice, 2)],
                     .load_tokens = 5 + roll(dice, 9),
                     .long_prompt_tokens = 110,
                     .long_tokens = 11,
                     .short_prompt_tokens = 60},
        .by_priority = roll(dice, 2),
    };
}

static void set_pool(struct experiment *experiment, const char *name, const struct reference_pool *pool,
                     const char *policy)
{
    const struct scheduler_adaptive *adaptive = &pool->adaptive;
    experiment_set(experiment,
                   "cluster.pools[%s].scheduler={\"policy\": \"%s\", \"max_num_batched_tokens\": %lld, "
                   "\"max_num_seqs\": %lld, \"long_prefill_token_threshold\": %lld, \"watermark\": %.17g, "
                   "\"chunked_prefill\": %s, \"watermark_high\": %.17g, \"order\": \"%s\", "
                   "\"static_batch_size\": %lld, \"static_timeout_ms\": %lld, "
                   "\"adaptive_base_tokens\": %lld, \"adaptive_load\": %g, \"adaptive_load_tokens\": %lld, "
                   "\"adaptive_long_prompt_tokens\": %lld, \"adaptive_long_tokens\": %lld, "
                   "\"adaptive_short_prompt_tokens\": %lld, \"victim\": \"%s\"}",
                   name, policy, (long long)pool->budget, (long long)pool->seqs, (long long)pool->threshold,
                   pool->watermark, pool->policy == REFERENCE_CHUNKED ? "true" : "false",
                   pool->watermark_high, order_names[pool->order], (long long)pool->batch_size,
                   (long long)pool->timeout_ns / 1000000, (long long)adaptive->base_tokens, adaptive->load,
                   (long long)adaptive->load_tokens, (long long)adaptive->long_prompt_tokens,
                   (long long)adaptive->long_tokens, (long long)adaptive->short_prompt_tokens,
                   victim_names[pool->by_priority]);
    experiment_set(experiment, "cluster.pools[%s].kv={\"block_tokens\": %lld, \"blocks\": %lld}", name,
                   (long long)pool->block_tokens, (long long)pool->blocks);
}

/* Static batches whose slots lie in one run each; slabs have a third of the blocks for each class. */
static void set_places(struct experiment *experiment, uint64_t seed, struct reference_pool *pool)
{
    static const char *const keys[] = {[REFERENCE_MAX] = "\"contiguous-max\", \"max_length_tokens\": 200",
                                       [REFERENCE_EXACT] = "\"contiguous-exact\"",
                                       [REFERENCE_SLAB] =
                                           "\"slab\", \"slab_classes_tokens\": [70, 130, 200]"};
    static const int64_t tokens[REFERENCE_CLASSES] = {70, 130, MOST_PROMPT + MOST_OUTPUT};
    pool->places = (enum reference_places)(REFERENCE_MAX + seed / 2 % 3);
    memcpy(pool->place_tokens, tokens, sizeof tokens);
    experiment_set(experiment,
                   "cluster.pools[unified].kv={\"allocator\": %s, \"block_tokens\": %lld, \"blocks\": %lld}",
                   keys[pool->places], (long long)pool->block_tokens, (long long)pool->blocks);
}

/* Requests in bursts; whole milliseconds or any time. */
static void roll_requests(struct dice *dice, bool whole_ms, struct experiment_request *requests)
{
    int64_t now_ns = 0, mean_us = (const int64_t[]){100, 4000, 30000}[roll(dice, 3)];
    for (int i = 0; i < REQUESTS; i++) {
        requests[i] = (struct experiment_request){.send_ns = now_ns,
                                                  .prompt_tokens = 1 + roll(dice, MOST_PROMPT),
                                                  .output_tokens = 1 + roll(dice, MOST_OUTPUT),
                                                  .priority = roll(dice, 3)};
        requests[i].max_tokens = requests[i].output_tokens + roll(dice, 2) * roll(dice, 2 * MOST_OUTPUT);
        now_ns += roll(dice, 3) == 0 ? roll(dice, 6 * mean_us) * 1000 + roll(dice, 1000) : 0;
        if (whole_ms)
            now_ns -= now_ns % 1000000;
    }
}

static int row_differs(const struct row *row, const struct reference_row *reference)
{
    return row->ttft_ns != reference->ttft_ns || row->ttft_prefill_ns != reference->ttft_prefill_ns ||
           row->e2e_ns != reference->e2e_ns || row->max_itl_ns != reference->max_itl_ns ||
           row->prefill_queue_ns != reference->prefill_queue_ns ||
           row->decode_queue_ns != reference->decode_queue_ns || row->transfer_ns != reference->transfer_ns ||
           row->admission_ns != reference->admission_ns || row->stalled_ns != reference->stalled_ns ||
           row->interference_ns != reference->interference_ns || row->blocked_ns != reference->blocked_ns ||
           row->preemptions != reference->preemptions || row->swaps != reference->swaps;
}

static void print_row(const struct row *row, const struct reference_row *reference)
{
    printf("\n    request %llu (%u, %u): ttft %lld, reference %lld; e2e %lld, %lld; stalled %lld, %lld; "
           "interference %lld, %lld; blocked %lld, %lld; preempted %u, %u",
           (unsigned long long)row->id, row->prompt_tokens, row->output_tokens, (long long)row->ttft_ns,
           (long long)reference->ttft_ns, (long long)row->e2e_ns, (long long)reference->e2e_ns,
           (long long)row->stalled_ns, (long long)reference->stalled_ns, (long long)row->interference_ns,
           (long long)reference->interference_ns, (long long)row->blocked_ns,
           (long long)reference->blocked_ns, row->preemptions, reference->preemptions);
}

static void check_instance(const struct instance_row *instance, const struct reference_sums *sums,
                           int64_t block_bytes)
{
    CU_ASSERT_EQUAL(instance->prefill_iterations, sums->prefill_iterations);
    CU_ASSERT_EQUAL(instance->decode_iterations, sums->decode_iterations);
    CU_ASSERT_EQUAL(instance->mixed_iterations, sums->mixed_iterations);
    CU_ASSERT_EQUAL(instance->prefill_tokens, sums->prefill_tokens);
    CU_ASSERT_EQUAL(instance->output_tokens, sums->output_tokens);
    CU_ASSERT_EQUAL(instance->kv_allocated_blocks, sums->allocated_blocks);
    CU_ASSERT_EQUAL(instance->kv_peak_blocks, sums->peak_blocks);
    CU_ASSERT_EQUAL(instance->swapped_out_bytes, sums->swapped_out_blocks * (uint64_t)block_bytes);
    CU_ASSERT_EQUAL(instance->swapped_in_bytes, sums->swapped_in_blocks * (uint64_t)block_bytes);
}

/* How often something happened in all runs of a test. */
struct counts {
    uint64_t preemptions, swaps, last_preemptions; /* the last: of the last instance */
};

/* Runs both. */
static void compare(struct experiment *experiment, struct reference_config *config,
                    const struct experiment_request *requests, uint64_t seed, struct counts *counts)
{
    static struct reference_row rows[REQUESTS];
    struct reference_sums sums[2];
    experiment_trace(experiment, requests, REQUESTS);
    struct outcome outcome = experiment_run_well(experiment);
    reference_run(config, requests, REQUESTS, rows, sums);
    CU_ASSERT_EQUAL_FATAL(outcome.row_count, REQUESTS);
    CU_ASSERT_EQUAL(outcome.summary.completed, REQUESTS);
    int different = 0;
    for (size_t i = 0; i < REQUESTS; i++) {
        CU_ASSERT_EQUAL(outcome.rows[i].arrival_ns, requests[i].send_ns);
        if (row_differs(&outcome.rows[i], &rows[i]) && different++ == 0)
            print_row(&outcome.rows[i], &rows[i]);
    }
    if (different > 0) {
        printf("\n    seed %llu: %d rows differ", (unsigned long long)seed, different);
        experiment_print(experiment);
    }
    CU_ASSERT_EQUAL(different, 0);
    for (size_t i = 0; i < outcome.instance_count; i++)
        check_instance(&outcome.instances[i], &sums[i],
                       config->bytes_per_token * (i > 0 ? config->decode : config->entry).block_tokens);
    counts->preemptions += outcome.summary.preemptions;
    counts->swaps += outcome.summary.swaps;
    counts->last_preemptions += outcome.instances[outcome.instance_count - 1].preemptions;
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Timers of a pool: calibrated, or fixed with whole milliseconds. */
static void set_timers(struct experiment *experiment, bool whole_ms, const char *model, const char *name,
                       struct reference_pool *pool)
{
    struct model_layout layout = model_layout(1, DTYPE_BF16, DTYPE_BF16);
    layout.pipeline_parallel = pool->stages;
    layout.lanes = layout.expert_parallel = pool->lanes;
    if (whole_ms)
        experiment_set(experiment,
                       "cluster.pools[%s].timer={\"level\": \"fixed\", \"prefill_ms\": 5, \"decode_ms\": 2}",
                       name);
    for (int64_t stage = 0; stage < pool->stages; stage++)
        pool->timers[stage] = reference_timer(model, &layout, stage, whole_ms ? 5 : 0, whole_ms ? 2 : 0);
}

static void free_timers(const struct reference_pool *pool)
{
    for (int64_t stage = 0; stage < pool->stages; stage++)
        timer_free(pool->timers[stage]);
}

/* The pool as lanes and micro-batches of a model with experts (8 of them, 32 layers): as much of everything
 * for each, or nearly so, and leftovers to be cut off. */
static void divide(struct dice *dice, struct experiment *experiment, const char *name,
                   struct reference_pool *pool)
{
    pool->lanes = (const int64_t[]){1, 2, 2, 4}[roll(dice, 4)];
    pool->stages = (const int64_t[]){1, 2, 2, 3}[roll(dice, 4)];
    pool->blocks = pool->blocks * pool->stages + roll(dice, pool->stages);
    pool->seqs = (pool->seqs + 1) * pool->stages - roll(dice, pool->stages);
    pool->budget += pool->seqs;
    experiment_set(experiment, "model=%s", DIVIDED_MODEL);
    /* The second simulator knows no network inside an instance. */
    experiment_set(experiment, "cluster.pools[%s].gpus_per_node=16", name);
    experiment_set(experiment, "cluster.pools[%s].gpu.nvlink_domain=16", name);
    experiment_set(experiment, "cluster.pools[%s].pipeline_parallel=%lld", name, (long long)pool->stages);
    experiment_set(experiment, "cluster.pools[%s].attention_data_parallel=%lld", name,
                   (long long)pool->lanes);
    experiment_set(experiment, "cluster.pools[%s].expert_parallel=%lld", name, (long long)pool->lanes);
}

/* What the host takes: nothing, a little, or all that comes; a copy takes whole milliseconds, little, or what
 * it takes by default. layer_bytes: keys and values of a token in one layer. */
static void roll_swap(struct dice *dice, struct experiment *experiment, const char *name, bool whole_ms,
                      int64_t layer_bytes, struct reference_pool *pool)
{
    int64_t layers = (const int64_t[]){32, 16, 11}[pool->stages - 1]; /* of the fullest stage */
    double bytes = (double)(layers * layer_bytes * pool->block_tokens);
    double gb_per_s = whole_ms ? bytes / 1e6 : (const double[]){0, 3, 1000}[roll(dice, 3)];
    pool->host_blocks = (const int64_t[]){0, 1, 3, 100}[roll(dice, 4)] * pool->blocks / 3;
    pool->swap_ns_per_block = bytes / (gb_per_s > 0 ? gb_per_s : 0.8 * 63);
    experiment_set(experiment, "cluster.pools[%s].scheduler.preemption=swap", name);
    experiment_set(experiment, "cluster.pools[%s].scheduler.swap_gb_per_s=%.17g", name, gb_per_s);
    experiment_set(experiment, "cluster.pools[%s].scheduler.swap_space_gib=%.17g", name,
                   (double)pool->host_blocks * bytes / (1 << 30));
}

static void check_counts(const char *name, const struct counts *counts, bool swaps, int runs)
{
    printf("\n    %s: %llu preemptions, %llu of them swaps, in %d runs", name,
           (unsigned long long)counts->preemptions, (unsigned long long)counts->swaps, runs);
    if (strcmp(name, "static") == 0) {
        CU_ASSERT_EQUAL(counts->preemptions, 0);
        return;
    }
    CU_ASSERT(counts->preemptions > counts->swaps + SEEDS / 2);
    CU_ASSERT(swaps ? counts->swaps > SEEDS : counts->swaps == 0);
}

static void unified(const char *policy, enum reference_policy reference_policy, bool divided, bool swaps,
                    bool placed)
{
    struct counts counts = {0};
    const int runs = placed ? SEEDS / 2 : SEEDS;
    for (uint64_t seed = 1; seed <= (uint64_t)runs; seed++) {
        struct dice dice = {seed, 0};
        struct experiment_request requests[REQUESTS];
        struct experiment *experiment = experiment_new(experiment_unified);
        struct reference_config config = {
            .entry = roll_pool(&dice, (const int64_t[]){1, 5, 16}[roll(&dice, 3)]), .latency_ns = 1000000};
        config.bytes_per_token = 32 * (divided ? 4096 : 16384);
        config.entry.policy = reference_policy;
        config.entry.watermark_when_idle = reference_policy == REFERENCE_CONTINUOUS;
        if (config.entry.policy == REFERENCE_CONTINUOUS)
            config.entry.threshold = 0;                                                /* V0 has none */
        config.decode = (struct reference_pool){.lanes = 1, .stages = 1, .blocks = 1}; /* there is none */
        if (placed)
            config.entry.blocks *= REFERENCE_CLASSES;
        if (divided)
            divide(&dice, experiment, "unified", &config.entry);
        set_timers(experiment, seed % 2, divided ? DIVIDED_MODEL : MODEL, "unified", &config.entry);
        set_pool(experiment, "unified", &config.entry, policy);
        if (placed)
            set_places(experiment, seed, &config.entry);
        roll_requests(&dice, seed % 2, requests);
        if (swaps)
            roll_swap(&dice, experiment, "unified", seed % 2, divided ? 4096 : 16384, &config.entry);
        compare(experiment, &config, requests, seed, &counts);
        free_timers(&config.entry);
    }
    check_counts(policy, &counts, swaps, runs);
}

static void test_chunked(void)
{
    unified("chunked", REFERENCE_CHUNKED, false, false, false);
    unified("chunked", REFERENCE_CHUNKED, false, true, false);
}

static void test_continuous(void)
{
    unified("continuous", REFERENCE_CONTINUOUS, false, false, false);
    unified("continuous", REFERENCE_CONTINUOUS, false, true, false);
}

static void test_adaptive(void)
{
    unified("adaptive-chunked", REFERENCE_ADAPTIVE, false, false, false);
    unified("adaptive-chunked", REFERENCE_ADAPTIVE, false, true, false);
}

static void test_static(void)
{
    unified("static", REFERENCE_STATIC, false, false, false);
    unified("static", REFERENCE_STATIC, false, false, true);
}

static void test_divided_adaptive(void)
{
    unified("adaptive-chunked", REFERENCE_ADAPTIVE, true, false, false);
    unified("adaptive-chunked", REFERENCE_ADAPTIVE, true, true, false);
}

static void test_divided_static(void)
{
    unified("static", REFERENCE_STATIC, true, false, false);
    unified("static", REFERENCE_STATIC, true, false, true);
}

static void test_divided_chunked(void)
{
    unified("chunked", REFERENCE_CHUNKED, true, false, false);
    unified("chunked", REFERENCE_CHUNKED, true, true, false);
}

static void test_divided_continuous(void)
{
    unified("continuous", REFERENCE_CONTINUOUS, true, false, false);
    unified("continuous", REFERENCE_CONTINUOUS, true, true, false);
}

/* Transfers as if alone: the reference has no network. */
static struct experiment *disaggregated(struct dice *dice, struct reference_config *config, bool whole_ms,
                                        bool divided, const struct handoff_config *handoff, bool mixed)
{
    const char *model = divided ? DIVIDED_MODEL : MODEL;
    static const char *const first_tokens[] = {"decode", "prefill", "relay"};
    int64_t block_tokens = (const int64_t[]){1, 5, 16}[roll(dice, 3)];
    int64_t other_tokens = mixed ? (const int64_t[]){1, 4, 7, 32}[dice->seed % 4] : block_tokens;
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    *config = (struct reference_config){.disaggregated = true,
                                        .entry = roll_pool(dice, block_tokens),
                                        .decode = roll_pool(dice, other_tokens),
                                        .first_token = (enum reference_first_token)roll(dice, 3),
                                        .latency_ns = 1000000,
                                        .setup_ns = 500000,
                                        .descriptor_ns_per_block = 2 * 32 * 100,
                                        .rate = 40e9,
                                        .bytes_per_token = 524288,
                                        .handoff = *handoff};
    config->handoff.headroom_tokens = (int64_t)(dice->seed % 12);
    if (handoff->reserve_tokens == RESERVE_MAX) /* for the longest limit; it would be refused */
        config->decode.blocks += (2 * MOST_OUTPUT + other_tokens - 1) / other_tokens;
    config->entry.policy = roll(dice, 2) ? REFERENCE_CHUNKED : REFERENCE_WHOLE_PROMPTS;
    config->decode.policy = REFERENCE_CHUNKED;
    config->decode.order = ORDER_FCFS;
    if (divided) {
        divide(dice, experiment, "prefill", &config->entry);
        divide(dice, experiment, "decode", &config->decode);
        config->bytes_per_token = 131072;
        /* The decode instance asks for the blocks; on its widest stage 32, 16 or 11 layers. */
        config->descriptor_ns_per_block = 2 * 100 * (const double[]){32, 16, 11}[config->decode.stages - 1];
        /* The cache of a request is on one GPU of each stage. */
        config->rate *= (double)least(config->entry.stages, config->decode.stages);
    }
    set_timers(experiment, whole_ms, model, "prefill", &config->entry);
    set_timers(experiment, whole_ms, model, "decode", &config->decode);
    set_pool(experiment, "prefill", &config->entry, "prefill-only");
    set_pool(experiment, "decode", &config->decode, "decode-only");
    experiment_set(experiment, "cluster.handoff.first_token=%s", first_tokens[config->first_token]);
    experiment_set(experiment, "cluster.handoff.reserve_tokens=%s",
                   reserve_tokens_names[handoff->reserve_tokens]);
    experiment_set(experiment, "cluster.handoff.reserve=%s", reserve_when_names[handoff->reserve]);
    experiment_set(experiment, "cluster.handoff.recompute_at=%s", recompute_at_names[handoff->recompute_at]);
    experiment_set(experiment, "cluster.handoff.overlap=%s", overlap_names[handoff->overlap]);
    experiment_set(experiment, "cluster.handoff.headroom_tokens=%lld",
                   (long long)config->handoff.headroom_tokens);
    experiment_set(experiment, "cluster.network.sharing=none");
    if (whole_ms) { /* a block a millisecond, on one GPU: many things happen at the same time */
        double gb_per_s = (double)(block_tokens * config->bytes_per_token) / 1e6;
        double gpus = config->rate / 40e9;
        experiment_set(experiment,
                       "cluster.network.kv_link={\"name\": \"even\", \"source\": \"test\", "
                       "\"bandwidth_gb_per_s\": %.17g, \"efficiency\": 1, \"setup_ms\": 3, "
                       "\"descriptor_ns\": 0}",
                       gb_per_s);
        config->setup_ns = 3000000;
        config->descriptor_ns_per_block = 0;
        config->rate = gb_per_s * 1e9 * gpus;
    }
    return experiment;
}

static struct counts run_disaggregated(bool divided, bool swaps, const struct handoff_config *handoff,
                                       bool mixed, uint64_t seeds)
{
    struct counts counts = {0};
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct dice dice = {seed, 0};
        struct experiment_request requests[REQUESTS];
        struct reference_config config;
        struct experiment *experiment = disaggregated(&dice, &config, seed % 2, divided, handoff, mixed);
        roll_requests(&dice, seed % 2, requests);
        if (swaps)
            roll_swap(&dice, experiment, "decode", seed % 2, divided ? 4096 : 16384, &config.decode);
        compare(experiment, &config, requests, seed, &counts);
        free_timers(&config.entry);
        free_timers(&config.decode);
    }
    return counts;
}

static void check_disaggregated(bool divided, bool swaps)
{
    const struct handoff_config handoff = {.reserve_tokens = RESERVE_PROMPT};
    struct counts counts = run_disaggregated(divided, swaps, &handoff, false, 2 * SEEDS);
    check_counts("P/D", &counts, swaps, 2 * SEEDS);
}

static void test_disaggregated(void)
{
    check_disaggregated(false, false);
    check_disaggregated(false, true);
}

static void test_divided_disaggregated(void)
{
    check_disaggregated(true, false);
    check_disaggregated(true, true);
}

/* Runs with an option of the hand-off, on one batch and on several: how often decode preempted. */
static uint64_t run_option(const char *name, const struct handoff_config *handoff, bool mixed)
{
    struct counts one = run_disaggregated(false, false, handoff, mixed, OPTION_SEEDS);
    struct counts several = run_disaggregated(true, false, handoff, mixed, OPTION_SEEDS);
    uint64_t preemptions = one.last_preemptions + several.last_preemptions;
    printf("\n    %s: %llu preemptions by decode instances in %d runs", name, (unsigned long long)preemptions,
           2 * OPTION_SEEDS);
    return preemptions;
}

static void test_reserve_tokens(void)
{
    struct handoff_config handoff = {.reserve_tokens = RESERVE_HEADROOM};
    CU_ASSERT(run_option("prompt+headroom", &handoff, false) > OPTION_SEEDS);
    handoff.reserve_tokens = RESERVE_MAX;
    CU_ASSERT_EQUAL(run_option("prompt+max", &handoff, false), 0);
}

static void test_before_prefill(void)
{
    struct handoff_config handoff = {.reserve = RESERVE_BEFORE_PREFILL};
    CU_ASSERT(run_option("before prefill", &handoff, false) > OPTION_SEEDS);
    handoff.reserve_tokens = RESERVE_HEADROOM;
    CU_ASSERT(run_option("before prefill, prompt+headroom", &handoff, false) > OPTION_SEEDS);
    handoff.reserve_tokens = RESERVE_MAX;
    CU_ASSERT_EQUAL(run_option("before prefill, prompt+max", &handoff, false), 0);
}

static void test_overlap(void)
{
    struct handoff_config handoff = {.reserve = RESERVE_BEFORE_PREFILL, .overlap = OVERLAP_CHUNK};
    CU_ASSERT(run_option("chunks", &handoff, false) > OPTION_SEEDS);
    CU_ASSERT(run_option("chunks, different blocks", &handoff, true) > OPTION_SEEDS);
    handoff.overlap = OVERLAP_LAYER;
    CU_ASSERT(run_option("layers", &handoff, false) > OPTION_SEEDS);
    handoff.recompute_at = RECOMPUTE_AT_PREFILL;
    CU_ASSERT(run_option("layers, different blocks, recomputed at prefill", &handoff, true) > OPTION_SEEDS);
}

static void test_mixed_blocks(void)
{
    struct handoff_config handoff = {.reserve = RESERVE_AFTER_PREFILL};
    CU_ASSERT(run_option("different blocks", &handoff, true) > OPTION_SEEDS);
    handoff =
        (struct handoff_config){.reserve = RESERVE_BEFORE_PREFILL, .recompute_at = RECOMPUTE_AT_PREFILL};
    CU_ASSERT(run_option("different blocks, recomputed at prefill", &handoff, true) > OPTION_SEEDS);
}

static void test_recompute_at_prefill(void)
{
    struct handoff_config handoff = {.recompute_at = RECOMPUTE_AT_PREFILL};
    CU_ASSERT(run_option("recomputed at prefill", &handoff, false) > OPTION_SEEDS);
    handoff.reserve_tokens = RESERVE_HEADROOM;
    CU_ASSERT(run_option("recomputed at prefill, prompt+headroom", &handoff, false) > OPTION_SEEDS);
    handoff.reserve = RESERVE_BEFORE_PREFILL;
    CU_ASSERT(run_option("recomputed at prefill, before prefill", &handoff, false) > OPTION_SEEDS);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"chunked", test_chunked},
        {"continuous", test_continuous},
        {"adaptive-chunked", test_adaptive},
        {"static", test_static},
        {"disaggregated", test_disaggregated},
        {"reserved tokens", test_reserve_tokens},
        {"reserved before prefill", test_before_prefill},
        {"recomputed at prefill", test_recompute_at_prefill},
        {"different blocks", test_mixed_blocks},
        {"overlap", test_overlap},
        {"lanes and stages, chunked", test_divided_chunked},
        {"lanes and stages, continuous", test_divided_continuous},
        {"lanes and stages, adaptive-chunked", test_divided_adaptive},
        {"lanes and stages, static", test_divided_static},
        {"lanes and stages, disaggregated", test_divided_disaggregated},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("semantics", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
