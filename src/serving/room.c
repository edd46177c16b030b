/* Room for what is to be computed: KV blocks, and where activations are not set aside, both together. */
#include "internal.h"

/* Adds what is computed of one sequence. Without a cache a decode is a whole prompt. */
static void add_item(const struct instance *instance, struct room_item item, struct activation_load *prefill,
                     struct activation_load *decode)
{
    if (item.decodes && !instance->config->no_cache)
        activation_add(decode, item.tokens, item.context);
    else
        activation_add(prefill, item.decodes ? item.context : item.tokens, item.context);
}

static struct activation_load batch_load(const struct instance *instance)
{
    const struct batch *batch = &instance->batch;
    int64_t context = batch->cached_tokens + batch->count;
    if (instance->config->no_cache) {
        int64_t longest = batch_longest_context(instance);
        wide_t squares = (wide_t)(uint64_t)(batch->squares + 2 * batch->cached_tokens + batch->count);
        return (struct activation_load){batch->count, context, longest, longest, squares};
    }
    return (struct activation_load){.sequences = batch->count,
                                    .tokens = batch->count,
                                    .longest_tokens = batch->count > 0,
                                    .longest_context = batch_longest_context(instance),
                                    .scores = (wide_t)(uint64_t)context};
}

bool room_fits(const struct schedule *schedule, int64_t blocks, struct room_item item)
{
    const struct instance *instance = schedule->instance;
    struct activation_load prefill = schedule->prefill_load, decode = schedule->decode_load;
    add_item(instance, item, &prefill, &decode);
    return activation_fits(&instance->config->activations, instance->kv.used_blocks + blocks, &prefill,
                           &decode);
}

bool room_fits_all(const struct schedule *schedule, int64_t blocks, const struct activation_load *chunks)
{
    const struct instance *instance = schedule->instance;
    struct activation_load batch = batch_load(instance); /* with chunks there is a cache: they are apart */
    return activation_fits(&instance->config->activations, instance->kv.used_blocks + blocks,
                           instance->config->no_cache ? &batch : chunks,
                           instance->config->no_cache ? chunks : &batch);
}

bool room_fits_padded(const struct instance *instance, int64_t slots, int64_t blocks, int64_t prompt_tokens,
                      int64_t longest_tokens)
{
    const struct activation_rule *rule = &instance->config->activations;
    const struct activation_load none = {0};
    const uint64_t prompt = (uint64_t)prompt_tokens, longest = (uint64_t)longest_tokens;
    const struct activation_load prefill = {slots, slots * prompt_tokens, prompt_tokens, prompt_tokens,
                                            (wide_t)(uint64_t)slots * prompt * prompt};
    const struct activation_load decode = {slots, slots, 1, longest_tokens,
                                           (wide_t)(uint64_t)slots * longest};
    return activation_fits(rule, slots * blocks, &prefill, &none) &&
           activation_fits(rule, slots * blocks, &none, &decode);
}

void room_add(struct schedule *schedule, struct room_item item)
{
    add_item(schedule->instance, item, &schedule->prefill_load, &schedule->decode_load);
}

void room_add_batch(struct schedule *schedule)
{
    const struct instance *instance = schedule->instance;
    *(instance->config->no_cache ? &schedule->prefill_load : &schedule->decode_load) = batch_load(instance);
}

void room_check(const struct schedule *schedule)
{
    const struct instance *instance = schedule->instance;
    const struct activation_load *planned =
        instance->config->no_cache ? &schedule->prefill_load : &schedule->decode_load;
    CHECK(activation_fits(&instance->config->activations, instance->kv.used_blocks, &schedule->prefill_load,
                          &schedule->decode_load),
          "instance %u: activations of %lld prompts and %lld decodes do not fit", instance->entity,
          (long long)schedule->prefill_load.sequences, (long long)planned->sequences);
    if (!schedule->decode)
        return;
    struct activation_load batch = batch_load(instance);
    CHECK(batch.sequences == planned->sequences && batch.scores == planned->scores &&
              (!instance->config->longest_context || batch.longest_context == planned->longest_context),
          "instance %u: %lld decodes were planned, %lld are in the batch", instance->entity,
          (long long)planned->sequences, (long long)batch.sequences);
}

int64_t room_steps(const struct instance *instance)
{
    struct activation_load decode = batch_load(instance);
    return activation_steps(&instance->config->activations, instance->kv.block_tokens,
                            instance->kv.used_blocks, &decode);
}
