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
    bool present; /* false: the GPU does not multiply this data type, or the file says nothing of it */
    double ec, em, t0, p, kq, r, mul, weight_bytes;
};
struct gpu_prefill_attention {
    double t0, ec, hh, em, kw;
};
struct gpu_decode_attention {
    double t0, ec, em, ts, p;
};
struct gpu_allreduce {
    double a1, an, b1, a2, b2; /* s, s, bytes/s, s, bytes/s */
};

struct gpu {
    const char *name;
    const char *note; /* what it is, how it differs from its siblings; "" where the name says it all */
    const char *source;
    double peak_bf16_flops;                /* dense, FLOP/s; of FP16 too */
    double peak_fp8_flops, peak_fp4_flops; /* dense, FLOP/s; 0: does not multiply them */
    double peak_int8_ops;                  /* dense, OP/s; 0: none or not known; the timer has no INT8 */
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
    struct gpu_gemm gemm[DTYPE_COUNT]; /* fp16 is a copy of bf16 */
    struct gpu_prefill_attention prefill_attention;
    struct gpu_decode_attention decode_attention;
    struct gpu_allreduce allreduce;
};

/* Keys of a GPU file, and of its groups of coefficients: gemm.bf16 (.fp8, .fp4), prefill_attention, .. . */
extern const struct option_table gpu_options;
extern const struct option_table gpu_gemm_options;
extern const struct option_table gpu_prefill_attention_options;
extern const struct option_table gpu_decode_attention_options;
extern const struct option_table gpu_allreduce_options;

/* Fills a GPU from its JSON object. Groups of coefficients that are absent come from the universal set,
 * scaled by the datasheet; FP8 and FP4 matrices are present where the file has their peak. Strings in *gpu
 * live as long as the tree. Errors name the key: unknown, missing, out of bounds, memory given twice or
 * never, coefficients of a type without a peak, a peak that is not `mul` times that of BF16 (within 2 %),
 * borrowed coefficients that are not there. */
bool gpu_parse(const struct node *node, struct gpu *gpu, struct error *error);

/* Replaces all coefficients by the universal set (timer level `universal`); which data types are present
 * stays. */
void gpu_use_universal(struct gpu *gpu);

/* Whether the GPU multiplies matrices of that weight type; the error names those that it does. node: where
 * the type was set. */
bool gpu_check_dtype(const struct gpu *gpu, enum dtype dtype, const struct node *node, struct error *error);

/* The datasheet's peak of dense matrices of a data type, FLOP/s; 0 where it is not present. For MFU. */
double gpu_peak_flops(const struct gpu *gpu, enum dtype dtype);

/* What is behind the coefficients: "calibrated" (measured on this GPU), "borrowed" (a sibling's, untested
 * here), "universal" (no measurement). */
const char *gpu_basis(const struct gpu *gpu);

/* Appends what a row of `tandem list gpus` has after the name; gpu NULL: the heading. */
void gpu_list(const struct gpu *gpu, struct text *text);

/* Appends the text of `tandem describe gpu NAME`. */
void gpu_describe(const struct gpu *gpu, struct text *text);

#endif
