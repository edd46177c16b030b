/* Models: exact parameter counts and bytes from the architecture. All local. */
#ifndef TANDEM_MODEL_H
#define TANDEM_MODEL_H

#include "tandem/error.h"
#include "tandem/node.h"
#include "tandem/option.h"
#include "tandem/work.h"

struct model {
    const char *name;   /* lives as long as the tree */
    const char *source; /* where the figures are from */
    int64_t layers;
    int64_t hidden;
    int64_t heads;
    int64_t kv_heads;
    int64_t head_dim;
    int64_t mlp_width;
    bool gated_mlp;
    int64_t vocabulary;
    bool tied_embeddings;
    int norm; /* 0 rms: weight only; 1 layer: weight and bias */
    bool final_norm;
    bool embedding_norm; /* BLOOM */
    bool qkv_bias;
    bool attention_output_bias;
    bool mlp_bias;
    int64_t position_embeddings; /* learned rows: 0 for rotary or ALiBi */
    int64_t max_context_tokens;  /* as published; for warnings */
};

/* Keys of a model file: the members of struct model. */
extern const struct option_table model_options;

/* Fills a model from its JSON object; kv_heads 0 becomes heads, head_dim 0 becomes hidden / heads. Strings
 * live as long as the tree. Errors: those of option_parse, and heads, kv_heads and head_dim that do not fit
 * together. */
bool model_parse(const struct node *node, struct model *model, struct error *error);

/* Exact number of parameters of the whole model: embedding, positions, attention, MLP, biases, norms, and the
 * head where it is not tied. */
int64_t model_parameters(const struct model *model);

/* Bytes of the KV cache of one token over the whole model, without copies: 2 layers kv_heads head_dim bytes.
 */
int64_t model_kv_bytes_per_token(const struct model *model, enum dtype kv_dtype);

/* Whether a replica can be split over tp GPUs (heads, MLP width divisible; kv heads divisible or replicated);
 * the error says why not. node: where tensor_parallel was set, for the message. */
bool model_check_tensor_parallel(const struct model *model, int64_t tensor_parallel, const struct node *node,
                                 struct error *error);

/* Bytes of weights on one GPU of tp, as vLLM divides them: matrices divided, norms, positions and
 * row-parallel biases replicated, KV projections replicated when tp > kv heads, embedding and head divided by
 * vocabulary (padded up to a multiple of tp). weight_dtype is that of the layers' matrices (fp4: 9/16 byte,
 * its block scales included); all else stays in 16 bits, as quantized checkpoints have it. tp must pass
 * model_check_tensor_parallel, here and below. */
int64_t model_weight_bytes_per_gpu(const struct model *model, int64_t tensor_parallel,
                                   enum dtype weight_dtype);

/* Copies of the KV cache over the GPUs of a replica: max(1, tp / kv_heads). */
int64_t model_kv_copies(const struct model *model, int64_t tensor_parallel);

/* The shapes on one GPU, for the timer. */
struct work_shape model_shape(const struct model *model, int64_t tensor_parallel, enum dtype weight_dtype,
                              enum dtype kv_dtype);

/* FLOPs that one token needs in the matrices (2 per multiply-add; all GPUs; embedding look-up none, head
 * apart), and of the head for one row of logits. For MFU. */
double model_linear_flops_per_token(const struct model *model);
double model_head_flops_per_row(const struct model *model);

/* FLOPs of attention for one query token that sees context tokens: 4 layers heads head_dim context. */
double model_attention_flops(const struct model *model, double context_tokens);

/* Appends the text of `tandem describe model NAME`: architecture, parameters, weights per GPU and KV bytes.
 */
void model_describe(const struct model *model, struct text *text);

/* "bf16" .., NULL-ended (choices of weight_dtype and kv_dtype); and bytes of one value (0.5 for fp4). */
extern const char *const dtype_names[];
double dtype_bytes(enum dtype dtype);

#endif
