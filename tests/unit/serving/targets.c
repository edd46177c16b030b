/* Who is next in rotation as instances leave and come. */
#include "test.h"

#include <string.h>

#include "../../../src/serving/targets.h"

#define FIRST ENTITY_FIRST_INSTANCE

static const uint32_t entities[] = {FIRST, FIRST + 1, FIRST + 2, FIRST + 3};
static struct router_config config;
static struct target *by_entity[FIRST + 5];
static struct target_set set;

/* Four instances, of which the next in rotation is `next`. */
static void begin(uint32_t next)
{
    int policy = 0;
    while (strcmp(router_policies[policy]->name, "round-robin") != 0)
        policy++;
    config = (struct router_config){.policy = policy, .role_switch = {.interval_ms = 1}};
    set = (struct target_set){0};
    targets_init(&set, &config, &(struct router_cluster){.entry_count = 4, .entries = entities}, false,
                 by_entity);
    set.next = next;
}

/* The instances that are chosen from now on, once round. */
static void check(const uint32_t *expected, uint32_t count)
{
    struct request request = {.row.session = -1, .context_tokens = 1};
    CU_ASSERT_EQUAL_FATAL(set.count, count);
    for (uint32_t i = 0; i <= count; i++) {
        uint32_t index = targets_pick(&set, &request, 0);
        CU_ASSERT_EQUAL(set.targets[index].entity, FIRST + expected[i % count]);
        CU_ASSERT_PTR_EQUAL(by_entity[set.targets[index].entity], &set.targets[index]);
        targets_book(&set, index, &request);
    }
    targets_clear(&set);
}

static void test_leaves(void)
{
    static const uint32_t expected[4][4][3] = {/* [next][who leaves] */
                                               {{1, 2, 3}, {0, 2, 3}, {0, 1, 3}, {0, 1, 2}},
                                               {{1, 2, 3}, {2, 3, 0}, {1, 3, 0}, {1, 2, 0}},
                                               {{2, 3, 1}, {2, 3, 0}, {3, 0, 1}, {2, 0, 1}},
                                               {{3, 1, 2}, {3, 0, 2}, {3, 0, 1}, {0, 1, 2}}};
    for (uint32_t next = 0; next < 4; next++)
        for (uint32_t leaves = 0; leaves < 4; leaves++) {
            begin(next);
            targets_remove(&set, FIRST + leaves);
            CU_ASSERT_PTR_NULL(by_entity[FIRST + leaves]);
            check(expected[next][leaves], 3);
        }
}

/* Who comes where the next is goes before it: it is the last then. */
static void test_comes(void)
{
    static const struct router_kv kv = {10, 16};
    static const uint32_t expected[3][2][4] = {/* [next of 1, 2, 3][0 comes, or 4] */
                                               {{1, 2, 3, 0}, {1, 2, 3, 4}},
                                               {{2, 3, 0, 1}, {2, 3, 4, 1}},
                                               {{3, 0, 1, 2}, {3, 4, 1, 2}}};
    for (uint32_t next = 0; next < 3; next++)
        for (uint32_t last = 0; last < 2; last++) {
            begin(next + 1);
            targets_remove(&set, FIRST);
            targets_add(&set, last ? FIRST + 4 : FIRST, &kv, 0);
            check(expected[next][last], 4);
        }
}

int main(void)
{
    static const struct test_case cases[] = {{"an instance leaves", test_leaves},
                                             {"an instance comes", test_comes}};
    int code = test_main("targets", cases, sizeof cases / sizeof *cases);
    return mem_live_bytes() == 0 ? code : 1;
}
