/* The paged KV allocator of one instance (of a member of its replica): blocks as counts. Exact; all local. */
#ifndef TANDEM_KV_H
#define TANDEM_KV_H

#include <stdbool.h>
#include <stdint.h>

#include "tandem/error.h"
#include "tandem/node.h"
#include "tandem/option.h"

/* none: every iteration computes whole sequences again. */
enum kv_cache { KV_CACHE_KEPT, KV_CACHE_NONE };

struct kv_config {
    int cache;                 /* enum kv_cache */
    int allocator;             /* 0: paged */
    int64_t block_tokens;      /* B */
    double memory_utilization; /* share of GPU memory that the engine may use */
    int64_t blocks;            /* 0: from the formula of kv_capacity_blocks */
    int activations;           /* enum activations */
    double margin_gib;         /* of a GPU that is left free; with activations that are not the engine's */
};

extern const struct option_table kv_options; /* of struct kv_config */

/* What the engine keeps for CUDA context, graphs and workspaces. */
#define KV_RESERVE_BYTES (INT64_C(1) << 30)

/* What the capacity depends on, per GPU. */
struct kv_capacity {
    int64_t memory_bytes;
    int64_t weight_bytes;
    int64_t max_num_batched_tokens; /* T */
    int64_t hidden;                 /* h */
    int64_t mlp_width_per_gpu;      /* ff / tp */
    int64_t block_bytes;            /* B x 2 x layers x kv heads of the GPU x head_dim x bytes */
};

/* Bytes of a GPU that the engine may use: utilization x memory. */
int64_t kv_usable_bytes(const struct kv_config *config, const struct kv_capacity *capacity);

/* memory - margin - weights: what cache and activations share where these are not set aside. */
int64_t kv_room_bytes(const struct kv_config *config, const struct kv_capacity *capacity);

/* 2T(h + 2 ff/tp) bytes of a GPU: residual stream and gated MLP of one layer in 16 bits for T tokens. */
int64_t kv_activation_bytes(const struct kv_capacity *capacity);

/* Blocks of an instance (of a lane): config->blocks where that is set, else
 * floor((utilization x memory - weights - 2T(h + 2ff/tp) - 1 GiB) / block bytes) - 1, or where activations
 * are not set aside floor((memory - margin - weights) / block bytes). Negative or 0 when it does not fit.
 * Formula: src/serving/README.md (vLLM's profiling run and its null block).
 */
int64_t kv_capacity_blocks(const struct kv_config *config, const struct kv_capacity *capacity);

/* Sets the error that says with figures why there is no room (node: the pool). Returns false. */
bool kv_capacity_error(const struct kv_config *config, const struct kv_capacity *capacity,
                       const struct node *node, struct error *error);

struct kv {
    int64_t block_tokens;
    int64_t divisor, rounding; /* B and B - 1; without a cache no number of tokens needs a block */
    int64_t capacity_blocks;
    int64_t used_blocks;
    int64_t peak_blocks;
    uint64_t allocated_blocks; /* since the start */
    uint64_t freed_blocks;
};

/* An empty cache; both at least 1, or it aborts. */
void kv_init(struct kv *kv, int64_t block_tokens, int64_t capacity_blocks);

/* No cache: no blocks, and none needed. */
void kv_init_none(struct kv *kv);

/* ceil(tokens / B). */
static inline int64_t kv_blocks(const struct kv *kv, int64_t tokens)
{
    return (tokens + kv->rounding) / kv->divisor;
}

static inline int64_t kv_free_blocks(const struct kv *kv)
{
    return kv->capacity_blocks - kv->used_blocks;
}

/* Takes blocks; aborts when fewer are free (the scheduler has to ask first). */
void kv_take(struct kv *kv, int64_t blocks);

/* Gives blocks back; aborts when more than are used. */
void kv_give(struct kv *kv, int64_t blocks);

#endif
