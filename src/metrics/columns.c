/* The columns of results.h5. A name is the member's; a member's type gives the column's. */
#include "tandem/column.h"

#include "tandem/results.h"

#define NAMED COLUMN_NAMED
#define TABLE(symbol, path, text)                                                                            \
    const struct column_table column_##symbol = {path, text, symbol, sizeof symbol / sizeof symbol[0]}

#define HFU_DOC                                                                                              \
    "Hardware FLOPs utilization: FLOPs of the matrices, the head and attention in iterations that end "      \
    "inside "                                                                                                \
    "the window / (peak of the weights' data type x GPUs x window)."
#define MBU_DOC                                                                                              \
    "Memory bandwidth utilization: bytes moved in iterations that end inside the window (all weights once "  \
    "an "                                                                                                    \
    "iteration (of a lane: those on its GPUs), the KV cache of each context once, new tokens once) / "       \
    "(memory bandwidth x GPUs x window)."

#define ENERGY_DOC(of)                                                                                       \
    "Energy of " of " in the window: each phase (prefill, decode, mixed) at the power that its FLOPs (all, " \
    "as in hfu) and bytes (as in mbu) over its busy time give, `tandem describe power`; the rest idle."

#define CACHED_DOC                                                                                           \
    "Time average of the tokens that are cached / those that all KV blocks hold, inside the window."
#define INTERNAL_DOC                                                                                         \
    "Share of what the blocks in use hold that is empty: 1 - kv_mean_cached / kv_mean_utilization. What an " \
    "iteration computes is cached when it ends: until then a prompt's blocks are empty, in a prefill pool "  \
    "most of the time."
#define EXTERNAL_DOC                                                                                         \
    "Time average, inside the window, of the share of KV blocks that are free, but of no use to the "        \
    "request "                                                                                               \
    "that waits at the head of the queue: enough of them, in runs that are too short."
#define ALLOCATIONS_DOC "Allocations, over the whole run: paged, of each block of a decode."
#define COPIES_DOC      "Sequences copied to a longer place, over the whole run."
#define COMPACTIONS_DOC "Times that places were moved together, over the whole run."
#define COPIED_DOC      "KV cache that both copied, on all GPUs."
#define DELAY_DOC                                                                                            \
    "Time that allocations and copies take, before the next iteration; over the whole run. Of lanes that "   \
    "step together the longest counts for all, here each its own."

#define SWITCHES_DOC "Changes of role (router.role_switch) that were decided, over the whole run."
#define DRAIN_DOC    "Time from when it was told of a change to when it had nothing left, over the whole run."
#define SWITCHED_DOC "Time in the other role than the pool's, over the whole run."
#define EFFECTIVE_DOC                                                                                        \
    "Effective cost: price of an hour of busy GPUs, cost_usd_per_hour / the share of the cost in which "     \
    "they "                                                                                                  \
    "are busy."

#define COLUMN(member, unit, doc) NAMED(#member, row, member, unit, doc, NULL)
static const struct column requests[] = {
    COLUMN(arrival_ns, "ns", "Time at which the client sends the request."),
    COLUMN(prompt_tokens, "tokens", "Length of the prompt."),
    COLUMN(output_tokens, "tokens", "Tokens asked for; a completed request got all of them."),
    COLUMN(ttft_ns, "ns", "Time to first token: client send to token 1 visible."),
    COLUMN(ttft_prefill_ns, "ns", "Client send to the end of the iteration that completed the prompt."),
    COLUMN(e2e_ns, "ns", "Client send to the last token; the sum of the nine stages below."),
    COLUMN(max_itl_ns, "ns", "Longest gap between two visible tokens; 0 for one token."),
    COLUMN(router_ns, "ns", "Stage: frontend and router, client send to dispatch."),
    COLUMN(control_ns, "ns", "Stage: control messages on the way."),
    COLUMN(router_queue_ns, "ns",
           "Stage: held by the router while no instance was below router.max_requests_per_instance."),
    COLUMN(prefill_queue_ns, "ns",
           "Stage: waiting at the (prefill) instance until first scheduled; each time that it comes there."),
    COLUMN(prefill_ns, "ns",
           "Stage: first scheduled to prompt complete, without stalls; each time that it is."),
    COLUMN(decode_queue_ns, "ns", "Stage: waiting at the decode instance until its blocks are reserved."),
    COLUMN(transfer_ns, "ns",
           "Stage: KV transfer, flow opened to flow ended, setup included; of what overlaps with the prefill "
           "only the rest."),
    COLUMN(admission_ns, "ns",
           "Stage: transfer known at the decode instance (router.mixed: at the prefill instance that it "
           "stays) to "
           "joining its batch."),
    COLUMN(decode_ns, "ns", "Stage: decoding until the last token, without stalls."),
    COLUMN(stalled_ns, "ns", "Stage: preempted until scheduled again."),
    COLUMN(interference_ns, "ns",
           "Of decoding, in no stage: time by which prefills of others lengthened iterations while the "
           "request was "
           "in the decode batch (all of an iteration in which it waited for them)."),
    COLUMN(
        blocked_ns, "ns",
        "Head-of-line blocking, in no stage: time in queues, seats being free, behind a request that did not "
        "fit for "
        "want of KV blocks; in a static batch while slots of ended requests wait for its end."),
    COLUMN(
        congestion_ns, "ns",
        "Congestion, in no stage: time of transfer_ns by which the transfer drained longer, or waited at its "
        "sender's "
        "port, than if it had had the network to itself."),
    COLUMN(kv_transfer_bytes, "bytes", "KV cache moved to the decode instance."),
    COLUMN(prefill_instance, "1", "Row of /instances that computed the prompt; -1: none."),
    COLUMN(decode_instance, "1", "Row of /instances that the request moved to; -1: it did not move."),
    COLUMN(preemptions, "1", "How often the request was preempted."),
    COLUMN(swaps, "1", "Of them: its blocks went to the host's memory and came back."),
    COLUMN(swapped_bytes, "bytes", "KV cache copied to the host and back, of all GPUs."),
    COLUMN(session, "1", "Number of the conversation that it is a turn of; -1: none."),
    COLUMN(turn, "1", "Which turn of it, from 1; 0: not known (a trace)."),
    COLUMN(cached_prompt_tokens, "tokens",
           "Prompt tokens that were not computed for the request, since they were in the cache."),
    COLUMN(host_prompt_tokens, "tokens", "Of them: in the host's memory."),
    COLUMN(ssd_prompt_tokens, "tokens", "Of them: on the SSD."),
    COLUMN(priority, "1", "Class of priority, 0 the most urgent."),
    NAMED("status", row, status, "1", "How the request ended.", row_status_names),
    NAMED("reason", row, reason, "1", "Why the request was refused.", row_reason_names),
};
TABLE(requests, "/requests",
      "One row per request in order of arrival; the row's number x the attribute one_in is the request's id. "
      "All "
      "stages of a refused request are 0.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, instance_row, member, unit, doc, NULL)
static const struct column instances[] = {
    COLUMN(pool, "", "Name of the pool."),
    COLUMN(role, "", "unified, prefill or decode."),
    COLUMN(gpu, "", "GPU type."),
    COLUMN(gpus, "GPUs", "GPUs of this instance."),
    COLUMN(busy_prefill_ns, "ns", "Time inside the window in iterations that only prefill."),
    COLUMN(busy_decode_ns, "ns", "Time inside the window in iterations that only decode."),
    COLUMN(busy_mixed_ns, "ns", "Time inside the window in iterations that do both."),
    COLUMN(
        interference_ns, "ns",
        "Of busy_prefill_ns and busy_mixed_ns: time by which prefills lengthened iterations for decodes that "
        "were in them, and all of those that decodes sat out; once, however many decodes there were."),
    COLUMN(decoding_ns, "ns",
           "What iterations take for their decodes alone: busy_decode_ns, and busy_mixed_ns without "
           "interference. The rest of the busy time is of prefills that no decode waited for."),
    COLUMN(blocked_ns, "ns",
           "Time inside the window while requests waited in its queue whose head had not fitted at the last "
           "boundary (as /requests/blocked_ns), busy or idle."),
    COLUMN(
        blocked_decoding_ns, "ns",
        "Of decoding_ns: while it was so. Too low by less than an iteration each time that a request comes, "
        "within one that does both, to an empty queue that is blocked."),
    COLUMN(blocked_idle_ns, "ns", "Of it: in no iteration."),
    COLUMN(
        moving_idle_ns, "ns",
        "Time inside the window in no iteration, not blocked, while requests that it had reserved blocks for "
        "had not joined."),
    COLUMN(utilization, "1", "Busy time of all phases / window."),
    COLUMN(
        mfu, "1",
        "Model FLOPs utilization: hfu without padding and the tokens that a preemption, or the want of a KV "
        "cache, made it recompute."),
    COLUMN(hfu, "1", HFU_DOC),
    COLUMN(mbu, "1", MBU_DOC),
    COLUMN(prefill_iterations, "1", "Iterations that only prefill, over the whole run."),
    COLUMN(decode_iterations, "1", "Iterations that only decode, over the whole run."),
    COLUMN(mixed_iterations, "1", "Iterations that do both, over the whole run."),
    COLUMN(prefill_tokens, "tokens", "Prompt tokens computed, recomputed ones included, over the whole run."),
    COLUMN(
        recomputed_tokens, "tokens",
        "Of them: computed before on this instance and lost in a preemption, or never kept (kv.cache none)."),
    COLUMN(padding_tokens, "tokens",
           "Computed beside them and the output tokens to pad static batches, over the whole run."),
    COLUMN(output_tokens, "tokens", "Tokens made visible, over the whole run."),
    COLUMN(preemptions, "1", "Preemptions, over the whole run."),
    COLUMN(swaps, "1", "Of them: blocks went to the host's memory."),
    COLUMN(swapped_out_bytes, "bytes", "KV cache copied to the host, of all GPUs."),
    COLUMN(swapped_in_bytes, "bytes", "KV cache copied back, of all GPUs; as many bytes."),
    COLUMN(cached_tokens, "tokens",
           "Tokens that a request did not have computed (on decode instances: sent), since they were in the "
           "cache; after preemptions too, over the whole run."),
    COLUMN(cached_host_tokens, "tokens", "Of them: in the host's memory."),
    COLUMN(cached_ssd_tokens, "tokens", "Of them: on the SSD."),
    COLUMN(evicted_blocks, "blocks", "KV blocks that were kept for later requests, and lost to others."),
    COLUMN(kv_capacity_blocks, "blocks", "KV blocks of the instance."),
    COLUMN(kv_peak_blocks, "blocks", "Most KV blocks in use at once."),
    COLUMN(kv_peak_tokens, "tokens", "Most tokens cached at once."),
    COLUMN(kv_allocated_blocks, "blocks", "KV blocks taken, over the whole run."),
    COLUMN(kv_freed_blocks, "blocks", "KV blocks given back, over the whole run."),
    COLUMN(kv_mean_utilization, "1", "Time average of the share of KV blocks in use, inside the window."),
    COLUMN(kv_mean_cached, "1", CACHED_DOC),
    COLUMN(kv_internal_fragmentation, "1", INTERNAL_DOC),
    COLUMN(kv_external_fragmentation, "1", EXTERNAL_DOC),
    COLUMN(kv_allocations, "1", ALLOCATIONS_DOC),
    COLUMN(kv_copies, "1", COPIES_DOC),
    COLUMN(kv_compactions, "1", COMPACTIONS_DOC),
    COLUMN(kv_copied_bytes, "bytes", COPIED_DOC),
    COLUMN(kv_allocation_ns, "ns", DELAY_DOC),
    COLUMN(waiting_request_ns, "request ns",
           "Integral of waiting requests over the whole run; at most 2^64 - 1, as the two below."),
    COLUMN(running_request_ns, "request ns", "Integral of requests in the batch over the whole run."),
    COLUMN(moving_request_ns, "request ns",
           "Integral of requests with reserved blocks that have not joined yet, over the whole run."),
    COLUMN(sent_bytes, "bytes", "KV cache sent to other instances."),
    COLUMN(received_bytes, "bytes", "KV cache received from other instances."),
    COLUMN(role_switches, "1", SWITCHES_DOC),
    COLUMN(drain_ns, "ns", DRAIN_DOC),
    COLUMN(switched_ns, "ns", SWITCHED_DOC),
    COLUMN(cost_usd, "USD", "Price of its GPUs during the window, busy or idle."),
    COLUMN(energy_joules, "J", ENERGY_DOC("its GPUs")),
    COLUMN(mean_power_watts, "W", "energy_joules / window."),
};
TABLE(
    instances, "/instances",
    "One row per instance, in order of pools. Of lanes (attention data parallelism) and micro-batches "
    "(pipeline stages), blocks, tokens, requests and iterations are sums, busy times are means: an iteration "
    "counts from its start to its end, and what is missing to the window are waits and bubbles. Lanes step "
    "together and share their experts: all are in one phase, mixed where one prefills and another decodes.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, pool_row, member, unit, doc, NULL)
static const struct column pools[] = {
    COLUMN(name, "", "Name of the pool."),
    COLUMN(role, "", "unified, prefill or decode."),
    COLUMN(gpu, "", "GPU type."),
    COLUMN(instances, "1", "Instances of the pool."),
    COLUMN(gpus, "GPUs", "GPUs of all its instances."),
    COLUMN(tensor_parallel, "1", "GPUs that share each matrix."),
    COLUMN(pipeline_parallel, "1", "Stages of an instance."),
    COLUMN(attention_data_parallel, "1", "Lanes of an instance."),
    COLUMN(expert_parallel, "1", "Groups of GPUs that an instance's experts are spread over."),
    COLUMN(kv_allocator, "", "How the KV cache is laid out: `tandem list allocators`."),
    COLUMN(kv_block_tokens, "tokens", "Tokens of one KV block."),
    COLUMN(kv_capacity_blocks, "blocks", "KV blocks of one instance."),
    COLUMN(price_usd_per_gpu_hour, "USD/h", "Price of one GPU for an hour."),
    COLUMN(cost_usd_per_hour, "USD/h", "Price of the whole pool for an hour."),
    COLUMN(utilization, "1", "Busy time of all phases / (window x instances)."),
    COLUMN(utilization_prefill, "1", "Time in iterations that only prefill / (window x instances)."),
    COLUMN(utilization_decode, "1", "Time in iterations that only decode / (window x instances)."),
    COLUMN(utilization_mixed, "1", "Time in iterations that do both / (window x instances)."),
    COLUMN(
        mfu, "1",
        "Model FLOPs utilization: hfu without padding and the tokens that a preemption, or the want of a KV "
        "cache, made it recompute."),
    COLUMN(hfu, "1", HFU_DOC),
    COLUMN(mbu, "1", MBU_DOC),
    COLUMN(kv_mean_utilization, "1", "Time average of the share of KV blocks in use, inside the window."),
    COLUMN(kv_peak_utilization, "1", "Highest share of KV blocks in use at once, of the fullest instance."),
    COLUMN(kv_mean_cached, "1", CACHED_DOC),
    COLUMN(kv_internal_fragmentation, "1", INTERNAL_DOC),
    COLUMN(kv_external_fragmentation, "1", EXTERNAL_DOC),
    COLUMN(kv_allocations, "1", ALLOCATIONS_DOC),
    COLUMN(kv_copies, "1", COPIES_DOC),
    COLUMN(kv_compactions, "1", COMPACTIONS_DOC),
    COLUMN(kv_copied_bytes, "bytes", COPIED_DOC),
    COLUMN(kv_allocation_ns, "ns", DELAY_DOC),
    COLUMN(mean_running, "requests", "Requests in the pool's batches, time average over the whole run."),
    COLUMN(mean_waiting, "requests", "Requests waiting in the pool, time average over the whole run."),
    COLUMN(prefill_tokens, "tokens", "Prompt tokens computed, recomputed ones included, over the whole run."),
    COLUMN(padding_tokens, "tokens",
           "Computed beside them and the output tokens to pad static batches, over the whole run."),
    COLUMN(output_tokens, "tokens", "Tokens made visible, over the whole run."),
    COLUMN(preemptions, "1", "Preemptions, over the whole run."),
    COLUMN(swaps, "1", "Of them: blocks went to the host's memory."),
    COLUMN(swapped_out_bytes, "bytes", "KV cache copied to the host, of all GPUs."),
    COLUMN(swapped_in_bytes, "bytes", "KV cache copied back, of all GPUs; as many bytes."),
    COLUMN(cached_tokens, "tokens",
           "Tokens that a request did not have computed (on decode instances: sent), since they were in the "
           "cache; after preemptions too, over the whole run."),
    COLUMN(cached_host_tokens, "tokens", "Of them: in the host's memory."),
    COLUMN(cached_ssd_tokens, "tokens", "Of them: on the SSD."),
    COLUMN(evicted_blocks, "blocks", "KV blocks that were kept for later requests, and lost to others."),
    COLUMN(sent_bytes, "bytes", "KV cache sent to other instances."),
    COLUMN(received_bytes, "bytes", "KV cache received from other instances."),
    COLUMN(role_switches, "1", SWITCHES_DOC),
    COLUMN(drain_ns, "ns", DRAIN_DOC),
    COLUMN(switched_ns, "ns", SWITCHED_DOC),
    COLUMN(
        usd_per_million_prefill_tokens, "USD",
        "Pool's cost / prompt tokens computed for the first time (recomputed ones are no input), both inside "
        "the window; 0 for decode pools. The whole cost of a unified pool is divided once by its prompt "
        "tokens, here, and once by its output tokens, below: its two prices do not add up."),
    COLUMN(
        usd_per_million_output_tokens, "USD",
        "Pool's cost / tokens made visible, both inside the window; 0 for prefill pools. Of a unified pool "
        "the whole cost, prefill included."),
    COLUMN(gpu_hours, "h", "GPUs x window."),
    COLUMN(idle_cost_usd, "USD", "Price of its GPUs while they were in no iteration, of the window."),
    COLUMN(effective_usd_per_hour, "USD/h", EFFECTIVE_DOC),
    COLUMN(energy_joules, "J", "Energy of its instances in the window, idle GPUs included."),
    COLUMN(mean_power_watts, "W", "energy_joules / window."),
    COLUMN(power_capped, "1",
           "Share of busy time in phases of instances whose power the cap cuts. Times do not know of it: a "
           "GPU at its cap would clock down."),
    COLUMN(joules_per_prefill_token, "J",
           "Pool's energy / prompt tokens computed for the first time, both inside the window; 0 for decode "
           "pools. As with prices, the two figures of a unified pool do not add up."),
    COLUMN(joules_per_output_token, "J",
           "Pool's energy / tokens made visible, both inside the window; 0 for prefill pools."),
};
TABLE(pools, "/pools", "One row per pool; lanes and micro-batches count as in /instances.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, series_bin_row, member, unit, doc, NULL)
static const struct column timeseries[] = {
    COLUMN(start_ns, "ns", "Start of the bin."),
    COLUMN(waiting, "requests", "Requests waiting in the pool, time average."),
    COLUMN(running, "requests", "Requests in the pool's batches, time average."),
    COLUMN(moving, "requests", "Requests with reserved blocks that have not joined yet, time average."),
    COLUMN(kv_used, "1", "Share of the pool's KV blocks in use, time average."),
    COLUMN(
        kv_cached, "1",
        "Share of the tokens that all its blocks hold that are cached, time average: 1 - kv_cached / kv_used "
        "is internal fragmentation."),
    COLUMN(kv_stranded, "1",
           "Share of its blocks that are free, but of no use to the request that waits at the head of its "
           "queue, time average: external fragmentation."),
    COLUMN(busy_prefill, "1", "Share of the pool's time in iterations that only prefill."),
    COLUMN(busy_decode, "1", "Share of the pool's time in iterations that only decode."),
    COLUMN(busy_mixed, "1", "Share of the pool's time in iterations that do both."),
    COLUMN(prefill_tokens, "tokens", "Prompt tokens of iterations that ended in the bin."),
    COLUMN(output_tokens, "tokens", "Tokens that became visible in the bin."),
    COLUMN(sent_bytes, "bytes", "KV cache of transfers from the pool that ended in the bin."),
    COLUMN(
        power_watts, "W",
        "Mean power of all GPUs of the pool: each phase at the power that what ended in the bin gives over "
        "its busy time, the rest idle. Bins that are not much longer than an iteration jump; energies are "
        "of the window, in /pools."),
};
TABLE(timeseries, "/timeseries/<pool>",
      "One row per bin of the attribute interval_ns, from time 0 to the end of the run; the last bin is cut "
      "there. At most 4,096 bins: pairs are merged when they are full.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, link_row, member, unit, doc, NULL)
static const struct column links[] = {
    COLUMN(kind, "",
           "nic: ports of the pool's instances to the network; local: those inside nodes or NVLink domains; "
           "uplink: of a leaf to the spine."),
    COLUMN(direction, "", "send (prefill) or receive (decode), with router.role_switch both; up or down."),
    COLUMN(pool, "", "Name of the pool; empty for uplinks."),
    COLUMN(leaf, "1", "Number of the leaf; -1 for ports."),
    COLUMN(links, "1", "Ports that are counted together: one for each lane of an instance; 1 for uplinks."),
    COLUMN(bytes_per_s, "bytes/s", "Capacity of all of them in this direction, efficiency included."),
    COLUMN(bytes, "bytes", "KV cache that passed, over the whole run."),
    COLUMN(utilization, "1", "bytes / (bytes_per_s x time to the end of the run)."),
    COLUMN(
        peak_utilization, "1",
        "The same of the bin of /link_timeseries in which it was highest. With sharing none, which knows no "
        "limits, more than 1 is possible."),
};
TABLE(links, "/links",
      "One row per group of links that KV transfers pass; missing without prefill and decode pools.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, link_bin_row, member, unit, doc, NULL)
static const struct column link_timeseries[] = {
    COLUMN(start_ns, "ns", "Start of the bin."),
    COLUMN(bytes, "bytes", "KV cache that passed in it; a transfer counts while it drains."),
    COLUMN(utilization, "1", "Share of what could have passed; the last bin is cut at the end of the run."),
};
TABLE(link_timeseries, "/link_timeseries",
      "One group per row of /links, named by its number: 0, 1, ... The bins are those of /timeseries; the "
      "attribute interval_ns of each group is their width.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, iteration_row, member, unit, doc, NULL)
static const struct column iterations[] = {
    COLUMN(instance, "1", "Row of /instances."),
    COLUMN(group, "1", "Its micro-batch, whose lanes step together; 0 without pipeline stages."),
    COLUMN(start_ns, "ns", "When it was planned and began."),
    COLUMN(duration_ns, "ns", "Until its tokens are there; copies of KV blocks before it included."),
    NAMED("phase", iteration_row, phase, "1", "What is in it.", iteration_phase_names),
    COLUMN(
        prefill_tokens, "tokens",
        "Prompt tokens that it computes: padding, and whole sequences where there is no KV cache, included."),
    COLUMN(prefill_context_tokens, "tokens",
           "Sum over its chunks of prompts of the tokens up to the chunk's end."),
    COLUMN(decode_sequences, "1", "Sequences that decode a token; padding included."),
    COLUMN(decode_context_tokens, "tokens",
           "Sum over them of the tokens that they attend to, the new one included."),
    COLUMN(kv_used_blocks, "blocks", "KV blocks in use as it begins, of all its lanes."),
};
TABLE(iterations, "/iterations",
      "With output.iterations: one row per iteration, in order of start, instance, group. The attribute "
      "cut_ns says "
      "where output.iterations_max cut them off: all that begin before it are there; -1: all are.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, histogram_row, member, unit, doc, NULL)
static const struct column histograms[] = {
    COLUMN(low_ns, "ns", "Lowest value of the bucket."),
    COLUMN(high_ns, "ns", "Highest value of the bucket."),
    COLUMN(count, "1", "Values in the bucket."),
};
TABLE(
    histograms, "/histograms/<metric>",
    "One row per bucket that is not empty, in ascending order; a bucket is at most 1/1024 of its value wide. "
    "Percentiles of /summary are nearest rank on it: the bucket's highest value, at most the exact maximum. "
    "Metrics: ttft, ttft_prefill, tpot (requests of more than one token), itl (every gap between two visible "
    "tokens of a request), e2e, queue (router_queue + prefill_queue + decode_queue + admission), transfer "
    "(requests that "
    "moved); all of the same completed requests, those that arrived inside the window.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, class_row, member, unit, doc, NULL)
#define PERCENTILES_OF(row, metric, noun)                                                                    \
    NAMED(#metric "_mean_ns", row, metric.mean, "ns", "Mean " noun ".", NULL),                               \
        NAMED(#metric "_p50_ns", row, metric.p50, "ns", "Median " noun ".", NULL),                           \
        NAMED(#metric "_p90_ns", row, metric.p90, "ns", "90th percentile of the " noun ".", NULL),           \
        NAMED(#metric "_p99_ns", row, metric.p99, "ns", "99th percentile of the " noun ".", NULL),           \
        NAMED(#metric "_max_ns", row, metric.max, "ns", "Longest " noun ".", NULL)
#define PERCENTILES(metric, noun) PERCENTILES_OF(class_row, metric, noun)
static const struct column classes[] = {
    COLUMN(priority, "1", "Class of priority, 0 the most urgent."),
    COLUMN(window_arrivals, "requests", "Its requests that arrived inside the window."),
    COLUMN(window_completed, "requests", "Of them: completed, at any time."),
    COLUMN(slo_ttft_ms, "ms", "The class's bound on TTFT; 0: none."),
    COLUMN(slo_tpot_ms, "ms", "The class's bound on TPOT; 0: none."),
    COLUMN(slo_itl_ms, "ms", "The class's bound on the longest gap of a request; 0: none."),
    COLUMN(slo_attainment, "1", "Share of its window requests that meet all bounds; refused ones miss."),
    COLUMN(slo_ttft_attainment, "1", "Share of its window requests that meet the bound on TTFT."),
    COLUMN(slo_tpot_attainment, "1", "Share of its window requests that meet the bound on TPOT."),
    COLUMN(goodput_per_s, "1/s", "Its window requests that meet all bounds / window."),
    PERCENTILES(ttft, "time to first token"),
    PERCENTILES(tpot, "time per output token after the first"),
    PERCENTILES(e2e, "time from client send to the last token"),
    PERCENTILES(queue, "queueing time (router_queue + prefill_queue + decode_queue + admission)"),
};
TABLE(
    classes, "/classes",
    "One row per class of priority, up to the highest that the workload has or slo.classes names; latencies "
    "are of "
    "completed requests that arrived inside the window.");
#undef COLUMN
#undef PERCENTILES
#define COLUMN(member, unit, doc) NAMED(#member, summary, member, unit, doc, NULL)
#define PERCENTILES(metric, noun) PERCENTILES_OF(summary, metric, noun)
#define MEAN(member, noun)        COLUMN(member, "ns", "Mean of the stage " noun " over completed window requests.")
static const struct column summary[] = {
    COLUMN(requests, "requests", "Requests of the run."),
    COLUMN(completed, "requests", "Requests that got all their tokens."),
    COLUMN(refused, "requests", "Requests that were refused."),
    COLUMN(refused_model_length, "requests", "Refused: longer than the model or the pool allows."),
    COLUMN(refused_kv_capacity, "requests", "Refused: more KV blocks than an instance has."),
    COLUMN(refused_queue_full, "requests", "Refused: a queue was as long as it may be."),
    COLUMN(refused_deadline, "requests", "Refused: not scheduled until the deadline."),
    COLUMN(refused_session, "requests", "Never sent, since an earlier turn of their session was refused."),
    COLUMN(sessions, "1", "Sessions of the workload's sessions; 0: it has none."),
    COLUMN(mean_turns, "requests", "Requests of sessions / sessions."),
    COLUMN(window_arrivals, "requests", "Requests that arrived inside the window."),
    COLUMN(window_completed, "requests", "Of them: completed, at any time."),
    COLUMN(window_start_ns, "ns", "Start of the window: the warm-up."),
    COLUMN(window_end_ns, "ns",
           "End of the window: the last arrival; the end of the run in a closed loop, and where no request "
           "arrives after the window's start (as when all arrive at once)."),
    COLUMN(end_ns, "ns", "Last completion or refusal."),
    COLUMN(request_rate_per_s, "1/s", "Requests that arrived inside the window / window."),
    COLUMN(completed_per_s, "1/s", "Requests that completed inside the window / window."),
    COLUMN(prompt_tokens, "tokens", "Prompt tokens of all completed requests."),
    COLUMN(output_tokens, "tokens", "Output tokens of all completed requests."),
    COLUMN(output_tokens_per_s, "1/s", "Tokens that became visible inside the window / window."),
    COLUMN(output_tokens_per_s_per_gpu, "1/s", "The same per GPU, over all GPUs of all pools."),
    COLUMN(tokens_per_s_per_user, "1/s", "1 / mean TPOT."),
    COLUMN(slo_ttft_ms, "ms", "Bound on TTFT; 0: none."),
    COLUMN(slo_tpot_ms, "ms", "Bound on TPOT; 0: none."),
    COLUMN(slo_itl_ms, "ms", "Bound on the longest gap of a request; 0: none."),
    COLUMN(slo_attainment, "1", "Share of window requests that meet all bounds; refused ones miss."),
    COLUMN(slo_ttft_attainment, "1", "Share of window requests that meet the bound on TTFT."),
    COLUMN(slo_tpot_attainment, "1", "Share of window requests that meet the bound on TPOT."),
    COLUMN(goodput_per_s, "1/s", "Window requests that meet all bounds / window."),
    COLUMN(goodput_per_s_per_gpu, "1/s", "The same per GPU, over all GPUs of all pools."),
    PERCENTILES(ttft, "time to first token"),
    PERCENTILES(ttft_prefill, "time from client send to the end of the prefill"),
    PERCENTILES(tpot, "time per output token after the first"),
    PERCENTILES(itl, "gap between visible tokens, pooled over the tokens of window requests"),
    PERCENTILES(e2e, "time from client send to the last token"),
    PERCENTILES(queue, "queueing time (router_queue + prefill_queue + decode_queue + admission)"),
    PERCENTILES(transfer, "KV transfer time of requests that moved"),
    MEAN(mean_router_ns, "router"),
    MEAN(mean_control_ns, "control"),
    MEAN(mean_router_queue_ns, "router_queue"),
    MEAN(mean_prefill_queue_ns, "prefill_queue"),
    MEAN(mean_prefill_ns, "prefill"),
    MEAN(mean_decode_queue_ns, "decode_queue"),
    MEAN(mean_transfer_ns, "transfer"),
    MEAN(mean_admission_ns, "admission"),
    MEAN(mean_decode_ns, "decode"),
    MEAN(mean_stalled_ns, "stalled"),
    COLUMN(mean_interference_ns, "ns", "Mean of interference_ns over completed window requests."),
    COLUMN(mean_blocked_ns, "ns", "Mean of blocked_ns over completed window requests."),
    COLUMN(mean_congestion_ns, "ns", "Mean of congestion_ns over completed window requests."),
    COLUMN(gpus, "GPUs", "GPUs of all pools."),
    COLUMN(moved_requests, "requests", "Requests that moved to a decode instance."),
    COLUMN(kv_transfer_bytes, "bytes", "KV cache that they moved."),
    COLUMN(preemptions, "1", "Preemptions of completed requests."),
    COLUMN(swaps, "1", "Of them: blocks went to the host's memory and came back."),
    COLUMN(swapped_bytes, "bytes", "KV cache copied to the host and back, of all GPUs."),
    COLUMN(cached_prompt_tokens, "tokens", "Prompt tokens of completed requests that were in the cache."),
    COLUMN(host_prompt_tokens, "tokens", "Of them: in the host's memory."),
    COLUMN(ssd_prompt_tokens, "tokens", "Of them: on the SSD."),
    COLUMN(prefix_hit_share, "1", "cached_prompt_tokens / prompt_tokens."),
    COLUMN(kv_allocated_blocks, "blocks", "KV blocks taken, over the whole run."),
    COLUMN(kv_freed_blocks, "blocks", "KV blocks given back, over the whole run; equal to those taken."),
    COLUMN(utilization, "1", "Busy time / window, averaged over GPUs."),
    COLUMN(cost_usd_per_hour, "USD/h", "Price of all GPUs for an hour."),
    COLUMN(cost_usd, "USD", "Price of all GPUs during the window, busy or idle."),
    COLUMN(
        usd_per_million_input_tokens, "USD",
        "All of the cost / prompt tokens, cached ones too, of requests that ended, both inside the window."),
    COLUMN(usd_per_million_output_tokens, "USD",
           "All of the cost / tokens that became visible, both inside the window."),
    COLUMN(usd_per_million_tokens, "USD", "Cost / the tokens of both."),
    COLUMN(usd_per_thousand_requests, "USD", "Cost / requests that ended, both inside the window."),
    COLUMN(usd_per_thousand_good_requests, "USD",
           "Cost / window requests that met the SLO; 0: none did. They may end after the window, those of "
           "usd_per_thousand_requests do not: in a short run these can be the cheaper ones."),
    COLUMN(gpu_hours, "h", "GPUs x window."),
    COLUMN(idle_gpu_hours, "h", "Of them: GPUs in no iteration."),
    COLUMN(idle_cost_usd, "USD", "The price of those."),
    COLUMN(effective_usd_per_hour, "USD/h", EFFECTIVE_DOC),
    COLUMN(energy_joules, "J", "Energy of all GPUs in the window, idle ones included."),
    COLUMN(mean_power_watts, "W", "energy_joules / window."),
    COLUMN(joules_per_output_token, "J",
           "Energy of all pools / tokens that became visible, both inside the window."),
    COLUMN(joules_per_token, "J",
           "Energy of all pools / those tokens and prompt tokens of requests that ended, all inside the "
           "window."),
    COLUMN(kwh_per_million_output_tokens, "kWh", "joules_per_output_token for a million: / 3.6."),
    COLUMN(kwh_per_million_tokens, "kWh", "joules_per_token for a million."),
    COLUMN(
        saturated, "1",
        "1 if requests pile up: arrivals less refusals, completions inside the window and the number that "
        "would be in "
        "service without queues (rate x mean of router + control + prefill + transfer + decode) leave more "
        "than "
        "3 % of arrivals + 3 standard deviations + 1; or if the mean wait (router_queue + prefill_queue + "
        "decode_queue + "
        "admission + "
        "stalled) of the last third of the window exceeds both 1 ms and 2 x that of the first third, with 30 "
        "completed requests in each (thirds of the window's time; of the order of arrival where the window "
        "ends "
        "with the run). Else 0; always 0 when all requests are sent at one time."),
};
TABLE(summary, "/summary", "Scalars. Window: requests that arrive from the warm-up to the last arrival.");
#undef COLUMN
#undef PERCENTILES

const char *const point_status_names[] = {"completed", "invalid", "failed", NULL};

#define COLUMN(member, unit, doc) NAMED(#member, point_row, member, unit, doc, NULL)
static const struct column points[] = {
    COLUMN(name, "", "Name of the named point; empty where there is none."),
    NAMED("status", point_row, status, "1",
          "How it ended; invalid: its configuration is wrong; failed: its configuration was right before the "
          "sweep, but not when it was its turn.",
          point_status_names),
    COLUMN(error, "", "Why it did not complete; else empty."),
    COLUMN(warnings, "", "What a run of it would have warned of, a line each."),
    COLUMN(checksum, "", "16 hex digits, as of a run; empty where it did not complete."),
};
TABLE(points, "/points",
      "One row per point of a sweep, in its order: named points outermost, then axes as written, the last "
      "fastest.");
#undef COLUMN

#define COLUMN(member, unit, doc) NAMED(#member, point_number, member, unit, doc, NULL)
static const struct column point_number[] = {COLUMN(point, "1", "Row of /points.")};
TABLE(point_number, "", "");
#undef COLUMN
