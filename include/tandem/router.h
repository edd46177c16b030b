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
#include "tandem/workload.h"

/* The instances that a request could go to, as the router knows them. */
struct router_view {
    uint32_t count;
    /* By instance: report + own dispatches beyond it, in tokens (prefill) or requests (unified, decode). */
    const struct tournament *loads;
    uint32_t next; /* next in rotation */
};

struct router_policy {
    const char *name;
    const char *doc;
    bool uses_loads; /* instances send load reports only where it does */
    /* Index of the chosen instance. Only view and the random draw (seeded by the request) may matter. */
    uint32_t (*choose)(const struct router_view *view, uint64_t random);
};

extern const struct router_policy *const router_policies[]; /* generated, NULL-ended */

struct router_config {
    int policy; /* index into router_policies[] */
    double load_report_interval_ms;
    double frontend_ms;
    double frontend_us_per_token;
};

/* Options of the "router" object (struct router_config). */
const struct option_table *router_option_table(void);

/* What the router knows of the cluster from the start. */
struct router_cluster {
    uint32_t entry_count;    /* instances that take new requests: unified or prefill */
    const uint32_t *entries; /* their entities */
    uint32_t decode_count;   /* 0 without a decode pool */
    const uint32_t *decodes;
    int64_t latency_ns;    /* control latency L */
    int64_t max_model_len; /* 0: no limit */
    /* Largest prompt that fits the smallest entry instance, and largest prompt + output - 1 that fits where
     * it decodes. */
    int64_t entry_max_tokens, decode_max_tokens;
    struct handoff_config handoff;
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
