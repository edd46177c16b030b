/* Internals of the engine: the event queue (queue.c) and the exchange between ranks (exchange.c). */
#ifndef TANDEM_ENGINE_INTERNAL_H
#define TANDEM_ENGINE_INTERNAL_H

#include "tandem/engine.h"
#include "tandem/heap.h"

/* Pending messages: a 4-ary heap of keys over a slab of events, so that sifting moves 32 bytes instead of 64.
 */
struct queue_key {
    int64_t time_ns;
    uint64_t route; /* destination << 32 | source */
    uint64_t count; /* the source's own counter */
    uint32_t slot;  /* in the slab */
};

struct queue {
    struct queue_key *keys;
    size_t count, capacity;
    struct event *slab;
    size_t slab_count, slab_capacity;
    uint32_t *free_slots;
    size_t free_count, free_capacity;
};

void queue_push(struct queue *queue, const struct event *event, uint64_t count);
/* The first key, NULL while empty. */
const struct queue_key *queue_top(const struct queue *queue);
struct event queue_pop(struct queue *queue);
void queue_clear(struct queue *queue);

/* Growing bytes for one peer. */
struct buffer {
    char *bytes;
    size_t count, capacity;
};

/* First part of every fused message: minimum, progress, what is held, and the number of bytes that follow. */
struct exchange_header {
    int64_t min_ns;
    uint64_t counted;
    uint64_t held;
    uint64_t bytes;
};

#define EXCHANGE_EAGER_BYTES 8192

struct exchange {
    bool fused;
    struct buffer *out; /* one a rank: events for it */
    struct buffer in;
    char *eager_out, *eager_in; /* fused: EXCHANGE_EAGER_BYTES a rank each */
    MPI_Request *requests;
    int *counts;         /* sparse: messages to each rank */
    int64_t min_sent_ns; /* earliest event sent since the last exchange */
};

struct slot {
    struct engine_handler handler;
    void *state;
    uint64_t sent; /* the entity's own counter */
};

struct engine {
    MPI_Comm comm; /* own duplicate: no message of the caller's can mix in */
    int rank, ranks;
    struct engine_config config;
    uint32_t *owners;
    struct slot *slots; /* by entity; used for local ones */
    struct queue queue;
    struct heap wakes; /* key: time, tie and id: entity */
    struct exchange exchange;
    struct engine_hooks hooks;
    void *free_bodies; /* singly linked through their first bytes */
    void **body_chunks;
    size_t body_chunk_count, body_chunk_capacity, live_bodies;
    int64_t now_ns;
    uint64_t counted, total_counted;
    struct engine_stats stats;
};

void exchange_init(struct engine *engine);
void exchange_clear(struct engine *engine);

/* Adds an event for another rank; its body is copied and given back. */
void exchange_add(struct engine *engine, int rank, const struct event *event, uint64_t count);

/* Sends what was added, receives what others sent, and returns the earliest time of any event on any rank
 * (SIMTIME_NEVER: none is left). *held becomes the most of all ranks. Collective. */
int64_t exchange_round(struct engine *engine, uint64_t *held);

/* Earliest pending message or wake of this rank. */
int64_t engine_next_ns(const struct engine *engine);

#endif
