#include "tandem/kv.h"

struct settings {
    int64_t growth_tokens;
    bool compaction;
};

static const struct option options[] = {
    {"growth_tokens", OPTION_INTEGER, "0", 0, 1 << 30, NULL, offsetof(struct settings, growth_tokens),
     "room beyond the next token that a sequence gets when it has outgrown its blocks and is copied"},
    {"compaction", OPTION_BOOL, "false", 0, 0, NULL, offsetof(struct settings, compaction),
     "copies sequences together where enough blocks are free, but not in one run"},
};
static OPTION_TABLE(table, "contiguous-exact", "keys of kv.allocator contiguous-exact", options);

static const struct settings *settings_of(const struct kv *kv)
{
    return (const void *)kv->config->settings;
}

static int64_t grown(const struct kv *kv, int64_t tokens)
{
    return kv_blocks(kv, tokens + settings_of(kv)->growth_tokens);
}

static int64_t place(const struct kv *kv, int64_t blocks)
{
    return kv_first_fit(kv, 0, kv->capacity_blocks, blocks);
}

static bool compacts(const struct kv *kv)
{
    return settings_of(kv)->compaction;
}

const struct kv_allocator kv_allocator_contiguous_exact = {
    .name = "contiguous-exact",
    .doc = "one run of blocks for what is there, first fit; copied to a longer one when it is full",
    .options = &table,
    .settings_bytes = sizeof(struct settings),
    .place = place,
    .grown = grown,
    .compacts = compacts,
};
