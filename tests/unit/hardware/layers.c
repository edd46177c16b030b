/* What iterations consist of: operators put together by hand, by model, layout and host. */
#include "timer_test.h"

#include "tandem/numeric.h"

#define NEAR(got, want) CU_ASSERT_DOUBLE_EQUAL(got, want, 1e-12 * fabs(1.0 * (want)) + 1e-18)

static struct gpu gpu;
static struct config *gpu_file;

static struct work_shape small_shape(void)
{
    return (struct work_shape){.layers = 4,
                               .hidden = 1024,
                               .query_heads = 8,
                               .kv_heads = 2,
                               .head_dim = 128,
                               .mlp_width = 4096,
                               .gated_mlp = true,
                               .vocabulary = 32000,
                               .tensor_parallel = 2,
                               .lanes = 1,
                               .expert_parallel = 1,
                               .expert_tensor_parallel = 2,
                               .kv_value_bytes = 2};
}

static struct timer_config defaults(void)
{
    return (struct timer_config){.iteration_overhead_ms = -1, .eager_factor = 1, .moe_imbalance = 1};
}

static struct timer_parts parts_of(const struct work_shape *shape, const struct timer_config *config,
                                   const struct work *work)
{
    struct timer *timer = timer_new(&gpu, shape, config);
    struct timer_parts parts = timer_iteration_parts(timer, work);
    timer_free(timer);
    return parts;
}

static double matrix(double m, double n, double k)
{
    return operator_gemm(&gpu, DTYPE_BF16, m, n, k).seconds;
}

static const struct attention_heads heads = {8, 2, 128, 2, 0};

/* Three of four layers see 100 tokens at most. */
static void test_windows(void)
{
    struct work_shape shape = small_shape();
    struct timer_config config = defaults();
    shape.sliding_layers = 3;
    shape.sliding_window = 100;
    struct work work = {.prefill_tokens = 500,
                        .prefill_work_x2 = 250000,
                        .sliding_prefill_work_x2 = 90000,
                        .decode_sequences = 7,
                        .decode_context_tokens = 7000,
                        .sliding_context_tokens = 700,
                        .logit_rows = 8};
    struct timer_parts parts = parts_of(&shape, &config, &work);
    NEAR(parts.prefill_attention, operator_prefill_attention(&gpu, &heads, 500, 125000, 0).seconds +
                                      3 * operator_prefill_attention(&gpu, &heads, 500, 45000, 0).seconds);
    NEAR(parts.decode_attention, operator_decode_attention(&gpu, &heads, 7, 7000).seconds +
                                     3 * operator_decode_attention(&gpu, &heads, 7, 700).seconds);
    /* However a prompt is cut: up to the window a token sees those before it and half of itself, then 100. */
    for (int chunk = 1; chunk <= 500; chunk += 7) {
        struct work cut = {0};
        for (int done = 0; done < 500; done += chunk)
            work_add_chunk(&cut, done, chunk < 500 - done ? chunk : 500 - done, 100);
        CU_ASSERT_EQUAL(cut.prefill_work_x2, 250000);
        CU_ASSERT_EQUAL(cut.sliding_prefill_work_x2, 100 * 100 + 2 * 100 * 400);
    }
    shape.sliding_layers = 4;
    parts = parts_of(&shape, &config, &work);
    NEAR(parts.decode_attention, 4 * operator_decode_attention(&gpu, &heads, 7, 700).seconds);
}

/* One layer with an MLP, three with 16 experts of 512 and a shared one of 256 a GPU. */
static struct work_shape expert_shape(void)
{
    struct work_shape shape = small_shape();
    shape.expert_layers = 3;
    shape.experts = 16;
    shape.experts_per_token = 2;
    shape.expert_width = 512;
    shape.shared_expert_width = 256;
    return shape;
}

static struct expert_sizes sizes_of(const struct work_shape *shape)
{
    return (struct expert_sizes){.hidden = 1024,
                                 .width = 512,
                                 .experts = 16,
                                 .experts_per_token = 2,
                                 .tensor_parallel = (double)shape->expert_tensor_parallel,
                                 .expert_parallel = (double)shape->expert_parallel,
                                 .imbalance = 1,
                                 .dtype = shape->expert_dtype};
}

static void test_experts(void)
{
    struct work_shape shape = expert_shape();
    struct timer_config config = defaults();
    struct work work = {.decode_sequences = 60, .decode_context_tokens = 6000, .logit_rows = 60};
    struct timer_parts parts = parts_of(&shape, &config, &work);
    double attention = matrix(60, 12 * 128, 1024) + matrix(60, 1024, 1024);
    double mlp = matrix(60, 8192, 1024) + matrix(60, 1024, 4096);
    double shared = matrix(60, 512, 1024) + matrix(60, 1024, 256) + matrix(60, 16, 1024);
    struct operator_group tensor = {2, 8, 0, 0};
    double reduction = operator_allreduce(&gpu, &tensor, 2 * 60 * 1024).seconds;
    struct expert_sizes sizes = sizes_of(&shape);
    NEAR(parts.linear, attention + mlp + 3 * (attention + shared));
    NEAR(parts.allreduce, 8 * reduction);
    NEAR(parts.experts, 3 * operator_experts(&gpu, &sizes, 60).seconds);
    CU_ASSERT_EQUAL(parts.all_to_all, 0);
    /* The kernels' activation is in the experts' time. */
    NEAR(parts.elementwise,
         4 * 8.8e-6 + 4 * 3.8 * 2 * 60 * 1024 / gpu.bandwidth + 6 * 60 * (4096 + 3 * 256) / gpu.bandwidth);

    /* 4 lanes of 2 GPUs: an expert whole on each of 8; the tokens of all lanes; there and back instead of the
     * second reduction. */
    shape.lanes = 4;
    shape.expert_parallel = 8;
    shape.expert_tensor_parallel = 1;
    parts = parts_of(&shape, &config, &work);
    sizes = sizes_of(&shape);
    struct operator_group all = {8, 8, 0, 0};
    double there = operator_all_to_all(&gpu, ALL_TO_ALL_NCCL, ALL_TO_ALL_DISPATCH, &all, 30, 2, 2048).seconds;
    double back = operator_all_to_all(&gpu, ALL_TO_ALL_NCCL, ALL_TO_ALL_COMBINE, &all, 30, 2, 2048).seconds;
    NEAR(parts.experts, 3 * operator_experts(&gpu, &sizes, 240).seconds);
    NEAR(parts.all_to_all, 3 * (there + back));
    NEAR(parts.allreduce, 5 * reduction);

    /* FP8 experts get FP8 rows from DeepEP; the busiest group by the power law. */
    shape.expert_dtype = DTYPE_FP8;
    config.all_to_all = TIMER_ALL_TO_ALL_NONE + 1 + ALL_TO_ALL_DEEPEP_LOW_LATENCY;
    config.moe_imbalance = 0;
    config.kernels = 1 + GPU_KERNELS_TRTLLM;
    parts = parts_of(&shape, &config, &work);
    sizes = sizes_of(&shape);
    sizes.kernels = GPU_KERNELS_TRTLLM;
    sizes.imbalance = operator_power_law_imbalance(240, 16, 8);
    CU_ASSERT(sizes.imbalance > 1.5);
    enum gpu_all_to_all_mode mode = ALL_TO_ALL_DEEPEP_LOW_LATENCY;
    there = operator_all_to_all(&gpu, mode, ALL_TO_ALL_DISPATCH, &all, 30, 2, 1024 * 1.03125).seconds;
    back = operator_all_to_all(&gpu, mode, ALL_TO_ALL_COMBINE, &all, 30, 2, 2048).seconds;
    NEAR(parts.experts, 3 * operator_experts(&gpu, &sizes, 240).seconds);
    NEAR(parts.all_to_all, 3 * (there + back));
    static const enum dtype fp8_rows[] = {DTYPE_FP8_BLOCK, DTYPE_MXFP4_A8};
    static const enum dtype plain_rows[] = {DTYPE_MXFP4, DTYPE_FP4, DTYPE_INT4}; /* weights only on H100 */
    for (size_t i = 0; i < 2; i++) {
        shape.expert_dtype = fp8_rows[i];
        NEAR(parts_of(&shape, &config, &work).all_to_all, 3 * (there + back));
    }
    there = operator_all_to_all(&gpu, mode, ALL_TO_ALL_DISPATCH, &all, 30, 2, 2048).seconds;
    for (size_t i = 0; i < 3; i++) {
        shape.expert_dtype = plain_rows[i];
        NEAR(parts_of(&shape, &config, &work).all_to_all, 3 * (there + back));
    }
    gpu.gemm[DTYPE_FP4].present = true; /* as on Blackwell */
    shape.expert_dtype = DTYPE_FP4;
    there = operator_all_to_all(&gpu, mode, ALL_TO_ALL_DISPATCH, &all, 30, 2, 1024 * 1.03125).seconds;
    NEAR(parts_of(&shape, &config, &work).all_to_all, 3 * (there + back));
    gpu.gemm[DTYPE_FP4].present = false;
}

/* Latents of 512 and 1536, on 16 of 128 heads. */
static void test_latents(void)
{
    struct work_shape shape = small_shape();
    struct timer_config config = defaults();
    shape.query_heads = 16;
    shape.mla_latent = 512;
    shape.mla_query_latent = 1536;
    shape.mla_rope = 64;
    shape.mla_nope = shape.mla_value = 128;
    shape.kv_dtype = DTYPE_FP8;
    struct work work = {.prefill_tokens = 300,
                        .prefill_work_x2 = 300 * 1700,
                        .prefill_kv_tokens = 1000,
                        .decode_sequences = 20,
                        .decode_context_tokens = 40000,
                        .logit_rows = 20};
    struct timer_parts parts = parts_of(&shape, &config, &work);
    struct latent_heads latent = {16, 512, 64, 128, 128, true};
    double mlp = matrix(320, 8192, 1024) + matrix(320, 1024, 4096);
    NEAR(parts.linear, 4 * (matrix(320, 1536 + 576, 1024) + matrix(320, 16 * 192, 1536) +
                            matrix(320, 1024, 16 * 128) + mlp));
    NEAR(parts.prefill_attention,
         4 * (matrix(1000, 16 * 256, 512) + operator_mla_prefill(&gpu, &latent, 300, 300 * 850).seconds));
    NEAR(parts.decode_attention, 4 * (2 * operator_mla_bmm(&gpu, &latent, 20).seconds +
                                      operator_mla_decode(&gpu, &latent, 20, 40000).seconds));
    shape.mla_query_latent = 0; /* queries from the hidden state, beside the latent */
    parts = parts_of(&shape, &config, &work);
    NEAR(parts.linear, 4 * (matrix(320, 16 * 192 + 576, 1024) + matrix(320, 1024, 16 * 128) + mlp));
}

/* FlashAttention-2: decodes of a mixed batch are in the prefill kernel, those of other batches are not. */
static void test_mixed(void)
{
    struct config *file = NULL;
    struct gpu ada = timer_test_gpu("rtx-4090", &file);
    struct work_shape shape = small_shape();
    struct timer_config config = defaults();
    struct work work = {.prefill_tokens = 100,
                        .prefill_work_x2 = 10000,
                        .decode_sequences = 5,
                        .decode_context_tokens = 9000,
                        .longest_context_tokens = 4000,
                        .logit_rows = 6};
    struct timer *timer = timer_new(&ada, &shape, &config);
    struct timer_parts parts = timer_iteration_parts(timer, &work);
    NEAR(parts.prefill_attention,
         4 * operator_mixed_attention(&ada, &heads, 100, 5000, 5, 9000, 4000).seconds);
    CU_ASSERT_EQUAL(parts.decode_attention, 0);
    /* Through windows the longest context is no longer than them. */
    struct work_shape windows = shape;
    struct work seen = work;
    windows.sliding_layers = 3;
    windows.sliding_window = 1000;
    seen.sliding_prefill_work_x2 = 10000;
    seen.sliding_context_tokens = 5000;
    struct timer *of_windows = timer_new(&ada, &windows, &config);
    NEAR(timer_iteration_parts(of_windows, &seen).prefill_attention,
         operator_mixed_attention(&ada, &heads, 100, 5000, 5, 9000, 4000).seconds +
             3 * operator_mixed_attention(&ada, &heads, 100, 5000, 5, 5000, 1000).seconds);
    timer_free(of_windows);
    /* Materialized scores are not FlashAttention's. */
    struct timer_config materialized = config;
    struct attention_heads passes = heads;
    materialized.attention = TIMER_MATERIALIZED;
    passes.score_passes = TIMER_SCORE_PASSES;
    seen.prefill_scores = 10000;
    struct timer *of_scores = timer_new(&ada, &shape, &materialized);
    NEAR(timer_iteration_parts(of_scores, &seen).decode_attention,
         4 * operator_decode_attention(&ada, &passes, 5, 9000).seconds);
    timer_free(of_scores);
    work.prefill_tokens = work.prefill_work_x2 = 0;
    parts = timer_iteration_parts(timer, &work);
    CU_ASSERT_EQUAL(parts.prefill_attention, 0);
    NEAR(parts.decode_attention, 4 * operator_decode_attention(&ada, &heads, 5, 9000).seconds);
    timer_free(timer);
    config_free(file);
}

static const struct gpu_eager eager_host = {.present = true,
                                            .layer = 1e-3,
                                            .prefill = 2e-3,
                                            .decode = 3e-3,
                                            .sequence = 1e-4,
                                            .gemm_factor = 1,
                                            .allreduce_factor = 1};

/* Hosts: a constant with graphs, times the GPU's factor where it is the default; the norm of 4 without. */
static void test_hosts(void)
{
    struct work_shape shape = small_shape();
    struct timer_config config = defaults();
    struct work prompt = {.prefill_tokens = 100, .prefill_work_x2 = 10000, .logit_rows = 1};
    struct work step = {.decode_sequences = 5, .decode_context_tokens = 9000, .logit_rows = 5};
    struct gpu own = gpu;
    own.host_factor = 1.8;
    own.eager = eager_host;
    for (size_t host = 0; host < timer_host_count; host++) {
        config.host = (int)host;
        bool eager = timer_hosts[host].kind == TIMER_HOST_EAGER;
        bool factor = timer_hosts[host].kind == TIMER_HOST_GRAPHS;
        struct timer *timer = timer_new(&own, &shape, &config);
        struct timer_parts a = timer_iteration_parts(timer, &prompt), b = timer_iteration_parts(timer, &step);
        double gpu_a = a.total - a.overhead, gpu_b = b.total - b.overhead;
        CU_ASSERT(strlen(timer_hosts[host].source) > 20);
        if (eager) {
            NEAR(a.total, pow(pow(gpu_a, 4) + pow(6e-3, 4), 0.25));
            NEAR(b.total, pow(pow(gpu_b, 4) + pow(7.5e-3, 4), 0.25));
            struct timer_span span = timer_span(timer, &step, 1);
            CU_ASSERT_EQUAL(span.host_ns, 0);
            CU_ASSERT_EQUAL(span.gpu_ns, timer_iteration_ns(timer, &step));
        } else {
            NEAR(a.overhead, factor ? 0.0009 : 0.0005);
            CU_ASSERT_EQUAL(timer_span(timer, &step, 1).host_ns, factor ? 900000 : 500000);
        }
        timer_free(timer);
    }
    config.host = 2;
    config.eager_factor = 1.5;
    struct timer *timer = timer_new(&own, &shape, &config);
    struct timer_parts parts = timer_iteration_parts(timer, &prompt);
    NEAR(parts.total, pow(pow(parts.total - parts.overhead, 4) + pow(8e-3, 4), 0.25));
    timer_free(timer);
    config.host = 0;
    config.iteration_overhead_ms = 0.2; /* as it is given */
    timer = timer_new(&own, &shape, &config);
    NEAR(timer_iteration_parts(timer, &prompt).overhead, 0.0002);
    timer_free(timer);
}

/* An eager host's factors are of matrices (of the head too, beside the sampler's 30 us) and of all-reduces,
 * whatever the data type and the size; nothing else is slower, and no other host is. */
static void test_factors(void)
{
    struct work_shape shape = small_shape();
    struct timer_config config = defaults();
    static const struct work works[] = {
        {.prefill_tokens = 100, .prefill_work_x2 = 10000, .logit_rows = 1},
        {.prefill_tokens = 20000, .prefill_work_x2 = 400000000, .logit_rows = 3},
        {.decode_sequences = 5, .decode_context_tokens = 9000, .logit_rows = 5}};
    static const enum dtype dtypes[] = {DTYPE_BF16, DTYPE_FP8, DTYPE_FP8_BLOCK, DTYPE_INT8, DTYPE_INT4};
    struct gpu own = gpu, slow = gpu;
    own.eager = slow.eager = eager_host;
    slow.eager.gemm_factor = 1.3;
    slow.eager.allreduce_factor = 3.1;
    for (size_t host = 0; host < timer_host_count; host++)
        for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
            bool eager = timer_hosts[host].kind == TIMER_HOST_EAGER;
            double gemm = eager ? 1.3 : 1, all = eager ? 3.1 : 1;
            config.host = (int)host;
            shape.weight_dtype = dtypes[d];
            struct timer *fast_timer = timer_new(&own, &shape, &config);
            struct timer *slow_timer = timer_new(&slow, &shape, &config);
            for (size_t w = 0; w < sizeof works / sizeof *works; w++) {
                struct timer_parts a = timer_iteration_parts(fast_timer, &works[w]);
                struct timer_parts b = timer_iteration_parts(slow_timer, &works[w]);
                NEAR(b.linear, gemm * a.linear);
                NEAR(b.allreduce, all * a.allreduce);
                NEAR(b.head - 3e-5, gemm * (a.head - 3e-5));
                CU_ASSERT_EQUAL(b.elementwise, a.elementwise);
                CU_ASSERT_EQUAL(b.prefill_attention, a.prefill_attention);
                CU_ASSERT_EQUAL(b.decode_attention, a.decode_attention);
                CU_ASSERT(a.linear > 0 && a.allreduce > 0 && a.head > 3e-5);
            }
            timer_free(fast_timer);
            timer_free(slow_timer);
        }
}

/* Lanes that step together: the slowest one's own operators, then the experts of all. */
static void test_lanes(void)
{
    struct work_shape shape = expert_shape();
    struct timer_config config = defaults();
    shape.lanes = 4;
    shape.expert_parallel = 8;
    shape.expert_tensor_parallel = 1;
    struct work works[4] = {{.decode_sequences = 60, .decode_context_tokens = 6000, .logit_rows = 60},
                            {.decode_sequences = 10, .decode_context_tokens = 90000, .logit_rows = 10},
                            {0},
                            {.prefill_tokens = 30, .prefill_work_x2 = 900, .logit_rows = 1}};
    struct timer *timer = timer_new(&gpu, &shape, &config);
    struct expert_sizes sizes = sizes_of(&shape);
    struct timer_parts alone = timer_lane_parts(timer, &works[0], 1);
    NEAR(alone.experts, 3 * operator_experts(&gpu, &sizes, 60).seconds); /* no other lane has tokens */
    double slowest = 0;
    for (int i = 0; i < 4; i++) {
        if (i == 2)
            continue;
        struct timer_parts p = timer_iteration_parts(timer, &works[i]);
        slowest = fmax(slowest, p.total - p.overhead - p.experts - p.all_to_all);
    }
    struct work quarter = {.decode_sequences = 25, .logit_rows = 25}; /* of the 100 tokens */
    struct timer_parts p = timer_iteration_parts(timer, &quarter);
    struct timer_span span = timer_span(timer, works, 4);
    CU_ASSERT_EQUAL(span.host_ns, 500000);
    CU_ASSERT(fabs((double)span.gpu_ns - 1e9 * (slowest + p.experts + p.all_to_all)) <= 0.51);
    /* One eager host a lane, all beside each other: prefill if any has it, the longest batch. */
    struct gpu own = gpu;
    own.eager = eager_host;
    config.host = 2;
    struct timer *eager = timer_new(&own, &shape, &config);
    struct work mixed[3] = {works[3], works[0], works[1]};
    double gpu_s = slowest + p.experts + p.all_to_all, host_s = 2e-3 + 4e-3 + 60 * 1e-4;
    span = timer_span(eager, mixed, 3);
    CU_ASSERT(fabs((double)span.gpu_ns - 1e9 * pow(pow(gpu_s, 4) + pow(host_s, 4), 0.25)) <= 0.51);
    timer_free(eager);
    /* All alike: the iteration as it is given for one. */
    works[1] = works[2] = works[3] = works[0];
    span = timer_span(timer, works, 4);
    CU_ASSERT(llabs(span.host_ns + span.gpu_ns - timer_iteration_ns(timer, &works[0])) <= 1);
    /* Experts that 3 tokens are sent to: of 16, 2 each, 3 matrices of 1024 x 512 in 2 bytes, 3 layers. */
    double used = 16 * (1 - pow(14.0 / 16, 3));
    CU_ASSERT(fabs((double)timer_expert_bytes(timer, 3) - 3 * used * 3 * 1024 * 512 * 2) <= 1);
    timer_free(timer);

    shape = small_shape();
    timer = timer_new(&gpu, &shape, &config);
    CU_ASSERT_EQUAL(timer_expert_bytes(timer, 3), 0);
    /* Each of two GPUs sends its half of 10 rows. */
    CU_ASSERT(fabs((double)timer_send_ns(timer, 10) -
                   1e9 * (gpu.send.latency + 10240 / gpu.send.bandwidth)) <= 0.51);
    timer_free(timer);
    shape.sends_over_network = true;
    shape.nic_bandwidth = 1e9;
    shape.vocabulary = 0; /* no head on this stage */
    timer = timer_new(&gpu, &shape, &config);
    CU_ASSERT_EQUAL(timer_send_ns(timer, 10), 19500 + 10240);
    CU_ASSERT_EQUAL(timer_iteration_parts(timer, &works[0]).head, 0);
    timer_free(timer);
}

/* The list of operators adds up to the parts, whatever the model. */
static void test_operators(void)
{
    for (int kind = 0; kind < 4; kind++) {
        struct work_shape shape = kind == 1 ? expert_shape() : small_shape();
        struct timer_config config = defaults();
        struct work work = {.prefill_tokens = 300,
                            .prefill_work_x2 = 300 * 1700,
                            .prefill_kv_tokens = 1000,
                            .prefill_scores = 300000,
                            .sliding_prefill_work_x2 = 300 * 400,
                            .decode_sequences = 20,
                            .decode_context_tokens = 40000,
                            .sliding_context_tokens = 4000,
                            .logit_rows = 20};
        if (kind == 2) {
            shape.sliding_layers = 2;
            shape.sliding_window = 200;
            config.attention = TIMER_MATERIALIZED;
        }
        if (kind == 3) {
            shape.mla_latent = 512;
            shape.mla_rope = 64;
            shape.mla_nope = shape.mla_value = 128;
        }
        struct timer *timer = timer_new(&gpu, &shape, &config);
        struct timer_parts parts = timer_iteration_parts(timer, &work);
        struct timer_operator operators[TIMER_MOST_OPERATORS];
        size_t count = timer_operators(timer, &work, operators);
        double sum = 0;
        for (size_t i = 0; i < count; i++) {
            sum += operators[i].times * operators[i].cost.seconds;
            CU_ASSERT(operators[i].times > 0 && operators[i].cost.seconds > 0);
        }
        CU_ASSERT(count >= 9 && timer_test_near(sum, parts.total - parts.overhead, 1e-12));
        timer_free(timer);
    }
}

int main(void)
{
    const struct test_case cases[] = {
        {"windows", test_windows},     {"experts", test_experts},     {"latents", test_latents},
        {"mixed batches", test_mixed}, {"hosts", test_hosts},         {"factors of a host", test_factors},
        {"lanes", test_lanes},         {"operators", test_operators},
    };
    gpu = timer_test_gpu("h100-sxm", &gpu_file);
    int status = test_main("layers", cases, sizeof cases / sizeof *cases);
    config_free(gpu_file);
    return status;
}
