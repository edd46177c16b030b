/* Rows of /links and their time series, from the bytes that the fabric counted. */
#include "tandem/check.h"
#include "tandem/mem.h"
#include "tandem/results.h"
#include "tandem/simtime.h"

static double share(uint64_t bytes, double bytes_per_s, double time_ns)
{
    double most = bytes_per_s * time_ns / (double)SIMTIME_SECOND_NS;
    return most > 0 ? (double)bytes / most : 0;
}

static void add_series(struct results *results, size_t link, const struct traffic *traffic)
{
    int64_t interval_ns = results->series_interval_ns;
    struct link_row *row = &results->links[link];
    struct link_bin_row *bins = mem_array(results->series_count, sizeof *bins);
    for (size_t k = 0; k < results->series_count; k++) {
        int64_t start_ns = (int64_t)k * interval_ns, left_ns = results->summary.end_ns - start_ns;
        int64_t width_ns = left_ns > 0 && left_ns < interval_ns ? left_ns : interval_ns;
        uint64_t bytes = k < traffic->bins ? traffic->bytes[k * traffic->links + link] : 0;
        bins[k] = (struct link_bin_row){start_ns, bytes, share(bytes, row->bytes_per_s, (double)width_ns)};
        if (bins[k].utilization > row->peak_utilization)
            row->peak_utilization = bins[k].utilization;
    }
    results->link_series[link] = bins;
}

void results_add_links(struct results *results, const struct link_row *links, size_t count,
                       struct traffic *traffic)
{
    CHECK(count == traffic->links, "traffic of %u links, not of %zu", traffic->links, count);
    results->links = mem_array(count, sizeof *results->links);
    results->link_series = mem_array(count, sizeof *results->link_series);
    results->link_count = count;
    if (results->series_interval_ns > 0) {
        traffic_widen(traffic, results->series_interval_ns);
        CHECK(traffic->interval_ns == results->series_interval_ns && traffic->bins <= results->series_count,
              "%zu bins of %lld ns of links, %zu of %lld ns of pools", traffic->bins,
              (long long)traffic->interval_ns, results->series_count, (long long)results->series_interval_ns);
    }
    for (size_t i = 0; i < count; i++) {
        struct link_row *row = &results->links[i];
        *row = links[i];
        row->bytes = traffic_bytes(traffic, (uint32_t)i);
        row->utilization = share(row->bytes, row->bytes_per_s, (double)results->summary.end_ns);
        if (results->series_interval_ns > 0)
            add_series(results, i, traffic);
    }
}

void results_clear_links(struct results *results)
{
    for (size_t i = 0; i < results->link_count; i++)
        mem_free(results->link_series[i]);
    mem_free(results->link_series);
    mem_free(results->links);
}
