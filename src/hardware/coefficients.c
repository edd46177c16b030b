/* Groups of coefficients of a GPU file in their JSON units: matrices, attention, communication of dense
 * models, the host. */
#include "coefficients.h"

#include "dtypes.h"

#include <math.h>
#include <string.h>

/* Datasheets round: 1,979 is twice 989, 733 twice 362. */
static const double PEAK_TOLERANCE = 0.02;

struct dtype_groups {
    const struct node *groups[DTYPE_COUNT];
};

#define FIELD(dtype) offsetof(struct dtype_groups, groups[dtype])
static const struct option gemm_group_rows[] = {
    {"bf16", OPTION_NODE, "null", 0, 0, NULL, FIELD(DTYPE_BF16), "16-bit matrices"},
    {"fp8", OPTION_NODE, "null", 0, 0, NULL, FIELD(DTYPE_FP8), "FP8 matrices"},
    {"fp8_block", OPTION_NODE, "null", 0, 0, NULL, FIELD(DTYPE_FP8_BLOCK),
     "FP8 matrices with a scale for each block; absent: those of fp8"},
    {"fp4", OPTION_NODE, "null", 0, 0, NULL, FIELD(DTYPE_FP4), "FP4 matrices (NVFP4)"},
    {"int8", OPTION_NODE, "null", 0, 0, NULL, FIELD(DTYPE_INT8),
     "INT8 matrices; absent: those of fp8 at the peak of INT8"},
};
#undef FIELD
static OPTION_TABLE(gemm_groups_table, "gemm", "matrix coefficients by data type", gemm_group_rows);

/* The rows of the groups fill the public structures; coefficients_group brings what is in us or GB/s, as the
 * suffix says, to s and bytes/s. */
#define FIELD(member) offsetof(struct gpu_gemm, member)
static const struct option gemm_rows[] = {
    {"ec", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(ec), "share of the peak reached"},
    {"em", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(em), "share of the memory bandwidth reached"},
    {"t0_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(t0), "fixed time of a kernel"},
    {"p", OPTION_NUMBER, NULL, 1, 64, NULL, FIELD(p), "exponent that joins compute and memory time"},
    {"kq", OPTION_NUMBER, "0", 0, 1000, NULL, FIELD(kq), "passes to quantize the activations"},
    {"r", OPTION_NUMBER, "1", 1e-6, 1000, NULL, FIELD(r), "bandwidth of activations relative to weights"},
    {"mul", OPTION_NUMBER, NULL, 1e-3, 64, NULL, FIELD(mul),
     "peak of the data type relative to BF16: must agree with the peaks of the file"},
    {"weight_bytes", OPTION_NUMBER, NULL, 1e-3, 8, NULL, FIELD(weight_bytes),
     "bytes of a weight, scales included"},
    {"tk_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(tk), "time of a step of the k-loop"},
    {"ko", OPTION_NUMBER, "0", 0, 1000, NULL, FIELD(ko),
     "passes of output after the k-loop; 0: they overlap with it"},
};
#undef FIELD

#define FIELD(member) offsetof(struct gpu_prefill_attention, member)
static const struct option prefill_rows[] = {
    {"t0_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(t0), "fixed time of a kernel"},
    {"ec", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(ec), "share of the peak with very wide heads"},
    {"hh", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(hh), "head width at which half of ec is reached"},
    {"em", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(em), "share of the memory bandwidth reached"},
    {"kw", OPTION_NUMBER, "0", 0, 1000, NULL, FIELD(kw), "passes to write keys and values to the cache"},
};
#undef FIELD

#define FIELD(member) offsetof(struct gpu_decode_attention, member)
static const struct option decode_rows[] = {
    {"t0_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(t0), "fixed time of a kernel"},
    {"ec", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(ec), "share of the peak reached"},
    {"em", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(em), "share of the memory bandwidth reached"},
    {"ts_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(ts), "time of a sequence and KV head"},
    {"p", OPTION_NUMBER, NULL, 1, 64, NULL, FIELD(p), "exponent that joins the terms"},
};
#undef FIELD

#define FIELD(member) offsetof(struct gpu_mixed_attention, member)
static const struct option mixed_rows[] = {
    {"t0_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(t0), "fixed time of a kernel"},
    {"ec", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(ec), "share of the peak reached"},
    {"em", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(em), "share of the memory bandwidth reached"},
    {"mt", OPTION_NUMBER, NULL, 0, 1e4, NULL, FIELD(mt), "rows of a tile that a decode token takes"},
    {"kw", OPTION_NUMBER, "0", 0, 1000, NULL, FIELD(kw), "passes to write keys and values to the cache"},
    {"lc", OPTION_NUMBER, "0", 0, 1000, NULL, FIELD(lc), "weight of the longest context, one SM's work"},
    {"ts_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(ts), "time of a decode sequence and query head"},
    {"p", OPTION_NUMBER, NULL, 1, 64, NULL, FIELD(p), "exponent that joins the terms"},
};
#undef FIELD

#define FIELD(member) offsetof(struct gpu_mla_prefill, member)
static const struct option mla_prefill_rows[] = {
    {"t0_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(t0), "fixed time of a kernel"},
    {"ec", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(ec), "share of the peak reached"},
    {"em", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(em), "share of the memory bandwidth reached"},
    {"p", OPTION_NUMBER, NULL, 1, 64, NULL, FIELD(p), "exponent that joins compute and memory time"},
};
#undef FIELD

#define FIELD(member) offsetof(struct gpu_mla_decode, member)
static const struct option mla_decode_rows[] = {
    {"t0_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(t0), "fixed time of a kernel"},
    {"ec", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(ec), "share of the peak reached"},
    {"em", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(em), "share of the memory bandwidth reached"},
    {"p", OPTION_NUMBER, NULL, 1, 64, NULL, FIELD(p), "exponent that joins the terms"},
    {"ts_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(ts), "time of a sequence"},
    {"th_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(th), "time of a sequence and query head"},
    {"tl_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(tl), "time of the root of the mean context"},
};
#undef FIELD

/* Groups by the data type of the KV cache. */
struct cache_groups {
    const struct node *groups[2];
};

#define FIELD(index) offsetof(struct cache_groups, groups[index])
static const struct option cache_group_rows[] = {
    {"bf16", OPTION_NODE, "null", 0, 0, NULL, FIELD(0), "with a cache in 16 bits"},
    {"fp8", OPTION_NODE, "null", 0, 0, NULL, FIELD(1), "with a cache in FP8"},
};
#undef FIELD
static OPTION_TABLE(cache_groups_table, "mla_attention", "latent attention by data type of the KV cache",
                    cache_group_rows);

/* measured is of struct gpu, not of the group. */
struct allreduce_group {
    struct gpu_allreduce times;
    bool measured;
};

#define FIELD(member) offsetof(struct allreduce_group, member)
static const struct option allreduce_rows[] = {
    {"a1_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(times.a1), "fixed time, one-shot"},
    {"an_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(times.an), "time of each further GPU"},
    {"b1_gb_per_s", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(times.b1), "bandwidth, one-shot"},
    {"a2_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(times.a2), "fixed time, two-shot"},
    {"b2_gb_per_s", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(times.b2), "bandwidth, two-shot"},
    {"measured", OPTION_BOOL, "true", 0, 0, NULL, FIELD(measured),
     "over this GPU's link; false: scaled from another one"},
};
#undef FIELD

#define FIELD(member) offsetof(struct gpu_send, member)
static const struct option send_rows[] = {
    {"latency_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(latency), "fixed time of a message"},
    {"bandwidth_gb_per_s", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(bandwidth), "bandwidth of a message"},
};
#undef FIELD

struct eager_group {
    struct gpu_eager times;
    const char *source;
};

#define FIELD(member) offsetof(struct eager_group, member)
static const struct option eager_rows[] = {
    {"layer_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(times.layer), "time of a layer"},
    {"prefill_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(times.prefill),
     "fixed time of an iteration with prefill tokens"},
    {"decode_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(times.decode),
     "fixed time of an iteration without prefill tokens"},
    {"sequence_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(times.sequence), "time of a decode sequence"},
    {"gemm_factor", OPTION_NUMBER, "1", 0.1, 100, NULL, FIELD(times.gemm_factor),
     "time of matrices under this host relative to `gemm`: kernels of its time"},
    {"allreduce_factor", OPTION_NUMBER, "1", 0.1, 100, NULL, FIELD(times.allreduce_factor),
     "time of the all-reduce under this host relative to `allreduce`: kernels of its time"},
    {"source", OPTION_STRING, NULL, 0, 0, NULL, FIELD(source), "engine, host and where it was measured"},
};
#undef FIELD

static OPTION_TABLE(gemm_table, "gemm.DTYPE", "coefficients of matrix multiplications", gemm_rows);
static OPTION_TABLE(prefill_table, "prefill_attention", "coefficients of prefill attention", prefill_rows);
static OPTION_TABLE(decode_table, "decode_attention", "coefficients of decode attention", decode_rows);
static OPTION_TABLE(mixed_table, "mixed_attention", "coefficients of attention of a mixed batch", mixed_rows);
static OPTION_TABLE(mla_prefill_table, "mla_prefill_attention",
                    "coefficients of latent attention, not absorbed", mla_prefill_rows);
static OPTION_TABLE(mla_decode_table, "mla_decode_attention", "coefficients of latent attention, absorbed",
                    mla_decode_rows);
static OPTION_TABLE(mla_bmm_table, "mla_bmm", "coefficients of the absorbed products of latent attention",
                    mla_prefill_rows);
static OPTION_TABLE(allreduce_table, "allreduce", "coefficients of the all-reduce", allreduce_rows);
static OPTION_TABLE(send_table, "send", "sending from one GPU to another of the node", send_rows);
static OPTION_TABLE(eager_table, "eager", "the host's time of an iteration without CUDA graphs", eager_rows);

static bool given(const struct node *node)
{
    return node && node_type(node) != NODE_NULL;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t length = strlen(name), end = strlen(suffix);
    return length >= end && strcmp(name + length - end, suffix) == 0;
}

bool coefficients_group(const struct option_table *table, const struct node *node, void *target,
                        struct error *error)
{
    if (!given(node))
        return true;
    if (!option_parse(table, node, target, error))
        return false;
    for (size_t i = 0; i < table->count; i++) {
        const struct option *option = &table->options[i];
        double *value = (void *)((char *)target + option->offset);
        if (ends_with(option->name, "_us"))
            *value *= MICROSECOND;
        else if (ends_with(option->name, "_gb_per_s"))
            *value *= GIGA;
    }
    return true;
}

bool coefficients_check_peak(const struct node *node, const struct gpu *gpu, const char *group,
                             enum dtype dtype, double mul, struct error *error)
{
    static const char *const keys[DTYPE_COUNT] = {
        [DTYPE_BF16] = "peak_bf16_tflops",     [DTYPE_FP8] = "peak_fp8_tflops",
        [DTYPE_FP8_BLOCK] = "peak_fp8_tflops", [DTYPE_FP4] = "peak_fp4_tflops",
        [DTYPE_INT8] = "peak_int8_tops",
    };
    double peak = dtypes_peak(gpu, dtype), product = mul * gpu->peak_bf16_flops;
    if (peak <= 0)
        return node_error(node, error, "%s without %s: add the datasheet's dense peak", group, keys[dtype]);
    if (fabs(peak - product) > PEAK_TOLERANCE * product)
        return node_error(node, error,
                          "%s %g is not %g x peak_bf16_tflops = %g, which the coefficients of %s "
                          "are relative to: correct the peak or give %s a fitting mul (same ec x mul)",
                          keys[dtype], peak / TERA, mul, product / TERA, group, group);
    return true;
}

/* Sets of the file, and universal ones that the GPU is to use. */
static bool check_gemm_peaks(const struct node *node, const struct gpu *gpu,
                             const struct gpu_gemm own[DTYPE_COUNT], struct error *error)
{
    static const char *const names[DTYPE_COUNT] = {
        [DTYPE_BF16] = "gemm.bf16", [DTYPE_FP8] = "gemm.fp8",   [DTYPE_FP8_BLOCK] = "gemm.fp8_block",
        [DTYPE_FP4] = "gemm.fp4",   [DTYPE_INT8] = "gemm.int8",
    };
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++) {
        const struct gpu_gemm *gemm = own[dtype].present ? &own[dtype] : &gpu->gemm[dtype];
        if (names[dtype] && gemm->present &&
            !coefficients_check_peak(node, gpu, names[dtype], (enum dtype)dtype, gemm->mul, error))
            return false;
    }
    return true;
}

static bool parse_gemms(const struct node *node, const struct coefficient_groups *groups, struct gpu *gpu,
                        struct error *error)
{
    struct dtype_groups by_dtype = {{NULL}};
    struct gpu_gemm own[DTYPE_COUNT] = {{0}};
    if (given(groups->gemm) && !option_parse(&gemm_groups_table, groups->gemm, &by_dtype, error))
        return false;
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++) {
        if (!coefficients_group(&gemm_table, by_dtype.groups[dtype], &own[dtype], error))
            return false;
        own[dtype].present = given(by_dtype.groups[dtype]);
    }
    gpu->calibrated = own[DTYPE_BF16].present;
    dtypes_fill_gemm(gpu, own);
    return check_gemm_peaks(node, gpu, own, error);
}

static bool parse_attention(const struct node *node, const struct coefficient_groups *groups, struct gpu *gpu,
                            struct error *error)
{
    if (!coefficients_group(&prefill_table, groups->prefill_attention, &gpu->prefill_attention, error) ||
        !coefficients_group(&decode_table, groups->decode_attention, &gpu->decode_attention, error) ||
        !coefficients_group(&mixed_table, groups->mixed_attention, &gpu->mixed_attention, error))
        return false;
    gpu->mixed_attention.present = given(groups->mixed_attention);
    if (gpu->mixed_attention.present && gpu->multiprocessors == 0)
        return node_error(node, error, "mixed_attention without multiprocessors: add the number of SMs");
    return true;
}

static bool parse_mla(const struct coefficient_groups *groups, struct gpu *gpu, struct error *error)
{
    struct cache_groups prefill = {{NULL}}, decode = {{NULL}};
    if (given(groups->mla_prefill_attention) &&
        !option_parse(&cache_groups_table, groups->mla_prefill_attention, &prefill, error))
        return false;
    if (given(groups->mla_decode_attention) &&
        !option_parse(&cache_groups_table, groups->mla_decode_attention, &decode, error))
        return false;
    for (int i = 0; i < 2; i++)
        if (!coefficients_group(&mla_prefill_table, prefill.groups[i], &gpu->mla_prefill[i], error) ||
            !coefficients_group(&mla_decode_table, decode.groups[i], &gpu->mla_decode[i], error))
            return false;
    return coefficients_group(&mla_bmm_table, groups->mla_bmm, &gpu->mla_bmm, error);
}

static bool parse_links(const struct coefficient_groups *groups, struct gpu *gpu, struct error *error)
{
    struct allreduce_group allreduce = {gpu->allreduce, false};
    if (!coefficients_group(&allreduce_table, groups->allreduce, &allreduce, error))
        return false;
    gpu->allreduce = allreduce.times;
    gpu->allreduce_measured = allreduce.measured;
    return coefficients_group(&send_table, groups->send, &gpu->send, error);
}

static bool parse_eager(const struct coefficient_groups *groups, struct gpu *gpu, struct error *error)
{
    struct eager_group eager = {0};
    if (!coefficients_group(&eager_table, groups->eager, &eager, error))
        return false;
    gpu->eager = eager.times;
    gpu->eager.present = given(groups->eager);
    return true;
}

bool coefficients_parse(const struct node *node, const struct coefficient_groups *groups, struct gpu *gpu,
                        struct error *error)
{
    return parse_gemms(node, groups, gpu, error) && parse_attention(node, groups, gpu, error) &&
           parse_mla(groups, gpu, error) && coefficients_parse_moe(node, groups, gpu, error) &&
           parse_links(groups, gpu, error) && coefficients_parse_all_to_all(groups, gpu, error) &&
           parse_eager(groups, gpu, error);
}

static void describe_gemm(const struct gpu *gpu, enum dtype dtype, struct text *text)
{
    const struct gpu_gemm *g = &gpu->gemm[dtype];
    if (!g->present)
        return;
    text_append(text,
                "  gemm %-9s          ec %.4g, em %.4g, t0 %.4g us, p %.4g, kq %.4g, r %.4g, mul %.4g, "
                "weight bytes %.4g",
                dtypes_names[dtype], g->ec, g->em, g->t0 / MICROSECOND, g->p, g->kq, g->r, g->mul,
                g->weight_bytes);
    if (g->tk > 0 || g->ko > 0)
        text_append(text, ", tk %.4g us, ko %.4g", g->tk / MICROSECOND, g->ko);
    text_append(text, "\n");
}

static void describe_weight_only(const struct gpu *gpu, struct text *text)
{
    const char *separator = "";
    text_append(text, "  weights only            ");
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++)
        if (!gpu->gemm[dtype].present) {
            text_append(text, "%s%s", separator, dtypes_names[dtype]);
            separator = ", ";
        }
    text_append(text, ": multiplied in 16 bits\n");
}

static void describe_attention(const struct gpu *gpu, struct text *text)
{
    const struct gpu_prefill_attention *pre = &gpu->prefill_attention;
    const struct gpu_decode_attention *dec = &gpu->decode_attention;
    const struct gpu_mixed_attention *mix = &gpu->mixed_attention;
    text_append(text, "  prefill attention       t0 %.4g us, ec %.4g, hh %.4g, em %.4g, kw %.4g\n",
                pre->t0 / MICROSECOND, pre->ec, pre->hh, pre->em, pre->kw);
    text_append(text, "  decode attention        t0 %.4g us, ec %.4g, em %.4g, ts %.4g us, p %.4g\n",
                dec->t0 / MICROSECOND, dec->ec, dec->em, dec->ts / MICROSECOND, dec->p);
    if (mix->present)
        text_append(text,
                    "  mixed attention         t0 %.4g us, ec %.4g, em %.4g, mt %.4g, kw %.4g, lc %.4g, ts "
                    "%.4g us, p %.4g\n",
                    mix->t0 / MICROSECOND, mix->ec, mix->em, mix->mt, mix->kw, mix->lc, mix->ts / MICROSECOND,
                    mix->p);
}

static void describe_mla_prefill(const char *label, const struct gpu_mla_prefill *mla, struct text *text)
{
    text_append(text, "  %-23s t0 %.4g us, ec %.4g, em %.4g, p %.4g\n", label, mla->t0 / MICROSECOND, mla->ec,
                mla->em, mla->p);
}

static void describe_mla(const struct gpu *gpu, struct text *text)
{
    static const char *const decode[] = {"MLA decode, bf16 KV", "MLA decode, fp8 KV"};
    describe_mla_prefill("MLA prefill, bf16 KV", &gpu->mla_prefill[0], text);
    describe_mla_prefill("MLA prefill, fp8 KV", &gpu->mla_prefill[1], text);
    for (int i = 0; i < 2; i++) {
        const struct gpu_mla_decode *mla = &gpu->mla_decode[i];
        text_append(text,
                    "  %-23s t0 %.4g us, ec %.4g, em %.4g, p %.4g, ts %.4g us, th %.4g us, tl %.4g us\n",
                    decode[i], mla->t0 / MICROSECOND, mla->ec, mla->em, mla->p, mla->ts / MICROSECOND,
                    mla->th / MICROSECOND, mla->tl / MICROSECOND);
    }
    describe_mla_prefill("MLA products", &gpu->mla_bmm, text);
}

static void describe_links(const struct gpu *gpu, struct text *text)
{
    const struct gpu_allreduce *all = &gpu->allreduce;
    text_append(text,
                "  all-reduce              a1 %.4g us, an %.4g us, b1 %.4g GB/s, a2 %.4g us, b2 %.4g "
                "GB/s%s\n",
                all->a1 / MICROSECOND, all->an / MICROSECOND, all->b1 / GIGA, all->a2 / MICROSECOND,
                all->b2 / GIGA, gpu->allreduce_measured ? "" : " (not measured over this link)");
    text_append(text, "  send                    %.4g us, %.4g GB/s\n", gpu->send.latency / MICROSECOND,
                gpu->send.bandwidth / GIGA);
}

void coefficients_describe(const struct gpu *gpu, struct text *text)
{
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++)
        if (dtype != DTYPE_FP16)
            describe_gemm(gpu, (enum dtype)dtype, text);
    describe_weight_only(gpu, text);
    describe_attention(gpu, text);
    describe_mla(gpu, text);
    describe_links(gpu, text);
    coefficients_describe_experts(gpu, text);
    if (gpu->eager.present)
        text_append(text,
                    "  eager host              layer %.6g us, prefill %.6g us, decode %.6g us, sequence %.6g "
                    "us, gemm x %.6g, all-reduce x %.6g\n",
                    gpu->eager.layer / MICROSECOND, gpu->eager.prefill / MICROSECOND,
                    gpu->eager.decode / MICROSECOND, gpu->eager.sequence / MICROSECOND,
                    gpu->eager.gemm_factor, gpu->eager.allreduce_factor);
}
