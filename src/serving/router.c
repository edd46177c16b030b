/* The router entity: takes requests from the workload, sends them to instances, and pairs hand-offs with
 * decode instances. It knows of an instance what it reported and what was dispatched to it since; nothing
 * else. */
#include "tandem/router.h"

#include <string.h>

#include "gate.h"
#include "internal.h"
#include "roles.h"
#include "targets.h"

#include "tandem/rng.h"

struct router {
    struct engine *engine;
    struct router_config config;
    struct router_cluster cluster;
    struct workload *workload;
    struct metrics *metrics;
    struct target_set entries, decodes;
    struct target **by_entity;        /* the set's target of each entity */
    struct roles *roles;              /* NULL: no threshold asks what instances do */
    struct gate gate;                 /* requests that no instance may get yet */
    uint64_t arrived;                 /* requests so far: the next id */
    struct workload_request upcoming; /* open loop: the next to be sent */
    bool has_upcoming;
    struct heap sends;    /* clients' next requests; id: client */
    uint64_t send_ties;   /* order of equal times */
    uint32_t newcomer;    /* the client that came last: the next comes once it has sent */
    struct heap frontend; /* requests on their way through the frontend; id: place in pending */
    struct request **pending;
    size_t pending_capacity;
    uint32_t *free_pending;
    size_t free_pending_count, free_pending_capacity, pending_count;
};

/* The instance that the policy chooses for a request, new or handed off. Its two choices are drawn
 * independently of each other. */
static uint32_t pick(struct router *router, struct target_set *set, const struct request *request)
{
    uint64_t draw = 2 * request->row.id + (set == &router->decodes);
    uint64_t random = set->policy->draws ? rng_bits(router->cluster.seed, 0, RNG_ROUTER, draw) : 0;
    return targets_pick(set, request, random);
}

/* Books a dispatch to that instance, which computes the prompt or gets it as a hand-off. Its entity. */
static uint32_t book(struct router *router, struct target_set *set, uint32_t index,
                     const struct request *request, bool computes)
{
    uint32_t entity = set->targets[index].entity;
    targets_book(set, index, request);
    if (router->roles)
        roles_sent(router->roles, entity, request->context_tokens, computes);
    return entity;
}

/* The next client comes, to send for the first time. */
static void take_client(struct router *router)
{
    int64_t send_ns;
    if (workload_next_client(router->workload, &router->newcomer, &send_ns))
        heap_set(&router->sends, router->newcomer, send_ns, router->send_ties++);
}

static int64_t deadline_ns(const struct router *router, const struct request *request)
{
    const struct router_config *config = &router->config;
    size_t class = request->row.priority, last = config->deadline_count - 1;
    if (config->deadline_count == 0 || config->deadlines_ms[class < last ? class : last] == 0)
        return SIMTIME_NEVER;
    double after_ms = config->deadlines_ms[class < last ? class : last];
    return request->row.arrival_ns + simtime_from_ns(after_ms * 1e6);
}

static struct request *new_request(struct router *router, const struct workload_request *item,
                                   uint32_t client, int64_t now_ns)
{
    struct request *request = engine_body_new(router->engine);
    request->row.id = router->arrived++;
    request->row.arrival_ns = now_ns;
    request->row.prompt_tokens = (uint32_t)item->prompt_tokens;
    request->row.output_tokens = (uint32_t)item->output_tokens;
    request->row.priority = (uint8_t)item->priority;
    request->row.session = item->session;
    request->row.turn = (uint32_t)item->turn;
    request->row.prefill_instance = -1;
    request->row.decode_instance = -1;
    request->prompt_tokens = request->context_tokens = item->prompt_tokens;
    request->output_tokens = item->output_tokens;
    request->max_tokens = item->max_tokens;
    request->last_token_ns = -1;
    request->user = client;
    request->deadline_ns = deadline_ns(router, request);
    return request;
}

/* A client's request was served, or refused, which ends its session: the turns after it are never sent. The
 * client sends again after its think time, if it does. */
static void client_ended(struct router *router, uint32_t client, bool refused, int64_t now_ns)
{
    struct workload_request item;
    int64_t time_ns;
    while (refused && workload_turn_left(router->workload, client, &item))
        request_refuse(router->engine, router->metrics, new_request(router, &item, client, now_ns),
                       ROW_REASON_SESSION, now_ns);
    if (workload_answered(router->workload, client, &time_ns))
        heap_set(&router->sends, client, now_ns + time_ns, router->send_ties++);
}

static void refuse(struct router *router, struct request *request, enum row_reason reason, int64_t now_ns)
{
    uint32_t client = request->user;
    request_refuse(router->engine, router->metrics, request, reason, now_ns);
    if (workload_users(router->workload) > 0)
        client_ended(router, client, true, now_ns);
}

/* Whether a decode instance computes the prompt itself. */
static bool is_local(const struct router_cluster *cluster, const struct request *request)
{
    return cluster->decode_count > 0 && handoff_local(&cluster->handoff, request);
}

/* Why a request can never be served, ROW_REASON_NONE when it can. */
static enum row_reason refusal(const struct router *router, const struct request *request)
{
    const struct router_cluster *cluster = &router->cluster;
    int64_t prompt = request->prompt_tokens, output = request->output_tokens;
    if (cluster->max_model_len > 0 && prompt + output > cluster->max_model_len)
        return ROW_REASON_MODEL_LENGTH;
    bool stays = handoff_stays(&cluster->handoff, request);
    const struct router_mixed *mixed = &router->config.mixed;
    bool grows = mixed->decode_kv > 0 || (cluster->handoff.recompute_at == RECOMPUTE_AT_PREFILL && !stays);
    if (cluster->decode_count == 0 || is_local(cluster, request)) {
        int64_t most = cluster->decode_count == 0 ? cluster->entry_max_tokens : cluster->decode_max_tokens;
        return prompt + output - 1 > most ? ROW_REASON_KV_CAPACITY : ROW_REASON_NONE;
    }
    if ((grows ? prompt + output - 1 : prompt) > cluster->entry_max_tokens ||
        (mixed->prefill_tokens > 0 && prompt + output - 1 > cluster->decode_max_tokens) ||
        (!stays && handoff_most_tokens(&cluster->handoff, request) > cluster->decode_max_tokens))
        return ROW_REASON_KV_CAPACITY;
    return ROW_REASON_NONE;
}

/* Whether a decode instance computes a new request's prompt since the prefill instance has too much to do. */
static bool decode_prefills(struct router *router, uint32_t prefill, const struct request *request,
                            uint32_t *decode)
{
    bool returned = request->computed_tokens > 0; /* from a decode instance, which had no room */
    if (returned || router->config.mixed.prefill_tokens == 0)
        return false;
    *decode = pick(router, &router->decodes, request);
    return roles_decode_prefills(router->roles, router->entries.targets[prefill].entity,
                                 router->decodes.targets[*decode].entity);
}

/* Sends a request to an instance that computes its prompt; or, with its name, to a decode instance that has
 * to reserve blocks first. */
static void dispatch(struct router *router, struct request *request, int64_t now_ns)
{
    const struct router_cluster *cluster = &router->cluster;
    bool local = is_local(cluster, request);
    struct target_set *set = local ? &router->decodes : &router->entries;
    uint32_t index = pick(router, set, request), decode;
    enum serving_message type = MESSAGE_DISPATCH;
    if (router->roles && !local && decode_prefills(router, index, request, &decode)) {
        local = true;
        set = &router->decodes;
        index = decode;
    }
    uint32_t entity = book(router, set, index, request, true);
    if (cluster->decode_count > 0 && !local && cluster->handoff.reserve == RESERVE_BEFORE_PREFILL &&
        !handoff_stays(&cluster->handoff, request)) {
        request->row.prefill_instance = (int32_t)(entity - ENTITY_FIRST_INSTANCE);
        entity = book(router, &router->decodes, pick(router, &router->decodes, request), request, false);
        type = MESSAGE_HANDOFF;
    }
    engine_send(router->engine, ENTITY_ROUTER, entity, now_ns + cluster->latency_ns, type, NULL, request);
}

/* A prompt is complete: the request goes to a decode instance, or stays where it is. */
static void hand_on(struct router *router, struct request *request, int64_t now_ns)
{
    struct target_set *set = &router->decodes;
    uint32_t index = pick(router, set, request);
    uint32_t prefill = (uint32_t)request->row.prefill_instance + ENTITY_FIRST_INSTANCE;
    int64_t words[ENGINE_WORDS] = {request->prefill_place}, later_ns = now_ns + router->cluster.latency_ns;
    if (router->roles && roles_prefill_decodes(router->roles, prefill, set->targets[index].entity))
        engine_send(router->engine, ENTITY_ROUTER, prefill, later_ns, MESSAGE_STAY, words, request);
    else
        engine_send(router->engine, ENTITY_ROUTER, book(router, set, index, request, false), later_ns,
                    MESSAGE_HANDOFF, NULL, request);
}

/* A request has left the frontend: it is refused, sent on, or held. */
static void take_in(struct router *router, struct request *request, int64_t now_ns)
{
    enum row_reason reason = refusal(router, request);
    if (reason == ROW_REASON_NONE && request->deadline_ns <= now_ns)
        reason = ROW_REASON_DEADLINE;
    if (reason != ROW_REASON_NONE) {
        refuse(router, request, reason, now_ns);
        return;
    }
    request->row.router_ns = now_ns - request->row.arrival_ns;
    if (is_local(&router->cluster, request) || targets_have_room(&router->entries)) {
        dispatch(router, request, now_ns);
        return;
    }
    request->stage_ns = now_ns;
    gate_add(&router->gate, request);
    if (router->config.max_queued_requests > 0 &&
        (int64_t)gate_count(&router->gate) > router->config.max_queued_requests)
        refuse(router, gate_take_last(&router->gate), ROW_REASON_QUEUE_FULL, now_ns);
}

/* Instances may have got room; deadlines may have come. */
static void serve_gate(struct router *router, int64_t now_ns)
{
    struct request *request;
    while ((request = gate_take_late(&router->gate, now_ns)))
        refuse(router, request, ROW_REASON_DEADLINE, now_ns);
    while (gate_count(&router->gate) > 0 && targets_have_room(&router->entries)) {
        request = gate_take_first(&router->gate);
        request->row.router_queue_ns = request_stage(request, now_ns);
        dispatch(router, request, now_ns);
    }
}

static uint32_t pending_place(struct router *router)
{
    if (router->free_pending_count > 0)
        return router->free_pending[--router->free_pending_count];
    if (router->pending_count == router->pending_capacity)
        router->pending = mem_grow(router->pending, &router->pending_capacity, router->pending_count + 1,
                                   sizeof(struct request *));
    return (uint32_t)router->pending_count++;
}

/* The request gets the hashes of the blocks that it will fill. */
static void keep_hashes(struct router *router, struct request *request, const struct workload_request *item)
{
    if (item->hash_count == 0)
        return;
    int64_t filled = (item->prompt_tokens + item->output_tokens - 1) / workload_hash_tokens(router->workload);
    size_t count = item->hash_count < (size_t)filled ? item->hash_count : (size_t)filled;
    if (count > 0)
        memcpy(engine_body_extend(router->engine, request, count * sizeof(uint64_t)), item->hashes,
               count * sizeof(uint64_t));
}

/* A client sends: the request goes through the frontend. */
static void send_request(struct router *router, const struct workload_request *item, uint32_t client,
                         int64_t now_ns)
{
    struct request *request = new_request(router, item, client, now_ns);
    if (router->cluster.keeps_hashes)
        keep_hashes(router, request, item);
    double frontend_ns = router->config.frontend_ms * 1e6 +
                         router->config.frontend_us_per_token * 1e3 * (double)item->prompt_tokens;
    uint32_t place = pending_place(router);
    router->pending[place] = request;
    heap_set(&router->frontend, place, now_ns + simtime_from_ns(frontend_ns), request->row.id);
}

static void take_upcoming(struct router *router)
{
    router->has_upcoming = workload_next(router->workload, &router->upcoming);
}

/* Open loop: requests are taken up to the first that leaves the frontend, so that sending needs no event. */
static void take_sent(struct router *router)
{
    const struct heap_entry *top;
    while (router->has_upcoming &&
           (!(top = heap_top(&router->frontend)) || router->upcoming.send_ns <= top->key)) {
        send_request(router, &router->upcoming, 0, router->upcoming.send_ns);
        take_upcoming(router);
    }
}

/* All requests that clients send now. */
static void send_due(struct router *router, int64_t now_ns)
{
    const struct heap_entry *top;
    while ((top = heap_top(&router->sends)) && top->key <= now_ns) {
        struct workload_request item;
        uint32_t client = top->id;
        heap_remove(&router->sends, client);
        if (workload_next_of(router->workload, client, &item))
            send_request(router, &item, client, now_ns);
        if (client == router->newcomer)
            take_client(router);
    }
}

static int64_t next_time(struct router *router, int64_t now_ns)
{
    take_sent(router);
    const struct heap_entry *send = heap_top(&router->sends), *front = heap_top(&router->frontend);
    int64_t next_ns = gate_deadline_ns(&router->gate);
    if (router->roles) {
        int64_t look_ns = roles_look_ns(router->roles, now_ns);
        next_ns = look_ns < next_ns ? look_ns : next_ns;
    }
    if (front && front->key < next_ns)
        next_ns = front->key;
    return send && send->key < next_ns ? send->key : next_ns;
}

/* An instance may have to change its role: from now on it gets nothing. */
static void look_at_roles(struct router *router, int64_t now_ns)
{
    int64_t words[ENGINE_WORDS] = {0};
    uint32_t entity = roles_look(router->roles, now_ns, &words[0]);
    if (entity < ENTITY_FIRST_INSTANCE)
        return;
    targets_remove(router->by_entity[entity]->set, entity);
    engine_send(router->engine, ENTITY_ROUTER, entity, now_ns + router->cluster.latency_ns, MESSAGE_SWITCH,
                words, NULL);
}

/* An instance has changed its role. */
static void take_switched(struct router *router, uint32_t entity, int64_t now_ns)
{
    const struct known *known = roles_switched(router->roles, entity, now_ns);
    targets_add(known->role == ROLE_DECODE ? &router->decodes : &router->entries, entity, &known->kv,
                known->counted);
    serve_gate(router, now_ns);
}

static void on_wake(void *state, struct engine *engine, uint32_t entity, int64_t now_ns)
{
    struct router *router = state;
    const struct heap_entry *top;
    if (router->roles)
        look_at_roles(router, now_ns);
    if (gate_count(&router->gate) > 0)
        serve_gate(router, now_ns);
    send_due(router, now_ns);
    while ((top = heap_top(&router->frontend)) && top->key <= now_ns) {
        uint32_t place = top->id;
        struct request *request = router->pending[place];
        heap_remove(&router->frontend, place);
        if (router->free_pending_count == router->free_pending_capacity)
            router->free_pending = mem_grow(router->free_pending, &router->free_pending_capacity,
                                            router->free_pending_count + 1, sizeof(uint32_t));
        router->free_pending[router->free_pending_count++] = place;
        take_in(router, request, now_ns);
        send_due(router, now_ns);
    }
    engine_wake(engine, entity, next_time(router, now_ns));
}

/* What came is known, and taken by those whom it concerns. */
static void take_message(struct router *router, const struct event *event)
{
    struct request *request = event->body;
    int64_t now_ns = event->time_ns;
    switch (event->type) {
    case MESSAGE_REPORT:
        if (router->roles)
            roles_report(router->roles, event->source, event->words);
        if (router->by_entity[event->source]) /* else it is about to change its role */
            targets_report(router->by_entity[event->source], event->words, request);
        if (request)
            engine_body_free(router->engine, request);
        if (gate_count(&router->gate) > 0) {
            serve_gate(router, now_ns);
            engine_wake(router->engine, ENTITY_ROUTER, next_time(router, now_ns));
        }
        return;
    case MESSAGE_HANDOFF:
        hand_on(router, request, now_ns);
        return;
    case MESSAGE_RETURN:
        dispatch(router, request, now_ns);
        return;
    case MESSAGE_ENDED:
        client_ended(router, (uint32_t)event->words[0], event->words[1] != 0, now_ns);
        engine_wake(router->engine, ENTITY_ROUTER, next_time(router, now_ns));
        return;
    case MESSAGE_SWITCHED:
        take_switched(router, event->source, now_ns);
        return;
    default:
        CHECK(false, "the router got message type %u", event->type);
    }
}

static void on_message(void *state, struct engine *engine, const struct event *event)
{
    struct router *router = state;
    take_message(router, event);
    if (router->roles) /* it may have to look at them again */
        engine_wake(engine, ENTITY_ROUTER, next_time(router, event->time_ns));
}

struct router *router_create(struct engine *engine, const struct router_config *config,
                             const struct router_cluster *cluster, struct workload *workload,
                             struct metrics *metrics)
{
    struct router *router = mem_array(1, sizeof *router);
    router->engine = engine;
    router->config = *config;
    router->cluster = *cluster;
    router->workload = workload;
    router->metrics = metrics;
    router->by_entity = mem_array(ENTITY_FIRST_INSTANCE + cluster->entry_count + cluster->decode_count,
                                  sizeof(struct target *));
    targets_init(&router->entries, &router->config, cluster, false, router->by_entity);
    targets_init(&router->decodes, &router->config, cluster, true, router->by_entity);
    if (router_has_thresholds(&router->config)) {
        router->roles = mem_array(1, sizeof *router->roles);
        roles_init(router->roles, &router->config, cluster);
    }
    engine_attach(engine, ENTITY_ROUTER, &(struct engine_handler){on_message, on_wake}, router);
    if (workload_users(workload) > 0)
        take_client(router);
    else
        take_upcoming(router);
    engine_wake(engine, ENTITY_ROUTER, next_time(router, 0));
    return router;
}

void router_free(struct router *router)
{
    CHECK(router->frontend.count == 0, "%zu requests never left the frontend", router->frontend.count);
    CHECK(gate_count(&router->gate) == 0, "%zu requests never left the router", gate_count(&router->gate));
    gate_clear(&router->gate);
    if (router->roles)
        roles_clear(router->roles);
    mem_free(router->roles);
    targets_clear(&router->entries);
    targets_clear(&router->decodes);
    heap_clear(&router->sends);
    heap_clear(&router->frontend);
    mem_free(router->by_entity);
    mem_free(router->pending);
    mem_free(router->free_pending);
    mem_free(router);
}
