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
    const char *source;
    double peak_bf16_flops; /* dense, FLOP/s */
    double bandwidth;       /* HBM, bytes/s */
    double link_bandwidth;  /* GPU to GPU inside a node, one way, bytes/s */
    int64_t memory_bytes;   /* as CUDA reports it */
    double tdp_watts;
    double price_usd_per_hour; /* of one GPU */
    const char *price_source;  /* with its date */
    const char *coefficients_source;
    bool calibrated; /* false: no measured matrix coefficients, the universal set stands in */
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
 * scaled by the datasheet; FP8 and FP4 matrices are present where the file has their group or says "fp8":
 * true. Strings in *gpu live as long as the tree. Errors name the key: unknown, missing, out of bounds,
 * memory given twice or never. */
bool gpu_parse(const struct node *node, struct gpu *gpu, struct error *error);

/* Replaces all coefficients by the universal set (timer level `universal`); which data types are present
 * stays. */
void gpu_use_universal(struct gpu *gpu);

/* Whether the GPU multiplies matrices of that weight type; the error names those that it does. node: where
 * the type was set. */
bool gpu_check_dtype(const struct gpu *gpu, enum dtype dtype, const struct node *node, struct error *error);

/* Peak of dense matrices of a data type that is present, FLOP/s: bf16 peak x mul. For MFU. */
double gpu_peak_flops(const struct gpu *gpu, enum dtype dtype);

/* Appends the text of `tandem describe gpu NAME`. */
void gpu_describe(const struct gpu *gpu, struct text *text);

#endif
