/* Routing by what instances hold, worked out by hand: blocks of 2 tokens, of which hashes name two at a time;
 * an iteration with prefill takes 10 ms, one without 5 ms. Two instances, and requests so far apart that all
 * is idle, and reported, before the next, but for those at 0. */
#include "test.h"

#include "experiment.h"

#define MS          INT64_C(1000000)
#define HASH_TOKENS 4
#define MOST        8

struct hand {
    struct experiment_request requests[MOST];
    const char *hashes[MOST];
    int32_t expected[MOST]; /* instances; of decodes the same, counted from the first that decodes */
};

/* Runs it, with every mode the same, and looks at who went where; options end with NULL. */
static struct outcome check_hand(const struct hand *hand, bool disaggregated, const char *const *options)
{
    static const char *const modes[] = {"naive", "aggregate", "leaping"};
    struct experiment *experiment =
        experiment_new(disaggregated ? experiment_disaggregated : experiment_unified);
    struct outcome outcomes[3];
    size_t count = 0;
    while (count < MOST && hand->requests[count].prompt_tokens > 0)
        count++;
    experiment_hashes(experiment, hand->requests, hand->hashes, count, HASH_TOKENS);
    for (int pool = 0; pool < (disaggregated ? 2 : 1); pool++) {
        experiment_set(experiment, "cluster.pools[%d].instances=2", pool);
        experiment_set(
            experiment,
            "cluster.pools[%d].kv={\"block_tokens\": 2, \"blocks\": 100, \"prefix_caching\": true}", pool);
        experiment_set(experiment,
                       "cluster.pools[%d].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 5}",
                       pool);
    }
    experiment_set(experiment, "cluster.router.load_report_interval_ms=0");
    experiment_set(experiment, "cluster.router.policy=cache-aware");
    for (; *options; options++)
        experiment_set(experiment, "%s", *options);
    for (int mode = 0; mode < 3; mode++) {
        experiment_set(experiment, "simulation.mode=%s", modes[mode]);
        outcomes[mode] = experiment_run_well(experiment);
        if (mode > 0) {
            CU_ASSERT_PTR_NULL(outcome_difference(&outcomes[mode], &outcomes[0]));
            outcome_clear(&outcomes[mode]);
        }
    }
    CU_ASSERT_EQUAL_FATAL(outcomes[0].row_count, count);
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(outcomes[0].rows[i].prefill_instance, hand->expected[i]);
        if (disaggregated)
            CU_ASSERT_EQUAL(outcomes[0].rows[i].decode_instance, 2 + hand->expected[i]);
    }
    experiment_free(experiment);
    return outcomes[0];
}

static void check(const struct hand *hand, bool disaggregated, const char *const *options)
{
    struct outcome outcome = check_hand(hand, disaggregated, options);
    outcome_clear(&outcome);
}

#define REQUESTS                                                                                             \
    {                                                                                                        \
        {0, 12, 2, 0, 0}, {0, 12, 2, 0, 0}, {100 * MS, 12, 2, 0, 0}, {200 * MS, 12, 2, 0, 0},                \
            {300 * MS, 12, 2, 0, 0},                                                                         \
        {                                                                                                    \
            400 * MS, 20, 2, 0, 0                                                                            \
        }                                                                                                    \
    }
#define HASHES                                                                                               \
    {                                                                                                        \
        "0, 1, 2", "0, 1, 2", "7, 8, 9", "0, 1, 10", "7, 8, 9", "7, 3, 4, 5, 6"                              \
    }

/* By dispatches the second goes where the first was just sent; the third, which nobody has, to the next in
 * rotation, 1; the fourth has two of its three blocks on 0; the fifth is on 1; of the sixth there is only a
 * fifth, on 1, and next in rotation is 0. By reports nothing is known yet when the second comes, so that it
 * goes to 1, the third to 0, the fourth to the next of both that have as much of it; the fifth is on 0, of
 * the sixth a fifth. */
static void test_sources(void)
{
    static const struct hand dispatches = {REQUESTS, HASHES, {0, 0, 1, 0, 1, 0}},
                             reports = {REQUESTS, HASHES, {0, 1, 0, 1, 0, 1}},
                             all_dispatches = {REQUESTS, HASHES, {0, 0, 1, 0, 1, 1}},
                             all_reports = {REQUESTS, HASHES, {0, 1, 0, 1, 0, 0}};
    static const char *const by_reports = "cluster.router.contents=reports";
    static const char *const weighted = "cluster.router={\"policy\": \"weighted\", \"weights\": {\"prefix\": "
                                        "1}, \"load_report_interval_ms\": 0}";
    for (int disaggregated = 0; disaggregated < 2; disaggregated++) {
        check(&dispatches, disaggregated, (const char *const[]){NULL});
        check(&reports, disaggregated, (const char *const[]){by_reports, NULL});
        /* Without a threshold, and with no load that is compared: reports are of contents alone. */
        check(&all_dispatches, disaggregated, (const char *const[]){weighted, NULL});
        check(&all_reports, disaggregated, (const char *const[]){weighted, by_reports, NULL});
    }
    /* What one of several micro-batches has the instance has. */
    check(&reports, false, (const char *const[]){by_reports, "cluster.pools[0].pipeline_parallel=2", NULL});
}

/* Eight blocks, four names, a cache. The third takes all of instance 0, and what the first left is gone: the
 * fourth goes to the next in rotation, 1, by reports and by an index as large as the cache; it finds what it
 * left there, as the fifth does. An index that forgets nothing sends both to 0, the fourth in vain. */
static void test_evicted(void)
{
    static const struct hand known = {
        {{0, 12, 1, 0, 0},
         {100 * MS, 12, 1, 0, 0},
         {200 * MS, 16, 1, 0, 0},
         {300 * MS, 12, 1, 0, 0},
         {400 * MS, 12, 1, 0, 0}},
        {"0, 1, 2", "5, 6, 7", "20, 21, 22, 23", "0, 1, 2", "0, 1, 2"},
        {0, 1, 0, 1, 1},
    };
    struct hand unknown = known;
    static const char *const small =
        "cluster.pools[0].kv={\"block_tokens\": 2, \"blocks\": 8, \"prefix_caching\": true}";
    unknown.expected[3] = unknown.expected[4] = 0;
    const char *const lists[][3] = {{small, "cluster.router.contents=reports", NULL},
                                    {small, NULL},
                                    {small, "cluster.router.index_blocks=100", NULL}};
    for (int i = 0; i < 3; i++) {
        struct outcome outcome = check_hand(i < 2 ? &known : &unknown, false, lists[i]);
        CU_ASSERT_EQUAL(outcome.rows[3].cached_prompt_tokens, 0);
        CU_ASSERT_EQUAL(outcome.rows[4].cached_prompt_tokens, 8);
        outcome_clear(&outcome);
    }
}

/* An index of two blocks remembers the first two of four, a half: not more than the threshold. */
static void test_index(void)
{
    struct hand hand = {{{0, 16, 1, 0, 0}, {100 * MS, 16, 1, 0, 0}}, {"0, 1, 2, 3", "0, 1, 2, 3"}, {0, 0}};
    static const char *const half = "cluster.router.cache_threshold=0.5";
    check(&hand, false, (const char *const[]){half, "cluster.router.index_blocks=3", NULL});
    hand.expected[1] = 1;
    check(&hand, false, (const char *const[]){half, "cluster.router.index_blocks=2", NULL});
}

/* Reports of the first admission, the next 10 s later. The third goes to the next in rotation, 0, as both are
 * taken to run one; where it is now nobody told when the fourth comes. */
static void test_late(void)
{
    struct hand hand = {
        {{0, 12, 1, 0, 0}, {100 * MS, 12, 1, 0, 0}, {200 * MS, 8, 1, 0, 0}, {300 * MS, 8, 1, 0, 0}},
        {"0, 1, 2", "5, 6, 7", "8, 9", "8, 9"},
        {0, 1, 0, 1}};
    static const char *const reports = "cluster.router.contents=reports";
    check(&hand, false, (const char *const[]){reports, "cluster.router.load_report_interval_ms=10000", NULL});
    hand.expected[3] = 0;
    check(&hand, false, (const char *const[]){reports, NULL});
}

/* While 0 decodes, the same prompt again: 1 request against none. */
static void test_loads(void)
{
    struct hand hand = {{{0, 12, 100, 0, 0}, {100 * MS, 12, 1, 0, 0}}, {"0, 1, 2", "0, 1, 2"}, {0, 0}};
    static const char *const weights =
        "cluster.router={\"policy\": \"weighted\", \"weights\": {\"requests\": "
        "1, \"prefix\": %s}, \"load_report_interval_ms\": 0}";
    char heavy[200], light[200];
    snprintf(heavy, sizeof heavy, weights, "2");
    snprintf(light, sizeof light, weights, "0.5");
    check(&hand, false, (const char *const[]){"cluster.router.balance_abs_threshold=1", NULL});
    check(&hand, false, (const char *const[]){heavy, NULL}); /* 1 + 0 against 0 + 2 */
    hand.expected[1] = 1;
    check(&hand, false, (const char *const[]){"cluster.router.balance_abs_threshold=0", NULL});
    check(&hand, false, (const char *const[]){light, NULL}); /* 1 + 0 against 0 + 0.5 */
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"what was sent, what was reported", test_sources},
        {"what was evicted", test_evicted},
        {"a small index", test_index},
        {"late reports", test_late},
        {"contents against loads", test_loads},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("contents", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
