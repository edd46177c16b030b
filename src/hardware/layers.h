/* What a stage's layers consist of: operators put together to the parts of an iteration. Private to hardware;
 * all local. */
#ifndef TANDEM_HARDWARE_LAYERS_H
#define TANDEM_HARDWARE_LAYERS_H

#include "tandem/operators.h"
#include "tandem/timer.h"

/* A stage on a GPU, as the operators take it. */
struct layers {
    struct gpu gpu;
    struct work_shape shape;
    struct attention_heads heads;
    struct latent_heads latent;
    struct expert_sizes experts;
    bool power_law;  /* imbalance by the number of tokens */
    bool all_to_all; /* else the experts' output is summed up by an all-reduce */
    enum gpu_all_to_all_mode mode;
    struct operator_group tensor; /* that shares matrices */
    struct operator_group all;    /* that shares the experts */
    struct operator_group stages; /* one GPU and its counterpart on the next stage */
};

/* Where operators are listed; NULL: only their time is asked for. */
struct tally {
    struct timer_operator *operators; /* TIMER_MOST_OPERATORS of them */
    size_t count;
};

void layers_init(struct layers *layers, const struct gpu *gpu, const struct work_shape *shape,
                 const struct timer_config *config);

/* What depends on the tokens of a lane alone, over all layers, in s. */
struct token_times {
    double linear, elementwise, allreduce;
};
struct token_times layers_of_tokens(const struct layers *layers, double tokens, struct tally *tally);

/* What depends on the tokens of all lanes: experts and the way there and back. */
struct expert_times {
    double experts, all_to_all;
    double weight_bytes; /* of the experts that are used, on all GPUs; not a time */
};
struct expert_times layers_of_experts(const struct layers *layers, double tokens, struct tally *tally);

/* Attention over all layers. In mixed batches on some GPUs decodes are in the prefill part. */
double layers_prefill_attention(const struct layers *layers, const struct work *work, struct tally *tally);
double layers_decode_attention(const struct layers *layers, const struct work *work, struct tally *tally);

/* The output head (always 16 bits) and the sampler; 0 on a stage without. */
double layers_head(const struct layers *layers, double rows, struct tally *tally);

#endif
