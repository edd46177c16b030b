#include "tandem/traffic.h"

#include <string.h>

#include "tandem/check.h"
#include "tandem/mem.h"
#include "tandem/metrics.h"
#include "tandem/simtime.h"

void traffic_init(struct traffic *traffic, uint32_t links, int64_t interval_ns)
{
    *traffic = (struct traffic){.interval_ns = interval_ns > 0 ? interval_ns : SIMTIME_NEVER, .links = links};
}

void traffic_clear(struct traffic *traffic)
{
    mem_free(traffic->bytes);
    *traffic = (struct traffic){0};
}

static void need_bins(struct traffic *traffic, size_t bins)
{
    if (bins > traffic->capacity)
        traffic->bytes =
            mem_grow(traffic->bytes, &traffic->capacity, bins, traffic->links * sizeof *traffic->bytes);
    if (bins > traffic->bins) {
        memset(traffic->bytes + traffic->bins * traffic->links, 0,
               (bins - traffic->bins) * traffic->links * sizeof *traffic->bytes);
        traffic->bins = bins;
    }
}

void traffic_seek(struct traffic *traffic, int64_t at_ns)
{
    while (at_ns / traffic->interval_ns >= SERIES_MAX_BINS)
        traffic_widen(traffic, 2 * traffic->interval_ns);
    size_t bin = (size_t)(at_ns / traffic->interval_ns);
    need_bins(traffic, bin + 1);
    traffic->last = traffic->bytes + bin * traffic->links;
    int64_t start_ns = (int64_t)bin * traffic->interval_ns;
    traffic->last_start_ns = start_ns;
    traffic->last_end_ns =
        start_ns < SIMTIME_NEVER - traffic->interval_ns ? start_ns + traffic->interval_ns : SIMTIME_NEVER;
}

/* Bin i becomes the sum of bins 2i and 2i + 1. */
static void merge_pairs(struct traffic *traffic)
{
    size_t links = traffic->links, bins = (traffic->bins + 1) / 2;
    for (size_t i = 0; i < bins; i++)
        for (size_t link = 0; link < links; link++) {
            uint64_t sum = traffic->bytes[2 * i * links + link];
            if (2 * i + 1 < traffic->bins)
                sum += traffic->bytes[(2 * i + 1) * links + link];
            traffic->bytes[i * links + link] = sum;
        }
    traffic->bins = bins;
    traffic->interval_ns *= 2;
    traffic->last_end_ns = traffic->last_start_ns; /* none */
}

void traffic_widen(struct traffic *traffic, int64_t interval_ns)
{
    while (traffic->interval_ns < interval_ns)
        merge_pairs(traffic);
}

uint64_t traffic_bytes(const struct traffic *traffic, uint32_t link)
{
    uint64_t sum = 0;
    for (size_t bin = 0; bin < traffic->bins; bin++)
        sum += traffic->bytes[bin * traffic->links + link];
    return sum;
}

/* Interval, bins, bytes of each bin and link. */
size_t traffic_packed_words(const struct traffic *traffic)
{
    return 2 + traffic->bins * traffic->links;
}

void traffic_pack(const struct traffic *traffic, uint64_t *words)
{
    size_t bins = traffic->bins;
    words[0] = (uint64_t)traffic->interval_ns;
    words[1] = bins;
    if (bins > 0)
        memcpy(words + 2, traffic->bytes, bins * traffic->links * sizeof *words);
}

void traffic_unpack(struct traffic *traffic, const uint64_t *words, size_t count)
{
    CHECK(traffic->bins == 0 && count > 1 && count == 2 + words[1] * traffic->links,
          "%zu words of packed traffic", count);
    traffic->interval_ns = (int64_t)words[0];
    need_bins(traffic, words[1]);
    if (traffic->bins > 0)
        memcpy(traffic->bytes, words + 2, traffic->bins * traffic->links * sizeof *words);
}
