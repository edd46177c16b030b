/* A request on its way through the cluster: the body of the messages that hand it on. */
#ifndef TANDEM_REQUEST_H
#define TANDEM_REQUEST_H

#include <stdint.h>

#include "tandem/engine.h"
#include "tandem/handoff.h"
#include "tandem/row.h"

struct request {
    struct row row; /* filled stage by stage; the finished row goes to metrics */
    int64_t prompt_tokens;
    int64_t output_tokens; /* hidden from policies (scheduler.h shows no way to it) */
    int64_t max_tokens;    /* visible */
    int64_t generated_tokens;
    int64_t stage_ns;        /* when the current stage began */
    int64_t stalled_ns;      /* stalls inside the current stage */
    int64_t last_token_ns;   /* time of the last visible token */
    int64_t deadline_ns;     /* to be scheduled for the first time; SIMTIME_NEVER: none */
    int64_t context_tokens;  /* that a prefill instance computes: the prompt and what a decode instance, which
                              * preempted it, had generated */
    int64_t computed_tokens; /* most of them that were computed before */
    int64_t sent_tokens;     /* of them that flows were opened for */
    int64_t flows;           /* of the move at hand */
    int64_t flow_length_ns; /* of an iteration whose layers a flow sends as they come; in what goes with it */
    int64_t flow_limit_ns;  /* when that ends */
    struct wire_end other_end; /* of the transfer at hand, for the instance that opens the flow */
    int64_t prefill_place;     /* where the prefill instance holds its blocks */
    int64_t decode_place;      /* where blocks are reserved for it, before prefill */
    uint32_t user;             /* where clients wait: which sent it */
    struct engine_tail hashes; /* of its blocks, where some pool shares them: see workload.h */
};

static inline const uint64_t *request_hashes(const struct request *request)
{
    return request->hashes.bytes;
}

static inline size_t request_hash_count(const struct request *request)
{
    return request->hashes.count / sizeof(uint64_t);
}

/* Message types. */
enum serving_message {
    MESSAGE_DISPATCH =
        1,           /* router (or decode, which has reserved) -> instance: body is a request to prefill */
    MESSAGE_HANDOFF, /* (prefill ->) router -> decode: body is a request to reserve blocks for */
    MESSAGE_RETURN,  /* decode -> router: body is a request to be computed again by a prefill instance */
    MESSAGE_FLOW,    /* decode -> fabric: words of enum flow_word */
    MESSAGE_PUSH,    /* prefill -> fabric: the same; body, where layers are sent: two times, for the fabric */
    MESSAGE_PREFILLED, /* prefill -> decode that has reserved: word 0 is the place, body the request */
    MESSAGE_KV_DONE,   /* fabric -> both ends: words of enum kv_done_word */
    MESSAGE_REPORT,    /* instance -> router: words of enum report_word; body, where caches changed: its tail
                        * is struct prefix_change, in order */
    MESSAGE_ENDED,     /* instance -> router: a waiting client's request ended; word 0 is the client, word 1
                        * whether it was refused */
    MESSAGE_STAY,    /* router -> prefill instance: word 0 is the place, body a request that decodes there */
    MESSAGE_SWITCH,  /* router -> instance: it changes its role; word 0: dispatches that it gets before */
    MESSAGE_SWITCHED /* instance -> router: it has */
};

/* A place in an instance: member << 32 | slot. */
enum flow_word { FLOW_PEER, FLOW_BYTES, FLOW_PREFILL_PLACE, FLOW_DECODE_PLACE, FLOW_LATENCY_NS };
enum kv_done_word { KV_DONE_PLACE, KV_DONE_BYTES, KV_DONE_CONGESTION_NS };
/* Waiting: queued, offered or on their way in. */
enum report_word {
    REPORT_QUEUED_TOKENS,
    REPORT_RUNNING,
    REPORT_WAITING,
    REPORT_FREE_BLOCKS,
    REPORT_RECEIVED
};

/* Entities by number: the router, the fabric, then the instances in order of pools. */
enum { ENTITY_ROUTER = 0, ENTITY_FABRIC = 1, ENTITY_FIRST_INSTANCE = 2 };

#endif
