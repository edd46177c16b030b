/* An instance changes its role: it ends what it has, takes its time, and goes on with the configuration of
 * the other role. What its members are made of (blocks, batch, timers, meter) is its own and stays. */
#include "internal.h"

void switch_begin(struct instance *instance, int64_t dispatches, int64_t now_ns)
{
    CHECK(instance->config->other && instance->switching == SWITCH_NONE,
          "instance %u cannot change its role now", instance->entity);
    instance->switching = SWITCH_DRAINS;
    instance->change.dispatches = dispatches;
    instance->change.since_ns = now_ns;
}

/* Nothing is here, comes here, or is held for others. */
static bool drained(const struct instance *instance)
{
    return !instance->busy && instance->running == 0 && instance_waiting(instance) == 0 &&
           instance->held == 0 && instance->received == instance->change.dispatches;
}

static void change_role(struct instance *instance, int64_t now_ns)
{
    struct role_change *change = &instance->change;
    CHECK(instance->kv.used_blocks == 0, "instance %u changes its role with %lld blocks in use",
          instance->entity, (long long)instance->kv.used_blocks);
    if (instance->config->away)
        instance->meter.usage.switched_ns += (uint64_t)(now_ns - change->away_ns);
    instance->config = instance->config->other;
    instance->switching = SWITCH_NONE;
    change->away_ns = now_ns;
    instance->meter.usage.role_switches++;
    engine_send(instance->engine, instance->entity, ENTITY_ROUTER, now_ns + instance->config->latency_ns,
                MESSAGE_SWITCHED, NULL, NULL);
}

int64_t switch_step(struct instance *instance, int64_t now_ns)
{
    struct role_change *change = &instance->change;
    if (instance->switching == SWITCH_DRAINS && drained(instance)) {
        instance->meter.usage.drain_ns += (uint64_t)(now_ns - change->since_ns);
        instance->switching = SWITCH_CHANGES;
        change->since_ns = now_ns + instance->config->switch_ns;
    }
    if (instance->switching == SWITCH_CHANGES && change->since_ns <= now_ns)
        change_role(instance, now_ns);
    return instance->switching == SWITCH_CHANGES ? change->since_ns : SIMTIME_NEVER;
}

void switch_close(struct instance *instance, int64_t end_ns)
{
    if (instance->config->away && end_ns > instance->change.away_ns)
        instance->meter.usage.switched_ns += (uint64_t)(end_ns - instance->change.away_ns);
}
