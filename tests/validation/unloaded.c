/* Requests that meet nobody, on one stage or several: times recomputed here from the serving semantics and
 * the timer alone, to the nanosecond. */
#include "test.h"

#include "experiment.h"
#include "reference.h"
#include "tandem/simtime.h"

#define LATENCY_NS 1000000
#define SPACING_NS (INT64_C(200) * SIMTIME_SECOND_NS) /* between requests: longer than any takes */

/* A cluster of one instance a pool, and what the wire costs there. */
struct setting {
    const char *model;
    int64_t tensor_parallel, block_tokens;
    int64_t kv_bytes_per_token; /* all copies; by hand */
    int64_t layers;             /* of the stage with the most */
    double rate;                /* bytes/s of an instance's port */
    int64_t budget, threshold;
    bool chunked_prefill; /* P/D: chunks on the prefill instance */
    int64_t stages;
    enum dtype kv_dtype;
};

/* llama-2-7b: 2 x 32 layers x 32 heads x 128 x 2 bytes. llama-3.1-8b has 8 KV heads: on 16 GPUs two copies of
 * each, 2 x (2 x 32 x 8 x 128 x 2). Ports: 50 GB/s x 0.8 a GPU of any stage.
 * INT8 and INT4: 2 x 32 x 8 x (128 + 2) and x (64 + 4). */
static const struct setting settings[] = {
    {"llama-2-7b", 1, 16, 524288, 32, 40e9, 8192, 0, false, 1, DTYPE_BF16},
    {"llama-2-7b", 1, 16, 524288, 32, 40e9, 64, 0, true, 1, DTYPE_BF16},
    {"llama-2-7b", 1, 1, 524288, 32, 40e9, 8192, 48, true, 1, DTYPE_BF16},
    {"llama-2-7b", 1, 16, 524288, 32, 40e9, 300, 0, false, 1,
     DTYPE_BF16}, /* P/D: prompts over the budget run whole */
    {"llama-3.1-8b", 16, 16, 262144, 32, 640e9, 8192, 0, false, 1, DTYPE_BF16},
    {"llama-3.1-8b", 8, 32, 131072, 32, 320e9, 100, 33, true, 1, DTYPE_BF16},
    {"llama-2-7b", 1, 16, 524288, 16, 80e9, 300, 0, true, 2, DTYPE_BF16},
    {"llama-3.1-8b", 2, 16, 131072, 11, 240e9, 8192, 0, false, 3, DTYPE_BF16}, /* 11, 11 and 10 layers */
    {"llama-3.1-8b", 1, 16, 66560, 32, 40e9, 8192, 0, false, 1, DTYPE_INT8},
    {"llama-3.1-8b", 2, 16, 34816, 32, 80e9, 8192, 0, false, 1, DTYPE_INT4},
};

static const int64_t prompts[] = {1, 2, 15, 16, 17, 31, 32, 33, 64, 65, 100, 1000, 1024};
static const int64_t outputs[] = {1, 2, 3, 17, 40};

#define PROMPTS  (sizeof prompts / sizeof prompts[0])
#define OUTPUTS  (sizeof outputs / sizeof outputs[0])
#define REQUESTS (PROMPTS * OUTPUTS)

/* The timers of all stages. */
struct timers {
    struct timer *of[REFERENCE_STAGES];
    int64_t stages;
};

static struct timers make_timers(const struct setting *setting)
{
    struct timers timers = {.stages = setting->stages};
    struct model_layout layout = model_layout(setting->tensor_parallel, DTYPE_BF16, setting->kv_dtype);
    layout.pipeline_parallel = setting->stages;
    for (int64_t stage = 0; stage < setting->stages; stage++)
        timers.of[stage] = reference_timer(setting->model, &layout, stage, 0, 0);
    return timers;
}

static void free_timers(const struct timers *timers)
{
    for (int64_t stage = 0; stage < timers->stages; stage++)
        timer_free(timers->of[stage]);
}

/* An iteration that finds all stages free: what the first one's host does, then all stages and the sends
 * between them. */
static int64_t iteration_ns(const struct timers *timers, const struct work *work)
{
    if (timers->stages == 1)
        return timer_iteration_ns(timers->of[0], work);
    int64_t total_ns = timer_span(timers->of[0], work, 1).host_ns;
    for (int64_t stage = 0; stage < timers->stages; stage++)
        total_ns += timer_span(timers->of[stage], work, 1).gpu_ns;
    for (int64_t stage = 0; stage < timers->stages - 1; stage++)
        total_ns += timer_send_ns(timers->of[stage], work->prefill_tokens + work->decode_sequences);
    return total_ns;
}

/* A prompt alone: whole, or in chunks of at most the budget and the threshold. */
static int64_t prefill_ns(const struct timers *timers, const struct setting *setting, int64_t prompt,
                          bool chunked)
{
    int64_t most = setting->budget, total_ns = 0;
    if (setting->threshold > 0 && setting->threshold < most)
        most = setting->threshold;
    for (int64_t done = 0; done < prompt;) {
        int64_t chunk = chunked && prompt - done > most ? most : prompt - done;
        struct work work = {.prefill_tokens = chunk,
                            .prefill_work_x2 = chunk * (2 * done + chunk),
                            .logit_rows = done + chunk == prompt};
        total_ns += iteration_ns(timers, &work);
        done += chunk;
    }
    return total_ns;
}

/* Steps of a decode alone, the first of which sees so many tokens. */
static int64_t decode_ns(const struct timers *timers, int64_t first_context, int64_t steps)
{
    int64_t total_ns = 0;
    for (int64_t i = 0; i < steps; i++) {
        struct work work = {
            .decode_sequences = 1, .decode_context_tokens = first_context + i, .logit_rows = 1};
        total_ns += iteration_ns(timers, &work);
    }
    return total_ns;
}

static struct outcome run(const struct setting *setting, const char *json, const char *first_token,
                          const char *const *pools)
{
    static struct experiment_request requests[REQUESTS];
    struct experiment *experiment = experiment_new(json);
    for (size_t i = 0; i < REQUESTS; i++)
        requests[i] = (struct experiment_request){(int64_t)i * (SPACING_NS + 12345), prompts[i % PROMPTS],
                                                  outputs[i / PROMPTS], 0, 0};
    experiment_trace(experiment, requests, REQUESTS);
    experiment_set(experiment, "model=%s", setting->model);
    experiment_set(experiment, "cluster.router.frontend_ms=1.25");
    experiment_set(experiment, "cluster.router.frontend_us_per_token=0.5");
    for (; *pools; pools++) {
        experiment_set(experiment, "cluster.pools[%s].tensor_parallel=%lld", *pools,
                       (long long)setting->tensor_parallel);
        /* The reference knows no network inside an instance. */
        experiment_set(experiment, "cluster.pools[%s].gpus_per_node=16", *pools);
        experiment_set(experiment, "cluster.pools[%s].gpu.nvlink_domain=16", *pools);
        experiment_set(experiment, "cluster.pools[%s].pipeline_parallel=%lld", *pools,
                       (long long)setting->stages);
        experiment_set(experiment, "cluster.pools[%s].kv.block_tokens=%lld", *pools,
                       (long long)setting->block_tokens);
        experiment_set(experiment, "cluster.pools[%s].kv_dtype=%s", *pools, dtype_names[setting->kv_dtype]);
        if (strcmp(*pools, "decode") == 0)
            continue;
        experiment_set(experiment,
                       "cluster.pools[%s].scheduler={\"max_num_batched_tokens\": %lld, \"max_num_seqs\": 8, "
                       "\"long_prefill_token_threshold\": %lld, \"chunked_prefill\": %s}",
                       *pools, (long long)setting->budget, (long long)setting->threshold,
                       setting->chunked_prefill ? "true" : "false");
    }
    if (first_token)
        experiment_set(experiment, "cluster.handoff.first_token=%s", first_token);
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL_FATAL(outcome.row_count, REQUESTS);
    outcome_check_conserved(&outcome, LATENCY_NS);
    experiment_free(experiment);
    return outcome;
}

static int64_t frontend_ns(const struct row *row)
{
    return 1250000 + 500 * (int64_t)row->prompt_tokens;
}

static void test_unified(void)
{
    static const char *const pools[] = {"unified", NULL};
    for (size_t s = 0; s < sizeof settings / sizeof settings[0]; s++) {
        struct timers timers = make_timers(&settings[s]);
        struct outcome outcome = run(&settings[s], experiment_unified, NULL, pools);
        for (size_t i = 0; i < outcome.row_count; i++) {
            const struct row *row = &outcome.rows[i];
            int64_t prompt = row->prompt_tokens, output = row->output_tokens;
            int64_t ttft_ns = frontend_ns(row) + LATENCY_NS + prefill_ns(&timers, &settings[s], prompt, true);
            CU_ASSERT_EQUAL(row->ttft_ns, ttft_ns);
            CU_ASSERT_EQUAL(row->ttft_prefill_ns, ttft_ns);
            CU_ASSERT_EQUAL(row->e2e_ns, ttft_ns + decode_ns(&timers, prompt + 1, output - 1));
            CU_ASSERT_EQUAL(row->router_ns, frontend_ns(row));
            CU_ASSERT(row->prefill_queue_ns == 0 && row->kv_transfer_bytes == 0 &&
                      row->decode_instance == -1);
        }
        free_timers(&timers);
        outcome_clear(&outcome);
    }
}

/* From the hand-off at the decode instance: L, set-up, descriptors, bytes; what follows L later is not in it.
 */
static int64_t wire_ns(const struct setting *setting, const struct row *row)
{
    int64_t blocks = (row->prompt_tokens + setting->block_tokens - 1) / setting->block_tokens;
    int64_t bytes = blocks * setting->block_tokens * setting->kv_bytes_per_token;
    CU_ASSERT_EQUAL(row->kv_transfer_bytes, (uint64_t)bytes);
    return 500000 + 2 * setting->layers * blocks * 100 + simtime_from_seconds((double)bytes / setting->rate);
}

static void check_disaggregated(const struct setting *setting, const struct timers *timers,
                                const struct row *row, const char *first_token)
{
    int64_t prompt = row->prompt_tokens, output = row->output_tokens;
    int64_t t1_ns =
        frontend_ns(row) + LATENCY_NS + prefill_ns(timers, setting, prompt, setting->chunked_prefill);
    CU_ASSERT_EQUAL(row->ttft_prefill_ns, t1_ns);
    if (output == 1 && strcmp(first_token, "prefill") == 0) { /* it stays */
        CU_ASSERT(row->ttft_ns == t1_ns && row->e2e_ns == t1_ns);
        CU_ASSERT(row->kv_transfer_bytes == 0 && row->decode_instance == -1);
        return;
    }
    /* To the router, to the decode instance, to the fabric, over the wire, back. */
    int64_t joined_ns = t1_ns + 2 * LATENCY_NS + LATENCY_NS + wire_ns(setting, row) + LATENCY_NS;
    int64_t ttft_ns, e2e_ns;
    if (strcmp(first_token, "decode") == 0) {
        ttft_ns = joined_ns + decode_ns(timers, prompt, 1);
        e2e_ns = joined_ns + decode_ns(timers, prompt, output);
    } else {
        ttft_ns = strcmp(first_token, "relay") == 0 ? joined_ns : t1_ns;
        e2e_ns = joined_ns + decode_ns(timers, prompt + 1, output - 1);
    }
    CU_ASSERT_EQUAL(row->ttft_ns, ttft_ns);
    CU_ASSERT_EQUAL(row->e2e_ns, e2e_ns);
    CU_ASSERT_EQUAL(row->transfer_ns, wire_ns(setting, row));
    CU_ASSERT(row->prefill_queue_ns == 0 && row->decode_queue_ns == 0 && row->admission_ns == 0);
    CU_ASSERT(row->prefill_instance == 0 && row->decode_instance == 1);
}

static void disaggregated(const char *first_token)
{
    static const char *const pools[] = {"prefill", "decode", NULL};
    for (size_t s = 0; s < sizeof settings / sizeof settings[0]; s++) {
        struct timers timers = make_timers(&settings[s]);
        struct outcome outcome = run(&settings[s], experiment_disaggregated, first_token, pools);
        for (size_t i = 0; i < outcome.row_count; i++)
            check_disaggregated(&settings[s], &timers, &outcome.rows[i], first_token);
        free_timers(&timers);
        outcome_clear(&outcome);
    }
}

static void test_decode(void)
{
    disaggregated("decode");
}

static void test_prefill(void)
{
    disaggregated("prefill");
}

static void test_relay(void)
{
    disaggregated("relay");
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"unified", test_unified},
        {"first_token decode", test_decode},
        {"first_token prefill", test_prefill},
        {"first_token relay", test_relay},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("unloaded", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
