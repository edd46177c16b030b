/* The operators of a forward pass on one GPU: what each computes, moves and takes. Formulas and their
 * sources: README of src/hardware. All local, and without state. Sizes are doubles since they are only
 * multiplied. */
#ifndef TANDEM_OPERATORS_H
#define TANDEM_OPERATORS_H

#include "tandem/gpu.h"

/* Of one execution. seconds is not the sum of the three parts: they overlap. */
struct operator_cost {
    double flops, bytes; /* bytes: of memory, or over the link for communication */
    double compute_s;    /* at the share of the peak that is reached */
    double memory_s;     /* likewise of the bandwidth */
    double fixed_s;      /* launch, steps, sequences */
    double seconds;
    bool link; /* communication: the bytes go over a link */
};

/* m x k by k x n in a data type. */
struct operator_cost operator_gemm(const struct gpu *gpu, enum dtype dtype, double m, double n, double k);

/* Heads on the GPU and their width. score_passes: times that the matrix of scores (4 bytes an entry) goes to
 * or comes from memory: 0 with FlashAttention. */
struct attention_heads {
    double query_heads, kv_heads, head_dim, kv_value_bytes, score_passes;
};

/* tokens of prompts that do w of attention work (struct work); scores: entries of their score matrices, with
 * score_passes only. */
struct operator_cost operator_prefill_attention(const struct gpu *gpu, const struct attention_heads *heads,
                                                double tokens, double w, double scores);

/* One token of each sequence over context cached tokens in all. */
struct operator_cost operator_decode_attention(const struct gpu *gpu, const struct attention_heads *heads,
                                               double sequences, double context);

/* Both in one kernel, on GPUs that have mixed_attention; longest: of the contexts. */
struct operator_cost operator_mixed_attention(const struct gpu *gpu, const struct attention_heads *heads,
                                              double tokens, double w, double sequences, double context,
                                              double longest);

/* Multi-head latent attention: heads on the GPU, widths, and whether the cache is FP8. */
struct latent_heads {
    double heads, latent, rope, nope, value;
    bool fp8;
};
struct operator_cost operator_mla_prefill(const struct gpu *gpu, const struct latent_heads *heads,
                                          double tokens, double w);
struct operator_cost operator_mla_decode(const struct gpu *gpu, const struct latent_heads *heads,
                                         double sequences, double context);
/* One of the two absorbed products of decode. */
struct operator_cost operator_mla_bmm(const struct gpu *gpu, const struct latent_heads *heads,
                                      double sequences);

/* Routed experts of one layer. */
struct expert_sizes {
    double hidden, width, experts, experts_per_token;
    double tensor_parallel; /* GPUs that share one expert */
    double expert_parallel; /* groups that the experts are spread over */
    double imbalance;       /* load of the busiest group over the mean */
    enum dtype dtype;
    enum gpu_kernels kernels;
};

/* All matrices of the experts on the busiest GPU, for tokens that enter all groups together. */
struct operator_cost operator_experts(const struct gpu *gpu, const struct expert_sizes *sizes, double tokens);

/* Imbalance under the power law (alpha 1.01) of the measurements. */
double operator_power_law_imbalance(double tokens, double experts, double expert_parallel);

/* GPUs that take part in a communication; reach: those that are joined without the network; nic_bandwidth:
 * of one GPU's share of the network, bytes/s; nic_line_rate: the same without the link's efficiency, which is
 * in DeepEP's measured shares already. */
struct operator_group {
    double gpus, reach, nic_bandwidth, nic_line_rate;
};

struct operator_cost operator_allreduce(const struct gpu *gpu, const struct operator_group *group,
                                        double bytes);

/* tokens of each GPU, each a row of so many bytes for experts_per_token experts. The mode must be available:
 * operator_has_all_to_all. */
struct operator_cost operator_all_to_all(const struct gpu *gpu, enum gpu_all_to_all_mode mode,
                                         enum gpu_all_to_all_phase phase, const struct operator_group *group,
                                         double tokens, double experts_per_token, double row_bytes);
bool operator_has_all_to_all(const struct gpu *gpu, enum gpu_all_to_all_mode mode,
                             const struct operator_group *group);

/* To one GPU of the next stage. */
struct operator_cost operator_send(const struct gpu *gpu, const struct operator_group *group, double bytes);

#endif
