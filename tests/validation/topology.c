/* The network: leaves, links inside nodes, and what no link can do: carry more than its capacity x time. */
#include "test.h"

#include <stdlib.h>

#include "experiment.h"
#include "tandem/mem.h"
#include "tandem/simtime.h"

#define LATENCY_NS 1000000

/* llama-2-7b: 1,024 tokens are 64 blocks of 16 x 524,288 bytes. */
#define PROMPT_BYTES INT64_C(536870912)

static struct experiment *two_requests(int64_t instances)
{
    static const struct experiment_request requests[] = {{0, 1024, 2, 0, 0}, {0, 1024, 2, 0, 0}};
    struct experiment *experiment = experiment_new(experiment_disaggregated);
    experiment_trace(experiment, requests, 2);
    for (int pool = 0; pool < 2; pool++) {
        experiment_set(experiment, "cluster.pools[%d].instances=%lld", pool, (long long)instances);
        experiment_set(experiment, "cluster.pools[%d].gpus_per_node=2", pool);
    }
    return experiment;
}

/* Both requests took that long to move, and lost that much to each other. */
static void check_moves(struct experiment *experiment, int64_t transfer_ns, int64_t congestion_ns)
{
    struct outcome outcome = experiment_run_well(experiment);
    for (size_t i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(outcome.rows[i].transfer_ns, transfer_ns);
        CU_ASSERT_EQUAL(outcome.rows[i].congestion_ns, congestion_ns);
    }
    CU_ASSERT_DOUBLE_EQUAL(outcome.summary.mean_congestion_ns, (double)congestion_ns, 1e-3);
    CU_ASSERT(outcome.rows[0].prefill_instance != outcome.rows[1].prefill_instance);
    outcome_check_conserved(&outcome, LATENCY_NS);
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* By hand. Set-up 0.5 ms and 64 blocks x 64 descriptors x 100 ns. A node of two GPUs has 2 x 40 GB/s to its
 * leaf. */
#define NETWORK_SETUP_NS (500000 + 409600)

static void test_leaves(void)
{
    /* Prefill on node 0, decode on node 1. One leaf: 40 GB/s each. */
    struct experiment *experiment = two_requests(2);
    experiment_set(experiment, "cluster.network.topology={\"leaf_nodes\":2,\"oversubscription\":4}");
    check_moves(experiment, NETWORK_SETUP_NS + 13421773, 0);
    /* Two leaves with uplinks of 80 / 4 = 20 GB/s: 10 for each, 20 alone. */
    experiment = two_requests(2);
    experiment_set(experiment, "cluster.network.topology={\"leaf_nodes\":1,\"oversubscription\":4}");
    check_moves(experiment, NETWORK_SETUP_NS + 53687091, 53687091 - 26843546);
    /* Two NICs a GPU: twice of it all. */
    experiment = two_requests(2);
    experiment_set(experiment, "cluster.network.nics_per_gpu=2");
    experiment_set(experiment, "cluster.network.topology={\"leaf_nodes\":1,\"oversubscription\":4}");
    check_moves(experiment, NETWORK_SETUP_NS + 26843546, 26843546 - 13421773);
    /* Not oversubscribed: 80 GB/s do for both ports. */
    experiment = two_requests(2);
    experiment_set(experiment, "cluster.network.topology={\"leaf_nodes\":1}");
    check_moves(experiment, NETWORK_SETUP_NS + 13421773, 0);
    /* Prefill on nodes 0, 1, decode on 2, 3, leaves of three nodes. Of the last there is one node: its
     * uplinks have 20 GB/s; the first of the requests stays in leaf 0. */
    experiment = two_requests(2);
    experiment_set(experiment, "cluster.pools[0].gpus_per_node=1");
    experiment_set(experiment, "cluster.pools[1].gpus_per_node=1");
    experiment_set(experiment, "cluster.network.topology={\"leaf_nodes\":3,\"oversubscription\":4}");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.link_count, 6);
    CU_ASSERT_DOUBLE_EQUAL(outcome.links[2].bytes_per_s, 30e9, 1);
    CU_ASSERT_DOUBLE_EQUAL(outcome.links[4].bytes_per_s, 10e9, 1);
    CU_ASSERT_EQUAL(outcome.links[2].bytes, PROMPT_BYTES);
    CU_ASSERT_EQUAL(outcome.links[5].bytes, PROMPT_BYTES);
    for (size_t i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(outcome.rows[i].transfer_ns,
                        NETWORK_SETUP_NS + (outcome.rows[i].decode_instance == 2 ? 13421773 : 53687091));
    outcome_clear(&outcome);
    experiment_free(experiment);
}

/* By NVLink: set-up 0.5 ms, 64 x 64 descriptors x 2 us, 450 GB/s x 0.8. */
#define LOCAL_NS (500000 + 8192000 + 1491308)

static void test_local(void)
{
    /* Nodes of a prefill and a decode instance. The router does not know of nodes: of both it takes the
     * first, then the second. */
    struct experiment *experiment = two_requests(2);
    experiment_set(experiment, "cluster.network.placement=interleaved");
    experiment_set(experiment, "cluster.network.local_link=nvlink-4");
    check_moves(experiment, LOCAL_NS, 0);
    /* Leaves are of no account to them. */
    experiment = two_requests(2);
    experiment_set(experiment, "cluster.network.placement=interleaved");
    experiment_set(experiment, "cluster.network.local_link=nvlink-4");
    experiment_set(experiment, "cluster.network.setup_ms=2");
    experiment_set(experiment, "cluster.network.topology={\"leaf_nodes\":1,\"oversubscription\":1000}");
    check_moves(experiment, LOCAL_NS + 1500000, 0);
    /* In turn by shares of their pools, decode d0 first: nodes of d0 p0, d1 d2, p1 d3. */
    experiment = two_requests(2);
    experiment_set(experiment, "cluster.pools[1].instances=4");
    experiment_set(experiment, "cluster.network.placement=interleaved");
    experiment_set(experiment, "cluster.network.local_link=nvlink-4");
    struct outcome outcome = experiment_run_well(experiment);
    CU_ASSERT_EQUAL(outcome.rows[0].decode_instance, 2);
    CU_ASSERT_EQUAL(outcome.rows[1].decode_instance, 3);
    CU_ASSERT_EQUAL(outcome.rows[0].transfer_ns, LOCAL_NS);
    CU_ASSERT_EQUAL(outcome.rows[1].transfer_ns, NETWORK_SETUP_NS + 13421773);
    outcome_clear(&outcome);
    experiment_free(experiment);
    /* Without the link: by the network, from port to port. */
    experiment = two_requests(2);
    experiment_set(experiment, "cluster.network.placement=interleaved");
    check_moves(experiment, NETWORK_SETUP_NS + 13421773, 0);
}

/* Prompts that are complete at once on one instance: the second waits for the first, or each has half, or
 * nothing is known of the other. */
static void test_sharing(void)
{
    static const struct {
        const char *sharing;
        int64_t lost_ns[2];
    } cases[] = {{"sender", {0, 13421773}}, {"max-min", {13421773, 13421773}}, {"none", {0, 0}}};
    for (size_t c = 0; c < 3; c++) {
        struct experiment *experiment = two_requests(1);
        experiment_set(experiment, "cluster.network.sharing=%s", cases[c].sharing);
        struct outcome outcome = experiment_run_well(experiment);
        for (int i = 0; i < 2; i++) {
            int64_t lost_ns = cases[c].lost_ns[i];
            CU_ASSERT_EQUAL(outcome.rows[i].congestion_ns, lost_ns);
            CU_ASSERT_EQUAL(outcome.rows[i].transfer_ns, NETWORK_SETUP_NS + 13421773 + lost_ns);
        }
        CU_ASSERT_EQUAL(outcome.links[0].bytes, 2 * PROMPT_BYTES);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

struct span {
    int64_t start_ns, end_ns, bytes;
};

static int by_start(const void *a, const void *b)
{
    const struct span *left = a, *right = b;
    return (left->start_ns > right->start_ns) - (left->start_ns < right->start_ns);
}

/* In each time without a gap no more than rate x time; an end is rounded to a nanosecond. */
static void check_port(struct span *spans, size_t count, double rate)
{
    qsort(spans, count, sizeof *spans, by_start);
    for (size_t i = 0; i < count;) {
        int64_t end_ns = spans[i].end_ns, bytes = 0;
        size_t first = i;
        for (; i < count && spans[i].start_ns <= end_ns; i++) {
            bytes += spans[i].bytes;
            end_ns = spans[i].end_ns > end_ns ? spans[i].end_ns : end_ns;
        }
        double time_ns = (double)(end_ns - spans[first].start_ns) + (double)(i - first);
        CU_ASSERT((double)bytes <= rate * time_ns * 1e-9);
    }
}

#define INSTANCES 6

/* Each port of the network and each link inside a node, from the rows alone. */
static void check_ports(const struct outcome *outcome, double network, double local, bool interleaved)
{
    static const int64_t network_setup_ns = 1000000; /* ethernet: no descriptors */
    struct span *spans = mem_array(outcome->row_count, sizeof *spans);
    for (int32_t port = 0; port < 4 * INSTANCES; port++) { /* of both kinds */
        bool inside = port >= 2 * INSTANCES;
        int32_t instance = port % (2 * INSTANCES);
        size_t count = 0;
        for (size_t i = 0; i < outcome->row_count; i++) {
            const struct row *row = &outcome->rows[i];
            bool stays = interleaved && row->prefill_instance + INSTANCES == row->decode_instance;
            if ((row->prefill_instance != instance && row->decode_instance != instance) || stays != inside)
                continue;
            int64_t blocks = (row->prompt_tokens + 15) / 16;
            int64_t setup_ns = stays ? 500000 + blocks * 64 * 2000 : network_setup_ns;
            int64_t end_ns = row->arrival_ns + row->e2e_ns - row->decode_ns - row->admission_ns - LATENCY_NS;
            spans[count++] =
                (struct span){end_ns - row->transfer_ns + setup_ns, end_ns, (int64_t)row->kv_transfer_bytes};
            CU_ASSERT_EQUAL(row->stalled_ns, 0);
        }
        check_port(spans, count, inside ? local : network);
    }
    mem_free(spans);
}

/* In no bin more than the capacity; every byte in some bin; what goes up comes down. */
static void check_links(const struct outcome *outcome)
{
    uint64_t sums[2] = {0}, up = 0, down = 0;
    for (size_t i = 0; i < outcome->link_count; i++) {
        const struct link_row *link = &outcome->links[i];
        uint64_t bytes = 0;
        for (size_t k = 0; k < outcome->series_count; k++) {
            const struct link_bin_row *bin = &outcome->link_bins[i * outcome->series_count + k];
            double most = link->bytes_per_s * (double)outcome->series_interval_ns * 1e-9;
            bytes += bin->bytes;
            CU_ASSERT((double)bin->bytes <=
                      most * (1 + 1e-9) + 1e-6 * link->bytes_per_s); /* roundings: 1 us */
        }
        CU_ASSERT_EQUAL(bytes, link->bytes);
        if (strcmp(link->kind, "uplink") != 0)
            sums[strcmp(link->direction, "send") != 0] += bytes;
        else if (strcmp(link->direction, "up") == 0)
            up += bytes;
        else
            down += bytes;
    }
    CU_ASSERT(sums[0] == outcome->summary.kv_transfer_bytes && sums[1] == sums[0]);
    CU_ASSERT_EQUAL(up, down);
}

/* Whole runs with much to move; all requests come to their end. */
static void test_conserved(void)
{
    static const struct {
        double oversubscription;
        int leaf_nodes;
        bool interleaved;
        double least_congestion_ms;
    } cases[] = {{1, 1, false, 1}, {2, 1, false, 1}, {3, 2, false, 1}, {8, 1, false, 100},
                 {1, 1, true, 1},  {4, 2, true, 1},  {8, 1, true, 100}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct experiment *experiment = experiment_new(experiment_disaggregated);
        experiment_synthetic(experiment, "{\"uniform\": {\"min\": 1, \"max\": 600}}",
                             "{\"uniform\": {\"min\": 2, \"max\": 9}}", "{\"poisson\": {\"rate_per_s\": 40}}",
                             500);
        experiment_set(experiment, "cluster.network.kv_link=ethernet-25g");
        experiment_set(experiment, "output.timeseries_interval_ms=50");
        for (int pool = 0; pool < 2; pool++) {
            experiment_set(experiment, "cluster.pools[%d].instances=%d", pool, INSTANCES);
            experiment_set(experiment, "cluster.pools[%d].gpus_per_node=2", pool);
        }
        experiment_set(experiment, "cluster.network.topology={\"leaf_nodes\":%d,\"oversubscription\":%g}",
                       cases[c].leaf_nodes, cases[c].oversubscription);
        if (cases[c].interleaved) {
            experiment_set(experiment, "cluster.network.placement=interleaved");
            experiment_set(experiment, "cluster.network.local_link=nvlink-4");
        }
        struct outcome outcome = experiment_run_well(experiment);
        CU_ASSERT_EQUAL(outcome.summary.completed, 500);
        CU_ASSERT(outcome.summary.mean_congestion_ns > cases[c].least_congestion_ms * 1e6);
        outcome_check_conserved(&outcome, LATENCY_NS);
        check_links(&outcome);
        check_ports(&outcome, 3.125e9 * 0.7, 450e9 * 0.8, cases[c].interleaved);
        outcome_clear(&outcome);
        experiment_free(experiment);
    }
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"leaves", test_leaves},
        {"inside a node", test_local},
        {"sharing", test_sharing},
        {"conserved on every link", test_conserved},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("topology", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
