/* The section "search" of an experiment. */
#include "search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tandem/mem.h"
#include "tandem/numeric.h"

#define OF(member) offsetof(struct search_spec, member)
static const struct option rows[] = {
    {"deployments", OPTION_NODE, NULL, 0, 0, NULL, OF(deployments),
     "object: what competes, by name (search-deployment)"},
    {"where", OPTION_STRING, "null", 0, 0, NULL, OF(where),
     "condition on a candidate, as of a sweep: gpus_total == 8, cost_usd_per_hour <= 20, tdp_watts_total <= "
     "5600"},
    {"rate", OPTION_STRING, "\"workload.rate_scale\"", 0, 0, NULL, OF(rate_path),
     "the path that is searched; more of it is more load"},
    {"goodput", OPTION_NODE, "null", 0, 0, NULL, OF(goodput_node),
     "the highest rate that holds the SLO (search-goodput)"},
    {"cheapest", OPTION_NODE, "null", 0, 0, NULL, OF(cheapest_node),
     "the cheapest candidate that holds the SLO at given rates (search-cheapest)"},
    {"seeds", OPTION_NODE, "null", 0, 0, NULL, OF(seeds_node),
     "list of seeds: a rate holds with all of them together; default: the experiment's seed"},
};
OPTION_TABLE(search_options, "search",
             "the section of an experiment that looks for the best of many deployments", rows);

struct deployment {
    const struct node *set, *tune;
};
static const struct option deployment_rows[] = {
    {"set", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct deployment, set),
     "object: paths and their values"},
    {"tune", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct deployment, tune),
     "object: any path that --set takes, with the list of its values; every combination is a candidate, the "
     "last path fastest"},
};
OPTION_TABLE(search_deployment_options, "search-deployment",
             "one that competes in a search, with what it may tune", deployment_rows);

struct goodput {
    const struct node *attainment;
    double low, high, tolerance;
    bool every;
};
static const struct option goodput_rows[] = {
    {"attainment", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct goodput, attainment),
     "share of requests that has to meet the SLO: a number, or an object (search-attainment); default 0.9"},
    {"low", OPTION_NUMBER, "0.0078125", 1e-9, 1e9, NULL, offsetof(struct goodput, low),
     "lowest rate that is tried"},
    {"high", OPTION_NUMBER, "128", 1e-9, 1e9, NULL, offsetof(struct goodput, high),
     "highest rate that is tried"},
    {"tolerance", OPTION_NUMBER, "0.02", 0.001, 1, NULL, offsetof(struct goodput, tolerance),
     "rates are a grid from low to high whose steps are no more than that share"},
    {"every", OPTION_BOOL, "false", 0, 0, NULL, offsetof(struct goodput, every),
     "true: the goodput of every candidate; false: of the best of each deployment, of others only that it is "
     "no higher"},
};
OPTION_TABLE(search_goodput_options, "search-goodput", "how the highest rate that holds the SLO is searched",
             goodput_rows);

struct cheapest {
    const struct node *rates, *attainment;
};
static const struct option cheapest_rows[] = {
    {"rates", OPTION_NODE, NULL, 0, 0, NULL, offsetof(struct cheapest, rates), "list of rates, ascending"},
    {"attainment", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct cheapest, attainment),
     "as of search-goodput; default 0.9"},
};
OPTION_TABLE(search_cheapest_options, "search-cheapest", "the cheapest candidate for each of some rates",
             cheapest_rows);

#define GOAL(member) offsetof(struct search_goal, member)
static const struct option attainment_rows[] = {
    {"all", OPTION_NUMBER, "-1", -1, 1, NULL, GOAL(all), "share that meets all bounds; negative: any"},
    {"ttft", OPTION_NUMBER, "-1", -1, 1, NULL, GOAL(ttft),
     "share that meets the bound on TTFT; negative: any"},
    {"tpot", OPTION_NUMBER, "-1", -1, 1, NULL, GOAL(tpot),
     "share that meets the bound on TPOT; negative: any"},
};
OPTION_TABLE(search_attainment_options, "search-attainment",
             "shares of requests that have to meet the SLO; all that are given have to hold",
             attainment_rows);

/* Whether requests of some class are held to it. */
static bool has_bound(const struct node *experiment, const char *name)
{
    const struct node *slo = node_get(experiment, "slo"), *classes = slo ? node_get(slo, "classes") : NULL;
    const struct node *bound = slo ? node_get(slo, name) : NULL;
    bool set = bound && (node_type(bound) != NODE_NUMBER || node_number(bound) > 0);
    for (size_t i = 0; !set && classes && node_type(classes) == NODE_ARRAY && i < node_size(classes); i++) {
        bound = node_get(node_at(classes, i), name);
        set = bound && (node_type(bound) != NODE_NUMBER || node_number(bound) > 0);
    }
    return set;
}

/* Without a bound every request meets it, at every rate. */
static bool check_bound(const struct node *experiment, const struct node *goals, const char *goal,
                        const char *bound, struct error *error)
{
    const struct node *share = node_get(goals, goal);
    return !share || node_number(share) <= 0 || has_bound(experiment, bound) ||
           node_error(share, error,
                      "every request meets a bound that is not set: set slo.%s, or leave this away", bound);
}

static bool read_goal(const struct node *experiment, const struct node *node, struct search_goal *goal,
                      struct error *error)
{
    *goal = (struct search_goal){.all = 0.9, .ttft = -1, .tpot = -1};
    if (!node)
        return true;
    if (node_type(node) == NODE_NUMBER) {
        goal->all = node_number(node);
        return (goal->all > 0 && goal->all <= 1) ||
               node_error(node, error, "%.15g is out of bounds: above 0, at most 1", goal->all);
    }
    if (!option_parse(&search_attainment_options, node, goal, error))
        return false;
    if (goal->all <= 0 && goal->ttft <= 0 && goal->tpot <= 0)
        return node_error(node, error, "asks for nothing: set all, ttft or tpot above 0");
    return check_bound(experiment, node, "ttft", "ttft_ms", error) &&
           check_bound(experiment, node, "tpot", "tpot_ms", error);
}

static bool read_deployment(const struct search_spec *spec, const struct node *node, struct space *space,
                            struct error *error)
{
    struct deployment deployment;
    if (!option_parse(&search_deployment_options, node, &deployment, error))
        return false;
    const struct node *objects[] = {deployment.set, deployment.tune};
    const char *const taken[] = {spec->rate_path, "seed"};
    if (node_key(node)[0] == '\0')
        return node_error(node, error, "a deployment needs a name");
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < 2; k++)
            if (objects[i] && node_get(objects[i], taken[k]))
                return node_error(node_get(objects[i], taken[k]), error,
                                  "is what the search sets (`rate`, `seeds`); leave it away");
    return space_add(space, node_key(node), deployment.set, deployment.tune, error);
}

static bool read_seeds(const struct node *experiment, struct search_spec *spec, struct error *error)
{
    const struct node *list = spec->seeds_node;
    if (list &&
        (node_type(list) != NODE_ARRAY || node_size(list) == 0 || node_size(list) > SEARCH_MOST_SEEDS))
        return node_error(list, error, "expected a list of 1 to %d seeds", SEARCH_MOST_SEEDS);
    spec->seed_count = list ? node_size(list) : 1;
    spec->seeds = mem_array(spec->seed_count, sizeof *spec->seeds);
    if (!list) {
        const struct node *seed = node_get(experiment, "seed");
        spec->seeds[0] = seed && node_type(seed) == NODE_NUMBER ? (int64_t)node_number(seed) : 1;
        return true;
    }
    for (size_t i = 0; i < spec->seed_count; i++) {
        const struct node *seed = node_at(list, i);
        double number = node_type(seed) == NODE_NUMBER ? node_number(seed) : -1;
        if (!(number >= 0 && number <= 0x1p53 && number == rint(number)))
            return node_error(seed, error, "expected a whole number from 0 on");
        spec->seeds[i] = (int64_t)number;
        for (size_t k = 0; k < i; k++)
            if (spec->seeds[k] == spec->seeds[i])
                return node_error(seed, error, "the seed %.15g is there twice", number);
    }
    return true;
}

/* Short enough to be written: five digits, of steps of a thousandth at least. */
static double rounded(double rate)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.5g", rate);
    return strtod(digits, NULL);
}

/* low, .., high: as many equal factors as steps of at most 1 + tolerance need. */
static bool make_grid(const struct goodput *goodput, struct search_spec *spec, struct error *error)
{
    if (goodput->low >= goodput->high)
        return node_error(spec->goodput_node, error, "low (%.15g) has to be below high (%.15g)", goodput->low,
                          goodput->high);
    double span = numeric_log(goodput->high / goodput->low);
    double steps = ceil(span / numeric_log(1 + goodput->tolerance) - 1e-9);
    if (steps + 1 > SEARCH_MOST_RATES)
        return node_error(spec->goodput_node, error,
                          "%.0f steps from low to high: %d at most; use a larger tolerance", steps,
                          SEARCH_MOST_RATES - 1);
    spec->grid = (size_t)steps + 1;
    spec->rates = mem_array(spec->grid, sizeof *spec->rates);
    for (size_t i = 0; i < spec->grid; i++)
        spec->rates[i] = i == 0               ? goodput->low
                         : i + 1 < spec->grid ? rounded(goodput->low * numeric_exp(span * (double)i / steps))
                                              : goodput->high;
    return true;
}

static bool read_goodput(const struct node *experiment, struct search_spec *spec, struct error *error)
{
    struct goodput goodput;
    if (!spec->goodput_node)
        return true;
    if (!option_parse(&search_goodput_options, spec->goodput_node, &goodput, error) ||
        !read_goal(experiment, goodput.attainment, &spec->goal, error) || !make_grid(&goodput, spec, error))
        return false;
    spec->goodput = true;
    spec->every = goodput.every;
    return true;
}

static bool read_cheapest(const struct node *experiment, struct search_spec *spec, struct error *error)
{
    struct cheapest cheapest;
    spec->count = spec->grid;
    if (!spec->cheapest_node)
        return true;
    if (!option_parse(&search_cheapest_options, spec->cheapest_node, &cheapest, error) ||
        !read_goal(experiment, cheapest.attainment, &spec->cheapest_goal, error))
        return false;
    if (node_type(cheapest.rates) != NODE_ARRAY || node_size(cheapest.rates) == 0 ||
        node_size(cheapest.rates) > SEARCH_MOST_RATES)
        return node_error(cheapest.rates, error, "expected a list of 1 to %d rates", SEARCH_MOST_RATES);
    double *rates = mem_array(spec->grid + node_size(cheapest.rates), sizeof *rates);
    if (spec->grid > 0)
        memcpy(rates, spec->rates, spec->grid * sizeof *rates);
    mem_free(spec->rates);
    spec->rates = rates;
    for (size_t i = 0; i < node_size(cheapest.rates); i++) {
        const struct node *node = node_at(cheapest.rates, i);
        double rate = node_type(node) == NODE_NUMBER ? node_number(node) : 0;
        if (!(rate > (i > 0 ? rates[spec->count - 1] : 0)))
            return node_error(node, error, "expected a number above 0, and above the one before");
        rates[spec->count++] = rate;
    }
    spec->cheapest = true;
    return true;
}

/* Without bounds every request is good at every rate. */
static bool check_slo(const struct node *experiment, const struct node *section, struct error *error)
{
    return has_bound(experiment, "ttft_ms") || has_bound(experiment, "tpot_ms") ||
           has_bound(experiment, "itl_ms") ||
           node_error(section, error,
                      "looks for rates that hold the SLO: set slo.ttft_ms, slo.tpot_ms or slo.itl_ms");
}

bool search_parse(const struct node *experiment, struct search_spec *spec, struct space *space,
                  struct error *error)
{
    const struct node *section = node_get(experiment, "search");
    *spec = (struct search_spec){0};
    space_begin("search", space);
    if (!option_parse(&search_options, section, spec, error))
        return false;
    if (!spec->goodput_node && !spec->cheapest_node)
        return node_error(section, error, "a search needs \"goodput\" or \"cheapest\"");
    if (strchr(spec->rate_path, '/'))
        return node_error(node_get(section, "rate"), error,
                          "a path with '/' cannot name a column of results.h5");
    if (node_type(spec->deployments) != NODE_OBJECT || node_size(spec->deployments) == 0)
        return node_error(spec->deployments, error, "expected an object of at least one deployment");
    for (size_t i = 0; i < node_size(spec->deployments); i++)
        if (!read_deployment(spec, node_at(spec->deployments, i), space, error))
            return false;
    space->where = spec->where;
    space->where_node = spec->where ? node_get(section, "where") : NULL;
    return check_slo(experiment, section, error) && read_seeds(experiment, spec, error) &&
           read_goodput(experiment, spec, error) && read_cheapest(experiment, spec, error);
}

void search_spec_clear(struct search_spec *spec)
{
    mem_free(spec->seeds);
    mem_free(spec->rates);
    *spec = (struct search_spec){0};
}
