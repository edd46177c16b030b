#include "targets.h"

#include <string.h>

#include "tandem/hash.h"

/* Shares as integers: blocks x whole / all. Different ones of at most C blocks differ by 1 / C^2 or more, so
 * that with C^2 for the whole they stay different. Beyond 2^28 blocks (of an instance) only nearly so. */
static int64_t whole_of(const struct target_set *set)
{
    int64_t most = 1;
    for (uint32_t i = 0; i < set->count; i++)
        most = set->targets[i].kv.blocks > most ? set->targets[i].kv.blocks : most;
    return most < INT64_C(1) << 28 ? most * most : INT64_C(1) << 56;
}

static int64_t share_of(const struct target *target, int64_t blocks)
{
    wide_t share = (wide_t)blocks * (wide_t)target->set->kv_whole / (wide_t)target->kv.blocks;
    return share < INT64_MAX ? (int64_t)share
                             : INT64_MAX - 1; /* no player of a tournament has the largest value */
}

/* What a dispatch adds; KV in blocks. */
static int64_t cost_of(const struct target *target, enum router_load measure, int64_t prompt_tokens)
{
    if (measure == ROUTER_REQUESTS)
        return 1;
    if (measure == ROUTER_TOKENS)
        return prompt_tokens;
    return prompt_tokens / target->kv.block_tokens + 1; /* ceil((P + 1) / B) */
}

static int64_t reported_load(const struct target *target, enum router_load measure, const int64_t *words)
{
    if (measure == ROUTER_REQUESTS)
        return words[REPORT_RUNNING] + words[REPORT_WAITING];
    if (measure == ROUTER_TOKENS)
        return words[REPORT_QUEUED_TOKENS];
    return target->kv.blocks - words[REPORT_FREE_BLOCKS];
}

/* The k-th load in use has changed. */
static inline void set_load(struct target *target, uint32_t k)
{
    struct target_set *set = target->set;
    const struct used_load *used = &set->used[k];
    int64_t value = target->loads[k].reported + target->loads[k].beyond;
    tournament_set(&set->loads[used->load], (uint32_t)(target - set->targets),
                   used->measure == ROUTER_KV ? share_of(target, value) : value);
}

/* What is told by the numbers of targets, which are other ones now. */
static void renumber(struct target_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        set->by_entity[set->targets[i].entity] = &set->targets[i];
    set->kv_whole = whole_of(set);
    for (uint32_t k = 0; k < set->used_count; k++) {
        tournament_clear(&set->loads[set->used[k].load]);
        tournament_init(&set->loads[set->used[k].load], set->count);
        for (uint32_t i = 0; i < set->count; i++)
            set_load(&set->targets[i], k);
    }
}

static void use_load(struct target_set *set, enum router_load load, bool prefill)
{
    enum router_load work = prefill ? ROUTER_TOKENS : ROUTER_REQUESTS;
    enum router_load measure = load == ROUTER_WORK ? work : load;
    set->used[set->used_count++] = (struct used_load){load, measure};
    set->by_prompt |= measure != ROUTER_REQUESTS;
}

void targets_init(struct target_set *set, const struct router_config *config,
                  const struct router_cluster *cluster, bool handoffs, struct target **by_entity)
{
    const uint32_t *entities = handoffs ? cluster->decodes : cluster->entries;
    unsigned uses = router_uses(config, handoffs);
    bool changes = config->role_switch.interval_ms > 0;
    set->by_entity = by_entity;
    set->hash_tokens = cluster->hash_tokens;
    set->policy = router_policy_of(config, handoffs);
    set->config = config;
    set->most_requests = handoffs ? 0 : config->max_requests_per_instance;
    set->count = handoffs ? cluster->decode_count : cluster->entry_count;
    set->targets =
        mem_lines(changes ? cluster->entry_count + cluster->decode_count : set->count, sizeof(struct target));
    for (uint32_t i = 0; i < set->count; i++) {
        struct target *target = &set->targets[i];
        target->set = set;
        target->entity = entities[i];
        if ((uses >> ROUTER_KV & 1) != 0)
            target->kv = cluster->kv[entities[i]];
    }
    if (router_looks_at_contents(config, handoffs))
        contents_init(&set->contents, config, cluster, entities, set->count);
    for (int load = 0; load < ROUTER_LOADS; load++)
        if ((uses >> load & 1) != 0)
            use_load(set, (enum router_load)load, !handoffs && cluster->decode_count > 0);
    renumber(set);
}

void targets_remove(struct target_set *set, uint32_t entity)
{
    struct target *target = set->by_entity[entity];
    uint32_t index = (uint32_t)(target - set->targets);
    mem_free(target->prompts.slots);
    set->count--;
    memmove(target, target + 1, (set->count - index) * sizeof *target);
    set->by_entity[entity] = NULL;
    set->next = (set->next > index ? set->next - 1 : set->next) % set->count;
    if (set->contents.count > 0)
        contents_remove(&set->contents, index);
    renumber(set);
}

void targets_add(struct target_set *set, uint32_t entity, const struct router_kv *kv, int64_t received)
{
    uint32_t index = 0;
    while (index < set->count && set->targets[index].entity < entity)
        index++;
    struct target *target = &set->targets[index];
    memmove(target + 1, target, (set->count - index) * sizeof *target);
    *target = (struct target){.set = set, .entity = entity, .counted = received, .kv = *kv};
    set->count++;
    set->next += set->next >= index;
    if (set->contents.count > 0)
        contents_insert(&set->contents, set->config, index, kv);
    renumber(set);
}

void targets_clear(struct target_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        mem_free(set->targets[i].prompts.slots);
    mem_free(set->targets);
    for (int load = 0; load < ROUTER_LOADS; load++)
        tournament_clear(&set->loads[load]);
    sessions_clear(&set->sessions);
    contents_clear(&set->contents);
}

static uint32_t previous_of(const struct target_set *set, int64_t session)
{
    uint32_t previous = session >= 0 ? sessions_find(&set->sessions, session) : SESSIONS_NONE;
    const struct target *target = previous != SESSIONS_NONE ? set->by_entity[previous] : NULL;
    return target && target->set == set ? (uint32_t)(target - set->targets) : set->count;
}

/* A block's hash names those before it too. */
static uint64_t prefix_of(const struct target_set *set, const struct request *request)
{
    size_t blocks = request_hash_count(request), most = (size_t)set->config->prefix_blocks;
    if (blocks == 0)
        return 0;
    size_t whole = (size_t)(request->prompt_tokens / set->hash_tokens); /* others are of the output */
    blocks = blocks < whole ? blocks : whole;
    if (blocks == 0)
        return 0;
    uint64_t prefix = hash_mix64(request_hashes(request)[(blocks < most ? blocks : most) - 1]);
    return prefix > 0 ? prefix : 1;
}

uint32_t targets_pick(struct target_set *set, const struct request *request, uint64_t random)
{
    const struct router_policy *policy = set->policy;
    int64_t session = request->row.session, prompt_tokens = request->context_tokens;
    struct router_view view = {.count = set->count,
                               .next = set->next,
                               .previous = policy->sessions ? previous_of(set, session) : set->count,
                               .loads = set->loads,
                               .kv_whole = set->kv_whole,
                               .weights = &set->config->weights,
                               .prefix = policy->prefixes ? prefix_of(set, request) : 0,
                               .prefix_bound = set->config->prefix_bound,
                               .prompt_tokens = prompt_tokens,
                               .balance = &set->config->balance};
    if (set->contents.count > 0)
        view.held_tokens = contents_held(&set->contents, request);
    uint32_t index = policy->choose(&view, random);
    CHECK(index < set->count, "router policy %s chose instance %u of %u", policy->name, index, set->count);
    const struct tournament *requests = &set->loads[ROUTER_REQUESTS];
    if (set->most_requests > 0 && tournament_value(requests, index) >= set->most_requests)
        index = tournament_winner_from(requests, set->next);
    return index;
}

void targets_book(struct target_set *set, uint32_t index, const struct request *request)
{
    const struct router_policy *policy = set->policy;
    int64_t session = request->row.session, prompt_tokens = request->context_tokens;
    set->next = (index + 1) % set->count;
    if (policy->sessions && session >= 0)
        sessions_set(&set->sessions, session, set->targets[index].entity);
    if (set->contents.count > 0)
        contents_sent(&set->contents, index, request);
    struct target *target = &set->targets[index];
    if (set->by_prompt)
        ring_push_back(&target->prompts, (uint32_t)prompt_tokens);
    for (uint32_t k = 0; k < set->used_count; k++) {
        target->loads[k].beyond += cost_of(target, set->used[k].measure, prompt_tokens);
        set_load(target, k);
    }
}

bool targets_have_room(const struct target_set *set)
{
    const struct tournament *requests = &set->loads[ROUTER_REQUESTS];
    return set->most_requests == 0 ||
           tournament_value(requests, tournament_winner_from(requests, 0)) < set->most_requests;
}

void targets_report(struct target *target, const int64_t *words, const struct request *body)
{
    struct target_set *set = target->set;
    if (body)
        contents_report(&set->contents, (uint32_t)(target - set->targets), body->hashes.bytes,
                        body->hashes.count / sizeof(struct prefix_change));
    if (set->used_count == 0)
        return; /* of a weight for contents alone */
    for (; target->counted < words[REPORT_RECEIVED]; target->counted++) {
        int64_t prompt_tokens = set->by_prompt ? ring_pop_front(&target->prompts) : 0;
        for (uint32_t k = 0; k < set->used_count; k++)
            target->loads[k].beyond -= cost_of(target, set->used[k].measure, prompt_tokens);
    }
    for (uint32_t k = 0; k < set->used_count; k++) {
        target->loads[k].reported = reported_load(target, set->used[k].measure, words);
        set_load(target, k);
    }
}
