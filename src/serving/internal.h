/* Internals of an instance: what its files (named here) do for each other. */
#ifndef TANDEM_SERVING_INTERNAL_H
#define TANDEM_SERVING_INTERNAL_H

#include "state.h"

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
/* Whether decodes are in the iteration in progress, or sit it out. */
static inline bool iteration_decodes(const struct instance *instance)
{
    return instance->batch.count > 0 || instance->schedule.parked_count > 0;
}
/* The iteration that ends was so much longer, by prefills, for its decodes. */
void iteration_lengthened(struct instance *instance, int64_t now_ns, int64_t lengthened_ns);
void iteration_finish(struct instance *instance, int64_t now_ns, int64_t lengthened_ns);

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
