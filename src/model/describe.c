/* The text of `tandem describe model`. */
#include <inttypes.h>

#include "parts.h"

static void row(struct text *text, const char *name, int64_t value, const char *note)
{
    text_append(text, "  %-22s %" PRId64 "%s%s\n", name, value, note[0] ? "  " : "", note);
}

static void describe_attention(const struct model *model, struct text *text)
{
    row(text, "query heads", model->heads, "");
    if (model->mla_latent > 0) {
        row(text, "latent width", model->mla_latent, "(multi-head latent attention)");
        row(text, "query latent width", model->mla_query_latent, "");
        row(text, "key width, rotated", model->mla_rope, "");
        row(text, "key width, rest", model->mla_nope, "");
        row(text, "value width", model->mla_value, "");
    } else {
        row(text, "KV heads", model->kv_heads,
            model->kv_heads == model->heads ? "(multi-head attention)"
            : model->kv_heads == 1          ? "(multi-query attention)"
                                            : "(grouped-query attention)");
        row(text, "head width", model->head_dim, "");
    }
    if (model->sliding_window > 0) {
        row(text, "sliding window", model->sliding_window, "tokens");
        row(text, "layers with a window", model->sliding_window_layers, "");
    }
}

static void describe_mlp(const struct model *model, struct text *text)
{
    const char *gated = model->gated_mlp ? "(gated)" : "";
    if (model->dense_layers > 0)
        row(text, "MLP width", model->mlp_width, gated);
    if (model->experts == 0)
        return;
    row(text, "layers without experts", model->dense_layers, "");
    row(text, "experts", model->experts,
        model->dense_layers > 0 ? "(in the other layers)" : "(in all layers)");
    row(text, "experts per token", model->experts_per_token, "");
    row(text, "expert width", model->expert_width, gated);
    row(text, "shared experts' width", model->shared_expert_width, "");
}

static void describe_kv(const struct model *model, struct text *text)
{
    int64_t all = model_kv_bytes_per_token(model, DTYPE_BF16);
    int64_t sliding = model_sliding_kv_bytes_per_token(model, DTYPE_BF16);
    row(text, "KV cache per token", all, "bytes in 16 bits");
    if (sliding > 0) {
        row(text, "  in full layers", all - sliding, "bytes");
        row(text, "  in sliding layers", sliding, "bytes, of the last tokens only that the window spans");
    }
    row(text, "  in fp8", model_kv_bytes_per_token(model, DTYPE_FP8), "bytes");
    if (model->mla_latent > 0)
        return;
    row(text, "  in int8", model_kv_bytes_per_token(model, DTYPE_INT8), "bytes, scales included");
    row(text, "  in int4", model_kv_bytes_per_token(model, DTYPE_INT4),
        "bytes, scales and zero points included");
}

/* Weights of a replica over tp GPUs, for every degree up to 16 that divides the model. */
static void describe_weights(const struct model *model, struct text *text)
{
    static const enum dtype dtypes[] = {DTYPE_BF16, DTYPE_FP8, DTYPE_FP4};
    text_append(text, "  weights per GPU, GiB (layer matrices in the data type, the rest in 16 bits)\n");
    text_append(text, "    %-16s %9s %9s %9s %9s %10s\n", "tensor_parallel", "published", "bf16", "fp8",
                "fp4", "KV copies");
    for (int64_t tp = 1; tp <= 16; tp *= 2) {
        struct error error;
        struct model_layout layout = model_layout(tp, (enum dtype)model->weight_dtype, DTYPE_BF16);
        layout.expert_dtype = (enum dtype)model->expert_dtype;
        if (!model_divides(model, &layout, &error))
            continue;
        const double gib = 1024.0 * 1024.0 * 1024.0;
        text_append(text, "    %-16" PRId64 " %9.2f", tp,
                    (double)model_weight_bytes_per_gpu(model, &layout, 0) / gib);
        for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
            layout.weight_dtype = layout.expert_dtype = dtypes[i];
            text_append(text, " %9.2f", (double)model_weight_bytes_per_gpu(model, &layout, 0) / gib);
        }
        text_append(text, " %10" PRId64 "\n", model_kv_copies(model, tp));
    }
}

void model_describe(const struct model *model, struct text *text)
{
    text_append(text, "%s\n  source: %s\n", model->name, model->source);
    row(text, "layers", model->layers, "");
    row(text, "hidden", model->hidden, "");
    describe_attention(model, text);
    describe_mlp(model, text);
    row(text, "vocabulary", model->vocabulary, model->tied_embeddings ? "(tied to the head)" : "");
    row(text, "position embeddings", model->position_embeddings, "");
    row(text, "longest context", model->max_context_tokens, "tokens");
    text_append(text, "  %-22s %s\n", "norm", model_norm_names[model->norm]);
    text_append(text, "  %-22s %s", "weights, as published", dtype_names[model->weight_dtype]);
    if (model->experts > 0)
        text_append(text, ", experts %s", dtype_names[model->expert_dtype]);
    text_append(text, "\n");
    row(text, "parameters", model_parameters(model), "");
    if (model->experts > 0)
        row(text, "active parameters", model_active_parameters(model), "(for one token)");
    describe_kv(model, text);
    text_append(text, "  %-22s %.4g in the layers, %.4g in the head\n", "FLOP per token",
                model_linear_flops_per_token(model), model_head_flops_per_row(model));
    describe_weights(model, text);
}
