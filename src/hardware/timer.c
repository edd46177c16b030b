/* The roofline timer. Formulas and their sources: README of this folder. Every sum is taken in one fixed
 * order and powers come from numeric.h, so that the same work takes the same nanoseconds on every CPU. */
#include "tandem/timer.h"

#include "tandem/check.h"
#include "tandem/mem.h"
#include "tandem/numeric.h"
#include "tandem/simtime.h"
#include "norm.h"
#include "universal.h"

#include <math.h>

/* Entries kept at most: larger iterations are rare enough to be computed anew. */
enum { TABLE_LIMIT = 1 << 17 };

/* What depends on the number of tokens alone, over all layers, in s. linear is 0 while not computed yet. */
struct token_times {
    double linear, elementwise, allreduce;
};

struct timer {
    struct gpu gpu;
    struct work_shape shape;
    struct timer_config config;
    struct token_times *tokens; /* by Tp + nd */
    size_t token_capacity;
    double *heads; /* by rows of logits; 0 while not computed yet */
    size_t head_capacity;
    struct norm decode_norm;  /* of decode attention; not used at level fixed */
    double per_context_token; /* compute and memory terms of that norm, as one */
    double per_sequence;      /* its third term */
};

static const char *const level_names[] = {"calibrated", "universal", "fixed", NULL};

#define FIELD(member) offsetof(struct timer_config, member)

static const struct option options[] = {
    {"level", OPTION_CHOICE, "\"calibrated\"", 0, 0, level_names, FIELD(level),
     "calibrated: the GPU's coefficients; universal: one set for all; fixed: prefill_ms, decode_ms"},
    {"iteration_overhead_ms", OPTION_NUMBER, "0.5", 0, 1e6, NULL, FIELD(iteration_overhead_ms),
     "time of an iteration outside the GPU (with CUDA graphs 0 to 2)"},
    {"prefill_ms", OPTION_NUMBER, "0", 0, 1e9, NULL, FIELD(prefill_ms),
     "level fixed: time of an iteration with prefill tokens"},
    {"decode_ms", OPTION_NUMBER, "0", 0, 1e9, NULL, FIELD(decode_ms),
     "level fixed: time of an iteration without prefill tokens"},
};

OPTION_TABLE(timer_options, "timer", "how the time of an iteration is found", options);

/* (x^p + y^p + z^p)^(1/p), taken relative to the largest so that no power leaves the range of a double. */
static double pnorm3(double p, double x, double y, double z)
{
    double top = fmax(x, fmax(y, z));
    if (top <= 0)
        return 0;
    if (p == 1)
        return x + y + z;
    double sum = 0;
    const double terms[] = {x, y, z};
    for (int i = 0; i < 3; i++)
        sum += terms[i] == top ? 1 : numeric_pow(terms[i] / top, p);
    return top * numeric_pow(sum, 1 / p);
}

/* Terms of the norm of decode attention over one layer. */
struct decode_terms {
    double compute, memory, sequences;
};

static struct decode_terms decode_terms(const struct timer *timer, double context, double sequences)
{
    const struct gpu *gpu = &timer->gpu;
    const struct gpu_decode_attention *a = &gpu->decode_attention;
    const struct work_shape *s = &timer->shape;
    double hd = (double)s->head_dim, heads = (double)s->query_heads, kv_heads = (double)s->kv_heads;
    return (struct decode_terms){.compute = 4 * heads * hd * context / (gpu->peak_bf16_flops * a->ec),
                                 .memory = 2 * s->kv_value_bytes * context * kv_heads * hd /
                                           (gpu->bandwidth * a->em),
                                 .sequences = a->ts * sequences * kv_heads};
}

static void prepare_decode_norm(struct timer *timer)
{
    struct decode_terms one = decode_terms(timer, 1, 1);
    double p = timer->gpu.decode_attention.p;
    norm_init(&timer->decode_norm, p);
    timer->per_context_token = pnorm3(p, one.compute, one.memory, 0);
    timer->per_sequence = one.sequences;
}

struct timer *timer_new(const struct gpu *gpu, const struct work_shape *shape,
                        const struct timer_config *config)
{
    struct timer *timer = mem_array(1, sizeof *timer);
    timer->gpu = *gpu;
    timer->shape = *shape;
    timer->config = *config;
    if (config->level == TIMER_UNIVERSAL)
        gpu_use_universal(&timer->gpu);
    CHECK(config->level == TIMER_FIXED || gpu->gemm[shape->weight_dtype].present,
          "%s has no coefficients of data type %d", gpu->name, (int)shape->weight_dtype);
    if (config->level != TIMER_FIXED)
        prepare_decode_norm(timer);
    return timer;
}

void timer_free(struct timer *timer)
{
    if (!timer)
        return;
    norm_clear(&timer->decode_norm);
    mem_free(timer->tokens);
    mem_free(timer->heads);
    mem_free(timer);
}

/* m x k by k x n. */
static double gemm_seconds(const struct gpu *gpu, enum dtype dtype, double m, double n, double k)
{
    const struct gpu_gemm *g = &gpu->gemm[dtype];
    double bandwidth = gpu->bandwidth * g->em;
    double wb = g->weight_bytes;
    double compute = 2 * m * n * k / (gpu->peak_bf16_flops * g->mul * g->ec);
    double memory = wb * n * k / bandwidth + (wb * m * k + 2 * m * n) / (bandwidth * g->r);
    double quantize = g->kq * (2 + wb) * m * k / gpu->bandwidth;
    return g->t0 + pnorm3(g->p, compute, memory, 0) + quantize;
}

/* One all-reduce of so many bytes over n GPUs: the better of one-shot and two-shot. */
static double allreduce_seconds(const struct gpu_allreduce *a, double bytes, double n)
{
    if (n < 2)
        return 0;
    double one_shot = a->a1 + a->an * (n - 1) + (n - 1) * bytes / a->b1;
    double two_shot = a->a2 + a->an * (n - 1) + 2 * (n - 1) / n * bytes / a->b2;
    return fmin(one_shot, two_shot);
}

static struct token_times compute_token_times(const struct timer *timer, double m)
{
    const struct gpu *gpu = &timer->gpu;
    const struct work_shape *s = &timer->shape;
    const struct elementwise *e = &universal_elementwise;
    double layers = (double)s->layers, h = (double)s->hidden, ff = (double)s->mlp_width;
    double q_columns = (double)(s->query_heads * s->head_dim);
    double qkv_columns = (double)((s->query_heads + 2 * s->kv_heads) * s->head_dim);
    double linear = gemm_seconds(gpu, s->weight_dtype, m, qkv_columns, h) +
                    gemm_seconds(gpu, s->weight_dtype, m, h, q_columns) +
                    gemm_seconds(gpu, s->weight_dtype, m, s->gated_mlp ? 2 * ff : ff, h) +
                    gemm_seconds(gpu, s->weight_dtype, m, h, ff);
    double elementwise = e->kernels_per_layer * e->kernel + e->passes * 2 * m * h / gpu->bandwidth +
                         e->activation_bytes * m * ff / gpu->bandwidth;
    double allreduce = 2 * allreduce_seconds(&gpu->allreduce, 2 * m * h, (double)s->tensor_parallel);
    return (struct token_times){layers * linear, layers * elementwise, layers * allreduce};
}

static struct token_times token_times(struct timer *timer, int64_t tokens)
{
    if (tokens >= TABLE_LIMIT)
        return compute_token_times(timer, (double)tokens);
    size_t index = (size_t)tokens;
    if (index >= timer->token_capacity)
        timer->tokens = mem_grow(timer->tokens, &timer->token_capacity, index + 1, sizeof *timer->tokens);
    struct token_times *times = &timer->tokens[index];
    if (times->linear == 0)
        *times = compute_token_times(timer, (double)tokens);
    return *times;
}

/* The output head (always 16 bits) and the sampler. */
static double compute_head(const struct timer *timer, double rows)
{
    const struct work_shape *s = &timer->shape;
    return gemm_seconds(&timer->gpu, DTYPE_BF16, rows, (double)s->vocabulary, (double)s->hidden) +
           universal_elementwise.sampler;
}

static double head_time(struct timer *timer, int64_t rows)
{
    if (rows >= TABLE_LIMIT)
        return compute_head(timer, (double)rows);
    size_t index = (size_t)rows;
    if (index >= timer->head_capacity)
        timer->heads = mem_grow(timer->heads, &timer->head_capacity, index + 1, sizeof *timer->heads);
    if (timer->heads[index] == 0)
        timer->heads[index] = compute_head(timer, (double)rows);
    return timer->heads[index];
}

static double prefill_attention(const struct timer *timer, const struct work *work)
{
    if (work->prefill_tokens == 0)
        return 0;
    const struct gpu *gpu = &timer->gpu;
    const struct gpu_prefill_attention *a = &gpu->prefill_attention;
    const struct work_shape *s = &timer->shape;
    double tokens = (double)work->prefill_tokens, w = (double)work->prefill_work_x2 / 2;
    double hd = (double)s->head_dim, heads = (double)s->query_heads, kv_heads = (double)s->kv_heads;
    double compute = 4 * hd * heads * w / (gpu->peak_bf16_flops * a->ec * hd / (hd + a->hh));
    double bytes = 2 * tokens * hd * (2 * heads + 2 * kv_heads) + a->kw * 4 * tokens * hd * kv_heads;
    return (double)s->layers * (a->t0 + compute + bytes / (gpu->bandwidth * a->em));
}

static double decode_attention(const struct timer *timer, const struct work *work)
{
    if (work->decode_sequences == 0)
        return 0;
    const struct gpu_decode_attention *a = &timer->gpu.decode_attention;
    struct decode_terms terms =
        decode_terms(timer, (double)work->decode_context_tokens, (double)work->decode_sequences);
    return (double)timer->shape.layers * (a->t0 + pnorm3(a->p, terms.compute, terms.memory, terms.sequences));
}

struct timer_parts timer_iteration_parts(struct timer *timer, const struct work *work)
{
    struct timer_parts parts = {0};
    if (timer->config.level == TIMER_FIXED) {
        double ms = work->prefill_tokens > 0 ? timer->config.prefill_ms : timer->config.decode_ms;
        parts.overhead = parts.total = ms / 1e3;
        return parts;
    }
    struct token_times times = token_times(timer, work->prefill_tokens + work->decode_sequences);
    parts.linear = times.linear;
    parts.elementwise = times.elementwise;
    parts.allreduce = times.allreduce;
    parts.prefill_attention = prefill_attention(timer, work);
    parts.decode_attention = decode_attention(timer, work);
    parts.head = head_time(timer, work->logit_rows);
    parts.overhead = timer->config.iteration_overhead_ms / 1e3;
    parts.total = parts.linear + parts.prefill_attention + parts.decode_attention + parts.elementwise +
                  parts.allreduce + parts.head + parts.overhead;
    return parts;
}

/* Rounds a quickly found time; 0 when it is so near to the middle between two nanoseconds that its error
 * could matter. Beside the norm's error, the order of its sum differs from that of timer_iteration_parts. */
static int64_t round_quick(double seconds)
{
    double ns = seconds * 1e9;
    if (!(ns < 0x1p50))
        return 0;
    double whole = (ns + 0x1.8p52) - 0x1.8p52; /* half to even, as rint() */
    return fabs(ns - whole) < 0.5 - 2 * NORM_ERROR * ns ? (int64_t)whole : 0;
}

static int64_t exact_ns(struct timer *timer, const struct work *work)
{
    int64_t ns = simtime_from_seconds(timer_iteration_parts(timer, work).total);
    return ns > 0 ? ns : 1;
}

static double quick_decode_attention(struct timer *timer, int64_t context_tokens, double sequences_term)
{
    double norm =
        norm_of(&timer->decode_norm, timer->per_context_token * (double)context_tokens, sequences_term);
    return (double)timer->shape.layers * (timer->gpu.decode_attention.t0 + norm);
}

/* Of an iteration, all but decode attention; not at level fixed. */
static double rest_seconds(struct timer *timer, const struct work *work)
{
    struct token_times times = token_times(timer, work->prefill_tokens + work->decode_sequences);
    return times.linear + times.elementwise + times.allreduce + prefill_attention(timer, work) +
           head_time(timer, work->logit_rows) + timer->config.iteration_overhead_ms / 1e3;
}

int64_t timer_iteration_ns(struct timer *timer, const struct work *work)
{
    if (timer->config.level == TIMER_FIXED || work->decode_sequences == 0)
        return exact_ns(timer, work);
    double attention = quick_decode_attention(timer, work->decode_context_tokens,
                                              timer->per_sequence * (double)work->decode_sequences);
    int64_t ns = round_quick(rest_seconds(timer, work) + attention);
    return ns > 0 ? ns : exact_ns(timer, work);
}

struct timer_decode timer_decode_begin(struct timer *timer, int64_t sequences)
{
    struct work work = {.decode_sequences = sequences, .logit_rows = sequences};
    struct timer_decode decode = {.timer = timer, .sequences = sequences};
    if (timer->config.level == TIMER_FIXED)
        return decode;
    decode.rest_s = rest_seconds(timer, &work);
    decode.sequences_term = timer->per_sequence * (double)sequences;
    return decode;
}

int64_t timer_decode_ns(const struct timer_decode *decode, int64_t context_tokens)
{
    struct timer *timer = decode->timer;
    int64_t ns = 0;
    if (timer->config.level != TIMER_FIXED)
        ns = round_quick(decode->rest_s +
                         quick_decode_attention(timer, context_tokens, decode->sequences_term));
    if (ns > 0)
        return ns;
    struct work work = {.decode_sequences = decode->sequences,
                        .decode_context_tokens = context_tokens,
                        .logit_rows = decode->sequences};
    return exact_ns(timer, &work);
}

struct timer_span timer_span(struct timer *timer, const struct work *works, int64_t lanes)
{
    struct timer_span span = {0};
    for (int64_t i = 0; i < lanes; i++) {
        int64_t ns = timer_iteration_ns(timer, &works[i]);
        span.gpu_ns = ns > span.gpu_ns ? ns : span.gpu_ns;
    }
    return span;
}

int64_t timer_send_ns(const struct timer *timer, int64_t tokens)
{
    return simtime_from_seconds(2.0 * (double)(tokens * timer->shape.hidden) / timer->gpu.link_bandwidth);
}
