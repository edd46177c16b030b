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

#define FEW 4 /* flows of a resource: it needs no memory of its own */

/* A resource is tight while several flows leave it no room. */
struct resource {
    double capacity; /* bytes/s */
    int64_t capacity_units;
    int64_t used;     /* sum of its flows' units, while there are several */
    int64_t full;     /* that from which on it has no room; INT64_MAX for one flow */
    int64_t left;     /* units for flows that are to be fixed */
    uint32_t *places; /* of its flows: flow x MAXMIN_RESOURCES + the resource's number on its path */
    uint32_t count, room, unfixed;
    bool tight, visited, touched;
};

/* Parts of its path are bits: bit k is number k of its resources. */
struct flow {
    int64_t units;    /* of its rate, rounded down */
    uint64_t visited; /* one more once it is fixed */
    double bound;     /* its cap, or less: the least capacity on its path */
    uint8_t tight;    /* the part that is */
    uint8_t shared;   /* the part that has other flows, too */
    uint8_t count;
    bool active;
    uint32_t resources[MAXMIN_RESOURCES];
    double rate;
};

struct maxmin {
    struct resource *resources;
    uint32_t *few; /* places of each, while they are few */
    uint32_t resource_count;
    double units; /* of a byte/s: a power of 2, with which the largest capacity is below 2^57 */
    double unit;  /* 1 / units */
    struct flow *flows;
    size_t flow_capacity;
    uint64_t visit;      /* stamp of the current search; even */
    uint32_t *component; /* tight resources found */
    size_t component_count;
    uint32_t *filled; /* what had room until something was fixed: tight from the next round on */
    size_t filled_count;
    uint32_t *touched; /* tight resources that lost flows at this level */
    size_t touched_count;
    size_t found;       /* flows to fix */
    double least_bound; /* of them */
    uint32_t *chosen;   /* places of a resource whose flows are meant; room for all, as in what follows */
    uint32_t *changed;  /* flows that are fixed, level by level */
    size_t changed_count;
    struct maxmin_level *levels;
    size_t level_count;
    struct heap shares; /* of tight resources with unfixed flows; once they could matter, bounds of flows */
    bool bounds_ranked;
};

static int64_t units_of(const struct maxmin *maxmin, double rate)
{
    return (int64_t)(rate * maxmin->units);
}

/* After a flow came or went. A rate's units may be fewer than its share's, since both were rounded: by 16 of
 * the last place, and one. */
static void set_full(struct resource *resource)
{
    resource->full =
        resource->count > 1 ? resource->capacity_units - INT64_C(32) * resource->count : INT64_MAX;
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
    maxmin->unit = 1 / maxmin->units;
    maxmin->resource_count = count;
    maxmin->resources = mem_array(count, sizeof(struct resource));
    maxmin->few = mem_array(count, FEW * sizeof(uint32_t));
    maxmin->component = mem_array(count, sizeof(uint32_t));
    maxmin->filled = mem_array(count, sizeof(uint32_t));
    maxmin->touched = mem_array(count, sizeof(uint32_t));
    for (uint32_t i = 0; i < count; i++) {
        maxmin->resources[i] = (struct resource){.capacity = capacities[i],
                                                 .capacity_units = units_of(maxmin, capacities[i]),
                                                 .places = maxmin->few + (size_t)i * FEW,
                                                 .room = FEW};
        set_full(&maxmin->resources[i]);
    }
    return maxmin;
}

void maxmin_free(struct maxmin *maxmin)
{
    for (uint32_t i = 0; i < maxmin->resource_count; i++)
        if (maxmin->resources[i].room > FEW)
            mem_free(maxmin->resources[i].places);
    mem_free(maxmin->few);
    mem_free(maxmin->resources);
    mem_free(maxmin->flows);
    mem_free(maxmin->component);
    mem_free(maxmin->filled);
    mem_free(maxmin->touched);
    mem_free(maxmin->chosen);
    mem_free(maxmin->changed);
    mem_free(maxmin->levels);
    heap_clear(&maxmin->shares);
    mem_free(maxmin);
}

static struct flow *flow_at(const struct maxmin *maxmin, uint32_t place)
{
    return &maxmin->flows[place / MAXMIN_RESOURCES];
}

/* The bit of the flow's path. */
static uint8_t part_at(uint32_t place)
{
    return (uint8_t)(1u << place % MAXMIN_RESOURCES);
}

/* Flows know what is tight on their paths: that has changed. */
static void tell_flows(struct maxmin *maxmin, uint32_t number)
{
    const struct resource *resource = &maxmin->resources[number];
    for (uint32_t i = 0; i < resource->count; i++)
        flow_at(maxmin, resource->places[i])->tight ^= part_at(resource->places[i]);
}

static void set_tight(struct maxmin *maxmin, uint32_t number, bool tight)
{
    if (maxmin->resources[number].tight == tight)
        return;
    maxmin->resources[number].tight = tight;
    tell_flows(maxmin, number);
}

static void visit_resource(struct maxmin *maxmin, uint32_t number)
{
    struct resource *resource = &maxmin->resources[number];
    if (resource->visited)
        return;
    resource->visited = true;
    maxmin->component[maxmin->component_count++] = number;
}

/* A flow that is to be fixed. Finds what is tight on its path, but for the part that is known. */
static void visit_flow(struct maxmin *maxmin, struct flow *flow, uint32_t known)
{
    flow->visited = maxmin->visit;
    for (uint32_t rest = flow->tight & ~known; rest != 0; rest &= rest - 1)
        visit_resource(maxmin, flow->resources[__builtin_ctz(rest)]);
    maxmin->least_bound = flow->bound < maxmin->least_bound ? flow->bound : maxmin->least_bound;
}

/* Finds a resource's flows of at least so many units; others keep what they have. */
static void search(struct maxmin *maxmin, struct resource *resource, int64_t least)
{
    const uint32_t *places = resource->places;
    uint32_t *chosen = maxmin->chosen, count = resource->count, fresh = 0, unfixed = 0;
    int64_t kept = 0;
    for (uint32_t i = 0; i < count; i++) { /* without branches, which nothing would foretell */
        const struct flow *flow = flow_at(maxmin, places[i]);
        uint32_t listed = flow->units >= least;
        kept += listed ? 0 : flow->units;
        unfixed += listed;
        chosen[fresh] = places[i];
        fresh += listed & (flow->visited != maxmin->visit);
    }
    resource->left = resource->capacity_units - kept;
    resource->unfixed = unfixed;
    for (uint32_t i = 0; i < fresh; i++)
        visit_flow(maxmin, flow_at(maxmin, chosen[i]), part_at(chosen[i]));
    maxmin->found += fresh;
}

/* The resources that are found, from a part of the path of start on, join the component's list, which is also
 * the search's queue. */
static void find_component(struct maxmin *maxmin, const struct flow *start, uint32_t part, int64_t least)
{
    maxmin->visit += 2;
    maxmin->component_count = 0;
    maxmin->found = 0;
    maxmin->least_bound = MAXMIN_NO_CAP;
    for (uint32_t k = 0; k < start->count; k++)
        if (part >> k & 1)
            visit_resource(maxmin, start->resources[k]);
    for (size_t i = 0; i < maxmin->component_count; i++)
        search(maxmin, &maxmin->resources[maxmin->component[i]], least);
    for (size_t i = 0; i < maxmin->component_count; i++)
        maxmin->resources[maxmin->component[i]].visited = false;
}

/* Doubles that are not negative sort as their bits do. Resources come before the bounds of flows. */
static void rank(struct maxmin *maxmin, uint32_t id, double share)
{
    int64_t key;
    memcpy(&key, &share, sizeof key);
    heap_set(&maxmin->shares, id, key, id);
}

/* Puts a resource into the heap by what each of its unfixed flows would get; out of it when none is left. */
static void rank_resource(struct maxmin *maxmin, uint32_t number)
{
    struct resource *resource = &maxmin->resources[number];
    resource->touched = false;
    if (resource->unfixed == 0)
        heap_remove(&maxmin->shares, number);
    else
        rank(maxmin, number,
             resource->left > 0 ? (double)resource->left / resource->unfixed * maxmin->unit : 0);
}

/* Its share has to be known anew once all of this level are fixed. */
static void touch(struct maxmin *maxmin, uint32_t number)
{
    struct resource *resource = &maxmin->resources[number];
    if (resource->touched)
        return;
    resource->touched = true;
    maxmin->touched[maxmin->touched_count++] = number;
}

/* Counts more of what had room, which may have none then. */
static void use(struct maxmin *maxmin, uint32_t number, int64_t more)
{
    struct resource *resource = &maxmin->resources[number];
    resource->used += more;
    if (resource->used < resource->full || resource->tight)
        return;
    resource->tight = true;
    maxmin->filled[maxmin->filled_count++] = number;
}

/* Fixes a flow at a share, of so many units; what limits it (a bit of its path) is left to the caller. */
static inline void fix(struct maxmin *maxmin, uint32_t number, uint32_t limiter_part, double share,
                       int64_t units)
{
    struct flow *flow = &maxmin->flows[number];
    int64_t more = units - flow->units;
    flow->visited++;
    flow->rate = share;
    flow->units = units;
    maxmin->changed[maxmin->changed_count++] = number;
    for (uint32_t rest = flow->tight & ~limiter_part; rest != 0; rest &= rest - 1) {
        uint32_t tight = flow->resources[__builtin_ctz(rest)];
        maxmin->resources[tight].left -= units;
        maxmin->resources[tight].unfixed--;
        touch(maxmin, tight);
    }
    for (uint32_t rest = more != 0 ? flow->shared & ~(uint32_t)flow->tight : 0; rest != 0; rest &= rest - 1)
        use(maxmin, flow->resources[__builtin_ctz(rest)], more);
    if (maxmin->bounds_ranked)
        heap_remove(&maxmin->shares, maxmin->resource_count + number);
}

/* Fixes all flows of a resource that are not. */
static void fix_all(struct maxmin *maxmin, uint32_t number, double share)
{
    struct resource *resource = &maxmin->resources[number];
    int64_t units = units_of(maxmin, share);
    const uint32_t *places = resource->places;
    uint32_t *chosen = maxmin->chosen, count = resource->count, unfixed = 0;
    for (uint32_t i = 0; i < count; i++) {
        chosen[unfixed] = places[i];
        unfixed += flow_at(maxmin, places[i])->visited == maxmin->visit;
    }
    for (uint32_t i = 0; i < unfixed; i++)
        fix(maxmin, chosen[i] / MAXMIN_RESOURCES, part_at(chosen[i]), share, units);
    resource->left -= resource->unfixed * units;
    resource->unfixed = 0;
    heap_remove(&maxmin->shares, number);
}

/* Fixes the flow, or all flows of the resource, that is next. */
static void fix_next(struct maxmin *maxmin, uint32_t id, double share)
{
    size_t first = maxmin->changed_count;
    bool single = id >= maxmin->resource_count;
    maxmin->touched_count = 0;
    if (single)
        fix(maxmin, id - maxmin->resource_count, 0, share, units_of(maxmin, share));
    else
        fix_all(maxmin, id, share);
    for (size_t i = 0; i < maxmin->touched_count; i++)
        rank_resource(maxmin, maxmin->touched[i]);
    maxmin->levels[maxmin->level_count++] =
        (struct maxmin_level){share, single ? MAXMIN_BOUND : id, (uint32_t)(maxmin->changed_count - first)};
}

static void rank_resources(struct maxmin *maxmin)
{
    for (size_t i = 0; i < maxmin->component_count; i++)
        rank_resource(maxmin, maxmin->component[i]);
    maxmin->bounds_ranked = false;
}

static void rank_bounds(struct maxmin *maxmin)
{
    for (size_t i = 0; i < maxmin->component_count; i++) {
        const struct resource *resource = &maxmin->resources[maxmin->component[i]];
        for (uint32_t j = 0; j < resource->count; j++) {
            const struct flow *flow = flow_at(maxmin, resource->places[j]);
            if (flow->visited == maxmin->visit)
                rank(maxmin, maxmin->resource_count + resource->places[j] / MAXMIN_RESOURCES, flow->bound);
        }
    }
    maxmin->bounds_ranked = true;
}

/* The tightest resource's flows get its share; then the tightest of the rest, with what is left. A bound is a
 * resource that the flow has to itself; none matters before the share reaches the least. So a share is never
 * above the bound of a flow that gets it. */
static void fill(struct maxmin *maxmin)
{
    double share = 0;
    rank_resources(maxmin);
    maxmin->changed_count = maxmin->level_count = 0;
    while (maxmin->changed_count < maxmin->found) {
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

/* Rates from a part of the path of start on, which was tight or is, after start came, changed or went: it has
 * or had at least so many units. */
static void solve(struct maxmin *maxmin, const struct flow *start, uint32_t part, int64_t units)
{
    int64_t least = units - (units >> 30); /* far more than what rounding does */
    uint32_t rounds = 0;                   /* each but the last fills a resource that was not */
    do {
        CHECK(rounds++ <= maxmin->resource_count, "rates of %u resources do not settle",
              maxmin->resource_count);
        for (size_t i = 0; i < maxmin->filled_count; i++)
            tell_flows(maxmin, maxmin->filled[i]);
        maxmin->filled_count = 0;
        find_component(maxmin, start, part | start->tight, least);
        fill(maxmin);
    } while (maxmin->filled_count > 0);
    for (size_t i = 0; i < maxmin->component_count; i++) {
        uint32_t number = maxmin->component[i];
        struct resource *resource = &maxmin->resources[number];
        resource->used = resource->capacity_units - resource->left;
        set_tight(maxmin, number, resource->used >= resource->full);
    }
}

/* What a flow of 0 units gets of a resource if all who have more than that give it up. */
static int64_t fair_units(const struct maxmin *maxmin, const struct resource *resource)
{
    int64_t fair = resource->capacity_units / resource->count, last;
    do { /* from below: with each step fewer are slower */
        int64_t left = resource->capacity_units, sharing = 1;
        last = fair;
        for (uint32_t j = 0; j < resource->count; j++) {
            int64_t units = flow_at(maxmin, resource->places[j])->units;
            left -= units < fair ? units : 0;
            sharing += units >= fair;
        }
        fair = left / sharing;
    } while (fair > last);
    return fair;
}

/* Rates after a flow came, which has 0 units, or its cap changed. One that finds room for all that it can use
 * needs no search. */
static void update(struct maxmin *maxmin, uint32_t number, double cap, bool came)
{
    struct flow *flow = &maxmin->flows[number];
    flow->bound = cap;
    for (uint32_t k = 0; k < flow->count; k++) {
        double capacity = maxmin->resources[flow->resources[k]].capacity;
        flow->bound = capacity < flow->bound ? capacity : flow->bound;
    }
    int64_t units = units_of(maxmin, flow->bound), more = units - flow->units;
    int64_t least = came || units < flow->units ? units : flow->units;
    for (uint32_t k = 0; k < flow->count; k++) {
        const struct resource *resource = &maxmin->resources[flow->resources[k]];
        if (resource->used + more >= resource->full)
            set_tight(maxmin, flow->resources[k], true);
        if (came && resource->tight) {
            int64_t fair = fair_units(maxmin, resource);
            least = fair < least ? fair : least;
        }
    }
    more = (flow->tight ? least : units) - flow->units;
    flow->units += more;
    for (uint32_t rest = flow->shared; rest != 0; rest &= rest - 1)
        maxmin->resources[flow->resources[__builtin_ctz(rest)]].used += more;
    if (flow->tight) {
        solve(maxmin, flow, 0, least);
        return;
    }
    flow->rate = flow->bound;
    maxmin->changed[0] = number;
    maxmin->levels[0] = (struct maxmin_level){flow->rate, MAXMIN_BOUND, 1};
    maxmin->changed_count = maxmin->level_count = 1;
}

/* All that is as long as the list of flows. */
static void make_room(struct maxmin *maxmin, size_t flows)
{
    size_t same = maxmin->flow_capacity;
    maxmin->chosen = mem_grow(maxmin->chosen, &same, flows, sizeof(uint32_t));
    same = maxmin->flow_capacity;
    maxmin->changed = mem_grow(maxmin->changed, &same, flows, sizeof(uint32_t));
    same = maxmin->flow_capacity;
    maxmin->levels = mem_grow(maxmin->levels, &same, flows, sizeof(struct maxmin_level));
    maxmin->flows = mem_grow(maxmin->flows, &maxmin->flow_capacity, flows, sizeof(struct flow));
}

static void make_places(struct resource *resource)
{
    const uint32_t *few = resource->room == FEW ? resource->places : NULL;
    size_t room = few ? 0 : resource->room;
    resource->places =
        mem_grow(few ? NULL : resource->places, &room, (size_t)resource->room + 1, sizeof(uint32_t));
    if (few)
        memcpy(resource->places, few, FEW * sizeof(uint32_t));
    resource->room = (uint32_t)room;
}

/* A resource gets another flow. From two on they share it. */
static void add_place(struct maxmin *maxmin, struct resource *resource, uint32_t place)
{
    if (resource->count == resource->room)
        make_places(resource);
    if (resource->count == 1) {
        struct flow *other = flow_at(maxmin, resource->places[0]);
        other->shared |= part_at(resource->places[0]);
        resource->used = other->units;
    }
    resource->places[resource->count++] = place;
    set_full(resource);
    struct flow *flow = flow_at(maxmin, place);
    flow->shared |= resource->count > 1 ? part_at(place) : 0;
    flow->tight |= resource->tight ? part_at(place) : 0;
}

static void remove_place(struct maxmin *maxmin, struct resource *resource, uint32_t place)
{
    uint32_t i = 0;
    while (resource->places[i] != place)
        i++;
    resource->places[i] = resource->places[--resource->count];
    if (resource->count > 0)
        resource->used -= flow_at(maxmin, place)->units;
    if (resource->count == 1)
        flow_at(maxmin, resource->places[0])->shared ^= part_at(resource->places[0]);
    set_full(resource);
}

void maxmin_add(struct maxmin *maxmin, uint32_t number, const uint32_t *resources, uint32_t count, double cap)
{
    if (number >= maxmin->flow_capacity)
        make_room(maxmin, (size_t)number + 1);
    struct flow *flow = &maxmin->flows[number];
    CHECK(!flow->active, "flow %u is active already", number);
    CHECK(count > 0 && count <= MAXMIN_RESOURCES && cap > 0, "flow %u: %u resources, cap %g", number, count,
          cap);
    *flow = (struct flow){.active = true, .count = (uint8_t)count};
    for (uint32_t k = 0; k < count; k++) {
        flow->resources[k] = resources[k];
        add_place(maxmin, &maxmin->resources[resources[k]], number * MAXMIN_RESOURCES + k);
    }
    update(maxmin, number, cap, true);
}

static struct flow *active_flow(const struct maxmin *maxmin, uint32_t number)
{
    CHECK(number < maxmin->flow_capacity && maxmin->flows[number].active, "flow %u is not active", number);
    return &maxmin->flows[number];
}

void maxmin_set_cap(struct maxmin *maxmin, uint32_t number, double cap)
{
    CHECK(cap > 0, "flow %u: cap %g", number, cap);
    active_flow(maxmin, number);
    update(maxmin, number, cap, false);
}

void maxmin_remove(struct maxmin *maxmin, uint32_t number)
{
    struct flow *flow = active_flow(maxmin, number);
    for (uint32_t k = 0; k < flow->count; k++)
        remove_place(maxmin, &maxmin->resources[flow->resources[k]], number * MAXMIN_RESOURCES + k);
    flow->active = false;
    maxmin->changed_count = maxmin->level_count = 0;
    if (flow->tight)
        solve(maxmin, flow, flow->tight, flow->units);
}

const uint32_t *maxmin_changed(const struct maxmin *maxmin, size_t *count)
{
    *count = maxmin->changed_count;
    return maxmin->changed;
}

const struct maxmin_level *maxmin_levels(const struct maxmin *maxmin, size_t *count)
{
    *count = maxmin->level_count;
    return maxmin->levels;
}

double maxmin_rate(const struct maxmin *maxmin, uint32_t flow)
{
    return maxmin->flows[flow].rate;
}
