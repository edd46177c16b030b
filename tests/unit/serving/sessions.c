/* The table of sessions against a plain array. */
#include "test.h"

#include "../../../src/serving/sessions.h"

#include "tandem/mem.h"
#include "tandem/rng.h"

#define MOST 5000

static void test_sessions(void)
{
    static uint32_t instances[MOST];
    struct sessions sessions = {0};
    size_t known = 0;
    for (int i = 0; i < MOST; i++)
        instances[i] = SESSIONS_NONE;
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t bits = rng_bits(1, 0, RNG_ROUTER, i);
        uint64_t session = bits % MOST;
        /* Numbers near each other and far apart, 0 and the largest. */
        int64_t number = session % 2 ? INT64_MAX - (int64_t)session + 1 : (int64_t)session;
        CU_ASSERT_EQUAL(sessions_find(&sessions, number), instances[session]);
        known += instances[session] == SESSIONS_NONE;
        instances[session] = (uint32_t)(bits >> 40);
        sessions_set(&sessions, number, instances[session]);
        CU_ASSERT_EQUAL(sessions_find(&sessions, number), instances[session]);
        CU_ASSERT_EQUAL(sessions.count, known);
    }
    CU_ASSERT(sessions.capacity * sizeof *sessions.places <= 64 * known); /* just after it has grown */
    sessions_clear(&sessions);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    static const struct test_case cases[] = {{"as an array", test_sessions}};
    return test_main("sessions", cases, sizeof cases / sizeof cases[0]);
}
