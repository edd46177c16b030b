#include "tandem/scheduler.h"

static void plan(struct schedule *schedule, const struct scheduler_limits *limits)
{
    (void)limits;
    if (schedule_running(schedule) == 0)
        schedule_waiting_chunks(schedule); /* preempted sequences, recomputed in chunks */
}

const struct scheduler scheduler_decode_only = {
    .name = "decode-only",
    .doc = "decodes of requests that were moved here; recomputes preempted ones in chunks",
    .roles = {[ROLE_DECODE] = true},
    .chunks = true,
    .steady = true,
    .plan = plan,
};
