/* Instances that do work of the other role: by hand, to the nanosecond, and on random workloads. */
#include "test.h"

#include "experiment.h"

#define MS INT64_C(1000000)

/* One prefill and one decode instance with iterations of 10 ms with a prompt and of 5 without. */
static struct experiment *make_small(const struct experiment_request *requests, size_t count)
{
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    experiment_trace(experiment, requests, count);
    for (int i = 0; i < 2; i++)
        experiment_set(experiment,
                       "cluster.pools[%d].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 5}",
                       i);
    experiment_set(experiment, "cluster.network.setup_ms=0");
    return experiment;
}

/* All come at once. 0 and 1 bring what prefill has to compute from 0 over 100 tokens, so that decode computes
 * 2, and 3, which bring it to 110: 4 is prefill's again. Its instance prefills from 1 to 11 ms, decodes 2
 * to 16. The hand-offs come at 13, and get their blocks at 16. */
static void test_decode_prefills(void)
{
    static const struct experiment_request requests[] = {
        {0, 80, 2, 0, 0}, {0, 80, 2, 0, 0}, {0, 80, 2, 0, 0}, {0, 80, 1, 0, 0}, {0, 80, 2, 0, 0}};
    struct experiment *experiment = make_small(requests, 5);
    experiment_set(experiment, "cluster.router.mixed.prefill_tokens=100");
    struct outcome outcome = experiment_run_modes(experiment, MS);
    for (size_t i = 0; i < 5; i++) {
        const struct row *row = &outcome.rows[i];
        bool local = i == 2 || i == 3;
        CU_ASSERT_EQUAL(row->prefill_instance, local ? 1 : 0);
        CU_ASSERT_EQUAL(row->decode_instance, local ? -1 : 1);
        CU_ASSERT_EQUAL(row->ttft_prefill_ns, 11 * MS);
        CU_ASSERT_EQUAL(row->decode_queue_ns, local ? 0 : 3 * MS);
    }
    CU_ASSERT_EQUAL(outcome.rows[2].e2e_ns, 16 * MS);
    CU_ASSERT_EQUAL(outcome.rows[3].e2e_ns, 11 * MS);
    CU_ASSERT_EQUAL(outcome.summary.moved_requests, 3);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* 8 blocks at decode: 0 and 1 take 4 each and want a fifth, so that 1 is sent back. Meanwhile prompt 2 is in
 * chunks of 16 tokens, more than 50 are left, and decode has none; 1 is prefill's all the same. */
static void test_returned(void)
{
    static const struct experiment_request requests[] = {
        {0, 48, 40, 0, 0}, {0, 48, 40, 0, 0}, {100 * MS, 120, 1, 0, 0}, {105 * MS, 20, 1, 0, 0}};
    for (int i = 3; i <= 4; i++) { /* a new one goes to decode */
        struct experiment *experiment = make_small(requests, (size_t)i);
        experiment_set(experiment, "cluster.router.mixed.prefill_tokens=50");
        experiment_set(experiment,
                       "cluster.handoff={\"recompute_at\": \"prefill\", \"first_token\": \"prefill\"}");
        experiment_set(experiment, "cluster.pools[0].scheduler={\"chunked_prefill\": true, "
                                   "\"max_num_batched_tokens\": 16}");
        experiment_set(experiment, "cluster.pools[1].kv={\"block_tokens\": 16, \"blocks\": 8}");
        struct outcome outcome = experiment_run_modes(experiment, MS);
        for (int k = 0; k < i; k++)
            CU_ASSERT_EQUAL(outcome.rows[k].prefill_instance, k == 3 ? 1 : 0);
        CU_ASSERT_EQUAL(outcome.rows[0].preemptions, 0);
        CU_ASSERT_EQUAL(outcome.rows[1].preemptions, 1);
        CU_ASSERT_EQUAL(outcome.rows[1].decode_instance, 1);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* 8 blocks of 16 tokens at decode, 4 for each hand-off. Both prompts are complete at 11 ms, the router knows
 * it at 12: 0 moves there, which is half of the blocks; 1 and what comes before that is reported stays, from
 * 13 on, where iteration after iteration takes 5 ms and one with the prompt of 2 takes 10, from 18 to 28. 2
 * finds 0 decoding. */
static void test_prefill_decodes(void)
{
    static const struct experiment_request requests[] = {
        {0, 63, 60, 0, 0}, {0, 63, 5, 0, 0}, {14 * MS, 20, 2, 0, 0}};
    static const char *const first_tokens[] = {"decode", "relay", "prefill"};
    for (int i = 0; i < 3; i++) {
        struct experiment *experiment = make_small(requests, 3);
        experiment_set(experiment, "cluster.router.mixed.decode_kv=0.4");
        experiment_set(experiment, "cluster.handoff.first_token=%s", first_tokens[i]);
        for (int pool = 0; pool < 2; pool++)
            experiment_set(experiment, "cluster.pools[%d].kv={\"block_tokens\": 16, \"blocks\": 8}", pool);
        struct outcome outcome = experiment_run_modes(experiment, MS);
        const struct row *moved = &outcome.rows[0], *stayed = &outcome.rows[1], *last = &outcome.rows[2];
        CU_ASSERT_EQUAL(moved->decode_instance, 1);
        CU_ASSERT(stayed->prefill_instance == 0 && stayed->decode_instance == -1);
        CU_ASSERT_EQUAL(stayed->ttft_prefill_ns, 11 * MS);
        CU_ASSERT_EQUAL(stayed->ttft_ns, (i == 2 ? 11 : 13) * MS);
        CU_ASSERT_EQUAL(stayed->control_ns, 3 * MS);
        CU_ASSERT_EQUAL(stayed->admission_ns, 0);
        CU_ASSERT_EQUAL(stayed->decode_ns, 25 * MS); /* 5, 10, 5, 5 */
        CU_ASSERT_EQUAL(stayed->e2e_ns, 38 * MS);
        CU_ASSERT_EQUAL(stayed->interference_ns, 5 * MS);
        CU_ASSERT_EQUAL(last->prefill_queue_ns, 3 * MS);
        CU_ASSERT_EQUAL(last->decode_instance, -1);
        CU_ASSERT_EQUAL(last->admission_ns, 3 * MS); /* told at 30, with the boundary at 33 */
        CU_ASSERT_EQUAL(outcome.summary.moved_requests, 1);
        CU_ASSERT_EQUAL(outcome.instances[0].mixed_iterations, 1);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* Little room, random lengths, on both ways. */
static struct experiment *make_random(uint64_t seed)
{
    static const char *const first_tokens[] = {"decode", "relay", "prefill"};
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    experiment_synthetic(experiment, "{\"uniform\": {\"min\": 1, \"max\": 900}}",
                         "{\"uniform\": {\"min\": 1, \"max\": 120}}",
                         "{\"gamma\": {\"rate_per_s\": 120, \"cv\": 3}}", 150);
    experiment_set(experiment, "seed=%llu", (unsigned long long)seed);
    experiment_set(experiment, "cluster.pools[prefill].instances=2");
    experiment_set(experiment, "cluster.pools[decode].instances=2");
    for (int pool = 0; pool < 2; pool++) {
        experiment_set(experiment, "cluster.pools[%d].kv={\"block_tokens\": 16, \"blocks\": 180}", pool);
        experiment_set(experiment,
                       "cluster.pools[%d].scheduler={\"max_num_batched_tokens\": 512, \"max_num_seqs\": 24}",
                       pool);
    }
    experiment_set(experiment, "cluster.pools[prefill].scheduler.chunked_prefill=%s",
                   seed % 2 ? "true" : "false");
    experiment_set(experiment, "cluster.pools[decode].scheduler.preemption=%s",
                   seed % 5 ? "recompute" : "swap");
    experiment_set(experiment, "cluster.handoff.first_token=%s", first_tokens[seed % 3]);
    experiment_set(experiment, "cluster.handoff.recompute_at=%s", seed % 4 ? "decode" : "prefill");
    if (seed % 6 == 5)
        experiment_set(experiment,
                       "cluster.pools[prefill].kv={\"block_tokens\": 16, \"activations\": \"packed\", "
                       "\"margin_gib\": 65}");
    if (seed % 7 == 0)
        for (int pool = 0; pool < 2; pool++) {
            experiment_set(experiment, "cluster.pools[%d].pipeline_parallel=2", pool);
            experiment_set(experiment, "cluster.pools[%d].kv.blocks=320", pool);
        }
    return experiment;
}

static void test_mixed(void)
{
    uint64_t local = 0, stayed = 0, preemptions = 0;
    for (uint64_t seed = 1; seed <= 21; seed++) {
        struct experiment *experiment = make_random(seed);
        experiment_set(experiment, "cluster.router.mixed={\"prefill_tokens\": %d, \"decode_kv\": %g}",
                       seed % 2 ? 600 : 0, seed % 3 ? 0.3 : 0);
        struct outcome outcome = experiment_run_modes(experiment, MS);
        for (size_t i = 0; i < outcome.row_count; i++) {
            const struct row *row = &outcome.rows[i];
            local += row->status == ROW_COMPLETED && row->prefill_instance >= 2;
            stayed += row->status == ROW_COMPLETED && row->control_ns == 3 * MS;
            if (seed % 2 == 0)
                CU_ASSERT(row->prefill_instance < 2);
        }
        preemptions += outcome.summary.preemptions;
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
    printf("\n    %llu prompts at decode, %llu decodes at prefill instances, %llu preemptions",
           (unsigned long long)local, (unsigned long long)stayed, (unsigned long long)preemptions);
    CU_ASSERT(local > 100 && stayed > 100 && preemptions > 50);
}

/* Caches stay with their instances, what the router takes them to hold does not. */
static void test_caches(void)
{
    static const char *const hashes[] = {"1, 2, 3, 4", "1, 2, 5, 6", "7, 8", "1, 2, 3, 9", "7, 8, 10"};
    struct experiment_request requests[120];
    const char *names[120];
    uint64_t switches = 0, cached = 0;
    for (int i = 0; i < 120; i++) {
        int64_t blocks = i % 5 == 2 ? 2 : i % 5 == 4 ? 3 : 4;
        names[i] = hashes[i % 5];
        requests[i] = (struct experiment_request){i * 6 * MS + i / 30 * 300 * MS, 64 * blocks,
                                                  i % 60 < 30 ? 4 : 90, 0, 0};
    }
    for (int i = 0; i < 2; i++) {
        struct experiment *experiment = make_random(2);
        experiment_hashes(experiment, requests, names, 120, 64);
        for (int pool = 0; pool < 2; pool++)
            experiment_set(
                experiment,
                "cluster.pools[%d].kv={\"block_tokens\": 16, \"blocks\": 180, \"prefix_caching\": true}",
                pool);
        experiment_set(experiment, "cluster.router.policy=%s", i == 0 ? "cache-aware" : "prefix-affinity");
        experiment_set(experiment, "cluster.router.role_switch={\"interval_ms\": 10, "
                                   "\"prefill_high_tokens\": 100, \"prefill_low_tokens\": 100, "
                                   "\"decode_high_kv\": 0.2, \"decode_low_kv\": 0.15}");
        struct outcome outcome = experiment_run_modes(experiment, MS);
        CU_ASSERT_EQUAL(outcome.summary.completed, 120);
        switches += outcome.pools[0].role_switches + outcome.pools[1].role_switches;
        cached += outcome.summary.cached_prompt_tokens;
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
    printf("\n    %llu changes, %llu tokens cached", (unsigned long long)switches,
           (unsigned long long)cached);
    CU_ASSERT(switches > 4 && cached > 1000);
}

/* Thresholds that nothing reaches change nothing. */
static void test_never(void)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct experiment *experiment = make_random(seed);
        experiment_set(experiment, "cluster.pools[decode].kv.blocks=%d", 5000);
        struct outcome without = experiment_run_well(experiment);
        experiment_set(experiment, "cluster.router.mixed={\"prefill_tokens\": 1000000, \"decode_kv\": 1}");
        experiment_set(experiment, "cluster.router.role_switch={\"interval_ms\": 10, "
                                   "\"prefill_high_tokens\": 1000000, \"prefill_low_tokens\": 0, "
                                   "\"decode_high_kv\": 1, \"decode_low_kv\": 1}");
        struct outcome with = experiment_run_well(experiment);
        CU_ASSERT_PTR_NULL(outcome_difference(&without, &with));
        outcome_clear(&without);
        outcome_clear(&with);
        experiment_free(experiment);
    }
}

/* Two instances of each role. 0 to 2 bring 300 tokens to prefill, 150 in the mean, which are more than 100:
 * at 5 ms, when the router looks, decode instance 2 is told, and 3 gets all hand-offs. Instance 2 has
 * nothing, takes 7 ms from 6 on, and the router knows at 14. Prompt 3 comes then, goes to it, the idle one,
 * and is complete at 25. */
static void test_switches(void)
{
    static const struct experiment_request requests[] = {
        {0, 100, 40, 0, 0}, {0, 100, 40, 0, 0}, {0, 100, 40, 0, 0}, {14 * MS, 100, 40, 0, 0}};
    struct experiment *experiment = make_small(requests, 4);
    experiment_set(experiment, "cluster.pools[0].instances=2");
    experiment_set(experiment, "cluster.pools[1].instances=2");
    experiment_set(experiment,
                   "cluster.router.role_switch={\"interval_ms\": 5, \"prefill_high_tokens\": 100, "
                   "\"prefill_low_tokens\": 0, \"decode_high_kv\": 1, \"decode_low_kv\": 0.5, "
                   "\"switch_ms\": 7}");
    struct outcome outcome = experiment_run_modes(experiment, MS);
    for (size_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(outcome.rows[i].prefill_instance, i < 3 ? (int32_t)i % 2 : 2);
        CU_ASSERT_EQUAL(outcome.rows[i].decode_instance, 3);
    }
    CU_ASSERT_EQUAL(outcome.rows[3].prefill_queue_ns, 0);
    CU_ASSERT_EQUAL(outcome.rows[3].ttft_prefill_ns, 11 * MS);
    for (size_t i = 0; i < 4; i++) {
        const struct instance_row *instance = &outcome.instances[i];
        CU_ASSERT_EQUAL(instance->role_switches, i == 2);
        CU_ASSERT_EQUAL(instance->drain_ns, 0);
    }
    CU_ASSERT_EQUAL(outcome.instances[2].switched_ns, (uint64_t)(outcome.summary.end_ns - 13 * MS));
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* An instance gets one request at a time: 1 is held. 0 brings 200 tokens to prefill, so that the first decode
 * instance changes, from 6 ms on. The router knows at 14, and sends 1 there at once; no report comes before
 * that of 0. */
static void test_held(void)
{
    static const struct experiment_request requests[] = {{0, 200, 5, 0, 0}, {0, 100, 5, 0, 0}};
    struct experiment *experiment = make_small(requests, 2);
    experiment_set(experiment, "cluster.pools[0].timer.prefill_ms=50");
    experiment_set(experiment, "cluster.pools[1].instances=2");
    experiment_set(experiment, "cluster.router.max_requests_per_instance=1");
    experiment_set(experiment,
                   "cluster.router.role_switch={\"interval_ms\": 5, \"prefill_high_tokens\": 100, "
                   "\"prefill_low_tokens\": 0, \"decode_high_kv\": 1, \"decode_low_kv\": 0.5, "
                   "\"switch_ms\": 7}");
    struct outcome outcome = experiment_run_modes(experiment, MS);
    CU_ASSERT_EQUAL(outcome.rows[0].router_queue_ns, 0);
    CU_ASSERT_EQUAL(outcome.rows[1].router_queue_ns, 14 * MS);
    CU_ASSERT_EQUAL(outcome.rows[1].prefill_instance, 1);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Two prefill instances and a decode instance of 24 blocks of 16 tokens. 0 to 2 are prefilled until 11 ms; at
 * 12 they are handed on, 5 blocks each: 15 are more than 0.5 x 24, and the router knows then that nothing is
 * left to compute. It looks at 15; of the two, which have no requests, the first is told at 16. It holds
 * blocks until it knows that its transfers, opened at 14, are over, L after they are; it takes no time then,
 * and the router knows L later. Request 3 moves to it from the other one. */
static void test_drains(void)
{
    static const struct experiment_request requests[] = {
        {0, 64, 40, 0, 0}, {0, 64, 40, 0, 0}, {0, 64, 40, 0, 0}, {90 * MS, 64, 40, 0, 0}};
    struct experiment *experiment = make_small(requests, 4);
    experiment_set(experiment, "cluster.pools[0].instances=2");
    for (int pool = 0; pool < 2; pool++)
        experiment_set(experiment, "cluster.pools[%d].kv={\"block_tokens\": 16, \"blocks\": 24}", pool);
    experiment_set(experiment, "cluster.network.kv_link=ethernet-25g");
    experiment_set(experiment, "cluster.network.setup_ms=3");
    experiment_set(experiment, "cluster.router.load_report_interval_ms=0");
    experiment_set(experiment,
                   "cluster.router.role_switch={\"interval_ms\": 15, \"prefill_high_tokens\": 100, "
                   "\"prefill_low_tokens\": 1, \"decode_high_kv\": 0.5, \"decode_low_kv\": 0}");
    struct outcome outcome = experiment_run_modes(experiment, MS);
    const struct instance_row *left = &outcome.instances[0];
    int64_t longest_ns = 0;
    for (int i = 0; i < 3; i += 2) /* of 0 and 2, which instance 0 had */
        longest_ns = outcome.rows[i].transfer_ns > longest_ns ? outcome.rows[i].transfer_ns : longest_ns;
    CU_ASSERT(outcome.rows[0].prefill_instance == 0 && outcome.rows[2].prefill_instance == 0);
    CU_ASSERT_EQUAL(left->role_switches, 1);
    CU_ASSERT_EQUAL(left->drain_ns, (uint64_t)(14 * MS + longest_ns + MS - 16 * MS));
    CU_ASSERT_EQUAL(left->switched_ns, (uint64_t)(outcome.summary.end_ns - 15 * MS - longest_ns));
    CU_ASSERT_EQUAL(outcome.rows[3].prefill_instance, 1);
    CU_ASSERT_EQUAL(outcome.rows[3].decode_instance, 0);
    CU_ASSERT(left->output_tokens == 40 && left->received_bytes > 0);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* Blocks are reserved before the prompt: request 0 has 6 of 10, so that 1 and 2 wait for it at the decode
 * instance. The prefill instance of 1 is told to change at 16 ms, and does once 1 has passed through.
 */
static void test_waits(void)
{
    static const struct experiment_request requests[] = {
        {0, 95, 60, 0, 0}, {0, 95, 5, 0, 0}, {0, 95, 5, 0, 0}};
    struct experiment *experiment = make_small(requests, 3);
    experiment_set(experiment, "cluster.pools[0].instances=2");
    experiment_set(experiment, "cluster.pools[1].kv={\"block_tokens\": 16, \"blocks\": 10}");
    experiment_set(experiment, "cluster.handoff.reserve=before-prefill");
    experiment_set(experiment, "cluster.router.policy=round-robin");
    experiment_set(experiment,
                   "cluster.router.role_switch={\"interval_ms\": 15, \"prefill_high_tokens\": 1000, "
                   "\"prefill_low_tokens\": 1000, \"decode_high_kv\": 0.1, \"decode_low_kv\": 0}");
    struct outcome outcome = experiment_run_modes(experiment, MS);
    CU_ASSERT(outcome.rows[1].prefill_instance == 1 && outcome.rows[1].decode_instance == 2);
    CU_ASSERT(outcome.rows[1].decode_queue_ns > 290 * MS); /* 60 tokens of 5 ms */
    CU_ASSERT_EQUAL(outcome.instances[1].role_switches, 1);
    CU_ASSERT(outcome.instances[1].drain_ns > 280 * (uint64_t)MS);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* A prefill instance has room for 128 tokens. 219 fit the decode instance; where either may be of the other
 * role, or a prefill instance may decode, they are refused; not where only decode instances do both. */
static void test_refused(void)
{
    static const struct experiment_request requests[] = {{0, 20, 200, 0, 0}, {0, 20, 5, 0, 0}};
    static const char change[] =
        "role_switch={\"interval_ms\": 5, \"prefill_high_tokens\": 100, \"prefill_low_tokens\": 0, "
        "\"decode_high_kv\": 1, \"decode_low_kv\": 0.5}";
    static const char *const options[] = {change, "mixed.decode_kv=1", "mixed.prefill_tokens=1000000"};
    for (int i = 0; i < 3; i++) {
        struct experiment *experiment = make_small(requests, 2);
        experiment_set(experiment, "cluster.pools[0].kv={\"block_tokens\": 16, \"blocks\": 8}");
        experiment_set(experiment, "cluster.router.%s", options[i]);
        struct outcome outcome = experiment_run_modes(experiment, MS);
        CU_ASSERT_EQUAL(outcome.rows[0].status, i == 2 ? ROW_COMPLETED : ROW_REFUSED);
        CU_ASSERT_EQUAL(outcome.rows[1].status, ROW_COMPLETED);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* Prompts that are long and answers that are short, then the reverse: instances change to prefill, and back.
 */
static void test_shift(void)
{
    static const char *const handoffs[] = {
        "{}", "{\"first_token\": \"prefill\", \"recompute_at\": \"prefill\"}",
        "{\"reserve\": \"before-prefill\", \"first_token\": \"relay\", \"overlap\": \"layer\"}",
        "{\"local_prefill_max_tokens\": 100, \"reserve_tokens\": \"prompt+headroom\"}"};
    static const char *const policies[] = {"least-loaded",     "round-robin", "power-of-two",
                                           "session-affinity", "least-kv",    "random"};
    uint64_t switches = 0, drain_ns = 0, preemptions = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct experiment_request requests[200];
        int64_t sessions[200];
        for (int i = 0; i < 200; i++) {
            bool first = i % 100 < 50;
            requests[i] = (struct experiment_request){.send_ns = i * (first ? 5 : 8) * MS,
                                                      .prompt_tokens = first ? 300 + i : 20 + i,
                                                      .output_tokens = first ? 5 : 60 + i % 50};
            requests[i].send_ns += i / 50 * 400 * MS;
            sessions[i] = i % 9;
        }
        struct experiment *experiment = make_random(seed);
        experiment_sessions(experiment, requests, sessions, 200);
        for (int pool = 0; pool < 2; pool++) {
            experiment_set(experiment, "cluster.pools[%d].instances=3", pool);
            experiment_set(experiment, "cluster.pools[%d].pipeline_parallel=1", pool);
            experiment_set(experiment, "cluster.pools[%d].kv={\"block_tokens\": 16, \"blocks\": 180}", pool);
        }
        experiment_set(experiment, "cluster.pools[1].tensor_parallel=%d", seed % 5 == 2 ? 2 : 1);
        if (seed % 5 == 3)
            experiment_set(experiment, "cluster.pools[0].kv={\"block_tokens\": 32, \"blocks\": 90}");
        experiment_set(experiment, "cluster.handoff=%s", handoffs[seed % 4]);
        experiment_set(experiment, "cluster.router.policy=%s", policies[seed % 6]);
        experiment_set(experiment, "cluster.router.max_requests_per_instance=%d", seed % 5 ? 0 : 8);
        experiment_set(experiment, "cluster.router.role_switch={\"interval_ms\": 20, "
                                   "\"prefill_high_tokens\": 400, \"prefill_low_tokens\": 200, "
                                   "\"decode_high_kv\": 0.3, \"decode_low_kv\": 0.2, \"switch_ms\": 30, "
                                   "\"cooldown_ms\": 10}");
        if (seed % 3 == 0 && seed % 4 != 2)
            experiment_set(experiment, "cluster.router.mixed={\"prefill_tokens\": 2000, \"decode_kv\": 0.7}");
        struct outcome outcome = experiment_run_modes(experiment, MS);
        CU_ASSERT_EQUAL(outcome.summary.completed, 200);
        uint64_t of_seed = 0;
        for (size_t i = 0; i < outcome.instance_count; i++) {
            of_seed += outcome.instances[i].role_switches;
            drain_ns += outcome.instances[i].drain_ns;
            CU_ASSERT(outcome.instances[i].switched_ns <= (uint64_t)outcome.summary.end_ns);
        }
        CU_ASSERT(of_seed > 0);
        CU_ASSERT_EQUAL(of_seed, outcome.pools[0].role_switches + outcome.pools[1].role_switches);
        switches += of_seed;
        preemptions += outcome.summary.preemptions;
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
    printf("\n    %llu changes, %.0f ms drained, %llu preemptions", (unsigned long long)switches,
           (double)drain_ns / 1e6, (unsigned long long)preemptions);
    CU_ASSERT(switches > 30 && drain_ns > 0);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"decode instances prefill", test_decode_prefills},
        {"what comes back is not meant", test_returned},
        {"prefill instances decode", test_prefill_decodes},
        {"both, on random workloads", test_mixed},
        {"a decode instance becomes one for prefill", test_switches},
        {"what was held goes to who has changed", test_held},
        {"a prefill instance holds blocks until it has nothing", test_drains},
        {"what is on its way is waited for", test_waits},
        {"what no instance of either role could hold", test_refused},
        {"a load that changes", test_shift},
        {"caches", test_caches},
        {"thresholds out of reach", test_never},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("roles", cases, sizeof cases / sizeof *cases);
    MPI_Finalize();
    return code;
}
