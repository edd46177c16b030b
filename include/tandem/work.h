/* Where model and hardware meet: plain numbers of what is to be computed, on ONE GPU of a replica. */
#ifndef TANDEM_WORK_H
#define TANDEM_WORK_H

#include <stdbool.h>
#include <stdint.h>

enum dtype {
    DTYPE_BF16,
    DTYPE_FP16,
    DTYPE_FP8,
    DTYPE_FP8_BLOCK, /* FP8 with a scale for each block of 128 x 128 weights (DeepSeek) */
    DTYPE_FP4,       /* NVFP4: blocks of 16 values with an FP8 scale */
    DTYPE_INT8,
    DTYPE_INT4,     /* weights: groups of 128 values with a 16-bit scale; or KV cache */
    DTYPE_MXFP4,    /* weights only: blocks of 32 values with an 8-bit scale (gpt-oss) */
    DTYPE_MXFP4_A8, /* the same with FP8 activations */
    DTYPE_COUNT
};

/* The shapes of a decoder's layers on one pipeline stage, per GPU after division. */
struct work_shape {
    int64_t layers;         /* of the stage */
    int64_t sliding_layers; /* of them: attention sees the last sliding_window tokens only */
    int64_t sliding_window;
    int64_t expert_layers; /* of them: with experts in place of the MLP */
    int64_t hidden;
    int64_t query_heads; /* heads / tp */
    int64_t kv_heads;    /* max(1, kv heads / tp): replicated when tp > kv heads */
    int64_t head_dim;
    int64_t mla_latent; /* multi-head latent attention; 0: none, and head_dim etc. are as above */
    int64_t mla_query_latent, mla_rope, mla_nope, mla_value;
    int64_t mlp_width; /* ff / tp */
    bool gated_mlp;    /* gate and up projections side by side */
    int64_t experts;   /* of a layer, over all GPUs */
    int64_t experts_per_token;
    int64_t expert_width;        /* whole: divided by expert_tensor_parallel */
    int64_t shared_expert_width; /* shared / tp */
    int64_t vocabulary;          /* V / tp, rounded up: columns of the head; 0: not on this stage */
    int64_t tensor_parallel;
    int64_t lanes;                  /* attention data parallelism: the experts take the tokens of all */
    int64_t expert_parallel;        /* GPU groups that the experts are spread over */
    int64_t expert_tensor_parallel; /* GPUs that share one expert: tp x lanes / expert_parallel */
    int64_t domain_gpus;            /* GPUs of the stage that are joined without the network; 0: all */
    bool sends_over_network;        /* to the next stage */
    double nic_bandwidth;           /* that one GPU reaches on the network, bytes/s; 0 where there is none */
    double nic_line_rate;           /* the same as the datasheet has it */
    enum dtype weight_dtype, expert_dtype, kv_dtype;
    double kv_value_bytes; /* bytes of one cached value, its share of scales included: 2 for bf16 */
};

/* One iteration. Sums only, so that its cost does not depend on the batch. */
struct work {
    int64_t prefill_tokens;   /* Tp */
    int64_t prefill_work_x2;  /* 2w: sum over chunks c of c (2 kv_before + c) */
    int64_t decode_sequences; /* nd */
    int64_t
        decode_context_tokens; /* ctx: sum of the contexts of decode sequences, their new token included */
    int64_t logit_rows;        /* finished prompts + nd */
    /* Of use to some models and GPUs only: */
    int64_t prefill_kv_tokens;       /* sum over chunks of kv_before + c: what MLA expands */
    int64_t prefill_scores;          /* sum over chunks of c (kv_before + c): the score matrix */
    int64_t longest_context_tokens;  /* of the decode sequences */
    int64_t sliding_prefill_work_x2; /* prefill_work_x2 where only sliding_window tokens are seen */
    int64_t sliding_context_tokens;  /* decode_context_tokens likewise: sum of min(context, window) */
};

/* Twice the attention work of the first so many tokens of a sequence, where only a window of them is seen. */
static inline int64_t work_sliding_x2(int64_t tokens, int64_t window)
{
    return tokens <= window ? tokens * tokens : window * (2 * tokens - window);
}

/* Cached tokens that a chunk of so many reads there: itself and the window before it. */
static inline int64_t work_sliding_read(int64_t before, int64_t tokens, int64_t window)
{
    return tokens + (before < window ? before : window);
}

/* What of the work is decoding. */
static inline void work_keep_decodes(const struct work *work, struct work *decodes)
{
    *decodes = (struct work){.decode_sequences = work->decode_sequences,
                             .decode_context_tokens = work->decode_context_tokens,
                             .logit_rows = work->decode_sequences,
                             .longest_context_tokens = work->longest_context_tokens,
                             .sliding_context_tokens = work->sliding_context_tokens};
}

/* Adds a chunk of so many tokens of a prompt that has others in the cache before it; rows of logits are for
 * the caller to add. window: the layers' sliding one; 0: none has one. */
static inline void work_add_chunk(struct work *work, int64_t before, int64_t tokens, int64_t window)
{
    int64_t end = before + tokens;
    work->prefill_tokens += tokens;
    work->prefill_work_x2 += tokens * (before + end);
    work->prefill_kv_tokens += end;
    work->prefill_scores += tokens * end;
    if (window > 0)
        work->sliding_prefill_work_x2 += work_sliding_x2(end, window) - work_sliding_x2(before, window);
}

#endif
