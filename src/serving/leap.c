/* Mode leaping: iterations at whose ends nothing can happen are not events. When one starts that only
 * decodes, the next eventful boundary is known as a step of the batch: a sequence ends there, or blocks could
 * run out. Until then every boundary is that of the step before: the same sequences decode, and what waits
 * goes on waiting, for want of a seat that only an end could free or of blocks that only get fewer. The
 * instance lets time pass and catches up when something comes, or when the boundary may be near. */
#include "internal.h"

/* The step that ends at a boundary at which blocks, or room for activations, could run out, or a sequence
 * needs another place: in B steps no sequence takes more than one block. */
static int64_t step_with_room(const struct instance *instance)
{
    const struct batch *batch = &instance->batch;
    if (instance->kv.placed)
        return batch_growth_step(instance);
    int64_t steps = kv_free_blocks(&instance->kv) / batch->count * instance->kv.block_tokens;
    if (room_counts(instance)) {
        int64_t fit = room_steps(instance);
        steps = fit < steps ? fit : steps;
    }
    return batch->step + 1 + steps;
}

/* Whether the iteration that starts decodes all that runs and does nothing else, so that the next one will.
 * Longer places leave others free, which what waits may fit; and blocks that cost time are taken one by one.
 * Who found no place and stopped admission with that looks for none at the next boundary: blocks are no
 * longer stranded then.
 */
static bool only_decodes(const struct instance *instance)
{
    const struct schedule *schedule = &instance->schedule;
    const struct kv *kv = &instance->kv;
    return schedule->decode && schedule->item_count == 0 && schedule->parked_count == 0 &&
           schedule->preempted == 0 && schedule->returned == 0 && !schedule->grown && !schedule->handed &&
           instance->partial_count == 0 &&
           (kv->placed ? !(instance->unplaced && instance->stopped) : kv->alloc_ns == 0);
}

void leap_predict(struct instance *instance)
{
    const struct batch *batch = &instance->batch;
    instance->eventful_step = batch->step + 1;
    if (instance->config->mode != MODE_LEAPING || !schedulers[instance->config->limits.policy]->steady ||
        deadlines_any(instance) || !only_decodes(instance))
        return; /* who waits too long leaves at the next boundary */
    const struct heap_entry *first = heap_top(&batch->ends);
    mem_fetch(&instance->sequences[first->id], sizeof(struct sequence));
    int64_t step = first->key;
    int64_t safe = step_with_room(instance);
    instance->eventful_step = step < safe ? step : safe;
    if (instance->eventful_step > batch->step + 1)
        instance->decode = timer_decode_begin(instance->config->timers[0], batch->count);
}

int64_t leap_wake_ns(const struct instance *instance)
{
    int64_t end_ns = instance->iteration_end_ns;
    int64_t steps = instance->eventful_step - instance->batch.step - 1;
    int64_t room_ns = SIMTIME_NEVER / 2 - end_ns; /* no leap goes beyond: sums of times must not overflow */
    if (instance->boundary_due || steps <= 0 || room_ns <= 0)
        return end_ns;
    /* Iterations do not get shorter as contexts grow, so this is not after the eventful boundary. */
    int64_t least_ns = instance->iteration_ns - TIMER_SLACK_NS;
    if (least_ns > 0 && steps > room_ns / least_ns)
        steps = room_ns / least_ns;
    return end_ns + steps * least_ns;
}

static bool uneventful(const struct instance *instance, int64_t until_ns)
{
    return instance->batch.step + 1 < instance->eventful_step && instance->iteration_end_ns <= until_ns;
}

static void start_next(struct instance *instance)
{
    const struct batch *batch = &instance->batch;
    instance->iteration_ns = timer_decode_ns(&instance->decode, batch->cached_tokens + batch->count,
                                             batch->sliding_tokens + batch->count);
    instance->iteration_end_ns += instance->iteration_ns;
}

/* One boundary by the way of eventful ones, for the first step of new sequences and the ends of bins. */
static void pass_boundary(struct instance *instance)
{
    int64_t now_ns = instance->iteration_end_ns;
    iteration_count(instance, now_ns);
    batch_step(instance, now_ns);
    CHECK(instance->ended_count == 0, "instance %u leapt over the end of a request", instance->entity);
    kv_take_each(&instance->kv, batch_blocks_needed(instance));
    start_next(instance);
}

/* Residue class whose sequences need a block at a step. */
static int64_t residue_at(int64_t step, int64_t block_tokens)
{
    int64_t rest = step % block_tokens;
    return rest > 0 ? block_tokens - rest : 0;
}

static int64_t least3(int64_t a, int64_t b, int64_t c)
{
    int64_t least = a < b ? a : b;
    return c < least ? c : least;
}

/* The sum of so many values that rise by step, the next of which is after. */
static wide_t sum_before(uint64_t count, int64_t after, int64_t step)
{
    wide_t twice_mean = 2 * (wide_t)(uint64_t)after - (wide_t)(uint64_t)step * (count + 1);
    return count * twice_mean / 2;
}

/* The integral of tokens from begin to the end of the last of so many steps, each of which adds count of them
 * when it ends: as if all had been added at the end of the last, less what each was added earlier. Modulo
 * 2^64, which holds the result. */
static uint64_t tokens_over(int64_t first, int64_t count, uint64_t steps, int64_t begin_ns, int64_t last_ns,
                            uint64_t ends_ns)
{
    uint64_t length_ns = (uint64_t)(last_ns - begin_ns);
    uint64_t early_ns = steps * (uint64_t)last_ns - ends_ns;
    return (uint64_t)first * length_ns + (uint64_t)count * early_ns;
}

/* Boundaries up to limit_ns at once: what pass_boundary does, on sums. The meter is open over all of them. */
static void run_over(struct instance *instance, int64_t limit_ns)
{
    struct batch *batch = &instance->batch;
    const int64_t count = batch->count, block_tokens = instance->kv.block_tokens;
    const int64_t last_step =
        least3(batch_growth_step(instance), batch_window_step(instance), instance->eventful_step);
    const int64_t below_window = batch->below_window;
    struct gauge gauge = instance_gauge(instance);
    struct histogram *itl = &instance->metrics->histograms[METRIC_ITL];
    const uint64_t each = (uint64_t)batch->window_count; /* a gap counts as often */
    const int64_t begin_ns = instance->accounted_ns, begin_step = batch->step,
                  before_ns = batch->last_step_ns;
    int64_t from_ns = begin_ns, end_ns = instance->iteration_end_ns, length_ns;
    int64_t context = batch->cached_tokens + count, sliding = batch->sliding_tokens + count,
            used = instance->kv.used_blocks;
    int64_t residue = residue_at(begin_step, block_tokens), least_ns = INT64_MAX, most_ns = -1;
    const int64_t first_tokens = tokens_cached(instance);
    uint64_t block_ns = 0, ends_ns = 0; /* the sum of all ends, modulo 2^64 */
    do {
        int64_t gap_ns = end_ns - batch->last_step_ns;
        batch->last_step_ns = end_ns;
        batch->step++;
        block_ns += (uint64_t)used * (uint64_t)(end_ns - from_ns);
        itl->counts[histogram_bucket(gap_ns)] += each;
        least_ns = gap_ns < least_ns ? gap_ns : least_ns;
        most_ns = gap_ns > most_ns ? gap_ns : most_ns;
        batch_push_gap(batch, gap_ns);
        from_ns = end_ns;
        ends_ns += (uint64_t)end_ns;
        context += count;
        sliding += below_window;
        residue = residue > 0 ? residue - 1 : block_tokens - 1;
        used += batch->residues[residue];
        length_ns = timer_decode_ns(&instance->decode, context, sliding);
        end_ns += length_ns;
    } while (batch->step + 1 < last_step && end_ns <= limit_ns);

    uint64_t steps = (uint64_t)(batch->step - begin_step), tokens = steps * (uint64_t)count;
    const struct instance_config *config = instance->config;
    wide_t contexts = sum_before(steps, context, count) * (uint64_t)config->full_layers;
    if (config->sliding_window > 0)
        contexts += sum_before(steps, sliding, below_window) * (uint64_t)config->sliding_layers;
    gauge.kv_blocks = gauge.kv_tokens = 0; /* they grew: apart */
    CHECK(meter_open(&instance->meter, begin_ns, from_ns), "a run over an edge at %lld ns",
          (long long)from_ns);
    meter_span(&instance->meter, begin_ns, from_ns, &gauge);
    instance->meter.sums.kv_block_ns += block_ns;
    instance->meter.sums.kv_token_ns +=
        tokens_over(first_tokens, config->no_cache ? 0 : count, steps, begin_ns, from_ns, ends_ns);
    meter_iteration(&instance->meter, from_ns, PHASE_DECODE, 0, tokens,
                    &(struct effort){.iterations = steps,
                                     .tokens = tokens,
                                     .logit_rows = tokens,
                                     .context_x2 = 2 * contexts,
                                     .kv_read_tokens = contexts,
                                     .expert_bytes = (wide_t)instance->expert_bytes * steps});
    histogram_add_counted(itl, steps * each, (wide_t)(uint64_t)(from_ns - before_ns) * each, least_ns,
                          most_ns);
    batch->cached_tokens = context - count;
    batch->sliding_tokens = sliding - count;
    kv_take_each(&instance->kv, used - instance->kv.used_blocks);
    instance->accounted_ns = from_ns;
    instance->iteration_ns = length_ns;
    instance->iteration_end_ns = end_ns;
}

void leap_to(struct instance *instance, int64_t until_ns)
{
    const struct batch *batch = &instance->batch;
    const struct meter *meter = &instance->meter;
    while (instance->busy && !instance->boundary_due && uneventful(instance, until_ns)) {
        if (batch->fresh_count == 0 && batch->step + 1 < batch_growth_step(instance) &&
            batch->step + 1 < batch_window_step(instance) &&
            meter_open(meter, instance->accounted_ns, instance->iteration_end_ns))
            run_over(instance, meter->limit_ns < until_ns ? meter->limit_ns : until_ns);
        else
            pass_boundary(instance);
    }
    CHECK(!instance->busy || instance->iteration_end_ns >= until_ns,
          "instance %u overslept the boundary at %lld ns", instance->entity,
          (long long)instance->iteration_end_ns);
}
