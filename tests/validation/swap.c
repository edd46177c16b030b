/* Preemption by swapping, worked out by hand: blocks of 4 tokens, an iteration with prefill takes 10 ms, one
 * without 5 ms, a block a millisecond to the host or back. */
#include "test.h"

#include "experiment.h"

#define MS          INT64_C(1000000)
#define BLOCK_BYTES (4 * UINT64_C(524288)) /* llama-2-7b: 2 x 32 layers x 4096 values x 2 bytes a token */

static struct experiment *small(int64_t blocks, const char *scheduler)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_set(experiment, "cluster.pools[0].kv={\"block_tokens\": 4, \"blocks\": %lld}",
                   (long long)blocks);
    experiment_set(experiment,
                   "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 5}");
    experiment_set(experiment, "cluster.pools[0].scheduler=%s", scheduler);
    experiment_set(experiment, "cluster.pools[0].scheduler.swap_gb_per_s=%.17g", (double)BLOCK_BYTES / 1e6);
    return experiment;
}

/* Runs it in every mode; the same each time. */
static struct outcome run_modes(struct experiment *experiment)
{
    struct outcome outcome = experiment_run_modes(experiment, MS);
    experiment_free(experiment);
    return outcome;
}

/* Two prompts of 8 tokens, both in the iteration from 1 to 11 ms; 4 of 5 blocks. At 11 the first takes the
 * fifth, the second has to go. Until 18 its 2 blocks are copied and the first decodes, and ends with two 5 ms
 * more at 33. The second then comes back (2 ms) and has four steps. */
static struct outcome two_decodes(const char *scheduler)
{
    static const struct experiment_request requests[] = {{0, 8, 5, 0, 0}, {0, 8, 5, 0, 0}};
    struct experiment *experiment = small(5, scheduler);
    experiment_trace(experiment, requests, 2);
    return run_modes(experiment);
}

static void test_decode(void)
{
    struct outcome outcome = two_decodes("{\"preemption\": \"swap\"}");
    const struct row *first = &outcome.rows[0], *second = &outcome.rows[1];
    CU_ASSERT_EQUAL(first->e2e_ns, 33 * MS);
    CU_ASSERT_EQUAL(first->decode_ns, 22 * MS); /* 4 steps and the copy */
    CU_ASSERT(first->preemptions == 0 && first->swaps == 0 && first->stalled_ns == 0);
    CU_ASSERT_EQUAL(second->ttft_ns, 11 * MS);
    CU_ASSERT_EQUAL(second->stalled_ns, 22 * MS); /* 11 to 33 */
    CU_ASSERT_EQUAL(second->max_itl_ns, 29 * MS); /* 11 to 40 */
    CU_ASSERT_EQUAL(second->decode_ns, 22 * MS);
    CU_ASSERT_EQUAL(second->e2e_ns, 55 * MS);
    CU_ASSERT(second->preemptions == 1 && second->swaps == 1);
    CU_ASSERT_EQUAL(second->swapped_bytes, 4 * BLOCK_BYTES);
    CU_ASSERT_EQUAL(outcome.instances[0].prefill_tokens, 16);
    CU_ASSERT_EQUAL(outcome.instances[0].recomputed_tokens, 0);
    CU_ASSERT_EQUAL(outcome.instances[0].swapped_out_bytes, 2 * BLOCK_BYTES);
    CU_ASSERT_EQUAL(outcome.pools[0].swapped_in_bytes, 2 * BLOCK_BYTES);
    CU_ASSERT_EQUAL(outcome.pools[0].swaps, 1);
    CU_ASSERT_EQUAL(outcome.summary.swapped_bytes, 4 * BLOCK_BYTES);
    outcome_clear(&outcome);
}

/* A host with room for one block of the two: recomputed, as without. The first ends at 31; 9 tokens again,
 * then three steps. */
static void test_no_room(void)
{
    static const char *const schedulers[] = {
        "{\"preemption\": \"swap\", \"swap_space_gib\": 0.00390624}", /* less than 2 blocks: 4 MiB */
        "{}"};
    for (int i = 0; i < 2; i++) {
        struct outcome outcome = two_decodes(schedulers[i]);
        CU_ASSERT_EQUAL(outcome.rows[0].e2e_ns, 31 * MS);
        CU_ASSERT_EQUAL(outcome.rows[1].e2e_ns, 56 * MS);
        CU_ASSERT_EQUAL(outcome.rows[1].stalled_ns, 20 * MS);
        CU_ASSERT(outcome.summary.preemptions == 1 && outcome.summary.swaps == 0);
        CU_ASSERT_EQUAL(outcome.instances[0].prefill_tokens, 16 + 9);
        outcome_clear(&outcome);
    }
    struct outcome outcome = two_decodes("{\"preemption\": \"swap\", \"swap_space_gib\": 0.00390625}");
    CU_ASSERT_EQUAL(outcome.summary.swaps, 1);
    outcome_clear(&outcome);
}

/* 5 tokens an iteration, 4 blocks. The second prompt of 12 computes 1, then 4 tokens beside the first
 * request, and at 21 has no block for more: 2 are copied. The first has 9 tokens at 58, having needed a third
 * block at
 * 38. Then 2 come back and 5 tokens more are computed until 70, the last 2 until 80. */
static void test_partial(void)
{
    static const struct experiment_request requests[] = {{0, 4, 9, 0, 0}, {0, 12, 1, 0, 0}};
    struct experiment *experiment =
        small(4, "{\"preemption\": \"swap\", \"max_num_batched_tokens\": 5, \"max_num_seqs\": 2}");
    experiment_trace(experiment, requests, 2);
    struct outcome outcome = run_modes(experiment);
    CU_ASSERT_EQUAL(outcome.rows[0].e2e_ns, 58 * MS);
    CU_ASSERT_EQUAL(outcome.rows[1].e2e_ns, 80 * MS);
    CU_ASSERT_EQUAL(outcome.rows[1].stalled_ns, 37 * MS);
    CU_ASSERT_EQUAL(outcome.rows[1].prefill_ns, 42 * MS);
    CU_ASSERT_EQUAL(outcome.rows[1].swapped_bytes, 4 * BLOCK_BYTES);
    CU_ASSERT_EQUAL(outcome.instances[0].prefill_tokens, 16);
    outcome_clear(&outcome);
}

/* The default rate: PCIe of the GPU's generation. 2 blocks at 50.4 and at 25.2 GB/s, twice. */
static void test_rates(void)
{
    static const struct {
        const char *gpu;
        double bytes_per_s;
    } gpus[] = {{"h100-sxm", 50.4e9}, {"a100-sxm-80gb", 25.2e9}};
    for (int i = 0; i < 2; i++) {
        static const struct experiment_request requests[] = {{0, 8, 5, 0, 0}, {0, 8, 5, 0, 0}};
        struct experiment *experiment = small(5, "{\"preemption\": \"swap\"}");
        experiment_set(experiment, "cluster.pools[0].gpu=%s", gpus[i].gpu);
        experiment_set(experiment, "cluster.pools[0].scheduler.swap_gb_per_s=0");
        experiment_trace(experiment, requests, 2);
        struct outcome outcome = run_modes(experiment);
        int64_t copy_ns = (int64_t)(2 * (double)BLOCK_BYTES / gpus[i].bytes_per_s * 1e9 + 0.5);
        CU_ASSERT_EQUAL(outcome.rows[1].e2e_ns, 51 * MS + 2 * copy_ns);
        outcome_clear(&outcome);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"a decode", test_decode},
        {"a host without room", test_no_room},
        {"a partial prefill", test_partial},
        {"rates of PCIe", test_rates},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("swap", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
