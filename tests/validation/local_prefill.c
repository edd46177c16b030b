/* Prompts that decode instances compute themselves: with all of them a pair is a unified instance; with some
 * both kinds are served in order. */
#include "test.h"

#include "experiment.h"

#define MS INT64_C(1000000)

static const char *const modes[] = {"naive", "aggregate", "leaping"};

/* One decode instance with few blocks and seats beside a prefill instance, or a unified one like it. */
static struct experiment *make(bool pair, const char *policy, const char *recompute, uint64_t seed)
{
    struct experiment *experiment = experiment_new(pair ? experiment_disaggregated : experiment_unified);
    const char *pool = pair ? "decode" : "unified";
    experiment_synthetic(experiment, "{\"uniform\": {\"min\": 1, \"max\": 900}}",
                         "{\"uniform\": {\"min\": 1, \"max\": 120}}",
                         "{\"gamma\": {\"rate_per_s\": 60, \"cv\": 3}}", 150);
    experiment_set(experiment, "seed=%llu", (unsigned long long)seed);
    experiment_set(experiment, "cluster.pools[%s].kv={\"block_tokens\": 16, \"blocks\": 220}", pool);
    experiment_set(experiment,
                   "cluster.pools[%s].scheduler={\"policy\": \"%s\", \"max_num_batched_tokens\": 512, "
                   "\"max_num_seqs\": 24, \"preemption\": \"%s\"}",
                   pool, policy, seed % 3 == 0 ? "swap" : "recompute");
    if (pair) {
        experiment_set(experiment, "cluster.handoff.local_prefill_max_tokens=1000000");
        experiment_set(experiment, "cluster.handoff.recompute_at=%s", recompute);
    }
    return experiment;
}

static bool same_course(const struct row *a, const struct row *b)
{
    return a->arrival_ns == b->arrival_ns && a->ttft_ns == b->ttft_ns && a->e2e_ns == b->e2e_ns &&
           a->max_itl_ns == b->max_itl_ns && a->prefill_queue_ns == b->prefill_queue_ns &&
           a->prefill_ns == b->prefill_ns && a->decode_ns == b->decode_ns && a->stalled_ns == b->stalled_ns &&
           a->preemptions == b->preemptions && a->swaps == b->swaps &&
           a->interference_ns == b->interference_ns && a->blocked_ns == b->blocked_ns;
}

static void test_all_local(void)
{
    uint64_t preemptions = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct experiment *unified = make(false, "chunked", "", seed);
        struct outcome expected = experiment_run_well(unified);
        for (int mode = 0; mode < 3; mode++) {
            struct experiment *pair = make(true, "decode-only", seed % 2 ? "decode" : "prefill", seed);
            experiment_set(pair, "simulation.mode=%s", modes[mode]);
            struct outcome outcome = experiment_run_well(pair);
            outcome_check_conserved(&outcome, MS);
            size_t same = 0;
            CU_ASSERT_EQUAL_FATAL(outcome.row_count, expected.row_count);
            for (size_t i = 0; i < outcome.row_count; i++)
                same += same_course(&outcome.rows[i], &expected.rows[i]) &&
                        outcome.rows[i].decode_instance == -1 && outcome.rows[i].prefill_instance == 1;
            CU_ASSERT_EQUAL(same, outcome.row_count);
            CU_ASSERT(outcome.summary.moved_requests == 0 && outcome.summary.kv_transfer_bytes == 0);
            preemptions += outcome.summary.preemptions;
            outcome_clear(&outcome);
            experiment_free(pair);
        }
        outcome_clear(&expected);
        experiment_free(unified);
    }
    CU_ASSERT(preemptions > 100);
}

/* Some move, some do not, whatever the way of the hand-off. */
static void test_mixed(void)
{
    static const char *const ways[] = {
        "{\"local_prefill_max_tokens\": 300}",
        "{\"local_prefill_max_tokens\": 450, \"first_token\": \"prefill\", \"recompute_at\": \"prefill\"}",
        "{\"local_prefill_max_tokens\": 300, \"first_token\": \"relay\", \"reserve\": \"before-prefill\", "
        "\"overlap\": \"chunk\"}",
        "{\"local_prefill_max_tokens\": 300, \"reserve_tokens\": \"prompt+headroom\", \"headroom_tokens\": "
        "64}"};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        for (uint64_t seed = 1; seed <= 4; seed++) {
            struct experiment *experiment = make(true, "decode-only", "decode", seed);
            experiment_set(experiment, "cluster.handoff=%s", ways[i]);
            struct outcome outcome = experiment_run_modes(experiment, MS);
            int64_t most = i == 1 ? 450 : 300;
            size_t wrong = 0;
            for (size_t k = 0; k < outcome.row_count; k++) {
                const struct row *row = &outcome.rows[k];
                bool local = row->prompt_tokens <= most;
                bool stays = i == 1 && row->output_tokens == 1;
                wrong += row->prefill_instance != local || row->decode_instance != (local || stays ? -1 : 1);
            }
            CU_ASSERT_EQUAL(wrong, 0);
            CU_ASSERT(outcome.summary.moved_requests > 40 && outcome.summary.moved_requests < 130);
            outcome_clear(&outcome);
            experiment_free(experiment);
        }
}

/* 6 blocks of 4 tokens at decode, iterations of 10 ms with a prompt and of 5 without. Request 0, short
 * enough, holds 4 or 5 blocks there until 36 ms. The hand-off of request 1 (5 blocks) comes at 13; the short
 * prompt at 20, for which there is a block, waits behind it. */
static void test_order(void)
{
    static const struct experiment_request requests[] = {
        {0, 15, 6, 0, 0}, {0, 16, 1, 0, 0}, {19 * MS, 4, 1, 0, 0}};
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    experiment_trace(experiment, requests, 3);
    for (int i = 0; i < 2; i++) {
        experiment_set(experiment,
                       "cluster.pools[%d].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 5}",
                       i);
        experiment_set(experiment, "cluster.pools[%d].kv={\"block_tokens\": 4, \"blocks\": 6}", i);
    }
    experiment_set(experiment, "cluster.handoff.local_prefill_max_tokens=15");
    struct outcome outcome = experiment_run_modes(experiment, MS);
    const struct row *first = &outcome.rows[0], *moved = &outcome.rows[1], *last = &outcome.rows[2];
    CU_ASSERT_EQUAL(first->e2e_ns, 36 * MS);          /* 1 + 10 + 5 x 5 */
    CU_ASSERT_EQUAL(moved->decode_queue_ns, 23 * MS); /* 13 to 36 */
    CU_ASSERT_EQUAL(moved->decode_instance, 1);
    CU_ASSERT_EQUAL(last->prefill_queue_ns, 16 * MS); /* 20 to 36: it has blocks beside the hand-off, then */
    CU_ASSERT_EQUAL(last->decode_instance, -1);
    CU_ASSERT_EQUAL(last->e2e_ns, (1 + 16 + 10) * MS);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"all prompts", test_all_local},
        {"some prompts", test_mixed},
        {"first come, first served", test_order},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("local_prefill", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
