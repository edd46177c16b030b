/* Blocks that requests share (README.md here: "Prefix caching"). A sequence's chain is what of its leading
 * blocks has a name in the cache: blocks that it found there, and those that it filled itself. One that it
 * filled although another sequence had such a block already is its own alone, and has no name. */
#include "internal.h"

#include <string.h>

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void caching_init(struct instance *instance)
{
    const struct caching_config *caching = &instance->config->caching;
    if (caching->hash_tokens == 0)
        return;
    instance->caching.prefix = mem_array(1, sizeof(struct prefix));
    prefix_init(instance->caching.prefix, caching->tier_blocks[PREFIX_HOST],
                caching->tier_blocks[PREFIX_SSD]);
    instance->caching.prefix->logs = caching->reports;
    kv_share(&instance->kv, instance->caching.prefix, caching->hash_tokens / instance->kv.block_tokens);
}

void caching_clear(struct instance *instance)
{
    struct caching *caching = &instance->caching;
    for (size_t i = 0; i < caching->chain_count; i++)
        mem_free(caching->chains[i].blocks);
    mem_free(caching->chains);
    if (caching->prefix)
        prefix_clear(caching->prefix);
    mem_free(caching->prefix);
}

static struct chain *chain_of(struct instance *instance, uint32_t slot)
{
    struct caching *caching = &instance->caching;
    if (slot >= caching->chain_count) {
        caching->chains =
            mem_grow(caching->chains, &caching->chain_capacity, (size_t)slot + 1, sizeof *caching->chains);
        caching->chain_count = (size_t)slot + 1;
    }
    return &caching->chains[slot];
}

static void chain_append(struct chain *chain, uint32_t block)
{
    if (chain->count == chain->capacity)
        chain->blocks = mem_grow(chain->blocks, &chain->capacity, chain->count + 1, sizeof *chain->blocks);
    chain->blocks[chain->count++] = block;
    chain->named += block != PREFIX_NONE;
}

/* A block is used by more sequences than before, or by fewer: its tokens are in the cache once, though each
 * of them counts them. */
static void count_shared(struct instance *instance, int64_t sequences)
{
    int64_t tokens = sequences * instance->config->caching.hash_tokens;
    instance->caching.shared_tokens += tokens;
    instance->outside_tokens -= tokens;
}

void caching_look_up(struct instance *instance, uint32_t slot, int64_t tokens)
{
    const struct caching_config *caching = &instance->config->caching;
    const struct prefix *prefix = instance->caching.prefix;
    struct sequence *sequence = &instance->sequences[slot];
    const struct request *request = sequence->request;
    sequence->spared_blocks = 0;
    if (!prefix) {
        int64_t blocks =
            (int64_t)(caching->hit_share * (double)request->prompt_tokens) / instance->kv.block_tokens;
        sequence->computed_tokens =
            least(blocks, (tokens - 1) / instance->kv.block_tokens) * instance->kv.block_tokens;
        return;
    }
    const uint64_t *hashes = request_hashes(request);
    int64_t most = least((int64_t)request_hash_count(request), (tokens - 1) / caching->hash_tokens), hits = 0;
    for (; hits < most; hits++) {
        uint32_t block = prefix_find(prefix, hashes[hits]);
        if (block == PREFIX_NONE)
            break;
        if (prefix->blocks[block].references > 0)
            sequence->spared_blocks += instance->kv.prefix_blocks;
    }
    sequence->computed_tokens = hits * caching->hash_tokens;
}

/* Uses a block that was found. Whether it is to be loaded, and so takes room. */
static bool use_block(struct instance *instance, uint32_t block)
{
    bool used = instance->caching.prefix->blocks[block].references > 0;
    enum prefix_tier tier = prefix_acquire(instance->caching.prefix, block);
    if (used)
        count_shared(instance, 1);
    else if (tier == PREFIX_GPU)
        kv_reuse(&instance->kv, instance->kv.prefix_blocks);
    else
        instance->caching.loaded_blocks[tier]++;
    return tier != PREFIX_GPU;
}

/* All that was found is in use before blocks are taken for what is to be loaded, which may evict others. */
static void use_chain(struct instance *instance, uint32_t slot)
{
    struct sequence *sequence = &instance->sequences[slot];
    const uint64_t *hashes = request_hashes(sequence->request);
    const int64_t hash_tokens = instance->config->caching.hash_tokens;
    struct chain *chain = chain_of(instance, slot);
    int64_t hits = sequence->computed_tokens / hash_tokens, loads = 0;
    for (int64_t i = 0; i < hits; i++) {
        uint32_t block = prefix_find(instance->caching.prefix, hashes[i]);
        chain_append(chain, block);
        loads += use_block(instance, block);
    }
    kv_take(&instance->kv, loads * instance->kv.prefix_blocks);
    sequence->blocks = hits * instance->kv.prefix_blocks;
}

void caching_admit(struct instance *instance, uint32_t slot, bool computes)
{
    const int64_t hash_tokens = instance->config->caching.hash_tokens;
    const int64_t *loaded = instance->caching.loaded_blocks;
    const int64_t host = loaded[PREFIX_HOST], ssd = loaded[PREFIX_SSD];
    struct sequence *sequence = &instance->sequences[slot];
    struct usage *usage = &instance->meter.usage;
    struct row *row = &sequence->request->row;
    if (sequence->computed_tokens == 0)
        return;
    if (instance->caching.prefix)
        use_chain(instance, slot);
    cache_outside(instance, slot, sequence->computed_tokens);
    uint64_t host_tokens = (uint64_t)((loaded[PREFIX_HOST] - host) * hash_tokens);
    uint64_t ssd_tokens = (uint64_t)((loaded[PREFIX_SSD] - ssd) * hash_tokens);
    usage->cached_tokens += (uint64_t)sequence->computed_tokens;
    usage->cached_host_tokens += host_tokens;
    usage->cached_ssd_tokens += ssd_tokens;
    int64_t spared = least(sequence->computed_tokens, sequence->request->prompt_tokens) -
                     sequence->highest_computed_tokens;
    if (!computes || spared <= 0)
        return;
    row->cached_prompt_tokens += (uint32_t)spared;
    int64_t host_spared = least((int64_t)host_tokens, spared);
    row->host_prompt_tokens += (uint32_t)host_spared;
    row->ssd_prompt_tokens += (uint32_t)least((int64_t)ssd_tokens, spared - host_spared);
}

void caching_fill(struct instance *instance, uint32_t slot, int64_t tokens)
{
    struct prefix *prefix = instance->caching.prefix;
    const struct request *request = instance->sequences[slot].request;
    struct chain *chain = chain_of(instance, slot);
    int64_t full =
        least((int64_t)request_hash_count(request), tokens / instance->config->caching.hash_tokens);
    while ((int64_t)chain->count < full) {
        uint64_t hash = request_hashes(request)[chain->count];
        bool there = prefix_find(prefix, hash) != PREFIX_NONE;
        chain_append(chain, there ? PREFIX_NONE : prefix_add(prefix, hash));
    }
}

void caching_give(struct instance *instance, uint32_t slot)
{
    struct sequence *sequence = &instance->sequences[slot];
    struct chain *chain = chain_of(instance, slot);
    if (sequence->request) /* a decode has filled blocks since its prompt was complete */
        caching_fill(instance, slot,
                     sequence->state == SEQUENCE_DECODE ? sequence->cached_tokens
                                                        : sequence->computed_tokens);
    kv_give(&instance->kv, sequence->blocks - (int64_t)chain->named * instance->kv.prefix_blocks);
    /* The last first: a block without those before it is of no use. */
    while (chain->count > 0) {
        uint32_t block = chain->blocks[--chain->count];
        if (block == PREFIX_NONE)
            continue;
        if (prefix_release(instance->caching.prefix, block))
            kv_keep(&instance->kv, instance->kv.prefix_blocks);
        else
            count_shared(instance, -1);
    }
    chain->named = 0;
}

int64_t caching_loaded_ns(struct instance *instance)
{
    const double *each_ns = instance->config->caching.ns_per_block;
    int64_t *loaded = instance->caching.loaded_blocks;
    double total_ns =
        (double)loaded[PREFIX_HOST] * each_ns[PREFIX_HOST] + (double)loaded[PREFIX_SSD] * each_ns[PREFIX_SSD];
    loaded[PREFIX_HOST] = loaded[PREFIX_SSD] = 0;
    return simtime_from_ns(total_ns);
}

void *caching_report(struct instance *const *members, size_t count)
{
    struct engine *engine = members[0]->engine;
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += members[i]->caching.prefix->change_count;
    if (total == 0)
        return NULL;
    void *body = engine_body_new(engine);
    struct prefix_change *changes = engine_body_extend(engine, body, total * sizeof *changes);
    for (size_t i = 0; i < count; i++) {
        struct prefix *prefix = members[i]->caching.prefix;
        if (prefix->change_count > 0)
            memcpy(changes, prefix->changes, prefix->change_count * sizeof *changes);
        changes += prefix->change_count;
        prefix->change_count = 0;
    }
    return body;
}
