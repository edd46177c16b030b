/* Models: exact parameter counts and bytes from the architecture. All local. */
#ifndef TANDEM_MODEL_H
#define TANDEM_MODEL_H

#include "tandem/error.h"
#include "tandem/node.h"
#include "tandem/option.h"
#include "tandem/work.h"

struct model {
    const char *name;   /* lives as long as the tree */
    const char *source; /* where the figures are from; lives as long */
    int64_t layers;
    int64_t hidden;
    int64_t heads;
    int64_t kv_heads;
    int64_t head_dim;
    int64_t
        mla_latent; /* multi-head latent attention: width of what is cached with mla_rope; 0: plain heads */
    int64_t mla_query_latent;              /* 0: queries are projected at once */
    int64_t mla_rope, mla_nope, mla_value; /* widths of a head: key with and without rotation, value */
    int64_t sliding_window;                /* tokens that a layer with a window sees; 0: there are none */
    int64_t sliding_window_layers;         /* how many layers have it */
    bool qk_norm;                          /* norms of each query and key head */
    bool attention_sinks;                  /* a learned logit of each head (gpt-oss) */
    int64_t mlp_width;                     /* of layers without experts */
    bool gated_mlp;
    int64_t experts; /* routed experts of a layer; 0: dense */
    int64_t experts_per_token;
    int64_t expert_width;
    int64_t shared_expert_width; /* of all shared experts together */
    int64_t dense_layers;        /* layers without experts; all of them when there are none */
    bool router_bias;
    int64_t vocabulary;
    bool tied_embeddings;
    int norm;      /* 0 rms: weight only; 1 layer: weight and bias */
    int64_t norms; /* of a layer, those of heads and latents apart */
    bool final_norm;
    bool embedding_norm; /* BLOOM */
    bool qkv_bias;
    bool attention_output_bias;
    bool mlp_bias; /* of experts as well */
    bool head_bias;
    int64_t position_embeddings; /* learned rows: 0 for rotary or ALiBi */
    int64_t max_context_tokens;  /* as published; for warnings */
    int weight_dtype;            /* as published: of the layers' matrices */
    int expert_dtype;            /* of the routed experts; resolved: never the choice `same` */
};

/* How a replica is divided: over tensor_parallel x pipeline_parallel x lanes GPUs. The routed experts of a
 * stage are spread over all its tensor_parallel x lanes GPUs: expert_parallel groups of them, each with its
 * share of the experts, whose matrices its GPUs divide. */
struct model_layout {
    int64_t tensor_parallel, pipeline_parallel, lanes, expert_parallel;
    enum dtype weight_dtype, expert_dtype, kv_dtype;
};

/* A layout over tp GPUs and nothing else. */
static inline struct model_layout model_layout(int64_t tensor_parallel, enum dtype weights, enum dtype kv)
{
    return (struct model_layout){tensor_parallel, 1, 1, 1, weights, weights, kv};
}

/* Keys of a model file: the members of struct model. */
extern const struct option_table model_options;

/* Fills a model from its JSON object: Tandem's own keys, where an unknown one is refused, or those of
 * HuggingFace's config.json, which `architectures` or `model_type` tells (src/model/huggingface.c; the text
 * part of a multimodal model; the name is then that of the file). Members whose 0 stands for a default have
 * it filled in. Strings live as long as the tree. Errors: those of option_parse, an unknown architecture, and
 * sizes that do not fit together. */
bool model_parse(const struct node *node, struct model *model, struct error *error);

/* Exact number of parameters of the whole model: embedding, positions, attention, MLP or experts, router,
 * biases, norms, and the head where it is not tied. Layers that only predict tokens ahead (DeepSeek's MTP)
 * are not counted. */
int64_t model_parameters(const struct model *model);

/* Of these, the ones that a token passes: all but the experts that it is not sent to. The embedding counts
 * whole. */
int64_t model_active_parameters(const struct model *model);

/* Bytes of the KV cache of one token over the whole model, without copies: in each layer 2 kv_heads times the
 * head_dim values of a head, half a byte rounded up, and their scale (int8: 16 bits; int4: 16 bits and a zero
 * point of 16), or latent and rotated key (MLA). Sliding layers are in it, as long as the token is in their
 * window. */
int64_t model_kv_bytes_per_token(const struct model *model, enum dtype kv_dtype);

/* The part of them in layers with a sliding window, which only keep the last sliding_window tokens. */
int64_t model_sliding_kv_bytes_per_token(const struct model *model, enum dtype kv_dtype);

/* Whether a replica can be divided so: heads and widths divisible by tensor_parallel, KV heads divisible or
 * replicated, a layer for each stage, experts divisible; lanes only with experts; a latent (MLA) in 16 bits
 * or FP8; the error says why not. node: the pool, for the message. */
bool model_check_layout(const struct model *model, const struct model_layout *layout, const struct node *node,
                        struct error *error);

/* Layers of a stage (from 0), as vLLM divides them: those left over go to the stages before the last. */
int64_t model_stage_layers(const struct model *model, int64_t pipeline_parallel, int64_t stage);

/* Bytes of weights on one GPU of a stage, as vLLM divides them: matrices divided, norms, positions,
 * routers, MLA's projections to latents and row-parallel biases replicated, KV projections replicated when tp
 * > kv heads, routed experts as the layout says, embedding (first stage) and head (last; a tied one is there
 * again when stages are several) divided by vocabulary, padded up to a multiple of tp. The data types are
 * those of the layers' matrices and experts, with their scales (dtype_weight_bytes); all else stays in 16
 * bits, as quantized checkpoints have it. The layout must pass model_check_layout, here and below. */
int64_t model_weight_bytes_per_gpu(const struct model *model, const struct model_layout *layout,
                                   int64_t stage);

/* The same of all GPUs of the replica together. */
int64_t model_weight_bytes(const struct model *model, const struct model_layout *layout);

/* Of these, the matrices of routed experts. */
int64_t model_expert_bytes(const struct model *model, const struct model_layout *layout);

/* Copies of the KV cache over the GPUs of a lane: max(1, tp / kv_heads); MLA's latent is on each: tp. */
int64_t model_kv_copies(const struct model *model, int64_t tensor_parallel);

/* Bytes that one GPU of a stage caches of a token of its lane. */
int64_t model_kv_bytes_per_token_and_gpu(const struct model *model, const struct model_layout *layout,
                                         int64_t stage);

/* The shapes on one GPU of a stage, for the timer. */
struct work_shape model_shape(const struct model *model, const struct model_layout *layout, int64_t stage);

/* FLOPs that one token needs in the matrices (2 per multiply-add; all GPUs; only its own experts; embedding
 * look-up none, head apart), and of the head for one row of logits. For MFU. */
double model_linear_flops_per_token(const struct model *model);
double model_head_flops_per_row(const struct model *model);

/* FLOPs of attention for one query token that sees context tokens: 4 layers heads head_dim context;
 * fewer where windows hide tokens; MLA's keys and values expanded. */
double model_attention_flops(const struct model *model, double context_tokens);

/* Appends the text of `tandem describe model NAME`: architecture, parameters, weights per GPU and KV bytes.
 */
void model_describe(const struct model *model, struct text *text);

/* "bf16" .., NULL-ended; and bytes of one value (0.5 for fp4). */
extern const char *const dtype_names[];
extern const char *const dtype_choices[]; /* "auto" first */
double dtype_bytes(enum dtype dtype);

/* Bytes of a weight, its share of the block's scales included (fp4: 9/16). */
double dtype_weight_bytes(enum dtype dtype);

#endif
