/* The timer's limits worked out by hand on a GPU of round numbers, its levels, and that more work never takes
 * less. */
#include "timer_test.h"

/* 1 TFLOP/s, 1 GB/s, no latencies, all exponents 1 (sums): every term can be worked out in the head. */
static struct gpu round_gpu(void)
{
    const struct gpu_gemm gemm = {.present = true,
                                  .ec = 1,
                                  .em = 1,
                                  .t0 = 0,
                                  .p = 1,
                                  .kq = 0,
                                  .r = 1,
                                  .mul = 1,
                                  .weight_bytes = 2,
                                  .act_bytes = 2};
    struct gpu gpu = {.name = "round", .peak_bf16_flops = 1e12, .bandwidth = 1e9};
    gpu.gemm[DTYPE_BF16] = gpu.gemm[DTYPE_FP16] = gpu.gemm[DTYPE_FP8] = gemm;
    gpu.prefill_attention =
        (struct gpu_prefill_attention){.t0 = 10e-6, .ec = 1, .hh = 100, .em = 1, .kw = 0.5};
    gpu.decode_attention = (struct gpu_decode_attention){.t0 = 0, .ec = 1, .em = 1, .ts = 1e-6, .p = 1};
    gpu.allreduce = (struct gpu_allreduce){.a1 = 5e-6, .an = 1e-6, .b1 = 1e11, .a2 = 10e-6, .b2 = 2e11};
    return gpu;
}

/* One layer of 12 million matrix elements: 3 + 1 in attention, 4 + 4 in the MLP. */
static struct work_shape round_shape(void)
{
    return (struct work_shape){.layers = 1,
                               .hidden = 1000,
                               .query_heads = 10,
                               .kv_heads = 10,
                               .head_dim = 100,
                               .mlp_width = 4000,
                               .gated_mlp = false,
                               .vocabulary = 10000,
                               .tensor_parallel = 1,
                               .weight_dtype = DTYPE_BF16,
                               .kv_value_bytes = 2};
}

static struct timer_parts parts_of(const struct gpu *gpu, const struct work_shape *shape, struct work work)
{
    struct timer_config config = {.level = TIMER_CALIBRATED, .iteration_overhead_ms = 0.5};
    struct timer *timer = timer_new(gpu, shape, &config);
    struct timer_parts parts = timer_iteration_parts(timer, &work);
    timer_free(timer);
    return parts;
}

#define NEAR(got, want) CU_ASSERT_DOUBLE_EQUAL(got, want, 1e-12)

static void test_decode_by_hand(void)
{
    struct gpu gpu = round_gpu();
    struct work_shape shape = round_shape();
    struct work work = {.decode_sequences = 10, .decode_context_tokens = 5000, .logit_rows = 10};
    struct timer_parts p = parts_of(&gpu, &shape, work);
    NEAR(p.linear, 0.024 + 0.00024 + 0.00032);        /* weights, FLOPs, activations */
    NEAR(p.elementwise, 8.8e-6 + 76e-6 + 240e-6);     /* launches, residual stream, MLP activation */
    NEAR(p.decode_attention, 0.020 + 20e-6 + 100e-6); /* cache, FLOPs, sequences */
    NEAR(p.head, 0.020 + 200e-6 + 220e-6 + 30e-6);    /* weights, FLOPs, activations, sampler */
    NEAR(p.prefill_attention, 0);
    NEAR(p.allreduce, 0);
    NEAR(p.overhead, 0.0005);
    NEAR(p.total, 0.0659548);
    struct timer_config config = {.level = TIMER_CALIBRATED, .iteration_overhead_ms = 0.5};
    struct timer *timer = timer_new(&gpu, &shape, &config);
    CU_ASSERT_EQUAL(timer_iteration_ns(timer, &work), 65954800);
    timer_free(timer);
    shape.kv_value_bytes = 1; /* an FP8 cache moves half the bytes */
    NEAR(parts_of(&gpu, &shape, work).decode_attention, 0.010 + 20e-6 + 100e-6);
}

static void test_prefill_by_hand(void)
{
    struct gpu gpu = round_gpu();
    struct work_shape shape = round_shape();
    /* A chunk of 100 tokens after 200 cached ones: 2w = 100 (2 x 200 + 100). */
    struct work work = {.prefill_tokens = 100, .prefill_work_x2 = 50000, .logit_rows = 0};
    struct timer_parts p = parts_of(&gpu, &shape, work);
    NEAR(p.prefill_attention, 10e-6 + 200e-6 + 1e-3); /* start, FLOPs at half the peak, bytes */
    NEAR(p.decode_attention, 0);
    NEAR(p.head, 0.020 + 30e-6);
    shape.layers = 7;
    NEAR(parts_of(&gpu, &shape, work).prefill_attention, 7 * 1.21e-3);
}

static void test_allreduce_by_hand(void)
{
    struct gpu gpu = round_gpu();
    struct work_shape shape = round_shape();
    shape.tensor_parallel = 4;
    struct work small = {.decode_sequences = 10, .decode_context_tokens = 10, .logit_rows = 10};
    NEAR(parts_of(&gpu, &shape, small).allreduce, 2 * 8.6e-6); /* one-shot: 5 + 3 x 1 + 0.6 us */
    struct work large = {.prefill_tokens = 10000, .prefill_work_x2 = 1, .logit_rows = 1};
    NEAR(parts_of(&gpu, &shape, large).allreduce, 2 * 163e-6); /* two-shot: 10 + 3 x 1 + 150 us */
}

/* With a sharp exponent the sum becomes the classical maximum: weights at one token, FLOPs at very many. */
static void test_roofline_limits(void)
{
    struct gpu gpu = round_gpu();
    struct work_shape shape = round_shape();
    gpu.gemm[DTYPE_BF16].p = 64;
    struct timer_parts one = parts_of(&gpu, &shape, (struct work){.decode_sequences = 1, .logit_rows = 1});
    NEAR(one.linear, 0.024032);
    gpu.bandwidth = 1e13; /* the ridge is then at a fraction of a FLOP per byte */
    struct timer_parts many = parts_of(&gpu, &shape, (struct work){.prefill_tokens = 5000, .logit_rows = 1});
    NEAR(many.linear, 0.12);
}

/* Quantized activations are read in 16 bits and written: kq (2 + wb) m k / W. */
static void test_quantization_by_hand(void)
{
    struct gpu gpu = round_gpu();
    struct work_shape shape = round_shape();
    shape.weight_dtype = DTYPE_FP8;
    gpu.gemm[DTYPE_FP8].weight_bytes = gpu.gemm[DTYPE_FP8].act_bytes = 1;
    gpu.gemm[DTYPE_FP8].mul = 2;
    gpu.gemm[DTYPE_FP8].kq = 2;
    struct timer_parts p = parts_of(&gpu, &shape, (struct work){.decode_sequences = 10, .logit_rows = 1});
    /* 12 MB of weights; half the FLOP time; m(k + 2n) bytes = 7 + 3 + 9 + 6 kB a token; 2 x 3 x m x 7 kB. */
    NEAR(p.linear, 0.012 + 0.00012 + 0.00025 + 0.00042);
    NEAR(p.head, 0.020 + 20e-6 + 22e-6 + 30e-6); /* the head stays in 16 bits */
}

static void test_fixed(void)
{
    struct gpu gpu = {.name = "none"};
    struct work_shape shape = round_shape();
    struct timer_config config = {.level = TIMER_FIXED, .prefill_ms = 12.5, .decode_ms = 3};
    struct timer *timer = timer_new(&gpu, &shape, &config);
    CU_ASSERT_EQUAL(timer_iteration_ns(timer, &(struct work){.prefill_tokens = 1, .decode_sequences = 9}),
                    12500000);
    CU_ASSERT_EQUAL(timer_iteration_ns(timer, &(struct work){.decode_sequences = 9}), 3000000);
    struct timer_parts p = timer_iteration_parts(timer, &(struct work){.decode_sequences = 1});
    NEAR(p.total, 0.003);
    NEAR(p.linear + p.head + p.elementwise, 0);
    timer_free(timer);
    config.decode_ms = 0; /* time always moves */
    timer = timer_new(&gpu, &shape, &config);
    CU_ASSERT_EQUAL(timer_iteration_ns(timer, &(struct work){.decode_sequences = 1}), 1);
    timer_free(timer);
}

/* Each quantity of an iteration grows on its own. */
static void grow_each(struct timer *timer)
{
    struct work start = {.prefill_tokens = 1,
                         .prefill_work_x2 = 1,
                         .decode_sequences = 1,
                         .decode_context_tokens = 100,
                         .logit_rows = 1};
    for (int which = 0; which < 5; which++) {
        struct work work = start;
        int64_t *quantities[] = {&work.prefill_tokens, &work.prefill_work_x2, &work.decode_sequences,
                                 &work.decode_context_tokens, &work.logit_rows};
        int64_t last = 0;
        for (int i = 0; i < 300; i++) {
            int64_t ns = timer_iteration_ns(timer, &work);
            CU_ASSERT(ns >= last);
            last = ns;
            *quantities[which] += which == 1 || which == 3 ? 977 : 1 + i / 8;
        }
    }
}

static void grow_on_gpu(const char *path)
{
    struct config *config = NULL;
    struct gpu gpu = timer_test_gpu(path + strlen("gpus/"), &config);
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++) {
        if (!gpu.gemm[dtype].present)
            continue;
        struct work_shape shape = timer_test_shape("llama-3.1-70b", 4, (enum dtype)dtype, 2);
        struct timer_config timing = {.level = TIMER_CALIBRATED, .iteration_overhead_ms = 0.5};
        struct timer *timer = timer_new(&gpu, &shape, &timing);
        grow_each(timer);
        timer_free(timer);
    }
    config_free(config);
}

static void test_more_work_never_takes_less(void)
{
    CU_ASSERT(cluster_files("gpus", grow_on_gpu) >= 14);
}

/* Iterations beyond the table are computed by the same expressions. */
static void test_beyond_the_table(void)
{
    struct gpu gpu = round_gpu();
    struct work_shape shape = round_shape();
    struct timer_config config = {.level = TIMER_CALIBRATED};
    struct timer *timer = timer_new(&gpu, &shape, &config);
    struct work work = {.prefill_tokens = 1000000, .prefill_work_x2 = 2, .logit_rows = 1};
    size_t before = mem_live_bytes();
    struct timer_parts p = timer_iteration_parts(timer, &work);
    NEAR(p.linear, 0.024 + 24 + 32);
    CU_ASSERT(mem_live_bytes() - before < 4096);
    timer_free(timer);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static void test_options(void)
{
    struct config *config = NULL;
    struct error error = {{0}};
    struct timer_config timing;
    CU_ASSERT_TRUE_FATAL(config_parse("{\"level\": \"fixed\", \"decode_ms\": 2}", "t", &config, &error));
    CU_ASSERT_TRUE(option_parse(&timer_options, config_root(config), &timing, &error));
    CU_ASSERT_EQUAL(timing.level, TIMER_FIXED);
    CU_ASSERT_EQUAL(timing.decode_ms, 2);
    CU_ASSERT_EQUAL(timing.iteration_overhead_ms, -1); /* the host's */
    config_free(config);
}

int main(void)
{
    const struct test_case cases[] = {
        {"decode by hand", test_decode_by_hand},
        {"prefill by hand", test_prefill_by_hand},
        {"all-reduce by hand", test_allreduce_by_hand},
        {"roofline limits", test_roofline_limits},
        {"quantization by hand", test_quantization_by_hand},
        {"fixed level", test_fixed},
        {"more work never takes less", test_more_work_never_takes_less},
        {"beyond the table", test_beyond_the_table},
        {"options", test_options},
    };
    return test_main("timer", cases, sizeof cases / sizeof *cases);
}
