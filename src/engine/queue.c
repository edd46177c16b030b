/* Pending messages. Nearly all take the same time, so that those of one sender rank come in order: they are
 * appended to that rank's lane. What is out of order, of another delay or several at one time, goes through a
 * heap. The first of all is the least of the heads. */
#include "internal.h"

#include <string.h>

#include "tandem/check.h"

static bool before(const struct queue_item *a, const struct queue_item *b)
{
    if (a->event.time_ns != b->event.time_ns)
        return a->event.time_ns < b->event.time_ns;
    if (a->event.destination != b->event.destination)
        return a->event.destination < b->event.destination;
    if (a->event.source != b->event.source)
        return a->event.source < b->event.source;
    return a->count < b->count;
}

static struct queue_item *lane_item(const struct queue_lane *lane, size_t place)
{
    return &lane->items[(lane->head + place) & (lane->capacity - 1)];
}

static void lane_append(struct queue_lane *lane, const struct queue_item *item)
{
    if (lane->count == lane->capacity) {
        size_t capacity = lane->capacity ? 2 * lane->capacity : 64;
        struct queue_item *items = mem_array(capacity, sizeof *items);
        for (size_t i = 0; i < lane->count; i++)
            items[i] = *lane_item(lane, i);
        mem_free(lane->items);
        *lane = (struct queue_lane){items, 0, lane->count, capacity};
    }
    *lane_item(lane, lane->count++) = *item;
}

static void heap_push(struct queue *queue, const struct queue_item *item)
{
    if (queue->heap_count == queue->heap_capacity)
        queue->heap = mem_grow(queue->heap, &queue->heap_capacity, queue->heap_count + 1, sizeof *item);
    size_t i = queue->heap_count++;
    while (i > 0 && before(item, &queue->heap[(i - 1) / 4])) {
        queue->heap[i] = queue->heap[(i - 1) / 4];
        i = (i - 1) / 4;
    }
    queue->heap[i] = *item;
}

static void heap_pop_first(struct queue *queue)
{
    const struct queue_item *last = &queue->heap[--queue->heap_count];
    size_t i = 0;
    for (;;) {
        size_t child = 4 * i + 1;
        if (child >= queue->heap_count)
            break;
        size_t end = child + 4 < queue->heap_count ? child + 4 : queue->heap_count;
        size_t least = child;
        for (size_t j = child + 1; j < end; j++)
            if (before(&queue->heap[j], &queue->heap[least]))
                least = j;
        if (!before(&queue->heap[least], last))
            break;
        queue->heap[i] = queue->heap[least];
        i = least;
    }
    queue->heap[i] = *last;
}

void queue_push(struct queue *queue, int sender_rank, const struct queue_item *item)
{
    struct queue_lane *lane = &queue->lanes[sender_rank % QUEUE_LANES];
    queue->top_known = false;
    if (sender_rank % QUEUE_LANES >= queue->lane_count)
        queue->lane_count = sender_rank % QUEUE_LANES + 1;
    if (lane->count == 0 || before(lane_item(lane, lane->count - 1), item))
        lane_append(lane, item);
    else
        heap_push(queue, item);
}

const struct queue_item *queue_find_top(struct queue *queue)
{
    const struct queue_item *first = queue->heap_count > 0 ? &queue->heap[0] : NULL;
    queue->first_lane = -1;
    for (int i = 0; i < queue->lane_count; i++) {
        const struct queue_lane *lane = &queue->lanes[i];
        if (lane->count > 0 && (!first || before(lane_item(lane, 0), first))) {
            first = lane_item(lane, 0);
            queue->first_lane = i;
        }
    }
    queue->top = first;
    queue->top_known = true;
    return first;
}

const struct queue_item *queue_ahead(const struct queue *queue)
{
    const struct queue_lane *lane = &queue->lanes[queue->first_lane < 0 ? 0 : queue->first_lane];
    return lane->count > QUEUE_AHEAD ? lane_item(lane, QUEUE_AHEAD) : NULL;
}

void queue_drop_top(struct queue *queue)
{
    CHECK(queue->top_known, "nobody looked at the first message");
    queue->top_known = false;
    if (queue->first_lane < 0) {
        CHECK(queue->heap_count > 0, "nothing to take from the queue");
        heap_pop_first(queue);
        return;
    }
    struct queue_lane *lane = &queue->lanes[queue->first_lane];
    lane->head = (lane->head + 1) & (lane->capacity - 1);
    lane->count--;
}

void queue_clear(struct queue *queue)
{
    for (int i = 0; i < QUEUE_LANES; i++)
        mem_free(queue->lanes[i].items);
    mem_free(queue->heap);
    *queue = (struct queue){0};
}
