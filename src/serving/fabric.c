/* The fabric entity: a flow waits for its set-up, then its bytes drain at the rate that sharing gives it over
 * its path: ports, and uplinks where it leaves a leaf.
 * Both ends are told of its end. One wake is pending: the next start, or with max-min the next end, of any
 * flow. With max-min those that a resource limits change their rates together: the resource has one event,
 * that of the first of them. */
#include "tandem/fabric.h"

#include <string.h>

#include "internal.h"

#include "tandem/maxmin.h"

const char *const sharing_names[] = {"max-min", "sender", "none", NULL};

/* What draining looks at comes first, in one line of the cache. */
struct transfer {
    double left_bytes, rate;
    int64_t updated_ns; /* left_bytes is as of then */
    int64_t bin_end_ns; /* of the traffic's bin in which the next byte counts */
    uint64_t order;     /* of opening */
    int64_t cap_end_ns; /* when all that it sends is computed */
    uint32_t group;     /* the resource that limits it; resources + number: none, its event is its own */
    bool draining;
    bool capped;                  /* now: its rate is at most cap until cap_end_ns */
    int64_t bytes, counted_bytes; /* counted: in the traffic */
    uint32_t path[MAXMIN_RESOURCES], path_length;
    uint32_t prefill, decode; /* entities */
    int64_t prefill_place, decode_place;
    int64_t started_ns; /* draining */
    double cap;         /* bytes/s at which what it sends is computed; 0: it was there */
    uint32_t next_free;
};

/* Draining transfers that a resource limits: the rate of all is the same, and the first event is that of the
 * group. */
struct group {
    uint32_t members;
    uint32_t first; /* of them, that whose event comes first */
};

struct fabric {
    struct engine *engine;
    struct fabric_config config;
    struct fabric_place *places; /* of entities */
    uint32_t *first_port;        /* of each entity; one more: of all */
    /* Resources: each port sending and receiving; with local once more; each leaf up and down. */
    uint32_t first_local, first_leaf, resources;
    double *rates;         /* of resources */
    uint32_t *links;       /* of resources: what they count as */
    int64_t *port_free_ns; /* sharing sender: when a sender's port is free again */
    struct traffic traffic;
    struct transfer *transfers;
    size_t count, capacity;
    uint32_t free;
    uint64_t started;     /* ties of equal times: order of opening */
    struct group *groups; /* of resources */
    struct heap next;     /* first event by group; resources + number: of a transfer in none */
    struct maxmin *maxmin;
};

/* With the network to itself. */
static double rate_alone(const struct fabric *fabric, const struct transfer *transfer)
{
    double least = fabric->rates[transfer->path[0]];
    for (uint32_t k = 1; k < transfer->path_length; k++) {
        double rate = fabric->rates[transfer->path[k]];
        least = rate < least ? rate : least;
    }
    return least;
}

static int64_t end_alone_ns(const struct fabric *fabric, const struct transfer *transfer, int64_t start_ns)
{
    double rate = rate_alone(fabric, transfer), left = (double)transfer->bytes;
    if (transfer->cap > 0 && transfer->cap < rate && start_ns < transfer->cap_end_ns) {
        double capped = transfer->cap * (double)(transfer->cap_end_ns - start_ns) * 1e-9;
        if (capped >= left)
            return start_ns + simtime_from_seconds(left / transfer->cap);
        left -= capped;
        start_ns = transfer->cap_end_ns;
    }
    return start_ns + simtime_from_seconds(left / rate);
}

/* Puts what moved since the last count into the bin that holds at_ns. */
static void count(struct fabric *fabric, struct transfer *transfer, int64_t at_ns, int64_t moved_bytes)
{
    uint64_t *counters = traffic_at(&fabric->traffic, at_ns);
    uint64_t bytes = (uint64_t)(moved_bytes - transfer->counted_bytes);
    const uint32_t *links = fabric->links, *path = transfer->path, *end = path + transfer->path_length;
    transfer->counted_bytes = moved_bytes;
    while (path < end)
        counters[links[*path++]] += bytes;
}

/* Counts what flowed in the bins that are over, at a rate that has not changed since the last update. */
static void count_bins(struct fabric *fabric, struct transfer *transfer, int64_t now_ns)
{
    while (transfer->bin_end_ns < now_ns) {
        double drained = transfer->rate * (double)(transfer->bin_end_ns - transfer->updated_ns) * 1e-9;
        double left = drained < transfer->left_bytes ? transfer->left_bytes - drained : 0;
        count(fabric, transfer, transfer->bin_end_ns - 1, transfer->bytes - (int64_t)ceil(left));
        transfer->bin_end_ns = traffic_bin_end_ns(&fabric->traffic, transfer->bin_end_ns);
    }
}

/* Brings a transfer up to now, from when on it has another rate. */
static void change_rate(struct fabric *fabric, struct transfer *transfer, double rate, int64_t now_ns)
{
    if (now_ns > transfer->bin_end_ns)
        count_bins(fabric, transfer, now_ns);
    double drained = transfer->rate * (double)(now_ns - transfer->updated_ns) * 1e-9;
    transfer->left_bytes = drained < transfer->left_bytes ? transfer->left_bytes - drained : 0;
    transfer->updated_ns = now_ns;
    transfer->rate = rate;
}

static void start(struct fabric *fabric, struct transfer *transfer, int64_t now_ns)
{
    transfer->draining = true;
    transfer->started_ns = transfer->updated_ns = now_ns;
    transfer->capped = transfer->cap > 0 && now_ns < transfer->cap_end_ns;
    transfer->bin_end_ns = traffic_bin_end_ns(&fabric->traffic, now_ns);
}

/* All bytes are there: counts the rest. Both ends know L after the end. */
static void finish(struct fabric *fabric, struct transfer *transfer, int64_t end_ns, int64_t lost_ns)
{
    if (end_ns > transfer->bin_end_ns)
        count_bins(fabric, transfer, end_ns);
    count(fabric, transfer, end_ns - (end_ns > transfer->started_ns), transfer->bytes);
    int64_t done_ns = end_ns + fabric->config.latency_ns;
    int64_t words[ENGINE_WORDS] = {transfer->prefill_place, transfer->bytes, lost_ns};
    engine_send(fabric->engine, ENTITY_FABRIC, transfer->prefill, done_ns, MESSAGE_KV_DONE, words, NULL);
    words[KV_DONE_PLACE] = transfer->decode_place;
    engine_send(fabric->engine, ENTITY_FABRIC, transfer->decode, done_ns, MESSAGE_KV_DONE, words, NULL);
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
    return (uint32_t)fabric->count++;
}

/* A transfer's event is that of its group from now on. */
static void leave_group(struct fabric *fabric, const struct transfer *transfer)
{
    if (transfer->group >= fabric->resources || --fabric->groups[transfer->group].members == 0)
        heap_remove(&fabric->next, transfer->group);
}

static void set_group(struct fabric *fabric, struct transfer *transfer, uint32_t group)
{
    if (transfer->group == group)
        return;
    leave_group(fabric, transfer);
    transfer->group = group;
    if (group < fabric->resources)
        fabric->groups[group].members++;
}

static void drop(struct fabric *fabric, uint32_t number)
{
    leave_group(fabric, &fabric->transfers[number]);
    fabric->transfers[number].next_free = fabric->free;
    fabric->free = number;
}

/* Members are numbered lane by lane of each micro-batch (replica.h). */
static uint32_t port_of(const struct fabric *fabric, uint32_t entity, int64_t place)
{
    uint32_t first = fabric->first_port[entity], lanes = fabric->first_port[entity + 1] - first;
    return first + (uint32_t)(place >> 32) % lanes;
}

/* At its full rate from now on, after a wait. */
static void drain_alone(struct fabric *fabric, struct transfer *transfer, int64_t now_ns, int64_t waited_ns)
{
    int64_t end_ns = end_alone_ns(fabric, transfer, now_ns);
    start(fabric, transfer, now_ns);
    transfer->rate = rate_alone(fabric, transfer);
    if (transfer->capped && transfer->cap < transfer->rate) {
        double rate = transfer->rate;
        transfer->rate = transfer->cap;
        if (transfer->cap_end_ns < end_ns)
            change_rate(fabric, transfer, rate, transfer->cap_end_ns);
    }
    finish(fabric, transfer, end_ns, waited_ns);
}

static bool is_local(const struct fabric *fabric, const struct transfer *transfer)
{
    return fabric->config.local &&
           fabric->places[transfer->prefill].domain == fabric->places[transfer->decode].domain;
}

static void find_path(const struct fabric *fabric, struct transfer *transfer)
{
    uint32_t first = is_local(fabric, transfer) ? fabric->first_local : 0;
    transfer->path[0] = first + 2 * port_of(fabric, transfer->prefill, transfer->prefill_place);
    transfer->path[1] = first + 2 * port_of(fabric, transfer->decode, transfer->decode_place) + 1;
    transfer->path_length = 2;
    if (first > 0 || fabric->config.leaves == 0)
        return;
    uint32_t from_leaf = fabric->places[transfer->prefill].leaf,
             to_leaf = fabric->places[transfer->decode].leaf;
    if (from_leaf == to_leaf)
        return;
    transfer->path[2] = fabric->first_leaf + 2 * from_leaf;
    transfer->path[3] = fabric->first_leaf + 2 * to_leaf + 1;
    transfer->path_length = 4;
}

/* Until bytes flow: what the receiver said of the network, or what the link inside the domain takes. */
static int64_t setup_ns(const struct fabric *fabric, const struct transfer *transfer, int64_t network_ns)
{
    const struct fabric_place *place = &fabric->places[transfer->decode];
    if (!is_local(fabric, transfer))
        return network_ns;
    int64_t blocks = transfer->bytes / place->block_bytes;
    return fabric->config.local_setup_ns + simtime_from_ns((double)blocks * place->local_ns_per_block);
}

static void on_flow(void *state, struct engine *engine, const struct event *event)
{
    struct fabric *fabric = state;
    bool pushed = event->type == MESSAGE_PUSH; /* the one that opens the flow names the other */
    CHECK(pushed || event->type == MESSAGE_FLOW, "the fabric got message type %u", event->type);
    uint32_t number = take_number(fabric);
    struct transfer *transfer = &fabric->transfers[number];
    transfer->prefill = pushed ? event->source : (uint32_t)event->words[FLOW_PEER];
    transfer->decode = pushed ? (uint32_t)event->words[FLOW_PEER] : event->source;
    transfer->prefill_place = event->words[FLOW_PREFILL_PLACE];
    transfer->decode_place = event->words[FLOW_DECODE_PLACE];
    transfer->bytes = event->words[FLOW_BYTES];
    transfer->left_bytes = (double)transfer->bytes;
    transfer->counted_bytes = 0;
    transfer->rate = 0;
    transfer->draining = false;
    transfer->group = fabric->resources + number;
    transfer->order = fabric->started++;
    transfer->cap = 0;
    if (event->body) {
        const struct request *times = event->body;
        transfer->cap = (double)transfer->bytes / ((double)times->flow_length_ns * 1e-9);
        transfer->cap_end_ns = times->flow_limit_ns;
        engine_body_free(engine, event->body);
    }
    find_path(fabric, transfer);
    int64_t start_ns = event->time_ns + setup_ns(fabric, transfer, event->words[FLOW_LATENCY_NS]);
    if (fabric->config.sharing == SHARING_NONE) {
        drain_alone(fabric, transfer, start_ns, 0);
        drop(fabric, number);
        return;
    }
    heap_set(&fabric->next, transfer->group, start_ns, transfer->order);
    engine_wake(fabric->engine, ENTITY_FABRIC, heap_top(&fabric->next)->key);
}

/* Of a draining transfer: its end at the rate that it has, or that of its cap. */
static int64_t next_ns(const struct transfer *transfer)
{
    int64_t end_ns = transfer->updated_ns + simtime_from_seconds(transfer->left_bytes / transfer->rate);
    return transfer->capped && transfer->cap_end_ns < end_ns ? transfer->cap_end_ns : end_ns;
}

/* Brings the flows of a level up to now where it is a new rate for them, and the next event of their group to
 * its rate. */
static void apply_level(struct fabric *fabric, const struct maxmin_level *level, const uint32_t *flows,
                        int64_t now_ns)
{
    uint32_t group = level->limiter == MAXMIN_BOUND ? fabric->resources + flows[0] : level->limiter;
    const struct transfer *first = NULL;
    int64_t first_ns = SIMTIME_NEVER;
    double near_bytes = INFINITY; /* who has more left from now on does not end before first */
    for (uint32_t i = 0; i < level->count; i++) {
        struct transfer *transfer = &fabric->transfers[flows[i]];
        if (level->rate != transfer->rate)
            change_rate(fabric, transfer, level->rate, now_ns);
        set_group(fabric, transfer, group);
        if (transfer->left_bytes > near_bytes && transfer->updated_ns == now_ns && !transfer->capped)
            continue;
        int64_t at_ns = next_ns(transfer);
        if (first && (at_ns > first_ns || (at_ns == first_ns && transfer->order > first->order)))
            continue;
        first = transfer;
        first_ns = at_ns;
        if (i + 1 < level->count)
            near_bytes = (double)(first_ns - now_ns + 2) * 1e-9 * level->rate;
    }
    if (group < fabric->resources)
        fabric->groups[group].first = (uint32_t)(first - fabric->transfers);
    heap_set(&fabric->next, group, first_ns, first->order);
}

static void apply_rates(struct fabric *fabric, int64_t now_ns)
{
    size_t count, levels;
    const uint32_t *flows = maxmin_changed(fabric->maxmin, &count);
    if (count == 0)
        return;
    const struct maxmin_level *level = maxmin_levels(fabric->maxmin, &levels), *end = level + levels;
    for (; level < end; level++) {
        apply_level(fabric, level, flows, now_ns);
        flows += level->count;
    }
}

/* One after another at the sender's port: nobody that comes later can slow a transfer down, so its end is
 * known when it starts to drain. */
static void drain_in_turn(struct fabric *fabric, uint32_t number, int64_t now_ns)
{
    struct transfer *transfer = &fabric->transfers[number];
    int64_t *free_ns = &fabric->port_free_ns[transfer->path[0]];
    int64_t start_ns = *free_ns > now_ns ? *free_ns : now_ns;
    *free_ns = end_alone_ns(fabric, transfer, start_ns);
    drain_alone(fabric, transfer, start_ns, start_ns - now_ns);
    drop(fabric, number);
}

static void start_draining(struct fabric *fabric, uint32_t number, int64_t now_ns)
{
    struct transfer *transfer = &fabric->transfers[number];
    if (fabric->config.sharing == SHARING_SENDER) {
        drain_in_turn(fabric, number, now_ns);
        return;
    }
    start(fabric, transfer, now_ns);
    maxmin_add(fabric->maxmin, number, transfer->path, transfer->path_length,
               transfer->capped ? transfer->cap : MAXMIN_NO_CAP);
    apply_rates(fabric, now_ns);
}

/* All that it sends has been computed. */
static void lift_cap(struct fabric *fabric, uint32_t number, int64_t now_ns)
{
    struct transfer *transfer = &fabric->transfers[number];
    transfer->capped = false;
    change_rate(fabric, transfer, transfer->rate, now_ns);
    maxmin_set_cap(fabric->maxmin, number, MAXMIN_NO_CAP);
    apply_rates(fabric, now_ns);
}

/* What a transfer that ends now has lost to others; rounding must not make it negative. */
static int64_t congestion_ns(const struct fabric *fabric, const struct transfer *transfer, int64_t now_ns)
{
    bool steady = transfer->left_bytes == (double)transfer->bytes; /* one rate for all of it */
    if (steady && transfer->rate == rate_alone(fabric, transfer))
        return 0;
    int64_t lost_ns = now_ns - end_alone_ns(fabric, transfer, transfer->started_ns);
    return lost_ns > 0 ? lost_ns : 0;
}

static void end_transfer(struct fabric *fabric, uint32_t number, int64_t now_ns)
{
    struct transfer *transfer = &fabric->transfers[number];
    finish(fabric, transfer, now_ns, congestion_ns(fabric, transfer, now_ns));
    drop(fabric, number);
    maxmin_remove(fabric->maxmin, number);
    apply_rates(fabric, now_ns);
}

static void on_wake(void *state, struct engine *engine, uint32_t entity, int64_t now_ns)
{
    struct fabric *fabric = state;
    const struct heap_entry *top;
    while ((top = heap_top(&fabric->next)) && top->key <= now_ns) {
        uint32_t number =
            top->id < fabric->resources ? fabric->groups[top->id].first : top->id - fabric->resources;
        const struct transfer *transfer = &fabric->transfers[number];
        if (transfer->draining && transfer->capped && transfer->cap_end_ns <= now_ns)
            lift_cap(fabric, number, now_ns);
        else if (transfer->draining)
            end_transfer(fabric, number, now_ns);
        else
            start_draining(fabric, number, now_ns);
    }
    engine_wake(engine, entity, top ? top->key : SIMTIME_NEVER);
}

static void set_resource(struct fabric *fabric, uint32_t resource, double rate, uint32_t link)
{
    fabric->rates[resource] = rate;
    fabric->links[resource] = link;
}

static void make_ports(struct fabric *fabric, uint32_t entity)
{
    const struct fabric_config *config = &fabric->config;
    const struct fabric_place *place = &fabric->places[entity];
    for (uint32_t i = 2 * fabric->first_port[entity]; i < 2 * fabric->first_port[entity + 1]; i++) {
        set_resource(fabric, i, config->rates[entity], place->pool);
        if (config->local)
            set_resource(fabric, fabric->first_local + i, place->local_rate, config->pools + place->pool);
    }
}

static void make_resources(struct fabric *fabric)
{
    const struct fabric_config *config = &fabric->config;
    fabric->first_port = mem_array(config->entities + 1, sizeof *fabric->first_port);
    for (uint32_t i = 0; i < config->entities; i++)
        fabric->first_port[i + 1] = fabric->first_port[i] + (config->lanes ? (uint32_t)config->lanes[i] : 1);
    fabric->first_local = 2 * fabric->first_port[config->entities];
    fabric->first_leaf = (config->local ? 2 : 1) * fabric->first_local;
    fabric->resources = fabric->first_leaf + 2 * config->leaves;
    fabric->rates = mem_array(fabric->resources, sizeof *fabric->rates);
    fabric->links = mem_array(fabric->resources, sizeof *fabric->links);
    fabric->port_free_ns = mem_array(fabric->resources, sizeof(int64_t));
    fabric->groups = mem_array(fabric->resources, sizeof *fabric->groups);
    for (uint32_t i = 0; i < config->entities; i++)
        make_ports(fabric, i);
    for (uint32_t i = 0; i < 2 * config->leaves; i++)
        set_resource(fabric, fabric->first_leaf + i, config->leaf_rates[i / 2],
                     (config->local ? 2 : 1) * config->pools + i);
    fabric->maxmin = maxmin_create(fabric->rates, fabric->resources);
}

uint32_t fabric_links(const struct fabric_config *config)
{
    return (config->local ? 2 : 1) * config->pools + 2 * config->leaves;
}

const struct traffic *fabric_traffic(const struct fabric *fabric)
{
    return &fabric->traffic;
}

struct fabric *fabric_create(struct engine *engine, const struct fabric_config *config)
{
    struct fabric *fabric = mem_array(1, sizeof *fabric);
    fabric->engine = engine;
    fabric->config = *config;
    fabric->free = NO_SLOT;
    fabric->places = mem_array(config->entities, sizeof *fabric->places);
    if (config->places)
        memcpy(fabric->places, config->places, config->entities * sizeof *fabric->places);
    traffic_init(&fabric->traffic, fabric_links(config), config->interval_ns);
    make_resources(fabric);
    engine_attach(engine, ENTITY_FABRIC, &(struct engine_handler){on_flow, on_wake}, fabric);
    return fabric;
}

void fabric_free(struct fabric *fabric)
{
    CHECK(fabric->next.count == 0, "%zu transfers never ended", fabric->next.count);
    heap_clear(&fabric->next);
    maxmin_free(fabric->maxmin);
    mem_free(fabric->transfers);
    mem_free(fabric->groups);
    mem_free(fabric->first_port);
    mem_free(fabric->rates);
    mem_free(fabric->links);
    mem_free(fabric->port_free_ns);
    mem_free(fabric->places);
    traffic_clear(&fabric->traffic);
    mem_free(fabric);
}
