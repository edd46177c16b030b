/* The fabric entity: a flow's message comes when its set-up is over; its bytes drain at the rate that sharing
 * gives it, and both ends are told of its end: at once where nobody that comes later can slow it down, with
 * max-min when it ends. One wake is pending then: the next end of any flow. */
#include "tandem/fabric.h"

#include "internal.h"

#include "tandem/maxmin.h"

const char *const sharing_names[] = {"max-min", "sender", "none", NULL};

struct transfer {
    uint32_t prefill, decode; /* entities */
    uint32_t prefill_slot, decode_slot;
    int64_t bytes;
    double left_bytes, rate;
    int64_t updated_ns; /* left_bytes is as of then */
    uint32_t next_free;
};

struct fabric {
    struct engine *engine;
    struct fabric_config config;
    double *rates;
    int64_t *port_free_ns; /* sharing sender: when a sender's port is free again */
    struct transfer *transfers;
    size_t count, capacity;
    uint32_t free;
    uint64_t started; /* ties of equal ends: order of starting */
    struct heap ends; /* max-min */
    uint64_t *orders;
    size_t order_capacity;
    struct maxmin *maxmin;
};

/* Drains by itself. */
static int64_t time_alone_ns(const struct fabric *fabric, const struct transfer *transfer)
{
    double sender = fabric->rates[transfer->prefill], receiver = fabric->rates[transfer->decode];
    return simtime_from_seconds((double)transfer->bytes / (sender < receiver ? sender : receiver));
}

/* Both ends know L after the end. */
static void tell_ends(struct fabric *fabric, const struct transfer *transfer, int64_t end_ns)
{
    int64_t done_ns = end_ns + fabric->config.latency_ns;
    int64_t to_prefill[ENGINE_WORDS] = {transfer->prefill_slot, transfer->bytes};
    int64_t to_decode[ENGINE_WORDS] = {transfer->decode_slot, transfer->bytes};
    engine_send(fabric->engine, ENTITY_FABRIC, transfer->prefill, done_ns, MESSAGE_KV_DONE, to_prefill, NULL);
    engine_send(fabric->engine, ENTITY_FABRIC, transfer->decode, done_ns, MESSAGE_KV_DONE, to_decode, NULL);
}

static uint32_t take_number(struct fabric *fabric)
{
    uint32_t number = fabric->free;
    if (number != NO_SLOT) {
        fabric->free = fabric->transfers[number].next_free;
        return number;
    }
    fabric->transfers =
        mem_grow(fabric->transfers, &fabric->capacity, fabric->count + 1, sizeof(struct transfer));
    fabric->orders = mem_grow(fabric->orders, &fabric->order_capacity, fabric->count + 1, sizeof(uint64_t));
    return (uint32_t)fabric->count++;
}

/* Brings the flows whose rates changed up to now, and their ends to the new rates. */
static void apply_rates(struct fabric *fabric, int64_t now_ns)
{
    size_t count;
    const uint32_t *changed = maxmin_changed(fabric->maxmin, &count);
    for (size_t i = 0; i < count; i++) {
        struct transfer *transfer = &fabric->transfers[changed[i]];
        double rate = maxmin_rate(fabric->maxmin, changed[i]);
        if (rate == transfer->rate)
            continue;
        double drained = transfer->rate * (double)(now_ns - transfer->updated_ns) * 1e-9;
        transfer->left_bytes = drained < transfer->left_bytes ? transfer->left_bytes - drained : 0;
        transfer->updated_ns = now_ns;
        transfer->rate = rate;
        heap_set(&fabric->ends, changed[i], now_ns + simtime_from_seconds(transfer->left_bytes / rate),
                 fabric->orders[changed[i]]);
    }
}

static void start_sharing(struct fabric *fabric, const struct transfer *transfer, int64_t now_ns)
{
    uint32_t number = take_number(fabric);
    fabric->orders[number] = fabric->started++;
    fabric->transfers[number] = *transfer;
    maxmin_add(fabric->maxmin, number, transfer->prefill, transfer->decode);
    apply_rates(fabric, now_ns);
}

static void end_due(struct fabric *fabric, int64_t now_ns)
{
    const struct heap_entry *top;
    while ((top = heap_top(&fabric->ends)) && top->key <= now_ns) {
        uint32_t number = top->id;
        heap_remove(&fabric->ends, number);
        tell_ends(fabric, &fabric->transfers[number], now_ns);
        fabric->transfers[number].next_free = fabric->free;
        fabric->free = number;
        maxmin_remove(fabric->maxmin, number);
        apply_rates(fabric, now_ns);
    }
}

static void set_wake(struct fabric *fabric)
{
    const struct heap_entry *top = heap_top(&fabric->ends);
    engine_wake(fabric->engine, ENTITY_FABRIC, top ? top->key : SIMTIME_NEVER);
}

static void on_flow(void *state, struct engine *engine, const struct event *event)
{
    (void)engine;
    struct fabric *fabric = state;
    CHECK(event->type == MESSAGE_FLOW, "the fabric got message type %u", event->type);
    int64_t now_ns = event->time_ns;
    struct transfer transfer = {
        .prefill = (uint32_t)event->words[FLOW_PREFILL],
        .decode = event->source,
        .prefill_slot = (uint32_t)((uint64_t)event->words[FLOW_SLOTS] >> 32),
        .decode_slot = (uint32_t)event->words[FLOW_SLOTS],
        .bytes = event->words[FLOW_BYTES],
        .left_bytes = (double)event->words[FLOW_BYTES],
        .updated_ns = now_ns,
    };
    int64_t *free_ns = &fabric->port_free_ns[transfer.prefill];
    switch (fabric->config.sharing) {
    case SHARING_NONE:
        tell_ends(fabric, &transfer, now_ns + time_alone_ns(fabric, &transfer));
        return;
    case SHARING_SENDER: /* one after another at the sender's port */
        *free_ns = (*free_ns > now_ns ? *free_ns : now_ns) + time_alone_ns(fabric, &transfer);
        tell_ends(fabric, &transfer, *free_ns);
        return;
    default:
        end_due(fabric, now_ns); /* what ends now makes room first, and does not wait for a rounded rest */
        start_sharing(fabric, &transfer, now_ns);
        set_wake(fabric);
    }
}

static void on_wake(void *state, struct engine *engine, uint32_t entity, int64_t now_ns)
{
    (void)engine;
    (void)entity;
    struct fabric *fabric = state;
    end_due(fabric, now_ns);
    set_wake(fabric);
}

struct fabric *fabric_create(struct engine *engine, const struct fabric_config *config)
{
    struct fabric *fabric = mem_array(1, sizeof *fabric);
    fabric->engine = engine;
    fabric->config = *config;
    fabric->free = NO_SLOT;
    fabric->rates = mem_array(config->entities, sizeof(double));
    for (uint32_t i = 0; i < config->entities; i++)
        fabric->rates[i] = config->rates[i];
    fabric->config.rates = fabric->rates;
    fabric->port_free_ns = mem_array(config->entities, sizeof(int64_t));
    fabric->maxmin = maxmin_create(fabric->rates, config->entities);
    engine_attach(engine, ENTITY_FABRIC, &(struct engine_handler){on_flow, on_wake}, fabric);
    return fabric;
}

void fabric_free(struct fabric *fabric)
{
    CHECK(fabric->ends.count == 0, "%zu transfers never ended", fabric->ends.count);
    heap_clear(&fabric->ends);
    maxmin_free(fabric->maxmin);
    mem_free(fabric->transfers);
    mem_free(fabric->orders);
    mem_free(fabric->rates);
    mem_free(fabric->port_free_ns);
    mem_free(fabric);
}
