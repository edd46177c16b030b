#include "tandem/iterations.h"

#include <stdlib.h>
#include <string.h>

#include "tandem/check.h"
#include "tandem/mem.h"

const char *const iteration_phase_names[] = {"idle", "prefill", "decode", "mixed", NULL};

void iteration_log_add(struct iteration_log *log, const struct iteration_row *row)
{
    if (log->count > 0)
        CHECK(row->start_ns >= log->rows[log->count - 1].start_ns,
              "an iteration of instance %d begins before another", row->instance);
    /* Which of those that begin together are kept must not depend on the rank's order of events. */
    if (log->count >= log->most && row->start_ns > log->rows[log->most - 1].start_ns)
        return;
    if (log->count == log->capacity)
        log->rows = mem_grow(log->rows, &log->capacity, log->count + 1, sizeof *log->rows);
    log->rows[log->count++] = *row;
}

static int compare(const void *a, const void *b)
{
    const struct iteration_row *x = a, *y = b;
    if (x->start_ns != y->start_ns)
        return x->start_ns < y->start_ns ? -1 : 1;
    if (x->instance != y->instance)
        return x->instance < y->instance ? -1 : 1;
    return x->group < y->group ? -1 : x->group > y->group;
}

void iteration_log_merge(struct iteration_log *log, const struct iteration_row *rows, size_t count)
{
    if (log->count + count > log->capacity)
        log->rows = mem_grow(log->rows, &log->capacity, log->count + count, sizeof *log->rows);
    if (count > 0)
        memcpy(log->rows + log->count, rows, count * sizeof *rows);
    log->count += count;
    if (log->count > 0)
        qsort(log->rows, log->count, sizeof *log->rows, compare);
    if (log->count > log->most)
        log->count = log->most;
}
