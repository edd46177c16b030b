/* How a cluster is started for real: commands of its engines, with the flags that mean what its options mean.
 */
#include <string.h>

#include "plan.h"
#include "tandem/check.h"
#include "tandem/mem.h"

struct serve {
    const char *source, *command, *prefill, *decode, *note;
    const struct node *flags_node;
};

struct serve_flag {
    const char *path, *flag;
    const struct node *value_node;
};

#define SERVE(member) offsetof(struct serve, member)
static const struct option serve_rows[] = {
    {"source", OPTION_STRING, NULL, 0, 0, NULL, SERVE(source),
     "where the command and its flags are documented"},
    {"command", OPTION_STRING, NULL, 0, 0, NULL, SERVE(command),
     "starts an instance; MODEL stands for the model"},
    {"prefill", OPTION_STRING, "\"\"", 0, 0, NULL, SERVE(prefill), "flags of prefill instances"},
    {"decode", OPTION_STRING, "\"\"", 0, 0, NULL, SERVE(decode), "flags of decode instances"},
    {"note", OPTION_STRING, "\"\"", 0, 0, NULL, SERVE(note), "what prefill and decode instances need beside"},
    {"flags", OPTION_NODE, NULL, 0, 0, NULL, SERVE(flags_node),
     "list of engine-flag; the first that fits counts"},
};
OPTION_TABLE(serve_options, "engine-serve", "the command line of an engine", serve_rows);

#define FLAG(member) offsetof(struct serve_flag, member)
static const struct option flag_rows[] = {
    {"path", OPTION_STRING, NULL, 0, 0, NULL, FLAG(path), "an option of pools, as in engine-value"},
    {"value", OPTION_NODE, "null", 0, 0, NULL, FLAG(value_node),
     "the flag is for that value alone, and is written without it; default: any but 0, written behind the "
     "flag"},
    {"flag", OPTION_STRING, NULL, 0, 0, NULL, FLAG(flag), "empty: the engine does so without a flag"},
};
OPTION_TABLE(serve_flag_options, "engine-flag", "a flag that means what an option of Tandem means",
             flag_rows);

static bool parse(const struct node *node, struct serve *serve, struct error *error)
{
    if (!option_parse(&serve_options, node, serve, error))
        return false;
    if (node_type(serve->flags_node) != NODE_ARRAY)
        return node_error(serve->flags_node, error, "expected a list of flags");
    for (size_t i = 0; i < node_size(serve->flags_node); i++) {
        struct serve_flag flag;
        const struct node *of = node_at(serve->flags_node, i);
        if (!option_parse(&serve_flag_options, of, &flag, error) ||
            !plan_check_engine_path(of, flag.path, false, error))
            return false;
    }
    return true;
}

bool plan_check_serve(const struct node *node, struct error *error)
{
    struct serve serve;
    return !node || parse(node, &serve, error);
}

void plan_describe_serve(const struct node *node, struct text *text)
{
    struct serve serve;
    struct error error;
    if (!node || !parse(node, &serve, &error)) {
        text_append(text, "  no command serves it\n");
        return;
    }
    text_append(text, "  serve: %s   %s\n", serve.command, serve.source);
    if (serve.prefill[0] || serve.decode[0])
        text_append(text, "    prefill: %s\n    decode: %s\n    %s\n", serve.prefill, serve.decode,
                    serve.note);
    for (size_t i = 0; i < node_size(serve.flags_node); i++) {
        struct serve_flag flag;
        struct text shown = {0};
        CHECK(option_parse(&serve_flag_options, node_at(serve.flags_node, i), &flag, &error), "%s",
              error.text);
        text_append(&shown, "%s", flag.path);
        if (flag.value_node) {
            text_append(&shown, " = ");
            node_print(flag.value_node, &shown);
        }
        text_append(text, "    %-42s %s\n", text_string(&shown),
                    flag.flag[0] ? flag.flag : "(without a flag)");
        text_clear(&shown);
    }
}

/* --- of one pool
 * ----------------------------------------------------------------------------------------------------- */

struct pool_command {
    const struct node *engine; /* NULL values: has none */
    struct serve serve;
    const char *role;
    struct text flags, missing;
};

static void append_value(const struct node *value, struct text *text)
{
    if (node_type(value) == NODE_STRING)
        text_append(text, "%s", node_string(value));
    else
        node_print(value, text);
}

static bool equals(const struct node *a, const struct node *b)
{
    struct text left = {0}, right = {0};
    node_print(a, &left);
    node_print(b, &right);
    bool same = strcmp(text_string(&left), text_string(&right)) == 0;
    text_clear(&left);
    text_clear(&right);
    return same;
}

/* Whether "pool.KEYS" or "ROLE.KEYS" is about an option of this pool. */
static bool is_about(const struct pool_command *command, const char *path, const char *option)
{
    size_t word = strcspn(path, ".");
    bool mine = strncmp(path, "pool.", 5) == 0 ||
                (strlen(command->role) == word && strncmp(path, command->role, word) == 0);
    return mine && path[word] == '.' && strcmp(path + word + 1, option) == 0;
}

/* Where 0 stands for a default, it is Tandem's, which a flag can only say by another value. */
static bool is_zero(const struct node *value)
{
    return node_type(value) == NODE_NUMBER && node_number(value) == 0;
}

static bool find_flag(const struct pool_command *command, const char *option, const struct node *value,
                      struct serve_flag *flag)
{
    for (size_t i = 0; i < node_size(command->serve.flags_node); i++) {
        struct error error;
        CHECK(option_parse(&serve_flag_options, node_at(command->serve.flags_node, i), flag, &error), "%s",
              error.text);
        if (is_about(command, flag->path, option) &&
            (flag->value_node ? equals(flag->value_node, value) : !is_zero(value)))
            return true;
    }
    return false;
}

/* Whether the engine has that value by itself. */
static bool is_preset(const struct pool_command *command, const char *option, const struct node *value)
{
    const struct node *values = node_get(command->engine, "values");
    for (size_t i = 0; values && i < node_size(values); i++) {
        const struct node *preset = node_at(values, i);
        if (is_about(command, node_string(node_get(preset, "path")), option) &&
            equals(node_get(preset, "value"), value))
            return true;
    }
    return false;
}

static void add_option(struct pool_command *command, const char *option, const struct node *value)
{
    struct serve_flag flag;
    if (find_flag(command, option, value, &flag)) {
        if (flag.flag[0])
            text_append(&command->flags, " %s", flag.flag);
        if (flag.flag[0] && !flag.value_node) {
            text_append(&command->flags, " ");
            append_value(value, &command->flags);
        }
    } else if (!is_preset(command, option, value)) {
        text_append(&command->missing, "%s%s=", command->missing.length > 0 ? ", " : "", option);
        append_value(value, &command->missing);
    }
}

/* What is written in a pool, but what is no option of an engine. */
static void add_options(struct pool_command *command, const struct node *object, const char *prefix)
{
    static const char *const not_engine[] = {
        "name",  "role",  "gpu",   "instances",     "engine",
        "timer", "power", "nodes", "gpus_per_node", "price_usd_per_gpu_hour"};
    for (size_t i = 0; i < node_size(object); i++) {
        const struct node *value = node_at(object, i);
        struct text option = {0};
        bool skipped = node_type(value) == NODE_NULL;
        for (size_t k = 0; !prefix[0] && k < sizeof not_engine / sizeof *not_engine; k++)
            skipped |= strcmp(node_key(value), not_engine[k]) == 0;
        text_append(&option, "%s%s%s", prefix, prefix[0] ? "." : "", node_key(value));
        if (!skipped && node_type(value) == NODE_OBJECT)
            add_options(command, value, text_string(&option));
        else if (!skipped)
            add_option(command, text_string(&option), value);
        text_clear(&option);
    }
}

/* The command with the model for MODEL: its name at HuggingFace, where its source says so. */
static void append_command(const char *command, const struct node *model, struct text *text)
{
    static const char hub[] = "huggingface.co/";
    const struct node *source = node_get(model, "source"), *name = node_get(model, "name");
    const char *place = strstr(command, "MODEL"), *from = name ? node_string(name) : "MODEL";
    size_t length = strlen(from);
    if (source && node_type(source) == NODE_STRING && strncmp(node_string(source), hub, strlen(hub)) == 0) {
        from = node_string(source) + strlen(hub);
        length = strcspn(from, " ;,");
    }
    if (place)
        text_append(text, "%.*s%.*s%s", (int)(place - command), command, (int)length, from, place + 5);
    else
        text_append(text, "%s", command);
}

static void append_pool(const struct node *root, const struct node *pool, const struct node *engine,
                        struct text *text)
{
    struct pool_command command = {.engine = engine, .role = node_string(node_get(pool, "role"))};
    const struct node *serve = node_get(engine, "serve"), *gpu = node_get(node_get(pool, "gpu"), "name");
    struct error error;
    double instances = node_number(node_get(pool, "instances"));
    text_append(text, "  pool %s: %.0f instance%s", node_string(node_get(pool, "name")), instances,
                instances == 1 ? "" : "s");
    if (gpu)
        text_append(text, " on %s", node_string(gpu));
    if (!serve || !parse(serve, &command.serve, &error)) {
        text_append(text, ": no command serves engine %s\n", node_string(node_get(engine, "name")));
        return;
    }
    add_options(&command, pool, "");
    const char *role = strcmp(command.role, "prefill") == 0  ? command.serve.prefill
                       : strcmp(command.role, "decode") == 0 ? command.serve.decode
                                                             : "";
    text_append(text, "%s\n    ", instances == 1 ? ":" : ", each:");
    append_command(command.serve.command, node_get(root, "model"), text);
    text_append(text, "%s%s%s\n", text_string(&command.flags), role[0] ? " " : "", role);
    if (command.missing.length > 0)
        text_append(text, "    no flag: %s\n", text_string(&command.missing));
    if (role[0] && command.serve.note[0] && strcmp(command.role, "prefill") == 0)
        text_append(text, "    %s\n", command.serve.note);
    text_clear(&command.flags);
    text_clear(&command.missing);
}

static const struct node *engine_of(const struct node *object)
{
    const struct node *engine = node_get(object, "engine");
    return engine && node_type(engine) == NODE_OBJECT ? engine : NULL;
}

bool sim_serve(const struct config *config, struct text *text, struct error *error)
{
    static const struct config_reference engines = {"engine", "engines", "engine"};
    const struct node *root = config_root(config), *cluster = node_get(root, "cluster");
    const struct node *pools = node_get(cluster, "pools");
    struct config *otherwise = NULL;
    if (!config_compose("{}", "command", &engines, 1, (const char *const[]){"engine=vllm-v1"}, 1, &otherwise,
                        error))
        return false;
    for (size_t i = 0; i < node_size(pools); i++) {
        const struct node *pool = node_at(pools, i), *engine = engine_of(pool);
        engine = engine ? engine : engine_of(cluster);
        append_pool(root, pool, engine ? engine : engine_of(config_root(otherwise)), text);
    }
    config_free(otherwise);
    return true;
}
