/* Instances of lanes and pipeline stages, on schedules worked out by hand: fixed times of each stage,
 * requests that are dispatched here. */
#include "test.h"

#include "tandem/mem.h"
#include "tandem/replica.h"
#include "tandem/request.h"
#include "tandem/simtime.h"

#define MS         INT64_C(1000000)
#define LATENCY_NS MS
#define MOST       8
#define BLOCKS     100 /* of a member */

struct dispatch {
    int64_t time_ns, prompt_tokens, output_tokens;
};

/* When a request's first and last token came, and how long it waited to be scheduled first. */
struct times {
    int64_t first_ns, last_ns, queue_ns;
};

struct setting {
    int64_t lanes, stages, seqs;
    double prefill_ms[3], decode_ms[3]; /* of each stage */
    double link_bandwidth;              /* a token takes 2 bytes to the next stage */
    bool reports;
};

static struct times times[MOST];
static struct usage usage;
static int64_t reports[MOST][ENGINE_WORDS];
static size_t report_count;
static struct timer *timers[3];

static void take_report(void *state, struct engine *engine, const struct event *event)
{
    (void)state;
    (void)engine;
    CU_ASSERT_EQUAL(event->type, MESSAGE_REPORT);
    CU_ASSERT_FATAL(report_count < MOST);
    memcpy(reports[report_count++], event->words, sizeof reports[0]);
}

static int chunked(void)
{
    int index = 0;
    while (strcmp(schedulers[index]->name, "chunked") != 0)
        index++;
    return index;
}

static void send(struct engine *engine, const struct dispatch *dispatch, uint64_t id)
{
    struct request *request = engine_body_new(engine);
    request->row.id = id;
    request->row.arrival_ns = dispatch->time_ns - LATENCY_NS;
    request->row.prompt_tokens = (uint32_t)dispatch->prompt_tokens;
    request->row.output_tokens = (uint32_t)dispatch->output_tokens;
    request->prompt_tokens = dispatch->prompt_tokens;
    request->output_tokens = request->max_tokens = dispatch->output_tokens;
    request->last_token_ns = -1;
    engine_send(engine, ENTITY_ROUTER, ENTITY_FIRST_INSTANCE, dispatch->time_ns, MESSAGE_DISPATCH, NULL,
                request);
}

static void make_timers(const struct setting *setting)
{
    struct gpu gpu = {.send = {.bandwidth = setting->link_bandwidth}};
    struct work_shape shape = {.hidden = 1, .layers = 1, .tensor_parallel = 1};
    for (int64_t i = 0; i < setting->stages; i++) {
        struct timer_config config = {
            .level = TIMER_FIXED, .prefill_ms = setting->prefill_ms[i], .decode_ms = setting->decode_ms[i]};
        timers[i] = timer_new(&gpu, &shape, &config);
    }
}

static void take_times(const struct metrics *metrics, size_t count)
{
    CU_ASSERT_EQUAL_FATAL(metrics->row_count, count);
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &metrics->rows[i];
        times[row->id] = (struct times){row->arrival_ns + row->ttft_ns, row->arrival_ns + row->e2e_ns,
                                        row->prefill_queue_ns};
    }
}

/* The timers stay, for the test to ask. */
static void run_mode(const struct setting *setting, int mode, const struct dispatch *dispatches, size_t count)
{
    static const uint32_t owners[3] = {0};
    struct engine_config engine_config = {
        .entities = 3, .owners = owners, .lookahead_ns = LATENCY_NS, .body_bytes = sizeof(struct request)};
    struct metrics_config metrics_config = {
        .pools = 1, .window_end_ns = SIMTIME_NEVER, .requests = MOST, .one_in = 1};
    struct instance_config config = {
        .role = ROLE_UNIFIED,
        .lanes = setting->lanes,
        .stages = setting->stages,
        .limits = {.policy = chunked(), .max_num_batched_tokens = 64, .max_num_seqs = setting->seqs},
        .block_tokens = 16,
        .capacity_blocks = BLOCKS,
        .latency_ns = LATENCY_NS,
        .report_interval_ns = 1000 * MS,
        .reports = setting->reports,
        .mode = mode,
        .timers = timers};
    struct metrics metrics;
    make_timers(setting);
    metrics_init(&metrics, &metrics_config);
    report_count = 0;
    struct engine *engine = engine_create(MPI_COMM_SELF, &engine_config);
    engine_attach(engine, ENTITY_ROUTER, &(struct engine_handler){take_report, NULL}, NULL);
    struct replica *replica = replica_create(engine, ENTITY_FIRST_INSTANCE, &config, &metrics);
    for (size_t i = 0; i < count; i++)
        send(engine, &dispatches[i], i);
    engine_run(engine, NULL);
    take_times(&metrics, count);
    replica_close(replica, metrics.end_ns);
    usage = replica_usage(replica);
    CU_ASSERT_EQUAL(usage.kv_allocated_blocks, usage.kv_freed_blocks);
    replica_free(replica);
    metrics_clear(&metrics);
    engine_free(engine);
}

static void run(const struct setting *setting, const struct dispatch *dispatches, size_t count)
{
    run_mode(setting, MODE_LEAPING, dispatches, count);
}

static void end(const struct setting *setting)
{
    for (int64_t i = 0; i < setting->stages; i++)
        timer_free(timers[i]);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static uint64_t busy_ns(void)
{
    return usage.busy_ns[PHASE_PREFILL] + usage.busy_ns[PHASE_DECODE] + usage.busy_ns[PHASE_MIXED];
}

static const struct setting two_stages = {
    .lanes = 1, .stages = 2, .seqs = 4, .prefill_ms = {10, 10}, .decode_ms = {4, 4}, .link_bandwidth = 1e5};

/* One request: one stage after another, with a send between them; the other half of the time is bubbles. */
static void test_alone(void)
{
    static const struct dispatch dispatches[] = {{10 * MS, 50, 3}};
    run(&two_stages, dispatches, 1);
    int64_t prompt_ns = timer_send_ns(timers[0], 50), token_ns = timer_send_ns(timers[0], 1);
    CU_ASSERT(prompt_ns > 0 && token_ns > 0);
    CU_ASSERT_EQUAL(times[0].first_ns, 30 * MS + prompt_ns);
    CU_ASSERT_EQUAL(times[0].last_ns, 30 * MS + prompt_ns + 2 * (8 * MS + token_ns));
    CU_ASSERT_EQUAL(busy_ns(), (uint64_t)(times[0].last_ns - 10 * MS)); /* of one of two members */
    CU_ASSERT_EQUAL(usage.kv_peak_blocks, 4);
    end(&two_stages);
}

/* Two requests at once are two micro-batches. Stage 0 has the first from 10 to 20 and the second from 20
 * to 30; with the send p, stage 1 from 20 + p to 30 + p to 40 + p. Then decodes of 4 ms. */
static void test_two_at_once(void)
{
    static const struct dispatch dispatches[] = {{10 * MS, 50, 3}, {10 * MS, 50, 2}};
    run(&two_stages, dispatches, 2);
    int64_t p = timer_send_ns(timers[0], 50), t = timer_send_ns(timers[0], 1);
    CU_ASSERT_EQUAL(times[0].queue_ns, 0);
    CU_ASSERT_EQUAL(times[1].queue_ns, 10 * MS); /* until stage 0 was free */
    CU_ASSERT_EQUAL(times[0].first_ns, 30 * MS + p);
    CU_ASSERT_EQUAL(times[1].first_ns, 40 * MS + p);
    /* The first again: stage 0 from 30 + p to 34 + p, then it waits for stage 1 until 40 + p. The second:
     * stage 0 from 40 + p, stage 1 has been free since 44 + p when it comes. */
    CU_ASSERT_EQUAL(times[1].last_ns, 48 * MS + p + t);
    /* The first for the last time: from 44 + p on stage 0, on stage 1 once the second has left it. */
    CU_ASSERT_EQUAL(times[0].last_ns, 52 * MS + p + t);
    CU_ASSERT_EQUAL(usage.kv_peak_blocks, 8); /* of both together */
    CU_ASSERT_EQUAL(usage.iterations[PHASE_PREFILL], 2);
    CU_ASSERT_EQUAL(usage.iterations[PHASE_DECODE], 3);
    CU_ASSERT_EQUAL(usage.output_tokens, 5);
    end(&two_stages);
}

/* Full, the pipeline gives a token each time that the slowest stage is through, whichever that is. */
static void test_slowest_stage(void)
{
    static const struct dispatch dispatches[] = {{10 * MS, 5, 101}, {10 * MS, 5, 101}};
    for (int slowest = 0; slowest < 2; slowest++) {
        struct setting setting = {.lanes = 1, .stages = 2, .seqs = 4, .link_bandwidth = 1e20};
        for (int i = 0; i < 2; i++)
            setting.prefill_ms[i] = setting.decode_ms[i] = i == slowest ? 5 : 2;
        run(&setting, dispatches, 2);
        CU_ASSERT_EQUAL(times[0].first_ns, 17 * MS);
        CU_ASSERT_EQUAL(times[1].first_ns, 22 * MS);
        CU_ASSERT_EQUAL(times[0].last_ns, times[0].first_ns + 100 * 10 * MS);
        CU_ASSERT_EQUAL(times[1].last_ns, times[1].first_ns + 100 * 10 * MS);
        CU_ASSERT_EQUAL(usage.kv_peak_blocks, 14);
        end(&setting);
        run(&setting, dispatches, 1); /* alone: the sum of the stages */
        CU_ASSERT_EQUAL(times[0].last_ns, 17 * MS + 100 * 7 * MS);
        end(&setting);
    }
}

/* Lanes step together: one that has nothing to do waits for the boundary, and all for the slowest. */
static void test_lanes(void)
{
    static const struct dispatch dispatches[] = {{10 * MS, 50, 4}, {12 * MS, 50, 2}};
    struct setting setting = {
        .lanes = 2, .stages = 1, .seqs = 4, .prefill_ms = {10}, .decode_ms = {4}, .link_bandwidth = 1e5};
    for (int mode = MODE_LEAPING; mode <= MODE_NAIVE; mode++) {
        run_mode(&setting, mode, dispatches, 2);
        CU_ASSERT_EQUAL(times[0].first_ns, 20 * MS);
        CU_ASSERT_EQUAL(times[1].queue_ns, 8 * MS); /* its lane is idle, but the other is not */
        CU_ASSERT_EQUAL(times[1].first_ns, 30 * MS);
        CU_ASSERT_EQUAL(times[1].last_ns, 34 * MS); /* the first decoded during the prompt, in 10 ms */
        CU_ASSERT_EQUAL(times[0].last_ns, 38 * MS);
        /* Both lanes are in the phase of both: one prefills and the other waits, or decodes, or has ended. */
        CU_ASSERT_EQUAL(usage.busy_ns[PHASE_PREFILL], (uint64_t)(2 * 10 * MS));
        CU_ASSERT_EQUAL(usage.busy_ns[PHASE_MIXED], (uint64_t)(2 * 10 * MS));
        CU_ASSERT_EQUAL(usage.busy_ns[PHASE_DECODE], (uint64_t)(2 * (4 + 4) * MS));
        CU_ASSERT_EQUAL(usage.iterations[PHASE_DECODE], 3);
        CU_ASSERT_EQUAL(usage.iterations[PHASE_MIXED], 2);
        end(&setting);
    }
}

/* Who gets what comes: with a seat each, whom a request waits for shows its member. */
static void test_choice(void)
{
    static const struct dispatch spread[] = {
        /* One for each of the four members. */
        {10 * MS, 20, 30}, {10 * MS, 20, 25}, {10 * MS, 10, 20},
        {10 * MS, 20, 35}, {10 * MS, 9, 1}, /* all have one request; the third has the fewest tokens */
        {10 * MS, 20, 1},                   /* of those with one request the fourth is next in rotation */
        {10 * MS, 20, 1},                   /* and then the first */
        {10 * MS, 20, 1},                   /* and the second */
    };
    struct setting setting = {.lanes = 2,
                              .stages = 2,
                              .seqs = 1,
                              .prefill_ms = {1, 1},
                              .decode_ms = {1, 1},
                              .link_bandwidth = 1e20};
    run(&setting, spread, 8);
    /* Lanes of one micro-batch at the same time, those of the other a stage later. */
    CU_ASSERT_EQUAL(times[0].first_ns, 12 * MS);
    CU_ASSERT_EQUAL(times[1].first_ns, 12 * MS);
    CU_ASSERT_EQUAL(times[2].first_ns, 13 * MS);
    CU_ASSERT_EQUAL(times[3].first_ns, 13 * MS);
    static const size_t after[] = {2, 3, 0, 1};
    for (size_t i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(times[4 + i].first_ns, times[after[i]].last_ns + 2 * MS);
    end(&setting);
}

/* A report is of all members together. */
static void test_report(void)
{
    static const struct dispatch dispatches[] = {{10 * MS, 20, 2}, {10 * MS, 40, 2}, {10 * MS, 17, 2}};
    struct setting setting = {.lanes = 2,
                              .stages = 1,
                              .seqs = 1,
                              .prefill_ms = {10},
                              .decode_ms = {4},
                              .link_bandwidth = 1e5,
                              .reports = true};
    run(&setting, dispatches, 3);
    CU_ASSERT_FATAL(report_count > 0);
    CU_ASSERT_EQUAL(reports[0][REPORT_QUEUED_TOKENS], 77);
    CU_ASSERT_EQUAL(reports[0][REPORT_RUNNING], 2);
    CU_ASSERT_EQUAL(reports[0][REPORT_WAITING], 1);
    CU_ASSERT_EQUAL(reports[0][REPORT_FREE_BLOCKS], 2 * BLOCKS - 2 - 3);
    CU_ASSERT_EQUAL(reports[0][REPORT_RECEIVED], 3);
    CU_ASSERT_EQUAL(report_count, 2); /* the rest inside one interval */
    CU_ASSERT_EQUAL(reports[1][REPORT_FREE_BLOCKS], 2 * BLOCKS);
    end(&setting);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"stages: one request", test_alone},         {"stages: two micro-batches", test_two_at_once},
        {"stages: the slowest", test_slowest_stage}, {"lanes: the slowest", test_lanes},
        {"the member of a request", test_choice},    {"load reports", test_report},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("replicas", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
