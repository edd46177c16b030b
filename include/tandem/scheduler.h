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

/* Of waiting requests; those that are equal come as they came. Preempted ones come before all. */
enum scheduler_order { ORDER_FCFS, ORDER_PRIORITY, ORDER_SHORTEST_PROMPT, ORDER_LONGEST_PROMPT };
extern const char *const order_names[];

/* Chunk sizes of adaptive-chunked. */
struct scheduler_adaptive {
    int64_t base_tokens;
    double load; /* share of the KV blocks in use above which chunks are of load_tokens */
    int64_t load_tokens;
    int64_t long_prompt_tokens, long_tokens; /* longer prompts have chunks of long_tokens */
    int64_t short_prompt_tokens;             /* shorter ones are one chunk */
};

/* What becomes of a victim's blocks. */
enum preemption { PREEMPTION_RECOMPUTE, PREEMPTION_SWAP };
extern const char *const preemption_names[];

/* Which running request is preempted where there is no room: the newest of all, or of those of the least
 * urgent class. */
enum victim { VICTIM_NEWEST, VICTIM_LOWEST_PRIORITY };
extern const char *const victim_names[];

/* Limits that every policy has; 0 (watermark: negative) is automatic. */
struct scheduler_limits {
    int policy_choice; /* of the option: 0 automatic, else 1 + index into schedulers[] */
    int policy;        /* index into schedulers[] */
    int64_t max_num_batched_tokens;
    int64_t max_num_seqs;
    int64_t max_queued_requests;          /* 0: no limit */
    int64_t long_prefill_token_threshold; /* 0: none */
    double watermark;                     /* share of the blocks that admission leaves free */
    double watermark_high;     /* of those that are free before it goes on, once it had to stop; 0: none */
    int order;                 /* enum scheduler_order */
    bool chunked_prefill;      /* prefill-only: chunks instead of whole prompts */
    int preemption;            /* enum preemption */
    int victim;                /* enum victim */
    double swap_gb_per_s;      /* of each GPU, either way; 0: automatic */
    double swap_space_gib;     /* of the host's memory, of each GPU */
    int64_t static_batch_size; /* static: requests of a batch */
    double static_timeout_ms;  /* static: longest wait for them */
    struct scheduler_adaptive adaptive;
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
    /* Longest chunk of a prompt of so many tokens (with those of a preempted one), at that share of KV blocks
     * in use at the boundary, beside long_prefill_token_threshold; NULL: none. */
    int64_t (*chunk_tokens)(const struct scheduler_limits *limits, int64_t tokens, double load);
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

/* Waiting requests in order while running < max_num_seqs and budget is left, in chunks:
 * blocks for the whole known sequence (+ watermark if anything runs) must be free, only the chunk's are
 * taken. The first that does not fit stops the rest. Returns admitted. */
int64_t schedule_waiting_chunks(struct schedule *schedule);

/* Waiting requests as whole prompts within the budget (one over the budget runs alone), max_num_seqs and
 * watermark. Returns admitted. */
int64_t schedule_waiting_whole(struct schedule *schedule);

/* The static batch in progress decodes, those that have ended with the rest. False where there is none. */
bool schedule_padded_running(struct schedule *schedule);

/* Waiting requests as a static batch, with none in progress: at most so many, within max_num_seqs, whole
 * prompts padded to the longest, with blocks for that and the longest max_tokens each. Returns admitted. */
int64_t schedule_waiting_padded(struct schedule *schedule, int64_t most);

/* Requests that wait, since when the oldest does (where there is one), and the time. */
int64_t schedule_waiting_count(const struct schedule *schedule);
int64_t schedule_oldest_ns(const struct schedule *schedule);
int64_t schedule_now_ns(const struct schedule *schedule);

/* With nothing to compute: plan again at that time, if nothing has changed by then. */
void schedule_again_at(struct schedule *schedule, int64_t time_ns);

#endif
