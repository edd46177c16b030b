/* What the second simulator computes next: queues, policies, preemption. */
#include "reference_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void push(struct list *list, size_t at, struct job *job)
{
    memmove(&list->jobs[at + 1], &list->jobs[at], (list->count - at) * sizeof *list->jobs);
    list->jobs[at] = job;
    list->count++;
}

struct job *take_out(struct list *list, size_t at)
{
    struct job *job = list->jobs[at];
    list->count--;
    memmove(&list->jobs[at], &list->jobs[at + 1], (list->count - at) * sizeof *list->jobs);
    return job;
}

void take_out_job(struct list *list, const struct job *job)
{
    size_t at = 0;
    while (list->jobs[at] != job)
        at++;
    take_out(list, at);
}

int64_t blocks_of(const struct box *box, int64_t tokens)
{
    return (tokens + box->pool->block_tokens - 1) / box->pool->block_tokens;
}

int64_t known(const struct job *job)
{
    return job->request->prompt_tokens + job->generated;
}

void note_peak(struct site *site)
{
    uint64_t used = 0;
    for (int64_t i = 0; i < site->count; i++)
        used += (uint64_t)(site->boxes[i].most_blocks - site->boxes[i].free_blocks);
    site->sums->peak_blocks = used > site->sums->peak_blocks ? used : site->sums->peak_blocks;
}

void allocate(struct box *box, struct job *job, int64_t blocks)
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

bool may_admit(struct box *box, const struct job *job, int64_t blocks)
{
    double high = box->pool->watermark_high;
    if (box->free_blocks >= (int64_t)(high * (double)box->most_blocks))
        box->stopped = false;
    if (!box->stopped && box->free_blocks - watermark(box) >= blocks)
        return true;
    box->stopped = high > 0;
    box->blocked = true;
    box->blocker = job;
    return false;
}

/* What waiting jobs are sorted by. */
static int64_t rank(const struct box *box, const struct job *job)
{
    switch (box->pool->order) {
    case ORDER_PRIORITY:
        return job->request->priority;
    case ORDER_SHORTEST_PROMPT:
        return job->request->prompt_tokens;
    case ORDER_LONGEST_PROMPT:
        return -job->request->prompt_tokens;
    default:
        return 0;
    }
}

/* Whether one waits behind another: a class is in order of arrival, whoever was preempted; else those that
 * were come first. */
static bool behind(const struct box *box, const struct job *job, const struct job *other)
{
    if (box->pool->order == ORDER_PRIORITY && rank(box, other) == rank(box, job))
        return other->request < job->request;
    if (box->pool->order != ORDER_PRIORITY && other->admitted > 0)
        return true;
    return rank(box, other) <= rank(box, job);
}

void enqueue(struct box *box, struct job *job)
{
    size_t at = 0;
    while (at < box->waiting.count && behind(box, job, box->waiting.jobs[at]))
        at++;
    push(&box->waiting, at, job);
}

/* The most of a prompt that is computed at once. */
static int64_t chunk(const struct box *box, const struct job *job, double load)
{
    const struct reference_pool *pool = box->pool;
    int64_t all = known(job), most = pool->threshold > 0 ? pool->threshold : INT64_MAX, size = most;
    if (pool->policy == REFERENCE_ADAPTIVE)
        size = load > pool->adaptive.load                 ? pool->adaptive.load_tokens
               : all > pool->adaptive.long_prompt_tokens  ? pool->adaptive.long_tokens
               : all < pool->adaptive.short_prompt_tokens ? all
                                                          : pool->adaptive.base_tokens;
    return size < most ? size : most;
}

static size_t victim_of(const struct box *box)
{
    size_t victim = box->running.count - 1;
    for (size_t i = victim; box->pool->by_priority && i-- > 0;)
        if (box->running.jobs[i]->request->priority > box->running.jobs[victim]->request->priority)
            victim = i;
    return victim;
}

/* What it was to compute in this iteration is for others. */
static void preempt(struct box *box, size_t at, int64_t *budget, int64_t now_ns)
{
    struct job *victim = take_out(&box->running, at);
    box->free_blocks += victim->blocks;
    if (victim->planned > 0) {
        victim->blocks -= victim->got;
        *budget += victim->planned;
    }
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
    if (box->returns) {
        victim->context = known(victim);
        victim->admitted = 0;
        victim->return_ns = now_ns + box->return_after_ns;
        push(box->returns, box->returns->count, victim);
        return;
    }
    if (box->pool->order == ORDER_PRIORITY)
        enqueue(box, victim);
    else
        push(&box->waiting, 0, victim);
}

/* Every running job in admission order, within the budget. Returns whether any was preempted. */
static bool plan_running(struct box *box, int64_t *budget, double load, int64_t now_ns)
{
    bool preempted = false;
    for (size_t i = 0; i<box->running.count && * budget> 0; i++) {
        struct job *job = box->running.jobs[i];
        int64_t n = known(job) - job->computed;
        if (n > chunk(box, job, load))
            n = chunk(box, job, load);
        if (n > *budget)
            n = *budget;
        int64_t need = blocks_of(box, job->computed + n) - job->blocks;
        need = need > 0 ? need : 0;
        bool gone = false;
        while (box->free_blocks < need && !gone) {
            size_t victim = victim_of(box);
            gone = victim == i;
            i -= victim <= i; /* the list moves up */
            preempt(box, victim, budget, now_ns);
            preempted = true;
        }
        if (gone)
            continue;
        allocate(box, job, need);
        job->got = need;
        job->planned = n;
        *budget -= n;
    }
    return preempted;
}

/* Swapped jobs in order: with their own blocks and what they need to go on. */
static void plan_swapped(struct box *box, int64_t *budget, double load, int64_t now_ns)
{
    while (box->swapped.count > 0 && (int64_t)box->running.count<box->seqs && * budget> 0) {
        struct job *job = box->swapped.jobs[0];
        int64_t n = known(job) - job->computed, own = job->blocks, whole = blocks_of(box, known(job));
        if (box->free_blocks - watermark(box) < (whole > own ? whole : own)) {
            box->blocked = true;
            box->blocker = job;
            return;
        }
        if (n > chunk(box, job, load))
            n = chunk(box, job, load);
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
        job->row->prefill_queue_ns += now_ns - job->stage_ns;
    else
        job->row->stalled_ns += now_ns - job->stage_ns;
    push(&box->running, box->running.count, job);
    allocate(box, job, blocks_of(box, n));
    job->planned = n;
}

/* Waiting jobs, in order, in chunks or whole. Returns whether any was admitted. */
static bool plan_waiting(struct box *box, bool whole, int64_t budget, double load, int64_t now_ns)
{
    bool admitted = false;
    while (box->waiting.count > 0 && box->swapped.count == 0 && (int64_t)box->running.count < box->seqs) {
        const struct job *job = box->waiting.jobs[0];
        int64_t n = known(job);
        if (whole ? admitted && n > budget : budget <= 0)
            break;
        if (!may_admit(box, job, blocks_of(box, n)))
            break;
        if (!whole && n > chunk(box, job, load))
            n = chunk(box, job, load);
        if (!whole && n > budget)
            n = budget;
        admit(box, n, now_ns);
        admitted = true;
        budget -= n;
    }
    return admitted;
}

/* Blocks of a place for so many tokens; of the longest that there is where it need not hold them all, else
 * -1 where none does. */
static int64_t place_for(const struct box *box, int64_t tokens, bool longest)
{
    const struct reference_pool *pool = box->pool;
    int64_t blocks = blocks_of(box, tokens);
    if (pool->places == REFERENCE_ANYWHERE || pool->places == REFERENCE_EXACT)
        return blocks <= box->most_blocks ? blocks : longest ? box->most_blocks : -1;
    for (int i = pool->places == REFERENCE_MAX ? REFERENCE_CLASSES - 1 : 0; i < REFERENCE_CLASSES; i++)
        if (blocks_of(box, pool->place_tokens[i]) >= blocks)
            return blocks_of(box, pool->place_tokens[i]);
    return longest ? blocks_of(box, pool->place_tokens[REFERENCE_CLASSES - 1]) : -1;
}

/* Places of so many blocks that an empty cache has. Each class of slabs has its part of the blocks. */
static int64_t places_of(const struct box *box, int64_t blocks)
{
    return box->most_blocks / (box->pool->places == REFERENCE_SLAB ? REFERENCE_CLASSES : 1) / blocks;
}

/* A static batch: as many of the first as have room, each with blocks for the longest prompt and limit. */
static void plan_batch(struct box *box, int64_t now_ns)
{
    const struct reference_pool *pool = box->pool;
    int64_t oldest_ns = NONE, count = 0, prompt = 0, limit = 0, blocks = 0;
    for (size_t i = 0; i < box->waiting.count; i++)
        oldest_ns = box->waiting.jobs[i]->stage_ns < oldest_ns ? box->waiting.jobs[i]->stage_ns : oldest_ns;
    if ((int64_t)box->waiting.count < pool->batch_size && now_ns < oldest_ns + pool->timeout_ns) {
        box->again_ns = box->waiting.count > 0 ? oldest_ns + pool->timeout_ns : NONE;
        return;
    }
    while (count < (int64_t)box->waiting.count && count < pool->batch_size && count < box->seqs) {
        const struct experiment_request *next = box->waiting.jobs[count]->request;
        int64_t longer = next->prompt_tokens > prompt ? next->prompt_tokens : prompt;
        int64_t higher = next->max_tokens > limit ? next->max_tokens : limit;
        int64_t need = place_for(box, longer + higher - 1, count == 0);
        if (need < 0 || places_of(box, need) <= count)
            break;
        prompt = longer;
        limit = higher;
        blocks = need;
        count++;
    }
    for (int64_t i = 0; i < count; i++)
        admit(box, box->waiting.jobs[0]->request->prompt_tokens, now_ns);
    for (int64_t i = 0; i < count; i++)
        allocate(box, box->running.jobs[i], blocks - box->running.jobs[i]->blocks);
    box->padded_tokens = prompt;
}

/* All of the batch in progress decode, if there is one. */
static void plan_static(struct box *box, int64_t now_ns)
{
    for (size_t i = 0; i < box->running.count; i++) {
        box->running.jobs[i]->planned = 1;
        box->blocked |= box->running.jobs[i]->ended;
    }
    if (box->running.count == 0)
        plan_batch(box, now_ns);
}

bool plan(struct box *box, int64_t now_ns)
{
    double load = (double)(box->most_blocks - box->free_blocks) / (double)box->most_blocks;
    int64_t budget = box->pool->budget;
    bool preempted = false;
    switch (box->pool->policy) {
    case REFERENCE_CHUNKED:
    case REFERENCE_ADAPTIVE:
        preempted = plan_running(box, &budget, load, now_ns);
        if (!preempted)
            plan_swapped(box, &budget, load, now_ns);
        if (!preempted)
            plan_waiting(box, false, budget, load, now_ns);
        break;
    case REFERENCE_CONTINUOUS:
        if (plan_waiting(box, true, budget, load, now_ns))
            break;
        preempted = plan_running(box, &budget, load, now_ns);
        if (!preempted)
            plan_swapped(box, &budget, load, now_ns);
        break;
    case REFERENCE_WHOLE_PROMPTS:
        plan_waiting(box, true, budget, load, now_ns);
        break;
    case REFERENCE_STATIC:
        plan_static(box, now_ns);
        break;
    }
    if (preempted) {
        box->stopped = box->pool->watermark_high > 0;
        box->blocked = true;
        box->blocker = box->swapped.count > 0   ? box->swapped.jobs[0]
                       : box->waiting.count > 0 ? box->waiting.jobs[0]
                                                : NULL;
    }
    return preempted;
}
