/* The roofline timer: the time of one iteration of one pipeline stage, O(1) in the batch. All local.
 * Formulas: README of src/hardware. What depends on the number of tokens alone is kept in tables that fill
 * themselves, so a timer is shared by all instances of a pool on a rank. */
#ifndef TANDEM_TIMER_H
#define TANDEM_TIMER_H

#include "tandem/gpu.h"
#include "tandem/operators.h"
#include "tandem/work.h"

enum timer_level { TIMER_CALIBRATED, TIMER_UNIVERSAL, TIMER_FIXED };
enum timer_attention { TIMER_FLASH, TIMER_MATERIALIZED };

/* Values of timer.all_to_all; behind NONE come those of enum gpu_all_to_all_mode. */
enum { TIMER_ALL_TO_ALL_AUTO, TIMER_ALL_TO_ALL_NONE };

/* Written by the product of queries and keys, read and written by softmax, read by that with the values. */
#define TIMER_SCORE_PASSES 4

struct timer_config {
    int level;                    /* enum timer_level; calibrated falls back to universal per group */
    int host;                     /* index of timer_hosts */
    double iteration_overhead_ms; /* negative: the host's own */
    double eager_factor;          /* of the architecture, relative to Llama: kappa */
    int kernels;                  /* 0: the host's own, else enum gpu_kernels + 1 */
    int attention;                /* enum timer_attention */
    int all_to_all;
    double moe_imbalance; /* busiest group over the mean; 0: by the power law */
    double prefill_ms;    /* level fixed: an iteration with prefill tokens */
    double decode_ms;     /* level fixed: an iteration without */
};

extern const struct option_table timer_options; /* of struct timer_config */

enum timer_host_kind { TIMER_HOST_GRAPHS, TIMER_HOST_EAGER, TIMER_HOST_CONSTANT };

/* What runs the GPUs: kinds, and engines that have one of them. */
struct timer_host {
    const char *name;
    enum timer_host_kind kind;
    double iteration_overhead_ms;
    enum gpu_kernels kernels;
    const char *source;
};
extern const struct timer_host timer_hosts[];
extern const size_t timer_host_count;

/* What a configuration resolves to. */
const struct timer_host *timer_host(const struct timer_config *config);
enum gpu_kernels timer_kernels(const struct timer_config *config);

/* Whether the configuration fits GPU and shape: times of level fixed, coefficients of an eager host, a mode
 * of all-to-all that the GPU and the group have. node: the timer's, or the pool. */
bool timer_check(const struct gpu *gpu, const struct work_shape *shape, const struct timer_config *config,
                 const struct node *node, struct error *error);

struct timer;

/* Parts of an iteration in seconds. overhead: of the host, as far as it is not hidden. */
struct timer_parts {
    double linear, prefill_attention, decode_attention, elementwise, allreduce, experts, all_to_all, head,
        overhead, total;
};

/* Timer of a GPU type, shapes and configuration; all are copied. The caller owns it: timer_free (NULL is
 * allowed). */
struct timer *timer_new(const struct gpu *gpu, const struct work_shape *shape,
                        const struct timer_config *config);
void timer_free(struct timer *timer);

/* Time of one iteration in ns (at least 1), rounded half to even once. work holds at least one token; the
 * head is counted even for 0 rows of logits, since engines run it for unfinished chunks too. Where lanes are
 * several, all have the same work. */
int64_t timer_iteration_ns(struct timer *timer, const struct work *work);

/* An iteration of one pipeline stage, for lanes that step together (one without work has no tokens): what the
 * host needs before the GPUs can start, and the GPUs' time (at least 1), in ns. An eager host works beside
 * the GPUs: all is in theirs. */
struct timer_span {
    int64_t host_ns, gpu_ns;
};
struct timer_span timer_span(struct timer *timer, const struct work *works, int64_t lanes);

/* Weights of the experts that so many tokens are sent to, over all GPUs of the stage: bytes, as expected of
 * random routing; 0 without experts. */
uint64_t timer_expert_bytes(struct timer *timer, int64_t tokens);

/* Time that the activations of so many tokens take to the next stage, in ns. */
int64_t timer_send_ns(const struct timer *timer, int64_t tokens);

/* Decode iterations of so many sequences and nothing else, one after another while their contexts grow. The
 * time is that of timer_iteration_ns, and does not fall by more than TIMER_SLACK_NS (rounding) when the
 * contexts grow. sliding_context_tokens: as in struct work; 0 where no layer has a window. */
#define TIMER_SLACK_NS 1
struct timer_decode {
    struct timer *timer; /* borrowed */
    int64_t sequences;
    double rest_s;         /* of the iteration, beside decode attention */
    double sequences_term; /* of the attention's norm */
};
struct timer_decode timer_decode_begin(struct timer *timer, int64_t sequences);
int64_t timer_decode_ns(const struct timer_decode *decode, int64_t context_tokens,
                        int64_t sliding_context_tokens);

/* The parts, for reports and checks; the total equals the one that timer_iteration_ns rounds. */
struct timer_parts timer_iteration_parts(struct timer *timer, const struct work *work);

/* The same where only so many lanes have that work and the others none. */
struct timer_parts timer_lane_parts(struct timer *timer, const struct work *work, int64_t lanes);

/* An operator of an iteration and how often it runs in it. */
struct timer_operator {
    const char *name;
    double times;
    struct operator_cost cost; /* of one run */
};
#define TIMER_MOST_OPERATORS 32

/* Fills the operators of an iteration on one GPU; returns their number. Not at level fixed. */
size_t timer_operators(const struct timer *timer, const struct work *work,
                       struct timer_operator operators[TIMER_MOST_OPERATORS]);

#endif
