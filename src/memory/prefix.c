#include "tandem/prefix.h"

#include "tandem/check.h"
#include "tandem/hash.h"
#include "tandem/mem.h"

#define FIRST_BUCKETS 64

void prefix_init(struct prefix *prefix, int64_t host_blocks, int64_t ssd_blocks)
{
    *prefix = (struct prefix){.free = PREFIX_NONE, .room = {INT64_MAX, host_blocks, ssd_blocks}};
    for (int tier = 0; tier < PREFIX_TIERS; tier++)
        prefix->idle[tier] = (struct prefix_idle){PREFIX_NONE, PREFIX_NONE, 0};
}

void prefix_clear(struct prefix *prefix)
{
    mem_free(prefix->blocks);
    mem_free(prefix->buckets);
    mem_free(prefix->changes);
    *prefix = (struct prefix){0};
}

/* --- by hash
 * -------------------------------------------------------------------------------------------------- */

static uint32_t *bucket_of(const struct prefix *prefix, uint64_t hash)
{
    return &prefix->buckets[hash_mix64(hash) & (prefix->bucket_count - 1)];
}

uint32_t prefix_find(const struct prefix *prefix, uint64_t hash)
{
    uint32_t block = prefix->bucket_count > 0 ? *bucket_of(prefix, hash) : PREFIX_NONE;
    while (block != PREFIX_NONE && prefix->blocks[block].hash != hash)
        block = prefix->blocks[block].next;
    return block;
}

size_t prefix_leading(const struct prefix *prefix, const uint64_t *hashes, size_t count)
{
    size_t leading = 0;
    while (leading < count && prefix_find(prefix, hashes[leading]) != PREFIX_NONE)
        leading++;
    return leading;
}

static void bucket_insert(struct prefix *prefix, uint32_t block)
{
    uint32_t *first = bucket_of(prefix, prefix->blocks[block].hash);
    prefix->blocks[block].next = *first;
    *first = block;
}

static void bucket_remove(struct prefix *prefix, uint32_t block)
{
    uint32_t *at = bucket_of(prefix, prefix->blocks[block].hash);
    while (*at != block)
        at = &prefix->blocks[*at].next;
    *at = prefix->blocks[block].next;
}

/* Twice as many buckets, once there is a block for each. None is free then. */
static void widen(struct prefix *prefix)
{
    prefix->bucket_count = prefix->bucket_count > 0 ? 2 * prefix->bucket_count : FIRST_BUCKETS;
    mem_free(prefix->buckets);
    prefix->buckets = mem_array(prefix->bucket_count, sizeof *prefix->buckets);
    for (size_t i = 0; i < prefix->bucket_count; i++)
        prefix->buckets[i] = PREFIX_NONE;
    for (uint32_t block = 0; block < prefix->count; block++)
        bucket_insert(prefix, block);
}

/* --- by age
 * --------------------------------------------------------------------------------------------------- */

static void idle_append(struct prefix *prefix, uint32_t block, enum prefix_tier tier)
{
    struct prefix_idle *idle = &prefix->idle[tier];
    prefix->blocks[block].tier = (uint8_t)tier;
    prefix->blocks[block].older = idle->newest;
    prefix->blocks[block].newer = PREFIX_NONE;
    if (idle->newest != PREFIX_NONE)
        prefix->blocks[idle->newest].newer = block;
    else
        idle->oldest = block;
    idle->newest = block;
    idle->count++;
}

static void idle_remove(struct prefix *prefix, uint32_t block)
{
    const struct prefix_block *at = &prefix->blocks[block];
    struct prefix_idle *idle = &prefix->idle[at->tier];
    if (at->older != PREFIX_NONE)
        prefix->blocks[at->older].newer = at->newer;
    else
        idle->oldest = at->newer;
    if (at->newer != PREFIX_NONE)
        prefix->blocks[at->newer].older = at->older;
    else
        idle->newest = at->older;
    idle->count--;
}

/* --- what sequences do
 * ---------------------------------------------------------------------------------------- */

static void log_change(struct prefix *prefix, uint64_t hash, bool held)
{
    if (prefix->change_count == prefix->change_capacity)
        prefix->changes = mem_grow(prefix->changes, &prefix->change_capacity, prefix->change_count + 1,
                                   sizeof *prefix->changes);
    prefix->changes[prefix->change_count++] = (struct prefix_change){hash, held};
}

uint32_t prefix_add(struct prefix *prefix, uint64_t hash)
{
    CHECK(prefix_find(prefix, hash) == PREFIX_NONE, "the block %llx is there already",
          (unsigned long long)hash);
    uint32_t block = prefix->free;
    if (block != PREFIX_NONE) {
        prefix->free = prefix->blocks[block].next;
    } else {
        if (prefix->count == prefix->bucket_count)
            widen(prefix);
        if (prefix->count == prefix->capacity)
            prefix->blocks =
                mem_grow(prefix->blocks, &prefix->capacity, prefix->count + 1, sizeof *prefix->blocks);
        block = (uint32_t)prefix->count++;
    }
    prefix->blocks[block] = (struct prefix_block){.hash = hash, .references = 1, .tier = PREFIX_GPU};
    bucket_insert(prefix, block);
    prefix->held++;
    if (prefix->logs)
        log_change(prefix, hash, true);
    return block;
}

enum prefix_tier prefix_acquire(struct prefix *prefix, uint32_t block)
{
    struct prefix_block *at = &prefix->blocks[block];
    enum prefix_tier tier = (enum prefix_tier)at->tier;
    if (at->references++ == 0)
        idle_remove(prefix, block);
    at->tier = PREFIX_GPU;
    return tier;
}

bool prefix_release(struct prefix *prefix, uint32_t block)
{
    CHECK(prefix->blocks[block].references > 0, "nobody uses block %u", block);
    if (--prefix->blocks[block].references > 0)
        return false;
    idle_append(prefix, block, PREFIX_GPU);
    return true;
}

static void drop(struct prefix *prefix, uint32_t block)
{
    bucket_remove(prefix, block);
    if (prefix->logs)
        log_change(prefix, prefix->blocks[block].hash, false);
    prefix->blocks[block].next = prefix->free;
    prefix->free = block;
    prefix->held--;
}

void prefix_evict(struct prefix *prefix)
{
    CHECK(prefix->idle[PREFIX_GPU].count > 0, "all blocks of the GPU are in use");
    for (int tier = PREFIX_GPU; tier < PREFIX_TIERS; tier++) {
        uint32_t block = prefix->idle[tier].oldest;
        int below = tier + 1;
        while (below < PREFIX_TIERS && prefix->room[below] == 0)
            below++;
        idle_remove(prefix, block);
        prefix->evicted[tier]++;
        if (below == PREFIX_TIERS) {
            drop(prefix, block);
            return;
        }
        idle_append(prefix, block, (enum prefix_tier)below);
        if (prefix->idle[below].count <= prefix->room[below])
            return;
        tier = below - 1;
    }
}
