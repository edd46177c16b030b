#include "progress.h"

#include <mpi.h>
#include <stdio.h>
#include <unistd.h>

#define TERMINAL_INTERVAL_S 0.25
#define LOG_INTERVAL_S      5.0

void progress_init(struct progress *progress, int64_t requests, bool enabled)
{
    progress->enabled = enabled;
    progress->terminal = isatty(STDERR_FILENO);
    progress->requests = requests;
    progress->start_s = MPI_Wtime();
    progress->next_s = progress->start_s + (progress->terminal ? 1.0 : LOG_INTERVAL_S);
    progress->shown = false;
}

void progress_show(void *context, int64_t now_ns, uint64_t done)
{
    struct progress *progress = context;
    double wall_s = MPI_Wtime();
    if (!progress->enabled || wall_s < progress->next_s)
        return;
    progress->next_s = wall_s + (progress->terminal ? TERMINAL_INTERVAL_S : LOG_INTERVAL_S);
    progress->shown = true;
    double rate = (double)done / (wall_s - progress->start_s);
    double left = (double)progress->requests - (double)done;
    fprintf(stderr, "%ssimulated %.1f s, %llu of %lld requests done, %.0f requests/s",
            progress->terminal ? "\r" : "", (double)now_ns * 1e-9, (unsigned long long)done,
            (long long)progress->requests, rate);
    if (rate > 0)
        fprintf(stderr, ", %.0f s to go", left / rate);
    fputs(progress->terminal ? "   " : "\n", stderr);
    fflush(stderr);
}

void progress_end(struct progress *progress)
{
    if (progress->enabled && progress->terminal && progress->shown)
        fputc('\n', stderr);
}
