/* Exact scaling of times: the quotient by the divisor's binary value, rounded half to even. */
#include "test.h"

#include <stdint.h>

#include "../../../src/workload/internal.h"

static int64_t scaled(int64_t time_ns, double divisor)
{
    int64_t result = -1;
    CU_ASSERT_TRUE(scale_time(time_ns, divisor, &result));
    return result;
}

static void test_exact(void)
{
    CU_ASSERT_EQUAL(scaled(0, 3), 0);
    CU_ASSERT_EQUAL(scaled(3501721937000, 1), 3501721937000);
    CU_ASSERT_EQUAL(scaled(3501721937000, 2), 1750860968500);
    CU_ASSERT_EQUAL(scaled(100, 0.5), 200);
    CU_ASSERT_EQUAL(scaled(100, 0.1), 1000);
    CU_ASSERT_EQUAL(scaled(1000000007, 1e-6), 1000000007000000);
    CU_ASSERT_EQUAL(scaled(1000000007000000, 1e6), 1000000007);
    CU_ASSERT_EQUAL(scaled(INT64_C(9007199254740993), 1),
                    INT64_C(9007199254740993)); /* 2^53 + 1: no double */
    CU_ASSERT_EQUAL(scaled(INT64_C(9000000000000000001), 1), INT64_C(9000000000000000001));
}

static void test_half_to_even(void)
{
    CU_ASSERT_EQUAL(scaled(1, 2), 0);
    CU_ASSERT_EQUAL(scaled(3, 2), 2);
    CU_ASSERT_EQUAL(scaled(5, 2), 2);
    CU_ASSERT_EQUAL(scaled(7, 2), 4);
    CU_ASSERT_EQUAL(scaled(5, 3), 2);
    CU_ASSERT_EQUAL(scaled(4, 3), 1);
    CU_ASSERT_EQUAL(scaled(15, 6), 2);
    CU_ASSERT_EQUAL(scaled(21, 6), 4);
    CU_ASSERT_EQUAL(scaled(3, 0.75), 4);
}

static void test_extremes(void)
{
    int64_t result = 0;
    CU_ASSERT_EQUAL(scaled(INT64_MAX / 2, 1e300), 0);
    CU_ASSERT_EQUAL(scaled(INT64_MAX / 2, 0x1p64), 0);
    CU_ASSERT_EQUAL(scaled(INT64_C(1) << 62, 0x1p60), 4);
    CU_ASSERT_EQUAL(scaled(0, 1e-300), 0);
    CU_ASSERT_FALSE(scale_time(1, 1e-300, &result));
    CU_ASSERT_FALSE(scale_time(INT64_C(5000000000000000000), 0.5, &result));
}

/* Against long double, which has 64 bits of mantissa: enough for these sizes. */
static void test_against_long_double(void)
{
    uint64_t bits = 12345;
    for (int i = 0; i < 100000; i++) {
        bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        int64_t time_ns = (int64_t)(bits >> 24);
        double divisor = 0.01 + (double)(bits & 0xffff) / 1000;
        long double expected = (long double)time_ns / (long double)divisor;
        CU_ASSERT_TRUE_FATAL(fabsl((long double)scaled(time_ns, divisor) - expected) <= 0.501L);
    }
}

int main(void)
{
    static const struct test_case cases[] = {
        {"exact quotients", test_exact},
        {"half to even", test_half_to_even},
        {"extremes", test_extremes},
        {"against long double", test_against_long_double},
    };
    return test_main("workload scale", cases, sizeof cases / sizeof cases[0]);
}
