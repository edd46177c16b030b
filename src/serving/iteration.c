/* One iteration: what is in it, how long it takes, what it brings. */
#include "internal.h"

struct gauge instance_gauge(const struct instance *instance)
{
    int64_t waiting = instance->waiting_count + (int64_t)(instance->offered.count + instance->swapped.count);
    return (struct gauge){
        .waiting = waiting,
        .running = instance->running,
        .moving = instance->moving,
        .kv_blocks = instance->kv.used_blocks,
        .kv_tokens = tokens_cached(instance),
        /* All that are free: no run of them is long enough. */
        .kv_stranded_blocks = instance->unplaced ? kv_free_blocks(&instance->kv) : 0,
        .phase = (enum phase)instance->phase,
        .blocked = instance->is_blocked && waiting > 0,
    };
}

void instance_account_until(struct instance *instance, int64_t now_ns)
{
    struct gauge gauge = instance_gauge(instance);
    if (gauge.kv_tokens > instance->peak_tokens)
        instance->peak_tokens = gauge.kv_tokens;
    if (gauge_any(&gauge))
        meter_span(&instance->meter, instance->accounted_ns, now_ns, &gauge);
    instance->accounted_ns = now_ns;
}

void request_token(struct instance *instance, struct request *request, int64_t now_ns)
{
    if (request->last_token_ns < 0) {
        request->row.ttft_ns = now_ns - request->row.arrival_ns;
    } else {
        int64_t gap_ns = now_ns - request->last_token_ns;
        if (metrics_in_window(instance->metrics, request->row.arrival_ns))
            metrics_gaps(instance->metrics, gap_ns, 1);
        if (gap_ns > request->row.max_itl_ns)
            request->row.max_itl_ns = gap_ns;
    }
    request->last_token_ns = now_ns;
}

uint64_t effort_context_x2(const struct instance_config *config, int64_t tokens)
{
    int64_t sum = config->full_layers * tokens * tokens;
    if (config->sliding_window > 0)
        sum += config->sliding_layers * work_sliding_x2(tokens, config->sliding_window);
    return (uint64_t)sum;
}

uint64_t effort_read_tokens(const struct instance_config *config, int64_t before, int64_t chunk)
{
    int64_t sum = config->full_layers * (before + chunk);
    if (config->sliding_window > 0)
        sum += config->sliding_layers * work_sliding_read(before, chunk, config->sliding_window);
    return (uint64_t)sum;
}

uint64_t effort_decode_tokens(const struct instance_config *config, int64_t cached_tokens)
{
    int64_t seen = cached_tokens + 1, window = config->sliding_window;
    return (uint64_t)(config->full_layers * seen + config->sliding_layers * (seen < window ? seen : window));
}

/* Adds what a prefill item computes and moves. What was computed before a preemption comes first in a chunk;
 * only the rest of it is new. */
static void add_item_effort(const struct instance_config *config, const struct sequence *sequence,
                            struct effort *effort)
{
    int64_t before = sequence->computed_tokens, end = before + sequence->chunk_tokens;
    int64_t prompt = sequence->request->prompt_tokens;
    int64_t new_from = before;
    if (new_from < sequence->highest_computed_tokens)
        new_from = end < sequence->highest_computed_tokens ? end : sequence->highest_computed_tokens;
    effort->tokens += (uint64_t)(end - before);
    effort->logit_rows += end == sequence->known_tokens;
    effort->context_x2 += effort_context_x2(config, end) - effort_context_x2(config, before);
    effort->recomputed_tokens += (uint64_t)(new_from - before);
    if (new_from > before)
        effort->recomputed_context_x2 +=
            effort_context_x2(config, new_from) - effort_context_x2(config, before);
    if (new_from < prompt)
        effort->prompt_tokens += (uint64_t)((end < prompt ? end : prompt) - new_from);
    effort->kv_read_tokens += effort_read_tokens(config, before, end - before);
}

/* Without a cache: the next token of a sequence of c comes from c + 1, all but one of which were computed
 * before. */
static int64_t whole_squares(const struct batch *batch)
{
    return batch->squares + 2 * batch->cached_tokens + batch->count;
}

static struct effort whole_effort(const struct batch *batch, struct effort effort)
{
    effort.tokens = (uint64_t)(batch->cached_tokens + batch->count);
    effort.recomputed_tokens = (uint64_t)batch->cached_tokens;
    effort.logit_rows = (uint64_t)batch->count;
    effort.context_x2 = (uint64_t)whole_squares(batch);
    effort.recomputed_context_x2 = (uint64_t)batch->squares;
    effort.kv_read_tokens = effort.tokens;
    return effort;
}

/* The same for the timer: prompts of that length. */
static void add_whole_sequences(const struct batch *batch, struct work *work)
{
    int64_t tokens = batch->cached_tokens + batch->count, squares = whole_squares(batch);
    work->prefill_tokens += tokens;
    work->prefill_work_x2 += squares;
    work->prefill_kv_tokens += tokens;
    work->prefill_scores += squares;
    work->logit_rows += batch->count;
}

/* What the decode batch sees, the tokens at hand included; over layers where there are windows. */
static uint64_t decode_context(const struct instance *instance)
{
    const struct instance_config *config = instance->config;
    const struct batch *batch = &instance->batch;
    return (uint64_t)(config->full_layers * (batch->cached_tokens + batch->count) +
                      config->sliding_layers * (batch->sliding_tokens + batch->count));
}

/* What the iteration in progress computes and moves. Each decode sees its cached tokens and the one that it
 * computes. */
static struct effort iteration_effort(const struct instance *instance)
{
    const struct schedule *schedule = &instance->schedule;
    const struct instance_config *config = instance->config;
    struct effort effort = {.iterations = 1, .expert_bytes = instance->expert_bytes};
    if (schedule->decode && config->no_cache) {
        effort = whole_effort(&instance->batch, effort);
    } else if (schedule->decode) {
        effort.tokens = effort.logit_rows = (uint64_t)instance->batch.count;
        effort.kv_read_tokens = decode_context(instance);
        effort.context_x2 = 2 * effort.kv_read_tokens;
    }
    for (size_t i = 0; i < schedule->item_count; i++)
        add_item_effort(config, &instance->sequences[schedule->items[i]], &effort);
    if (instance->padded_slots > 0)
        padded_effort(instance, &effort);
    return effort;
}

/* What the timer has to know of the planned batch. */
static void describe_work(const struct instance *instance, struct work *work)
{
    const struct schedule *schedule = &instance->schedule;
    if (instance->padded_slots > 0) {
        padded_work(instance, work);
        return;
    }
    *work = (struct work){0};
    int64_t window = instance->config->sliding_window;
    if (schedule->decode && instance->config->no_cache) {
        add_whole_sequences(&instance->batch, work);
    } else if (schedule->decode) {
        work->decode_sequences = instance->batch.count;
        work->decode_context_tokens = instance->batch.cached_tokens + instance->batch.count;
        work->logit_rows = instance->batch.count;
        work->longest_context_tokens = batch_longest_context(instance);
        if (window > 0)
            work->sliding_context_tokens = instance->batch.sliding_tokens + instance->batch.count;
    }
    for (size_t i = 0; i < schedule->item_count; i++) {
        const struct sequence *sequence = &instance->sequences[schedule->items[i]];
        work_add_chunk(work, sequence->computed_tokens, sequence->chunk_tokens, window);
        work->logit_rows += sequence->computed_tokens + sequence->chunk_tokens == sequence->known_tokens;
    }
}

bool iteration_plan(struct instance *instance, int64_t now_ns, struct work *work)
{
    struct schedule *schedule = &instance->schedule;
    instance_account(instance, now_ns);
    blocked_end(instance, now_ns);
    instance->boundary_due = false;
    instance->due_ns = SIMTIME_NEVER;
    if (deadlines_any(instance))
        waiting_expire(instance, now_ns);
    schedule_begin(schedule);
    handoff_join(instance, now_ns);
    schedulers[instance->config->limits.policy]->plan(schedule, &instance->config->limits);
    if (schedule->preempted == 0) {
        handoff_reserve(instance, now_ns);
    } else {
        while (instance->gone.count > 0)
            sequence_free(instance, ring_pop_front(&instance->gone));
        admission_stop(instance);
        blocked_begin(instance, instance->swapped.count > 0   ? ring_front(&instance->swapped)
                                : instance->waiting_count > 0 ? waiting_first(instance)
                                                              : NO_SLOT);
    }
    if (!schedule_any(schedule)) {
        /* The only running sequence preempted itself: its seat is for one whose KV has come, at once; or for
         * itself, if no second place was long enough but the one that it left is; or its blocks are for
         * others, if it has gone back to prefill. Or hand-offs had to get blocks first. */
        instance->boundary_due =
            schedule->handed ||
            (schedule->preempted > 0 &&
             (instance->ready.count > 0 || instance->kv.placed ||
              (instance->offered.count > 0 && instance->waiting_count == 0 && instance->swapped.count == 0)));
        return false;
    }
    if (instance->config->no_cache && schedule->decode)
        schedule->prefill_tokens += instance->batch.cached_tokens;
    if (instance->config->mode == MODE_NAIVE && room_counts(instance))
        room_check(schedule);
    describe_work(instance, work);
    return true;
}

void iteration_begin(struct instance *instance, int64_t now_ns, int64_t length_ns, int64_t alone_ns)
{
    const struct schedule *schedule = &instance->schedule;
    int64_t own_ns = schedule->decode ? alone_ns : 0; /* of the batch, which does without this iteration */
    instance->phase = schedule->item_count == 0 ? PHASE_DECODE
                      : schedule->decode        ? PHASE_MIXED
                                                : PHASE_PREFILL;
    instance->busy = true;
    instance->begun_ns = now_ns;
    instance->iteration_end_ns = now_ns + length_ns;
    instance->lengthened_ns = own_ns < length_ns ? length_ns - own_ns : 0;
    if (instance->config->handoff.overlap == OVERLAP_LAYER && instance->config->role == ROLE_PREFILL)
        handoff_push_layers(instance, length_ns, now_ns);
}

void iteration_record(struct instance *const *lanes, size_t count, const struct work *works, size_t working,
                      size_t group)
{
    struct iteration_row row = {.instance = (int32_t)(lanes[0]->entity - ENTITY_FIRST_INSTANCE),
                                .group = (uint32_t)group,
                                .phase = lanes[0]->phase};
    for (size_t i = 0; i < working; i++) {
        row.prefill_tokens += (uint64_t)works[i].prefill_tokens;
        row.prefill_context_tokens += (uint64_t)works[i].prefill_kv_tokens;
        row.decode_sequences += (uint64_t)works[i].decode_sequences;
        row.decode_context_tokens += (uint64_t)works[i].decode_context_tokens;
    }
    for (size_t i = 0; i < count; i++) {
        row.kv_used_blocks += (uint64_t)lanes[i]->kv.used_blocks;
        if (!lanes[i]->busy)
            continue;
        row.start_ns = lanes[i]->begun_ns;
        row.duration_ns = lanes[i]->iteration_end_ns - lanes[i]->begun_ns;
    }
    iteration_log_add(lanes[0]->config->iterations, &row);
}

/* The prompt (or what was to be recomputed) is in the cache: the next token is sampled. */
static void prompt_complete(struct instance *instance, uint32_t slot, int64_t now_ns)
{
    struct sequence *sequence = &instance->sequences[slot];
    struct request *request = sequence->request;
    bool prefills = instance->config->role == ROLE_PREFILL && !sequence->settled;
    bool first_time = request->generated_tokens == 0 && !prefills && request->row.decode_instance < 0;
    partial_remove(instance, slot);
    sequence->cached_tokens = sequence->known_tokens;
    if (first_time || prefills) {
        request->row.prefill_ns += request_stage(request, now_ns);
        if (request->row.ttft_prefill_ns == 0) /* it may come back */
            request->row.ttft_prefill_ns = now_ns - request->row.arrival_ns;
    }
    if (prefills) {
        handoff_send(instance, slot, now_ns);
        return;
    }
    request->generated_tokens++;
    request_token(instance, request, now_ns);
    if (request->generated_tokens == request->output_tokens)
        instance_finish(instance, slot, now_ns);
    else
        batch_join(instance, slot);
}

/* Advances a prefill item by its chunk. */
static void item_done(struct instance *instance, uint32_t slot, int64_t now_ns)
{
    struct sequence *sequence = &instance->sequences[slot];
    sequence->computed_tokens += sequence->chunk_tokens;
    cache_outside(instance, slot, sequence->computed_tokens);
    instance->queued_tokens -= sequence->chunk_tokens;
    if (instance->config->handoff.overlap == OVERLAP_CHUNK && instance->config->role == ROLE_PREFILL)
        handoff_push(instance, slot, sequence->computed_tokens, 0, now_ns);
    if (sequence->computed_tokens == sequence->known_tokens)
        prompt_complete(instance, slot, now_ns);
}

/* Tokens that the iteration makes visible: one a decode and one a prompt that is complete, unless it moves on
 * first. */
static int64_t visible_tokens(const struct instance *instance)
{
    const struct schedule *schedule = &instance->schedule;
    int64_t visible = schedule->decode ? instance->batch.count : 0;
    bool moves_on = instance->config->role == ROLE_PREFILL &&
                    instance->config->handoff.first_token != FIRST_TOKEN_PREFILL;
    for (size_t i = 0; i < schedule->item_count; i++) {
        const struct sequence *sequence = &instance->sequences[schedule->items[i]];
        visible += (!moves_on || sequence->settled) &&
                   sequence->computed_tokens + sequence->chunk_tokens == sequence->known_tokens;
    }
    return visible;
}

void iteration_count(struct instance *instance, int64_t now_ns)
{
    const struct schedule *schedule = &instance->schedule;
    enum phase phase = (enum phase)instance->phase;
    instance_account(instance, now_ns);
    if (schedule->decode && schedule->item_count == 0 && !instance->config->no_cache &&
        instance->padded_slots == 0) {
        meter_decode(&instance->meter, now_ns, phase, (uint64_t)instance->batch.count,
                     decode_context(instance), instance->expert_bytes);
        return;
    }
    struct effort effort = iteration_effort(instance);
    meter_iteration(&instance->meter, now_ns, phase, (uint64_t)schedule->prefill_tokens,
                    (uint64_t)visible_tokens(instance), &effort);
}

/* The request that ends now was last seen seconds ago: it comes from memory while the iteration is accounted.
 */
static void fetch_ended(const struct instance *instance)
{
    const struct heap_entry *top = heap_top(&instance->batch.ends);
    if (top && top->key == instance->batch.step + 1)
        mem_fetch(instance->sequences[top->id].request, sizeof(struct request));
}

/* Decodes were in the iteration that ends, or sat it out. */
static void count_lengthened(struct instance *instance, int64_t now_ns)
{
    struct gauge gauge = instance_gauge(instance);
    metrics_lengthened(instance->metrics, &instance->meter.usage, now_ns, gauge.phase,
                       instance->lengthened_ns, gauge.blocked);
}

void iteration_finish(struct instance *instance, int64_t now_ns)
{
    const struct schedule *schedule = &instance->schedule;
    fetch_ended(instance);
    iteration_count(instance, now_ns);
    instance->interference_ns += instance->lengthened_ns;
    if (instance->lengthened_ns > 0 && (instance->batch.count > 0 || schedule->parked_count > 0))
        count_lengthened(instance, now_ns);
    if (schedule->decode) {
        batch_step(instance, now_ns);
        for (size_t i = 0; i < instance->ended_count; i++) {
            batch_leave(instance, instance->ended[i]);
            instance_finish(instance, instance->ended[i], now_ns);
        }
    }
    for (size_t i = 0; i < schedule->item_count; i++)
        item_done(instance, schedule->items[i], now_ns);
    for (size_t i = 0; i < schedule->parked_count; i++) {
        instance->sequences[schedule->parked[i]].request->row.interference_ns += now_ns - instance->begun_ns;
        batch_join(instance, schedule->parked[i]);
    }
    instance->busy = false;
    instance->phase = PHASE_IDLE;
}
