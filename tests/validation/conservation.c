/* What is neither made nor lost: requests, tokens, blocks, bytes and request-time, on the real Azure
 * conversation trace (Microsoft, Patel et al. 2024) and on clusters with too little room. */
#include "test.h"

#include "experiment.h"

#define LATENCY_NS 1000000

/* Requests that are preempted over and over, in every variant: Little's law has to hold all the same. */
static struct experiment *crowded(const char *json, const char *decoder)
{
    struct experiment *experiment = experiment_new(json);
    experiment_synthetic(experiment, "{\"uniform\": {\"min\": 1, \"max\": 500}}",
                         "{\"uniform\": {\"min\": 1, \"max\": 300}}", "{\"poisson\": {\"rate_per_s\": 30}}",
                         600);
    experiment_set(experiment, "cluster.pools[%s].kv.blocks=120", decoder);
    return experiment;
}

static void check_crowded(struct experiment *experiment)
{
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.summary.completed, 600);
    CU_ASSERT(outcome.summary.preemptions > 50);
    outcome_check_conserved(&outcome, LATENCY_NS);
    double mean = 0, sum_ns = 0;
    for (size_t i = 0; i < outcome.pool_count; i++)
        mean += outcome.pools[i].mean_running + outcome.pools[i].mean_waiting;
    for (size_t i = 0; i < outcome.row_count; i++) {
        const struct row *row = &outcome.rows[i];
        sum_ns += (double)(row->prefill_queue_ns + row->decode_queue_ns + row->stalled_ns + row->prefill_ns +
                           row->decode_ns);
    }
    /* L = lambda W as the results print it. */
    CU_ASSERT_DOUBLE_EQUAL(mean, sum_ns / (double)outcome.summary.end_ns, 1e-9 * mean);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

static void check_all_crowded(const char *preemption)
{
    static const char *const policies[] = {"chunked", "continuous"};
    static const char *const first_tokens[] = {"decode", "prefill", "relay"};
    for (int i = 0; i < 2; i++) {
        struct experiment *experiment = crowded(experiment_unified, "unified");
        experiment_set(experiment, "cluster.pools[0].scheduler.policy=%s", policies[i]);
        experiment_set(experiment, "cluster.pools[0].scheduler.preemption=%s", preemption);
        check_crowded(experiment);
    }
    for (int i = 0; i < 3; i++) {
        struct experiment *experiment = crowded(experiment_disaggregated, "decode");
        experiment_set(experiment, "cluster.handoff.first_token=%s", first_tokens[i]);
        experiment_set(experiment, "cluster.pools[prefill].kv.blocks=90"); /* held blocks throttle it */
        experiment_set(experiment, "cluster.pools[decode].scheduler.preemption=%s", preemption);
        check_crowded(experiment);
    }
}

static void test_crowded(void)
{
    check_all_crowded("recompute");
    check_all_crowded("swap");
}

/* Two lanes of two micro-batches each, which have as much room together: in every mode the same. */
static void check_divided(struct experiment *experiment, const char *const *pools, const char *preemption)
{
    static const char *const modes[] = {"leaping", "aggregate", "naive"};
    struct outcome outcomes[3];
    const char *decoder = pools[0];
    experiment_set(experiment, "model=mixtral-8x7b");
    for (; *pools; pools++) {
        decoder = *pools; /* the last */
        experiment_set(experiment, "cluster.pools[%s].pipeline_parallel=2", *pools);
        experiment_set(experiment, "cluster.pools[%s].attention_data_parallel=2", *pools);
        experiment_set(experiment, "cluster.pools[%s].expert_parallel=2", *pools);
    }
    experiment_set(experiment, "workload.synthetic.arrivals.poisson.rate_per_s=120");
    experiment_set(experiment, "warm_up_s=1");
    experiment_set(experiment, "cluster.pools[%s].scheduler.preemption=%s", decoder, preemption);
    for (int mode = 0; mode < 3; mode++) {
        experiment_set(experiment, "simulation.mode=%s", modes[mode]);
        outcomes[mode] = experiment_run_well(experiment);
    }
    CU_ASSERT_EQUAL(outcomes[0].summary.completed, 600);
    CU_ASSERT(outcomes[0].summary.preemptions > 50);
    CU_ASSERT((strcmp(preemption, "swap") == 0) == (outcomes[0].summary.swaps > 50));
    outcome_check_conserved(&outcomes[0], LATENCY_NS);
    for (size_t i = 0; i < outcomes[0].pool_count; i++) {
        const struct pool_row *pool = &outcomes[0].pools[i];
        CU_ASSERT_EQUAL(pool->gpus, 4);
        CU_ASSERT(pool->utilization > 0 && pool->utilization <= 1);
        CU_ASSERT(pool->kv_peak_utilization > 0.5 && pool->kv_peak_utilization <= 1);
        CU_ASSERT(pool->kv_mean_utilization < pool->kv_peak_utilization);
    }
    for (int mode = 1; mode < 3; mode++)
        CU_ASSERT_PTR_NULL(outcome_difference(&outcomes[0], &outcomes[mode]));
    for (int mode = 0; mode < 3; mode++)
        outcome_clear(&outcomes[mode]);
    experiment_free(experiment);
}

static void check_all_divided(const char *preemption)
{
    static const char *const unified[] = {"unified", NULL}, *const pair[] = {"prefill", "decode", NULL};
    static const char *const policies[] = {"chunked", "continuous"};
    static const char *const first_tokens[] = {"decode", "prefill", "relay"};
    for (int i = 0; i < 2; i++) {
        struct experiment *experiment = crowded(experiment_unified, "unified");
        experiment_set(experiment, "cluster.pools[0].scheduler.policy=%s", policies[i]);
        check_divided(experiment, unified, preemption);
    }
    for (int i = 0; i < 3; i++) {
        struct experiment *experiment = crowded(experiment_disaggregated, "decode");
        experiment_set(experiment, "cluster.handoff.first_token=%s", first_tokens[i]);
        experiment_set(experiment, "cluster.pools[prefill].kv.blocks=140"); /* held blocks throttle it */
        check_divided(experiment, pair, preemption);
    }
}

static void test_divided(void)
{
    check_all_divided("recompute");
    check_all_divided("swap");
}

/* Where no prompt is ever cut, each preempted sequence was in the decode batch, and its recompute runs all
 * cached tokens again plus the last one, which was in no cache. */
static void test_recomputed(void)
{
    for (int disaggregated = 0; disaggregated < 2; disaggregated++) {
        struct experiment *experiment = crowded(disaggregated ? experiment_disaggregated : experiment_unified,
                                                disaggregated ? "decode" : "unified");
        if (disaggregated)
            experiment_set(experiment, "cluster.handoff.first_token=relay");
        else
            experiment_set(experiment, "cluster.pools[0].scheduler.policy=continuous");
        struct outcome outcome = experiment_run_well(experiment);
        const struct instance_row *decoder = &outcome.instances[disaggregated];
        uint64_t prompts = disaggregated ? 0 : outcome.summary.prompt_tokens;
        CU_ASSERT(decoder->preemptions > 50);
        CU_ASSERT_EQUAL(decoder->prefill_tokens, prompts + decoder->recomputed_tokens + decoder->preemptions);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"crowded clusters: Little's law", test_crowded},
        {"lanes and stages", test_divided},
        {"recomputed tokens", test_recomputed},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("conservation", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
