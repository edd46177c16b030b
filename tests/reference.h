/* A second simulator of the serving semantics, written from its text alone, as slow and as plain as can be:
 * one unified instance, or one prefill and one decode instance whose transfers do not share the network, each
 * of lanes and pipeline stages. It shares with Tandem the timer and nothing else; rows must agree to the
 * nanosecond. */
#ifndef TANDEM_TEST_REFERENCE_H
#define TANDEM_TEST_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "experiment.h"
#include "tandem/handoff.h"
#include "tandem/model.h"
#include "tandem/scheduler.h"
#include "tandem/timer.h"

#define REFERENCE_STAGES 4  /* at most */
#define REFERENCE_LAYERS 32 /* of the models that it is compared with */

enum reference_policy {
    REFERENCE_CHUNKED,
    REFERENCE_CONTINUOUS,
    REFERENCE_WHOLE_PROMPTS,
    REFERENCE_ADAPTIVE,
    REFERENCE_STATIC
};
/* Where the slots of static batches lie: blocks anywhere, or a run of blocks each. */
enum reference_places { REFERENCE_ANYWHERE, REFERENCE_MAX, REFERENCE_EXACT, REFERENCE_SLAB };
#define REFERENCE_CLASSES 3
enum reference_first_token { REFERENCE_DECODE, REFERENCE_PREFILL, REFERENCE_RELAY };

/* One instance. */
struct reference_pool {
    enum reference_policy policy;
    int64_t lanes, stages;
    struct timer *timers[REFERENCE_STAGES];
    /* Of the instance as it is set: blocks and seqs are a lane's. */
    int64_t block_tokens, blocks, budget, seqs, threshold;
    double watermark, watermark_high;
    bool watermark_when_idle;
    enum scheduler_order order;
    bool by_priority;                        /* the victim is of the least urgent class */
    int64_t batch_size, timeout_ns;          /* static */
    enum reference_places places;            /* static */
    int64_t place_tokens[REFERENCE_CLASSES]; /* of slabs, shortest first; of all but exact ones the last */
    struct scheduler_adaptive adaptive;
    /* Preempted blocks go to the host, of each lane so many: 0: they are lost. */
    int64_t host_blocks;
    double swap_ns_per_block;
};

struct reference_config {
    bool disaggregated;
    struct reference_pool entry, decode; /* entry: unified or prefill */
    enum reference_first_token first_token;
    int64_t latency_ns, setup_ns;
    double descriptor_ns_per_block, rate;
    int64_t bytes_per_token;
    struct handoff_config handoff; /* all but its first_token */
};

/* What is compared with a row of Tandem. */
struct reference_row {
    int64_t ttft_ns, ttft_prefill_ns, e2e_ns, max_itl_ns;
    int64_t prefill_queue_ns, decode_queue_ns, transfer_ns, admission_ns, stalled_ns;
    int64_t interference_ns, blocked_ns;
    uint32_t preemptions, swaps;
};

/* And with an instance. */
struct reference_sums {
    uint64_t prefill_iterations, decode_iterations, mixed_iterations;
    uint64_t prefill_tokens, output_tokens, allocated_blocks, peak_blocks;
    uint64_t swapped_out_blocks, swapped_in_blocks;
};

/* requests in order of send time; rows: one each; sums: of the entry and the decode instance. */
void reference_run(const struct reference_config *config, const struct experiment_request *requests,
                   size_t count, struct reference_row *rows, struct reference_sums sums[2]);

/* The timer of a stage of a model on h100-sxm as the experiments of experiment.h have it, or with fixed times
 * where prefill_ms is positive. The caller owns it: timer_free. */
struct timer *reference_timer(const char *model, const struct model_layout *layout, int64_t stage,
                              double prefill_ms, double decode_ms);

#endif
