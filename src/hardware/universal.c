/* The universal set. Source: op-level fits to published kernel measurements of NVIDIA GPUs (Ampere to
 * Blackwell), 2026; README of this folder says how well a GPU is served that was left out of the fit. */
#include "universal.h"

#define BF16_GEMM                                                                                            \
    {                                                                                                        \
        .present = true, .ec = 0.77, .em = 0.82, .t0 = 4e-6, .p = 2.2, .kq = 0, .r = 1, .mul = 1,            \
        .weight_bytes = 2                                                                                    \
    }

const struct gpu_gemm universal_gemm[DTYPE_COUNT] = {
    [DTYPE_BF16] = BF16_GEMM,
    [DTYPE_FP16] = BF16_GEMM,
    [DTYPE_FP8] = {.present = true,
                   .ec = 0.75,
                   .em = 0.8,
                   .t0 = 6.7e-6,
                   .p = 1.3,
                   .kq = 5,
                   .r = 1,
                   .mul = 2,
                   .weight_bytes = 1},
    [DTYPE_FP4] = {.present = true,
                   .ec = 0.56,
                   .em = 0.69,
                   .t0 = 7.8e-6,
                   .p = 1.3,
                   .kq = 1.3,
                   .r = 1,
                   .mul = 4,
                   .weight_bytes = 0.5},
};

const struct gpu_prefill_attention universal_prefill_attention = {
    .t0 = 1.2e-5, .ec = 0.75, .hh = 30, .em = 0.4, .kw = 0.5};

const struct gpu_decode_attention universal_decode_attention = {
    .t0 = 1.05e-5, .ec = 0.4, .em = 0.88, .ts = 2e-8, .p = 2};

struct gpu_allreduce universal_allreduce(double link_bandwidth)
{
    return (struct gpu_allreduce){
        .a1 = 4.5e-6, .an = 1e-7, .b1 = 0.6 * link_bandwidth, .a2 = 1.2e-5, .b2 = 0.72 * link_bandwidth};
}

const struct elementwise universal_elementwise = {
    .kernel = 2.2e-6, .kernels_per_layer = 4, .passes = 3.8, .activation_bytes = 6, .sampler = 3e-5};
