/* The coefficients that hold for any GPU of a datasheet, and those of the small kernels. Private to hardware.
 */
#ifndef TANDEM_HARDWARE_UNIVERSAL_H
#define TANDEM_HARDWARE_UNIVERSAL_H

#include "tandem/gpu.h"

/* Efficiencies, fixed latencies and exponents; by data type for matrices. present is true in each. */
extern const struct gpu_gemm universal_gemm[DTYPE_COUNT];
extern const struct gpu_prefill_attention universal_prefill_attention;
extern const struct gpu_decode_attention universal_decode_attention;

/* All-reduce over GPUs of a link bandwidth (bytes/s, one way). */
struct gpu_allreduce universal_allreduce(double link_bandwidth);

/* Norms, rotary embedding, activation and sampling: the same on every GPU but for its bandwidth. */
struct elementwise {
    double kernel;            /* s: launch and drain of a small kernel */
    double kernels_per_layer; /* such kernels in a layer */
    double passes;            /* times that a layer's kernels move the residual stream */
    double activation_bytes;  /* bytes moved by the MLP's activation per value of its width */
    double sampler;           /* s: sampling, once an iteration */
};
extern const struct elementwise universal_elementwise;

#endif
