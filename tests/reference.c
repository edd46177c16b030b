#include "reference_internal.h"

#include <string.h>

#include "tandem/mem.h"

/* Tokens that the decode instance has to have free, and takes, for a hand-off. */
static int64_t wanted_tokens(const struct world *world, const struct box *box, const struct job *job,
                             int64_t *taken)
{
    const struct reference_config *config = world->config;
    int64_t prompt = job->context;
    int64_t there = (int64_t)(box->running.count + box->moving.count + box->ready.count);
    *taken = prompt + 1;
    if (config->handoff.reserve_tokens == RESERVE_MAX)
        *taken = job->request->prompt_tokens + job->request->max_tokens;
    if (config->handoff.reserve_tokens != RESERVE_HEADROOM)
        return *taken;
    *taken = prompt;
    return there > 0 ? prompt + config->handoff.headroom_tokens * (there + 1) : prompt;
}

/* Decode instance: blocks for hand-offs, in order, while there are seats; nobody preempted may be waiting. */
static void reserve(struct world *world, struct box *box, int64_t now_ns)
{
    const struct reference_config *config = world->config;
    while (box->offered.count > 0 && box->waiting.count == 0 && box->swapped.count == 0 &&
           (int64_t)box->running.count < box->seqs) {
        struct job *job = box->offered.jobs[0];
        int64_t taken, wanted = wanted_tokens(world, box, job, &taken), need = blocks_of(box, taken);
        if (box->free_blocks * box->pool->block_tokens < wanted && wanted > taken) {
            box->stopped = box->pool->watermark_high > 0;
            box->blocked = true;
            box->blocker = job;
            return;
        }
        if (!may_admit(box, job, need))
            return;
        allocate(box, job, need);
        take_out(&box->offered, 0);
        push(&box->moving, box->moving.count, job);
        job->row->decode_queue_ns += now_ns - job->stage_ns;
        if (before_prefill(world)) {
            job->reserved = job->blocks;
            job->blocks = 0;
            job->grant_ns = now_ns + config->latency_ns;
            push(&world->granted, world->granted.count, job);
        } else {
            transfer(world, job, now_ns);
        }
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
    job->ended = true;
    if (box->pool->policy == REFERENCE_STATIC) {
        for (size_t i = 0; i < box->running.count; i++)
            if (!box->running.jobs[i]->ended)
                return;
        for (size_t i = 0; i < box->running.count; i++)
            box->free_blocks += box->running.jobs[i]->blocks;
        box->running.count = 0;
        return;
    }
    take_out_job(&box->running, job);
    box->free_blocks += job->blocks;
    job->blocks = 0;
}

static void join(struct world *world, struct box *box, int64_t now_ns)
{
    while (box->ready.count > 0 && (int64_t)box->running.count < box->seqs) {
        struct job *job = take_out(&box->ready, 0);
        push(&box->running, box->running.count, job);
        job->row->admission_ns += now_ns - job->done_ns;
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
    int64_t prompt_tokens = 0;
    for (size_t i = 0; i < box->running.count; i++) {
        const struct job *job = box->running.jobs[i];
        int64_t n = job->planned;
        if (n == 0)
            continue;
        bool padded = box->pool->policy == REFERENCE_STATIC;
        work.logit_rows += padded || job->computed + n == known(job);
        if (job->decoding) {
            work.decode_sequences++;
            work.decode_context_tokens += (padded ? box->padded_tokens : job->computed) + 1;
            continue;
        }
        n = padded ? box->padded_tokens : n;
        work.prefill_tokens += n;
        work.prefill_work_x2 += n * (2 * job->computed + n);
        prompt_tokens += job->planned;
    }
    *sums = work;
    if (work.prefill_tokens + work.decode_sequences == 0)
        return false;
    box->sums->prefill_tokens += (uint64_t)prompt_tokens;
    return true;
}

/* Whether there is something to compute, and what. */
static bool boundary(struct world *world, struct box *box, int64_t now_ns, struct work *work)
{
    for (;;) {
        box->blocked = false;
        box->blocker = NULL;
        box->again_ns = NONE;
        join(world, box, now_ns);
        bool preempted = plan(box, now_ns);
        if (!preempted)
            reserve(world, box, now_ns);
        if (describe(box, work))
            return true;
        bool offers = box->offered.count > 0 && box->waiting.count == 0 && box->swapped.count == 0;
        if (!preempted || (box->ready.count == 0 && !offers))
            return false;
    }
}

/* An iteration of some lanes on one stage after another, which are free at times that it changes; its end.
 * One lane on one stage: the timer has it whole. */
static int64_t through_stages(const struct reference_pool *pool, const struct work *works, int64_t lanes,
                              int64_t copy_ns, int64_t *free_ns, int64_t now_ns)
{
    int64_t arrived_ns = now_ns, longest = 0;
    if (pool->lanes * pool->stages == 1)
        return free_ns[0] = now_ns + copy_ns + timer_iteration_ns(pool->timers[0], &works[0]);
    for (int64_t i = 0; i < lanes; i++) {
        int64_t tokens = works[i].prefill_tokens + works[i].decode_sequences;
        longest = tokens > longest ? tokens : longest;
    }
    for (int64_t s = 0; s < pool->stages; s++) {
        struct timer_span span = timer_span(pool->timers[s], works, lanes);
        int64_t host_from_ns = free_ns[s] > now_ns ? free_ns[s] : now_ns;
        int64_t start_ns = host_from_ns + span.host_ns;
        start_ns = arrived_ns > start_ns ? arrived_ns : start_ns;
        free_ns[s] = start_ns + copy_ns + span.gpu_ns;
        arrived_ns = free_ns[s] + timer_send_ns(pool->timers[s], longest);
    }
    return free_ns[pool->stages - 1];
}

/* When the decodes of these lanes would be done by themselves. */
static int64_t decodes_alone(const struct site *site, const struct work *works, int64_t lanes,
                             int64_t copy_ns, int64_t now_ns)
{
    struct work decodes[16];
    int64_t free_ns[REFERENCE_STAGES], count = 0;
    memcpy(free_ns, site->free_ns, sizeof free_ns);
    for (int64_t i = 0; i < lanes; i++) {
        if (works[i].decode_sequences == 0)
            continue;
        decodes[count] = works[i];
        decodes[count].prefill_tokens = decodes[count].prefill_work_x2 = 0;
        decodes[count].logit_rows = works[i].decode_sequences;
        count++;
    }
    return count > 0 ? through_stages(site->pool, decodes, count, copy_ns, free_ns, now_ns) : now_ns;
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
    int64_t first = micro_batch * site->pool->lanes;
    site->due_ns[micro_batch] = NONE;
    for (int64_t i = first; i < first + site->pool->lanes; i++) {
        struct box *box = &site->boxes[i];
        bool any = boundary(world, box, now_ns, &works[lanes]);
        box->own_ns = any && works[lanes].decode_sequences > 0;
        if (!any)
            continue;
        lanes++;
        copied_blocks = box->copied_blocks > copied_blocks ? box->copied_blocks : copied_blocks;
        box->copied_blocks = 0;
    }
    int64_t copy_ns = simtime_from_ns((double)copied_blocks * site->pool->swap_ns_per_block);
    if (lanes == 0)
        return;
    int64_t alone_ns = decodes_alone(site, works, lanes, copy_ns, now_ns) - now_ns;
    site->begin_ns[micro_batch] = now_ns;
    site->end_ns[micro_batch] = through_stages(site->pool, works, lanes, copy_ns, site->free_ns, now_ns);
    for (int64_t i = first; i < first + site->pool->lanes; i++)
        site->boxes[i].own_ns *= alone_ns;
    count_iterations(site->boxes[0].sums, works, lanes);
    for (int64_t i = first; i < first + site->pool->lanes; i++)
        for (size_t k = 0; k < site->boxes[i].running.count; k++) {
            struct job *job = site->boxes[i].running.jobs[k];
            if (job->planned > 0)
                overlap(world, job, OVERLAP_LAYER, job->computed + job->planned,
                        site->end_ns[micro_batch] - now_ns, now_ns);
        }
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
    int64_t ended = 0;
    for (size_t i = 0; i < box->running.count; i++)
        ended += box->running.jobs[i]->ended;
    return (int64_t)(box->waiting.count + box->running.count + box->offered.count + box->moving.count +
                     box->ready.count + box->swapped.count) -
           ended;
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

static bool ends_at_prefill(const struct world *world, const struct job *job)
{
    return world->config->first_token == REFERENCE_PREFILL &&
           job->request->output_tokens == job->generated + 1;
}

/* Prefill instance: the prompt is done; it goes to the decode instance and its blocks stay. */
static void hand_off(struct world *world, struct box *box, struct job *job, int64_t now_ns)
{
    bool last = ends_at_prefill(world, job);
    if (world->config->first_token != REFERENCE_DECODE)
        job->generated++;
    if (world->config->first_token == REFERENCE_PREFILL)
        token(box, job, now_ns);
    if (last) {
        finish(box, job);
        return;
    }
    take_out_job(&box->running, job);
    job->held = job->blocks;
    job->holder = box;
    job->blocks = job->reserved;
    job->reserved = 0;
    if (before_prefill(world)) {
        transfer(world, job, now_ns);
        return;
    }
    job->handoff_ns = now_ns + 2 * world->config->latency_ns;
    push(&world->handing, world->handing.count, job);
}

static void step(struct world *world, struct box *box, struct job *job, int64_t now_ns)
{
    job->computed += job->planned;
    job->planned = 0;
    overlap(world, job, OVERLAP_CHUNK, job->computed, 0, now_ns);
    if (job->ended)
        return;
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

/* It waits to be computed, or for blocks, from now on. */
static void come_to_entry(struct world *world, struct job *job, int64_t now_ns)
{
    struct box *box = choose(&world->sites[0]);
    job->stage_ns = now_ns;
    enqueue(box, job);
    touch(box, now_ns);
}

static void come_to_decode(struct world *world, struct job *job, int64_t now_ns)
{
    job->stage_ns = now_ns;
    job->decoder = choose(&world->sites[1]);
    push(&job->decoder->offered, job->decoder->offered.count, job);
    touch(job->decoder, now_ns);
}

static void come(struct world *world, struct job *job, int64_t now_ns)
{
    if (world->config->disaggregated && before_prefill(world) && !ends_at_prefill(world, job))
        come_to_decode(world, job, now_ns);
    else
        come_to_entry(world, job, now_ns);
}

/* Messages that come now, each kind in the order in which it was sent. The router sends on what it gets
 * before what it begins itself. */
static void receive(struct world *world, int64_t now_ns)
{
    while (world->returns.count > 0 && world->returns.jobs[0]->return_ns == now_ns)
        come(world, take_out(&world->returns, 0), now_ns);
    for (size_t i = 0; i < world->count; i++)
        if (world->jobs[i].request->send_ns + world->config->latency_ns == now_ns)
            come(world, &world->jobs[i], now_ns);
    while (world->handing.count > 0 && world->handing.jobs[0]->handoff_ns == now_ns)
        come_to_decode(world, take_out(&world->handing, 0), now_ns);
    while (world->granted.count > 0 && world->granted.jobs[0]->grant_ns == now_ns)
        come_to_entry(world, take_out(&world->granted, 0), now_ns);
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
    int64_t length_ns = now_ns - box->site->begin_ns[box->micro_batch];
    for (size_t i = 0; i < box->running.count; i++) {
        struct job *job = box->running.jobs[i];
        if (job->decoding && !job->ended)
            job->row->interference_ns += length_ns - (job->planned > 0 ? box->own_ns : 0);
        box->padded_tokens += i == 0 && job->decoding;
    }
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
        for (int64_t i = 0; i < site->count; i++)
            if (site->boxes[i].again_ns <= now_ns)
                touch(&site->boxes[i], now_ns);
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
        for (int64_t i = 0; i < site->count; i++)
            next_ns = earlier(next_ns, site->boxes[i].again_ns, now_ns);
        for (int64_t m = 0; m < site->pool->stages; m++)
            next_ns = earlier(next_ns, site->end_ns[m], now_ns);
    }
    for (size_t i = 0; i < world->count; i++) {
        const struct job *job = &world->jobs[i];
        next_ns = earlier(next_ns, job->request->send_ns + world->config->latency_ns, now_ns);
        next_ns = earlier(next_ns, job->handoff_ns, now_ns);
        next_ns = earlier(next_ns, job->done_ns, now_ns);
        next_ns = earlier(next_ns, job->grant_ns, now_ns);
        next_ns = earlier(next_ns, job->return_ns, now_ns);
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
        box->again_ns = NONE;
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

/* The queues of a site were as they are for so long. */
static void pass(struct site *site, int64_t length_ns)
{
    for (int64_t i = 0; i < site->count; i++) {
        struct box *box = &site->boxes[i];
        const struct list *queues[3] = {&box->swapped, &box->waiting, &box->offered};
        for (size_t k = 0; k < 3 * (size_t)box->blocked; k++)
            for (size_t j = 0; j < queues[k]->count; j++)
                if (queues[k]->jobs[j] != box->blocker)
                    queues[k]->jobs[j]->row->blocked_ns += length_ns;
    }
}

void reference_run(const struct reference_config *config, const struct experiment_request *requests,
                   size_t count, struct reference_row *rows, struct reference_sums sums[2])
{
    struct world world = {.config = config, .jobs = mem_array(count, sizeof(struct job)), .count = count};
    site_open(&world.sites[0], &config->entry, count, &sums[0]);
    site_open(&world.sites[1], &config->decode, count, &sums[1]);
    world.handing.jobs = mem_array(count + 1, sizeof(struct job *));
    world.moving.jobs = mem_array(count + 1, sizeof(struct job *));
    world.granted.jobs = mem_array(count + 1, sizeof(struct job *));
    world.returns.jobs = mem_array(count + 1, sizeof(struct job *));
    for (int64_t i = 0; i < world.sites[1].count && config->handoff.recompute_at; i++) {
        world.sites[1].boxes[i].returns = &world.returns;
        world.sites[1].boxes[i].return_after_ns = 2 * config->latency_ns;
    }
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct reference_row){0};
        world.jobs[i] = (struct job){.request = &requests[i],
                                     .row = &rows[i],
                                     .context = requests[i].prompt_tokens,
                                     .grant_ns = NONE,
                                     .return_ns = NONE,
                                     .last_token_ns = NONE,
                                     .handoff_ns = NONE,
                                     .done_ns = NONE};
    }
    int64_t before_ns = 0;
    for (int64_t now_ns = next_time(&world, -1); now_ns != NONE; now_ns = next_time(&world, now_ns)) {
        for (int s = 0; s < 2; s++)
            pass(&world.sites[s], now_ns - before_ns);
        before_ns = now_ns;
        happen(&world, now_ns);
    }
    site_close(&world.sites[0]);
    site_close(&world.sites[1]);
    mem_free(world.handing.jobs);
    mem_free(world.moving.jobs);
    mem_free(world.granted.jobs);
    mem_free(world.returns.jobs);
    mem_free(world.jobs);
}
