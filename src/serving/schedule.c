/* The steps that scheduling policies are made of (scheduler.h), and preemption. */
#include "internal.h"

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void schedule_begin(struct schedule *schedule)
{
    schedule->item_count = 0;
    schedule->parked_count = 0;
    schedule->prefill_tokens = 0;
    schedule->preempted = 0;
    schedule->returned = 0;
    schedule->decode = false;
    schedule->decodes = 0;
    schedule->handed = false;
    schedule->grown = false;
    schedule->used_blocks = schedule->instance->kv.used_blocks;
    schedule->short_of_room = false;
    schedule->instance->unplaced = false;
    if (room_counts(schedule->instance))
        schedule->prefill_load = schedule->decode_load = (struct activation_load){0};
    schedule->budget_tokens = schedule->instance->config->limits.max_num_batched_tokens;
}

int64_t schedule_chunk(const struct instance *instance, const struct sequence *sequence, int64_t budget)
{
    const struct scheduler_limits *limits = &instance->config->limits;
    const struct scheduler *policy = schedulers[limits->policy];
    int64_t threshold = limits->long_prefill_token_threshold;
    int64_t chunk = least(sequence->known_tokens - sequence->computed_tokens, budget);
    if (policy->chunk_tokens) {
        double load = (double)instance->schedule.used_blocks / (double)instance->kv.capacity_blocks;
        chunk = least(chunk, policy->chunk_tokens(limits, sequence->known_tokens, load));
    }
    return threshold > 0 ? least(chunk, threshold) : chunk;
}

static struct room_item chunk_item(const struct sequence *sequence, int64_t chunk)
{
    return (struct room_item){chunk, sequence->computed_tokens + chunk, false};
}

static inline void add_chunk(struct schedule *schedule, uint32_t slot, int64_t chunk)
{
    struct instance *instance = schedule->instance;
    struct sequence *sequence = &instance->sequences[slot];
    blocks_take(instance, slot, blocks_for_chunk(instance, sequence, chunk));
    sequence->chunk_tokens = chunk;
    if (room_counts(instance))
        room_add(schedule, chunk_item(sequence, chunk));
    if (schedule->item_count == schedule->item_capacity)
        schedule->items =
            mem_grow(schedule->items, &schedule->item_capacity, schedule->item_count + 1, sizeof(uint32_t));
    schedule->items[schedule->item_count++] = slot;
    schedule->prefill_tokens += chunk;
    schedule->budget_tokens -= chunk;
}

void schedule_add_chunk(struct schedule *schedule, uint32_t slot, int64_t chunk)
{
    add_chunk(schedule, slot, chunk);
}

/* Whether the activations of everything running fit, with so many blocks. */
static bool activations_fit(const struct schedule *schedule, int64_t blocks)
{
    const struct instance *instance = schedule->instance;
    int64_t budget = schedule->budget_tokens - instance->batch.count;
    struct activation_load chunks = {0};
    for (size_t i = 0; i < instance->partial_count; i++) {
        const struct sequence *sequence = &instance->sequences[instance->partials[i]];
        int64_t chunk = schedule_chunk(instance, sequence, budget);
        activation_add(&chunks, chunk, sequence->computed_tokens + chunk);
        budget -= chunk;
    }
    return room_fits_all(schedule, blocks, &chunks);
}

/* The usual case without a walk: everything running gets its tokens and blocks. The last partial prefill may
 * be cut by the budget where nothing is behind it. Returns false when the order matters, with nothing changed
 * but what a walk would have done too: the first sequences that outgrew their places have longer ones. */
static bool running_fits(struct schedule *schedule)
{
    struct instance *instance = schedule->instance;
    int64_t budget = schedule->budget_tokens - instance->batch.count;
    int64_t blocks = batch_blocks_needed(instance);
    for (size_t i = 0; i < instance->partial_count; i++) {
        uint32_t slot = instance->partials[i];
        const struct sequence *sequence = &instance->sequences[slot];
        int64_t wanted = schedule_chunk(instance, sequence, INT64_MAX);
        int64_t chunk = schedule_chunk(instance, sequence, budget);
        if (chunk <= 0 || (chunk < wanted && slot != instance->last_running))
            return false;
        blocks += blocks_for_chunk(instance, sequence, chunk);
        budget -= chunk;
    }
    if (budget < 0 || blocks > kv_free_blocks(&instance->kv) ||
        (room_counts(instance) && !activations_fit(schedule, blocks)) ||
        (instance->kv.placed && !batch_extend_all(instance)))
        return false;
    kv_take_each(&instance->kv, batch_blocks_needed(instance));
    schedule->budget_tokens -= instance->batch.count;
    schedule->decode = instance->batch.count > 0;
    if (room_counts(instance))
        room_add_batch(schedule);
    for (size_t i = 0; i < instance->partial_count; i++) {
        uint32_t slot = instance->partials[i];
        add_chunk(schedule, slot,
                  schedule_chunk(instance, &instance->sequences[slot], schedule->budget_tokens));
    }
    return true;
}

static void preempt(struct instance *instance, uint32_t slot)
{
    struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request;
    if (sequence->state == SEQUENCE_DECODE) {
        batch_leave(instance, slot);
    } else {
        partial_remove(instance, slot);
        if (sequence->computed_tokens > sequence->highest_computed_tokens)
            sequence->highest_computed_tokens = sequence->computed_tokens;
    }
    running_remove(instance, slot);
    blocks_give(instance, slot);
    sequence->stall_start_ns = instance->accounted_ns;
    request->row.preemptions++;
    instance->meter.usage.preemptions++;
    if (instance->config->limits.preemption == PREEMPTION_SWAP && swap_out(instance, slot))
        return;
    if (instance->config->handoff.recompute_at == RECOMPUTE_AT_PREFILL &&
        instance->config->role == ROLE_DECODE && request->row.decode_instance >= 0) {
        handoff_return(instance, slot);
        return;
    }
    instance->queued_tokens -= sequence->known_tokens - sequence->computed_tokens;
    sequence->blocks = 0;
    sequence->computed_tokens = 0;
    sequence->known_tokens = request->prompt_tokens + request->generated_tokens;
    instance->queued_tokens += sequence->known_tokens;
    sequence->state = SEQUENCE_WAITING;
    waiting_return(instance, slot);
}

/* Who has to go: the newest of all that run, or of the least urgent class of them. */
static uint32_t choose_victim(const struct instance *instance)
{
    uint32_t victim = instance->last_running;
    if (instance->config->limits.victim == VICTIM_NEWEST)
        return victim;
    for (uint32_t slot = victim; slot != NO_SLOT; slot = instance->sequences[slot].previous)
        if (instance->sequences[slot].request->row.priority >
            instance->sequences[victim].request->row.priority)
            victim = slot;
    return victim;
}

/* A victim that has got its part of this iteration gives it back: budget, blocks not yet filled, activations.
 */
static void unplan(struct schedule *schedule, uint32_t slot)
{
    struct instance *instance = schedule->instance;
    struct sequence *sequence = &instance->sequences[slot];
    int64_t spare = 0;
    if (sequence->state == SEQUENCE_DECODE) {
        spare = batch_sequence_blocks_needed(instance, slot);
        schedule->budget_tokens++;
        schedule->decodes--;
    } else {
        size_t i = 0;
        while (i < schedule->item_count && schedule->items[i] != slot)
            i++;
        if (i == schedule->item_count)
            return; /* it sat the iteration out */
        schedule->item_count--;
        for (; i < schedule->item_count; i++)
            schedule->items[i] = schedule->items[i + 1];
        schedule->prefill_tokens -= sequence->chunk_tokens;
        schedule->budget_tokens += sequence->chunk_tokens;
        if (!instance->kv.placed)
            spare = sequence->blocks - kv_blocks(&instance->kv, sequence->computed_tokens);
        sequence->blocks -= spare;
    }
    if (!instance->kv.placed)
        kv_give(&instance->kv, spare);
}

/* The activations of what is planned, up to a sequence of the running list. */
static void room_again(struct schedule *schedule, uint32_t end)
{
    const struct instance *instance = schedule->instance;
    schedule->prefill_load = schedule->decode_load = (struct activation_load){0};
    for (size_t i = 0; i < schedule->item_count; i++) {
        const struct sequence *sequence = &instance->sequences[schedule->items[i]];
        room_add(schedule, chunk_item(sequence, sequence->chunk_tokens));
    }
    for (uint32_t slot = instance->first_running; slot != end; slot = instance->sequences[slot].next)
        if (instance->sequences[slot].state == SEQUENCE_DECODE)
            room_add(schedule, (struct room_item){1, batch_sequence_context(instance, slot), true});
}

/* Makes room for blocks and activations by preempting. Returns false when the sequence itself had to go. */
static bool make_room(struct schedule *schedule, uint32_t slot, int64_t blocks, struct room_item item)
{
    struct instance *instance = schedule->instance;
    while (!room_for(schedule, blocks, item) || !kv_make_place(&instance->kv, blocks)) {
        uint32_t victim = choose_victim(instance);
        bool planned = instance->sequences[victim].admission < instance->sequences[slot].admission;
        if (planned)
            unplan(schedule, victim);
        preempt(instance, victim);
        schedule->preempted++;
        if (victim == slot)
            return false;
        if (planned && room_counts(instance))
            room_again(schedule, slot);
    }
    return true;
}

/* A decode that the budget does not reach sits this iteration out. */
static void park(struct schedule *schedule, uint32_t slot)
{
    struct instance *instance = schedule->instance;
    batch_leave(instance, slot);
    instance->sequences[slot].state = SEQUENCE_PARKED;
    if (schedule->parked_count == schedule->parked_capacity)
        schedule->parked = mem_grow(schedule->parked, &schedule->parked_capacity, schedule->parked_count + 1,
                                    sizeof(uint32_t));
    schedule->parked[schedule->parked_count++] = slot;
}

/* Gives a running sequence its token, unless it has to go or sits this iteration out. */
static void plan_decode(struct schedule *schedule, uint32_t slot)
{
    struct instance *instance = schedule->instance;
    int64_t blocks = batch_sequence_blocks_needed(instance, slot);
    struct room_item item = {1, batch_sequence_context(instance, slot), true};
    if (schedule->budget_tokens == 0) {
        park(schedule, slot);
        return;
    }
    if (!make_room(schedule, slot, blocks, item))
        return;
    batch_extend(instance, slot, blocks);
    if (room_counts(instance))
        room_add(schedule, item);
    schedule->budget_tokens--;
    schedule->decodes++;
}

/* The same for the next chunk of a prompt. */
static void plan_chunk(struct schedule *schedule, uint32_t slot)
{
    struct instance *instance = schedule->instance;
    const struct sequence *sequence = &instance->sequences[slot];
    int64_t chunk = schedule_chunk(instance, sequence, schedule->budget_tokens);
    int64_t blocks = blocks_for_chunk(instance, sequence, chunk);
    struct room_item item = chunk_item(sequence, chunk);
    if (chunk == 0)
        return;
    if (schedule->decodes + (int64_t)schedule->item_count > 0 && blocks <= kv_free_blocks(&instance->kv) &&
        !room_for(schedule, blocks, item))
        schedule->short_of_room = true;
    else if (make_room(schedule, slot, blocks, item))
        add_chunk(schedule, slot, chunk);
}

/* One by one in admission order. One that had to go was the last to go: what came after it still does. */
static void walk_running(struct schedule *schedule)
{
    struct instance *instance = schedule->instance;
    for (uint32_t slot = instance->first_running; slot != NO_SLOT; slot = instance->sequences[slot].next)
        if (instance->sequences[slot].state == SEQUENCE_DECODE)
            plan_decode(schedule, slot);
        else
            plan_chunk(schedule, slot);
    schedule->decode = schedule->decodes > 0;
}

/* Blocks that chunks fill can be found from now on: when all have theirs, so that neither what blocks for
 * others evict nor a victim's chunk depends on the order. */
static void fill_chunks(const struct schedule *schedule)
{
    struct instance *instance = schedule->instance;
    for (size_t i = 0; i < schedule->item_count; i++) {
        uint32_t slot = schedule->items[i];
        const struct sequence *sequence = &instance->sequences[slot];
        caching_fill(instance, slot, sequence->computed_tokens + sequence->chunk_tokens);
    }
}

static int64_t plan_running(struct schedule *schedule)
{
    if (schedule->instance->config->mode == MODE_NAIVE || !running_fits(schedule))
        walk_running(schedule);
    if (schedule->instance->kv.prefix)
        fill_chunks(schedule);
    if (schedule->preempted == 0 && schedule->instance->swapped.count > 0)
        swap_in_all(schedule);
    return schedule->preempted;
}

int64_t schedule_running(struct schedule *schedule)
{
    bool any = schedule->instance->running > 0 || schedule->instance->swapped.count > 0;
    return any ? plan_running(schedule) : 0;
}

void schedule_admit(struct schedule *schedule, uint32_t slot, int64_t chunk)
{
    struct instance *instance = schedule->instance;
    struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request;
    int64_t now_ns = instance->accounted_ns;
    waiting_take_first(instance);
    running_append(instance, slot);
    partial_append(instance, slot);
    sequence->state = SEQUENCE_PREFILL;
    if (instance->config->caching.on) {
        instance->queued_tokens -= sequence->computed_tokens;
        caching_admit(instance, slot, true);
    }
    if (sequence->stall_start_ns >= 0)
        request->stalled_ns += now_ns - sequence->stall_start_ns;
    else
        request->row.prefill_queue_ns += request_stage(request, now_ns);
    sequence->stall_start_ns = -1;
    add_chunk(schedule, slot, chunk);
    if (instance->kv.prefix)
        caching_fill(instance, slot, sequence->computed_tokens + chunk);
}

/* Whether blocks for the whole sequence are there, and room for a chunk of it in this iteration. */
static bool admits(const struct schedule *schedule, uint32_t slot, int64_t chunk)
{
    const struct instance *instance = schedule->instance;
    const struct sequence *sequence = &instance->sequences[slot];
    int64_t blocks = kv_size(&instance->kv, sequence->known_tokens) - sequence->spared_blocks;
    return admission_fits(schedule, slot, blocks, chunk_item(sequence, chunk));
}

/* The next to be admitted, with what of it is in the cache. */
static uint32_t first_waiting(struct instance *instance)
{
    uint32_t slot = waiting_first(instance);
    if (instance->config->caching.on)
        caching_look_up(instance, slot, instance->sequences[slot].known_tokens);
    return slot;
}

int64_t schedule_waiting_chunks(struct schedule *schedule)
{
    struct instance *instance = schedule->instance;
    int64_t admitted = 0;
    while (instance->waiting_count > 0 && instance->swapped.count == 0 &&
           instance->running < instance->config->limits.max_num_seqs && schedule->budget_tokens > 0 &&
           !handoff_before(instance)) {
        uint32_t slot = first_waiting(instance);
        const struct sequence *sequence = &instance->sequences[slot];
        int64_t chunk = schedule_chunk(instance, sequence, schedule->budget_tokens);
        if (!admits(schedule, slot, chunk))
            break;
        schedule_admit(schedule, slot, chunk);
        admitted++;
    }
    return admitted;
}

int64_t schedule_waiting_whole(struct schedule *schedule)
{
    struct instance *instance = schedule->instance;
    int64_t admitted = 0;
    while (instance->waiting_count > 0 && instance->swapped.count == 0 &&
           instance->running < instance->config->limits.max_num_seqs) {
        uint32_t slot = first_waiting(instance);
        const struct sequence *sequence = &instance->sequences[slot];
        int64_t rest = sequence->known_tokens - sequence->computed_tokens;
        if (schedule->item_count > 0 && rest > schedule->budget_tokens)
            break;
        if (!admits(schedule, slot, rest))
            break;
        schedule_admit(schedule, slot, rest);
        admitted++;
    }
    return admitted;
}

int64_t schedule_waiting_count(const struct schedule *schedule)
{
    return schedule->instance->waiting_count;
}

int64_t schedule_oldest_ns(const struct schedule *schedule)
{
    return waiting_oldest_ns(schedule->instance);
}

int64_t schedule_now_ns(const struct schedule *schedule)
{
    return schedule->instance->accounted_ns;
}

void schedule_again_at(struct schedule *schedule, int64_t time_ns)
{
    schedule->instance->due_ns = time_ns;
}
