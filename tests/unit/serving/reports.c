/* Load reports from both ends: when an instance sends them, and what the router makes of them. */
#include "test.h"

#include "tandem/config.h"
#include "tandem/replica.h"
#include "tandem/request.h"
#include "tandem/rng.h"
#include "tandem/router.h"
#include "tandem/simtime.h"

#define MS         INT64_C(1000000)
#define LATENCY_NS MS
#define CAPACITY   100

/* A report as it has to come to the router, and a request to be dispatched to the instance. */
struct report {
    int64_t time_ns, queued_tokens, running, waiting, free_blocks, received;
};
struct dispatch {
    int64_t time_ns, prompt_tokens, output_tokens;
};

static struct report reports[32];
static size_t report_count;

static void take_report(void *state, struct engine *engine, const struct event *event)
{
    (void)state;
    (void)engine;
    CU_ASSERT_EQUAL(event->type, MESSAGE_REPORT);
    CU_ASSERT_FATAL(report_count < 32);
    reports[report_count++] = (struct report){event->time_ns,
                                              event->words[REPORT_QUEUED_TOKENS],
                                              event->words[REPORT_RUNNING],
                                              event->words[REPORT_WAITING],
                                              event->words[REPORT_FREE_BLOCKS],
                                              event->words[REPORT_RECEIVED]};
}

static int chunked(void)
{
    int index = 0;
    while (strcmp(schedulers[index]->name, "chunked") != 0)
        index++;
    return index;
}

static void make_metrics(struct metrics *metrics)
{
    struct metrics_config config = {.pools = 1, .window_end_ns = SIMTIME_NEVER, .requests = 100};
    metrics_init(metrics, &config);
}

static struct engine *make_engine(uint32_t entities)
{
    static const uint32_t owners[8] = {0};
    struct engine_config config = {.entities = entities,
                                   .owners = owners,
                                   .lookahead_ns = LATENCY_NS,
                                   .body_bytes = sizeof(struct request)};
    return engine_create(MPI_COMM_SELF, &config);
}

/* One instance whose iterations take 10 ms each; an interval of 25 ms between reports. */
static void run_instance(bool sends_reports, const struct dispatch *dispatches, size_t count)
{
    struct gpu gpu = {0};
    struct work_shape shape = {0};
    struct timer_config timer_config = {.level = TIMER_FIXED, .prefill_ms = 10, .decode_ms = 10};
    struct metrics metrics;
    struct engine *engine = make_engine(3);
    struct timer *timer = timer_new(&gpu, &shape, &timer_config);
    struct instance_config config = {
        .role = ROLE_UNIFIED,
        .lanes = 1,
        .stages = 1,
        .limits = {.policy = chunked(), .max_num_batched_tokens = 64, .max_num_seqs = 4},
        .kv.block_tokens = 16,
        .capacity_blocks = CAPACITY,
        .latency_ns = LATENCY_NS,
        .report_interval_ns = 25 * MS,
        .reports = sends_reports,
        .timers = &timer};
    make_metrics(&metrics);
    report_count = 0;
    engine_attach(engine, ENTITY_ROUTER, &(struct engine_handler){take_report, NULL}, NULL);
    struct replica *instance = replica_create(engine, ENTITY_FIRST_INSTANCE, &config, &metrics);
    for (size_t i = 0; i < count; i++) {
        struct request *request = engine_body_new(engine);
        request->row.id = i;
        request->row.arrival_ns = dispatches[i].time_ns - LATENCY_NS;
        request->row.prompt_tokens = (uint32_t)dispatches[i].prompt_tokens;
        request->row.output_tokens = (uint32_t)dispatches[i].output_tokens;
        request->prompt_tokens = dispatches[i].prompt_tokens;
        request->output_tokens = request->max_tokens = dispatches[i].output_tokens;
        request->last_token_ns = -1;
        engine_send(engine, ENTITY_ROUTER, ENTITY_FIRST_INSTANCE, dispatches[i].time_ns, MESSAGE_DISPATCH,
                    NULL, request);
    }
    engine_run(engine, NULL);
    CU_ASSERT_EQUAL(metrics.counts.completed, count);
    replica_close(instance, metrics.end_ns);
    replica_free(instance);
    timer_free(timer);
    metrics_clear(&metrics);
    engine_free(engine);
}

/* 0 joins at 10 ms and ends at 50 (prefill, three decodes); 1 joins at 52 and ends at 62, inside the interval
 * that the report of 50 ms began; 2 joins at 80, also inside one, and has just ended when that is over. */
static const struct dispatch dispatches[] = {{10 * MS, 5, 4}, {52 * MS, 20, 1}, {80 * MS, 5, 2}};

static void test_when(void)
{
    static const struct report expected[] = {
        {11 * MS, 5, 1, 0, CAPACITY - 1, 1}, /* joined; its prompt is still to be computed */
        {51 * MS, 0, 0, 0, CAPACITY, 1},     /* ended; the interval was over long ago */
        {76 * MS, 0, 0, 0, CAPACITY, 2},     /* what came inside the interval, once, at its end */
        {101 * MS, 0, 0, 0, CAPACITY, 3},
    };
    run_instance(true, dispatches, 3);
    CU_ASSERT_EQUAL_FATAL(report_count, 4);
    for (size_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(reports[i].time_ns, expected[i].time_ns);
        CU_ASSERT_EQUAL(reports[i].queued_tokens, expected[i].queued_tokens);
        CU_ASSERT_EQUAL(reports[i].running, expected[i].running);
        CU_ASSERT_EQUAL(reports[i].waiting, expected[i].waiting);
        CU_ASSERT_EQUAL(reports[i].free_blocks, expected[i].free_blocks);
        CU_ASSERT_EQUAL(reports[i].received, expected[i].received);
    }
}

/* Five at once for four seats: the report counts those that wait, and all tokens that are not computed. */
static void test_what(void)
{
    static const struct dispatch crowd[] = {
        {10 * MS, 20, 9}, {10 * MS, 20, 9}, {10 * MS, 20, 9}, {10 * MS, 20, 9}, {10 * MS, 20, 9}};
    run_instance(true, crowd, 5);
    CU_ASSERT_FATAL(report_count > 1);
    CU_ASSERT_EQUAL(reports[0].time_ns, 11 * MS);
    CU_ASSERT_EQUAL(reports[0].running, 4);
    CU_ASSERT_EQUAL(reports[0].waiting, 1);
    CU_ASSERT_EQUAL(reports[0].queued_tokens, 100);
    /* Chunks of 20, 20, 20 and 4 tokens of the budget of 64. */
    CU_ASSERT_EQUAL(reports[0].free_blocks, CAPACITY - 2 - 2 - 2 - 1);
    CU_ASSERT_EQUAL(reports[0].received, 5);
}

static void test_none(void)
{
    run_instance(false, dispatches, 3);
    CU_ASSERT_EQUAL(report_count, 0);
}

/* The router with two instances that are played here: who gets the requests that come every millisecond. */
static uint32_t chosen[64];
static size_t chosen_count;

static void take_dispatch(void *state, struct engine *engine, const struct event *event)
{
    (void)state;
    CU_ASSERT_EQUAL(event->type, MESSAGE_DISPATCH);
    CU_ASSERT_EQUAL(event->time_ns, (int64_t)chosen_count * MS + LATENCY_NS);
    CU_ASSERT_FATAL(chosen_count < 64);
    chosen[chosen_count++] = event->destination - ENTITY_FIRST_INSTANCE;
    engine_body_free(engine, event->body);
}

static int policy_named(const char *name)
{
    int index = 0;
    while (strcmp(router_policies[index]->name, name) != 0)
        index++;
    return index;
}

/* time_us: when a report of an instance comes. */
struct script {
    int64_t time_us;
    uint32_t instance;
    int64_t queued_tokens, running, waiting, received, free_blocks;
};

/* KV caches of the two instances. */
static const struct router_kv caches[5] = {[2] = {100, 16}, [3] = {40, 50}};

static void run_router(const char *policy, bool disaggregated, int requests, const struct script *script,
                       size_t count)
{
    static const uint32_t entries[] = {2, 3}, decodes[] = {4};
    char json[256];
    struct config *tree = NULL;
    struct workload *workload = NULL;
    struct error error = {{0}};
    struct metrics metrics;
    snprintf(json, sizeof json,
             "{\"synthetic\": {\"prompt_tokens\": {\"fixed\": 100}, \"output_tokens\": {\"fixed\": 5}, "
             "\"arrivals\": {\"fixed\": {\"rate_per_s\": 1000}}, \"requests\": %d}}",
             requests);
    CU_ASSERT_FATAL(config_parse(json, "test", &tree, &error) &&
                    workload_create(config_root(tree), 1, &workload, &error));
    struct engine *engine = make_engine(5);
    struct router_config config = {.policy = policy_named(policy),
                                   .weights = {.requests = 1, .tokens = 2, .kv = 3}};
    struct router_cluster cluster = {.entry_count = 2,
                                     .entries = entries,
                                     .decode_count = disaggregated,
                                     .decodes = decodes,
                                     .kv = caches,
                                     .latency_ns = LATENCY_NS,
                                     .entry_max_tokens = INT64_MAX,
                                     .decode_max_tokens = INT64_MAX};
    make_metrics(&metrics);
    chosen_count = 0;
    struct router *router = router_create(engine, &config, &cluster, workload, &metrics);
    for (uint32_t i = 0; i < 2; i++)
        engine_attach(engine, entries[i], &(struct engine_handler){take_dispatch, NULL}, NULL);
    for (size_t i = 0; i < count; i++) {
        int64_t words[ENGINE_WORDS] = {0};
        words[REPORT_QUEUED_TOKENS] = script[i].queued_tokens;
        words[REPORT_RUNNING] = script[i].running;
        words[REPORT_WAITING] = script[i].waiting;
        words[REPORT_RECEIVED] = script[i].received;
        words[REPORT_FREE_BLOCKS] = script[i].free_blocks;
        engine_send(engine, entries[script[i].instance], ENTITY_ROUTER, script[i].time_us * 1000,
                    MESSAGE_REPORT, words, NULL);
    }
    engine_run(engine, NULL);
    CU_ASSERT_EQUAL(chosen_count, (size_t)requests);
    router_free(router);
    engine_free(engine);
    metrics_clear(&metrics);
    workload_free(workload);
    config_free(tree);
}

static void check_chosen(const uint32_t *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CU_ASSERT_EQUAL(chosen[i], expected[i]);
}

/* Loads after each request, in requests: what was reported plus the dispatches that the report had not
 * counted. */
static void test_router_requests(void)
{
    static const struct script script[] = {
        {3500, 0, 0, 0, 0, 1, 0},  /* 0 of 1 is left, and 1 dispatch since: load 1 */
        {5500, 1, 0, 2, 3, 3, 0},  /* all counted: load 5 */
        {9500, 0, 900, 0, 0, 2, 0} /* 4 of its 6 dispatches are not in it: load 4; the tokens do not matter */
    };
    static const uint32_t expected[] = {
        0, 1, 0, 1,    /* (1,0) (1,1) (2,1) (2,2), then (1,2) */
        0, 1,          /* (2,2) (2,3), then (2,5) */
        0, 0, 0, 1,    /* (3,5) (4,5) (5,5) (5,6), then (4,6) */
        0, 0, 1, 0, 1, /* (5,6) (6,6) (6,7) (7,7) (7,8) */
    };
    run_router("least-loaded", false, 15, script, 3);
    check_chosen(expected, 15);
    run_router("least-requests", false, 15, script, 3);
    check_chosen(expected, 15);
    run_router("least-requests", true, 15, script, 3); /* of prefill instances, too */
    check_chosen(expected, 15);
    run_router("session-affinity", false, 15, script, 3); /* there are no sessions */
    check_chosen(expected, 15);
}

/* Prefill instances are compared by prompt tokens, 100 a request. */
static void test_router_tokens(void)
{
    static const struct script script[] = {
        {1500, 0, 350, 1, 0, 1, 0}, /* sequences do not matter: load 350 */
        {4500, 1, 50, 9, 9, 3, 0},  /* 50 + one dispatch of 100 */
    };
    static const uint32_t expected[] = {
        0, 1,       /* (100,0) (100,100), then (350,100) */
        1, 1, 1,    /* (350,200) (350,300) (350,400), then (350,150) */
        1, 1, 0, 1, /* (350,250) (350,350) (450,350) (450,450) */
        0, 1,
    };
    run_router("least-loaded", true, 11, script, 2);
    check_chosen(expected, 11);
    run_router("least-tokens", true, 11, script, 2);
    check_chosen(expected, 11);
    run_router("least-tokens", false, 11, script, 2); /* of unified instances, too */
    check_chosen(expected, 11);
}

/* Shares of KV blocks: a dispatch takes 7 of the 100 blocks of instance 0 and 3 of the 40 of instance 1. */
static void test_router_kv(void)
{
    static const struct script script[] = {
        {4500, 1, 9, 9, 9, 1, 3},    /* 37 in use, and one of its two dispatches is not in it: 40 of 40 */
        {9500, 0, 0, 0, 0, 4, 30},   /* 70, and 4 of 8 dispatches: 98 of 100 */
        {13500, 0, 0, 0, 0, 10, 65}, /* all are in it: 35 of 100 */
        {13500, 1, 0, 0, 0, 4, 26},  /* likewise 14 of 40, just as much */
        {16500, 0, 0, 0, 0, 12, 65}, /* both again, after instance 0 was chosen */
        {16500, 1, 0, 0, 0, 5, 26},  {18500, 0, 0, 0, 0, 13, 58}, /* 42 of 100 */
        {18500, 1, 0, 0, 0, 6, 23},                               /* 17 of 40: a little more */
    };
    static const uint32_t expected[] = {
        0, 1, 0, 1, 0, /* (.07,0) (.07,.075) (.14,.075) (.14,.15) (.21,.15), then (.21,1) */
        0, 0, 0, 0, 0, /* up to .56, then (.98,1) */
        0, 1, 0, 1,    /* (1.05,1) (1.05,1.075) (1.12,1.075) (1.12,1.15), then equal */
        0, 1, 0,       /* (.42,.35) (.42,.425) (.49,.425), then equal */
        1, 0,          /* (.35,.425), then (.42,.425) */
        0,
    };
    run_router("least-kv", false, 20, script, 8);
    check_chosen(expected, 20);
}

/* 1 x requests / most + 2 x tokens / most + 3 x share of KV. */
static void test_router_weighted(void)
{
    static const struct script script[] = {{3500, 1, 2000, 1, 0, 2, 40}}; /* no blocks in use */
    static const uint32_t expected[] = {
        0, 1, /* 0 and 0; 1 + 2 + .21 and 0 */
        0, 1, /* 3 + .21 and 3 + .225; 3 + .42 and .5 + 1 + .225 */
        0, 0, /* 1 + .2 + .42 and .5 + 2; 1 + .3 + .63 and .33 + 2 */
        0, 1, /* 1 + .4 + .84 and .25 + 2; 1 + .5 + 1.05 and .2 + 2 */
        0,    /* 1 + 1000 / 2100 + 1.05 and .4 + 2 + .225 */
    };
    run_router("weighted", false, 9, script, 1);
    check_chosen(expected, 9);
}

/* Draws: number 2 i for the first choice of request i; what else uses them would repeat it. */
static void test_router_draws(void)
{
    run_router("random", false, 60, NULL, 0);
    for (uint64_t i = 0; i < 60; i++)
        CU_ASSERT_EQUAL(chosen[i], rng_bits(0, 0, RNG_ROUTER, 2 * i) >> 63);
    run_router("power-of-two", false, 60, NULL, 0);
    for (uint64_t i = 0; i < 60; i += 2) { /* equal: the first drawn; then the other */
        uint32_t first = (uint32_t)(rng_bits(0, 0, RNG_ROUTER, 2 * i) >> 63);
        CU_ASSERT_EQUAL(chosen[i], first);
        CU_ASSERT_EQUAL(chosen[i + 1], 1 - first);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"instance: when it reports", test_when},      {"instance: what it reports", test_what},
        {"instance: no reports", test_none},           {"router: requests", test_router_requests},
        {"router: prompt tokens", test_router_tokens}, {"router: KV blocks", test_router_kv},
        {"router: weighted", test_router_weighted},    {"router: draws", test_router_draws},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("load reports", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
