/* Parsing of GPU files: datasheet, memory, price, and the coefficients of the timer in their JSON units. */
#include "tandem/gpu.h"

#include "universal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const double MICROSECOND = 1e-6;
static const double GIGA = 1e9;
static const double TERA = 1e12;
static const double GIB = 1024.0 * 1024.0 * 1024.0;

/* Datasheets round: 1,979 is twice 989, 733 twice 362. */
static const double PEAK_TOLERANCE = 0.02;

static const char *const gemm_names[DTYPE_COUNT] = {"bf16", "fp16", "fp8",   "fp8-block", "fp4",
                                                    "int8", "int4", "mxfp4", "mxfp4-a8"};

/* A GPU as it stands in the file. */
struct gpu_file {
    const char *name, *note, *source, *link, *memory_source, *price_date, *price_source;
    const char *borrowed_from, *coefficients_source;
    double peak_bf16_tflops, peak_fp8_tflops, peak_fp4_tflops, peak_int8_tops;
    double bandwidth_gb_per_s, l2_mib, link_gb_per_s;
    int64_t memory_bytes;
    double memory_gb, memory_gib, tdp_watts, price_usd_per_hour;
    const struct node *gemm, *prefill_attention, *decode_attention, *allreduce;
};

#define FIELD(member) offsetof(struct gpu_file, member)

static const struct option options[] = {
    {"name", OPTION_STRING, NULL, 0, 0, NULL, FIELD(name), "name of the GPU"},
    {"note", OPTION_STRING, "\"\"", 0, 0, NULL, FIELD(note),
     "what it is, how it differs from its siblings, what to mind"},
    {"source", OPTION_STRING, NULL, 0, 0, NULL, FIELD(source),
     "where peaks, bandwidth, L2, link and TDP are from, with dates; which are assumed, and why"},
    {"peak_bf16_tflops", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(peak_bf16_tflops),
     "peak of dense BF16 and FP16 matrices, 1e12 FLOP/s (half of what is given with sparsity)"},
    {"peak_fp8_tflops", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(peak_fp8_tflops),
     "the same of FP8 with FP32 accumulation; 0: does not multiply FP8"},
    {"peak_fp4_tflops", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(peak_fp4_tflops),
     "the same of FP4; 0: does not multiply FP4"},
    {"peak_int8_tops", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(peak_int8_tops),
     "the same of INT8, 1e12 OP/s, to be shown only; 0: none or not known"},
    {"bandwidth_gb_per_s", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(bandwidth_gb_per_s),
     "memory bandwidth, 1e9 bytes/s"},
    {"l2_mib", OPTION_NUMBER, "0", 0, 1e5, NULL, FIELD(l2_mib), "L2 cache, to be shown only; 0: not known"},
    {"link", OPTION_STRING, "\"\"", 0, 0, NULL, FIELD(link),
     "what link_gb_per_s is of: the name of a link, or words"},
    {"link_gb_per_s", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(link_gb_per_s),
     "GPU to GPU inside a node, one way, 1e9 bytes/s"},
    {"memory_gb", OPTION_NUMBER, "0", 0, 1e5, NULL, FIELD(memory_gb),
     "memory as it is sold, to be shown only; 0: not known"},
    {"memory_gib", OPTION_NUMBER, "0", 0, 1e5, NULL, FIELD(memory_gib),
     "memory as CUDA reports it, GiB; 0: memory_bytes is given"},
    {"memory_bytes", OPTION_INTEGER, "0", 0, 1e14, NULL, FIELD(memory_bytes),
     "memory as CUDA reports it, bytes; 0: memory_gib is given"},
    {"memory_source", OPTION_STRING, "\"\"", 0, 0, NULL, FIELD(memory_source),
     "who measured memory_gib, or why it is assumed"},
    {"tdp_watts", OPTION_NUMBER, NULL, 1, 1e5, NULL, FIELD(tdp_watts), "thermal design power"},
    {"price_usd_per_hour", OPTION_NUMBER, "0", 0, 1e5, NULL, FIELD(price_usd_per_hour), "price of one GPU"},
    {"price_date", OPTION_STRING, "\"\"", 0, 0, NULL, FIELD(price_date), "of the price: 2026-05"},
    {"price_source", OPTION_STRING, "\"\"", 0, 0, NULL, FIELD(price_source),
     "where the price is from; \"assumed: \" and why, where it is"},
    {"borrowed_from", OPTION_STRING, "\"\"", 0, 0, NULL, FIELD(borrowed_from),
     "the GPU that the coefficients were measured on, where it is another one"},
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
    {"mul", OPTION_NUMBER, NULL, 1e-3, 64, NULL, FIELD(mul),
     "peak of the data type relative to BF16: must agree with the peaks of the file"},
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

/* One truth: what the timer takes as the peak of a data type is what the datasheet says. */
static bool check_peak(const struct node *node, const struct gpu *gpu, enum dtype dtype, struct error *error)
{
    const char *name = gemm_names[dtype];
    const struct gpu_gemm *gemm = &gpu->gemm[dtype];
    double peak = gpu_peak_flops(gpu, dtype), product = gemm->mul * gpu->peak_bf16_flops;
    if (!gemm->present)
        return true;
    if (peak <= 0)
        return node_error(node, error, "gemm.%s without peak_%s_tflops: add the datasheet's dense peak", name,
                          name);
    if (fabs(peak - product) > PEAK_TOLERANCE * product)
        return node_error(node, error,
                          "peak_%s_tflops %g is not %g x peak_bf16_tflops = %g, which the coefficients of %s "
                          "are relative to: correct the peak or give gemm.%s a fitting mul (same ec x mul)",
                          name, peak / TERA, gemm->mul, product / TERA, name, name);
    return true;
}

static bool check_file(const struct node *node, const struct gpu_file *file, struct error *error)
{
    if ((file->memory_bytes > 0) == (file->memory_gib > 0))
        return node_error(node, error, "give the memory once: memory_gib or memory_bytes");
    if (file->borrowed_from[0] && !given(file->gemm))
        return node_error(node, error, "borrowed_from '%s' without gemm: copy its coefficients or remove it",
                          file->borrowed_from);
    return true;
}

static void take_file(const struct gpu_file *file, struct gpu *gpu)
{
    *gpu = (struct gpu){.name = file->name,
                        .note = file->note,
                        .source = file->source,
                        .peak_bf16_flops = file->peak_bf16_tflops * TERA,
                        .peak_fp8_flops = file->peak_fp8_tflops * TERA,
                        .peak_fp4_flops = file->peak_fp4_tflops * TERA,
                        .peak_int8_ops = file->peak_int8_tops * TERA,
                        .bandwidth = file->bandwidth_gb_per_s * GIGA,
                        .l2_mib = file->l2_mib,
                        .link = file->link,
                        .link_bandwidth = file->link_gb_per_s * GIGA,
                        .memory_gb = file->memory_gb,
                        .memory_bytes = file->memory_bytes,
                        .memory_source = file->memory_source,
                        .tdp_watts = file->tdp_watts,
                        .price_usd_per_hour = file->price_usd_per_hour,
                        .price_date = file->price_date,
                        .price_source = file->price_source,
                        .borrowed_from = file->borrowed_from,
                        .coefficients_source = file->coefficients_source};
    if (file->memory_gib > 0)
        gpu->memory_bytes = (int64_t)(file->memory_gib * GIB);
    gpu->gemm[DTYPE_BF16].present = true;
    gpu->gemm[DTYPE_FP8].present = file->peak_fp8_tflops > 0;
    gpu->gemm[DTYPE_FP4].present = file->peak_fp4_tflops > 0;
}

bool gpu_parse(const struct node *node, struct gpu *gpu, struct error *error)
{
    struct gpu_file file = {0};
    *gpu = (struct gpu){0};
    if (!option_parse(&gpu_options, node, &file, error) || !check_file(node, &file, error))
        return false;
    take_file(&file, gpu);
    gpu_use_universal(gpu);
    return parse_gemms(&file, gpu, error) && check_peak(node, gpu, DTYPE_BF16, error) &&
           check_peak(node, gpu, DTYPE_FP8, error) && check_peak(node, gpu, DTYPE_FP4, error) &&
           parse_attention(&file, gpu, error) && parse_allreduce(&file, gpu, error);
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
    if (dtype == DTYPE_FP8)
        return gpu->peak_fp8_flops;
    return dtype == DTYPE_FP4 ? gpu->peak_fp4_flops : gpu->peak_bf16_flops;
}

const char *gpu_basis(const struct gpu *gpu)
{
    if (!gpu->calibrated)
        return "universal";
    return gpu->borrowed_from[0] ? "borrowed" : "calibrated";
}

void gpu_list(const struct gpu *gpu, struct text *text)
{
    if (!gpu)
        text_append(text, "%10s %7s %13s  %-12s %6s  %s\n", "memory GiB", "GB/s", "bf16 TFLOP/s",
                    "coefficients", "USD/h", "as of");
    else
        text_append(text, "%10.2f %7.6g %13.6g  %-12s %6.2f  %s%s\n", (double)gpu->memory_bytes / GIB,
                    gpu->bandwidth / GIGA, gpu->peak_bf16_flops / TERA, gpu_basis(gpu),
                    gpu->price_usd_per_hour, gpu->price_date,
                    strncmp(gpu->price_source, "assumed", 7) == 0 ? ", assumed" : "");
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

static void describe_number(const char *label, double value, const char *unit, struct text *text)
{
    text_append(text, "  %-23s ", label);
    if (value > 0)
        text_append(text, "%.6g %s\n", value, unit);
    else
        text_append(text, "none\n");
}

static void describe_sheet(const struct gpu *gpu, struct text *text)
{
    text_append(text, "%s\n", gpu->name);
    if (gpu->note[0])
        text_append(text, "  note: %s\n", gpu->note);
    text_append(text, "  source: %s\n", gpu->source);
    describe_number("peak, dense bf16, fp16", gpu->peak_bf16_flops / TERA, "TFLOP/s", text);
    describe_number("peak, dense fp8", gpu->peak_fp8_flops / TERA, "TFLOP/s", text);
    describe_number("peak, dense fp4", gpu->peak_fp4_flops / TERA, "TFLOP/s", text);
    describe_number("peak, dense int8", gpu->peak_int8_ops / TERA, "TOP/s (not timed)", text);
    describe_number("memory bandwidth", gpu->bandwidth / GIGA, "GB/s", text);
    describe_number("L2 cache", gpu->l2_mib, "MiB", text);
    text_append(text, "  GPU to GPU              %.6g GB/s one way%s%s\n", gpu->link_bandwidth / GIGA,
                gpu->link[0] ? ": " : "", gpu->link);
    text_append(text, "  memory                  %.2f GiB (%" PRId64 " bytes)",
                (double)gpu->memory_bytes / GIB, gpu->memory_bytes);
    if (gpu->memory_gb > 0)
        text_append(text, ", sold as %.6g GB", gpu->memory_gb);
    text_append(text, "%s%s\n", gpu->memory_source[0] ? ": " : "", gpu->memory_source);
    text_append(text, "  TDP                     %.6g W\n", gpu->tdp_watts);
    text_append(text, "  price                   %.2f USD per hour%s%s: %s\n", gpu->price_usd_per_hour,
                gpu->price_date[0] ? " as of " : "", gpu->price_date,
                gpu->price_source[0] ? gpu->price_source : "no source");
    text_append(text, "  coefficients            %s%s%s: %s\n", gpu_basis(gpu),
                gpu->borrowed_from[0] ? " from " : "", gpu->borrowed_from, gpu->coefficients_source);
}

void gpu_describe(const struct gpu *gpu, struct text *text)
{
    const struct gpu_prefill_attention *pre = &gpu->prefill_attention;
    const struct gpu_decode_attention *dec = &gpu->decode_attention;
    const struct gpu_allreduce *all = &gpu->allreduce;
    describe_sheet(gpu, text);
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
