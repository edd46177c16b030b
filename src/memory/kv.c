/* The paged KV allocator as counts, and how many blocks a GPU has room for. */
#include "tandem/kv.h"

#include "tandem/activations.h"
#include "tandem/check.h"

#include <inttypes.h>

#define GIB (INT64_C(1) << 30)

#define FIELD(member) offsetof(struct kv_config, member)

static const char *const allocator_names[] = {"paged", NULL};
static const char *const cache_names[] = {"kept", "none", NULL};

static const struct option options[] = {
    {"cache", OPTION_CHOICE, "\"kept\"", 0, 0, cache_names, FIELD(cache),
     "none: no keys and values are kept, and every step computes all tokens of its sequences again (policies "
     "of "
     "whole prompts, such as continuous)"},
    {"allocator", OPTION_CHOICE, "\"paged\"", 0, 0, allocator_names, FIELD(allocator),
     "how the cache is laid out"},
    {"block_tokens", OPTION_INTEGER, "16", 1, 65536, NULL, FIELD(block_tokens), "tokens of a block"},
    {"memory_utilization", OPTION_NUMBER, "0.9", 0.01, 1, NULL, FIELD(memory_utilization),
     "share of the GPU's memory that the engine may use"},
    {"blocks", OPTION_INTEGER, "0", 0, 1e12, NULL, FIELD(blocks),
     "blocks of an instance, or of each of its lanes; 0: what the memory has room for"},
    {"activations", OPTION_CHOICE, "\"engine\"", 0, 0, activations_names, FIELD(activations),
     "engine: set aside for the largest iteration (vLLM's profiling run); else they share the memory with "
     "the "
     "cache, and what does not fit is not admitted: padded: sequences x the longest prompt (prefill) or "
     "cached "
     "length (decode); packed: the tokens that are computed; both with the scores where timer.attention is "
     "materialized"},
    {"margin_gib", OPTION_NUMBER, "1", 0, 1e5, NULL, FIELD(margin_gib),
     "memory of a GPU that activations padded and packed leave free beside weights and cache (as much as the "
     "engine keeps for itself)"},
};

OPTION_TABLE(kv_options, "kv", "the KV cache of an instance", options);

int64_t kv_usable_bytes(const struct kv_config *config, const struct kv_capacity *capacity)
{
    return (int64_t)(config->memory_utilization * (double)capacity->memory_bytes);
}

int64_t kv_activation_bytes(const struct kv_capacity *capacity)
{
    return 2 * capacity->max_num_batched_tokens * (capacity->hidden + 2 * capacity->mlp_width_per_gpu);
}

int64_t kv_room_bytes(const struct kv_config *config, const struct kv_capacity *capacity)
{
    return capacity->memory_bytes - (int64_t)(config->margin_gib * (double)GIB) - capacity->weight_bytes;
}

static int64_t cache_bytes(const struct kv_config *config, const struct kv_capacity *capacity)
{
    return kv_usable_bytes(config, capacity) - capacity->weight_bytes - kv_activation_bytes(capacity) -
           KV_RESERVE_BYTES;
}

int64_t kv_capacity_blocks(const struct kv_config *config, const struct kv_capacity *capacity)
{
    if (config->blocks > 0)
        return config->blocks;
    bool shared = config->activations != ACTIVATIONS_ENGINE;
    int64_t bytes = shared ? kv_room_bytes(config, capacity) : cache_bytes(config, capacity);
    CHECK(capacity->block_bytes > 0, "a block has %" PRId64 " bytes", capacity->block_bytes);
    if (bytes < 0)
        return -1;
    return bytes / capacity->block_bytes - (shared ? 0 : 1); /* vLLM keeps one block as the null block */
}

bool kv_capacity_error(const struct kv_config *config, const struct kv_capacity *capacity,
                       const struct node *node, struct error *error)
{
    const double gib = (double)GIB;
    double left = (double)cache_bytes(config, capacity) / gib;
    if (config->activations != ACTIVATIONS_ENGINE)
        return node_error(
            node, error,
            "no room for a token on a GPU: %.2f GiB, margin %.2f (margin_gib), weights %.2f: %.2f GiB "
            "left for the KV cache, a block of which takes %.4f, and activations; use more "
            "tensor_parallel, a larger GPU or a smaller margin_gib",
            (double)capacity->memory_bytes / gib, config->margin_gib, (double)capacity->weight_bytes / gib,
            (double)kv_room_bytes(config, capacity) / gib, (double)capacity->block_bytes / gib);
    return node_error(
        node, error,
        "no room for the KV cache on a GPU: %.2f of %.2f GiB usable (memory_utilization %g), weights "
        "%.2f, activations %.2f for max_num_batched_tokens %" PRId64
        ", reserve %.2f: %.2f GiB left, two blocks take %.4f GiB; use more tensor_parallel, a larger "
        "GPU, a higher memory_utilization or fewer max_num_batched_tokens",
        (double)kv_usable_bytes(config, capacity) / gib, (double)capacity->memory_bytes / gib,
        config->memory_utilization, (double)capacity->weight_bytes / gib,
        (double)kv_activation_bytes(capacity) / gib, capacity->max_num_batched_tokens,
        (double)KV_RESERVE_BYTES / gib, left, 2 * (double)capacity->block_bytes / gib);
}

void kv_init(struct kv *kv, int64_t block_tokens, int64_t capacity_blocks)
{
    CHECK(block_tokens > 0 && capacity_blocks > 0, "%" PRId64 " blocks of %" PRId64 " tokens",
          capacity_blocks, block_tokens);
    *kv = (struct kv){.block_tokens = block_tokens,
                      .divisor = block_tokens,
                      .rounding = block_tokens - 1,
                      .capacity_blocks = capacity_blocks};
}

void kv_init_none(struct kv *kv)
{
    *kv = (struct kv){.block_tokens = 1, .divisor = INT64_MAX};
}

void kv_take(struct kv *kv, int64_t blocks)
{
    CHECK(blocks >= 0 && blocks <= kv_free_blocks(kv), "%" PRId64 " blocks wanted, %" PRId64 " free", blocks,
          kv_free_blocks(kv));
    kv->used_blocks += blocks;
    kv->allocated_blocks += (uint64_t)blocks;
    if (kv->used_blocks > kv->peak_blocks)
        kv->peak_blocks = kv->used_blocks;
}

void kv_give(struct kv *kv, int64_t blocks)
{
    CHECK(blocks >= 0 && blocks <= kv->used_blocks, "%" PRId64 " blocks given back, %" PRId64 " used", blocks,
          kv->used_blocks);
    kv->used_blocks -= blocks;
    kv->freed_blocks += (uint64_t)blocks;
}
