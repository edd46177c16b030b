/* The roofline timer: the time of one iteration of one model replica, O(1) in the batch. All local.
 * Formulas: README of src/hardware. What depends on the number of tokens alone is kept in a table that fills
 * itself, so a timer is shared by all instances of a pool on a rank. */
#ifndef TANDEM_TIMER_H
#define TANDEM_TIMER_H

#include "tandem/gpu.h"
#include "tandem/work.h"

enum timer_level { TIMER_CALIBRATED, TIMER_UNIVERSAL, TIMER_FIXED };

struct timer_config {
    int level;                    /* enum timer_level; calibrated falls back to universal per group */
    double iteration_overhead_ms; /* c_it of CUDA graphs */
    double prefill_ms;            /* level fixed: an iteration with prefill tokens */
    double decode_ms;             /* level fixed: an iteration without */
};

extern const struct option_table timer_options; /* of struct timer_config */

struct timer;

/* Parts of an iteration in seconds. */
struct timer_parts {
    double linear, prefill_attention, decode_attention, elementwise, allreduce, head, overhead, total;
};

/* Timer of a GPU type, shapes and configuration; all are copied. The caller owns it: timer_free (NULL is
 * allowed). Aborts where the GPU does not multiply the weight type (gpu_check_dtype asks first). */
struct timer *timer_new(const struct gpu *gpu, const struct work_shape *shape,
                        const struct timer_config *config);
void timer_free(struct timer *timer);

/* Time of one iteration in ns (at least 1), rounded half to even once. work holds at least one token; the
 * head is counted even for 0 rows of logits, since engines run it for unfinished chunks too. */
int64_t timer_iteration_ns(struct timer *timer, const struct work *work);

/* An iteration of one pipeline stage, for lanes that step together: what the host needs before the GPUs can
 * start, and the GPUs' time (at least 1), in ns. */
struct timer_span {
    int64_t host_ns, gpu_ns;
};
struct timer_span timer_span(struct timer *timer, const struct work *works, int64_t lanes);

/* Time that the activations of so many tokens take to the next stage, in ns. */
int64_t timer_send_ns(const struct timer *timer, int64_t tokens);

/* Decode iterations of so many sequences and nothing else, one after another while their contexts grow. The
 * time is that of timer_iteration_ns, and does not fall by more than TIMER_SLACK_NS (rounding) when the
 * context grows. */
#define TIMER_SLACK_NS 1
struct timer_decode {
    struct timer *timer; /* borrowed */
    int64_t sequences;
    double rest_s;         /* of the iteration, beside decode attention */
    double sequences_term; /* of the attention's norm */
};
struct timer_decode timer_decode_begin(struct timer *timer, int64_t sequences);
int64_t timer_decode_ns(const struct timer_decode *decode, int64_t context_tokens);

/* The parts, for reports and checks; the total equals the one that timer_iteration_ns rounds. */
struct timer_parts timer_iteration_parts(struct timer *timer, const struct work *work);

#endif
