/* Max-min fair rates against what defines them: no port is over its capacity, and every flow has a full port
 * on which no flow is faster (Bertsekas and Gallager, Data Networks, section 6.5.2: that is so for one
 * allocation only). */
#include "test.h"

#include <stdbool.h>

#include "tandem/maxmin.h"
#include "tandem/rng.h"

#define PORTS 12
#define FLOWS 60

struct world {
    double capacities[PORTS];
    bool active[FLOWS];
    uint32_t senders[FLOWS], receivers[FLOWS];
    struct maxmin *maxmin;
};

static double relative(double a, double b)
{
    return fabs(a - b) / b;
}

/* Sum and largest rate of the flows of a port, sending or receiving. */
static void port_rates(const struct world *world, const uint32_t *ends, uint32_t port, double *sum,
                       double *most)
{
    *sum = *most = 0;
    for (uint32_t flow = 0; flow < FLOWS; flow++) {
        if (!world->active[flow] || ends[flow] != port)
            continue;
        double rate = maxmin_rate(world->maxmin, flow);
        *sum += rate;
        *most = rate > *most ? rate : *most;
    }
}

static void check_fair(const struct world *world)
{
    double sums[2][PORTS], most[2][PORTS];
    for (uint32_t port = 0; port < PORTS; port++) {
        port_rates(world, world->senders, port, &sums[0][port], &most[0][port]);
        port_rates(world, world->receivers, port, &sums[1][port], &most[1][port]);
        CU_ASSERT(sums[0][port] <= world->capacities[port] * (1 + 1e-12));
        CU_ASSERT(sums[1][port] <= world->capacities[port] * (1 + 1e-12));
    }
    for (uint32_t flow = 0; flow < FLOWS; flow++) {
        if (!world->active[flow])
            continue;
        uint32_t ports[2] = {world->senders[flow], world->receivers[flow]};
        double rate = maxmin_rate(world->maxmin, flow);
        bool has_bottleneck = false;
        for (int d = 0; d < 2; d++)
            has_bottleneck |= relative(sums[d][ports[d]], world->capacities[ports[d]]) < 1e-11 &&
                              rate >= most[d][ports[d]] * (1 - 1e-12);
        CU_ASSERT(rate > 0);
        CU_ASSERT_TRUE(has_bottleneck);
    }
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

/* Adds and removes at random; the rates must not depend on how the flows came about. */
static void walk(uint64_t seed, int ports)
{
    struct world world = {0};
    for (uint32_t port = 0; port < PORTS; port++)
        world.capacities[port] = 1e9 * (double)(1 + rng_bits(seed, 1, RNG_ROUTER, port) % 40);
    world.maxmin = maxmin_create(world.capacities, PORTS);
    for (uint64_t i = 0; i < 300; i++) {
        uint64_t bits = rng_bits(seed, 2, RNG_ROUTER, i);
        uint32_t flow = (uint32_t)(bits % FLOWS);
        double before[FLOWS] = {0};
        for (uint32_t f = 0; f < FLOWS; f++)
            before[f] = world.active[f] ? maxmin_rate(world.maxmin, f) : 0;
        if (world.active[flow]) {
            world.active[flow] = false;
            maxmin_remove(world.maxmin, flow);
        } else {
            world.active[flow] = true;
            world.senders[flow] = (uint32_t)(bits >> 16) % (uint32_t)ports;
            world.receivers[flow] = (uint32_t)(bits >> 40) % (uint32_t)ports;
            maxmin_add(world.maxmin, flow, world.senders[flow], world.receivers[flow]);
        }
        check_changed(&world, before);
        check_fair(&world);
    }
    struct maxmin *fresh = maxmin_create(world.capacities, PORTS);
    for (uint32_t flow = FLOWS; flow-- > 0;)
        if (world.active[flow])
            maxmin_add(fresh, flow, world.senders[flow], world.receivers[flow]);
    for (uint32_t flow = 0; flow < FLOWS; flow++)
        if (world.active[flow])
            CU_ASSERT(relative(maxmin_rate(fresh, flow), maxmin_rate(world.maxmin, flow)) < 1e-12);
    maxmin_free(fresh);
    maxmin_free(world.maxmin);
}

static void test_random(void)
{
    for (uint64_t seed = 1; seed <= 25; seed++) {
        walk(seed, PORTS); /* sparse: several components */
        walk(seed, 4);     /* crowded */
    }
}

/* Worked by hand: ports of 10, 10, 6, 100. */
static void test_by_hand(void)
{
    static const double capacities[] = {10, 10, 6, 100};
    struct maxmin *maxmin = maxmin_create(capacities, 4);
    maxmin_add(maxmin, 0, 0, 2);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 0), 6, 0); /* the receiver's port */
    maxmin_add(maxmin, 1, 1, 2);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 0), 3, 0);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 1), 3, 0);
    maxmin_add(maxmin, 2, 1, 3);
    CU_ASSERT_DOUBLE_EQUAL(maxmin_rate(maxmin, 2), 7, 0); /* what flow 1 cannot use */
    maxmin_add(maxmin, 3, 3, 1);
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

int main(void)
{
    static const struct test_case cases[] = {
        {"worked by hand", test_by_hand},
        {"random flows have bottlenecks", test_random},
    };
    return test_main("max-min", cases, sizeof cases / sizeof cases[0]);
}
