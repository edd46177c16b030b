#include "tandem/scheduler.h"
#include "tandem/simtime.h"

static void plan(struct schedule *schedule, const struct scheduler_limits *limits)
{
    int64_t waiting = schedule_waiting_count(schedule);
    if (schedule_padded_running(schedule) || waiting == 0)
        return;
    int64_t timeout_ns = schedule_oldest_ns(schedule) + simtime_from_ns(limits->static_timeout_ms * 1e6);
    if (waiting < limits->static_batch_size && schedule_now_ns(schedule) < timeout_ns)
        schedule_again_at(schedule, timeout_ns);
    else
        schedule_waiting_padded(schedule, limits->static_batch_size);
}

const struct scheduler scheduler_static = {
    .name = "static",
    .doc = "waits for a batch or a timeout, pads to the longest; the whole batch ends together",
    .roles = {[ROLE_UNIFIED] = true},
    .default_max_num_seqs = 256,
    .plan = plan,
};
