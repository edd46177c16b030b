#include "tandem/simtime.h"

#include "child.h"
#include "test.h"

static void rounds_half_to_even(void)
{
    CU_ASSERT_EQUAL(simtime_from_ns(0.5), 0);
    CU_ASSERT_EQUAL(simtime_from_ns(1.5), 2);
    CU_ASSERT_EQUAL(simtime_from_ns(2.5), 2);
    CU_ASSERT_EQUAL(simtime_from_ns(-0.5), 0);
    CU_ASSERT_EQUAL(simtime_from_ns(-1.5), -2);
    CU_ASSERT_EQUAL(simtime_from_ns(2.4999), 2);
    CU_ASSERT_EQUAL(simtime_from_ns(2.5001), 3);
}

static void seconds_become_nanoseconds(void)
{
    CU_ASSERT_EQUAL(simtime_from_seconds(0), 0);
    CU_ASSERT_EQUAL(simtime_from_seconds(1), SIMTIME_SECOND_NS);
    CU_ASSERT_EQUAL(simtime_from_seconds(0.1), 100000000);
    CU_ASSERT_EQUAL(simtime_from_seconds(2.5e-9), 2);
    CU_ASSERT_EQUAL(simtime_from_seconds(-3.25), -3250000000);
    CU_ASSERT_EQUAL(simtime_from_seconds(9.2e9), 9200000000 * SIMTIME_SECOND_NS);
}

static void from_nan(void)
{
    simtime_from_ns(NAN);
}

static void from_too_much(void)
{
    simtime_from_seconds(9.3e9);
}

static void from_minus_infinity(void)
{
    simtime_from_seconds(-INFINITY);
}

static void what_is_no_time_aborts(void)
{
    CU_ASSERT_TRUE(child_run(from_nan).aborted);
    CU_ASSERT_TRUE(child_run(from_too_much).aborted);
    CU_ASSERT_TRUE(child_run(from_minus_infinity).aborted);
}

int main(void)
{
    const struct test_case cases[] = {
        {"rounding is half to even", rounds_half_to_even},
        {"seconds become nanoseconds", seconds_become_nanoseconds},
        {"NaN and times out of range abort", what_is_no_time_aborts},
    };
    return test_main("simtime", cases, sizeof cases / sizeof cases[0]);
}
