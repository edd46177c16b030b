/* Requests that the router holds while no instance may have more: the most urgent class first, in it as they
 * arrived. All in O(log n). */
#ifndef TANDEM_SERVING_GATE_H
#define TANDEM_SERVING_GATE_H

#include "tandem/heap.h"
#include "tandem/request.h"

struct gate {
    struct heap first, last, deadlines; /* ids: places in requests */
    struct request **requests;
    uint32_t *free; /* places */
    size_t capacity, free_count, free_capacity;
};

static inline size_t gate_count(const struct gate *gate)
{
    return gate->first.count;
}

/* Borrowed until it is taken. */
void gate_add(struct gate *gate, struct request *request);

/* Takes one out of at least one: the first; the last, who has least right to stay. */
struct request *gate_take_first(struct gate *gate);
struct request *gate_take_last(struct gate *gate);

/* Takes one out whose deadline has come; NULL: there is none. And when the next one comes. */
struct request *gate_take_late(struct gate *gate, int64_t now_ns);
int64_t gate_deadline_ns(const struct gate *gate);

/* Frees its memory, not requests. */
void gate_clear(struct gate *gate);

#endif
