/* The fabric entity: a flow waits for its set-up, then its bytes drain at the rate that sharing gives it.
 * Both ends are told of its end. One wake is pending: the next start, or with max-min the next end, of any
 * flow. */
#include "tandem/fabric.h"

#include "internal.h"

#include "tandem/maxmin.h"

const char *const sharing_names[] = {"max-min", "sender", "none", NULL};

struct transfer {
    uint32_t prefill, decode;  /* entities */
    uint32_t sender, receiver; /* ports */
    int64_t prefill_place, decode_place;
    int64_t bytes;
    double left_bytes, rate;
    int64_t updated_ns; /* left_bytes is as of then */
    double cap;         /* on the rate, bytes/s, up to cap_end_ns; 0: none */
    int64_t cap_end_ns;
    bool draining;
    uint32_t next_free;
};

struct fabric {
    struct engine *engine;
    struct fabric_config config;
    uint32_t *first_port;  /* of each entity; one more: of all */
    double *rates;         /* of ports */
    int64_t *port_free_ns; /* sharing sender: when a sender's port is free again */
    struct transfer *transfers;
    size_t count, capacity;
    uint32_t free;
    uint64_t started; /* ties of equal times: order of opening */
    struct heap next; /* start of each transfer, max-min: then its end */
    uint64_t *orders;
    size_t order_capacity;
    struct maxmin *maxmin;
};

/* When it has drained by itself, from a time on. */
static int64_t end_alone_ns(const struct fabric *fabric, const struct transfer *transfer, int64_t start_ns)
{
    double sender = fabric->rates[transfer->sender], receiver = fabric->rates[transfer->receiver];
    double rate = sender < receiver ? sender : receiver, left = (double)transfer->bytes;
    if (transfer->cap > 0 && transfer->cap < rate && start_ns < transfer->cap_end_ns) {
        double capped = transfer->cap * (double)(transfer->cap_end_ns - start_ns) * 1e-9;
        if (capped >= left)
            return start_ns + simtime_from_seconds(left / transfer->cap);
        left -= capped;
        start_ns = transfer->cap_end_ns;
    }
    return start_ns + simtime_from_seconds(left / rate);
}

static void set_next(struct fabric *fabric, uint32_t number, int64_t time_ns)
{
    heap_set(&fabric->next, number, time_ns, fabric->orders[number]);
}

/* Both ends know L after the end. */
static void tell_ends(struct fabric *fabric, const struct transfer *transfer, int64_t end_ns)
{
    int64_t done_ns = end_ns + fabric->config.latency_ns;
    int64_t to_prefill[ENGINE_WORDS] = {transfer->prefill_place, transfer->bytes};
    int64_t to_decode[ENGINE_WORDS] = {transfer->decode_place, transfer->bytes};
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

/* Members are numbered lane by lane of each micro-batch (replica.h). */
static uint32_t port_of(const struct fabric *fabric, uint32_t entity, int64_t place)
{
    uint32_t first = fabric->first_port[entity], lanes = fabric->first_port[entity + 1] - first;
    return first + (uint32_t)(place >> 32) % lanes;
}

static void on_flow(void *state, struct engine *engine, const struct event *event)
{
    struct fabric *fabric = state;
    CHECK(event->type == MESSAGE_FLOW || event->type == MESSAGE_PUSH, "the fabric got message type %u",
          event->type);
    bool pushed = event->type == MESSAGE_PUSH; /* the one that opens the flow names the other */
    struct transfer transfer = {
        .prefill = pushed ? event->source : (uint32_t)event->words[FLOW_PEER],
        .decode = pushed ? (uint32_t)event->words[FLOW_PEER] : event->source,
        .prefill_place = event->words[FLOW_PREFILL_PLACE],
        .decode_place = event->words[FLOW_DECODE_PLACE],
        .bytes = event->words[FLOW_BYTES],
        .left_bytes = (double)event->words[FLOW_BYTES],
    };
    if (event->body) {
        const struct request *times = event->body;
        transfer.cap = (double)transfer.bytes / ((double)times->flow_length_ns * 1e-9);
        transfer.cap_end_ns = times->flow_limit_ns;
        engine_body_free(engine, event->body);
    }
    transfer.sender = port_of(fabric, transfer.prefill, transfer.prefill_place);
    transfer.receiver = port_of(fabric, transfer.decode, transfer.decode_place);
    int64_t start_ns = event->time_ns + event->words[FLOW_LATENCY_NS];
    if (fabric->config.sharing == SHARING_NONE) {
        tell_ends(fabric, &transfer, end_alone_ns(fabric, &transfer, start_ns));
        return;
    }
    uint32_t number = take_number(fabric);
    fabric->orders[number] = fabric->started++;
    fabric->transfers[number] = transfer;
    set_next(fabric, number, start_ns);
    engine_wake(fabric->engine, ENTITY_FABRIC, heap_top(&fabric->next)->key);
}

/* Its bytes are brought up to now; its next event is its end at the rate that it has, or that of its cap. */
static void set_rate(struct fabric *fabric, uint32_t number, double rate, int64_t now_ns)
{
    struct transfer *transfer = &fabric->transfers[number];
    double drained = transfer->rate * (double)(now_ns - transfer->updated_ns) * 1e-9;
    transfer->left_bytes = drained < transfer->left_bytes ? transfer->left_bytes - drained : 0;
    transfer->updated_ns = now_ns;
    transfer->rate = rate;
    int64_t end_ns = now_ns + simtime_from_seconds(transfer->left_bytes / rate);
    if (transfer->cap > 0 && transfer->cap_end_ns < end_ns)
        end_ns = transfer->cap_end_ns;
    set_next(fabric, number, end_ns);
}

/* Brings the flows whose rates changed up to now, and their ends to the new rates. */
static void apply_rates(struct fabric *fabric, int64_t now_ns)
{
    size_t count;
    const uint32_t *changed = maxmin_changed(fabric->maxmin, &count);
    for (size_t i = 0; i < count; i++) {
        const struct transfer *transfer = &fabric->transfers[changed[i]];
        double rate = maxmin_rate(fabric->maxmin, changed[i]);
        if (rate == transfer->rate)
            continue;
        set_rate(fabric, changed[i], rate, now_ns);
    }
}

static void drop(struct fabric *fabric, uint32_t number)
{
    heap_remove(&fabric->next, number);
    fabric->transfers[number].next_free = fabric->free;
    fabric->free = number;
}

/* One after another at the sender's port: nobody that comes later can slow a transfer down, so its end is
 * known when it starts to drain. */
static void drain_in_turn(struct fabric *fabric, uint32_t number, int64_t now_ns)
{
    const struct transfer *transfer = &fabric->transfers[number];
    int64_t *free_ns = &fabric->port_free_ns[transfer->sender];
    *free_ns = end_alone_ns(fabric, transfer, *free_ns > now_ns ? *free_ns : now_ns);
    tell_ends(fabric, transfer, *free_ns);
    drop(fabric, number);
}

static void start_draining(struct fabric *fabric, uint32_t number, int64_t now_ns)
{
    struct transfer *transfer = &fabric->transfers[number];
    if (fabric->config.sharing == SHARING_SENDER) {
        drain_in_turn(fabric, number, now_ns);
        return;
    }
    transfer->draining = true;
    transfer->updated_ns = now_ns;
    const uint32_t path[] = {2 * transfer->sender, 2 * transfer->receiver + 1};
    if (transfer->cap_end_ns <= now_ns)
        transfer->cap = 0;
    maxmin_add(fabric->maxmin, number, path, 2, transfer->cap > 0 ? transfer->cap : MAXMIN_NO_CAP);
    apply_rates(fabric, now_ns);
}

/* All that it sends has been computed. */
static void lift_cap(struct fabric *fabric, uint32_t number, int64_t now_ns)
{
    struct transfer *transfer = &fabric->transfers[number];
    transfer->cap = 0;
    maxmin_set_cap(fabric->maxmin, number, MAXMIN_NO_CAP);
    set_rate(fabric, number, maxmin_rate(fabric->maxmin, number), now_ns);
    apply_rates(fabric, now_ns);
}

static void end_transfer(struct fabric *fabric, uint32_t number, int64_t now_ns)
{
    tell_ends(fabric, &fabric->transfers[number], now_ns);
    drop(fabric, number);
    maxmin_remove(fabric->maxmin, number);
    apply_rates(fabric, now_ns);
}

static void on_wake(void *state, struct engine *engine, uint32_t entity, int64_t now_ns)
{
    struct fabric *fabric = state;
    const struct heap_entry *top;
    while ((top = heap_top(&fabric->next)) && top->key <= now_ns) {
        if (fabric->transfers[top->id].cap > 0 && fabric->transfers[top->id].draining &&
            fabric->transfers[top->id].cap_end_ns <= now_ns)
            lift_cap(fabric, top->id, now_ns);
        else if (fabric->transfers[top->id].draining)
            end_transfer(fabric, top->id, now_ns);
        else
            start_draining(fabric, top->id, now_ns);
    }
    engine_wake(engine, entity, top ? top->key : SIMTIME_NEVER);
}

static void make_ports(struct fabric *fabric)
{
    const struct fabric_config *config = &fabric->config;
    fabric->first_port = mem_array(config->entities + 1, sizeof *fabric->first_port);
    for (uint32_t i = 0; i < config->entities; i++)
        fabric->first_port[i + 1] = fabric->first_port[i] + (config->lanes ? (uint32_t)config->lanes[i] : 1);
    uint32_t ports = fabric->first_port[config->entities];
    fabric->rates = mem_array(ports, sizeof *fabric->rates);
    for (uint32_t i = 0; i < config->entities; i++)
        for (uint32_t port = fabric->first_port[i]; port < fabric->first_port[i + 1]; port++)
            fabric->rates[port] = config->rates[i];
    fabric->port_free_ns = mem_array(ports, sizeof(int64_t));
    double *sides = mem_array(2 * (size_t)ports, sizeof *sides); /* sending, receiving */
    for (uint32_t i = 0; i < 2 * ports; i++)
        sides[i] = fabric->rates[i / 2];
    fabric->maxmin = maxmin_create(sides, 2 * ports, 2 * ports);
    mem_free(sides);
}

struct fabric *fabric_create(struct engine *engine, const struct fabric_config *config)
{
    struct fabric *fabric = mem_array(1, sizeof *fabric);
    fabric->engine = engine;
    fabric->config = *config;
    fabric->free = NO_SLOT;
    make_ports(fabric);
    engine_attach(engine, ENTITY_FABRIC, &(struct engine_handler){on_flow, on_wake}, fabric);
    return fabric;
}

void fabric_free(struct fabric *fabric)
{
    CHECK(fabric->next.count == 0, "%zu transfers never ended", fabric->next.count);
    heap_clear(&fabric->next);
    maxmin_free(fabric->maxmin);
    mem_free(fabric->transfers);
    mem_free(fabric->orders);
    mem_free(fabric->first_port);
    mem_free(fabric->rates);
    mem_free(fabric->port_free_ns);
    mem_free(fabric);
}
