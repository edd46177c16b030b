/* Requests that wait to be admitted: their order, whether the first may come in, and how long the others wait
 * behind one that may not. First come, first served takes a ring; other orders take a heap, and the ring is
 * for preempted ones, which come before all but with classes of priority. */
#include "internal.h"

const char *const order_names[] = {"fcfs", "priority", "shortest-prompt", "longest-prompt", NULL};

/* What requests are sorted by; those of one key come as they came. */
static int64_t order_key(const struct instance *instance, const struct request *request)
{
    switch ((enum scheduler_order)instance->config->limits.order) {
    case ORDER_PRIORITY:
        return request->row.priority;
    case ORDER_SHORTEST_PROMPT:
        return request->prompt_tokens;
    case ORDER_LONGEST_PROMPT:
        return -request->prompt_tokens;
    case ORDER_FCFS:
        break;
    }
    return 0;
}

void blocked_count(struct instance *instance, int64_t now_ns)
{
    struct blocked *blocked = &instance->blocked;
    int64_t length_ns = now_ns - blocked->since_ns;
    blocked->total_ns += length_ns;
    blocked->since_ns = now_ns;
    if (blocked->head != NO_SLOT)
        instance->sequences[blocked->head].request->row.blocked_ns -= length_ns;
}

void blocked_begin(struct instance *instance, uint32_t head)
{
    instance->is_blocked = true;
    instance->blocked.since_ns = instance->accounted_ns;
    instance->blocked.head = head;
}

/* Of one key as they came here; of one class as they arrived, so that a preempted one has its place again. */
static void sort_in(struct instance *instance, uint32_t slot)
{
    const struct request *request = instance->sequences[slot].request;
    bool classes = instance->config->limits.order == ORDER_PRIORITY;
    uint64_t place = classes ? request->row.id : (uint64_t)instance->received;
    heap_set(&instance->sorted, slot, order_key(instance, request), place);
    heap_set(&instance->ages, slot, (int64_t)place, place);
}

static void sort_out(struct instance *instance, uint32_t slot)
{
    heap_remove(&instance->sorted, slot);
    heap_remove(&instance->ages, slot);
    heap_remove(&instance->deadlines, slot);
}

void waiting_add(struct instance *instance, uint32_t slot, int64_t now_ns)
{
    struct request *request = instance->sequences[slot].request;
    blocked_join(instance, request, now_ns);
    instance->waiting_count++;
    if (instance->config->deadlines && request->deadline_ns < SIMTIME_NEVER)
        heap_set(&instance->deadlines, slot, request->deadline_ns, request->row.id);
    if (instance->config->limits.order == ORDER_FCFS && !instance->config->deadlines)
        ring_push_back(&instance->waiting, slot);
    else
        sort_in(instance, slot);
}

void waiting_return(struct instance *instance, uint32_t slot)
{
    blocked_join(instance, instance->sequences[slot].request, instance->accounted_ns);
    instance->waiting_count++;
    if (instance->config->limits.order == ORDER_PRIORITY)
        sort_in(instance, slot);
    else
        ring_push_front(&instance->waiting, slot);
}

void waiting_take_first(struct instance *instance)
{
    uint32_t slot = waiting_first(instance);
    blocked_leave(instance, instance->sequences[slot].request);
    instance->waiting_count--;
    if (instance->waiting.count > 0) {
        ring_pop_front(&instance->waiting);
        return;
    }
    sort_out(instance, slot);
}

void waiting_expire(struct instance *instance, int64_t now_ns)
{
    const struct heap_entry *top;
    while ((top = heap_top(&instance->deadlines)) && top->key <= now_ns) {
        uint32_t slot = top->id;
        struct sequence *sequence = &instance->sequences[slot];
        struct request *request = sequence->request;
        instance->waiting_count--;
        instance->queued_tokens -= sequence->known_tokens;
        sort_out(instance, slot);
        sequence_free(instance, slot);
        instance_refuse(instance, request, ROW_REASON_DEADLINE, now_ns);
    }
}

int64_t waiting_oldest_ns(const struct instance *instance)
{
    uint32_t slot =
        instance->waiting.count > 0 ? ring_front(&instance->waiting) : heap_top(&instance->ages)->id;
    return instance->sequences[slot].request->stage_ns;
}

void waiting_clear(struct instance *instance)
{
    mem_free(instance->waiting.slots);
    heap_clear(&instance->sorted);
    heap_clear(&instance->ages);
    heap_clear(&instance->deadlines);
}

int64_t spare_blocks(const struct instance *instance)
{
    const struct scheduler_limits *limits = &instance->config->limits;
    bool holds = schedulers[limits->policy]->watermark_when_idle || instance->running > 0;
    return holds ? (int64_t)(limits->watermark * (double)instance->kv.capacity_blocks) : 0;
}

void admission_stop(struct instance *instance)
{
    instance->stopped = instance->config->limits.watermark_high > 0;
}

bool admission_fits(const struct schedule *schedule, uint32_t slot, int64_t blocks, struct room_item item)
{
    struct instance *instance = schedule->instance;
    int64_t free_blocks = kv_free_blocks(&instance->kv);
    double high = instance->config->limits.watermark_high;
    if (instance->stopped && free_blocks >= (int64_t)(high * (double)instance->kv.capacity_blocks))
        instance->stopped = false;
    if (!instance->stopped && !schedule->short_of_room &&
        room_for(schedule, blocks + spare_blocks(instance), item) && blocks_place(instance, blocks))
        return true;
    admission_stop(instance);
    blocked_begin(instance, slot);
    return false;
}
