/* Prefix caching, worked out by hand: blocks of 2 tokens, of which hashes name two at a time; an iteration
 * with prefill takes 10 ms, one without 5 ms, a named block a millisecond from the host, two from the SSD. */
#include "test.h"

#include "experiment.h"
#include "reference.h"

#include "tandem/mem.h"
#include "tandem/rng.h"
#include "tandem/text.h"

#define MS          INT64_C(1000000)
#define HASH_TOKENS 4
#define HASH_BYTES                                                                                           \
    (HASH_TOKENS * UINT64_C(524288)) /* llama-2-7b: 2 x 32 layers x 4096 values x 2 bytes a token */
#define HASH_GIB ((double)HASH_BYTES / 1073741824)

static struct experiment *small(int64_t blocks, const char *kv, const char *scheduler)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_set(experiment, "cluster.pools[0].kv={\"block_tokens\": 2, \"blocks\": %lld%s}",
                   (long long)blocks, kv);
    experiment_set(experiment,
                   "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 5}");
    experiment_set(experiment, "cluster.pools[0].scheduler=%s", scheduler);
    return experiment;
}

/* Runs it in every mode; the same each time. */
static struct outcome run_modes(struct experiment *experiment)
{
    struct outcome outcome = experiment_run_modes(experiment, MS);
    experiment_free(experiment);
    return outcome;
}

/* The second finds two of the first's three full blocks: the last token has to be computed. */
static void test_later(void)
{
    static const struct experiment_request requests[] = {{0, 12, 1, 0, 0}, {20 * MS, 12, 1, 0, 0}};
    static const char *const hashes[] = {"0, 1, 2", "0, 1, 2"};
    struct experiment *experiment = small(100, ", \"prefix_caching\": true", "{}");
    experiment_hashes(experiment, requests, hashes, 2, HASH_TOKENS);
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT_EQUAL(outcome.rows[0].cached_prompt_tokens, 0);
    CU_ASSERT_EQUAL(outcome.rows[1].cached_prompt_tokens, 8);
    CU_ASSERT_EQUAL(outcome.rows[1].e2e_ns, 11 * MS);
    CU_ASSERT_EQUAL(outcome.instances[0].prefill_tokens, 12 + 4);
    CU_ASSERT_EQUAL(outcome.instances[0].recomputed_tokens, 0);
    CU_ASSERT_EQUAL(outcome.instances[0].cached_tokens, 8);
    CU_ASSERT_EQUAL(outcome.instances[0].kv_peak_blocks, 6);
    CU_ASSERT_EQUAL(outcome.instances[0].kv_allocated_blocks, 12);
    CU_ASSERT_EQUAL(outcome.instances[0].evicted_blocks, 0);
    CU_ASSERT_DOUBLE_EQUAL(outcome.summary.prefix_hit_share, 8.0 / 24, 1e-15);
    outcome_clear(&outcome);
}

/* A prompt of 13 tokens finds all three; one that begins otherwise nothing, whatever follows. */
static void test_beginnings(void)
{
    static const struct experiment_request requests[] = {
        {0, 12, 1, 0, 0}, {20 * MS, 13, 1, 0, 0}, {40 * MS, 12, 1, 0, 0}, {60 * MS, 4, 1, 0, 0}};
    static const char *const hashes[] = {"0, 1, 2", "0, 1, 2, 3", "9, 1, 2", "0"};
    struct experiment *experiment = small(100, ", \"prefix_caching\": true", "{}");
    experiment_hashes(experiment, requests, hashes, 4, HASH_TOKENS);
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT_EQUAL(outcome.rows[1].cached_prompt_tokens, 12);
    CU_ASSERT_EQUAL(outcome.rows[2].cached_prompt_tokens, 0);
    CU_ASSERT_EQUAL(outcome.rows[3].cached_prompt_tokens, 0);
    outcome_clear(&outcome);
}

/* Both in one iteration: the second uses what the first fills in it. Their blocks count once, so do the
 * tokens. */
static void test_together(void)
{
    static const struct experiment_request requests[] = {{0, 12, 5, 0, 0}, {0, 12, 5, 0, 0}};
    static const char *const hashes[] = {"0, 1, 2", "0, 1, 2"};
    struct experiment *experiment = small(100, ", \"prefix_caching\": true", "{}");
    experiment_hashes(experiment, requests, hashes, 2, HASH_TOKENS);
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT_EQUAL(outcome.rows[1].cached_prompt_tokens, 8);
    CU_ASSERT_EQUAL(outcome.instances[0].prefill_tokens, 16);
    CU_ASSERT_EQUAL(outcome.instances[0].kv_peak_blocks,
                    8 + 4); /* 4 shared, 2 and 2 own, 2 and 2 of outputs */
    CU_ASSERT_EQUAL(outcome.instances[0].kv_peak_tokens, 8 + 2 * 4 + 2 * 3);
    CU_ASSERT_EQUAL(outcome.rows[1].e2e_ns, 1 * MS + 10 * MS + 4 * 5 * MS);
    outcome_clear(&outcome);
}

/* What others use takes no room: 8 blocks are 6 for the first and 2 for the second, at once. */
static void test_spared(void)
{
    static const struct experiment_request requests[] = {{0, 12, 1, 0, 0}, {0, 12, 1, 0, 0}};
    static const char *const hashes[] = {"0, 1, 2", "0, 1, 2"};
    struct experiment *experiment = small(8, ", \"prefix_caching\": true", "{}");
    experiment_hashes(experiment, requests, hashes, 2, HASH_TOKENS);
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT_EQUAL(outcome.rows[1].e2e_ns, 11 * MS);
    CU_ASSERT_EQUAL(outcome.instances[0].kv_peak_blocks, 8);
    outcome_clear(&outcome);
}

/* 7 blocks, chunks of 2 tokens. The first leaves 4 blocks, of hashes 0 and 1. The second uses 0 and computes
 * 1 again, in two chunks. With the second chunk the third, a decode behind it, takes its second block, which
 * costs the kept 1; the one that is filled gets the name, for the fourth to find. */
static void test_refilled(void)
{
    static const struct experiment_request requests[] = {
        {0, 8, 1, 0, 0}, {60 * MS, 8, 1, 0, 0}, {60 * MS, 2, 2, 0, 0}, {120 * MS, 9, 1, 0, 0}};
    static const char *const hashes[] = {"0, 1", "0, 1", "9", "0, 1, 2"};
    struct experiment *experiment =
        small(7, ", \"prefix_caching\": true", "{\"long_prefill_token_threshold\": 2}");
    experiment_hashes(experiment, requests, hashes, 4, HASH_TOKENS);
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT_EQUAL(outcome.rows[1].cached_prompt_tokens, 4);
    CU_ASSERT_EQUAL(outcome.rows[2].e2e_ns, 21 * MS);
    CU_ASSERT_EQUAL(outcome.rows[3].cached_prompt_tokens, 8);
    CU_ASSERT_EQUAL(outcome.instances[0].evicted_blocks, 2);
    outcome_clear(&outcome);
}

/* 8 blocks; the first leaves 6 that are kept. 4 are taken by the second: the first's last block goes, so that
 * the third finds two; it needs 6 blocks, which costs the second's last. */
static void test_eviction(void)
{
    static const struct experiment_request requests[] = {
        {0, 12, 1, 0, 0}, {20 * MS, 8, 1, 0, 0}, {40 * MS, 13, 1, 0, 0}, {60 * MS, 9, 1, 0, 0}};
    static const char *const hashes[] = {"0, 1, 2", "7, 8", "0, 1, 2, 3", "7, 8, 9"};
    struct experiment *experiment = small(8, ", \"prefix_caching\": true", "{}");
    experiment_hashes(experiment, requests, hashes, 4, HASH_TOKENS);
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT_EQUAL(outcome.rows[2].cached_prompt_tokens, 8);
    CU_ASSERT_EQUAL(outcome.rows[3].cached_prompt_tokens, 0); /* the third needed 7 of 8: both blocks went */
    CU_ASSERT_EQUAL(outcome.instances[0].evicted_blocks, 2 + 4 + 4);
    CU_ASSERT_EQUAL(outcome.instances[0].kv_peak_blocks, 7);
    outcome_clear(&outcome);
}

/* What was found is no load any more once a request is admitted: request 0 of 12 tokens, half of them hits,
 * ends at instance 0, request 1 at instance 1; both have nothing left to compute, and request 2 goes to the
 * next in rotation. */
static void test_load(void)
{
    static const struct experiment_request requests[] = {
        {0, 12, 1, 0, 0}, {20 * MS, 2, 1, 0, 0}, {40 * MS, 12, 1, 0, 0}};
    struct experiment *experiment = small(100, ", \"prefix_hit_share\": 0.5", "{}");
    experiment_trace(experiment, requests, 3);
    experiment_set(experiment, "cluster.pools[0].instances=2");
    experiment_set(experiment, "cluster.router.policy=least-tokens");
    struct outcome outcome = run_modes(experiment);
    for (size_t i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(outcome.rows[i].prefill_instance, i % 2);
    outcome_clear(&outcome);
}

/* Prompts that begin with the same block and go on with one of 12, twice, and one that has the first alone.
 * By one block they all go to one instance; by two each pair does, and not all pairs to the same, and the
 * short one goes where one block sends it. */
static void test_affinity(void)
{
    enum { PAIRS = 12, COUNT = 2 * PAIRS + 1 };
    struct experiment_request requests[COUNT];
    char names[COUNT][16];
    const char *hashes[COUNT];
    int32_t by_one = -1;
    for (int i = 0; i < COUNT; i++) {
        requests[i] = (struct experiment_request){i * 20 * MS, i < COUNT - 1 ? 8 : 4, 1, 0, 0};
        snprintf(names[i], sizeof names[i], i < COUNT - 1 ? "0, %d" : "0", 1 + i % PAIRS);
        hashes[i] = names[i];
    }
    for (int blocks = 1; blocks <= 2; blocks++) {
        struct experiment *experiment = small(100, ", \"prefix_caching\": true", "{}");
        experiment_hashes(experiment, requests, hashes, COUNT, HASH_TOKENS);
        experiment_set(experiment, "cluster.pools[0].instances=8");
        experiment_set(
            experiment,
            "cluster.router={\"policy\": \"prefix-affinity\", \"prefix_blocks\": %d, \"prefix_bound\": 1000}",
            blocks);
        struct outcome outcome = experiment_run_well(experiment);
        int others = 0;
        for (int i = 0; i < PAIRS; i++) {
            CU_ASSERT_EQUAL(outcome.rows[i].prefill_instance, outcome.rows[i + PAIRS].prefill_instance);
            others += outcome.rows[i].prefill_instance != outcome.rows[0].prefill_instance;
        }
        CU_ASSERT(blocks == 1 ? others == 0 : others > 0);
        by_one = blocks == 1 ? outcome.rows[0].prefill_instance : by_one;
        CU_ASSERT_EQUAL(outcome.rows[COUNT - 1].prefill_instance, by_one);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* What a preempted request has filled is there when it comes back, as far as nobody took it. Two prompts of 8
 * tokens and 6 outputs in 10 blocks: both have their first token at 11 ms and take their fifth blocks then.
 * At 21 the first needs a sixth and the second, with 10 tokens cached, goes: its 4 blocks with a name are
 * kept. At 31 the first takes a seventh, which costs the later of the two names; it ends at 36. Then the
 * second has 11 known tokens, 4 of them there. */
static void test_preempted(void)
{
    static const struct experiment_request requests[] = {{0, 8, 6, 0, 0}, {0, 8, 6, 0, 0}};
    static const char *const hashes[] = {"0, 1", "2, 3"};
    struct experiment *experiment = small(10, ", \"prefix_caching\": true", "{}");
    experiment_hashes(experiment, requests, hashes, 2, HASH_TOKENS);
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT_EQUAL(outcome.rows[0].e2e_ns, 36 * MS);
    CU_ASSERT_EQUAL(outcome.rows[1].preemptions, 1);
    CU_ASSERT_EQUAL(outcome.rows[1].stalled_ns, 15 * MS);
    CU_ASSERT_EQUAL(outcome.rows[1].cached_prompt_tokens, 0); /* it had been computed for it */
    CU_ASSERT_EQUAL(outcome.instances[0].cached_tokens, 4);
    CU_ASSERT_EQUAL(outcome.instances[0].evicted_blocks, 2 + 2); /* and for its own seventh */
    CU_ASSERT_EQUAL(outcome.instances[0].prefill_tokens, 16 + 7);
    CU_ASSERT_EQUAL(outcome.instances[0].recomputed_tokens, 6);
    outcome_clear(&outcome);
}

/* Whole prompts: what is cached is not in the budget of 12 tokens, so that the second and third run together.
 */
static void test_whole(void)
{
    static const struct experiment_request requests[] = {
        {0, 12, 1, 0, 0}, {20 * MS, 14, 1, 0, 0}, {20 * MS, 14, 1, 0, 0}};
    static const char *const hashes[] = {"0, 1, 2", "0, 1, 2, 4", "0, 1, 2, 5"};
    struct experiment *experiment =
        small(100, ", \"prefix_caching\": true",
              "{\"policy\": \"continuous\", \"max_num_batched_tokens\": 12, \"max_num_seqs\": 4}");
    experiment_hashes(experiment, requests, hashes, 3, HASH_TOKENS);
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT_EQUAL(outcome.rows[1].e2e_ns, 11 * MS);
    CU_ASSERT_EQUAL(outcome.rows[2].e2e_ns, 11 * MS);
    CU_ASSERT_EQUAL(outcome.instances[0].prefill_iterations, 2);
    CU_ASSERT_EQUAL(outcome.instances[0].prefill_tokens, 12 + 2 + 2);
    outcome_clear(&outcome);
}

/* 6 blocks: each prompt of 12 tokens drives the one before out. Host room for two named blocks, SSD room for
 * one: of the first's, released from the last to the first, the last goes down first. When the first comes
 * again the second is in the GPUs, and 0 and 1 of the first with the host, 2 on the SSD. */
static void test_tiers(void)
{
    static const struct experiment_request requests[] = {
        {0, 12, 1, 0, 0}, {20 * MS, 12, 1, 0, 0}, {40 * MS, 11, 1, 0, 0}, {80 * MS, 12, 1, 0, 0}};
    static const char *const hashes[] = {"0, 1, 2", "7, 8, 9", "0, 1, 2", "7, 8, 9"};
    char kv[400];
    snprintf(kv, sizeof kv,
             ", \"prefix_caching\": true, \"host_tier_gib\": %.17g, \"host_tier_gb_per_s\": %.17g, "
             "\"ssd_tier_gib\": %.17g, \"ssd_tier_gb_per_s\": %.17g",
             2 * HASH_GIB, (double)HASH_BYTES / 1e6, 2 * HASH_GIB, (double)HASH_BYTES / 2e6);
    struct experiment *experiment = small(6, kv, "{}");
    experiment_hashes(experiment, requests, hashes, 4, HASH_TOKENS);
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT_EQUAL(outcome.rows[2].cached_prompt_tokens, 8);
    CU_ASSERT_EQUAL(outcome.rows[2].host_prompt_tokens, 8);
    CU_ASSERT_EQUAL(outcome.rows[2].e2e_ns, 1 * MS + 2 * MS + 10 * MS);
    CU_ASSERT_EQUAL(outcome.rows[2].prefill_ns, 12 * MS);
    /* The second's went as the third took its room: 9, 8 and 7, to the host; 9 and 2 are on the SSD then. */
    CU_ASSERT_EQUAL(outcome.rows[3].cached_prompt_tokens, 8);
    CU_ASSERT_EQUAL(outcome.rows[3].host_prompt_tokens + outcome.rows[3].ssd_prompt_tokens, 8);
    CU_ASSERT_EQUAL(outcome.rows[3].e2e_ns - 11 * MS,
                    ((int64_t)outcome.rows[3].host_prompt_tokens / HASH_TOKENS +
                     2 * (int64_t)outcome.rows[3].ssd_prompt_tokens / HASH_TOKENS) *
                        MS);
    CU_ASSERT_EQUAL(outcome.instances[0].cached_host_tokens, 8 + outcome.rows[3].host_prompt_tokens);
    CU_ASSERT_EQUAL(outcome.summary.host_prompt_tokens, 8 + outcome.rows[3].host_prompt_tokens);
    outcome_clear(&outcome);
}

/* A block that only the SSD has takes its time. Three prompts of one full block each; 4 blocks, no room with
 * the host. */
static void test_ssd(void)
{
    static const struct experiment_request requests[] = {
        {0, 5, 1, 0, 0}, {20 * MS, 8, 1, 0, 0}, {40 * MS, 5, 1, 0, 0}};
    static const char *const hashes[] = {"0, 1", "7, 8", "0, 2"};
    char kv[300];
    snprintf(kv, sizeof kv,
             ", \"prefix_caching\": true, \"ssd_tier_gib\": %.17g, \"ssd_tier_gb_per_s\": %.17g",
             3 * HASH_GIB, (double)HASH_BYTES / 2e6);
    struct experiment *experiment = small(4, kv, "{}");
    experiment_hashes(experiment, requests, hashes, 3, HASH_TOKENS);
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT_EQUAL(outcome.rows[2].ssd_prompt_tokens, 4);
    CU_ASSERT_EQUAL(outcome.rows[2].host_prompt_tokens, 0);
    CU_ASSERT_EQUAL(outcome.rows[2].e2e_ns, 1 * MS + 2 * MS + 10 * MS);
    outcome_clear(&outcome);
}

/* The measured timer sees a chunk of 4 tokens after 8. */
static void test_calibrated(void)
{
    static const struct experiment_request requests[] = {{0, 12, 1, 0, 0}, {1000 * MS, 12, 1, 0, 0}};
    static const char *const hashes[] = {"0, 1, 2", "0, 1, 2"};
    const struct model_layout layout = {
        .tensor_parallel = 1, .pipeline_parallel = 1, .lanes = 1, .expert_parallel = 1};
    struct timer *timer = reference_timer("llama-2-7b", &layout, 0, 0, 0);
    struct experiment *experiment = small(100, ", \"prefix_caching\": true", "{}");
    experiment_set(experiment, "cluster.pools[0].timer={}");
    experiment_hashes(experiment, requests, hashes, 2, HASH_TOKENS);
    struct outcome outcome = run_modes(experiment);
    for (int i = 0; i < 2; i++) {
        struct work work = {.logit_rows = 1};
        work_add_chunk(&work, i * 8, 12 - i * 8, 0);
        CU_ASSERT_EQUAL(outcome.rows[i].e2e_ns, MS + timer_iteration_ns(timer, &work));
    }
    CU_ASSERT(outcome.rows[1].e2e_ns < outcome.rows[0].e2e_ns);
    timer_free(timer);
    outcome_clear(&outcome);
}

/* Half of 14 tokens are three blocks of two, of a prompt of one token none. */
static void test_hit_share(void)
{
    static const struct experiment_request requests[] = {
        {0, 14, 1, 0, 0}, {20 * MS, 14, 1, 0, 0}, {40 * MS, 1, 1, 0, 0}, {60 * MS, 4, 3, 0, 0}};
    static const struct {
        const char *kv;
        uint32_t cached[4];
    } shares[] = {{", \"prefix_hit_share\": 0.5", {6, 6, 0, 2}},
                  {", \"prefix_hit_share\": 1", {12, 12, 0, 2}},
                  {", \"prefix_hit_share\": 0.1", {0, 0, 0, 0}}};
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        struct experiment *experiment = small(100, shares[i].kv, "{}");
        experiment_trace(experiment, requests, 4);
        struct outcome outcome = run_modes(experiment);
        for (size_t j = 0; j < 4; j++)
            CU_ASSERT_EQUAL(outcome.rows[j].cached_prompt_tokens, shares[i].cached[j]);
        CU_ASSERT_EQUAL(outcome.instances[0].kv_peak_blocks, 7);
        outcome_clear(&outcome);
    }
}

/* --- prefill and decode
 * --------------------------------------------------------------------------------------- */

static struct experiment *moving(const char *prefill_kv, const char *decode_kv)
{
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    const char *const kv[] = {prefill_kv, decode_kv};
    for (int pool = 0; pool < 2; pool++) {
        experiment_set(experiment, "cluster.pools[%d].kv={\"block_tokens\": 2, \"blocks\": 100%s}", pool,
                       kv[pool]);
        experiment_set(experiment,
                       "cluster.pools[%d].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 5}",
                       pool);
    }
    return experiment;
}

/* The decode instance has two of three full blocks of the second's prompt, and all of it but the last of the
 * third's; what the prefill instance has is its own affair. */
static void test_moved(void)
{
    static const struct experiment_request requests[] = {
        {0, 12, 3, 0, 0}, {200 * MS, 12, 3, 0, 0}, {400 * MS, 14, 3, 0, 0}};
    static const char *const hashes[] = {"0, 1, 2", "0, 1, 2", "0, 1, 2, 3"};
    static const struct {
        const char *prefill, *decode;
        uint32_t cached[3];
        uint64_t blocks[3]; /* of 2 tokens that move */
    } pools[] = {
        {", \"prefix_caching\": true", "", {0, 8, 12}, {6, 6, 7}},
        {"", ", \"prefix_caching\": true", {0, 0, 0}, {6, 2, 1}},
        {", \"prefix_caching\": true", ", \"prefix_caching\": true", {0, 8, 12}, {6, 2, 1}},
        {"", ", \"prefix_hit_share\": 0.5", {0, 0, 0}, {3, 3, 4}},
    };
    static const char *const first_tokens[] = {"decode", "prefill", "relay"};
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++)
        for (size_t j = 0; j < 3; j++) {
            struct experiment *experiment = moving(pools[i].prefill, pools[i].decode);
            experiment_set(experiment, "cluster.handoff.first_token=%s", first_tokens[j]);
            experiment_hashes(experiment, requests, hashes, 3, HASH_TOKENS);
            struct outcome outcome = run_modes(experiment);
            for (size_t k = 0; k < 3; k++) {
                CU_ASSERT_EQUAL(outcome.rows[k].cached_prompt_tokens, pools[i].cached[k]);
                CU_ASSERT_EQUAL(outcome.rows[k].kv_transfer_bytes, pools[i].blocks[k] * HASH_BYTES / 2);
            }
            /* Half the blocks, half the time beyond the set-up. */
            if (i == 3)
                CU_ASSERT_EQUAL(outcome.rows[0].transfer_ns, outcome.rows[1].transfer_ns);
            if (i == 1)
                CU_ASSERT(outcome.rows[1].transfer_ns < outcome.rows[0].transfer_ns);
            outcome_clear(&outcome);
        }
}

/* --- many requests
 * -------------------------------------------------------------------------------------------- */

/* Prompts that branch: block i of a request is a pure function of the numbers drawn so far, of three each. */
static void append_hashes(struct text *text, uint64_t request, int64_t blocks)
{
    uint64_t path = 1;
    for (int64_t block = 0; block < blocks; block++) {
        path = 3 * path + rng_bits(5, 0, RNG_ROUTER, request * 64 + (uint64_t)block) % 3;
        text_append(text, "%s%llu", block > 0 ? ", " : "", (unsigned long long)path);
    }
}

#define MANY 400

static void many(struct experiment *experiment)
{
    static struct experiment_request requests[MANY];
    struct text texts[MANY] = {0};
    const char *hashes[MANY];
    for (uint64_t i = 0; i < MANY; i++) {
        int64_t prompt = 1 + (int64_t)(rng_bits(6, 0, RNG_ROUTER, i) % 60);
        requests[i] = (struct experiment_request){(int64_t)i * 6 * MS, prompt,
                                                  1 + (int64_t)(rng_bits(7, 0, RNG_ROUTER, i) % 40), 0, 0};
        append_hashes(&texts[i], i, (prompt + HASH_TOKENS - 1) / HASH_TOKENS);
        hashes[i] = text_string(&texts[i]);
    }
    experiment_hashes(experiment, requests, hashes, MANY, HASH_TOKENS);
    for (int i = 0; i < MANY; i++)
        text_clear(&texts[i]);
}

/* Under pressure, with preemptions and evictions, all that is conserved is, in every mode. */
static void test_pressure(void)
{
    static const char *const policies[] = {
        "{\"max_num_batched_tokens\": 64, \"max_num_seqs\": 20}",
        "{\"max_num_batched_tokens\": 64, \"max_num_seqs\": 20, \"long_prefill_token_threshold\": 6}",
        "{\"policy\": \"continuous\", \"max_num_batched_tokens\": 64, \"max_num_seqs\": 20}",
        "{\"policy\": \"adaptive-chunked\", \"max_num_batched_tokens\": 64, \"max_num_seqs\": 20, "
        "\"watermark\": 0.1}",
        "{\"order\": \"shortest-prompt\", \"watermark_high\": 0.2, \"max_num_batched_tokens\": 64, "
        "\"max_num_seqs\": 20}"};
    char kv[300];
    snprintf(kv, sizeof kv, ", \"prefix_caching\": true, \"host_tier_gib\": %.17g, \"ssd_tier_gib\": %.17g",
             20 * HASH_GIB, 40 * HASH_GIB);
    for (int i = 0; i < 5; i++) {
        struct experiment *experiment = small(110, kv, policies[i]);
        many(experiment);
        struct outcome outcome = run_modes(experiment);
        CU_ASSERT(outcome.summary.preemptions > 5);
        CU_ASSERT(outcome.instances[0].evicted_blocks > 100);
        CU_ASSERT(outcome.summary.host_prompt_tokens > 50 && outcome.summary.ssd_prompt_tokens > 20);
        CU_ASSERT(outcome.summary.prefix_hit_share > 0.1);
        outcome_clear(&outcome);
    }
}

static void test_moved_pressure(void)
{
    struct experiment *experiment = moving(", \"prefix_caching\": true", ", \"prefix_caching\": true");
    experiment_set(experiment, "cluster.pools[0].kv.blocks=60");
    experiment_set(experiment, "cluster.pools[1].kv.blocks=110");
    many(experiment);
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT(outcome.summary.preemptions > 5);
    CU_ASSERT(outcome.instances[0].evicted_blocks > 100 && outcome.instances[1].evicted_blocks > 100);
    CU_ASSERT(outcome.instances[0].cached_tokens > 1000 && outcome.instances[1].cached_tokens > 1000);
    outcome_clear(&outcome);
}

/* Lanes and micro-batches have caches of their own. */
static void test_members(void)
{
    struct experiment *experiment =
        small(240, ", \"prefix_caching\": true",
              "{\"max_num_batched_tokens\": 64, \"max_num_seqs\": 20, \"long_prefill_token_threshold\": 6}");
    experiment_set(experiment, "cluster.pools[0].pipeline_parallel=2");
    many(experiment);
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT(outcome.instances[0].cached_tokens > 500 && outcome.instances[0].evicted_blocks > 100);
    outcome_clear(&outcome);
}

/* A GPU has half the layers, and its host's room is for both micro-batches: that for one named block is none
 * for either, that for 40 is 20 for each. */
static void test_tiers_of_members(void)
{
    for (int room = 1; room <= 40; room += 39) {
        char kv[96];
        snprintf(kv, sizeof kv, ", \"prefix_caching\": true, \"host_tier_gib\": %.17g",
                 (room + 0.5) * HASH_GIB / 2);
        struct experiment *experiment =
            small(240, kv, "{\"max_num_batched_tokens\": 64, \"max_num_seqs\": 20}");
        experiment_set(experiment, "cluster.pools[0].pipeline_parallel=2");
        many(experiment);
        struct outcome outcome = run_modes(experiment);
        CU_ASSERT_EQUAL(outcome.instances[0].cached_host_tokens > 0, room > 1);
        outcome_clear(&outcome);
    }
}

/* With room for all that ever was, every token is found that a walk over the prompts finds: of whole blocks,
 * and at most all but one. */
static void test_without_limit(void)
{
    struct experiment *experiment = small(100000, ", \"prefix_caching\": true", "{}");
    many(experiment);
    struct outcome outcome = run_modes(experiment);
    uint64_t found = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        int64_t most = ((int64_t)outcome.rows[i].prompt_tokens - 1) / HASH_TOKENS, longest = 0;
        for (uint64_t j = 0; j < i; j++) {
            int64_t common = 0, full = (int64_t)outcome.rows[j].prompt_tokens / HASH_TOKENS;
            while (common < most && common < full &&
                   rng_bits(5, 0, RNG_ROUTER, i * 64 + (uint64_t)common) % 3 ==
                       rng_bits(5, 0, RNG_ROUTER, j * 64 + (uint64_t)common) % 3)
                common++;
            longest = common > longest ? common : longest;
        }
        CU_ASSERT_EQUAL(outcome.rows[i].cached_prompt_tokens, longest * HASH_TOKENS);
        found += (uint64_t)longest;
    }
    CU_ASSERT_EQUAL(outcome.summary.cached_prompt_tokens, found * HASH_TOKENS);
    CU_ASSERT(found > 100);
    outcome_clear(&outcome);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"a later request", test_later},
        {"beginnings", test_beginnings},
        {"in one iteration", test_together},
        {"shared blocks take no room", test_spared},
        {"a block that is filled again", test_refilled},
        {"eviction", test_eviction},
        {"preempted", test_preempted},
        {"whole prompts", test_whole},
        {"host and SSD", test_tiers},
        {"SSD alone", test_ssd},
        {"the calibrated timer", test_calibrated},
        {"a constant share", test_hit_share},
        {"load", test_load},
        {"prefix-affinity", test_affinity},
        {"moved", test_moved},
        {"under pressure", test_pressure},
        {"moved under pressure", test_moved_pressure},
        {"micro-batches", test_members},
        {"tiers of micro-batches", test_tiers_of_members},
        {"without a limit", test_without_limit},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("prefix", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
