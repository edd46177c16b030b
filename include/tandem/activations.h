/* Activations of an iteration on a GPU, as far as they are not set aside once for all: what they take, and
 * whether they fit beside weights and KV cache. Exact; all local. */
#ifndef TANDEM_ACTIVATIONS_H
#define TANDEM_ACTIVATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tandem/wide.h"

/* engine: set aside for the largest iteration (kv.h). padded: sequences x the longest (of a prompt's tokens
 * in prefill, of the cached ones in decode). packed: the tokens that are computed. */
enum activations { ACTIVATIONS_ENGINE, ACTIVATIONS_PADDED, ACTIVATIONS_PACKED };
extern const char *const activations_names[];

/* Bytes of an entry of [B, H, N, N]: softmax is computed in FP32. */
#define ACTIVATIONS_SCORE_BYTES 4

/* Of one GPU of a member; where stages differ, the least room and the largest blocks. */
struct activation_rule {
    int kind;                /* enum activations */
    int64_t bytes_per_token; /* 2(h + 2 ff/tp) */
    int64_t score_bytes;     /* of an entry of the scores of a layer, over the heads; 0: they are not kept */
    int64_t room_bytes;      /* memory - margin - weights: for cache and activations */
    int64_t block_bytes;     /* with those of as many micro-batches as there are */
};

/* Sequences that are computed at the same time, each with so many tokens (queries) over a context of as many
 * or more, itself included. */
struct activation_load {
    int64_t sequences, tokens, longest_tokens, longest_context;
    wide_t scores; /* sum of tokens x context */
};

/* Adds one. */
static inline void activation_add(struct activation_load *load, int64_t tokens, int64_t context)
{
    load->sequences++;
    load->tokens += tokens;
    load->longest_tokens = tokens > load->longest_tokens ? tokens : load->longest_tokens;
    load->longest_context = context > load->longest_context ? context : load->longest_context;
    load->scores += (wide_t)(uint64_t)tokens * (uint64_t)context;
}

/* Bytes of activations of an iteration that does both; the scores of one layer at a time are kept. 0 for
 * engine: they are not counted here. */
wide_t activation_bytes(const struct activation_rule *rule, const struct activation_load *prefill,
                        const struct activation_load *decode);

/* Whether they and so many blocks fit: weights + KV + activations <= memory - margin. Always for engine. */
bool activation_fits(const struct activation_rule *rule, int64_t blocks,
                     const struct activation_load *prefill, const struct activation_load *decode);

/* Steps of so many decodes after which they surely still fit, with those that fit now: in block_tokens steps
 * no sequence takes more than one block. */
int64_t activation_steps(const struct activation_rule *rule, int64_t block_tokens, int64_t blocks,
                         const struct activation_load *decode);

/* Most tokens of a sequence that fits alone, computed in chunks of at most so many, and then decoded; at most
 * most_tokens. */
int64_t activation_most_tokens(const struct activation_rule *rule, int64_t block_tokens, int64_t most_chunk,
                               int64_t most_tokens);

#endif
