/* The partition of entities over ranks: contiguous, without a hole, balanced as far as whole entities can be.
 */
#include "test.h"

#include "tandem/engine.h"
#include "tandem/rng.h"

#define ENTITIES 200

/* From rank 0 upwards, never a rank left out; every rank has an entity where there are enough. */
static void check_shape(const uint32_t *owners, uint32_t entities, int ranks)
{
    CU_ASSERT_EQUAL(owners[0], 0);
    for (uint32_t i = 1; i < entities; i++)
        CU_ASSERT(owners[i] == owners[i - 1] || owners[i] == owners[i - 1] + 1);
    uint32_t used = owners[entities - 1] + 1;
    CU_ASSERT_EQUAL(used, entities < (uint32_t)ranks ? entities : (uint32_t)ranks);
}

static double heaviest(const double *weights, const uint32_t *owners, uint32_t entities, int ranks)
{
    double loads[64] = {0}, most = 0;
    for (uint32_t i = 0; i < entities; i++)
        loads[owners[i]] += weights[i];
    for (int rank = 0; rank < ranks; rank++)
        most = loads[rank] > most ? loads[rank] : most;
    return most;
}

static void test_random_weights(void)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        double weights[ENTITIES], total = 0, largest = 0;
        uint32_t owners[ENTITIES];
        uint32_t entities = 1 + (uint32_t)(rng_bits(seed, 0, RNG_ROUTER, 0) % ENTITIES);
        int ranks = 1 + (int)(rng_bits(seed, 0, RNG_ROUTER, 1) % 40);
        for (uint32_t i = 0; i < entities; i++) {
            weights[i] = rng_exponential(seed, 1, RNG_ROUTER, i);
            total += weights[i];
            largest = weights[i] > largest ? weights[i] : largest;
        }
        engine_partition(weights, entities, ranks, owners);
        check_shape(owners, entities, ranks);
        /* Any contiguous partition can be off by one entity; this one is off by no more. */
        CU_ASSERT(heaviest(weights, owners, entities, ranks) <= total / ranks + largest * 1.000001);
    }
}

static void test_equal_weights(void)
{
    double weights[24];
    uint32_t owners[24];
    for (int i = 0; i < 24; i++)
        weights[i] = 1;
    engine_partition(weights, 24, 4, owners);
    for (uint32_t i = 0; i < 24; i++)
        CU_ASSERT_EQUAL(owners[i], i / 6);
}

static void test_more_ranks_than_entities(void)
{
    double weights[3] = {1, 5, 1};
    uint32_t owners[3];
    for (int ranks = 3; ranks <= 64; ranks++) {
        engine_partition(weights, 3, ranks, owners);
        for (uint32_t i = 0; i < 3; i++)
            CU_ASSERT_EQUAL(owners[i], i);
    }
}

/* The router is entity 0 and weighs as much as several instances; it has to stay on rank 0, which reads
 * files. */
static void test_heavy_first_entity(void)
{
    double weights[34] = {8, 0};
    uint32_t owners[34];
    for (int i = 2; i < 34; i++)
        weights[i] = 1;
    for (int ranks = 1; ranks <= 34; ranks++) {
        engine_partition(weights, 34, ranks, owners);
        check_shape(owners, 34, ranks);
    }
}

static void test_no_weight(void)
{
    double weights[10] = {0};
    uint32_t owners[10];
    engine_partition(weights, 10, 3, owners);
    check_shape(owners, 10, 3);
    double last_is_free[4] = {1, 1, 1, 0};
    engine_partition(last_is_free, 4, 3, owners);
    check_shape(owners, 4, 3);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"random weights: contiguous and balanced", test_random_weights},
        {"equal weights: equal shares", test_equal_weights},
        {"more ranks than entities: the last ranks get none", test_more_ranks_than_entities},
        {"a first entity heavier than a rank's share", test_heavy_first_entity},
        {"weights of 0", test_no_weight},
    };
    return test_main("partition", cases, sizeof cases / sizeof cases[0]);
}
