/* Presets of engines: what they set, that what is written wins, and that vllm-v1 is what there is without. */
#include "test.h"

#include "experiment.h"

/* Too few decode blocks, so that what becomes of preempted requests shows. */
static struct outcome run(const char *json, const char *const *sets)
{
    struct experiment *experiment = experiment_new(json);
    bool disaggregated = json == experiment_disaggregated;
    experiment_synthetic(experiment, "{\"uniform\": {\"min\": 1, \"max\": 12000}}",
                         "{\"uniform\": {\"min\": 1, \"max\": 300}}", "{\"poisson\": {\"rate_per_s\": 5}}",
                         120);
    if (disaggregated) {
        experiment_set(experiment, "cluster.handoff={}");
        experiment_set(experiment, "cluster.pools[1].kv.memory_utilization=0.45");
    }
    for (; *sets; sets++)
        experiment_set(experiment, "%s", *sets);
    struct outcome outcome = experiment_run_well(experiment);
    outcome_check_conserved(&outcome, 1000000);
    experiment_free(experiment);
    return outcome;
}

static void check_same(const char *json, const char *const *some, const char *const *others)
{
    struct outcome a = run(json, some), b = run(json, others);
    const char *difference = outcome_difference(&a, &b);
    if (difference)
        printf("\n    %s: %s", some[0], difference);
    CU_ASSERT_PTR_NULL(difference);
    outcome_clear(&a);
    outcome_clear(&b);
}

static void test_default(void)
{
    static const char *const engine[] = {"cluster.engine=vllm-v1", NULL},
                             *const pool[] = {"cluster.pools[0].engine=vllm-v1", NULL},
                             *const nothing[] = {NULL};
    check_same(experiment_unified, engine, nothing);
    check_same(experiment_disaggregated, engine, nothing);
    check_same(experiment_disaggregated, pool, nothing);
}

#define BLOCKS(n) "cluster.pools[0].kv.block_tokens=" #n, "cluster.pools[1].kv.block_tokens=" #n

static void test_values(void)
{
    static const char *const sglang[] = {"cluster.engine=sglang", NULL};
    static const char *const as_sglang[] = {
        ("cluster.handoff={\"first_token\": \"relay\", \"reserve\": \"before-prefill\", \"reserve_tokens\": "
         "\"prompt+headroom\", \"headroom_tokens\": 512, \"overlap\": \"chunk\"}"),
        BLOCKS(1), "cluster.pools[0].scheduler={\"chunked_prefill\": true, \"max_num_batched_tokens\": 8192}",
        "cluster.pools[1].scheduler.preemption=swap", NULL};
    static const char *const trt[] = {"cluster.engine=trt-llm", NULL};
    static const char *const as_trt[] = {
        "cluster.handoff={\"first_token\": \"relay\", \"reserve_tokens\": \"prompt+max\"}", BLOCKS(32),
        "cluster.pools[0].scheduler={\"max_num_batched_tokens\": 8192, \"max_num_seqs\": 2048}",
        "cluster.pools[1].scheduler={\"max_num_batched_tokens\": 8192, \"max_num_seqs\": 2048}", NULL};
    static const char *const distserve[] = {"cluster.engine=distserve", NULL};
    static const char *const as_distserve[] = {"cluster.handoff.first_token=prefill", NULL};
    static const char *const splitwise[] = {"cluster.engine=splitwise", NULL};
    static const char *const as_splitwise[] = {("cluster.handoff={\"first_token\": \"prefill\", \"reserve\": "
                                                "\"before-prefill\", \"overlap\": \"layer\"}"),
                                               NULL};
    check_same(experiment_disaggregated, sglang, as_sglang);
    check_same(experiment_disaggregated, trt, as_trt);
    check_same(experiment_disaggregated, distserve, as_distserve);
    check_same(experiment_disaggregated, splitwise, as_splitwise);
}

/* A value that is written wins over the pool's engine, that over the cluster's. */
static void test_order(void)
{
    static const char *const some[] = {"cluster.engine=trt-llm", "cluster.pools[1].engine=sglang",
                                       "cluster.pools[0].kv.block_tokens=8",
                                       "cluster.handoff.first_token=prefill", NULL};
    static const char *const others[] = {
        "cluster.handoff={\"first_token\": \"prefill\", \"reserve_tokens\": \"prompt+max\"}",
        "cluster.pools[0].kv.block_tokens=8",
        "cluster.pools[1].kv.block_tokens=1",
        "cluster.pools[0].scheduler={\"max_num_batched_tokens\": 8192, \"max_num_seqs\": 2048}",
        ("cluster.pools[1].scheduler={\"max_num_batched_tokens\": 8192, \"max_num_seqs\": 2048, "
         "\"preemption\": \"swap\"}"),
        NULL};
    check_same(experiment_disaggregated, some, others);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"vllm-v1 is the default", test_default},
        {"values", test_values},
        {"order", test_order},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("engines", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
