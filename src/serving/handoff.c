/* The hand-off of a request from its prefill to its decode instance (README.md here: "Ways"). */
#include "internal.h"

void handoff_send(struct instance *instance, uint32_t slot, int64_t now_ns)
{
    const struct instance_config *config = instance->config;
    struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request;
    if (config->first_token == FIRST_TOKEN_PREFILL) {
        request->generated_tokens = 1;
        request_token(instance, request, now_ns);
        if (request->output_tokens == 1) {
            instance_finish(instance, slot, now_ns);
            return;
        }
    } else if (config->first_token == FIRST_TOKEN_RELAY) {
        request->generated_tokens = 1; /* on its way; visible when the decode instance admits the request */
    }
    request->prefill_place = instance_place(instance, slot);
    running_remove(instance, slot);
    sequence->state = SEQUENCE_HELD;
    sequence->request = NULL;
    instance->held++;
    engine_send(instance->engine, instance->entity, ENTITY_ROUTER, now_ns + config->latency_ns,
                MESSAGE_HANDOFF, NULL, request);
}

void handoff_done(struct instance *instance, uint32_t slot, uint64_t bytes, int64_t now_ns)
{
    struct sequence *sequence = &instance->sequences[slot];
    CHECK(sequence->state == SEQUENCE_HELD, "slot %u holds no blocks for a transfer", slot);
    instance_account(instance, now_ns);
    meter_sent(&instance->meter, now_ns, bytes);
    blocks_give(instance, slot);
    sequence_free(instance, slot);
    instance->held--;
    instance->report_due = true;
    if (instance->waiting_count > 0) /* nothing else waits for blocks here */
        instance->boundary_due = true;
}

void handoff_receive(struct instance *instance, struct request *request, int64_t now_ns)
{
    instance_account(instance, now_ns);
    request->row.control_ns += 2 * instance->config->latency_ns; /* prefill -> router -> here */
    request->stage_ns = now_ns;
    request->row.decode_instance = (int32_t)(instance->entity - ENTITY_FIRST_INSTANCE);
    uint32_t slot = sequence_new(instance, request);
    instance->sequences[slot].state = SEQUENCE_OFFERED;
    blocked_join(instance, request, now_ns);
    ring_push_back(&instance->offered, slot);
    instance->boundary_due = true;
}

/* Asks for the blocks of the prompt that are not here. */
static void open_flow(struct instance *instance, uint32_t slot, int64_t now_ns)
{
    const struct instance_config *config = instance->config;
    const struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request;
    int64_t here = sequence->computed_tokens / instance->kv.block_tokens;
    int64_t blocks = kv_blocks(&instance->kv, request->prompt_tokens) - here;
    int64_t bytes = blocks * config->kv_bytes_per_block;
    request->row.kv_transfer_bytes = (uint64_t)bytes;
    int64_t words[ENGINE_WORDS];
    words[FLOW_PREFILL] = request->row.prefill_instance + ENTITY_FIRST_INSTANCE;
    words[FLOW_BYTES] = bytes;
    words[FLOW_PREFILL_PLACE] = request->prefill_place;
    words[FLOW_DECODE_PLACE] = instance_place(instance, slot);
    words[FLOW_LATENCY_NS] =
        config->setup_ns + simtime_from_ns((double)blocks * config->descriptor_ns_per_block);
    engine_send(instance->engine, instance->entity, ENTITY_FABRIC, now_ns + config->latency_ns, MESSAGE_FLOW,
                words, NULL);
}

void handoff_reserve(struct instance *instance, int64_t now_ns)
{
    const struct scheduler_limits *limits = &instance->config->limits;
    while (instance->offered.count > 0 && instance->waiting_count == 0 && instance->swapped.count == 0 &&
           instance->running < limits->max_num_seqs) {
        uint32_t slot = ring_front(&instance->offered);
        struct sequence *sequence = &instance->sequences[slot];
        int64_t tokens = sequence->request->prompt_tokens + 1;
        struct room_item item = {1, tokens, true};
        if (instance->config->caching.on)
            caching_look_up(instance, slot, tokens - 1);
        int64_t blocks = kv_size(&instance->kv, tokens);
        if (!admission_fits(&instance->schedule, slot, blocks - sequence->spared_blocks, item))
            return;
        blocked_leave(instance, sequence->request);
        if (instance->config->caching.on)
            caching_admit(instance, slot, false);
        blocks_take(instance, slot, blocks - sequence->blocks);
        ring_pop_front(&instance->offered);
        sequence->state = SEQUENCE_MOVING;
        instance->moving++;
        sequence->request->row.decode_queue_ns = request_stage(sequence->request, now_ns);
        open_flow(instance, slot, now_ns);
    }
}

/* What is in the cache when it has come: with first_token decode the last prompt token is run again to sample
 * token 1. */
static int64_t moved_tokens(const struct request *request)
{
    return request->prompt_tokens + request->generated_tokens - 1;
}

void handoff_arrived(struct instance *instance, uint32_t slot, const int64_t *words, int64_t now_ns)
{
    struct sequence *sequence = &instance->sequences[slot];
    CHECK(sequence->state == SEQUENCE_MOVING, "slot %u awaits no transfer", slot);
    int64_t latency_ns = instance->config->latency_ns;
    struct request *request = sequence->request;
    /* From the grant: L to the fabric, the flow, L back. */
    request->row.transfer_ns = request_stage(request, now_ns) - 2 * latency_ns;
    request->row.control_ns += 2 * latency_ns;
    request->row.congestion_ns += words[KV_DONE_CONGESTION_NS];
    instance->meter.usage.received_bytes += (uint64_t)words[KV_DONE_BYTES];
    cache_outside(instance, slot, moved_tokens(request));
    if (instance->caching.prefix)
        caching_fill(instance, slot, moved_tokens(request));
    sequence->state = SEQUENCE_READY;
    ring_push_back(&instance->ready, slot);
    instance->boundary_due = true;
}

void handoff_join(struct instance *instance, int64_t now_ns)
{
    while (instance->ready.count > 0 && instance->running < instance->config->limits.max_num_seqs) {
        uint32_t slot = ring_pop_front(&instance->ready);
        struct sequence *sequence = &instance->sequences[slot];
        struct request *request = sequence->request;
        instance->moving--;
        running_append(instance, slot);
        request->row.admission_ns = request_stage(request, now_ns);
        if (instance->config->first_token == FIRST_TOKEN_RELAY) {
            request_token(instance, request, now_ns);
            meter_iteration(&instance->meter, now_ns, PHASE_IDLE, 0, 1, &(struct effort){0});
        }
        if (request->generated_tokens == request->output_tokens) {
            instance_finish(instance, slot, now_ns);
            continue;
        }
        sequence->cached_tokens = moved_tokens(request);
        sequence->computed_tokens = sequence->known_tokens;
        batch_join(instance, slot);
    }
}
