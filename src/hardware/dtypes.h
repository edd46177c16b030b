/* What each data type of weights runs as on a GPU. Private to hardware. */
#ifndef TANDEM_HARDWARE_DTYPES_H
#define TANDEM_HARDWARE_DTYPES_H

#include "tandem/gpu.h"

/* "bf16", "fp8-block", .. . */
extern const char *const dtypes_names[DTYPE_COUNT];

/* What the GPU has to multiply for the kernels of these experts. */
extern const enum dtype dtypes_of_moe[MOE_KIND_COUNT];

/* Fills the coefficients of matrices of every data type, from a file's own sets (present where it has one)
 * and the universal ones. Types that the GPU does not multiply run as weights only: 16-bit kernels that move
 * fewer bytes. */
void dtypes_fill_gemm(struct gpu *gpu, const struct gpu_gemm own[DTYPE_COUNT]);

/* The same of routed experts; ec 0: the file has no such set. A set of one engine stands in for the
 * other's. */
void dtypes_fill_moe(struct gpu *gpu, const struct gpu_moe own[MOE_KIND_COUNT][GPU_KERNELS_COUNT]);

/* The datasheet's peak of the type itself; 0: does not multiply it. */
double dtypes_peak(const struct gpu *gpu, enum dtype dtype);

#endif
