/* Queueing theory where it is exact: one instance with one seat and a timer of fixed times is a single
 * server. */
#include "test.h"

#include "experiment.h"

#define REQUESTS 300000
#define BATCHES  40
#define T_999    3.56 /* Student's t, 39 degrees of freedom, two-sided 99.9 % */

#define LATENCY_NS 1000000

/* A server of fixed prefill and decode times and one seat. */
static struct experiment *server(double prefill_ms, double decode_ms)
{
    struct experiment *experiment = experiment_new(experiment_unified);
    experiment_set(experiment, "cluster.pools[0].scheduler.max_num_seqs=1");
    experiment_set(
        experiment,
        "cluster.pools[0].timer={\"level\": \"fixed\", \"prefill_ms\": %.17g, \"decode_ms\": %.17g}",
        prefill_ms, decode_ms);
    return experiment;
}

/* Mean of the waits and half the width of its 99.9 % interval by batch means: successive waits are
 * correlated, means of long batches hardly are. */
static void mean_wait(const struct outcome *outcome, double *mean, double *half_width)
{
    size_t length = outcome->row_count / BATCHES;
    double means[BATCHES] = {0}, sum = 0, squares = 0;
    for (size_t i = 0; i < length * BATCHES; i++)
        means[i / length] += (double)outcome->rows[i].prefill_queue_ns / (double)length;
    for (int i = 0; i < BATCHES; i++)
        sum += means[i];
    *mean = sum / BATCHES;
    for (int i = 0; i < BATCHES; i++)
        squares += (means[i] - *mean) * (means[i] - *mean);
    *half_width = T_999 * sqrt(squares / (BATCHES - 1) / BATCHES);
}

/* Poisson arrivals at a load, lengths of outputs as given; the wait is compared with Pollaczek and Khinchine:
 * lambda E[S^2] / (2 (1 - rho)). service: E[S] and E[S^2] in ms. */
static void check_wait(const char *output, double load, const double service[2], uint64_t seed)
{
    struct experiment *experiment = server(10, 4);
    char arrivals[128];
    double rate_per_ms = load / service[0];
    snprintf(arrivals, sizeof arrivals, "{\"poisson\": {\"rate_per_s\": %.17g}}", rate_per_ms * 1000);
    experiment_synthetic(experiment, "{\"fixed\": 8}", output, arrivals, REQUESTS);
    experiment_set(experiment, "seed=%llu", (unsigned long long)seed);
    struct outcome outcome = experiment_run_well(experiment);
    double mean_ns, half_ns, expected_ns = rate_per_ms * service[1] / (2 * (1 - load)) * 1e6;
    mean_wait(&outcome, &mean_ns, &half_ns);
    size_t idle = 0;
    for (size_t i = 0; i < outcome.row_count; i++)
        idle += outcome.rows[i].prefill_queue_ns == 0;
    double idle_share = (double)idle / (double)outcome.row_count;
    printf("\n    load %.1f, seed %llu: wait %.4f ms, theory %.4f +- %.4f; found idle %.4f", load,
           (unsigned long long)seed, mean_ns / 1e6, expected_ns / 1e6, half_ns / 1e6, idle_share);
    CU_ASSERT_EQUAL(outcome.summary.completed, REQUESTS);
    CU_ASSERT(fabs(mean_ns - expected_ns) < half_ns);
    CU_ASSERT(half_ns < 0.13 * expected_ns);            /* or the comparison would say little */
    CU_ASSERT_DOUBLE_EQUAL(idle_share, 1 - load, 0.02); /* arrivals see time averages */
    CU_ASSERT_DOUBLE_EQUAL(outcome.pools[0].utilization, load, 0.02);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* One token out: the service is the prefill, 10 ms. */
static void test_md1(void)
{
    static const double loads[] = {0.3, 0.6, 0.9}, service[2] = {10, 100};
    for (int i = 0; i < 3; i++)
        for (uint64_t seed = 1; seed <= 2; seed++)
            check_wait("{\"fixed\": 1}", loads[i], service, seed);
}

/* 6 tokens: 10 + 5 x 4 ms, deterministic too. */
static void test_md1_decode(void)
{
    static const double service[2] = {30, 900};
    check_wait("{\"fixed\": 6}", 0.3, service, 3);
    check_wait("{\"fixed\": 6}", 0.8, service, 4);
}

/* M/G/1: 1, 6 or 21 tokens, equally likely: 10, 30 or 90 ms. */
static void test_mg1(void)
{
    static const double service[2] = {130.0 / 3, (100 + 900 + 8100) / 3.0};
    check_wait("{\"empirical\": [1, 6, 21]}", 0.5, service, 5);
    check_wait("{\"empirical\": [1, 6, 21]}", 0.8, service, 6);
}

/* D/D/1: gaps of 8 ms for a service of 10: request i waits 2 i ms, exactly; with gaps of 16 nobody waits. */
static void test_dd1(void)
{
    for (int slow = 0; slow < 2; slow++) {
        struct experiment *experiment = server(10, 4);
        experiment_synthetic(
            experiment, "{\"fixed\": 8}", "{\"fixed\": 1}",
            slow ? "{\"fixed\": {\"rate_per_s\": 62.5}}" : "{\"fixed\": {\"rate_per_s\": 125}}", 1000);
        struct outcome outcome = experiment_run_well(experiment);
        CU_ASSERT_EQUAL_FATAL(outcome.row_count, 1000);
        for (size_t i = 0; i < outcome.row_count; i++) {
            CU_ASSERT_EQUAL(outcome.rows[i].prefill_queue_ns, slow ? 0 : (int64_t)i * 2000000);
            CU_ASSERT_EQUAL(outcome.rows[i].e2e_ns, outcome.rows[i].prefill_queue_ns + 10000000 + LATENCY_NS);
        }
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

/* A user alone: think, L, service, L, think: a period that never varies. */
static void test_closed_loop_alone(void)
{
    struct experiment *experiment = server(10, 4);
    experiment_synthetic(experiment, "{\"fixed\": 8}", "{\"fixed\": 3}",
                         "{\"closed_loop\": {\"users\": 1, \"think_time_s\": 0.05}}", 500);
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL_FATAL(outcome.row_count, 500);
    for (size_t i = 1; i < outcome.row_count; i++)
        CU_ASSERT_EQUAL(outcome.rows[i].arrival_ns - outcome.rows[i - 1].arrival_ns,
                        50000000 + 18000000 + 2 * LATENCY_NS);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* N users with one server: each comes again after max(N S, Z + S + 2 L), the bounds of operational analysis,
 * which deterministic times reach (Denning and Buzen 1978). */
static void test_closed_loop_bounds(void)
{
    const int64_t service_ns = 10000000, think_ns = 50000000;
    for (int64_t users = 1; users <= 20; users++) {
        struct experiment *experiment = server(10, 4);
        char arrivals[128];
        snprintf(arrivals, sizeof arrivals, "{\"closed_loop\": {\"users\": %lld, \"think_time_s\": 0.05}}",
                 (long long)users);
        experiment_synthetic(experiment, "{\"fixed\": 8}", "{\"fixed\": 1}", arrivals, 400);
        struct outcome outcome = experiment_run_well(experiment);
        int64_t cycle_ns = think_ns + service_ns + 2 * LATENCY_NS;
        int64_t expected_ns = users * service_ns > cycle_ns ? users * service_ns : cycle_ns;
        CU_ASSERT_EQUAL_FATAL(outcome.row_count, 400);
        /* The first round starts all at once; from the second on the order is settled. */
        for (size_t i = (size_t)users; i + (size_t)users < outcome.row_count; i++)
            CU_ASSERT_EQUAL(outcome.rows[i + (size_t)users].arrival_ns - outcome.rows[i].arrival_ns,
                            expected_ns);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"M/D/1", test_md1},
        {"M/D/1 with decodes", test_md1_decode},
        {"M/G/1", test_mg1},
        {"D/D/1", test_dd1},
        {"closed loop: one user", test_closed_loop_alone},
        {"closed loop: bounds", test_closed_loop_bounds},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("queueing", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
