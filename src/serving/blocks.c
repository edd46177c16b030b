/* The KV blocks that sequences hold: whether more fit, taken and given back. What an allocator is told is
 * here; where the blocks lie is for the allocator (kv.h). */
#include "internal.h"

bool blocks_place(struct instance *instance, int64_t blocks)
{
    instance->unplaced = !kv_make_place(&instance->kv, blocks);
    return !instance->unplaced;
}

int64_t blocks_for_chunk(const struct instance *instance, const struct sequence *sequence, int64_t chunk)
{
    const struct kv *kv = &instance->kv;
    if (kv->placed)
        return sequence->blocks > 0 || instance->schedule.padding ? 0 : kv_size(kv, sequence->known_tokens);
    return kv_blocks(kv, sequence->computed_tokens + chunk) - sequence->blocks;
}

void blocks_give(struct instance *instance, uint32_t slot)
{
    struct sequence *sequence = &instance->sequences[slot];
    cache_outside(instance, slot, 0);
    if (instance->kv.prefix)
        caching_give(instance, slot);
    else if (!instance->kv.placed)
        kv_give(&instance->kv, sequence->blocks);
    else if (sequence->blocks > 0)
        kv_remove(&instance->kv, slot);
}
