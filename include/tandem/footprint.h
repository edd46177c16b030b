/* What a model takes of a GPU's memory as batches and contexts grow, and what that leaves room for: `tandem
 * memory`. All local. */
#ifndef TANDEM_FOOTPRINT_H
#define TANDEM_FOOTPRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/config.h"
#include "tandem/error.h"
#include "tandem/option.h"
#include "tandem/text.h"

extern const struct option_table footprint_options;

/* Sizes of the model and of one GPU: that of the stage which has room for the fewest KV blocks. Bytes of a
 * GPU unless a name says otherwise. */
struct footprint_summary {
    const char *model, *gpu, *weight_dtype, *expert_dtype, *kv_dtype;
    int64_t tensor_parallel, pipeline_parallel, attention_data_parallel, expert_parallel, gpus;
    int64_t parameters, active_parameters;
    int64_t model_weight_bytes; /* of one copy of the model */
    int64_t weight_bytes;
    int64_t model_kv_bytes_per_token, kv_bytes_per_token_and_layer; /* of the model, without copies */
    int64_t kv_bytes_per_token;
    int64_t memory_bytes, usable_bytes;
    const char *reserve_activations;
    int64_t activation_bytes, reserve_bytes; /* kept free for activations, and for the engine itself */
    int64_t cache_bytes;                     /* left for the cache; below 0: so much is missing */
    int64_t block_tokens, block_bytes;
    int64_t capacity_blocks; /* of a lane */
    int64_t capacity_tokens;
    int64_t max_num_batched_tokens, max_num_seqs, model_max_context_tokens;
};

/* A batch of equal sequences in a lane; bytes of a GPU. With pipeline stages a micro-batch is computed at
 * once: its share is what activations are of. */
struct footprint_growth {
    int64_t batch_sequences, length_tokens;
    int64_t model_kv_bytes;                   /* of the model, without copies, to the token */
    int64_t kv_bytes;                         /* in whole blocks */
    double kv_fraction;                       /* of weights and KV cache */
    int64_t total_bytes;                      /* weights, KV cache, and what is kept free */
    uint8_t fits;                             /* in the blocks that there are */
    int64_t prefill_activation_bytes;         /* whole prompts at once, no scores kept (FlashAttention) */
    int64_t prefill_score_bytes;              /* what [B, H, N, N] of a layer take besides */
    int64_t decode_activation_bytes;          /* a token of each */
    int64_t decode_score_bytes;               /* [B, H, 1, N] */
    int64_t all_layers_activation_bytes;      /* hidden states of all layers, if none were freed */
    uint8_t prefill_fits, prefill_scores_fit; /* these activations in place of those kept free */
    uint8_t decode_fits, decode_scores_fit;
};

/* The longest context of so many sequences, and the largest batch at a length, in a lane. */
struct footprint_context {
    const char *gpu;
    int64_t memory_bytes, tensor_parallel, weight_bytes, cache_bytes, batch_sequences, max_context_tokens;
};
struct footprint_batch {
    const char *gpu;
    int64_t memory_bytes, tensor_parallel, length_tokens, max_batch_sequences;
};

/* The given prompts as one rectangle. */
struct footprint_padding {
    int64_t sequences, longest_tokens, real_tokens, padded_tokens, wasted_tokens;
    double wasted_of_real, wasted_of_padded;
};

/* Their caches at the end, in places of max_length tokens, and in blocks. Bytes of the model. */
struct footprint_allocation {
    int64_t max_length_tokens, used_tokens, used_bytes;
    int64_t preallocated_tokens, preallocated_bytes;
    double preallocated_utilization, internal_fragmentation;
    int64_t paged_blocks, paged_tokens, paged_bytes;
    double paged_utilization, saved_fraction; /* of what was pre-allocated */
};

/* The given batch after its prefill (step 0) and after each decode step. Bytes of a GPU. */
struct footprint_step {
    int64_t step;
    uint8_t phase; /* 0 prefill, 1 decode */
    int64_t sequences, longest_tokens, kv_tokens;
    int64_t model_kv_bytes, kv_bytes;
    int64_t packed_tokens, padded_tokens; /* computed; as a rectangle up to the longest */
    int64_t packed_activation_bytes, padded_activation_bytes;
    int64_t score_bytes; /* of the rectangle, if they are kept */
    uint8_t packed_fits, padded_fits;
};

struct footprint_report {
    struct config *config;  /* owned, as all else: footprint_clear; the strings live in it */
    struct config **others; /* of the other GPUs */
    size_t other_count;
    struct footprint_summary summary;
    struct footprint_growth *growth;
    size_t growth_count;
    struct footprint_context *contexts;
    struct footprint_batch *batches;
    size_t context_count, batch_count;
    size_t length_count, width_count;       /* lengths, and batch sizes, of the tables */
    struct footprint_padding padding;       /* sequences 0: no prompts were given */
    struct footprint_allocation allocation; /* max_length_tokens 0: none was given */
    struct footprint_step *steps;
    size_t step_count;
};

/* Computes a report from "key=value" words: keys of footprint_options and of a pool (`tandem describe pool`,
 * whose name, role and instances have values already), paths below them as in --set. Weights that do not fit
 * are no error. An error names the key. The caller calls footprint_clear, after an error too. */
bool footprint_compute(const char *const *sets, size_t set_count, struct footprint_report *report,
                       struct error *error);
void footprint_clear(struct footprint_report *report);

/* Append the report as text, and as JSON: integers of bytes, keys with units. */
void footprint_print(const struct footprint_report *report, struct text *text);
void footprint_print_json(const struct footprint_report *report, struct text *text);

/* Creates the folder where there is none and removes earlier files of the report. Errors: those of
 * output_prepare. */
bool footprint_prepare(const char *folder, struct error *error);

/* Writes memory.h5 and memory.json into a folder that is there. Errors name the file and what the system
 * said. */
bool footprint_write(const struct footprint_report *report, const char *folder, struct error *error);

#endif
