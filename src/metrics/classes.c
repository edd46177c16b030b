/* What became of the requests of each class of priority. */
#include "tandem/mem.h"

#include "build.h"

struct percentiles build_percentiles(const struct histogram *histogram)
{
    return (struct percentiles){
        .mean = histogram_mean(histogram),
        .p50 = histogram_percentile(histogram, 50),
        .p90 = histogram_percentile(histogram, 90),
        .p99 = histogram_percentile(histogram, 99),
        .max = histogram->count > 0 ? histogram->max : 0,
    };
}

static struct class_row class_row(const struct build *build, uint32_t priority,
                                  const struct class_counts *counts,
                                  const struct histogram *const *histograms)
{
    const struct slo *slo = metrics_slo(build->metrics, priority);
    struct class_row row = {
        .priority = priority,
        .window_arrivals = counts->window_arrivals,
        .window_completed = counts->window_completed,
        .slo_ttft_ms = (double)slo->ttft_ns / 1e6,
        .slo_tpot_ms = (double)slo->tpot_ns / 1e6,
        .slo_itl_ms = (double)slo->itl_ns / 1e6,
        .slo_attainment = build_ratio((double)counts->window_slo_met, (double)counts->window_arrivals),
        .slo_ttft_attainment =
            build_ratio((double)counts->window_slo_ttft_met, (double)counts->window_arrivals),
        .slo_tpot_attainment =
            build_ratio((double)counts->window_slo_tpot_met, (double)counts->window_arrivals),
        .goodput_per_s = build_per_second(build, counts->window_slo_met),
    };
    struct percentiles *const into[CLASS_METRICS] = {&row.ttft, &row.tpot, &row.e2e, &row.queue};
    for (size_t i = 0; i < CLASS_METRICS; i++)
        *into[i] = build_percentiles(histograms[i]);
    return row;
}

void build_classes(const struct build *build)
{
    const struct metrics *metrics = build->metrics;
    const struct metrics_counts *all = &metrics->counts;
    const struct class_counts only = {all->window_arrivals, all->window_completed, all->window_slo_met,
                                      all->window_slo_ttft_met, all->window_slo_tpot_met};
    struct results *results = build->results;
    results->class_count = metrics->classes ? (size_t)metrics->config.classes : 1;
    results->classes = mem_array(results->class_count, sizeof *results->classes);
    for (size_t class = 0; class < results->class_count; class ++) {
        const struct histogram *histograms[CLASS_METRICS];
        for (size_t i = 0; i < CLASS_METRICS; i++)
            histograms[i] = metrics->classes ? &metrics->classes[class].histograms[i]
                                             : &metrics->histograms[class_metrics[i]];
        results->classes[class] = class_row(
            build, (uint32_t) class, metrics->classes ? &metrics->classes[class].counts : &only, histograms);
    }
}
