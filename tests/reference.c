#include "reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_file.h"
#include "tandem/gpu.h"
#include "tandem/mem.h"
#include "tandem/model.h"
#include "tandem/simtime.h"

#define NONE SIMTIME_NEVER

/* A request, wherever it is. */
struct job {
    const struct experiment_request *request;
    struct reference_row *row;
    int64_t generated, computed; /* tokens sampled; tokens in the cache */
    int64_t blocks, held;        /* where it runs; still held on the prefill instance */
    bool decoding;               /* its prompt (or what it had) is in the cache */
    int64_t planned;             /* tokens in this iteration */
    int64_t stage_ns;            /* since when it waits, in whatever queue */
    int64_t last_token_ns;       /* of the last visible token */
    int64_t admitted;            /* times that it was admitted */
    int64_t handoff_ns,
        done_ns; /* when the decode instance has the hand-off; when both ends know of the end */
};

/* A list of jobs in order. */
struct list {
    struct job **jobs;
    size_t count;
};

struct box {
    const struct reference_pool *pool;
    struct list waiting, running, offered, moving, ready;
    int64_t free_blocks;
    int64_t end_ns; /* of the iteration in progress, NONE when idle */
    struct reference_sums *sums;
};

struct world {
    const struct reference_config *config;
    struct job *jobs;
    size_t count;
    struct list handing; /* handed off by the prefill instance, not yet at the decode instance */
    struct box boxes[2]; /* entry, decode */
};

static void push(struct list *list, size_t at, struct job *job)
{
    memmove(&list->jobs[at + 1], &list->jobs[at], (list->count - at) * sizeof *list->jobs);
    list->jobs[at] = job;
    list->count++;
}

static struct job *take_out(struct list *list, size_t at)
{
    struct job *job = list->jobs[at];
    list->count--;
    memmove(&list->jobs[at], &list->jobs[at + 1], (list->count - at) * sizeof *list->jobs);
    return job;
}

static void take_out_job(struct list *list, const struct job *job)
{
    size_t at = 0;
    while (list->jobs[at] != job)
        at++;
    take_out(list, at);
}

static int64_t blocks_of(const struct box *box, int64_t tokens)
{
    return (tokens + box->pool->block_tokens - 1) / box->pool->block_tokens;
}

static int64_t known(const struct job *job)
{
    return job->request->prompt_tokens + job->generated;
}

static void allocate(struct box *box, struct job *job, int64_t blocks)
{
    if (blocks < 0 || blocks > box->free_blocks) {
        fprintf(stderr, "the reference wants %lld blocks of %lld\n", (long long)blocks,
                (long long)box->free_blocks);
        exit(1);
    }
    box->free_blocks -= blocks;
    job->blocks += blocks;
    box->sums->allocated_blocks += (uint64_t)blocks;
    uint64_t used = (uint64_t)(box->pool->blocks - box->free_blocks);
    box->sums->peak_blocks = used > box->sums->peak_blocks ? used : box->sums->peak_blocks;
}

/* Blocks that admission leaves free. */
static int64_t watermark(const struct box *box)
{
    bool holds = box->pool->watermark_when_idle || box->running.count > 0;
    return holds ? (int64_t)(box->pool->watermark * (double)box->pool->blocks) : 0;
}

static void preempt_last(struct box *box, int64_t now_ns)
{
    struct job *victim = take_out(&box->running, box->running.count - 1);
    box->free_blocks += victim->blocks;
    victim->blocks = victim->computed = victim->planned = 0;
    victim->decoding = false;
    victim->stage_ns = now_ns;
    victim->row->preemptions++;
    push(&box->waiting, 0, victim);
}

/* Every running job in admission order, within the budget. Returns whether any was preempted. */
static bool plan_running(struct box *box, int64_t *budget, int64_t now_ns)
{
    bool preempted = false;
    for (size_t i = 0; i<box->running.count && * budget> 0; i++) {
        struct job *job = box->running.jobs[i];
        int64_t n = known(job) - job->computed;
        if (box->pool->threshold > 0 && n > box->pool->threshold)
            n = box->pool->threshold;
        if (n > *budget)
            n = *budget;
        int64_t need = blocks_of(box, job->computed + n) - job->blocks;
        need = need > 0 ? need : 0;
        while (box->free_blocks < need && i < box->running.count) {
            preempt_last(box, now_ns);
            preempted = true;
        }
        if (i >= box->running.count)
            return true;
        allocate(box, job, need);
        job->planned = n;
        *budget -= n;
    }
    return preempted;
}

static void admit(struct box *box, int64_t n, int64_t now_ns)
{
    struct job *job = take_out(&box->waiting, 0);
    if (job->admitted++ == 0)
        job->row->prefill_queue_ns = now_ns - job->stage_ns;
    else
        job->row->stalled_ns += now_ns - job->stage_ns;
    push(&box->running, box->running.count, job);
    allocate(box, job, blocks_of(box, n));
    job->planned = n;
}

/* Waiting jobs, first come first served, in chunks or whole. Returns whether any was admitted. */
static bool plan_waiting(struct box *box, bool whole, int64_t budget, int64_t now_ns)
{
    bool admitted = false;
    while (box->waiting.count > 0 && (int64_t)box->running.count < box->pool->seqs) {
        const struct job *job = box->waiting.jobs[0];
        int64_t n = known(job);
        if (whole ? admitted && n > budget : budget <= 0)
            break;
        if (box->free_blocks - watermark(box) < blocks_of(box, n))
            break;
        if (!whole && box->pool->threshold > 0 && n > box->pool->threshold)
            n = box->pool->threshold;
        if (!whole && n > budget)
            n = budget;
        admit(box, n, now_ns);
        admitted = true;
        budget -= n;
    }
    return admitted;
}

static bool plan(struct box *box, int64_t now_ns)
{
    int64_t budget = box->pool->budget;
    bool preempted = false;
    switch (box->pool->policy) {
    case REFERENCE_CHUNKED:
        preempted = plan_running(box, &budget, now_ns);
        if (!preempted)
            plan_waiting(box, false, budget, now_ns);
        break;
    case REFERENCE_CONTINUOUS:
        if (!plan_waiting(box, true, budget, now_ns))
            preempted = plan_running(box, &budget, now_ns);
        break;
    case REFERENCE_WHOLE_PROMPTS:
        plan_waiting(box, true, budget, now_ns);
        break;
    }
    return preempted;
}

/* Decode instance: blocks for hand-offs, in order, while there are seats; nobody preempted may be waiting. */
static void reserve(struct world *world, struct box *box, int64_t now_ns)
{
    const struct reference_config *config = world->config;
    while (box->offered.count > 0 && box->waiting.count == 0 &&
           (int64_t)box->running.count < box->pool->seqs) {
        struct job *job = box->offered.jobs[0];
        int64_t need = blocks_of(box, job->request->prompt_tokens + 1);
        if (box->free_blocks - watermark(box) < need)
            return;
        allocate(box, job, need);
        take_out(&box->offered, 0);
        push(&box->moving, box->moving.count, job);
        int64_t blocks = blocks_of(box, job->request->prompt_tokens);
        job->row->decode_queue_ns = now_ns - job->stage_ns;
        job->row->transfer_ns =
            config->setup_ns + simtime_from_ns((double)blocks * config->descriptor_ns_per_block) +
            simtime_from_seconds((double)(blocks * config->bytes_per_block) / config->rate);
        job->done_ns = now_ns + config->latency_ns + job->row->transfer_ns + config->latency_ns;
    }
}

static void token(struct box *box, struct job *job, int64_t now_ns)
{
    int64_t send_ns = job->request->send_ns;
    box->sums->output_tokens++;
    if (job->last_token_ns == NONE)
        job->row->ttft_ns = now_ns - send_ns;
    else if (now_ns - job->last_token_ns > job->row->max_itl_ns)
        job->row->max_itl_ns = now_ns - job->last_token_ns;
    job->last_token_ns = now_ns;
    job->row->e2e_ns = now_ns - send_ns;
}

static void finish(struct box *box, struct job *job)
{
    take_out_job(&box->running, job);
    box->free_blocks += job->blocks;
    job->blocks = 0;
}

static void join(struct world *world, struct box *box, int64_t now_ns)
{
    while (box->ready.count > 0 && (int64_t)box->running.count < box->pool->seqs) {
        struct job *job = take_out(&box->ready, 0);
        push(&box->running, box->running.count, job);
        job->row->admission_ns = now_ns - job->done_ns;
        job->decoding = true;
        job->admitted = 1;
        job->computed = known(job) - 1;
        if (world->config->first_token == REFERENCE_RELAY)
            token(box, job, now_ns);
        if (job->generated == job->request->output_tokens)
            finish(box, job);
    }
}

/* Adds what is planned to the timer's figures and starts the iteration. Returns whether there is one. */
static bool start(struct world *world, struct box *box, int64_t now_ns)
{
    struct work work = {0};
    for (size_t i = 0; i < box->running.count; i++) {
        const struct job *job = box->running.jobs[i];
        int64_t n = job->planned;
        if (n == 0)
            continue;
        work.logit_rows += job->computed + n == known(job);
        if (job->decoding) {
            work.decode_sequences++;
            work.decode_context_tokens += job->computed + 1;
        } else {
            work.prefill_tokens += n;
            work.prefill_work_x2 += n * (2 * job->computed + n);
        }
    }
    if (work.prefill_tokens + work.decode_sequences == 0)
        return false;
    box->sums->prefill_iterations += work.decode_sequences == 0;
    box->sums->decode_iterations += work.prefill_tokens == 0;
    box->sums->mixed_iterations += work.prefill_tokens > 0 && work.decode_sequences > 0;
    box->sums->prefill_tokens += (uint64_t)work.prefill_tokens;
    box->end_ns = now_ns + timer_iteration_ns(world->config->timer, &work);
    return true;
}

static void boundary(struct world *world, struct box *box, int64_t now_ns)
{
    for (bool again = true; again;) {
        join(world, box, now_ns);
        bool preempted = plan(box, now_ns);
        if (!preempted)
            reserve(world, box, now_ns);
        again = !start(world, box, now_ns) && preempted && box->ready.count > 0;
    }
}

/* Prefill instance: the prompt is done; it goes to the decode instance and its blocks stay. */
static void hand_off(struct world *world, struct box *box, struct job *job, int64_t now_ns)
{
    if (world->config->first_token != REFERENCE_DECODE)
        job->generated = 1;
    if (world->config->first_token == REFERENCE_PREFILL) {
        token(box, job, now_ns);
        if (job->request->output_tokens == 1) {
            finish(box, job);
            return;
        }
    }
    take_out_job(&box->running, job);
    job->held = job->blocks;
    job->blocks = 0;
    job->handoff_ns = now_ns + 2 * world->config->latency_ns;
    push(&world->handing, world->handing.count, job);
}

static void step(struct world *world, struct box *box, struct job *job, int64_t now_ns)
{
    job->computed += job->planned;
    job->planned = 0;
    if (job->computed < known(job))
        return;
    job->decoding = true;
    if (job->row->ttft_prefill_ns == 0)
        job->row->ttft_prefill_ns = now_ns - job->request->send_ns;
    if (world->config->disaggregated && box == &world->boxes[0]) {
        hand_off(world, box, job, now_ns);
        return;
    }
    job->generated++;
    token(box, job, now_ns);
    if (job->generated == job->request->output_tokens)
        finish(box, job);
}

/* Messages that come now, each kind in the order in which it was sent. */
static void receive(struct world *world, int64_t now_ns, bool came[2])
{
    struct box *entry = &world->boxes[0], *decode = &world->boxes[1];
    for (size_t i = 0; i < world->count; i++) {
        struct job *job = &world->jobs[i];
        if (job->request->send_ns + world->config->latency_ns != now_ns)
            continue;
        job->stage_ns = now_ns;
        push(&entry->waiting, entry->waiting.count, job);
        came[0] = true;
    }
    while (world->handing.count > 0 && world->handing.jobs[0]->handoff_ns == now_ns) {
        struct job *job = take_out(&world->handing, 0);
        job->stage_ns = now_ns;
        push(&decode->offered, decode->offered.count, job);
        came[1] = true;
    }
    for (size_t i = 0; i < decode->moving.count;) {
        if (decode->moving.jobs[i]->done_ns != now_ns) {
            i++;
            continue;
        }
        struct job *job = take_out(&decode->moving, i);
        entry->free_blocks += job->held;
        push(&decode->ready, decode->ready.count, job);
        came[0] = came[1] = true;
    }
}

/* The iteration that ends now. */
static void end_iteration(struct world *world, struct box *box, int64_t now_ns)
{
    struct job **scheduled = mem_array(box->running.count, sizeof *scheduled);
    size_t count = 0;
    for (size_t i = 0; i < box->running.count; i++)
        if (box->running.jobs[i]->planned > 0)
            scheduled[count++] = box->running.jobs[i];
    box->end_ns = NONE;
    for (size_t i = 0; i < count; i++)
        step(world, box, scheduled[i], now_ns);
    mem_free(scheduled);
}

/* Messages come before boundaries; an idle instance has its boundary at once. */
static void happen(struct world *world, int64_t now_ns)
{
    bool came[2] = {false, false};
    receive(world, now_ns, came);
    for (int b = 0; b < 2; b++) {
        struct box *box = &world->boxes[b];
        bool ends = box->end_ns == now_ns;
        if (ends)
            end_iteration(world, box, now_ns);
        if (ends || (came[b] && box->end_ns == NONE))
            boundary(world, box, now_ns);
    }
}

static int64_t earlier(int64_t a, int64_t b, int64_t after_ns)
{
    return b > after_ns && b < a ? b : a;
}

static int64_t next_time(const struct world *world, int64_t now_ns)
{
    int64_t next_ns = earlier(NONE, world->boxes[0].end_ns, now_ns);
    next_ns = earlier(next_ns, world->boxes[1].end_ns, now_ns);
    for (size_t i = 0; i < world->count; i++) {
        const struct job *job = &world->jobs[i];
        next_ns = earlier(next_ns, job->request->send_ns + world->config->latency_ns, now_ns);
        next_ns = earlier(next_ns, job->handoff_ns, now_ns);
        next_ns = earlier(next_ns, job->done_ns, now_ns);
    }
    return next_ns;
}

static void lists_of(struct box *box, struct list *lists[5])
{
    struct list *all[5] = {&box->waiting, &box->running, &box->offered, &box->moving, &box->ready};
    memcpy(lists, all, sizeof all);
}

void reference_run(const struct reference_config *config, const struct experiment_request *requests,
                   size_t count, struct reference_row *rows, struct reference_sums sums[2])
{
    struct world world = {.config = config, .jobs = mem_array(count, sizeof(struct job)), .count = count};
    for (int b = 0; b < 2; b++) {
        struct list *lists[5];
        sums[b] = (struct reference_sums){0};
        world.boxes[b] =
            (struct box){.pool = b == 0 ? &config->entry : &config->decode, .end_ns = NONE, .sums = &sums[b]};
        world.boxes[b].free_blocks = world.boxes[b].pool->blocks;
        lists_of(&world.boxes[b], lists);
        for (int i = 0; i < 5; i++)
            lists[i]->jobs = mem_array(count + 1, sizeof(struct job *));
    }
    world.handing.jobs = mem_array(count + 1, sizeof(struct job *));
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct reference_row){0};
        world.jobs[i] = (struct job){.request = &requests[i],
                                     .row = &rows[i],
                                     .last_token_ns = NONE,
                                     .handoff_ns = NONE,
                                     .done_ns = NONE};
    }
    for (int64_t now_ns = next_time(&world, -1); now_ns != NONE; now_ns = next_time(&world, now_ns))
        happen(&world, now_ns);
    for (int b = 0; b < 2; b++) {
        struct list *lists[5];
        lists_of(&world.boxes[b], lists);
        for (int i = 0; i < 5; i++)
            mem_free(lists[i]->jobs);
    }
    mem_free(world.handing.jobs);
    mem_free(world.jobs);
}

struct timer *reference_timer(const char *model_name, int64_t tensor_parallel, double prefill_ms,
                              double decode_ms)
{
    char name[100];
    struct gpu gpu;
    struct model model;
    struct error error = {{0}};
    struct timer_config config = {.level = prefill_ms > 0 ? TIMER_FIXED : TIMER_CALIBRATED,
                                  .iteration_overhead_ms = 0.5,
                                  .prefill_ms = prefill_ms,
                                  .decode_ms = decode_ms};
    snprintf(name, sizeof name, "models/%s", model_name);
    struct config *gpu_file = cluster_file("gpus/h100-sxm"), *model_file = cluster_file(name);
    if (!gpu_parse(config_root(gpu_file), &gpu, &error) ||
        !model_parse(config_root(model_file), &model, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    struct model_layout layout = model_layout(tensor_parallel, DTYPE_BF16, DTYPE_BF16);
    struct work_shape shape = model_shape(&model, &layout, 0);
    struct timer *timer = timer_new(&gpu, &shape, &config);
    config_free(gpu_file);
    config_free(model_file);
    return timer;
}
