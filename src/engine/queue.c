#include "internal.h"

#include "tandem/check.h"

static bool key_before(const struct queue_key *a, const struct queue_key *b)
{
    if (a->time_ns != b->time_ns)
        return a->time_ns < b->time_ns;
    if (a->route != b->route)
        return a->route < b->route;
    return a->count < b->count;
}

static uint32_t slab_take(struct queue *queue)
{
    if (queue->free_count > 0)
        return queue->free_slots[--queue->free_count];
    if (queue->slab_count == queue->slab_capacity)
        queue->slab =
            mem_grow(queue->slab, &queue->slab_capacity, queue->slab_count + 1, sizeof(struct event));
    CHECK(queue->slab_count < UINT32_MAX, "too many pending messages");
    return (uint32_t)queue->slab_count++;
}

void queue_push(struct queue *queue, const struct event *event, uint64_t count)
{
    uint32_t slot = slab_take(queue);
    queue->slab[slot] = *event;
    struct queue_key key = {event->time_ns, (uint64_t)event->destination << 32 | event->source, count, slot};
    if (queue->count == queue->capacity)
        queue->keys = mem_grow(queue->keys, &queue->capacity, queue->count + 1, sizeof(struct queue_key));
    size_t i = queue->count++;
    while (i > 0) {
        size_t parent = (i - 1) / 4;
        if (!key_before(&key, &queue->keys[parent]))
            break;
        queue->keys[i] = queue->keys[parent];
        i = parent;
    }
    queue->keys[i] = key;
}

const struct queue_key *queue_top(const struct queue *queue)
{
    return queue->count > 0 ? &queue->keys[0] : NULL;
}

/* Puts key into the hole at the root. */
static void sift_down(struct queue *queue, struct queue_key key)
{
    size_t i = 0;
    for (;;) {
        size_t child = 4 * i + 1;
        if (child >= queue->count)
            break;
        size_t end = child + 4 < queue->count ? child + 4 : queue->count;
        size_t least = child;
        for (size_t j = child + 1; j < end; j++)
            if (key_before(&queue->keys[j], &queue->keys[least]))
                least = j;
        if (!key_before(&queue->keys[least], &key))
            break;
        queue->keys[i] = queue->keys[least];
        i = least;
    }
    queue->keys[i] = key;
}

struct event queue_pop(struct queue *queue)
{
    CHECK(queue->count > 0, "pop from an empty queue");
    uint32_t slot = queue->keys[0].slot;
    struct event event = queue->slab[slot];
    if (queue->free_count == queue->free_capacity)
        queue->free_slots =
            mem_grow(queue->free_slots, &queue->free_capacity, queue->free_count + 1, sizeof(uint32_t));
    queue->free_slots[queue->free_count++] = slot;
    struct queue_key last = queue->keys[--queue->count];
    if (queue->count > 0)
        sift_down(queue, last);
    return event;
}

void queue_clear(struct queue *queue)
{
    mem_free(queue->keys);
    mem_free(queue->slab);
    mem_free(queue->free_slots);
    *queue = (struct queue){0};
}
