/* The KV cache of one instance (of a member of its replica): who holds how many blocks, and where they lie.
 * An allocator is one file in src/memory/allocators that defines `const struct kv_allocator
 * kv_allocator_NAME`. Exact; all local. */
#ifndef TANDEM_KV_H
#define TANDEM_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/error.h"
#include "tandem/node.h"
#include "tandem/option.h"
#include "tandem/prefix.h"

/* none: every iteration computes whole sequences again. */
enum kv_cache { KV_CACHE_KEPT, KV_CACHE_NONE };

struct kv;

/* What an allocator's settings depend on, of the cache of a member. */
struct kv_bounds {
    int64_t block_tokens, capacity_blocks;
    int64_t max_length_tokens; /* of a request: the pool's limit, else the model's; at least 1 */
};

struct kv_allocator {
    const char *name;
    const char *doc;
    const struct option_table *options; /* its own keys of the "kv" object; NULL: none */
    size_t settings_bytes;              /* of the structure that they fill, at most KV_SETTINGS_BYTES */
    /* Completes and checks the settings (node: the "kv" object, else the pool). NULL: nothing to do. */
    bool (*resolve)(void *settings, const struct kv_bounds *bounds, const struct node *node,
                    struct error *error);
    /* Where so many consecutive free blocks are, -1 for nowhere; in an empty cache there is a place for all
     * that size and grown return up to its capacity. NULL: blocks may lie anywhere. Then they are taken one
     * by one as tokens come, and the four functions below are NULL too. */
    int64_t (*place)(const struct kv *kv, int64_t blocks);
    /* Blocks of a sequence that has so many tokens (1 or more) to cache when it gets its place; never less
     * for more tokens, INT64_MAX where none holds so many. NULL: ceil(tokens / B). */
    int64_t (*size)(const struct kv *kv, int64_t tokens);
    /* The same for one that has outgrown its blocks. NULL: as size. */
    int64_t (*grown)(const struct kv *kv, int64_t tokens);
    /* Whether places are moved together where a sequence finds none, though enough blocks are free; place
     * then takes all free blocks as one run. NULL: never. */
    bool (*compacts)(const struct kv *kv);
};

extern const struct kv_allocator *const kv_allocators[]; /* generated, NULL-ended */

#define KV_SETTINGS_BYTES 2048

struct kv_config {
    int cache;                            /* enum kv_cache */
    int allocator_choice;                 /* of the option: index into kv_allocators[] */
    const struct kv_allocator *allocator; /* resolved; NULL: paged */
    int64_t block_tokens;                 /* B */
    double memory_utilization;            /* share of GPU memory that the engine may use */
    int64_t blocks;                       /* 0: from the formula of kv_capacity_blocks */
    int activations;                      /* enum activations */
    double margin_gib;        /* of a GPU that is left free; with activations that are not the engine's */
    double alloc_us;          /* of an allocation */
    double copy_ns_per_block; /* resolved: read and written once, by all GPUs at the same time */
    bool prefix_caching;      /* blocks with contents that a request has are shared and kept */
    double prefix_hit_share;  /* of each prompt, that is in the cache whatever it is */
    double host_tier_gib, host_tier_gb_per_s; /* of each GPU; a rate of 0 is automatic */
    double ssd_tier_gib, ssd_tier_gb_per_s;
    _Alignas(max_align_t) unsigned char settings[KV_SETTINGS_BYTES]; /* the allocator's own */
};

/* Options of every allocator, of struct kv_config. */
const struct option_table *kv_option_table(void);

/* Fills the configuration from the "kv" object (NULL: defaults); keys are those of the table and of the
 * allocator that it names. */
bool kv_parse(const struct node *node, struct kv_config *config, struct error *error);

/* Completes the allocator's settings when the capacity is known. node: as in struct kv_allocator. */
bool kv_resolve(struct kv_config *config, int64_t capacity_blocks, int64_t max_length_tokens,
                const struct node *node, struct error *error);

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

/* Consecutive blocks of one sequence. */
struct kv_region {
    int64_t start, blocks;
    uint32_t owner;
};

/* What is looked at most comes first. */
struct kv {
    int64_t block_tokens;
    int64_t divisor, rounding; /* B and B - 1; without a cache no number of tokens needs a block */
    int64_t capacity_blocks;
    int64_t used_blocks; /* taken, whether tokens are in them or not */
    int64_t kept_blocks; /* free, but what they hold may be wanted again: taken last */
    int64_t peak_blocks;
    uint64_t allocated_blocks; /* since the start, as what follows */
    uint64_t freed_blocks, allocations;
    uint64_t total_cost_ns; /* of allocations and copies */
    int64_t cost_ns;        /* of it: since kv_take_cost */
    int64_t alloc_ns;
    const struct kv_allocator *allocator;
    struct prefix *prefix;                       /* what kept blocks hold; NULL: nothing is kept. Borrowed. */
    bool placed;                                 /* where blocks lie matters */
    int64_t prefix_blocks;                       /* of ours, of one of prefix's blocks */
    uint64_t copies, compactions, copied_blocks; /* since the start */
    const struct kv_config *config;              /* borrowed */
    struct kv_region *regions;                   /* by start; owned */
    size_t region_count, region_capacity;
};

/* An empty cache; aborts with less than one block of one token. The configuration is borrowed. Caller:
 * kv_clear. */
void kv_init(struct kv *kv, const struct kv_config *config, int64_t capacity_blocks);
void kv_clear(struct kv *kv);

/* No cache: no blocks, and none needed. */
void kv_init_none(struct kv *kv);

/* ceil(tokens / B). */
static inline int64_t kv_blocks(const struct kv *kv, int64_t tokens)
{
    return (tokens + kv->rounding) / kv->divisor;
}

/* Blocks that a sequence with so many tokens gets, and those that it gets when it has outgrown its blocks. */
static inline int64_t kv_size(const struct kv *kv, int64_t tokens)
{
    return kv->allocator->size ? kv->allocator->size(kv, tokens) : kv_blocks(kv, tokens);
}
int64_t kv_grown_size(const struct kv *kv, int64_t tokens);

static inline int64_t kv_free_blocks(const struct kv *kv)
{
    return kv->capacity_blocks - kv->used_blocks;
}

/* Most tokens of a sequence that an empty cache holds with so many blocks left free. */
int64_t kv_most_tokens(const struct kv_config *config, int64_t capacity_blocks, int64_t spare_blocks);

/* Places of so many blocks, and sequences of so many tokens, that an empty cache holds; up to most. */
int64_t kv_most_places(const struct kv_config *config, int64_t capacity_blocks, int64_t blocks, int64_t most);
int64_t kv_most_sequences(const struct kv_config *config, int64_t capacity_blocks, int64_t tokens,
                          int64_t most);

/* Blocks without a place: takes some in one allocation, or each in one of its own; aborts when fewer are free
 * (the scheduler has to ask first). */
void kv_take_in(struct kv *kv, int64_t blocks, int64_t allocations);
static inline void kv_take(struct kv *kv, int64_t blocks)
{
    if (blocks != 0)
        kv_take_in(kv, blocks, 1);
}
static inline void kv_take_each(struct kv *kv, int64_t blocks)
{
    if (blocks != 0)
        kv_take_in(kv, blocks, blocks);
}

/* Gives such blocks back; aborts when more are given than are used. */
void kv_give(struct kv *kv, int64_t blocks);

/* From now on blocks that are given with kv_keep are kept for prefix, as many at a time as one of its blocks
 * is long. It evicts where others are taken instead. Without places; prefix is borrowed. */
void kv_share(struct kv *kv, struct prefix *prefix, int64_t prefix_blocks);

/* Gives blocks back that are kept; takes such blocks again. */
void kv_keep(struct kv *kv, int64_t blocks);
void kv_reuse(struct kv *kv, int64_t blocks);

/* Whether so many blocks can be taken: as many are free, and where it matters there is a place for them,
 * maybe after a compaction that is done then and there. 0 always can. */
bool kv_find_place(struct kv *kv, int64_t blocks); /* where it matters */
static inline bool kv_make_place(struct kv *kv, int64_t blocks)
{
    return blocks <= kv_free_blocks(kv) && (!kv->placed || blocks == 0 || kv_find_place(kv, blocks));
}

/* Takes blocks for a sequence that has none (owner: any number that no other has), or moves one to so many
 * more: its place is held until its cache is copied. After kv_make_place, or they abort. */
void kv_place(struct kv *kv, uint32_t owner, int64_t blocks);
void kv_grow(struct kv *kv, uint32_t owner, int64_t blocks);

/* Gives a sequence's place back. Returns its blocks. */
int64_t kv_remove(struct kv *kv, uint32_t owner);
/* Gives all places back. */
void kv_remove_all(struct kv *kv);

/* The lowest start in [begin, end) of so many consecutive free blocks, -1 for none. For allocators. */
int64_t kv_first_fit(const struct kv *kv, int64_t begin, int64_t end, int64_t blocks);

/* The longest run of consecutive free blocks. */
int64_t kv_longest_run(const struct kv *kv);

/* Time of allocations and copies since it was asked last. */
int64_t kv_take_cost(struct kv *kv);

#endif
