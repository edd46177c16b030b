/* The hand-off of a request from its prefill to its decode instance (README.md here: "Ways"). */
#include "internal.h"

const char *const first_token_names[] = {"decode", "prefill", "relay", NULL};
const char *const reserve_tokens_names[] = {"prompt", "prompt+headroom", "prompt+max", NULL};

int64_t handoff_most_tokens(const struct handoff_config *config, const struct request *request)
{
    int64_t prompt = request->prompt_tokens, output = request->output_tokens;
    if (config->reserve_tokens == RESERVE_MAX)
        return prompt + request->max_tokens;
    return prompt + (output > 2 ? output - 1 : 1); /* a decode at least, whose token needs a place */
}

void handoff_send(struct instance *instance, uint32_t slot, int64_t now_ns)
{
    const struct instance_config *config = instance->config;
    struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request;
    if (config->handoff.first_token == FIRST_TOKEN_PREFILL) {
        request->generated_tokens = 1;
        request_token(instance, request, now_ns);
        if (request->output_tokens == 1) {
            instance_finish(instance, slot, now_ns);
            return;
        }
    } else if (config->handoff.first_token == FIRST_TOKEN_RELAY) {
        request->generated_tokens = 1; /* on its way; visible when the decode instance admits the request */
    }
    request->row.kv_transfer_bytes =
        (uint64_t)(kv_blocks(&instance->kv, request->prompt_tokens) * config->kv_bytes_per_block);
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

static void open_flow(struct instance *instance, uint32_t slot, int64_t now_ns)
{
    const struct instance_config *config = instance->config;
    const struct request *request = instance->sequences[slot].request;
    int64_t bytes = (int64_t)request->row.kv_transfer_bytes;
    int64_t blocks = kv_blocks(&instance->kv, request->prompt_tokens);
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

/* Tokens that blocks are reserved for. What headroom leaves free is taken as the sequences grow. */
static int64_t reserved_tokens(const struct instance *instance, const struct request *request)
{
    switch ((enum reserve_tokens)instance->config->handoff.reserve_tokens) {
    case RESERVE_HEADROOM:
        return request->prompt_tokens;
    case RESERVE_MAX:
        return request->prompt_tokens + request->max_tokens;
    case RESERVE_PROMPT:
        break;
    }
    return request->prompt_tokens + 1;
}

/* With headroom: whether enough is left for those that run or move, and this one, to grow. To one that is
 * alone, what it may grow to is known to fit. */
static bool leaves_headroom(const struct instance *instance, const struct request *request)
{
    const struct handoff_config *config = &instance->config->handoff;
    int64_t others = instance->running + instance->moving;
    int64_t free_tokens = kv_free_blocks(&instance->kv) * instance->kv.block_tokens;
    return config->reserve_tokens != RESERVE_HEADROOM || others == 0 ||
           free_tokens >= request->prompt_tokens + config->headroom_tokens * (others + 1);
}

static bool reservation_fits(struct instance *instance, uint32_t slot, int64_t blocks)
{
    const struct request *request = instance->sequences[slot].request;
    struct room_item item = {1, request->prompt_tokens + 1, true};
    if (leaves_headroom(instance, request))
        return admission_fits(&instance->schedule, slot, blocks, item);
    admission_stop(instance);
    blocked_begin(instance, slot);
    return false;
}

void handoff_reserve(struct instance *instance, int64_t now_ns)
{
    const struct scheduler_limits *limits = &instance->config->limits;
    while (instance->offered.count > 0 && instance->waiting_count == 0 && instance->swapped.count == 0 &&
           instance->running < limits->max_num_seqs) {
        uint32_t slot = ring_front(&instance->offered);
        struct sequence *sequence = &instance->sequences[slot];
        int64_t blocks = kv_size(&instance->kv, reserved_tokens(instance, sequence->request));
        if (!reservation_fits(instance, slot, blocks))
            return;
        blocked_leave(instance, sequence->request);
        blocks_take(instance, slot, blocks);
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

void handoff_arrived(struct instance *instance, uint32_t slot, uint64_t bytes, int64_t now_ns)
{
    struct sequence *sequence = &instance->sequences[slot];
    CHECK(sequence->state == SEQUENCE_MOVING, "slot %u awaits no transfer", slot);
    int64_t latency_ns = instance->config->latency_ns;
    struct request *request = sequence->request;
    /* From the grant: L to the fabric, the flow, L back. */
    request->row.transfer_ns = request_stage(request, now_ns) - 2 * latency_ns;
    request->row.control_ns += 2 * latency_ns;
    instance->meter.usage.received_bytes += bytes;
    cache_outside(instance, slot, moved_tokens(request));
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
        if (instance->config->handoff.first_token == FIRST_TOKEN_RELAY) {
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
