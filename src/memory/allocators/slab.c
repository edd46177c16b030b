#include <inttypes.h>

#include "tandem/kv.h"

#define MOST_CLASSES       32
#define SMALLEST_TOKENS    256 /* of the classes that are not given */
#define SHARES_ROUNDED_OFF 1e-9

/* Regions of one size, which have a part of the addresses to themselves. */
struct class
{
    int64_t blocks;
    int64_t begin, end;
};

struct settings {
    const struct node *classes_tokens, *class_shares;
    int64_t count;
    struct class classes[MOST_CLASSES];
};

static const struct option options[] = {
    {"slab_classes_tokens", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct settings, classes_tokens),
     "list of the lengths that there are regions for, rising; default: 256, doubled up to the pool's "
     "max_model_len, else the model's longest context"},
    {"slab_class_shares", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct settings, class_shares),
     "list of the shares of the blocks that each class has, together at most 1; default: equal ones"},
};
static OPTION_TABLE(table, "slab", "keys of kv.allocator slab", options);

static const struct settings *settings_of(const struct kv *kv)
{
    return (const void *)kv->config->settings;
}

static bool check_list(const struct node *list, struct error *error)
{
    if (node_type(list) != NODE_ARRAY || node_size(list) == 0 || node_size(list) > MOST_CLASSES)
        return node_error(list, error, "expected a list of 1 to %d numbers", MOST_CLASSES);
    for (size_t i = 0; i < node_size(list); i++) {
        const struct node *item = node_at(list, i);
        if (node_type(item) != NODE_NUMBER || node_number(item) <= 0)
            return node_error(item, error, "expected a number above 0");
    }
    return true;
}

static bool read_lengths(struct settings *settings, const struct kv_bounds *bounds, struct error *error)
{
    const struct node *list = settings->classes_tokens;
    if (!check_list(list, error))
        return false;
    settings->count = (int64_t)node_size(list);
    int64_t before = 0;
    for (size_t i = 0; i < node_size(list); i++) {
        const struct node *item = node_at(list, i);
        double tokens = node_number(item);
        if (tokens > 1 << 30 || tokens - (double)(int64_t)tokens > 0)
            return node_error(item, error, "expected whole tokens, at most 2^30");
        settings->classes[i].blocks = ((int64_t)tokens + bounds->block_tokens - 1) / bounds->block_tokens;
        if (settings->classes[i].blocks <= before)
            return node_error(item, error, "has no more blocks than the class before; lengths have to rise");
        before = settings->classes[i].blocks;
    }
    return true;
}

static bool double_lengths(struct settings *settings, const struct kv_bounds *bounds)
{
    int64_t last = (bounds->max_length_tokens + bounds->block_tokens - 1) / bounds->block_tokens;
    int64_t blocks = (SMALLEST_TOKENS + bounds->block_tokens - 1) / bounds->block_tokens;
    for (; blocks < last; blocks *= 2)
        settings->classes[settings->count++].blocks = blocks;
    settings->classes[settings->count++].blocks = last;
    return true;
}

static bool read_shares(const struct settings *settings, double *shares, struct error *error)
{
    const struct node *list = settings->class_shares;
    double sum = 0;
    for (int64_t i = 0; i < settings->count; i++)
        shares[i] = 1 / (double)settings->count;
    if (!list)
        return true;
    if (!check_list(list, error))
        return false;
    if ((int64_t)node_size(list) != settings->count)
        return node_error(list, error, "%zu shares for %" PRId64 " classes; give each class one",
                          node_size(list), settings->count);
    for (size_t i = 0; i < node_size(list); i++) {
        shares[i] = node_number(node_at(list, i));
        sum += shares[i];
    }
    return sum <= 1 + SHARES_ROUNDED_OFF || node_error(list, error, "shares add up to %g, more than 1", sum);
}

static bool resolve(void *pointer, const struct kv_bounds *bounds, const struct node *node,
                    struct error *error)
{
    struct settings *settings = pointer;
    double shares[MOST_CLASSES];
    int64_t begin = 0;
    settings->count = 0;
    if (!(settings->classes_tokens ? read_lengths(settings, bounds, error)
                                   : double_lengths(settings, bounds)) ||
        !read_shares(settings, shares, error))
        return false;
    for (int64_t i = 0; i < settings->count; i++) {
        struct class *class = &settings->classes[i];
        double share = shares[i] * (double)bounds->capacity_blocks * (1 + SHARES_ROUNDED_OFF);
        int64_t left = bounds->capacity_blocks - begin;
        int64_t regions = (share < (double)left ? (int64_t)share : left) / class->blocks;
        if (regions == 0)
            return node_error(node, error,
                              "allocator slab: %.0f KV blocks for regions of %" PRId64 " (%" PRId64
                              " tokens) have room for none; use fewer or shorter slab_classes_tokens, "
                              "another slab_class_shares, or more memory",
                              share, class->blocks, class->blocks * bounds->block_tokens);
        class->begin = begin;
        class->end = begin += regions * class->blocks;
    }
    return true;
}

static int64_t size(const struct kv *kv, int64_t tokens)
{
    const struct settings *settings = settings_of(kv);
    int64_t blocks = kv_blocks(kv, tokens), i = 0;
    while (i < settings->count && settings->classes[i].blocks < blocks)
        i++;
    return i < settings->count ? settings->classes[i].blocks : INT64_MAX;
}

static int64_t place(const struct kv *kv, int64_t blocks)
{
    const struct settings *settings = settings_of(kv);
    for (int64_t i = 0; i < settings->count; i++)
        if (settings->classes[i].blocks == blocks)
            return kv_first_fit(kv, settings->classes[i].begin, settings->classes[i].end, blocks);
    return -1;
}

const struct kv_allocator kv_allocator_slab = {
    .name = "slab",
    .doc = "pools of regions of a few fixed sizes; the smallest that is long enough, copied to the next",
    .options = &table,
    .settings_bytes = sizeof(struct settings),
    .resolve = resolve,
    .size = size,
    .place = place,
};
