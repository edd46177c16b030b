/* Time series: what metrics.c and pack.c share. All local. */
#ifndef TANDEM_METRICS_SERIES_H
#define TANDEM_METRICS_SERIES_H

#include "tandem/metrics.h"

void series_init(struct series *series, int64_t interval_ns);
void series_clear(struct series *series);

/* Has at least so many bins from now on; new ones are empty. */
void series_need(struct series *series, size_t count);

/* Adds all of from to into. */
void series_bin_merge(struct series_bin *into, const struct series_bin *from);

/* The bin that holds a time for which the series has room (series_reaches). */
struct series_bin *series_bin_at(struct series *series, int64_t at_ns);

static inline bool series_reaches(const struct series *series, int64_t at_ns)
{
    return at_ns / series->interval_ns < SERIES_MAX_BINS;
}

/* Brings all series to the interval that has room for a time. */
void series_make_room(struct metrics *metrics, int64_t at_ns);

#endif
