/* The figures of the GPU files and of the universal set against those that were published with the timer's
 * formulas, where those files are there. */
#include "timer_test.h"

#include "tandem/mem.h"

/* A member of a group and its name in the files, in s and bytes/s; absent there: 0. */
struct member {
    const char *key;
    size_t offset;
};

#define GROUP(type, ...) static const struct member type##_members[] = {__VA_ARGS__, {NULL, 0}}
#define MEMBER(type, key, name)                                                                              \
    {                                                                                                        \
        key, offsetof(struct gpu_##type, name)                                                               \
    }
#define SAME(type, name) MEMBER(type, #name, name)

GROUP(gemm, SAME(gemm, ec), SAME(gemm, em), SAME(gemm, t0), SAME(gemm, p), SAME(gemm, kq), SAME(gemm, mul),
      SAME(gemm, weight_bytes), SAME(gemm, tk), SAME(gemm, ko));
GROUP(prefill_attention, SAME(prefill_attention, t0), SAME(prefill_attention, ec),
      SAME(prefill_attention, hh), SAME(prefill_attention, em), SAME(prefill_attention, kw));
GROUP(decode_attention, SAME(decode_attention, t0), SAME(decode_attention, ec), SAME(decode_attention, em),
      SAME(decode_attention, ts), SAME(decode_attention, p));
GROUP(mixed_attention, SAME(mixed_attention, t0), SAME(mixed_attention, ec), SAME(mixed_attention, em),
      MEMBER(mixed_attention, "Mt", mt), SAME(mixed_attention, kw), SAME(mixed_attention, lc),
      SAME(mixed_attention, ts), MEMBER(mixed_attention, "pn", p));
GROUP(mla_prefill, SAME(mla_prefill, t0), SAME(mla_prefill, ec), SAME(mla_prefill, em), SAME(mla_prefill, p));
GROUP(mla_decode, SAME(mla_decode, t0), SAME(mla_decode, ec), SAME(mla_decode, em), SAME(mla_decode, ts),
      SAME(mla_decode, th), SAME(mla_decode, tl), SAME(mla_decode, p));
GROUP(moe, SAME(moe, t0), SAME(moe, tk), SAME(moe, ec), SAME(moe, em), SAME(moe, p), SAME(moe, pad),
      SAME(moe, act), SAME(moe, kt), SAME(moe, mul), SAME(moe, weight_bytes), SAME(moe, act_bytes));
static const struct member moe_16_bit_members[] = {SAME(moe, t0),       SAME(moe, ec),  MEMBER(moe, "pn", p),
                                                   SAME(moe, em),       SAME(moe, pad), SAME(moe, act),
                                                   MEMBER(moe, "", kt), {NULL, 0}};
GROUP(allreduce, SAME(allreduce, a1), SAME(allreduce, an), SAME(allreduce, b1), SAME(allreduce, a2),
      SAME(allreduce, b2));
GROUP(all_to_all, SAME(all_to_all, a), SAME(all_to_all, an), SAME(all_to_all, b), SAME(all_to_all, sq),
      SAME(all_to_all, tt));
static const struct member network_members[] = {SAME(all_to_all, a_net), SAME(all_to_all, an_net), {NULL, 0}};
GROUP(send, SAME(send, latency), SAME(send, bandwidth));
/* The published host has kernels of 2026 and misses prefill by 26 to 29 %. The files have a fit with factors
 * of matrices and all-reduce in its place (tests/analysis/test_validation.py repeats it), which kept one
 * figure. */
GROUP(eager, MEMBER(eager, "c0_decode", decode));

static const char *const kernels[GPU_KERNELS_COUNT] = {"vllm", "trtllm"};
static const char *const cache_types[2] = {"bf16", "fp8"};
static int groups_compared;

static double number(const struct node *group, const char *key)
{
    const struct node *node = node_get(group, key);
    return node ? node_number(node) : 0;
}

static double value_of(const void *group, size_t offset)
{
    return *(const double *)(const void *)((const char *)group + offset);
}

/* Every member of a group. ec is relative to mul, which a file may have restated. */
static void compare(const char *gpu, const char *name, const struct member *members, const void *group,
                    const struct node *published, double mul)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(published);
    double times = mul > 0 ? mul / number(published, "mul") : 1;
    groups_compared++;
    for (const struct member *m = members; m->key; m++) {
        double got = value_of(group, m->offset), want = number(published, m->key);
        if (strcmp(m->key, "ec") == 0)
            want /= times;
        if (strcmp(m->key, "mul") == 0)
            want *= times;
        if (!timer_test_near(got, want, 1e-12))
            printf("%s %s %s: %.15g, published %.15g\n", gpu, name, m->key, got, want);
        CU_ASSERT(timer_test_near(got, want, 1e-12));
    }
}

static const struct node *below(const struct node *node, const char *a, const char *b)
{
    const struct node *child = node ? node_get(node, a) : NULL;
    return child && b ? node_get(child, b) : child;
}

static struct config *published(const char *name)
{
    char *bytes = NULL;
    size_t count;
    struct config *config = NULL;
    struct error error = {{0}};
    CU_ASSERT_TRUE_FATAL(config_read_file(test_shared_file(name), &bytes, &count, &error));
    CU_ASSERT_TRUE_FATAL(config_parse(bytes, name, &config, &error));
    mem_free(bytes);
    return config;
}

static const struct {
    const char *key;
    enum dtype dtype;
} gemm_dtypes[] = {
    {"bf16", DTYPE_BF16}, {"fp8", DTYPE_FP8}, {"fp8_block", DTYPE_FP8_BLOCK}, {"fp4", DTYPE_FP4}};

static const struct {
    const char *key;
    enum gpu_moe_kind kind;
} moe_kinds[] = {{"moe_fp8", MOE_FP8},
                 {"moe_fp4", MOE_FP4},
                 {"moe_mxfp4_a16", MOE_MXFP4_A16},
                 {"moe_mxfp4_a8", MOE_MXFP4_A8}};

static const struct {
    const char *mode, *phase;
    enum gpu_all_to_all_mode to_mode;
    enum gpu_all_to_all_phase to_phase;
} phases[] = {
    {"nccl", "all_gather", ALL_TO_ALL_NCCL, ALL_TO_ALL_DISPATCH},
    {"nccl", "reduce_scatter", ALL_TO_ALL_NCCL, ALL_TO_ALL_COMBINE},
    {"deepep_normal", "dispatch", ALL_TO_ALL_DEEPEP_NORMAL, ALL_TO_ALL_DISPATCH},
    {"deepep_normal", "combine", ALL_TO_ALL_DEEPEP_NORMAL, ALL_TO_ALL_COMBINE},
    {"deepep_low_latency", "dispatch", ALL_TO_ALL_DEEPEP_LOW_LATENCY, ALL_TO_ALL_DISPATCH},
    {"deepep_low_latency", "combine", ALL_TO_ALL_DEEPEP_LOW_LATENCY, ALL_TO_ALL_COMBINE},
    {"trtllm_one_sided", "dispatch", ALL_TO_ALL_TRTLLM_ONE_SIDED, ALL_TO_ALL_DISPATCH},
    {"trtllm_one_sided", "combine", ALL_TO_ALL_TRTLLM_ONE_SIDED, ALL_TO_ALL_COMBINE},
    {"trtllm_two_sided", "prepare", ALL_TO_ALL_TRTLLM_TWO_SIDED, ALL_TO_ALL_PREPARE},
    {"trtllm_two_sided", "dispatch", ALL_TO_ALL_TRTLLM_TWO_SIDED, ALL_TO_ALL_DISPATCH},
    {"trtllm_two_sided", "combine", ALL_TO_ALL_TRTLLM_TWO_SIDED, ALL_TO_ALL_COMBINE},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void compare_gemm(const struct gpu *gpu, const struct node *sets)
{
    for (size_t i = 0; i < COUNT(gemm_dtypes); i++) {
        const struct gpu_gemm *gemm = &gpu->gemm[gemm_dtypes[i].dtype];
        const struct node *set = sets ? node_get(sets, gemm_dtypes[i].key) : NULL;
        if (!set)
            continue;
        compare(gpu->name, gemm_dtypes[i].key, gemm_members, gemm, set, gemm->mul);
        CU_ASSERT_EQUAL(gemm->r, node_get(set, "r") ? number(set, "r") : 1);
        CU_ASSERT_EQUAL(gemm->act_bytes, gemm->weight_bytes);
        CU_ASSERT_EQUAL(gemm->ko > 0, node_get(set, "r") == NULL); /* one form or the other */
    }
}

static void compare_mla(const struct gpu *gpu, const struct node *of)
{
    for (int i = 0; i < 2; i++) {
        compare(gpu->name, "MLA prefill", mla_prefill_members, &gpu->mla_prefill[i],
                below(of, "mla_prefill_attention", cache_types[i]), 0);
        compare(gpu->name, "MLA decode", mla_decode_members, &gpu->mla_decode[i],
                below(of, "mla_decode_attention", cache_types[i]), 0);
    }
    compare(gpu->name, "MLA bmm", mla_prefill_members, &gpu->mla_bmm, node_get(of, "mla_bmm"), 0);
}

static void compare_phase(const struct gpu *gpu, size_t i, const struct node *of, double link, double nic)
{
    const struct gpu_all_to_all *got = &gpu->all_to_all[phases[i].to_mode][phases[i].to_phase];
    struct gpu_all_to_all relative = *got;
    if (link > 0) { /* of the link in the universal set */
        CU_ASSERT_DOUBLE_EQUAL(got->b / link, number(of, "b_of_link"), 1e-12);
        relative.b = number(of, "b");
    }
    compare(gpu->name, phases[i].mode, all_to_all_members, &relative, of, 0);
    if (!node_get(of, "a_net"))
        return;
    compare(gpu->name, phases[i].mode, network_members, got, of, 0);
    double share = link > 0 ? number(of, "b_net_of_nic") : number(of, "b_net") / nic;
    CU_ASSERT_DOUBLE_EQUAL(got->b_net_share, share, 1e-12);
}

/* The GPUs of the additions: everything there is in their files. */
static void test_additions(void)
{
    struct config *additions = published("roofline/additions/additions.json");
    const struct node *gpus = node_get(config_root(additions), "gpus");
    groups_compared = 0;
    for (size_t g = 0; g < node_size(gpus); g++) {
        const struct node *of = node_at(gpus, g);
        struct config *config = NULL;
        struct gpu gpu = timer_test_gpu(node_key(of), &config);
        compare_gemm(&gpu, node_get(of, "gemm_k"));
        compare_mla(&gpu, of);
        for (size_t i = 0; i < COUNT(moe_kinds); i++)
            for (int k = 0; k < GPU_KERNELS_COUNT; k++) {
                const struct gpu_moe *moe = &gpu.moe[moe_kinds[i].kind][k];
                const struct node *set = below(of, moe_kinds[i].key, kernels[k]);
                if (set)
                    compare(gpu.name, moe_kinds[i].key, moe_members, moe, set, moe->mul);
            }
        for (size_t i = 0; i < COUNT(phases); i++) {
            const struct node *mode = below(of, "all_to_all", phases[i].mode);
            if (mode)
                compare_phase(&gpu, i, node_get(mode, phases[i].phase), 0,
                              number(node_get(of, "datasheet"), "nic"));
        }
        CU_ASSERT_EQUAL(gpu.multiprocessors, (int64_t)number(node_get(of, "datasheet"), "sm"));
        CU_ASSERT_EQUAL(gpu.nvlink_domain, (int64_t)number(node_get(of, "datasheet"), "nvlink_domain"));
        config_free(config);
    }
    printf("%d groups ", groups_compared);
    CU_ASSERT_EQUAL(groups_compared, 132);
    config_free(additions);
}

static void compare_dense(const struct gpu *gpu, const struct node *of, const struct node *better)
{
    const struct node *gemms = node_get(of, "gemm");
    for (size_t i = 0; i < COUNT(gemm_dtypes); i++) {
        const struct gpu_gemm *gemm = &gpu->gemm[gemm_dtypes[i].dtype];
        const struct node *set = node_get(gemms, gemm_dtypes[i].key);
        if (set && !below(better, "gemm_k", gemm_dtypes[i].key)) {
            compare(gpu->name, gemm_dtypes[i].key, gemm_members, gemm, set, gemm->mul);
            CU_ASSERT_EQUAL(gemm->r, number(set, "r"));
        }
    }
    compare(gpu->name, "prefill", prefill_attention_members, &gpu->prefill_attention,
            node_get(of, "prefill_attention"), 0);
    compare(gpu->name, "decode", decode_attention_members, &gpu->decode_attention,
            node_get(of, "decode_attention"), 0);
    const struct node *mixed = node_get(of, "mixed_attention_fa2");
    if (mixed)
        compare(gpu->name, "mixed", mixed_attention_members, &gpu->mixed_attention, mixed, 0);
    CU_ASSERT_EQUAL(gpu->mixed_attention.present, mixed != NULL || strcmp(gpu->name, "l40s") == 0);
    const struct node *allreduce = below(of, "allreduce", "custom_kernel");
    if (allreduce)
        compare(gpu->name, "all-reduce", allreduce_members, &gpu->allreduce, allreduce, 0);
    CU_ASSERT_EQUAL(gpu->allreduce_measured, allreduce != NULL);
    for (int k = 0; node_get(of, "moe_bf16") && k < GPU_KERNELS_COUNT; k++) {
        const struct gpu_moe *moe = &gpu->moe[MOE_BF16][k];
        compare(gpu->name, "moe", moe_16_bit_members, moe, node_get(of, "moe_bf16"), 0);
        CU_ASSERT(moe->mul == 1 && moe->weight_bytes == 2 && moe->act_bytes == 2 && moe->tk == 0);
    }
}

/* The GPUs of the first set, where the additions have nothing better. */
static void test_coefficients(void)
{
    struct config *coefficients = published("roofline/coefficients.json");
    struct config *additions = published("roofline/additions/additions.json");
    const struct node *root = config_root(coefficients), *gpus = node_get(root, "gpus");
    groups_compared = 0;
    for (size_t g = 0; g < node_size(gpus); g++) {
        const struct node *of = node_at(gpus, g);
        struct config *config = NULL;
        struct gpu gpu = timer_test_gpu(node_key(of), &config);
        compare_dense(&gpu, of, below(config_root(additions), "gpus", node_key(of)));
        CU_ASSERT_EQUAL(gpu.multiprocessors, (int64_t)number(node_get(of, "datasheet"), "sm"));
        const struct node *eager =
            node_get(below(root, "iteration_overhead", "eager_vllm_2023"), node_key(of));
        CU_ASSERT_EQUAL(gpu.eager.present, eager != NULL);
        if (eager)
            compare(gpu.name, "eager", eager_members, &gpu.eager, eager, 0);
        if (eager)
            compare(gpu.name, "send", send_members, &gpu.send,
                    below(root, "send_recv",
                          strcmp(gpu.name, "h100-sxm") == 0 ? "h100_dgx_intra" : "a100_dgx_intra"),
                    0);
        config_free(config);
    }
    printf("%d groups ", groups_compared);
    CU_ASSERT_EQUAL(groups_compared, 69);
    config_free(coefficients);
    config_free(additions);
}

/* Sets of a family, or the one for any GPU; 16-bit experts have none. */
static void compare_universal_moe(const struct gpu *gpu, const struct node *of, const char *family)
{
    for (size_t i = 0; i < COUNT(moe_kinds); i++)
        for (int k = 0; k < GPU_KERNELS_COUNT; k++) {
            const struct gpu_moe *moe = &gpu->moe[moe_kinds[i].kind][k];
            const struct node *sets = below(of, moe_kinds[i].key, family);
            const struct node *set = sets ? node_get(sets, kernels[k]) : NULL;
            if (!set)
                set = below(of, moe_kinds[i].key, "any_gpu_one_set");
            if (moe->kt > 0)
                compare(gpu->name, moe_kinds[i].key, moe_members, moe, set, moe->mul);
        }
}

static void test_universal(void)
{
    static const struct {
        const char *gpu, *family;
        size_t modes; /* phases of all-to-all, in the order of the table */
    } rows[] = {{"h100-sxm", "hopper", 6},
                {"b200-sxm", "blackwell", 6},
                {"gb300", "blackwell", COUNT(phases)},
                {"l40s", "ada", 2},
                {"rtx-pro-6000", "-", 2}};
    struct config *additions = published("roofline/additions/additions.json");
    struct config *coefficients = published("roofline/coefficients.json");
    const struct node *of = node_get(config_root(additions), "universal");
    const struct node *first = node_get(config_root(coefficients), "universal");
    groups_compared = 0;
    for (size_t r = 0; r < COUNT(rows); r++) {
        struct config *config = NULL;
        struct gpu gpu = timer_test_gpu(rows[r].gpu, &config);
        bool multiplies_fp4 = gpu.gemm[DTYPE_FP4].present;
        gpu_use_universal(&gpu);
        compare(gpu.name, "bf16", gemm_members, &gpu.gemm[DTYPE_BF16], below(first, "gemm", "bf16"), 1);
        for (size_t i = 1; i < COUNT(gemm_dtypes); i++)
            if (gemm_dtypes[i].dtype != DTYPE_FP4 || multiplies_fp4)
                compare(gpu.name, gemm_dtypes[i].key, gemm_members, &gpu.gemm[gemm_dtypes[i].dtype],
                        below(of, "gemm_k", gemm_dtypes[i].key), 0);
        compare_mla(&gpu, of);
        compare_universal_moe(&gpu, of, rows[r].family);
        for (size_t i = 0; i < COUNT(phases); i++) {
            const struct node *mode = below(of, "all_to_all", phases[i].mode);
            if (mode && i < rows[r].modes)
                compare_phase(&gpu, i, node_get(mode, phases[i].phase), gpu.link_bandwidth, 0);
            else
                CU_ASSERT_EQUAL(gpu.all_to_all[phases[i].to_mode][phases[i].to_phase].b, 0);
        }
        config_free(config);
    }
    printf("%d groups ", groups_compared);
    CU_ASSERT(groups_compared > 100);
    config_free(additions);
    config_free(coefficients);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    if (!test_shared_file("roofline/additions/additions.json") ||
        !test_shared_file("roofline/coefficients.json"))
        return TEST_SKIP_EXIT_CODE;
    const struct test_case cases[] = {{"additions", test_additions},
                                      {"coefficients", test_coefficients},
                                      {"universal set", test_universal}};
    return test_main("published figures", cases, sizeof cases / sizeof *cases);
}
