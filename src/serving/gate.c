#include "gate.h"

#include "tandem/simtime.h"

void gate_add(struct gate *gate, struct request *request)
{
    uint64_t id = request->row.id;
    uint32_t place = gate->free_count > 0 ? gate->free[--gate->free_count] : (uint32_t)gate_count(gate);
    if (place >= gate->capacity)
        gate->requests = mem_grow(gate->requests, &gate->capacity, place + 1, sizeof(struct request *));
    gate->requests[place] = request;
    heap_set(&gate->first, place, request->row.priority, id);
    heap_set(&gate->last, place, -(int64_t)request->row.priority, UINT64_MAX - id);
    if (request->deadline_ns < SIMTIME_NEVER)
        heap_set(&gate->deadlines, place, request->deadline_ns, id);
}

static struct request *take(struct gate *gate, uint32_t place)
{
    heap_remove(&gate->first, place);
    heap_remove(&gate->last, place);
    heap_remove(&gate->deadlines, place);
    if (gate->free_count == gate->free_capacity)
        gate->free = mem_grow(gate->free, &gate->free_capacity, gate->free_count + 1, sizeof(uint32_t));
    gate->free[gate->free_count++] = place;
    return gate->requests[place];
}

struct request *gate_take_first(struct gate *gate)
{
    return take(gate, heap_top(&gate->first)->id);
}

struct request *gate_take_last(struct gate *gate)
{
    return take(gate, heap_top(&gate->last)->id);
}

struct request *gate_take_late(struct gate *gate, int64_t now_ns)
{
    const struct heap_entry *top = heap_top(&gate->deadlines);
    return top && top->key <= now_ns ? take(gate, top->id) : NULL;
}

int64_t gate_deadline_ns(const struct gate *gate)
{
    const struct heap_entry *top = heap_top(&gate->deadlines);
    return top ? top->key : SIMTIME_NEVER;
}

void gate_clear(struct gate *gate)
{
    heap_clear(&gate->first);
    heap_clear(&gate->last);
    heap_clear(&gate->deadlines);
    mem_free(gate->requests);
    mem_free(gate->free);
}
