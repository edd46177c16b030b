/* Every combination of the options of a hand-off, on pools that are alike and on pools that differ in
 * everything, with too few blocks: refused with its reason, or all modes give the same, stages add up, and
 * blocks, bytes and tokens are conserved. And prefill and decode as two queues one after the other. */
#include "test.h"

#include "experiment.h"
#include "tandem/handoff.h"
#include "tandem/simtime.h"

#define LATENCY_NS 1000000
#define REQUESTS   25

struct combination {
    struct handoff_config handoff;
    bool different, swaps;
    int sharing;
};

static struct experiment *make(const struct combination *combination)
{
    static const char *const sharing[] = {"max-min", "sender", "none"};
    static const struct experiment_request requests[REQUESTS] = {
        {0, 40, 9, 12, 0},  {0, 7, 30, 31, 0},  {0, 64, 1, 4, 0},   {0, 33, 22, 40, 0}, {0, 80, 2, 2, 0},
        {0, 16, 40, 40, 0}, {0, 15, 17, 60, 0}, {0, 90, 33, 33, 0}, {0, 1, 50, 50, 0},  {0, 50, 5, 5, 0}};
    struct experiment_request all[REQUESTS];
    const struct handoff_config *handoff = &combination->handoff;
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    for (int i = 0; i < REQUESTS; i++) {
        all[i] = requests[i % 10];
        all[i].send_ns = i * INT64_C(7000001);
    }
    experiment_trace(experiment, all, REQUESTS);
    experiment_set(experiment, "model=llama-3.1-8b");
    experiment_set(
        experiment,
        "cluster.handoff={\"first_token\": \"%s\", \"reserve\": \"%s\", \"reserve_tokens\": \"%s\", "
        "\"headroom_tokens\": 9, \"overlap\": \"%s\", \"recompute_at\": \"%s\"}",
        first_token_names[handoff->first_token], reserve_when_names[handoff->reserve],
        reserve_tokens_names[handoff->reserve_tokens], overlap_names[handoff->overlap],
        recompute_at_names[handoff->recompute_at]);
    experiment_set(experiment, "cluster.network.sharing=%s", sharing[combination->sharing]);
    experiment_set(experiment, "cluster.network.kv_link=ethernet-25g");
    experiment_set(experiment, "cluster.pools[0].kv={\"block_tokens\": 4, \"blocks\": 60}");
    experiment_set(experiment, "cluster.pools[0].scheduler={\"chunked_prefill\": true, "
                               "\"max_num_batched_tokens\": 24, \"max_num_seqs\": 8}");
    experiment_set(experiment, "cluster.pools[1].kv={\"block_tokens\": %d, \"blocks\": %d}",
                   combination->different ? 7 : 4, combination->different ? 24 : 40);
    if (combination->swaps)
        experiment_set(experiment, "cluster.pools[1].scheduler={\"preemption\": \"swap\", "
                                   "\"swap_space_gib\": 0.02}");
    if (combination->different) {
        experiment_set(experiment, "cluster.pools[0].tensor_parallel=2");
        experiment_set(experiment, "cluster.pools[1].gpu=a100-sxm-80gb");
        experiment_set(experiment, "cluster.pools[1].pipeline_parallel=2");
        experiment_set(experiment, "cluster.pools[1].instances=2");
        experiment_set(experiment, "cluster.pools[1].kv.blocks=50");
    }
    return experiment;
}

static uint64_t check_accepted(struct experiment *experiment)
{
    static const char *const modes[] = {"naive", "aggregate", "leaping"};
    struct outcome outcomes[3];
    for (int mode = 0; mode < 3; mode++) {
        experiment_set(experiment, "simulation.mode=%s", modes[mode]);
        outcomes[mode] = experiment_run_well(experiment);
    }
    uint64_t preemptions = outcomes[2].summary.preemptions;
    CU_ASSERT_EQUAL(outcomes[2].summary.completed, REQUESTS);
    outcome_check_conserved(&outcomes[2], LATENCY_NS);
    for (int mode = 0; mode < 3; mode++) {
        CU_ASSERT_PTR_NULL(outcome_difference(&outcomes[mode], &outcomes[2]));
        if (mode < 2)
            outcome_clear(&outcomes[mode]);
    }
    outcome_clear(&outcomes[2]);
    return preemptions;
}

static void test_all(void)
{
    uint64_t accepted = 0, refused = 0, preemptions = 0;
    for (int i = 0; i < 3 * 2 * 3 * 3 * 2 * 2; i++) {
        struct combination combination = {.handoff = {.first_token = i % 3,
                                                      .reserve = i / 3 % 2,
                                                      .reserve_tokens = i / 6 % 3,
                                                      .overlap = i / 18 % 3,
                                                      .recompute_at = i / 54 % 2},
                                          .different = i / 108,
                                          .swaps = i % 5 == 0,
                                          .sharing = i % 4 % 3};
        struct experiment *experiment = make(&combination);
        if (combination.handoff.overlap != OVERLAP_NONE &&
            combination.handoff.reserve == RESERVE_AFTER_PREFILL) {
            struct outcome outcome = experiment_run(experiment);
            CU_ASSERT_EQUAL(outcome.status, SIM_USER_ERROR);
            CU_ASSERT_PTR_NOT_NULL(strstr(outcome.error.text, "set reserve to 'before-prefill'"));
            refused++;
        } else {
            preemptions += check_accepted(experiment);
            accepted++;
        }
        experiment_free(experiment);
    }
    printf("\n    %llu accepted, %llu refused, %llu preemptions", (unsigned long long)accepted,
           (unsigned long long)refused, (unsigned long long)preemptions);
    CU_ASSERT(accepted == 144 && refused == 72 && preemptions > 300);
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* With a network that takes no time, requests pass a queue of one server (10 ms each) and then one (5 ms each
 * of the following tokens) as if these were by themselves; messages take 6 us. */
static void test_two_queues(void)
{
    struct experiment_request requests[REQUESTS];
    int64_t prefill_free_ns = 0, decode_free_ns = 0;
    for (int i = 0; i < REQUESTS; i++)
        requests[i] = (struct experiment_request){i * i * INT64_C(1700001), 8, 1 + i % 5, 0, 0};
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    experiment_trace(experiment, requests, REQUESTS);
    experiment_set(experiment, "cluster.network.control_latency_us=1");
    experiment_set(experiment, "cluster.network.kv_link={\"name\": \"instant\", \"source\": \"test\", "
                               "\"bandwidth_gb_per_s\": 1e6, \"efficiency\": 1, \"setup_ms\": 0, "
                               "\"descriptor_ns\": 0}");
    experiment_set(experiment, "cluster.handoff.first_token=prefill");
    for (int pool = 0; pool < 2; pool++) {
        experiment_set(experiment,
                       "cluster.pools[%d].timer={\"level\": \"fixed\", \"prefill_ms\": 10, \"decode_ms\": 5}",
                       pool);
        experiment_set(experiment, "cluster.pools[%d].scheduler.max_num_seqs=1", pool);
    }
    struct outcome outcome = experiment_run_well(experiment);
    outcome_check_conserved(&outcome, 1000);
    for (int i = 0; i < REQUESTS; i++) {
        const struct row *row = &outcome.rows[i];
        int64_t send_ns = requests[i].send_ns, steps = requests[i].output_tokens - 1;
        prefill_free_ns = later(send_ns, prefill_free_ns) + 10 * LATENCY_NS;
        int64_t end_ns = prefill_free_ns;
        if (steps > 0)
            end_ns = decode_free_ns = later(prefill_free_ns, decode_free_ns) + steps * 5 * LATENCY_NS;
        CU_ASSERT(llabs(row->ttft_ns - (prefill_free_ns - send_ns)) <= 100000);
        CU_ASSERT(llabs(row->e2e_ns - (end_ns - send_ns)) <= 100000);
    }
    outcome_clear(&outcome);
    experiment_free(experiment);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"all combinations", test_all},
        {"two queues", test_two_queues},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("combinations", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
