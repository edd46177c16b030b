/* What the parts of the results are built from; all quotients go through build_ratio, so that no NaN or
 * infinity reaches the file. */
#ifndef TANDEM_METRICS_BUILD_H
#define TANDEM_METRICS_BUILD_H

#include "tandem/results.h"
#include "tandem/simtime.h"

struct build {
    struct results *results;
    const struct metrics *metrics;
    const struct results_pool *pools;
    size_t pool_count;
    const struct usage *usages;
    int64_t window_start_ns, window_end_ns;
    double window_ns; /* length; 0 for an empty window */
};

static inline double build_ratio(double numerator, double denominator)
{
    return denominator > 0 ? numerator / denominator : 0;
}

static inline double build_per_second(const struct build *build, uint64_t count)
{
    return build_ratio((double)count * (double)SIMTIME_SECOND_NS, build->window_ns);
}

/* Length of the window. */
static inline double build_hours(const struct build *build)
{
    return build->window_ns / (3600 * (double)SIMTIME_SECOND_NS);
}

/* What something costs in the window. */
static inline double build_cost(const struct build *build, double usd_per_hour)
{
    return usd_per_hour * build_hours(build);
}

/* Mean, percentiles and maximum; 0 while empty. */
struct percentiles build_percentiles(const struct histogram *histogram);

/* The summary's rates, cost and energy, from pools that are built and the sum of all usages. */
void build_usage(const struct build *build, const struct usage *total);

/* /classes. */
void build_classes(const struct build *build);

#endif
