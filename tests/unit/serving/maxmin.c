/* Max-min fair rates against what defines them (no resource is over its capacity, and every flow is at its
 * cap or has a full resource on which no flow is faster: Bertsekas and Gallager, Data Networks, section
 * 6.5.2: that is so for one allocation only), and against a solver that raises all rates together in steps.
 */
#include "test.h"

#include <stdbool.h>
#include <string.h>

#include "tandem/maxmin.h"
#include "tandem/rng.h"

#define RESOURCES 24
#define FLOWS     60

struct path {
    uint32_t resources[MAXMIN_RESOURCES], count;
    double cap;
};

struct world {
    double capacities[RESOURCES];
    uint32_t wide; /* the first of them that is */
    bool active[FLOWS];
    struct path paths[FLOWS];
    uint32_t limiters[FLOWS]; /* by the last level of each */
    struct maxmin *maxmin;
};

static double relative(double a, double b)
{
    return fabs(a - b) / b;
}

/* Sum and largest rate of the flows of each resource. */
static void resource_rates(const struct world *world, double *sums, double *most)
{
    memset(sums, 0, RESOURCES * sizeof *sums);
    memset(most, 0, RESOURCES * sizeof *most);
    for (uint32_t flow = 0; flow < FLOWS; flow++)
        for (uint32_t k = 0; world->active[flow] && k < world->paths[flow].count; k++) {
            uint32_t resource = world->paths[flow].resources[k];
            double rate = maxmin_rate(world->maxmin, flow);
            sums[resource] += rate;
            most[resource] = rate > most[resource] ? rate : most[resource];
        }
}

static void check_fair(const struct world *world)
{
    double sums[RESOURCES], most[RESOURCES];
    resource_rates(world, sums, most);
    for (uint32_t resource = 0; resource < RESOURCES; resource++)
        CU_ASSERT(sums[resource] <= world->capacities[resource] * (1 + 1e-12));
    for (uint32_t flow = 0; flow < FLOWS; flow++) {
        if (!world->active[flow])
            continue;
        const struct path *path = &world->paths[flow];
        double rate = maxmin_rate(world->maxmin, flow);
        bool limited = rate >= path->cap;
        CU_ASSERT(rate > 0 && rate <= path->cap);
        for (uint32_t k = 0; k < path->count; k++) {
            uint32_t resource = path->resources[k];
            limited |= relative(sums[resource], world->capacities[resource]) < 1e-11 &&
                       rate >= most[resource] * (1 - 1e-12);
        }
        CU_ASSERT_TRUE(limited);
    }
}

/* The largest step that all rates that still rise can take together. */
static double step(const struct world *world, const bool *rises, const double *rates, const double *left)
{
    double least = INFINITY;
    uint32_t rising[RESOURCES] = {0};
    for (uint32_t flow = 0; flow < FLOWS; flow++) {
        if (!rises[flow])
            continue;
        least = fmin(least, world->paths[flow].cap - rates[flow]);
        for (uint32_t k = 0; k < world->paths[flow].count; k++)
            rising[world->paths[flow].resources[k]]++;
    }
    for (uint32_t resource = 0; resource < RESOURCES; resource++)
        if (rising[resource] > 0)
            least = fmin(least, left[resource] / rising[resource]);
    return fmax(least, 0);
}

/* By force: all rates rise together from 0; one stops at its cap or where a resource is full. */
static void solve(const struct world *world, double *rates)
{
    bool rises[FLOWS];
    double left[RESOURCES];
    uint32_t rising = 0;
    memcpy(left, world->capacities, sizeof left);
    for (uint32_t flow = 0; flow < FLOWS; flow++) {
        rates[flow] = 0;
        rises[flow] = world->active[flow];
        rising += world->active[flow];
    }
    while (rising > 0) {
        double more = step(world, rises, rates, left);
        for (uint32_t flow = 0; flow < FLOWS; flow++) {
            rates[flow] += rises[flow] ? more : 0;
            for (uint32_t k = 0; rises[flow] && k < world->paths[flow].count; k++)
                left[world->paths[flow].resources[k]] -= more;
        }
        for (uint32_t flow = 0; flow < FLOWS; flow++) {
            bool stops = rises[flow] && rates[flow] >= world->paths[flow].cap * (1 - 1e-13);
            for (uint32_t k = 0; rises[flow] && k < world->paths[flow].count; k++) {
                uint32_t resource = world->paths[flow].resources[k];
                stops |= left[resource] <= world->capacities[resource] * 1e-13;
            }
            rises[flow] = rises[flow] && !stops;
            rising -= stops;
        }
    }
}

static void check_solved(const struct world *world)
{
    double rates[FLOWS];
    solve(world, rates);
    for (uint32_t flow = 0; flow < FLOWS; flow++)
        if (world->active[flow])
            CU_ASSERT(relative(maxmin_rate(world->maxmin, flow), rates[flow]) < 1e-10);
}

/* Only flows that were listed as changed may have another rate than before. */
static void check_changed(const struct world *world, const double before[FLOWS])
{
    bool listed[FLOWS] = {false};
    size_t count;
    const uint32_t *changed = maxmin_changed(world->maxmin, &count);
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_TRUE(world->active[changed[i]]);
        CU_ASSERT_FALSE(listed[changed[i]]); /* once */
        listed[changed[i]] = true;
    }
    for (uint32_t flow = 0; flow < FLOWS; flow++)
        if (world->active[flow] && !listed[flow]) {
            double rate = maxmin_rate(world->maxmin, flow);
            CU_ASSERT(rate >= before[flow] && rate <= before[flow]);
        }
}

/* Levels are the flows that changed, in order; a limiter is on their paths, full, and nobody is faster there.
 */
static void check_levels(const struct world *world)
{
    double sums[RESOURCES], most[RESOURCES];
    size_t count, levels, done = 0;
    const uint32_t *changed = maxmin_changed(world->maxmin, &count);
    const struct maxmin_level *level = maxmin_levels(world->maxmin, &levels);
    bool seen[RESOURCES] = {false};
    resource_rates(world, sums, most);
    for (size_t i = 0; i < levels; i++, level++) {
        CU_ASSERT_FATAL(level->count > 0 && level->count <= count - done);
        CU_ASSERT(level->limiter == MAXMIN_BOUND ? level->count == 1 : level->limiter < RESOURCES);
        if (level->limiter != MAXMIN_BOUND) {
            CU_ASSERT_FALSE(seen[level->limiter]);
            seen[level->limiter] = true;
            CU_ASSERT(relative(sums[level->limiter], world->capacities[level->limiter]) < 1e-11);
            CU_ASSERT(level->rate >= most[level->limiter] * (1 - 1e-12));
        }
        for (uint32_t j = 0; j < level->count; j++, done++) {
            const struct path *path = &world->paths[changed[done]];
            double rate = maxmin_rate(world->maxmin, changed[done]);
            CU_ASSERT(rate >= level->rate && rate <= level->rate);
            bool on_path = level->limiter == MAXMIN_BOUND;
            for (uint32_t k = 0; k < path->count; k++)
                on_path |= path->resources[k] == level->limiter;
            CU_ASSERT_TRUE(on_path);
        }
    }
    CU_ASSERT_EQUAL(done, count);
}

/* A level has all flows of its limiter; where a flow came to a limiter or left it, the rest are listed, too.
 */
static void check_limiters(struct world *world, const bool was_active[FLOWS])
{
    uint32_t before[FLOWS], members[RESOURCES] = {0}, listed[RESOURCES] = {0};
    bool moved[RESOURCES] = {false};
    size_t count, levels, done = 0;
    const uint32_t *changed = maxmin_changed(world->maxmin, &count);
    const struct maxmin_level *level = maxmin_levels(world->maxmin, &levels);
    memcpy(before, world->limiters, sizeof before);
    for (size_t i = 0; i < levels; i++, level++) {
        for (uint32_t j = 0; j < level->count; j++)
            world->limiters[changed[done++]] = level->limiter;
        if (level->limiter != MAXMIN_BOUND)
            listed[level->limiter] = level->count;
    }
    for (uint32_t flow = 0; flow < FLOWS; flow++) {
        uint32_t old = was_active[flow] ? before[flow] : MAXMIN_BOUND,
                 new = world->active[flow] ? world->limiters[flow] : MAXMIN_BOUND;
        if (old != new &&old != MAXMIN_BOUND)
            moved[old] = true;
        if (new != MAXMIN_BOUND)
            members[new]++;
    }
    for (uint32_t resource = 0; resource < RESOURCES; resource++)
        CU_ASSERT(listed[resource] > 0 || moved[resource] ? listed[resource] == members[resource] : true);
}

static double random_cap(uint64_t bits)
{
    return bits % 3 == 0 ? 1e8 * (double)(1 + bits / 3 % 100) : MAXMIN_NO_CAP;
}

/* Different resources of the first so many; or two ports, of senders and receivers apart. */
static struct path random_path(uint64_t bits, uint32_t resources, uint32_t wide, bool pairs)
{
    struct path path = {.cap = random_cap(bits >> 8)};
    if (pairs) {
        path = (struct path){
            {2 * (uint32_t)(bits >> 16 & 0xffff) % resources, (2 * (uint32_t)(bits >> 40) + 1) % resources},
            2,
            MAXMIN_NO_CAP};
        return path;
    }
    uint32_t count = 1 + (uint32_t)(bits >> 30) % MAXMIN_RESOURCES;
    while (path.count < count) {
        uint32_t resource =
            (uint32_t)(bits = bits * 6364136223846793005u + 1442695040888963407u, bits >> 40) % resources;
        bool there = false;
        for (uint32_t k = 0; k < path.count; k++)
            there |= path.resources[k] == resource;
        if (!there && (resource < wide || path.count > 0)) /* not all of them wide */
            path.resources[path.count++] = resource;
    }
    return path;
}

static void add(struct maxmin *maxmin, uint32_t flow, const struct path *path)
{
    maxmin_add(maxmin, flow, path->resources, path->count, path->cap);
}

/* The rates must not depend, not by a bit, on how the flows came about. */
static void check_history(const struct world *world)
{
    struct maxmin *fresh = maxmin_create(world->capacities, RESOURCES);
    for (uint32_t flow = FLOWS; flow-- > 0;)
        if (world->active[flow])
            add(fresh, flow, &world->paths[flow]);
    for (uint32_t flow = 0; flow < FLOWS; flow++)
        if (world->active[flow]) {
            double one = maxmin_rate(fresh, flow), other = maxmin_rate(world->maxmin, flow);
            CU_ASSERT(one >= other && one <= other);
        }
    maxmin_free(fresh);
}

/* Adds, removes and caps at random; wide resources have more, and are tight now and then. */
static void walk(uint64_t seed, uint32_t resources, uint32_t wide, bool pairs)
{
    struct world world = {.wide = wide};
    for (uint32_t resource = 0; resource < RESOURCES; resource++)
        world.capacities[resource] =
            (resource < wide ? 1e9 : 6e9) * (double)(1 + rng_bits(seed, 1, RNG_ROUTER, resource) % 40);
    world.maxmin = maxmin_create(world.capacities, RESOURCES);
    for (uint64_t i = 0; i < 300; i++) {
        uint64_t bits = rng_bits(seed, 2, RNG_ROUTER, i);
        uint32_t flow = (uint32_t)(bits % FLOWS);
        double before[FLOWS] = {0};
        bool was_active[FLOWS];
        memcpy(was_active, world.active, sizeof was_active);
        for (uint32_t f = 0; f < FLOWS; f++)
            before[f] = world.active[f] ? maxmin_rate(world.maxmin, f) : 0;
        if (world.active[flow] && !pairs && (bits >> 6) % 2 == 0) {
            world.paths[flow].cap = random_cap(bits >> 8);
            maxmin_set_cap(world.maxmin, flow, world.paths[flow].cap);
        } else if (world.active[flow]) {
            world.active[flow] = false;
            maxmin_remove(world.maxmin, flow);
        } else {
            world.active[flow] = true;
            world.paths[flow] = random_path(bits, resources, wide, pairs);
            add(world.maxmin, flow, &world.paths[flow]);
        }
        check_changed(&world, before);
        check_levels(&world);
        check_limiters(&world, was_active);
        check_fair(&world);
        check_solved(&world);
    }
    check_history(&world);
    maxmin_free(world.maxmin);
}

static void test_random(void)
{
    for (uint64_t seed = 1; seed <= 25; seed++) {
        walk(seed, RESOURCES, RESOURCES, true); /* sparse: several components */
        walk(seed, 8, RESOURCES, true);         /* crowded */
    }
    for (uint64_t seed = 26; seed <= 75; seed++) {
        walk(seed, RESOURCES, RESOURCES, false); /* longer paths, and caps */
        walk(seed, 8, RESOURCES, false);
        walk(seed, RESOURCES, RESOURCES / 2, false);
        walk(seed, 8, 5, false);
    }
}

/* Worked by hand: ports of 10, 10, 6, 100, sending (even numbers) and receiving. */
static void test_by_hand(void)
{
    static const double capacities[] = {10, 10, 10, 10, 6, 6, 100, 100};
    struct maxmin *maxmin = maxmin_create(capacities, 8);
    maxmin_add(maxmin, 0, (const uint32_t[]){0, 5}, 2, MAXMIN_NO_CAP);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 0), 6, 0); /* the receiver's port */
    maxmin_add(maxmin, 1, (const uint32_t[]){2, 5}, 2, MAXMIN_NO_CAP);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 0), 3, 0);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 1), 3, 0);
    maxmin_add(maxmin, 2, (const uint32_t[]){2, 7}, 2, MAXMIN_NO_CAP);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 2), 7, 0); /* what flow 1 cannot use */
    maxmin_add(maxmin, 3, (const uint32_t[]){6, 3}, 2, MAXMIN_NO_CAP);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 3), 10, 0); /* the other direction is free */
    maxmin_remove(maxmin, 0);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 1), 5, 0);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 2), 5, 0);
    maxmin_remove(maxmin, 1);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 2), 10, 0);
    maxmin_remove(maxmin, 2);
    maxmin_remove(maxmin, 3);
    size_t count;
    maxmin_changed(maxmin, &count);
    CU_ASSERT_EQUAL(count, 0);
    maxmin_free(maxmin);
}

/* Caps, of flows alone and of flows that share: what one may not have is the others'. */
static void test_caps(void)
{
    static const double capacities[] = {10, 12, 8};
    struct maxmin *maxmin = maxmin_create(capacities, 3);
    maxmin_add(maxmin, 0, (const uint32_t[]){0, 1}, 2, 4);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 0), 4, 0);
    maxmin_set_cap(maxmin, 0, 11);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 0), 10, 0);
    maxmin_set_cap(maxmin, 0, 2);
    maxmin_add(maxmin, 1, (const uint32_t[]){0}, 1, MAXMIN_NO_CAP);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 1), 8, 0);
    maxmin_add(maxmin, 2, (const uint32_t[]){0, 1, 2}, 3, MAXMIN_NO_CAP);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 0), 2, 0);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 1), 4, 0);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 2), 4, 0);
    maxmin_set_cap(maxmin, 0, MAXMIN_NO_CAP);
    for (uint32_t flow = 0; flow < 3; flow++)
        CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, flow), 10. / 3, 1e-15);
    for (uint32_t flow = 0; flow < 3; flow++)
        maxmin_remove(maxmin, flow);
    maxmin_free(maxmin);
}

static void check_listed(const struct maxmin *maxmin, size_t expected)
{
    size_t count;
    maxmin_changed(maxmin, &count);
    CU_ASSERT_EQUAL(count, expected);
}

/* Three ports of 10 GB/s send through an uplink of 25, which joins its flows only while it is full. */
static void test_component(void)
{
    static const double capacities[] = {10e9, 10e9, 10e9, 25e9};
    struct maxmin *maxmin = maxmin_create(capacities, 4);
    for (uint32_t flow = 0; flow < 2; flow++) {
        maxmin_add(maxmin, flow, (const uint32_t[]){flow, 3}, 2, MAXMIN_NO_CAP);
        check_listed(maxmin, 1);
        CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, flow), 10e9, 0);
    }
    maxmin_add(maxmin, 2, (const uint32_t[]){2, 3}, 2, MAXMIN_NO_CAP); /* 30 do not fit */
    check_listed(maxmin, 3);
    for (uint32_t flow = 0; flow < 3; flow++)
        CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, flow), 25e9 / 3, 1e-6);
    maxmin_set_cap(maxmin, 0, 2e9); /* room again for the others' ports */
    check_listed(maxmin, 3);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 2), 10e9, 0);
    maxmin_remove(maxmin, 1);
    check_listed(maxmin, 0);
    maxmin_set_cap(maxmin, 0, MAXMIN_NO_CAP);
    check_listed(maxmin, 1);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 0), 10e9, 0);
    maxmin_remove(maxmin, 0);
    maxmin_remove(maxmin, 2);
    maxmin_free(maxmin);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"worked by hand", test_by_hand},
        {"caps", test_caps},
        {"only what is full connects", test_component},
        {"random flows: as defined, as by force", test_random},
    };
    return test_main("max-min", cases, sizeof cases / sizeof cases[0]);
}
