#include "tandem/row.h"

#include <stddef.h>

#include "tandem/hash.h"

const char *const row_status_names[] = {"completed", "refused", NULL};
const char *const row_reason_names[] = {"none",     "model_length", "kv_capacity", "queue_full",
                                        "deadline", "session",      NULL};

uint64_t row_hash(const struct row *row)
{
    uint64_t hash = hash_combine(0, row->id);
    hash = hash_combine(hash, row->prompt_tokens);
    hash = hash_combine(hash, row->output_tokens);
    hash = hash_combine(hash, (uint64_t)row->arrival_ns);
    hash = hash_combine(hash, (uint64_t)(row->arrival_ns + row->ttft_ns));
    hash = hash_combine(hash, (uint64_t)(row->arrival_ns + row->e2e_ns));
    hash = hash_combine(hash, (uint64_t)row->prefill_instance);
    hash = hash_combine(hash, (uint64_t)row->decode_instance);
    hash = hash_combine(hash, row->preemptions);
    return hash_combine(hash, row->status);
}
