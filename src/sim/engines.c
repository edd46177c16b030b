/* Presets of serving engines: what a cluster or a pool leaves out, its engine fills in. */
#include <string.h>

#include "plan.h"

struct engine_preset {
    const char *name, *source;
    const struct node *values_node, *serve_node;
};

struct engine_value {
    const char *path, *source;
    const struct node *value_node;
};

#define PRESET(member) offsetof(struct engine_preset, member)

static const struct option engine_rows[] = {
    {"name", OPTION_STRING, NULL, 0, 0, NULL, PRESET(name), "what the engine is called"},
    {"source", OPTION_STRING, NULL, 0, 0, NULL, PRESET(source), "which version of what it stands for"},
    {"values", OPTION_NODE, NULL, 0, 0, NULL, PRESET(values_node), "list of engine-value"},
    {"serve", OPTION_NODE, "null", 0, 0, NULL, PRESET(serve_node), "its command line (engine-serve)"},
};
OPTION_TABLE(engine_options, "engine", "a preset of hand-off, scheduler and KV cache; what is written wins",
             engine_rows);

#define VALUE(member) offsetof(struct engine_value, member)

static const struct option value_rows[] = {
    {"path", OPTION_STRING, NULL, 0, 0, NULL, VALUE(path),
     "an option of the cluster's handoff (handoff.KEY), of all pools (pool.scheduler.KEY) or of those of a "
     "role "
     "(decode.scheduler.KEY)"},
    {"value", OPTION_NODE, NULL, 0, 0, NULL, VALUE(value_node), "what it is with this engine"},
    {"source", OPTION_STRING, NULL, 0, 0, NULL, VALUE(source), "where that is from"},
};
OPTION_TABLE(engine_value_options, "engine-value", "one value of an engine", value_rows);

/* The first word of a path says what it is of. */
static bool path_of(const char *path, const char *word)
{
    size_t length = strlen(word);
    return strncmp(path, word, length) == 0 && path[length] == '.';
}

bool plan_check_engine_path(const struct node *node, const char *path, bool handoff, struct error *error)
{
    bool known = (handoff && path_of(path, "handoff")) || path_of(path, "pool");
    for (int role = 0; role < ROLE_COUNT; role++)
        known |= path_of(path, role_names[role]);
    if (!known)
        return node_error(node_get(node, "path"), error,
                          "'%s' begins with none of %spool., unified., prefill., decode.", path,
                          handoff ? "handoff., " : "");
    bool keys = path[strspn(path, "abcdefghijklmnopqrstuvwxyz_.")] == '\0' && !strstr(path, "..") &&
                path[strlen(path) - 1] != '.' && strlen(path) < 64;
    return keys || node_error(node_get(node, "path"), error, "'%s' is no path of keys", path);
}

/* Calls a function with each value, in order. */
static bool each_value(const struct node *engine, struct engine_preset *preset,
                       bool (*use)(void *context, const struct engine_value *value), void *context,
                       struct error *error)
{
    if (node_type(engine) != NODE_OBJECT)
        return node_error(engine, error, "expected the name of an engine (`tandem list engines`), not %s",
                          node_type_name(node_type(engine)));
    if (!option_parse(&engine_options, engine, preset, error) || !plan_check_serve(preset->serve_node, error))
        return false;
    if (node_type(preset->values_node) != NODE_ARRAY)
        return node_error(preset->values_node, error, "expected a list of values");
    for (size_t i = 0; i < node_size(preset->values_node); i++) {
        const struct node *node = node_at(preset->values_node, i);
        struct engine_value value;
        if (!option_parse(&engine_value_options, node, &value, error) ||
            !plan_check_engine_path(node, value.path, true, error) || !use(context, &value))
            return false;
    }
    return true;
}

/* Where values go: the cluster (those of the hand-off), or a pool of a role. */
struct target {
    struct config *config;
    const struct node *node;
    const char *role; /* NULL: the cluster */
    struct error *error;
};

static bool fill_in(void *context, const struct engine_value *value)
{
    const struct target *target = context;
    const char *path = value->path;
    bool pools = !path_of(path, "handoff");
    if (target->role ? !path_of(path, "pool") && !path_of(path, target->role) : pools)
        return true;
    return config_default(target->config, target->node, pools ? strchr(path, '.') + 1 : path,
                          value->value_node, target->error);
}

static bool apply(const struct node *engine, struct target target)
{
    struct engine_preset preset = {0};
    return !engine || node_type(engine) == NODE_NULL ||
           each_value(engine, &preset, fill_in, &target, target.error);
}

/* What is no string is for the parser to refuse. */
static const char *role_of(const struct node *pool)
{
    const struct node *role = node_get(pool, "role");
    return role && node_type(role) == NODE_STRING ? node_string(role) : "";
}

bool plan_apply_pool_engine(struct config *config, const struct node *pool, struct error *error)
{
    return apply(node_get(pool, "engine"), (struct target){config, pool, role_of(pool), error});
}

bool plan_apply_engines(struct config *config, struct error *error)
{
    const struct node *cluster = node_get(config_root(config), "cluster");
    const struct node *engine = cluster ? node_get(cluster, "engine") : NULL;
    const struct node *pools = cluster ? node_get(cluster, "pools") : NULL;
    bool disaggregated = false;
    for (size_t i = 0; pools && node_type(pools) == NODE_ARRAY && i < node_size(pools); i++) {
        const struct node *pool = node_at(pools, i);
        if (node_type(pool) != NODE_OBJECT)
            continue;
        disaggregated |= strcmp(role_of(pool), role_names[ROLE_UNIFIED]) != 0;
        if (!plan_apply_pool_engine(config, pool, error) ||
            !apply(engine, (struct target){config, pool, role_of(pool), error}))
            return false;
    }
    return !disaggregated || apply(engine, (struct target){config, cluster, NULL, error});
}

static bool describe(void *context, const struct engine_value *value)
{
    struct text *text = context, shown = {0};
    node_print(value->value_node, &shown);
    text_append(text, "  %-40s %-18s %s\n", value->path, text_string(&shown), value->source);
    text_clear(&shown);
    return true;
}

bool sim_describe_engine(const struct node *engine, struct text *text, struct error *error)
{
    struct engine_preset preset = {0};
    struct text values = {0};
    bool good = each_value(engine, &preset, describe, &values, error);
    if (good)
        text_append(text, "%s\n  source: %s\n%s", preset.name, preset.source, text_string(&values));
    if (good)
        plan_describe_serve(preset.serve_node, text);
    text_clear(&values);
    return good;
}
