/* Progress of a run on stderr. */
#ifndef TANDEM_SIM_PROGRESS_H
#define TANDEM_SIM_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool enabled, terminal;
    int64_t requests; /* in all */
    double start_s, next_s;
    bool shown;
};

/* requests: how many there will be; enabled false prints nothing. Local. */
void progress_init(struct progress *progress, int64_t requests, bool enabled);

/* The engine's progress hook: prints at most a few times a second on a terminal, every few seconds elsewhere.
 */
void progress_show(void *progress, int64_t now_ns, uint64_t done);

/* Ends the line on a terminal. */
void progress_end(struct progress *progress);

#endif
