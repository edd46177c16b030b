/* What a run measures on one rank: rows, histograms, usage and time series. Integer sums only, so that
 * merging ranks in any order gives the same. Window: requests that arrive in [start, end]. All local. */
#ifndef TANDEM_METRICS_H
#define TANDEM_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "tandem/histogram.h"
#include "tandem/row.h"
#include "tandem/text.h"
#include "tandem/wide.h"

enum metric {
    METRIC_TTFT,
    METRIC_TTFT_PREFILL,
    METRIC_TPOT,
    METRIC_ITL,
    METRIC_E2E,
    METRIC_QUEUE,    /* router_queue + prefill_queue + decode_queue + admission */
    METRIC_TRANSFER, /* only requests that moved */
    METRIC_COUNT
};
extern const char *const metric_names[]; /* "ttft", .. : names of groups and of summary fields */

/* The stages of a request, in the order of struct row; they add up to e2e. */
enum stage {
    STAGE_ROUTER,
    STAGE_CONTROL,
    STAGE_ROUTER_QUEUE,
    STAGE_PREFILL_QUEUE,
    STAGE_PREFILL,
    STAGE_DECODE_QUEUE,
    STAGE_TRANSFER,
    STAGE_ADMISSION,
    STAGE_DECODE,
    STAGE_STALLED,
    STAGE_COUNT
};

enum phase { PHASE_IDLE, PHASE_PREFILL, PHASE_DECODE, PHASE_MIXED, PHASE_COUNT };

/* State of an instance between two changes. */
struct gauge {
    int64_t waiting;   /* requests not admitted: queued, awaiting blocks, or preempted */
    int64_t running;   /* requests in the batch */
    int64_t moving;    /* requests with reserved blocks whose KV is on its way, or that have not joined yet */
    int64_t kv_blocks; /* in use */
    int64_t kv_tokens; /* cached in them */
    int64_t kv_stranded_blocks; /* free, but of no use to the head of the queue, which waits for enough */
    enum phase phase;           /* of the iteration in progress */
    bool blocked; /* requests wait, and their head did not fit at the last boundary (row's blocked_ns) */
};

/* What iterations compute and move, as sums: FLOPs and bytes follow from the figures of a pool (results.h).
 */
struct effort {
    uint64_t iterations;
    uint64_t tokens; /* through the layers, prefill and decode; the KV of each is written */
    uint64_t
        recomputed_tokens;   /* of them: computed before and lost in a preemption or not kept (not the last
                              * prompt  token, which first_token `decode` runs again on the decode instance) */
    uint64_t padding_tokens; /* of them: of static batches, where no request has a token */
    uint64_t prompt_tokens;  /* of them: of prompts, for the first time on this instance */
    uint64_t logit_rows;
    uint64_t padding_rows; /* of them */
    wide_t context_x2; /* twice the context that attention sees, summed over tokens: a chunk of c tokens after
                        * k others c (2k + c), a decode step on l tokens 2l; of models with sliding windows
                        * summed over layers too, each with what it sees */
    wide_t recomputed_context_x2; /* of it: of the recomputed tokens */
    wide_t padding_context_x2;    /* of it: what requests do not need */
    wide_t kv_read_tokens;        /* a chunk k + c, a decode step l; over layers as context_x2 */
    wide_t expert_bytes;          /* weights of the experts that the tokens are sent to, as expected */
};

static inline void effort_add(struct effort *into, const struct effort *from)
{
    into->iterations += from->iterations;
    into->tokens += from->tokens;
    into->recomputed_tokens += from->recomputed_tokens;
    into->padding_tokens += from->padding_tokens;
    into->prompt_tokens += from->prompt_tokens;
    into->logit_rows += from->logit_rows;
    into->padding_rows += from->padding_rows;
    into->context_x2 += from->context_x2;
    into->recomputed_context_x2 += from->recomputed_context_x2;
    into->padding_context_x2 += from->padding_context_x2;
    into->kv_read_tokens += from->kv_read_tokens;
    into->expert_bytes += from->expert_bytes;
}

/* Sums of one instance (of a member of its replica first). metrics_span, metrics_lengthened, metrics_tokens,
 * metrics_effort and metrics_sent fill the times, the tokens, iterations, window and sent_bytes; the instance
 * itself counts the rest.
 */
struct usage {
    uint64_t busy_ns[PHASE_COUNT]; /* inside the window; PHASE_IDLE: while something waits, runs or moves */
    uint64_t blocked_ns[PHASE_COUNT]; /* of it: gauge.blocked */
    uint64_t moving_idle_ns;          /* of PHASE_IDLE, not blocked: while KV is on its way */
    uint64_t lengthened_ns[PHASE_COUNT], lengthened_blocked_ns[PHASE_COUNT]; /* of both: metrics_lengthened */
    wide_t kv_block_ns, kv_token_ns, kv_stranded_ns;                         /* inside the window */
    wide_t waiting_ns, running_ns, moving_ns; /* request-ns over the whole run (Little's law) */
    uint64_t iterations[PHASE_COUNT];         /* whole run, as all below */
    uint64_t prefill_tokens;                  /* computed, recomputed ones included */
    uint64_t recomputed_tokens;               /* of them: computed again after a preemption */
    uint64_t padding_tokens;                  /* computed beside them in static batches */
    uint64_t output_tokens;                   /* visible tokens */
    uint64_t window_output_tokens;
    struct effort window[PHASE_COUNT]; /* of iterations that end inside the window, by their phase */
    uint64_t preemptions;
    uint64_t swaps; /* of them: blocks that went to the host, and came back */
    uint64_t swapped_out_bytes, swapped_in_bytes;
    uint64_t kv_peak_blocks, kv_peak_tokens, kv_allocated_blocks, kv_freed_blocks;
    uint64_t kv_allocations, kv_copies, kv_compactions, kv_copied_blocks, kv_cost_ns; /* kv.h */
    uint64_t cached_tokens; /* of prompts (and of what came again after a preemption), found in the cache */
    uint64_t cached_host_tokens, cached_ssd_tokens; /* of them, where */
    uint64_t evicted_blocks;                        /* that were kept, from the GPUs */
    uint64_t sent_bytes, received_bytes;            /* KV transfers */
    uint64_t role_switches, drain_ns,
        switched_ns; /* changes of role, what they waited for, time in the other */
};

/* Adds; peaks are the higher of both. */
void usage_add(struct usage *into, const struct usage *from);

/* Bounds that a request has to meet, 0: not set. */
struct slo {
    int64_t ttft_ns, tpot_ns, itl_ns;
};

struct metrics_config {
    int64_t pools;
    int64_t classes;              /* of priority; 0 is 1. A request of a higher one counts as of the last */
    const struct slo *class_slos; /* one each, borrowed; NULL: slo holds for all */
    int64_t window_start_ns;      /* warm-up */
    int64_t window_end_ns;        /* SIMTIME_NEVER: the end of the run */
    uint64_t requests; /* that the workload will give: thirds by order where the window has no known length */
    struct slo slo;    /* in general */
    int64_t series_interval_ns; /* first width of a bin; 0: no series */
    bool
        at_once; /* all requests are sent at one time: an offline batch, for which saturation means nothing */
    uint64_t one_in; /* rows of the requests whose id is a multiple of it are kept; 0: none */
};

/* Sums over the requests of the window, and over all for the checks. */
struct metrics_counts {
    uint64_t completed, refused, refused_by_reason[ROW_REASONS];
    uint64_t window_arrivals, window_completed, window_refused; /* by arrival inside the window */
    uint64_t window_completions, window_input_tokens;           /* by time of completion inside the window */
    uint64_t window_slo_met, window_slo_ttft_met, window_slo_tpot_met;
    uint64_t prompt_tokens, output_tokens; /* of completed requests */
    uint64_t moved_requests, kv_transfer_bytes, preemptions, swaps, swapped_bytes;
    uint64_t cached_prompt_tokens, host_prompt_tokens, ssd_prompt_tokens;
    wide_t e2e_ns;                       /* sum over completed requests (Little's law) */
    wide_t window_stage_ns[STAGE_COUNT]; /* of completed window requests */
    wide_t window_interference_ns, window_blocked_ns, window_congestion_ns; /* likewise */
    uint64_t
        third_count[3]; /* completed window requests by third of the window (by arrival), for saturation */
    wide_t third_wait_ns[3];  /* their router_queue + prefill_queue + decode_queue + admission + stalled */
    uint64_t sessions, turns; /* first turns, and all */
    uint64_t checksum;        /* sum of row_hash mod 2^64 */
};

/* The latencies that are told apart by class. */
#define CLASS_METRICS 4
extern const enum metric class_metrics[CLASS_METRICS];

/* What metrics_counts and histograms say of all, for the window requests of one class. */
struct class_counts {
    uint64_t window_arrivals, window_completed;
    uint64_t window_slo_met, window_slo_ttft_met, window_slo_tpot_met;
};

struct metrics_class {
    struct class_counts counts;
    struct histogram histograms[CLASS_METRICS];
};

#define SERIES_MAX_BINS 4096

/* One bin of one pool; integrals over the bin, and what ended in it. PHASE_IDLE: only while something waits,
 * runs or moves. */
struct series_bin {
    wide_t waiting_ns, running_ns, moving_ns, kv_block_ns, kv_token_ns, kv_stranded_ns, busy_ns[PHASE_COUNT];
    uint64_t prefill_tokens, output_tokens, sent_bytes;
    struct effort effort[PHASE_COUNT];
};

/* Whether there is anything to account: an idle tail must not stretch the series beyond the last completion.
 */
static inline bool gauge_any(const struct gauge *gauge)
{
    return (gauge->waiting | gauge->running | gauge->moving | gauge->kv_blocks) != 0 ||
           gauge->phase != PHASE_IDLE;
}

/* The state of gauge for so long. */
static inline void series_bin_span(struct series_bin *bin, const struct gauge *gauge, uint64_t duration_ns)
{
    bin->waiting_ns += (wide_t)(uint64_t)gauge->waiting * duration_ns;
    bin->running_ns += (wide_t)(uint64_t)gauge->running * duration_ns;
    bin->moving_ns += (wide_t)(uint64_t)gauge->moving * duration_ns;
    bin->kv_block_ns += (wide_t)(uint64_t)gauge->kv_blocks * duration_ns;
    bin->kv_token_ns += (wide_t)(uint64_t)gauge->kv_tokens * duration_ns;
    bin->kv_stranded_ns += (wide_t)(uint64_t)gauge->kv_stranded_blocks * duration_ns;
    bin->busy_ns[gauge->phase] += duration_ns;
}

struct series {
    int64_t interval_ns;     /* doubles when SERIES_MAX_BINS are full: pairs are merged */
    size_t count;            /* bins in use */
    struct series_bin *bins; /* grows with count, owned */
    size_t capacity;
    size_t last; /* bin that was used last, and its start: spares a division at most spans */
    int64_t last_start_ns;
};

struct metrics {
    struct metrics_config config;
    struct histogram histograms[METRIC_COUNT];
    struct metrics_counts counts;
    struct metrics_class *classes; /* where there are several, one each */
    struct series *series;         /* one a pool, all with the same interval */
    struct row *rows;              /* kept ones, in order of completion on this rank */
    size_t row_count, row_capacity;
    int64_t end_ns; /* time of the last completion or refusal seen */
};

void metrics_init(struct metrics *metrics, const struct metrics_config *config);
void metrics_clear(struct metrics *metrics);

/* What the requests of a class are held to. */
const struct slo *metrics_slo(const struct metrics *metrics, int64_t class);

/* A request ended or was refused: histograms, counts, checksum, and the row where rows are kept. METRIC_ITL
 * is fed by metrics_gaps, not from here. */
void metrics_row(struct metrics *metrics, const struct row *row);

/* An instance of a pool was in the state of gauge during [from_ns, to_ns): usage and time series. */
void metrics_span(struct metrics *metrics, int64_t pool, struct usage *usage, int64_t from_ns, int64_t to_ns,
                  const struct gauge *gauge);

/* Whether a time, of an arrival say, lies inside the window. */
static inline bool metrics_in_window(const struct metrics *metrics, int64_t at_ns)
{
    return at_ns >= metrics->config.window_start_ns && at_ns <= metrics->config.window_end_ns;
}

/* At a time an iteration ended with that many prefill tokens computed and output tokens made visible. */
void metrics_tokens(struct metrics *metrics, int64_t pool, struct usage *usage, int64_t at_ns,
                    uint64_t prefill_tokens, uint64_t output_tokens);

/* At a time iterations of that phase and effort ended: their number and recomputed tokens, all of it inside
 * the window, and time series. */
void metrics_effort(struct metrics *metrics, int64_t pool, struct usage *usage, int64_t at_ns,
                    enum phase phase, const struct effort *effort);

/* At a time a KV transfer from an instance of the pool ended. */
void metrics_sent(struct metrics *metrics, int64_t pool, struct usage *usage, int64_t at_ns, uint64_t bytes);

/* An iteration of that phase ended at end_ns, that prefills made so much longer for decodes that were in it
 * or sat it out (once, however many); blocked: as gauge's. What of it is inside the window is counted. */
void metrics_lengthened(const struct metrics *metrics, struct usage *usage, int64_t end_ns, enum phase phase,
                        int64_t lengthened_ns, bool blocked);

/* n visible tokens came a gap after the one before, each of a request that arrived inside the window: ITL is
 * of the requests that TTFT and TPOT are of. */
void metrics_gaps(struct metrics *metrics, int64_t gap_ns, uint64_t n);

/* Adds sums of one pool to the bin that holds a time; all 0: nothing happens. */
void metrics_add_bin(struct metrics *metrics, int64_t pool, int64_t at_ns, const struct series_bin *sums);

/* All but the rows as bytes, for another rank; and their addition to the metrics of this one. The series of
 * both are brought to the wider interval. text holds raw bytes here. */
void metrics_pack(const struct metrics *metrics, struct text *bytes);
void metrics_merge(struct metrics *metrics, const void *bytes, size_t count);

/* Merges pairs of bins until the interval is at least that (a power of two times the first). */
void series_widen(struct series *series, int64_t interval_ns);

#endif
