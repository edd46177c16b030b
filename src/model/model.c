/* Parsing of model files and what has to fit together. */
#include "tandem/model.h"

#include <inttypes.h>
#include <stdio.h>

#include "huggingface.h"
#include "parts.h"

#define DTYPE_NAMES "bf16", "fp16", "fp8", "fp8-block", "fp4", "int8", "int4", "mxfp4", "mxfp4-a8", NULL
const char *const dtype_names[] = {DTYPE_NAMES};
const char *const dtype_choices[] = {"auto", DTYPE_NAMES};

const char *const model_norm_names[] = {"rms", "layer", NULL};

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
    {"mla_latent", OPTION_INTEGER, "0", 0, 1e6, NULL, FIELD(mla_latent),
     "multi-head latent attention: width of the cached latent; 0: keys and values are cached"},
    {"mla_query_latent", OPTION_INTEGER, "0", 0, 1e6, NULL, FIELD(mla_query_latent),
     "width of the queries' latent; 0: none"},
    {"mla_rope", OPTION_INTEGER, "0", 0, 10000, NULL, FIELD(mla_rope),
     "rotated part of a key, cached beside the latent"},
    {"mla_nope", OPTION_INTEGER, "0", 0, 10000, NULL, FIELD(mla_nope), "the rest of a head's key"},
    {"mla_value", OPTION_INTEGER, "0", 0, 10000, NULL, FIELD(mla_value), "width of a head's value"},
    {"sliding_window", OPTION_INTEGER, "0", 0, 1e9, NULL, FIELD(sliding_window),
     "tokens that a layer with a sliding window sees; 0: no layer has one"},
    {"sliding_window_layers", OPTION_INTEGER, "0", 0, 10000, NULL, FIELD(sliding_window_layers),
     "layers with the window; 0: all"},
    {"qk_norm", OPTION_BOOL, "false", 0, 0, NULL, FIELD(qk_norm), "norms of query and key heads"},
    {"attention_sinks", OPTION_BOOL, "false", 0, 0, NULL, FIELD(attention_sinks),
     "a learned logit of each head (gpt-oss)"},
    {"mlp_width", OPTION_INTEGER, "0", 0, 1e7, NULL, FIELD(mlp_width),
     "intermediate width of the MLP; required where a layer has no experts"},
    {"gated_mlp", OPTION_BOOL, "true", 0, 0, NULL, FIELD(gated_mlp), "gate and up projections (SwiGLU)"},
    {"experts", OPTION_INTEGER, "0", 0, 1e6, NULL, FIELD(experts), "routed experts of a layer; 0: dense"},
    {"experts_per_token", OPTION_INTEGER, "0", 0, 1e6, NULL, FIELD(experts_per_token),
     "experts that a token is sent to"},
    {"expert_width", OPTION_INTEGER, "0", 0, 1e7, NULL, FIELD(expert_width),
     "intermediate width of an expert"},
    {"shared_expert_width", OPTION_INTEGER, "0", 0, 1e7, NULL, FIELD(shared_expert_width),
     "intermediate width of all shared experts together; 0: none"},
    {"dense_layers", OPTION_INTEGER, "0", 0, 10000, NULL, FIELD(dense_layers),
     "layers with an MLP beside those with experts"},
    {"router_bias", OPTION_BOOL, "false", 0, 0, NULL, FIELD(router_bias), "a bias of each expert's score"},
    {"vocabulary", OPTION_INTEGER, NULL, 1, 1e8, NULL, FIELD(vocabulary), "rows of the embedding"},
    {"tied_embeddings", OPTION_BOOL, "false", 0, 0, NULL, FIELD(tied_embeddings),
     "the output head is the embedding"},
    {"norm", OPTION_CHOICE, "\"rms\"", 0, 0, model_norm_names, FIELD(norm),
     "rms: a weight; layer: a weight and a bias"},
    {"norms", OPTION_INTEGER, "2", 0, 10, NULL, FIELD(norms), "norms of the hidden width in a layer"},
    {"final_norm", OPTION_BOOL, "true", 0, 0, NULL, FIELD(final_norm), "a norm before the output head"},
    {"embedding_norm", OPTION_BOOL, "false", 0, 0, NULL, FIELD(embedding_norm),
     "a norm after the embedding (BLOOM)"},
    {"qkv_bias", OPTION_BOOL, "false", 0, 0, NULL, FIELD(qkv_bias), "biases of query, key and value"},
    {"attention_output_bias", OPTION_BOOL, "false", 0, 0, NULL, FIELD(attention_output_bias),
     "bias of the attention's output projection"},
    {"mlp_bias", OPTION_BOOL, "false", 0, 0, NULL, FIELD(mlp_bias), "biases of the MLP or the experts"},
    {"head_bias", OPTION_BOOL, "false", 0, 0, NULL, FIELD(head_bias), "a bias of the output head"},
    {"position_embeddings", OPTION_INTEGER, "0", 0, 1e8, NULL, FIELD(position_embeddings),
     "rows of learned position embeddings; 0: rotary or ALiBi"},
    {"max_context_tokens", OPTION_INTEGER, NULL, 1, 1e9, NULL, FIELD(max_context_tokens),
     "longest context as published; only warned about"},
    {"weight_dtype", OPTION_CHOICE, "\"bf16\"", 0, 0, dtype_names, FIELD(weight_dtype),
     "of the layers' matrices as published; a pool may say otherwise"},
    {"expert_dtype", OPTION_CHOICE, "\"auto\"", 0, 0, dtype_choices, FIELD(expert_dtype),
     "of the routed experts; auto: as weight_dtype"},
};

OPTION_TABLE(model_options, "model", "a decoder-only transformer, or a config.json of HuggingFace", options);

/* Where a message points to: the key, or the whole model where the file has it under another name. */
static const struct node *at(const struct node *node, const char *key)
{
    const struct node *member = node_get(node, key);
    return member ? member : node;
}

static bool complete_heads(const struct node *node, struct model *model, struct error *error)
{
    if (model->kv_heads == 0)
        model->kv_heads = model->heads;
    if (model->heads % model->kv_heads != 0)
        return node_error(at(node, "kv_heads"), error,
                          "%" PRId64 " does not divide the %" PRId64
                          " query heads: each key head serves the same number of them",
                          model->kv_heads, model->heads);
    bool has_mla_keys = model->mla_query_latent + model->mla_rope + model->mla_nope + model->mla_value > 0;
    if (model->mla_latent == 0 && has_mla_keys)
        return node_error(node, error, "mla_* without mla_latent, the width of the cached latent; set it");
    if (model->mla_latent > 0 && model->mla_rope * model->mla_nope * model->mla_value == 0)
        return node_error(node, error, "mla_latent needs mla_rope, mla_nope and mla_value; set them");
    if (model->mla_latent > 0) {
        model->head_dim = model->mla_nope + model->mla_rope;
    } else if (model->head_dim == 0) {
        if (model->hidden % model->heads != 0)
            return node_error(node, error,
                              "hidden %" PRId64 " is no multiple of heads %" PRId64 ": set head_dim",
                              model->hidden, model->heads);
        model->head_dim = model->hidden / model->heads;
    }
    return true;
}

static bool complete_experts(const struct node *node, struct model *model, struct error *error)
{
    bool has_expert_keys =
        model->experts_per_token + model->expert_width + model->shared_expert_width + model->dense_layers > 0;
    if (model->experts == 0 && has_expert_keys)
        return node_error(node, error, "sizes of experts without their number; set experts");
    if (model->experts == 0)
        model->dense_layers = model->layers;
    else if (model->experts_per_token < 1 || model->experts_per_token > model->experts)
        return node_error(at(node, "experts_per_token"), error,
                          "%" PRId64 " of %" PRId64 " experts per token: from 1 to all of them",
                          model->experts_per_token, model->experts);
    else if (model->expert_width == 0)
        return node_error(node, error, "missing 'expert_width': intermediate width of an expert");
    double elements =
        3.0 * (double)model->layers * (double)model->hidden *
        ((double)model->experts * (double)model->expert_width + (double)model->shared_expert_width);
    if (elements > 0x1p58) /* twice that in bytes and all the rest fit in 64 bits */
        return node_error(node, error, "%g elements in experts are too many to count; check their sizes",
                          elements);
    if (model->dense_layers > model->layers)
        return node_error(at(node, "dense_layers"), error,
                          "%" PRId64 " of %" PRId64 " layers have no experts; set fewer", model->dense_layers,
                          model->layers);
    if (model->dense_layers == 0)
        model->mlp_width = 0;
    else if (model->mlp_width == 0)
        return node_error(node, error, "missing 'mlp_width': intermediate width of the MLP");
    return true;
}

static bool complete_windows(const struct node *node, struct model *model, struct error *error)
{
    if (model->sliding_window == 0)
        model->sliding_window_layers = 0;
    else if (model->sliding_window_layers == 0)
        model->sliding_window_layers = model->layers;
    return model->sliding_window_layers <= model->layers ||
           node_error(at(node, "sliding_window_layers"), error,
                      "%" PRId64 " of %" PRId64 " layers have a sliding window; set fewer",
                      model->sliding_window_layers, model->layers);
}

bool model_parse(const struct node *node, struct model *model, struct error *error)
{
    *model = (struct model){0};
    bool good = huggingface_is(node) ? huggingface_parse(node, model, error)
                                     : option_parse(&model_options, node, model, error);
    model->expert_dtype = model->expert_dtype > 0 ? model->expert_dtype - 1 : model->weight_dtype;
    return good && complete_heads(node, model, error) && complete_experts(node, model, error) &&
           complete_windows(node, model, error);
}

static bool divides_widths(const struct model *model, const struct model_layout *layout, struct error *error)
{
    static const char tensor[] = "tensor parallelism";
    int64_t tp = layout->tensor_parallel, ep = layout->expert_parallel, etp = tp * layout->lanes / ep;
    const struct {
        const char *form; /* of what is divided */
        int64_t size, by;
        const char *by_what;
    } divisions[] = {{"%" PRId64 " heads", model->heads, tp, tensor},
                     {"MLP width %" PRId64, model->dense_layers > 0 ? model->mlp_width : 0, tp, tensor},
                     {"shared experts' width %" PRId64, model->shared_expert_width, tp, tensor},
                     {"%" PRId64 " experts", model->experts, ep, "expert parallelism"},
                     {"expert width %" PRId64, model->expert_width, etp,
                      ep * layout->lanes == 1 ? tensor : "tensor parallelism of the experts"}};
    for (size_t i = 0; i < sizeof divisions / sizeof *divisions; i++) {
        char what[80];
        if (divisions[i].size % divisions[i].by == 0)
            continue;
        snprintf(what, sizeof what, divisions[i].form, divisions[i].size);
        return error_set(error, "%s %" PRId64 " does not divide the %s of %s", divisions[i].by_what,
                         divisions[i].by, what, model->name);
    }
    return true;
}

bool model_divides(const struct model *model, const struct model_layout *layout, struct error *error)
{
    int64_t tp = layout->tensor_parallel, ep = layout->expert_parallel;
    if (tp < 1 || layout->pipeline_parallel < 1 || layout->lanes < 1 || ep < 1)
        return error_set(error, "parallelism of each kind is at least 1");
    if (layout->pipeline_parallel > model->layers)
        return error_set(error, "pipeline parallelism %" PRId64 " is more than the %" PRId64 " layers of %s",
                         layout->pipeline_parallel, model->layers, model->name);
    if (model->experts == 0 && layout->lanes * ep > 1)
        return error_set(error,
                         "%s has no experts to share: attention_data_parallel and expert_parallel are for "
                         "models with experts; raise instances",
                         model->name);
    if (model->mla_latent > 0 && layout->kv_dtype != DTYPE_BF16 && layout->kv_dtype != DTYPE_FP16 &&
        layout->kv_dtype != DTYPE_FP8)
        return error_set(error,
                         "no kernel reads the latent of %s from a KV cache in %s; set kv_dtype to bf16, fp16 "
                         "or fp8",
                         model->name, dtype_names[layout->kv_dtype]);
    if (tp * layout->lanes % ep != 0)
        return error_set(error,
                         "expert parallelism %" PRId64 " does not divide the %" PRId64
                         " GPUs of tensor_parallel x attention_data_parallel",
                         ep, tp * layout->lanes);
    if (model->heads % tp == 0 && model->mla_latent == 0 && model->kv_heads % tp != 0 &&
        tp % model->kv_heads != 0)
        return error_set(error,
                         "tensor parallelism %" PRId64 " neither divides the %" PRId64
                         " KV heads of %s nor is a multiple of them",
                         tp, model->kv_heads, model->name);
    return divides_widths(model, layout, error);
}

bool model_check_layout(const struct model *model, const struct model_layout *layout, const struct node *node,
                        struct error *error)
{
    struct error problem;
    return model_divides(model, layout, &problem) || node_error(node, error, "%s", problem.text);
}
