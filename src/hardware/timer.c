/* The roofline timer: tables, iterations, and the quick way while contexts grow. What an iteration consists
 * of is in layers.c, the formulas are in operators.c. */
#include "tandem/timer.h"

#include "tandem/check.h"
#include "tandem/mem.h"
#include "tandem/simtime.h"
#include "layers.h"
#include "norm.h"
#include "pnorm.h"

#include <math.h>
#include <string.h>

/* Entries kept at most: larger iterations are rare enough to be computed anew. */
enum { TABLE_LIMIT = 1 << 17 };

/* A table by a small number; an entry of 0 is not computed yet. */
#define TABLE(type)                                                                                          \
    struct {                                                                                                 \
        type *entries;                                                                                       \
        size_t capacity;                                                                                     \
    }

/* What each iteration looks at comes first: together in the CPU's nearer caches. */
struct timer {
    bool quick; /* plain attention: its norm by polynomials */
    bool eager, has_experts, mixes;
    int64_t lanes;
    double full_layers, sliding_layers;
    double quick_fixed_s;     /* kernels of decode attention, and a host that is not eager */
    double per_context_token; /* compute and memory terms of the norm of decode attention, as one */
    double per_sequence;      /* its third term */
    double overhead_s;        /* of a host with graphs, or constant */
    struct norm decode_norm;
    TABLE(struct token_times) tokens;   /* by tokens of a lane */
    TABLE(double) heads;                /* by rows of logits */
    TABLE(struct expert_times) experts; /* by tokens of all lanes */
    struct timer_config config;
    struct layers layers;
};

/* Terms of the norm of one layer, for one token of context and one sequence. */
static void prepare_decode_norm(struct timer *timer)
{
    const struct gpu_decode_attention *a = &timer->layers.gpu.decode_attention;
    struct operator_cost one = operator_decode_attention(&timer->layers.gpu, &timer->layers.heads, 1, 1);
    norm_init(&timer->decode_norm, a->p);
    timer->per_context_token = pnorm3(a->p, one.compute_s, one.memory_s, 0);
    timer->per_sequence = a->ts * timer->layers.heads.kv_heads;
    timer->quick_fixed_s = (timer->full_layers + timer->sliding_layers) * a->t0 + timer->overhead_s;
}

/* Matrices and all-reduces take as long as the eager host's kernels: each term of theirs times the factor. */
static void use_kernels_of_host(struct gpu *gpu)
{
    double gemm = gpu->eager.gemm_factor, all = gpu->eager.allreduce_factor;
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++) {
        struct gpu_gemm *g = &gpu->gemm[dtype];
        g->t0 *= gemm;
        g->tk *= gemm;
        g->kq *= gemm;
        g->ko *= gemm;
        g->ec /= gemm;
        g->em /= gemm;
    }
    struct gpu_allreduce *a = &gpu->allreduce;
    a->a1 *= all;
    a->an *= all;
    a->a2 *= all;
    a->b1 /= all;
    a->b2 /= all;
}

struct timer *timer_new(const struct gpu *gpu, const struct work_shape *shape,
                        const struct timer_config *config)
{
    struct timer *timer = mem_array(1, sizeof *timer);
    const struct timer_host *host = timer_host(config);
    timer->config = *config;
    struct gpu set = *gpu;
    if (config->level == TIMER_UNIVERSAL)
        gpu_use_universal(&set);
    timer->eager = host->kind == TIMER_HOST_EAGER && config->level != TIMER_FIXED;
    if (timer->eager)
        use_kernels_of_host(&set);
    layers_init(&timer->layers, &set, shape, config);
    if (config->level == TIMER_FIXED)
        return timer;
    timer->has_experts = shape->expert_layers > 0;
    timer->mixes = set.mixed_attention.present;
    timer->lanes = shape->lanes > 1 ? shape->lanes : 1;
    double ms =
        config->iteration_overhead_ms < 0 ? host->iteration_overhead_ms : config->iteration_overhead_ms;
    timer->overhead_s = timer->eager ? 0 : ms / 1e3;
    if (host->kind == TIMER_HOST_GRAPHS && config->iteration_overhead_ms < 0)
        timer->overhead_s *= gpu->host_factor;
    timer->sliding_layers = (double)shape->sliding_layers;
    timer->full_layers = (double)(shape->layers - shape->sliding_layers);
    timer->quick = shape->mla_latent == 0 && config->attention == TIMER_FLASH;
    if (timer->quick)
        prepare_decode_norm(timer);
    return timer;
}

void timer_free(struct timer *timer)
{
    if (!timer)
        return;
    norm_clear(&timer->decode_norm);
    mem_free(timer->tokens.entries);
    mem_free(timer->experts.entries);
    mem_free(timer->heads.entries);
    mem_free(timer);
}

static inline struct token_times token_times(struct timer *timer, int64_t tokens)
{
    if (tokens >= TABLE_LIMIT)
        return layers_of_tokens(&timer->layers, (double)tokens, NULL);
    size_t index = (size_t)tokens;
    if (index >= timer->tokens.capacity)
        timer->tokens.entries = mem_grow(timer->tokens.entries, &timer->tokens.capacity, index + 1,
                                         sizeof *timer->tokens.entries);
    struct token_times *times = &timer->tokens.entries[index];
    if (times->linear == 0)
        *times = layers_of_tokens(&timer->layers, (double)tokens, NULL);
    return *times;
}

static struct expert_times expert_times(struct timer *timer, int64_t tokens)
{
    if (tokens >= TABLE_LIMIT)
        return layers_of_experts(&timer->layers, (double)tokens, NULL);
    size_t index = (size_t)tokens;
    if (index >= timer->experts.capacity)
        timer->experts.entries = mem_grow(timer->experts.entries, &timer->experts.capacity, index + 1,
                                          sizeof *timer->experts.entries);
    struct expert_times *times = &timer->experts.entries[index];
    if (times->experts == 0)
        *times = layers_of_experts(&timer->layers, (double)tokens, NULL);
    return *times;
}

static double head_time(struct timer *timer, int64_t rows)
{
    if (rows >= TABLE_LIMIT)
        return layers_head(&timer->layers, (double)rows, NULL);
    size_t index = (size_t)rows;
    if (index >= timer->heads.capacity)
        timer->heads.entries =
            mem_grow(timer->heads.entries, &timer->heads.capacity, index + 1, sizeof *timer->heads.entries);
    if (timer->heads.entries[index] == 0)
        timer->heads.entries[index] = layers_head(&timer->layers, (double)rows, NULL);
    return timer->heads.entries[index];
}

/* Time of an iteration whose GPUs take so long. Without graphs the host launches kernels while the GPUs work:
 * the norm of 4 is near the longer of both. It takes square roots only, so that it costs little. */
static double with_host(const struct timer *timer, double gpu_s, bool prefill, int64_t sequences)
{
    if (!timer->eager)
        return gpu_s + timer->overhead_s;
    const struct gpu_eager *e = &timer->layers.gpu.eager;
    double host = (prefill ? e->prefill : e->decode) + e->sequence * (double)sequences +
                  (double)timer->layers.shape.layers * e->layer * timer->config.eager_factor;
    double g = gpu_s * gpu_s, h = host * host;
    return sqrt(sqrt(g * g + h * h));
}

static int64_t tokens_of(const struct work *work)
{
    return work->prefill_tokens + work->decode_sequences;
}

static double fixed_seconds(const struct timer *timer, const struct work *work)
{
    return (work->prefill_tokens > 0 ? timer->config.prefill_ms : timer->config.decode_ms) / 1e3;
}

struct timer_parts timer_iteration_parts(struct timer *timer, const struct work *work)
{
    return timer_lane_parts(timer, work, timer->lanes);
}

struct timer_parts timer_lane_parts(struct timer *timer, const struct work *work, int64_t lanes)
{
    struct timer_parts parts = {0};
    if (timer->config.level == TIMER_FIXED) {
        parts.overhead = parts.total = fixed_seconds(timer, work);
        return parts;
    }
    struct token_times times = token_times(timer, tokens_of(work));
    struct expert_times experts = {0};
    if (timer->has_experts)
        experts = expert_times(timer, tokens_of(work) * lanes);
    parts.linear = times.linear;
    parts.elementwise = times.elementwise;
    parts.allreduce = times.allreduce;
    parts.experts = experts.experts;
    parts.all_to_all = experts.all_to_all;
    parts.prefill_attention = layers_prefill_attention(&timer->layers, work, NULL);
    parts.decode_attention = layers_decode_attention(&timer->layers, work, NULL);
    parts.head = head_time(timer, work->logit_rows);
    double gpu_s = parts.linear + parts.prefill_attention + parts.decode_attention + parts.elementwise +
                   parts.allreduce + parts.experts + parts.all_to_all + parts.head;
    parts.total = with_host(timer, gpu_s, work->prefill_tokens > 0, work->decode_sequences);
    parts.overhead = timer->eager ? parts.total - gpu_s : timer->overhead_s;
    return parts;
}

size_t timer_operators(const struct timer *timer, const struct work *work,
                       struct timer_operator operators[TIMER_MOST_OPERATORS])
{
    struct tally tally = {.operators = operators};
    const struct layers *layers = &timer->layers;
    CHECK(timer->config.level != TIMER_FIXED, "a fixed time has no operators");
    layers_of_tokens(layers, (double)tokens_of(work), &tally);
    layers_prefill_attention(layers, work, &tally);
    layers_decode_attention(layers, work, &tally);
    if (layers->shape.expert_layers > 0)
        layers_of_experts(layers, (double)(tokens_of(work) * timer->lanes), &tally);
    layers_head(layers, (double)work->logit_rows, &tally);
    return tally.count;
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

/* Decode attention beyond the fixed time of its kernels. */
static inline double quick_attention(struct timer *timer, int64_t context_tokens, int64_t sliding_tokens,
                                     double sequences_term)
{
    double per_token = timer->per_context_token;
    double seconds =
        timer->full_layers * norm_of(&timer->decode_norm, per_token * (double)context_tokens, sequences_term);
    if (timer->sliding_layers > 0)
        seconds += timer->sliding_layers *
                   norm_of(&timer->decode_norm, per_token * (double)sliding_tokens, sequences_term);
    return seconds;
}

/* Of an iteration with decodes, all but what quick_attention gives; without an eager host. */
static double rest_seconds(struct timer *timer, const struct work *work)
{
    struct token_times times = token_times(timer, tokens_of(work));
    double seconds = times.linear + times.elementwise + times.allreduce + head_time(timer, work->logit_rows) +
                     timer->quick_fixed_s;
    if (work->prefill_tokens > 0)
        seconds += layers_prefill_attention(&timer->layers, work, NULL);
    if (timer->has_experts) {
        struct expert_times experts = expert_times(timer, tokens_of(work) * timer->lanes);
        seconds += experts.experts + experts.all_to_all;
    }
    return seconds;
}

/* Whether decode attention has the norm that is quickly found. */
static bool is_quick(const struct timer *timer, const struct work *work)
{
    return timer->quick && work->decode_sequences > 0 && !(timer->mixes && work->prefill_tokens > 0);
}

/* Adds the host to a time that has all but an eager one. */
static inline double with_eager(const struct timer *timer, double seconds, bool prefill, int64_t sequences)
{
    return timer->eager ? with_host(timer, seconds, prefill, sequences) : seconds;
}

int64_t timer_iteration_ns(struct timer *timer, const struct work *work)
{
    if (!is_quick(timer, work))
        return exact_ns(timer, work);
    double seconds = rest_seconds(timer, work) +
                     quick_attention(timer, work->decode_context_tokens, work->sliding_context_tokens,
                                     timer->per_sequence * (double)work->decode_sequences);
    int64_t ns = round_quick(with_eager(timer, seconds, work->prefill_tokens > 0, work->decode_sequences));
    return ns > 0 ? ns : exact_ns(timer, work);
}

struct timer_decode timer_decode_begin(struct timer *timer, int64_t sequences)
{
    struct work work = {.decode_sequences = sequences, .logit_rows = sequences};
    struct timer_decode decode = {.timer = timer, .sequences = sequences};
    if (!timer->quick)
        return decode;
    decode.rest_s = rest_seconds(timer, &work);
    decode.sequences_term = timer->per_sequence * (double)sequences;
    return decode;
}

int64_t timer_decode_ns(const struct timer_decode *decode, int64_t context_tokens,
                        int64_t sliding_context_tokens)
{
    struct timer *timer = decode->timer;
    int64_t ns = 0;
    if (timer->quick) {
        double seconds = decode->rest_s + quick_attention(timer, context_tokens, sliding_context_tokens,
                                                          decode->sequences_term);
        ns = round_quick(with_eager(timer, seconds, false, decode->sequences));
    }
    if (ns > 0)
        return ns;
    struct work work = {.decode_sequences = decode->sequences,
                        .decode_context_tokens = context_tokens,
                        .sliding_context_tokens = sliding_context_tokens,
                        .logit_rows = decode->sequences};
    return exact_ns(timer, &work);
}

/* A lane's share of an iteration: all but the experts. */
static double lane_seconds(struct timer *timer, const struct work *work)
{
    struct token_times times = token_times(timer, tokens_of(work));
    return times.linear + times.elementwise + times.allreduce +
           layers_prefill_attention(&timer->layers, work, NULL) +
           layers_decode_attention(&timer->layers, work, NULL) + head_time(timer, work->logit_rows);
}

struct timer_span timer_span(struct timer *timer, const struct work *works, int64_t lanes)
{
    int64_t tokens = 0, sequences = 0;
    double slowest = 0;
    bool prefill = false, fixed = timer->config.level == TIMER_FIXED;
    for (int64_t i = 0; i < lanes; i++) {
        if (tokens_of(&works[i]) == 0)
            continue;
        slowest = fmax(slowest, fixed ? fixed_seconds(timer, &works[i]) : lane_seconds(timer, &works[i]));
        tokens += tokens_of(&works[i]);
        prefill = prefill || works[i].prefill_tokens > 0;
        sequences = works[i].decode_sequences > sequences ? works[i].decode_sequences : sequences;
    }
    CHECK(tokens > 0, "an iteration of %lld lanes has no tokens", (long long)lanes);
    struct timer_span span = {0};
    double gpu_s = slowest;
    if (!fixed) {
        if (timer->has_experts) {
            struct expert_times experts = expert_times(timer, tokens);
            gpu_s += experts.experts + experts.all_to_all;
        }
        if (timer->eager)
            gpu_s = with_host(timer, gpu_s, prefill, sequences);
        else
            span.host_ns = simtime_from_seconds(timer->overhead_s);
    }
    span.gpu_ns = simtime_from_seconds(gpu_s);
    span.gpu_ns = span.gpu_ns > 0 ? span.gpu_ns : 1;
    return span;
}

uint64_t timer_expert_bytes(struct timer *timer, int64_t tokens)
{
    return timer->has_experts ? (uint64_t)expert_times(timer, tokens).weight_bytes : 0;
}

int64_t timer_send_ns(const struct timer *timer, int64_t tokens)
{
    const struct work_shape *s = &timer->layers.shape;
    /* Each GPU sends its share of the rows to its counterpart. */
    double bytes = 2.0 * (double)(tokens * s->hidden) / (double)s->tensor_parallel;
    return simtime_from_seconds(operator_send(&timer->layers.gpu, &timer->layers.stages, bytes).seconds);
}
