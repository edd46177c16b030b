/* A scheduler that the program does not have: all that it takes to add one. */
#include "tandem/scheduler.h"

static void plan(struct schedule *schedule, const struct scheduler_limits *limits)
{
    (void)limits;
    if (schedule_running(schedule) == 0)
        schedule_waiting_whole(schedule);
}

const struct scheduler scheduler_mixed_whole = {
    .name = "mixed-whole",
    .doc = "decodes, and whole prompts beside them in the same iteration (Orca's selective batching)",
    .roles = {[ROLE_UNIFIED] = true},
    .steady = true,
    .plan = plan,
};
