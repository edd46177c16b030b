#include "tandem/histogram.h"

#include "tandem/check.h"
#include "tandem/mem.h"

int64_t histogram_bucket_low(size_t bucket)
{
    CHECK(bucket < HISTOGRAM_BUCKETS, "bucket %zu", bucket);
    if (bucket < HISTOGRAM_EXACT)
        return (int64_t)bucket;
    uint64_t shift = (bucket - HISTOGRAM_EXACT) / HISTOGRAM_SUB + 1;
    return (int64_t)(((bucket - HISTOGRAM_EXACT) % HISTOGRAM_SUB + HISTOGRAM_SUB) << shift);
}

int64_t histogram_bucket_high(size_t bucket)
{
    return bucket + 1 < HISTOGRAM_BUCKETS ? histogram_bucket_low(bucket + 1) - 1 : INT64_MAX;
}

void histogram_init(struct histogram *histogram)
{
    *histogram = (struct histogram){
        .counts = mem_array(HISTOGRAM_BUCKETS, sizeof *histogram->counts), .min = INT64_MAX, .max = -1};
}

void histogram_clear(struct histogram *histogram)
{
    mem_free(histogram->counts);
    *histogram = (struct histogram){.min = INT64_MAX, .max = -1};
}

void histogram_add(struct histogram *histogram, int64_t value, uint64_t n)
{
    CHECK(value >= 0, "a histogram cannot hold %lld", (long long)value);
    if (n == 0)
        return;
    histogram->counts[histogram_bucket(value)] += n;
    histogram->count += n;
    histogram->sum += (wide_t)(uint64_t)value * n;
    if (value < histogram->min)
        histogram->min = value;
    if (value > histogram->max)
        histogram->max = value;
}

void histogram_add_counted(struct histogram *histogram, uint64_t n, wide_t sum, int64_t min, int64_t max)
{
    if (n == 0)
        return;
    histogram->count += n;
    histogram->sum += sum;
    histogram->min = min < histogram->min ? min : histogram->min;
    histogram->max = max > histogram->max ? max : histogram->max;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->count += from->count;
    into->sum += from->sum;
    if (from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
}

int64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    CHECK(percent > 0 && percent <= 100, "percentile %g", percent);
    if (histogram->count == 0)
        return 0;
    double exact = percent * (double)histogram->count / 100;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact) /* ceil() without libm */
        rank++;
    uint64_t seen = 0;
    for (size_t i = histogram_bucket(histogram->min); i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= rank && seen > 0) {
            int64_t high = histogram_bucket_high(i);
            return high < histogram->max ? high : histogram->max;
        }
    }
    return histogram->max;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count ? wide_to_double(histogram->sum) / (double)histogram->count : 0;
}
