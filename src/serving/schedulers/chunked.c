#include "tandem/scheduler.h"

static void plan(struct schedule *schedule, const struct scheduler_limits *limits)
{
    (void)limits;
    if (schedule_running(schedule) == 0)
        schedule_waiting_chunks(schedule);
}

const struct scheduler scheduler_chunked = {
    .name = "chunked",
    .doc = "decodes first, prompt chunks fill the token budget (vLLM V1, Sarathi)",
    .roles = {[ROLE_UNIFIED] = true},
    .chunks = true,
    .steady = true,
    .plan = plan,
};
