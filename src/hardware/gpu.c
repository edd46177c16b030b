/* Parsing of GPU files: datasheet, memory, price, and the coefficients of the timer in their JSON units. */
#include "tandem/gpu.h"

#include "universal.h"

#include <inttypes.h>

static const double MICROSECOND = 1e-6;
static const double GIGA = 1e9;
static const double TERA = 1e12;
static const double GIB = 1024.0 * 1024.0 * 1024.0;

static const char *const gemm_names[DTYPE_COUNT] = {"bf16", "fp16", "fp8", "fp4"};

/* A GPU as it stands in the file. */
struct gpu_file {
    const char *name, *source, *price_source, *coefficients_source;
    double peak_bf16_tflops, bandwidth_gb_per_s, link_gb_per_s;
    int64_t memory_bytes;
    double memory_gib, tdp_watts, price_usd_per_hour;
    bool fp8, fp4;
    const struct node *gemm, *prefill_attention, *decode_attention, *allreduce;
};

#define FIELD(member) offsetof(struct gpu_file, member)

static const struct option options[] = {
    {"name", OPTION_STRING, NULL, 0, 0, NULL, FIELD(name), "name of the GPU"},
    {"source", OPTION_STRING, NULL, 0, 0, NULL, FIELD(source), "where datasheet and memory figures are from"},
    {"peak_bf16_tflops", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(peak_bf16_tflops),
     "peak of dense BF16 matrices, 1e12 FLOP/s"},
    {"bandwidth_gb_per_s", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(bandwidth_gb_per_s),
     "memory bandwidth, 1e9 bytes/s"},
    {"link_gb_per_s", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(link_gb_per_s),
     "GPU to GPU inside a node, one way, 1e9 bytes/s"},
    {"memory_gib", OPTION_NUMBER, "0", 0, 1e5, NULL, FIELD(memory_gib),
     "memory as CUDA reports it, GiB; 0: memory_bytes is given"},
    {"memory_bytes", OPTION_INTEGER, "0", 0, 1e14, NULL, FIELD(memory_bytes),
     "memory as CUDA reports it, bytes; 0: memory_gib is given"},
    {"tdp_watts", OPTION_NUMBER, NULL, 1, 1e5, NULL, FIELD(tdp_watts), "thermal design power"},
    {"price_usd_per_hour", OPTION_NUMBER, "0", 0, 1e5, NULL, FIELD(price_usd_per_hour), "price of one GPU"},
    {"price_source", OPTION_STRING, "\"\"", 0, 0, NULL, FIELD(price_source),
     "where the price is from, with its date"},
    {"fp8", OPTION_BOOL, "false", 0, 0, NULL, FIELD(fp8), "multiplies FP8 matrices in hardware"},
    {"fp4", OPTION_BOOL, "false", 0, 0, NULL, FIELD(fp4), "multiplies FP4 matrices in hardware"},
    {"coefficients_source", OPTION_STRING, "\"universal set\"", 0, 0, NULL, FIELD(coefficients_source),
     "what the coefficients were fitted to"},
    {"gemm", OPTION_NODE, "null", 0, 0, NULL, FIELD(gemm),
     "matrix coefficients by data type: bf16 (fp16 too), fp8, fp4; absent: universal set"},
    {"prefill_attention", OPTION_NODE, "null", 0, 0, NULL, FIELD(prefill_attention),
     "coefficients of prefill attention; absent: universal set"},
    {"decode_attention", OPTION_NODE, "null", 0, 0, NULL, FIELD(decode_attention),
     "coefficients of decode attention; absent: universal set"},
    {"allreduce", OPTION_NODE, "null", 0, 0, NULL, FIELD(allreduce),
     "coefficients of the all-reduce; absent: universal set scaled by link_gb_per_s"},
};

OPTION_TABLE(gpu_options, "gpu", "a GPU: datasheet, memory, price and coefficients of the timer", options);

#undef FIELD

struct gemm_groups {
    const struct node *bf16, *fp8, *fp4;
};

static const struct option gemm_group_rows[] = {
    {"bf16", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct gemm_groups, bf16), "16-bit matrices"},
    {"fp8", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct gemm_groups, fp8), "FP8 matrices"},
    {"fp4", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct gemm_groups, fp4), "FP4 matrices"},
};
static OPTION_TABLE(gemm_groups_options, "gemm", "matrix coefficients by data type", gemm_group_rows);

/* The rows of the coefficient groups fill the public structures with the numbers as written; the times and
 * bandwidths among them are brought to s and bytes/s afterwards. */
#define FIELD(member) offsetof(struct gpu_gemm, member)
static const struct option gemm_rows[] = {
    {"ec", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(ec), "share of the peak reached"},
    {"em", OPTION_NUMBER, NULL, 1e-6, 100, NULL, FIELD(em), "share of the memory bandwidth reached"},
    {"t0_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(t0), "fixed time of a kernel"},
    {"p", OPTION_NUMBER, NULL, 1, 64, NULL, FIELD(p), "exponent that joins compute and memory time"},
    {"kq", OPTION_NUMBER, "0", 0, 1000, NULL, FIELD(kq), "passes to quantize the activations"},
    {"r", OPTION_NUMBER, "1", 1e-6, 1000, NULL, FIELD(r), "bandwidth of activations relative to weights"},
    {"mul", OPTION_NUMBER, NULL, 1e-3, 64, NULL, FIELD(mul), "peak of the data type relative to BF16"},
    {"weight_bytes", OPTION_NUMBER, NULL, 1e-3, 8, NULL, FIELD(weight_bytes),
     "bytes of a weight, scales included"},
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

#define FIELD(member) offsetof(struct gpu_allreduce, member)
static const struct option allreduce_rows[] = {
    {"a1_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(a1), "fixed time, one-shot"},
    {"an_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(an), "time of each further GPU"},
    {"b1_gb_per_s", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(b1), "bandwidth, one-shot"},
    {"a2_us", OPTION_NUMBER, NULL, 0, 1e6, NULL, FIELD(a2), "fixed time, two-shot"},
    {"b2_gb_per_s", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(b2), "bandwidth, two-shot"},
};
#undef FIELD

OPTION_TABLE(gpu_gemm_options, "gemm.DTYPE", "coefficients of matrix multiplications", gemm_rows);
OPTION_TABLE(gpu_prefill_attention_options, "prefill_attention", "coefficients of prefill attention",
             prefill_rows);
OPTION_TABLE(gpu_decode_attention_options, "decode_attention", "coefficients of decode attention",
             decode_rows);
OPTION_TABLE(gpu_allreduce_options, "allreduce", "coefficients of the all-reduce", allreduce_rows);

static bool given(const struct node *node)
{
    return node && node_type(node) != NODE_NULL;
}

static bool parse_gemm(const struct node *node, struct gpu_gemm *gemm, struct error *error)
{
    if (!given(node))
        return true;
    if (!option_parse(&gpu_gemm_options, node, gemm, error))
        return false;
    gemm->present = true;
    gemm->t0 *= MICROSECOND;
    return true;
}

static bool parse_gemms(const struct gpu_file *file, struct gpu *gpu, struct error *error)
{
    if (!given(file->gemm))
        return true;
    struct gemm_groups groups = {0};
    if (!option_parse(&gemm_groups_options, file->gemm, &groups, error))
        return false;
    gpu->calibrated = given(groups.bf16);
    if (!parse_gemm(groups.bf16, &gpu->gemm[DTYPE_BF16], error) ||
        !parse_gemm(groups.fp8, &gpu->gemm[DTYPE_FP8], error) ||
        !parse_gemm(groups.fp4, &gpu->gemm[DTYPE_FP4], error))
        return false;
    gpu->gemm[DTYPE_FP16] = gpu->gemm[DTYPE_BF16];
    return true;
}

static bool parse_attention(const struct gpu_file *file, struct gpu *gpu, struct error *error)
{
    if (given(file->prefill_attention)) {
        struct gpu_prefill_attention *group = &gpu->prefill_attention;
        if (!option_parse(&gpu_prefill_attention_options, file->prefill_attention, group, error))
            return false;
        group->t0 *= MICROSECOND;
    }
    if (given(file->decode_attention)) {
        struct gpu_decode_attention *group = &gpu->decode_attention;
        if (!option_parse(&gpu_decode_attention_options, file->decode_attention, group, error))
            return false;
        group->t0 *= MICROSECOND;
        group->ts *= MICROSECOND;
    }
    return true;
}

static bool parse_allreduce(const struct gpu_file *file, struct gpu *gpu, struct error *error)
{
    if (!given(file->allreduce))
        return true;
    struct gpu_allreduce *group = &gpu->allreduce;
    if (!option_parse(&gpu_allreduce_options, file->allreduce, group, error))
        return false;
    group->a1 *= MICROSECOND;
    group->an *= MICROSECOND;
    group->a2 *= MICROSECOND;
    group->b1 *= GIGA;
    group->b2 *= GIGA;
    return true;
}

bool gpu_parse(const struct node *node, struct gpu *gpu, struct error *error)
{
    struct gpu_file file = {0};
    *gpu = (struct gpu){0};
    if (!option_parse(&gpu_options, node, &file, error))
        return false;
    if ((file.memory_bytes > 0) == (file.memory_gib > 0))
        return node_error(node, error, "give the memory once: memory_gib or memory_bytes");
    gpu->name = file.name;
    gpu->source = file.source;
    gpu->coefficients_source = file.coefficients_source;
    gpu->peak_bf16_flops = file.peak_bf16_tflops * TERA;
    gpu->bandwidth = file.bandwidth_gb_per_s * GIGA;
    gpu->link_bandwidth = file.link_gb_per_s * GIGA;
    gpu->memory_bytes = file.memory_bytes > 0 ? file.memory_bytes : (int64_t)(file.memory_gib * GIB);
    gpu->tdp_watts = file.tdp_watts;
    gpu->price_usd_per_hour = file.price_usd_per_hour;
    gpu->price_source = file.price_source;
    gpu->gemm[DTYPE_BF16].present = true;
    gpu->gemm[DTYPE_FP8].present = file.fp8;
    gpu->gemm[DTYPE_FP4].present = file.fp4;
    gpu_use_universal(gpu);
    return parse_gemms(&file, gpu, error) && parse_attention(&file, gpu, error) &&
           parse_allreduce(&file, gpu, error);
}

void gpu_use_universal(struct gpu *gpu)
{
    gpu->calibrated = false;
    gpu->gemm[DTYPE_FP16].present = gpu->gemm[DTYPE_BF16].present;
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++)
        if (gpu->gemm[dtype].present)
            gpu->gemm[dtype] = universal_gemm[dtype];
    gpu->prefill_attention = universal_prefill_attention;
    gpu->decode_attention = universal_decode_attention;
    gpu->allreduce = universal_allreduce(gpu->link_bandwidth);
}

bool gpu_check_dtype(const struct gpu *gpu, enum dtype dtype, const struct node *node, struct error *error)
{
    if (gpu->gemm[dtype].present)
        return true;
    return node_error(node, error, "%s does not multiply %s matrices: it has bf16, fp16%s%s", gpu->name,
                      gemm_names[dtype], gpu->gemm[DTYPE_FP8].present ? ", fp8" : "",
                      gpu->gemm[DTYPE_FP4].present ? ", fp4" : "");
}

double gpu_peak_flops(const struct gpu *gpu, enum dtype dtype)
{
    return gpu->peak_bf16_flops * gpu->gemm[dtype].mul;
}

static void describe_gemm(const struct gpu *gpu, enum dtype dtype, struct text *text)
{
    const struct gpu_gemm *g = &gpu->gemm[dtype];
    if (!g->present)
        return;
    text_append(text,
                "  gemm %-5s              ec %.4g, em %.4g, t0 %.4g us, p %.4g, kq %.4g, r %.4g, mul %.4g, "
                "weight bytes %.4g\n",
                gemm_names[dtype], g->ec, g->em, g->t0 / MICROSECOND, g->p, g->kq, g->r, g->mul,
                g->weight_bytes);
}

void gpu_describe(const struct gpu *gpu, struct text *text)
{
    const struct gpu_prefill_attention *pre = &gpu->prefill_attention;
    const struct gpu_decode_attention *dec = &gpu->decode_attention;
    const struct gpu_allreduce *all = &gpu->allreduce;
    text_append(text, "%s\n  source: %s\n", gpu->name, gpu->source);
    text_append(text, "  peak, dense bf16        %.6g TFLOP/s\n", gpu->peak_bf16_flops / TERA);
    text_append(text, "  memory bandwidth        %.6g GB/s\n", gpu->bandwidth / GIGA);
    text_append(text, "  GPU to GPU              %.6g GB/s one way\n", gpu->link_bandwidth / GIGA);
    text_append(text, "  memory                  %.2f GiB (%" PRId64 " bytes)\n",
                (double)gpu->memory_bytes / GIB, gpu->memory_bytes);
    text_append(text, "  TDP                     %.6g W\n", gpu->tdp_watts);
    text_append(text, "  price                   %.2f USD per hour (%s)\n", gpu->price_usd_per_hour,
                gpu->price_source[0] ? gpu->price_source : "no source");
    text_append(text, "  coefficients            %s: %s\n", gpu->calibrated ? "calibrated" : "universal",
                gpu->coefficients_source);
    describe_gemm(gpu, DTYPE_BF16, text);
    describe_gemm(gpu, DTYPE_FP8, text);
    describe_gemm(gpu, DTYPE_FP4, text);
    text_append(text, "  prefill attention       t0 %.4g us, ec %.4g, hh %.4g, em %.4g, kw %.4g\n",
                pre->t0 / MICROSECOND, pre->ec, pre->hh, pre->em, pre->kw);
    text_append(text, "  decode attention        t0 %.4g us, ec %.4g, em %.4g, ts %.4g us, p %.4g\n",
                dec->t0 / MICROSECOND, dec->ec, dec->em, dec->ts / MICROSECOND, dec->p);
    text_append(
        text, "  all-reduce              a1 %.4g us, an %.4g us, b1 %.4g GB/s, a2 %.4g us, b2 %.4g GB/s\n",
        all->a1 / MICROSECOND, all->an / MICROSECOND, all->b1 / GIGA, all->a2 / MICROSECOND, all->b2 / GIGA);
}
