/* Option tables whose choices are the plug-ins that were compiled in. */
#include "internal.h"

#include "tandem/router.h"

#define MOST_PLUGINS 64

static const char *scheduler_choices[MOST_PLUGINS + 2];
static const char *router_choices[MOST_PLUGINS + 1];
static const char *decode_choices[MOST_PLUGINS + 2];

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
    {"max_queued_requests", OPTION_INTEGER, "0", 0, 1 << 30, NULL,
     offsetof(struct scheduler_limits, max_queued_requests),
     "most waiting requests, of each lane and micro-batch: a new one beyond them is refused (SGLang's "
     "max-queued-requests); 0: no limit"},
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

/* Defaults of cache-aware: RouterArgs of SGLang's sgl-router (launch_router.py). */
#define BALANCE(member) offsetof(struct router_config, balance.member)
static const char *const contents_names[] = {"dispatches", "reports", NULL};
static const struct option router_rows[] = {
    {"policy", OPTION_CHOICE, "\"least-loaded\"", 0, 0, router_choices,
     offsetof(struct router_config, policy), "how instances are chosen"},
    {"decode_policy", OPTION_CHOICE, "\"same\"", 0, 0, decode_choices,
     offsetof(struct router_config, decode_choice), "how decode instances are chosen; same: by policy"},
    {"weights", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct router_config, weights_node),
     "of the scores of policy weighted: {\"requests\", \"tokens\", \"kv\", \"prefix\"}"},
    {"prefix_blocks", OPTION_INTEGER, "2", 1, 1e6, NULL, offsetof(struct router_config, prefix_blocks),
     "prefix-affinity: blocks, as the workload names them, that send a prompt to an instance; where all "
     "begin with one "
     "system prompt, more than that has"},
    {"prefix_bound", OPTION_NUMBER, "1.25", 1, 1e6, NULL, offsetof(struct router_config, prefix_bound),
     "prefix-affinity: most requests of the instance that gets one, relative to the mean"},
    {"contents", OPTION_CHOICE, "\"dispatches\"", 0, 0, contents_names,
     offsetof(struct router_config, contents),
     "cache-aware, weighted: what an instance's cache is taken to hold: what was sent there (SGLang's "
     "approximate tree), or what it reports (vLLM's KV events)"},
    {"index_blocks", OPTION_INTEGER, "0", 0, 1 << 30, NULL, offsetof(struct router_config, index_blocks),
     "contents dispatches: blocks, as the workload names them, remembered of each instance, the least "
     "recently sent forgotten; 0: as many as its GPUs hold"},
    {"cache_threshold", OPTION_NUMBER, "0.3", 0, 1, NULL, BALANCE(cache_threshold),
     "cache-aware: share of a prompt above which the instance that holds it is looked for"},
    {"balance_abs_threshold", OPTION_INTEGER, "64", 0, 1 << 30, NULL, BALANCE(abs_threshold),
     "cache-aware: contents do not count where the most requests of an instance are by more than this above "
     "the fewest, and"},
    {"balance_rel_threshold", OPTION_NUMBER, "1.5", 1, 1e6, NULL, BALANCE(rel_threshold),
     "cache-aware: more than so many times the fewest"},
    {"mixed", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct router_config, mixed_node),
     "when instances do work of the other role beside their own (Splitwise's mixed pool): "
     "{\"prefill_tokens\", \"decode_kv\"}"},
    {"role_switch", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct router_config, role_switch_node),
     "when instances change from prefill to decode or back: {\"interval_ms\", \"prefill_high_tokens\", .. }"},
    {"max_requests_per_instance", OPTION_INTEGER, "0", 0, 1 << 30, NULL,
     offsetof(struct router_config, max_requests_per_instance),
     "running and waiting, as the router knows them: more than so many are not sent to an instance, the "
     "router "
     "holds them; 0: no limit"},
    {"max_queued_requests", OPTION_INTEGER, "0", 0, 1 << 30, NULL,
     offsetof(struct router_config, max_queued_requests),
     "that the router holds; beyond, the newest of the least urgent class is refused; 0: no limit"},
    {"deadline_ms", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct router_config, deadline_node),
     "number, or list by class of priority (the last for all beyond it): a request that was not scheduled so "
     "long after it was sent is refused; 0: none"},
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

static const struct option router_weight_rows[] = {
    {"requests", OPTION_NUMBER, "0", 0, 1e6, NULL, offsetof(struct router_weights, requests),
     "of the requests that run or wait, divided by the most of any instance"},
    {"tokens", OPTION_NUMBER, "0", 0, 1e6, NULL, offsetof(struct router_weights, tokens),
     "of the prompt tokens still to be computed, divided by the most of any instance"},
    {"kv", OPTION_NUMBER, "0", 0, 1e6, NULL, offsetof(struct router_weights, kv),
     "of the share of its KV blocks that is in use"},
    {"prefix", OPTION_NUMBER, "0", 0, 1e6, NULL, offsetof(struct router_weights, prefix),
     "of the share of the prompt that its cache is not taken to hold (router.contents)"},
};
OPTION_TABLE(router_weight_options, "router-weights", "what counts with router policy weighted",
             router_weight_rows);

static const struct option router_mixed_rows[] = {
    {"prefill_tokens", OPTION_INTEGER, "0", 0, 1 << 30, NULL, offsetof(struct router_mixed, prefill_tokens),
     "prompt tokens known to be left to compute at a prefill instance, beyond which a decode instance that "
     "has "
     "fewer computes the prompt, and decodes it; 0: never"},
    {"decode_kv", OPTION_NUMBER, "0", 0, 1, NULL, offsetof(struct router_mixed, decode_kv),
     "share of the KV blocks known to be in use at a decode instance, beyond which a request decodes on its "
     "prefill instance; 0: never. Needs reserve after-prefill"},
};
OPTION_TABLE(router_mixed_options, "router-mixed", "when instances do work of the other role, too",
             router_mixed_rows);

#define SWITCH(member) offsetof(struct router_role_switch, member)
static const struct option router_role_switch_rows[] = {
    {"interval_ms", OPTION_NUMBER, NULL, 0, 1e9, NULL, SWITCH(interval_ms),
     "the router looks at multiples of it; 0: never"},
    {"prefill_high_tokens", OPTION_INTEGER, NULL, 0, 1 << 30, NULL, SWITCH(prefill_high_tokens),
     "prompt tokens known to be left to compute, of a prefill instance in the mean, beyond which"},
    {"decode_low_kv", OPTION_NUMBER, NULL, 0, 1, NULL, SWITCH(decode_low_kv),
     "and below this share of the KV blocks of decode instances known to be in use, a decode instance "
     "changes"},
    {"decode_high_kv", OPTION_NUMBER, NULL, 0, 1, NULL, SWITCH(decode_high_kv), "that share, beyond which"},
    {"prefill_low_tokens", OPTION_INTEGER, NULL, 0, 1 << 30, NULL, SWITCH(prefill_low_tokens),
     "and below so many tokens left a prefill instance changes"},
    {"min_prefill", OPTION_INTEGER, "1", 1, 1 << 20, NULL, SWITCH(min_prefill),
     "prefill instances that are left at least"},
    {"min_decode", OPTION_INTEGER, "1", 1, 1 << 20, NULL, SWITCH(min_decode),
     "decode instances that are left at least"},
    {"switch_ms", OPTION_NUMBER, "0", 0, 1e9, NULL, SWITCH(switch_ms),
     "that a change takes once an instance has nothing left to do; weights stay"},
    {"cooldown_ms", OPTION_NUMBER, "0", 0, 1e9, NULL, SWITCH(cooldown_ms),
     "from when the router learns that a change is done to the next decision at the earliest"},
};
OPTION_TABLE(router_role_switch_options, "router-role-switch", "when instances change their role",
             router_role_switch_rows);

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
    decode_choices[0] = "same";
    for (int i = 0; router_policies[i]; i++) {
        CHECK(i < MOST_PLUGINS, "more than %d router policies", MOST_PLUGINS);
        router_choices[i] = decode_choices[i + 1] = router_policies[i]->name;
    }
    return &router_table;
}

/* A number, or a list of them. */
static bool parse_deadlines(struct router_config *config, struct error *error)
{
    const struct node *node = config->deadline_node;
    if (!node || node_type(node) == NODE_NULL)
        return true;
    bool list = node_type(node) == NODE_ARRAY;
    config->deadline_count = list ? node_size(node) : 1;
    if (config->deadline_count == 0)
        return node_error(node, error, "expected a number, or a list of one for each class of priority");
    config->deadlines_ms = mem_array(config->deadline_count, sizeof *config->deadlines_ms);
    for (size_t i = 0; i < config->deadline_count; i++) {
        const struct node *at = list ? node_at(node, i) : node;
        if (node_type(at) != NODE_NUMBER || node_number(at) < 0 || node_number(at) > 1e12)
            return node_error(at, error, "expected a number of milliseconds from 0 to 1e12");
        config->deadlines_ms[i] = node_number(at);
    }
    return true;
}

void router_config_clear(struct router_config *config)
{
    mem_free(config->deadlines_ms);
    config->deadlines_ms = NULL;
}

static bool is_given(const struct node *node)
{
    return node && node_type(node) != NODE_NULL;
}

bool router_parse(const struct node *node, struct router_config *config, struct error *error)
{
    if (!option_parse(router_option_table(), node, config, error) || !parse_deadlines(config, error))
        return false;
    bool given = is_given(config->weights_node);
    if (given && !option_parse(&router_weight_options, config->weights_node, &config->weights, error))
        return false;
    if (is_given(config->mixed_node) &&
        !option_parse(&router_mixed_options, config->mixed_node, &config->mixed, error))
        return false;
    if (is_given(config->role_switch_node) &&
        !option_parse(&router_role_switch_options, config->role_switch_node, &config->role_switch, error))
        return false;
    if (!router_policy_of(config, false)->weighted && !router_policy_of(config, true)->weighted)
        return true;
    const struct router_weights *weights = &config->weights;
    return weights->requests + weights->tokens + weights->kv + weights->prefix > 0 ||
           node_error(given ? config->weights_node : node, error,
                      "policy 'weighted' needs a weight above 0: set \"weights\", as in "
                      "{\"requests\": 1, \"kv\": 1}");
}

const struct router_policy *router_policy_of(const struct router_config *config, bool handoffs)
{
    return router_policies[handoffs && config->decode_choice > 0 ? config->decode_choice - 1
                                                                 : config->policy];
}

unsigned router_uses(const struct router_config *config, bool handoffs)
{
    const struct router_policy *policy = router_policy_of(config, handoffs);
    const struct router_weights *weights = &config->weights;
    unsigned weighted = (unsigned)(weights->requests > 0) << ROUTER_REQUESTS |
                        (unsigned)(weights->tokens > 0) << ROUTER_TOKENS |
                        (unsigned)(weights->kv > 0) << ROUTER_KV;
    unsigned uses = policy->weighted ? policy->uses & weighted : policy->uses;
    return !handoffs && config->max_requests_per_instance > 0 ? uses | 1 << ROUTER_REQUESTS : uses;
}

bool router_has_thresholds(const struct router_config *config)
{
    return config->mixed.prefill_tokens > 0 || config->mixed.decode_kv > 0 ||
           config->role_switch.interval_ms > 0;
}

bool router_looks_at_contents(const struct router_config *config, bool handoffs)
{
    const struct router_policy *policy = router_policy_of(config, handoffs);
    return policy->contents && (!policy->weighted || config->weights.prefix > 0);
}
