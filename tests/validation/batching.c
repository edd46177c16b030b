/* Batching policies worked out by hand: the batches of the documents (seeds/traditional-attention.md, "Static
 * Batching Limitations"; seeds/prefill-decode-lab.md, "Adaptive Strategy"), orders, watermarks, and what
 * requests do to each other. Iterations take whole seconds. */
#include "test.h"

#include "experiment.h"

#define SECOND     INT64_C(1000000000)
#define LATENCY_NS 1000 /* of control messages */

static struct experiment *make(const char *policy, const struct experiment_request *requests, size_t count,
                               int prefill_s)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_trace(experiment, requests, count);
    experiment_set(experiment, "cluster.network.control_latency_us=1");
    experiment_set(experiment, "cluster.pools[0].scheduler.policy=%s", policy);
    experiment_set(
        experiment,
        "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": %d000, \"decode_ms\": 1000}",
        prefill_s);
    experiment_set(experiment, "cluster.pools[0].kv={\"block_tokens\": 16, \"blocks\": 10000}");
    return experiment;
}

static void finish(struct experiment *experiment, struct outcome *outcome)
{
    outcome_check_conserved(outcome, LATENCY_NS);
    outcome_clear(outcome);
    experiment_free(experiment);
}

/* Requests of one prompt token that take so many seconds: as many tokens, the first with the prompt. */
static void set_times(struct experiment_request *requests, const int *times, size_t count)
{
    for (size_t i = 0; i < count; i++)
        requests[i] = (struct experiment_request){.prompt_tokens = 1, .output_tokens = times[i]};
}

/* 8 / 45 = 0.178 sequences a second; each request has its tokens as they come. */
static void test_batch_of_eight(void)
{
    static const int times[] = {10, 12, 45, 8, 11, 9, 13, 10};
    struct experiment_request requests[8];
    set_times(requests, times, 8);
    struct experiment *experiment = make("static", requests, 8, 1);
    experiment_set(experiment, "cluster.pools[0].scheduler.static_batch_size=8");
    struct outcome outcome = experiment_run_well(experiment);
    for (size_t i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(outcome.rows[i].e2e_ns, times[i] * SECOND + LATENCY_NS);
    CU_ASSERT_EQUAL(outcome.summary.end_ns, 45 * SECOND + LATENCY_NS);
    CU_ASSERT_DOUBLE_EQUAL(outcome.summary.completed_per_s, 8 / 45.0, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(outcome.summary.completed_per_s, 0.178, 0.0005);
    finish(experiment, &outcome);
}

/* 16 slots are busy in 208 of 832 slot-seconds, 25 %, and the rest is padding. The next request waits for all
 * of them; with continuous batching it has the seat of the first that ends, and its prefill costs the 14 that
 * decode a second. */
static void test_batch_of_sixteen(void)
{
    static const int times[] = {5, 8, 12, 45, 6, 7, 9, 11, 5, 6, 8, 10, 52, 7, 8, 9};
    struct experiment_request requests[17];
    set_times(requests, times, 16);
    requests[16] = (struct experiment_request){.send_ns = 1, .prompt_tokens = 1, .output_tokens = 1};
    for (int i = 0; i < 2; i++) {
        bool fixed = i == 0;
        struct experiment *experiment = make(fixed ? "static" : "continuous", requests, 17, 1);
        experiment_set(experiment, "cluster.pools[0].scheduler.static_batch_size=16");
        experiment_set(experiment, "cluster.pools[0].scheduler.max_num_seqs=16");
        struct outcome outcome = experiment_run_well(experiment);
        const struct row *last = &outcome.rows[16];
        int64_t slots_ns = -last->prefill_ns, lengthened_ns = 0;
        for (size_t k = 0; k < 17; k++) {
            slots_ns += outcome.rows[k].prefill_ns + outcome.rows[k].decode_ns;
            lengthened_ns += outcome.rows[k].interference_ns;
        }
        CU_ASSERT_EQUAL(outcome.instances[0].padding_tokens, fixed ? 832 - 208 : 0);
        CU_ASSERT_EQUAL(slots_ns, (fixed ? 208 : 208 + 14) * SECOND);
        CU_ASSERT_EQUAL(lengthened_ns, fixed ? 0 : 14 * SECOND);
        CU_ASSERT_EQUAL(outcome.rows[12].e2e_ns, (fixed ? 52 : 53) * SECOND + LATENCY_NS);
        CU_ASSERT_EQUAL(last->prefill_queue_ns, (fixed ? 52 : 5) * SECOND - 1);
        CU_ASSERT_EQUAL(last->blocked_ns, fixed ? 47 * SECOND : 0);
        CU_ASSERT_EQUAL(outcome.summary.end_ns, 53 * SECOND + LATENCY_NS);
        finish(experiment, &outcome);
    }
}

/* The document's figure: the slot that is free after 4 waits for the longest, 12 more. */
static void test_head_of_line(void)
{
    static const int times[] = {8, 11, 16, 4, 1};
    struct experiment_request requests[5];
    set_times(requests, times, 5);
    struct experiment *experiment = make("static", requests, 5, 1);
    experiment_set(experiment, "cluster.pools[0].scheduler.static_batch_size=4");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.rows[3].e2e_ns, 4 * SECOND + LATENCY_NS);
    CU_ASSERT_EQUAL(outcome.rows[4].prefill_queue_ns, 16 * SECOND);
    CU_ASSERT_EQUAL(outcome.rows[4].blocked_ns, 12 * SECOND);
    finish(experiment, &outcome);
}

/* Two requests and a timeout of 2.5 s: a third that comes before is of the batch, a fourth is not, and waits
 * for its own timeout, then for the batch. */
static void test_timeout(void)
{
    const struct experiment_request requests[] = {
        {0, 1, 3, 0, 0}, {SECOND, 1, 1, 0, 0}, {2 * SECOND, 1, 1, 0, 0}, {4 * SECOND, 1, 1, 0, 0}};
    struct experiment *experiment = make("static", requests, 4, 1);
    experiment_set(experiment, "cluster.pools[0].scheduler.static_batch_size=4");
    experiment_set(experiment, "cluster.pools[0].scheduler.static_timeout_ms=2500");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.rows[0].prefill_queue_ns, 5 * SECOND / 2);
    CU_ASSERT_EQUAL(outcome.rows[1].prefill_queue_ns, 3 * SECOND / 2);
    CU_ASSERT_EQUAL(outcome.rows[2].prefill_queue_ns, SECOND / 2);
    CU_ASSERT_EQUAL(outcome.rows[3].prefill_queue_ns, 5 * SECOND / 2); /* the batch ended at 5.5 */
    CU_ASSERT_EQUAL(outcome.summary.end_ns, 15 * SECOND / 2 + LATENCY_NS);
    finish(experiment, &outcome);
}

/* The lab's defaults, batches of 32 or what came within 100 ms: the last of 33 waits for its own timeout. A
 * block is of 16 tokens. */
static void test_defaults(void)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_synthetic(experiment, "{\"fixed\": 1}", "{\"fixed\": 1}", "\"all-at-once\"", 33);
    experiment_set(experiment, "cluster.network.control_latency_us=1");
    experiment_set(experiment, "cluster.pools[0].scheduler.policy=static");
    experiment_set(experiment, "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": 10}");
    struct outcome outcome = experiment_run_well(experiment);
    for (size_t i = 0; i < 33; i++)
        CU_ASSERT_EQUAL(outcome.rows[i].prefill_queue_ns, i < 32 ? 0 : SECOND / 10);
    CU_ASSERT_EQUAL(outcome.pools[0].kv_block_tokens, 16);
    finish(experiment, &outcome);
}

/* Prompts of 100 and 300 tokens with limits of 10 take 309 slots each, 20 blocks; 200 tokens of the prefill
 * and 2 of the 6 of three decode steps are padding, and no useful work. */
static void test_padding(void)
{
    const struct experiment_request requests[] = {{0, 100, 2, 5, 0}, {0, 300, 4, 10, 0}};
    struct experiment *experiment = make("static", requests, 2, 1);
    experiment_set(experiment, "cluster.pools[0].scheduler.static_batch_size=2");
    struct outcome outcome = experiment_run_well(experiment);
    const struct instance_row *instance = &outcome.instances[0];
    CU_ASSERT_EQUAL(instance->kv_peak_blocks, 40);
    CU_ASSERT_EQUAL(instance->prefill_tokens, 400);
    CU_ASSERT_EQUAL(instance->padding_tokens, 202);
    CU_ASSERT(instance->mfu > 0.6 * instance->hfu && instance->mfu < 0.7 * instance->hfu); /* 404 of 606 */
    finish(experiment, &outcome);
}

/* Seconds of queueing of four prompts on one seat. */
static void test_orders(void)
{
    const struct experiment_request requests[] = {
        {0, 30, 1, 0, 1}, {0, 10, 1, 0, 2}, {0, 20, 1, 0, 0}, {0, 40, 1, 0, 1}};
    static const struct {
        const char *order;
        int queue_s[4];
    } cases[] = {{"fcfs", {0, 1, 2, 3}},
                 {"priority", {1, 3, 0, 2}},
                 {"shortest-prompt", {2, 0, 1, 3}},
                 {"longest-prompt", {1, 3, 2, 0}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int k = 0; k < 3; k++) {
            static const char *const policies[] = {"chunked", "continuous", "static"};
            struct experiment *experiment = make(policies[k], requests, 4, 1);
            experiment_set(experiment, "cluster.pools[0].scheduler.max_num_seqs=1");
            experiment_set(experiment, "cluster.pools[0].scheduler.static_timeout_ms=0");
            experiment_set(experiment, "cluster.pools[0].scheduler.order=%s", cases[i].order);
            struct outcome outcome = experiment_run_well(experiment);
            for (size_t j = 0; j < 4; j++) {
                CU_ASSERT_EQUAL(outcome.rows[j].prefill_queue_ns, cases[i].queue_s[j] * SECOND);
                CU_ASSERT_EQUAL(outcome.rows[j].priority, requests[j].priority);
            }
            finish(experiment, &outcome);
        }
}

/* Two prompts of 8 tokens in 5 blocks of 4: at 1 s each wants a fifth. Who has it ends at 5 s; the other
 * computes 9 tokens again until 6 s, and three more. */
static void test_victims(void)
{
    static const struct {
        const char *victim;
        int64_t classes[2], e2e_s[2];
    } cases[] = {{"newest", {1, 0}, {5, 9}},
                 {"lowest-priority", {1, 0}, {9, 5}},
                 {"lowest-priority", {0, 1}, {5, 9}},
                 {"lowest-priority", {2, 2}, {5, 9}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct experiment_request requests[] = {{0, 8, 5, 0, cases[i].classes[0]},
                                                      {0, 8, 5, 0, cases[i].classes[1]}};
        struct experiment *experiment = make("chunked", requests, 2, 1);
        experiment_set(experiment, "cluster.pools[0].kv={\"block_tokens\": 4, \"blocks\": 5}");
        experiment_set(experiment, "cluster.pools[0].scheduler.victim=%s", cases[i].victim);
        struct outcome outcome = experiment_run_well(experiment);
        for (size_t j = 0; j < 2; j++) {
            CU_ASSERT_EQUAL(outcome.rows[j].e2e_ns, cases[i].e2e_s[j] * SECOND + LATENCY_NS);
            CU_ASSERT_EQUAL(outcome.rows[j].preemptions, cases[i].e2e_s[j] == 9);
        }
        finish(experiment, &outcome);
    }
}

/* Request 1 needs a block for its next token when none is free, after request 0 got its part of the
 * iteration: request 0, which is less urgent, gives up its blocks and its part of the budget of 4 tokens, and
 * request 2 has a token or two more of its prompt. */
static void test_budget_of_victims(void)
{
    static const struct {
        struct experiment_request requests[3];
        int64_t threshold, blocks, prefill_s;
    } cases[] = {
        /* A decode: chunks of 2 tokens in the 4th to 7th iteration; in the 8th of 3, all 11 then. */
        {{{0, 4, 10, 0, 1}, {0, 4, 10, 0, 0}, {5 * SECOND / 2, 11, 1, 0, 0}}, 0, 7, 5},
        /* A chunk of 2 tokens: 1 in the 2nd and 3rd iteration, 2 in the 4th and 5th. */
        {{{0, 15, 1, 0, 1}, {0, 2, 10, 0, 0}, {SECOND / 2, 6, 1, 0, 0}}, 2, 4, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct experiment *experiment = make("chunked", cases[i].requests, 3, 1);
        experiment_set(experiment, "cluster.pools[0].kv={\"block_tokens\": 4, \"blocks\": %lld}",
                       (long long)cases[i].blocks);
        experiment_set(experiment,
                       "cluster.pools[0].scheduler={\"policy\": \"chunked\", \"victim\": "
                       "\"lowest-priority\", \"max_num_seqs\": 3, \"max_num_batched_tokens\": 4, "
                       "\"long_prefill_token_threshold\": %lld}",
                       (long long)cases[i].threshold);
        struct outcome outcome = experiment_run_well(experiment);
        CU_ASSERT_EQUAL(outcome.rows[0].preemptions, 1);
        CU_ASSERT_EQUAL(outcome.rows[2].prefill_ns, cases[i].prefill_s * SECOND);
        finish(experiment, &outcome);
    }
}

/* Each has its first token after a second, and one a second after that: what is set to 0 for a class is not
 * asked of it, what is not set is as for all, and a class beyond the list is held to what all are. */
static void test_slo_classes(void)
{
    static const struct experiment_request requests[] = {
        {0, 1, 3, 0, 0}, {10 * SECOND, 1, 3, 0, 1}, {20 * SECOND, 1, 3, 0, 2}};
    struct experiment *experiment = make("chunked", requests, 3, 1);
    experiment_set(experiment,
                   "slo={\"ttft_ms\": 500, \"tpot_ms\": 500, \"itl_ms\": 500, \"classes\": [{\"ttft_ms\": 0, "
                   "\"tpot_ms\": 0, \"itl_ms\": 0}, {\"ttft_ms\": 2000, \"tpot_ms\": 0}]}");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.summary.window_arrivals, 3);
    CU_ASSERT_DOUBLE_EQUAL(outcome.summary.slo_attainment, 1 / 3.0, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(outcome.summary.slo_ttft_attainment, 2 / 3.0, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(outcome.summary.slo_tpot_attainment, 2 / 3.0, 1e-12);
    finish(experiment, &outcome);
}

/* Iterations of a prompt by itself, of a second each. */
static void check_chunks(int64_t prompt_tokens, int64_t blocks, int iterations)
{
    const struct experiment_request request = {0, prompt_tokens, 1, 0, 0};
    struct experiment *experiment = make("adaptive-chunked", &request, 1, 1);
    experiment_set(experiment, "cluster.pools[0].kv.blocks=%lld", (long long)blocks);
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.rows[0].prefill_ns, iterations * SECOND);
    finish(experiment, &outcome);
}

static void test_adaptive(void)
{
    check_chunks(999, 10000, 1);    /* short: whole */
    check_chunks(1000, 10000, 2);   /* 512 + 488 */
    check_chunks(10000, 10000, 20); /* of 512 */
    check_chunks(10001, 10000, 40); /* long: of 256 */
    check_chunks(7680, 10000, 15);
    /* 480 of 500 blocks: above 400, that is after 13 chunks of 512, the last 1,024 tokens in chunks of 256.
     */
    check_chunks(7680, 500, 13 + 4);
}

/* 10 blocks. A and B (4 and 2 blocks, one more each as they decode) leave too few for C (5); B ends after 2
 * s, which would do, but admission goes on with 8 blocks free only: when A has ended, after 20. D is behind
 * C. */
static void test_high_watermark(void)
{
    const struct experiment_request requests[] = {
        {0, 64, 20, 0, 0}, {0, 32, 2, 0, 0}, {0, 80, 1, 0, 0}, {0, 1, 1, 0, 0}};
    for (int i = 0; i < 2; i++) {
        struct experiment *experiment = make("chunked", requests, 4, 1);
        experiment_set(experiment, "cluster.pools[0].kv.blocks=10");
        experiment_set(experiment, "cluster.pools[0].scheduler.watermark_high=%g", i == 0 ? 0 : 0.8);
        struct outcome outcome = experiment_run_well(experiment);
        const struct row *c = &outcome.rows[2], *d = &outcome.rows[3];
        CU_ASSERT_EQUAL(c->prefill_queue_ns, (i == 0 ? 2 : 20) * SECOND);
        CU_ASSERT_EQUAL(c->blocked_ns, 0);
        CU_ASSERT_EQUAL(d->prefill_queue_ns, (i == 0 ? 3 : 20) * SECOND);
        CU_ASSERT_EQUAL(d->blocked_ns, (i == 0 ? 2 : 20) * SECOND);
        CU_ASSERT_DOUBLE_EQUAL(outcome.summary.mean_blocked_ns, (double)d->blocked_ns / 4, 1);
        finish(experiment, &outcome);
    }
}

/* A prompt of 10 s comes while another request has done one of its three decode steps of 1 s: mixed, one step
 * takes 10 s; prefill first, it waits for 10 s. */
static void test_interference(void)
{
    const struct experiment_request requests[] = {{0, 10, 4, 0, 0}, {21 * SECOND / 2, 10, 1, 0, 0}};
    static const struct {
        const char *policy;
        int interference_s, e2e_s;
    } cases[] = {{"chunked", 9, 22}, {"continuous", 10, 23}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct experiment *experiment = make(cases[i].policy, requests, 2, 10);
        struct outcome outcome = experiment_run_well(experiment);
        CU_ASSERT_EQUAL(outcome.rows[0].interference_ns, cases[i].interference_s * SECOND);
        CU_ASSERT_EQUAL(outcome.rows[0].e2e_ns, cases[i].e2e_s * SECOND + LATENCY_NS);
        CU_ASSERT_EQUAL(outcome.rows[1].interference_ns, 0);
        CU_ASSERT_DOUBLE_EQUAL(outcome.summary.mean_interference_ns,
                               (double)(cases[i].interference_s * SECOND) / 2, 1);
        finish(experiment, &outcome);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"a static batch of eight", test_batch_of_eight},
        {"a static and a continuous batch of sixteen", test_batch_of_sixteen},
        {"head of the line", test_head_of_line},
        {"timeout of a static batch", test_timeout},
        {"defaults", test_defaults},
        {"padding", test_padding},
        {"orders", test_orders},
        {"victims", test_victims},
        {"the budget of victims", test_budget_of_victims},
        {"classes with their own SLO", test_slo_classes},
        {"adaptive chunks", test_adaptive},
        {"high watermark", test_high_watermark},
        {"interference", test_interference},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("batching", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
