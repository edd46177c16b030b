/* Activations of an iteration: the documents' figures (memory-calculation.md, prefill-decode-lab.md), and
 * sums that are searched for one by one. */
#include "tandem/activations.h"

#include "tandem/rng.h"
#include "test.h"

static const struct activation_load none;

static struct activation_load load_of(const int64_t *lengths, size_t count, int64_t more, bool decodes)
{
    struct activation_load load = {0};
    for (size_t i = 0; i < count; i++)
        activation_add(&load, decodes ? 1 : lengths[i] + more, lengths[i] + more);
    return load;
}

static int64_t prefill_bytes(struct activation_rule rule, int kind, const struct activation_load *load)
{
    rule.kind = kind;
    return (int64_t)activation_bytes(&rule, load, &none);
}

static int64_t decode_bytes(struct activation_rule rule, int kind, const struct activation_load *load)
{
    rule.kind = kind;
    return (int64_t)activation_bytes(&rule, &none, load);
}

/* "Actual tokens: 330, padded size: 450, overhead: 120"; after 10 steps of decoding the longest has 160,
 * after 100 it has 250 tokens. */
static void test_padding(void)
{
    static const int64_t lengths[] = {100, 150, 80};
    const struct activation_rule tokens = {.bytes_per_token = 1};
    struct activation_load prompts = load_of(lengths, 3, 0, false);
    int64_t padded = prefill_bytes(tokens, ACTIVATIONS_PADDED, &prompts);
    int64_t packed = prefill_bytes(tokens, ACTIVATIONS_PACKED, &prompts);
    CU_ASSERT_EQUAL(packed, 330);
    CU_ASSERT_EQUAL(padded, 450);
    CU_ASSERT_EQUAL(padded - packed, 120);
    CU_ASSERT_EQUAL(prefill_bytes(tokens, ACTIVATIONS_ENGINE, &prompts), 0);
    for (int64_t step = 0; step <= 100; step += 10) {
        struct activation_load decodes = load_of(lengths, 3, step, true);
        CU_ASSERT_EQUAL(decode_bytes(tokens, ACTIVATIONS_PADDED, &decodes), 3 * (150 + step));
        CU_ASSERT_EQUAL(decode_bytes(tokens, ACTIVATIONS_PACKED, &decodes), 3);
    }
}

/* [3, 64, 150, 150] in prefill, [3, 64, 1, 150] in decode, 4 bytes each; without padding those of each alone.
 */
static void test_scores(void)
{
    static const int64_t lengths[] = {100, 150, 80};
    const struct activation_rule scores = {.score_bytes = ACTIVATIONS_SCORE_BYTES * 64};
    struct activation_load prompts = load_of(lengths, 3, 0, false);
    struct activation_load decodes = load_of(lengths, 3, 0, true);
    CU_ASSERT_EQUAL(prefill_bytes(scores, ACTIVATIONS_PADDED, &prompts), 4 * 3 * 64 * 150 * 150);
    CU_ASSERT_EQUAL(prefill_bytes(scores, ACTIVATIONS_PACKED, &prompts),
                    4 * 64 * (100 * 100 + 150 * 150 + 80 * 80));
    CU_ASSERT_EQUAL(decode_bytes(scores, ACTIVATIONS_PADDED, &decodes), 4 * 3 * 64 * 150);
    CU_ASSERT_EQUAL(decode_bytes(scores, ACTIVATIONS_PACKED, &decodes), 4 * 64 * 330);
    /* A chunk of 20 tokens behind 80. */
    struct activation_load chunk = {0};
    activation_add(&chunk, 20, 100);
    CU_ASSERT_EQUAL(prefill_bytes(scores, ACTIVATIONS_PADDED, &chunk), 4 * 64 * 20 * 100);
}

/* "2048 x 2048 x 4 bytes x 32 heads = 512 MB" a layer; none with FlashAttention. */
static void test_flash(void)
{
    static const int64_t length = 2048;
    struct activation_rule rule = {.score_bytes = ACTIVATIONS_SCORE_BYTES * 32};
    struct activation_load prompt = load_of(&length, 1, 0, false);
    CU_ASSERT_EQUAL(prefill_bytes(rule, ACTIVATIONS_PADDED, &prompt), INT64_C(512) << 20);
    rule.score_bytes = 0;
    CU_ASSERT_EQUAL(prefill_bytes(rule, ACTIVATIONS_PADDED, &prompt), 0);
}

/* Both phases and blocks add up, to the byte. */
static void test_fits(void)
{
    struct activation_rule rule = {ACTIVATIONS_PACKED, 10, 3, 0, 1000};
    struct activation_load prefill = {0}, decode = {0};
    activation_add(&prefill, 20, 30);
    activation_add(&decode, 1, 7);
    rule.room_bytes = 4 * 1000 + 21 * 10 + (600 + 7) * 3;
    CU_ASSERT_TRUE(activation_fits(&rule, 4, &prefill, &decode));
    CU_ASSERT_FALSE(activation_fits(&rule, 5, &prefill, &decode));
    rule.room_bytes--;
    CU_ASSERT_FALSE(activation_fits(&rule, 4, &prefill, &decode));
    rule.room_bytes = -1;
    CU_ASSERT_FALSE(activation_fits(&rule, 0, &none, &none));
    rule.kind = ACTIVATIONS_ENGINE;
    CU_ASSERT_TRUE(activation_fits(&rule, 1 << 30, &prefill, &decode));
}

static int64_t roll(uint64_t seed, uint64_t *count, int64_t below)
{
    return (int64_t)(rng_bits(seed, 3, RNG_ROUTER, (*count)++) % (uint64_t)below);
}

/* Grown step by step, sequences fit for as long as they are said to, and not for much longer. */
static void test_steps(void)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint64_t rolls = 0;
        int64_t lengths[5], block_tokens = 1 + roll(seed, &rolls, 8), now = 0;
        size_t count = 1 + (size_t)roll(seed, &rolls, 5);
        struct activation_rule rule = {seed % 2 ? ACTIVATIONS_PADDED : ACTIVATIONS_PACKED,
                                       1 + roll(seed, &rolls, 9), roll(seed, &rolls, 9),
                                       roll(seed, &rolls, 30000), 1 + roll(seed, &rolls, 50)};
        for (size_t i = 0; i < count; i++) {
            lengths[i] = 1 + roll(seed, &rolls, 40);
            now += (lengths[i] + block_tokens - 1) / block_tokens;
        }
        struct activation_load decode = load_of(lengths, count, 0, true);
        if (!activation_fits(&rule, now, &none, &decode))
            continue;
        int64_t steps = activation_steps(&rule, block_tokens, now, &decode), fit = 0;
        for (int64_t step = 1;; step++) {
            int64_t blocks = 0;
            for (size_t i = 0; i < count; i++)
                blocks += (lengths[i] + step + block_tokens - 1) / block_tokens;
            struct activation_load later = load_of(lengths, count, step, true);
            if (!activation_fits(&rule, blocks, &none, &later))
                break;
            fit = step;
        }
        CU_ASSERT(steps <= fit);
        CU_ASSERT(steps >= fit - 2 * block_tokens);
    }
}

/* The most tokens of a sequence, against trying all. */
static void test_most_tokens(void)
{
    for (int64_t chunk = 1; chunk <= 64; chunk *= 4)
        for (int64_t room = 0; room <= 6000; room += 171) {
            struct activation_rule rule = {ACTIVATIONS_PADDED, 7, 1, room, 40};
            int64_t most = 0;
            for (int64_t tokens = 1; tokens <= 200; tokens++) {
                int64_t part = tokens < chunk ? tokens : chunk, blocks = (tokens + 3) / 4;
                int64_t prefill = 40 * blocks + 7 * part + part * tokens, decode = 40 * blocks + 8 * tokens;
                if (prefill <= room && decode <= room)
                    most = tokens;
            }
            CU_ASSERT_EQUAL(activation_most_tokens(&rule, 4, chunk, 200), most);
        }
    CU_ASSERT_EQUAL(activation_most_tokens(&(struct activation_rule){0}, 4, 1, 123), 123);
}

int main(void)
{
    static const struct test_case cases[] = {
        {"padding", test_padding}, {"scores", test_scores}, {"FlashAttention", test_flash},
        {"fits", test_fits},       {"steps", test_steps},   {"most tokens", test_most_tokens},
    };
    return test_main("activations", cases, sizeof cases / sizeof *cases);
}
