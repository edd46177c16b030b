#include "internal.h"

#include <string.h>

#include "tandem/check.h"
#include "tandem/simtime.h"

#define BODIES_PER_CHUNK 256
#define TAIL_CHUNK_BYTES (1 << 16)
#define FETCH_BYTES      1088 /* of an entity's state: what most events look at */
#define FETCH_ENTITIES   512
#define EVENTS_PER_LOOK  65536 /* events between two looks at the hooks */

void engine_partition(const double *weights, uint32_t entities, int ranks, uint32_t *owners)
{
    double total = 0, before = 0;
    for (uint32_t i = 0; i < entities; i++)
        total += weights[i];
    for (uint32_t i = 0; i < entities; i++) {
        /* The rank in whose share the entity's middle lies, .. */
        double middle = total > 0 ? (before + weights[i] / 2) / total : 0;
        int64_t rank = (int64_t)(middle * ranks);
        /* .. late enough that those behind it fill the ranks behind, .. */
        int64_t least = (int64_t)ranks - (entities - i);
        rank = rank > least ? rank : least;
        /* .. but no rank is passed over: the first has rank 0, however heavy it is. */
        int64_t most = i > 0 ? (int64_t)owners[i - 1] + 1 : 0;
        most = most < ranks ? most : ranks - 1;
        owners[i] = (uint32_t)(rank < most ? rank : most);
        before += weights[i];
    }
}

struct engine *engine_create(MPI_Comm comm, const struct engine_config *config)
{
    CHECK(config->lookahead_ns > 0, "lookahead must be positive");
    CHECK(config->body_bytes >= sizeof(void *), "bodies hold at least a pointer");
    struct engine *engine = mem_array(1, sizeof *engine);
    MPI_Comm_dup(comm, &engine->comm);
    MPI_Comm_rank(engine->comm, &engine->rank);
    MPI_Comm_size(engine->comm, &engine->ranks);
    engine->config = *config;
    engine->owners = mem_array(config->entities, sizeof(uint32_t));
    memcpy(engine->owners, config->owners, config->entities * sizeof(uint32_t));
    engine->config.owners = engine->owners;
    engine->slots = mem_array(config->entities, sizeof(struct slot));
    for (uint32_t i = 0; i < config->entities; i++)
        engine->slots[i].wake_ns = SIMTIME_NEVER;
    tournament_init(&engine->wakes, config->entities);
    engine->handled = NO_ENTITY;
    exchange_init(engine);
    return engine;
}

void engine_free(struct engine *engine)
{
    CHECK(engine->live_bodies == 0, "%zu bodies were never given back", engine->live_bodies);
    for (size_t i = 0; i < engine->body_chunk_count; i++)
        mem_free(engine->body_chunks[i]);
    mem_free(engine->body_chunks);
    exchange_clear(engine);
    queue_clear(&engine->queue);
    tournament_clear(&engine->wakes);
    mem_free(engine->slots);
    mem_free(engine->owners);
    MPI_Comm_free(&engine->comm);
    mem_free(engine);
}

bool engine_is_local(const struct engine *engine, uint32_t entity)
{
    return engine->owners[entity] == (uint32_t)engine->rank;
}

void engine_attach(struct engine *engine, uint32_t entity, const struct engine_handler *handler, void *state)
{
    CHECK(entity < engine->config.entities && engine_is_local(engine, entity),
          "entity %u is not of this rank", entity);
    size_t kind = 0;
    while (kind < engine->handler_count && (engine->handlers[kind].message != handler->message ||
                                            engine->handlers[kind].wake != handler->wake))
        kind++;
    CHECK(kind < ENGINE_HANDLERS, "more than %d kinds of entities", ENGINE_HANDLERS);
    if (kind == engine->handler_count)
        engine->handlers[engine->handler_count++] = *handler;
    engine->slots[entity].handler = &engine->handlers[kind];
    engine->slots[entity].state = state;
}

static void add_chunk(struct engine *engine, void *chunk)
{
    if (engine->body_chunk_count == engine->body_chunk_capacity)
        engine->body_chunks = mem_grow(engine->body_chunks, &engine->body_chunk_capacity,
                                       engine->body_chunk_count + 1, sizeof(void *));
    engine->body_chunks[engine->body_chunk_count++] = chunk;
}

void *body_take(struct engine *engine)
{
    if (!engine->free_bodies) {
        char *chunk = mem_array(BODIES_PER_CHUNK, engine->config.body_bytes);
        add_chunk(engine, chunk);
        for (size_t i = BODIES_PER_CHUNK; i-- > 0;) {
            void *body = chunk + i * engine->config.body_bytes;
            memcpy(body, &engine->free_bodies, sizeof(void *));
            engine->free_bodies = body;
        }
    }
    void *body = engine->free_bodies;
    memcpy(&engine->free_bodies, body, sizeof(void *));
    engine->live_bodies++;
    return body;
}

void *engine_body_new(struct engine *engine)
{
    return memset(body_take(engine), 0, engine->config.body_bytes);
}

static size_t tail_class(size_t count)
{
    size_t class = 0;
    while (((size_t)TAIL_BYTES << class) < count)
        class ++;
    CHECK(class < TAIL_CLASSES, "a tail of %zu bytes", count);
    return class;
}

void *engine_body_extend(struct engine *engine, void *body, size_t count)
{
    struct engine_tail *tail = body_tail(engine, body);
    CHECK(tail && !tail->bytes && count > 0, "a body cannot have a tail of %zu bytes", count);
    size_t class = tail_class(count), size = (size_t)TAIL_BYTES << class;
    if (!engine->free_tails[class]) {
        size_t tails = size < TAIL_CHUNK_BYTES ? TAIL_CHUNK_BYTES / size : 1;
        char *chunk = mem_array(tails, size);
        add_chunk(engine, chunk);
        for (size_t i = tails; i-- > 0;) {
            void *place = chunk + i * size;
            memcpy(place, &engine->free_tails[class], sizeof(void *));
            engine->free_tails[class] = place;
        }
    }
    *tail = (struct engine_tail){engine->free_tails[class], count};
    memcpy(&engine->free_tails[class], tail->bytes, sizeof(void *));
    return tail->bytes;
}

static void free_tail(struct engine *engine, const struct engine_tail *tail)
{
    size_t class = tail_class(tail->count);
    memcpy(tail->bytes, &engine->free_tails[class], sizeof(void *));
    engine->free_tails[class] = tail->bytes;
}

void engine_body_free(struct engine *engine, void *body)
{
    const struct engine_tail *tail = body_tail(engine, body);
    if (tail && tail->bytes)
        free_tail(engine, tail);
    memcpy(body, &engine->free_bodies, sizeof(void *));
    engine->free_bodies = body;
    engine->live_bodies--;
}

void engine_send(struct engine *engine, uint32_t source, uint32_t destination, int64_t time_ns, uint32_t type,
                 const int64_t words[ENGINE_WORDS], void *body)
{
    CHECK(destination < engine->config.entities && destination != source && engine_is_local(engine, source),
          "message from %u to %u", source, destination);
    CHECK(time_ns >= engine->now_ns + engine->config.lookahead_ns,
          "message from %u to %u at %lld ns, earlier than now %lld + lookahead %lld", source, destination,
          (long long)time_ns, (long long)engine->now_ns, (long long)engine->config.lookahead_ns);
    bool local = engine_is_local(engine, destination);
    struct queue_item *place = local ? queue_append(&engine->queue, engine->rank, time_ns) : NULL;
    struct queue_item *into = place ? place : &engine->aside;
    static const int64_t no_words[ENGINE_WORDS];
    into->count = engine->slots[source].sent++;
    into->event.time_ns = time_ns;
    into->event.destination = destination;
    into->event.source = source;
    into->event.type = type;
    into->event.body = body;
    memcpy(into->event.words, words ? words : no_words, sizeof into->event.words); /* no branch */
    if (!local)
        exchange_add(engine, (int)engine->owners[destination], into);
    else if (!place)
        queue_push(&engine->queue, engine->rank, into);
}

void engine_wake(struct engine *engine, uint32_t entity, int64_t time_ns)
{
    CHECK(entity < engine->config.entities && engine_is_local(engine, entity), "wake of %u, not of this rank",
          entity);
    CHECK(time_ns >= engine->now_ns, "wake of %u at %lld ns, before now %lld", entity, (long long)time_ns,
          (long long)engine->now_ns);
    engine->slots[entity].wake_ns = time_ns;
    if (entity != engine->handled)
        tournament_set(&engine->wakes, entity, time_ns);
}

void engine_count(struct engine *engine, uint64_t n)
{
    engine->counted += n;
}

int64_t engine_next_ns(struct engine *engine)
{
    const struct queue_item *message = queue_top(&engine->queue);
    int64_t wake_ns = tournament_least(&engine->wakes);
    return message && message->event.time_ns < wake_ns ? message->event.time_ns : wake_ns;
}

/* Whether the first message comes before the first wake: at the same time and entity it does. */
static bool message_first(const struct engine *engine, const struct queue_item *message)
{
    int64_t wake_ns = tournament_least(&engine->wakes);
    if (!message || message->event.time_ns != wake_ns)
        return message && message->event.time_ns < wake_ns;
    return message->event.destination <= tournament_winner(&engine->wakes);
}

static void call_wake(struct engine *engine, uint32_t entity, int64_t now_ns)
{
    struct slot *slot = &engine->slots[entity];
    CHECK(slot->handler && slot->handler->wake, "entity %u has no handler", entity);
    slot->wake_ns = SIMTIME_NEVER;
    engine->now_ns = now_ns;
    engine->stats.wakes++;
    slot->handler->wake(slot->state, engine, entity, now_ns);
}

/* After an entity was handled: where it wants to be woken at once and nothing comes before, it is; then its
 * wake takes its place among the others. */
static void settle(struct engine *engine, uint32_t entity)
{
    const struct slot *slot = &engine->slots[entity];
    int64_t now_ns = engine->now_ns;
    while (slot->wake_ns == now_ns) {
        const struct queue_item *message = queue_top(&engine->queue);
        if ((message && message->event.time_ns == now_ns && message->event.destination <= entity) ||
            (tournament_least(&engine->wakes) == now_ns && tournament_winner(&engine->wakes) < entity))
            break;
        call_wake(engine, entity, now_ns);
    }
    engine->handled = NO_ENTITY;
    if (tournament_value(&engine->wakes, entity) != slot->wake_ns)
        tournament_set(&engine->wakes, entity, slot->wake_ns);
}

/* With many entities the states of those that come next are not in the CPU's caches. */
static bool fetches(const struct engine *engine)
{
    return engine->config.entities >= FETCH_ENTITIES;
}

static void fetch_ahead(const struct engine *engine)
{
    const struct queue_item *ahead = fetches(engine) ? queue_ahead(&engine->queue) : NULL;
    if (!ahead)
        return;
    mem_fetch(engine->slots[ahead->event.destination].state, FETCH_BYTES);
    if (ahead->event.body)
        mem_fetch(ahead->event.body, engine->config.body_bytes);
}

/* Fetches for the wake that comes after that of an entity. */
static void fetch_next_wake(struct engine *engine, uint32_t entity)
{
    if (!fetches(engine))
        return;
    tournament_set(&engine->wakes, entity, SIMTIME_NEVER); /* settle() sets it again */
    mem_fetch(engine->slots[tournament_winner(&engine->wakes)].state, FETCH_BYTES);
}

/* Handles the next event; false when none comes before the horizon. */
static bool handle_next(struct engine *engine, int64_t horizon_ns)
{
    const struct queue_item *message = queue_top(&engine->queue);
    if (message_first(engine, message)) {
        if (message->event.time_ns >= horizon_ns)
            return false;
        struct event event = message->event;
        queue_drop_top(&engine->queue);
        fetch_ahead(engine);
        const struct slot *slot = &engine->slots[event.destination];
        CHECK(slot->handler && slot->handler->message, "entity %u has no handler", event.destination);
        engine->now_ns = event.time_ns;
        engine->handled = event.destination;
        engine->stats.messages++;
        slot->handler->message(slot->state, engine, &event);
    } else {
        int64_t wake_ns = tournament_least(&engine->wakes);
        if (wake_ns >= horizon_ns)
            return false;
        uint32_t entity = tournament_winner(&engine->wakes);
        engine->handled = entity;
        fetch_next_wake(engine, entity);
        call_wake(engine, entity, wake_ns);
    }
    settle(engine, engine->handled);
    return true;
}

/* Handles events earlier than the horizon; returns after EVENTS_PER_LOOK at the latest (true: more are left).
 */
static bool handle_until(struct engine *engine, int64_t horizon_ns)
{
    for (int i = 0; i < EVENTS_PER_LOOK; i++)
        if (!handle_next(engine, horizon_ns))
            return false;
    return true;
}

static void show_progress(const struct engine *engine)
{
    const struct engine_hooks *hooks = &engine->hooks;
    if (hooks->progress && engine->rank == 0)
        hooks->progress(hooks->context, engine->now_ns,
                        engine->ranks == 1 ? engine->counted : engine->total_counted);
}

/* What this rank holds for collect. */
static uint64_t held(const struct engine *engine)
{
    return engine->hooks.collect ? engine->hooks.held(engine->hooks.context) : 0;
}

/* Collects when the most that a rank holds is enough. False: the run ends. */
static bool collect(struct engine *engine, uint64_t most_held)
{
    const struct engine_hooks *hooks = &engine->hooks;
    if (!hooks->collect || most_held < hooks->collect_at)
        return true;
    double start_s = MPI_Wtime();
    bool go_on = hooks->collect(hooks->context);
    engine->stats.collect_s += MPI_Wtime() - start_s;
    return go_on;
}

static bool run_alone(struct engine *engine)
{
    double start_s = MPI_Wtime();
    bool go_on = true;
    engine->stats.windows = 1;
    while (go_on && handle_until(engine, SIMTIME_NEVER)) {
        show_progress(engine);
        go_on = collect(engine, held(engine));
    }
    engine->stats.compute_s += MPI_Wtime() - start_s - engine->stats.collect_s;
    return go_on;
}

static void run_window(struct engine *engine, int64_t horizon_ns)
{
    engine->stats.windows++;
    while (handle_until(engine, horizon_ns))
        show_progress(engine);
    if (engine->stats.windows % 1024 == 0)
        show_progress(engine);
}

static bool run_together(struct engine *engine)
{
    const int64_t lookahead_ns = engine->config.lookahead_ns;
    for (;;) {
        double start_s = MPI_Wtime();
        uint64_t most_held = held(engine);
        int64_t floor_ns = exchange_round(engine, &most_held);
        double exchanged_s = MPI_Wtime();
        engine->stats.exchange_s += exchanged_s - start_s;
        bool go_on = collect(engine, most_held);
        if (!go_on || floor_ns == SIMTIME_NEVER)
            return go_on;
        start_s = MPI_Wtime();
        run_window(engine, floor_ns < SIMTIME_NEVER - lookahead_ns ? floor_ns + lookahead_ns : SIMTIME_NEVER);
        engine->stats.compute_s += MPI_Wtime() - start_s;
    }
}

bool engine_run(struct engine *engine, const struct engine_hooks *hooks)
{
    engine->hooks = hooks ? *hooks : (struct engine_hooks){0};
    return engine->ranks > 1 ? run_together(engine) : run_alone(engine);
}

struct engine_stats engine_stats(const struct engine *engine)
{
    return engine->stats;
}
