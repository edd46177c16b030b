/* Exponential and logarithm from small tables and short polynomials, in plain double operations in a fixed
 * order. The logarithm is kept as the sum of two doubles: a power multiplies it by up to 700, which would
 * show its error. */
#include "tandem/numeric.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "numeric_table.h"
#include "tandem/check.h"

/* A number as the unevaluated sum of two doubles. */
struct pair {
    double high, low;
};

static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The leading 26 bits of x: products of two such are exact. */
static double leading_half(double x)
{
    return from_bits(bits_of(x) & ~UINT64_C(0x7ffffff));
}

/* a + b exactly; |a| >= |b| or a = 0. */
static struct pair exact_sum(double a, double b)
{
    double sum = a + b;
    return (struct pair){sum, b - (sum - a)};
}

/* a b exactly (Dekker 1971), as there is no fused multiply-add on every CPU. */
static struct pair exact_product(double a, double b)
{
    double a1 = leading_half(a), a2 = a - a1;
    double b1 = leading_half(b), b2 = b - b1;
    double product = a * b;
    return (struct pair){product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2};
}

/* ln x for finite x > 0, good to about 2^-64 of itself. x = 2^k z with z in [0.6875, 1.375) and c z = 1 + r,
 * |r| < 1/64, where r is exact: ln x = k ln 2 - ln c + ln(1 + r). */
static struct pair log_pair(double x)
{
    const uint64_t base = UINT64_C(0x3fe6000000000000); /* 0.6875 */
    int64_t k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    uint64_t offset = bits_of(x) - base;
    int64_t exponent = (int64_t)(offset & UINT64_C(0xfff0000000000000)) / (INT64_C(1) << 52);
    size_t i = (size_t)(offset >> 46 & 63);
    double z = from_bits(bits_of(x) - ((uint64_t)exponent << 52));
    double kd = (double)(k + exponent);

    double z1 = leading_half(z);
    double c = log_table[i].c;
    double r1 = z1 * c - 1, r2 = (z - z1) * c; /* both exact */
    double r = r1 + r2;
    double r_low = r2 - (r - r1);
    struct pair square = exact_product(r, r);
    double series =
        1.0 / 3 +
        r * (-1.0 / 4 +
             r * (1.0 / 5 +
                  r * (-1.0 / 6 + r * (1.0 / 7 + r * (-1.0 / 8 + r * (1.0 / 9 + r * (-1.0 / 10)))))));

    struct pair a = exact_sum(kd * LN2_HIGH + log_table[i].high, r);
    struct pair b = exact_sum(a.high, -0.5 * square.high);
    double low = kd * LN2_LOW + log_table[i].low;
    low += r_low - r * r_low - 0.5 * square.low + a.low + b.low + r * square.high * series;
    return exact_sum(b.high, low);
}

static double power_of_two(int64_t exponent)
{
    return from_bits((uint64_t)(exponent + 1023) << 52);
}

/* e^(x + low) for a low that is tiny beside 1: with k = round(64 x / ln 2) it is 2^(k/64) e^r, |r| <= ln 2 /
 * 128. */
static double exp_of(double x, double low)
{
    if (x > 710)
        return INFINITY;
    if (x < -746)
        return 0;
    double k = x * INVERSE_LN2_64 + 0x1.8p52 - 0x1.8p52; /* rounds to an integer */
    double r = (x - k * LN2_64_HIGH) - (k * LN2_64_LOW - low);
    double tail = r + r * r * (1.0 / 2 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120 + r * (1.0 / 720)))));
    int64_t n = (int64_t)k;
    int64_t j = n & 63;
    int64_t exponent = (n - j) / 64;
    double y = exp_table[j].high + (exp_table[j].low + exp_table[j].high * tail);
    int64_t half =
        exponent / 2; /* in two steps: 2^exponent itself may be out of range where the result is not */
    return y * power_of_two(half) * power_of_two(exponent - half);
}

double numeric_exp(double x)
{
    CHECK(!isnan(x), "exp of NaN");
    return exp_of(x, 0);
}

double numeric_log(double x)
{
    CHECK(x > 0, "log of %g", x);
    return isinf(x) ? x : log_pair(x).high;
}

/* Where x is 0 or infinite: the limit. */
static double pow_of_limit(double x, double y)
{
    if (y == 0)
        return 1;
    return (x == 0) == (y > 0) ? 0 : INFINITY;
}

double numeric_pow(double x, double y)
{
    CHECK(x >= 0 && !isnan(y), "%g to the power %g", x, y);
    if (x == 0 || isinf(x))
        return pow_of_limit(x, y);
    struct pair logarithm = log_pair(x);
    double rough = y * logarithm.high;
    if (isnan(rough)) /* 1 to an infinite power */
        return 1;
    if (fabs(rough) > 1000)
        return rough > 0 ? INFINITY : 0;
    struct pair product = exact_product(y, logarithm.high);
    return exp_of(product.high, product.low + y * logarithm.low);
}
