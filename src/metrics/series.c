#include "series.h"

#include <string.h>

#include "tandem/check.h"
#include "tandem/mem.h"

void series_init(struct series *series, int64_t interval_ns)
{
    *series = (struct series){.interval_ns = interval_ns, .last_start_ns = INT64_MIN}; /* no bin used yet */
}

void series_need(struct series *series, size_t count)
{
    if (count > series->capacity)
        series->bins = mem_grow(series->bins, &series->capacity, count, sizeof *series->bins);
    if (count > series->count)
        series->count = count;
}

void series_clear(struct series *series)
{
    mem_free(series->bins);
    *series = (struct series){0};
}

void series_bin_merge(struct series_bin *into, const struct series_bin *from)
{
    into->waiting_ns += from->waiting_ns;
    into->running_ns += from->running_ns;
    into->moving_ns += from->moving_ns;
    into->kv_block_ns += from->kv_block_ns;
    into->kv_token_ns += from->kv_token_ns;
    into->kv_stranded_ns += from->kv_stranded_ns;
    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        into->busy_ns[phase] += from->busy_ns[phase];
        if (from->effort[phase].iterations > 0)
            effort_add(&into->effort[phase], &from->effort[phase]);
    }
    into->prefill_tokens += from->prefill_tokens;
    into->output_tokens += from->output_tokens;
    into->sent_bytes += from->sent_bytes;
}

/* Bin i becomes the sum of bins 2i and 2i + 1. */
static void merge_pairs(struct series *series)
{
    CHECK(series->interval_ns <= INT64_MAX / 2, "a bin of %lld ns", (long long)series->interval_ns);
    size_t count = (series->count + 1) / 2;
    for (size_t i = 0; i < count; i++) {
        series->bins[i] = series->bins[2 * i];
        if (2 * i + 1 < series->count)
            series_bin_merge(&series->bins[i], &series->bins[2 * i + 1]);
    }
    if (count < series->count)
        memset(series->bins + count, 0, (series->count - count) * sizeof *series->bins);
    series->count = count;
    series->interval_ns *= 2;
}

void series_widen(struct series *series, int64_t interval_ns)
{
    while (series->interval_ns > 0 && series->interval_ns < interval_ns)
        merge_pairs(series);
    series->last_start_ns = INT64_MIN;
}

void series_make_room(struct metrics *metrics, int64_t at_ns)
{
    int64_t interval_ns = metrics->series[0].interval_ns;
    while (at_ns / interval_ns >= SERIES_MAX_BINS)
        interval_ns *= 2;
    for (int64_t pool = 0; pool < metrics->config.pools; pool++)
        series_widen(&metrics->series[pool], interval_ns);
}

struct series_bin *series_bin_at(struct series *series, int64_t at_ns)
{
    size_t bin = (size_t)(at_ns / series->interval_ns);
    CHECK(at_ns >= 0 && bin < SERIES_MAX_BINS, "no bin for %lld ns", (long long)at_ns);
    series_need(series, bin + 1);
    series->last = bin;
    series->last_start_ns = (int64_t)bin * series->interval_ns;
    return &series->bins[bin];
}
