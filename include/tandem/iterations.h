/* A record of each iteration, where output.iterations asks for them. All local. */
#ifndef TANDEM_ITERATIONS_H
#define TANDEM_ITERATIONS_H

#include <stddef.h>
#include <stdint.h>

/* One row of /iterations. Tokens are those that the timer was asked about: padding is among them. */
struct iteration_row {
    int32_t instance; /* row of /instances */
    uint32_t group;   /* of its micro-batches */
    int64_t start_ns, duration_ns;
    uint8_t phase; /* enum phase */
    uint64_t prefill_tokens, prefill_context_tokens, decode_sequences, decode_context_tokens, kv_used_blocks;
};

extern const char *const iteration_phase_names[]; /* by enum phase */

/* What the instances of one rank did, in the order in which it began. */
struct iteration_log {
    struct iteration_row *rows;
    size_t count, capacity;
    size_t most; /* kept: those that begin first, and all that begin together with the last of them */
};

/* Adds a record that began no earlier than those before it, unless it is one too many. */
void iteration_log_add(struct iteration_log *log, const struct iteration_row *row);

/* Adds the records of another rank, and leaves the first log->most of all in order of start, instance, group.
 */
void iteration_log_merge(struct iteration_log *log, const struct iteration_row *rows, size_t count);

#endif
