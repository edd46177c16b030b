/* Options of the hand-off, worked out by hand: blocks of 4 tokens, an iteration with prefill takes 10 ms, one
 * without 5 ms; a transfer takes 3 ms and one for each block; control messages take 1 ms. */
#include "test.h"

#include "experiment.h"

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
    static const char *const modes[] = {"naive", "aggregate", "leaping"};
    struct outcome outcomes[3];
    for (int mode = 0; mode < 3; mode++) {
        experiment_set(experiment, "simulation.mode=%s", modes[mode]);
        outcomes[mode] = experiment_run_well(experiment);
    }
    for (int mode = 0; mode < 2; mode++) {
        CU_ASSERT_PTR_NULL(outcome_difference(&outcomes[mode], &outcomes[2]));
        outcome_clear(&outcomes[mode]);
    }
    experiment_free(experiment);
    outcome_check_conserved(&outcomes[2], MS);
    return outcomes[2];
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
    CU_ASSERT_EQUAL(outcome.instances[1].kv_peak_blocks, peak_blocks);
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

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"reserved tokens", test_reserve_tokens},
        {"refusals by what is reserved", test_reserved_refusals},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("handoff", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
