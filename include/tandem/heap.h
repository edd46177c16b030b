/* An indexed 4-ary min-heap: each id (0, 1, ..) is in it at most once and its key can change. Order: key,
 * then tie; ties are unique, so that the order never depends on history. All local. */
#ifndef TANDEM_HEAP_H
#define TANDEM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/mem.h"

struct heap_entry {
    int64_t key;
    uint64_t tie;
    uint32_t id;
};

struct heap {
    struct heap_entry *entries;
    size_t count;
    uint32_t *positions; /* by id: position + 1 in entries, 0 when it is not in the heap */
    size_t capacity, position_capacity;
};

static inline bool heap_before(const struct heap_entry *a, const struct heap_entry *b)
{
    return a->key < b->key || (a->key == b->key && a->tie < b->tie);
}

static inline void heap_place(struct heap *heap, size_t position, struct heap_entry entry)
{
    heap->entries[position] = entry;
    heap->positions[entry.id] = (uint32_t)position + 1;
}

static inline void heap_up(struct heap *heap, size_t position, struct heap_entry entry)
{
    while (position > 0) {
        size_t parent = (position - 1) / 4;
        if (!heap_before(&entry, &heap->entries[parent]))
            break;
        heap_place(heap, position, heap->entries[parent]);
        position = parent;
    }
    heap_place(heap, position, entry);
}

static inline void heap_down(struct heap *heap, size_t position, struct heap_entry entry)
{
    for (;;) {
        size_t child = position * 4 + 1;
        if (child >= heap->count)
            break;
        size_t end = child + 4 < heap->count ? child + 4 : heap->count;
        size_t least = child;
        for (size_t i = child + 1; i < end; i++)
            if (heap_before(&heap->entries[i], &heap->entries[least]))
                least = i;
        if (!heap_before(&heap->entries[least], &entry))
            break;
        heap_place(heap, position, heap->entries[least]);
        position = least;
    }
    heap_place(heap, position, entry);
}

static inline bool heap_contains(const struct heap *heap, uint32_t id)
{
    return id < heap->position_capacity && heap->positions[id] != 0;
}

/* The least entry, NULL while empty. */
static inline const struct heap_entry *heap_top(const struct heap *heap)
{
    return heap->count > 0 ? &heap->entries[0] : NULL;
}

/* Puts an id in, or changes its key and tie. */
static inline void heap_set(struct heap *heap, uint32_t id, int64_t key, uint64_t tie)
{
    struct heap_entry entry = {key, tie, id};
    if (heap_contains(heap, id)) {
        size_t position = heap->positions[id] - 1;
        if (heap_before(&entry, &heap->entries[position]))
            heap_up(heap, position, entry);
        else
            heap_down(heap, position, entry);
        return;
    }
    if (id >= heap->position_capacity)
        heap->positions =
            mem_grow(heap->positions, &heap->position_capacity, (size_t)id + 1, sizeof(uint32_t));
    if (heap->count == heap->capacity)
        heap->entries = mem_grow(heap->entries, &heap->capacity, heap->count + 1, sizeof(struct heap_entry));
    heap->count++;
    heap_up(heap, heap->count - 1, entry);
}

/* Takes an id out; nothing happens when it is not in the heap. */
static inline void heap_remove(struct heap *heap, uint32_t id)
{
    if (!heap_contains(heap, id))
        return;
    size_t position = heap->positions[id] - 1;
    heap->positions[id] = 0;
    heap->count--;
    if (position == heap->count)
        return;
    struct heap_entry last = heap->entries[heap->count];
    if (position > 0 && heap_before(&last, &heap->entries[(position - 1) / 4]))
        heap_up(heap, position, last);
    else
        heap_down(heap, position, last);
}

static inline void heap_clear(struct heap *heap)
{
    mem_free(heap->entries);
    mem_free(heap->positions);
    *heap = (struct heap){0};
}

#endif
