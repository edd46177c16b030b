/* The parallel discrete-event engine: entities spread over the ranks of a communicator exchange messages
 * through conservative time windows. The order of events is (time, destination, own wake after the messages
 * received, source, the source's own counter): it never depends on ranks, so results do not either. */
#ifndef TANDEM_ENGINE_H
#define TANDEM_ENGINE_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENGINE_WORDS 5

/* A message as its receiver sees it. */
struct event {
    int64_t time_ns;
    uint32_t destination, source;
    uint32_t type;               /* the module's own numbering */
    int64_t words[ENGINE_WORDS]; /* small payload */
    void *body;                  /* moved with the message: the receiver owns it now; NULL: none */
};

/* Bytes that belong to a body and move with it, as many as each needs. */
struct engine_tail {
    void *bytes; /* NULL: none */
    size_t count;
};

struct engine;

/* How an entity reacts. Handlers run on the rank that owns the entity and may only send and wake. */
struct engine_handler {
    void (*message)(void *state, struct engine *engine, const struct event *event);
    void (*wake)(void *state, struct engine *engine, uint32_t entity, int64_t now_ns);
};

enum engine_exchange { ENGINE_EXCHANGE_AUTO, ENGINE_EXCHANGE_FUSED, ENGINE_EXCHANGE_SPARSE };

#define ENGINE_FUSED_RANKS 64 /* most ranks for the fused exchange */

struct engine_config {
    uint32_t entities;
    const uint32_t *owners; /* rank of each entity; copied */
    int64_t lookahead_ns;   /* > 0: a message to another entity takes at least that */
    size_t body_bytes;      /* size of every body */
    size_t tail_at;         /* where in a body its struct engine_tail is; 0: no body has one */
    int exchange;           /* enum engine_exchange; auto: fused up to 8 ranks */
};

struct engine_stats {
    uint64_t messages, wakes; /* handled on this rank */
    uint64_t windows;
    uint64_t remote_messages;
    double compute_s, exchange_s, collect_s; /* wall time of this rank: in windows, between them, in hooks */
};

/* What a run does beside its events; any of the functions may be NULL. */
struct engine_hooks {
    void *context;
    /* Called on rank 0 now and then with simulated time and the sum of engine_count over all ranks. */
    void (*progress)(void *context, int64_t now_ns, uint64_t counted);
    /* How much this rank holds that could be collected: finished rows, say. Local. */
    uint64_t (*held)(void *context);
    /* Called on all ranks between two windows when one of them holds at least collect_at. Collective over the
     * engine's communicator; false, the same on all ranks, ends the run. */
    bool (*collect)(void *context);
    uint64_t collect_at;
};

/* Weighted contiguous partition: owners[i] rises from 0 to ranks - 1 so that the sums of weights are near
 * equal. Where entities are fewer than ranks, the last ranks get none. Local. */
void engine_partition(const double *weights, uint32_t entities, int ranks, uint32_t *owners);

/* Collective. The communicator stays the caller's. The caller owns the engine: engine_free. */
struct engine *engine_create(MPI_Comm comm, const struct engine_config *config);
void engine_free(struct engine *engine);

/* Whether this rank owns the entity. Local. */
bool engine_is_local(const struct engine *engine, uint32_t entity);

/* Gives an entity of this rank its handler and state. Local; before engine_run. */
void engine_attach(struct engine *engine, uint32_t entity, const struct engine_handler *handler, void *state);

/* Sends a message that arrives at time_ns; body (or NULL) moves to the receiver. Aborts when destination is
 * another entity and time_ns is earlier than now + lookahead, or when it is the source itself (use
 * engine_wake). Local. */
void engine_send(struct engine *engine, uint32_t source, uint32_t destination, int64_t time_ns, uint32_t type,
                 const int64_t words[ENGINE_WORDS], void *body);

/* Sets the one pending wake of an entity of this rank (replacing an earlier one); SIMTIME_NEVER: none. Not
 * before now. Local. */
void engine_wake(struct engine *engine, uint32_t entity, int64_t time_ns);

/* A zeroed body, and giving one back. Local. */
void *engine_body_new(struct engine *engine);
void engine_body_free(struct engine *engine, void *body);

/* Gives a body without a tail one of so many bytes, which hold anything. Local. */
void *engine_body_extend(struct engine *engine, void *body, size_t count);

/* Adds to this rank's progress counter (requests done). Local. */
void engine_count(struct engine *engine, uint64_t n);

/* Handles all events on all ranks in order until none is left. Collective. hooks may be NULL. False: a hook
 * ended the run before; the engine may not be run or freed then, its entities hold what was on its way. */
bool engine_run(struct engine *engine, const struct engine_hooks *hooks);

/* Figures of this rank so far. Local. */
struct engine_stats engine_stats(const struct engine *engine);

#endif
