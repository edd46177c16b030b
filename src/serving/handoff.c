/* The hand-off of a request from its prefill to its decode instance (README.md here: "Ways"). */
#include "internal.h"

const char *const first_token_names[] = {"decode", "prefill", "relay", NULL};
const char *const reserve_when_names[] = {"after-prefill", "before-prefill", NULL};
const char *const overlap_names[] = {"none", "chunk", "layer", NULL};
const char *const recompute_at_names[] = {"decode", "prefill", NULL};
const char *const reserve_tokens_names[] = {"prompt", "prompt+headroom", "prompt+max", NULL};

int64_t handoff_most_tokens(const struct handoff_config *config, const struct request *request)
{
    int64_t prompt = request->prompt_tokens, output = request->output_tokens;
    if (config->reserve_tokens == RESERVE_MAX)
        return prompt + request->max_tokens;
    return prompt + (output > 2 ? output - 1 : 1); /* a decode at least, whose token needs a place */
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Pieces that each rank of the receiver gets of a layer's keys: parts of memory that follow each other at
 * both ends, so of the smaller block; as many times as ranks of the sender hold what it needs. */
static int64_t pieces_of(int64_t from, int64_t tokens, const struct wire_end *sender,
                         const struct wire_end *receiver)
{
    int64_t block = least(sender->block_tokens, receiver->block_tokens);
    int64_t ranks = (receiver->kv_heads + sender->kv_heads - 1) / sender->kv_heads;
    return ((tokens + block - 1) / block - from / block) * ranks;
}

/* Says what a flow moves of a request: its first tokens, less those that were sent. */
static void describe_flow(const struct instance_config *config, struct request *request, int64_t tokens,
                          int64_t words[ENGINE_WORDS])
{
    bool sends = config->role == ROLE_PREFILL;
    const struct wire_end *sender = sends ? &config->wire : &request->other_end;
    const struct wire_end *receiver = sends ? &request->other_end : &config->wire;
    int32_t peer = sends ? request->row.decode_instance : request->row.prefill_instance;
    int64_t block = sender->block_tokens, from = request->sent_tokens - request->sent_tokens % block;
    int64_t bytes =
        ((tokens + block - 1) / block * block - from) * config->kv_bytes_per_token * receiver->copies;
    request->row.kv_transfer_bytes += (uint64_t)bytes;
    request->sent_tokens = tokens;
    request->flows++;
    words[FLOW_PEER] = peer + ENTITY_FIRST_INSTANCE;
    words[FLOW_BYTES] = bytes;
    words[FLOW_PREFILL_PLACE] = request->prefill_place;
    words[FLOW_DECODE_PLACE] = request->decode_place;
    words[FLOW_LATENCY_NS] =
        config->setup_ns +
        simtime_from_ns((double)pieces_of(from, tokens, sender, receiver) * receiver->descriptor_ns);
}

void handoff_push(struct instance *instance, uint32_t slot, int64_t tokens, int64_t length_ns, int64_t now_ns)
{
    const struct instance_config *config = instance->config;
    struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request, *times = NULL;
    int64_t words[ENGINE_WORDS], block = config->wire.block_tokens;
    if (tokens < request->context_tokens)
        tokens -= tokens % block; /* blocks that are full */
    if (config->handoff.reserve == RESERVE_AFTER_PREFILL || handoff_stays(&config->handoff, request) ||
        tokens <= request->sent_tokens)
        return;
    request->prefill_place = instance_place(instance, slot);
    describe_flow(config, request, tokens, words);
    sequence->flows++;
    if (length_ns > 0) {
        times = engine_body_new(instance->engine);
        times->flow_length_ns = length_ns;
        times->flow_limit_ns = now_ns + length_ns;
    }
    int64_t first_ns = length_ns / config->layers; /* of the iteration, until there is something to send */
    engine_send(instance->engine, instance->entity, ENTITY_FABRIC, now_ns + first_ns + config->latency_ns,
                MESSAGE_PUSH, words, times);
}

void handoff_push_layers(struct instance *instance, int64_t length_ns, int64_t now_ns)
{
    const struct schedule *schedule = &instance->schedule;
    for (size_t i = 0; i < schedule->item_count; i++) {
        const struct sequence *sequence = &instance->sequences[schedule->items[i]];
        handoff_push(instance, schedule->items[i], sequence->computed_tokens + sequence->chunk_tokens,
                     length_ns, now_ns);
    }
}

/* The prompt is in the cache and all of it is on its way: what else there is goes to the decode instance. */
static void send_request(struct instance *instance, struct request *request, int64_t now_ns)
{
    int64_t words[ENGINE_WORDS] = {request->decode_place};
    engine_send(instance->engine, instance->entity,
                (uint32_t)request->row.decode_instance + ENTITY_FIRST_INSTANCE,
                now_ns + instance->config->latency_ns, MESSAGE_PREFILLED, words, request);
}

void handoff_send(struct instance *instance, uint32_t slot, int64_t now_ns)
{
    const struct instance_config *config = instance->config;
    struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request;
    bool stays = handoff_stays(&config->handoff, request);
    handoff_push(instance, slot, request->context_tokens, 0, now_ns); /* what has not been sent */
    if (config->handoff.first_token != FIRST_TOKEN_DECODE)
        request->generated_tokens++; /* relay: on its way; visible when the decode instance admits it */
    if (config->handoff.first_token == FIRST_TOKEN_PREFILL)
        request_token(instance, request, now_ns);
    if (stays) {
        instance_finish(instance, slot, now_ns);
        return;
    }
    request->prefill_place = instance_place(instance, slot);
    running_remove(instance, slot);
    sequence->state = SEQUENCE_HELD;
    sequence->request = NULL;
    instance->held++;
    if (config->handoff.reserve == RESERVE_BEFORE_PREFILL) {
        send_request(instance, request, now_ns);
    } else {
        sequence->flows = 1; /* that the decode instance will open */
        request->other_end = config->wire;
        engine_send(instance->engine, instance->entity, ENTITY_ROUTER, now_ns + config->latency_ns,
                    MESSAGE_HANDOFF, NULL, request);
    }
}

void handoff_stay(struct instance *instance, uint32_t slot, struct request *request, int64_t now_ns)
{
    struct sequence *sequence = &instance->sequences[slot];
    CHECK(sequence->state == SEQUENCE_HELD, "slot %u holds no request that could stay", slot);
    instance_account(instance, now_ns);
    request->row.control_ns += 2 * instance->config->latency_ns; /* -> router -> here */
    request->stage_ns = now_ns;
    if (instance->config->handoff.first_token == FIRST_TOKEN_DECODE)
        request->generated_tokens++; /* prefill's token counts: its cache is here, nothing is run again */
    sequence->request = request;
    sequence->settled = true;
    sequence->flows = 0;
    sequence->known_tokens = request->prompt_tokens + request->generated_tokens;
    sequence->state = SEQUENCE_READY;
    instance->held--;
    instance->moving++;
    ring_push_back(&instance->ready, slot);
    instance->boundary_due = true;
}

void handoff_done(struct instance *instance, uint32_t slot, uint64_t bytes, int64_t now_ns)
{
    struct sequence *sequence = &instance->sequences[slot];
    CHECK(sequence->flows > 0, "slot %u holds no blocks for a transfer", slot);
    instance_account(instance, now_ns);
    meter_sent(&instance->meter, now_ns, bytes);
    if (--sequence->flows > 0 || sequence->state != SEQUENCE_HELD)
        return;
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
    bool before = instance->config->handoff.reserve == RESERVE_BEFORE_PREFILL;
    request->row.control_ns +=
        (before ? 1 : 2) * instance->config->latency_ns; /* (prefill ->) router -> here */
    request->stage_ns = now_ns;
    request->row.decode_instance = (int32_t)(instance->entity - ENTITY_FIRST_INSTANCE);
    uint32_t slot = sequence_new(instance, request);
    instance->sequences[slot].state = SEQUENCE_OFFERED;
    blocked_join(instance, request, now_ns);
    ring_push_back(&instance->offered, slot);
    instance->boundary_due = true;
}

/* The blocks are there: the fabric is told, or where nothing is computed yet, the prefill instance, which
 * gets the request. */
static void grant(struct instance *instance, uint32_t slot, int64_t now_ns)
{
    const struct instance_config *config = instance->config;
    struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request;
    int64_t words[ENGINE_WORDS];
    request->decode_place = instance_place(instance, slot);
    request->sent_tokens = sequence->computed_tokens; /* it has them already */
    request->flows = 0;
    if (config->handoff.reserve == RESERVE_AFTER_PREFILL) {
        describe_flow(config, request, request->context_tokens, words);
        engine_send(instance->engine, instance->entity, ENTITY_FABRIC, now_ns + config->latency_ns,
                    MESSAGE_FLOW, words, NULL);
        return;
    }
    sequence->request = NULL;
    request->other_end = config->wire;
    engine_send(instance->engine, instance->entity,
                (uint32_t)request->row.prefill_instance + ENTITY_FIRST_INSTANCE, now_ns + config->latency_ns,
                MESSAGE_DISPATCH, NULL, request);
}

/* Tokens that blocks are reserved for. What headroom leaves free is taken as the sequences grow. */
static int64_t reserved_tokens(const struct instance *instance, const struct request *request)
{
    switch ((enum reserve_tokens)instance->config->handoff.reserve_tokens) {
    case RESERVE_HEADROOM:
        return request->context_tokens;
    case RESERVE_MAX:
        return request->prompt_tokens + request->max_tokens;
    case RESERVE_PROMPT:
        break;
    }
    return request->context_tokens + 1;
}

/* With headroom: whether enough is left for those that run or move, and this one, to grow. To one that is
 * alone, what it may grow to is known to fit. */
static bool leaves_headroom(const struct instance *instance, const struct request *request)
{
    const struct handoff_config *config = &instance->config->handoff;
    int64_t others = instance->running + instance->moving;
    int64_t free_tokens = kv_free_blocks(&instance->kv) * instance->kv.block_tokens;
    return config->reserve_tokens != RESERVE_HEADROOM || others == 0 ||
           free_tokens >= request->context_tokens + config->headroom_tokens * (others + 1);
}

static bool reservation_fits(struct instance *instance, uint32_t slot, int64_t blocks)
{
    const struct request *request = instance->sequences[slot].request;
    struct room_item item = {1, request->context_tokens + 1, true};
    if (leaves_headroom(instance, request))
        return admission_fits(&instance->schedule, slot, blocks, item);
    admission_stop(instance);
    blocked_begin(instance, slot);
    return false;
}

bool handoff_before(const struct instance *instance)
{
    if (instance->offered.count == 0)
        return false;
    const struct sequence *offered = &instance->sequences[ring_front(&instance->offered)];
    const struct sequence *waiting = &instance->sequences[waiting_first(instance)];
    return waiting->stall_start_ns < 0 && offered->request->stage_ns <= waiting->request->stage_ns;
}

void handoff_reserve(struct instance *instance, int64_t now_ns)
{
    const struct scheduler_limits *limits = &instance->config->limits;
    while (instance->offered.count > 0 && (instance->waiting_count == 0 || handoff_before(instance)) &&
           instance->swapped.count == 0 && instance->running < limits->max_num_seqs) {
        uint32_t slot = ring_front(&instance->offered);
        struct sequence *sequence = &instance->sequences[slot];
        if (instance->config->caching.on)
            caching_look_up(instance, slot, sequence->request->context_tokens);
        int64_t blocks = kv_size(&instance->kv, reserved_tokens(instance, sequence->request));
        if (!reservation_fits(instance, slot, blocks - sequence->spared_blocks))
            return;
        blocked_leave(instance, sequence->request);
        if (instance->config->caching.on)
            caching_admit(instance, slot, false);
        blocks_take(instance, slot, blocks - sequence->blocks);
        ring_pop_front(&instance->offered);
        sequence->state = SEQUENCE_MOVING;
        instance->moving++;
        sequence->request->row.decode_queue_ns += request_stage(sequence->request, now_ns);
        grant(instance, slot, now_ns);
        instance->schedule.handed = instance->waiting_count > 0;
    }
}

/* What is in the cache when it has come: with first_token decode the last prompt token is run again to sample
 * token 1. */
static int64_t moved_tokens(const struct request *request)
{
    return request->prompt_tokens + request->generated_tokens - 1;
}

/* The request and all that was moved of it are there. */
static void come(struct instance *instance, uint32_t slot, int64_t now_ns)
{
    struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request;
    if (!request || sequence->flows < request->flows)
        return;
    sequence->known_tokens = request->prompt_tokens + request->generated_tokens;
    /* From the end of the prompt, or the grant: L to the fabric, the flow, L back. Flows of layers are open.
     */
    bool open = instance->config->handoff.overlap == OVERLAP_LAYER;
    int64_t control_ns = (open ? 1 : 2) * instance->config->latency_ns;
    request->row.control_ns += control_ns;
    request->row.transfer_ns += request_stage(request, now_ns) - control_ns;
    request->row.congestion_ns += sequence->congestion_ns;
    cache_outside(instance, slot, moved_tokens(request));
    if (instance->kv.prefix)
        caching_fill(instance, slot, moved_tokens(request));
    sequence->state = SEQUENCE_READY;
    ring_push_back(&instance->ready, slot);
    instance->boundary_due = true;
}

void handoff_arrived(struct instance *instance, uint32_t slot, const int64_t *words, int64_t now_ns)
{
    struct sequence *sequence = &instance->sequences[slot];
    CHECK(sequence->state == SEQUENCE_MOVING, "slot %u awaits no transfer", slot);
    instance->received_bytes += (uint64_t)words[KV_DONE_BYTES];
    sequence->congestion_ns += words[KV_DONE_CONGESTION_NS];
    sequence->flows++;
    come(instance, slot, now_ns);
}

void handoff_prefilled(struct instance *instance, uint32_t slot, struct request *request, int64_t now_ns)
{
    CHECK(instance->sequences[slot].state == SEQUENCE_MOVING, "slot %u awaits no request", slot);
    instance->sequences[slot].request = request;
    come(instance, slot, now_ns);
}

void handoff_join(struct instance *instance, int64_t now_ns)
{
    int first_token = instance->config->handoff.first_token;
    while (instance->ready.count > 0 && instance->running < instance->config->limits.max_num_seqs) {
        uint32_t slot = ring_pop_front(&instance->ready);
        struct sequence *sequence = &instance->sequences[slot];
        struct request *request = sequence->request;
        instance->moving--;
        running_append(instance, slot);
        request->row.admission_ns += request_stage(request, now_ns);
        if (first_token == FIRST_TOKEN_RELAY || (sequence->settled && first_token == FIRST_TOKEN_DECODE)) {
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

void handoff_return(struct instance *instance, uint32_t slot)
{
    struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request;
    int64_t now_ns = instance->accounted_ns, latency_ns = instance->config->latency_ns;
    request->row.decode_ns += request_stage(request, now_ns);
    request->row.control_ns += latency_ns;
    if (sequence->highest_computed_tokens > request->context_tokens)
        request->computed_tokens = sequence->highest_computed_tokens;
    else
        request->computed_tokens = request->context_tokens;
    request->context_tokens = request->prompt_tokens + request->generated_tokens;
    request->deadline_ns = SIMTIME_NEVER; /* it was scheduled */
    sequence->state = SEQUENCE_GONE;
    ring_push_back(&instance->gone, slot); /* the list of those that run is being walked */
    engine_send(instance->engine, instance->entity, ENTITY_ROUTER, now_ns + latency_ns, MESSAGE_RETURN, NULL,
                request);
}
