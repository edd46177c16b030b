/* Buckets, percentiles against sorted values, and merging. */
#include "test.h"

#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <gsl/gsl_sort.h>
#include <stdbool.h>

#include "tandem/histogram.h"
#include "tandem/mem.h"

static void buckets_tile_the_range(void)
{
    CU_ASSERT_EQUAL(histogram_bucket_low(0), 0);
    CU_ASSERT_EQUAL(histogram_bucket_high(HISTOGRAM_BUCKETS - 1), INT64_MAX);
    bool tiled = true, narrow = true;
    for (size_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        int64_t low = histogram_bucket_low(i), high = histogram_bucket_high(i);
        tiled &= low <= high && histogram_bucket_low(i + 1) == high + 1;
        narrow &= low < 2048 ? low == high : high - low + 1 <= low / 1024;
    }
    CU_ASSERT(tiled);
    CU_ASSERT(narrow);
}

/* A single value comes back within 1/1024 wherever it lies, from the bucket that holds it. */
static void values_keep_three_digits(void)
{
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    struct histogram histogram;
    histogram_init(&histogram);
    for (int i = 0; i < 20000; i++) {
        int64_t value = (int64_t)exp(gsl_rng_uniform(rng) * 43.6);
        histogram_add(&histogram, value, 1);
        histogram_add(&histogram, INT64_MAX, 1); /* so that the maximum does not hide the bucket's end */
        int64_t found = histogram_percentile(&histogram, 50);
        CU_ASSERT_FATAL(found >= value && found - value <= value / 1024);
        size_t bucket = 0; /* undo both, cheaper than another 55,296 zeros */
        for (size_t step = 1 << 15; step > 0; step /= 2)
            if (bucket + step < HISTOGRAM_BUCKETS && histogram_bucket_low(bucket + step) <= value)
                bucket += step;
        CU_ASSERT_EQUAL_FATAL(histogram.counts[bucket], 1);
        histogram.counts[bucket] = histogram.counts[HISTOGRAM_BUCKETS - 1] = 0;
        histogram.count = 0;
    }
    histogram_clear(&histogram);
    gsl_rng_free(rng);
}

static void percentiles_are_nearest_rank(void)
{
    enum { COUNT = 10007 };
    static double values[COUNT];
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    struct histogram histogram;
    histogram_init(&histogram);
    for (int i = 0; i < COUNT; i++) {
        values[i] = floor(gsl_ran_lognormal(rng, 18, 2));
        histogram_add(&histogram, (int64_t)values[i], 1);
    }
    gsl_sort(values, 1, COUNT);
    const double percents[] = {0.001, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 100};
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        size_t rank = (size_t)ceil(percents[i] * COUNT / 100);
        double exact = values[rank - 1], found = (double)histogram_percentile(&histogram, percents[i]);
        CU_ASSERT(found >= exact && found <= exact * (1 + 1.0 / 1024));
    }
    CU_ASSERT_EQUAL((double)histogram_percentile(&histogram, 100), values[COUNT - 1]);
    CU_ASSERT_EQUAL((double)histogram.min, values[0]);
    histogram_clear(&histogram);
    gsl_rng_free(rng);
}

static void small_values_are_exact(void)
{
    struct histogram histogram;
    histogram_init(&histogram);
    for (int64_t i = 1; i <= 100; i++)
        histogram_add(&histogram, i, 1);
    CU_ASSERT_EQUAL(histogram_percentile(&histogram, 50), 50);
    CU_ASSERT_EQUAL(histogram_percentile(&histogram, 50.5), 51);
    CU_ASSERT_EQUAL(histogram_percentile(&histogram, 99), 99);
    CU_ASSERT_EQUAL(histogram_percentile(&histogram, 0.5), 1);
    CU_ASSERT_EQUAL(histogram_mean(&histogram), 50.5);
    histogram_add(&histogram, 7, 0);
    CU_ASSERT_EQUAL(histogram.count, 100);
    histogram_clear(&histogram);
}

static void empty_is_zero(void)
{
    struct histogram histogram;
    histogram_init(&histogram);
    CU_ASSERT_EQUAL(histogram_percentile(&histogram, 99), 0);
    CU_ASSERT_EQUAL(histogram_mean(&histogram), 0);
    histogram_clear(&histogram);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static void merge_is_the_union(void)
{
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    struct histogram parts[2], whole;
    histogram_init(&parts[0]);
    histogram_init(&parts[1]);
    histogram_init(&whole);
    for (int i = 0; i < 5000; i++) {
        int64_t value = (int64_t)gsl_ran_exponential(rng, 1e7);
        uint64_t n = gsl_rng_uniform_int(rng, 4);
        histogram_add(&parts[i % 3 == 0], value, n);
        histogram_add(&whole, value, n);
    }
    histogram_merge(&parts[0], &parts[1]);
    CU_ASSERT_EQUAL(memcmp(parts[0].counts, whole.counts, HISTOGRAM_BUCKETS * sizeof *whole.counts), 0);
    CU_ASSERT_EQUAL(parts[0].count, whole.count);
    CU_ASSERT(parts[0].sum == whole.sum);
    CU_ASSERT_EQUAL(parts[0].min, whole.min);
    CU_ASSERT_EQUAL(parts[0].max, whole.max);
    histogram_clear(&parts[0]);
    histogram_clear(&parts[1]);
    histogram_clear(&whole);
    gsl_rng_free(rng);
}

/* 1,000 values of the age of the universe: far beyond 64 bits. */
static void sums_are_wide(void)
{
    struct histogram histogram;
    histogram_init(&histogram);
    histogram_add(&histogram, INT64_MAX, 1000);
    CU_ASSERT(histogram.sum == (wide_t)INT64_MAX * 1000);
    CU_ASSERT_DOUBLE_EQUAL(histogram_mean(&histogram), 0x1p63, 1);
    histogram_clear(&histogram);
}

int main(void)
{
    const struct test_case cases[] = {
        {"buckets tile the range", buckets_tile_the_range},
        {"values keep three digits", values_keep_three_digits},
        {"percentiles are nearest rank", percentiles_are_nearest_rank},
        {"small values are exact", small_values_are_exact},
        {"empty is zero", empty_is_zero},
        {"merge is the union", merge_is_the_union},
        {"sums are wide", sums_are_wide},
    };
    return test_main("metrics/histogram", cases, sizeof cases / sizeof cases[0]);
}
