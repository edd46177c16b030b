/* Golden runs: small fixed experiments whose results are stored here, so that a change of semantics, of the
 * timer, of the generators or of the hash does not go unseen. Whoever changes a value below says in the
 * commit why results differ. */
#include "test.h"

#include "experiment.h"

/* What a run gave when it was last looked at. */
struct golden {
    const char *name;
    uint64_t checksum;
    int64_t ttft_p50_ns, tpot_p99_ns, itl_max_ns, end_ns;
    uint64_t e2e_sum_ns, iterations, preemptions, bytes;
};

static const struct golden goldens[] = {
    {"unified chunked", UINT64_C(0x9f67e746dcdc1173), 29556735, 13582335, 161338048, 47172297526,
     589716563677, 10824, 0, 0},
    {"unified continuous", UINT64_C(0xcab7b0dd4d9246d9), 284426239, 15024127, 205892775, 68028183145,
     958537951387, 6906, 5, 0},
    {"disaggregated, decode", UINT64_C(0x51a032184f3b30d3), 60456959, 9625599, 280343195, 36815513816,
     577785658811, 9475, 3, 305697652736},
    {"disaggregated, relay, slow link", UINT64_C(0xbbae6038e746f11d), 113770495, 7933951, 8473776,
     128280852312, 521302464214, 32451, 0, 305697652736},
};

static void check(const struct golden *golden, struct experiment *experiment)
{
    struct outcome outcome = experiment_run_well(experiment);
    struct golden got = {golden->name,
                         outcome.checksum,
                         outcome.summary.ttft.p50,
                         outcome.summary.tpot.p99,
                         outcome.summary.itl.max,
                         outcome.summary.end_ns,
                         0,
                         0,
                         outcome.summary.preemptions,
                         outcome.summary.kv_transfer_bytes};
    for (size_t i = 0; i < outcome.row_count; i++)
        got.e2e_sum_ns += (uint64_t)outcome.rows[i].e2e_ns;
    for (size_t i = 0; i < outcome.instance_count; i++)
        got.iterations += outcome.instances[i].prefill_iterations + outcome.instances[i].decode_iterations +
                          outcome.instances[i].mixed_iterations;
    CU_ASSERT_EQUAL(got.checksum, golden->checksum);
    CU_ASSERT_EQUAL(got.ttft_p50_ns, golden->ttft_p50_ns);
    CU_ASSERT_EQUAL(got.tpot_p99_ns, golden->tpot_p99_ns);
    CU_ASSERT_EQUAL(got.itl_max_ns, golden->itl_max_ns);
    CU_ASSERT_EQUAL(got.end_ns, golden->end_ns);
    CU_ASSERT_EQUAL(got.e2e_sum_ns, golden->e2e_sum_ns);
    CU_ASSERT_EQUAL(got.iterations, golden->iterations);
    CU_ASSERT_EQUAL(got.preemptions, golden->preemptions);
    CU_ASSERT_EQUAL(got.bytes, golden->bytes);
    if (got.checksum != golden->checksum)
        printf("\n    {\"%s\", UINT64_C(0x%016llx), %lld, %lld, %lld, %lld, %llu, %llu, %llu, %llu},",
               got.name, (unsigned long long)got.checksum, (long long)got.ttft_p50_ns,
               (long long)got.tpot_p99_ns, (long long)got.itl_max_ns, (long long)got.end_ns,
               (unsigned long long)got.e2e_sum_ns, (unsigned long long)got.iterations,
               (unsigned long long)got.preemptions, (unsigned long long)got.bytes);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

static struct experiment *workload(const char *json, double rate_per_s)
{
    char arrivals[128];
    struct experiment *experiment = experiment_new(json);
    snprintf(arrivals, sizeof arrivals, "{\"gamma\": {\"rate_per_s\": %g, \"cv\": 1.5}}", rate_per_s);
    experiment_synthetic(experiment, "\"azure-conv\"", "{\"lognormal\": {\"mu\": 4.5, \"sigma\": 0.9}}",
                         arrivals, 500);
    experiment_set(experiment, "seed=42");
    return experiment;
}

static void test_unified_chunked(void)
{
    struct experiment *experiment = workload(experiment_unified, 12);
    experiment_set(experiment, "cluster.pools[0].instances=2");
    experiment_set(experiment, "cluster.router.frontend_ms=1");
    check(&goldens[0], experiment);
}

static void test_unified_continuous(void)
{
    struct experiment *experiment = workload(experiment_unified, 8);
    experiment_set(experiment, "cluster.pools[0].scheduler={\"policy\": \"continuous\"}");
    experiment_set(experiment, "cluster.pools[0].kv.blocks=1200");
    check(&goldens[1], experiment);
}

static void test_disaggregated_decode(void)
{
    struct experiment *experiment = workload(experiment_disaggregated, 16);
    experiment_set(experiment, "cluster.pools[prefill].instances=2");
    experiment_set(experiment, "cluster.pools[decode].instances=2");
    experiment_set(experiment, "cluster.pools[decode].kv.blocks=1200");
    check(&goldens[2], experiment);
}

static void test_disaggregated_relay(void)
{
    struct experiment *experiment = workload(experiment_disaggregated, 4);
    experiment_set(experiment, "cluster.handoff.first_token=relay");
    experiment_set(experiment, "cluster.network.kv_link=ethernet-100g");
    experiment_set(experiment, "cluster.pools[prefill].scheduler={\"chunked_prefill\": true}");
    experiment_set(experiment, "cluster.pools[decode].instances=2");
    check(&goldens[3], experiment);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"unified chunked", test_unified_chunked},
        {"unified continuous", test_unified_continuous},
        {"disaggregated, decode", test_disaggregated_decode},
        {"disaggregated, relay, slow link", test_disaggregated_relay},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("golden runs", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
