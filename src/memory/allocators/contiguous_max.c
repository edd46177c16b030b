#include <inttypes.h>

#include "tandem/kv.h"

struct settings {
    int64_t max_length_tokens;
    int64_t blocks; /* of every sequence */
};

static const struct option options[] = {
    {"max_length_tokens", OPTION_INTEGER, "0", 0, 1 << 30, NULL, offsetof(struct settings, max_length_tokens),
     "what every sequence gets room for; 0: the pool's max_model_len, else the model's longest context"},
};
static OPTION_TABLE(table, "contiguous-max", "keys of kv.allocator contiguous-max", options);

static bool resolve(void *pointer, const struct kv_bounds *bounds, const struct node *node,
                    struct error *error)
{
    struct settings *settings = pointer;
    int64_t tokens =
        settings->max_length_tokens > 0 ? settings->max_length_tokens : bounds->max_length_tokens;
    settings->blocks = (tokens + bounds->block_tokens - 1) / bounds->block_tokens;
    return settings->blocks <= bounds->capacity_blocks ||
           node_error(node, error,
                      "allocator contiguous-max: %" PRId64 " tokens take %" PRId64
                      " KV blocks, there are %" PRId64 "; use a lower max_length_tokens, or more memory",
                      tokens, settings->blocks, bounds->capacity_blocks);
}

static int64_t size(const struct kv *kv, int64_t tokens)
{
    const struct settings *settings = (const void *)kv->config->settings;
    return kv_blocks(kv, tokens) <= settings->blocks ? settings->blocks : INT64_MAX;
}

static int64_t place(const struct kv *kv, int64_t blocks)
{
    return kv_first_fit(kv, 0, kv->capacity_blocks, blocks);
}

const struct kv_allocator kv_allocator_contiguous_max = {
    .name = "contiguous-max",
    .doc = "one run of blocks for the longest sequence, whatever its length (static KV tensors)",
    .options = &table,
    .settings_bytes = sizeof(struct settings),
    .resolve = resolve,
    .size = size,
    .place = place,
};
