/* A static batch: prompts are padded to the longest, and what has ended computes on as padding until all
 * have. The sums of the decode batch are of what requests need; here is what there is beyond. */
#include "internal.h"

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Cached tokens of each slot. */
static int64_t padded_context(const struct instance *instance)
{
    return instance->padded.origin_tokens + instance->batch.step;
}

/* Blocks of the longest slot that an instance has: all, or those of the longest place. */
static int64_t longest_slot(const struct instance *instance)
{
    const struct kv *kv = &instance->kv;
    return kv->placed ? kv_size(kv, kv_most_tokens(kv->config, kv->capacity_blocks, 0)) : kv_free_blocks(kv);
}

/* Whether so many slots fit in blocks that were free when the batch began: in an empty cache, with places. */
static bool slots_fit(const struct instance *instance, int64_t slots, int64_t blocks, int64_t free_blocks)
{
    const struct kv *kv = &instance->kv;
    if (!kv->placed)
        return slots * blocks <= free_blocks;
    return kv_most_places(kv->config, kv->capacity_blocks, blocks, slots) == slots;
}

bool schedule_padded_running(struct schedule *schedule)
{
    struct instance *instance = schedule->instance;
    if (instance->running == 0)
        return false;
    schedule->decode = true;
    if (room_counts(instance))
        room_add_batch(schedule);
    if (instance->running < instance->padded_slots)
        blocked_begin(instance, NO_SLOT);
    return true;
}

int64_t schedule_waiting_padded(struct schedule *schedule, int64_t most)
{
    struct instance *instance = schedule->instance;
    const int64_t free_blocks = kv_free_blocks(&instance->kv);
    int64_t slots = 0, prompt_tokens = 0, limit_tokens = 0, blocks = 0;
    schedule->padding = true;
    while (instance->waiting_count > 0 && slots < most &&
           instance->running < instance->config->limits.max_num_seqs) {
        uint32_t slot = waiting_first(instance);
        const struct request *request = instance->sequences[slot].request;
        int64_t prompt = larger(prompt_tokens, request->prompt_tokens);
        int64_t limit = larger(limit_tokens, request->max_tokens);
        int64_t each = kv_size(&instance->kv, prompt + limit - 1);
        /* The router has seen to it that an output fits alone; its limit need not. */
        if (slots == 0 && each > free_blocks)
            each = longest_slot(instance);
        if (!slots_fit(instance, slots + 1, each, free_blocks) ||
            (slots > 0 && room_counts(instance) &&
             !room_fits_padded(instance, slots + 1, each, prompt, prompt + limit)))
            break;
        schedule_admit(schedule, slot, request->prompt_tokens);
        slots++;
        prompt_tokens = prompt;
        limit_tokens = limit;
        blocks = each;
    }
    for (size_t i = 0; i < schedule->item_count; i++) {
        uint32_t slot = schedule->items[i];
        blocks_take(instance, slot, blocks - instance->sequences[slot].blocks);
    }
    schedule->padding = false;
    instance->padded_slots = slots;
    instance->padded = (struct padded){blocks, prompt_tokens, prompt_tokens - instance->batch.step};
    return slots;
}

void padded_work(const struct instance *instance, struct work *work)
{
    const struct padded *padded = &instance->padded;
    int64_t window = instance->config->sliding_window, context = padded_context(instance) + 1;
    *work = (struct work){.logit_rows = instance->padded_slots};
    if (instance->schedule.decode) {
        work->decode_sequences = instance->padded_slots;
        work->decode_context_tokens = instance->padded_slots * context;
        work->longest_context_tokens = instance->config->longest_context ? context : 0;
        if (window > 0)
            work->sliding_context_tokens = instance->padded_slots * (context < window ? context : window);
        return;
    }
    for (int64_t i = 0; i < instance->padded_slots; i++)
        work_add_chunk(work, 0, padded->prompt_tokens, window);
}

void padded_effort(const struct instance *instance, struct effort *effort)
{
    const struct padded *padded = &instance->padded;
    const struct instance_config *config = instance->config;
    const bool decode = instance->schedule.decode;
    const uint64_t slots = (uint64_t)instance->padded_slots;
    const struct effort real = *effort;
    effort->tokens = slots * (decode ? 1 : (uint64_t)padded->prompt_tokens);
    effort->logit_rows = slots;
    if (decode) {
        effort->kv_read_tokens = (wide_t)slots * effort_decode_tokens(config, padded_context(instance));
        effort->context_x2 = 2 * effort->kv_read_tokens;
    } else {
        effort->kv_read_tokens = (wide_t)slots * effort_read_tokens(config, 0, padded->prompt_tokens);
        effort->context_x2 = (wide_t)slots * effort_context_x2(config, padded->prompt_tokens);
    }
    effort->padding_tokens = effort->tokens - real.tokens;
    effort->padding_rows = effort->logit_rows - real.logit_rows;
    effort->padding_context_x2 = effort->context_x2 - real.context_x2;
}

bool padded_ends(struct instance *instance)
{
    struct padded *padded = &instance->padded;
    if (instance->padded_slots == 0)
        return false;
    if (instance->running == 0) {
        if (instance->kv.placed)
            kv_remove_all(&instance->kv);
        else
            kv_give(&instance->kv, instance->padded_slots * padded->blocks);
        instance->padded_slots = 0;
    }
    return true;
}
