/* The state of an instance. A replica (replica.h) has members, each a `struct instance`: one batch with its
 * queues, its KV blocks and its scheduler. Most replicas have one member, which then is the whole instance.
 *
 * A sequence is a request inside one member; it is in one of three places: a queue, the running list (partial
 * prefill or decode batch), or on its way (moving in, held for moving out). */
#ifndef TANDEM_SERVING_STATE_H
#define TANDEM_SERVING_STATE_H

#include "tandem/check.h"
#include "tandem/heap.h"
#include "tandem/instance.h"
#include "tandem/kv.h"
#include "tandem/meter.h"
#include "tandem/replica.h"
#include "tandem/request.h"
#include "tandem/simtime.h"

#define NO_SLOT UINT32_MAX

enum sequence_state {
    SEQUENCE_FREE,
    SEQUENCE_WAITING, /* in the waiting queue: not yet admitted, or preempted */
    SEQUENCE_SWAPPED, /* preempted, its blocks in the host's memory */
    SEQUENCE_PREFILL, /* running, prompt not complete */
    SEQUENCE_DECODE,  /* running, in the decode batch */
    SEQUENCE_PARKED,  /* running, a decode that this iteration had no budget for */
    SEQUENCE_HELD,    /* prefill instance: blocks kept until the transfer ends */
    SEQUENCE_OFFERED, /* decode instance: handed off, awaiting blocks */
    SEQUENCE_MOVING,  /* decode instance: blocks reserved, KV on its way */
    SEQUENCE_GONE,    /* decode instance: preempted, went back to prefill; free after the boundary */
    SEQUENCE_READY /* decode instance: KV has come (prefill instance: it stays), joins at the next boundary */
};

struct sequence {
    struct request *request; /* NULL while held: it moved on */
    uint8_t state;           /* enum sequence_state */
    bool growing;            /* counted in the batch's residues: its reserved blocks are used up */
    bool in_window;          /* its request arrived inside the window */
    bool settled;            /* prefill instance: it decodes here */
    uint32_t previous, next; /* running list, in admission order; next also links free slots */
    uint32_t fresh_index;    /* position in fresh, NO_SLOT when it has done a step */
    uint32_t flows;          /* prefill instance: that have not ended; decode instance: that have */
    int64_t congestion_ns;   /* of its flows that have ended */
    uint64_t admission;      /* rises with every admission to the running list */
    int64_t blocks;          /* held; while in the batch: held when it joined */
    /* In the decode batch: */
    int64_t cached_tokens;    /* when it joined (naive mode: now) */
    int64_t generated_tokens; /* likewise */
    int64_t join_step;        /* steps that the batch had done when it joined */
    /* Before: */
    int64_t known_tokens;    /* prompt + generated: what has to be in the cache to go on, plus one token */
    int64_t computed_tokens; /* of known, while in prefill */
    int64_t chunk_tokens;    /* of the iteration in progress */
    int64_t highest_computed_tokens; /* ever: below it, work is repeated */
    int64_t stall_start_ns;          /* while preempted; else -1 */
    int64_t outside_tokens;          /* cached while it is not in the batch, as cache_outside was told */
    int64_t spared_blocks; /* while it waits: of its hits, those that others use, which take no room */
};

/* A sequence's leading blocks that the cache knows by name; PREFIX_NONE: one that it does not. */
struct chain {
    uint32_t *blocks;
    size_t count, capacity;
    size_t named;
};

/* Blocks that requests share (kv.prefix_caching). */
struct caching {
    struct prefix *prefix; /* owned; NULL: they share none */
    struct chain *chains;  /* by slot */
    size_t chain_count, chain_capacity;
    int64_t loaded_blocks[PREFIX_TIERS]; /* of hashes, since an iteration began */
    int64_t shared_tokens; /* that sequences count beyond the first of each block; taken off outside_tokens */
};

/* A queue of slots with both ends open. */
struct ring {
    uint32_t *slots;
    uint32_t head, count, capacity; /* capacity: 0 or a power of two */
};

void ring_grow(struct ring *ring); /* it is full */
void ring_push_front(struct ring *ring, uint32_t slot);
static inline void ring_push_back(struct ring *ring, uint32_t slot)
{
    if (ring->count == ring->capacity)
        ring_grow(ring);
    ring->slots[(ring->head + ring->count++) & (ring->capacity - 1)] = slot;
}
static inline uint32_t ring_front(const struct ring *ring)
{
    return ring->slots[ring->head];
}
static inline uint32_t ring_pop_front(struct ring *ring)
{
    uint32_t slot = ring_front(ring);
    ring->head = (ring->head + 1) & (ring->capacity - 1);
    ring->count--;
    return slot;
}

/* Longest gap since a step: a stack whose gaps fall, so that the first entry at or after a step is the
 * longest since. */
struct gap_entry {
    int64_t step, gap_ns;
};

/* The decode batch, as aggregates: a step costs the same for 1 or 1,000 sequences. */
struct batch {
    int64_t count;
    int64_t window_count;  /* of them: requests that arrived inside the window */
    int64_t cached_tokens; /* sum over the batch */
    int64_t step;          /* steps done */
    int64_t last_step_ns;
    /* Models with sliding windows of w tokens: a sequence's cached tokens count up to w - 1, the next makes
     * w. */
    int64_t sliding_tokens; /* sum over the batch */
    int64_t below_window;   /* sequences that count fewer: the sum rises by as many each step */
    int64_t *residues;      /* by (cached - step) mod block size: growing sequences; block size of them */
    struct heap growth;     /* key: step from which a sequence needs blocks beyond its reserved ones: where
                             * they have a place, at once, for the next step; else one in each B steps */
    struct gap_entry *gaps;
    size_t gap_count;
    size_t fresh_count;
    struct heap ends; /* key: step at which a sequence has all its tokens; tie: admission */
    uint32_t *fresh;  /* slots that joined since the last step */
    size_t fresh_capacity, gap_capacity;
    int64_t squares;     /* sum of the squares of cached tokens, where there is no cache */
    struct heap windows; /* sequences below the window; key: step from which one counts w - 1 */
    struct heap longest; /* where the timer asks for the longest context; key: step - cached */
};

/* The batch of one iteration while it is made and while it runs. */
struct schedule {
    struct instance *instance;
    int64_t budget_tokens; /* left */
    int64_t prefill_tokens;
    int64_t preempted, returned; /* returned: swapped sequences that came back */
    size_t item_count, parked_count;
    bool decode;         /* the decode batch takes part */
    bool handed;         /* hand-offs got blocks before prompts that wait */
    bool grown;          /* sequences were moved to longer places */
    bool padding;        /* a static batch is made: places come when all of it is known */
    bool short_of_room;  /* a running prompt sits out: its activations do not fit */
    int64_t used_blocks; /* when it was begun */
    int64_t decodes;     /* planned one by one so far */
    uint32_t *items;     /* slots with prefill chunks */
    uint32_t *parked;    /* decodes without budget */
    size_t item_capacity, parked_capacity;
    struct activation_load prefill_load, decode_load; /* planned; where activations count */
};

/* The static batch in progress, whose slots are of one length. */
struct padded {
    int64_t blocks;        /* of each */
    int64_t prompt_tokens; /* the longest */
    int64_t origin_tokens; /* cached tokens of each, less the steps of the decode batch */
};

/* Head-of-line blocking: requests wait while there are seats. A request's row holds minus the counter while
 * it waits. */
struct blocked {
    int64_t total_ns; /* up to since_ns, while the queue is blocked */
    int64_t since_ns;
    uint32_t head; /* the one that does not fit, which is in nobody's way; NO_SLOT: it is none of them */
};

/* An instance that changes its role: it ends what it has, then takes its time. */
enum switch_state { SWITCH_NONE, SWITCH_DRAINS, SWITCH_CHANGES };
struct role_change {
    int64_t dispatches; /* that it has to have received */
    int64_t since_ns;   /* it drains, or when the change is done */
    int64_t away_ns;    /* since when it is in a role that is not its pool's; where it is */
};

/* What every event looks at comes first, and in lines of the CPU's caches (numbers: where one begins): of
 * thousands of instances few are in the nearer ones, and each line that an event touches has to come. */
struct instance {
    _Alignas(MEM_LINE_BYTES) const struct instance_config *config;
    int64_t accounted_ns; /* usage is accounted up to here */
    int64_t iteration_ns, iteration_end_ns;
    int64_t eventful_step; /* of the batch: the end of this step is the next eventful boundary */
    int64_t next_report_ns;
    int64_t due_ns; /* an idle one has a boundary then, SIMTIME_NEVER: when something changes */
    uint32_t entity;
    uint8_t phase;     /* enum phase of the iteration in progress, its own or that of its lanes; else idle */
    bool busy;         /* an iteration is in progress */
    bool boundary_due; /* something changed while idle */
    bool report_due;
    /* 64: what a gauge shows */
    uint8_t switching; /* enum switch_state */
    bool unplaced;   /* at the last boundary the head of the queue found no place among enough free blocks */
    bool stopped;    /* admission, until watermark_high */
    bool is_blocked; /* the queue */
    int64_t running; /* length of the running list */
    int64_t padded_slots;   /* of the static batch in progress, those that have ended too; 0: there is none */
    int64_t waiting_count;  /* to prefill, or to recompute: in waiting and sorted */
    int64_t moving;         /* reserved, until they join */
    int64_t outside_tokens; /* cached of sequences that are not in the batch */
    int64_t peak_tokens;    /* most tokens cached at once */
    uint64_t expert_bytes;  /* weights of experts that the iteration in progress reads, as expected */
    /* 128 */
    struct ring offered;   /* decode role: handed off, first come first served */
    struct ring swapped;   /* preempted, their blocks with the host */
    int64_t queued_tokens; /* known tokens not yet computed, for load reports */
    int64_t received;      /* dispatches or hand-offs, for load reports */
    /* 192 */
    struct batch batch;
    struct timer_decode
        decode;            /* where the next eventful boundary is not the end of the iteration in progress */
    int64_t copied_blocks; /* with the host, either way, since an iteration began */
    /* 512 */
    struct kv kv;
    /* 704 */
    struct engine *engine;
    struct metrics *metrics;
    struct sequence *sequences;
    uint32_t member;     /* of its replica */
    uint32_t free_slots; /* head of the list of free sequences */
    uint32_t first_running, last_running;
    uint64_t admissions;
    uint32_t *partials; /* running sequences in prefill, in admission order */
    size_t partial_count;
    /* 768 */
    struct ring ready;       /* decode role: KV has come; prefill role: they stay */
    struct ring waiting;     /* all, or with an order the preempted ones: they come first */
    int64_t held;            /* prefill role: sequences whose blocks are kept for a transfer */
    uint64_t received_bytes; /* by transfers */
    /* 832 */
    int64_t begun_ns; /* the iteration in progress */
    /* Interference: by how much prefills lengthen the iteration in progress for the decode batch, and those
     * before it. A request's row holds minus the sum while it is in the batch. */
    int64_t lengthened_ns, interference_ns;
    uint32_t *ended; /* slots whose last token came in this step */
    size_t ended_count;
    struct blocked blocked;
    /* 896 */
    struct schedule schedule;
    size_t partial_capacity, ended_capacity, sequence_count, sequence_capacity;
    struct caching caching;
    int64_t swapped_blocks; /* with the host */
    /* 1216: the meter's sums come first. What few events look at comes behind. */
    _Alignas(MEM_LINE_BYTES) struct meter meter;
    struct ring gone;         /* preempted in this boundary, gone back to prefill */
    struct heap sorted, ages; /* waiting ones, with an order or deadlines: by it, and as they came */
    struct heap deadlines;    /* of those that were never scheduled */
    struct role_change change;
    struct padded padded;
};

/* Whether a request waits that has a deadline. */
static inline bool deadlines_any(const struct instance *instance)
{
    return instance->config->deadlines && instance->deadlines.count > 0;
}

#endif
