/* What the instances of a pool have in common. */
#ifndef TANDEM_INSTANCE_H
#define TANDEM_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "tandem/activations.h"
#include "tandem/handoff.h"
#include "tandem/iterations.h"
#include "tandem/kv.h"
#include "tandem/scheduler.h"
#include "tandem/timer.h"

/* How instances are computed; results are the same. Leaping: O(1) an iteration, and one event for many of
 * them. Aggregate: an event for each. Naive: a walk over every sequence for each. */
enum instance_mode { MODE_LEAPING, MODE_AGGREGATE, MODE_NAIVE };

/* Where preempted blocks go with scheduler.preemption swap. */
struct swap_config {
    int64_t capacity_blocks; /* that the host has room for, of a member */
    double ns_per_block;     /* either way, all GPUs at the same time */
};

/* Blocks that requests share, or that are in the cache whatever they hold. */
struct caching_config {
    bool on;
    int64_t hash_tokens;               /* of a block that hashes name; 0: requests share nothing */
    int64_t tier_blocks[PREFIX_TIERS]; /* room of those below the GPUs, of a member, in such blocks */
    double ns_per_block[PREFIX_TIERS]; /* from there to all GPUs at the same time */
    double hit_share;                  /* of a prompt that is in the cache whatever it is */
    bool reports;                      /* the router is told what comes and goes */
};

/* What all instances of a pool share. Borrowed by the instances. Each is a replica of lanes x stages members
 * (replica.h). */
struct instance_config {
    int role;                            /* enum instance_role */
    bool away;                           /* it is not that of the pool */
    const struct instance_config *other; /* what it is after a change of its role; NULL: there is none */
    int64_t switch_ns;                   /* that a change takes */
    int64_t pool;
    int64_t lanes;                  /* of attention data parallelism */
    int64_t stages;                 /* of the pipeline, and as many micro-batches */
    struct scheduler_limits limits; /* of a member; resolved: nothing automatic is left */
    struct kv_config kv;            /* resolved */
    int64_t capacity_blocks;        /* of a member */
    bool no_cache;                  /* every step computes whole sequences again */
    int64_t latency_ns;             /* control latency L */
    int64_t report_interval_ns;
    bool reports;     /* whether the router's policy uses them */
    bool deadlines;   /* requests may have one */
    bool closed_loop; /* ended requests are told to the router */
    struct handoff_config handoff;
    int mode;                   /* enum instance_mode */
    int64_t kv_bytes_per_token; /* of the model, each KV head once */
    int64_t kv_bytes_per_block; /* of all GPUs: B x bytes per token x copies */
    struct swap_config swap;
    struct caching_config caching;
    struct activation_rule activations;
    int64_t setup_ns;       /* of a transfer */
    struct wire_end wire;   /* this end of a transfer */
    int64_t layers;         /* of the model */
    int64_t sliding_window; /* of the model's layers that have one; 0: none has */
    int64_t full_layers,
        sliding_layers;               /* that contexts are summed over for efforts; 1 and 0 without windows */
    bool longest_context;             /* the timer or activations ask for it */
    struct timer **timers;            /* one a stage */
    struct iteration_log *iterations; /* where each is recorded; NULL: none is */
};

#endif
