/* Where model and hardware meet: plain numbers of what is to be computed, on ONE GPU of a replica. */
#ifndef TANDEM_WORK_H
#define TANDEM_WORK_H

#include <stdbool.h>
#include <stdint.h>

enum dtype { DTYPE_BF16, DTYPE_FP16, DTYPE_FP8, DTYPE_FP4, DTYPE_COUNT };

/* The shapes of a dense decoder, per GPU after division by tensor parallelism. */
struct work_shape {
    int64_t layers;
    int64_t hidden;
    int64_t query_heads; /* heads / tp */
    int64_t kv_heads;    /* max(1, kv heads / tp): replicated when tp > kv heads */
    int64_t head_dim;
    int64_t mlp_width;  /* ff / tp */
    bool gated_mlp;     /* gate and up projections side by side */
    int64_t vocabulary; /* V / tp, rounded up: columns of the head */
    int64_t tensor_parallel;
    enum dtype weight_dtype;
    double kv_value_bytes; /* bytes of one cached value: 2 for bf16, 1 for fp8 */
};

/* One iteration. Sums only, so that its cost does not depend on the batch. */
struct work {
    int64_t prefill_tokens;   /* Tp */
    int64_t prefill_work_x2;  /* 2w: sum over chunks c of c (2 kv_before + c) */
    int64_t decode_sequences; /* nd */
    int64_t
        decode_context_tokens; /* ctx: sum of the contexts of decode sequences, their new token included */
    int64_t logit_rows;        /* finished prompts + nd */
};

#endif
