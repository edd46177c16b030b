#include <math.h>
#include <stddef.h>
#include <string.h>

#include "internal.h"
#include "tandem/check.h"
#include "tandem/mem.h"
#include "tandem/numeric.h"

/* Each redraw and each choice of a component needs its own random number: redraw r of request i counts from
 * i + r x 2^40, and components from 2^62 on, where no normal (which uses 2 count and 2 count + 1) comes. */
#define REDRAW_SHIFT     40
#define REDRAWS_MAX      (1 << 20)
#define COMPONENT_COUNT  (UINT64_C(1) << 62)
#define LEAST_ACCEPTANCE 0.01
#define GUIDE_PER_SHARE  8 /* so that most draws begin at their place */

struct range {
    int64_t min, max;
};

struct lognormal {
    double mu, sigma;
    int64_t min, max;
};

struct mixture {
    const struct node *weights, *mu, *sigma;
    int64_t min, max;
};

struct percentiles {
    const struct node *percent, *tokens;
};

struct kinds {
    int64_t fixed;
    const struct node *uniform, *lognormal, *mixture, *empirical, *percentiles;
};

struct preset {
    const char *name, *source, *licence;
    const struct node *prompt, *output;
};

#define TOKENS_MAX_NUMBER ((double)WORKLOAD_TOKENS_MAX)

static const struct option range_rows[] = {
    {"min", OPTION_INTEGER, NULL, 1, TOKENS_MAX_NUMBER, NULL, offsetof(struct range, min), "least tokens"},
    {"max", OPTION_INTEGER, NULL, 1, TOKENS_MAX_NUMBER, NULL, offsetof(struct range, max),
     "most tokens, inclusive"},
};
static OPTION_TABLE(range_options, "uniform", "whole numbers of tokens, all equally likely", range_rows);

static const struct option lognormal_rows[] = {
    {"mu", OPTION_NUMBER, NULL, -20, 25, NULL, offsetof(struct lognormal, mu), "mean of ln(tokens)"},
    {"sigma", OPTION_NUMBER, NULL, 1e-6, 10, NULL, offsetof(struct lognormal, sigma),
     "standard deviation of ln(tokens)"},
    {"min", OPTION_INTEGER, "1", 1, TOKENS_MAX_NUMBER, NULL, offsetof(struct lognormal, min),
     "least tokens; lengths below are drawn again"},
    {"max", OPTION_INTEGER, "0", 0, TOKENS_MAX_NUMBER, NULL, offsetof(struct lognormal, max),
     "most tokens; lengths above are drawn again (0: no limit)"},
};
static OPTION_TABLE(lognormal_options, "lognormal", "tokens whose logarithm is normal, rounded",
                    lognormal_rows);

static const struct option mixture_rows[] = {
    {"weights", OPTION_NODE, NULL, 0, 0, NULL, offsetof(struct mixture, weights),
     "list: share of each component"},
    {"mu", OPTION_NODE, NULL, 0, 0, NULL, offsetof(struct mixture, mu), "list: mean of ln(tokens)"},
    {"sigma", OPTION_NODE, NULL, 0, 0, NULL, offsetof(struct mixture, sigma),
     "list: standard deviation of ln(tokens)"},
    {"min", OPTION_INTEGER, "1", 1, TOKENS_MAX_NUMBER, NULL, offsetof(struct mixture, min),
     "least tokens; lengths below are drawn again"},
    {"max", OPTION_INTEGER, "0", 0, TOKENS_MAX_NUMBER, NULL, offsetof(struct mixture, max),
     "most tokens; lengths above are drawn again (0: no limit)"},
};
static OPTION_TABLE(mixture_options, "lognormal_mixture", "one of several lognormals a request",
                    mixture_rows);

static const struct option percentiles_rows[] = {
    {"percent", OPTION_NODE, NULL, 0, 0, NULL, offsetof(struct percentiles, percent),
     "list from 0 to 100, each above the one before"},
    {"tokens", OPTION_NODE, NULL, 0, 0, NULL, offsetof(struct percentiles, tokens),
     "list: tokens at each percentile, none below the one before"},
};
static OPTION_TABLE(percentiles_options, "percentiles", "a table of percentiles, ln(tokens) interpolated",
                    percentiles_rows);

#define KIND_AT(field) offsetof(struct kinds, field)
static const struct option kinds_rows[] = {
    {"fixed", OPTION_INTEGER, "0", 0, TOKENS_MAX_NUMBER, NULL, KIND_AT(fixed),
     "all requests the same tokens"},
    {"uniform", OPTION_NODE, "null", 0, 0, NULL, KIND_AT(uniform), "{\"min\", \"max\"}: all equally likely"},
    {"lognormal", OPTION_NODE, "null", 0, 0, NULL, KIND_AT(lognormal),
     "{\"mu\", \"sigma\", \"min\", \"max\"}: of ln(tokens), truncated to min..max"},
    {"lognormal_mixture", OPTION_NODE, "null", 0, 0, NULL, KIND_AT(mixture),
     "{\"weights\", \"mu\", \"sigma\", \"min\", \"max\"}: lists, truncated to min..max"},
    {"empirical", OPTION_NODE, "null", 0, 0, NULL, KIND_AT(empirical), "list of lengths, all equally likely"},
    {"percentiles", OPTION_NODE, "null", 0, 0, NULL, KIND_AT(percentiles),
     "{\"percent\", \"tokens\"}: a table, ln(tokens) interpolated; the presets are such tables"},
};
OPTION_TABLE(workload_length_options, "lengths", "numbers of tokens: a preset's name or exactly one of",
             kinds_rows);

static const struct option preset_rows[] = {
    {"name", OPTION_STRING, "\"\"", 0, 0, NULL, offsetof(struct preset, name), "the preset's name"},
    {"source", OPTION_STRING, NULL, 0, 0, NULL, offsetof(struct preset, source),
     "where the figures come from"},
    {"licence", OPTION_STRING, "\"\"", 0, 0, NULL, offsetof(struct preset, licence), "licence of the source"},
    {"prompt_tokens", OPTION_NODE, NULL, 0, 0, NULL, offsetof(struct preset, prompt), "lengths of prompts"},
    {"output_tokens", OPTION_NODE, NULL, 0, 0, NULL, offsetof(struct preset, output), "lengths of outputs"},
};
OPTION_TABLE(workload_preset_options, "preset", "a file in workloads/: lengths of prompts and outputs",
             preset_rows);

/* --- parsing
 * ------------------------------------------------------------------------------------------------- */

double *numbers_parse(const struct node *list, double min, double max, size_t *count, struct error *error)
{
    if (node_type(list) != NODE_ARRAY || node_size(list) == 0) {
        node_error(list, error, "expected a list of numbers that is not empty");
        return NULL;
    }
    *count = node_size(list);
    double *numbers = mem_array(*count, sizeof *numbers);
    for (size_t i = 0; i < *count; i++) {
        const struct node *item = node_at(list, i);
        bool good = node_type(item) == NODE_NUMBER;
        numbers[i] = good ? node_number(item) : 0;
        if (!good || !(numbers[i] >= min && numbers[i] <= max)) {
            node_error(item, error, "expected a number from %g to %g", min, max);
            mem_free(numbers);
            return NULL;
        }
    }
    return numbers;
}

static bool parse_fixed(const struct node *node, const struct kinds *kinds, struct length *length,
                        struct error *error)
{
    const struct node *fixed = node_get(node, "fixed");
    if (!fixed) /* another kind, but null */
        return node_error(node_at(node, 0), error, "expected an object or a list");
    if (kinds->fixed < 1)
        return node_error(fixed, error, "must be at least 1 token");
    length->kind = LENGTH_FIXED;
    length->min = length->max = kinds->fixed;
    return true;
}

static bool parse_uniform(const struct node *node, struct length *length, struct error *error)
{
    struct range range = {0};
    if (!option_parse(&range_options, node, &range, error))
        return false;
    if (range.min > range.max)
        return node_error(node, error, "min (%lld) is above max (%lld)", (long long)range.min,
                          (long long)range.max);
    length->kind = LENGTH_UNIFORM;
    length->min = range.min;
    length->max = range.max;
    return true;
}

/* Share of the mixture that rounds to a length from min to max. (libm's erf only guards against endless
 * redraws; no result depends on it.) */
static double acceptance(const struct length *length)
{
    double low = log((double)length->min - 0.5), high = log((double)length->max + 0.5);
    double total = 0, before = 0;
    for (size_t i = 0; i < length->count; i++) {
        double scale = length->sigma[i] * sqrt(2.0);
        double inside = 0.5 * (erf((high - length->ln[i]) / scale) - erf((low - length->ln[i]) / scale));
        total += (length->share[i] - before) * inside;
        before = length->share[i];
    }
    return total;
}

static bool set_bounds(const struct node *node, int64_t min, int64_t max, struct length *length,
                       struct error *error)
{
    length->kind = LENGTH_LOGNORMALS;
    length->min = min;
    length->max = max > 0 ? max : WORKLOAD_TOKENS_MAX;
    if (length->min > length->max)
        return node_error(node, error, "min (%lld) is above max (%lld)", (long long)min, (long long)max);
    double share = acceptance(length);
    if (share < LEAST_ACCEPTANCE)
        return node_error(node, error, "only %.3g %% of the lengths lie from min to max; at least %g %% must",
                          100 * share, 100 * LEAST_ACCEPTANCE);
    return true;
}

static bool parse_lognormal(const struct node *node, struct length *length, struct error *error)
{
    struct lognormal lognormal = {0};
    if (!option_parse(&lognormal_options, node, &lognormal, error))
        return false;
    length->count = 1;
    length->share = mem_array(1, sizeof(double));
    length->ln = mem_array(1, sizeof(double));
    length->sigma = mem_array(1, sizeof(double));
    length->share[0] = 1;
    length->ln[0] = lognormal.mu;
    length->sigma[0] = lognormal.sigma;
    return set_bounds(node, lognormal.min, lognormal.max, length, error);
}

bool shares_accumulate(const struct node *list, const char *noun, double *shares, size_t count,
                       struct error *error)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += shares[i];
        shares[i] = sum;
    }
    if (!(fabs(sum - 1) <= 1e-3))
        return node_error(list, error, "the %s sum to %g, not to 1", noun, sum);
    for (size_t i = 0; i < count; i++)
        shares[i] /= sum;
    shares[count - 1] = 1;
    return true;
}

static bool parse_mixture(const struct node *node, struct length *length, struct error *error)
{
    struct mixture mixture = {0};
    size_t mus = 0, sigmas = 0;
    if (!option_parse(&mixture_options, node, &mixture, error))
        return false;
    length->share = numbers_parse(mixture.weights, 0, 1, &length->count, error);
    length->ln = length->share ? numbers_parse(mixture.mu, -20, 25, &mus, error) : NULL;
    length->sigma = length->ln ? numbers_parse(mixture.sigma, 1e-6, 10, &sigmas, error) : NULL;
    if (!length->sigma)
        return false;
    if (mus != length->count || sigmas != length->count)
        return node_error(node, error,
                          "weights, mu and sigma must be lists of one size (they have %zu, %zu and %zu)",
                          length->count, mus, sigmas);
    return shares_accumulate(mixture.weights, "weights", length->share, length->count, error) &&
           set_bounds(node, mixture.min, mixture.max, length, error);
}

static bool parse_empirical(const struct node *node, struct length *length, struct error *error)
{
    double *numbers = numbers_parse(node, 1, TOKENS_MAX_NUMBER, &length->count, error);
    if (!numbers)
        return false;
    length->kind = LENGTH_EMPIRICAL;
    length->values = mem_array(length->count, sizeof *length->values);
    bool good = true;
    for (size_t i = 0; i < length->count && good; i++) {
        length->values[i] = (int64_t)numbers[i];
        if ((double)length->values[i] != numbers[i])
            good = node_error(node_at(node, i), error, "expected a whole number of tokens, found %g",
                              numbers[i]);
    }
    mem_free(numbers);
    return good;
}

static bool parse_percentiles(const struct node *node, struct length *length, struct error *error)
{
    struct percentiles table = {0};
    size_t tokens = 0;
    if (!option_parse(&percentiles_options, node, &table, error))
        return false;
    length->kind = LENGTH_PERCENTILES;
    length->share = numbers_parse(table.percent, 0, 100, &length->count, error);
    length->ln = length->share ? numbers_parse(table.tokens, 1, TOKENS_MAX_NUMBER, &tokens, error) : NULL;
    if (!length->ln)
        return false;
    size_t last = length->count - 1;
    if (tokens != length->count || last < 1)
        return node_error(node, error,
                          "percent and tokens must be lists of one size, at least 2 (they have %zu and %zu)",
                          length->count, tokens);
    if (length->share[0] != 0 || length->share[last] != 100)
        return node_error(table.percent, error, "must begin with 0 and end with 100");
    for (size_t i = 1; i <= last; i++) {
        if (length->share[i] <= length->share[i - 1])
            return node_error(node_at(table.percent, i), error, "must be above the percentile before");
        if (length->ln[i] < length->ln[i - 1])
            return node_error(node_at(table.tokens, i), error, "must not be below the tokens before");
    }
    for (size_t i = 0; i <= last; i++) {
        length->share[i] /= 100;
        length->ln[i] = numeric_log(length->ln[i]);
    }
    return true;
}

/* Positions from which find_share has few steps to go. */
static void make_guide(struct length *length)
{
    size_t at = 0;
    length->guide_count = 8; /* a power of two: u times it is exact */
    while (length->guide_count < GUIDE_PER_SHARE * length->count)
        length->guide_count *= 2;
    length->guide = mem_array(length->guide_count, sizeof *length->guide);
    for (size_t i = 0; i < length->guide_count; i++) {
        while (length->share[at] < (double)i / (double)length->guide_count)
            at++;
        length->guide[i] = (uint32_t)at;
    }
}

static bool parse_kind(const struct node *node, struct length *length, struct error *error)
{
    struct kinds kinds = {0};
    if (!option_parse(&workload_length_options, node, &kinds, error))
        return false;
    if (node_size(node) != 1)
        return node_error(node, error,
                          "expected exactly one kind of length, such as {\"fixed\": 512}; found %zu",
                          node_size(node));
    if (workload_given(kinds.uniform))
        return parse_uniform(kinds.uniform, length, error);
    if (workload_given(kinds.lognormal))
        return parse_lognormal(kinds.lognormal, length, error);
    if (workload_given(kinds.mixture))
        return parse_mixture(kinds.mixture, length, error);
    if (workload_given(kinds.empirical))
        return parse_empirical(kinds.empirical, length, error);
    if (workload_given(kinds.percentiles))
        return parse_percentiles(kinds.percentiles, length, error);
    return parse_fixed(node, &kinds, length, error);
}

bool length_parse(const struct node *node, const char *key, struct length *length, struct error *error)
{
    struct preset preset = {0};
    *length = (struct length){0};
    if (node_type(node) != NODE_OBJECT)
        return node_error(node, error,
                          "expected a preset's name or an object such as {\"fixed\": 512}, found %s",
                          node_type_name(node_type(node)));
    if (node_get(node, "prompt_tokens") || node_get(node, "output_tokens")) {
        /* A kind set into a preset, as --set ..prompt_tokens.fixed=512 does where a preset was named. */
        for (size_t i = 0; i < workload_length_options.count; i++) {
            const struct node *kind = node_get(node, workload_length_options.options[i].name);
            if (kind)
                return node_error(kind, error,
                                  "is beside a preset; set %s as a whole, as in {\"fixed\": 512}", key);
        }
        if (!option_parse(&workload_preset_options, node, &preset, error))
            return false;
        node = node_get(node, key);
        if (node_type(node) != NODE_OBJECT)
            return node_error(node, error, "expected an object such as {\"percentiles\": {..}}");
    }
    if (!parse_kind(node, length, error)) {
        length_clear(length);
        return false;
    }
    if (length->share)
        make_guide(length);
    return true;
}

void length_clear(struct length *length)
{
    mem_free(length->share);
    mem_free(length->ln);
    mem_free(length->sigma);
    mem_free(length->values);
    mem_free(length->guide);
    *length = (struct length){0};
}

/* --- drawing
 * ------------------------------------------------------------------------------------------------- */

/* A whole number below count, each equally likely to within 2^-64 count. */
static uint64_t draw_below(uint64_t count, uint64_t seed, uint32_t entity, enum rng_purpose purpose,
                           uint64_t index)
{
    __extension__ typedef unsigned __int128 product_t;
    return (uint64_t)(((product_t)rng_bits(seed, entity, purpose, index) * count) >> 64);
}

/* The first position whose share is not below u; shares end at 1 > u. */
static size_t find_share(const struct length *length, double u)
{
    size_t at = length->guide[(size_t)(u * (double)length->guide_count)];
    while (length->share[at] < u)
        at++;
    return at;
}

static int64_t draw_lognormals(const struct length *length, uint64_t seed, uint32_t entity,
                               enum rng_purpose purpose, uint64_t index)
{
    for (uint64_t redraw = 0; redraw < REDRAWS_MAX; redraw++) {
        uint64_t count = index + (redraw << REDRAW_SHIFT);
        size_t component = 0;
        if (length->count > 1)
            component = find_share(length, rng_uniform(seed, entity, purpose, COMPONENT_COUNT + count));
        double normal = rng_normal(seed, entity, purpose, count);
        double tokens = rint(numeric_exp(length->ln[component] + length->sigma[component] * normal));
        if (tokens >= (double)length->min && tokens <= (double)length->max)
            return (int64_t)tokens;
    }
    CHECK(false, "no length from %lld to %lld in %d draws", (long long)length->min, (long long)length->max,
          REDRAWS_MAX);
}

static int64_t draw_percentiles(const struct length *length, uint64_t seed, uint32_t entity,
                                enum rng_purpose purpose, uint64_t index)
{
    double u = rng_uniform(seed, entity, purpose, index);
    size_t above = find_share(length, u); /* >= 1, as the first share is 0 < u */
    double low = length->ln[above - 1], high = length->ln[above];
    double part = (u - length->share[above - 1]) / (length->share[above] - length->share[above - 1]);
    return (int64_t)rint(numeric_exp(low + (high - low) * part));
}

int64_t length_draw(const struct length *length, uint64_t seed, uint32_t entity, enum rng_purpose purpose,
                    uint64_t index)
{
    switch (length->kind) {
    case LENGTH_FIXED:
        return length->min;
    case LENGTH_UNIFORM:
        return length->min +
               (int64_t)draw_below((uint64_t)(length->max - length->min + 1), seed, entity, purpose, index);
    case LENGTH_LOGNORMALS:
        return draw_lognormals(length, seed, entity, purpose, index);
    case LENGTH_EMPIRICAL:
        return length->values[draw_below(length->count, seed, entity, purpose, index)];
    case LENGTH_PERCENTILES:
        return draw_percentiles(length, seed, entity, purpose, index);
    }
    CHECK(false, "unknown kind of length");
}
