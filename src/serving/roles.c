#include "roles.h"

static void join(struct roles *roles, struct known *known, enum instance_role role)
{
    struct role_sums *left = &roles->sums[known->role], *joined = &roles->sums[role];
    left->instances--;
    left->tokens -= known->tokens;
    left->blocks -= known->blocks;
    left->capacity_blocks -= known->kv.blocks;
    known->role = role;
    joined->instances++;
    joined->tokens += known->tokens;
    joined->blocks += known->blocks;
    joined->capacity_blocks += known->kv.blocks;
}

void roles_init(struct roles *roles, const struct router_config *config, const struct router_cluster *cluster)
{
    const struct router_role_switch *change = &config->role_switch;
    *roles = (struct roles){.config = config,
                            .count = ENTITY_FIRST_INSTANCE + cluster->entry_count + cluster->decode_count,
                            .interval_ns = simtime_from_ns(change->interval_ms * 1e6),
                            .cooldown_ns = simtime_from_ns(change->cooldown_ms * 1e6)};
    roles->known = mem_array(roles->count, sizeof *roles->known);
    for (uint32_t i = 0; i < cluster->entry_count + cluster->decode_count; i++) {
        bool decodes = i >= cluster->entry_count;
        uint32_t entity = decodes ? cluster->decodes[i - cluster->entry_count] : cluster->entries[i];
        struct known *known = &roles->known[entity];
        *known = (struct known){.role = ROLE_LEAVING, .kv = cluster->kv[entity]};
        join(roles, known, decodes ? ROLE_DECODE : ROLE_PREFILL);
    }
    roles->sums[ROLE_LEAVING] = (struct role_sums){0}; /* none was there */
}

void roles_clear(struct roles *roles)
{
    for (uint32_t entity = 0; entity < roles->count; entity++) {
        mem_free(roles->known[entity].prompts.slots);
        mem_free(roles->known[entity].computed.slots);
    }
    mem_free(roles->known);
}

static void set(struct roles *roles, struct known *known, int64_t tokens, int64_t blocks)
{
    roles->sums[known->role].tokens += tokens - known->tokens;
    roles->sums[known->role].blocks += blocks - known->blocks;
    known->tokens = tokens;
    known->blocks = blocks;
}

/* ceil((P + 1) / B) */
static int64_t blocks_of(const struct known *known, int64_t prompt_tokens)
{
    return prompt_tokens / known->kv.block_tokens + 1;
}

void roles_sent(struct roles *roles, uint32_t entity, int64_t prompt_tokens, bool computes)
{
    struct known *known = &roles->known[entity];
    int64_t tokens = computes ? prompt_tokens : 0, blocks = blocks_of(known, prompt_tokens);
    ring_push_back(&known->prompts, (uint32_t)prompt_tokens);
    ring_push_back(&known->computed, (uint32_t)tokens);
    known->sent++;
    known->beyond_tokens += tokens;
    known->beyond_blocks += blocks;
    set(roles, known, known->tokens + tokens, known->blocks + blocks);
}

void roles_report(struct roles *roles, uint32_t entity, const int64_t *words)
{
    struct known *known = &roles->known[entity];
    for (; known->counted < words[REPORT_RECEIVED]; known->counted++) {
        known->beyond_tokens -= ring_pop_front(&known->computed);
        known->beyond_blocks -= blocks_of(known, ring_pop_front(&known->prompts));
    }
    known->reported_requests = words[REPORT_RUNNING] + words[REPORT_WAITING];
    set(roles, known, words[REPORT_QUEUED_TOKENS] + known->beyond_tokens,
        known->kv.blocks - words[REPORT_FREE_BLOCKS] + known->beyond_blocks);
}

bool roles_decode_prefills(const struct roles *roles, uint32_t prefill, uint32_t decode)
{
    int64_t most = roles->config->mixed.prefill_tokens;
    return most > 0 && roles->known[prefill].tokens > most && roles->known[decode].tokens < most;
}

bool roles_prefill_decodes(const struct roles *roles, uint32_t prefill, uint32_t decode)
{
    const struct known *known = &roles->known[decode];
    double most = roles->config->mixed.decode_kv;
    return most > 0 && roles->known[prefill].role == ROLE_PREFILL &&
           (double)known->blocks > most * (double)known->kv.blocks;
}

int64_t roles_look_ns(const struct roles *roles, int64_t now_ns)
{
    const struct role_sums *sums = roles->sums;
    bool idle =
        sums[ROLE_PREFILL].tokens == 0 && sums[ROLE_DECODE].blocks == 0; /* nothing is too much then */
    if (roles->interval_ns == 0 || sums[ROLE_LEAVING].instances > 0 || idle)
        return SIMTIME_NEVER;
    int64_t from_ns = now_ns > roles->looked_ns ? now_ns : roles->looked_ns + 1;
    from_ns = from_ns > roles->ready_ns ? from_ns : roles->ready_ns;
    return (from_ns + roles->interval_ns - 1) / roles->interval_ns * roles->interval_ns;
}

/* The role that has too many instances where the other has too few; ROLE_LEAVING: none. */
static enum instance_role role_to_leave(const struct roles *roles)
{
    const struct router_role_switch *change = &roles->config->role_switch;
    const struct role_sums *prefill = &roles->sums[ROLE_PREFILL], *decode = &roles->sums[ROLE_DECODE];
    double blocks = (double)decode->blocks, capacity = (double)decode->capacity_blocks;
    if (prefill->tokens > change->prefill_high_tokens * prefill->instances &&
        blocks < change->decode_low_kv * capacity && decode->instances > change->min_decode)
        return ROLE_DECODE;
    if (blocks > change->decode_high_kv * capacity &&
        prefill->tokens < change->prefill_low_tokens * prefill->instances &&
        prefill->instances > change->min_prefill)
        return ROLE_PREFILL;
    return ROLE_LEAVING;
}

uint32_t roles_look(struct roles *roles, int64_t now_ns, int64_t *dispatches)
{
    int64_t least = INT64_MAX;
    uint32_t chosen = ENTITY_ROUTER;
    if (roles_look_ns(roles, now_ns) != now_ns)
        return ENTITY_ROUTER;
    roles->looked_ns = now_ns;
    enum instance_role role = role_to_leave(roles);
    for (uint32_t entity = ENTITY_FIRST_INSTANCE; role != ROLE_LEAVING && entity < roles->count; entity++) {
        const struct known *known = &roles->known[entity];
        int64_t requests = known->reported_requests + known->prompts.count;
        if (known->role != role || requests >= least)
            continue;
        least = requests;
        chosen = entity;
    }
    if (chosen != ENTITY_ROUTER) {
        struct known *known = &roles->known[chosen];
        *dispatches = known->sent;
        known->next = role == ROLE_DECODE ? ROLE_PREFILL : ROLE_DECODE;
        join(roles, known, ROLE_LEAVING);
    }
    return chosen;
}

const struct known *roles_switched(struct roles *roles, uint32_t entity, int64_t now_ns)
{
    /* As if it had reported; what it did report may be older. */
    int64_t words[ENGINE_WORDS] = {
        [REPORT_FREE_BLOCKS] = roles->known[entity].kv.blocks, [REPORT_RECEIVED] = roles->known[entity].sent};
    roles_report(roles, entity, words);
    join(roles, &roles->known[entity], roles->known[entity].next);
    roles->ready_ns = now_ns + roles->cooldown_ns;
    return &roles->known[entity];
}
