#include "tandem/scheduler.h"

static void plan(struct schedule *schedule, const struct scheduler_limits *limits)
{
    if (schedule_running(schedule) > 0) /* chunks, and decodes of requests that stayed (router.mixed) */
        return;
    if (limits->chunked_prefill)
        schedule_waiting_chunks(schedule);
    else
        schedule_waiting_whole(schedule);
}

const struct scheduler scheduler_prefill_only = {
    .name = "prefill-only",
    .doc = "whole prompts (or chunks), after the decodes of requests that stay; blocks held for transfers "
           "throttle it",
    .roles = {[ROLE_PREFILL] = true},
    .steady = true,
    .plan = plan,
};
