/* Groups of coefficients of GPU files: each GPU has all of them, of whatever it multiplies; what is borrowed,
 * what is universal, and the errors of wrong ones. */
#include "timer_test.h"

static void matrices_are_complete(const struct gpu *gpu)
{
    static const double bytes[DTYPE_COUNT] = {2, 2, 1, 1, 0.5625, 1, 0.515625, 0.53125, 0.53125};
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++) {
        const struct gpu_gemm *gemm = &gpu->gemm[dtype];
        struct gpu_gemm plain = gpu->gemm[DTYPE_BF16];
        CU_ASSERT_EQUAL(gpu_weight_only(gpu, (enum dtype)dtype), !gemm->present);
        CU_ASSERT_EQUAL(gemm->weight_bytes, bytes[dtype]);
        CU_ASSERT_EQUAL(gemm->act_bytes, gemm->present ? bytes[dtype] : 2);
        CU_ASSERT(gemm->ec > 0.04 && gemm->em > 0.5 && gemm->p >= 1 && gemm->r >= 1);
        plain.present = false;
        plain.weight_bytes = bytes[dtype];
        if (!gemm->present) /* a 16-bit kernel that moves fewer bytes */
            CU_ASSERT_EQUAL(memcmp(gemm, &plain, sizeof plain), 0);
    }
    for (int dtype = DTYPE_INT4; dtype <= DTYPE_MXFP4_A8; dtype++)
        CU_ASSERT_FALSE(gpu->gemm[dtype].present);
}

static void experts_are_complete(const struct gpu *gpu)
{
    static const double bytes[MOE_KIND_COUNT] = {2, 1, 0.5625, 0.53125, 0.53125};
    const bool native[MOE_KIND_COUNT] = {true, gpu->peak_fp8_flops > 0, gpu->peak_fp4_flops > 0, true,
                                         gpu->peak_fp8_flops > 0};
    for (int kind = 0; kind < MOE_KIND_COUNT; kind++)
        for (int kernels = 0; kernels < GPU_KERNELS_COUNT; kernels++) {
            const struct gpu_moe *moe = &gpu->moe[kind][kernels];
            CU_ASSERT(moe->t0 > 0 && moe->ec > 0.1 && moe->em > 0.1 && moe->p >= 1 && moe->act > 0.4);
            CU_ASSERT_EQUAL(moe->weight_bytes, bytes[kind]);
            bool quantized = native[kind] && kind != MOE_BF16 && kind != MOE_MXFP4_A16;
            CU_ASSERT_EQUAL(moe->act_bytes < 2, quantized);
            CU_ASSERT_EQUAL(moe->mul > 1, quantized);
            bool whole_form = kind == MOE_MXFP4_A16 || kind == MOE_MXFP4_A8 || quantized;
            CU_ASSERT_EQUAL(moe->kt > 0, whole_form);
        }
}

static void links_are_complete(const struct gpu *gpu)
{
    bool hopper = gpu->architecture == ARCHITECTURE_HOPPER;
    bool blackwell = gpu->architecture == ARCHITECTURE_BLACKWELL, rack = gpu->nvlink_domain == 72;
    const bool modes[ALL_TO_ALL_MODE_COUNT] = {true, hopper || blackwell, hopper || blackwell, rack, rack};
    for (int mode = 0; mode < ALL_TO_ALL_MODE_COUNT; mode++)
        for (int phase = ALL_TO_ALL_DISPATCH; phase <= ALL_TO_ALL_COMBINE; phase++) {
            const struct gpu_all_to_all *a = &gpu->all_to_all[mode][phase];
            CU_ASSERT_EQUAL(a->b > 0, modes[mode]);
            CU_ASSERT(a->b <= gpu->link_bandwidth && (a->b > 0) == (a->a > 0));
            bool network = mode == ALL_TO_ALL_DEEPEP_NORMAL || mode == ALL_TO_ALL_DEEPEP_LOW_LATENCY;
            CU_ASSERT_EQUAL(a->b_net_share > 0.6 && a->a_net > 0 && a->an_net > 0, modes[mode] && network);
        }
    CU_ASSERT_EQUAL(gpu->all_to_all[ALL_TO_ALL_TRTLLM_TWO_SIDED][ALL_TO_ALL_PREPARE].a > 0, rack);
    CU_ASSERT(gpu->send.latency > 5e-6 && gpu->send.bandwidth <= gpu->link_bandwidth);
    CU_ASSERT(gpu->nvlink_domain >= gpu->gpus_per_node && gpu->gpus_per_node >= 1);
}

static void gpu_is_complete(const char *path)
{
    struct config *config = NULL;
    struct gpu gpu = timer_test_gpu(path + strlen("gpus/"), &config);
    bool grace = strncmp(gpu.name, "gb", 2) == 0;
    matrices_are_complete(&gpu);
    experts_are_complete(&gpu);
    links_are_complete(&gpu);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT(gpu.mla_prefill[i].t0 > 1e-5 && gpu.mla_prefill[i].ec > 0.5 && gpu.mla_prefill[i].em > 0.3);
        CU_ASSERT(gpu.mla_decode[i].t0 > 9e-6 && gpu.mla_decode[i].em > 0.6 && gpu.mla_decode[i].th > 0);
    }
    CU_ASSERT(gpu.mla_bmm.t0 > 3e-6 && gpu.mla_bmm.em > 1);
    CU_ASSERT(gpu.multiprocessors >= 58 && gpu.multiprocessors <= 304);
    CU_ASSERT_EQUAL(gpu.host_factor, grace ? 1.8 : 1);
    CU_ASSERT_EQUAL(gpu.nvlink_domain == 72 && gpu.gpus_per_node == 4, grace);
    bool eager = strcmp(gpu.name, "h100-sxm") == 0 || strcmp(gpu.name, "a100-sxm-80gb") == 0;
    CU_ASSERT_EQUAL(gpu.eager.present, eager); /* of their hosts: no sibling has it */
    gpu_use_universal(&gpu);
    matrices_are_complete(&gpu);
    experts_are_complete(&gpu);
    CU_ASSERT_FALSE(gpu.calibrated || gpu.allreduce_measured || gpu.mixed_attention.present);
    CU_ASSERT_EQUAL(gpu.eager.present, eager); /* of the host and not of the GPU */
    config_free(config);
}

static void test_complete(void)
{
    CU_ASSERT(cluster_files("gpus", gpu_is_complete) >= 25);
}

#define SAME(a, b) CU_ASSERT_EQUAL(memcmp(&(a), &(b), sizeof(a)), 0)

/* Matrices of one GPU are those of the other, if relative to another peak of their type. */
static void matrices_are_the_siblings(const struct gpu *gpu, const struct gpu *sibling)
{
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++) {
        struct gpu_gemm own = gpu->gemm[dtype], other = sibling->gemm[dtype];
        CU_ASSERT(dtype == DTYPE_INT8 || fabs(own.ec * own.mul - other.ec * other.mul) < 1e-12);
        own.ec = other.ec;
        own.mul = other.mul;
        SAME(own, other);
    }
}

/* GPUs that were measured themselves, but for their matrices, or are nobody's sibling in them. */
static bool is_gb300(const struct gpu *gpu)
{
    return strcmp(gpu->name, "gb300") == 0;
}

static bool is_a6000(const struct gpu *gpu)
{
    return strcmp(gpu->name, "rtx-a6000") == 0;
}

/* Coefficients that are said to be a sibling's are. Matrices and experts of rtx-a6000 are nobody's, and gb300
 * has its own where there are any; the files say so. */
static void borrowed_are_the_siblings(const char *path)
{
    struct config *config = NULL, *sibling_config = NULL;
    struct gpu gpu = timer_test_gpu(path + strlen("gpus/"), &config);
    if (gpu.borrowed_from[0]) {
        struct gpu sibling = timer_test_gpu(gpu.borrowed_from, &sibling_config);
        CU_ASSERT_STRING_EQUAL(gpu_basis(&sibling), "calibrated");
        SAME(gpu.prefill_attention, sibling.prefill_attention);
        SAME(gpu.decode_attention, sibling.decode_attention);
        if (!is_a6000(&gpu))
            matrices_are_the_siblings(&gpu, &sibling);
        if (!is_a6000(&gpu) && !is_gb300(&gpu))
            SAME(gpu.moe, sibling.moe);
        CU_ASSERT_EQUAL(memcmp(gpu.mla_prefill, sibling.mla_prefill, sizeof gpu.mla_prefill) == 0,
                        !is_gb300(&gpu));
        CU_ASSERT_EQUAL(memcmp(gpu.mla_decode, sibling.mla_decode, sizeof gpu.mla_decode) == 0,
                        !is_gb300(&gpu));
        CU_ASSERT_EQUAL(memcmp(&gpu.mla_bmm, &sibling.mla_bmm, sizeof gpu.mla_bmm) == 0, !is_gb300(&gpu));
        if (strcmp(gpu.link, sibling.link) == 0 && !is_gb300(&gpu)) {
            SAME(gpu.allreduce, sibling.allreduce);
            SAME(gpu.all_to_all, sibling.all_to_all);
            SAME(gpu.send, sibling.send);
        } else
            CU_ASSERT_EQUAL(gpu.allreduce_measured, is_gb300(&gpu));
        config_free(sibling_config);
    }
    config_free(config);
}

static void test_borrowed(void)
{
    CU_ASSERT(cluster_files("gpus", borrowed_are_the_siblings) >= 25);
}

/* A peak given as half of one with sparsity is rounded. */
#define RATIO(x, of, times) CU_ASSERT_DOUBLE_EQUAL((x) / (of), times, 0.02 * (times))

/* A sibling's links hold only over a sibling's link: H800 has 200 of 450 GB/s, cards over PCIe none; the
 * network is the same. */
static void test_borrowed_links(void)
{
    struct config *configs[3] = {0};
    struct gpu h100 = timer_test_gpu("h100-sxm", &configs[0]);
    struct gpu h800 = timer_test_gpu("h800-sxm", &configs[1]);
    struct gpu pcie = timer_test_gpu("h100-pcie", &configs[2]);
    RATIO(h800.allreduce.b1, h100.allreduce.b1, 200.0 / 450);
    RATIO(h800.allreduce.b2, h100.allreduce.b2, 200.0 / 450);
    RATIO(h800.send.bandwidth, h100.send.bandwidth, 200.0 / 450);
    CU_ASSERT_EQUAL(h800.allreduce.a1, h100.allreduce.a1);
    for (int mode = ALL_TO_ALL_NCCL; mode <= ALL_TO_ALL_DEEPEP_LOW_LATENCY; mode++)
        for (int phase = ALL_TO_ALL_DISPATCH; phase <= ALL_TO_ALL_COMBINE; phase++) {
            struct gpu_all_to_all own = h800.all_to_all[mode][phase], other = h100.all_to_all[mode][phase];
            RATIO(own.b, other.b, 200.0 / 450);
            own.b = other.b;
            SAME(own, other);
        }
    CU_ASSERT_DOUBLE_EQUAL(pcie.allreduce.b2, 0.72 * 64e9, 1);
    CU_ASSERT_DOUBLE_EQUAL(pcie.send.bandwidth, 0.8 * 64e9, 1);
    CU_ASSERT_EQUAL(pcie.send.latency, 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(pcie.all_to_all[ALL_TO_ALL_NCCL][ALL_TO_ALL_COMBINE].b, 0.668 * 64e9, 1);
    CU_ASSERT_TRUE(h100.allreduce_measured);
    CU_ASSERT_FALSE(h800.allreduce_measured || pcie.allreduce_measured);
    for (size_t i = 0; i < 3; i++)
        config_free(configs[i]);
}

/* Figures written down a second time, one of each group. */
static void test_h100(void)
{
    struct config *config = NULL;
    struct gpu gpu = timer_test_gpu("h100-sxm", &config);
    const struct gpu_gemm *fp8 = &gpu.gemm[DTYPE_FP8];
    CU_ASSERT_DOUBLE_EQUAL(fp8->tk, 4.198e-10, 1e-22);
    CU_ASSERT(fp8->ko == 1.153 && fp8->ec == 0.7682 && fp8->r == 1 && fp8->act_bytes == 1);
    CU_ASSERT_EQUAL(gpu.gemm[DTYPE_FP8_BLOCK].kq, 1.822);
    CU_ASSERT_EQUAL(gpu.gemm[DTYPE_INT8].ec, 0.7682); /* FP8's kernels */
    CU_ASSERT_DOUBLE_EQUAL(gpu.gemm[DTYPE_INT8].mul, 1979.0 / 989, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(gpu.mla_prefill[1].t0, 17.49e-6, 1e-18);
    CU_ASSERT_DOUBLE_EQUAL(gpu.mla_decode[0].tl, 1.027e-7, 1e-20);
    CU_ASSERT_DOUBLE_EQUAL(gpu.mla_decode[0].th, 1.487e-9, 1e-22);
    CU_ASSERT_EQUAL(gpu.mla_bmm.ec, 0.2714);
    CU_ASSERT_DOUBLE_EQUAL(gpu.moe[MOE_BF16][GPU_KERNELS_TRTLLM].t0, 3.518e-5, 1e-18);
    CU_ASSERT_EQUAL(gpu.moe[MOE_FP8][GPU_KERNELS_VLLM].pad, 6.945);
    CU_ASSERT_EQUAL(gpu.moe[MOE_FP8][GPU_KERNELS_TRTLLM].kt, 3.863);
    CU_ASSERT_DOUBLE_EQUAL(gpu.moe[MOE_MXFP4_A16][GPU_KERNELS_VLLM].tk, 1.317e-8, 1e-21);
    const struct gpu_all_to_all *low = gpu.all_to_all[ALL_TO_ALL_DEEPEP_LOW_LATENCY];
    CU_ASSERT_DOUBLE_EQUAL(low[ALL_TO_ALL_DISPATCH].b, 284.5e9, 1);
    CU_ASSERT_DOUBLE_EQUAL(low[ALL_TO_ALL_DISPATCH].b_net_share, 51.7 / 50, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(low[ALL_TO_ALL_COMBINE].an_net, 1.871e-6, 1e-18);
    CU_ASSERT_DOUBLE_EQUAL(gpu.all_to_all[ALL_TO_ALL_NCCL][ALL_TO_ALL_DISPATCH].sq, 5.346e-9, 1e-21);
    CU_ASSERT_DOUBLE_EQUAL(gpu.send.latency, 7.7e-6, 1e-18);
    CU_ASSERT_DOUBLE_EQUAL(gpu.eager.layer, 355.3e-6, 1e-16);
    CU_ASSERT_DOUBLE_EQUAL(gpu.eager.prefill, 0.0154, 1e-14);
    CU_ASSERT(gpu.eager.gemm_factor == 1.234 && gpu.eager.allreduce_factor == 3.378);
    CU_ASSERT_EQUAL(gpu.architecture, ARCHITECTURE_HOPPER);
    CU_ASSERT(gpu.multiprocessors == 132 && gpu.gpus_per_node == 8 && gpu.nvlink_domain == 8);
    config_free(config);
}

static void test_others(void)
{
    struct config *configs[5] = {0};
    struct gpu gb300 = timer_test_gpu("gb300", &configs[0]);
    struct gpu b300 = timer_test_gpu("b300-sxm", &configs[1]);
    struct gpu l40s = timer_test_gpu("l40s", &configs[2]);
    struct gpu a100 = timer_test_gpu("a100-sxm-80gb", &configs[3]);
    struct gpu mi300x = timer_test_gpu("mi300x", &configs[4]);
    const struct gpu_moe *fp4 = &gb300.moe[MOE_FP4][GPU_KERNELS_VLLM];
    CU_ASSERT_DOUBLE_EQUAL(fp4->ec * fp4->mul, 0.98 * 4, 1e-12); /* restated to the datasheet's peak */
    CU_ASSERT_EQUAL(fp4->mul, 6);
    CU_ASSERT_DOUBLE_EQUAL(b300.gemm[DTYPE_FP4].ec * b300.gemm[DTYPE_FP4].mul, 0.6156 * 4, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(b300.gemm[DTYPE_INT8].mul, 153.5 / 2250, 1e-15); /* all but dropped */
    CU_ASSERT_EQUAL(b300.moe[MOE_BF16][0].pad, 68.83);                      /* B200's */
    CU_ASSERT_DOUBLE_EQUAL(gb300.all_to_all[ALL_TO_ALL_TRTLLM_ONE_SIDED][ALL_TO_ALL_COMBINE].an, 3.703e-6,
                           1e-18); /* GB200's */
    CU_ASSERT_EQUAL(b300.all_to_all[ALL_TO_ALL_DEEPEP_NORMAL][ALL_TO_ALL_COMBINE].b_net_share, 0.657);
    CU_ASSERT(l40s.mixed_attention.present && l40s.mixed_attention.mt == 48.81); /* the RTX 4090's */
    CU_ASSERT_EQUAL(a100.gemm[DTYPE_INT8].ec, 0.9575);                           /* the universal FP8 set */
    CU_ASSERT_EQUAL(a100.gemm[DTYPE_FP8].ec, 0.8445);                            /* its own of 16 bits */
    CU_ASSERT_EQUAL(a100.moe[MOE_FP8][0].pad, 32.72);
    CU_ASSERT_DOUBLE_EQUAL(a100.eager.decode, 0.003066, 1e-15);
    CU_ASSERT(a100.eager.gemm_factor == 1.072 && a100.eager.allreduce_factor == 3.001);
    CU_ASSERT_EQUAL(mi300x.moe[MOE_BF16][1].em, 1.024); /* H200's: there is no other */
    CU_ASSERT_EQUAL(mi300x.moe[MOE_FP8][1].pad, 5.437); /* one set for all */
    for (size_t i = 0; i < 5; i++)
        config_free(configs[i]);
}

#define SHEET                                                                                                \
    "\"name\": \"x\", \"source\": \"s\", \"peak_bf16_tflops\": 1, \"bandwidth_gb_per_s\": 1, "               \
    "\"link_gb_per_s\": 1, \"tdp_watts\": 100, \"memory_gib\": 1, \"architecture\": \"hopper\""
#define EXPERTS(mul)                                                                                         \
    "{\"t0_us\": 1, \"ec\": 0.5, \"em\": 0.5, \"p\": 2, \"pad\": 3, \"act\": 1, \"kt\": 4, \"mul\": " mul    \
    ", \"weight_bytes\": 1, \"act_bytes\": 1}"
#define GEMM(mul) "{\"ec\": 0.5, \"em\": 0.5, \"t0_us\": 1, \"p\": 2, \"mul\": " mul ", \"weight_bytes\": 1}"

#define EAGER "{\"layer_us\": 1, \"prefill_us\": 2, \"decode_us\": 3, \"sequence_us\": 4, \"source\": \"s\""

/* Parses a sheet with more keys; the message of an error, "" where there is none. Static buffer. */
static const char *parse(const char *keys, struct gpu *gpu)
{
    static struct error error;
    static char json[2000];
    struct config *config = NULL;
    error.text[0] = '\0';
    snprintf(json, sizeof json, "{" SHEET ", %s}", keys);
    CU_ASSERT_TRUE_FATAL(config_parse(json, "x.json", &config, &error));
    CU_ASSERT_EQUAL(gpu_parse(config_root(config), gpu, &error), error.text[0] == '\0');
    config_free(config);
    return error.text;
}

/* What a file does not give is made of what it gives. */
static void test_fallbacks(void)
{
    struct gpu gpu;
    const char *text = parse("\"peak_fp8_tflops\": 3, \"peak_int8_tops\": 5, \"gemm\": {\"fp8\": " GEMM(
                                 "3") "}, "
                                      "\"moe\": {\"fp8\": {\"trtllm\": " EXPERTS("3") "}}",
                             &gpu);
    CU_ASSERT_STRING_EQUAL(text, "");
    SAME(gpu.gemm[DTYPE_FP8], gpu.gemm[DTYPE_FP8_BLOCK]);
    CU_ASSERT(gpu.gemm[DTYPE_FP8].mul == 3 && gpu.gemm[DTYPE_INT8].mul == 5 &&
              gpu.gemm[DTYPE_INT8].ec == 0.5);
    SAME(gpu.moe[MOE_FP8][GPU_KERNELS_VLLM], gpu.moe[MOE_FP8][GPU_KERNELS_TRTLLM]); /* the other engine's */
    CU_ASSERT_EQUAL(gpu.moe[MOE_FP8][GPU_KERNELS_VLLM].pad, 3);
    CU_ASSERT_FALSE(gpu.calibrated);
    CU_ASSERT(gpu.gpus_per_node == 8 && gpu.nvlink_domain == 8 && gpu.host_factor == 1);
    CU_ASSERT_STRING_EQUAL(parse("\"gpus_per_node\": 4", &gpu), "");
    CU_ASSERT_EQUAL(gpu.nvlink_domain, 4);
    CU_ASSERT_STRING_EQUAL(parse("\"nic_gb_per_s\": 100, \"all_to_all\": {\"deepep_normal\": {\"dispatch\": "
                                 "{\"a_us\": 1, \"b_gb_per_s\": 9, \"b_net_gb_per_s\": 80}, \"combine\": "
                                 "{\"a_us\": 2, \"b_gb_per_s\": 8}}}",
                                 &gpu),
                           "");
    const struct gpu_all_to_all *normal = gpu.all_to_all[ALL_TO_ALL_DEEPEP_NORMAL];
    CU_ASSERT_EQUAL(normal[ALL_TO_ALL_DISPATCH].b_net_share, 0.8);
    CU_ASSERT_EQUAL(normal[ALL_TO_ALL_COMBINE].b_net_share, 0.657); /* universal */
    CU_ASSERT_EQUAL(normal[ALL_TO_ALL_COMBINE].b, 8e9);
}

/* The factors of an eager host are 1 where the file has none, and are said. */
static void test_eager(void)
{
    struct gpu gpu;
    struct text text = {0};
    CU_ASSERT_STRING_EQUAL(parse("\"eager\": " EAGER "}", &gpu), "");
    CU_ASSERT(gpu.eager.gemm_factor == 1 && gpu.eager.allreduce_factor == 1);
    CU_ASSERT_STRING_EQUAL(
        parse("\"eager\": " EAGER ", \"gemm_factor\": 1.25, \"allreduce_factor\": 3}", &gpu), "");
    CU_ASSERT(gpu.eager.gemm_factor == 1.25 && gpu.eager.allreduce_factor == 3);
    CU_ASSERT_DOUBLE_EQUAL(gpu.eager.sequence, 4e-6, 1e-18);
    /* Described while its strings live. */
    struct config *config = NULL;
    struct error error = {{0}};
    const char *json = "{" SHEET ", \"eager\": " EAGER ", \"gemm_factor\": 1.25, \"allreduce_factor\": 3}}";
    CU_ASSERT_TRUE_FATAL(config_parse(json, "x.json", &config, &error));
    CU_ASSERT_TRUE_FATAL(gpu_parse(config_root(config), &gpu, &error));
    gpu_describe(&gpu, &text);
    CU_ASSERT(strstr(text_string(&text), "  eager host              layer 1 us, prefill 2 us, decode 3 us, "
                                         "sequence 4 us, gemm x 1.25, all-reduce x 3\n") != NULL);
    text_clear(&text);
    config_free(config);
}

static void test_refusals(void)
{
    static const struct {
        const char *keys, *message;
    } rows[] = {
        {"\"moe\": {\"fp8\": {\"vllm\": " EXPERTS("2") "}}", "x.json: moe.fp8 without peak_fp8_tflops"},
        {"\"peak_fp8_tflops\": 2, \"moe\": {\"mxfp4_a8\": {\"trtllm\": " EXPERTS("1") "}}",
         "peak_fp8_tflops 2 is not 1 x peak_bf16_tflops = 1, which the coefficients of moe.mxfp4_a8 are"},
        {"\"moe\": {\"mxfp4_a16\": {\"vllm\": " EXPERTS("2") "}}", "peak_bf16_tflops 1 is not 2 x"},
        {"\"moe\": {\"fp8\": {\"sglang\": {}}}", "moe.fp8.sglang: unknown key"},
        {"\"moe\": {\"bf16\": {\"kt\": 1}}", "moe.bf16.kt: unknown key"},
        {"\"moe\": {\"bf16\": {\"ec\": 0.5}}", "moe.bf16: missing 't0_us'"},
        {"\"gemm\": {\"int8\": " GEMM("2") "}", "gemm.int8 without peak_int8_tops"},
        {"\"gemm\": {\"fp8_block\": " GEMM("2") "}", "gemm.fp8_block without peak_fp8_tflops"},
        {"\"peak_int8_tops\": 2, \"gemm\": {\"int8\": " GEMM("4") "}", "peak_int8_tops 2 is not 4 x"},
        {"\"all_to_all\": {\"nccl\": {\"dispatch\": {\"a_us\": 1, \"b_gb_per_s\": 1}}}",
         "all_to_all.nccl: missing 'combine'"},
        {"\"all_to_all\": {\"deepep\": {}}", "all_to_all.deepep: unknown key"},
        {"\"mixed_attention\": {\"t0_us\": 1, \"ec\": 1, \"em\": 1, \"mt\": 1, \"p\": 1}",
         "mixed_attention without multiprocessors: add the number of SMs"},
        {"\"mla_decode_attention\": {\"bf16\": {\"t0_us\": 1}}", "mla_decode_attention.bf16: missing 'ec'"},
        {"\"mla_prefill_attention\": {\"fp16\": {}}", "mla_prefill_attention.fp16: unknown key"},
        {"\"send\": {\"latency_us\": 1}", "send: missing 'bandwidth_gb_per_s'"},
        {"\"eager\": {\"layer_us\": 1, \"prefill_us\": 1, \"decode_us\": 1, \"sequence_us\": 1}",
         "eager: missing 'source'"},
        {"\"eager\": " EAGER ", \"gemm_factor\": 0}",
         "eager.gemm_factor: 0 is out of bounds: from 0.1 to 100"},
        {"\"eager\": " EAGER ", \"allreduce_factor\": 101}",
         "eager.allreduce_factor: 101 is out of bounds: from 0.1 to 100"},
        {"\"allreduce\": {\"measured\": 1}", "allreduce.measured: expected true or false"},
        {"\"architecture2\": 1", "architecture2: unknown key (did you mean 'architecture'?)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct gpu gpu;
        const char *text = parse(rows[i].keys, &gpu);
        if (!strstr(text, rows[i].message))
            printf("%s\n", text);
        CU_ASSERT(strstr(text, rows[i].message) != NULL);
    }
}

int main(void)
{
    const struct test_case cases[] = {
        {"complete", test_complete}, {"borrowed", test_borrowed}, {"borrowed links", test_borrowed_links},
        {"h100-sxm", test_h100},     {"others", test_others},     {"fallbacks", test_fallbacks},
        {"eager host", test_eager},  {"refusals", test_refusals},
    };
    return test_main("coefficients", cases, sizeof cases / sizeof *cases);
}
