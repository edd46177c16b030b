/* Batch schedulers: what a policy author needs. A policy is one file in src/serving/schedulers that defines
 * `const struct scheduler scheduler_NAME`; it composes the steps below and sees no output length. All local.
 */
#ifndef TANDEM_SCHEDULER_H
#define TANDEM_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#include "tandem/option.h"

struct schedule; /* the batch of the next iteration while it is being made */

enum instance_role { ROLE_UNIFIED, ROLE_PREFILL, ROLE_DECODE, ROLE_COUNT };
extern const char *const role_names[];

/* What becomes of a victim's blocks. */
enum preemption { PREEMPTION_RECOMPUTE, PREEMPTION_SWAP };
extern const char *const preemption_names[];

/* Limits that every policy has; 0 (watermark: negative) is automatic. */
struct scheduler_limits {
    int policy_choice; /* of the option: 0 automatic, else 1 + index into schedulers[] */
    int policy;        /* index into schedulers[] */
    int64_t max_num_batched_tokens;
    int64_t max_num_seqs;
    int64_t long_prefill_token_threshold; /* 0: none */
    double watermark;                     /* share of the blocks that admission leaves free */
    bool chunked_prefill;                 /* prefill-only: chunks instead of whole prompts */
    int preemption;                       /* enum preemption */
    double swap_gb_per_s;                 /* of each GPU, either way; 0: automatic */
    double swap_space_gib;                /* of the host's memory, of each GPU */
};

/* Options of the "scheduler" object (struct scheduler_limits). */
const struct option_table *scheduler_option_table(void);

struct scheduler {
    const char *name;
    const char *doc;
    bool roles[ROLE_COUNT];       /* where it can be used */
    int64_t default_max_num_seqs; /* 0: by GPU size, as vLLM V1 */
    double default_watermark;
    bool chunks;              /* prompts are computed in chunks, always */
    bool watermark_when_idle; /* V0: the watermark holds for an empty instance too */
    /* Whether it plans what it planned before as long as nothing came, ended or was preempted since and
     * blocks only got fewer. Boundaries of such policies can be leapt over; false is always right, and slow.
     */
    bool steady;
    /* Whether it can do without a KV cache: prompts are computed whole, and decodes apart from them. */
    bool without_cache;
    /* Plans one iteration: called at a boundary with no iteration in progress. */
    void (*plan)(struct schedule *schedule, const struct scheduler_limits *limits);
};

extern const struct scheduler *const schedulers[]; /* generated, NULL-ended */

/* Running requests in admission order get their tokens: a decode 1, a partial prefill min(rest, threshold,
 * budget left); where no block is free, the last of running is preempted (maybe itself). Where none was,
 * swapped ones come back: while there are any, nothing that waits is admitted. Returns the number preempted.
 */
int64_t schedule_running(struct schedule *schedule);

/* Waiting requests, first come first served, while running < max_num_seqs and budget is left, in chunks:
 * blocks for the whole known sequence (+ watermark if anything runs) must be free, only the chunk's are
 * taken. Returns admitted. */
int64_t schedule_waiting_chunks(struct schedule *schedule);

/* Waiting requests as whole prompts within the budget (one over the budget runs alone), max_num_seqs and
 * watermark. Returns admitted. */
int64_t schedule_waiting_whole(struct schedule *schedule);

#endif
