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
    schedule->decode = false;
    schedule->used_blocks = schedule->instance->kv.used_blocks;
    schedule->budget_tokens = schedule->instance->config->limits.max_num_batched_tokens;
}

/* Next chunk of a partial prefill within a budget. */
static int64_t chunk_of(const struct instance *instance, const struct sequence *sequence, int64_t budget)
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

/* Blocks that a prefill sequence lacks to compute a chunk more. */
static int64_t chunk_blocks(const struct instance *instance, const struct sequence *sequence, int64_t chunk)
{
    return kv_blocks(&instance->kv, sequence->computed_tokens + chunk) - sequence->blocks;
}

static void add_item(struct schedule *schedule, uint32_t slot, int64_t chunk)
{
    struct instance *instance = schedule->instance;
    struct sequence *sequence = &instance->sequences[slot];
    int64_t blocks = chunk_blocks(instance, sequence, chunk);
    kv_take(&instance->kv, blocks);
    sequence->blocks += blocks;
    sequence->chunk_tokens = chunk;
    if (schedule->item_count == schedule->item_capacity)
        schedule->items =
            mem_grow(schedule->items, &schedule->item_capacity, schedule->item_count + 1, sizeof(uint32_t));
    schedule->items[schedule->item_count++] = slot;
    schedule->prefill_tokens += chunk;
    schedule->budget_tokens -= chunk;
}

/* The usual case without a walk: everything running gets its tokens and blocks. The last partial prefill may
 * be cut by the budget where nothing is behind it. Returns false, with nothing changed, when the order
 * matters. */
static bool running_fits(struct schedule *schedule)
{
    struct instance *instance = schedule->instance;
    int64_t budget = schedule->budget_tokens - instance->batch.count;
    int64_t blocks = batch_blocks_needed(instance);
    for (size_t i = 0; i < instance->partial_count; i++) {
        uint32_t slot = instance->partials[i];
        const struct sequence *sequence = &instance->sequences[slot];
        int64_t wanted = chunk_of(instance, sequence, INT64_MAX);
        int64_t chunk = chunk_of(instance, sequence, budget);
        if (chunk <= 0 || (chunk < wanted && slot != instance->last_running))
            return false;
        blocks += chunk_blocks(instance, sequence, chunk);
        budget -= chunk;
    }
    if (budget < 0 || blocks > kv_free_blocks(&instance->kv))
        return false;
    kv_take(&instance->kv, batch_blocks_needed(instance));
    schedule->budget_tokens -= instance->batch.count;
    schedule->decode = instance->batch.count > 0;
    for (size_t i = 0; i < instance->partial_count; i++) {
        uint32_t slot = instance->partials[i];
        add_item(schedule, slot, chunk_of(instance, &instance->sequences[slot], schedule->budget_tokens));
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
    kv_give(&instance->kv, sequence->blocks);
    instance->queued_tokens -= sequence->known_tokens - sequence->computed_tokens;
    sequence->blocks = 0;
    sequence->computed_tokens = 0;
    sequence->known_tokens = request->prompt_tokens + request->generated_tokens;
    instance->queued_tokens += sequence->known_tokens;
    sequence->state = SEQUENCE_WAITING;
    sequence->stall_start_ns = instance->accounted_ns;
    waiting_return(instance, slot);
    request->row.preemptions++;
    instance->meter.usage.preemptions++;
}

/* Makes room for blocks by preempting from the end of running. Returns false when the sequence itself had to
 * go. */
static bool make_room(struct schedule *schedule, uint32_t slot, int64_t blocks)
{
    struct instance *instance = schedule->instance;
    while (kv_free_blocks(&instance->kv) < blocks) {
        uint32_t victim = instance->last_running;
        preempt(instance, victim);
        schedule->preempted++;
        if (victim == slot)
            return false;
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

/* One by one in admission order. */
static void walk_running(struct schedule *schedule)
{
    struct instance *instance = schedule->instance;
    uint32_t slot = instance->first_running;
    while (slot != NO_SLOT) {
        struct sequence *sequence = &instance->sequences[slot];
        uint32_t next = sequence->next;
        if (sequence->state == SEQUENCE_DECODE && schedule->budget_tokens == 0) {
            park(schedule, slot);
        } else if (sequence->state == SEQUENCE_DECODE) {
            int64_t blocks = batch_sequence_blocks_needed(instance, slot);
            if (!make_room(schedule, slot, blocks))
                return;
            kv_take(&instance->kv, blocks);
            schedule->budget_tokens--;
            schedule->decode = true;
        } else if (schedule->budget_tokens > 0) {
            int64_t chunk = chunk_of(instance, sequence, schedule->budget_tokens);
            if (!make_room(schedule, slot, chunk_blocks(instance, sequence, chunk)))
                return;
            add_item(schedule, slot, chunk);
        }
        /* Preemption takes from the end only: next is valid unless it was a victim. */
        slot = next != NO_SLOT && instance->sequences[next].state == SEQUENCE_WAITING ? NO_SLOT : next;
    }
}

int64_t schedule_running(struct schedule *schedule)
{
    if (schedule->instance->config->mode == MODE_NAIVE || !running_fits(schedule))
        walk_running(schedule);
    return schedule->preempted;
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
    if (sequence->stall_start_ns >= 0)
        request->stalled_ns += now_ns - sequence->stall_start_ns;
    else
        request->row.prefill_queue_ns = request_stage(request, now_ns);
    sequence->stall_start_ns = -1;
    add_item(schedule, slot, chunk);
}

int64_t schedule_waiting_chunks(struct schedule *schedule)
{
    struct instance *instance = schedule->instance;
    int64_t admitted = 0;
    while (instance->waiting_count > 0 && instance->running < instance->config->limits.max_num_seqs &&
           schedule->budget_tokens > 0) {
        uint32_t slot = waiting_first(instance);
        const struct sequence *sequence = &instance->sequences[slot];
        if (!admission_fits(instance, slot, kv_blocks(&instance->kv, sequence->known_tokens)))
            break;
        schedule_admit(schedule, slot, chunk_of(instance, sequence, schedule->budget_tokens));
        admitted++;
    }
    return admitted;
}

int64_t schedule_waiting_whole(struct schedule *schedule)
{
    struct instance *instance = schedule->instance;
    int64_t admitted = 0;
    while (instance->waiting_count > 0 && instance->running < instance->config->limits.max_num_seqs) {
        uint32_t slot = waiting_first(instance);
        const struct sequence *sequence = &instance->sequences[slot];
        if (schedule->item_count > 0 && sequence->known_tokens > schedule->budget_tokens)
            break;
        if (!admission_fits(instance, slot, kv_blocks(&instance->kv, sequence->known_tokens)))
            break;
        schedule_admit(schedule, slot, sequence->known_tokens);
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
