#include "tandem/rng.h"

#include <Random123/philox.h>
#include <math.h>

#include "tandem/check.h"
#include "tandem/numeric.h"

/* Two words for one use of a number: plain draws have sub 0, the tries of a rejection method 1, 2, .. */
struct words {
    uint64_t first, second;
};

/* Inlined everywhere: several draws then run side by side. */
static inline __attribute__((always_inline)) struct words
draw(uint64_t seed, uint32_t entity, enum rng_purpose purpose, uint64_t count, uint32_t sub)
{
    philox4x32_ctr_t counter = {
        {(uint32_t)count, (uint32_t)(count >> 32), entity, (uint32_t)purpose | sub << 8}};
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t bits = philox4x32_R(10, counter, key);
    return (struct words){(uint64_t)bits.v[1] << 32 | bits.v[0], (uint64_t)bits.v[3] << 32 | bits.v[2]};
}

/* An odd multiple of 2^-53: neither 0 nor 1, both exact. */
static double to_uniform(uint64_t bits)
{
    return (double)(bits >> 11 | 1) * 0x1p-53;
}

/* cos(2 pi u) for u in (0, 1): Taylor series on at most an eighth of a turn, to which any angle folds
 * exactly. Without branches, which would be random. */
static double cosine_of_turns(double u)
{
    static const double series[2][9] = {
        {1, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600, -1.0 / 87178291200,
         1.0 / 20922789888000}, /* cos x */
        {1, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800,
         -1.0 / 1307674368000, 1.0 / 355687428096000}, /* sin x / x */
    };
    static const double signs[4] = {1, -1, -1, 1};
    double quarter = 4 * u + 0x1.8p52 - 0x1.8p52;        /* rounds to an integer */
    double x = (4 * u - quarter) * 0x1.921fb54442d18p+0; /* pi / 2 */
    double factors[2] = {1, x};
    int quadrant = (int)quarter & 3, odd = quadrant & 1;
    double sum = 0;
    for (int i = 8; i >= 0; i--)
        sum = sum * (x * x) + series[odd][i];
    return signs[quadrant] * factors[odd] * sum;
}

static double box_muller(double u1, double u2)
{
    return sqrt(-2 * numeric_log(u1)) * cosine_of_turns(u2);
}

uint64_t rng_bits(uint64_t seed, uint32_t entity, enum rng_purpose purpose, uint64_t count)
{
    return draw(seed, entity, purpose, count, 0).first;
}

double rng_uniform(uint64_t seed, uint32_t entity, enum rng_purpose purpose, uint64_t count)
{
    return to_uniform(rng_bits(seed, entity, purpose, count));
}

double rng_exponential(uint64_t seed, uint32_t entity, enum rng_purpose purpose, uint64_t count)
{
    return -numeric_log(rng_uniform(seed, entity, purpose, count));
}

double rng_normal(uint64_t seed, uint32_t entity, enum rng_purpose purpose, uint64_t count)
{
    return box_muller(rng_uniform(seed, entity, purpose, 2 * count),
                      rng_uniform(seed, entity, purpose, 2 * count + 1));
}

/* The squeeze of Marsaglia and Tsang accepts nearly all tries without logarithms. What it accepts, the exact
 * condition behind it accepts too, and by a margin far above its rounding errors (below 10^-11 for shapes up
 * to 10^4): the numbers are the same as without it. */
#define SQUEEZE_MARGIN 1e-9

double rng_gamma(uint64_t seed, uint32_t entity, enum rng_purpose purpose, uint64_t count, double shape)
{
    CHECK(shape > 0 && isfinite(shape), "gamma of shape %g", shape);
    /* Below 1 by one shape more, times u^(1/shape). */
    double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3;
    double c = 1 / sqrt(9 * d);
    for (uint32_t sub = 1;; sub += 2) {
        struct words pair = draw(seed, entity, purpose, count, sub);
        struct words more = draw(seed, entity, purpose, count, sub + 1);
        double x = box_muller(to_uniform(pair.first), to_uniform(pair.second));
        double v = 1 + c * x;
        if (v <= 0)
            continue;
        v = v * v * v;
        double u = to_uniform(more.first);
        if (u >= 1 - SQUEEZE_MARGIN - 0.0331 * (x * x) * (x * x) &&
            numeric_log(u) >= 0.5 * x * x + d * (1 - v + numeric_log(v)))
            continue;
        double boost = shape < 1 ? numeric_pow(to_uniform(more.second), 1 / shape) : 1;
        return d * v * boost / shape;
    }
}
