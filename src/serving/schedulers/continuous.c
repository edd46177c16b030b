#include "tandem/scheduler.h"

static void plan(struct schedule *schedule, const struct scheduler_limits *limits)
{
    (void)limits;
    if (schedule_waiting_whole(schedule) == 0)
        schedule_running(schedule);
}

const struct scheduler scheduler_continuous = {
    .name = "continuous",
    .doc = "prefill first: an iteration of whole prompts while any fits, else all decodes (vLLM V0, Orca)",
    .roles = {[ROLE_UNIFIED] = true},
    .default_max_num_seqs = 256,
    .default_watermark = 0.01,
    .watermark_when_idle = true,
    .steady = true,
    .without_cache = true,
    .plan = plan,
};
