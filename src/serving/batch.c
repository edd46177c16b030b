/* The decode batch. Aggregate mode keeps sums: the number of sequences, their cached tokens, how many need a
 * block at each step (by cached length modulo the block size), who ends when. Naive mode keeps each
 * sequence's own counters and walks over all of them: slower, and the oracle that the sums are checked
 * against. */
#include "internal.h"

static bool naive(const struct instance *instance)
{
    return instance->config->mode == MODE_NAIVE;
}

void batch_init(struct instance *instance)
{
    instance->batch.residues = mem_array((size_t)instance->kv.block_tokens, sizeof(int64_t));
}

void batch_clear(struct instance *instance)
{
    struct batch *batch = &instance->batch;
    mem_free(batch->residues);
    heap_clear(&batch->ends);
    heap_clear(&batch->growth);
    heap_clear(&batch->windows);
    heap_clear(&batch->longest);
    mem_free(batch->fresh);
    mem_free(batch->gaps);
}

/* The residue class whose sequences need a block at a step that is 0 modulo the block size from it. */
static int64_t *residue_of(struct instance *instance, const struct sequence *sequence)
{
    int64_t block = instance->kv.block_tokens;
    int64_t residue = (sequence->cached_tokens - sequence->join_step) % block;
    return &instance->batch.residues[residue < 0 ? residue + block : residue];
}

static int64_t cached_now(const struct instance *instance, const struct sequence *sequence)
{
    if (naive(instance))
        return sequence->cached_tokens;
    return sequence->cached_tokens + instance->batch.step - sequence->join_step;
}

/* Blocks of a sequence in the batch: those it brought, until it has outgrown them. */
static int64_t blocks_now(const struct instance *instance, const struct sequence *sequence)
{
    int64_t used = kv_blocks(&instance->kv, cached_now(instance, sequence));
    return used > sequence->blocks ? used : sequence->blocks;
}

/* Says from which step on a sequence needs blocks beyond those that it has. Without places it may be now. */
static inline void watch_growth(struct instance *instance, uint32_t slot)
{
    struct batch *batch = &instance->batch;
    struct sequence *sequence = &instance->sequences[slot];
    int64_t room = sequence->blocks * instance->kv.block_tokens - cached_now(instance, sequence);
    if (!instance->kv.placed)
        room -= instance->kv.block_tokens - 1;
    sequence->growing = room <= 0 && !instance->kv.placed;
    if (sequence->growing)
        ++*residue_of(instance, sequence);
    else
        heap_set(&batch->growth, slot, batch->step + room, sequence->admission);
}

/* Of so many cached tokens, those that layers with a window will still see beside the next one. */
static int64_t sliding_part(const struct instance *instance, int64_t cached_tokens)
{
    int64_t most = instance->config->sliding_window - 1;
    return cached_tokens < most ? cached_tokens : most;
}

/* A sequence comes in with its cached tokens as they are now. */
static void join_contexts(struct instance *instance, uint32_t slot)
{
    struct batch *batch = &instance->batch;
    const struct sequence *sequence = &instance->sequences[slot];
    int64_t window = instance->config->sliding_window;
    if (window > 0) {
        batch->sliding_tokens += sliding_part(instance, sequence->cached_tokens);
        if (!naive(instance) && sequence->cached_tokens < window - 1) {
            batch->below_window++;
            heap_set(&batch->windows, slot, batch->step + window - 1 - sequence->cached_tokens,
                     sequence->admission);
        }
    }
    if (instance->config->longest_context && !naive(instance))
        heap_set(&batch->longest, slot, batch->step - sequence->cached_tokens, sequence->admission);
}

static void leave_contexts(struct instance *instance, uint32_t slot, int64_t cached_tokens)
{
    struct batch *batch = &instance->batch;
    int64_t window = instance->config->sliding_window;
    if (window > 0) {
        batch->sliding_tokens -= sliding_part(instance, cached_tokens);
        if (!naive(instance) && cached_tokens < window - 1) {
            batch->below_window--;
            heap_remove(&batch->windows, slot);
        }
    }
    if (instance->config->longest_context && !naive(instance))
        heap_remove(&batch->longest, slot);
}

int64_t batch_longest_context(const struct instance *instance)
{
    const struct batch *batch = &instance->batch;
    const struct heap_entry *top = heap_top(&batch->longest);
    int64_t longest = top ? batch->step - top->key : 0;
    if (!instance->config->longest_context || batch->count == 0)
        return 0;
    if (naive(instance)) {
        uint32_t slot = instance->first_running;
        for (; slot != NO_SLOT; slot = instance->sequences[slot].next) {
            const struct sequence *sequence = &instance->sequences[slot];
            if (sequence->state == SEQUENCE_DECODE && sequence->cached_tokens > longest)
                longest = sequence->cached_tokens;
        }
    }
    return longest + 1;
}

void batch_join(struct instance *instance, uint32_t slot)
{
    struct batch *batch = &instance->batch;
    struct sequence *sequence = &instance->sequences[slot];
    sequence->state = SEQUENCE_DECODE;
    sequence->join_step = batch->step;
    sequence->generated_tokens = sequence->request->generated_tokens;
    sequence->request->row.interference_ns -= instance->interference_ns;
    batch->count++;
    batch->window_count += sequence->in_window;
    batch->cached_tokens += sequence->cached_tokens;
    if (instance->config->no_cache)
        batch->squares += sequence->cached_tokens * sequence->cached_tokens;
    cache_outside(instance, slot, 0);
    join_contexts(instance, slot);
    if (naive(instance))
        return;
    if (batch->fresh_count == batch->fresh_capacity)
        batch->fresh =
            mem_grow(batch->fresh, &batch->fresh_capacity, batch->fresh_count + 1, sizeof(uint32_t));
    sequence->fresh_index = (uint32_t)batch->fresh_count;
    batch->fresh[batch->fresh_count++] = slot;
    int64_t left = sequence->request->output_tokens - sequence->generated_tokens;
    heap_set(&batch->ends, slot, batch->step + left, sequence->admission);
    if (!instance->config->no_cache) /* else nothing grows */
        watch_growth(instance, slot);
}

/* Longest gap of the steps from first on, 0 when there was none. */
static int64_t longest_gap(const struct batch *batch, int64_t first)
{
    size_t low = 0, high = batch->gap_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (batch->gaps[middle].step < first)
            low = middle + 1;
        else
            high = middle;
    }
    return low < batch->gap_count ? batch->gaps[low].gap_ns : 0;
}

static void fresh_remove(struct instance *instance, struct sequence *sequence)
{
    struct batch *batch = &instance->batch;
    uint32_t last = batch->fresh[--batch->fresh_count];
    batch->fresh[sequence->fresh_index] = last;
    instance->sequences[last].fresh_index = sequence->fresh_index;
    sequence->fresh_index = NO_SLOT;
}

void batch_leave(struct instance *instance, uint32_t slot)
{
    struct batch *batch = &instance->batch;
    struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request;
    int64_t cached_tokens = cached_now(instance, sequence);
    int64_t blocks = blocks_now(instance, sequence);
    request->row.interference_ns += instance->interference_ns;
    batch->count--;
    batch->window_count -= sequence->in_window;
    batch->cached_tokens -= cached_tokens;
    if (instance->config->no_cache)
        batch->squares -= cached_tokens * cached_tokens;
    leave_contexts(instance, slot, cached_tokens);
    if (!naive(instance)) {
        int64_t steps = batch->step - sequence->join_step;
        heap_remove(&batch->ends, slot);
        heap_remove(&batch->growth, slot);
        if (sequence->growing)
            --*residue_of(instance, sequence);
        if (sequence->fresh_index != NO_SLOT)
            fresh_remove(instance, sequence);
        if (steps > 0) {
            request->generated_tokens = sequence->generated_tokens + steps;
            request->last_token_ns = batch->last_step_ns;
            /* The gap before its first step was seen while it was fresh. */
            int64_t gap_ns = longest_gap(batch, sequence->join_step + 2);
            if (gap_ns > request->row.max_itl_ns)
                request->row.max_itl_ns = gap_ns;
        }
        if (batch->count == 0)
            batch->gap_count = 0;
    }
    sequence->cached_tokens = cached_tokens;
    sequence->blocks = blocks;
    sequence->highest_computed_tokens = cached_tokens;
    sequence->growing = false;
    cache_outside(instance, slot, cached_tokens);
}

int64_t batch_sequence_blocks_needed(const struct instance *instance, uint32_t slot)
{
    const struct sequence *sequence = &instance->sequences[slot];
    int64_t tokens = cached_now(instance, sequence) + 1;
    if (kv_blocks(&instance->kv, tokens) <= blocks_now(instance, sequence))
        return 0;
    return instance->kv.placed ? kv_grown_size(&instance->kv, tokens) : 1;
}

void batch_extend(struct instance *instance, uint32_t slot, int64_t blocks)
{
    if (!instance->kv.placed) {
        kv_take(&instance->kv, blocks);
    } else if (blocks > 0) {
        kv_grow(&instance->kv, slot, blocks);
        instance->sequences[slot].blocks = blocks;
        instance->schedule.grown = true;
        if (!naive(instance))
            watch_growth(instance, slot);
    }
}

bool batch_extend_all(struct instance *instance)
{
    while (batch_growth_step(instance) <= instance->batch.step) {
        uint32_t slot = heap_top(&instance->batch.growth)->id;
        int64_t blocks = batch_sequence_blocks_needed(instance, slot);
        if (!kv_make_place(&instance->kv, blocks))
            return false;
        batch_extend(instance, slot, blocks);
    }
    return true;
}

int64_t batch_blocks_needed(struct instance *instance)
{
    struct batch *batch = &instance->batch;
    while (!instance->kv.placed && batch_growth_step(instance) <= batch->step) {
        uint32_t slot = heap_top(&batch->growth)->id;
        struct sequence *sequence = &instance->sequences[slot];
        heap_remove(&batch->growth, slot);
        sequence->growing = true;
        ++*residue_of(instance, sequence);
    }
    int64_t residue = batch->step % instance->kv.block_tokens;
    return batch->residues[residue > 0 ? instance->kv.block_tokens - residue : 0];
}

int64_t batch_sequence_context(const struct instance *instance, uint32_t slot)
{
    return cached_now(instance, &instance->sequences[slot]) + 1;
}

static void list_ended(struct instance *instance, uint32_t slot)
{
    if (instance->ended_count == instance->ended_capacity)
        instance->ended =
            mem_grow(instance->ended, &instance->ended_capacity, instance->ended_count + 1, sizeof(uint32_t));
    instance->ended[instance->ended_count++] = slot;
}

/* What each sequence has in the cache, wherever it is. */
static int64_t walk_tokens(const struct instance *instance)
{
    int64_t tokens = 0;
    for (size_t i = 0; i < instance->sequence_count; i++) {
        const struct sequence *sequence = &instance->sequences[i];
        if (sequence->state == SEQUENCE_DECODE || sequence->state == SEQUENCE_PARKED)
            tokens += sequence->cached_tokens;
        else if (sequence->state == SEQUENCE_PREFILL || sequence->state == SEQUENCE_HELD ||
                 sequence->state == SEQUENCE_MOVING)
            tokens += sequence->computed_tokens;
        else if (sequence->state == SEQUENCE_READY)
            tokens += sequence->request->prompt_tokens + sequence->request->generated_tokens - 1;
    }
    return tokens;
}

static void naive_step(struct instance *instance, int64_t now_ns)
{
    int64_t count = 0, window_count = 0, cached_tokens = 0, sliding_tokens = 0, squares = 0;
    for (uint32_t slot = instance->first_running; slot != NO_SLOT; slot = instance->sequences[slot].next) {
        struct sequence *sequence = &instance->sequences[slot];
        if (sequence->state != SEQUENCE_DECODE)
            continue;
        int64_t needed = kv_blocks(&instance->kv, ++sequence->cached_tokens);
        if (needed > sequence->blocks)
            sequence->blocks = needed;
        count++;
        window_count += sequence->in_window;
        cached_tokens += sequence->cached_tokens;
        squares += instance->config->no_cache ? sequence->cached_tokens * sequence->cached_tokens : 0;
        sliding_tokens += sliding_part(instance, sequence->cached_tokens);
        sequence->request->generated_tokens++;
        request_token(instance, sequence->request, now_ns);
        if (sequence->request->generated_tokens == sequence->request->output_tokens)
            list_ended(instance, slot);
    }
    CHECK(count == instance->batch.count && window_count == instance->batch.window_count &&
              cached_tokens == instance->batch.cached_tokens && squares == instance->batch.squares,
          "the batch's sums are off: %lld sequences, %lld of the window, %lld tokens", (long long)count,
          (long long)window_count, (long long)cached_tokens);
    instance->batch.sliding_tokens = sliding_tokens;
    CHECK(instance->config->no_cache ||
              walk_tokens(instance) - instance->caching.shared_tokens == tokens_cached(instance),
          "%lld tokens are in the cache, not %lld", (long long)walk_tokens(instance),
          (long long)tokens_cached(instance));
}

static void aggregate_step(struct instance *instance, int64_t now_ns)
{
    struct batch *batch = &instance->batch;
    int64_t gap_ns = now_ns - batch->last_step_ns; /* of all but the fresh ones */
    int64_t window_gaps = batch->window_count;
    if (batch->count > (int64_t)batch->fresh_count)
        batch_push_gap(batch, gap_ns);
    for (size_t i = 0; i < batch->fresh_count; i++) {
        struct sequence *sequence = &instance->sequences[batch->fresh[i]];
        sequence->request->generated_tokens++;
        request_token(instance, sequence->request, now_ns);
        window_gaps -= sequence->in_window;
        sequence->fresh_index = NO_SLOT;
    }
    batch->fresh_count = 0;
    if (window_gaps > 0)
        metrics_gaps(instance->metrics, gap_ns, (uint64_t)window_gaps);
    const struct heap_entry *top;
    while ((top = heap_top(&batch->ends)) && top->key <= batch->step) {
        list_ended(instance, top->id);
        heap_remove(&batch->ends, top->id);
    }
}

void batch_step(struct instance *instance, int64_t now_ns)
{
    struct batch *batch = &instance->batch;
    batch->step++;
    if (instance->config->no_cache) /* (c + 1)^2 = c^2 + 2c + 1 */
        batch->squares += 2 * batch->cached_tokens + batch->count;
    batch->cached_tokens += batch->count;
    batch->sliding_tokens += batch->below_window;
    while (batch->below_window > 0 && batch_window_step(instance) <= batch->step) {
        heap_remove(&batch->windows, heap_top(&batch->windows)->id);
        batch->below_window--;
    }
    instance->ended_count = 0;
    if (naive(instance))
        naive_step(instance, now_ns);
    else
        aggregate_step(instance, now_ns);
    batch->last_step_ns = now_ns;
}
