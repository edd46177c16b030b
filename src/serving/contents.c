#include "contents.h"

#include <string.h>

#include "tandem/check.h"
#include "tandem/mem.h"

static void init_content(const struct contents *contents, const struct router_config *config,
                         struct content *content, const struct router_kv *kv)
{
    prefix_init(&content->prefix, 0, 0);
    content->most_blocks = config->index_blocks;
    if (config->index_blocks == 0 && contents->hash_tokens > 0)
        content->most_blocks = kv->blocks * kv->block_tokens / contents->hash_tokens;
}

void contents_init(struct contents *contents, const struct router_config *config,
                   const struct router_cluster *cluster, const uint32_t *entities, uint32_t count)
{
    contents->count = count;
    contents->hash_tokens = cluster->hash_tokens;
    contents->reported = config->contents == ROUTER_REPORTS;
    uint32_t room =
        config->role_switch.interval_ms > 0 ? cluster->entry_count + cluster->decode_count : count;
    contents->held_tokens = mem_array(room, sizeof *contents->held_tokens);
    contents->instances = mem_array(room, sizeof *contents->instances);
    for (uint32_t i = 0; i < count; i++)
        init_content(contents, config, &contents->instances[i], &cluster->kv[entities[i]]);
}

void contents_remove(struct contents *contents, uint32_t instance)
{
    struct content *content = &contents->instances[instance];
    prefix_clear(&content->prefix);
    contents->count--;
    memmove(content, content + 1, (contents->count - instance) * sizeof *content);
}

void contents_insert(struct contents *contents, const struct router_config *config, uint32_t instance,
                     const struct router_kv *kv)
{
    struct content *content = &contents->instances[instance];
    memmove(content + 1, content, (contents->count - instance) * sizeof *content);
    contents->count++;
    init_content(contents, config, content, kv);
}

void contents_clear(struct contents *contents)
{
    for (uint32_t i = 0; i < contents->count; i++)
        prefix_clear(&contents->instances[i].prefix);
    mem_free(contents->instances);
    mem_free(contents->held_tokens);
}

/* Named blocks of the prompt: a request may carry hashes of what its output fills, which nobody knows yet. */
static size_t prompt_blocks(const struct contents *contents, const struct request *request)
{
    size_t named = request_hash_count(request);
    if (named == 0)
        return 0;
    size_t whole = (size_t)(request->prompt_tokens / contents->hash_tokens);
    return named < whole ? named : whole;
}

const int64_t *contents_held(struct contents *contents, const struct request *request)
{
    size_t blocks = prompt_blocks(contents, request);
    for (uint32_t i = 0; i < contents->count; i++)
        contents->held_tokens[i] =
            (int64_t)prefix_leading(&contents->instances[i].prefix, request_hashes(request), blocks) *
            contents->hash_tokens;
    return contents->held_tokens;
}

void contents_sent(struct contents *contents, uint32_t instance, const struct request *request)
{
    if (contents->reported)
        return;
    struct content *content = &contents->instances[instance];
    /* The last first, so that it is forgotten before those that it is of no use without. */
    for (size_t i = prompt_blocks(contents, request); i-- > 0;) {
        uint32_t block = prefix_find(&content->prefix, request_hashes(request)[i]);
        if (block != PREFIX_NONE)
            prefix_acquire(&content->prefix, block);
        else
            block = prefix_add(&content->prefix, request_hashes(request)[i]);
        prefix_release(&content->prefix, block);
    }
    while ((int64_t)content->prefix.held > content->most_blocks)
        prefix_evict(&content->prefix);
}

void contents_report(struct contents *contents, uint32_t instance, const struct prefix_change *changes,
                     size_t count)
{
    struct prefix *prefix = &contents->instances[instance].prefix;
    for (size_t i = 0; i < count; i++) {
        uint32_t block = prefix_find(prefix, changes[i].hash);
        if (changes[i].held == 0) {
            CHECK(block != PREFIX_NONE, "instance %u lost a block that it never had", instance);
            if (prefix_release(prefix, block))
                prefix_evict(prefix); /* it: all others are in use */
        } else if (block != PREFIX_NONE) {
            prefix_acquire(prefix, block);
        } else {
            prefix_add(prefix, changes[i].hash);
        }
    }
}
