/* The results of a run, complete on rank 0, as output writes them. Built once, from integer sums.
 * All local. */
#ifndef TANDEM_RESULTS_H
#define TANDEM_RESULTS_H

#include "tandem/column.h"
#include "tandem/iterations.h"
#include "tandem/metrics.h"
#include "tandem/power.h"
#include "tandem/traffic.h"

/* One row of /instances. */
struct instance_row {
    const char *pool;
    const char *role;
    const char *gpu;
    uint32_t gpus;
    uint64_t busy_prefill_ns, busy_decode_ns, busy_mixed_ns; /* inside the window, mean over members */
    uint64_t interference_ns, decoding_ns, blocked_ns, blocked_decoding_ns, blocked_idle_ns,
        moving_idle_ns;   /* likewise */
    double utilization;   /* sum of the three / window */
    double mfu, hfu, mbu; /* of the window */
    uint64_t prefill_iterations, decode_iterations, mixed_iterations;
    uint64_t prefill_tokens, recomputed_tokens, padding_tokens, output_tokens;
    uint64_t preemptions, swaps, swapped_out_bytes, swapped_in_bytes;
    uint64_t cached_tokens, cached_host_tokens, cached_ssd_tokens, evicted_blocks;
    uint64_t kv_capacity_blocks, kv_peak_blocks, kv_peak_tokens, kv_allocated_blocks, kv_freed_blocks;
    double kv_mean_utilization; /* block-ns / (capacity x window) */
    double kv_mean_cached;      /* token-ns / (capacity in tokens x window) */
    double kv_internal_fragmentation, kv_external_fragmentation;
    uint64_t kv_allocations, kv_copies, kv_compactions, kv_copied_bytes, kv_allocation_ns;
    uint64_t waiting_request_ns, running_request_ns, moving_request_ns; /* whole run */
    uint64_t sent_bytes, received_bytes;
    uint64_t role_switches, drain_ns, switched_ns;
    double cost_usd;                        /* of the window, as the next two */
    double energy_joules, mean_power_watts; /* of all its GPUs */
};

/* One row of /pools. */
struct pool_row {
    const char *name;
    const char *role;
    const char *gpu;
    uint32_t instances, gpus; /* gpus: of all its instances */
    uint32_t tensor_parallel, pipeline_parallel, attention_data_parallel, expert_parallel;
    const char *kv_allocator;
    uint64_t kv_block_tokens, kv_capacity_blocks; /* of one instance */
    double price_usd_per_gpu_hour, cost_usd_per_hour;
    /* Busy / (window x instances), an instance's mean: */
    double utilization, utilization_prefill, utilization_decode, utilization_mixed;
    double mfu, hfu, mbu;                            /* of all its GPUs over the window */
    double kv_mean_utilization, kv_peak_utilization; /* peak: of the fullest instance */
    double kv_mean_cached, kv_internal_fragmentation, kv_external_fragmentation;
    uint64_t kv_allocations, kv_copies, kv_compactions, kv_copied_bytes, kv_allocation_ns;
    double mean_running, mean_waiting; /* requests of the whole pool, over the whole run */
    uint64_t prefill_tokens, padding_tokens, output_tokens, preemptions, sent_bytes, received_bytes;
    uint64_t role_switches, drain_ns, switched_ns;
    uint64_t swaps, swapped_out_bytes, swapped_in_bytes;
    uint64_t cached_tokens, cached_host_tokens, cached_ssd_tokens, evicted_blocks;
    double usd_per_million_prefill_tokens, usd_per_million_output_tokens; /* of the window; 0: not its role */
    double gpu_hours, idle_cost_usd, effective_usd_per_hour;              /* of the window */
    double energy_joules, mean_power_watts;                               /* of all its GPUs in the window */
    double power_capped; /* share of busy time in phases whose power the cap cuts */
    double joules_per_prefill_token, joules_per_output_token; /* of the window; 0: not its role */
};

/* Percentiles of one metric, ns. */
struct percentiles {
    double mean;
    int64_t p50, p90, p99, max;
};

/* One row of /classes: the window requests of a class of priority. */
struct class_row {
    uint32_t priority;
    uint64_t window_arrivals, window_completed;
    double slo_ttft_ms, slo_tpot_ms, slo_itl_ms; /* 0: not set */
    double slo_attainment, slo_ttft_attainment, slo_tpot_attainment, goodput_per_s;
    struct percentiles ttft, tpot, e2e, queue;
};

/* One bin of /timeseries/<pool>: means over the bin, and sums. */
struct series_bin_row {
    int64_t start_ns;
    double waiting, running, moving;        /* requests of the pool, time average */
    double kv_used, kv_cached, kv_stranded; /* share of the pool's blocks, of the tokens in all of them */
    double busy_prefill, busy_decode, busy_mixed; /* share of the pool's instance time */
    uint64_t prefill_tokens, output_tokens, sent_bytes;
    double power_watts; /* of all GPUs of the pool */
};

/* One row of /links: links of a kind that are counted together. */
struct link_row {
    const char *kind; /* nic, local or uplink */
    const char *direction;
    const char *pool; /* "": none */
    int32_t leaf;     /* -1: none */
    uint32_t links;
    double bytes_per_s; /* all of them together */
    uint64_t bytes;
    double utilization, peak_utilization; /* over the whole run, and of the bin that has most */
};

/* One bin of /link_timeseries/<row of /links>. */
struct link_bin_row {
    int64_t start_ns;
    uint64_t bytes;
    double utilization;
};

/* One bucket of /histograms/<metric>. */
struct histogram_row {
    int64_t low_ns, high_ns;
    uint64_t count;
};

/* /summary: scalars. Fields and names: column_summary. */
struct summary {
    uint64_t requests, completed, refused, refused_model_length, refused_kv_capacity, refused_queue_full,
        refused_deadline, refused_session;
    uint64_t sessions;
    double mean_turns; /* of all their requests */
    uint64_t window_arrivals, window_completed;
    int64_t window_start_ns, window_end_ns, end_ns; /* end: last completion or refusal */
    double request_rate_per_s;                      /* window arrivals / window */
    double completed_per_s;                         /* completions by time inside the window / window */
    uint64_t prompt_tokens, output_tokens;          /* of completed requests */
    double output_tokens_per_s, output_tokens_per_s_per_gpu; /* visible tokens inside the window */
    double tokens_per_s_per_user;                            /* 1 / mean TPOT */
    double slo_ttft_ms, slo_tpot_ms, slo_itl_ms;             /* 0: not set */
    double slo_attainment, slo_ttft_attainment, slo_tpot_attainment, goodput_per_s, goodput_per_s_per_gpu;
    struct percentiles ttft, ttft_prefill, tpot, itl, e2e, queue, transfer;
    /* Over completed window requests: */
    double mean_router_ns, mean_control_ns, mean_router_queue_ns, mean_prefill_queue_ns, mean_prefill_ns,
        mean_decode_queue_ns, mean_transfer_ns, mean_admission_ns, mean_decode_ns, mean_stalled_ns,
        mean_interference_ns, mean_blocked_ns, mean_congestion_ns;
    uint64_t gpus, moved_requests, kv_transfer_bytes, preemptions, swaps, swapped_bytes, kv_allocated_blocks,
        kv_freed_blocks;
    uint64_t cached_prompt_tokens, host_prompt_tokens, ssd_prompt_tokens; /* of completed requests */
    double prefix_hit_share;
    double utilization; /* GPU-weighted over pools */
    double cost_usd_per_hour, cost_usd, usd_per_million_input_tokens, usd_per_million_output_tokens,
        usd_per_million_tokens, usd_per_thousand_requests, usd_per_thousand_good_requests;
    double gpu_hours, idle_gpu_hours, idle_cost_usd, effective_usd_per_hour;
    double energy_joules, mean_power_watts, joules_per_output_token, joules_per_token,
        kwh_per_million_output_tokens, kwh_per_million_tokens;
    uint8_t saturated;
};

/* One row of /points, of a sweep. */
enum point_status { POINT_COMPLETED, POINT_INVALID, POINT_FAILED };
extern const char *const point_status_names[]; /* by value, ended by NULL */

struct point_row {
    const char *name; /* of the named point; "": none */
    uint8_t status;   /* enum point_status */
    const char *error, *warnings;
    const char *checksum; /* as `tandem run` prints it; "": it has none */
    uint32_t candidate;   /* of a search: row of /candidates, and what it was run with */
    int64_t seed;
    double rate;
    struct summary summary; /* of a point that did not complete: 0, and NaN */
};

/* One row of /pools and /classes of a sweep begins with it. */
struct point_number {
    uint32_t point;
};

struct point_pool_row {
    struct point_number number;
    struct pool_row pool;
};

struct point_class_row {
    struct point_number number;
    struct class_row class;
};

/* --- of a search. What is not there is NaN, or -1 where it is a row. */
enum search_status {
    SEARCH_FOUND,
    SEARCH_OUT_OF_REACH, /* not even the lowest rate holds */
    SEARCH_BEYOND_HIGH,  /* the highest rate holds */
    SEARCH_DOMINATED,    /* another of its deployment holds a rate that it does not */
    SEARCH_INVALID,      /* its configuration is wrong */
    SEARCH_FAILED,       /* a run failed */
    SEARCH_NOT_SEARCHED  /* there is no `goodput` */
};
extern const char *const search_status_names[]; /* by value, ended by NULL */

/* One row of /candidates. */
struct search_candidate_row {
    const char *deployment, *parameters, *error;
    uint8_t status, best;
    uint32_t gpus, probes;
    double cost_usd_per_hour, goodput_rate, fails_at_rate;
    double goodput_per_s, goodput_per_s_per_gpu, slo_attainment, usd_per_million_output_tokens,
        good_requests_per_usd;
};

/* One row of /deployments. */
struct search_deployment_row {
    const char *deployment, *parameters;
    uint8_t status;
    int32_t candidate;
    uint32_t gpus, seeds;
    double cost_usd_per_hour, goodput_rate, goodput_rate_low, goodput_rate_high;
    double goodput_per_s, goodput_per_s_per_gpu, slo_attainment, usd_per_million_output_tokens,
        good_requests_per_usd;
};

/* One row of /seeds: a deployment's best with one seed. */
struct search_seed_row {
    const char *deployment;
    uint8_t status;
    int32_t point;
    int64_t seed;
    double goodput_rate, goodput_per_s, usd_per_million_output_tokens;
};

/* One row of /cheapest. */
struct search_cheapest_row {
    const char *deployment, *parameters;
    int32_t candidate, point;
    uint32_t gpus;
    double rate, cost_usd_per_hour, slo_attainment, usd_per_million_output_tokens;
};

/* What the results say beyond the metrics. Strings are borrowed. */
struct results_pool {
    const char *name, *role, *gpu;
    uint32_t instances, gpus_per_instance, members_per_instance, tensor_parallel; /* members: replica.h */
    uint64_t kv_block_tokens, kv_capacity_blocks;                                 /* of an instance */
    double price_usd_per_gpu_hour;
    /* What the sums of struct effort are multiplied by; 0 where a figure is not known, and so are MFU, HFU or
     * MBU. */
    double flops_per_token, flops_per_logit_row, flops_per_context_token; /* over all GPUs of an instance */
    double peak_flops;         /* of one GPU, for the data type of the weights, FLOP/s */
    double bandwidth;          /* of one GPU's memory, bytes/s */
    double weight_bytes;       /* but the routed experts: read once an iteration of a member, over its lane */
    double kv_bytes_per_token; /* that is written, with the copies on its GPUs */
    double tdp_watts;          /* of one GPU */
    struct power_config power;
    uint32_t pipeline_parallel, attention_data_parallel, expert_parallel;
    double kv_bytes_per_context_token; /* that attention reads for each of kv_read_tokens */
    const char *kv_allocator;
};

/* Groups of results.h5, in the order in which they are written. */
enum results_group {
    RESULTS_INSTANCES,
    RESULTS_POOLS,
    RESULTS_CLASSES,
    RESULTS_TIMESERIES,
    RESULTS_LINKS, /* and their time series */
    RESULTS_ITERATIONS,
    RESULTS_HISTOGRAMS,
    RESULTS_SUMMARY,
    RESULTS_REQUESTS,
    RESULTS_GROUPS
};

struct results {
    struct summary summary;
    struct instance_row *instances;
    size_t instance_count;
    struct pool_row *pools;
    size_t pool_count;
    struct class_row *classes; /* at least one */
    size_t class_count;
    struct series_bin_row **series; /* [pool][bin] */
    size_t series_count;            /* bins, the same in each pool */
    int64_t series_interval_ns;     /* 0: no series */
    struct link_row *links;
    size_t link_count;
    struct link_bin_row **link_series;              /* [link][bin]: as many as series_count */
    struct histogram_row *histograms[METRIC_COUNT]; /* buckets that are not empty */
    size_t histogram_counts[METRIC_COUNT];
    struct iteration_row *iterations; /* in order; NULL: none were kept. Owned. */
    size_t iteration_count;
    int64_t iterations_cut_ns; /* start of the first that is left out; -1: none is */
    struct row *rows;          /* in order of arrival, of one_in requests each; may be NULL. Owned. */
    size_t row_count;
    int64_t row_one_in;
    uint64_t checksum;
    const char *trace_sha256; /* of the trace file that was replayed; NULL: none. Borrowed. */
};

/* Computes everything from the merged metrics of all ranks and the usage of each instance (in order of pools,
 * then instance). rows (all ranks', any order; ownership passes; NULL where they are off or went into the
 * file as they came) are sorted by id; aborts unless their ids are 0, 1, .. or the multiples of one_in. */
void results_build(struct results *results, const struct metrics *metrics, const struct results_pool *pools,
                   size_t pool_count, const struct usage *usages, struct row *rows, size_t row_count);
void results_clear(struct results *results);

/* Adds links (copied but for the strings; what is measured is filled in) and their series to results that are
 * built; traffic is brought to the bins of the pools' series. */
void results_add_links(struct results *results, const struct link_row *links, size_t count,
                       struct traffic *traffic);
void results_clear_links(struct results *results);

/* Appends the table that `tandem run` prints. */
void results_print(const struct results *results, struct text *text);

#endif
