/* Option tables whose choices are the plug-ins that were compiled in. */
#include "internal.h"

#include "tandem/router.h"

#define MOST_PLUGINS 64

static const char *scheduler_choices[MOST_PLUGINS + 2];
static const char *router_choices[MOST_PLUGINS + 1];

/* Defaults of static and adaptive-chunked: shared/seeds/prefill-decode-lab.md, "Traditional Static Batching"
 * and "Adaptive Strategy". */
#define ADAPTIVE(member) offsetof(struct scheduler_limits, adaptive.member)
static const struct option scheduler_rows[] = {
    {"policy", OPTION_CHOICE, "\"auto\"", 0, 0, scheduler_choices,
     offsetof(struct scheduler_limits, policy_choice),
     "batching policy; auto: chunked (unified), prefill-only or decode-only by role"},
    {"max_num_batched_tokens", OPTION_INTEGER, "0", 0, 1 << 24, NULL,
     offsetof(struct scheduler_limits, max_num_batched_tokens),
     "token budget of an iteration of each lane; 0: 8192 on GPUs of 70 GiB and more except A100, else 2048 "
     "(vLLM V1)"},
    {"max_num_seqs", OPTION_INTEGER, "0", 0, 1 << 20, NULL, offsetof(struct scheduler_limits, max_num_seqs),
     "most running requests, of each lane; 0: the policy's own, else 1024 on GPUs of 70 GiB and more except "
     "A100, else "
     "256"},
    {"long_prefill_token_threshold", OPTION_INTEGER, "0", 0, 1 << 24, NULL,
     offsetof(struct scheduler_limits, long_prefill_token_threshold),
     "longest prompt chunk; 0: no threshold"},
    {"watermark", OPTION_NUMBER, "-1", -1, 0.9, NULL, offsetof(struct scheduler_limits, watermark),
     "share of the KV blocks that admission leaves free; negative: the policy's own (continuous 0.01, else "
     "0)"},
    {"watermark_high", OPTION_NUMBER, "0", 0, 0.95, NULL, offsetof(struct scheduler_limits, watermark_high),
     "share of the KV blocks that must be free before admission, which stops when a request does not fit or "
     "one is preempted, goes on; 0: none"},
    {"order", OPTION_CHOICE, "\"fcfs\"", 0, 0, order_names, offsetof(struct scheduler_limits, order),
     "of waiting requests: first come first served, class of priority, shortest or longest prompt first; not "
     "in role decode"},
    {"static_batch_size", OPTION_INTEGER, "32", 1, 1 << 20, NULL,
     offsetof(struct scheduler_limits, static_batch_size), "static: requests of a batch"},
    {"static_timeout_ms", OPTION_NUMBER, "100", 0, 1e9, NULL,
     offsetof(struct scheduler_limits, static_timeout_ms),
     "static: a batch starts with fewer once the oldest of them has waited so long"},
    {"adaptive_base_tokens", OPTION_INTEGER, "512", 1, 1 << 24, NULL, ADAPTIVE(base_tokens),
     "adaptive-chunked: prompt chunk where nothing below holds"},
    {"adaptive_load", OPTION_NUMBER, "0.8", 0, 1, NULL, ADAPTIVE(load),
     "adaptive-chunked: share of KV blocks in use above which chunks are of adaptive_load_tokens"},
    {"adaptive_load_tokens", OPTION_INTEGER, "256", 1, 1 << 24, NULL, ADAPTIVE(load_tokens),
     "adaptive-chunked: prompt chunk under load"},
    {"adaptive_long_prompt_tokens", OPTION_INTEGER, "10000", 0, 1 << 30, NULL, ADAPTIVE(long_prompt_tokens),
     "adaptive-chunked: longer prompts have chunks of adaptive_long_tokens"},
    {"adaptive_long_tokens", OPTION_INTEGER, "256", 1, 1 << 24, NULL, ADAPTIVE(long_tokens),
     "adaptive-chunked: prompt chunk of long prompts"},
    {"adaptive_short_prompt_tokens", OPTION_INTEGER, "1000", 0, 1 << 30, NULL, ADAPTIVE(short_prompt_tokens),
     "adaptive-chunked: shorter prompts are one chunk"},
    {"chunked_prefill", OPTION_BOOL, "false", 0, 0, NULL, offsetof(struct scheduler_limits, chunked_prefill),
     "prefill-only: prompts in chunks instead of whole"},
    {"preemption", OPTION_CHOICE, "\"recompute\"", 0, 0, preemption_names,
     offsetof(struct scheduler_limits, preemption),
     "what becomes of a victim: its tokens are computed again, or its blocks are swapped to the host's "
     "memory "
     "and back (vLLM V0), while that has room"},
    {"victim", OPTION_CHOICE, "\"newest\"", 0, 0, victim_names, offsetof(struct scheduler_limits, victim),
     "who is preempted: the newest running request, or the newest of the least urgent class of priority "
     "(vLLM V1's "
     "policy priority)"},
    {"swap_gb_per_s", OPTION_NUMBER, "0", 0, 1e6, NULL, offsetof(struct scheduler_limits, swap_gb_per_s),
     "between a GPU and its host, either way; 0: PCIe of the GPU's generation, 0.8 of 31.5 or of 63 GB/s "
     "(Grace "
     "hosts have more: 450 one way by NVLink-C2C)"},
    {"swap_space_gib", OPTION_NUMBER, "4", 0, 1e6, NULL, offsetof(struct scheduler_limits, swap_space_gib),
     "host memory for swapped blocks, of each GPU (vLLM's swap_space)"},
};
static OPTION_TABLE(scheduler_table, "scheduler", "the batch scheduler of a pool's instances",
                    scheduler_rows);

static const struct option router_rows[] = {
    {"policy", OPTION_CHOICE, "\"least-loaded\"", 0, 0, router_choices,
     offsetof(struct router_config, policy), "how instances are chosen"},
    {"load_report_interval_ms", OPTION_NUMBER, "20", 0, 1e6, NULL,
     offsetof(struct router_config, load_report_interval_ms),
     "shortest time between two load reports of an instance"},
    {"frontend_ms", OPTION_NUMBER, "1", 0, 1e6, NULL, offsetof(struct router_config, frontend_ms),
     "client send to dispatch, fixed part (assumed: HTTP, tokenizer start)"},
    {"frontend_us_per_token", OPTION_NUMBER, "0.5", 0, 1e6, NULL,
     offsetof(struct router_config, frontend_us_per_token),
     "client send to dispatch, per prompt token (assumed: tokenizer)"},
};
static OPTION_TABLE(router_table, "router", "how requests find their instances", router_rows);

const struct option_table *scheduler_option_table(void)
{
    scheduler_choices[0] = "auto";
    for (int i = 0; schedulers[i]; i++) {
        CHECK(i < MOST_PLUGINS, "more than %d schedulers", MOST_PLUGINS);
        scheduler_choices[i + 1] = schedulers[i]->name;
    }
    return &scheduler_table;
}

const struct option_table *router_option_table(void)
{
    for (int i = 0; router_policies[i]; i++) {
        CHECK(i < MOST_PLUGINS, "more than %d router policies", MOST_PLUGINS);
        router_choices[i] = router_policies[i]->name;
    }
    return &router_table;
}
