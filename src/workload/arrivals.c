#include <stddef.h>
#include <string.h>

#include "internal.h"
#include "tandem/check.h"
#include "tandem/simtime.h"

#define RATE_MIN                                                                                             \
    1e-4 /* with 10^9 requests at most, times stay within 64 bits (synthetic spans are checked) */
#define RATE_MAX 1e7

struct poisson {
    double rate_per_s;
};

struct gamma_gaps {
    double rate_per_s, cv;
};

struct closed_loop {
    int64_t users;
    double think_time_s;
    int distribution;
};

struct kinds {
    const struct node *poisson, *gamma, *fixed, *closed_loop;
};

static const struct option rate_rows[] = {
    {"rate_per_s", OPTION_NUMBER, NULL, RATE_MIN, RATE_MAX, NULL, offsetof(struct poisson, rate_per_s),
     "mean requests per second"},
};
static OPTION_TABLE(rate_options, "arrivals", "open arrivals with a rate", rate_rows);

static const struct option gamma_rows[] = {
    {"rate_per_s", OPTION_NUMBER, NULL, RATE_MIN, RATE_MAX, NULL, offsetof(struct gamma_gaps, rate_per_s),
     "mean requests per second"},
    {"cv", OPTION_NUMBER, NULL, 0.01, 20, NULL, offsetof(struct gamma_gaps, cv),
     "coefficient of variation of the gaps (1: Poisson, above: bursts)"},
};
static OPTION_TABLE(gamma_options, "gamma", "gaps with a gamma distribution", gamma_rows);

static const char *const think_distributions[] = {"fixed", "exponential", NULL};
static const struct option closed_loop_rows[] = {
    {"users", OPTION_INTEGER, NULL, 1, WORKLOAD_REQUESTS_MAX, NULL, offsetof(struct closed_loop, users),
     "clients that each wait for their answer"},
    {"think_time_s", OPTION_NUMBER, NULL, 0, 1e6, NULL, offsetof(struct closed_loop, think_time_s),
     "from the last token of an answer to the next request"},
    {"distribution", OPTION_CHOICE, "\"fixed\"", 0, 0, think_distributions,
     offsetof(struct closed_loop, distribution), "of the think time; think_time_s is its mean"},
};
static OPTION_TABLE(closed_loop_options, "closed_loop", "clients that send after they were answered",
                    closed_loop_rows);

static const struct option kinds_rows[] = {
    {"poisson", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct kinds, poisson),
     "{\"rate_per_s\"}: exponential gaps"},
    {"gamma", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct kinds, gamma),
     "{\"rate_per_s\", \"cv\"}: gamma gaps"},
    {"fixed", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct kinds, fixed),
     "{\"rate_per_s\"}: request i (from 0) at i / rate"},
    {"closed_loop", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct kinds, closed_loop),
     "{\"users\", \"think_time_s\", \"distribution\"}: clients that wait for their answer"},
};
OPTION_TABLE(workload_arrival_options, "arrivals", "\"all-at-once\" (time 0) or exactly one of", kinds_rows);

static bool parse_rate(const struct node *node, enum arrival_kind kind, struct arrivals *arrivals,
                       struct error *error)
{
    struct poisson rate = {0};
    arrivals->kind = kind;
    if (!option_parse(&rate_options, node, &rate, error))
        return false;
    arrivals->rate_per_s = rate.rate_per_s;
    return true;
}

static bool parse_gamma(const struct node *node, struct arrivals *arrivals, struct error *error)
{
    struct gamma_gaps gaps = {0};
    arrivals->kind = ARRIVAL_GAMMA;
    if (!option_parse(&gamma_options, node, &gaps, error))
        return false;
    arrivals->rate_per_s = gaps.rate_per_s;
    arrivals->shape = 1 / (gaps.cv * gaps.cv);
    return true;
}

static bool parse_closed_loop(const struct node *node, struct arrivals *arrivals, struct error *error)
{
    struct closed_loop loop = {0};
    arrivals->kind = ARRIVAL_CLOSED_LOOP;
    if (!option_parse(&closed_loop_options, node, &loop, error))
        return false;
    arrivals->users = loop.users;
    arrivals->think = (struct think){loop.think_time_s, loop.distribution == 1};
    return true;
}

static bool parse_word(const struct node *node, struct arrivals *arrivals, struct error *error)
{
    if (strcmp(node_string(node), "all-at-once") != 0)
        return node_error(node, error,
                          "unknown arrivals '%s' (\"all-at-once\", or an object such as {\"poisson\": "
                          "{\"rate_per_s\": 2}})",
                          node_string(node));
    arrivals->kind = ARRIVAL_ALL_AT_ONCE;
    return true;
}

bool arrivals_parse(const struct node *node, struct arrivals *arrivals, struct error *error)
{
    struct kinds kinds = {0};
    *arrivals = (struct arrivals){0};
    if (node_type(node) == NODE_STRING)
        return parse_word(node, arrivals, error);
    if (!option_parse(&workload_arrival_options, node, &kinds, error))
        return false;
    if (node_size(node) != 1)
        return node_error(node, error,
                          "expected exactly one kind of arrivals, such as {\"poisson\": {\"rate_per_s\": "
                          "2}}; found %zu",
                          node_size(node));
    if (workload_given(kinds.poisson))
        return parse_rate(kinds.poisson, ARRIVAL_POISSON, arrivals, error);
    if (workload_given(kinds.gamma))
        return parse_gamma(kinds.gamma, arrivals, error);
    if (workload_given(kinds.fixed))
        return parse_rate(kinds.fixed, ARRIVAL_FIXED, arrivals, error);
    if (workload_given(kinds.closed_loop))
        return parse_closed_loop(kinds.closed_loop, arrivals, error);
    return node_error(node_at(node, 0), error, "expected an object");
}

bool arrivals_have_rate(const struct arrivals *arrivals)
{
    return arrivals->kind == ARRIVAL_POISSON || arrivals->kind == ARRIVAL_GAMMA ||
           arrivals->kind == ARRIVAL_FIXED;
}

int64_t arrivals_time_ns(const struct arrivals *arrivals, uint64_t seed, int64_t index, int64_t before_ns)
{
    uint64_t count = (uint64_t)index;
    int64_t time_ns = 0;
    double gap = 0;
    switch (arrivals->kind) {
    case ARRIVAL_POISSON:
        gap = rng_exponential(seed, 0, RNG_ARRIVAL, count);
        return before_ns + simtime_from_seconds(gap / arrivals->rate_per_s);
    case ARRIVAL_GAMMA:
        gap = rng_gamma(seed, 0, RNG_ARRIVAL, count, arrivals->shape);
        return before_ns + simtime_from_seconds(gap / arrivals->rate_per_s);
    case ARRIVAL_FIXED: /* from the index, so that rounding does not add up */
        CHECK(scale_time(index * SIMTIME_SECOND_NS, arrivals->rate_per_s, &time_ns),
              "arrivals beyond 292 years");
        return time_ns;
    case ARRIVAL_ALL_AT_ONCE:
    case ARRIVAL_CLOSED_LOOP:
        return 0;
    }
    CHECK(false, "unknown kind of arrivals");
}

int64_t arrivals_last_ns(const struct arrivals *arrivals, uint64_t seed, int64_t count)
{
    bool gaps = arrivals->kind == ARRIVAL_POISSON || arrivals->kind == ARRIVAL_GAMMA;
    int64_t time_ns = 0;
    for (int64_t index = gaps ? 0 : count - 1; index < count; index++)
        time_ns = arrivals_time_ns(arrivals, seed, index, time_ns);
    return time_ns;
}

int64_t think_ns(const struct think *think, uint64_t seed, uint32_t entity, uint64_t index)
{
    double factor = think->exponential ? rng_exponential(seed, entity, RNG_THINK_TIME, index) : 1;
    return simtime_from_seconds(think->time_s * factor);
}
