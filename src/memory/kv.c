/* The configuration of a KV cache, how many blocks a GPU has room for, and blocks as counts. */
#include "tandem/kv.h"

#include "tandem/activations.h"
#include "tandem/check.h"
#include "tandem/mem.h"
#include "tandem/simtime.h"

#include <inttypes.h>

#define GIB (INT64_C(1) << 30)

#define FIELD(member) offsetof(struct kv_config, member)

#define MOST_ALLOCATORS 64

extern const struct kv_allocator kv_allocator_paged; /* what a pool has that says nothing */

static const char *allocator_choices[MOST_ALLOCATORS + 1];

static const char *const cache_names[] = {"kept", "none", NULL};

static const struct option options[] = {
    {"allocator", OPTION_CHOICE, "\"paged\"", 0, 0, allocator_choices, FIELD(allocator_choice),
     "how the cache is laid out"},
    {"cache", OPTION_CHOICE, "\"kept\"", 0, 0, cache_names, FIELD(cache),
     "none: no keys and values are kept, and every step computes all tokens of its sequences again (policies "
     "of "
     "whole prompts, such as continuous)"},
    {"block_tokens", OPTION_INTEGER, "16", 1, 65536, NULL, FIELD(block_tokens), "tokens of a block"},
    {"memory_utilization", OPTION_NUMBER, "0.9", 0.01, 1, NULL, FIELD(memory_utilization),
     "share of the GPU's memory that the engine may use"},
    {"blocks", OPTION_INTEGER, "0", 0, 1e12, NULL, FIELD(blocks),
     "blocks of an instance, or of each of its lanes; 0: what the memory has room for"},
    {"alloc_us", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(alloc_us),
     "of each allocation, before the next iteration starts; 0: from memory that the engine holds already "
     "(a cudaMalloc for each takes milliseconds: 1000)"},
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
    {"prefix_caching", OPTION_BOOL, "false", 0, 0, NULL, FIELD(prefix_caching),
     "blocks are shared by requests whose prompts begin alike, and kept after them until their room is "
     "wanted "
     "(allocator paged; the trace must say what is alike, as Mooncake's do)"},
    {"prefix_hit_share", OPTION_NUMBER, "0", 0, 1, NULL, FIELD(prefix_hit_share),
     "instead of prefix_caching: of each prompt so much, in whole blocks, is in the cache, whatever it is; "
     "it "
     "takes the room of any prompt"},
    {"host_tier_gib", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(host_tier_gib),
     "prefix_caching: host memory for blocks that leave the GPU, of each GPU; 0: none"},
    {"host_tier_gb_per_s", OPTION_NUMBER, "0", 0, 1e6, NULL, FIELD(host_tier_gb_per_s),
     "from there to a GPU; 0: as scheduler.swap_gb_per_s has it by itself"},
    {"ssd_tier_gib", OPTION_NUMBER, "0", 0, 1e9, NULL, FIELD(ssd_tier_gib),
     "prefix_caching: SSD for blocks that leave the host's memory, of each GPU; 0: none"},
    {"ssd_tier_gb_per_s", OPTION_NUMBER, "6", 0.001, 1e6, NULL, FIELD(ssd_tier_gb_per_s),
     "from there to a GPU (assumed: a drive on PCIe 4 for each)"},
};

static OPTION_TABLE(table, "kv", "the KV cache of an instance", options);
/* The one key that says which others there are. */
static const struct option_table allocator_table = {"kv", "the KV cache of an instance", options, 1};

const struct option_table *kv_option_table(void)
{
    for (int i = 0; kv_allocators[i]; i++) {
        CHECK(i < MOST_ALLOCATORS, "more than %d KV allocators", MOST_ALLOCATORS);
        allocator_choices[i] = kv_allocators[i]->name;
    }
    return &table;
}

bool kv_parse(const struct node *node, struct kv_config *config, struct error *error)
{
    struct option_part parts[2] = {{kv_option_table(), config}};
    struct option_part first = {&allocator_table, config};
    *config = (struct kv_config){0};
    if (!option_parse_foreign(&first, 1, node, error))
        return false;
    config->allocator = kv_allocators[config->allocator_choice];
    CHECK(config->allocator->settings_bytes <= KV_SETTINGS_BYTES, "settings of %zu bytes",
          config->allocator->settings_bytes);
    parts[1] = (struct option_part){config->allocator->options, config->settings};
    return option_parse_parts(parts, parts[1].table ? 2 : 1, node, error);
}

bool kv_resolve(struct kv_config *config, int64_t capacity_blocks, int64_t max_length_tokens,
                const struct node *node, struct error *error)
{
    struct kv_bounds bounds = {config->block_tokens, capacity_blocks, max_length_tokens};
    const struct kv_allocator *allocator = config->allocator;
    return !allocator || !allocator->resolve || allocator->resolve(config->settings, &bounds, node, error);
}

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

void kv_init(struct kv *kv, const struct kv_config *config, int64_t capacity_blocks)
{
    const struct kv_allocator *allocator = config->allocator ? config->allocator : &kv_allocator_paged;
    CHECK(config->block_tokens > 0 && capacity_blocks > 0, "%" PRId64 " blocks of %" PRId64 " tokens",
          capacity_blocks, config->block_tokens);
    *kv = (struct kv){.block_tokens = config->block_tokens,
                      .divisor = config->block_tokens,
                      .rounding = config->block_tokens - 1,
                      .capacity_blocks = capacity_blocks,
                      .alloc_ns = simtime_from_ns(config->alloc_us * 1e3),
                      .placed = allocator->place != NULL,
                      .config = config,
                      .allocator = allocator};
}

void kv_init_none(struct kv *kv)
{
    *kv = (struct kv){.block_tokens = 1, .divisor = INT64_MAX, .allocator = &kv_allocator_paged};
}

void kv_clear(struct kv *kv)
{
    mem_free(kv->regions);
    *kv = (struct kv){0};
}

int64_t kv_grown_size(const struct kv *kv, int64_t tokens)
{
    return kv->allocator->grown ? kv->allocator->grown(kv, tokens) : kv_size(kv, tokens);
}

int64_t kv_most_tokens(const struct kv_config *config, int64_t capacity_blocks, int64_t spare_blocks)
{
    struct kv empty;
    kv_init(&empty, config, capacity_blocks);
    int64_t blocks = capacity_blocks - spare_blocks, low = 0, high = blocks * config->block_tokens;
    while (low < high) {
        int64_t middle = high - (high - low) / 2;
        if (kv_size(&empty, middle) <= blocks)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

int64_t kv_most_places(const struct kv_config *config, int64_t capacity_blocks, int64_t blocks, int64_t most)
{
    struct kv kv;
    int64_t count = 0;
    kv_init(&kv, config, capacity_blocks);
    if (!kv.placed)
        return capacity_blocks / blocks < most ? capacity_blocks / blocks : most;
    while (count < most && kv_make_place(&kv, blocks))
        kv_place(&kv, (uint32_t)count++, blocks);
    kv_clear(&kv);
    return count;
}

int64_t kv_most_sequences(const struct kv_config *config, int64_t capacity_blocks, int64_t tokens,
                          int64_t most)
{
    struct kv empty;
    kv_init(&empty, config, capacity_blocks);
    return kv_most_places(config, capacity_blocks, kv_size(&empty, tokens), most);
}

/* What is kept makes room for what is used. */
static void drop_kept(struct kv *kv)
{
    while (kv->used_blocks + kv->kept_blocks > kv->capacity_blocks) {
        prefix_evict(kv->prefix);
        kv->kept_blocks -= kv->prefix_blocks;
    }
}

/* Blocks change hands; what that costs is for the caller to say. */
static void take(struct kv *kv, int64_t blocks)
{
    CHECK(blocks >= 0 && blocks <= kv_free_blocks(kv), "%" PRId64 " blocks wanted, %" PRId64 " free", blocks,
          kv_free_blocks(kv));
    kv->used_blocks += blocks;
    kv->allocated_blocks += (uint64_t)blocks;
    if (kv->used_blocks > kv->peak_blocks)
        kv->peak_blocks = kv->used_blocks;
    if (kv->used_blocks + kv->kept_blocks > kv->capacity_blocks)
        drop_kept(kv);
}

static void add_cost(struct kv *kv, int64_t cost_ns)
{
    kv->cost_ns += cost_ns;
    kv->total_cost_ns += (uint64_t)cost_ns;
}

static void count_allocations(struct kv *kv, int64_t allocations)
{
    kv->allocations += (uint64_t)allocations;
    add_cost(kv, allocations * kv->alloc_ns);
}

static void count_copy(struct kv *kv, int64_t blocks)
{
    kv->copied_blocks += (uint64_t)blocks;
    add_cost(kv, simtime_from_ns((double)blocks * kv->config->copy_ns_per_block));
}

void kv_take_in(struct kv *kv, int64_t blocks, int64_t allocations)
{
    take(kv, blocks);
    count_allocations(kv, allocations);
}

void kv_give(struct kv *kv, int64_t blocks)
{
    CHECK(blocks >= 0 && blocks <= kv->used_blocks, "%" PRId64 " blocks given back, %" PRId64 " used", blocks,
          kv->used_blocks);
    kv->used_blocks -= blocks;
    kv->freed_blocks += (uint64_t)blocks;
}

void kv_share(struct kv *kv, struct prefix *prefix, int64_t prefix_blocks)
{
    CHECK(!kv->placed && prefix_blocks > 0, "%" PRId64 " blocks that are shared", prefix_blocks);
    kv->prefix = prefix;
    kv->prefix_blocks = prefix_blocks;
}

void kv_keep(struct kv *kv, int64_t blocks)
{
    kv_give(kv, blocks);
    kv->kept_blocks += blocks;
}

void kv_reuse(struct kv *kv, int64_t blocks)
{
    CHECK(blocks <= kv->kept_blocks, "%" PRId64 " blocks wanted again, %" PRId64 " kept", blocks,
          kv->kept_blocks);
    kv->kept_blocks -= blocks;
    take(kv, blocks);
}

int64_t kv_take_cost(struct kv *kv)
{
    int64_t cost_ns = kv->cost_ns;
    kv->cost_ns = 0;
    return cost_ns;
}

/* --- places
 * --------------------------------------------------------------------------------------------------- */

int64_t kv_first_fit(const struct kv *kv, int64_t begin, int64_t end, int64_t blocks)
{
    for (size_t i = 0; i < kv->region_count; i++) {
        const struct kv_region *region = &kv->regions[i];
        if (region->start + region->blocks <= begin)
            continue;
        if (region->start >= end || region->start - begin >= blocks)
            break;
        begin = region->start + region->blocks;
    }
    return end - begin >= blocks ? begin : -1;
}

int64_t kv_longest_run(const struct kv *kv)
{
    int64_t longest = 0, end = 0;
    for (size_t i = 0; i < kv->region_count; i++) {
        int64_t run = kv->regions[i].start - end;
        longest = run > longest ? run : longest;
        end = kv->regions[i].start + kv->regions[i].blocks;
    }
    return kv->capacity_blocks - end > longest ? kv->capacity_blocks - end : longest;
}

static void insert(struct kv *kv, struct kv_region region)
{
    if (kv->region_count == kv->region_capacity)
        kv->regions =
            mem_grow(kv->regions, &kv->region_capacity, kv->region_count + 1, sizeof(struct kv_region));
    size_t i = kv->region_count++;
    for (; i > 0 && kv->regions[i - 1].start > region.start; i--)
        kv->regions[i] = kv->regions[i - 1];
    kv->regions[i] = region;
    const struct kv_region *before = i > 0 ? &kv->regions[i - 1] : NULL;
    const struct kv_region *after = i + 1 < kv->region_count ? &kv->regions[i + 1] : NULL;
    CHECK((!before || before->start + before->blocks <= region.start) &&
              (!after || region.start + region.blocks <= after->start) && region.start >= 0 &&
              region.start + region.blocks <= kv->capacity_blocks,
          "allocator %s: place %" PRId64 " of %" PRId64 " blocks is not free", kv->allocator->name,
          region.start, region.blocks);
}

/* Position of a sequence's place. */
static size_t find(const struct kv *kv, uint32_t owner)
{
    size_t i = 0;
    while (i < kv->region_count && kv->regions[i].owner != owner)
        i++;
    CHECK(i < kv->region_count, "sequence %u has no place in the KV cache", owner);
    return i;
}

static int64_t remove_at(struct kv *kv, size_t position)
{
    int64_t blocks = kv->regions[position].blocks;
    kv->region_count--;
    for (size_t i = position; i < kv->region_count; i++)
        kv->regions[i] = kv->regions[i + 1];
    kv_give(kv, blocks);
    return blocks;
}

/* Moves all places together, towards address 0. */
static void compact(struct kv *kv)
{
    int64_t end = 0, moved = 0;
    for (size_t i = 0; i < kv->region_count; i++) {
        struct kv_region *region = &kv->regions[i];
        moved += region->start > end ? region->blocks : 0;
        region->start = end;
        end += region->blocks;
    }
    kv->compactions += moved > 0;
    count_copy(kv, moved);
}

bool kv_find_place(struct kv *kv, int64_t blocks)
{
    if (kv->allocator->place(kv, blocks) >= 0)
        return true;
    if (!kv->allocator->compacts || !kv->allocator->compacts(kv))
        return false;
    compact(kv);
    return kv->allocator->place(kv, blocks) >= 0;
}

void kv_place(struct kv *kv, uint32_t owner, int64_t blocks)
{
    int64_t start = kv->allocator->place(kv, blocks);
    CHECK(start >= 0, "allocator %s: no place for %" PRId64 " blocks", kv->allocator->name, blocks);
    take(kv, blocks);
    count_allocations(kv, 1);
    insert(kv, (struct kv_region){start, blocks, owner});
}

void kv_grow(struct kv *kv, uint32_t owner, int64_t blocks)
{
    size_t old = find(kv, owner);
    int64_t start = kv->regions[old].start;
    kv_place(kv, owner, blocks);
    while (kv->regions[old].start != start) /* the new place may have been put before it */
        old++;
    kv->copies++;
    count_copy(kv, remove_at(kv, old));
}

int64_t kv_remove(struct kv *kv, uint32_t owner)
{
    return remove_at(kv, find(kv, owner));
}

void kv_remove_all(struct kv *kv)
{
    while (kv->region_count > 0)
        remove_at(kv, kv->region_count - 1);
}
