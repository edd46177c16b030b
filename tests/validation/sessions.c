/* Sessions in whole runs: one alone to the nanosecond, turns of many one at a time and in order, what a
 * refusal takes with it, and what the cache has of a turn's prompt. */
#include "test.h"

#include "experiment.h"

#define LATENCY_NS 1000000

static void set_sessions(struct experiment *experiment, const char *arrivals, int64_t count, const char *more)
{
    experiment_set(experiment,
                   "workload={\"sessions\": {\"arrivals\": %s, \"count\": %lld, \"think_time_s\": 0.05%s}}",
                   arrivals, (long long)count, more);
}

#define FIXED                                                                                                \
    ", \"turns\": {\"fixed\": 5}, \"user_tokens\": {\"fixed\": 100}, \"output_tokens\": {\"fixed\": 3}"
#define RANDOM                                                                                               \
    ", \"turns\": {\"uniform\": {\"min\": 1, \"max\": 8}}, \"user_tokens\": {\"uniform\": {\"min\": 1, "     \
    "\"max\": 300}}, \"output_tokens\": {\"uniform\": {\"min\": 1, \"max\": 90}}"

/* Session s begins at s seconds; its turns are served in 10 ms + 2 x 4 ms, chunks of 256 tokens a boundary
 * each. Last token, L, think time: the next is sent. */
static void test_alone(void)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_set(experiment,
                   "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 4}");
    experiment_set(experiment, "cluster.pools[0].scheduler.max_num_batched_tokens=256");
    experiment_set(experiment, "cluster.pools[0].scheduler.max_num_seqs=4");
    set_sessions(experiment, "{\"fixed\": {\"rate_per_s\": 1}}", 3, FIXED);
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL_FATAL(outcome.row_count, 15);
    CU_ASSERT_EQUAL(outcome.summary.sessions, 3);
    CU_ASSERT_EQUAL(outcome.summary.mean_turns, 5);
    int64_t send_ns = 0;
    uint64_t arrivals = 0;
    for (int64_t i = 0; i < 15; i++) {
        const struct row *row = &outcome.rows[i];
        int64_t turn = i % 5, prompt = 100 + 103 * turn, chunks = (prompt + 255) / 256;
        if (turn == 0)
            send_ns = i / 5 * 1000000000;
        CU_ASSERT_EQUAL(row->session, i / 5);
        CU_ASSERT_EQUAL(row->turn, turn + 1);
        CU_ASSERT_EQUAL(row->prompt_tokens, prompt);
        CU_ASSERT_EQUAL(row->arrival_ns, send_ns);
        CU_ASSERT_EQUAL(row->e2e_ns, LATENCY_NS + chunks * 10000000 + 8000000);
        send_ns += row->e2e_ns + LATENCY_NS + 50000000;
        arrivals += row->arrival_ns <= 2000000000;
    }
    CU_ASSERT_EQUAL(outcome.summary.window_end_ns, 2000000000); /* the last session begins */
    CU_ASSERT_EQUAL(outcome.summary.window_arrivals, arrivals);
    CU_ASSERT_EQUAL(arrivals, 11);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Each session's turns are all there, in order, each sent when it must be, with the context that the ones
 * before have made. users: 0 for sessions that come at random, else sessions that users hold. */
static void check_turns(const struct outcome *outcome, int64_t sessions, int64_t users)
{
    struct last {
        int64_t turn, end_ns, context;
    } *last = calloc((size_t)sessions, sizeof *last);
    int64_t requests = 0, begun = 0;
    for (size_t i = 0; i < outcome->row_count; i++) {
        const struct row *row = &outcome->rows[i];
        CU_ASSERT_FATAL(row->session >= 0 && row->session < sessions);
        struct last *before = &last[row->session];
        CU_ASSERT(i == 0 || row->arrival_ns >= outcome->rows[i - 1].arrival_ns);
        CU_ASSERT_EQUAL(row->turn, before->turn + 1);
        if (row->turn == 1) {
            CU_ASSERT_EQUAL(row->session, begun);
            CU_ASSERT(begun >= users || row->arrival_ns == 0);
            begun++;
        } else {
            CU_ASSERT_EQUAL(row->arrival_ns, before->end_ns + LATENCY_NS + 50000000);
            CU_ASSERT(row->prompt_tokens > before->context && row->prompt_tokens <= before->context + 300);
        }
        *before =
            (struct last){row->turn, row->arrival_ns + row->e2e_ns, row->prompt_tokens + row->output_tokens};
        requests++;
    }
    CU_ASSERT_EQUAL(begun, sessions);
    CU_ASSERT_EQUAL((int64_t)outcome->summary.requests, requests);
    CU_ASSERT_EQUAL((int64_t)outcome->summary.completed, requests);
    CU_ASSERT_EQUAL((int64_t)outcome->summary.sessions, sessions);
    CU_ASSERT_DOUBLE_EQUAL(outcome->summary.mean_turns, (double)requests / (double)sessions, 1e-12);
    free(last);
    outcome_check_conserved(outcome, LATENCY_NS);
}

static void test_conserved(void)
{
    for (int variant = 0; variant < 4; variant++) {
        bool moves = variant % 2 == 1;
        int64_t users = variant < 2 ? 0 : 30;
        struct experiment *experiment = experiment_new(moves ? experiment_disaggregated : experiment_unified);
        set_sessions(experiment,
                     users > 0 ? "{\"closed_loop\": {\"users\": 30, \"think_time_s\": 0.2}}"
                               : "{\"poisson\": {\"rate_per_s\": 30}}",
                     200, RANDOM ", \"system_prompt_tokens\": 40");
        struct outcome outcome = experiment_run_well(experiment);
        CU_ASSERT(outcome.row_count > 750 && outcome.row_count < 1050); /* 200 x 4.5, four deviations */
        check_turns(&outcome, 200, users);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* The same requests whatever serves them: one each of the turns that the workload counts. */
static void test_same_requests(void)
{
    static const char *const prefills[] = {"2", "30"};
    uint64_t tokens[2];
    for (int i = 0; i < 2; i++) {
        struct experiment *experiment = experiment_new(experiment_unified);
        experiment_set(experiment,
                       "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": %s, \"decode_ms\": 4}",
                       prefills[i]);
        set_sessions(experiment, "{\"poisson\": {\"rate_per_s\": 30}}", 100,
                     RANDOM ", \"max_context_tokens\": 900");
        struct outcome outcome = experiment_run_well(experiment);
        for (size_t k = 0; k < outcome.row_count; k++)
            CU_ASSERT(outcome.rows[k].prompt_tokens + outcome.rows[k].output_tokens <= 900);
        tokens[i] = outcome.summary.prompt_tokens * 1000003 + outcome.summary.requests;
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
    CU_ASSERT_EQUAL(tokens[0], tokens[1]);
}

/* Prompts of 100, 203, 306, .. tokens: the third is too long, and the two after it are never sent. A user
 * goes on with the next session after the pause, as ever. */
static void test_refused(void)
{
    for (int users = 0; users < 2; users++) {
        struct experiment *experiment = experiment_new(experiment_unified);
        experiment_set(experiment, "cluster.pools[0].max_model_len=300");
        set_sessions(experiment,
                     users > 0 ? "{\"closed_loop\": {\"users\": 1, \"think_time_s\": 0.2}}"
                               : "{\"fixed\": {\"rate_per_s\": 1}}",
                     4, FIXED);
        struct outcome outcome = experiment_run_well(experiment);
        CU_ASSERT_EQUAL_FATAL(outcome.row_count, 20);
        CU_ASSERT_EQUAL(outcome.summary.completed, 8);
        CU_ASSERT_EQUAL(outcome.summary.refused_model_length, 4);
        CU_ASSERT_EQUAL(outcome.summary.refused_session, 8);
        for (int i = 0; i < 20; i++) {
            const struct row *row = &outcome.rows[i];
            static const enum row_reason reasons[] = {ROW_REASON_NONE, ROW_REASON_NONE,
                                                      ROW_REASON_MODEL_LENGTH, ROW_REASON_SESSION,
                                                      ROW_REASON_SESSION};
            CU_ASSERT_EQUAL(row->session, i / 5);
            CU_ASSERT_EQUAL((int)row->turn, i % 5 + 1);
            CU_ASSERT_EQUAL(row->reason, reasons[i % 5]);
            CU_ASSERT_EQUAL(row->status, i % 5 < 2 ? ROW_COMPLETED : ROW_REFUSED);
            if (i % 5 > 2)
                CU_ASSERT_EQUAL(row->arrival_ns, outcome.rows[i - i % 5 + 2].arrival_ns);
            if (i % 5 == 0)
                CU_ASSERT_EQUAL(row->arrival_ns, users == 0 ? i / 5 * INT64_C(1000000000)
                                                 : i == 0   ? 0
                                                            : outcome.rows[i - 1].arrival_ns + 200000000);
        }
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* Refused by the router or by an instance, because of a queue or a deadline: what comes after a session's
 * first refusal is refused with it, L later where an instance did it. */
static void test_refused_later(void)
{
    static const char *const limits[] = {
        "cluster.pools[0].scheduler.max_queued_requests=3",
        "cluster.router={\"max_requests_per_instance\": 6, \"max_queued_requests\": 3}",
        "cluster.router.deadline_ms=100",
    };
    for (int i = 0; i < 3; i++) {
        struct experiment *experiment = experiment_new(experiment_unified);
        experiment_set(experiment, "cluster.pools[0].scheduler.max_num_seqs=4");
        experiment_set(experiment, "%s", limits[i]);
        set_sessions(experiment, "{\"poisson\": {\"rate_per_s\": 20}}", 200, RANDOM);
        struct outcome outcome = experiment_run_well(experiment);
        const struct row *refused[200] = {NULL};
        int64_t last[200] = {0}, later = 0;
        for (size_t k = 0; k < outcome.row_count; k++) {
            const struct row *row = &outcome.rows[k], *first = refused[row->session];
            CU_ASSERT_EQUAL(row->turn, ++last[row->session]);
            CU_ASSERT_EQUAL(row->reason == ROW_REASON_SESSION, first != NULL);
            CU_ASSERT(!first || (row->status == ROW_REFUSED && row->arrival_ns >= first->arrival_ns));
            if (row->status == ROW_REFUSED && !first)
                refused[row->session] = row;
            later += first != NULL;
        }
        CU_ASSERT(later > 20 && outcome.summary.completed > 100);
        CU_ASSERT_EQUAL((int64_t)outcome.summary.refused_session, later);
        CU_ASSERT_EQUAL(outcome.summary.completed + outcome.summary.refused, outcome.row_count);
        if (i < 2) /* those that a deadline refuses have waited, and their rows do not say how long */
            outcome_check_conserved(&outcome, LATENCY_NS);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* With room for all, a turn finds every block that the turn before has filled (its last token was never
 * cached), the first of a session its system prompt's, unless nobody came before. */
static void test_cached(void)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_set(experiment, "cluster.pools[0].kv={\"prefix_caching\": true}");
    set_sessions(experiment, "{\"fixed\": {\"rate_per_s\": 0.1}}", 20,
                 RANDOM ", \"system_prompt_tokens\": 100");
    struct outcome outcome = experiment_run_well(experiment);
    for (size_t i = 0; i < outcome.row_count; i++) {
        const struct row *row = &outcome.rows[i], *before = row - 1;
        int64_t cached = row->session == 0 ? 0 : 100 / 16 * 16;
        if (row->turn > 1) /* the session is alone: the row above is its last turn */
            cached = (before->prompt_tokens + before->output_tokens - 1) / 16 * 16;
        CU_ASSERT(row->turn == 1 || before->session == row->session);
        CU_ASSERT_EQUAL(row->cached_prompt_tokens, cached);
    }
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Two system prompts: sessions of one alone share its blocks. A router that keeps a session where it is finds
 * all of its context, one that does not the system prompt at best where the session was not. */
static void test_affinity(void)
{
    uint64_t cached[2];
    for (int sticky = 0; sticky < 2; sticky++) {
        struct experiment *experiment = experiment_new(experiment_unified);
        experiment_set(experiment, "cluster.pools[0].kv={\"prefix_caching\": true}");
        experiment_set(experiment, "cluster.pools[0].instances=4");
        experiment_set(experiment, "cluster.router.policy=%s", sticky ? "session-affinity" : "round-robin");
        set_sessions(experiment, "{\"poisson\": {\"rate_per_s\": 5}}", 100,
                     RANDOM ", \"system_prompt_tokens\": 100, \"system_prompts\": 2");
        struct outcome outcome = experiment_run_well(experiment);
        int64_t context[100] = {0}, instance[100] = {0};
        cached[sticky] = 0;
        for (size_t i = 0; i < outcome.row_count; i++) {
            const struct row *row = &outcome.rows[i];
            int64_t most = row->turn > 1 ? (context[row->session] - 1) / 16 * 16 : 96;
            cached[sticky] += row->cached_prompt_tokens;
            CU_ASSERT(row->cached_prompt_tokens <= most);
            if (sticky && row->turn > 1) {
                CU_ASSERT_EQUAL(row->prefill_instance, instance[row->session]);
                CU_ASSERT_EQUAL(row->cached_prompt_tokens, most);
            }
            context[row->session] = row->prompt_tokens + row->output_tokens;
            instance[row->session] = row->prefill_instance;
        }
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
    CU_ASSERT(cached[1] > cached[0]);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"alone, by hand", test_alone},        {"conserved", test_conserved},
        {"same requests", test_same_requests}, {"refused", test_refused},
        {"refused later", test_refused_later}, {"cached", test_cached},
        {"affinity", test_affinity},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("sessions", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
