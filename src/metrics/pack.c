/* Metrics as bytes for another rank of the same machine type: structures as they are in memory, histograms
 * without their empty buckets. */
#include "tandem/metrics.h"

#include <string.h>

#include "tandem/check.h"
#include "tandem/mem.h"

#include "series.h"

struct packed_histogram {
    uint64_t buckets; /* that are not empty and follow */
    uint64_t count;
    wide_t sum;
    int64_t min, max;
};

struct packed_bucket {
    uint64_t bucket, count;
};

struct packed_series {
    int64_t interval_ns;
    uint64_t bins; /* that follow */
};

static void put(struct text *bytes, const void *data, size_t count)
{
    if (bytes->capacity <= bytes->length + count)
        bytes->bytes = mem_grow(bytes->bytes, &bytes->capacity, bytes->length + count + 1, 1);
    if (count > 0)
        memcpy(bytes->bytes + bytes->length, data, count);
    bytes->length += count;
    bytes->bytes[bytes->length] = '\0'; /* as any text */
}

struct reader {
    const char *bytes;
    size_t left;
};

static void get(struct reader *reader, void *data, size_t count)
{
    CHECK(count <= reader->left, "packed metrics end %zu bytes early", count - reader->left);
    if (count > 0)
        memcpy(data, reader->bytes, count);
    reader->bytes += count;
    reader->left -= count;
}

static void pack_histogram(const struct histogram *histogram, struct text *bytes)
{
    struct packed_histogram head;
    memset(&head, 0, sizeof head);
    head.count = histogram->count;
    head.sum = histogram->sum;
    head.min = histogram->min;
    head.max = histogram->max;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        head.buckets += histogram->counts[i] > 0;
    put(bytes, &head, sizeof head);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (histogram->counts[i] > 0)
            put(bytes, &(struct packed_bucket){i, histogram->counts[i]}, sizeof(struct packed_bucket));
}

static void merge_histogram(struct histogram *into, struct reader *reader)
{
    struct packed_histogram head;
    get(reader, &head, sizeof head);
    for (uint64_t i = 0; i < head.buckets; i++) {
        struct packed_bucket bucket;
        get(reader, &bucket, sizeof bucket);
        CHECK(bucket.bucket < HISTOGRAM_BUCKETS, "packed bucket %llu", (unsigned long long)bucket.bucket);
        into->counts[bucket.bucket] += bucket.count;
    }
    into->count += head.count;
    into->sum += head.sum;
    if (head.min < into->min)
        into->min = head.min;
    if (head.max > into->max)
        into->max = head.max;
}

static void merge_series(struct series *into, struct reader *reader)
{
    struct packed_series head;
    get(reader, &head, sizeof head);
    struct series from;
    series_init(&from, head.interval_ns);
    CHECK(head.bins <= SERIES_MAX_BINS, "%llu packed bins", (unsigned long long)head.bins);
    from.count = head.bins;
    get(reader, from.bins, from.count * sizeof *from.bins);

    series_widen(&from, into->interval_ns);
    series_widen(into, from.interval_ns);
    for (size_t i = 0; i < from.count; i++)
        series_bin_merge(&into->bins[i], &from.bins[i]);
    if (from.count > into->count)
        into->count = from.count;
    series_clear(&from);
}

static void merge_counts(struct metrics_counts *into, const struct metrics_counts *from)
{
    into->completed += from->completed;
    into->refused += from->refused;
    for (int i = 0; i < ROW_REASONS; i++)
        into->refused_by_reason[i] += from->refused_by_reason[i];
    for (int i = 0; i < 3; i++) {
        into->third_count[i] += from->third_count[i];
        into->third_wait_ns[i] += from->third_wait_ns[i];
    }
    into->window_arrivals += from->window_arrivals;
    into->window_completed += from->window_completed;
    into->window_refused += from->window_refused;
    into->window_completions += from->window_completions;
    into->window_slo_met += from->window_slo_met;
    into->window_slo_ttft_met += from->window_slo_ttft_met;
    into->window_slo_tpot_met += from->window_slo_tpot_met;
    into->prompt_tokens += from->prompt_tokens;
    into->output_tokens += from->output_tokens;
    into->moved_requests += from->moved_requests;
    into->kv_transfer_bytes += from->kv_transfer_bytes;
    into->preemptions += from->preemptions;
    into->swaps += from->swaps;
    into->swapped_bytes += from->swapped_bytes;
    into->cached_prompt_tokens += from->cached_prompt_tokens;
    into->host_prompt_tokens += from->host_prompt_tokens;
    into->ssd_prompt_tokens += from->ssd_prompt_tokens;
    into->window_input_tokens += from->window_input_tokens;
    into->e2e_ns += from->e2e_ns;
    for (int i = 0; i < STAGE_COUNT; i++)
        into->window_stage_ns[i] += from->window_stage_ns[i];
    into->window_interference_ns += from->window_interference_ns;
    into->window_blocked_ns += from->window_blocked_ns;
    into->window_congestion_ns += from->window_congestion_ns;
    into->sessions += from->sessions;
    into->turns += from->turns;
    into->checksum += from->checksum;
}

static void pack_classes(const struct metrics *metrics, struct text *bytes)
{
    for (int64_t class = 0; metrics->classes && class < metrics->config.classes; class ++) {
        put(bytes, &metrics->classes[class].counts, sizeof(struct class_counts));
        for (size_t i = 0; i < CLASS_METRICS; i++)
            pack_histogram(&metrics->classes[class].histograms[i], bytes);
    }
}

static void merge_classes(struct metrics *metrics, struct reader *reader)
{
    for (int64_t class = 0; metrics->classes && class < metrics->config.classes; class ++) {
        struct class_counts *into = &metrics->classes[class].counts, from;
        get(reader, &from, sizeof from);
        into->window_arrivals += from.window_arrivals;
        into->window_completed += from.window_completed;
        into->window_slo_met += from.window_slo_met;
        into->window_slo_ttft_met += from.window_slo_ttft_met;
        into->window_slo_tpot_met += from.window_slo_tpot_met;
        for (size_t i = 0; i < CLASS_METRICS; i++)
            merge_histogram(&metrics->classes[class].histograms[i], reader);
    }
}

void metrics_pack(const struct metrics *metrics, struct text *bytes)
{
    put(bytes, &metrics->counts, sizeof metrics->counts);
    put(bytes, &metrics->end_ns, sizeof metrics->end_ns);
    for (int i = 0; i < METRIC_COUNT; i++)
        pack_histogram(&metrics->histograms[i], bytes);
    pack_classes(metrics, bytes);
    for (int64_t pool = 0; pool < metrics->config.pools; pool++) {
        const struct series *series = &metrics->series[pool];
        struct packed_series head = {series->interval_ns, series->count};
        put(bytes, &head, sizeof head);
        put(bytes, series->bins, series->count * sizeof *series->bins);
    }
}

void metrics_merge(struct metrics *metrics, const void *bytes, size_t count)
{
    struct reader reader = {bytes, count};
    struct metrics_counts counts;
    int64_t end_ns;
    get(&reader, &counts, sizeof counts);
    get(&reader, &end_ns, sizeof end_ns);
    merge_counts(&metrics->counts, &counts);
    if (end_ns > metrics->end_ns)
        metrics->end_ns = end_ns;
    for (int i = 0; i < METRIC_COUNT; i++)
        merge_histogram(&metrics->histograms[i], &reader);
    merge_classes(metrics, &reader);
    for (int64_t pool = 0; pool < metrics->config.pools; pool++)
        merge_series(&metrics->series[pool], &reader);
    CHECK(reader.left == 0, "packed metrics have %zu bytes too many", reader.left);
}
