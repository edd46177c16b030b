/* What a model's sizes add up to: parameters, bytes, FLOPs. */
#include "parts.h"
#include "tandem/check.h"

/* Elements on one GPU. */
struct elements {
    int64_t matrices; /* of layers: in the weights' data type */
    int64_t experts;  /* matrices of routed experts: in theirs */
    int64_t rest;     /* in 16 bits */
};

/* What of a model is counted: the part of one GPU, or all of it. */
struct part {
    int64_t tensor_parallel;
    int64_t expert_tensor_parallel;
    int64_t routed;              /* experts of each layer */
    int64_t first_layer, layers; /* [first, first + layers) */
    bool embedding, head;        /* the ends are in it */
};

static void add(struct elements *sum, int64_t times, struct elements part)
{
    sum->matrices += times * part.matrices;
    sum->experts += times * part.experts;
    sum->rest += times * part.rest;
}

static int64_t norm_elements(const struct model *model, int64_t width)
{
    return model->norm == NORM_LAYER ? 2 * width : width;
}

/* Projections to latents are on every GPU, those from them are divided by heads. */
static struct elements count_latent_attention(const struct model *model, int64_t tp)
{
    int64_t heads = model->heads / tp, cached = model->mla_latent + model->mla_rope;
    int64_t query = model->mla_query_latent, query_input = query > 0 ? query : model->hidden;
    struct elements sum = {0};
    sum.matrices = model->hidden * (query + cached) + query_input * heads * model->head_dim +
                   model->mla_latent * heads * (model->mla_nope + model->mla_value) +
                   heads * model->mla_value * model->hidden;
    sum.rest = norm_elements(model, query) + norm_elements(model, model->mla_latent);
    if (model->qkv_bias)
        sum.rest += query + cached;
    return sum;
}

static struct elements count_attention(const struct model *model, int64_t tp)
{
    int64_t heads = model->heads / tp, kv_heads = model->kv_heads > tp ? model->kv_heads / tp : 1;
    int64_t qkv_columns = (heads + 2 * kv_heads) * model->head_dim;
    struct elements sum = {.matrices = model->hidden * (qkv_columns + heads * model->head_dim)};
    if (model->mla_latent > 0)
        sum = count_latent_attention(model, tp);
    else if (model->qkv_bias)
        sum.rest += qkv_columns;
    if (model->attention_output_bias)
        sum.rest += model->hidden;
    if (model->qk_norm)
        sum.rest += 2 * norm_elements(model, model->head_dim);
    if (model->attention_sinks)
        sum.rest += heads;
    return sum;
}

/* An MLP or an expert; the bias of its row-parallel matrix is on every GPU whole. */
static struct elements count_mlp(const struct model *model, int64_t width)
{
    int64_t columns = (model->gated_mlp ? 2 : 1) * width;
    return (struct elements){.matrices = model->hidden * (columns + width),
                             .rest = model->mlp_bias ? columns + model->hidden : 0};
}

/* Experts of one layer and the router. */
static struct elements count_experts(const struct model *model, const struct part *part)
{
    struct elements sum = {.rest = model->experts * (model->hidden + (model->router_bias ? 1 : 0))};
    struct elements routed = count_mlp(model, model->expert_width / part->expert_tensor_parallel);
    add(&sum, part->routed, (struct elements){.experts = routed.matrices, .rest = routed.rest});
    if (model->shared_expert_width > 0)
        add(&sum, 1, count_mlp(model, model->shared_expert_width / part->tensor_parallel));
    return sum;
}

/* Those of the layers [first, first + layers) that have no experts: the model's first ones. */
static int64_t dense_layers_of(const struct model *model, int64_t first, int64_t layers)
{
    int64_t left = model->dense_layers - first;
    return left < 0 ? 0 : left < layers ? left : layers;
}

static struct elements count(const struct model *model, const struct part *part)
{
    int64_t tp = part->tensor_parallel, vocabulary = (model->vocabulary + tp - 1) / tp;
    int64_t dense = dense_layers_of(model, part->first_layer, part->layers);
    bool both = part->embedding && part->head;
    int64_t rows = part->embedding ? vocabulary + model->position_embeddings : 0;
    int64_t norms = part->layers * model->norms;
    if (part->head && !(both && model->tied_embeddings))
        rows += vocabulary;
    norms += (part->head && model->final_norm ? 1 : 0) + (part->embedding && model->embedding_norm ? 1 : 0);
    struct elements sum = {.rest = rows * model->hidden + norms * norm_elements(model, model->hidden)};
    if (part->head && model->head_bias)
        sum.rest += vocabulary;
    add(&sum, part->layers, count_attention(model, tp));
    add(&sum, dense, count_mlp(model, model->mlp_width / tp));
    add(&sum, part->layers - dense, count_experts(model, part));
    return sum;
}

static struct elements count_whole(const struct model *model, int64_t routed)
{
    return count(model, &(struct part){.tensor_parallel = 1,
                                       .expert_tensor_parallel = 1,
                                       .routed = routed,
                                       .layers = model->layers,
                                       .embedding = true,
                                       .head = true});
}

int64_t model_parameters(const struct model *model)
{
    struct elements sum = count_whole(model, model->experts);
    return sum.matrices + sum.experts + sum.rest;
}

int64_t model_active_parameters(const struct model *model)
{
    struct elements sum = count_whole(model, model->experts_per_token);
    return sum.matrices + sum.experts + sum.rest;
}

int64_t model_stage_layers(const struct model *model, int64_t pipeline_parallel, int64_t stage)
{
    int64_t left = model->layers % pipeline_parallel;
    bool gets_one = stage < pipeline_parallel - 1 && stage >= pipeline_parallel - 1 - left;
    return model->layers / pipeline_parallel + (gets_one ? 1 : 0);
}

static int64_t first_layer(const struct model *model, int64_t pipeline_parallel, int64_t stage)
{
    int64_t first = 0;
    for (int64_t i = 0; i < stage; i++)
        first += model_stage_layers(model, pipeline_parallel, i);
    return first;
}

static int64_t expert_tensor_parallel(const struct model_layout *layout)
{
    return layout->tensor_parallel * layout->lanes / layout->expert_parallel;
}

double dtype_bytes(enum dtype dtype)
{
    static const double bytes[DTYPE_COUNT] = {
        [DTYPE_BF16] = 2, [DTYPE_FP16] = 2,   [DTYPE_FP8] = 1,     [DTYPE_FP8_BLOCK] = 1, [DTYPE_FP4] = 0.5,
        [DTYPE_INT8] = 1, [DTYPE_INT4] = 0.5, [DTYPE_MXFP4] = 0.5, [DTYPE_MXFP4_A8] = 0.5};
    CHECK((int)dtype >= 0 && dtype < DTYPE_COUNT, "no such data type: %d", (int)dtype);
    return bytes[dtype];
}

/* Weights that share a scale, and its bytes: FP4 an FP8 scale (NVFP4), INT4 a 16-bit one (AWQ and GPTQ in
 * groups of 128), MXFP4 an 8-bit exponent (OCP). Those of whole rows or of blocks of 128 x 128 do not count.
 */
struct scales {
    int64_t weights, bytes;
};

static struct scales scales_of(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_FP4:
        return (struct scales){16, 1};
    case DTYPE_INT4:
        return (struct scales){128, 2};
    case DTYPE_MXFP4:
    case DTYPE_MXFP4_A8:
        return (struct scales){32, 1};
    default:
        return (struct scales){1, 0};
    }
}

double dtype_weight_bytes(enum dtype dtype)
{
    struct scales scales = scales_of(dtype);
    return dtype_bytes(dtype) + (double)scales.bytes / (double)scales.weights;
}

/* Of the values that are quantized together: the key or the value of a head and token, or MLA's latent. INT8
 * (symmetric) has a 16-bit scale for them, INT4 (asymmetric) a 16-bit zero point too: assumed, finer than
 * FP8's scale of a whole tensor. */
static int64_t kv_row_bytes(int64_t values, enum dtype kv_dtype)
{
    int64_t halves = (int64_t)(2 * dtype_bytes(kv_dtype));
    int64_t scales = kv_dtype == DTYPE_INT8 ? 2 : kv_dtype == DTYPE_INT4 ? 4 : 0;
    return (values * halves + 1) / 2 + scales;
}

/* Bytes that so many layers cache of a token. */
static int64_t kv_bytes(const struct model *model, int64_t layers, enum dtype kv_dtype)
{
    return layers * (model->mla_latent > 0 ? kv_row_bytes(model->mla_latent + model->mla_rope, kv_dtype)
                                           : 2 * model->kv_heads * kv_row_bytes(model->head_dim, kv_dtype));
}

int64_t model_kv_bytes_per_token(const struct model *model, enum dtype kv_dtype)
{
    return kv_bytes(model, model->layers, kv_dtype);
}

int64_t model_sliding_kv_bytes_per_token(const struct model *model, enum dtype kv_dtype)
{
    return kv_bytes(model, model->sliding_window_layers, kv_dtype);
}

/* Bytes of so many weights with their scales. */
static int64_t matrix_bytes(int64_t elements, enum dtype dtype)
{
    struct scales scales = scales_of(dtype);
    int64_t halves = (int64_t)(2 * dtype_bytes(dtype)); /* half bytes of a weight */
    int64_t of_scales = (elements * scales.bytes + scales.weights - 1) / scales.weights;
    return (elements * halves + 1) / 2 + of_scales;
}

int64_t model_weight_bytes_per_gpu(const struct model *model, const struct model_layout *layout,
                                   int64_t stage)
{
    int64_t stages = layout->pipeline_parallel;
    struct part part = {.tensor_parallel = layout->tensor_parallel,
                        .expert_tensor_parallel = expert_tensor_parallel(layout),
                        .routed = model->experts / layout->expert_parallel,
                        .first_layer = first_layer(model, stages, stage),
                        .layers = model_stage_layers(model, stages, stage),
                        .embedding = stage == 0,
                        .head = stage == stages - 1};
    struct elements sum = count(model, &part);
    return matrix_bytes(sum.matrices, layout->weight_dtype) +
           matrix_bytes(sum.experts, layout->expert_dtype) + matrix_bytes(sum.rest, DTYPE_BF16);
}

int64_t model_weight_bytes(const struct model *model, const struct model_layout *layout)
{
    int64_t sum = 0;
    for (int64_t stage = 0; stage < layout->pipeline_parallel; stage++)
        sum += model_weight_bytes_per_gpu(model, layout, stage);
    return sum * layout->tensor_parallel * layout->lanes;
}

int64_t model_expert_bytes(const struct model *model, const struct model_layout *layout)
{
    return matrix_bytes(count_whole(model, model->experts).experts, layout->expert_dtype);
}

int64_t model_kv_copies(const struct model *model, int64_t tensor_parallel)
{
    int64_t kv_heads = model->mla_latent > 0 ? 1 : model->kv_heads;
    return tensor_parallel > kv_heads ? tensor_parallel / kv_heads : 1;
}

int64_t model_kv_bytes_per_token_and_gpu(const struct model *model, const struct model_layout *layout,
                                         int64_t stage)
{
    int64_t tp = layout->tensor_parallel;
    int64_t layers = model_stage_layers(model, layout->pipeline_parallel, stage);
    return kv_bytes(model, layers, layout->kv_dtype) * model_kv_copies(model, tp) / tp;
}

int64_t model_sliding_layers_before(const struct model *model, int64_t layer)
{
    return layer * model->sliding_window_layers / model->layers;
}

struct work_shape model_shape(const struct model *model, const struct model_layout *layout, int64_t stage)
{
    int64_t tp = layout->tensor_parallel, stages = layout->pipeline_parallel;
    int64_t first = first_layer(model, stages, stage), layers = model_stage_layers(model, stages, stage);
    return (struct work_shape){
        .layers = layers,
        .sliding_layers =
            model_sliding_layers_before(model, first + layers) - model_sliding_layers_before(model, first),
        .sliding_window = model->sliding_window,
        .expert_layers = layers - dense_layers_of(model, first, layers),
        .hidden = model->hidden,
        .query_heads = model->heads / tp,
        .kv_heads = model->kv_heads > tp ? model->kv_heads / tp : 1,
        .head_dim = model->head_dim,
        .mla_latent = model->mla_latent,
        .mla_query_latent = model->mla_query_latent,
        .mla_rope = model->mla_rope,
        .mla_nope = model->mla_nope,
        .mla_value = model->mla_value,
        .mlp_width = model->mlp_width / tp,
        .gated_mlp = model->gated_mlp,
        .experts = model->experts,
        .experts_per_token = model->experts_per_token,
        .expert_width = model->expert_width,
        .shared_expert_width = model->shared_expert_width / tp,
        .vocabulary = stage == stages - 1 ? (model->vocabulary + tp - 1) / tp : 0,
        .tensor_parallel = tp,
        .lanes = layout->lanes,
        .expert_parallel = layout->expert_parallel,
        .expert_tensor_parallel = expert_tensor_parallel(layout),
        .weight_dtype = layout->weight_dtype,
        .expert_dtype = layout->expert_dtype,
        .kv_dtype = layout->kv_dtype,
        .kv_value_bytes = (double)kv_row_bytes(model->head_dim, layout->kv_dtype) / (double)model->head_dim,
    };
}

double model_linear_flops_per_token(const struct model *model)
{
    int64_t routers = (model->layers - model->dense_layers) * model->experts * model->hidden;
    struct elements sum = count_whole(model, model->experts_per_token);
    return 2.0 * (double)(sum.matrices + sum.experts + routers);
}

double model_head_flops_per_row(const struct model *model)
{
    return 2.0 * (double)model->hidden * (double)model->vocabulary;
}

double model_attention_flops(const struct model *model, double context_tokens)
{
    int64_t value = model->mla_latent > 0 ? model->mla_value : model->head_dim;
    double window = (double)model->sliding_window, sliding = (double)model->sliding_window_layers;
    double seen = ((double)model->layers - sliding) * context_tokens +
                  sliding * (context_tokens < window ? context_tokens : window);
    return 2.0 * (double)model->heads * (double)(model->head_dim + value) * seen;
}
