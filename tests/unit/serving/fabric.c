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
};

static const struct flow *flows;
static const int64_t *members; /* of the prefill instance, by flow; NULL: one has all */
static size_t flow_count, told;

/* Of flow i: a slot of a member of a larger replica. */
static int64_t prefill_place(size_t i)
{
    return (members ? members[i] : 7) << 32 | (100 + (int64_t)i);
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
    if (event->time_ns != flows[number].done_ns)
        printf("\n    flow %zu: %lld ns instead of %lld", number, (long long)event->time_ns,
               (long long)flows[number].done_ns);
    CU_ASSERT_EQUAL(event->time_ns, flows[number].done_ns);
    told++;
}

static void run(int sharing, const struct flow *list, size_t count)
{
    static uint32_t numbers[ENTITIES];
    static const double rates[ENTITIES] = {0, 0, 10e9, 10e9, 10e9, 10e9, 4e9};
    static const int64_t lanes[ENTITIES] = {1, 1, 2, 1, 1, 1, 1};
    uint32_t owners[ENTITIES] = {0};
    struct engine_config engine_config = {
        .entities = ENTITIES, .owners = owners, .lookahead_ns = LATENCY, .body_bytes = 16};
    struct engine *engine = engine_create(MPI_COMM_SELF, &engine_config);
    struct fabric_config config = {
        .sharing = sharing, .latency_ns = LATENCY, .entities = ENTITIES, .rates = rates, .lanes = lanes};
    struct fabric *fabric = fabric_create(engine, &config);
    for (uint32_t i = ENTITY_FIRST_INSTANCE; i < ENTITIES; i++) {
        numbers[i] = i;
        engine_attach(engine, i, &(struct engine_handler){on_message, NULL}, &numbers[i]);
    }
    flows = list;
    flow_count = count;
    told = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t words[ENGINE_WORDS];
        words[FLOW_PEER] = list[i].prefill;
        words[FLOW_BYTES] = list[i].bytes;
        words[FLOW_PREFILL_PLACE] = prefill_place(i);
        words[FLOW_DECODE_PLACE] = (int64_t)i;
        words[FLOW_LATENCY_NS] = list[i].setup_ns;
        engine_send(engine, list[i].decode, ENTITY_FABRIC, list[i].open_ns, MESSAGE_FLOW, words, NULL);
    }
    engine_run(engine, NULL);
    CU_ASSERT_EQUAL(told, 2 * count); /* both ends of each */
    fabric_free(fabric);
    engine_free(engine);
}

#define RUN(sharing, list) run(sharing, list, sizeof(list) / sizeof((list)[0]))

static void test_alone(void)
{
    static const struct flow list[] = {
        {P0, D0, 1000, 500, 100000, 1000 + 500 + 10000 + LATENCY},
        {P0, D0, 50000, 0, 100004, 50000 + 10000 + LATENCY},   /* 10000.4 ns */
        {P0, D0, 70000, 0, 100006, 70000 + 10001 + LATENCY},   /* 10000.6 ns */
        {P0, SLOW, 90000, 7, 1000, 90000 + 7 + 250 + LATENCY}, /* the slower port decides */
        {P1, D1, 1000, 0, 5, 1000 + 0 + LATENCY},              /* 0.5 ns: half to even */
        {P1, D1, 2000, 0, 15, 2000 + 2 + LATENCY},             /* 1.5 ns */
    };
    RUN(SHARING_MAX_MIN, list);
    RUN(SHARING_SENDER, list);
    RUN(SHARING_NONE, list);
}

static void test_max_min(void)
{
    /* Two flows of one sender: halves while both are there. */
    static const struct flow halves[] = {
        {P0, D0, 1000, 0, 100000, 16000 + LATENCY}, /* 50000 left at 6000, 5 bytes/ns */
        {P0, D1, 6000, 0, 100000, 21000 + LATENCY}, /* 50000 left at 16000, then 10 bytes/ns */
    };
    /* The receiver's slow port leaves 8 of P1's 10 to its other flow. */
    static const struct flow uneven[] = {
        {P0, SLOW, 1000, 0, 20000, 11000 + LATENCY}, /* 2 bytes/ns */
        {P1, SLOW, 1000, 0, 20000, 11000 + LATENCY},
        {P1, D0, 1000, 0, 120000, 15000 + LATENCY}, /* 8 until 11000: 40000 left, then 10 */
    };
    /* A flow that opens as another ends; and one that ends as the others do: none waits for a rounded rest.
     */
    static const struct flow meeting[] = {
        {P0, D0, 1000, 0, 10000, 2000 + LATENCY},
        {P0, D0, 2000, 0, 10000, 3000 + LATENCY},
        {P1, D1, 1000, 0, 10000, 3000 + LATENCY},
        {P1, D1, 1000, 0, 10000, 3000 + LATENCY},
    };
    /* Set-up takes no bandwidth. */
    static const struct flow setup[] = {
        {P0, D0, 1000, 5000, 10000, 7000 + LATENCY},
        {P0, D1, 1000, 0, 50000, 6000 + LATENCY},
    };
    /* Three of one receiver; thirds of 10 bytes/ns: 30000 bytes take 9000 ns. */
    static const struct flow thirds[] = {
        {P0, D0, 1000, 0, 30000, 10000 + LATENCY},
        {P1, D0, 1000, 0, 30000, 10000 + LATENCY},
        {P0, D0, 1000, 0, 30000, 10000 + LATENCY},
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
        {P0, D0, 1000, 0, 100000, 11000 + LATENCY},  {P0, D1, 2000, 0, 100000, 21000 + LATENCY},
        {P0, SLOW, 3000, 0, 4000, 22000 + LATENCY},  {P1, D0, 1000, 0, 100000, 11000 + LATENCY},
        {P0, D0, 40000, 500, 1000, 40600 + LATENCY},
    };
    /* Set-up runs while the port is busy; who is ready first goes first. */
    static const struct flow setup[] = {
        {P0, D0, 1000, 5000, 10000, 7000 + LATENCY},
        {P0, D1, 1500, 0, 40000, 5500 + LATENCY},
        {P0, D1, 1600, 4000, 1000, 5700 + LATENCY},
    };
    RUN(SHARING_SENDER, queue);
    RUN(SHARING_SENDER, setup);
}

static void test_none(void)
{
    static const struct flow list[] = {
        {P0, D0, 1000, 0, 100000, 11000 + LATENCY},
        {P0, D0, 1000, 10, 100000, 11010 + LATENCY},
        {P0, D1, 2000, 0, 100000, 12000 + LATENCY},
        {P0, SLOW, 2000, 0, 4000, 3000 + LATENCY},
    };
    RUN(SHARING_NONE, list);
}

/* Of a lane the GPUs of others send nothing: not faster where they are idle, nor slower where they are not.
 */
static void test_lanes(void)
{
    static const struct flow list[] = {
        {P0, D0, 1000, 0, 100000, 11000 + LATENCY},
        {P0, D1, 1000, 0, 100000, 11000 + LATENCY},
        {P0, D0, 50000, 0, 100000, 60000 + LATENCY},
    };
    /* Two micro-batches of one lane. */
    static const struct flow same[] = {
        {P0, D0, 1000, 0, 100000, 21000 + LATENCY},
        {P0, D1, 1000, 0, 100000, 21000 + LATENCY},
    };
    members = (const int64_t[]){0, 1, 2};
    RUN(SHARING_MAX_MIN, list);
    RUN(SHARING_SENDER, list);
    RUN(SHARING_NONE, list);
    members = (const int64_t[]){1, 3};
    RUN(SHARING_MAX_MIN, same);
    members = NULL;
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"one flow at a time", test_alone},
        {"max-min", test_max_min},
        {"sender", test_sender},
        {"none", test_none},
        {"lanes", test_lanes},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("fabric", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
