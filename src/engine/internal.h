/* Internals of the engine: the event queue (queue.c) and the exchange between ranks (exchange.c). */
#ifndef TANDEM_ENGINE_INTERNAL_H
#define TANDEM_ENGINE_INTERNAL_H

#include "tandem/engine.h"
#include "tandem/tournament.h"

#define NO_ENTITY UINT32_MAX

#define ENGINE_HANDLERS 16 /* kinds of entities at most */

#define QUEUE_LANES 8 /* ranks beyond share them */

#define QUEUE_AHEAD 3 /* messages between the one that is fetched for and the first */

/* A pending message, with the source's own counter. */
struct queue_item {
    struct event event;
    uint64_t count;
};

/* Messages in order. */
struct queue_lane {
    struct queue_item *items;
    size_t head, count, capacity; /* capacity: 0 or a power of two */
};

struct queue {
    struct queue_lane lanes[QUEUE_LANES]; /* by rank of the sender */
    int lane_count;                       /* that were used */
    int first_lane;                       /* of what queue_top gave; -1: it was the heap's */
    struct queue_item *heap;              /* 4-ary: what came out of order */
    size_t heap_count, heap_capacity;
    const struct queue_item *top; /* while known */
    bool top_known;
};

void queue_push(struct queue *queue, int sender_rank, const struct queue_item *item);
/* The same, nearly always: the place of a message that is later than all of its sender's, to be filled at
 * once. NULL: it has to be pushed. */
static inline struct queue_item *queue_append(struct queue *queue, int sender_rank, int64_t time_ns)
{
    struct queue_lane *lane = &queue->lanes[(unsigned)sender_rank % QUEUE_LANES];
    size_t mask = lane->capacity - 1;
    if (lane->count == 0 || lane->count == lane->capacity ||
        lane->items[(lane->head + lane->count - 1) & mask].event.time_ns >= time_ns)
        return NULL;
    return &lane->items[(lane->head + lane->count++) & mask]; /* the first of all stays the first */
}
const struct queue_item *queue_find_top(struct queue *queue);
/* The first message, NULL while empty; valid until the next call of another function here. */
static inline const struct queue_item *queue_top(struct queue *queue)
{
    return queue->top_known ? queue->top : queue_find_top(queue);
}
/* Takes out what queue_top gave just before. */
void queue_drop_top(struct queue *queue);
/* A message of the lane that gave the last one, which comes soon, to fetch what its handling will need; NULL:
 * none known. */
const struct queue_item *queue_ahead(const struct queue *queue);
void queue_clear(struct queue *queue);

/* Tails have TAIL_BYTES << class bytes. */
#define TAIL_BYTES   64
#define TAIL_CLASSES 24

/* Growing bytes for one peer. */
struct buffer {
    char *bytes;
    size_t count, capacity;
};

/* At the start of every message between ranks; used by fused ones: minimum, progress, what is held, and the
 * bytes of the whole message. */
struct exchange_header {
    int64_t min_ns;
    uint64_t counted;
    uint64_t held;
    uint64_t bytes;
};

#define EXCHANGE_EAGER_BYTES 32768 /* most of a fused message's first part */

struct exchange {
    bool fused;
    struct buffer *out; /* one a rank: header and events for it */
    struct buffer in;
    char *eager_in; /* fused: EXCHANGE_EAGER_BYTES a rank */
    MPI_Request *requests;
    int *counts;         /* sparse: messages to each rank */
    int64_t min_sent_ns; /* earliest event sent since the last exchange */
};

struct slot {
    const struct engine_handler *handler; /* in the engine's list */
    void *state;
    uint64_t sent;   /* the entity's own counter */
    int64_t wake_ns; /* the one pending wake */
};

struct engine {
    MPI_Comm comm; /* own duplicate: no message of the caller's can mix in */
    int rank, ranks;
    struct engine_config config;
    uint32_t *owners;
    struct slot *slots; /* by entity; used for local ones */
    struct engine_handler handlers[ENGINE_HANDLERS];
    size_t handler_count;
    struct queue queue;
    struct queue_item aside; /* a message that cannot be appended, while it is sent */
    struct tournament
        wakes;        /* of all entities but the one that is handled: settled when its handler returns */
    uint32_t handled; /* that one; NO_ENTITY between events */
    struct exchange exchange;
    struct engine_hooks hooks;
    void *free_bodies; /* singly linked through their first bytes */
    void **body_chunks;
    size_t body_chunk_count, body_chunk_capacity, live_bodies;
    void *free_tails[TAIL_CLASSES]; /* by size, likewise */
    int64_t now_ns;
    uint64_t counted, total_counted;
    struct engine_stats stats;
};

/* A body as it was left. */
void *body_take(struct engine *engine);

/* Its tail; NULL where bodies have none. */
static inline struct engine_tail *body_tail(const struct engine *engine, void *body)
{
    return engine->config.tail_at > 0 ? (struct engine_tail *)((char *)body + engine->config.tail_at) : NULL;
}

void exchange_init(struct engine *engine);
void exchange_clear(struct engine *engine);

/* Adds an event for another rank; its body is copied and given back. */
void exchange_add(struct engine *engine, int rank, const struct queue_item *item);

/* Sends what was added, receives what others sent, and returns the earliest time of any event on any rank
 * (SIMTIME_NEVER: none is left). *held becomes the most of all ranks. Collective. */
int64_t exchange_round(struct engine *engine, uint64_t *held);

/* Earliest pending message or wake of this rank. */
int64_t engine_next_ns(struct engine *engine);

#endif
