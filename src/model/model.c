/* Parsing of model files, parameter counts and bytes. */
#include "tandem/model.h"

#include "tandem/check.h"

#include <inttypes.h>

const char *const dtype_names[] = {"bf16", "fp16", "fp8", "fp4", NULL};

static const char *const norm_names[] = {"rms", "layer", NULL};

enum { NORM_RMS, NORM_LAYER };

#define FIELD(member) offsetof(struct model, member)

static const struct option options[] = {
    {"name", OPTION_STRING, NULL, 0, 0, NULL, FIELD(name), "name of the model"},
    {"source", OPTION_STRING, NULL, 0, 0, NULL, FIELD(source), "where the figures are from"},
    {"layers", OPTION_INTEGER, NULL, 1, 10000, NULL, FIELD(layers), "decoder layers"},
    {"hidden", OPTION_INTEGER, NULL, 1, 1e6, NULL, FIELD(hidden), "width of the residual stream"},
    {"heads", OPTION_INTEGER, NULL, 1, 10000, NULL, FIELD(heads), "query heads of a layer"},
    {"kv_heads", OPTION_INTEGER, "0", 0, 10000, NULL, FIELD(kv_heads),
     "key and value heads of a layer; 0: as many as query heads"},
    {"head_dim", OPTION_INTEGER, "0", 0, 10000, NULL, FIELD(head_dim), "width of a head; 0: hidden / heads"},
    {"mlp_width", OPTION_INTEGER, NULL, 1, 1e7, NULL, FIELD(mlp_width), "intermediate width of the MLP"},
    {"gated_mlp", OPTION_BOOL, "true", 0, 0, NULL, FIELD(gated_mlp), "gate and up projections (SwiGLU)"},
    {"vocabulary", OPTION_INTEGER, NULL, 1, 1e8, NULL, FIELD(vocabulary), "rows of the embedding"},
    {"tied_embeddings", OPTION_BOOL, "false", 0, 0, NULL, FIELD(tied_embeddings),
     "the output head is the embedding"},
    {"norm", OPTION_CHOICE, "\"rms\"", 0, 0, norm_names, FIELD(norm),
     "rms: a weight; layer: a weight and a bias"},
    {"final_norm", OPTION_BOOL, "true", 0, 0, NULL, FIELD(final_norm), "a norm before the output head"},
    {"embedding_norm", OPTION_BOOL, "false", 0, 0, NULL, FIELD(embedding_norm),
     "a norm after the embedding (BLOOM)"},
    {"qkv_bias", OPTION_BOOL, "false", 0, 0, NULL, FIELD(qkv_bias), "biases of query, key and value"},
    {"attention_output_bias", OPTION_BOOL, "false", 0, 0, NULL, FIELD(attention_output_bias),
     "bias of the attention's output projection"},
    {"mlp_bias", OPTION_BOOL, "false", 0, 0, NULL, FIELD(mlp_bias), "biases of the MLP"},
    {"position_embeddings", OPTION_INTEGER, "0", 0, 1e8, NULL, FIELD(position_embeddings),
     "rows of learned position embeddings; 0: rotary or ALiBi"},
    {"max_context_tokens", OPTION_INTEGER, NULL, 1, 1e9, NULL, FIELD(max_context_tokens),
     "longest context as published; only warned about"},
};

OPTION_TABLE(model_options, "model", "a dense decoder-only transformer", options);

bool model_parse(const struct node *node, struct model *model, struct error *error)
{
    *model = (struct model){0};
    if (!option_parse(&model_options, node, model, error))
        return false;
    if (model->kv_heads == 0)
        model->kv_heads = model->heads;
    if (model->heads % model->kv_heads != 0)
        return node_error(node_get(node, "kv_heads"), error,
                          "%" PRId64 " does not divide the %" PRId64
                          " query heads: each key head serves the same number of them",
                          model->kv_heads, model->heads);
    if (model->head_dim == 0) {
        if (model->hidden % model->heads != 0)
            return node_error(node, error,
                              "hidden %" PRId64 " is no multiple of heads %" PRId64 ": set head_dim",
                              model->hidden, model->heads);
        model->head_dim = model->hidden / model->heads;
    }
    return true;
}

/* Elements of one layer's matrices over the whole model: q, k, v, output, then the MLP. */
static int64_t layer_matrix_elements(const struct model *model)
{
    int64_t attention = model->hidden * (2 * model->heads + 2 * model->kv_heads) * model->head_dim;
    int64_t mlp = model->hidden * model->mlp_width * (model->gated_mlp ? 3 : 2);
    return attention + mlp;
}

static int64_t norm_elements(const struct model *model)
{
    return model->norm == NORM_LAYER ? 2 * model->hidden : model->hidden;
}

/* What is not divided by tensor parallelism in one layer: two norms and the biases of the row-parallel
 * matrices (attention output, MLP down), which every rank keeps whole. */
static int64_t layer_replicated_elements(const struct model *model)
{
    int64_t elements = 2 * norm_elements(model);
    if (model->attention_output_bias)
        elements += model->hidden;
    if (model->mlp_bias)
        elements += model->hidden;
    return elements;
}

/* Position rows and the norms outside the layers: on every rank. */
static int64_t outer_replicated_elements(const struct model *model)
{
    int64_t norms = (model->final_norm ? 1 : 0) + (model->embedding_norm ? 1 : 0);
    return model->position_embeddings * model->hidden + norms * norm_elements(model);
}

/* Biases that are divided along with the columns of their matrices, for so many columns of q, k, v and MLP.
 */
static int64_t column_bias_elements(const struct model *model, int64_t qkv_columns, int64_t mlp_columns)
{
    int64_t elements = model->qkv_bias ? qkv_columns : 0;
    if (model->mlp_bias)
        elements += model->gated_mlp ? 2 * mlp_columns : mlp_columns;
    return elements;
}

int64_t model_parameters(const struct model *model)
{
    int64_t qkv_columns = (model->heads + 2 * model->kv_heads) * model->head_dim;
    int64_t layer = layer_matrix_elements(model) + layer_replicated_elements(model) +
                    column_bias_elements(model, qkv_columns, model->mlp_width);
    int64_t tables = model->tied_embeddings ? 1 : 2;
    return model->layers * layer + tables * model->vocabulary * model->hidden +
           outer_replicated_elements(model);
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

int64_t model_kv_bytes_per_token(const struct model *model, enum dtype kv_dtype)
{
    /* 2 x 0.5 byte is whole: keys and values together never leave half a byte. */
    return (int64_t)(2 * dtype_bytes(kv_dtype)) * model->layers * model->kv_heads * model->head_dim;
}

bool model_check_tensor_parallel(const struct model *model, int64_t tensor_parallel, const struct node *node,
                                 struct error *error)
{
    int64_t tp = tensor_parallel;
    if (tp < 1)
        return node_error(node, error, "tensor parallelism is at least 1");
    if (model->heads % tp != 0)
        return node_error(node, error,
                          "tensor parallelism %" PRId64 " does not divide the %" PRId64 " heads of %s", tp,
                          model->heads, model->name);
    if (model->kv_heads % tp != 0 && tp % model->kv_heads != 0)
        return node_error(node, error,
                          "tensor parallelism %" PRId64 " neither divides the %" PRId64
                          " KV heads of %s nor is a multiple of them",
                          tp, model->kv_heads, model->name);
    if (model->mlp_width % tp != 0)
        return node_error(node, error,
                          "tensor parallelism %" PRId64 " does not divide the MLP width %" PRId64 " of %s",
                          tp, model->mlp_width, model->name);
    return true;
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
    struct work_shape shape = model_shape(model, tensor_parallel, weight_dtype, DTYPE_BF16);
    int64_t qkv_columns = (shape.query_heads + 2 * shape.kv_heads) * shape.head_dim;
    int64_t attention = shape.hidden * (qkv_columns + shape.query_heads * shape.head_dim);
    int64_t mlp = shape.hidden * shape.mlp_width * (shape.gated_mlp ? 3 : 2);
    int64_t layer_rest =
        layer_replicated_elements(model) + column_bias_elements(model, qkv_columns, shape.mlp_width);
    int64_t tables = model->tied_embeddings ? 1 : 2;
    int64_t rest = model->layers * layer_rest + tables * shape.vocabulary * shape.hidden +
                   outer_replicated_elements(model);
    return matrix_bytes(model->layers * (attention + mlp), weight_dtype) + matrix_bytes(rest, DTYPE_BF16);
}

int64_t model_kv_copies(const struct model *model, int64_t tensor_parallel)
{
    return tensor_parallel > model->kv_heads ? tensor_parallel / model->kv_heads : 1;
}

struct work_shape model_shape(const struct model *model, int64_t tensor_parallel, enum dtype weight_dtype,
                              enum dtype kv_dtype)
{
    int64_t tp = tensor_parallel;
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
    return 2.0 * (double)model->layers * (double)layer_matrix_elements(model);
}

double model_head_flops_per_row(const struct model *model)
{
    return 2.0 * (double)model->hidden * (double)model->vocabulary;
}

double model_attention_flops(const struct model *model, double context_tokens)
{
    return 4.0 * (double)model->layers * (double)model->heads * (double)model->head_dim * context_tokens;
}

static void describe_row(struct text *text, const char *name, int64_t value, const char *note)
{
    text_append(text, "  %-22s %" PRId64 "%s%s\n", name, value, note[0] ? "  " : "", note);
}

/* Weights of a replica over tp GPUs, for every degree up to 16 that divides the model. */
static void describe_weights(const struct model *model, struct text *text)
{
    text_append(text, "  weights per GPU, GiB (layer matrices in the data type, the rest in 16 bits)\n");
    text_append(text, "    %-16s %9s %9s %9s %10s\n", "tensor_parallel", "bf16", "fp8", "fp4", "KV copies");
    for (int64_t tp = 1; tp <= 16; tp *= 2) {
        bool kv_fits = model->kv_heads % tp == 0 || tp % model->kv_heads == 0;
        if (model->heads % tp != 0 || model->mlp_width % tp != 0 || !kv_fits)
            continue;
        const double gib = 1024.0 * 1024.0 * 1024.0;
        text_append(text, "    %-16" PRId64 " %9.2f %9.2f %9.2f %10" PRId64 "\n", tp,
                    (double)model_weight_bytes_per_gpu(model, tp, DTYPE_BF16) / gib,
                    (double)model_weight_bytes_per_gpu(model, tp, DTYPE_FP8) / gib,
                    (double)model_weight_bytes_per_gpu(model, tp, DTYPE_FP4) / gib,
                    model_kv_copies(model, tp));
    }
}

void model_describe(const struct model *model, struct text *text)
{
    text_append(text, "%s\n  source: %s\n", model->name, model->source);
    describe_row(text, "layers", model->layers, "");
    describe_row(text, "hidden", model->hidden, "");
    describe_row(text, "query heads", model->heads, "");
    describe_row(text, "KV heads", model->kv_heads,
                 model->kv_heads == model->heads ? "(multi-head attention)" : "(grouped-query attention)");
    describe_row(text, "head width", model->head_dim, "");
    describe_row(text, "MLP width", model->mlp_width, model->gated_mlp ? "(gated)" : "");
    describe_row(text, "vocabulary", model->vocabulary, model->tied_embeddings ? "(tied to the head)" : "");
    describe_row(text, "position embeddings", model->position_embeddings, "");
    describe_row(text, "longest context", model->max_context_tokens, "tokens");
    text_append(text, "  %-22s %s\n", "norm", norm_names[model->norm]);
    describe_row(text, "parameters", model_parameters(model), "");
    describe_row(text, "KV cache per token", model_kv_bytes_per_token(model, DTYPE_BF16), "bytes in 16 bits");
    text_append(text, "  %-22s %.4g in the layers, %.4g in the head\n", "FLOP per token",
                model_linear_flops_per_token(model), model_head_flops_per_row(model));
    describe_weights(model, text);
}
