#include "layers.h"

#include "tandem/check.h"
#include "tandem/numeric.h"
#include "universal.h"

#include <string.h>

void layers_init(struct layers *layers, const struct gpu *gpu, const struct work_shape *shape,
                 const struct timer_config *config)
{
    const struct work_shape *s = shape;
    double reach = s->domain_gpus > 0 ? (double)s->domain_gpus : 1e9;
    double gpus = (double)(s->tensor_parallel * (s->lanes > 0 ? s->lanes : 1));
    *layers = (struct layers){
        .gpu = *gpu,
        .shape = *shape,
        .heads = {(double)s->query_heads, (double)s->kv_heads, (double)s->head_dim, s->kv_value_bytes,
                  config->attention == TIMER_MATERIALIZED ? TIMER_SCORE_PASSES : 0},
        .latent = {(double)s->query_heads, (double)s->mla_latent, (double)s->mla_rope, (double)s->mla_nope,
                   (double)s->mla_value, s->kv_dtype == DTYPE_FP8},
        .experts = {.hidden = (double)s->hidden,
                    .width = (double)s->expert_width,
                    .experts = (double)s->experts,
                    .experts_per_token = (double)s->experts_per_token,
                    .tensor_parallel = (double)s->expert_tensor_parallel,
                    .expert_parallel = (double)s->expert_parallel,
                    .imbalance = config->moe_imbalance > 0 ? config->moe_imbalance : 1,
                    .dtype = s->expert_dtype,
                    .kernels = timer_kernels(config)},
        .power_law = config->moe_imbalance == 0,
        .tensor = {(double)s->tensor_parallel, reach, s->nic_bandwidth, s->nic_line_rate},
        .all = {gpus, reach, s->nic_bandwidth, s->nic_line_rate},
        .stages = {2, s->sends_over_network ? 1 : 2, s->nic_bandwidth, s->nic_line_rate},
    };
    int choice = config->all_to_all;
    if (choice == TIMER_ALL_TO_ALL_AUTO)
        choice = s->lanes > 1 ? TIMER_ALL_TO_ALL_NONE + 1 : TIMER_ALL_TO_ALL_NONE;
    layers->all_to_all = s->expert_layers > 0 && choice != TIMER_ALL_TO_ALL_NONE && gpus > 1;
    layers->mode = (enum gpu_all_to_all_mode)(choice - TIMER_ALL_TO_ALL_NONE - 1);
}

/* Lists an operator that runs so many times; gives the time of one. */
static double note(struct tally *tally, const char *name, double times, struct operator_cost cost)
{
    if (tally && times > 0 && cost.seconds > 0) {
        CHECK(tally->count < TIMER_MOST_OPERATORS, "more than %d operators", TIMER_MOST_OPERATORS);
        tally->operators[tally->count++] = (struct timer_operator){name, times, cost};
    }
    return cost.seconds;
}

static double projection(const struct layers *layers, struct tally *tally, const char *name, double times,
                         double m, double n, double k)
{
    return note(tally, name, times, operator_gemm(&layers->gpu, layers->shape.weight_dtype, m, n, k));
}

/* Projections of one layer of latent attention but the expansion of keys and values, which only prefill has.
 */
static double latent_projections(const struct layers *layers, double m, struct tally *tally)
{
    const struct work_shape *s = &layers->shape;
    double times = (double)s->layers, h = (double)s->hidden, q = (double)s->mla_query_latent;
    double cached = (double)(s->mla_latent + s->mla_rope);
    double queries = (double)(s->query_heads * (s->mla_nope + s->mla_rope));
    double seconds = 0;
    if (q > 0) {
        seconds += projection(layers, tally, "latent projections", times, m, q + cached, h);
        seconds += projection(layers, tally, "query projection", times, m, queries, q);
    } else {
        seconds += projection(layers, tally, "query and latent projections", times, m, queries + cached, h);
    }
    return seconds + projection(layers, tally, "output projection", times, m, h,
                                (double)(s->query_heads * s->mla_value));
}

static double attention_projections(const struct layers *layers, double m, struct tally *tally)
{
    const struct work_shape *s = &layers->shape;
    double times = (double)s->layers, h = (double)s->hidden;
    if (s->mla_latent > 0)
        return latent_projections(layers, m, tally);
    double q_columns = (double)(s->query_heads * s->head_dim);
    double qkv_columns = (double)((s->query_heads + 2 * s->kv_heads) * s->head_dim);
    double qkv = projection(layers, tally, "QKV projection", times, m, qkv_columns, h);
    return qkv + projection(layers, tally, "output projection", times, m, h, q_columns);
}

/* Matrices of one layer: those of attention, then an MLP (the shared experts are one) of that width. */
static double layer_matrices(const struct layers *layers, double times, double m, double attention, double ff,
                             const char *up, const char *down, struct tally *tally)
{
    double h = (double)layers->shape.hidden;
    if (ff == 0)
        return attention;
    double sum =
        attention + projection(layers, tally, up, times, m, layers->shape.gated_mlp ? 2 * ff : ff, h);
    return sum + projection(layers, tally, down, times, m, h, ff);
}

/* Norms, rotary embedding and activation of one layer; the experts' kernels have their own activation. */
static double layer_elementwise(const struct layers *layers, double times, double m, double ff,
                                struct tally *tally)
{
    const struct elementwise *e = &universal_elementwise;
    double h = (double)layers->shape.hidden, bandwidth = layers->gpu.bandwidth;
    double fixed = e->kernels_per_layer * e->kernel;
    double seconds = fixed + e->passes * 2 * m * h / bandwidth + e->activation_bytes * m * ff / bandwidth;
    struct operator_cost cost = {.bytes = e->passes * 2 * m * h + e->activation_bytes * m * ff,
                                 .memory_s = seconds - fixed,
                                 .fixed_s = fixed,
                                 .seconds = seconds};
    return note(tally, "norms and activation", times, cost);
}

static double layer_allreduce(const struct layers *layers, double times, double m, struct tally *tally)
{
    double bytes = 2 * m * (double)layers->shape.hidden;
    return note(tally, "all-reduce", times, operator_allreduce(&layers->gpu, &layers->tensor, bytes));
}

static void add_expert_layers(const struct layers *layers, double m, double attention,
                              struct token_times *sum, struct tally *tally)
{
    const struct work_shape *s = &layers->shape;
    double times = (double)s->expert_layers, ff = (double)s->shared_expert_width, h = (double)s->hidden;
    double matrices =
        layer_matrices(layers, times, m, attention, ff, "shared experts, up", "shared experts, down", tally);
    matrices +=
        note(tally, "router", times, operator_gemm(&layers->gpu, DTYPE_BF16, m, (double)s->experts, h));
    sum->linear += times * matrices;
    sum->elementwise += times * layer_elementwise(layers, times, m, ff, tally);
    double reductions = layers->all_to_all ? 1 : 2;
    sum->allreduce += times * (reductions * layer_allreduce(layers, reductions * times, m, tally));
}

struct token_times layers_of_tokens(const struct layers *layers, double tokens, struct tally *tally)
{
    const struct work_shape *s = &layers->shape;
    double m = tokens, dense = (double)(s->layers - s->expert_layers), ff = (double)s->mlp_width;
    double attention = attention_projections(layers, m, tally);
    struct token_times sum = {0};
    if (dense > 0) {
        sum.linear = dense * layer_matrices(layers, dense, m, attention, ff, "MLP, up", "MLP, down", tally);
        sum.elementwise = dense * layer_elementwise(layers, dense, m, ff, tally);
        sum.allreduce = dense * (2 * layer_allreduce(layers, 2 * dense, m, tally));
    }
    if (s->expert_layers > 0)
        add_expert_layers(layers, m, attention, &sum, tally);
    return sum;
}

/* Bytes of a row on its way to the experts: FP8 with scales where their kernels take FP8 or FP4, else 16
 * bits. NCCL gathers before it is quantized. */
static double dispatch_bytes(const struct layers *layers)
{
    enum dtype dtype = layers->shape.expert_dtype;
    bool own =
        layers->gpu.gemm[dtype].present || (dtype == DTYPE_MXFP4_A8 && layers->gpu.gemm[DTYPE_FP8].present);
    bool quantized = own && (dtype == DTYPE_FP8 || dtype == DTYPE_FP8_BLOCK || dtype == DTYPE_FP4 ||
                             dtype == DTYPE_MXFP4_A8);
    return (double)layers->shape.hidden * (quantized && layers->mode != ALL_TO_ALL_NCCL ? 1.03125 : 2);
}

struct expert_times layers_of_experts(const struct layers *layers, double tokens, struct tally *tally)
{
    static const char *const names[] = {"all-to-all, prepare", "all-to-all, dispatch", "all-to-all, combine"};
    const struct work_shape *s = &layers->shape;
    double times = (double)s->expert_layers;
    struct expert_sizes sizes = layers->experts;
    if (layers->power_law)
        sizes.imbalance = operator_power_law_imbalance(tokens, sizes.experts, sizes.expert_parallel);
    struct expert_times sum = {
        .experts = times * note(tally, "experts", times, operator_experts(&layers->gpu, &sizes, tokens))};
    double unused = numeric_pow(1 - sizes.experts_per_token / sizes.experts, tokens);
    sum.weight_bytes = times * sizes.experts * (1 - unused) * 3 * sizes.hidden * sizes.width *
                       layers->gpu.gemm[s->expert_dtype].weight_bytes;
    for (int phase = 0; layers->all_to_all && phase < ALL_TO_ALL_PHASE_COUNT; phase++) {
        double row = phase == ALL_TO_ALL_COMBINE ? 2 * (double)s->hidden : dispatch_bytes(layers);
        struct operator_cost cost =
            operator_all_to_all(&layers->gpu, layers->mode, (enum gpu_all_to_all_phase)phase, &layers->all,
                                tokens / layers->all.gpus, (double)s->experts_per_token, row);
        sum.all_to_all += times * note(tally, names[phase], times, cost);
    }
    return sum;
}

/* Decodes run in the prefill kernel: FlashAttention-2, where attention is that. */
static bool mixed(const struct layers *layers, const struct work *work)
{
    return layers->gpu.mixed_attention.present && layers->shape.mla_latent == 0 &&
           layers->heads.score_passes == 0 && work->prefill_tokens > 0 && work->decode_sequences > 0;
}

static double latent_prefill(const struct layers *layers, const struct work *work, struct tally *tally)
{
    const struct work_shape *s = &layers->shape;
    double times = (double)s->layers, columns = (double)(s->query_heads * (s->mla_nope + s->mla_value));
    double expand = projection(layers, tally, "expansion of keys and values", times,
                               (double)work->prefill_kv_tokens, columns, (double)s->mla_latent);
    return times *
           (expand + note(tally, "prefill attention", times,
                          operator_mla_prefill(&layers->gpu, &layers->latent, (double)work->prefill_tokens,
                                               (double)work->prefill_work_x2 / 2)));
}

static int64_t longest_in_window(const struct layers *layers, const struct work *work)
{
    int64_t window = layers->shape.sliding_window, longest = work->longest_context_tokens;
    return longest < window ? longest : window;
}

/* One kind of layers: full, or with a sliding window. */
static double prefill_of(const struct layers *layers, const struct work *work, double times, const char *name,
                         int64_t work_x2, int64_t context, int64_t longest, struct tally *tally)
{
    double tokens = (double)work->prefill_tokens, w = (double)work_x2 / 2;
    if (mixed(layers, work))
        return times * note(tally, name, times,
                            operator_mixed_attention(&layers->gpu, &layers->heads, tokens, w,
                                                     (double)work->decode_sequences, (double)context,
                                                     (double)longest));
    return times * note(tally, name, times,
                        operator_prefill_attention(&layers->gpu, &layers->heads, tokens, w,
                                                   (double)work->prefill_scores));
}

double layers_prefill_attention(const struct layers *layers, const struct work *work, struct tally *tally)
{
    const struct work_shape *s = &layers->shape;
    double full = (double)(s->layers - s->sliding_layers), sliding = (double)s->sliding_layers;
    if (work->prefill_tokens == 0)
        return 0;
    if (s->mla_latent > 0)
        return latent_prefill(layers, work, tally);
    double seconds = 0;
    if (full > 0)
        seconds += prefill_of(layers, work, full, "prefill attention", work->prefill_work_x2,
                              work->decode_context_tokens, work->longest_context_tokens, tally);
    if (sliding > 0)
        seconds +=
            prefill_of(layers, work, sliding, "prefill attention, windows", work->sliding_prefill_work_x2,
                       work->sliding_context_tokens, longest_in_window(layers, work), tally);
    return seconds;
}

static double decode_of(const struct layers *layers, const struct work *work, double times, const char *name,
                        int64_t context, struct tally *tally)
{
    return times * note(tally, name, times,
                        operator_decode_attention(&layers->gpu, &layers->heads,
                                                  (double)work->decode_sequences, (double)context));
}

double layers_decode_attention(const struct layers *layers, const struct work *work, struct tally *tally)
{
    const struct work_shape *s = &layers->shape;
    double full = (double)(s->layers - s->sliding_layers), sliding = (double)s->sliding_layers;
    double sequences = (double)work->decode_sequences, seconds = 0;
    if (work->decode_sequences == 0 || mixed(layers, work))
        return 0;
    if (s->mla_latent > 0) {
        double bmm = note(tally, "absorbed products", 2 * full,
                          operator_mla_bmm(&layers->gpu, &layers->latent, sequences));
        return full * (2 * bmm + note(tally, "decode attention", full,
                                      operator_mla_decode(&layers->gpu, &layers->latent, sequences,
                                                          (double)work->decode_context_tokens)));
    }
    if (full > 0)
        seconds += decode_of(layers, work, full, "decode attention", work->decode_context_tokens, tally);
    if (sliding > 0)
        seconds += decode_of(layers, work, sliding, "decode attention, windows", work->sliding_context_tokens,
                             tally);
    return seconds;
}

double layers_head(const struct layers *layers, double rows, struct tally *tally)
{
    const struct work_shape *s = &layers->shape;
    double sampler = universal_elementwise.sampler;
    if (s->vocabulary == 0)
        return 0;
    double head =
        note(tally, "output head", 1,
             operator_gemm(&layers->gpu, DTYPE_BF16, rows, (double)s->vocabulary, (double)s->hidden));
    return head + note(tally, "sampler", 1, (struct operator_cost){.fixed_s = sampler, .seconds = sampler});
}
