/* Progressive filling (Bertsekas and Gallager, Data Networks, section 6.5.2) over one connected component. */
#include "tandem/maxmin.h"

#include <stdbool.h>
#include <string.h>

#include "tandem/check.h"
#include "tandem/heap.h"
#include "tandem/mem.h"

#define NO_FLOW UINT32_MAX

/* A port in one direction: 2 x port for sending, 2 x port + 1 for receiving. */
struct side {
    double capacity, left;
    uint32_t first; /* list of its flows */
    uint32_t unfixed;
    uint64_t visited;
};

struct flow {
    uint32_t sides[2];             /* sending side, receiving side */
    uint32_t next[2], previous[2]; /* in the lists of both */
    double rate;
    uint64_t visited;
    bool active, fixed;
};

struct maxmin {
    struct side *sides;
    struct flow *flows;
    size_t flow_capacity;
    struct heap shares;  /* of the sides with unfixed flows, while rates are computed */
    uint64_t visit;      /* stamp of the current search */
    uint32_t *component; /* sides found */
    size_t component_count;
    uint32_t *changed; /* flows found */
    size_t changed_count, changed_capacity;
};

struct maxmin *maxmin_create(const double *capacities, uint32_t ports)
{
    struct maxmin *maxmin = mem_array(1, sizeof *maxmin);
    maxmin->sides = mem_array(2 * (size_t)ports, sizeof(struct side));
    maxmin->component = mem_array(2 * (size_t)ports, sizeof(uint32_t));
    for (uint32_t i = 0; i < 2 * ports; i++)
        maxmin->sides[i] = (struct side){.capacity = capacities[i / 2], .first = NO_FLOW};
    return maxmin;
}

void maxmin_free(struct maxmin *maxmin)
{
    mem_free(maxmin->sides);
    mem_free(maxmin->flows);
    mem_free(maxmin->component);
    mem_free(maxmin->changed);
    heap_clear(&maxmin->shares);
    mem_free(maxmin);
}

static void list_changed(struct maxmin *maxmin, uint32_t flow)
{
    if (maxmin->changed_count == maxmin->changed_capacity)
        maxmin->changed =
            mem_grow(maxmin->changed, &maxmin->changed_capacity, maxmin->changed_count + 1, sizeof(uint32_t));
    maxmin->changed[maxmin->changed_count++] = flow;
}

static void visit_side(struct maxmin *maxmin, uint32_t side)
{
    if (maxmin->sides[side].visited == maxmin->visit)
        return;
    maxmin->sides[side].visited = maxmin->visit;
    maxmin->sides[side].left = maxmin->sides[side].capacity;
    maxmin->sides[side].unfixed = 0;
    maxmin->component[maxmin->component_count++] = side;
}

/* The sides that are found join the component's list, which is also the search's queue; their flows are
 * listed. */
static void find_component(struct maxmin *maxmin, const uint32_t start[2])
{
    maxmin->visit++;
    maxmin->component_count = 0;
    maxmin->changed_count = 0;
    visit_side(maxmin, start[0]);
    visit_side(maxmin, start[1]);
    for (size_t i = 0; i < maxmin->component_count; i++) {
        uint32_t side = maxmin->component[i];
        int direction = side & 1;
        for (uint32_t f = maxmin->sides[side].first; f != NO_FLOW; f = maxmin->flows[f].next[direction]) {
            struct flow *flow = &maxmin->flows[f];
            maxmin->sides[side].unfixed++;
            visit_side(maxmin, flow->sides[!direction]);
            if (flow->visited == maxmin->visit)
                continue;
            flow->visited = maxmin->visit;
            flow->fixed = false;
            list_changed(maxmin, f);
        }
    }
}

/* Puts a side into the heap by what each of its unfixed flows would get; takes it out when none is left.
 * Doubles that are not negative sort as their bits do. */
static void rank_side(struct maxmin *maxmin, uint32_t number)
{
    const struct side *side = &maxmin->sides[number];
    if (side->unfixed == 0) {
        heap_remove(&maxmin->shares, number);
        return;
    }
    double share = side->left > 0 ? side->left / side->unfixed : 0;
    int64_t key;
    memcpy(&key, &share, sizeof key);
    heap_set(&maxmin->shares, number, key, number);
}

/* Fixes a flow at a share on both of its sides. */
static void fix(struct maxmin *maxmin, struct flow *flow, double share)
{
    flow->fixed = true;
    flow->rate = share;
    for (int d = 0; d < 2; d++) {
        maxmin->sides[flow->sides[d]].left -= share;
        maxmin->sides[flow->sides[d]].unfixed--;
        rank_side(maxmin, flow->sides[d]);
    }
}

/* The tightest side's flows get its share; then the tightest of the rest, with what is left. */
static void fill(struct maxmin *maxmin)
{
    const struct heap_entry *top;
    double share = 0;
    for (size_t i = 0; i < maxmin->component_count; i++)
        rank_side(maxmin, maxmin->component[i]);
    while ((top = heap_top(&maxmin->shares))) {
        uint32_t side = top->id;
        int direction = side & 1;
        double next;
        memcpy(&next, &top->key, sizeof next);
        share = next > share ? next : share; /* shares only rise; rounding must not say otherwise */
        for (uint32_t f = maxmin->sides[side].first; f != NO_FLOW; f = maxmin->flows[f].next[direction])
            if (!maxmin->flows[f].fixed)
                fix(maxmin, &maxmin->flows[f], share);
    }
}

/* A flow that shares neither port gets what the narrower one has, without a search. */
static bool add_alone(struct maxmin *maxmin, uint32_t flow_number)
{
    struct flow *flow = &maxmin->flows[flow_number];
    if (flow->next[0] != NO_FLOW || flow->next[1] != NO_FLOW)
        return false;
    double sending = maxmin->sides[flow->sides[0]].capacity,
           receiving = maxmin->sides[flow->sides[1]].capacity;
    flow->rate = sending < receiving ? sending : receiving;
    maxmin->changed_count = 0;
    list_changed(maxmin, flow_number);
    return true;
}

void maxmin_add(struct maxmin *maxmin, uint32_t flow_number, uint32_t sender, uint32_t receiver)
{
    if (flow_number >= maxmin->flow_capacity)
        maxmin->flows =
            mem_grow(maxmin->flows, &maxmin->flow_capacity, (size_t)flow_number + 1, sizeof(struct flow));
    struct flow *flow = &maxmin->flows[flow_number];
    CHECK(!flow->active, "flow %u is active already", flow_number);
    *flow = (struct flow){.sides = {2 * sender, 2 * receiver + 1}, .active = true};
    for (int d = 0; d < 2; d++) {
        struct side *side = &maxmin->sides[flow->sides[d]];
        flow->previous[d] = NO_FLOW;
        flow->next[d] = side->first;
        if (side->first != NO_FLOW)
            maxmin->flows[side->first].previous[d] = flow_number;
        side->first = flow_number;
    }
    if (add_alone(maxmin, flow_number))
        return;
    find_component(maxmin, flow->sides);
    fill(maxmin);
}

void maxmin_remove(struct maxmin *maxmin, uint32_t flow_number)
{
    struct flow *flow = &maxmin->flows[flow_number];
    CHECK(flow_number < maxmin->flow_capacity && flow->active, "flow %u is not active", flow_number);
    for (int d = 0; d < 2; d++) {
        if (flow->previous[d] != NO_FLOW)
            maxmin->flows[flow->previous[d]].next[d] = flow->next[d];
        else
            maxmin->sides[flow->sides[d]].first = flow->next[d];
        if (flow->next[d] != NO_FLOW)
            maxmin->flows[flow->next[d]].previous[d] = flow->previous[d];
    }
    flow->active = false;
    maxmin->changed_count = 0;
    if (maxmin->sides[flow->sides[0]].first == NO_FLOW && maxmin->sides[flow->sides[1]].first == NO_FLOW)
        return; /* it was alone */
    find_component(maxmin, flow->sides);
    fill(maxmin);
}

const uint32_t *maxmin_changed(const struct maxmin *maxmin, size_t *count)
{
    *count = maxmin->changed_count;
    return maxmin->changed;
}

double maxmin_rate(const struct maxmin *maxmin, uint32_t flow)
{
    return maxmin->flows[flow].rate;
}
