/* What the router knows of instances in each role, and when one of them changes it: each threshold from both
 * sides. */
#include "test.h"

#include "../../../src/serving/roles.h"

#include "tandem/simtime.h"

#define MS INT64_C(1000000)
#define P  ENTITY_FIRST_INSTANCE /* three prefill instances, then three of decode */
#define D  (ENTITY_FIRST_INSTANCE + 3)

/* 10 blocks of 16 tokens each; looks every 10 ms. */
static const struct router_role_switch limits = {.interval_ms = 10,
                                                 .prefill_high_tokens = 100,
                                                 .decode_low_kv = 0.2,
                                                 .decode_high_kv = 0.5,
                                                 .prefill_low_tokens = 20,
                                                 .min_prefill = 2,
                                                 .min_decode = 2,
                                                 .cooldown_ms = 35};
static struct router_config config;
static struct roles roles;

static void begin(void)
{
    static const uint32_t entries[] = {P, P + 1, P + 2}, decodes[] = {D, D + 1, D + 2};
    struct router_kv kv[D + 3];
    for (int i = 0; i < D + 3; i++)
        kv[i] = (struct router_kv){10, 16};
    config = (struct router_config){.role_switch = limits};
    roles_init(&roles, &config,
               &(struct router_cluster){
                   .entries = entries, .decodes = decodes, .entry_count = 3, .decode_count = 3, .kv = kv});
}

/* What an instance says: tokens left, requests, blocks in use, dispatches received. */
static void report(uint32_t entity, int64_t tokens, int64_t requests, int64_t blocks, int64_t received)
{
    int64_t words[ENGINE_WORDS] = {[REPORT_QUEUED_TOKENS] = tokens,
                                   [REPORT_RUNNING] = requests / 2,
                                   [REPORT_WAITING] = requests - requests / 2,
                                   [REPORT_FREE_BLOCKS] = 10 - blocks,
                                   [REPORT_RECEIVED] = received};
    roles_report(&roles, entity, words);
}

static uint32_t look(int64_t now_ns)
{
    int64_t dispatches;
    return roles_look(&roles, now_ns, &dispatches);
}

/* Prefill has 301 tokens in all and decode 5 of 30 blocks: above 100 in the mean, below a fifth. */
static void test_to_prefill(void)
{
    begin();
    CU_ASSERT_EQUAL(roles_look_ns(&roles, 1), SIMTIME_NEVER); /* nobody has anything */
    for (uint32_t i = 0; i < 3; i++) {
        report(P + i, 100, 2, 9, 0);
        report(D + i, 0, 3, 2, 0);
    }
    CU_ASSERT_EQUAL(roles_look_ns(&roles, 1), 10 * MS);
    roles_sent(&roles, P, 1, true);
    CU_ASSERT_EQUAL(look(10 * MS), ENTITY_ROUTER); /* 6 of 30 are not less than a fifth */
    CU_ASSERT_EQUAL(roles_look_ns(&roles, 10 * MS), 20 * MS);
    report(D + 2, 0, 3, 1, 0);
    report(P, 100, 2, 9, 1);
    CU_ASSERT_EQUAL(look(20 * MS), ENTITY_ROUTER); /* 300 are not more than 100 each */
    roles_sent(&roles, P, 1, true);
    CU_ASSERT_EQUAL(look(25 * MS), ENTITY_ROUTER); /* it does not look then */
    roles_sent(&roles, D, 16, false);              /* 2 blocks more, a fourth request */
    CU_ASSERT_EQUAL(look(30 * MS), ENTITY_ROUTER);
    report(D, 0, 4, 2, 1);
    CU_ASSERT_EQUAL(look(40 * MS), D + 1);                          /* three requests, as the one behind it */
    CU_ASSERT_EQUAL(roles_look_ns(&roles, 40 * MS), SIMTIME_NEVER); /* one at a time */
    CU_ASSERT_EQUAL(roles_switched(&roles, D + 1, 41 * MS)->role, ROLE_PREFILL);
    CU_ASSERT_EQUAL(roles_look_ns(&roles, 41 * MS), 80 * MS); /* not before 76 */
    report(P, 400, 2, 9, 2);
    CU_ASSERT_EQUAL(look(80 * MS), ENTITY_ROUTER); /* no more than min_decode are left */
    roles_clear(&roles);
}

/* The reverse; of dispatches that no report has seen yet both the requests and what they bring count. */
static void test_to_decode(void)
{
    begin();
    for (uint32_t i = 0; i < 3; i++) {
        report(P + i, 20, 2, 9, 0);
        report(D + i, 0, 3, 5, 0);
    }
    report(P, 19, 2, 9, 0);
    CU_ASSERT_EQUAL(look(10 * MS), ENTITY_ROUTER); /* 15 of 30 are not more than half */
    report(P, 20, 2, 9, 0);
    report(D, 0, 3, 6, 0);
    CU_ASSERT_EQUAL(look(20 * MS), ENTITY_ROUTER); /* 60 are not less than 20 each */
    report(P, 10, 1, 9, 0);
    roles_sent(&roles, P, 9, true);
    roles_sent(&roles, P, 7, false);
    CU_ASSERT_EQUAL(look(30 * MS), P + 1); /* 59; the first has three requests */
    config.mixed.decode_kv = 0.5;
    CU_ASSERT_TRUE(roles_prefill_decodes(&roles, P, D));
    CU_ASSERT_FALSE(roles_prefill_decodes(&roles, P + 1, D)); /* it is about to change */
    CU_ASSERT_EQUAL(roles_switched(&roles, P + 1, 31 * MS)->role, ROLE_DECODE);
    for (uint32_t i = 0; i < 3; i++)
        report(D + i, 0, 3, 9, 0);
    CU_ASSERT_EQUAL(look(70 * MS), ENTITY_ROUTER); /* no more than min_prefill are left */
    roles_clear(&roles);
}

/* router.mixed: more than so many tokens at prefill and fewer at decode; more than that share of the blocks.
 */
static void test_mixed(void)
{
    begin();
    config.mixed = (struct router_mixed){.prefill_tokens = 50, .decode_kv = 0.5};
    report(P, 50, 1, 1, 0);
    report(D, 49, 1, 5, 0);
    CU_ASSERT_FALSE(roles_decode_prefills(&roles, P, D));
    CU_ASSERT_FALSE(roles_prefill_decodes(&roles, P, D));
    roles_sent(&roles, P, 1, true);
    CU_ASSERT_TRUE(roles_decode_prefills(&roles, P, D));
    roles_sent(&roles, D, 1, false); /* a block, no tokens */
    CU_ASSERT_TRUE(roles_decode_prefills(&roles, P, D));
    CU_ASSERT_TRUE(roles_prefill_decodes(&roles, P, D));
    report(D, 50, 1, 5, 1);
    CU_ASSERT_FALSE(roles_decode_prefills(&roles, P, D));
    CU_ASSERT_FALSE(roles_prefill_decodes(&roles, P, D));
    roles_clear(&roles);
}

int main(void)
{
    static const struct test_case cases[] = {{"a decode instance changes", test_to_prefill},
                                             {"a prefill instance changes", test_to_decode},
                                             {"work of the other role", test_mixed}};
    return test_main("roles", cases, sizeof cases / sizeof *cases);
}
