/* GPUs: datasheet, measured coefficients, memory and price. All local. */
#ifndef TANDEM_GPU_H
#define TANDEM_GPU_H

#include "tandem/error.h"
#include "tandem/node.h"
#include "tandem/option.h"
#include "tandem/work.h"

/* Coefficients of the roofline timer; the README of src/hardware has the formulas. Times in s, bandwidths in
 * bytes/s, efficiencies as fractions of the datasheet. In JSON times are in us (t0_us) and bandwidths in GB/s
 * (b1_gb_per_s). */
struct gpu_gemm {
    bool present; /* false: the GPU does not multiply this data type */
    double ec, em, t0, p, kq, r, mul, weight_bytes;
    double tk, ko;    /* time of a step of the k-loop; passes of output that do not overlap: 0: they do */
    double act_bytes; /* of an activation; weight_bytes where the file has none */
};
struct gpu_prefill_attention {
    double t0, ec, hh, em, kw;
};
struct gpu_decode_attention {
    double t0, ec, em, ts, p;
};
struct gpu_mixed_attention { /* FlashAttention-2: decodes of a mixed batch run in the prefill kernel */
    bool present;
    double t0, ec, em, mt, kw, lc, ts, p;
};
struct gpu_mla_prefill {
    double t0, ec, em, p;
};
struct gpu_mla_decode {
    double t0, ec, em, ts, th, tl, p;
};
struct gpu_moe { /* kt 0: the form of 16 bits, whose activations overlap */
    double t0, tk, ec, em, p, pad, act, kt, mul, weight_bytes, act_bytes;
};
struct gpu_allreduce {
    double a1, an, b1, a2, b2; /* s, s, bytes/s, s, bytes/s */
};
struct gpu_all_to_all { /* one phase of one mode; b 0: the mode does not exist on this GPU */
    double a, an, b, sq, tt;
    double a_net, an_net, b_net_share; /* over the network; the share is of the NIC; 0: not over it */
};
struct gpu_send { /* to another GPU of the node */
    double latency, bandwidth;
};
struct gpu_eager { /* the host's time of an iteration without CUDA graphs */
    bool present;
    double layer, prefill, decode, sequence;
    double gemm_factor, allreduce_factor; /* of the time of matrices and of the all-reduce under this host */
};

/* Kernels of the engine, where sets differ. */
enum gpu_kernels { GPU_KERNELS_VLLM, GPU_KERNELS_TRTLLM, GPU_KERNELS_COUNT };

/* Data types of routed experts that were measured apart. */
enum gpu_moe_kind { MOE_BF16, MOE_FP8, MOE_FP4, MOE_MXFP4_A16, MOE_MXFP4_A8, MOE_KIND_COUNT };

enum gpu_all_to_all_mode {
    ALL_TO_ALL_NCCL, /* dispatch: all-gather, combine: reduce-scatter */
    ALL_TO_ALL_DEEPEP_NORMAL,
    ALL_TO_ALL_DEEPEP_LOW_LATENCY,
    ALL_TO_ALL_TRTLLM_ONE_SIDED,
    ALL_TO_ALL_TRTLLM_TWO_SIDED,
    ALL_TO_ALL_MODE_COUNT
};
enum gpu_all_to_all_phase {
    ALL_TO_ALL_PREPARE,
    ALL_TO_ALL_DISPATCH,
    ALL_TO_ALL_COMBINE,
    ALL_TO_ALL_PHASE_COUNT
};

/* Generations whose kernels differ. */
enum gpu_architecture {
    ARCHITECTURE_AMPERE,
    ARCHITECTURE_ADA,
    ARCHITECTURE_HOPPER,
    ARCHITECTURE_BLACKWELL,
    ARCHITECTURE_BLACKWELL_RTX,
    ARCHITECTURE_CDNA3
};

struct gpu {
    const char *name;
    const char *note; /* what it is, how it differs from its siblings; "" where the name says it all */
    const char *source;
    double peak_bf16_flops;                /* dense, FLOP/s; of FP16 too */
    double peak_fp8_flops, peak_fp4_flops; /* dense, FLOP/s; 0: does not multiply them */
    double peak_int8_ops;                  /* dense, OP/s; 0: does not multiply it, or not known */
    double bandwidth;                      /* HBM, bytes/s */
    double l2_mib;                         /* 0: not known; the timer does without */
    const char *link;                      /* what link_bandwidth is of: a link's name, or words */
    double link_bandwidth;                 /* GPU to GPU inside a node, one way, bytes/s */
    double memory_gb;                      /* as it is sold; 0: not known */
    int64_t memory_bytes;                  /* as CUDA reports it */
    const char *memory_source;
    double tdp_watts;
    double price_usd_per_hour;             /* of one GPU */
    const char *price_date, *price_source; /* "2026-05" */
    const char *borrowed_from;             /* GPU whose coefficients these are; "": its own */
    const char *coefficients_source;
    bool calibrated;                   /* false: no coefficients of matrices, the universal set stands in */
    struct gpu_gemm gemm[DTYPE_COUNT]; /* fp16 is a copy of bf16; int4, mxfp4 and types that the GPU does not
                                        * multiply run as weights only: 16-bit peak, fewer bytes */
    struct gpu_prefill_attention prefill_attention;
    struct gpu_decode_attention decode_attention;
    struct gpu_mixed_attention mixed_attention;
    struct gpu_mla_prefill mla_prefill[2]; /* cache in 16 bits, in FP8 */
    struct gpu_mla_decode mla_decode[2];
    struct gpu_mla_prefill mla_bmm;
    struct gpu_moe moe[MOE_KIND_COUNT][GPU_KERNELS_COUNT];
    struct gpu_allreduce allreduce;
    bool allreduce_measured; /* of this GPU's link; else scaled with its bandwidth */
    struct gpu_all_to_all all_to_all[ALL_TO_ALL_MODE_COUNT][ALL_TO_ALL_PHASE_COUNT];
    struct gpu_send send;
    struct gpu_eager eager;
    double host_factor;   /* of the host's time of an iteration: 1.8 where Grace CPUs launch the kernels */
    int64_t architecture; /* enum gpu_architecture */
    int64_t multiprocessors;
    int64_t gpus_per_node; /* as these GPUs are sold */
    int64_t nvlink_domain; /* GPUs that reach each other without the network */
};

/* Keys of a GPU file. */
extern const struct option_table gpu_options;

/* Fills a GPU from its JSON object. Groups of coefficients that are absent come from the universal set,
 * scaled by the datasheet and chosen by architecture; data types without a peak run as weights only. Strings
 * in *gpu live as long as the tree. Errors name the key: unknown, missing, out of bounds, memory given twice
 * or never, coefficients of a type without a peak, a peak that is not `mul` times that of BF16 (within 2 %),
 * borrowed coefficients that are not there, mixed attention without the number of SMs. */
bool gpu_parse(const struct node *node, struct gpu *gpu, struct error *error);

/* Replaces all coefficients by the universal set (timer level `universal`); what has none (mixed attention,
 * the eager host) is absent then. */
void gpu_use_universal(struct gpu *gpu);

/* Whether weights of a data type are unpacked to 16 bits before they are multiplied: the GPU does not
 * multiply the type, or nobody does (int4, mxfp4). */
bool gpu_weight_only(const struct gpu *gpu, enum dtype dtype);

/* The datasheet's peak of dense matrices with weights of a data type, FLOP/s: that of 16 bits where they are
 * weights only. For MFU. */
double gpu_peak_flops(const struct gpu *gpu, enum dtype dtype);

/* Bytes/s between the GPU and its host, one way, as they are reached: PCIe of the generation that its
 * architecture has. */
double gpu_host_bandwidth(const struct gpu *gpu);

/* What is behind the coefficients: "calibrated" (measured on this GPU), "borrowed" (a sibling's, untested
 * here), "universal" (no measurement). */
const char *gpu_basis(const struct gpu *gpu);

/* Appends what a row of `tandem list gpus` has after the name; gpu NULL: the heading. */
void gpu_list(const struct gpu *gpu, struct text *text);

/* Appends the text of `tandem describe gpu NAME`. */
void gpu_describe(const struct gpu *gpu, struct text *text);

#endif
