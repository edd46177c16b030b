/* Progressive filling (Bertsekas and Gallager, Data Networks, section 6.5.2) over one connected component of
 * flows and resources that are full. What has room limits nobody, so that rates without it are the same; what
 * turns out to have none joins, and the filling starts again. Flows that are slower than the one that comes
 * or goes keep their rates: up to its level the filling is what it was. Sums are of whole units, so that they
 * do not depend on the order in which flows were fixed, or kept. */
#include "tandem/maxmin.h"

#include <stdbool.h>
#include <string.h>

#include "tandem/check.h"
#include "tandem/heap.h"
#include "tandem/mem.h"

#define NO_PLACE UINT32_MAX

/* A flow has a place in the list of each resource on its path: flow x MAXMIN_RESOURCES + the resource's
 * number on the path. */
struct resource {
    double capacity;                    /* bytes/s */
    int64_t capacity_units, used, left; /* used: sum of its flows' units */
    uint32_t first;                     /* place of the first of its flows */
    uint32_t flows, unfixed;
    bool tight; /* several flows, and no room */
    uint64_t visited, touched;
};

struct flow {
    uint32_t resources[MAXMIN_RESOURCES];
    uint32_t next[MAXMIN_RESOURCES], previous[MAXMIN_RESOURCES]; /* places in the lists of each */
    uint32_t count;
    bool active;
    bool fixed; /* but for those that are being computed */
    double cap, rate;
    double bound;  /* the cap, or less: what resources that are not tight have */
    int64_t units; /* of the rate, rounded down */
    uint64_t visited;
};

struct maxmin {
    struct resource *resources;
    uint32_t resource_count;
    double units; /* of a byte/s: a power of 2, with which the largest capacity is below 2^57 */
    struct flow *flows;
    size_t flow_capacity;
    uint64_t visit;      /* stamp of the current search */
    uint64_t level;      /* stamp of what is being fixed */
    uint32_t *component; /* tight resources found */
    size_t component_count;
    uint32_t *touched; /* tight resources that lost flows at this level */
    size_t touched_count;
    uint32_t *changed; /* flows found */
    size_t changed_count, changed_capacity, unfixed;
    double least_bound; /* of them */
    struct heap shares; /* of tight resources with unfixed flows; once they could matter, bounds of flows */
    bool bounds_ranked;
};

static int64_t units_of(const struct maxmin *maxmin, double rate)
{
    return (int64_t)(rate * maxmin->units);
}

struct maxmin *maxmin_create(const double *capacities, uint32_t count)
{
    struct maxmin *maxmin = mem_array(1, sizeof *maxmin);
    double most = 1;
    for (uint32_t i = 0; i < count; i++)
        most = capacities[i] > most ? capacities[i] : most;
    int exponent;
    frexp(most, &exponent);
    maxmin->units = ldexp(1, 57 - exponent);
    maxmin->resource_count = count;
    maxmin->resources = mem_array(count, sizeof(struct resource));
    maxmin->component = mem_array(count, sizeof(uint32_t));
    maxmin->touched = mem_array(count, sizeof(uint32_t));
    for (uint32_t i = 0; i < count; i++)
        maxmin->resources[i] = (struct resource){
            .capacity = capacities[i], .capacity_units = units_of(maxmin, capacities[i]), .first = NO_PLACE};
    return maxmin;
}

void maxmin_free(struct maxmin *maxmin)
{
    mem_free(maxmin->resources);
    mem_free(maxmin->flows);
    mem_free(maxmin->component);
    mem_free(maxmin->touched);
    mem_free(maxmin->changed);
    heap_clear(&maxmin->shares);
    mem_free(maxmin);
}

static struct flow *flow_at(const struct maxmin *maxmin, uint32_t place)
{
    return &maxmin->flows[place / MAXMIN_RESOURCES];
}

static uint32_t next_place(const struct maxmin *maxmin, uint32_t place)
{
    return flow_at(maxmin, place)->next[place % MAXMIN_RESOURCES];
}

/* Whether flows share a resource that would have no room for that many units more. A rate's units may be
 * fewer than its share's, since both were rounded: by 16 of the last place, and one. */
static bool is_full(const struct resource *resource, int64_t more)
{
    return resource->flows > 1 &&
           resource->used + more + INT64_C(32) * resource->flows >= resource->capacity_units;
}

/* Bit k: number k of the flow's path is tight. */
static uint32_t tight_part(const struct maxmin *maxmin, const struct flow *flow)
{
    uint32_t part = 0;
    for (uint32_t k = 0; k < flow->count; k++)
        part |= (uint32_t)maxmin->resources[flow->resources[k]].tight << k;
    return part;
}

static void list_changed(struct maxmin *maxmin, uint32_t flow)
{
    if (maxmin->changed_count == maxmin->changed_capacity)
        maxmin->changed =
            mem_grow(maxmin->changed, &maxmin->changed_capacity, maxmin->changed_count + 1, sizeof(uint32_t));
    maxmin->changed[maxmin->changed_count++] = flow;
}

static void visit_resource(struct maxmin *maxmin, uint32_t number)
{
    struct resource *resource = &maxmin->resources[number];
    if (resource->visited == maxmin->visit)
        return;
    resource->visited = maxmin->visit;
    resource->left = resource->capacity_units;
    resource->unfixed = 0;
    maxmin->component[maxmin->component_count++] = number;
}

/* Lists a flow that was found and finds the rest of its path. */
static void visit_flow(struct maxmin *maxmin, uint32_t number)
{
    struct flow *flow = &maxmin->flows[number];
    if (flow->visited == maxmin->visit)
        return;
    flow->visited = maxmin->visit;
    flow->fixed = false;
    flow->bound = flow->cap;
    list_changed(maxmin, number);
    for (uint32_t k = 0; k < flow->count; k++) {
        uint32_t resource = flow->resources[k];
        if (maxmin->resources[resource].tight)
            visit_resource(maxmin, resource);
        else if (maxmin->resources[resource].capacity < flow->bound)
            flow->bound = maxmin->resources[resource].capacity;
    }
    maxmin->least_bound = flow->bound < maxmin->least_bound ? flow->bound : maxmin->least_bound;
}

/* The resources that are found, from a part of the path of start on, join the component's list, which is also
 * the search's queue; their flows of at least so many units are listed, others keep what they have. */
static void find_component(struct maxmin *maxmin, const struct flow *start, uint32_t part, int64_t least)
{
    maxmin->visit++;
    maxmin->component_count = 0;
    maxmin->changed_count = 0;
    maxmin->least_bound = MAXMIN_NO_CAP;
    for (uint32_t k = 0; k < start->count; k++)
        if (part >> k & 1)
            visit_resource(maxmin, start->resources[k]);
    for (size_t i = 0; i < maxmin->component_count; i++) {
        struct resource *resource = &maxmin->resources[maxmin->component[i]];
        for (uint32_t place = resource->first; place != NO_PLACE; place = next_place(maxmin, place)) {
            const struct flow *flow = flow_at(maxmin, place);
            if (flow->units < least) {
                resource->left -= flow->units;
            } else {
                resource->unfixed++;
                visit_flow(maxmin, place / MAXMIN_RESOURCES);
            }
        }
    }
    maxmin->unfixed = maxmin->changed_count;
}

/* Doubles that are not negative sort as their bits do. Resources come before the caps of flows. */
static void rank(struct maxmin *maxmin, uint32_t id, double share)
{
    int64_t key;
    memcpy(&key, &share, sizeof key);
    heap_set(&maxmin->shares, id, key, id);
}

/* Puts a resource into the heap by what each of its unfixed flows would get; out of it when none is left. */
static void rank_resource(struct maxmin *maxmin, uint32_t number)
{
    const struct resource *resource = &maxmin->resources[number];
    if (resource->unfixed == 0)
        heap_remove(&maxmin->shares, number);
    else
        rank(maxmin, number,
             resource->left > 0 ? (double)resource->left / resource->unfixed / maxmin->units : 0);
}

/* Its share has to be known anew once all of this level are fixed. */
static void touch(struct maxmin *maxmin, uint32_t number)
{
    struct resource *resource = &maxmin->resources[number];
    if (resource->touched == maxmin->level)
        return;
    resource->touched = maxmin->level;
    maxmin->touched[maxmin->touched_count++] = number;
}

/* Fixes a flow at a share on all of its path that is tight. */
static void fix(struct maxmin *maxmin, struct flow *flow, double share)
{
    flow->fixed = true;
    flow->rate = share < flow->bound ? share : flow->bound;
    int64_t units = units_of(maxmin, flow->rate);
    maxmin->unfixed--;
    for (uint32_t k = 0; k < flow->count; k++) {
        struct resource *resource = &maxmin->resources[flow->resources[k]];
        if (!resource->tight)
            continue;
        resource->left -= units;
        resource->unfixed--;
        touch(maxmin, flow->resources[k]);
    }
    if (maxmin->bounds_ranked)
        heap_remove(&maxmin->shares, maxmin->resource_count + (uint32_t)(flow - maxmin->flows));
}

/* Fixes the flow, or all flows of the resource, that is next. */
static void fix_next(struct maxmin *maxmin, uint32_t id, double share)
{
    maxmin->level++;
    maxmin->touched_count = 0;
    if (id >= maxmin->resource_count) {
        fix(maxmin, &maxmin->flows[id - maxmin->resource_count], share);
    } else {
        for (uint32_t place = maxmin->resources[id].first; place != NO_PLACE;
             place = next_place(maxmin, place))
            if (!flow_at(maxmin, place)->fixed)
                fix(maxmin, flow_at(maxmin, place), share);
    }
    for (size_t i = 0; i < maxmin->touched_count; i++)
        rank_resource(maxmin, maxmin->touched[i]);
}

static void rank_resources(struct maxmin *maxmin)
{
    for (size_t i = 0; i < maxmin->component_count; i++)
        rank_resource(maxmin, maxmin->component[i]);
    maxmin->bounds_ranked = false;
}

static void rank_bounds(struct maxmin *maxmin)
{
    for (size_t i = 0; i < maxmin->changed_count; i++)
        if (!maxmin->flows[maxmin->changed[i]].fixed)
            rank(maxmin, maxmin->resource_count + maxmin->changed[i],
                 maxmin->flows[maxmin->changed[i]].bound);
    maxmin->bounds_ranked = true;
}

/* The tightest resource's flows get its share; then the tightest of the rest, with what is left. A bound is a
 * resource that the flow has to itself; none matters before the share reaches the least. */
static void fill(struct maxmin *maxmin)
{
    double share = 0;
    rank_resources(maxmin);
    while (maxmin->unfixed > 0) {
        const struct heap_entry *top = heap_top(&maxmin->shares);
        double next = MAXMIN_NO_CAP;
        if (top)
            memcpy(&next, &top->key, sizeof next);
        if (!maxmin->bounds_ranked && next > maxmin->least_bound) {
            rank_bounds(maxmin);
            continue;
        }
        share = next > share ? next : share; /* shares only rise; rounding must not say otherwise */
        fix_next(maxmin, top->id, share);
    }
}

/* What a flow could get if it had its path to itself. */
static double most(const struct maxmin *maxmin, const struct flow *flow)
{
    double rate = flow->cap;
    for (uint32_t k = 0; k < flow->count; k++) {
        double capacity = maxmin->resources[flow->resources[k]].capacity;
        rate = capacity < rate ? capacity : rate;
    }
    return rate;
}

/* Counts a flow at a rate. Whether that filled something on its path, which is tight from now on. */
static bool use(struct maxmin *maxmin, struct flow *flow, int64_t units)
{
    int64_t more = units - flow->units;
    bool filled = false;
    flow->units = units;
    for (uint32_t k = 0; more != 0 && k < flow->count; k++) {
        struct resource *resource = &maxmin->resources[flow->resources[k]];
        resource->used += more;
        if (!resource->tight && is_full(resource, 0))
            resource->tight = filled = true;
    }
    return filled;
}

/* Rates from a part of the path of start on, which was tight or is, after start came, changed or went: it has
 * or had at least so many units. */
static void solve(struct maxmin *maxmin, const struct flow *start, uint32_t part, int64_t units)
{
    int64_t least = units - (units >> 30); /* far more than what rounding does */
    uint32_t rounds = 0;                   /* each but the last fills a resource that was not */
    bool filled;
    do {
        CHECK(rounds++ <= maxmin->resource_count, "rates of %u resources do not settle",
              maxmin->resource_count);
        filled = false;
        find_component(maxmin, start, part | tight_part(maxmin, start), least);
        fill(maxmin);
        for (size_t i = 0; i < maxmin->changed_count; i++) {
            struct flow *flow = &maxmin->flows[maxmin->changed[i]];
            filled |= use(maxmin, flow, units_of(maxmin, flow->rate));
        }
    } while (filled);
    for (size_t i = 0; i < maxmin->component_count; i++) {
        struct resource *resource = &maxmin->resources[maxmin->component[i]];
        resource->tight = is_full(resource, 0);
    }
}

/* What a flow of 0 units gets of a resource if all who have more than that give it up. */
static int64_t fair_units(const struct maxmin *maxmin, const struct resource *resource)
{
    int64_t fair = 0, last;
    do { /* from below: with each step fewer are slower */
        int64_t left = resource->capacity_units, sharing = 1;
        last = fair;
        for (uint32_t place = resource->first; place != NO_PLACE; place = next_place(maxmin, place)) {
            int64_t units = flow_at(maxmin, place)->units;
            left -= units < fair ? units : 0;
            sharing += units >= fair;
        }
        fair = left / sharing;
    } while (fair > last);
    return fair;
}

/* Rates after a flow came, which has 0 units, or its cap changed. One that finds room for all that it can use
 * needs no search. */
static void update(struct maxmin *maxmin, uint32_t number, bool came)
{
    struct flow *flow = &maxmin->flows[number];
    double rate = most(maxmin, flow);
    int64_t units = units_of(maxmin, rate), more = units - flow->units;
    int64_t least = came || units < flow->units ? units : flow->units;
    bool tight = false;
    for (uint32_t k = 0; k < flow->count; k++) {
        struct resource *resource = &maxmin->resources[flow->resources[k]];
        resource->tight |= is_full(resource, more);
        tight |= resource->tight;
        if (resource->tight && came) {
            int64_t fair = fair_units(maxmin, resource);
            least = fair < least ? fair : least;
        }
    }
    if (tight) {
        use(maxmin, flow, least);
        solve(maxmin, flow, 0, least);
        return;
    }
    flow->rate = rate;
    flow->units = units;
    for (uint32_t k = 0; k < flow->count; k++)
        maxmin->resources[flow->resources[k]].used += more;
    maxmin->changed_count = 0;
    list_changed(maxmin, number);
}

void maxmin_add(struct maxmin *maxmin, uint32_t number, const uint32_t *resources, uint32_t count, double cap)
{
    if (number >= maxmin->flow_capacity)
        maxmin->flows =
            mem_grow(maxmin->flows, &maxmin->flow_capacity, (size_t)number + 1, sizeof(struct flow));
    struct flow *flow = &maxmin->flows[number];
    CHECK(!flow->active, "flow %u is active already", number);
    CHECK(count > 0 && count <= MAXMIN_RESOURCES && cap > 0, "flow %u: %u resources, cap %g", number, count,
          cap);
    flow->count = count;
    flow->active = true;
    flow->cap = cap;
    flow->fixed = true;
    flow->units = 0;
    for (uint32_t k = 0; k < count; k++) {
        struct resource *resource = &maxmin->resources[resources[k]];
        uint32_t place = number * MAXMIN_RESOURCES + k, first = resource->first;
        flow->resources[k] = resources[k];
        flow->previous[k] = NO_PLACE;
        flow->next[k] = first;
        if (first != NO_PLACE)
            flow_at(maxmin, first)->previous[first % MAXMIN_RESOURCES] = place;
        resource->first = place;
        resource->flows++;
    }
    update(maxmin, number, true);
}

static struct flow *active_flow(const struct maxmin *maxmin, uint32_t number)
{
    CHECK(number < maxmin->flow_capacity && maxmin->flows[number].active, "flow %u is not active", number);
    return &maxmin->flows[number];
}

void maxmin_set_cap(struct maxmin *maxmin, uint32_t number, double cap)
{
    CHECK(cap > 0, "flow %u: cap %g", number, cap);
    struct flow *flow = active_flow(maxmin, number);
    flow->cap = cap;
    update(maxmin, number, false);
}

void maxmin_remove(struct maxmin *maxmin, uint32_t number)
{
    struct flow *flow = active_flow(maxmin, number);
    uint32_t part = tight_part(maxmin, flow);
    for (uint32_t k = 0; k < flow->count; k++) {
        uint32_t next = flow->next[k], previous = flow->previous[k];
        if (previous != NO_PLACE)
            flow_at(maxmin, previous)->next[previous % MAXMIN_RESOURCES] = next;
        else
            maxmin->resources[flow->resources[k]].first = next;
        if (next != NO_PLACE)
            flow_at(maxmin, next)->previous[next % MAXMIN_RESOURCES] = previous;
        maxmin->resources[flow->resources[k]].flows--;
        maxmin->resources[flow->resources[k]].used -= flow->units;
    }
    flow->active = false;
    maxmin->changed_count = 0;
    if (part != 0)
        solve(maxmin, flow, part, flow->units);
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
