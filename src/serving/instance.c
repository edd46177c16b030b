/* A member of a replica; where it is the only one, the entity itself. */
#include "internal.h"

#include <stddef.h>

/* As marked where it is defined. */
#define BEGINS_A_LINE(member)                                                                                \
    _Static_assert(offsetof(struct instance, member) % MEM_LINE_BYTES == 0,                                  \
                   #member " is not where a line begins")
BEGINS_A_LINE(switching);
BEGINS_A_LINE(offered);
BEGINS_A_LINE(batch);
BEGINS_A_LINE(batch.growth);
BEGINS_A_LINE(batch.ends);
BEGINS_A_LINE(kv);
BEGINS_A_LINE(engine);
BEGINS_A_LINE(ready);
BEGINS_A_LINE(begun_ns);
BEGINS_A_LINE(schedule);

const char *const role_names[] = {"unified", "prefill", "decode", NULL};
const char *const preemption_names[] = {"recompute", "swap", NULL};
const char *const victim_names[] = {"newest", "lowest-priority", NULL};

static bool report_due(struct instance *const *members, size_t count)
{
    bool due = false;
    for (size_t i = 0; i < count; i++)
        due |= members[i]->report_due;
    return due && members[0]->config->reports;
}

int64_t instance_report_ns(struct instance *const *members, size_t count, int64_t now_ns)
{
    int64_t next_ns = members[0]->next_report_ns; /* the first member keeps it for all */
    return !report_due(members, count) ? SIMTIME_NEVER : next_ns > now_ns ? next_ns : now_ns;
}

void instance_report(struct instance *const *members, size_t count, int64_t now_ns)
{
    struct instance *first = members[0];
    int64_t words[ENGINE_WORDS] = {0};
    if (!report_due(members, count) || now_ns < first->next_report_ns)
        return;
    for (size_t i = 0; i < count; i++) {
        struct instance *member = members[i];
        words[REPORT_QUEUED_TOKENS] += member->queued_tokens;
        words[REPORT_RUNNING] += member->running;
        words[REPORT_WAITING] += instance_waiting(member);
        words[REPORT_FREE_BLOCKS] += kv_free_blocks(&member->kv);
        words[REPORT_RECEIVED] += member->received;
        member->report_due = false;
    }
    engine_send(first->engine, first->entity, ENTITY_ROUTER, now_ns + first->config->latency_ns,
                MESSAGE_REPORT, words,
                first->config->caching.reports ? caching_report(members, count) : NULL);
    first->next_report_ns = now_ns + first->config->report_interval_ns;
}

/* Sets the next wake: the end of the iteration, a boundary at once when idle, or the next report. */
static void set_wake(struct instance *instance, int64_t now_ns)
{
    int64_t wake_ns = SIMTIME_NEVER;
    if (instance->busy)
        wake_ns = leap_wake_ns(instance);
    else if (instance->boundary_due)
        wake_ns = now_ns;
    else
        wake_ns = instance->due_ns;
    int64_t report_ns = instance_report_ns(&instance, 1, now_ns);
    wake_ns = report_ns < wake_ns ? report_ns : wake_ns;
    if (instance->switching != SWITCH_NONE) {
        int64_t switch_ns = switch_step(instance, now_ns);
        wake_ns = switch_ns < wake_ns ? switch_ns : wake_ns;
    }
    engine_wake(instance->engine, instance->entity, wake_ns);
}

void instance_refuse(struct instance *instance, struct request *request, enum row_reason reason,
                     int64_t now_ns)
{
    int64_t client[ENGINE_WORDS] = {request->user, 1};
    request_refuse(instance->engine, instance->metrics, request, reason, now_ns);
    instance->report_due = true;
    if (instance->config->closed_loop)
        engine_send(instance->engine, instance->entity, ENTITY_ROUTER, now_ns + instance->config->latency_ns,
                    MESSAGE_ENDED, client, NULL);
}

static void on_dispatch(struct instance *instance, struct request *request, int64_t now_ns)
{
    int64_t most_waiting = instance->config->limits.max_queued_requests;
    bool returned = request->computed_tokens > 0; /* from a decode instance: it has shown tokens */
    if (most_waiting > 0 && instance->waiting_count >= most_waiting && !returned) {
        instance_refuse(instance, request, ROW_REASON_QUEUE_FULL, now_ns);
        return;
    }
    instance_account(instance, now_ns);
    request->row.control_ns += instance->config->latency_ns;
    request->row.prefill_instance = (int32_t)(instance->entity - ENTITY_FIRST_INSTANCE);
    request->stage_ns = now_ns;
    uint32_t slot = sequence_new(instance, request);
    instance->queued_tokens += instance->sequences[slot].known_tokens;
    waiting_add(instance, slot, now_ns);
    instance->boundary_due = true;
}

void instance_receive(struct instance *instance, const struct event *event)
{
    int64_t now_ns = event->time_ns;
    switch (event->type) {
    case MESSAGE_DISPATCH:
        instance->received++;
        on_dispatch(instance, event->body, now_ns);
        break;
    case MESSAGE_HANDOFF:
        instance->received++;
        handoff_receive(instance, event->body, now_ns);
        break;
    case MESSAGE_PREFILLED:
        handoff_prefilled(instance, (uint32_t)event->words[0], event->body, now_ns);
        break;
    case MESSAGE_SWITCH:
        switch_begin(instance, event->words[0], now_ns);
        break;
    case MESSAGE_STAY:
        handoff_stay(instance, (uint32_t)event->words[0], event->body, now_ns);
        break;
    case MESSAGE_KV_DONE:
        if (instance->config->role == ROLE_PREFILL)
            handoff_done(instance, (uint32_t)event->words[0], (uint64_t)event->words[1], now_ns);
        else
            handoff_arrived(instance, (uint32_t)event->words[0], event->words, now_ns);
        break;
    default:
        CHECK(false, "instance %u got message type %u", instance->entity, event->type);
    }
}

static void on_message(void *state, struct engine *engine, const struct event *event)
{
    (void)engine;
    struct instance *instance = state;
    leap_to(instance, event->time_ns - 1); /* a boundary at this time comes after the message */
    instance_receive(instance, event);
    set_wake(instance, event->time_ns);
}

static void start_iteration(struct instance *instance, int64_t now_ns)
{
    struct work work, alone;
    if (!iteration_plan(instance, now_ns, &work))
        return;
    struct timer *timer = instance->config->timers[0];
    int64_t length_ns = timer_iteration_ns(timer, &work), alone_ns = length_ns;
    int64_t copy_ns = kv_take_cost(&instance->kv) + swap_copy_ns(instance) + caching_load_ns(instance);
    if (work.prefill_tokens > 0 && work.decode_sequences > 0) {
        work_keep_decodes(&work, &alone);
        alone_ns = timer_iteration_ns(timer, &alone);
    }
    instance->iteration_ns = length_ns;
    instance->expert_bytes = timer_expert_bytes(timer, work.prefill_tokens + work.decode_sequences);
    iteration_begin(instance, now_ns, copy_ns + length_ns, copy_ns + alone_ns);
    if (instance->config->iterations)
        iteration_record(&instance, 1, &work, 1, 0);
    leap_predict(instance);
}

static void on_wake(void *state, struct engine *engine, uint32_t entity, int64_t now_ns)
{
    (void)engine;
    (void)entity;
    struct instance *instance = state;
    leap_to(instance, now_ns);
    bool ended = instance->busy && instance->iteration_end_ns == now_ns;
    if (ended)
        iteration_finish(instance, now_ns);
    if (ended || (!instance->busy && (instance->boundary_due || instance->due_ns <= now_ns)))
        start_iteration(instance, now_ns);
    instance_report(&instance, 1, now_ns);
    set_wake(instance, now_ns);
}

const struct engine_handler instance_handler = {on_message, on_wake};

void instance_finish(struct instance *instance, uint32_t slot, int64_t now_ns)
{
    struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request;
    struct row *row = &request->row;
    int64_t user[ENGINE_WORDS] = {request->user};
    row->decode_ns += request_stage(request, now_ns);
    row->e2e_ns = now_ns - row->arrival_ns;
    row->status = ROW_COMPLETED;
    CHECK(row->e2e_ns == row_stages_ns(row), "the stages of request %llu do not add up",
          (unsigned long long)row->id);
    metrics_row(instance->metrics, row);
    running_remove(instance, slot);
    cache_outside(instance, slot, 0);
    if (!padded_ends(instance))
        blocks_give(instance, slot);
    sequence_free(instance, slot);
    engine_body_free(instance->engine, request);
    engine_count(instance->engine, 1);
    if (instance->config->closed_loop)
        engine_send(instance->engine, instance->entity, ENTITY_ROUTER, now_ns + instance->config->latency_ns,
                    MESSAGE_ENDED, user, NULL);
}

struct instance *instance_create(struct engine *engine, uint32_t entity, uint32_t member,
                                 const struct instance_config *config, struct metrics *metrics)
{
    struct instance *instance = mem_lines(1, sizeof *instance);
    instance->engine = engine;
    instance->config = config;
    instance->metrics = metrics;
    meter_init(&instance->meter, metrics, config->pool, config->capacity_blocks * config->kv.block_tokens);
    instance->entity = entity;
    instance->member = member;
    instance->free_slots = NO_SLOT;
    instance->first_running = NO_SLOT;
    instance->last_running = NO_SLOT;
    instance->due_ns = SIMTIME_NEVER;
    instance->schedule.instance = instance;
    if (config->no_cache)
        kv_init_none(&instance->kv);
    else
        kv_init(&instance->kv, &config->kv, config->capacity_blocks);
    caching_init(instance);
    batch_init(instance);
    return instance;
}

void instance_free(struct instance *instance)
{
    batch_clear(instance);
    caching_clear(instance);
    kv_clear(&instance->kv);
    mem_free(instance->sequences);
    waiting_clear(instance);
    mem_free(instance->offered.slots);
    mem_free(instance->ready.slots);
    mem_free(instance->swapped.slots);
    mem_free(instance->gone.slots);
    mem_free(instance->partials);
    mem_free(instance->ended);
    mem_free(instance->schedule.items);
    mem_free(instance->schedule.parked);
    mem_free(instance);
}

void instance_close(struct instance *instance, int64_t end_ns)
{
    CHECK(!instance->busy && instance->running == 0 && instance->waiting_count == 0 &&
              instance->offered.count == 0 && instance->swapped.count == 0 && instance->moving == 0 &&
              instance->held == 0 && instance->queued_tokens == 0 && instance->swapped_blocks == 0 &&
              instance->switching == SWITCH_NONE,
          "instance %u has unfinished requests at the end", instance->entity);
    const struct kv *kv = &instance->kv;
    struct usage *usage = &instance->meter.usage;
    CHECK(kv->used_blocks == 0 && tokens_cached(instance) == 0, "instance %u leaks %lld blocks",
          instance->entity, (long long)kv->used_blocks);
    if (end_ns > instance->accounted_ns)
        instance_account(instance, end_ns);
    meter_flush(&instance->meter);
    switch_close(instance, end_ns);
    usage->received_bytes = instance->received_bytes;
    usage->kv_peak_blocks = (uint64_t)kv->peak_blocks;
    usage->kv_peak_tokens = (uint64_t)instance->peak_tokens;
    usage->kv_allocated_blocks = kv->allocated_blocks;
    usage->kv_freed_blocks = kv->freed_blocks;
    usage->kv_allocations = kv->allocations;
    usage->kv_copies = kv->copies;
    usage->kv_compactions = kv->compactions;
    usage->kv_copied_blocks = kv->copied_blocks;
    usage->kv_cost_ns = kv->total_cost_ns;
    if (kv->prefix)
        usage->evicted_blocks = kv->prefix->evicted[PREFIX_GPU] * (uint64_t)kv->prefix_blocks;
}
