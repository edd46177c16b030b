#include "tandem/rng.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_math.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <stdbool.h>

#include "child.h"
#include "tandem/hash.h"
#include "test.h"

#define DRAWS 50000

static double draws[DRAWS], others[DRAWS];

/* Kolmogorov's D times sqrt(n) for draws against a distribution; above 1.95 in 1 of 1000 samples. Sorts
 * draws. */
static double kolmogorov(double (*distribution)(double x))
{
    double largest = 0;
    gsl_sort(draws, 1, DRAWS);
    for (int i = 0; i < DRAWS; i++) {
        double p = distribution(draws[i]);
        largest = fmax(largest, fmax(p - i / (double)DRAWS, (i + 1) / (double)DRAWS - p));
    }
    return largest * sqrt(DRAWS);
}

static void philox_known_answers(void)
{
    /* kat_vectors of Random123 1.14: philox4x32, 10 rounds. */
    CU_ASSERT_EQUAL(rng_bits(0, 0, (enum rng_purpose)0, 0), UINT64_C(0xe169c58d6627e8d5));
    CU_ASSERT_EQUAL(rng_bits(UINT64_MAX, UINT32_MAX, (enum rng_purpose)UINT32_MAX, UINT64_MAX),
                    UINT64_C(0x41c83b0e408f276d));
    CU_ASSERT_EQUAL(rng_bits(UINT64_C(0x299f31d0a4093822), 0x13198a2e, (enum rng_purpose)0x03707344,
                             UINT64_C(0x85a308d3243f6a88)),
                    UINT64_C(0x94fdccebd16cfe09));
}

static void each_argument_matters(void)
{
    uint64_t bits = rng_bits(1, 2, RNG_ARRIVAL, 3);
    CU_ASSERT_EQUAL(rng_bits(1, 2, RNG_ARRIVAL, 3), bits);
    CU_ASSERT_NOT_EQUAL(rng_bits(2, 2, RNG_ARRIVAL, 3), bits);
    CU_ASSERT_NOT_EQUAL(rng_bits(1 + (UINT64_C(1) << 32), 2, RNG_ARRIVAL, 3), bits);
    CU_ASSERT_NOT_EQUAL(rng_bits(1, 3, RNG_ARRIVAL, 3), bits);
    CU_ASSERT_NOT_EQUAL(rng_bits(1, 2, RNG_ROUTER, 3), bits);
    CU_ASSERT_NOT_EQUAL(rng_bits(1, 2, RNG_ARRIVAL, 4), bits);
    CU_ASSERT_NOT_EQUAL(rng_bits(1, 2, RNG_ARRIVAL, 3 + (UINT64_C(1) << 32)), bits);
}

static void uniform_is_uniform(void)
{
    enum { BINS = 500 };
    static int counts[BINS];
    bool open = true;
    for (uint64_t i = 0; i < DRAWS; i++) {
        double u = rng_uniform(7, 0, RNG_ARRIVAL, i);
        open = open && u > 0 && u < 1;
        counts[(int)(u * BINS)]++;
    }
    CU_ASSERT_TRUE(open);
    double chi_square = 0, expected = DRAWS / (double)BINS;
    for (int i = 0; i < BINS; i++)
        chi_square += gsl_pow_2(counts[i] - expected) / expected;
    double p = gsl_cdf_chisq_Q(chi_square, BINS - 1);
    CU_ASSERT_TRUE(p > 0.001 && p < 0.999);
}

static double exponential_cdf(double x)
{
    return gsl_cdf_exponential_P(x, 1);
}

static void exponential_is_exponential(void)
{
    for (uint64_t i = 0; i < DRAWS; i++)
        draws[i] = rng_exponential(8, 1, RNG_ARRIVAL, i);
    CU_ASSERT_TRUE(kolmogorov(exponential_cdf) < 1.95);
    CU_ASSERT_TRUE(draws[0] > 0);
}

static void normal_is_normal(void)
{
    for (uint64_t i = 0; i < DRAWS; i++)
        draws[i] = rng_normal(9, 1, RNG_PROMPT_TOKENS, i);
    CU_ASSERT_TRUE(fabs(gsl_stats_mean(draws, 1, DRAWS)) < 3 / sqrt(DRAWS));
    CU_ASSERT_TRUE(fabs(gsl_stats_skew(draws, 1, DRAWS)) < 3 * sqrt(6.0 / DRAWS));
    CU_ASSERT_TRUE(fabs(gsl_stats_kurtosis(draws, 1, DRAWS)) < 3 * sqrt(24.0 / DRAWS));
    CU_ASSERT_TRUE(kolmogorov(gsl_cdf_ugaussian_P) < 1.95);
}

static void normal_is_box_muller(void)
{
    double worst = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        double u1 = rng_uniform(9, 1, RNG_PROMPT_TOKENS, 2 * i);
        double u2 = rng_uniform(9, 1, RNG_PROMPT_TOKENS, 2 * i + 1);
        double wanted = sqrt(-2 * log(u1)) * cos(2 * M_PI * u2);
        worst = fmax(worst, fabs(rng_normal(9, 1, RNG_PROMPT_TOKENS, i) - wanted));
    }
    CU_ASSERT_TRUE(worst < 1e-14);
}

static double gamma_shape;

static double gamma_cdf(double x)
{
    return gsl_cdf_gamma_P(x, gamma_shape, 1 / gamma_shape);
}

static void gamma_is_gamma(void)
{
    const double shapes[] = {0.1, 0.5, 0.826, 1, 2.5, 40};
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        gamma_shape = shapes[k];
        for (uint64_t i = 0; i < DRAWS; i++)
            draws[i] = rng_gamma(10, (uint32_t)k, RNG_ARRIVAL, i, gamma_shape);
        CU_ASSERT_TRUE(fabs(gsl_stats_mean(draws, 1, DRAWS) - 1) < 3 / sqrt(DRAWS * gamma_shape));
        CU_ASSERT_TRUE(kolmogorov(gamma_cdf) < 1.95);
    }
}

/* Not a judgement on quality: the same bits on every machine that runs this test. */
static void bits_are_the_same_everywhere(void)
{
    uint64_t hash = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        double results[3] = {rng_exponential(13, 0, RNG_ARRIVAL, i), rng_normal(13, 0, RNG_THINK_TIME, i),
                             rng_gamma(13, 0, RNG_ROUTER, i, 0.8)};
        for (int k = 0; k < 3; k++) {
            uint64_t bits;
            memcpy(&bits, &results[k], sizeof bits);
            hash = hash_combine(hash, bits);
        }
    }
    CU_ASSERT_EQUAL(hash, UINT64_C(0xefe862f8453d6c35));
}

static double correlation(void)
{
    return fabs(gsl_stats_correlation(draws, 1, others, 1, DRAWS)) * sqrt(DRAWS);
}

static void streams_are_independent(void)
{
    for (uint64_t i = 0; i < DRAWS; i++) {
        draws[i] = rng_uniform(11, 0, RNG_ARRIVAL, i);
        others[i] = rng_uniform(11, 1, RNG_ARRIVAL, i);
    }
    CU_ASSERT_TRUE(correlation() < 3.3);
    for (uint64_t i = 0; i < DRAWS; i++)
        others[i] = rng_uniform(11, 0, RNG_PROMPT_TOKENS, i);
    CU_ASSERT_TRUE(correlation() < 3.3);
    for (uint64_t i = 0; i < DRAWS; i++)
        others[i] = rng_uniform(12, 0, RNG_ARRIVAL, i);
    CU_ASSERT_TRUE(correlation() < 3.3);
    for (uint64_t i = 0; i < DRAWS; i++)
        others[i] = rng_uniform(11, 0, RNG_ARRIVAL, i + 1);
    CU_ASSERT_TRUE(correlation() < 3.3);
    for (uint64_t i = 0; i < DRAWS; i++) {
        draws[i] = rng_normal(11, 0, RNG_ARRIVAL, i);
        others[i] = rng_normal(11, 0, RNG_ARRIVAL, i + 1);
    }
    CU_ASSERT_TRUE(correlation() < 3.3);
}

static void gamma_of_zero(void)
{
    rng_gamma(1, 1, RNG_ARRIVAL, 1, 0);
}

static void a_shape_of_zero_aborts(void)
{
    CU_ASSERT_TRUE(child_run(gamma_of_zero).aborted);
}

int main(void)
{
    const struct test_case cases[] = {
        {"the generator is Philox4x32-10", philox_known_answers},
        {"seed, entity, purpose and count all matter", each_argument_matters},
        {"uniform passes chi-square", uniform_is_uniform},
        {"exponential passes Kolmogorov-Smirnov", exponential_is_exponential},
        {"normal passes Kolmogorov-Smirnov", normal_is_normal},
        {"normal is Box-Muller", normal_is_box_muller},
        {"gamma passes Kolmogorov-Smirnov", gamma_is_gamma},
        {"the bits are the same everywhere", bits_are_the_same_everywhere},
        {"streams are not correlated", streams_are_independent},
        {"a gamma of shape 0 aborts", a_shape_of_zero_aborts},
    };
    return test_main("rng", cases, sizeof cases / sizeof cases[0]);
}
