/* Router policies in whole runs: queueing theory of splitting a stream over servers, and choices worked out
 * by hand. */
#include "test.h"

#include "experiment.h"
#include "tandem/rng.h"
#include "tandem/router.h"

#define MS INT64_C(1000000)

/* Servers of one seat each, 10 ms to the first token and a millisecond for each later one, that report
 * everything at once. */
static struct experiment *servers(const char *policy, int instances)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_set(experiment, "cluster.pools[0].instances=%d", instances);
    experiment_set(experiment, "cluster.pools[0].scheduler.max_num_seqs=1");
    experiment_set(experiment,
                   "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 1}");
    experiment_set(experiment, "cluster.network.control_latency_us=1");
    experiment_set(experiment, "cluster.router.load_report_interval_ms=0");
    experiment_set(experiment, "cluster.router.policy=%s", policy);
    return experiment;
}

/* Mean wait of requests of 10 ms, or of a list of outputs, in ms; without the first fifth, the way to the
 * steady state. */
static double mean_wait_ms(struct experiment *experiment, const char *output, double rate_per_s,
                           int64_t requests)
{
    char arrivals[100];
    double sum_ns = 0;
    snprintf(arrivals, sizeof arrivals, "{\"poisson\": {\"rate_per_s\": %.17g}}", rate_per_s);
    experiment_synthetic(experiment, "{\"fixed\": 8}", output, arrivals, requests);
    struct outcome outcome = experiment_run_well(experiment);
    size_t first = outcome.row_count / 5;
    for (size_t i = first; i < outcome.row_count; i++)
        sum_ns += (double)outcome.rows[i].prefill_queue_ns;
    double mean_ms = sum_ns / (double)(outcome.row_count - first) / 1e6;
    outcome_clear(&outcome);
    experiment_free(experiment);
    return mean_ms;
}

/* Split at random, a Poisson stream is n Poisson streams: M/D/1 each, with a wait of rho S / (2 (1 - rho))
 * (Pollaczek and Khinchine). Who looks at two queues waits less, who looks at all the least. */
static void test_split(void)
{
    static const char *const policies[] = {"random", "round-robin", "power-of-two", "least-requests"};
    double waits[4], theory_ms = 0.7 * 10 / (2 * (1 - 0.7));
    for (int i = 0; i < 4; i++) {
        waits[i] = mean_wait_ms(servers(policies[i], 8), "{\"fixed\": 1}", 560, 200000);
        printf("\n    8 servers, load 0.7, %s: wait %.3f ms", policies[i], waits[i]);
    }
    CU_ASSERT_DOUBLE_EQUAL(waits[0], theory_ms, 0.04 * theory_ms);
    CU_ASSERT(waits[1] < 0.6 * waits[0]); /* regular arrivals at each */
    CU_ASSERT(waits[2] < 0.6 * waits[0]);
    CU_ASSERT(waits[3] < 0.6 * waits[2]);
}

/* Outputs of which the times are the midpoints of 400 equal parts of an exponential distribution of mean 200
 * ms, to the millisecond; the mean of those. */
static double exponential_outputs(char *list, size_t size)
{
    enum { PARTS = 400 };
    double mean_ms = 0;
    int length = snprintf(list, size, "{\"empirical\": [");
    for (int i = 0; i < PARTS; i++) {
        long output = lround(-200 * log((i + 0.5) / PARTS));
        output = output > 9 ? output - 9 : 1; /* 10 ms to the first token */
        mean_ms += (double)(output + 9) / PARTS;
        length += snprintf(list + length, size - (size_t)length, "%s%ld", i > 0 ? "," : "", output);
    }
    snprintf(list + length, size - (size_t)length, "]}");
    return mean_ms;
}

/* The best of two queues, for exponential times and many servers: E[T] / E[S] = sum of rho^(2^i - 2) over i
 * >= 1 (Vvedenskaya et al. 1996, Mitzenmacher 2001). */
static void test_two_choices(void)
{
    char list[3000];
    double mean_ms = exponential_outputs(list, sizeof list), theory = 0, rho = 0.9;
    for (int i = 1; i < 10; i++)
        theory += pow(rho, pow(2, i) - 2);
    double wait_ms = mean_wait_ms(servers("power-of-two", 200), list, rho * 200 / mean_ms * 1000, 300000);
    printf("\n    200 servers, load 0.9, the best of two: %.3f services in the system, theory %.3f",
           wait_ms / mean_ms + 1, theory);
    CU_ASSERT_DOUBLE_EQUAL(wait_ms / mean_ms + 1, theory, 0.04 * theory);
}

/* What looks at no loads does not depend on reports; what looks at them waits longer the older they are, and
 * the more the more it looks at. */
static void test_stale(void)
{
    static const char *const policies[] = {"random", "power-of-two", "least-requests"};
    static const int intervals_ms[] = {0, 100, 1000};
    char list[3000];
    double waits[3][3], mean_ms = exponential_outputs(list, sizeof list);
    for (int p = 0; p < 3; p++)
        for (int i = 0; i < 3; i++) {
            struct experiment *experiment = servers(policies[p], 20);
            experiment_set(experiment, "cluster.router.load_report_interval_ms=%d", intervals_ms[i]);
            waits[p][i] = mean_wait_ms(experiment, list, 0.8 * 20 / mean_ms * 1000, 40000);
            printf("\n    %s, reports every %d ms: wait %.1f ms", policies[p], intervals_ms[i], waits[p][i]);
        }
    for (int i = 0; i < 3; i++)
        CU_ASSERT(waits[0][i] == waits[0][0] && waits[1][i] < waits[0][i] && waits[2][i] < waits[1][i]);
    CU_ASSERT(waits[1][1] > waits[1][0] && waits[1][2] > 1.3 * waits[1][1]);
    CU_ASSERT(waits[2][1] > 1.3 * waits[2][0] && waits[2][2] > 2 * waits[2][1]);
}

/* Each choice of a request is by its own policy and draw: 2 i for the prefill instance of request i, 2 i + 1
 * for its decode instance. */
static void test_decode_policy(void)
{
    static const char *const policies[][2] = {
        {"round-robin", "random"}, {"random", "round-robin"}, {"random", "same"}};
    for (int i = 0; i < 3; i++) {
        struct experiment *experiment = experiment_new(experiment_disaggregated);
        experiment_synthetic(experiment, "{\"fixed\": 100}", "{\"fixed\": 20}",
                             "{\"fixed\": {\"rate_per_s\": 10}}", 60);
        experiment_set(experiment, "cluster.router.policy=%s", policies[i][0]);
        experiment_set(experiment, "cluster.router.decode_policy=%s", policies[i][1]);
        experiment_set(experiment, "cluster.pools[0].instances=3");
        experiment_set(experiment, "cluster.pools[1].instances=5");
        experiment_set(experiment, "seed=9");
        struct outcome outcome = experiment_run_well(experiment);
        CU_ASSERT_EQUAL_FATAL(outcome.row_count, 60);
        for (size_t j = 0; j < 60; j++) {
            int32_t prefill = (int32_t)router_pick(rng_bits(9, 0, RNG_ROUTER, 2 * j), 3);
            int32_t decode = (int32_t)router_pick(rng_bits(9, 0, RNG_ROUTER, 2 * j + 1), 5);
            CU_ASSERT_EQUAL(outcome.rows[j].prefill_instance, i == 0 ? (int32_t)(j % 3) : prefill);
            CU_ASSERT_EQUAL(outcome.rows[j].decode_instance, 3 + (i == 1 ? (int32_t)(j % 5) : decode));
        }
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* Who goes where, worked out by hand. */
struct hand {
    const char *policy;
    int instances;
    const int64_t *sessions; /* NULL: none */
    struct experiment_request requests[10];
    int32_t expected[10]; /* instances of new requests */
    int32_t decodes[10];  /* of hand-offs, counted from the first that decodes */
};

/* set: an option of the run, or NULL. */
static void check_hand(const struct hand *hand, bool disaggregated, const char *set)
{
    struct experiment *experiment =
        experiment_new(disaggregated ? experiment_disaggregated : experiment_unified);
    int64_t count = 0;
    while (count < 10 && hand->requests[count].prompt_tokens > 0)
        count++;
    experiment_sessions(experiment, hand->requests, hand->sessions, (size_t)count);
    for (int pool = 0; pool < (disaggregated ? 2 : 1); pool++) {
        experiment_set(experiment, "cluster.pools[%d].instances=%d", pool, hand->instances);
        experiment_set(experiment, "cluster.pools[%d].kv={\"blocks\": 1000, \"block_tokens\": 16}", pool);
        experiment_set(
            experiment,
            "cluster.pools[%d].timer={\"level\": \"fixed\", \"prefill_ms\": 100, \"decode_ms\": 10}", pool);
    }
    experiment_set(experiment, "cluster.router.policy=%s", hand->policy);
    experiment_set(experiment, "cluster.router.load_report_interval_ms=0");
    if (strcmp(hand->policy, "weighted") == 0)
        experiment_set(experiment, "cluster.router.weights={\"requests\": 1, \"kv\": 4}");
    if (set)
        experiment_set(experiment, "%s", set);
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL_FATAL((int64_t)outcome.row_count, count);
    for (int64_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(outcome.rows[i].prefill_instance, hand->expected[i]);
        if (disaggregated)
            CU_ASSERT_EQUAL(outcome.rows[i].decode_instance, hand->instances + hand->decodes[i]);
    }
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Two instances of 1,000 blocks of 16 tokens; a prompt takes 100 ms, one of 4,000 tokens 251 blocks, one of
 * 16 two. */
static void test_by_hand(void)
{
    static const struct hand hands[] = {
        /* At 1 s instance 0 decodes a long output; what instance 1 had has ended. */
        {"least-requests",
         2,
         NULL,
         {{0, 16, 500, 0, 0}, {0, 16, 2, 0, 0}, {1000 * MS, 16, 2, 0, 0}, {1000 * MS, 16, 2, 0, 0}},
         {0, 1, 1, 0},
         {0}},
        /* Instance 0 reported when its request joined, with 16 tokens to be computed, and not since; 1
         * reported none when its request ended. Then one long prompt there outweighs the short ones. */
        {"least-tokens",
         2,
         NULL,
         {{0, 16, 500, 0, 0},
          {0, 16, 2, 0, 0},
          {1000 * MS, 4000, 2, 0, 0},
          {1000 * MS, 16, 2, 0, 0},
          {1000 * MS, 16, 2, 0, 0},
          {1000 * MS, 16, 2, 0, 0}},
         {0, 1, 1, 0, 0, 0},
         {0}},
        /* Instance 0 holds 251 blocks for its decode, 1 some for each of its: how many requests does not
           matter. */
        {"least-kv",
         2,
         NULL,
         {{0, 4000, 500, 0, 0},
          {0, 16, 500, 0, 0},
          {1000 * MS, 16, 500, 0, 0},
          {1000 * MS, 16, 500, 0, 0},
          {1000 * MS, 16, 500, 0, 0}},
         {0, 1, 1, 1, 1},
         {0}},
        /* Requests + 4 x KV: 1 + 1.004 and 1 + 0.004; 1/2 + 1.004 and 1 + 0.012; 1/3 + 1.004 and 1 + 0.02. At
         * 2 s instance 0 has ended. */
        {"weighted",
         2,
         NULL,
         {{0, 4000, 96, 0, 0},
          {0, 16, 500, 0, 0},
          {500 * MS, 16, 500, 0, 0},
          {500 * MS, 16, 500, 0, 0},
          {500 * MS, 16, 500, 0, 0},
          {2000 * MS, 16, 2, 0, 0}},
         {0, 1, 1, 1, 1, 0},
         {0}},
    };
    for (size_t i = 0; i < sizeof hands / sizeof hands[0]; i++)
        check_hand(&hands[i], false, NULL);
    check_hand(&hands[2], false, "cluster.pools[0].pipeline_parallel=2"); /* blocks of two micro-batches */
}

/* Sessions 7 and 8 stay where their first request went, however loaded that is; request 4 is of no session
 * and goes to the idle instance. By 15 s all are idle and 9 begins at the next in rotation. Of a prefill pool
 * all instances are idle each time, while decode instances are as busy as unified ones. */
static void test_sessions(void)
{
    static const int64_t sessions[] = {7, 8, 7, 7, -1, 9, 8, 9, 7};
    struct hand hand = {"session-affinity",
                        3,
                        sessions,
                        {{0, 16, 900, 0, 0},
                         {0, 16, 900, 0, 0},
                         {1000 * MS, 16, 900, 0, 0},
                         {2000 * MS, 16, 900, 0, 0},
                         {3000 * MS, 16, 900, 0, 0},
                         {15000 * MS, 16, 2, 0, 0},
                         {16000 * MS, 16, 2, 0, 0},
                         {17000 * MS, 16, 2, 0, 0},
                         {18000 * MS, 16, 2, 0, 0}},
                        {0, 1, 0, 0, 2, 0, 1, 0, 0},
                        {0, 1, 0, 0, 2, 0, 1, 0, 0}};
    static const int32_t prefills[] = {0, 1, 0, 0, 1, 2, 1, 2, 0};
    check_hand(&hand, false, NULL);
    memcpy(hand.expected, prefills, sizeof prefills);
    check_hand(&hand, true, NULL);
    /* Decode instances alone report. */
    hand.policy = "round-robin";
    for (int32_t i = 0; i < 9; i++)
        hand.expected[i] = i % 3;
    check_hand(&hand, true, "cluster.router.decode_policy=session-affinity");
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"a stream split over servers", test_split},
        {"the best of two queues", test_two_choices},
        {"stale reports", test_stale},
        {"two choices, two policies", test_decode_policy},
        {"by hand", test_by_hand},
        {"sessions", test_sessions},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("routers", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
