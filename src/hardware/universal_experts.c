/* The universal sets of routed experts and of all-to-all. Source: op-level fits to measurements of Hopper and
 * Blackwell GPUs, 2026; README of this folder. */
#include "universal.h"

/* Experts. Columns: t0, tk, ec, em, p, pad, act, kt, mul, weight bytes, activation bytes. Of a family: vLLM's
 * and TensorRT-LLM's of one of its GPUs; for what it lacks and for others one set fitted to all GPUs, but for
 * 16 bits, which have no such fit: H200's. */
static const struct gpu_moe any_moe[MOE_KIND_COUNT] = {
    [MOE_BF16] = {3.644e-5, 0, 0.6691, 1.024, 1, 0.5, 1.01, 0, 1, 2, 2},
    [MOE_FP8] = {2.911e-5, 1.498e-9, 0.3188, 0.95, 1.295, 5.437, 0.8911, 4.647, 2, 1, 1},
    [MOE_FP4] = {1.78e-5, 2.091e-10, 0.8475, 0.8931, 2.246, 69.73, 0.7502, 3.285, 4, 0.5625, 0.5625},
    [MOE_MXFP4_A16] = {2.486e-5, 1e-12, 0.428, 0.95, 2.085, 43.36, 0.9112, 4.199, 1, 0.53125, 2},
    [MOE_MXFP4_A8] = {2.765e-5, 2.572e-11, 1.2, 0.901, 1, 12.11, 0.8582, 3.479, 2, 0.53125, 1},
};

static const struct gpu_moe h200_moe[MOE_KIND_COUNT][GPU_KERNELS_COUNT] = {
    [MOE_FP8] = {{3.018e-5, 1.594e-9, 0.4571, 0.8813, 1.523, 5.077, 0.9943, 4.825, 2, 1, 1},
                 {2.88e-5, 1e-12, 0.5423, 0.8854, 1.141, 0.5, 1.2, 5.489, 2, 1, 1}},
    [MOE_MXFP4_A16] = {{1e-6, 1.317e-8, 0.7306, 0.9498, 1, 22.88, 0.6684, 2.311, 1, 0.53125, 2},
                       {8.318e-5, 1.135e-9, 1.2, 0.938, 1, 30.55, 0.5692, 14.22, 1, 0.53125, 2}},
};

static const struct gpu_moe b200_moe[MOE_KIND_COUNT][GPU_KERNELS_COUNT] = {
    [MOE_BF16] = {{1.446e-5, 0, 0.4386, 1.479, 1.362, 68.83, 1.089, 0, 1, 2, 2}},
    [MOE_FP8] = {{2.473e-5, 2.29e-9, 0.2808, 0.95, 1.284, 0.5, 0.8363, 6.334, 2, 1, 1},
                 {3.291e-5, 1e-12, 0.625, 0.7369, 3.647, 0.5, 1.2, 3.414, 2, 1, 1}},
    [MOE_FP4] = {{1.845e-5, 5.474e-11, 1.071, 0.8955, 5.383, 26.84, 0.8345, 3.612, 4, 0.5625, 0.5625},
                 {3.831e-5, 2.905e-12, 0.8342, 0.5182, 2.399, 0.5367, 1.167, 5.451, 4, 0.5625, 0.5625}},
    [MOE_MXFP4_A16] = {{2.223e-5, 8.38e-11, 0.3274, 0.5959, 1.524, 11.14, 0.7383, 4.413, 1, 0.53125, 2},
                       {3.352e-5, 2.402e-9, 0.1567, 0.1917, 1.873, 1.824, 0.8372, 4.112, 1, 0.53125, 2}},
    [MOE_MXFP4_A8] = {{2.974e-5, 1.369e-12, 1.2, 0.9001, 1.572, 84.74, 0.7843, 3.827, 2, 0.53125, 1},
                      {1.688e-5, 1.449e-9, 1.2, 0.9498, 1, 26.2, 0.5926, 3.799, 2, 0.53125, 1}},
};

const struct gpu_moe *universal_moe(const struct gpu *gpu, enum gpu_moe_kind kind, enum gpu_kernels kernels)
{
    const struct gpu_moe *family = NULL;
    if (gpu->architecture == ARCHITECTURE_HOPPER)
        family = h200_moe[kind];
    else if (gpu->architecture == ARCHITECTURE_BLACKWELL)
        family = b200_moe[kind];
    if (!family || family[GPU_KERNELS_VLLM].ec <= 0)
        return &any_moe[kind];
    return &family[family[kernels].ec > 0 ? kernels : GPU_KERNELS_VLLM];
}

/* b is a share of the link here. Medians over the GPUs, TensorRT-LLM's of GB200. */
static const struct gpu_all_to_all all_to_all[ALL_TO_ALL_MODE_COUNT][ALL_TO_ALL_PHASE_COUNT] =
    {
        [ALL_TO_ALL_NCCL] =
            {
                [ALL_TO_ALL_DISPATCH] = {.a = 6.775e-6, .an = 1.273e-6, .b = 0.7563, .sq = 4.406e-9},
                [ALL_TO_ALL_COMBINE] = {.a = 6.841e-6, .an = 1.217e-6, .b = 0.668, .sq = 3.876e-9},
            },
        [ALL_TO_ALL_DEEPEP_NORMAL] =
            {
                [ALL_TO_ALL_DISPATCH] = {.a = 3.403e-5,
                                         .b = 0.4753,
                                         .tt = 2.145e-8,
                                         .a_net = 3.33e-5,
                                         .an_net = 2.826e-5,
                                         .b_net_share = 0.798},
                [ALL_TO_ALL_COMBINE] = {.a = 4.278e-5,
                                        .b = 0.5748,
                                        .tt = 3.7e-8,
                                        .a_net = 7.585e-5,
                                        .an_net = 1.738e-5,
                                        .b_net_share = 0.657},
            },
        [ALL_TO_ALL_DEEPEP_LOW_LATENCY] =
            {
                [ALL_TO_ALL_DISPATCH] =
                    {.a = 1.581e-5, .b = 0.6377, .a_net = 1.426e-5, .an_net = 4.623e-6, .b_net_share = 1.03},
                [ALL_TO_ALL_COMBINE] =
                    {.a = 1.36e-5, .b = 0.7203, .a_net = 2.153e-5, .an_net = 1.871e-6, .b_net_share = 1.02},
            },
        [ALL_TO_ALL_TRTLLM_TWO_SIDED] =
            {
                [ALL_TO_ALL_PREPARE] = {.a = 1.115e-5, .an = 7.252e-7, .tt = 6.557e-9},
                [ALL_TO_ALL_DISPATCH] = {.a = 9.904e-6, .an = 5.752e-7, .b = 0.671, .tt = 2.481e-8},
                [ALL_TO_ALL_COMBINE] = {.a = 9.673e-6, .an = 1.278e-6, .b = 0.675, .tt = 5.463e-8},
            },
};

/* GPUs of one NVLink domain of a rack, which TensorRT-LLM's kernels were measured in. */
enum { RACK_GPUS = 72 };

/* DeepEP is written for NVLink and the instructions of Hopper and later. */
static bool has_mode(const struct gpu *gpu, int mode)
{
    bool blackwell = gpu->architecture == ARCHITECTURE_BLACKWELL;
    switch (mode) {
    case ALL_TO_ALL_DEEPEP_NORMAL:
    case ALL_TO_ALL_DEEPEP_LOW_LATENCY:
        return blackwell || gpu->architecture == ARCHITECTURE_HOPPER;
    case ALL_TO_ALL_TRTLLM_TWO_SIDED:
        return blackwell && gpu->nvlink_domain >= RACK_GPUS;
    default:
        return mode == ALL_TO_ALL_NCCL;
    }
}

void universal_all_to_all(struct gpu *gpu)
{
    for (int mode = 0; mode < ALL_TO_ALL_MODE_COUNT; mode++)
        for (int phase = 0; phase < ALL_TO_ALL_PHASE_COUNT; phase++) {
            struct gpu_all_to_all *to = &gpu->all_to_all[mode][phase];
            *to = has_mode(gpu, mode) ? all_to_all[mode][phase] : (struct gpu_all_to_all){0};
            to->b *= gpu->link_bandwidth;
        }
}
