/* Preemption by swapping (README.md here: "Preemption"): blocks go to the host's memory and come back, so
 * that nothing is computed twice. */
#include "internal.h"

static uint64_t bytes_of(const struct instance *instance, int64_t blocks)
{
    return (uint64_t)(blocks * instance->config->kv_bytes_per_block);
}

bool swap_out(struct instance *instance, uint32_t slot)
{
    const struct swap_config *config = &instance->config->swap;
    struct sequence *sequence = &instance->sequences[slot];
    uint64_t bytes = bytes_of(instance, sequence->blocks);
    if (instance->swapped_blocks + sequence->blocks > config->capacity_blocks)
        return false;
    instance->swapped_blocks += sequence->blocks;
    instance->copied_blocks += sequence->blocks;
    sequence->state = SEQUENCE_SWAPPED;
    blocked_join(instance, sequence->request, instance->accounted_ns);
    ring_push_front(&instance->swapped, slot);
    sequence->request->row.swaps++;
    sequence->request->row.swapped_bytes += bytes;
    instance->meter.usage.swaps++;
    instance->meter.usage.swapped_out_bytes += bytes;
    return true;
}

/* The sequence goes on in the iteration that is planned: its next token or its next chunk. */
static void go_on(struct schedule *schedule, uint32_t slot)
{
    struct instance *instance = schedule->instance;
    const struct sequence *sequence = &instance->sequences[slot];
    running_append(instance, slot);
    if (sequence->computed_tokens < sequence->known_tokens) {
        partial_append(instance, slot);
        cache_outside(instance, slot, sequence->computed_tokens);
        instance->sequences[slot].state = SEQUENCE_PREFILL;
        schedule_add_chunk(schedule, slot, schedule_chunk(instance, sequence, schedule->budget_tokens));
        return;
    }
    batch_join(instance, slot);
    batch_extend(instance, slot, batch_sequence_blocks_needed(instance, slot));
    if (room_counts(instance))
        room_add(schedule, (struct room_item){1, sequence->cached_tokens + 1, true});
    schedule->budget_tokens--;
    schedule->decode = true;
}

/* Of a place, it gets one that the next token fits in too. */
static void swap_in(struct schedule *schedule, uint32_t slot, int64_t whole)
{
    struct instance *instance = schedule->instance;
    struct sequence *sequence = &instance->sequences[slot];
    uint64_t bytes = bytes_of(instance, sequence->blocks);
    blocked_leave(instance, sequence->request);
    ring_pop_front(&instance->swapped);
    instance->swapped_blocks -= sequence->blocks;
    instance->copied_blocks += sequence->blocks;
    int64_t blocks = instance->kv.placed ? whole : sequence->blocks;
    sequence->blocks = 0;
    blocks_take(instance, slot, blocks);
    sequence->request->row.swapped_bytes += bytes;
    instance->meter.usage.swapped_in_bytes += bytes;
    sequence->request->stalled_ns += instance->accounted_ns - sequence->stall_start_ns;
    sequence->stall_start_ns = -1;
    schedule->returned++;
    go_on(schedule, slot);
}

void swap_in_all(struct schedule *schedule)
{
    struct instance *instance = schedule->instance;
    while (instance->swapped.count > 0 && !schedule->short_of_room &&
           instance->running < instance->config->limits.max_num_seqs && schedule->budget_tokens > 0) {
        uint32_t slot = ring_front(&instance->swapped);
        const struct sequence *sequence = &instance->sequences[slot];
        bool decodes = sequence->computed_tokens == sequence->known_tokens;
        int64_t whole =
            kv_size(&instance->kv, decodes ? sequence->cached_tokens + 1 : sequence->known_tokens);
        if (whole < sequence->blocks) /* reserved ones that it has not filled */
            whole = sequence->blocks;
        struct room_item item = {1, sequence->cached_tokens + 1, true};
        if (!decodes) {
            int64_t chunk = schedule_chunk(instance, sequence, schedule->budget_tokens);
            item = (struct room_item){chunk, sequence->computed_tokens + chunk, false};
        }
        if (!room_for(schedule, whole + spare_blocks(instance), item) || !blocks_place(instance, whole)) {
            blocked_begin(instance, slot);
            return;
        }
        swap_in(schedule, slot, whole);
    }
}

int64_t swap_copied_ns(struct instance *instance)
{
    int64_t blocks = instance->copied_blocks;
    instance->copied_blocks = 0;
    return simtime_from_ns((double)blocks * instance->config->swap.ns_per_block);
}
