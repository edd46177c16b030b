#include "candidates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tandem/check.h"
#include "tandem/hash.h"
#include "tandem/log.h"
#include "tandem/mem.h"
#include "tandem/workload.h"

#include "where.h"

#define IDENTITY_SEED UINT64_C(1) /* grows when the files of points change */
#define MOST_FOUND    64

static const char *const not_in_points[] = {"sweep", "search", NULL};
static const char *const no_result[] = {"sweep", "search", "simulation", NULL};

static uint32_t path_number(const struct space *space, const char *path)
{
    uint32_t number = 0;
    while (strcmp(space->paths[number], path) != 0)
        number++;
    return number + 1;
}

/* Whether all values that were put so far stay when the next one is put; nodes: where they are. */
static bool keeps_values(const char *section, const struct config *config, const struct space_value *values,
                         const struct node *const *nodes, size_t next, struct error *error)
{
    const struct node *old = config_at(config, values[next].path);
    for (size_t k = 0; old && k < next; k++)
        if (nodes[k] && node_is_in(nodes[k], old))
            return error_set(error,
                             "%s: %s: %s has no effect: %s, which is set after it, is the same or holds it; "
                             "leave one away, or put them the other way round",
                             node_file(values[k].value), section, values[k].path, values[next].path);
    return true;
}

const char *candidates_noun(const struct candidates *candidates)
{
    return candidates->is_search ? "candidate" : "point";
}

static bool set_probe(const struct candidates *candidates, const struct search_probe *probe,
                      struct config *config, struct error *error)
{
    const struct search_spec *search = &candidates->search;
    struct text rate = {0}, seed = {0};
    text_append(&rate, "%s=%.17g", search->rate_path, search->rates[probe ? probe->rate : 0]);
    text_append(&seed, "seed=%lld", (long long)search->seeds[probe ? probe->seed : 0]);
    bool good =
        config_set(config, text_string(&rate), error) && config_set(config, text_string(&seed), error);
    text_clear(&rate);
    text_clear(&seed);
    return good;
}

bool candidates_config(const struct candidates *candidates, size_t index, const struct search_probe *probe,
                       struct config **config, uint32_t *bad, struct error *error)
{
    struct space_value values[SPACE_MOST_PATHS];
    const struct node *nodes[SPACE_MOST_PATHS];
    size_t count = space_values(&candidates->space, index, values);
    bool good = true;
    *bad = 0;
    config_copy(candidates->base, not_in_points, config);
    for (size_t i = 0; good && i < count; i++) {
        struct text label = {0};
        text_append(&label, "%s: %s:", node_file(values[i].value), candidates->space.section);
        good = keeps_values(candidates->space.section, *config, values, nodes, i, error) &&
               config_put(*config, values[i].path, values[i].value, text_string(&label), sim_references,
                          sim_reference_count, error);
        nodes[i] = good ? config_at(*config, values[i].path) : NULL;
        if (!good &&
            strncmp(error->text, text_string(&label), label.length) == 0) /* about the path, not a file */
            *bad = path_number(&candidates->space, values[i].path);
        text_clear(&label);
    }
    return good && (!candidates->is_search || set_probe(candidates, probe, *config, error));
}

/* --- variables of `where`
 * ----------------------------------------------------------------------------------------------------- */

struct scope {
    const struct config *config;
    struct sim_totals totals;
    uint64_t found;
};

static struct where_value number_of(double number)
{
    return (struct where_value){.kind = WHERE_NUMBER, .number = number};
}

static struct where_value value_of(const struct node *node)
{
    switch (node_type(node)) {
    case NODE_NUMBER:
        return number_of(node_number(node));
    case NODE_BOOL:
        return (struct where_value){.kind = WHERE_BOOL, .number = node_bool(node)};
    case NODE_STRING:
        return (struct where_value){
            .kind = WHERE_TEXT, .text = node_string(node), .length = strlen(node_string(node))};
    case NODE_OBJECT: /* a file that a name stood for: `cluster.pools[0].gpu == "h100-sxm"` */
        if (node_get(node, "name"))
            return value_of(node_get(node, "name"));
        break;
    case NODE_NULL:
    case NODE_ARRAY:
        break;
    }
    return (struct where_value){.kind = WHERE_NULL};
}

static struct where_value look_up(void *context, size_t index, const char *name)
{
    struct scope *scope = context;
    const struct {
        const char *name;
        double value;
    } totals[] = {{"gpus_total", scope->totals.gpus},
                  {"instances_total", scope->totals.instances},
                  {"cost_usd_per_hour", scope->totals.cost_usd_per_hour},
                  {"tdp_watts_total", scope->totals.tdp_watts}};
    uint64_t bit = index < MOST_FOUND ? UINT64_C(1) << index : 0;
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++)
        if (strcmp(totals[i].name, name) == 0) {
            scope->found |= bit;
            return number_of(totals[i].value);
        }
    const struct node *node = config_at(scope->config, name);
    if (!node)
        return (struct where_value){.kind = WHERE_NULL};
    scope->found |= bit;
    return value_of(node);
}

/* --- one point
 * ----------------------------------------------------------------------------------------------------- */

/* Whether an error is about a key that no table has, where a path set a value or made an object for it. */
static bool is_unknown(const struct space_value *value, const struct error *error)
{
    size_t file = strlen(node_file(value->value));
    const char *at = error->text + file;
    if (strncmp(error->text, node_file(value->value), file) != 0 || strncmp(at, ": ", 2) != 0)
        return false;
    const char *key = strstr(at += 2, ": unknown key"), *unit = strstr(at, ": unit: ");
    const char *end = key ? key : unit;
    size_t length = end ? (size_t)(end - at) : 0;
    return end && strncmp(at, value->path, length) == 0 && strchr(".[", value->path[length]);
}

static uint32_t unknown_path(const struct candidates *candidates, size_t index, const struct error *error)
{
    struct space_value values[SPACE_MOST_PATHS];
    size_t count = space_values(&candidates->space, index, values);
    for (size_t i = 0; i < count; i++)
        if (is_unknown(&values[i], error))
            return path_number(&candidates->space, values[i].path);
    return 0;
}

/* Whether a point is one of the sweep. False: the condition cannot be evaluated. */
static bool is_chosen(const struct candidates *candidates, const struct config *config,
                      struct candidate *candidate, bool *chosen, struct error *error)
{
    struct scope scope = {.config = config, .totals = sim_totals(config)};
    struct error reason = {0};
    candidate->gpus = scope.totals.gpus;
    candidate->cost_usd_per_hour = scope.totals.cost_usd_per_hour;
    *chosen = true;
    if (!candidates->space.where)
        return true;
    bool good = where_evaluate(candidates->space.where, look_up, &scope, chosen, &reason);
    candidate->found = scope.found;
    return good || node_error(candidates->space.where_node, error, "%s", reason.text);
}

static uint64_t hash_of(const struct config *config, const char *trace_sha256)
{
    return hash_bytes(config_hash(config, no_result), trace_sha256, strlen(trace_sha256));
}

bool candidates_is_same(const struct candidates *candidates, size_t index, const struct config *config,
                        const char *trace_sha256)
{
    struct config *copy;
    struct error ignored;
    if (!candidates->is_search)
        return hash_of(config, trace_sha256) == candidates->all[index].hash;
    config_copy(config, not_in_points, &copy); /* it was looked at with the first rate and seed */
    bool same = set_probe(candidates, NULL, copy, &ignored) &&
                hash_of(copy, trace_sha256) == candidates->all[index].hash;
    config_free(copy);
    return same;
}

/* False: the whole sweep is wrong. What is wrong with this point alone goes into point_error. */
static bool look_at(const struct candidates *candidates, size_t index, struct candidate *candidate,
                    struct error *point_error, struct error *error)
{
    struct config *config;
    struct sim_forecast forecast = {0};
    bool chosen = true,
         good = candidates_config(candidates, index, NULL, &config, &candidate->bad, point_error) &&
                sim_complete(config, point_error);
    if (good && !is_chosen(candidates, config, candidate, &chosen, error)) {
        config_free(config);
        return false;
    }
    if (good && chosen) {
        good = sim_forecast(config, &forecast, point_error);
        if (!good)
            candidate->bad = unknown_path(candidates, index, point_error);
        candidate->hash = hash_of(config, forecast.trace_sha256);
        candidate->wall_s = forecast.wall_s;
        candidate->requests = forecast.requests;
    }
    candidate->state = !good ? CANDIDATE_INVALID : chosen ? CANDIDATE_GOOD : CANDIDATE_EXCLUDED;
    config_free(config);
    return true;
}

static bool look_at_all(struct candidates *candidates, int rank, int ranks, struct error *error)
{
    struct text ignored = {0}; /* warnings come when the point runs */
    bool good = true;
    candidates->all = mem_array(candidates->space.count, sizeof *candidates->all);
    candidates->errors = mem_array(candidates->space.count, sizeof *candidates->errors);
    log_capture(&ignored);
    for (size_t i = (size_t)rank; good && i < candidates->space.count; i += (size_t)ranks) {
        struct error point_error;
        point_error.text[0] = '\0';
        good = look_at(candidates, i, &candidates->all[i], &point_error, error);
        if (good && candidates->all[i].state == CANDIDATE_INVALID)
            candidates->errors[i] = mem_string(point_error.text);
        ignored.length = 0;
    }
    log_capture(NULL);
    text_clear(&ignored);
    return good;
}

/* NULL: there is none. */
static const struct node *section_of(const struct node *experiment, const char *name)
{
    const struct node *section = node_get(experiment, name);
    return section && node_type(section) != NODE_NULL ? section : NULL;
}

bool candidates_read(const struct sim_options *options, int rank, int ranks, struct candidates *candidates,
                     struct error *error)
{
    *candidates = (struct candidates){0};
    if (!sim_load(options, &candidates->base, error))
        return false;
    const struct node *experiment = config_root(candidates->base);
    const struct node *sweep = section_of(experiment, "sweep"), *search = section_of(experiment, "search");
    if (!sweep && !search)
        return node_error(experiment, error,
                          "there is no section \"sweep\" or \"search\": use `tandem run`, or see `tandem "
                          "describe sweep` and `tandem describe search`");
    if (sweep && search)
        return node_error(search, error,
                          "there is a section \"sweep\", too; leave one away (--set sweep=null)");
    candidates->is_search = search != NULL;
    bool good = search ? search_parse(experiment, &candidates->search, &candidates->space, error)
                       : space_parse(sweep, &candidates->space, error);
    return good && look_at_all(candidates, rank, ranks, error);
}

/* --- all points
 * ----------------------------------------------------------------------------------------------------- */

/* The errors of all ranks to rank 0, as lines of number and text. */
static void gather_errors(MPI_Comm comm, int rank, int ranks, struct candidates *candidates)
{
    struct text mine = {0};
    for (size_t i = 0; rank != 0 && i < candidates->space.count; i++)
        if (candidates->errors[i]) {
            size_t length = strlen(candidates->errors[i]);
            text_append(&mine, "%zu %zu %s", i, length, candidates->errors[i]);
        }
    CHECK(mine.length < INT32_MAX, "%zu bytes of errors", mine.length);
    int length = (int)mine.length;
    if (rank != 0) {
        MPI_Send(&length, 1, MPI_INT, 0, 0, comm);
        MPI_Send(text_string(&mine), length, MPI_CHAR, 0, 0, comm);
    }
    for (int from = 1; rank == 0 && from < ranks; from++) {
        MPI_Recv(&length, 1, MPI_INT, from, 0, comm, MPI_STATUS_IGNORE);
        char *bytes = mem_array((size_t)length + 1, 1);
        MPI_Recv(bytes, length, MPI_CHAR, from, 0, comm, MPI_STATUS_IGNORE);
        for (char *at = bytes; *at;) {
            size_t index = strtoul(at, &at, 10), count = strtoul(at, &at, 10);
            candidates->errors[index] = mem_array(count + 1, 1);
            memcpy(candidates->errors[index], at + 1, count);
            at += 1 + count;
        }
        mem_free(bytes);
    }
    text_clear(&mine);
}

void candidates_share(MPI_Comm comm, struct candidates *candidates)
{
    const size_t part = 1 << 20; /* MPI counts are int */
    int rank, ranks;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &ranks);
    size_t bytes = candidates->space.count * sizeof *candidates->all;
    for (size_t at = 0; ranks > 1 && at < bytes; at += part) /* what a rank has not looked at is 0 there */
        MPI_Allreduce(MPI_IN_PLACE, (char *)candidates->all + at,
                      (int)(bytes - at < part ? bytes - at : part), MPI_BYTE, MPI_BOR, comm);
    gather_errors(comm, rank, ranks, candidates);
}

/* A path that no configuration has is misspelt: every point that sets it says so. */
static bool check_paths(const struct candidates *candidates, struct error *error)
{
    const struct space *space = &candidates->space;
    struct space_value values[SPACE_MOST_PATHS];
    bool *possible = mem_array(space->path_count, sizeof *possible);
    size_t *first = mem_array(space->path_count, sizeof *first); /* 1 + a point that says so */
    bool good = true;
    for (size_t i = 0; i < space->count; i++) {
        const struct candidate *candidate = &candidates->all[i];
        size_t count = space_values(space, i, values);
        for (size_t k = 0; k < count; k++) {
            uint32_t number = path_number(space, values[k].path);
            if (candidate->bad != number)
                possible[number - 1] |= candidate->state != CANDIDATE_INVALID || candidate->bad == 0;
            else if (first[number - 1] == 0)
                first[number - 1] = i + 1;
        }
    }
    for (size_t k = 0; good && k < space->path_count; k++)
        if (!possible[k] && first[k] > 0)
            good = error_set(error, "%s",
                             candidates->errors[first[k] - 1] ? candidates->errors[first[k] - 1] : "");
    mem_free(possible);
    mem_free(first);
    return good;
}

struct named_variable {
    size_t index;
    char name[256];
};

static struct where_value take_name(void *context, size_t index, const char *name)
{
    struct named_variable *variable = context;
    if (index == variable->index)
        snprintf(variable->name, sizeof variable->name, "%s", name);
    return (struct where_value){.kind = WHERE_NULL};
}

/* As with paths: a variable of `where` that no configuration has. */
static bool check_variables(const struct candidates *candidates, struct error *error)
{
    static const char *const known[] = {"gpus_total", "instances_total", "cost_usd_per_hour",
                                        "tdp_watts_total"};
    uint64_t found = 0;
    if (!candidates->space.where)
        return true;
    for (size_t i = 0; i < candidates->space.count; i++)
        found |= candidates->all[i].found;
    for (size_t k = 0; k < MOST_FOUND; k++) {
        struct named_variable variable = {.index = k};
        struct error ignored;
        bool holds;
        if ((found >> k & 1) != 0)
            continue;
        where_evaluate(candidates->space.where, take_name, &variable, &holds, &ignored);
        const char *near = text_suggest(variable.name, known, sizeof known / sizeof *known);
        if (variable.name[0])
            return node_error(
                candidates->space.where_node, error,
                "no %s has '%s'%s%s%s: there are gpus_total, instances_total, cost_usd_per_hour, "
                "tdp_watts_total and the paths of the configuration as it is written",
                candidates_noun(candidates), variable.name, near ? " (did you mean '" : "", near ? near : "",
                near ? "'?)" : "");
    }
    return true;
}

static void identify(struct candidates *candidates)
{
    static const char *const no_identity[] = {"simulation", NULL};
    uint64_t hash = hash_bytes(IDENTITY_SEED, TANDEM_VERSION, strlen(TANDEM_VERSION));
    hash = hash_combine(hash, config_hash(candidates->base, no_identity));
    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *candidate = &candidates->all[candidates->chosen[i]];
        hash = hash_combine(hash_combine(hash, candidates->chosen[i]), candidate->hash + candidate->state);
    }
    candidates->identity = hash;
}

bool candidates_choose(struct candidates *candidates, struct error *error)
{
    size_t first = SIZE_MAX, good = 0;
    if (!check_paths(candidates, error) || !check_variables(candidates, error))
        return false;
    candidates->chosen = mem_array(candidates->space.count, sizeof *candidates->chosen);
    for (size_t i = 0; i < candidates->space.count; i++) {
        if (candidates->all[i].state == CANDIDATE_EXCLUDED)
            continue;
        candidates->chosen[candidates->count++] = i;
        good += candidates->all[i].state == CANDIDATE_GOOD;
        first = first == SIZE_MAX ? i : first;
    }
    if (candidates->count == 0)
        return node_error(candidates->space.where_node, error, "none of %zu %ss is as it says",
                          candidates->space.count, candidates_noun(candidates));
    if (good == 0)
        return error_set(error, "no %s of the %s can run; the first: %s", candidates_noun(candidates),
                         candidates->space.section,
                         candidates->errors[first] ? candidates->errors[first] : "");
    identify(candidates);
    return true;
}

void candidates_clear(struct candidates *candidates)
{
    for (size_t i = 0; candidates->errors && i < candidates->space.count; i++)
        mem_free(candidates->errors[i]);
    mem_free(candidates->errors);
    mem_free(candidates->all);
    mem_free(candidates->chosen);
    space_clear(&candidates->space);
    search_spec_clear(&candidates->search);
    config_free(candidates->base);
}

void candidates_print(const struct candidates *candidates, size_t index, struct text *text)
{
    struct space_value values[SPACE_MOST_PATHS];
    size_t count = space_values(&candidates->space, index, values);
    const char *separator = space_name(&candidates->space, index);
    text_append(text, "%s", separator);
    separator = separator[0] ? ": " : "";
    for (size_t i = space_named(&candidates->space, index); i < count; i++) {
        text_append(text, "%s%s=", separator, values[i].path);
        space_print(values[i].value, text);
        separator = " ";
    }
}
