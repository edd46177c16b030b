/* GPUs: datasheet, measured coefficients, memory and price. All local. */
#ifndef TANDEM_GPU_H
#define TANDEM_GPU_H

#include "tandem/error.h"
#include "tandem/node.h"
#include "tandem/option.h"
#include "tandem/work.h"

/* Coefficients of the roofline timer; timer.h has the formulas. Times in s, efficiencies as fractions. */
struct gpu_gemm {
    bool present;
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
    bool calibrated;           /* false: the universal set stands in for GEMM and attention */
    struct gpu_gemm gemm[DTYPE_COUNT];
    struct gpu_prefill_attention prefill_attention;
    struct gpu_decode_attention decode_attention;
    struct gpu_allreduce allreduce;
};

extern const struct option_table gpu_options;

/* Fills a GPU from its JSON object. Groups of coefficients that are absent come from the universal set, scaled by
 * the datasheet. */
bool gpu_parse(const struct node *node, struct gpu *gpu, struct error *error);

/* Replaces all coefficients by the universal set (timer level `universal`). */
void gpu_use_universal(struct gpu *gpu);

/* Appends the text of `tandem describe gpu NAME`. */
void gpu_describe(const struct gpu *gpu, struct text *text);

#endif
