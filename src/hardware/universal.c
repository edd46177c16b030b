/* The universal set. Source: op-level fits to published kernel measurements of NVIDIA GPUs (Ampere to
 * Blackwell), 2026; README of this folder says how well a GPU is served that was left out of the fit. FP8,
 * FP4 and latent attention: of Hopper and Blackwell (medians over the GPUs, or one set fitted to all). */
#include "universal.h"

const struct gpu_gemm universal_gemm[DTYPE_COUNT] = {
    [DTYPE_BF16] = {.present = true,
                    .ec = 0.77,
                    .em = 0.82,
                    .t0 = 4e-6,
                    .p = 2.2,
                    .kq = 0,
                    .r = 1,
                    .mul = 1,
                    .weight_bytes = 2},
    [DTYPE_FP8] = {.present = true,
                   .ec = 0.9575,
                   .em = 0.9367,
                   .t0 = 5.473e-6,
                   .p = 2.346,
                   .kq = 6.036,
                   .r = 1,
                   .tk = 4.673e-10,
                   .ko = 2.633,
                   .mul = 2,
                   .weight_bytes = 1},
    [DTYPE_FP8_BLOCK] = {.present = true,
                         .ec = 0.6923,
                         .em = 1.005,
                         .t0 = 5.477e-6,
                         .p = 1.97,
                         .kq = 1.06,
                         .r = 1,
                         .tk = 5.96e-10,
                         .ko = 1.055,
                         .mul = 2,
                         .weight_bytes = 1},
    [DTYPE_FP4] = {.present = true,
                   .ec = 0.5656,
                   .em = 0.8291,
                   .t0 = 6.825e-6,
                   .p = 2.419,
                   .kq = 0.9818,
                   .r = 1,
                   .tk = 4.348e-10,
                   .ko = 1.146,
                   .mul = 4,
                   .weight_bytes = 0.5625},
};

const struct gpu_prefill_attention universal_prefill_attention = {
    .t0 = 1.2e-5, .ec = 0.75, .hh = 30, .em = 0.4, .kw = 0.5};

const struct gpu_decode_attention universal_decode_attention = {
    .t0 = 1.05e-5, .ec = 0.4, .em = 0.88, .ts = 2e-8, .p = 2};

const struct gpu_mla_prefill universal_mla_prefill[2] = {
    {.t0 = 1.454e-5, .ec = 0.6, .em = 0.5703, .p = 1.319},
    {.t0 = 1.932e-5, .ec = 0.7743, .em = 0.3783, .p = 1.137}};

const struct gpu_mla_decode universal_mla_decode[2] = {
    {.t0 = 1.154e-5, .ec = 1, .em = 0.8196, .ts = 2.571e-8, .th = 5.841e-10, .tl = 1.02e-7, .p = 1.656},
    {.t0 = 1.084e-5, .ec = 1, .em = 0.8531, .ts = 1.823e-8, .th = 6.182e-10, .tl = 8.098e-8, .p = 1.694}};

const struct gpu_mla_prefill universal_mla_bmm = {.t0 = 4.137e-6, .ec = 0.2721, .em = 1.5, .p = 8};

struct gpu_allreduce universal_allreduce(double link_bandwidth)
{
    return (struct gpu_allreduce){
        .a1 = 4.5e-6, .an = 1e-7, .b1 = 0.6 * link_bandwidth, .a2 = 1.2e-5, .b2 = 0.72 * link_bandwidth};
}

/* Between the A100's 13.6 us and 0.97 of its link and the H100's 7.7 us and 0.80, as measured. */
struct gpu_send universal_send(double link_bandwidth)
{
    return (struct gpu_send){.latency = 1e-5, .bandwidth = 0.8 * link_bandwidth};
}

const struct elementwise universal_elementwise = {
    .kernel = 2.2e-6, .kernels_per_layer = 4, .passes = 3.8, .activation_bytes = 6, .sampler = 3e-5};
