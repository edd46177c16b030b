#include "roles.h"

void roles_init(struct roles *roles, const struct router_config *config, const struct router_cluster *cluster)
{
    roles->config = config;
    roles->count = ENTITY_FIRST_INSTANCE + cluster->entry_count + cluster->decode_count;
    roles->known = mem_array(roles->count, sizeof *roles->known);
    for (uint32_t entity = ENTITY_FIRST_INSTANCE; entity < roles->count; entity++)
        roles->known[entity].kv = cluster->kv[entity];
}

void roles_clear(struct roles *roles)
{
    for (uint32_t entity = 0; entity < roles->count; entity++) {
        mem_free(roles->known[entity].prompts.slots);
        mem_free(roles->known[entity].computed.slots);
    }
    mem_free(roles->known);
}

/* ceil((P + 1) / B) */
static int64_t blocks_of(const struct known *known, int64_t prompt_tokens)
{
    return prompt_tokens / known->kv.block_tokens + 1;
}

void roles_sent(struct roles *roles, uint32_t entity, int64_t prompt_tokens, bool computes)
{
    struct known *known = &roles->known[entity];
    int64_t tokens = computes ? prompt_tokens : 0;
    ring_push_back(&known->prompts, (uint32_t)prompt_tokens);
    ring_push_back(&known->computed, (uint32_t)tokens);
    known->beyond_tokens += tokens;
    known->beyond_blocks += blocks_of(known, prompt_tokens);
}

void roles_report(struct roles *roles, uint32_t entity, const int64_t *words)
{
    struct known *known = &roles->known[entity];
    for (; known->counted < words[REPORT_RECEIVED]; known->counted++) {
        known->beyond_tokens -= ring_pop_front(&known->computed);
        known->beyond_blocks -= blocks_of(known, ring_pop_front(&known->prompts));
    }
    known->reported_tokens = words[REPORT_QUEUED_TOKENS];
    known->reported_blocks = known->kv.blocks - words[REPORT_FREE_BLOCKS];
}

static int64_t tokens_known(const struct roles *roles, uint32_t entity)
{
    return roles->known[entity].reported_tokens + roles->known[entity].beyond_tokens;
}

bool roles_decode_prefills(const struct roles *roles, uint32_t prefill, uint32_t decode)
{
    int64_t most = roles->config->mixed.prefill_tokens;
    return most > 0 && tokens_known(roles, prefill) > most && tokens_known(roles, decode) < most;
}

bool roles_prefill_decodes(const struct roles *roles, uint32_t decode)
{
    const struct known *known = &roles->known[decode];
    double most = roles->config->mixed.decode_kv;
    return most > 0 &&
           (double)(known->reported_blocks + known->beyond_blocks) > most * (double)known->kv.blocks;
}
