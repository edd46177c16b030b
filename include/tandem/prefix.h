/* What the blocks of a KV cache hold, by hashes that name a block and all before it. Blocks that sequences
 * use stay where they are; others are kept until their room is wanted, and leave least recently used first: a
 * GPU's move to the host's memory, those of the host to its SSD, where there are such tiers. Each block is in
 * one of them. O(1) for each block that is touched; all local. */
#ifndef TANDEM_PREFIX_H
#define TANDEM_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum prefix_tier { PREFIX_GPU, PREFIX_HOST, PREFIX_SSD, PREFIX_TIERS };

#define PREFIX_NONE UINT32_MAX

struct prefix_block {
    uint64_t hash;
    uint32_t references; /* sequences that use it */
    uint32_t next;       /* of the same bucket; of free ones */
    uint32_t older, newer;
    uint8_t tier; /* enum prefix_tier */
};

/* Blocks of a tier that nobody uses. */
struct prefix_idle {
    uint32_t oldest, newest;
    int64_t count;
};

/* A block came to the cache, or left all of its tiers. */
struct prefix_change {
    uint64_t hash;
    uint64_t held; /* 1: it came */
};

struct prefix {
    struct prefix_block *blocks;
    size_t count, capacity; /* of blocks that were ever there at one time */
    uint32_t free;
    uint32_t *buckets;
    size_t bucket_count; /* a power of two */
    size_t held;         /* blocks in all tiers */
    struct prefix_idle idle[PREFIX_TIERS];
    int64_t room[PREFIX_TIERS];     /* most blocks of it; the GPU's room is the caller's to know */
    uint64_t evicted[PREFIX_TIERS]; /* blocks that left it for want of room */
    bool logs;                      /* the caller wants the changes, and takes them away: change_count = 0 */
    struct prefix_change *changes;
    size_t change_count, change_capacity;
};

/* Nothing is held. Room of host and SSD in blocks; 0: there is no such tier. Caller: prefix_clear. */
void prefix_init(struct prefix *prefix, int64_t host_blocks, int64_t ssd_blocks);
void prefix_clear(struct prefix *prefix);

/* The block with a hash, PREFIX_NONE where it is in no tier. */
uint32_t prefix_find(const struct prefix *prefix, uint64_t hash);

/* How many of the first blocks of a sequence are there, in any tier. */
size_t prefix_leading(const struct prefix *prefix, const uint64_t *hashes, size_t count);

/* A new block on the GPU, used once. Aborts where its hash is there already. */
uint32_t prefix_add(struct prefix *prefix, uint64_t hash);

/* One more uses a block, which then is on the GPU: where it was. */
enum prefix_tier prefix_acquire(struct prefix *prefix, uint32_t block);

/* One less does. Whether it was the last: the block is the most recently used of the GPU then. */
bool prefix_release(struct prefix *prefix, uint32_t block);

/* The least recently used block of the GPU leaves it; aborts where all are in use. */
void prefix_evict(struct prefix *prefix);

#endif
