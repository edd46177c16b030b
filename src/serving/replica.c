/* A replica of several members. Group g, the lanes of micro-batch g, steps together: its iteration takes the
 * time of the slowest lane on each pipeline stage, one stage after another. One iteration at a time is on a
 * stage, so the groups follow each other through them. With one member the engine gets that instead, and
 * nothing here is in the way of its leaps. */
#include "tandem/replica.h"

#include "internal.h"

struct group {
    int64_t end_ns; /* of the iteration in progress; SIMTIME_NEVER: none is */
    int64_t due_ns; /* since when it waits to start one; SIMTIME_NEVER: it does not */
};

struct replica {
    const struct instance_config *config;
    struct engine *engine;
    uint32_t entity;
    uint32_t next; /* member, in rotation */
    size_t lanes, stages, member_count;
    struct instance **members; /* [group x lanes + lane] */
    struct group *groups;      /* as many as stages */
    int64_t *free_ns;          /* by stage: when it is done with what it got so far */
    struct work *works;        /* of a group's lanes while it starts */
    struct work *decodes;      /* of them */
    int64_t *alone_free_ns;    /* as free_ns, if they were alone */
    int64_t most_blocks;       /* KV blocks of all members in use at once, so far */
    int64_t most_tokens;       /* tokens in them, likewise */
};

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static struct instance **lanes_of(const struct replica *replica, size_t group)
{
    return &replica->members[group * replica->lanes];
}

static uint64_t work_tokens(const struct work *work)
{
    return (uint64_t)(work->prefill_tokens + work->decode_sequences);
}

/* The member with the fewest requests; of these, the one with the fewest tokens to compute; of these, the
 * next in rotation. */
static uint32_t choose_member(struct replica *replica)
{
    uint32_t best = replica->next;
    int64_t best_requests = INT64_MAX, best_tokens = INT64_MAX;
    CHECK(replica->member_count > 0, "instance %u has no members", replica->entity);
    for (size_t i = 0; i < replica->member_count; i++) {
        uint32_t number = (uint32_t)((replica->next + i) % replica->member_count);
        const struct instance *member = replica->members[number];
        int64_t requests = member->running + instance_waiting(member);
        if (requests > best_requests || (requests == best_requests && member->queued_tokens >= best_tokens))
            continue;
        best = number;
        best_requests = requests;
        best_tokens = member->queued_tokens;
    }
    replica->next = (uint32_t)((best + 1) % replica->member_count);
    return best;
}

/* Something changed for a lane: an idle group has a boundary as soon as the first stage is free. */
static void group_due(struct replica *replica, size_t group, int64_t now_ns)
{
    if (replica->groups[group].end_ns == SIMTIME_NEVER && replica->groups[group].due_ns == SIMTIME_NEVER)
        replica->groups[group].due_ns = now_ns;
}

/* By how much prefills lengthened the iteration of a group for its decodes: all sat it out, or some were in
 * it. */
static int64_t group_lengthened_ns(const struct replica *replica, size_t group)
{
    struct instance **lanes = lanes_of(replica, group);
    int64_t least_ns = SIMTIME_NEVER;
    for (size_t i = 0; i < replica->lanes; i++)
        if (lanes[i]->busy && iteration_decodes(lanes[i]))
            least_ns = earlier(least_ns, lanes[i]->lengthened_ns);
    return least_ns < SIMTIME_NEVER ? least_ns : 0;
}

/* GPU time of idle lanes is the group's, too: begin_lanes. */
static void end_group(struct replica *replica, size_t group, int64_t now_ns)
{
    struct instance **lanes = lanes_of(replica, group);
    int64_t lengthened_ns = group_lengthened_ns(replica, group);
    for (size_t i = 0; i < replica->lanes; i++)
        if (lanes[i]->busy) {
            iteration_finish(lanes[i], now_ns, lengthened_ns);
        } else {
            instance_account(lanes[i], now_ns);
            iteration_lengthened(lanes[i], now_ns, lengthened_ns);
            lanes[i]->phase = PHASE_IDLE;
        }
    replica->groups[group].end_ns = SIMTIME_NEVER;
    group_due(replica, group, now_ns);
}

/* Sends the works of so many lanes through the stages, which were free then, each of which first copies for
 * so long. When they are done. */
static int64_t pass_stages(const struct replica *replica, const struct work *works, size_t lanes,
                           int64_t copy_ns, int64_t *free_ns, int64_t now_ns)
{
    int64_t come_ns = now_ns; /* when the stage has its input */
    int64_t most_tokens = 0;
    for (size_t i = 0; i < lanes; i++)
        most_tokens = later(most_tokens, (int64_t)work_tokens(&works[i]));
    for (size_t stage = 0; stage < replica->stages; stage++) {
        struct timer *timer = replica->config->timers[stage];
        struct timer_span span = timer_span(timer, works, (int64_t)lanes);
        int64_t prepared_ns = later(free_ns[stage], now_ns) + span.host_ns;
        free_ns[stage] = later(come_ns, prepared_ns) + copy_ns + span.gpu_ns;
        come_ns = free_ns[stage] + timer_send_ns(timer, most_tokens);
    }
    return free_ns[replica->stages - 1];
}

/* When the decodes of a group that starts would be done without the prefills; SIMTIME_NEVER: there are none
 * beside them. Before pass_stages. */
static int64_t alone_end_ns(const struct replica *replica, size_t group, int64_t copy_ns, int64_t now_ns)
{
    struct instance **lanes = lanes_of(replica, group);
    size_t working = 0, decoding = 0;
    bool prefills = false;
    for (size_t i = 0; i < replica->lanes; i++) {
        const struct schedule *schedule = &lanes[i]->schedule;
        if (!schedule_any(schedule))
            continue;
        const struct work *work = &replica->works[working++];
        prefills |= schedule->item_count > 0;
        if (schedule->decode && schedule->item_count > 0)
            work_keep_decodes(work, &replica->decodes[decoding++]);
        else if (schedule->decode)
            replica->decodes[decoding++] = *work;
    }
    if (!prefills || decoding == 0)
        return SIMTIME_NEVER;
    for (size_t stage = 0; stage < replica->stages; stage++)
        replica->alone_free_ns[stage] = replica->free_ns[stage];
    return pass_stages(replica, replica->decodes, decoding, copy_ns, replica->alone_free_ns, now_ns);
}

/* Each lane has its share, by tokens, of what the experts of all stages read. */
static void share_expert_bytes(struct replica *replica, size_t group)
{
    struct instance **lanes = lanes_of(replica, group);
    uint64_t tokens = 0, bytes = 0;
    size_t working = 0;
    for (size_t i = 0; i < replica->lanes; i++)
        if (schedule_any(&lanes[i]->schedule))
            tokens += work_tokens(&replica->works[working++]);
    CHECK(tokens > 0, "a group of instance %u starts without tokens", replica->entity);
    for (size_t stage = 0; stage < replica->stages; stage++)
        bytes += timer_expert_bytes(replica->config->timers[stage], (int64_t)tokens);
    working = 0;
    for (size_t i = 0; i < replica->lanes; i++)
        if (schedule_any(&lanes[i]->schedule))
            lanes[i]->expert_bytes =
                (uint64_t)((wide_t)bytes * work_tokens(&replica->works[working++]) / tokens);
}

/* All lanes are in the phase of the group: experts and all-to-all keep the GPUs of idle ones busy too, and
 * what a prompt computes in experts it computes on all of them. */
static void begin_lanes(struct replica *replica, size_t group, int64_t now_ns, int64_t end_ns,
                        int64_t alone_ns)
{
    struct instance **lanes = lanes_of(replica, group);
    enum phase phase = PHASE_IDLE;
    for (size_t i = 0; i < replica->lanes; i++) {
        if (!schedule_any(&lanes[i]->schedule))
            continue;
        iteration_begin(lanes[i], now_ns, end_ns - now_ns, alone_ns - now_ns);
        phase = phase == PHASE_IDLE || phase == lanes[i]->phase ? (enum phase)lanes[i]->phase : PHASE_MIXED;
    }
    for (size_t i = 0; i < replica->lanes; i++)
        lanes[i]->phase = (uint8_t)phase;
}

/* Plans all lanes of a group and starts what they have to compute, if anything. */
static void start_group(struct replica *replica, size_t group, int64_t now_ns)
{
    struct instance **lanes = lanes_of(replica, group);
    size_t working = 0;
    int64_t copy_ns = 0;
    replica->groups[group].due_ns = SIMTIME_NEVER;
    for (size_t i = 0; i < replica->lanes; i++) {
        struct work *work = &replica->works[working];
        while (!iteration_plan(lanes[i], now_ns, work) && lanes[i]->boundary_due)
            ;
        if (!schedule_any(&lanes[i]->schedule))
            continue;
        copy_ns =
            later(copy_ns, kv_take_cost(&lanes[i]->kv) + swap_copy_ns(lanes[i]) + caching_load_ns(lanes[i]));
        working++;
    }
    if (working == 0)
        return;
    int64_t alone_ns = alone_end_ns(replica, group, copy_ns, now_ns);
    int64_t end_ns = pass_stages(replica, replica->works, working, copy_ns, replica->free_ns, now_ns);
    alone_ns = earlier(alone_ns, end_ns);
    share_expert_bytes(replica, group);
    begin_lanes(replica, group, now_ns, end_ns, alone_ns);
    if (replica->config->iterations)
        iteration_record(lanes, replica->lanes, replica->works, working, group);
    replica->groups[group].end_ns = end_ns;
}

/* The group that has waited longest, the first of several; the number of groups where none waits. */
static size_t next_group(const struct replica *replica)
{
    size_t next = replica->stages;
    int64_t due_ns = SIMTIME_NEVER;
    for (size_t i = 0; i < replica->stages; i++) {
        if (replica->groups[i].due_ns >= due_ns)
            continue;
        next = i;
        due_ns = replica->groups[i].due_ns;
    }
    return next;
}

/* When an idle group has a boundary though nothing has changed. */
static int64_t idle_ns(const struct replica *replica, size_t group)
{
    int64_t idle_ns = SIMTIME_NEVER;
    if (replica->groups[group].end_ns != SIMTIME_NEVER || replica->groups[group].due_ns != SIMTIME_NEVER)
        return SIMTIME_NEVER;
    for (size_t i = 0; i < replica->lanes; i++)
        idle_ns = earlier(idle_ns, lanes_of(replica, group)[i]->due_ns);
    return idle_ns;
}

/* Sets the next wake: the end of an iteration, the start of one, or the next report. */
static void set_wake(struct replica *replica, int64_t now_ns)
{
    int64_t wake_ns = instance_report_ns(replica->members, replica->member_count, now_ns);
    for (size_t i = 0; i < replica->stages; i++)
        wake_ns = earlier(wake_ns, earlier(replica->groups[i].end_ns, idle_ns(replica, i)));
    if (next_group(replica) < replica->stages)
        wake_ns = earlier(wake_ns, later(replica->free_ns[0], now_ns));
    engine_wake(replica->engine, replica->entity, wake_ns);
}

/* Blocks are taken when groups start only, tokens are there when they end or a transfer does. */
static void note_peaks(struct replica *replica)
{
    int64_t blocks = 0, tokens = 0;
    for (size_t i = 0; i < replica->member_count; i++) {
        blocks += replica->members[i]->kv.used_blocks;
        tokens += tokens_cached(replica->members[i]);
    }
    replica->most_blocks = later(replica->most_blocks, blocks);
    replica->most_tokens = later(replica->most_tokens, tokens);
}

static void on_message(void *state, struct engine *engine, const struct event *event)
{
    (void)engine;
    struct replica *replica = state;
    bool placed =
        event->type == MESSAGE_KV_DONE || event->type == MESSAGE_PREFILLED || event->type == MESSAGE_STAY;
    uint32_t member = placed ? (uint32_t)(event->words[0] >> 32) : choose_member(replica);
    instance_receive(replica->members[member], event);
    if (replica->members[member]->boundary_due)
        group_due(replica, member / replica->lanes, event->time_ns);
    note_peaks(replica);
    set_wake(replica, event->time_ns);
}

static void on_wake(void *state, struct engine *engine, uint32_t entity, int64_t now_ns)
{
    (void)engine;
    (void)entity;
    struct replica *replica = state;
    size_t group;
    for (group = 0; group < replica->stages; group++)
        if (replica->groups[group].end_ns == now_ns)
            end_group(replica, group, now_ns);
        else if (idle_ns(replica, group) <= now_ns)
            group_due(replica, group, now_ns);
    while (replica->free_ns[0] <= now_ns && (group = next_group(replica)) < replica->stages)
        start_group(replica, group, now_ns);
    note_peaks(replica);
    instance_report(replica->members, replica->member_count, now_ns);
    set_wake(replica, now_ns);
}

struct replica *replica_create(struct engine *engine, uint32_t entity, const struct instance_config *config,
                               struct metrics *metrics)
{
    struct replica *replica = mem_array(1, sizeof *replica);
    replica->config = config;
    replica->engine = engine;
    replica->entity = entity;
    replica->lanes = (size_t)config->lanes;
    replica->stages = (size_t)config->stages;
    replica->member_count = replica->lanes * replica->stages;
    replica->members = mem_array(replica->member_count, sizeof *replica->members);
    for (uint32_t i = 0; i < replica->member_count; i++)
        replica->members[i] = instance_create(engine, entity, i, config, metrics);
    if (replica->member_count == 1) {
        engine_attach(engine, entity, &instance_handler, replica->members[0]);
        return replica;
    }
    replica->groups = mem_array(replica->stages, sizeof *replica->groups);
    for (size_t i = 0; i < replica->stages; i++)
        replica->groups[i] = (struct group){SIMTIME_NEVER, SIMTIME_NEVER};
    replica->free_ns = mem_array(replica->stages, sizeof *replica->free_ns);
    replica->works = mem_array(replica->lanes, sizeof *replica->works);
    replica->decodes = mem_array(replica->lanes, sizeof *replica->decodes);
    replica->alone_free_ns = mem_array(replica->stages, sizeof *replica->alone_free_ns);
    engine_attach(engine, entity, &(struct engine_handler){on_message, on_wake}, replica);
    return replica;
}

void replica_free(struct replica *replica)
{
    for (size_t i = 0; i < replica->member_count; i++)
        instance_free(replica->members[i]);
    mem_free(replica->members);
    mem_free(replica->groups);
    mem_free(replica->free_ns);
    mem_free(replica->works);
    mem_free(replica->decodes);
    mem_free(replica->alone_free_ns);
    mem_free(replica);
}

struct usage replica_usage(const struct replica *replica)
{
    struct usage usage = {0};
    for (size_t i = 0; i < replica->member_count; i++)
        usage_add(&usage, &replica->members[i]->meter.usage);
    if (replica->member_count > 1) {
        usage.kv_peak_blocks = (uint64_t)replica->most_blocks;
        usage.kv_peak_tokens = (uint64_t)replica->most_tokens;
    }
    return usage;
}

void replica_close(struct replica *replica, int64_t end_ns)
{
    for (size_t i = 0; i < replica->member_count; i++)
        instance_close(replica->members[i], end_ns);
}
