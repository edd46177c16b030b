/* Log-linear histograms of int64 values >= 0: exact below 2,048, then 1,024 buckets per power of two
 * (relative width
 * <= 1/1024). Mergeable; percentiles are nearest rank. All local. */
#ifndef TANDEM_HISTOGRAM_H
#define TANDEM_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "tandem/wide.h"

/* Values below HISTOGRAM_EXACT have a bucket each; above, each power of two has HISTOGRAM_SUB buckets. */
#define HISTOGRAM_SUB_BITS 10
#define HISTOGRAM_SUB      (UINT64_C(1) << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_EXACT    (2 * HISTOGRAM_SUB)
#define HISTOGRAM_BUCKETS  (2048 + 1024 * 52)

struct histogram {
    uint64_t *counts; /* HISTOGRAM_BUCKETS of them, owned */
    uint64_t count;
    wide_t sum;
    int64_t min; /* INT64_MAX while empty */
    int64_t max; /* -1 while empty */
};

void histogram_init(struct histogram *histogram);
void histogram_clear(struct histogram *histogram);

/* Adds value (>= 0) n times. */
void histogram_add(struct histogram *histogram, int64_t value, uint64_t n);

/* For values that the caller has counted in the buckets itself: how many, their sum, least and greatest. */
void histogram_add_counted(struct histogram *histogram, uint64_t n, wide_t sum, int64_t min, int64_t max);

/* The bucket of a value >= 0. */
static inline size_t histogram_bucket(int64_t value)
{
    uint64_t bits = (uint64_t)value;
    if (bits < HISTOGRAM_EXACT)
        return (size_t)bits;
    unsigned shift = 63 - (unsigned)__builtin_clzll(bits) - HISTOGRAM_SUB_BITS; /* >= 1 */
    return (size_t)(HISTOGRAM_EXACT + (shift - 1) * HISTOGRAM_SUB + (bits >> shift) - HISTOGRAM_SUB);
}

/* Adds all of from to into. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* Lowest and highest value of a bucket. */
int64_t histogram_bucket_low(size_t bucket);
int64_t histogram_bucket_high(size_t bucket);

/* Nearest-rank percentile (0 < percent <= 100): the highest value of its bucket, at most the exact maximum;
 * 0 while empty. */
int64_t histogram_percentile(const struct histogram *histogram, double percent);

/* Mean from the exact sum; 0 while empty. */
double histogram_mean(const struct histogram *histogram);

#endif
