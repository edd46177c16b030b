#include "tandem/scheduler.h"

static void plan(struct schedule *schedule, const struct scheduler_limits *limits)
{
    if (!limits->chunked_prefill)
        schedule_waiting_whole(schedule);
    else if (schedule_running(schedule) == 0)
        schedule_waiting_chunks(schedule);
}

const struct scheduler scheduler_prefill_only = {
    .name = "prefill-only",
    .doc = "whole prompts (or chunks), no decodes; blocks held for transfers throttle it",
    .roles = {[ROLE_PREFILL] = true},
    .steady = true,
    .plan = plan,
};
