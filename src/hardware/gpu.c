/* Parsing of GPU files: datasheet, node, memory and price. */
#include "tandem/gpu.h"

#include "coefficients.h"
#include "dtypes.h"
#include "universal.h"

#include <inttypes.h>
#include <string.h>

static const double GIB = 1024.0 * 1024.0 * 1024.0;

static const char *const architectures[] = {"ampere",        "ada",   "hopper", "blackwell",
                                            "blackwell-rtx", "cdna3", NULL};

/* PCIe x16 of each generation, one way: 16 lanes of 16 and 32 GT/s in 128b/130b code (PCI-SIG; the rates of
 * clusters/links/pcie-*.json), of which copies reach about 0.8 (assumed, as for links). */
static const double pcie4 = 0.8 * 31.5e9, pcie5 = 0.8 * 63e9;

/* The generation of each architecture, as NVIDIA's and AMD's datasheets have it. */
double gpu_host_bandwidth(const struct gpu *gpu)
{
    bool older = gpu->architecture == ARCHITECTURE_AMPERE || gpu->architecture == ARCHITECTURE_ADA;
    return older ? pcie4 : pcie5;
}

/* A GPU as it stands in the file. */
struct gpu_file {
    const char *name, *note, *source, *link, *memory_source, *price_date, *price_source;
    const char *borrowed_from, *coefficients_source;
    double peak_bf16_tflops, peak_fp8_tflops, peak_fp4_tflops, peak_int8_tops;
    double bandwidth_gb_per_s, l2_mib, link_gb_per_s;
    int architecture;
    int64_t multiprocessors, gpus_per_node, nvlink_domain;
    double host_factor;
    int64_t memory_bytes;
    double memory_gb, memory_gib, tdp_watts, price_usd_per_hour;
    struct coefficient_groups groups;
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
     "the same of INT8, 1e12 OP/s; 0: does not multiply INT8, or not known"},
    {"bandwidth_gb_per_s", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(bandwidth_gb_per_s),
     "memory bandwidth, 1e9 bytes/s"},
    {"l2_mib", OPTION_NUMBER, "0", 0, 1e5, NULL, FIELD(l2_mib), "L2 cache, to be shown only; 0: not known"},
    {"link", OPTION_STRING, "\"\"", 0, 0, NULL, FIELD(link),
     "what link_gb_per_s is of: the name of a link, or words"},
    {"link_gb_per_s", OPTION_NUMBER, NULL, 1e-3, 1e6, NULL, FIELD(link_gb_per_s),
     "GPU to GPU inside a node, one way, 1e9 bytes/s"},
    {"architecture", OPTION_CHOICE, NULL, 0, 0, architectures, FIELD(architecture),
     "generation of the chip, which decides on kernels: ampere, ada, hopper, blackwell, blackwell-rtx, "
     "cdna3"},
    {"multiprocessors", OPTION_INTEGER, "0", 0, 1e4, NULL, FIELD(multiprocessors),
     "SMs or compute units; 0: not known, which mixed_attention has to"},
    {"gpus_per_node", OPTION_INTEGER, "8", 1, 1e4, NULL, FIELD(gpus_per_node), "GPUs of a server or tray"},
    {"nvlink_domain", OPTION_INTEGER, "0", 0, 1e4, NULL, FIELD(nvlink_domain),
     "GPUs that reach each other at link_gb_per_s, without the network; 0: gpus_per_node"},
    {"host_factor", OPTION_NUMBER, "1", 1e-3, 1e3, NULL, FIELD(host_factor),
     "time of the host for an iteration relative to that of an x86 server"},
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
    {"gemm", OPTION_NODE, "null", 0, 0, NULL, FIELD(groups.gemm),
     "matrix coefficients by data type: bf16 (fp16 too), fp8, fp8_block, fp4, int8; absent: universal set"},
    {"prefill_attention", OPTION_NODE, "null", 0, 0, NULL, FIELD(groups.prefill_attention),
     "coefficients of prefill attention; absent: universal set"},
    {"decode_attention", OPTION_NODE, "null", 0, 0, NULL, FIELD(groups.decode_attention),
     "coefficients of decode attention; absent: universal set"},
    {"mixed_attention", OPTION_NODE, "null", 0, 0, NULL, FIELD(groups.mixed_attention),
     "coefficients of attention of prefill and decode together (FlashAttention-2); absent: each on its own"},
    {"mla_prefill_attention", OPTION_NODE, "null", 0, 0, NULL, FIELD(groups.mla_prefill_attention),
     "coefficients of prefill with latent attention by KV cache: bf16, fp8; absent: universal set"},
    {"mla_decode_attention", OPTION_NODE, "null", 0, 0, NULL, FIELD(groups.mla_decode_attention),
     "coefficients of decode with latent attention by KV cache: bf16, fp8; absent: universal set"},
    {"mla_bmm", OPTION_NODE, "null", 0, 0, NULL, FIELD(groups.mla_bmm),
     "coefficients of the absorbed products of latent attention; absent: universal set"},
    {"moe", OPTION_NODE, "null", 0, 0, NULL, FIELD(groups.moe),
     "coefficients of routed experts: bf16, and fp8, fp4, mxfp4_a16, mxfp4_a8 by engine (vllm, trtllm); "
     "absent: universal set of the architecture"},
    {"allreduce", OPTION_NODE, "null", 0, 0, NULL, FIELD(groups.allreduce),
     "coefficients of the all-reduce; absent: universal set scaled by link_gb_per_s"},
    {"all_to_all", OPTION_NODE, "null", 0, 0, NULL, FIELD(groups.all_to_all),
     "coefficients of the all-to-all between experts: nccl, deepep_normal, deepep_low_latency, "
     "trtllm_one_sided, trtllm_two_sided, each with dispatch and combine; absent: universal set scaled by "
     "link_gb_per_s"},
    {"nic_gb_per_s", OPTION_NUMBER, "50", 1e-3, 1e6, NULL, FIELD(groups.nic_gb_per_s),
     "bandwidth of a GPU's NIC where all_to_all was measured over the network"},
    {"send", OPTION_NODE, "null", 0, 0, NULL, FIELD(groups.send),
     "sending to another GPU of the node; absent: universal set scaled by link_gb_per_s"},
    {"eager", OPTION_NODE, "null", 0, 0, NULL, FIELD(groups.eager),
     "the host's time of an iteration without CUDA graphs; absent: not known"},
};

OPTION_TABLE(gpu_options, "gpu", "a GPU: datasheet, memory, price and coefficients of the timer", options);

#undef FIELD

static bool check_file(const struct node *node, const struct gpu_file *file, struct error *error)
{
    if ((file->memory_bytes > 0) == (file->memory_gib > 0))
        return node_error(node, error, "give the memory once: memory_gib or memory_bytes");
    if (file->borrowed_from[0] && !file->groups.gemm)
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
                        .architecture = file->architecture,
                        .multiprocessors = file->multiprocessors,
                        .gpus_per_node = file->gpus_per_node,
                        .nvlink_domain = file->nvlink_domain > 0 ? file->nvlink_domain : file->gpus_per_node,
                        .host_factor = file->host_factor,
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
}

bool gpu_parse(const struct node *node, struct gpu *gpu, struct error *error)
{
    struct gpu_file file = {0};
    *gpu = (struct gpu){0};
    if (!option_parse(&gpu_options, node, &file, error) || !check_file(node, &file, error))
        return false;
    take_file(&file, gpu);
    gpu_use_universal(gpu);
    return coefficients_parse(node, &file.groups, gpu, error);
}

void gpu_use_universal(struct gpu *gpu)
{
    static const struct gpu_gemm no_gemm[DTYPE_COUNT];
    static const struct gpu_moe no_moe[MOE_KIND_COUNT][GPU_KERNELS_COUNT];
    gpu->calibrated = gpu->allreduce_measured = false;
    dtypes_fill_gemm(gpu, no_gemm);
    dtypes_fill_moe(gpu, no_moe);
    gpu->prefill_attention = universal_prefill_attention;
    gpu->decode_attention = universal_decode_attention;
    gpu->mixed_attention = (struct gpu_mixed_attention){0};
    for (int i = 0; i < 2; i++) {
        gpu->mla_prefill[i] = universal_mla_prefill[i];
        gpu->mla_decode[i] = universal_mla_decode[i];
    }
    gpu->mla_bmm = universal_mla_bmm;
    gpu->allreduce = universal_allreduce(gpu->link_bandwidth);
    universal_all_to_all(gpu);
    gpu->send = universal_send(gpu->link_bandwidth);
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
    describe_number("peak, dense int8", gpu->peak_int8_ops / TERA, "TOP/s", text);
    describe_number("memory bandwidth", gpu->bandwidth / GIGA, "GB/s", text);
    describe_number("L2 cache", gpu->l2_mib, "MiB", text);
    text_append(text, "  GPU to GPU              %.6g GB/s one way%s%s\n", gpu->link_bandwidth / GIGA,
                gpu->link[0] ? ": " : "", gpu->link);
    text_append(text, "  architecture            %s", architectures[gpu->architecture]);
    if (gpu->multiprocessors > 0)
        text_append(text, ", %" PRId64 " multiprocessors", gpu->multiprocessors);
    text_append(text, "\n  node                    %" PRId64 " GPUs, %" PRId64 " without the network",
                gpu->gpus_per_node, gpu->nvlink_domain);
    text_append(text, ", host time x %.6g\n", gpu->host_factor);
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
    describe_sheet(gpu, text);
    coefficients_describe(gpu, text);
}
