/* Slots of sequences, rings of slots, and the running list. */
#include "internal.h"

void ring_grow(struct ring *ring)
{
    uint32_t capacity = ring->capacity ? 2 * ring->capacity : 8;
    uint32_t *slots = mem_array(capacity, sizeof(uint32_t));
    for (uint32_t i = 0; i < ring->count; i++)
        slots[i] = ring->slots[(ring->head + i) & (ring->capacity - 1)];
    mem_free(ring->slots);
    ring->slots = slots;
    ring->capacity = capacity;
    ring->head = 0;
}

void ring_push_front(struct ring *ring, uint32_t slot)
{
    if (ring->count == ring->capacity)
        ring_grow(ring);
    ring->head = (ring->head + ring->capacity - 1) & (ring->capacity - 1);
    ring->slots[ring->head] = slot;
    ring->count++;
}

uint32_t sequence_new(struct instance *instance, struct request *request)
{
    uint32_t slot = instance->free_slots;
    if (slot != NO_SLOT) {
        instance->free_slots = instance->sequences[slot].next;
    } else {
        instance->sequences = mem_grow(instance->sequences, &instance->sequence_capacity,
                                       instance->sequence_count + 1, sizeof(struct sequence));
        slot = (uint32_t)instance->sequence_count++;
    }
    instance->sequences[slot] =
        (struct sequence){.request = request,
                          .state = SEQUENCE_WAITING,
                          .in_window = metrics_in_window(instance->metrics, request->row.arrival_ns),
                          .previous = NO_SLOT,
                          .next = NO_SLOT,
                          .known_tokens = request->prompt_tokens + request->generated_tokens,
                          .highest_computed_tokens = request->computed_tokens,
                          .stall_start_ns = -1,
                          .fresh_index = NO_SLOT};
    return slot;
}

void sequence_free(struct instance *instance, uint32_t slot)
{
    struct sequence *sequence = &instance->sequences[slot];
    CHECK(sequence->state != SEQUENCE_FREE, "slot %u is free already", slot);
    sequence->state = SEQUENCE_FREE;
    sequence->next = instance->free_slots;
    instance->free_slots = slot;
}

void running_append(struct instance *instance, uint32_t slot)
{
    struct sequence *sequence = &instance->sequences[slot];
    sequence->admission = instance->admissions++;
    sequence->previous = instance->last_running;
    sequence->next = NO_SLOT;
    if (instance->last_running != NO_SLOT)
        instance->sequences[instance->last_running].next = slot;
    else
        instance->first_running = slot;
    instance->last_running = slot;
    instance->running++;
    instance->report_due = true;
}

void running_remove(struct instance *instance, uint32_t slot)
{
    struct sequence *sequence = &instance->sequences[slot];
    if (sequence->previous != NO_SLOT)
        instance->sequences[sequence->previous].next = sequence->next;
    else
        instance->first_running = sequence->next;
    if (sequence->next != NO_SLOT)
        instance->sequences[sequence->next].previous = sequence->previous;
    else
        instance->last_running = sequence->previous;
    instance->running--;
    instance->report_due = true;
}

void partial_append(struct instance *instance, uint32_t slot)
{
    if (instance->partial_count == instance->partial_capacity)
        instance->partials = mem_grow(instance->partials, &instance->partial_capacity,
                                      instance->partial_count + 1, sizeof(uint32_t));
    instance->partials[instance->partial_count++] = slot;
}

void partial_remove(struct instance *instance, uint32_t slot)
{
    size_t i = 0;
    while (i < instance->partial_count && instance->partials[i] != slot)
        i++;
    CHECK(i < instance->partial_count, "slot %u is no partial prefill", slot);
    for (; i + 1 < instance->partial_count; i++)
        instance->partials[i] = instance->partials[i + 1];
    instance->partial_count--;
}
