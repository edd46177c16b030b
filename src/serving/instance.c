#include "tandem/instance.h"

#include "internal.h"

const char *const role_names[] = {"unified", "prefill", "decode", NULL};
const char *const first_token_names[] = {"decode", "prefill", "relay", NULL};

static void report(struct instance *instance, int64_t now_ns)
{
    const struct instance_config *config = instance->config;
    if (!config->reports) {
        instance->report_due = false;
        return;
    }
    if (!instance->report_due || now_ns < instance->next_report_ns)
        return;
    int64_t words[ENGINE_WORDS];
    words[REPORT_QUEUED_TOKENS] = instance->queued_tokens;
    words[REPORT_RUNNING] = instance->running;
    words[REPORT_WAITING] = instance->moving + (int64_t)(instance->waiting.count + instance->offered.count);
    words[REPORT_FREE_BLOCKS] = kv_free_blocks(&instance->kv);
    words[REPORT_RECEIVED] = instance->received;
    engine_send(instance->engine, instance->entity, ENTITY_ROUTER, now_ns + config->latency_ns,
                MESSAGE_REPORT, words, NULL);
    instance->report_due = false;
    instance->next_report_ns = now_ns + config->report_interval_ns;
}

/* Sets the next wake: the end of the iteration, a boundary at once when idle, or the next report. */
static void set_wake(struct instance *instance, int64_t now_ns)
{
    int64_t wake_ns = SIMTIME_NEVER;
    if (instance->busy)
        wake_ns = leap_wake_ns(instance);
    else if (instance->boundary_due)
        wake_ns = now_ns;
    if (instance->report_due && instance->config->reports) {
        int64_t report_ns = instance->next_report_ns > now_ns ? instance->next_report_ns : now_ns;
        wake_ns = report_ns < wake_ns ? report_ns : wake_ns;
    }
    engine_wake(instance->engine, instance->entity, wake_ns);
}

static void on_dispatch(struct instance *instance, struct request *request, int64_t now_ns)
{
    instance_account(instance, now_ns);
    request->row.control_ns += instance->config->latency_ns;
    request->row.prefill_instance = (int32_t)(instance->entity - ENTITY_FIRST_INSTANCE);
    request->stage_ns = now_ns;
    uint32_t slot = sequence_new(instance, request);
    instance->queued_tokens += instance->sequences[slot].known_tokens;
    ring_push_back(&instance->waiting, slot);
    instance->boundary_due = true;
}

static void on_message(void *state, struct engine *engine, const struct event *event)
{
    (void)engine;
    struct instance *instance = state;
    int64_t now_ns = event->time_ns;
    leap_to(instance, now_ns - 1); /* a boundary at this time comes after the message */
    switch (event->type) {
    case MESSAGE_DISPATCH:
        instance->received++;
        on_dispatch(instance, event->body, now_ns);
        break;
    case MESSAGE_HANDOFF:
        instance->received++;
        handoff_receive(instance, event->body, now_ns);
        break;
    case MESSAGE_KV_DONE:
        if (instance->config->role == ROLE_PREFILL)
            handoff_done(instance, (uint32_t)event->words[0], (uint64_t)event->words[1], now_ns);
        else
            handoff_arrived(instance, (uint32_t)event->words[0], (uint64_t)event->words[1], now_ns);
        break;
    default:
        CHECK(false, "instance %u got message type %u", instance->entity, event->type);
    }
    set_wake(instance, now_ns);
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
    if (ended || (!instance->busy && instance->boundary_due))
        iteration_start(instance, now_ns);
    report(instance, now_ns);
    set_wake(instance, now_ns);
}

void instance_finish(struct instance *instance, uint32_t slot, int64_t now_ns)
{
    struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request;
    struct row *row = &request->row;
    int64_t user[ENGINE_WORDS] = {request->user};
    row->decode_ns = request_stage(request, now_ns);
    row->e2e_ns = now_ns - row->arrival_ns;
    row->status = ROW_COMPLETED;
    CHECK(row->e2e_ns == row->router_ns + row->control_ns + row->prefill_queue_ns + row->prefill_ns +
                             row->decode_queue_ns + row->transfer_ns + row->admission_ns + row->decode_ns +
                             row->stalled_ns,
          "the stages of request %llu do not add up", (unsigned long long)row->id);
    metrics_row(instance->metrics, row);
    kv_give(&instance->kv, sequence->blocks);
    running_remove(instance, slot);
    sequence_free(instance, slot);
    engine_body_free(instance->engine, request);
    engine_count(instance->engine, 1);
    if (instance->config->closed_loop)
        engine_send(instance->engine, instance->entity, ENTITY_ROUTER, now_ns + instance->config->latency_ns,
                    MESSAGE_ENDED, user, NULL);
}

struct instance *instance_create(struct engine *engine, uint32_t entity, const struct instance_config *config,
                                 struct metrics *metrics)
{
    struct instance *instance = mem_array(1, sizeof *instance);
    instance->engine = engine;
    instance->config = config;
    instance->metrics = metrics;
    meter_init(&instance->meter, metrics, config->pool, config->capacity_blocks);
    instance->entity = entity;
    instance->free_slots = NO_SLOT;
    instance->first_running = NO_SLOT;
    instance->last_running = NO_SLOT;
    instance->schedule.instance = instance;
    kv_init(&instance->kv, config->block_tokens, config->capacity_blocks);
    batch_init(instance);
    engine_attach(engine, entity, &(struct engine_handler){on_message, on_wake}, instance);
    return instance;
}

void instance_free(struct instance *instance)
{
    batch_clear(instance);
    mem_free(instance->sequences);
    mem_free(instance->waiting.slots);
    mem_free(instance->offered.slots);
    mem_free(instance->ready.slots);
    mem_free(instance->partials);
    mem_free(instance->ended);
    mem_free(instance->schedule.items);
    mem_free(instance->schedule.parked);
    mem_free(instance);
}

const struct usage *instance_usage(const struct instance *instance)
{
    return &instance->meter.usage;
}

void instance_close(struct instance *instance, int64_t end_ns)
{
    CHECK(!instance->busy && instance->running == 0 && instance->waiting.count == 0 &&
              instance->offered.count == 0 && instance->moving == 0 && instance->held == 0,
          "instance %u has unfinished requests at the end", instance->entity);
    CHECK(instance->kv.used_blocks == 0, "instance %u leaks %lld blocks", instance->entity,
          (long long)instance->kv.used_blocks);
    if (end_ns > instance->accounted_ns)
        instance_account(instance, end_ns);
    meter_flush(&instance->meter);
    instance->meter.usage.kv_peak_blocks = (uint64_t)instance->kv.peak_blocks;
    instance->meter.usage.kv_allocated_blocks = instance->kv.allocated_blocks;
    instance->meter.usage.kv_freed_blocks = instance->kv.freed_blocks;
}
