/* The coefficients that hold for any GPU of a datasheet, and those of the small kernels. Private to hardware.
 */
#ifndef TANDEM_HARDWARE_UNIVERSAL_H
#define TANDEM_HARDWARE_UNIVERSAL_H

#include "tandem/gpu.h"

/* Efficiencies, fixed latencies and exponents; by data type for matrices, present where there is a set. */
extern const struct gpu_gemm universal_gemm[DTYPE_COUNT];
extern const struct gpu_prefill_attention universal_prefill_attention;
extern const struct gpu_decode_attention universal_decode_attention;
extern const struct gpu_mla_prefill universal_mla_prefill[2]; /* cache in 16 bits, in FP8 */
extern const struct gpu_mla_decode universal_mla_decode[2];
extern const struct gpu_mla_prefill universal_mla_bmm;

/* All-reduce over GPUs of a link bandwidth (bytes/s, one way), and sending to one. */
struct gpu_allreduce universal_allreduce(double link_bandwidth);
struct gpu_send universal_send(double link_bandwidth);

/* Routed experts of a data type and an engine's kernels: those of the GPU's architecture, where there are. */
const struct gpu_moe *universal_moe(const struct gpu *gpu, enum gpu_moe_kind kind, enum gpu_kernels kernels);

/* Fills all-to-all of every mode that GPUs of this architecture, link and NVLink domain have. */
void universal_all_to_all(struct gpu *gpu);

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
