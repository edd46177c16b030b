/* Order of events on one rank: (time, destination, own wake after messages, source, the source's counter). */
#include "test.h"

#include "tandem/engine.h"
#include "tandem/rng.h"
#include "tandem/simtime.h"

#define ENTITIES 7
#define MOST     40000

/* One handled event. */
struct entry {
    int64_t time_ns;
    uint32_t destination;
    bool wake;
    uint32_t source;
    int64_t number; /* of the source's messages */
};

static struct entry entries[MOST];
static size_t entry_count;

static void record(struct entry entry)
{
    if (entry_count < MOST)
        entries[entry_count] = entry;
    entry_count++;
}

/* State of an entity: its number, what it sent, and how much more it may do. */
struct actor {
    uint32_t entity;
    int64_t sent, left;
    int64_t pending_wake_ns;
    uint64_t seed, draws;
};

static struct actor actors[ENTITIES];

static void send_numbered(struct engine *engine, struct actor *actor, uint32_t destination, int64_t time_ns)
{
    int64_t words[ENGINE_WORDS] = {actor->sent++, time_ns, 3, -4};
    engine_send(engine, actor->entity, destination, time_ns, 9, words, NULL);
}

static void take_message(void *state, struct engine *engine, const struct event *event)
{
    struct actor *actor = state;
    (void)engine;
    CU_ASSERT_EQUAL(event->destination, actor->entity);
    CU_ASSERT_EQUAL(event->type, 9);
    CU_ASSERT_EQUAL(event->words[1], event->time_ns);
    CU_ASSERT_EQUAL(event->words[2], 3);
    CU_ASSERT_EQUAL(event->words[3], -4);
    CU_ASSERT_PTR_NULL(event->body);
    record((struct entry){event->time_ns, event->destination, false, event->source, event->words[0]});
}

static void take_wake(void *state, struct engine *engine, uint32_t entity, int64_t now_ns)
{
    const struct actor *actor = state;
    (void)engine;
    CU_ASSERT_EQUAL(entity, actor->entity);
    record((struct entry){now_ns, entity, true, entity, 0});
}

static struct engine *create(const struct engine_handler *handler, int64_t lookahead_ns)
{
    uint32_t owners[ENTITIES] = {0};
    struct engine_config config = {
        .entities = ENTITIES, .owners = owners, .lookahead_ns = lookahead_ns, .body_bytes = 64};
    struct engine *engine = engine_create(MPI_COMM_SELF, &config);
    entry_count = 0;
    for (uint32_t i = 0; i < ENTITIES; i++) {
        actors[i] = (struct actor){.entity = i, .pending_wake_ns = SIMTIME_NEVER};
        engine_attach(engine, i, handler, &actors[i]);
    }
    return engine;
}

static const struct engine_handler passive = {take_message, take_wake};

/* By the order that the design states, with qsort as the oracle. */
static int compare(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->time_ns != b->time_ns)
        return a->time_ns < b->time_ns ? -1 : 1;
    if (a->destination != b->destination)
        return a->destination < b->destination ? -1 : 1;
    if (a->wake != b->wake)
        return a->wake ? 1 : -1;
    if (a->source != b->source)
        return a->source < b->source ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static bool same(const struct entry *a, const struct entry *b)
{
    return a->time_ns == b->time_ns && a->destination == b->destination && a->wake == b->wake &&
           a->source == b->source && a->number == b->number;
}

static struct entry expected[MOST];

/* Few distinct times, so that every level of the order decides often. */
static void test_sorted(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct engine *engine = create(&passive, 10);
        size_t count = 0;
        for (uint64_t i = 0; i < 3000; i++) {
            uint64_t bits = rng_bits(seed, 0, RNG_ROUTER, i);
            uint32_t source = (uint32_t)(bits % ENTITIES);
            uint32_t destination = (source + 1 + (uint32_t)(bits >> 8) % (ENTITIES - 1)) % ENTITIES;
            int64_t time_ns = 10 + (int64_t)(bits >> 40) % 12;
            expected[count++] = (struct entry){time_ns, destination, false, source, actors[source].sent};
            send_numbered(engine, &actors[source], destination, time_ns);
        }
        for (uint32_t i = 0; i < ENTITIES; i++) {
            expected[count++] = (struct entry){10 + i % 3, i, true, i, 0};
            engine_wake(engine, i, 10 + i % 3);
        }
        engine_run(engine, NULL);
        qsort(expected, count, sizeof *expected, compare);
        CU_ASSERT_EQUAL_FATAL(entry_count, count);
        for (size_t i = 0; i < count; i++)
            CU_ASSERT_TRUE(same(&entries[i], &expected[i]));
        CU_ASSERT_EQUAL(engine_stats(engine).messages, 3000);
        CU_ASSERT_EQUAL(engine_stats(engine).wakes, ENTITIES);
        CU_ASSERT_EQUAL(engine_stats(engine).remote_messages, 0);
        engine_free(engine);
    }
}

/* Sends and wakes while it runs: what is handled must still come out sorted, and nothing may be lost. */
static void act(struct actor *actor, struct engine *engine, int64_t now_ns)
{
    for (int i = 0; i < 2 && actor->left > 0; i++, actor->left--) {
        uint64_t bits = rng_bits(actor->seed, actor->entity, RNG_ROUTER, actor->draws++);
        uint32_t destination = (actor->entity + 1 + (uint32_t)(bits % (ENTITIES - 1))) % ENTITIES;
        send_numbered(engine, actor, destination, now_ns + 5 + (int64_t)(bits >> 16) % 3);
    }
    uint64_t bits = rng_bits(actor->seed, actor->entity, RNG_ROUTER, actor->draws++);
    if (actor->left > 0 && bits % 4 != 0) {
        actor->pending_wake_ns = now_ns + (int64_t)(bits >> 16) % 4;
        /* A wake at once is for after this handler; here time has to pass, or it would not end. */
        actor->pending_wake_ns += actor->pending_wake_ns == now_ns;
        engine_wake(engine, actor->entity, actor->pending_wake_ns);
    } else {
        actor->pending_wake_ns = SIMTIME_NEVER;
        engine_wake(engine, actor->entity, SIMTIME_NEVER);
    }
}

static void act_on_message(void *state, struct engine *engine, const struct event *event)
{
    take_message(state, engine, event);
    act(state, engine, event->time_ns);
}

static void act_on_wake(void *state, struct engine *engine, uint32_t entity, int64_t now_ns)
{
    struct actor *actor = state;
    take_wake(state, engine, entity, now_ns);
    CU_ASSERT_EQUAL(actor->pending_wake_ns, now_ns); /* only the one that was set last */
    act(actor, engine, now_ns);
}

static void test_sorted_while_running(void)
{
    static const struct engine_handler active = {act_on_message, act_on_wake};
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct engine *engine = create(&active, 5);
        for (uint32_t i = 0; i < ENTITIES; i++) {
            actors[i].seed = seed;
            actors[i].left = 500;
            actors[i].pending_wake_ns = i;
            engine_wake(engine, i, i);
        }
        engine_run(engine, NULL);
        CU_ASSERT_FATAL(entry_count > 1000 && entry_count <= MOST);
        uint64_t messages = 0;
        for (size_t i = 0; i < entry_count; i++) {
            CU_ASSERT(i == 0 || compare(&entries[i - 1], &entries[i]) <= 0);
            messages += !entries[i].wake;
        }
        int64_t sent = 0;
        for (uint32_t i = 0; i < ENTITIES; i++)
            sent += actors[i].sent;
        CU_ASSERT_EQUAL(messages, (uint64_t)sent);
        CU_ASSERT_EQUAL(engine_stats(engine).messages + engine_stats(engine).wakes, entry_count);
        engine_free(engine);
    }
}

static void test_one_pending_wake(void)
{
    struct engine *engine = create(&passive, 1);
    engine_wake(engine, 0, 50);
    engine_wake(engine, 0, 20); /* earlier */
    engine_wake(engine, 1, 20);
    engine_wake(engine, 1, 70); /* later */
    engine_wake(engine, 2, 30);
    engine_wake(engine, 2, SIMTIME_NEVER); /* none */
    engine_wake(engine, 3, SIMTIME_NEVER);
    engine_run(engine, NULL);
    CU_ASSERT_EQUAL_FATAL(entry_count, 2);
    CU_ASSERT(entries[0].destination == 0 && entries[0].time_ns == 20 && entries[0].wake);
    CU_ASSERT(entries[1].destination == 1 && entries[1].time_ns == 70 && entries[1].wake);
    engine_free(engine);
}

/* Wakes itself at the present time from a message; the wake follows the other messages of that time. */
static void wake_now(void *state, struct engine *engine, const struct event *event)
{
    take_message(state, engine, event);
    engine_wake(engine, event->destination, event->time_ns);
}

static void test_wake_at_once(void)
{
    static const struct engine_handler handler = {wake_now, take_wake};
    struct engine *engine = create(&handler, 1);
    send_numbered(engine, &actors[4], 2, 10);
    send_numbered(engine, &actors[3], 2, 10);
    send_numbered(engine, &actors[4], 3, 10);
    engine_run(engine, NULL);
    CU_ASSERT_EQUAL_FATAL(entry_count, 5);
    CU_ASSERT(entries[0].source == 3 && entries[1].source == 4 && entries[2].wake);
    CU_ASSERT(entries[3].destination == 3 && !entries[3].wake && entries[4].wake);
    engine_free(engine);
}

/* Bodies move with messages, come zeroed, keep their content, and are used again. */
static void *seen[3];

static void pass_on(void *state, struct engine *engine, const struct event *event)
{
    const struct actor *actor = state;
    unsigned char *body = event->body;
    CU_ASSERT_PTR_NOT_NULL_FATAL(body);
    CU_ASSERT_EQUAL(body[63], event->words[0]);
    seen[event->words[0]] = body;
    if (event->words[0] == 2) {
        engine_body_free(engine, body);
        return;
    }
    int64_t words[ENGINE_WORDS] = {event->words[0] + 1};
    body[63]++;
    engine_send(engine, actor->entity, actor->entity + 1, event->time_ns + 1, 0, words, body);
}

static void test_bodies(void)
{
    static const struct engine_handler handler = {pass_on, NULL};
    struct engine *engine = create(&handler, 1);
    unsigned char *body = engine_body_new(engine);
    for (int i = 0; i < 64; i++)
        CU_ASSERT_EQUAL(body[i], 0);
    engine_send(engine, 0, 1, 1, 0, NULL, body); /* no words: all 0 */
    engine_run(engine, NULL);
    CU_ASSERT(seen[0] == body && seen[1] == body && seen[2] == body);
    unsigned char *again = engine_body_new(engine);
    CU_ASSERT_PTR_EQUAL(again, body);
    for (int i = 0; i < 64; i++)
        CU_ASSERT_EQUAL(again[i], 0);
    engine_body_free(engine, again);
    void *many[1000];
    for (int i = 0; i < 1000; i++) {
        many[i] = engine_body_new(engine);
        memset(many[i], i, 64);
    }
    for (int i = 0; i < 1000; i++) {
        CU_ASSERT_EQUAL(((unsigned char *)many[i])[63], i & 255);
        engine_body_free(engine, many[i]);
    }
    engine_free(engine); /* aborts when one is missing */
}

/* Progress counts what handlers counted, in order of time. */
static int64_t shown_ns;
static uint64_t shown, shows;

static void show(void *context, int64_t now_ns, uint64_t counted)
{
    CU_ASSERT_PTR_EQUAL(context, &shown);
    CU_ASSERT(now_ns >= shown_ns && counted >= shown);
    shown_ns = now_ns;
    shown = counted;
    shows++;
}

static void count_and_wake(void *state, struct engine *engine, uint32_t entity, int64_t now_ns)
{
    (void)state;
    engine_count(engine, 2);
    if (now_ns < 300000)
        engine_wake(engine, entity, now_ns + 1);
}

static void test_progress(void)
{
    static const struct engine_handler handler = {take_message, count_and_wake};
    struct engine *engine = create(&handler, 1);
    engine_wake(engine, 0, 1);
    engine_run(engine, &(struct engine_hooks){.context = &shown, .progress = show});
    CU_ASSERT(shows >= 2 && shown > 200000 && shown <= 600000);
    CU_ASSERT_EQUAL(engine_stats(engine).wakes, 300000);
    engine_free(engine);
}

/* One rank looks at what it holds now and then; the hook that says no ends the run. */
static uint64_t times_collected;

static uint64_t held(void *context)
{
    (void)context;
    return 5;
}

static bool collect_twice(void *context)
{
    (void)context;
    return ++times_collected < 2;
}

static void test_collect(void)
{
    static const struct engine_handler handler = {take_message, count_and_wake};
    struct engine_hooks hooks = {.held = held, .collect = collect_twice, .collect_at = 6};
    struct engine *engine = create(&handler, 1);
    engine_wake(engine, 0, 1);
    CU_ASSERT(engine_run(engine, &hooks));
    CU_ASSERT_EQUAL(times_collected, 0);
    engine_wake(engine, 1, 1000000);
    engine_free(engine);

    engine = create(&handler, 1);
    engine_wake(engine, 0, 1);
    hooks.collect_at = 5;
    CU_ASSERT(!engine_run(engine, &hooks));
    CU_ASSERT_EQUAL(times_collected, 2);
    CU_ASSERT(engine_stats(engine).wakes < 300000);
    engine_free(engine); /* nothing but a wake is left here */
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        {"messages and wakes against qsort", test_sorted},
        {"sorted while handlers send and wake", test_sorted_while_running},
        {"one pending wake: replaced, cancelled", test_one_pending_wake},
        {"a wake at the present time", test_wake_at_once},
        {"bodies move, are zeroed and used again", test_bodies},
        {"progress", test_progress},
        {"what is held is collected; a hook ends the run", test_collect},
    };
    MPI_Init(&argc, &argv);
    int code = test_main("order of events", cases, sizeof cases / sizeof cases[0]);
    MPI_Finalize();
    return code;
}
