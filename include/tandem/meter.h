/* What happens to one instance, summed up before it goes to its usage and to its pool's time series. Between
 * two edges - of bins, of the window - sums are all that matters, so that most changes cost a few additions;
 * what touches an edge goes the exact way of metrics.h. All local. */
#ifndef TANDEM_METER_H
#define TANDEM_METER_H

#include "tandem/metrics.h"

/* Between two edges. 64 bits hold the integrals, since the time between edges is short enough. */
struct meter_sums {
    uint64_t busy_ns[PHASE_COUNT];
    uint64_t running_ns, kv_block_ns, kv_token_ns, waiting_ns, moving_ns;
    uint64_t output_tokens, prefill_tokens, sent_bytes;
    uint64_t kv_stranded_ns, blocked_ns[PHASE_COUNT], moving_idle_ns;
};

struct meter {
    int64_t lower_ns, limit_ns; /* between edges: times that may be summed up */
    struct meter_sums sums;
    struct effort effort[PHASE_COUNT];
    struct metrics *metrics; /* borrowed */
    int64_t pool;
    int64_t longest_ns; /* between edges */
    struct usage usage; /* without the sums above: meter_flush */
};

/* most_tokens: that the instance's KV cache holds. */
void meter_init(struct meter *meter, struct metrics *metrics, int64_t pool, int64_t most_tokens);

/* Adds the sums to the usage and the series; sums go on. */
void meter_flush(struct meter *meter);

/* As metrics_span, metrics_tokens, metrics_effort and metrics_sent, beyond an edge: they flush, and begin
 * again at the later time. Use the functions below. */
void meter_span_edge(struct meter *meter, int64_t from_ns, int64_t to_ns, const struct gauge *gauge);
void meter_iteration_edge(struct meter *meter, int64_t at_ns, enum phase phase, uint64_t prefill_tokens,
                          uint64_t output_tokens, const struct effort *effort);
void meter_sent_edge(struct meter *meter, int64_t at_ns, uint64_t bytes);

static inline bool meter_open(const struct meter *meter, int64_t from_ns, int64_t to_ns)
{
    return from_ns >= meter->lower_ns && to_ns <= meter->limit_ns;
}

/* The instance was in the state of gauge during [from_ns, to_ns). */
static inline void meter_span(struct meter *meter, int64_t from_ns, int64_t to_ns, const struct gauge *gauge)
{
    if (!meter_open(meter, from_ns, to_ns)) {
        meter_span_edge(meter, from_ns, to_ns, gauge);
        return;
    }
    struct meter_sums *sums = &meter->sums;
    uint64_t duration_ns = (uint64_t)(to_ns - from_ns);
    sums->waiting_ns += (uint64_t)gauge->waiting * duration_ns;
    sums->running_ns += (uint64_t)gauge->running * duration_ns;
    sums->moving_ns += (uint64_t)gauge->moving * duration_ns;
    sums->kv_block_ns += (uint64_t)gauge->kv_blocks * duration_ns;
    sums->kv_token_ns += (uint64_t)gauge->kv_tokens * duration_ns;
    sums->busy_ns[gauge->phase] += duration_ns;
    if (gauge->kv_stranded_blocks > 0)
        sums->kv_stranded_ns += (uint64_t)gauge->kv_stranded_blocks * duration_ns;
    if (gauge->blocked)
        sums->blocked_ns[gauge->phase] += duration_ns;
    else if (gauge->phase == PHASE_IDLE && gauge->moving > 0)
        sums->moving_idle_ns += duration_ns;
}

/* Iterations (effort->iterations of them, the last ending at at_ns) of a phase ended; so many prefill tokens
 * were computed and output tokens made visible. */
static inline void meter_iteration(struct meter *meter, int64_t at_ns, enum phase phase,
                                   uint64_t prefill_tokens, uint64_t output_tokens,
                                   const struct effort *effort)
{
    if (!meter_open(meter, at_ns, at_ns)) {
        meter_iteration_edge(meter, at_ns, phase, prefill_tokens, output_tokens, effort);
        return;
    }
    meter->sums.prefill_tokens += prefill_tokens;
    meter->sums.output_tokens += output_tokens;
    effort_add(&meter->effort[phase], effort);
}

/* The same of one iteration that only decodes, one token for each sequence: the usual case. context: what
 * attention sees and reads, in the units of kv_read_tokens. */
static inline void meter_decode(struct meter *meter, int64_t at_ns, enum phase phase, uint64_t sequences,
                                uint64_t context, uint64_t expert_bytes)
{
    if (!meter_open(meter, at_ns, at_ns)) {
        struct effort effort = {.iterations = 1,
                                .tokens = sequences,
                                .logit_rows = sequences,
                                .context_x2 = 2 * (wide_t)context,
                                .kv_read_tokens = context,
                                .expert_bytes = expert_bytes};
        meter_iteration_edge(meter, at_ns, phase, 0, sequences, &effort);
        return;
    }
    struct effort *effort = &meter->effort[phase];
    meter->sums.output_tokens += sequences;
    effort->iterations++;
    effort->tokens += sequences;
    effort->logit_rows += sequences;
    effort->context_x2 += 2 * context;
    effort->kv_read_tokens += context;
    effort->expert_bytes += expert_bytes;
}

/* A KV transfer from the instance ended. */
static inline void meter_sent(struct meter *meter, int64_t at_ns, uint64_t bytes)
{
    if (meter_open(meter, at_ns, at_ns))
        meter->sums.sent_bytes += bytes;
    else
        meter_sent_edge(meter, at_ns, bytes);
}

#endif
