/* What a model's sizes add up to: parameters, bytes, FLOPs. */
#include "parts.h"
#include "tandem/check.h"

/* Elements on one GPU. */
struct elements {
    int64_t matrices; /* of layers: in the weights' data type */
    int64_t rest;     /* in 16 bits */
};

static void add(struct elements *sum, int64_t times, struct elements part)
{
    sum->matrices += times * part.matrices;
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

/* Experts of one layer, so many of the routed ones, and the router. */
static struct elements count_experts(const struct model *model, int64_t tp, int64_t routed)
{
    struct elements sum = {.rest = model->experts * (model->hidden + (model->router_bias ? 1 : 0))};
    add(&sum, routed, count_mlp(model, model->expert_width / tp));
    if (model->shared_expert_width > 0)
        add(&sum, 1, count_mlp(model, model->shared_expert_width / tp));
    return sum;
}

/* The whole model's share of one of tp GPUs, with so many of each layer's routed experts. */
static struct elements count(const struct model *model, int64_t tp, int64_t routed)
{
    int64_t vocabulary = (model->vocabulary + tp - 1) / tp;
    int64_t norms =
        model->layers * model->norms + (model->final_norm ? 1 : 0) + (model->embedding_norm ? 1 : 0);
    int64_t rows = (model->tied_embeddings ? 1 : 2) * vocabulary + model->position_embeddings;
    struct elements sum = {.rest = rows * model->hidden + norms * norm_elements(model, model->hidden)};
    if (model->head_bias)
        sum.rest += vocabulary;
    add(&sum, model->layers, count_attention(model, tp));
    add(&sum, model->dense_layers, count_mlp(model, model->mlp_width / tp));
    add(&sum, model->layers - model->dense_layers, count_experts(model, tp, routed));
    return sum;
}

int64_t model_parameters(const struct model *model)
{
    struct elements sum = count(model, 1, model->experts);
    return sum.matrices + sum.rest;
}

int64_t model_active_parameters(const struct model *model)
{
    struct elements sum = count(model, 1, model->experts_per_token);
    return sum.matrices + sum.rest;
}

double dtype_bytes(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_BF16:
    case DTYPE_FP16:
        return 2;
    case DTYPE_FP8:
        return 1;
    case DTYPE_FP4:
        return 0.5;
    case DTYPE_COUNT:
        break;
    }
    check_failed(__FILE__, __LINE__, "dtype", "no such data type: %d", (int)dtype);
}

/* Bytes that so many layers cache of a token; half a byte is rounded up. */
static int64_t kv_bytes(const struct model *model, int64_t layers, enum dtype kv_dtype)
{
    int64_t values =
        model->mla_latent > 0 ? model->mla_latent + model->mla_rope : 2 * model->kv_heads * model->head_dim;
    return (int64_t)(dtype_bytes(kv_dtype) * (double)(layers * values) + 0.5);
}

int64_t model_kv_bytes_per_token(const struct model *model, enum dtype kv_dtype)
{
    return kv_bytes(model, model->layers, kv_dtype);
}

int64_t model_sliding_kv_bytes_per_token(const struct model *model, enum dtype kv_dtype)
{
    return kv_bytes(model, model->sliding_window_layers, kv_dtype);
}

/* Bytes of matrix elements. FP4 in blocks of 16 values with an FP8 scale (NVFP4): 9 bytes for 16 values. */
static int64_t matrix_bytes(int64_t elements, enum dtype dtype)
{
    if (dtype == DTYPE_FP4)
        return (elements * 9 + 15) / 16;
    return elements * (int64_t)dtype_bytes(dtype);
}

int64_t model_weight_bytes_per_gpu(const struct model *model, int64_t tensor_parallel,
                                   enum dtype weight_dtype)
{
    struct elements sum = count(model, tensor_parallel, model->experts);
    return matrix_bytes(sum.matrices, weight_dtype) + matrix_bytes(sum.rest, DTYPE_BF16);
}

int64_t model_kv_copies(const struct model *model, int64_t tensor_parallel)
{
    int64_t kv_heads = model->mla_latent > 0 ? 1 : model->kv_heads;
    return tensor_parallel > kv_heads ? tensor_parallel / kv_heads : 1;
}

struct work_shape model_shape(const struct model *model, int64_t tensor_parallel, enum dtype weight_dtype,
                              enum dtype kv_dtype)
{
    int64_t tp = tensor_parallel;
    CHECK(model->experts == 0 && model->mla_latent == 0 && model->sliding_window == 0,
          "%s has no shape of a dense model", model->name);
    return (struct work_shape){
        .layers = model->layers,
        .hidden = model->hidden,
        .query_heads = model->heads / tp,
        .kv_heads = model->kv_heads > tp ? model->kv_heads / tp : 1,
        .head_dim = model->head_dim,
        .mlp_width = model->mlp_width / tp,
        .gated_mlp = model->gated_mlp,
        .vocabulary = (model->vocabulary + tp - 1) / tp,
        .tensor_parallel = tp,
        .weight_dtype = weight_dtype,
        .kv_value_bytes = dtype_bytes(kv_dtype),
    };
}

double model_linear_flops_per_token(const struct model *model)
{
    int64_t routers = (model->layers - model->dense_layers) * model->experts * model->hidden;
    return 2.0 * (double)(count(model, 1, model->experts_per_token).matrices + routers);
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
