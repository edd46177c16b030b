/* Cost and energy of all pools together. */
#include "build.h"

#define JOULES_PER_KWH 3.6e6

static void add_pools(const struct build *build, struct summary *summary)
{
    double busy = 0;
    for (size_t i = 0; i < build->pool_count; i++) {
        const struct pool_row *pool = &build->results->pools[i];
        summary->gpus += pool->gpus;
        summary->cost_usd_per_hour += pool->cost_usd_per_hour;
        summary->gpu_hours += pool->gpu_hours;
        summary->idle_gpu_hours += pool->gpu_hours * (1 - pool->utilization);
        summary->idle_cost_usd += pool->idle_cost_usd;
        summary->energy_joules += pool->energy_joules;
        busy += pool->utilization * (double)pool->gpus;
    }
    summary->utilization = build_ratio(busy, (double)summary->gpus);
}

static void add_costs(const struct build *build, double output_tokens, struct summary *summary)
{
    const struct metrics_counts *counts = &build->metrics->counts;
    double cost = build_cost(build, summary->cost_usd_per_hour);
    double input_tokens = (double)counts->window_input_tokens;
    summary->cost_usd = cost;
    summary->usd_per_million_input_tokens = build_ratio(cost * 1e6, input_tokens);
    summary->usd_per_million_output_tokens = build_ratio(cost * 1e6, output_tokens);
    summary->usd_per_million_tokens = build_ratio(cost * 1e6, input_tokens + output_tokens);
    summary->usd_per_thousand_requests = build_ratio(cost * 1e3, (double)counts->window_completions);
    summary->usd_per_thousand_good_requests = build_ratio(cost * 1e3, (double)counts->window_slo_met);
    summary->effective_usd_per_hour =
        build_ratio(summary->cost_usd_per_hour * cost, cost - summary->idle_cost_usd);
    summary->joules_per_output_token = build_ratio(summary->energy_joules, output_tokens);
    summary->joules_per_token = build_ratio(summary->energy_joules, input_tokens + output_tokens);
    summary->kwh_per_million_output_tokens = summary->joules_per_output_token * 1e6 / JOULES_PER_KWH;
    summary->kwh_per_million_tokens = summary->joules_per_token * 1e6 / JOULES_PER_KWH;
}

void build_usage(const struct build *build, const struct usage *total)
{
    struct summary *summary = &build->results->summary;
    add_pools(build, summary);
    add_costs(build, (double)total->window_output_tokens, summary);
    summary->output_tokens_per_s = build_per_second(build, total->window_output_tokens);
    summary->output_tokens_per_s_per_gpu = build_ratio(summary->output_tokens_per_s, (double)summary->gpus);
    summary->goodput_per_s_per_gpu = build_ratio(summary->goodput_per_s, (double)summary->gpus);
    summary->kv_allocated_blocks = total->kv_allocated_blocks;
    summary->kv_freed_blocks = total->kv_freed_blocks;
    summary->mean_power_watts =
        build_ratio(summary->energy_joules * (double)SIMTIME_SECOND_NS, build->window_ns);
}
