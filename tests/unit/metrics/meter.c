/* A meter against the functions that it stands for: the same random life of a few instances, told to meters
 * and told directly, gives the same usage and the same series, whatever edges of bins and window it crosses.
 */
#include "test.h"

#include "tandem/meter.h"
#include "tandem/rng.h"
#include "tandem/simtime.h"

#define INSTANCES 3

static uint64_t draws;

static int64_t draw(int64_t below)
{
    return (int64_t)(rng_bits(19, 0, RNG_ROUTER, draws++) % (uint64_t)below);
}

struct life {
    struct metrics metered, direct;
    struct meter meters[INSTANCES];
    struct usage usages[INSTANCES];
    int64_t at_ns[INSTANCES]; /* they are not in step: some lag behind others */
};

static struct effort random_effort(void)
{
    return (struct effort){.iterations = 1,
                           .tokens = (uint64_t)draw(100),
                           .recomputed_tokens = (uint64_t)draw(10),
                           .padding_tokens = (uint64_t)draw(30),
                           .prompt_tokens = (uint64_t)draw(50),
                           .padding_rows = (uint64_t)draw(5),
                           .padding_context_x2 = (uint64_t)draw(2000),
                           .logit_rows = (uint64_t)draw(20),
                           .context_x2 = (uint64_t)draw(100000),
                           .recomputed_context_x2 = (uint64_t)draw(1000),
                           .kv_read_tokens = (uint64_t)draw(50000)};
}

/* The end of a span: where it reaches an edge of the window or of a bin, often just there or beside it. */
static int64_t draw_end(const struct life *life, int64_t from_ns)
{
    const struct metrics_config *config = &life->direct.config;
    int64_t interval_ns = life->direct.series[0].interval_ns;
    int64_t to_ns = from_ns + (draw(20) ? draw(300) : draw(5000));
    const int64_t edges[] = {config->window_start_ns, config->window_end_ns,
                             interval_ns > 0 ? to_ns - to_ns % interval_ns : SIMTIME_NEVER};
    int64_t edge_ns = edges[draw(3)];
    if (edge_ns <= from_ns || edge_ns > to_ns || draw(2))
        return to_ns;
    return edge_ns - 1 + draw(3);
}

/* A span, mostly short beside a bin, and perhaps something at its end. */
static void live(struct life *life, int i)
{
    int64_t pool = i % 2, from_ns = life->at_ns[i], to_ns = draw_end(life, from_ns);
    struct gauge gauge = {
        draw(4), draw(4), draw(2), draw(9), draw(99), draw(3), (enum phase)draw(PHASE_COUNT), draw(3) == 0};
    if (draw(5) == 0)
        gauge = (struct gauge){.phase = PHASE_IDLE};
    if (gauge_any(&gauge))
        meter_span(&life->meters[i], from_ns, to_ns, &gauge);
    metrics_span(&life->direct, pool, &life->usages[i], from_ns, to_ns, &gauge);
    life->at_ns[i] = to_ns;
    if (draw(2)) {
        struct effort effort = random_effort();
        uint64_t prefill = (uint64_t)draw(9) + 1, output = (uint64_t)draw(9);
        enum phase phase = (enum phase)draw(PHASE_COUNT);
        meter_iteration(&life->meters[i], to_ns, phase, prefill, output, &effort);
        metrics_tokens(&life->direct, pool, &life->usages[i], to_ns, prefill, output);
        metrics_effort(&life->direct, pool, &life->usages[i], to_ns, phase, &effort);
    }
    if (draw(3) == 0) { /* the usual iteration, by its own way */
        uint64_t sequences = (uint64_t)draw(9) + 1, context = (uint64_t)draw(50000),
                 bytes = (uint64_t)draw(99);
        enum phase phase = (enum phase)draw(PHASE_COUNT);
        struct effort effort = {.iterations = 1,
                                .tokens = sequences,
                                .logit_rows = sequences,
                                .context_x2 = 2 * context,
                                .kv_read_tokens = context,
                                .expert_bytes = bytes};
        meter_decode(&life->meters[i], to_ns, phase, sequences, context, bytes);
        metrics_tokens(&life->direct, pool, &life->usages[i], to_ns, 0, sequences);
        metrics_effort(&life->direct, pool, &life->usages[i], to_ns, phase, &effort);
    }
    if (draw(6) == 0) {
        meter_sent(&life->meters[i], to_ns, 77);
        metrics_sent(&life->direct, pool, &life->usages[i], to_ns, 77);
    }
}

static bool same_effort(const struct effort *a, const struct effort *b)
{
    return a->iterations == b->iterations && a->tokens == b->tokens &&
           a->recomputed_tokens == b->recomputed_tokens && a->prompt_tokens == b->prompt_tokens &&
           a->padding_tokens == b->padding_tokens && a->padding_rows == b->padding_rows &&
           a->padding_context_x2 == b->padding_context_x2 && a->logit_rows == b->logit_rows &&
           a->context_x2 == b->context_x2 && a->recomputed_context_x2 == b->recomputed_context_x2 &&
           a->kv_read_tokens == b->kv_read_tokens && a->expert_bytes == b->expert_bytes;
}

static bool same_usage(const struct usage *a, const struct usage *b)
{
    bool same = a->kv_block_ns == b->kv_block_ns && a->kv_token_ns == b->kv_token_ns &&
                a->kv_stranded_ns == b->kv_stranded_ns && a->waiting_ns == b->waiting_ns &&
                a->running_ns == b->running_ns && a->moving_ns == b->moving_ns &&
                a->moving_idle_ns == b->moving_idle_ns && a->prefill_tokens == b->prefill_tokens &&
                a->recomputed_tokens == b->recomputed_tokens && a->padding_tokens == b->padding_tokens &&
                a->output_tokens == b->output_tokens && a->window_output_tokens == b->window_output_tokens &&
                a->sent_bytes == b->sent_bytes;
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        same = same && a->busy_ns[phase] == b->busy_ns[phase] &&
               a->blocked_ns[phase] == b->blocked_ns[phase] && a->iterations[phase] == b->iterations[phase] &&
               same_effort(&a->window[phase], &b->window[phase]);
    return same;
}

static bool same_bin(const struct series_bin *a, const struct series_bin *b)
{
    bool same = a->waiting_ns == b->waiting_ns && a->running_ns == b->running_ns &&
                a->moving_ns == b->moving_ns && a->kv_block_ns == b->kv_block_ns &&
                a->kv_token_ns == b->kv_token_ns && a->kv_stranded_ns == b->kv_stranded_ns &&
                a->prefill_tokens == b->prefill_tokens && a->output_tokens == b->output_tokens &&
                a->sent_bytes == b->sent_bytes;
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        same = same && a->busy_ns[phase] == b->busy_ns[phase] &&
               same_effort(&a->effort[phase], &b->effort[phase]);
    return same;
}

static void compare(struct life *life)
{
    for (int i = 0; i < INSTANCES; i++) {
        meter_flush(&life->meters[i]);
        meter_flush(&life->meters[i]); /* nothing is added twice */
        CU_ASSERT(same_usage(&life->meters[i].usage, &life->usages[i]));
    }
    for (int pool = 0; pool < 2; pool++) {
        const struct series *a = &life->metered.series[pool], *b = &life->direct.series[pool];
        CU_ASSERT_EQUAL(a->interval_ns, b->interval_ns);
        CU_ASSERT_EQUAL_FATAL(a->count, b->count);
        for (size_t k = 0; k < a->count; k++)
            CU_ASSERT(same_bin(&a->bins[k], &b->bins[k]));
    }
}

static void run(int64_t start_ns, int64_t end_ns, int64_t interval_ns, int changes)
{
    struct life life = {0};
    struct metrics_config config = {
        .pools = 2, .window_start_ns = start_ns, .window_end_ns = end_ns, .series_interval_ns = interval_ns};
    metrics_init(&life.metered, &config);
    metrics_init(&life.direct, &config);
    for (int i = 0; i < INSTANCES; i++)
        meter_init(&life.meters[i], &life.metered, i % 2, INT64_C(1) << i * 20);
    for (int k = 0; k < changes; k++) {
        live(&life, (int)draw(INSTANCES));
        if (draw(1000) == 0)
            compare(&life);
    }
    compare(&life);
    CU_ASSERT(life.meters[0].usage.output_tokens > 100);
    metrics_clear(&life.metered);
    metrics_clear(&life.direct);
}

static void test_against_direct(void)
{
    run(0, SIMTIME_NEVER, 1000, 5000);
    run(0, 400000, 1000, 5000);
    run(20000, 300000, 1000, 5000);
    run(20000, 20000, 500, 2000);        /* a window of an instant */
    run(150000, SIMTIME_NEVER, 0, 5000); /* no series */
    run(12345, 234567, 1, 5000);         /* bins merge many times */
    for (int64_t i = 0; i < 40; i++)
        run(draw(5000), 5000 + draw(20000), 1 + draw(3000), 300);
}

int main(void)
{
    static const struct test_case cases[] = {{"against the direct way", test_against_direct}};
    return test_main("meter", cases, sizeof cases / sizeof cases[0]);
}
