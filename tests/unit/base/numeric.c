#include "tandem/numeric.h"

#include <float.h>
#include <gsl/gsl_math.h>
#include <gsl/gsl_sf_exp.h>
#include <gsl/gsl_sf_log.h>
#include <stdint.h>

#include "child.h"
#include "tandem/hash.h"
#include "tandem/rng.h"
#include "test.h"

#define POINTS 100000

/* Point i of a stream, uniform in [low, high). */
static double point(uint32_t stream, uint64_t i, double low, double high)
{
    return low + (high - low) * rng_uniform(1, stream, RNG_ARRIVAL, i);
}

static double relative_error(double got, long double wanted)
{
    return (double)(fabsl((long double)got - wanted) / fabsl(wanted));
}

static void exp_agrees_with_gsl(void)
{
    double worst = 0;
    for (uint64_t i = 0; i < POINTS; i++) {
        double x = point(0, i, -700, 700);
        worst = fmax(worst, relative_error(numeric_exp(x), (long double)gsl_sf_exp(x)));
        x = point(1, i, -1, 1) * 0x1p-20;
        worst = fmax(worst, relative_error(numeric_exp(x), (long double)gsl_sf_exp(x)));
    }
    CU_ASSERT_TRUE(worst < 4 * DBL_EPSILON);
}

static void log_agrees_with_gsl(void)
{
    double worst = 0;
    for (uint64_t i = 0; i < POINTS; i++) {
        double x = gsl_sf_exp(point(2, i, -700, 700));
        worst = fmax(worst, relative_error(numeric_log(x), (long double)gsl_sf_log(x)));
        x = 1 + point(3, i, -0.05, 0.05); /* where the result is small */
        worst = fmax(worst, relative_error(numeric_log(x), (long double)gsl_sf_log(x)));
    }
    CU_ASSERT_TRUE(worst < 4 * DBL_EPSILON);
}

/* In the extended precision of the C library, where it has one. */
static void exp_log_and_pow_are_within_an_ulp(void)
{
    double worst_exp = 0, worst_log = 0, worst_pow = 0;
    for (uint64_t i = 0; i < POINTS; i++) {
        double x = point(4, i, -700, 700);
        worst_exp = fmax(worst_exp, relative_error(numeric_exp(x), expl(x)));
        double argument = (double)expl(x);
        worst_log = fmax(worst_log, relative_error(numeric_log(argument), logl(argument)));
        double base = (double)powl(10, point(5, i, -30, 30));
        double y = point(6, i, 0.1, 10);
        worst_pow = fmax(worst_pow, relative_error(numeric_pow(base, y), powl(base, y)));
    }
    CU_ASSERT_TRUE(worst_exp < DBL_EPSILON);
    CU_ASSERT_TRUE(worst_log < DBL_EPSILON);
    CU_ASSERT_TRUE(worst_pow < 1e-14);
    CU_ASSERT_TRUE(worst_pow < 2 * DBL_EPSILON);
}

static void pow_agrees_with_gsl(void)
{
    double worst = 0;
    for (uint64_t i = 0; i < POINTS; i++) {
        double x = gsl_sf_exp(point(7, i, -30, 30));
        int n = 1 + (int)(i % 10);
        worst = fmax(worst, relative_error(numeric_pow(x, n), (long double)gsl_pow_int(x, n)));
        worst = fmax(worst, relative_error(numeric_pow(x, -n), (long double)gsl_pow_int(x, -n)));
        worst = fmax(worst, relative_error(numeric_pow(x, 0.5), (long double)sqrt(x)));
    }
    CU_ASSERT_TRUE(worst < 1e-14);
}

static void exact_cases_are_exact(void)
{
    CU_ASSERT_EQUAL(numeric_exp(0), 1);
    CU_ASSERT_EQUAL(numeric_log(1), 0);
    for (int n = -1022; n <= 1023; n++)
        CU_ASSERT_EQUAL(numeric_pow(2, n), ldexp(1, n));
    CU_ASSERT_EQUAL(numeric_pow(3, 20), 3486784401.0);
    CU_ASSERT_EQUAL(numeric_pow(1e8, 0.5), 1e4);
    CU_ASSERT_EQUAL(numeric_pow(123.25, 1), 123.25);
}

static void limits_are_right(void)
{
    CU_ASSERT_EQUAL(numeric_exp(-1000), 0);
    CU_ASSERT_EQUAL(numeric_exp(-INFINITY), 0);
    CU_ASSERT_EQUAL(numeric_exp(1000), INFINITY);
    CU_ASSERT_EQUAL(numeric_exp(709.8), INFINITY);
    CU_ASSERT_EQUAL(numeric_exp(-745), 5e-324);
    CU_ASSERT_TRUE(relative_error(numeric_exp(-740), expl(-740.0L)) < 1e-2); /* subnormal: few digits */
    CU_ASSERT_EQUAL(numeric_log(INFINITY), INFINITY);
    CU_ASSERT_TRUE(relative_error(numeric_log(5e-324), logl(5e-324)) < DBL_EPSILON);
    CU_ASSERT_EQUAL(numeric_pow(0, 2), 0);
    CU_ASSERT_EQUAL(numeric_pow(0, -1), INFINITY);
    CU_ASSERT_EQUAL(numeric_pow(0, 0), 1);
    CU_ASSERT_EQUAL(numeric_pow(INFINITY, 0.5), INFINITY);
    CU_ASSERT_EQUAL(numeric_pow(INFINITY, -1), 0);
    CU_ASSERT_EQUAL(numeric_pow(INFINITY, 0), 1);
    CU_ASSERT_EQUAL(numeric_pow(1, INFINITY), 1);
    CU_ASSERT_EQUAL(numeric_pow(2, INFINITY), INFINITY);
    CU_ASSERT_EQUAL(numeric_pow(0.5, INFINITY), 0);
    CU_ASSERT_EQUAL(numeric_pow(1e300, 2), INFINITY);
    CU_ASSERT_EQUAL(numeric_pow(1e300, -2), 0);
}

/* Not a judgement on accuracy: the same bits on every machine that runs this test. */
static void bits_are_the_same_everywhere(void)
{
    uint64_t hash = 0;
    for (uint64_t i = 0; i < POINTS; i++) {
        double x = point(8, i, -50, 50);
        double results[3] = {numeric_exp(x), numeric_log(fabs(x)), numeric_pow(fabs(x), point(9, i, 0, 10))};
        for (int k = 0; k < 3; k++) {
            uint64_t bits;
            memcpy(&bits, &results[k], sizeof bits);
            hash = hash_combine(hash, bits);
        }
    }
    CU_ASSERT_EQUAL(hash, UINT64_C(0x0188e8b4fd3167ab));
}

static void log_of_zero(void)
{
    numeric_log(0);
}

static void log_of_nan(void)
{
    numeric_log(NAN);
}

static void exp_of_nan(void)
{
    numeric_exp(NAN);
}

static void pow_of_negative(void)
{
    numeric_pow(-1, 2);
}

static void what_is_undefined_aborts(void)
{
    CU_ASSERT_TRUE(child_run(log_of_zero).aborted);
    CU_ASSERT_TRUE(child_run(log_of_nan).aborted);
    CU_ASSERT_TRUE(child_run(exp_of_nan).aborted);
    CU_ASSERT_TRUE(child_run(pow_of_negative).aborted);
}

int main(void)
{
    const struct test_case cases[] = {
        {"exp agrees with GSL to 4 ulp", exp_agrees_with_gsl},
        {"log agrees with GSL to 4 ulp", log_agrees_with_gsl},
        {"pow agrees with GSL's integer powers", pow_agrees_with_gsl},
        {"exp, log and pow hold in extended precision", exp_log_and_pow_are_within_an_ulp},
        {"exact cases are exact", exact_cases_are_exact},
        {"limits are right", limits_are_right},
        {"the bits are the same everywhere", bits_are_the_same_everywhere},
        {"what is undefined aborts", what_is_undefined_aborts},
    };
    return test_main("numeric", cases, sizeof cases / sizeof cases[0]);
}
