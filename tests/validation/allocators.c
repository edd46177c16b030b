/* What allocators cost and waste in whole runs, by hand: iterations of fixed length on one instance of
 * llama-2-7b (524,288 bytes of KV a token) with blocks of 16 tokens on an H100 (3.35 TB/s). */
#include "test.h"

#include "experiment.h"
#include "tandem/simtime.h"

#define MS                     INT64_C(1000000)
#define BLOCK_BYTES            INT64_C(8388608)
#define NEAR(actual, expected) CU_ASSERT_DOUBLE_EQUAL(actual, expected, 1e-12 + 1e-12 * (double)(expected))

/* Iterations take 10 ms with a prompt in them and 5 ms without; all requests come at once, after 1 ms. */
static struct outcome run_with(const struct experiment_request *requests, size_t count, const char *kv,
                               const char *scheduler)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_trace(experiment, requests, count);
    experiment_set(experiment, "cluster.pools[unified].timer={\"level\": \"fixed\", \"prefill_ms\": 10, "
                               "\"decode_ms\": 5, \"iteration_overhead_ms\": 0}");
    experiment_set(experiment, "cluster.pools[unified].kv=%s", kv);
    experiment_set(experiment, "cluster.pools[unified].scheduler=%s", scheduler);
    struct outcome outcome = experiment_run_modes(experiment, 1 * MS);
    experiment_free(experiment);
    return outcome;
}

static struct outcome run(const struct experiment_request *requests, size_t count, const char *kv)
{
    return run_with(requests, count, kv, "{}");
}

static int64_t copy_ns(int64_t blocks)
{
    return simtime_from_ns((double)(2 * blocks * BLOCK_BYTES) / 3.35e12 * 1e9); /* read and written */
}

/* A prompt of one block and 39 more tokens: three times the place is full, is copied to one of a block more
 * and held until then. The last token is never cached. */
static void test_growth(void)
{
    const struct experiment_request request = {.prompt_tokens = 16, .output_tokens = 40};
    struct outcome outcome = run(&request, 1,
                                 "{\"allocator\": \"contiguous-exact\", \"blocks\": 20, "
                                 "\"alloc_us\": 1000}");
    const struct instance_row *instance = &outcome.instances[0];
    int64_t costs_ns = 4 * MS + copy_ns(1) + copy_ns(2) + copy_ns(3);
    CU_ASSERT_EQUAL(outcome.rows[0].e2e_ns, 1 * MS + 10 * MS + 39 * 5 * MS + costs_ns);
    CU_ASSERT_EQUAL(outcome.rows[0].ttft_ns, 1 * MS + 11 * MS);
    CU_ASSERT_EQUAL(outcome.rows[0].max_itl_ns, 5 * MS + 1 * MS + copy_ns(3));
    CU_ASSERT_EQUAL(instance->kv_allocations, 4);
    CU_ASSERT_EQUAL(instance->kv_copies, 3);
    CU_ASSERT_EQUAL(instance->kv_copied_bytes, 6 * BLOCK_BYTES);
    CU_ASSERT_EQUAL(instance->kv_allocation_ns, (uint64_t)costs_ns);
    CU_ASSERT_EQUAL(instance->kv_peak_blocks, 3 + 4);
    CU_ASSERT_EQUAL(instance->kv_peak_tokens, 16 + 38);
    double token_ms = 0, block_ms = 11, length_ms = 12;
    for (int64_t step = 0; step < 39; step++) {
        int64_t tokens = 16 + step, blocks = tokens / 16 + 1;
        double ms = 5 + (tokens % 16 == 0 ? 1 + (double)copy_ns(blocks - 1) / 1e6 : 0);
        token_ms += (double)tokens * ms;
        block_ms += (double)blocks * ms;
        length_ms += ms;
    }
    NEAR(instance->kv_mean_utilization, block_ms / (20 * length_ms));
    NEAR(instance->kv_mean_cached, token_ms / (320 * length_ms));
    NEAR(instance->kv_internal_fragmentation, 1 - token_ms / (16 * block_ms));
    CU_ASSERT_EQUAL(instance->kv_external_fragmentation, 0);
    outcome_clear(&outcome);
}

/* Room for 30 tokens more than the next: one copy, at 16 tokens to (17 + 30) / 16 = 3 blocks, one at 48 to 5.
 */
static void test_room(void)
{
    const struct experiment_request request = {.prompt_tokens = 16, .output_tokens = 40};
    struct outcome outcome = run(&request, 1,
                                 "{\"allocator\": \"contiguous-exact\", \"blocks\": 20, "
                                 "\"growth_tokens\": 30}");
    const struct instance_row *instance = &outcome.instances[0];
    CU_ASSERT_EQUAL(outcome.rows[0].e2e_ns, 1 * MS + 10 * MS + 39 * 5 * MS + copy_ns(1) + copy_ns(3));
    CU_ASSERT_EQUAL(instance->kv_copies, 2);
    CU_ASSERT_EQUAL(instance->kv_peak_blocks, 3 + 5);
    outcome_clear(&outcome);
}

/* Slabs of 1, 2 and 4 blocks: copied from one to the next. Paged: a block at a time, nothing is copied. */
static void test_others(void)
{
    const struct experiment_request request = {.prompt_tokens = 16, .output_tokens = 40};
    struct outcome slab = run(&request, 1,
                              "{\"allocator\": \"slab\", \"blocks\": 21, \"alloc_us\": 1000, "
                              "\"slab_classes_tokens\": [16, 32, 64]}");
    CU_ASSERT_EQUAL(slab.rows[0].e2e_ns, 1 * MS + 10 * MS + 39 * 5 * MS + 3 * MS + copy_ns(1) + copy_ns(2));
    CU_ASSERT_EQUAL(slab.instances[0].kv_peak_blocks, 2 + 4);
    struct outcome paged = run(&request, 1, "{\"blocks\": 20, \"alloc_us\": 1000}");
    CU_ASSERT_EQUAL(paged.rows[0].e2e_ns, 1 * MS + 10 * MS + 39 * 5 * MS + 4 * MS);
    CU_ASSERT_EQUAL(paged.instances[0].kv_peak_blocks, 4);
    struct outcome max = run(&request, 1,
                             "{\"allocator\": \"contiguous-max\", \"blocks\": 20, \"alloc_us\": 1000, "
                             "\"max_length_tokens\": 320}");
    CU_ASSERT_EQUAL(max.rows[0].e2e_ns, 1 * MS + 10 * MS + 39 * 5 * MS + 1 * MS);
    NEAR(max.instances[0].kv_mean_utilization, 206.0 / 207); /* all but the way there */
    outcome_clear(&slab);
    outcome_clear(&paged);
    outcome_clear(&max);
}

/* Three of 3 blocks each in 10; the first and the third end after one step and leave 3 and 4 blocks. The
 * fourth needs 5: it waits 7 steps for the end of the second, while 7 blocks are free. */
static const struct experiment_request four[] = {
    {0, 40, 2, 0, 0}, {0, 40, 9, 0, 0}, {0, 40, 2, 0, 0}, {0, 70, 1, 0, 0}};

static void test_stranded(void)
{
    struct outcome outcome = run(four, 4, "{\"allocator\": \"contiguous-exact\", \"blocks\": 10}");
    CU_ASSERT_EQUAL(outcome.rows[3].e2e_ns, (1 + 10 + 8 * 5 + 10) * MS);
    NEAR(outcome.instances[0].kv_external_fragmentation, 7 * 7 * 5 / (10.0 * 61));
    CU_ASSERT_EQUAL(outcome.instances[0].kv_compactions, 0);
    outcome_clear(&outcome);
    outcome = run(four, 4, "{\"blocks\": 10}"); /* paged: it starts when the two have ended */
    CU_ASSERT_EQUAL(outcome.rows[3].prefill_queue_ns, 15 * MS);
    CU_ASSERT_EQUAL(outcome.instances[0].kv_external_fragmentation, 0);
    outcome_clear(&outcome);
}

/* The second is copied to the start, and the fourth begins 7 steps earlier. */
static void test_compaction(void)
{
    struct outcome outcome =
        run(four, 4, "{\"allocator\": \"contiguous-exact\", \"blocks\": 10, \"compaction\": true}");
    CU_ASSERT_EQUAL(outcome.rows[3].prefill_queue_ns, 15 * MS);
    CU_ASSERT_EQUAL(outcome.rows[3].prefill_ns, 10 * MS + copy_ns(3));
    CU_ASSERT_EQUAL(outcome.instances[0].kv_external_fragmentation, 0);
    CU_ASSERT_EQUAL(outcome.instances[0].kv_compactions, 1);
    CU_ASSERT_EQUAL(outcome.instances[0].kv_copied_bytes, 3 * BLOCK_BYTES);
    outcome_clear(&outcome);
}

/* One that outgrows its place and finds no second one is computed again, in a place for what is known then.
 */
static void test_too_long_to_copy(void)
{
    const struct experiment_request request = {.prompt_tokens = 48, .output_tokens = 3};
    struct outcome outcome = run(&request, 1, "{\"allocator\": \"contiguous-exact\", \"blocks\": 5}");
    CU_ASSERT_EQUAL(outcome.rows[0].preemptions, 1);
    CU_ASSERT_EQUAL(outcome.instances[0].recomputed_tokens, 48);
    CU_ASSERT_EQUAL(outcome.rows[0].e2e_ns, (1 + 10 + 10 + 5) * MS);
    outcome_clear(&outcome);
}

/* Prompts of 60 and 10 tokens with limits of 30 and 60: slots of 60 + 60 - 1 in one batch, each of which is
 * an allocation. Where no place is that long they are two batches, of 89 and 69. */
static void test_static(void)
{
    const struct experiment_request requests[] = {{0, 60, 3, 30, 0}, {0, 10, 3, 60, 0}};
    const char *scheduler = "{\"policy\": \"static\", \"static_batch_size\": 2, \"static_timeout_ms\": 0}";
    static const struct {
        const char *kv;
        uint64_t blocks; /* of a slot */
    } together[] = {
        {"{\"allocator\": \"contiguous-max\", \"max_length_tokens\": 119, \"blocks\": 40, \"alloc_us\": "
         "1000}",
         8},
        {"{\"allocator\": \"contiguous-exact\", \"blocks\": 40, \"alloc_us\": 1000}", 8},
        {"{\"allocator\": \"slab\", \"slab_classes_tokens\": [16, 144], \"blocks\": 40, \"alloc_us\": 1000}",
         9}};
    for (size_t i = 0; i < sizeof together / sizeof *together; i++) {
        struct outcome outcome = run_with(requests, 2, together[i].kv, scheduler);
        for (int k = 0; k < 2; k++) {
            CU_ASSERT_EQUAL(outcome.rows[k].ttft_ns, (1 + 12) * MS);
            CU_ASSERT_EQUAL(outcome.rows[k].e2e_ns, (1 + 12 + 2 * 5) * MS);
        }
        CU_ASSERT_EQUAL(outcome.instances[0].kv_peak_blocks, 2 * together[i].blocks);
        CU_ASSERT_EQUAL(outcome.instances[0].kv_allocations, 2);
        outcome_clear(&outcome);
    }
    struct outcome apart = run_with(requests, 2,
                                    "{\"allocator\": \"contiguous-max\", \"max_length_tokens\": 118, "
                                    "\"block_tokens\": 1, \"blocks\": 300, \"alloc_us\": 1000}",
                                    scheduler);
    CU_ASSERT_EQUAL(apart.rows[0].e2e_ns, (1 + 11 + 2 * 5) * MS);
    CU_ASSERT_EQUAL(apart.rows[1].prefill_queue_ns, (11 + 2 * 5) * MS);
    CU_ASSERT_EQUAL(apart.instances[0].kv_peak_blocks, 118);
    outcome_clear(&apart);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"growth by copy", test_growth},
        {"room to grow", test_room},
        {"slabs, paged, pre-allocated", test_others},
        {"external fragmentation", test_stranded},
        {"compaction", test_compaction},
        {"no room for a copy", test_too_long_to_copy},
        {"static batches", test_static},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("KV allocators by hand", cases, sizeof cases / sizeof *cases);
    MPI_Finalize();
    return code;
}
