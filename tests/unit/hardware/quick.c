/* The quick ways to an iteration's time are the exact one: the same nanosecond, whatever the GPU, and no norm
 * further from its powers than it promises. */
#include "timer_test.h"

#include "../../../src/hardware/norm.h"
#include "tandem/numeric.h"
#include "tandem/rng.h"
#include "tandem/simtime.h"

static uint64_t draws;

static int64_t draw(int64_t below)
{
    return (int64_t)(rng_bits(11, 0, RNG_ROUTER, draws++) % (uint64_t)below);
}

/* Log-uniform from 1 to about most. */
static int64_t draw_log(double most)
{
    return (int64_t)numeric_exp(rng_uniform(11, 0, RNG_ROUTER, draws++) * numeric_log(most)) + 1;
}

static double norm_by_powers(double p, double x, double y)
{
    double high = x > y ? x : y, low = x > y ? y : x;
    return high * numeric_pow(1 + numeric_pow(low / high, p), 1 / p);
}

static void test_norm(void)
{
    static const double exponents[] = {1, 1.001, 1.028, 1.253, 1.456, 2, 3, 3.529, 6.725, 8};
    for (size_t i = 0; i < sizeof exponents / sizeof exponents[0]; i++) {
        struct norm norm;
        int wrong = 0, unknown = 0;
        norm_init(&norm, exponents[i]);
        for (int k = 0; k < 200000; k++) {
            uint64_t number = draws++;
            double x = rng_uniform(3, 0, RNG_ROUTER, number);
            double y = x * numeric_exp(-60 * rng_uniform(3, 1, RNG_ROUTER, number) *
                                       rng_uniform(3, 2, RNG_ROUTER, number));
            double got = k % 2 ? norm_of(&norm, x, y) : norm_of(&norm, y, x);
            double want = norm_by_powers(exponents[i], x, y);
            unknown += isnan(got);
            wrong += !isnan(got) && !(fabs(got - want) <= NORM_ERROR * want);
        }
        CU_ASSERT_EQUAL(wrong, 0);
        CU_ASSERT_EQUAL(unknown, 0);
        CU_ASSERT_EQUAL(norm_of(&norm, 0, 0), 0);
        CU_ASSERT_EQUAL(norm_of(&norm, 3, 0), 3);
        norm_clear(&norm);
    }
}

/* A piece whose polynomial is not good enough says so instead of giving a number. */
static void test_steep_norm(void)
{
    struct norm norm;
    int unknown = 0, wrong = 0;
    norm_init(&norm, 200);
    for (int k = 0; k < 20000; k++) {
        double y = rng_uniform(5, 0, RNG_ROUTER, draws++), got = norm_of(&norm, 1, y);
        unknown += isnan(got);
        wrong += !isnan(got) && !(fabs(got - norm_by_powers(200, 1, y)) <= NORM_ERROR * got);
    }
    CU_ASSERT(unknown > 100 && unknown < 20000);
    CU_ASSERT_EQUAL(wrong, 0);
    norm_clear(&norm);
}

static int64_t exact_ns(struct timer *timer, const struct work *work)
{
    int64_t ns = simtime_from_seconds(timer_iteration_parts(timer, work).total);
    return ns > 0 ? ns : 1;
}

/* Random iterations, and runs of decodes whose contexts grow. Returns the number that differ. In iterations
 * of minutes a quick time is so coarse that many would be rounded wrongly without a margin. */
static int64_t differences(struct timer *timer)
{
    int64_t different = 0;
    for (int k = 0; k < 3000; k++) {
        int64_t sequences = draw_log(1000), contexts = sequences + draw_log(k % 2 ? 3e7 : 3e11);
        struct work mixed = {.prefill_tokens = draw(3) ? 0 : draw_log(8192),
                             .decode_sequences = sequences,
                             .decode_context_tokens = contexts,
                             .longest_context_tokens = contexts / sequences,
                             .sliding_context_tokens = contexts / 3,
                             .logit_rows = sequences};
        mixed.prefill_kv_tokens = 2 * mixed.prefill_tokens;
        mixed.prefill_work_x2 = mixed.prefill_tokens * mixed.prefill_tokens;
        different += timer_iteration_ns(timer, &mixed) != exact_ns(timer, &mixed);
        struct timer_decode decode = timer_decode_begin(timer, sequences);
        int64_t before_ns = 0;
        for (int step = 0; step < 20; step++, contexts += sequences) {
            struct work work = {.decode_sequences = sequences,
                                .decode_context_tokens = contexts,
                                .sliding_context_tokens = contexts / 3,
                                .logit_rows = sequences};
            int64_t ns = timer_decode_ns(&decode, contexts, contexts / 3);
            different += ns != exact_ns(timer, &work) || ns != timer_iteration_ns(timer, &work);
            different += ns < before_ns - TIMER_SLACK_NS;
            before_ns = ns;
        }
    }
    return different;
}

/* Shapes of other kinds: windows, experts, latent attention, several lanes. */
static void vary(struct work_shape *shape, size_t kind)
{
    if (kind == 1) {
        shape->sliding_layers = shape->layers / 2;
        shape->sliding_window = 1024;
    }
    if (kind == 2) {
        shape->expert_layers = shape->layers - 1;
        shape->experts = 64;
        shape->experts_per_token = 4;
        shape->expert_width = 1024;
        shape->lanes = shape->expert_parallel = shape->expert_tensor_parallel = 1;
        shape->expert_dtype = DTYPE_FP8;
    }
    if (kind == 3) {
        shape->mla_latent = 512;
        shape->mla_query_latent = 1536;
        shape->mla_rope = 64;
        shape->mla_nope = shape->mla_value = 128;
    }
}

static void test_kinds(void)
{
    static const char *const gpus[] = {"h100-sxm", "a100-sxm-80gb", "rtx-4090", "b200-sxm"};
    for (size_t g = 0; g < sizeof gpus / sizeof gpus[0]; g++) {
        struct config *config;
        struct gpu gpu = timer_test_gpu(gpus[g], &config);
        for (size_t kind = 0; kind < 4; kind++) {
            struct work_shape shape = timer_test_shape("llama-3.1-8b", 2, DTYPE_BF16, 2);
            struct timer_config options = {.iteration_overhead_ms = -1, .eager_factor = 1};
            vary(&shape, kind);
            options.host = gpu.eager.present && kind % 2 == 0 ? 2 : 0; /* eager */
            options.attention = kind == 0 && g > 1 ? TIMER_MATERIALIZED : TIMER_FLASH;
            struct timer *timer = timer_new(&gpu, &shape, &options);
            CU_ASSERT_EQUAL(differences(timer), 0);
            timer_free(timer);
        }
        config_free(config);
    }
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static void test_timers(void)
{
    static const char *const gpus[] = {"h100-sxm", "h200-sxm", "b200-sxm", "a100-sxm-80gb", "l40s", "l4"};
    static const char *const models[] = {"llama-2-7b", "llama-3.1-70b", "gpt-3-175b"};
    for (size_t g = 0; g < sizeof gpus / sizeof gpus[0]; g++) {
        struct config *config;
        struct gpu gpu = timer_test_gpu(gpus[g], &config);
        for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
            struct work_shape shape = timer_test_shape(models[m], 1 + (int64_t)m, DTYPE_BF16, m == 1 ? 1 : 2);
            struct timer_config options = {.level = g % 2 ? TIMER_CALIBRATED : TIMER_UNIVERSAL,
                                           .iteration_overhead_ms = 0.5};
            struct timer *timer = timer_new(&gpu, &shape, &options);
            CU_ASSERT_EQUAL(differences(timer), 0);
            timer_free(timer);
        }
        struct timer_config fixed = {.level = TIMER_FIXED, .prefill_ms = 7, .decode_ms = 3};
        struct work_shape shape = timer_test_shape("llama-2-7b", 1, DTYPE_BF16, 2);
        struct timer *timer = timer_new(&gpu, &shape, &fixed);
        CU_ASSERT_EQUAL(differences(timer), 0);
        timer_free(timer);
        config_free(config);
    }
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"norm against powers", test_norm},
        {"a norm too steep for its table", test_steep_norm},
        {"the same nanosecond", test_timers},
        {"the same of other kinds", test_kinds},
    };
    return test_main("quick times", cases, sizeof cases / sizeof cases[0]);
}
