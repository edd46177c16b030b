/* The router: sends requests to instances by what they reported and by its own dispatches. A policy is one
 * file in src/serving/routers that defines `const struct router_policy router_policy_NAME`. */
#ifndef TANDEM_ROUTER_H
#define TANDEM_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include "tandem/engine.h"
#include "tandem/handoff.h"
#include "tandem/metrics.h"
#include "tandem/option.h"
#include "tandem/tournament.h"
#include "tandem/wide.h"
#include "tandem/workload.h"

/* What an instance can be compared by: what it reported and the router's own dispatches beyond that report.
 */
enum router_load {
    ROUTER_REQUESTS, /* running and waiting; a dispatch: 1 */
    ROUTER_TOKENS,   /* prompt tokens not yet computed; a dispatch: its prompt */
    ROUTER_WORK,     /* tokens of prefill instances, requests of others */
    /* KV blocks in use as a share of all, x kv_whole; a dispatch: blocks of its prompt and a token. Rounded
     * down, and in the right order all the same: different shares stay different. */
    ROUTER_KV,
    ROUTER_LOADS
};

/* Weights of the policy `weighted`, by score. */
struct router_weights {
    double requests, tokens, kv, prefix;
};

/* When the policy `cache-aware` looks at contents. */
struct router_balance {
    double cache_threshold; /* share of the prompt that has to be there */
    int64_t abs_threshold;  /* loads are out of balance where the most requests are more than the fewest by */
    double rel_threshold;   /* more than this, and more than so many times as many */
};

/* When an instance does work of the other role beside its own; 0: never. */
struct router_mixed {
    int64_t
        prefill_tokens; /* known to be left to compute at a prefill instance: beyond, decode takes a prompt */
    double decode_kv;   /* share of the blocks known to be in use at a decode instance: beyond, a request
                         * decodes where it was prefilled */
};

/* When instances change from prefill to decode or back. Prefill: prompt tokens known to be left to compute,
 * of an instance in that role in the mean; decode: share of the KV blocks in use of all in that role. */
struct router_role_switch {
    double interval_ms; /* at which the router looks; 0: never */
    int64_t prefill_high_tokens, prefill_low_tokens;
    double decode_high_kv, decode_low_kv;
    int64_t min_prefill, min_decode; /* instances that keep each role */
    double switch_ms;                /* that an instance takes once it has nothing left */
    double cooldown_ms;              /* from one change to the next decision */
};

/* How the router knows what an instance's cache holds. */
enum router_contents { ROUTER_DISPATCHES, ROUTER_REPORTS };

/* The instances that a request could go to, as the router knows them. */
struct router_view {
    uint32_t count;
    uint32_t next;     /* next in rotation */
    uint32_t previous; /* had the session's request before; count where there is none */
    const struct tournament
        *loads;       /* by load, of those that the policy uses: value of each instance, none below 0 */
    int64_t kv_whole; /* ROUTER_KV of an instance with all its blocks in use */
    const struct router_weights *weights;
    uint64_t prefix; /* names the request's first blocks; 0: it has none */
    double prefix_bound;
    int64_t prompt_tokens;
    const int64_t *held_tokens; /* of the prompt's first, those that each instance is taken to hold */
    const struct router_balance *balance;
};

struct router_policy {
    const char *name;
    const char *doc;
    unsigned uses; /* loads, as bits 1 << ROUTER_x; instances send reports only where there is one */
    bool draws;    /* asks for the random number, which is 0 otherwise */
    bool sessions; /* asks for previous */
    bool prefixes; /* asks for prefix, which is 0 otherwise */
    bool contents; /* asks for held_tokens; `weighted` only where that score has a weight */
    bool weighted; /* asks for weights, which then have to be given; uses those loads alone that have one */
    /* Index of the chosen instance. Only view and the random draw (seeded by the request) may matter. */
    uint32_t (*choose)(const struct router_view *view, uint64_t random);
};

extern const struct router_policy *const router_policies[]; /* generated, NULL-ended */

struct router_config {
    int policy;        /* index into router_policies[] */
    int decode_choice; /* 0: the same, else index + 1 */
    const struct node *weights_node;
    struct router_weights weights;
    int64_t prefix_blocks; /* that prefix is of */
    double prefix_bound;   /* most requests of an instance that is chosen by it, relative to the mean */
    int contents;          /* enum router_contents */
    int64_t index_blocks;  /* most that are remembered of an instance by dispatches; 0: what its GPUs hold */
    struct router_balance balance;
    const struct node *mixed_node;
    struct router_mixed mixed;
    const struct node *role_switch_node;
    struct router_role_switch role_switch;
    int64_t max_requests_per_instance; /* of those that take new requests; 0: no limit */
    int64_t max_queued_requests;       /* that the router holds; 0: no limit */
    const struct node *deadline_node;
    double *deadlines_ms; /* by class, the last for all beyond; 0: none. Owned: router_config_clear */
    size_t deadline_count;
    double load_report_interval_ms;
    double frontend_ms;
    double frontend_us_per_token;
};

/* Options of the "router" object (struct router_config), of its "weights" (struct router_weights), "mixed"
 * (struct router_mixed) and "role_switch" (struct router_role_switch). */
const struct option_table *router_option_table(void);
extern const struct option_table router_weight_options, router_mixed_options, router_role_switch_options;

/* Fills a configuration from the "router" object, which may be NULL. The caller: router_config_clear. */
bool router_parse(const struct node *node, struct router_config *config, struct error *error);

/* Frees what router_parse took. */
void router_config_clear(struct router_config *config);

/* The policy that chooses instances for new requests or, for hand-offs, decode instances. */
const struct router_policy *router_policy_of(const struct router_config *config, bool handoffs);

/* The loads that it uses, as bits 1 << ROUTER_x: of `weighted` those that have a weight. */
unsigned router_uses(const struct router_config *config, bool handoffs);

/* Whether thresholds ask what instances report, whatever policies use. */
bool router_has_thresholds(const struct router_config *config);

/* Whether it asks what instances hold. */
bool router_looks_at_contents(const struct router_config *config, bool handoffs);

/* Uniform in [0, count) from 64 random bits: the bias is below count / 2^64. */
static inline uint64_t router_pick(uint64_t random, uint64_t count)
{
    return (uint64_t)((wide_t)random * count >> 64);
}

/* KV cache of an instance. */
struct router_kv {
    int64_t blocks, block_tokens;
};

/* What the router knows of the cluster from the start. */
struct router_cluster {
    uint32_t entry_count;    /* instances that take new requests: unified or prefill */
    const uint32_t *entries; /* their entities */
    uint32_t decode_count;   /* 0 without a decode pool */
    const uint32_t *decodes;
    const struct router_kv *kv; /* by entity; NULL where no policy compares KV or asks for contents */
    int64_t latency_ns;         /* control latency L */
    int64_t max_model_len;      /* 0: no limit */
    /* Largest prompt that fits the smallest entry instance, and largest prompt + output - 1 that fits where
     * it decodes. */
    int64_t entry_max_tokens, decode_max_tokens;
    struct handoff_config handoff;
    bool keeps_hashes;   /* requests carry the hashes of their blocks */
    int64_t hash_tokens; /* of a block that has one; 0: they have none */
    uint64_t seed;
};

struct router;

/* The router of this rank; workload and metrics are borrowed. Attaches itself to ENTITY_ROUTER. Caller:
 * router_free. Local. */
struct router *router_create(struct engine *engine, const struct router_config *config,
                             const struct router_cluster *cluster, struct workload *workload,
                             struct metrics *metrics);
void router_free(struct router *router);

#endif
