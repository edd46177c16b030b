/* Data types: the sets that a file or the universal set has are spread over all of them, and those that a GPU
 * does not multiply become weights that a 16-bit kernel unpacks. */
#include "dtypes.h"

#include "universal.h"

const char *const dtypes_names[DTYPE_COUNT] = {"bf16", "fp16", "fp8",   "fp8-block", "fp4",
                                               "int8", "int4", "mxfp4", "mxfp4-a8"};

/* Scales included: NVFP4 one byte for 16 values, INT4 two for 128, MXFP4 one for 32; those of a block of
 * 128 x 128 and of a column are too few to count. */
static const double weight_bytes[DTYPE_COUNT] = {
    [DTYPE_BF16] = 2,
    [DTYPE_FP16] = 2,
    [DTYPE_FP8] = 1,
    [DTYPE_FP8_BLOCK] = 1,
    [DTYPE_FP4] = 0.5 + 1.0 / 16,
    [DTYPE_INT8] = 1,
    [DTYPE_INT4] = 0.5 + 2.0 / 128,
    [DTYPE_MXFP4] = 0.5 + 1.0 / 32,
    [DTYPE_MXFP4_A8] = 0.5 + 1.0 / 32,
};

double dtypes_peak(const struct gpu *gpu, enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_BF16:
    case DTYPE_FP16:
        return gpu->peak_bf16_flops;
    case DTYPE_FP8:
    case DTYPE_FP8_BLOCK:
        return gpu->peak_fp8_flops;
    case DTYPE_FP4:
        return gpu->peak_fp4_flops;
    case DTYPE_INT8:
        return gpu->peak_int8_ops;
    default:
        return 0;
    }
}

/* INT8 was not measured: its kernels are those of FP8 at another peak. */
static struct gpu_gemm int8_of(const struct gpu *gpu, struct gpu_gemm fp8)
{
    fp8.mul = gpu->peak_int8_ops / gpu->peak_bf16_flops;
    return fp8;
}

void dtypes_fill_gemm(struct gpu *gpu, const struct gpu_gemm own[DTYPE_COUNT])
{
    struct gpu_gemm sets[DTYPE_COUNT] = {{0}};
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++)
        sets[dtype] = own[dtype].present ? own[dtype] : universal_gemm[dtype];
    sets[DTYPE_FP16] = sets[DTYPE_BF16];
    if (own[DTYPE_FP8].present && !own[DTYPE_FP8_BLOCK].present)
        sets[DTYPE_FP8_BLOCK] = own[DTYPE_FP8];
    if (!own[DTYPE_INT8].present)
        sets[DTYPE_INT8] = int8_of(gpu, sets[DTYPE_FP8]);
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++) {
        struct gpu_gemm *gemm = &gpu->gemm[dtype];
        bool multiplies = dtypes_peak(gpu, (enum dtype)dtype) > 0;
        *gemm = sets[multiplies ? dtype : DTYPE_BF16];
        gemm->present = multiplies;
        gemm->act_bytes = gemm->weight_bytes;
        if (!multiplies)
            gemm->weight_bytes = weight_bytes[dtype];
    }
}

const enum dtype dtypes_of_moe[MOE_KIND_COUNT] = {[MOE_BF16] = DTYPE_BF16,
                                                  [MOE_FP8] = DTYPE_FP8,
                                                  [MOE_FP4] = DTYPE_FP4,
                                                  [MOE_MXFP4_A16] = DTYPE_BF16,
                                                  [MOE_MXFP4_A8] = DTYPE_FP8};

static struct gpu_moe fill_moe(const struct gpu *gpu, const struct gpu_moe own[GPU_KERNELS_COUNT],
                               enum gpu_moe_kind kind, enum gpu_kernels kernels)
{
    for (int i = 0; i < GPU_KERNELS_COUNT; i++) { /* its own, then the other's */
        const struct gpu_moe *set = &own[((int)kernels + i) % GPU_KERNELS_COUNT];
        if (set->ec > 0)
            return *set;
    }
    return *universal_moe(gpu, kind, kernels);
}

void dtypes_fill_moe(struct gpu *gpu, const struct gpu_moe own[MOE_KIND_COUNT][GPU_KERNELS_COUNT])
{
    for (int kind = 0; kind < MOE_KIND_COUNT; kind++)
        for (int kernels = 0; kernels < GPU_KERNELS_COUNT; kernels++) {
            struct gpu_moe *moe = &gpu->moe[kind][kernels];
            enum dtype dtype = dtypes_of_moe[kind];
            if (dtypes_peak(gpu, dtype) > 0)
                *moe = fill_moe(gpu, own[kind], (enum gpu_moe_kind)kind, (enum gpu_kernels)kernels);
            else if (kind == MOE_MXFP4_A8)
                *moe = gpu->moe[MOE_MXFP4_A16][kernels];
            else {
                *moe = gpu->moe[MOE_BF16][kernels];
                moe->weight_bytes = weight_bytes[dtype];
            }
        }
}

bool gpu_weight_only(const struct gpu *gpu, enum dtype dtype)
{
    return !gpu->gemm[dtype].present;
}

double gpu_peak_flops(const struct gpu *gpu, enum dtype dtype)
{
    double peak = dtypes_peak(gpu, dtype);
    return peak > 0 ? peak : gpu->peak_bf16_flops;
}
