/* Internals of an instance. A replica (replica.h) has members, each a `struct instance`: one batch with its
 * queues, its KV blocks and its scheduler. Most replicas have one member, which then is the whole instance.
 *
 * A sequence is a request inside one member; it is in one of three places: a queue, the running list (partial
 * prefill or decode batch), or on its way (moving in, held for moving out). */
#ifndef TANDEM_SERVING_INTERNAL_H
#define TANDEM_SERVING_INTERNAL_H

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

/* sequence.c: slots, lists. */
uint32_t sequence_new(struct instance *instance, struct request *request);
void sequence_free(struct instance *instance, uint32_t slot);
void running_append(struct instance *instance, uint32_t slot);
void running_remove(struct instance *instance, uint32_t slot);
void partial_append(struct instance *instance, uint32_t slot);
void partial_remove(struct instance *instance, uint32_t slot);

/* batch.c: the decode batch. */
void batch_init(struct instance *instance);
void batch_clear(struct instance *instance);
/* The sequence (running, not in the batch) joins with its cached_tokens, blocks and the request's generated
 * tokens. */
void batch_join(struct instance *instance, uint32_t slot);
/* It leaves; cached_tokens, blocks and the request's figures are brought up to date. */
void batch_leave(struct instance *instance, uint32_t slot);
/* Blocks that the next step needs, over the batch (without places: else 0) and of one sequence: one more, or
 * those of its next place. */
int64_t batch_blocks_needed(struct instance *instance);
int64_t batch_sequence_blocks_needed(const struct instance *instance, uint32_t slot);
/* Gives a sequence what the line above says; there is room. */
void batch_extend(struct instance *instance, uint32_t slot, int64_t blocks);
/* With places: moves all sequences that have outgrown theirs, in order of admission. Returns false at the
 * first that finds no room. */
bool batch_extend_all(struct instance *instance);
/* The longest context of the next step, its new token included; 0 where nobody asks for it. And that of one
 * sequence. */
int64_t batch_longest_context(const struct instance *instance);
int64_t batch_sequence_context(const struct instance *instance, uint32_t slot);
/* One token for each sequence, at the end of an iteration; ended sequences are listed in admission order. */
void batch_step(struct instance *instance, int64_t now_ns);

/* The step at which the next sequence begins to need blocks beyond its reserved ones, INT64_MAX for none. */
static inline int64_t batch_growth_step(const struct instance *instance)
{
    const struct heap_entry *top = heap_top(&instance->batch.growth);
    return top ? top->key : INT64_MAX;
}

/* The step at which the next sequence outgrows the window, INT64_MAX for none. */
static inline int64_t batch_window_step(const struct instance *instance)
{
    return instance->batch.below_window > 0 ? heap_top(&instance->batch.windows)->key : INT64_MAX;
}

/* A gap of the step just done, for the longest of each sequence. */
static inline void batch_push_gap(struct batch *batch, int64_t gap_ns)
{
    while (batch->gap_count > 0 && batch->gaps[batch->gap_count - 1].gap_ns <= gap_ns)
        batch->gap_count--;
    if (batch->gap_count == batch->gap_capacity)
        batch->gaps =
            mem_grow(batch->gaps, &batch->gap_capacity, batch->gap_count + 1, sizeof(struct gap_entry));
    batch->gaps[batch->gap_count++] = (struct gap_entry){batch->step, gap_ns};
}

/* leap.c: iterations whose ends are uneventful */
/* An iteration was started: which step ends at the next eventful boundary. */
void leap_predict(struct instance *instance);
/* When to wake a busy instance: at the next eventful boundary, or before it. */
int64_t leap_wake_ns(const struct instance *instance);
/* Passes all uneventful boundaries up to a time, before anything else happens then. */
void leap_to(struct instance *instance, int64_t until_ns);

/* Whether there is something to compute. */
static inline bool schedule_any(const struct schedule *schedule)
{
    return schedule->decode || schedule->item_count > 0;
}

/* A sequence that is not in the batch has so many tokens in the cache. */
static inline void cache_outside(struct instance *instance, uint32_t slot, int64_t tokens)
{
    struct sequence *sequence = &instance->sequences[slot];
    instance->outside_tokens += tokens - sequence->outside_tokens;
    sequence->outside_tokens = tokens;
}

/* Tokens that are in the cache. */
static inline int64_t tokens_cached(const struct instance *instance)
{
    return instance->config->no_cache ? 0 : instance->outside_tokens + instance->batch.cached_tokens;
}

/* One sequence that is to be computed: a decode (one token), or a chunk of so many tokens; context: with it.
 */
struct room_item {
    int64_t tokens, context;
    bool decodes;
};

/* waiting.c: the queue */
/* Blocks that admission leaves free now: the watermark. */
int64_t spare_blocks(const struct instance *instance);
/* A new request, now; a preempted one. */
void waiting_add(struct instance *instance, uint32_t slot, int64_t now_ns);
void waiting_return(struct instance *instance, uint32_t slot);
/* Refuses those whose deadlines have come, at a boundary. */
void waiting_expire(struct instance *instance, int64_t now_ns);
/* Of at least one: the next to be admitted; takes it out; since when the oldest waits. */
static inline uint32_t waiting_first(const struct instance *instance)
{
    return instance->waiting.count > 0 ? ring_front(&instance->waiting) : heap_top(&instance->sorted)->id;
}
void waiting_take_first(struct instance *instance);
int64_t waiting_oldest_ns(const struct instance *instance);
void waiting_clear(struct instance *instance);
/* Whether admission leaves enough blocks free if a request gets so many, and there is room for the item; if
 * not, the others wait behind it. */
bool admission_fits(const struct schedule *schedule, uint32_t slot, int64_t blocks, struct room_item item);
/* Blocks ran out: no admission until watermark_high. */
void admission_stop(struct instance *instance);
/* From the boundary at hand to the next the queue is blocked by its head. */
void blocked_begin(struct instance *instance, uint32_t head);
/* Adds the time since the counter was last brought up to date: it is blocked. */
void blocked_count(struct instance *instance, int64_t now_ns);
static inline void blocked_end(struct instance *instance, int64_t now_ns)
{
    if (instance->is_blocked)
        blocked_count(instance, now_ns);
    instance->is_blocked = false;
}
/* A request comes to wait where it may be blocked, or waits no longer, at a boundary. */
static inline void blocked_join(struct instance *instance, struct request *request, int64_t now_ns)
{
    if (instance->is_blocked)
        blocked_count(instance, now_ns);
    request->row.blocked_ns -= instance->blocked.total_ns;
}
static inline void blocked_leave(const struct instance *instance, struct request *request)
{
    request->row.blocked_ns += instance->blocked.total_ns;
}

/* padded.c: static batches */
/* What the timer has to know of one, and what it computes, beyond what its requests need. */
void padded_work(const struct instance *instance, struct work *work);
void padded_effort(const struct instance *instance, struct effort *effort);
/* A request ended, and runs no more. Whether its blocks stay, until the whole batch has ended. */
bool padded_ends(struct instance *instance);

/* schedule.c */
void schedule_begin(struct schedule *schedule);
/* The first of the queue runs from now on, with a chunk. */
void schedule_admit(struct schedule *schedule, uint32_t slot, int64_t chunk);
/* Next chunk of a partial prefill within a budget; adds it to the iteration with the blocks that it needs. */
int64_t schedule_chunk(const struct instance *instance, const struct sequence *sequence, int64_t budget);
void schedule_add_chunk(struct schedule *schedule, uint32_t slot, int64_t chunk);

/* room.c: room for activations beside the cache. Where they are set aside, nothing is counted. */
static inline bool room_counts(const struct instance *instance)
{
    return instance->config->activations.kind != ACTIVATIONS_ENGINE;
}
/* Where activations count: whether this fits with so many blocks beside what is planned; these chunks beside
 * the whole decode batch. */
bool room_fits(const struct schedule *schedule, int64_t blocks, struct room_item item);
bool room_fits_all(const struct schedule *schedule, int64_t blocks, const struct activation_load *chunks);
/* So many padded slots with so many blocks each, as they prefill and at the end, alone. */
bool room_fits_padded(const struct instance *instance, int64_t slots, int64_t blocks, int64_t prompt_tokens,
                      int64_t longest_tokens);
/* It is planned; the whole decode batch is. */
void room_add(struct schedule *schedule, struct room_item item);
void room_add_batch(struct schedule *schedule);
/* Aborts where what is planned does not fit, or the batch is not what was planned. */
void room_check(const struct schedule *schedule);
/* They fit for so many steps of the decode batch beyond the one in progress. */
int64_t room_steps(const struct instance *instance);

/* Whether so many blocks are free, and this fits. */
static inline bool room_for(const struct schedule *schedule, int64_t blocks, struct room_item item)
{
    const struct instance *instance = schedule->instance;
    return blocks <= kv_free_blocks(&instance->kv) &&
           (!room_counts(instance) || room_fits(schedule, blocks, item));
}

/* blocks.c */
/* Whether the head of the queue, for which enough blocks are free, finds a place for so many. If not, what is
 * free counts as stranded until the next boundary. */
bool blocks_place(struct instance *instance, int64_t blocks);
/* Takes blocks for a sequence, its first or more of them. There is room. */
static inline void blocks_take(struct instance *instance, uint32_t slot, int64_t blocks)
{
    if (!instance->kv.placed)
        kv_take(&instance->kv, blocks);
    else if (blocks > 0)
        kv_place(&instance->kv, slot, blocks);
    instance->sequences[slot].blocks += blocks;
}
/* Blocks that a prefill sequence lacks to compute a chunk more. A place is for all its known tokens. */
int64_t blocks_for_chunk(const struct instance *instance, const struct sequence *sequence, int64_t chunk);
/* Gives all blocks of a sequence back; sequence->blocks stays. */
void blocks_give(struct instance *instance, uint32_t slot);

/* caching.c: blocks that requests share */
void caching_init(struct instance *instance);
void caching_clear(struct instance *instance);
/* What of a sequence that waits, which has so many known tokens, is in the cache: computed_tokens becomes
 * that, and spared_blocks what others use of it. Nothing is taken. */
void caching_look_up(struct instance *instance, uint32_t slot, int64_t tokens);
/* It uses what was just found. computes: the rest is computed here, so that this is not, unless it was
 * before. */
void caching_admit(struct instance *instance, uint32_t slot, bool computes);
/* So many of its tokens are in the cache, or will be after the iteration that is planned. */
void caching_fill(struct instance *instance, uint32_t slot, int64_t tokens);
/* It gives all its blocks back: those with a name are kept. */
void caching_give(struct instance *instance, uint32_t slot);
/* What loading from the tiers below, since it was asked last, adds to the iteration that begins now. */
int64_t caching_loaded_ns(struct instance *instance);
static inline int64_t caching_load_ns(struct instance *instance)
{
    return instance->kv.prefix ? caching_loaded_ns(instance) : 0;
}
/* What came to the caches of a replica's members and left them since the last call, as the body of a report;
 * NULL: nothing did. */
void *caching_report(struct instance *const *members, size_t count);

/* swap.c: preemption by swapping */
/* The victim, out of all lists, whose blocks were just given back, goes to the host if that has room: false
 * where not, and nothing has changed. */
bool swap_out(struct instance *instance, uint32_t slot);
/* Swapped sequences come back and go on, in order, as long as seats, budget and blocks are left. */
void swap_in_all(struct schedule *schedule);
/* What copies either way, since it was asked last, add to the iteration that begins now. */
int64_t swap_copied_ns(struct instance *instance);
static inline int64_t swap_copy_ns(struct instance *instance)
{
    return instance->copied_blocks > 0 ? swap_copied_ns(instance) : 0;
}

/* iteration.c */
/* What waits, runs, moves and is held. */
struct gauge instance_gauge(const struct instance *instance);
/* Twice the context that the first so many tokens of a sequence see, what is read for a chunk and for a
 * decode step on so many cached tokens: over the layers where there are windows. */
uint64_t effort_context_x2(const struct instance_config *config, int64_t tokens);
uint64_t effort_read_tokens(const struct instance_config *config, int64_t before, int64_t chunk);
uint64_t effort_decode_tokens(const struct instance_config *config, int64_t cached_tokens);
/* Accounts the iteration that ends now: time, tokens, effort. */
void iteration_count(struct instance *instance, int64_t now_ns);
/* Accounts the state since the last change. Before every change of what a gauge shows. */
void instance_account_until(struct instance *instance, int64_t now_ns);
static inline void instance_account(struct instance *instance, int64_t now_ns)
{
    if (now_ns != instance->accounted_ns)
        instance_account_until(instance, now_ns);
}
/* With no iteration in progress: joins, plans, reserves. Whether there is something to compute, and what. */
bool iteration_plan(struct instance *instance, int64_t now_ns, struct work *work);
/* What was planned is in progress for so long; alone_ns of it without prefills, here and in other lanes. */
void iteration_begin(struct instance *instance, int64_t now_ns, int64_t length_ns, int64_t alone_ns);
/* Records the iteration that a group of so many lanes has just begun: the works of those that take part. */
void iteration_record(struct instance *const *lanes, size_t count, const struct work *works, size_t working,
                      size_t group);
void iteration_finish(struct instance *instance, int64_t now_ns);

/* handoff.c */
/* Most tokens that a decode instance has to have room for, for it to get the request. */
int64_t handoff_most_tokens(const struct handoff_config *config, const struct request *request);
/* Whether its next token is the last and prefill's: it ends there and needs no decode instance. */
static inline bool handoff_stays(const struct handoff_config *config, const struct request *request)
{
    return config->first_token == FIRST_TOKEN_PREFILL &&
           request->output_tokens == request->generated_tokens + 1;
}
/* Whether a prompt is so short that a decode instance computes it. */
static inline bool handoff_local(const struct handoff_config *config, const struct request *request)
{
    return request->prompt_tokens <= config->local_prefill_max_tokens;
}
/* Prefill role: the prompt is complete and the request moves on. */
void handoff_send(struct instance *instance, uint32_t slot, int64_t now_ns);
/* Prefill role, blocks reserved: opens a flow for so many first tokens, or the full blocks of them, less what
 * was sent. length_ns: of the iteration that begins now and computes them, layer by layer; 0: they are there.
 */
void handoff_push(struct instance *instance, uint32_t slot, int64_t tokens, int64_t length_ns,
                  int64_t now_ns);
/* The same of all that an iteration which begins now, and takes so long, computes. */
void handoff_push_layers(struct instance *instance, int64_t length_ns, int64_t now_ns);
/* Decode role, of prompts that it computes itself, at least one of which waits: whether a hand-off came
 * before the first, which was not preempted. */
bool handoff_before(const struct instance *instance);
/* Decode role: a hand-off came; blocks are reserved for offered ones; KV has come; ready ones join the batch.
 */
void handoff_receive(struct instance *instance, struct request *request, int64_t now_ns);
void handoff_reserve(struct instance *instance, int64_t now_ns);
void handoff_arrived(struct instance *instance, uint32_t slot, const int64_t *words, int64_t now_ns);
void handoff_prefilled(struct instance *instance, uint32_t slot, struct request *request, int64_t now_ns);
void handoff_join(struct instance *instance, int64_t now_ns);
/* Decode role: a preempted one, out of all lists and without blocks, goes back to be prefilled, at a
 * boundary. */
void handoff_return(struct instance *instance, uint32_t slot);
/* Prefill role: the request whose blocks are held decodes here, from the next boundary on. */
void handoff_stay(struct instance *instance, uint32_t slot, struct request *request, int64_t now_ns);
/* Prefill role: the transfer is over. */
void handoff_done(struct instance *instance, uint32_t slot, uint64_t bytes, int64_t now_ns);

/* switch.c: an instance changes its role */
/* The router said so, and sent so many dispatches before. */
void switch_begin(struct instance *instance, int64_t dispatches, int64_t now_ns);
/* After everything else that happens at a time, of one that changes: when to call again. */
int64_t switch_step(struct instance *instance, int64_t now_ns);
/* The run is over: what it was in another role. */
void switch_close(struct instance *instance, int64_t end_ns);

/* instance.c */
/* A member of the entity's replica, which attaches it. Caller: instance_free. */
struct instance *instance_create(struct engine *engine, uint32_t entity, uint32_t member,
                                 const struct instance_config *config, struct metrics *metrics);
void instance_free(struct instance *instance);
/* The handler of an instance that is alone; the state is the instance. */
extern const struct engine_handler instance_handler;
/* A message of the engine; nothing is started. */
void instance_receive(struct instance *instance, const struct event *event);
/* Reports the load of all members of a replica if that is due, and when to call it next: SIMTIME_NEVER where
 * nothing is to be reported. */
void instance_report(struct instance *const *members, size_t count, int64_t now_ns);
int64_t instance_report_ns(struct instance *const *members, size_t count, int64_t now_ns);
/* As replica_close. */
void instance_close(struct instance *instance, int64_t end_ns);

/* Requests that wait or are on their way in. */
static inline int64_t instance_waiting(const struct instance *instance)
{
    return instance->moving + instance->waiting_count +
           (int64_t)(instance->offered.count + instance->swapped.count);
}
/* Of a slot, in messages. */
static inline int64_t instance_place(const struct instance *instance, uint32_t slot)
{
    return (int64_t)instance->member << 32 | slot;
}

/* The request has all its tokens: row, blocks, slot. The sequence is out of all lists but running. */
void instance_finish(struct instance *instance, uint32_t slot, int64_t now_ns);

/* request.c: the end of a request that nobody serves, at a time; its stages are not told. */
void request_refuse(struct engine *engine, struct metrics *metrics, struct request *request,
                    enum row_reason reason, int64_t now_ns);
/* The same by an instance, whose user learns of it after L. */
void instance_refuse(struct instance *instance, struct request *request, enum row_reason reason,
                     int64_t now_ns);

/* A visible token at now: first token or gap. */
void request_token(struct instance *instance, struct request *request, int64_t now_ns);

/* Ends a stage at now: returns its length without stalls, which go to the row. */
static inline int64_t request_stage(struct request *request, int64_t now_ns)
{
    int64_t length_ns = now_ns - request->stage_ns - request->stalled_ns;
    request->row.stalled_ns += request->stalled_ns;
    request->stalled_ns = 0;
    request->stage_ns = now_ns;
    return length_ns;
}

#endif
