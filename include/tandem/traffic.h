/* Bytes that pass links, over time. Integers only. All local. */
#ifndef TANDEM_TRAFFIC_H
#define TANDEM_TRAFFIC_H

#include <stddef.h>
#include <stdint.h>

/* Bins as those of the time series (metrics.h): at most SERIES_MAX_BINS, whose width doubles then. */
struct traffic {
    int64_t interval_ns;
    uint32_t links;
    size_t bins, capacity; /* bins in use, and room for */
    uint64_t *bytes;       /* [bin][link], owned */
    /* The bin that was used last, in bytes; where it starts and ends: spares a division. */
    uint64_t *last;
    int64_t last_start_ns, last_end_ns;
};

/* Caller: traffic_clear. interval_ns 0: all in one bin. */
void traffic_init(struct traffic *traffic, uint32_t links, int64_t interval_ns);
void traffic_clear(struct traffic *traffic);

/* Makes the bin that holds at_ns the one that was used last. */
void traffic_seek(struct traffic *traffic, int64_t at_ns);

static inline void traffic_need(struct traffic *traffic, int64_t at_ns)
{
    if (at_ns < traffic->last_start_ns || at_ns >= traffic->last_end_ns)
        traffic_seek(traffic, at_ns);
}

/* The counters of all links in the bin that holds at_ns; valid until another bin is asked for. */
static inline uint64_t *traffic_at(struct traffic *traffic, int64_t at_ns)
{
    traffic_need(traffic, at_ns);
    return traffic->last;
}

/* The first time after the bin that holds at_ns. */
static inline int64_t traffic_bin_end_ns(struct traffic *traffic, int64_t at_ns)
{
    traffic_need(traffic, at_ns);
    return traffic->last_end_ns;
}

/* Merges pairs of bins until they are at least so wide. */
void traffic_widen(struct traffic *traffic, int64_t interval_ns);

/* Bytes of a link, all bins together. */
uint64_t traffic_bytes(const struct traffic *traffic, uint32_t link);

/* As that many words for another rank, and from them into traffic of as many links that has none yet. */
size_t traffic_packed_words(const struct traffic *traffic);
void traffic_pack(const struct traffic *traffic, uint64_t *words);
void traffic_unpack(struct traffic *traffic, const uint64_t *words, size_t count);

#endif
