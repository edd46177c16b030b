/* Transfers over the fabric, worked by hand to the nanosecond. Ports of 10, 10, 10, 10 and 4 bytes/ns;
 * P0 has two lanes with a port each. */
#include "test.h"

#include "tandem/fabric.h"
#include "tandem/request.h"

#define ENTITIES 7
#define LATENCY  1000

enum { P0 = ENTITY_FIRST_INSTANCE, P1, D0, D1, SLOW };

/* A transfer: opened at the fabric at open_ns, its bytes flow after setup_ns, and both ends know at done_ns.
 */
struct flow {
    uint32_t prefill, decode;
    int64_t open_ns, setup_ns, bytes, done_ns;
    int64_t alone_ns; /* that the bytes would take by themselves; 0: the narrower port's time */
};

static const double rates[ENTITIES] = {0, 0, 10e9, 10e9, 10e9, 10e9, 4e9};

static const struct flow *flows;
static const int64_t *members; /* of the prefill instance, by flow; NULL: one has all */
static size_t flow_count, told;

/* Of flow i: a slot of a member of a larger replica. */
static int64_t prefill_place(size_t i)
{
    return (members ? members[i] : 7) << 32 | (100 + (int64_t)i);
}

/* What the decode instance must be told: all but the set-up and the time alone. */
static int64_t congestion_ns(const struct flow *flow)
{
    int64_t alone_ns = flow->alone_ns;
    if (alone_ns == 0)
        alone_ns = llrint((double)flow->bytes / fmin(rates[flow->prefill], rates[flow->decode]) * 1e9);
    return flow->done_ns - LATENCY - flow->open_ns - flow->setup_ns - alone_ns;
}

static void on_message(void *state, struct engine *engine, const struct event *event)
{
    uint32_t entity = *(const uint32_t *)state;
    (void)engine;
    CU_ASSERT_EQUAL(event->type, MESSAGE_KV_DONE);
    CU_ASSERT_EQUAL(event->source, ENTITY_FABRIC);
    bool at_prefill = entity < D0;
    size_t number = (size_t)(uint32_t)event->words[0] - (at_prefill ? 100 : 0);
    CU_ASSERT_FATAL(number < flow_count);
    CU_ASSERT_EQUAL(event->words[0], at_prefill ? prefill_place(number) : (int64_t)number);
    CU_ASSERT_EQUAL(entity, at_prefill ? flows[number].prefill : flows[number].decode);
    CU_ASSERT_EQUAL(event->words[1], flows[number].bytes);
    if (!at_prefill)
        CU_ASSERT_EQUAL(event->words[2], congestion_ns(&flows[number]));
    if (event->time_ns != flows[number].done_ns)
        printf("\n    flow %zu: %lld ns instead of %lld", number, (long long)event->time_ns,
               (long long)flows[number].done_ns);
    CU_ASSERT_EQUAL(event->time_ns, flows[number].done_ns);
    told++;
}

/* With its rates, lanes and latency; links counts those that there are. */
static void run_with(struct fabric_config config, const struct flow *list, size_t count, uint64_t *links)
{
    static uint32_t numbers[ENTITIES];
    static const int64_t lanes[ENTITIES] = {1, 1, 2, 1, 1, 1, 1};
    uint32_t owners[ENTITIES] = {0};
    struct engine_config engine_config = {
        .entities = ENTITIES, .owners = owners, .lookahead_ns = LATENCY, .body_bytes = 16};
    struct engine *engine = engine_create(MPI_COMM_SELF, &engine_config);
    config.latency_ns = LATENCY;
    config.entities = ENTITIES;
    config.rates = rates;
    config.lanes = lanes;
    struct fabric *fabric = fabric_create(engine, &config);
    for (uint32_t i = ENTITY_FIRST_INSTANCE; i < ENTITIES; i++) {
        numbers[i] = i;
        engine_attach(engine, i, &(struct engine_handler){on_message, NULL}, &numbers[i]);
    }
    CU_ASSERT_EQUAL(fabric_traffic(fabric)->links, fabric_links(&config));
    flows = list;
    flow_count = count;
    told = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t words[ENGINE_WORDS];
        words[FLOW_PEER] = list[i].prefill;
        words[FLOW_BYTES] = list[i].bytes;
        words[FLOW_PREFILL_PLACE] = prefill_place(i);
        words[FLOW_DECODE_PLACE] = (int64_t)i;
        bool inside =
            config.local && config.places[list[i].prefill].domain == config.places[list[i].decode].domain;
        words[FLOW_LATENCY_NS] = inside ? 9999 : list[i].setup_ns;
        engine_send(engine, list[i].decode, ENTITY_FABRIC, list[i].open_ns, MESSAGE_FLOW, words, NULL);
    }
    engine_run(engine, NULL);
    CU_ASSERT_EQUAL(told, 2 * count); /* both ends of each */
    for (uint32_t link = 0; link < fabric_links(&config); link++)
        links[link] = traffic_bytes(fabric_traffic(fabric), link);
    fabric_free(fabric);
    engine_free(engine);
}

static void run(int sharing, const struct flow *list, size_t count)
{
    uint64_t passed, bytes = 0;
    run_with((struct fabric_config){.sharing = sharing, .pools = 1, .interval_ns = 3000}, list, count,
             &passed);
    for (size_t i = 0; i < count; i++)
        bytes += (uint64_t)list[i].bytes;
    CU_ASSERT_EQUAL(passed, 2 * bytes); /* a port that sends and one that receives */
}

#define RUN(sharing, list) run(sharing, list, sizeof(list) / sizeof((list)[0]))

static void test_alone(void)
{
    static const struct flow list[] = {
        {P0, D0, 1000, 500, 100000, 1000 + 500 + 10000 + LATENCY, 0},
        {P0, D0, 50000, 0, 100004, 50000 + 10000 + LATENCY, 0},   /* 10000.4 ns */
        {P0, D0, 70000, 0, 100006, 70000 + 10001 + LATENCY, 0},   /* 10000.6 ns */
        {P0, SLOW, 90000, 7, 1000, 90000 + 7 + 250 + LATENCY, 0}, /* the slower port decides */
        {P1, D1, 1000, 0, 5, 1000 + 0 + LATENCY, 0},              /* 0.5 ns: half to even */
        {P1, D1, 2000, 0, 15, 2000 + 2 + LATENCY, 0},             /* 1.5 ns */
    };
    RUN(SHARING_MAX_MIN, list);
    RUN(SHARING_SENDER, list);
    RUN(SHARING_NONE, list);
}

static void test_max_min(void)
{
    /* Two flows of one sender: halves while both are there. */
    static const struct flow halves[] = {
        {P0, D0, 1000, 0, 100000, 16000 + LATENCY, 0}, /* 50000 left at 6000, 5 bytes/ns */
        {P0, D1, 6000, 0, 100000, 21000 + LATENCY, 0}, /* 50000 left at 16000, then 10 bytes/ns */
    };
    /* The receiver's slow port leaves 8 of P1's 10 to its other flow. */
    static const struct flow uneven[] = {
        {P0, SLOW, 1000, 0, 20000, 11000 + LATENCY, 0}, /* 2 bytes/ns */
        {P1, SLOW, 1000, 0, 20000, 11000 + LATENCY, 0},
        {P1, D0, 1000, 0, 120000, 15000 + LATENCY, 0}, /* 8 until 11000: 40000 left, then 10 */
    };
    /* A flow that opens as another ends; and one that ends as the others do: none waits for a rounded rest.
     */
    static const struct flow meeting[] = {
        {P0, D0, 1000, 0, 10000, 2000 + LATENCY, 0},
        {P0, D0, 2000, 0, 10000, 3000 + LATENCY, 0},
        {P1, D1, 1000, 0, 10000, 3000 + LATENCY, 0},
        {P1, D1, 1000, 0, 10000, 3000 + LATENCY, 0},
    };
    /* Set-up takes no bandwidth. */
    static const struct flow setup[] = {
        {P0, D0, 1000, 5000, 10000, 7000 + LATENCY, 0},
        {P0, D1, 1000, 0, 50000, 6000 + LATENCY, 0},
    };
    /* Three of one receiver; thirds of 10 bytes/ns: 30000 bytes take 9000 ns. */
    static const struct flow thirds[] = {
        {P0, D0, 1000, 0, 30000, 10000 + LATENCY, 0},
        {P1, D0, 1000, 0, 30000, 10000 + LATENCY, 0},
        {P0, D0, 1000, 0, 30000, 10000 + LATENCY, 0},
    };
    RUN(SHARING_MAX_MIN, halves);
    RUN(SHARING_MAX_MIN, uneven);
    RUN(SHARING_MAX_MIN, meeting);
    RUN(SHARING_MAX_MIN, setup);
    RUN(SHARING_MAX_MIN, thirds);
}

static void test_sender(void)
{
    /* One after another at the sender, whatever the receivers; a second sender is not in the way. */
    static const struct flow queue[] = {
        {P0, D0, 1000, 0, 100000, 11000 + LATENCY, 0},  {P0, D1, 2000, 0, 100000, 21000 + LATENCY, 0},
        {P0, SLOW, 3000, 0, 4000, 22000 + LATENCY, 0},  {P1, D0, 1000, 0, 100000, 11000 + LATENCY, 0},
        {P0, D0, 40000, 500, 1000, 40600 + LATENCY, 0},
    };
    /* Set-up runs while the port is busy; who is ready first goes first. */
    static const struct flow setup[] = {
        {P0, D0, 1000, 5000, 10000, 7000 + LATENCY, 0},
        {P0, D1, 1500, 0, 40000, 5500 + LATENCY, 0},
        {P0, D1, 1600, 4000, 1000, 5700 + LATENCY, 0},
    };
    RUN(SHARING_SENDER, queue);
    RUN(SHARING_SENDER, setup);
}

static void test_none(void)
{
    static const struct flow list[] = {
        {P0, D0, 1000, 0, 100000, 11000 + LATENCY, 0},
        {P0, D0, 1000, 10, 100000, 11010 + LATENCY, 0},
        {P0, D1, 2000, 0, 100000, 12000 + LATENCY, 0},
        {P0, SLOW, 2000, 0, 4000, 3000 + LATENCY, 0},
    };
    RUN(SHARING_NONE, list);
}

/* Of a lane the GPUs of others send nothing: not faster where they are idle, nor slower where they are not.
 */
static void test_lanes(void)
{
    static const struct flow list[] = {
        {P0, D0, 1000, 0, 100000, 11000 + LATENCY, 0},
        {P0, D1, 1000, 0, 100000, 11000 + LATENCY, 0},
        {P0, D0, 50000, 0, 100000, 60000 + LATENCY, 0},
    };
    /* Two micro-batches of one lane. */
    static const struct flow same[] = {
        {P0, D0, 1000, 0, 100000, 21000 + LATENCY, 0},
        {P0, D1, 1000, 0, 100000, 21000 + LATENCY, 0},
    };
    members = (const int64_t[]){0, 1, 2};
    RUN(SHARING_MAX_MIN, list);
    RUN(SHARING_SENDER, list);
    RUN(SHARING_NONE, list);
    members = (const int64_t[]){1, 3};
    RUN(SHARING_MAX_MIN, same);
    members = NULL;
}

/* Two leaves: P0, P1 and D1 on the first, whose uplinks have 5 bytes/ns; P1 and D1 share a node, whose links
 * have 40. */
static const struct fabric_place places[ENTITIES] = {
    [P0] = {0, 0, 0, 40e9, 1000, 2}, [P1] = {0, 1, 0, 40e9, 1000, 2},   [D0] = {1, 2, 1, 40e9, 1000, 2},
    [D1] = {1, 1, 0, 40e9, 1000, 2}, [SLOW] = {1, 3, 1, 40e9, 1000, 2},
};
static const double leaf_rates[] = {5e9, 20e9};
enum { SENT, RECEIVED, SENT_INSIDE, RECEIVED_INSIDE, UP_0, DOWN_0, UP_1, DOWN_1, LINKS };

static void test_leaves(void)
{
    static const struct flow list[] = {
        {P0, D0, 1000, 0, 100000, 21000 + LATENCY, 20000}, /* the uplink decides */
        /* Two that share it: 2.5 each. By itself the second had its receiver's 4. */
        {P0, D0, 50000, 0, 40000, 66000 + LATENCY, 8000},
        {P1, SLOW, 50000, 0, 40000, 66000 + LATENCY, 10000},
        /* Inside the leaf no uplink is passed: P0's port has 10, which the one that leaves has 2.5 of. */
        {P0, D0, 100000, 0, 40000, 116000 + LATENCY, 8000},
        {P1, D0, 100000, 0, 40000, 116000 + LATENCY, 8000},
        {P0, D1, 100000, 0, 120000, 116000 + LATENCY, 12000}, /* 7.5 */
        /* The first of two ends: 5 for the other's 10000 that are left. */
        {P0, D0, 200000, 0, 20000, 208000 + LATENCY, 4000},
        {P1, SLOW, 200000, 0, 30000, 210500 + LATENCY, 7500}, /* 4 at most */
    };
    uint64_t links[LINKS];
    struct fabric_config config = {.places = places, .pools = 2, .leaves = 2, .leaf_rates = leaf_rates};
    run_with(config, list, sizeof list / sizeof *list, links);
    CU_ASSERT_EQUAL(links[0], 430000);
    CU_ASSERT_EQUAL(links[1], 430000);
    CU_ASSERT_EQUAL(links[2], 310000); /* leaf 0 up */
    CU_ASSERT_EQUAL(links[3] + links[4], 0);
    CU_ASSERT_EQUAL(links[5], 310000);
}

/* Inside a node: the other link's set-up (300, and 2 a block of 1000 bytes), and no port of the network. */
static void test_local(void)
{
    static const struct flow list[] = {
        {P1, D1, 1000, 500, 100000, 1000 + 500 + 2500 + LATENCY, 2500},
        {P1, D0, 1000, 50, 100000, 1000 + 50 + 20000 + LATENCY, 20000},  /* as if the first were not there */
        {P1, D1, 50000, 400, 50000, 50000 + 400 + 2500 + LATENCY, 1250}, /* two of 20 bytes/ns */
        {P1, D1, 50000, 400, 50000, 50000 + 400 + 2500 + LATENCY, 1250},
        {P0, D1, 50000, 400, 50000, 50000 + 400 + 5000 + LATENCY, 5000}, /* the same leaf, not the node */
    };
    /* What the receivers say of the network's set-up, 9999, is not for transfers inside a node. */
    uint64_t links[LINKS];
    struct fabric_config config = {.places = places, .pools = 2, .leaves = 2, .leaf_rates = leaf_rates};
    config.local = true;
    config.local_setup_ns = 300;
    run_with(config, list, sizeof list / sizeof *list, links);
    CU_ASSERT_EQUAL(links[SENT], 150000);
    CU_ASSERT_EQUAL(links[RECEIVED], 150000);
    CU_ASSERT_EQUAL(links[SENT_INSIDE], 200000);
    CU_ASSERT_EQUAL(links[RECEIVED_INSIDE], 200000);
    CU_ASSERT_EQUAL(links[UP_0], 100000);
    CU_ASSERT_EQUAL(links[DOWN_1], 100000);
    CU_ASSERT_EQUAL(links[DOWN_0] + links[UP_1], 0);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"one flow at a time", test_alone},
        {"max-min", test_max_min},
        {"sender", test_sender},
        {"none", test_none},
        {"lanes", test_lanes},
        {"leaves", test_leaves},
        {"inside a node", test_local},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("fabric", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
