#include "reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tandem/mem.h"
#include "tandem/simtime.h"

#define NONE SIMTIME_NEVER

/* A request, wherever it is. */
struct job {
    const struct experiment_request *request;
    struct reference_row *row;
    int64_t generated, computed; /* tokens sampled; tokens in the cache */
    int64_t blocks, held;        /* where it runs; still held on the prefill instance */
    bool decoding;               /* its prompt (or what it had) is in the cache */
    struct box *holder;          /* that holds it, until the transfer ended */
    struct box *decoder;         /* where it decodes after a transfer */
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

/* One lane of one micro-batch. */
struct box {
    const struct reference_pool *pool;
    struct site *site;
    int64_t micro_batch;
    struct list waiting, running, offered, moving, ready, swapped;
    int64_t free_blocks, most_blocks, seqs;
    int64_t host_blocks, copied_blocks; /* still free; copied and not yet paid for */
    struct reference_sums *sums;
};

/* An instance. */
struct site {
    const struct reference_pool *pool;
    struct box *boxes; /* the lanes of the first micro-batch, those of the second, .. */
    int64_t count, next;
    int64_t end_ns[REFERENCE_STAGES];  /* of each micro-batch's iteration, NONE when it is idle */
    int64_t due_ns[REFERENCE_STAGES];  /* since when it waits for the first stage, NONE when it does not */
    int64_t free_ns[REFERENCE_STAGES]; /* of each stage */
    struct reference_sums *sums;
};

struct world {
    const struct reference_config *config;
    struct job *jobs;
    size_t count;
    struct list handing;  /* handed off by the prefill instance, not yet at the decode instance */
    struct list moving;   /* all transfers, in the order in which they began */
    struct site sites[2]; /* entry, decode */
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

static void note_peak(struct site *site)
{
    uint64_t used = 0;
    for (int64_t i = 0; i < site->count; i++)
        used += (uint64_t)(site->boxes[i].most_blocks - site->boxes[i].free_blocks);
    site->sums->peak_blocks = used > site->sums->peak_blocks ? used : site->sums->peak_blocks;
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
    if (box->site->count == 1) /* of several together: at the end of an instant */
        note_peak(box->site);
}

/* Blocks that admission leaves free. */
static int64_t watermark(const struct box *box)
{
    bool holds = box->pool->watermark_when_idle || box->running.count > 0;
    return holds ? (int64_t)(box->pool->watermark * (double)box->most_blocks) : 0;
}

static void preempt_last(struct box *box, int64_t now_ns)
{
    struct job *victim = take_out(&box->running, box->running.count - 1);
    box->free_blocks += victim->blocks;
    victim->planned = 0;
    victim->stage_ns = now_ns;
    victim->row->preemptions++;
    if (box->pool->host_blocks > 0 && victim->blocks <= box->host_blocks) {
        box->host_blocks -= victim->blocks;
        box->copied_blocks += victim->blocks;
        box->sums->swapped_out_blocks += (uint64_t)victim->blocks;
        victim->row->swaps++;
        push(&box->swapped, 0, victim);
        return;
    }
    victim->blocks = victim->computed = 0;
    victim->decoding = false;
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

/* Swapped jobs in order: with their own blocks and what they need to go on. */
static void plan_swapped(struct box *box, int64_t *budget, int64_t now_ns)
{
    while (box->swapped.count > 0 && (int64_t)box->running.count<box->seqs && * budget> 0) {
        struct job *job = box->swapped.jobs[0];
        int64_t n = known(job) - job->computed, own = job->blocks, whole = blocks_of(box, known(job));
        if (box->free_blocks - watermark(box) < (whole > own ? whole : own))
            return;
        if (box->pool->threshold > 0 && n > box->pool->threshold)
            n = box->pool->threshold;
        if (n > *budget)
            n = *budget;
        take_out(&box->swapped, 0);
        push(&box->running, box->running.count, job);
        job->row->stalled_ns += now_ns - job->stage_ns;
        job->blocks = 0;
        allocate(box, job, own);
        box->host_blocks += own;
        box->copied_blocks += own;
        box->sums->swapped_in_blocks += (uint64_t)own;
        if (blocks_of(box, job->computed + n) > own)
            allocate(box, job, blocks_of(box, job->computed + n) - own);
        job->planned = n;
        *budget -= n;
    }
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
    while (box->waiting.count > 0 && box->swapped.count == 0 && (int64_t)box->running.count < box->seqs) {
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
            plan_swapped(box, &budget, now_ns);
        if (!preempted)
            plan_waiting(box, false, budget, now_ns);
        break;
    case REFERENCE_CONTINUOUS:
        if (plan_waiting(box, true, budget, now_ns))
            break;
        preempted = plan_running(box, &budget, now_ns);
        if (!preempted)
            plan_swapped(box, &budget, now_ns);
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
    while (box->offered.count > 0 && box->waiting.count == 0 && box->swapped.count == 0 &&
           (int64_t)box->running.count < box->seqs) {
        struct job *job = box->offered.jobs[0];
        int64_t need = blocks_of(box, job->request->prompt_tokens + 1);
        if (box->free_blocks - watermark(box) < need)
            return;
        allocate(box, job, need);
        take_out(&box->offered, 0);
        push(&box->moving, box->moving.count, job);
        push(&world->moving, world->moving.count, job);
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
    while (box->ready.count > 0 && (int64_t)box->running.count < box->seqs) {
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

/* What is planned, as the timer's figures; false when it is nothing. */
static bool describe(const struct box *box, struct work *sums)
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
    *sums = work;
    if (work.prefill_tokens + work.decode_sequences == 0)
        return false;
    box->sums->prefill_tokens += (uint64_t)work.prefill_tokens;
    return true;
}

/* Whether there is something to compute, and what. */
static bool boundary(struct world *world, struct box *box, int64_t now_ns, struct work *work)
{
    for (;;) {
        join(world, box, now_ns);
        bool preempted = plan(box, now_ns);
        if (!preempted)
            reserve(world, box, now_ns);
        if (describe(box, work))
            return true;
        if (!preempted || box->ready.count == 0)
            return false;
    }
}

/* An iteration of some lanes on one stage after another; its end. One lane on one stage: the timer has it
 * whole. */
static int64_t through_stages(struct site *site, const struct work *works, int64_t lanes, int64_t copy_ns,
                              int64_t now_ns)
{
    const struct reference_pool *pool = site->pool;
    int64_t arrived_ns = now_ns, longest = 0;
    if (pool->lanes * pool->stages == 1)
        return site->free_ns[0] = now_ns + copy_ns + timer_iteration_ns(pool->timers[0], &works[0]);
    for (int64_t i = 0; i < lanes; i++) {
        int64_t tokens = works[i].prefill_tokens + works[i].decode_sequences;
        longest = tokens > longest ? tokens : longest;
    }
    for (int64_t s = 0; s < pool->stages; s++) {
        struct timer_span span = timer_span(pool->timers[s], works, lanes);
        int64_t host_from_ns = site->free_ns[s] > now_ns ? site->free_ns[s] : now_ns;
        int64_t start_ns = host_from_ns + span.host_ns;
        start_ns = arrived_ns > start_ns ? arrived_ns : start_ns;
        site->free_ns[s] = start_ns + copy_ns + span.gpu_ns;
        arrived_ns = site->free_ns[s] + timer_send_ns(pool->timers[s], longest);
    }
    return site->free_ns[pool->stages - 1];
}

/* An iteration of each lane, all of the kind that they are together. */
static void count_iterations(struct reference_sums *sums, const struct work *works, int64_t lanes)
{
    bool prefills = false, decodes = false;
    for (int64_t i = 0; i < lanes; i++) {
        prefills = prefills || works[i].prefill_tokens > 0;
        decodes = decodes || works[i].decode_sequences > 0;
    }
    sums->mixed_iterations += prefills && decodes ? (uint64_t)lanes : 0;
    sums->prefill_iterations += prefills && !decodes ? (uint64_t)lanes : 0;
    sums->decode_iterations += decodes && !prefills ? (uint64_t)lanes : 0;
}

static void start(struct world *world, struct site *site, int64_t micro_batch, int64_t now_ns)
{
    struct work works[16];
    int64_t lanes = 0, copied_blocks = 0;
    site->due_ns[micro_batch] = NONE;
    for (int64_t i = 0; i < site->count; i++) {
        struct box *box = &site->boxes[i];
        if (box->micro_batch != micro_batch || !boundary(world, box, now_ns, &works[lanes]))
            continue;
        lanes++;
        copied_blocks = box->copied_blocks > copied_blocks ? box->copied_blocks : copied_blocks;
        box->copied_blocks = 0;
    }
    int64_t copy_ns = simtime_from_ns((double)copied_blocks * site->pool->swap_ns_per_block);
    if (lanes > 0)
        site->end_ns[micro_batch] = through_stages(site, works, lanes, copy_ns, now_ns);
    count_iterations(site->boxes[0].sums, works, lanes);
}

/* The micro-batch whose turn it is, -1 when none waits. */
static int64_t whose_turn(const struct site *site)
{
    int64_t first = -1;
    for (int64_t m = site->pool->stages - 1; m >= 0; m--)
        if (site->due_ns[m] != NONE && (first < 0 || site->due_ns[m] <= site->due_ns[first]))
            first = m;
    return first;
}

static int64_t jobs_of(const struct box *box)
{
    return (int64_t)(box->waiting.count + box->running.count + box->offered.count + box->moving.count +
                     box->ready.count + box->swapped.count);
}

static int64_t tokens_of(const struct box *box)
{
    int64_t tokens = 0;
    for (size_t i = 0; i < box->waiting.count; i++)
        tokens += known(box->waiting.jobs[i]);
    const struct list *lists[] = {&box->running, &box->swapped};
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < lists[k]->count; i++)
            if (!lists[k]->jobs[i]->decoding)
                tokens += known(lists[k]->jobs[i]) - lists[k]->jobs[i]->computed;
    return tokens;
}

/* Who gets a request that comes: fewest requests, then fewest tokens, then rotation. */
static struct box *choose(struct site *site)
{
    struct box *best = &site->boxes[site->next];
    for (int64_t i = 1; i < site->count; i++) {
        struct box *box = &site->boxes[(site->next + i) % site->count];
        if (jobs_of(box) < jobs_of(best) ||
            (jobs_of(box) == jobs_of(best) && tokens_of(box) < tokens_of(best)))
            best = box;
    }
    site->next = (best - site->boxes + 1) % site->count;
    return best;
}

/* Something changed for a box. */
static void touch(struct box *box, int64_t now_ns)
{
    int64_t m = box->micro_batch;
    if (box->site->end_ns[m] == NONE && box->site->due_ns[m] == NONE)
        box->site->due_ns[m] = now_ns;
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
    job->holder = box;
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
    if (world->config->disaggregated && box->site == &world->sites[0]) {
        hand_off(world, box, job, now_ns);
        return;
    }
    job->generated++;
    token(box, job, now_ns);
    if (job->generated == job->request->output_tokens)
        finish(box, job);
}

/* Messages that come now, each kind in the order in which it was sent. */
static void receive(struct world *world, int64_t now_ns)
{
    for (size_t i = 0; i < world->count; i++) {
        struct job *job = &world->jobs[i];
        if (job->request->send_ns + world->config->latency_ns != now_ns)
            continue;
        struct box *box = choose(&world->sites[0]);
        job->stage_ns = now_ns;
        push(&box->waiting, box->waiting.count, job);
        touch(box, now_ns);
    }
    while (world->handing.count > 0 && world->handing.jobs[0]->handoff_ns == now_ns) {
        struct job *job = take_out(&world->handing, 0);
        job->stage_ns = now_ns;
        job->decoder = choose(&world->sites[1]);
        push(&job->decoder->offered, job->decoder->offered.count, job);
        touch(job->decoder, now_ns);
    }
    for (size_t i = 0; i < world->moving.count;) {
        if (world->moving.jobs[i]->done_ns != now_ns) {
            i++;
            continue;
        }
        struct job *job = take_out(&world->moving, i);
        take_out_job(&job->decoder->moving, job);
        job->holder->free_blocks += job->held;
        push(&job->decoder->ready, job->decoder->ready.count, job);
        touch(job->decoder, now_ns);
        if (job->holder->waiting.count > 0)
            touch(job->holder, now_ns);
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
    for (size_t i = 0; i < count; i++)
        step(world, box, scheduled[i], now_ns);
    mem_free(scheduled);
}

/* Messages come before boundaries; an idle micro-batch has its boundary as soon as the first stage is free.
 */
static void happen(struct world *world, int64_t now_ns)
{
    receive(world, now_ns);
    for (int s = 0; s < 2; s++) {
        struct site *site = &world->sites[s];
        for (int64_t m = 0; m < site->pool->stages; m++) {
            if (site->end_ns[m] != now_ns)
                continue;
            for (int64_t i = 0; i < site->count; i++)
                if (site->boxes[i].micro_batch == m)
                    end_iteration(world, &site->boxes[i], now_ns);
            site->end_ns[m] = NONE;
            site->due_ns[m] = now_ns;
        }
        while (site->free_ns[0] <= now_ns && whose_turn(site) >= 0)
            start(world, site, whose_turn(site), now_ns);
        if (site->count > 1)
            note_peak(site);
    }
}

static int64_t earlier(int64_t a, int64_t b, int64_t after_ns)
{
    return b > after_ns && b < a ? b : a;
}

static int64_t next_time(const struct world *world, int64_t now_ns)
{
    int64_t next_ns = NONE;
    for (int s = 0; s < 2; s++) {
        const struct site *site = &world->sites[s];
        next_ns = earlier(next_ns, site->free_ns[0], now_ns);
        for (int64_t m = 0; m < site->pool->stages; m++)
            next_ns = earlier(next_ns, site->end_ns[m], now_ns);
    }
    for (size_t i = 0; i < world->count; i++) {
        const struct job *job = &world->jobs[i];
        next_ns = earlier(next_ns, job->request->send_ns + world->config->latency_ns, now_ns);
        next_ns = earlier(next_ns, job->handoff_ns, now_ns);
        next_ns = earlier(next_ns, job->done_ns, now_ns);
    }
    return next_ns;
}

static void lists_of(struct box *box, struct list *lists[6])
{
    struct list *all[6] = {&box->waiting, &box->running, &box->offered,
                           &box->moving,  &box->ready,   &box->swapped};
    memcpy(lists, all, sizeof all);
}

static void site_open(struct site *site, const struct reference_pool *pool, size_t jobs,
                      struct reference_sums *sums)
{
    *sums = (struct reference_sums){0};
    *site = (struct site){.pool = pool, .count = pool->lanes * pool->stages, .sums = sums};
    site->boxes = mem_array((size_t)site->count, sizeof *site->boxes);
    for (int64_t m = 0; m < pool->stages; m++)
        site->end_ns[m] = site->due_ns[m] = NONE;
    for (int64_t i = 0; i < site->count; i++) {
        struct list *lists[6];
        struct box *box = &site->boxes[i];
        *box = (struct box){.pool = pool, .site = site, .micro_batch = i / pool->lanes, .sums = sums};
        box->free_blocks = box->most_blocks = pool->blocks / pool->stages;
        box->host_blocks = pool->host_blocks / pool->stages;
        box->seqs = (pool->seqs + pool->stages - 1) / pool->stages;
        lists_of(box, lists);
        for (int k = 0; k < 6; k++)
            lists[k]->jobs = mem_array(jobs + 1, sizeof(struct job *));
    }
}

static void site_close(struct site *site)
{
    for (int64_t i = 0; i < site->count; i++) {
        struct list *lists[6];
        lists_of(&site->boxes[i], lists);
        for (int k = 0; k < 6; k++)
            mem_free(lists[k]->jobs);
    }
    mem_free(site->boxes);
}

void reference_run(const struct reference_config *config, const struct experiment_request *requests,
                   size_t count, struct reference_row *rows, struct reference_sums sums[2])
{
    struct world world = {.config = config, .jobs = mem_array(count, sizeof(struct job)), .count = count};
    site_open(&world.sites[0], &config->entry, count, &sums[0]);
    site_open(&world.sites[1], &config->decode, count, &sums[1]);
    world.handing.jobs = mem_array(count + 1, sizeof(struct job *));
    world.moving.jobs = mem_array(count + 1, sizeof(struct job *));
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
    site_close(&world.sites[0]);
    site_close(&world.sites[1]);
    mem_free(world.handing.jobs);
    mem_free(world.moving.jobs);
    mem_free(world.jobs);
}
