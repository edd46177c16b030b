/* The KV blocks that sequences hold: whether more fit, taken and given back. What an allocator is told is
 * here; where the blocks lie is for the allocator (kv.h). */
#include "internal.h"

bool blocks_fit(const struct schedule *schedule, int64_t blocks, struct room_item item)
{
    struct instance *instance = schedule->instance;
    if (!room_for(schedule, blocks + spare_blocks(instance), item))
        return false;
    if (kv_make_place(&instance->kv, blocks))
        return true;
    instance->unplaced = true;
    return false;
}

void blocks_take(struct instance *instance, uint32_t slot, int64_t blocks)
{
    struct sequence *sequence = &instance->sequences[slot];
    if (!instance->kv.placed)
        kv_take(&instance->kv, blocks);
    else if (blocks > 0)
        kv_place(&instance->kv, slot, blocks);
    sequence->blocks += blocks;
}

int64_t blocks_for_chunk(const struct instance *instance, const struct sequence *sequence, int64_t chunk)
{
    const struct kv *kv = &instance->kv;
    if (kv->placed)
        return sequence->blocks > 0 ? 0 : kv_size(kv, sequence->known_tokens);
    return kv_blocks(kv, sequence->computed_tokens + chunk) - sequence->blocks;
}

void blocks_give(struct instance *instance, uint32_t slot)
{
    struct sequence *sequence = &instance->sequences[slot];
    cache_outside(instance, slot, 0);
    if (!instance->kv.placed)
        kv_give(&instance->kv, sequence->blocks);
    else if (sequence->blocks > 0)
        kv_remove(&instance->kv, slot);
}
