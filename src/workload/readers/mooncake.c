/* The Mooncake traces: one JSON object a line, with the hashes of the prompt's blocks. */
#include <stddef.h>
#include <string.h>

#include "../fields.h"
#include "tandem/mem.h"
#include "tandem/option.h"
#include "tandem/workload.h"

#define NUMBER_MAX 40 /* characters of a number that are looked at */

enum { TIME, PROMPT, OUTPUT, HASHES, KEYS };
static const char *const keys[KEYS] = {"timestamp", "input_length", "output_length", "hash_ids"};

struct mooncake_options {
    int64_t block_tokens;
};

static const struct option rows[] = {
    {"block_tokens", OPTION_INTEGER, "512", 1, 1 << 20, NULL, offsetof(struct mooncake_options, block_tokens),
     "tokens of a block that hash_ids name"},
};
static OPTION_TABLE(options_table, "trace (mooncake)", "a trace of Mooncake", rows);

struct mooncake_state {
    int64_t block_tokens;
    uint64_t *hashes; /* of the row at hand */
    size_t hash_count, hash_capacity;
};

static bool recognizes(const char *first_line)
{
    return first_line[0] == '{' && strstr(first_line, "\"hash_ids\"") && strstr(first_line, "\"timestamp\"");
}

static void *start(const void *pointer)
{
    const struct mooncake_options *options = pointer;
    struct mooncake_state *state = mem_array(1, sizeof *state);
    state->block_tokens = options->block_tokens;
    return state;
}

static void stop(void *pointer)
{
    struct mooncake_state *state = pointer;
    mem_free(state->hashes);
    mem_free(state);
}

static int64_t hash_tokens(const void *state)
{
    return ((const struct mooncake_state *)state)->block_tokens;
}

static void skip_blanks(const char **at)
{
    *at += strspn(*at, " \t");
}

static bool take(const char **at, char expected, struct error *error)
{
    skip_blanks(at);
    if (**at != expected)
        return error_set(error, "expected '%c', found '%.20s'", expected, *at);
    ++*at;
    return true;
}

/* Which key comes, and the colon behind it. */
static bool take_key(const char **at, int *key, struct error *error)
{
    if (!take(at, '"', error))
        return false;
    size_t length = strcspn(*at, "\"");
    for (*key = 0; *key < KEYS; ++*key)
        if (strlen(keys[*key]) == length && strncmp(*at, keys[*key], length) == 0)
            break;
    if (*key == KEYS)
        return error_set(error,
                         "unknown key '%.*s' (known: timestamp, input_length, output_length, hash_ids)",
                         length < 40 ? (int)length : 40, *at);
    *at += length + ((*at)[length] == '"');
    return take(at, ':', error);
}

/* The characters of a number; what is none is cut off for the message. */
static void take_number(const char **at, char number[NUMBER_MAX])
{
    skip_blanks(at);
    size_t length = strcspn(*at, " \t,]}");
    size_t shown = length < NUMBER_MAX ? length : NUMBER_MAX - 1;
    memcpy(number, *at, shown);
    number[shown] = '\0';
    *at += length;
}

static bool take_hash(const char **at, struct mooncake_state *state, struct error *error)
{
    char number[NUMBER_MAX];
    uint64_t hash = 0;
    size_t digits = 0;
    take_number(at, number);
    for (; number[digits] >= '0' && number[digits] <= '9' && hash <= (UINT64_MAX - 9) / 10; digits++)
        hash = hash * 10 + (uint64_t)(number[digits] - '0');
    if (digits == 0 || number[digits])
        return error_set(error, "hash_ids: expected whole numbers below 2^64, found '%s'", number);
    if (state->hash_count == state->hash_capacity)
        state->hashes =
            mem_grow(state->hashes, &state->hash_capacity, state->hash_count + 1, sizeof *state->hashes);
    state->hashes[state->hash_count++] = hash;
    return true;
}

static bool take_hashes(const char **at, struct mooncake_state *state, struct error *error)
{
    state->hash_count = 0;
    if (!take(at, '[', error))
        return false;
    do {
        if (!take_hash(at, state, error))
            return false;
        skip_blanks(at);
    } while (**at == ',' && ++*at);
    return take(at, ']', error);
}

static bool take_value(const char **at, int key, struct mooncake_state *state, struct trace_row *row,
                       struct error *error)
{
    char number[NUMBER_MAX];
    if (key == HASHES)
        return take_hashes(at, state, error);
    take_number(at, number);
    if (key == TIME)
        return fields_time(number, keys[TIME], 6, &row->time_ns, error);
    return fields_tokens(number, keys[key], 1, key == PROMPT ? &row->prompt_tokens : &row->output_tokens,
                         error);
}

static bool take_object(const char **at, struct mooncake_state *state, struct trace_row *row,
                        struct error *error)
{
    bool found[KEYS] = {false};
    int key = 0;
    if (!take(at, '{', error))
        return false;
    do {
        if (!take_key(at, &key, error) || !take_value(at, key, state, row, error))
            return false;
        if (found[key])
            return error_set(error, "\"%s\" is there twice", keys[key]);
        found[key] = true;
        skip_blanks(at);
    } while (**at == ',' && ++*at);
    if (!take(at, '}', error))
        return false;
    for (key = 0; key < KEYS; key++)
        if (!found[key])
            return error_set(error, "\"%s\" is missing", keys[key]);
    skip_blanks(at);
    return !**at || error_set(error, "expected nothing behind '}', found '%.20s'", *at);
}

static bool read_line(void *pointer, const char *line, int64_t number, struct trace_row *row, bool *is_row,
                      struct error *error)
{
    struct mooncake_state *state = pointer;
    (void)number;
    *is_row = *line != '\0';
    if (!*is_row)
        return true;
    row->max_tokens = 0;
    row->priority = 0;
    row->session = -1;
    if (!take_object(&line, state, row, error))
        return false;
    int64_t blocks = (row->prompt_tokens + state->block_tokens - 1) / state->block_tokens;
    if ((int64_t)state->hash_count != blocks)
        return error_set(error,
                         "hash_ids: expected %lld for %lld tokens in blocks of %lld, found %zu (is "
                         "\"block_tokens\" right?)",
                         (long long)blocks, (long long)row->prompt_tokens, (long long)state->block_tokens,
                         state->hash_count);
    row->hashes = state->hashes;
    row->hash_count = state->hash_count;
    return true;
}

extern const struct trace_reader trace_reader_mooncake;
const struct trace_reader trace_reader_mooncake = {
    .name = "mooncake",
    .doc =
        "JSON lines of the Mooncake traces, from github.com/kvcache-ai/Mooncake: times in ms, prefix blocks",
    .options = &options_table,
    .options_size = sizeof(struct mooncake_options),
    .recognizes = recognizes,
    .line = read_line,
    .start = start,
    .stop = stop,
    .hash_tokens = hash_tokens,
};
