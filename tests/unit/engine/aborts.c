/* Mistakes of a module that the engine refuses to run with: each in a child process of its own, which starts
 * MPI. */
#include "test.h"

#include "tandem/engine.h"
#include "tandem/simtime.h"
#include "unit/base/child.h"

static void ignore_message(void *state, struct engine *engine, const struct event *event)
{
    (void)state;
    (void)engine;
    (void)event;
}

static int64_t handler_delay_ns;
static uint32_t handler_destination;

static void send_from_wake(void *state, struct engine *engine, uint32_t entity, int64_t now_ns)
{
    (void)state;
    engine_send(engine, entity, handler_destination, now_ns + handler_delay_ns, 0, NULL, NULL);
}

static void wake_the_past(void *state, struct engine *engine, uint32_t entity, int64_t now_ns)
{
    (void)state;
    engine_wake(engine, entity, now_ns - 1);
}

/* Three entities with a lookahead of 100 ns; the last has no handler. */
static struct engine *create(void (*wake)(void *, struct engine *, uint32_t, int64_t))
{
    static const uint32_t owners[3] = {0};
    MPI_Init(NULL, NULL);
    struct engine_config config = {.entities = 3, .owners = owners, .lookahead_ns = 100, .body_bytes = 16};
    struct engine *engine = engine_create(MPI_COMM_SELF, &config);
    engine_attach(engine, 0, &(struct engine_handler){ignore_message, wake}, NULL);
    engine_attach(engine, 1, &(struct engine_handler){ignore_message, wake}, NULL);
    return engine;
}

static void finish(struct engine *engine)
{
    engine_free(engine);
    MPI_Finalize();
}

static void send_in_handler(int64_t delay_ns, uint32_t destination)
{
    struct engine *engine = create(send_from_wake);
    handler_delay_ns = delay_ns;
    handler_destination = destination;
    engine_wake(engine, 0, 1000);
    engine_run(engine, NULL);
    finish(engine);
}

static void on_time(void)
{
    send_in_handler(100, 1);
}

static void too_early(void)
{
    send_in_handler(99, 1);
}

static void to_itself(void)
{
    send_in_handler(100, 0);
}

static void to_nobody(void)
{
    send_in_handler(100, 3);
}

static void without_handler(void)
{
    send_in_handler(100, 2);
}

static void before_the_start(void)
{
    struct engine *engine = create(NULL);
    engine_send(engine, 0, 1, 99, 0, NULL, NULL);
    finish(engine);
}

static void into_the_past(void)
{
    struct engine *engine = create(wake_the_past);
    engine_wake(engine, 0, 10);
    engine_run(engine, NULL);
    finish(engine);
}

static void body_not_returned(void)
{
    struct engine *engine = create(NULL);
    engine_body_new(engine);
    finish(engine);
}

static void no_lookahead(void)
{
    static const uint32_t owners[1] = {0};
    MPI_Init(NULL, NULL);
    struct engine_config config = {.entities = 1, .owners = owners, .body_bytes = 16};
    finish(engine_create(MPI_COMM_SELF, &config));
}

static void check_aborts(void (*function)(void), const char *reason)
{
    struct child child = child_run(function);
    CU_ASSERT_TRUE(child.aborted);
    CU_ASSERT_PTR_NOT_NULL(strstr(child.output, reason));
}

static void test_lookahead(void)
{
    CU_ASSERT_FALSE(child_run(on_time).aborted); /* the trap is not just always shut */
    check_aborts(too_early, "earlier than now 1000 + lookahead 100");
    check_aborts(before_the_start, "earlier than now 0 + lookahead 100");
}

static void test_destination(void)
{
    check_aborts(to_itself, "message from 0 to 0");
    check_aborts(to_nobody, "message from 0 to 3");
    check_aborts(without_handler, "entity 2 has no handler");
}

static void test_wake(void)
{
    check_aborts(into_the_past, "before now 10");
}

static void test_setup(void)
{
    check_aborts(no_lookahead, "lookahead must be positive");
    check_aborts(body_not_returned, "1 bodies were never given back");
}

int main(void)
{
    static const struct test_case cases[] = {
        {"lookahead", test_lookahead},
        {"destination", test_destination},
        {"a wake before now", test_wake},
        {"set-up and bodies", test_setup},
    };
    return test_main("aborts", cases, sizeof cases / sizeof cases[0]);
}
