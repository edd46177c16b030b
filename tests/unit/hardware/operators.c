/* Operators by hand, on a GPU of round figures: 1e12 FLOP/s and 1e9 bytes/s, all of which are reached. */
#include "timer_test.h"

#define NEAR(got, want) CU_ASSERT_DOUBLE_EQUAL(got, want, 1e-12 * fabs(1.0 * (want)) + 1e-18)

static struct gpu round_gpu(void)
{
    struct gpu gpu = {.name = "round", .peak_bf16_flops = 1e12, .bandwidth = 1e9, .multiprocessors = 10};
    gpu.gemm[DTYPE_BF16] = (struct gpu_gemm){
        .present = true, .ec = 1, .em = 1, .p = 1, .r = 1, .mul = 1, .weight_bytes = 2, .act_bytes = 2};
    gpu.prefill_attention = (struct gpu_prefill_attention){.t0 = 10e-6, .ec = 1, .em = 1};
    gpu.decode_attention = (struct gpu_decode_attention){.ec = 1, .em = 1, .ts = 1e-6, .p = 1};
    gpu.mixed_attention = (struct gpu_mixed_attention){
        .present = true, .t0 = 1e-6, .ec = 1, .em = 1, .mt = 10, .lc = 0.5, .ts = 1e-6, .p = 1};
    gpu.allreduce = (struct gpu_allreduce){.a1 = 5e-6, .an = 1e-6, .b1 = 1e9, .a2 = 10e-6, .b2 = 2e9};
    gpu.send = (struct gpu_send){.latency = 5e-6, .bandwidth = 1e9};
    return gpu;
}

/* 10 x 3000 by 3000 x 2000: the k-loop, output apart, 8-bit weights quantized in two passes. */
static void test_gemm(void)
{
    struct gpu gpu = round_gpu();
    gpu.gemm[DTYPE_FP8] = (struct gpu_gemm){.present = true,
                                            .ec = 0.5,
                                            .em = 1,
                                            .t0 = 3e-6,
                                            .p = 1,
                                            .kq = 2,
                                            .r = 1,
                                            .mul = 2,
                                            .weight_bytes = 1,
                                            .act_bytes = 1,
                                            .tk = 1e-9,
                                            .ko = 3};
    struct operator_cost cost = operator_gemm(&gpu, DTYPE_FP8, 10, 2000, 3000);
    NEAR(cost.flops, 120e6);
    NEAR(cost.bytes, 6e6 + 30e3 + 40e3);
    NEAR(cost.compute_s, 120e-6);
    NEAR(cost.fixed_s, 6e-6);
    /* weights and activations; quantizing moves 3 x 2 x 30 kB; three passes of 40 kB of output */
    NEAR(cost.memory_s, 6e-3 + 30e-6 + 180e-6 + 120e-6);
    NEAR(cost.seconds, 6e-6 + 120e-6 + 6e-3 + 30e-6 + 180e-6 + 120e-6);
    cost = operator_gemm(&gpu, DTYPE_BF16, 10, 2000, 3000);
    NEAR(cost.seconds, 120e-6 + 12e-3 + 60e-6 + 40e-6);
}

/* 4 query heads and 2 key heads of 100. */
static void test_attention(void)
{
    struct gpu gpu = round_gpu();
    struct attention_heads heads = {4, 2, 100, 2, 0};
    /* A chunk of 10 after 90: w = 950 of 1,000 pairs. */
    struct operator_cost cost = operator_prefill_attention(&gpu, &heads, 10, 950, 1000);
    NEAR(cost.flops, 1600.0 * 950);
    NEAR(cost.bytes, 2000.0 * 12);
    NEAR(cost.seconds, 10e-6 + 1.52e-6 + 24e-6);
    cost = operator_decode_attention(&gpu, &heads, 3, 500);
    NEAR(cost.flops, 1600.0 * 500);
    NEAR(cost.bytes, 4.0 * 500 * 200);
    NEAR(cost.seconds, 0.8e-6 + 400e-6 + 6e-6);

    heads.score_passes = 4; /* the whole rectangle, and 16 bytes a head and pair */
    cost = operator_prefill_attention(&gpu, &heads, 10, 950, 1000);
    NEAR(cost.flops, 1600e3);
    NEAR(cost.bytes, 24e3 + 64e3);
    NEAR(cost.seconds, 10e-6 + 1.6e-6 + 24e-6 + 64e-6);
    cost = operator_decode_attention(&gpu, &heads, 3, 500);
    NEAR(cost.seconds, 0.8e-6 + 400e-6 + 6e-6 + 32e-6);
    heads.score_passes = 0;

    /* One kernel: pairs 950 + 10 x 500, the longest context on all multiprocessors, bytes of both, heads. */
    cost = operator_mixed_attention(&gpu, &heads, 10, 950, 3, 500, 300);
    NEAR(cost.seconds, 1e-6 + 1600e-12 * 5950 + 0.5 * 4 * 100 * 128 * 300 * 10e-12 + 24e-6 + 400e-6 + 12e-6);
    NEAR(cost.flops, 1600.0 * 1450);
}

/* Latent 50, keys 10 + 20, values 40, 8 heads. */
static void test_latent_attention(void)
{
    struct gpu gpu = round_gpu();
    struct latent_heads heads = {8, 50, 10, 20, 40, false};
    gpu.mla_prefill[0] = (struct gpu_mla_prefill){.t0 = 1e-6, .ec = 1, .em = 1, .p = 1};
    gpu.mla_decode[0] =
        (struct gpu_mla_decode){.t0 = 1e-6, .ec = 1, .em = 1, .ts = 1e-6, .th = 1e-7, .tl = 1e-6, .p = 1};
    gpu.mla_decode[1] = (struct gpu_mla_decode){.ec = 1, .em = 0.5, .p = 1};
    gpu.mla_bmm = (struct gpu_mla_prefill){.ec = 1, .em = 1, .p = 1};
    struct operator_cost cost = operator_mla_prefill(&gpu, &heads, 10, 950);
    NEAR(cost.flops, 2.0 * 70 * 8 * 950);
    NEAR(cost.bytes, (2.0 * (60 + 80) * 8 + 120) * 10);
    NEAR(cost.seconds, 1e-6 + 1.064e-6 + 23.6e-6);
    cost = operator_mla_decode(&gpu, &heads, 4, 400);
    NEAR(cost.flops, 2.0 * 110 * 8 * 400);
    NEAR(cost.bytes, 120.0 * 400);
    NEAR(cost.seconds, 1e-6 + 0.704e-6 + 48e-6 + 10e-6 + 4 * 1.8e-6);
    heads.fp8 = true;
    NEAR(operator_mla_decode(&gpu, &heads, 4, 400).seconds, 0.704e-6 + 48e-6);
    cost = operator_mla_bmm(&gpu, &heads, 4);
    NEAR(cost.flops, 2.0 * 4 * 8 * 1000);
    NEAR(cost.bytes, 16.0 * (1000 + 4 * 70));
}

/* 8 experts of 100 x 30, 2 for each token, on 4 GPUs in pairs: 2 groups of 4 experts. */
static void test_experts(void)
{
    struct gpu gpu = round_gpu();
    struct expert_sizes sizes = {.hidden = 100,
                                 .width = 60,
                                 .experts = 8,
                                 .experts_per_token = 2,
                                 .tensor_parallel = 2,
                                 .expert_parallel = 2,
                                 .imbalance = 1.5,
                                 .dtype = DTYPE_BF16};
    struct gpu_moe plain = {.t0 = 1e-6,
                            .ec = 1,
                            .em = 1,
                            .p = 1,
                            .pad = 2,
                            .act = 1,
                            .mul = 1,
                            .weight_bytes = 2,
                            .act_bytes = 2};
    gpu.moe[MOE_BF16][0] = plain;
    /* 40 tokens: 60 assignments here; all 4 experts but e^-15 of them. */
    double active = 4 * (1 - exp(-15.0)), a = 60;
    struct operator_cost cost = operator_experts(&gpu, &sizes, 40);
    NEAR(cost.flops, 6 * a * 3000);
    NEAR(cost.seconds, 1e-6 + 6 * (a + 2 * active) * 3000e-12 +
                           (6 * active * 3000 + 2 * a * (200 + 90) + 2 * a * 100) * 1e-9);
    /* One token: at most 2 assignments in a group, at least one expert. */
    sizes.imbalance = 9;
    cost = operator_experts(&gpu, &sizes, 1);
    NEAR(cost.flops, 6.0 * 2 * 3000);
    sizes.imbalance = 0.01;
    double few = 0.01;
    cost = operator_experts(&gpu, &sizes, 1);
    NEAR(cost.bytes, 6 * fmax(4 * (1 - exp(-few / 4)), few) * 3000 + few * (2 * 290 + 200));
    sizes.imbalance = 1;

    /* FP8: activations apart, k-loops. */
    gpu.gemm[DTYPE_FP8_BLOCK].present = true;
    gpu.moe[MOE_FP8][GPU_KERNELS_TRTLLM] = (struct gpu_moe){.t0 = 1e-6,
                                                            .tk = 1e-9,
                                                            .ec = 1,
                                                            .em = 1,
                                                            .p = 1,
                                                            .act = 1,
                                                            .kt = 3,
                                                            .mul = 2,
                                                            .weight_bytes = 1,
                                                            .act_bytes = 1};
    sizes.dtype = DTYPE_FP8_BLOCK;
    sizes.kernels = GPU_KERNELS_TRTLLM;
    a = 40;
    active = 4 * (1 - exp(-10.0));
    double moved = 5.0 * 40 * 100 + a * (300 + 6 * 30);
    cost = operator_experts(&gpu, &sizes, 40);
    NEAR(cost.seconds, 1e-6 + 130e-9 + 6 * a * 3000 / 2e12 + (3 * active * 3000 + 3 * moved) * 1e-9);

    /* A type that the GPU does not multiply: the kernel of 16 bits, fewer bytes of weights. */
    gpu.gemm[DTYPE_INT4].weight_bytes = 0.5;
    gpu.moe[MOE_BF16][GPU_KERNELS_TRTLLM] = plain;
    sizes.dtype = DTYPE_INT4;
    cost = operator_experts(&gpu, &sizes, 40);
    NEAR(cost.seconds, 1e-6 + 6 * (a + 2 * active) * 3000e-12 +
                           (1.5 * active * 3000 + 2 * a * (200 + 90) + 2 * a * 100) * 1e-9);
    gpu.gemm[DTYPE_INT8].weight_bytes = 1;
    sizes.dtype = DTYPE_INT8;
    NEAR(operator_experts(&gpu, &sizes, 40).seconds - cost.seconds, 1.5 * active * 3000e-9);
    CU_ASSERT_EQUAL(operator_power_law_imbalance(100, 8, 1), 1);
    CU_ASSERT_EQUAL(operator_power_law_imbalance(1e9, 2, 2), 2); /* one group has it all */
}

static void test_communication(void)
{
    struct gpu gpu = round_gpu();
    struct operator_group node = {8, 8, 0, 0}, two = {16, 8, 1e8, 1e8};
    /* One-shot 5 + 7 us and 7 S / 1e9; two-shot 10 + 7 us and 1.75 S / 2e9: equal at 816 bytes. */
    NEAR(operator_allreduce(&gpu, &node, 800).seconds, 12e-6 + 5.6e-6);
    NEAR(operator_allreduce(&gpu, &node, 1000).seconds, 17e-6 + 0.875e-6);
    CU_ASSERT_EQUAL(operator_allreduce(&gpu, &(struct operator_group){1, 8, 0, 0}, 1000).seconds, 0);
    /* Over two nodes: two-shot at 8 NICs' bandwidth, two hops more. */
    NEAR(operator_allreduce(&gpu, &two, 800).seconds, 10e-6 + 15e-6 + 2 * 1.95e-5 + 1500 / 8e8);
    /* So few bytes that one-shot would be faster if it were there. */
    NEAR(operator_allreduce(&gpu, &two, 10).seconds, 10e-6 + 15e-6 + 2 * 1.95e-5 + 18.75 / 8e8);
    two.nic_bandwidth = 1e12; /* a network that is no bottleneck: the link's */
    NEAR(operator_allreduce(&gpu, &two, 800).seconds, 10e-6 + 15e-6 + 2 * 1.95e-5 + 1500 / 2e9);
    NEAR(operator_send(&gpu, &(struct operator_group){2, 2, 0, 0}, 1000).seconds, 6e-6);
    NEAR(operator_send(&gpu, &(struct operator_group){2, 1, 1e8, 1e8}, 1000).seconds, 1.95e-5 + 10e-6);

    /* NCCL's ring over two nodes; DeepEP where there are no figures of its network. */
    gpu.all_to_all[ALL_TO_ALL_NCCL][ALL_TO_ALL_DISPATCH] = (struct gpu_all_to_all){.a = 1e-6, .b = 2e9};
    gpu.all_to_all[ALL_TO_ALL_NCCL][ALL_TO_ALL_COMBINE].b = 2e9;
    gpu.all_to_all[ALL_TO_ALL_DEEPEP_NORMAL][ALL_TO_ALL_COMBINE].b = 2e9;
    two.nic_bandwidth = 1e8;
    struct operator_cost cost =
        operator_all_to_all(&gpu, ALL_TO_ALL_NCCL, ALL_TO_ALL_DISPATCH, &two, 10, 2, 100);
    NEAR(cost.bytes, 16000);
    NEAR(cost.seconds, 1e-6 + 1.95e-5 + 15.0 / 16 * 16000 / 8e8);
    CU_ASSERT_TRUE(operator_has_all_to_all(&gpu, ALL_TO_ALL_NCCL, &two));
    CU_ASSERT_TRUE(operator_has_all_to_all(&gpu, ALL_TO_ALL_DEEPEP_NORMAL, &node));
    CU_ASSERT_FALSE(operator_has_all_to_all(&gpu, ALL_TO_ALL_DEEPEP_NORMAL, &two));
    CU_ASSERT_FALSE(operator_has_all_to_all(&gpu, ALL_TO_ALL_DEEPEP_LOW_LATENCY, &node));
}

int main(void)
{
    const struct test_case cases[] = {
        {"matrices", test_gemm},
        {"attention", test_attention},
        {"latent attention", test_latent_attention},
        {"experts", test_experts},
        {"communication", test_communication},
    };
    return test_main("operators", cases, sizeof cases / sizeof *cases);
}
