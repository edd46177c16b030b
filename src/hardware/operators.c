/* Formulas and their sources: README of this folder. Every sum is taken in one fixed order and powers come
 * from numeric.h, so that the same work takes the same nanoseconds on every CPU. */
#include "tandem/operators.h"

#include "tandem/check.h"
#include "tandem/numeric.h"
#include "pnorm.h"

#include <math.h>

/* One hop over the network: send and receive between DGX H100, measured (README). */
static const double NETWORK_LATENCY = 1.95e-5;

struct operator_cost operator_gemm(const struct gpu *gpu, enum dtype dtype, double m, double n, double k)
{
    const struct gpu_gemm *g = &gpu->gemm[dtype];
    double bandwidth = gpu->bandwidth * g->em;
    double wb = g->weight_bytes, ab = g->act_bytes;
    double overlapped = g->ko > 0 ? 0 : 2 * m * n; /* output that is written while others compute */
    double compute = 2 * m * n * k / (gpu->peak_bf16_flops * g->mul * g->ec);
    double memory = wb * n * k / bandwidth + (ab * m * k + overlapped) / (bandwidth * g->r);
    double quantize = g->kq * (2 + wb) * m * k / gpu->bandwidth;
    double output = g->ko * 2 * m * n / gpu->bandwidth;
    double fixed = g->t0 + g->tk * k;
    return (struct operator_cost){.flops = 2 * m * n * k,
                                  .bytes = wb * n * k + ab * m * k + 2 * m * n,
                                  .compute_s = compute,
                                  .memory_s = memory + quantize + output,
                                  .fixed_s = fixed,
                                  .seconds = fixed + pnorm3(g->p, compute, memory, 0) + quantize + output};
}

/* Traffic of the score matrix where it is materialized, in FP32. */
static double score_bytes(const struct attention_heads *heads, double scores)
{
    return heads->score_passes * 4 * heads->query_heads * scores;
}

struct operator_cost operator_prefill_attention(const struct gpu *gpu, const struct attention_heads *heads,
                                                double tokens, double w, double scores)
{
    const struct gpu_prefill_attention *a = &gpu->prefill_attention;
    double hd = heads->head_dim, q = heads->query_heads, kv = heads->kv_heads;
    bool materialized = heads->score_passes > 0;
    double pairs = materialized ? scores : w; /* the matrix is not skipped above its diagonal */
    double compute = 4 * hd * q * pairs / (gpu->peak_bf16_flops * a->ec * hd / (hd + a->hh));
    double bytes = 2 * tokens * hd * (2 * q + 2 * kv) + a->kw * 4 * tokens * hd * kv;
    double memory = bytes / (gpu->bandwidth * a->em);
    if (materialized) {
        bytes += score_bytes(heads, scores);
        memory += score_bytes(heads, scores) / gpu->bandwidth;
    }
    return (struct operator_cost){.flops = 4 * hd * q * pairs,
                                  .bytes = bytes,
                                  .compute_s = compute,
                                  .memory_s = memory,
                                  .fixed_s = a->t0,
                                  .seconds = a->t0 + compute + memory};
}

struct operator_cost operator_decode_attention(const struct gpu *gpu, const struct attention_heads *heads,
                                               double sequences, double context)
{
    const struct gpu_decode_attention *a = &gpu->decode_attention;
    double hd = heads->head_dim, q = heads->query_heads, kv = heads->kv_heads;
    double compute = 4 * q * hd * context / (gpu->peak_bf16_flops * a->ec);
    double bytes = 2 * heads->kv_value_bytes * context * kv * hd;
    double memory = bytes / (gpu->bandwidth * a->em);
    double scores = score_bytes(heads, context);
    double each = a->ts * sequences * kv;
    return (struct operator_cost){.flops = 4 * q * hd * context,
                                  .bytes = bytes + scores,
                                  .compute_s = compute,
                                  .memory_s = memory + scores / gpu->bandwidth,
                                  .fixed_s = a->t0 + each,
                                  .seconds =
                                      a->t0 + pnorm3(a->p, compute, memory, each) + scores / gpu->bandwidth};
}

struct operator_cost operator_mixed_attention(const struct gpu *gpu, const struct attention_heads *heads,
                                              double tokens, double w, double sequences, double context,
                                              double longest)
{
    const struct gpu_mixed_attention *a = &gpu->mixed_attention;
    double hd = heads->head_dim, q = heads->query_heads, kv = heads->kv_heads;
    double peak = gpu->peak_bf16_flops * a->ec;
    double compute = 4 * hd * q * (w + a->mt * context) / peak;
    /* The block that has the longest context is the last to end. */
    double last = a->lc * 4 * hd * 128 * longest * (double)gpu->multiprocessors / peak;
    double bytes = 2 * tokens * hd * (2 * q + 2 * kv) + a->kw * 4 * tokens * hd * kv +
                   2 * heads->kv_value_bytes * context * kv * hd;
    double memory = bytes / (gpu->bandwidth * a->em), each = a->ts * q * sequences;
    return (struct operator_cost){.flops = 4 * hd * q * (w + context),
                                  .bytes = bytes,
                                  .compute_s = compute,
                                  .memory_s = memory,
                                  .fixed_s = a->t0 + each,
                                  .seconds = a->t0 + pnorm4(a->p, compute, last, memory, each)};
}

struct operator_cost operator_mla_prefill(const struct gpu *gpu, const struct latent_heads *heads,
                                          double tokens, double w)
{
    const struct gpu_mla_prefill *a = &gpu->mla_prefill[heads->fp8];
    double key = heads->nope + heads->rope;
    double flops = 2 * (key + heads->value) * heads->heads * w;
    double bytes =
        (2 * (2 * key + 2 * heads->value) * heads->heads + 2 * (heads->latent + heads->rope)) * tokens;
    double compute = flops / (gpu->peak_bf16_flops * a->ec), memory = bytes / (gpu->bandwidth * a->em);
    return (struct operator_cost){.flops = flops,
                                  .bytes = bytes,
                                  .compute_s = compute,
                                  .memory_s = memory,
                                  .fixed_s = a->t0,
                                  .seconds = a->t0 + pnorm3(a->p, compute, memory, 0)};
}

struct operator_cost operator_mla_decode(const struct gpu *gpu, const struct latent_heads *heads,
                                         double sequences, double context)
{
    const struct gpu_mla_decode *a = &gpu->mla_decode[heads->fp8];
    double flops = 2 * (2 * heads->latent + heads->rope) * heads->heads * context;
    double bytes = (heads->fp8 ? 1 : 2) * (heads->latent + heads->rope) * context;
    double compute = flops / (gpu->peak_bf16_flops * a->ec), memory = bytes / (gpu->bandwidth * a->em);
    double longest = a->tl * sqrt(context / sequences);
    double each = sequences * (a->ts + a->th * heads->heads);
    return (struct operator_cost){.flops = flops,
                                  .bytes = bytes,
                                  .compute_s = compute,
                                  .memory_s = memory,
                                  .fixed_s = a->t0 + each,
                                  .seconds = a->t0 + pnorm3(a->p, compute, memory, longest) + each};
}

struct operator_cost operator_mla_bmm(const struct gpu *gpu, const struct latent_heads *heads,
                                      double sequences)
{
    const struct gpu_mla_prefill *a = &gpu->mla_bmm;
    double matrix = heads->nope * heads->latent;
    double flops = 2 * sequences * heads->heads * matrix;
    double bytes = 2 * heads->heads * (matrix + sequences * (heads->nope + heads->latent));
    double compute = flops / (gpu->peak_bf16_flops * a->ec), memory = bytes / (gpu->bandwidth * a->em);
    return (struct operator_cost){.flops = flops,
                                  .bytes = bytes,
                                  .compute_s = compute,
                                  .memory_s = memory,
                                  .fixed_s = a->t0,
                                  .seconds = a->t0 + pnorm3(a->p, compute, memory, 0)};
}

static enum gpu_moe_kind moe_kind(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_FP8:
    case DTYPE_FP8_BLOCK:
        return MOE_FP8;
    case DTYPE_FP4:
        return MOE_FP4;
    case DTYPE_MXFP4:
        return MOE_MXFP4_A16;
    case DTYPE_MXFP4_A8:
        return MOE_MXFP4_A8;
    default:
        return MOE_BF16;
    }
}

/* The set of a data type; those that were not measured take the 16-bit kernel with fewer bytes. */
static struct gpu_moe moe_set(const struct gpu *gpu, enum dtype dtype, enum gpu_kernels kernels)
{
    struct gpu_moe set = gpu->moe[moe_kind(dtype)][kernels];
    if (dtype == DTYPE_INT8 || dtype == DTYPE_INT4)
        set.weight_bytes = gpu->gemm[dtype].weight_bytes;
    return set;
}

struct operator_cost operator_experts(const struct gpu *gpu, const struct expert_sizes *sizes, double tokens)
{
    struct gpu_moe c = moe_set(gpu, sizes->dtype, sizes->kernels);
    double h = sizes->hidden, ff = sizes->width / sizes->tensor_parallel, k = sizes->experts_per_token;
    double local = sizes->experts / sizes->expert_parallel;
    double peak = gpu->peak_bf16_flops * c.mul;
    double most = tokens * fmin(local, k); /* a token is not sent to an expert twice */
    double a = fmin(sizes->imbalance * tokens * k / sizes->expert_parallel, most);
    double active = fmax(local * (1 - numeric_exp(-c.act * a / local)), fmin(a, 1));
    double compute = 6 * (a + active * c.pad) * h * ff / (peak * c.ec);
    double weights = c.weight_bytes * 3 * active * h * ff;
    double inside = c.kt > 0 ? 0 : 2 * a * (2 * h + 3 * ff) + 2 * a * h; /* moved in the kernels of 16 bits */
    double moved = (2 + c.act_bytes) * tokens * h + 2 * tokens * h +
                   a * ((c.act_bytes + 2) * h + (4 + 2 * c.act_bytes) * ff);
    double memory = (weights + inside) / (gpu->bandwidth * c.em), apart = c.kt * moved / gpu->bandwidth;
    double fixed = c.t0 + c.tk * (h + ff);
    return (struct operator_cost){.flops = 6 * a * h * ff,
                                  .bytes = weights + (c.kt > 0 ? moved : inside),
                                  .compute_s = compute,
                                  .memory_s = memory + apart,
                                  .fixed_s = fixed,
                                  .seconds = fixed + pnorm3(c.p, compute, memory, 0) + apart};
}

double operator_power_law_imbalance(double tokens, double experts, double expert_parallel)
{
    if (expert_parallel <= 1)
        return 1;
    double spread = numeric_log(fmax(0.8 * tokens, 1)) / 2 - 1;
    double cv = sqrt(fmax(spread, 0.3));
    double ratio = 1 + 0.85 * cv * sqrt(2 * numeric_log(expert_parallel) * expert_parallel / experts);
    return fmin(ratio, expert_parallel);
}

/* Domains that a group spans. */
static double domains(const struct operator_group *group)
{
    return group->reach >= group->gpus ? 1 : group->gpus / group->reach;
}

/* Of a ring over all GPUs: each domain is left over as many NICs as it has GPUs. */
static double ring_bandwidth(const struct operator_group *group, double inside)
{
    return domains(group) > 1 ? fmin(inside, group->reach * group->nic_bandwidth) : inside;
}

struct operator_cost operator_allreduce(const struct gpu *gpu, const struct operator_group *group,
                                        double bytes)
{
    const struct gpu_allreduce *a = &gpu->allreduce;
    double n = group->gpus;
    struct operator_cost cost = {.link = true};
    if (n < 2)
        return cost;
    double hops = a->an * (n - 1) + 2 * (domains(group) - 1) * NETWORK_LATENCY;
    double one_shot = a->a1 + hops + (n - 1) * bytes / a->b1;
    double two_shot = a->a2 + hops + 2 * (n - 1) / n * bytes / ring_bandwidth(group, a->b2);
    bool is_one = domains(group) <= 1 && one_shot < two_shot;
    cost.bytes = (is_one ? n - 1 : 2 * (n - 1) / n) * bytes;
    cost.fixed_s = (is_one ? a->a1 : a->a2) + hops;
    cost.seconds = is_one ? one_shot : two_shot;
    cost.memory_s = cost.seconds - cost.fixed_s;
    return cost;
}

/* Distinct ones out of n that k experts at random are on. */
static double copies(double n, double k)
{
    return n * (1 - numeric_pow(1 - 1 / n, k));
}

static double log2_of(double x)
{
    return numeric_log(x) / numeric_log(2);
}

bool operator_has_all_to_all(const struct gpu *gpu, enum gpu_all_to_all_mode mode,
                             const struct operator_group *group)
{
    const struct gpu_all_to_all *c = &gpu->all_to_all[mode][ALL_TO_ALL_COMBINE];
    return c->b > 0 && (domains(group) <= 1 || mode == ALL_TO_ALL_NCCL || c->b_net_share > 0);
}

/* DeepEP, normal kernels: one copy for each GPU that has an expert of the token, one over the network for
 * each node. */
static double deepep_normal(const struct gpu_all_to_all *c, const struct operator_group *group, double tokens,
                            double k, double row)
{
    double n = group->gpus, nodes = domains(group), sent = tokens * row * copies(n, k);
    if (nodes <= 1)
        return sent * (n - 1) / n / c->b + c->tt * tokens;
    double network = tokens * row * (nodes - 1) * (1 - numeric_pow(1 - 1 / nodes, k)) /
                     (c->b_net_share * group->nic_line_rate);
    return fmax(network, sent / c->b + c->tt * tokens);
}

/* DeepEP, kernels of low latency: one copy for each expert. */
static double deepep_low_latency(const struct gpu_all_to_all *c, const struct operator_group *group,
                                 double bytes)
{
    double nodes = domains(group);
    if (nodes <= 1)
        return bytes / c->b;
    return bytes * ((nodes - 1) / nodes / (c->b_net_share * group->nic_line_rate) + 1 / nodes / c->b);
}

struct operator_cost operator_all_to_all(const struct gpu *gpu, enum gpu_all_to_all_mode mode,
                                         enum gpu_all_to_all_phase phase, const struct operator_group *group,
                                         double tokens, double experts_per_token, double row_bytes)
{
    const struct gpu_all_to_all *c = &gpu->all_to_all[mode][phase];
    double n = group->gpus, k = experts_per_token, nodes = domains(group);
    struct operator_cost cost = {.bytes = tokens * row_bytes, .link = true};
    bool deepep = mode == ALL_TO_ALL_DEEPEP_NORMAL || mode == ALL_TO_ALL_DEEPEP_LOW_LATENCY;
    bool prepares = mode == ALL_TO_ALL_TRTLLM_TWO_SIDED && phase == ALL_TO_ALL_PREPARE;
    if (n < 2 || (c->b <= 0 && !prepares))
        return (struct operator_cost){0};
    if (deepep)
        cost.fixed_s = nodes > 1 ? c->a_net + c->an_net * log2_of(nodes) : c->a;
    if (mode == ALL_TO_ALL_NCCL) { /* all rows of all GPUs */
        cost.bytes *= n;
        cost.fixed_s = c->a + c->an * (n - 1) + (nodes - 1) * NETWORK_LATENCY;
        cost.memory_s = (n - 1) / n * cost.bytes / ring_bandwidth(group, c->b) + c->sq * sqrt(cost.bytes);
    } else if (mode == ALL_TO_ALL_DEEPEP_LOW_LATENCY) {
        cost.bytes *= k;
        cost.memory_s = deepep_low_latency(c, group, cost.bytes);
    } else if (mode == ALL_TO_ALL_DEEPEP_NORMAL) {
        cost.bytes *= copies(n, k);
        cost.memory_s = deepep_normal(c, group, tokens, k, row_bytes);
    } else { /* TensorRT-LLM inside an NVLink domain; its first phase moves counts only */
        cost.bytes *= prepares ? 0 : copies(n, k) * (n - 1) / n;
        cost.fixed_s = c->a + c->an * log2_of(n) + c->tt * tokens;
        cost.memory_s = prepares ? 0 : cost.bytes / c->b;
    }
    cost.seconds = cost.fixed_s + cost.memory_s;
    return cost;
}

struct operator_cost operator_send(const struct gpu *gpu, const struct operator_group *group, double bytes)
{
    bool inside = domains(group) <= 1;
    double latency = inside ? gpu->send.latency : NETWORK_LATENCY;
    double rest = bytes / (inside ? gpu->send.bandwidth : group->nic_bandwidth);
    return (struct operator_cost){
        .bytes = bytes, .memory_s = rest, .fixed_s = latency, .seconds = latency + rest, .link = true};
}
