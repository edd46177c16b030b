/* The table that `tandem run` prints. */
#include "tandem/results.h"

#include <stdio.h>
#include <string.h>

#define LABEL "%-14s"

/* A time with four digits in the unit that suits it. */
struct amount {
    char text[32];
};

static struct amount time_text(double ns)
{
    static const struct {
        double ns;
        const char *unit;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
    size_t i = 0;
    while (i < 3 && ns < units[i].ns)
        i++;
    if (ns == 0)
        return (struct amount){"0"};
    struct amount amount;
    double value = ns / units[i].ns;
    snprintf(amount.text, sizeof amount.text, value < 9999.5 ? "%.4g %s" : "%.0f %s", value, units[i].unit);
    return amount;
}

static struct amount bytes_text(uint64_t bytes)
{
    struct amount amount;
    double gib = (double)bytes / 1073741824.0;
    if (gib >= 1)
        snprintf(amount.text, sizeof amount.text, "%.2f GiB", gib);
    else
        snprintf(amount.text, sizeof amount.text, "%.2f MiB", gib * 1024);
    return amount;
}

static void print_requests(const struct summary *summary, struct text *text)
{
    text_append(text, LABEL "%llu, completed %llu, refused %llu", "requests",
                (unsigned long long)summary->requests, (unsigned long long)summary->completed,
                (unsigned long long)summary->refused);
    if (summary->refused > 0)
        text_append(text, " (model length %llu, KV capacity %llu",
                    (unsigned long long)summary->refused_model_length,
                    (unsigned long long)summary->refused_kv_capacity);
    if (summary->refused_queue_full > 0)
        text_append(text, ", queue full %llu", (unsigned long long)summary->refused_queue_full);
    if (summary->refused_deadline > 0)
        text_append(text, ", deadline %llu", (unsigned long long)summary->refused_deadline);
    if (summary->refused_session > 0)
        text_append(text, ", turns after them %llu", (unsigned long long)summary->refused_session);
    if (summary->refused > 0)
        text_append(text, ")");
    if (summary->sessions > 0)
        text_append(text, "\n" LABEL "%llu, mean %.4g turns", "sessions",
                    (unsigned long long)summary->sessions, summary->mean_turns);
    text_append(text, "\n" LABEL "%s to %s, the run ends at %s; %llu requests arrive in it\n", "window",
                time_text((double)summary->window_start_ns).text,
                time_text((double)summary->window_end_ns).text, time_text((double)summary->end_ns).text,
                (unsigned long long)summary->window_arrivals);
    text_append(text, LABEL "%.4g arriving, %.4g completed requests/s%s\n", "rate",
                summary->request_rate_per_s, summary->completed_per_s,
                summary->saturated ? "; SATURATED: queues grow" : "");
    text_append(text, LABEL "%.5g tokens/s, %.4g per GPU, %.4g per user\n", "output",
                summary->output_tokens_per_s, summary->output_tokens_per_s_per_gpu,
                summary->tokens_per_s_per_user);
}

static void print_slo(const struct summary *summary, struct text *text)
{
    const struct {
        const char *name;
        double ms;
    } bounds[] = {
        {"TTFT", summary->slo_ttft_ms}, {"TPOT", summary->slo_tpot_ms}, {"max ITL", summary->slo_itl_ms}};
    const char *separator = "";
    text_append(text, LABEL, "SLO");
    if (bounds[0].ms == 0 && bounds[1].ms == 0 && bounds[2].ms == 0) {
        text_append(text, "none is set: no goodput\n");
        return;
    }
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        if (bounds[i].ms == 0)
            continue;
        text_append(text, "%s%s <= %g ms", separator, bounds[i].name, bounds[i].ms);
        separator = ", ";
    }
    text_append(
        text, "\n" LABEL "%.4g requests/s (%.4g per GPU) meet it: %.2f %% (TTFT %.2f %%, TPOT %.2f %%)\n",
        "goodput", summary->goodput_per_s, summary->goodput_per_s_per_gpu, 100 * summary->slo_attainment,
        100 * summary->slo_ttft_attainment, 100 * summary->slo_tpot_attainment);
}

/* A line a class, where there are several. */
static void print_classes(const struct results *results, struct text *text)
{
    if (results->class_count < 2)
        return;
    text_append(text, "\n" LABEL "%12s%12s%12s%12s%12s%12s\n", "class", "requests", "SLO met", "TTFT p90",
                "TPOT p90", "E2E p90", "queue p90");
    for (size_t i = 0; i < results->class_count; i++) {
        const struct class_row *class = &results->classes[i];
        text_append(text, "%-14u%12llu%10.2f %%%12s%12s%12s%12s\n", class->priority,
                    (unsigned long long)class->window_arrivals, 100 * class->slo_attainment,
                    time_text((double)class->ttft.p90).text, time_text((double)class->tpot.p90).text,
                    time_text((double)class->e2e.p90).text, time_text((double)class->queue.p90).text);
    }
}

static void print_latencies(const struct summary *summary, struct text *text)
{
    const struct {
        const char *name;
        const struct percentiles *values;
    } lines[] = {{"TTFT", &summary->ttft}, {"TPOT", &summary->tpot},   {"ITL", &summary->itl},
                 {"E2E", &summary->e2e},   {"queue", &summary->queue}, {"transfer", &summary->transfer}};
    text_append(text, "\n" LABEL "%12s%12s%12s%12s%12s\n", "latency", "mean", "p50", "p90", "p99", "max");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const struct percentiles *values = lines[i].values;
        if (values == &summary->transfer && summary->moved_requests == 0)
            continue;
        text_append(text, LABEL "%12s%12s%12s%12s%12s\n", lines[i].name, time_text(values->mean).text,
                    time_text((double)values->p50).text, time_text((double)values->p90).text,
                    time_text((double)values->p99).text, time_text((double)values->max).text);
    }
}

static void print_stages(const struct summary *summary, struct text *text)
{
    const struct {
        const char *name;
        double ns;
    } stages[] = {
        {"router", summary->mean_router_ns},
        {"control", summary->mean_control_ns},
        {"router queue", summary->mean_router_queue_ns},
        {"prefill queue", summary->mean_prefill_queue_ns},
        {"prefill", summary->mean_prefill_ns},
        {"decode queue", summary->mean_decode_queue_ns},
        {"transfer", summary->mean_transfer_ns},
        {"admission", summary->mean_admission_ns},
        {"decode", summary->mean_decode_ns},
        {"stalled", summary->mean_stalled_ns},
    };
    text_append(text, "\n" LABEL "%12s%12s\n", "stage", "mean", "of E2E");
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        if (stages[i].ns > 0)
            text_append(text, LABEL "%12s%10.2f %%\n", stages[i].name, time_text(stages[i].ns).text,
                        100 * stages[i].ns / summary->e2e.mean);
    if (summary->mean_interference_ns > 0 || summary->mean_blocked_ns > 0)
        text_append(text,
                    LABEL "%s of decode lost to others' prefills, %s of queues to the head of the line\n",
                    "contention", time_text(summary->mean_interference_ns).text,
                    time_text(summary->mean_blocked_ns).text);
}

static int name_width(const struct results *results)
{
    int width = 13;
    for (size_t i = 0; i < results->pool_count; i++) {
        int length = snprintf(NULL, 0, "%s", results->pools[i].name);
        if (length > width)
            width = length;
    }
    return width;
}

static void print_pools(const struct results *results, struct text *text)
{
    int width = name_width(results);
    text_append(text, "\n%-*s %-8s %-14s %8s %9s %8s %8s %8s %8s %8s %9s %9s %9s\n", width, "pool", "role",
                "GPU", "GPUs", "busy", "prefill", "decode", "mixed", "KV mean", "KV peak", "running",
                "waiting", "USD/h");
    for (size_t i = 0; i < results->pool_count; i++) {
        const struct pool_row *pool = &results->pools[i];
        struct amount gpus;
        snprintf(gpus.text, sizeof gpus.text, "%ux%u", (unsigned)pool->instances,
                 pool->instances > 0 ? (unsigned)(pool->gpus / pool->instances) : 0);
        text_append(
            text,
            "%-*s %-8s %-14s %8s %7.2f %% %6.2f %% %6.2f %% %6.2f %% %6.2f %% %6.2f %% %9.2f %9.2f %9.2f\n",
            width, pool->name, pool->role, pool->gpu, gpus.text, 100 * pool->utilization,
            100 * pool->utilization_prefill, 100 * pool->utilization_decode, 100 * pool->utilization_mixed,
            100 * pool->kv_mean_utilization, 100 * pool->kv_peak_utilization, pool->mean_running,
            pool->mean_waiting, pool->cost_usd_per_hour);
    }
    text_append(text, "\n%-*s %9s %8s %8s  of what its GPUs can compute and move in the window\n", width,
                "pool", "MFU", "HFU", "MBU");
    for (size_t i = 0; i < results->pool_count; i++)
        text_append(text, "%-*s %7.2f %% %6.2f %% %6.2f %%\n", width, results->pools[i].name,
                    100 * results->pools[i].mfu, 100 * results->pools[i].hfu, 100 * results->pools[i].mbu);
}

/* Internal fragmentation is of the blocks in use ("KV mean" above), external of all blocks. */
static void print_caches(const struct results *results, struct text *text)
{
    int width = name_width(results);
    text_append(text, "\n%-*s %-16s %8s %9s %9s %12s %9s %10s %10s  by allocations and copies\n", width,
                "pool", "KV allocator", "cached", "internal", "external", "allocations", "copies", "copied",
                "delay");
    for (size_t i = 0; i < results->pool_count; i++) {
        const struct pool_row *pool = &results->pools[i];
        text_append(text, "%-*s %-16s %6.2f %% %7.2f %% %7.2f %% %12llu %9llu %10s %10s\n", width, pool->name,
                    pool->kv_allocator, 100 * pool->kv_mean_cached, 100 * pool->kv_internal_fragmentation,
                    100 * pool->kv_external_fragmentation, (unsigned long long)pool->kv_allocations,
                    (unsigned long long)(pool->kv_copies + pool->kv_compactions),
                    bytes_text(pool->kv_copied_bytes).text, time_text((double)pool->kv_allocation_ns).text);
    }
}

/* Where there is more than the ports to the network: what stayed inside, and the fullest uplink. */
static void print_links(const struct results *results, struct text *text)
{
    const struct link_row *fullest = NULL;
    uint64_t local_bytes = 0;
    bool local = false;
    for (size_t i = 0; i < results->link_count; i++) {
        const struct link_row *link = &results->links[i];
        bool inside = strcmp(link->kind, "local") == 0;
        local |= inside;
        local_bytes += inside ? link->bytes : 0; /* at both ends */
        if (link->leaf >= 0 && (!fullest || link->utilization > fullest->utilization))
            fullest = link;
    }
    if (!local && !fullest)
        return;
    text_append(text, LABEL "congestion %s in the mean", "network",
                time_text(results->summary.mean_congestion_ns).text);
    if (local)
        text_append(text, "; %s stayed inside nodes", bytes_text(local_bytes / 2).text);
    if (fullest)
        text_append(text, "; fullest uplink: leaf %d %s, %.2f %% used, %.2f %% at its peak", fullest->leaf,
                    fullest->direction, 100 * fullest->utilization, 100 * fullest->peak_utilization);
    text_append(text, "\n");
}

/* Where instances changed their role. */
static void print_roles(const struct results *results, struct text *text)
{
    uint64_t changes = 0, drain_ns = 0, switched_ns = 0;
    for (size_t i = 0; i < results->pool_count; i++) {
        changes += results->pools[i].role_switches;
        drain_ns += results->pools[i].drain_ns;
        switched_ns += results->pools[i].switched_ns;
    }
    if (changes > 0)
        text_append(text, LABEL "%llu changes, %s until drained, %s in the other role\n", "roles",
                    (unsigned long long)changes, time_text((double)drain_ns).text,
                    time_text((double)switched_ns).text);
}

static double share_of(uint64_t prompt_tokens, const struct summary *summary)
{
    return 100 * (double)prompt_tokens / (double)summary->prompt_tokens;
}

static void print_costs(const struct results *results, struct text *text)
{
    const struct summary *summary = &results->summary;
    text_append(text, "\n" LABEL "%llu, busy %.2f %%, preemptions %llu\n", "GPUs",
                (unsigned long long)summary->gpus, 100 * summary->utilization,
                (unsigned long long)summary->preemptions);
    print_roles(results, text);
    if (summary->swaps > 0)
        text_append(text, LABEL "%llu, %s copied to the host and back\n", "swaps",
                    (unsigned long long)summary->swaps, bytes_text(summary->swapped_bytes).text);
    if (summary->cached_prompt_tokens > 0)
        text_append(text, LABEL "%.2f %% of prompt tokens (host %.2f %%, SSD %.2f %%)\n", "prefix hits",
                    100 * summary->prefix_hit_share, share_of(summary->host_prompt_tokens, summary),
                    share_of(summary->ssd_prompt_tokens, summary));
    if (summary->moved_requests > 0)
        text_append(text, LABEL "%llu requests moved %s\n", "KV transfer",
                    (unsigned long long)summary->moved_requests, bytes_text(summary->kv_transfer_bytes).text);
    print_links(results, text);
    text_append(text, LABEL "%.2f USD/h: %.4g USD per million output tokens, %.4g per thousand requests\n",
                "cost", summary->cost_usd_per_hour, summary->usd_per_million_output_tokens,
                summary->usd_per_thousand_requests);
    if (summary->effective_usd_per_hour > 0)
        text_append(text, LABEL "idle %.1f %% of it: %.2f USD per hour of busy GPUs\n", "",
                    100 * summary->idle_cost_usd / summary->cost_usd, summary->effective_usd_per_hour);
    bool has_slo = summary->slo_ttft_ms > 0 || summary->slo_tpot_ms > 0 || summary->slo_itl_ms > 0;
    if (has_slo && summary->usd_per_thousand_good_requests > 0)
        text_append(text, LABEL "%.4g USD per thousand requests within the SLO\n", "",
                    summary->usd_per_thousand_good_requests);
    for (size_t i = 0; i < results->pool_count; i++) {
        const struct pool_row *pool = &results->pools[i];
        if (pool->cost_usd_per_hour == 0)
            continue;
        text_append(text, LABEL "%s:", "", pool->name);
        if (pool->usd_per_million_prefill_tokens > 0)
            text_append(text, " all of it over prompt tokens %.4g", pool->usd_per_million_prefill_tokens);
        if (pool->usd_per_million_output_tokens > 0)
            text_append(text, "%s over output tokens %.4g",
                        pool->usd_per_million_prefill_tokens > 0 ? "," : " all of it",
                        pool->usd_per_million_output_tokens);
        text_append(text, " USD per million");
        text_append(text, "\n");
    }
}

static void print_energy(const struct results *results, struct text *text)
{
    const struct summary *summary = &results->summary;
    text_append(text, LABEL "%.4g W in the mean: %.4g kWh per million output tokens, %.4g J each\n", "energy",
                summary->mean_power_watts, summary->kwh_per_million_output_tokens,
                summary->joules_per_output_token);
    for (size_t i = 0; i < results->pool_count; i++) {
        const struct pool_row *pool = &results->pools[i];
        text_append(text, LABEL "%s: %.4g W", "", pool->name, pool->mean_power_watts);
        if (pool->joules_per_prefill_token > 0)
            text_append(text, ", all of it over prompt tokens %.4g J", pool->joules_per_prefill_token);
        if (pool->joules_per_output_token > 0)
            text_append(text, "%s over output tokens %.4g J",
                        pool->joules_per_prefill_token > 0 ? "," : ", all of it",
                        pool->joules_per_output_token);
        text_append(text, "\n");
    }
}

void results_print(const struct results *results, struct text *text)
{
    print_requests(&results->summary, text);
    print_slo(&results->summary, text);
    print_classes(results, text);
    print_latencies(&results->summary, text);
    print_stages(&results->summary, text);
    print_pools(results, text);
    print_caches(results, text);
    print_costs(results, text);
    print_energy(results, text);
}
