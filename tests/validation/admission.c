/* Who is let in, worked out by hand: one seat, an iteration of 10 ms a request, control messages of 1 ms. */
#include "test.h"

#include "experiment.h"
#include "tandem/scheduler.h"

#define MS INT64_C(1000000)

static struct experiment *make(const struct experiment_request *requests, size_t count)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_trace(experiment, requests, count);
    experiment_set(experiment,
                   "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 5}");
    experiment_set(experiment, "cluster.pools[0].scheduler.max_num_seqs=1");
    experiment_set(experiment, "cluster.router.load_report_interval_ms=0");
    return experiment;
}

/* What is expected of a request: when it ends, and how long the router held it; or why it is refused. */
struct expected {
    int64_t e2e_ms, held_ms;
    enum row_reason reason;
};

/* Runs it in every mode. end_ms: of the run. */
static void check(struct experiment *experiment, const struct expected *expected, size_t count,
                  int64_t end_ms)
{
    static const char *const modes[] = {"naive", "aggregate", "leaping"};
    for (int mode = 0; mode < 3; mode++) {
        uint64_t reasons[ROW_REASONS] = {0};
        experiment_set(experiment, "simulation.mode=%s", modes[mode]);
        struct outcome outcome = experiment_run_well(experiment);
        CU_ASSERT_EQUAL_FATAL(outcome.row_count, count);
        for (size_t i = 0; i < count; i++) {
            const struct row *row = &outcome.rows[i];
            bool refused = expected[i].reason != ROW_REASON_NONE;
            CU_ASSERT_EQUAL(row->e2e_ns, expected[i].e2e_ms * MS);
            CU_ASSERT_EQUAL(row->router_queue_ns, expected[i].held_ms * MS);
            CU_ASSERT_EQUAL(row_stages_ns(row), row->e2e_ns);
            CU_ASSERT(row->status == (refused ? ROW_REFUSED : ROW_COMPLETED));
            CU_ASSERT_EQUAL(row->reason, expected[i].reason);
            CU_ASSERT_EQUAL(row->prefill_instance, refused ? -1 : 0);
            reasons[expected[i].reason]++;
        }
        CU_ASSERT_EQUAL(outcome.summary.refused_queue_full, reasons[ROW_REASON_QUEUE_FULL]);
        CU_ASSERT_EQUAL(outcome.summary.refused_deadline, reasons[ROW_REASON_DEADLINE]);
        CU_ASSERT_EQUAL(outcome.summary.refused, count - reasons[ROW_REASON_NONE]);
        CU_ASSERT_EQUAL(outcome.summary.end_ns, end_ms * MS);
        outcome_clear(&outcome);
    }
    experiment_free(experiment);
}

/* The report that the seat is free comes at 12 ms, the next request at 13. */
static void test_held(void)
{
    static const struct experiment_request requests[] = {
        {0, 8, 1, 0, 0}, {0, 8, 1, 0, 1}, {0, 8, 1, 0, 1}, {0, 8, 1, 0, 0}};
    static const struct expected expected[] = {{11, 0, 0}, {35, 24, 0}, {47, 36, 0}, {23, 12, 0}};
    struct experiment *experiment = make(requests, 4);
    experiment_set(experiment, "cluster.router.max_requests_per_instance=1");
    check(experiment, expected, 4, 47);
}

/* Two instances with at most two each: the fifth waits. A policy that knows no loads is overruled where its
 * choice is full. */
static void test_two_instances(void)
{
    static const struct experiment_request requests[] = {
        {0, 8, 1, 0, 0}, {0, 8, 5, 0, 0}, {0, 8, 1, 0, 0}, {0, 8, 1, 0, 0}, {0, 8, 1, 0, 0}};
    static const char *const policies[] = {"round-robin", "least-requests"};
    for (int i = 0; i < 2; i++) {
        struct experiment *experiment = make(requests, 5);
        experiment_set(experiment, "cluster.pools[0].instances=2");
        experiment_set(experiment, "cluster.router.policy=%s", policies[i]);
        experiment_set(experiment, "cluster.router.max_requests_per_instance=2");
        struct outcome outcome = experiment_run_well(experiment);
        outcome_check_conserved(&outcome, MS);
        CU_ASSERT_EQUAL(outcome.rows[4].router_queue_ns, 12 * MS); /* request 0 has ended */
        CU_ASSERT_EQUAL(outcome.rows[4].prefill_instance, 0);
        CU_ASSERT_EQUAL(outcome.rows[4].e2e_ns,
                        31 * MS); /* behind request 2, which has the seat from 11 on */
        CU_ASSERT_EQUAL(outcome.rows[3].e2e_ns, 41 * MS); /* behind request 1, of 10 + 4 x 5 ms */
        CU_ASSERT(outcome.summary.mean_router_queue_ns == 12e6 / 5 && outcome.summary.queue.max >= 30 * MS);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* Request 1 of one token leaves instance 1 at 11 ms, request 0 keeps instance 0 busy: the next in rotation is
 * full, the other one is not. */
static void test_overruled(void)
{
    static const struct experiment_request requests[] = {
        {0, 8, 50, 0, 0}, {0, 8, 1, 0, 0}, {20 * MS, 8, 1, 0, 0}};
    struct experiment *experiment = make(requests, 3);
    experiment_set(experiment, "cluster.pools[0].instances=2");
    experiment_set(experiment, "cluster.router.policy=round-robin");
    experiment_set(experiment, "cluster.router.max_requests_per_instance=1");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.rows[0].prefill_instance, 0);
    CU_ASSERT_EQUAL(outcome.rows[2].prefill_instance, 1);
    CU_ASSERT_EQUAL(outcome.rows[2].router_queue_ns, 0);
    CU_ASSERT_EQUAL(outcome.rows[2].e2e_ns, 11 * MS);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Of the newest and the least urgent. */
static void test_full_router(void)
{
    static const struct expected by_class[] = {{11, 0, 0}, {0, 0, ROW_REASON_QUEUE_FULL}, {23, 12, 0}};
    static const struct expected by_age[] = {{11, 0, 0}, {23, 12, 0}, {0, 0, ROW_REASON_QUEUE_FULL}};
    for (int i = 0; i < 2; i++) {
        const struct experiment_request requests[] = {{0, 8, 1, 0, 0}, {0, 8, 1, 0, 1}, {0, 8, 1, 0, i}};
        struct experiment *experiment = make(requests, 3);
        experiment_set(experiment, "cluster.router.max_requests_per_instance=1");
        experiment_set(experiment, "cluster.router.max_queued_requests=1");
        check(experiment, i == 0 ? by_class : by_age, 3, 23);
    }
}

/* The third is still held at 20 ms; of class 1 already the second at 5. A class without a deadline waits. */
static void test_deadline_at_router(void)
{
    static const struct experiment_request requests[] = {{0, 8, 1, 0, 0}, {0, 8, 1, 0, 1}, {0, 8, 1, 0, 2}};
    static const struct {
        const char *deadlines;
        struct expected expected[3];
        int64_t end_ms;
    } cases[] = {{"20", {{11, 0, 0}, {23, 12, 0}, {0, 0, ROW_REASON_DEADLINE}}, 23},
                 {"[0, 5]", {{11, 0, 0}, {0, 0, ROW_REASON_DEADLINE}, {0, 0, ROW_REASON_DEADLINE}}, 11},
                 {"[0, 5, 0]", {{11, 0, 0}, {0, 0, ROW_REASON_DEADLINE}, {23, 12, 0}}, 23},
                 {"[0, 30, 23]", {{11, 0, 0}, {23, 12, 0}, {0, 0, ROW_REASON_DEADLINE}}, 23}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct experiment *experiment = make(requests, 3);
        experiment_set(experiment, "cluster.router.max_requests_per_instance=1");
        experiment_set(experiment, "cluster.router.deadline_ms=%s", cases[i].deadlines);
        check(experiment, cases[i].expected, 3, cases[i].end_ms);
    }
}

/* In the instance's queue, boundaries at 1, 11, 21: who is late at one goes then, before others are
 * scheduled.
 */
static void test_deadline_at_instance(void)
{
    static const struct experiment_request requests[] = {{0, 8, 1, 0, 0}, {0, 8, 1, 0, 0}, {0, 8, 1, 0, 0}};
    static const struct {
        const char *deadline, *order;
        struct expected expected[3];
        int64_t end_ms;
    } cases[] = {
        {"15", "fcfs", {{11, 0, 0}, {21, 0, 0}, {0, 0, ROW_REASON_DEADLINE}}, 21},
        {"21.5", "shortest-prompt", {{11, 0, 0}, {21, 0, 0}, {31, 0, 0}}, 31},
        {"11", "priority", {{11, 0, 0}, {0, 0, ROW_REASON_DEADLINE}, {0, 0, ROW_REASON_DEADLINE}}, 11},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct experiment *experiment = make(requests, 3);
        experiment_set(experiment, "cluster.router.deadline_ms=%s", cases[i].deadline);
        experiment_set(experiment, "cluster.pools[0].scheduler.order=%s", cases[i].order);
        check(experiment, cases[i].expected, 3, cases[i].end_ms);
    }
}

/* While a long output decodes and would be leapt over, whoever waits leaves at the boundary at 31 ms. */
static void test_deadline_while_decoding(void)
{
    static const struct experiment_request requests[] = {{0, 8, 50, 0, 0}, {2 * MS, 8, 1, 0, 0}};
    static const struct expected expected[] = {{11 + 49 * 5, 0, 0}, {0, 0, ROW_REASON_DEADLINE}};
    struct experiment *experiment = make(requests, 2);
    experiment_set(experiment, "cluster.router.deadline_ms=28");
    check(experiment, expected, 2, 11 + 49 * 5);
}

/* The second waits from 3 ms on; the third finds a full queue, the fourth comes when the second has the seat.
 */
static void test_full_instance(void)
{
    static const struct experiment_request requests[] = {
        {0, 8, 1, 0, 0}, {2 * MS, 8, 1, 0, 0}, {4 * MS, 8, 1, 0, 0}, {11 * MS, 8, 1, 0, 0}};
    static const struct expected expected[] = {
        {11, 0, 0}, {19, 0, 0}, {0, 0, ROW_REASON_QUEUE_FULL}, {20, 0, 0}};
    struct experiment *experiment = make(requests, 4);
    experiment_set(experiment, "cluster.pools[0].scheduler.max_queued_requests=1");
    check(experiment, expected, 4, 31);
}

/* Both seats are taken. Request 2 waits at instance 0 until its deadline; that is reported, and its 1000
 * tokens are no load any more: instance 0 has 0, instance 1 reported 8 when request 1 joined, and not since.
 */
static void test_late_load(void)
{
    static const struct experiment_request requests[] = {
        {0, 8, 50, 0, 0}, {0, 8, 50, 0, 0}, {2 * MS, 1000, 1, 0, 1}, {60 * MS, 8, 1, 0, 0}};
    struct experiment *experiment = make(requests, 4);
    experiment_set(experiment, "cluster.pools[0].instances=2");
    experiment_set(experiment, "cluster.router.policy=least-tokens");
    experiment_set(experiment, "cluster.router.deadline_ms=[0, 20]");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.rows[2].reason, ROW_REASON_DEADLINE);
    CU_ASSERT_EQUAL(outcome.rows[2].priority, 1);
    CU_ASSERT_EQUAL(outcome.rows[3].prefill_instance, 0);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Each decodes in its third of 7 blocks, until both need a fourth and the second is preempted. It was
 * scheduled once: no deadline holds for it any more. A swapped one does not wait in the queue: with room for
 * one there, request 2 comes in beside it and request 3 does not; one that is recomputed takes that room. */
static void test_preempted(void)
{
    static const struct experiment_request requests[] = {
        {0, 8, 12, 0, 0}, {4 * MS, 8, 12, 0, 0}, {55 * MS, 8, 1, 0, 0}, {57 * MS, 8, 1, 0, 0}};
    static const char *const orders[] = {"fcfs", "priority"};
    for (int i = 0; i < 4; i++) {
        bool swap = i % 2 != 0;
        for (int full = 0; full < 2; full++) {
            struct experiment *experiment = make(requests, full ? 4 : 2);
            experiment_set(experiment, "cluster.pools[0].kv={\"block_tokens\": 4, \"blocks\": 7}");
            experiment_set(experiment,
                           "cluster.pools[0].scheduler={\"preemption\": \"%s\", \"order\": \"%s\", "
                           "\"max_num_seqs\": 9, \"max_queued_requests\": %d}",
                           preemption_names[swap], orders[i / 2], full);
            experiment_set(experiment, "cluster.router.deadline_ms=%d", full ? 1000 : 33);
            struct outcome outcome = experiment_run_well(experiment);
            CU_ASSERT_EQUAL(outcome.rows[1].preemptions, 1);
            CU_ASSERT_EQUAL(outcome.summary.swaps, swap ? 1 : 0);
            CU_ASSERT(outcome.rows[1].status == ROW_COMPLETED && outcome.rows[1].stalled_ns > 20 * MS);
            CU_ASSERT_EQUAL(outcome.summary.refused_deadline, 0);
            CU_ASSERT_EQUAL(outcome.summary.refused_queue_full, full ? (swap ? 1 : 2) : 0);
            if (full)
                CU_ASSERT_EQUAL(outcome.rows[2].status, swap ? ROW_COMPLETED : ROW_REFUSED);
            outcome_clear(&outcome);
            experiment_free(experiment);
        }
    }
}

/* A user whose request is refused by an instance learns of it L later: it sends again and again until it
 * finds the queue empty. All requests are accounted for. */
static void test_closed_loop(void)
{
    struct experiment *experiment = make(&(struct experiment_request){0, 8, 1, 0, 0}, 1);
    experiment_set(
        experiment,
        "workload={\"synthetic\": {\"prompt_tokens\": {\"fixed\": 8}, \"output_tokens\": {\"fixed\": "
        "1}, \"requests\": 60, \"arrivals\": {\"closed_loop\": {\"users\": 4, \"think_time_s\": "
        "0.003, \"distribution\": \"fixed\"}}}}");
    experiment_set(experiment, "cluster.pools[0].scheduler.max_queued_requests=1");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.summary.completed + outcome.summary.refused, 60);
    CU_ASSERT(outcome.summary.completed > 10 && outcome.summary.refused_queue_full > 10);
    CU_ASSERT_EQUAL(outcome.summary.refused, outcome.summary.refused_queue_full);
    /* A refused user is back after 2 L and its think time. */
    size_t again = 0;
    for (size_t i = 0; i < outcome.row_count; i++)
        for (size_t j = 0; outcome.rows[i].status == ROW_REFUSED && j < outcome.row_count; j++)
            again += outcome.rows[j].arrival_ns == outcome.rows[i].arrival_ns + 5 * MS;
    CU_ASSERT(again >= outcome.summary.refused - 4);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"held by the router", test_held},
        {"two instances", test_two_instances},
        {"a choice that is full", test_overruled},
        {"a full router", test_full_router},
        {"deadlines at the router", test_deadline_at_router},
        {"deadlines at an instance", test_deadline_at_instance},
        {"a deadline while others decode", test_deadline_while_decoding},
        {"a full instance", test_full_instance},
        {"who was late is no load", test_late_load},
        {"preempted ones", test_preempted},
        {"a closed loop", test_closed_loop},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("admission", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
