#include "tandem/scheduler.h"

/* The rule of seeds/prefill-decode-lab.md, "Adaptive Strategy"; its system_load is the share of KV blocks. */
static int64_t chunk_tokens(const struct scheduler_limits *limits, int64_t tokens, double load)
{
    const struct scheduler_adaptive *adaptive = &limits->adaptive;
    if (load > adaptive->load)
        return adaptive->load_tokens;
    if (tokens > adaptive->long_prompt_tokens)
        return adaptive->long_tokens;
    return tokens < adaptive->short_prompt_tokens ? tokens : adaptive->base_tokens;
}

static void plan(struct schedule *schedule, const struct scheduler_limits *limits)
{
    (void)limits;
    if (schedule_running(schedule) == 0)
        schedule_waiting_chunks(schedule);
}

const struct scheduler scheduler_adaptive_chunked = {
    .name = "adaptive-chunked",
    .doc = "chunked, with smaller chunks under load and of long prompts; short prompts are one chunk",
    .roles = {[ROLE_UNIFIED] = true},
    .chunks = true,
    .steady = true,
    .chunk_tokens = chunk_tokens,
    .plan = plan,
};
