#include "tandem/activations.h"

#include "tandem/check.h"

#include <stddef.h>

const char *const activations_names[] = {"engine", "padded", "packed", NULL};

static wide_t product(int64_t a, int64_t b)
{
    return (wide_t)(uint64_t)a * (uint64_t)b;
}

wide_t activation_bytes(const struct activation_rule *rule, const struct activation_load *prefill,
                        const struct activation_load *decode)
{
    wide_t tokens = product(prefill->tokens, 1) + product(decode->tokens, 1);
    wide_t scores = prefill->scores + decode->scores;
    if (rule->kind == ACTIVATIONS_ENGINE)
        return 0;
    if (rule->kind == ACTIVATIONS_PADDED) {
        wide_t queries = product(prefill->sequences, prefill->longest_tokens);
        wide_t keys = product(decode->sequences, decode->longest_context);
        tokens = queries + keys;
        scores = queries * (uint64_t)prefill->longest_context + keys;
    }
    return tokens * (uint64_t)rule->bytes_per_token + scores * (uint64_t)rule->score_bytes;
}

bool activation_fits(const struct activation_rule *rule, int64_t blocks,
                     const struct activation_load *prefill, const struct activation_load *decode)
{
    if (rule->kind == ACTIVATIONS_ENGINE)
        return true;
    return rule->room_bytes >= 0 &&
           product(blocks, rule->block_bytes) + activation_bytes(rule, prefill, decode) <=
               (wide_t)(uint64_t)rule->room_bytes;
}

int64_t activation_steps(const struct activation_rule *rule, int64_t block_tokens, int64_t blocks,
                         const struct activation_load *decode)
{
    const struct activation_load none = {0};
    CHECK(rule->kind != ACTIVATIONS_ENGINE, "activations are set aside");
    wide_t room = (wide_t)(uint64_t)rule->room_bytes;
    wide_t taken = product(blocks, rule->block_bytes) + activation_bytes(rule, &none, decode);
    int64_t per_step = rule->score_bytes + (rule->kind == ACTIVATIONS_PADDED ? rule->bytes_per_token : 0);
    wide_t per_block = product(decode->sequences, rule->block_bytes + per_step * block_tokens);
    if (taken >= room || per_block == 0)
        return 0;
    wide_t times = (room - taken) / per_block;
    return times < (wide_t)(uint64_t)(INT64_MAX / 4 / block_tokens) ? (int64_t)times * block_tokens
                                                                    : INT64_MAX / 4;
}

/* Whether a sequence of so many tokens fits alone, when its last chunk is computed and when it decodes. */
static bool fits_alone(const struct activation_rule *rule, int64_t block_tokens, int64_t most_chunk,
                       int64_t tokens)
{
    const struct activation_load none = {0};
    struct activation_load prefill = {0}, decode = {0};
    int64_t blocks = (tokens + block_tokens - 1) / block_tokens;
    activation_add(&prefill, tokens < most_chunk ? tokens : most_chunk, tokens);
    activation_add(&decode, 1, tokens);
    return activation_fits(rule, blocks, &prefill, &none) && activation_fits(rule, blocks, &none, &decode);
}

int64_t activation_most_tokens(const struct activation_rule *rule, int64_t block_tokens, int64_t most_chunk,
                               int64_t most_tokens)
{
    int64_t low = 0, high = most_tokens;
    if (rule->kind == ACTIVATIONS_ENGINE)
        return most_tokens;
    while (low < high) {
        int64_t middle = high - (high - low) / 2;
        if (fits_alone(rule, block_tokens, most_chunk, middle))
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}
