/* Options of the hand-off, worked out by hand: blocks of 4 tokens, an iteration with prefill takes 10 ms, one
 * without 5 ms; a transfer takes 3 ms and one for each block; control messages take 1 ms. */
#include "test.h"

#include "experiment.h"
#include "tandem/simtime.h"

#define MS          INT64_C(1000000)
#define BLOCK_BYTES (4 * UINT64_C(524288)) /* llama-2-7b: 2 x 32 layers x 4096 values x 2 bytes a token */

static struct experiment *make(const struct experiment_request *requests, size_t count, int64_t decode_blocks)
{
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    experiment_trace(experiment, requests, count);
    for (int pool = 0; pool < 2; pool++) {
        experiment_set(experiment, "cluster.pools[%d].kv={\"block_tokens\": 4, \"blocks\": %lld}", pool,
                       pool == 0 ? 1000 : (long long)decode_blocks);
        experiment_set(experiment,
                       "cluster.pools[%d].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 5}",
                       pool);
    }
    experiment_set(experiment,
                   "cluster.network.kv_link={\"name\": \"even\", \"source\": \"test\", "
                   "\"bandwidth_gb_per_s\": %.17g, \"efficiency\": 1, \"setup_ms\": 3, \"descriptor_ns\": 0}",
                   (double)BLOCK_BYTES / 1e6);
    return experiment;
}

/* Runs it in every mode; the same each time. */
static struct outcome run_modes(struct experiment *experiment)
{
    struct outcome outcome = experiment_run_modes(experiment, MS);
    experiment_free(experiment);
    return outcome;
}

/* Two prompts of 2 blocks, complete at 11, at the decode instance at 13. The first alone would be there at 20
 * and end at 35; both at once share the network from 17 to 21 and end at 37. Where the second has to wait for
 * the first to end, it has its blocks at 35, and ends 22 ms later. */
static void check_reserved(const char *reserve_tokens, int64_t blocks, bool waits, int64_t peak_blocks)
{
    static const struct experiment_request requests[] = {{0, 8, 3, 12, 0}, {0, 8, 3, 12, 0}};
    struct experiment *experiment = make(requests, 2, blocks);
    experiment_set(experiment, "cluster.handoff.reserve_tokens=%s", reserve_tokens);
    experiment_set(experiment, "cluster.handoff.headroom_tokens=8");
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT_EQUAL(outcome.rows[0].e2e_ns, (waits ? 35 : 37) * MS);
    CU_ASSERT_EQUAL(outcome.rows[1].decode_queue_ns, (waits ? 22 : 0) * MS);
    CU_ASSERT_EQUAL(outcome.rows[1].e2e_ns, (waits ? 57 : 37) * MS);
    CU_ASSERT_EQUAL((int64_t)outcome.instances[1].kv_peak_blocks, peak_blocks);
    outcome_clear(&outcome);
}

/* Each reserves 9 tokens, 3 blocks, and needs no more; 8 tokens, 2 blocks, with 8 of headroom for each: the
 * second finds 8 - 2 free for 8 + 2 x 8, or too few; 8 + 12 tokens, 5 blocks. */
static void test_reserve_tokens(void)
{
    check_reserved("prompt", 5, true, 3);
    check_reserved("prompt", 6, false, 6);
    check_reserved("prompt+headroom", 7, true, 3);
    check_reserved("prompt+headroom", 8, false, 6);
    check_reserved("prompt+max", 9, true, 5);
    check_reserved("prompt+max", 10, false, 10);
}

/* 3 blocks hold what one needs, and alone it may have them whatever the headroom; its limit takes 5. */
static void test_reserved_refusals(void)
{
    static const struct experiment_request request = {0, 8, 3, 12, 0};
    static const struct {
        const char *reserve_tokens;
        int64_t blocks;
        bool refused;
    } cases[] = {{"prompt", 3, false},         {"prompt", 2, true},      {"prompt+headroom", 3, false},
                 {"prompt+headroom", 2, true}, {"prompt+max", 5, false}, {"prompt+max", 4, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct experiment *experiment = make(&request, 1, cases[i].blocks);
        experiment_set(experiment, "cluster.handoff.reserve_tokens=%s", cases[i].reserve_tokens);
        struct outcome outcome = run_modes(experiment);
        CU_ASSERT_EQUAL(outcome.summary.refused_kv_capacity, cases[i].refused);
        CU_ASSERT_EQUAL(outcome.rows[0].e2e_ns, cases[i].refused ? 0 : 35 * MS);
        outcome_clear(&outcome);
    }
}

/* The request is at the decode instance at 1, at the prefill instance at 2, complete at 12; 4 L in all. The
 * next has no blocks before it ends at 34. One that needs no decode instance does not wait for it. */
static void test_before_prefill(void)
{
    static const struct experiment_request requests[] = {{0, 8, 3, 0, 0}, {0, 8, 3, 0, 0}};
    struct experiment *experiment = make(requests, 2, 5);
    experiment_set(experiment, "cluster.handoff.reserve=before-prefill");
    struct outcome outcome = run_modes(experiment);
    for (int i = 0; i < 2; i++) {
        const struct row *row = &outcome.rows[i];
        CU_ASSERT_EQUAL(row->control_ns, 4 * MS);
        CU_ASSERT_EQUAL(row->decode_queue_ns, i * 33 * MS);
        CU_ASSERT(row->prefill_queue_ns == 0 && row->prefill_ns == 10 * MS && row->admission_ns == 0);
        CU_ASSERT_EQUAL(row->transfer_ns, 5 * MS);
        CU_ASSERT_EQUAL(row->ttft_ns, (24 + i * 33) * MS);
        CU_ASSERT_EQUAL(row->e2e_ns, (34 + i * 33) * MS);
        CU_ASSERT(row->prefill_instance == 0 && row->decode_instance == 1);
    }
    outcome_clear(&outcome);
}

static void test_single_token(void)
{
    static const struct experiment_request requests[] = {{0, 8, 3, 0, 0}, {MS, 8, 1, 0, 0}};
    struct experiment *experiment = make(requests, 2, 3);
    experiment_set(experiment, "cluster.handoff.reserve=before-prefill");
    experiment_set(experiment, "cluster.handoff.first_token=prefill");
    struct outcome outcome = run_modes(experiment);
    const struct row *row = &outcome.rows[1]; /* there at 2, with the first */
    CU_ASSERT(row->control_ns == MS && row->decode_queue_ns == 0 && row->decode_instance == -1);
    CU_ASSERT_EQUAL(row->e2e_ns, 11 * MS);
    CU_ASSERT_EQUAL(outcome.rows[0].e2e_ns, 29 * MS);
    outcome_clear(&outcome);
}

/* 5 blocks, of which each takes 2. At 27 both have their first token and need a third: the second goes back,
 * is at the prefill instance at 29, complete with 9 tokens at 39, offered at 41; the first has 3 blocks
 * until 47. Then 3 blocks move, which are known at 55; its last token runs again and three follow. */
static void test_recompute_at_prefill(void)
{
    static const struct experiment_request requests[] = {{0, 8, 5, 0, 0}, {0, 8, 5, 0, 0}};
    struct experiment *experiment = make(requests, 2, 5);
    experiment_set(experiment,
                   "cluster.handoff={\"reserve_tokens\": \"prompt+headroom\", \"headroom_tokens\": 0, "
                   "\"recompute_at\": \"prefill\"}");
    struct outcome outcome = run_modes(experiment);
    const struct row *first = &outcome.rows[0], *second = &outcome.rows[1];
    CU_ASSERT(first->e2e_ns == 47 * MS && first->preemptions == 0);
    CU_ASSERT_EQUAL(second->ttft_prefill_ns, 11 * MS);
    CU_ASSERT_EQUAL(second->ttft_ns, 27 * MS);
    CU_ASSERT_EQUAL(second->max_itl_ns, 33 * MS);
    CU_ASSERT_EQUAL(second->e2e_ns, 75 * MS);
    CU_ASSERT_EQUAL(second->control_ns, (5 + 6) * MS);
    CU_ASSERT_EQUAL(second->prefill_ns, (10 + 10) * MS);
    CU_ASSERT_EQUAL(second->decode_queue_ns, 6 * MS);
    CU_ASSERT_EQUAL(second->transfer_ns, (7 + 6) * MS);
    CU_ASSERT_EQUAL(second->decode_ns, (5 + 20) * MS);
    CU_ASSERT(second->stalled_ns == 0 && second->preemptions == 1);
    CU_ASSERT_EQUAL(second->kv_transfer_bytes, (2 + 3) * BLOCK_BYTES);
    CU_ASSERT_EQUAL(outcome.instances[0].prefill_tokens, 8 + 8 + 9);
    CU_ASSERT_EQUAL(outcome.instances[0].recomputed_tokens, 8);
    outcome_clear(&outcome);
}

/* What is computed again has to fit the prefill instance: 8 + 5 - 1 tokens, 3 blocks. */
static void test_return_refusals(void)
{
    static const struct experiment_request request = {0, 8, 5, 0, 0};
    for (int i = 0; i < 4; i++) {
        struct experiment *experiment = make(&request, 1, 1000);
        experiment_set(experiment, "cluster.handoff.recompute_at=%s", i < 2 ? "decode" : "prefill");
        experiment_set(experiment, "cluster.pools[0].kv.blocks=%d", 2 + i % 2);
        struct outcome outcome = run_modes(experiment);
        CU_ASSERT_EQUAL(outcome.summary.refused_kv_capacity, i == 2);
        outcome_clear(&outcome);
    }
}

/* 16 tokens in two chunks, complete at 12 and 22. Without overlap 4 blocks move from 26 to 30; with it the
 * last 2, the first having moved from 16 to 18. */
static void test_chunks(void)
{
    static const struct experiment_request request = {0, 16, 2, 0, 0};
    for (int i = 0; i < 2; i++) {
        struct experiment *experiment = make(&request, 1, 1000);
        experiment_set(experiment, "cluster.handoff={\"reserve\": \"before-prefill\", \"overlap\": \"%s\"}",
                       i ? "chunk" : "none");
        experiment_set(experiment, "cluster.pools[0].scheduler={\"chunked_prefill\": true, "
                                   "\"max_num_batched_tokens\": 8, \"max_num_seqs\": 8}");
        struct outcome outcome = run_modes(experiment);
        const struct row *row = &outcome.rows[0];
        CU_ASSERT_EQUAL(row->ttft_prefill_ns, 22 * MS);
        CU_ASSERT_EQUAL(row->transfer_ns, (i ? 5 : 7) * MS);
        CU_ASSERT_EQUAL(row->control_ns, 4 * MS);
        CU_ASSERT_EQUAL(row->ttft_ns, (i ? 34 : 36) * MS);
        CU_ASSERT_EQUAL(row->kv_transfer_bytes, 4 * BLOCK_BYTES);
        outcome_clear(&outcome);
    }
}

/* From 2 to 12 two blocks are computed, a fifth of one each ms; the first of 32 layers is there at 2.3125, so
 * that the flow drains from 6.3125. At 12 there are 0.8625 blocks left, which the port takes alone, or
 * shares.
 */
static void test_layers(void)
{
    static const struct experiment_request requests[] = {{0, 8, 2, 0, 0}, {0, 8, 2, 0, 0}};
    static const char *const sharing[] = {"max-min", "sender", "none"};
    for (size_t count = 1; count <= 2; count++)
        for (int i = 0; i < 3; i++) {
            struct experiment *experiment = make(requests, count, 1000);
            experiment_set(experiment,
                           "cluster.handoff={\"reserve\": \"before-prefill\", \"overlap\": \"layer\"}");
            experiment_set(experiment, "cluster.network.sharing=%s", sharing[i]);
            struct outcome outcome = run_modes(experiment);
            const struct row *row = &outcome.rows[0];
            int64_t left_ns = i == 0 && count == 2 ? 1725000 : 862500;
            CU_ASSERT_EQUAL(row->prefill_ns, 10 * MS);
            CU_ASSERT_EQUAL(row->transfer_ns, left_ns);
            CU_ASSERT_EQUAL(row->control_ns, 3 * MS);
            CU_ASSERT_EQUAL(row->e2e_ns, (12 + 1 + 10) * MS + left_ns + row->admission_ns);
            CU_ASSERT_EQUAL(row->kv_transfer_bytes, 2 * BLOCK_BYTES);
            /* One after another, the second has the port once the first is through: 2 blocks, 2 ms. */
            if (i == 1 && count == 2)
                CU_ASSERT_EQUAL(outcome.rows[1].transfer_ns, left_ns + 2 * MS);
            outcome_clear(&outcome);
        }
}

/* Two pools that lay the cache out differently. */
struct ends {
    const char *model;
    int64_t prefill_block, decode_block, prefill_ranks, decode_ranks;
    int64_t token_bytes, layers; /* keys and values of all layers, each head once; parts of a block */
    int64_t copies, pieces;      /* of a prompt of 9 tokens */
};

/* The sender's blocks of 4 hold 12 tokens. llama-3.1-8b has 8 KV heads, 2 of which a rank of 4 has: a rank
 * that has all 8 gets each piece from 4. DeepSeek-V3: 61 layers of 512 + 64 values, on every rank. */
static void test_different_pools(void)
{
    static const struct ends cases[] = {
        {"llama-2-7b", 4, 4, 1, 1, 524288, 64, 1, 3},     {"llama-2-7b", 4, 8, 1, 1, 524288, 64, 1, 3},
        {"llama-2-7b", 4, 1, 1, 1, 524288, 64, 1, 9},     {"llama-2-7b", 16, 4, 1, 1, 524288, 64, 1, 3},
        {"llama-3.1-8b", 4, 4, 4, 1, 131072, 64, 1, 12},  {"llama-3.1-8b", 4, 4, 1, 4, 131072, 64, 1, 3},
        {"llama-3.1-8b", 4, 4, 1, 16, 131072, 64, 2, 3},  {"llama-3.1-8b", 4, 4, 16, 1, 131072, 64, 1, 24},
        {"llama-3.1-8b", 4, 2, 16, 32, 131072, 64, 4, 5}, {"deepseek-v3", 4, 4, 8, 2, 70272, 61, 2, 3},
        {"deepseek-v3", 4, 4, 2, 8, 70272, 61, 8, 3},
    };
    static const struct experiment_request request = {0, 9, 2, 0, 0};
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        const struct ends *ends = &cases[i / 2];
        struct experiment *experiment = make(&request, 1, 1000);
        experiment_set(experiment, "model=%s", ends->model);
        experiment_set(experiment, "cluster.pools[0].kv.block_tokens=%lld", (long long)ends->prefill_block);
        experiment_set(experiment, "cluster.pools[1].kv.block_tokens=%lld", (long long)ends->decode_block);
        experiment_set(experiment, "cluster.pools[0].tensor_parallel=%lld", (long long)ends->prefill_ranks);
        experiment_set(experiment, "cluster.pools[1].tensor_parallel=%lld", (long long)ends->decode_ranks);
        experiment_set(experiment, "cluster.network.kv_link.descriptor_ns=1000");
        experiment_set(experiment, "cluster.handoff.reserve=%s-prefill", i % 2 ? "before" : "after");
        struct outcome outcome = run_modes(experiment);
        int64_t sent_tokens = (9 + ends->prefill_block - 1) / ends->prefill_block * ends->prefill_block;
        int64_t bytes = sent_tokens * ends->token_bytes * ends->copies;
        int64_t ranks = ends->prefill_ranks < ends->decode_ranks ? ends->prefill_ranks : ends->decode_ranks;
        double rate = (double)BLOCK_BYTES * 1e3 * (double)ranks;
        CU_ASSERT_EQUAL(outcome.rows[0].kv_transfer_bytes, (uint64_t)bytes);
        CU_ASSERT_EQUAL(outcome.rows[0].transfer_ns, 3 * MS + ends->layers * ends->pieces * 1000 +
                                                         simtime_from_seconds((double)bytes / rate));
        CU_ASSERT_EQUAL((int64_t)outcome.instances[0].kv_peak_blocks, sent_tokens / ends->prefill_block);
        CU_ASSERT_EQUAL((int64_t)outcome.instances[1].kv_peak_blocks,
                        (10 + ends->decode_block - 1) / ends->decode_block);
        outcome_clear(&outcome);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"reserved tokens", test_reserve_tokens},
        {"refusals by what is reserved", test_reserved_refusals},
        {"reserved before prefill", test_before_prefill},
        {"a single token", test_single_token},
        {"recomputed at prefill", test_recompute_at_prefill},
        {"refusals by what comes back", test_return_refusals},
        {"chunks", test_chunks},
        {"layers", test_layers},
        {"different pools", test_different_pools},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("handoff", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
