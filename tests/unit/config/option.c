#include "tandem/option.h"

#include <stddef.h>
#include <stdint.h>

#include "../base/child.h"
#include "tandem/config.h"
#include "tandem/mem.h"
#include "test.h"

struct target {
    bool trace;
    int64_t instances;
    double control_latency_us;
    double share;
    const char *label;
    const char *note;
    int policy;
    const struct node *gpu;
};

static const char *const policies[] = {"round-robin", "least-loaded", "random", NULL};

static const struct option rows[] = {
    {"trace", OPTION_BOOL, "false", 0, 0, NULL, offsetof(struct target, trace), "write a trace"},
    {"instances", OPTION_INTEGER, NULL, 1, 4096, NULL, offsetof(struct target, instances),
     "number of replicas"},
    {"control_latency_us", OPTION_NUMBER, "1000", 1, INFINITY, NULL,
     offsetof(struct target, control_latency_us), "time of a control message"},
    {"share", OPTION_NUMBER, "0.9", 0, 1, NULL, offsetof(struct target, share), "share of the memory"},
    {"label", OPTION_STRING, "\"none\"", 0, 0, NULL, offsetof(struct target, label), "a word"},
    {"note", OPTION_STRING, "null", 0, 0, NULL, offsetof(struct target, note), "free text"},
    {"policy", OPTION_CHOICE, "\"least-loaded\"", 0, 0, policies, offsetof(struct target, policy),
     "how to choose"},
    {"gpu", OPTION_NODE, "null", 0, 0, NULL, offsetof(struct target, gpu), "a GPU"},
};

static OPTION_TABLE(table, "pool", "instances of one role", rows);

static struct target target;

/* Parses an object; its strings and nodes die before the return. */
static bool parse(const char *text, struct error *error)
{
    struct config *config = NULL;
    error->text[0] = '\0';
    if (!config_parse(text, "x.json", &config, error))
        return false;
    memset(&target, 0x55, sizeof target);
    bool good = option_parse(&table, config_root(config), &target, error);
    config_free(config);
    return good;
}

static bool refused(const char *text, const char *message)
{
    struct error error;
    if (parse(text, &error)) {
        printf("accepted: %s\n", text);
        return false;
    }
    if (strcmp(error.text, message) != 0)
        printf("got: %s\n", error.text);
    return strcmp(error.text, message) == 0;
}

static void defaults_come_from_the_table(void)
{
    struct error error;
    CU_ASSERT_TRUE_FATAL(parse("{\"instances\": 3}", &error));
    CU_ASSERT_FALSE(target.trace);
    CU_ASSERT_EQUAL(target.instances, 3);
    CU_ASSERT_EQUAL(target.control_latency_us, 1000);
    CU_ASSERT_EQUAL(target.share, 0.9);
    CU_ASSERT_STRING_EQUAL(target.label, "none");
    CU_ASSERT_PTR_NULL(target.note);
    CU_ASSERT_EQUAL(target.policy, 1);
    CU_ASSERT_PTR_NULL(target.gpu);
}

static void values_come_from_the_object(void)
{
    struct error error;
    struct config *config = NULL;
    CU_ASSERT_TRUE_FATAL(
        config_parse("{\"trace\": true, \"instances\": 4096, \"control_latency_us\": 1.5, \"share\": 1,"
                     " \"label\": \"a\", \"note\": \"b\", \"policy\": \"random\", \"gpu\": {\"x\": 1}}",
                     "x.json", &config, &error));
    const struct node *root = config_root(config);
    CU_ASSERT_TRUE_FATAL(option_parse(&table, root, &target, &error));
    CU_ASSERT_TRUE(target.trace);
    CU_ASSERT_EQUAL(target.instances, 4096);
    CU_ASSERT_EQUAL(target.control_latency_us, 1.5);
    CU_ASSERT_EQUAL(target.share, 1);
    CU_ASSERT_STRING_EQUAL(target.label, "a");
    CU_ASSERT_STRING_EQUAL(target.note, "b");
    CU_ASSERT_EQUAL(target.policy, 2);
    CU_ASSERT_PTR_EQUAL(target.gpu, node_get(root, "gpu"));
    config_free(config);
    CU_ASSERT_TRUE_FATAL(parse("{\"instances\": 1, \"gpu\": null}", &error));
    CU_ASSERT_PTR_NULL(target.gpu);
}

static void unknown_keys_are_refused(void)
{
    CU_ASSERT_TRUE(refused("{\"instance\": 3}", "x.json: instance: unknown key (did you mean 'instances'?)"));
    CU_ASSERT_TRUE(
        refused("{\"instances\": 3, \"Policy\": 3}", "x.json: Policy: unknown key (did you mean 'policy'?)"));
    CU_ASSERT_TRUE(
        refused("{\"instances\": 3, \"zebra\": 3}",
                "x.json: zebra: unknown key (pool has: trace, instances, control_latency_us, share, label, "
                "note, policy, gpu)"));
}

static void other_units_are_named(void)
{
    const char *const keys[] = {"control_latency_ms", "control_latency_s", "control_latency_ns",
                                "control_latency"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char text[64], message[128];
        snprintf(text, sizeof text, "{\"instances\": 1, \"%s\": 3}", keys[i]);
        snprintf(message, sizeof message, "x.json: %s: unit: use control_latency_us", keys[i]);
        CU_ASSERT_TRUE(refused(text, message));
    }
    CU_ASSERT_TRUE(
        refused("{\"instances\": 1, \"share_percent\": 90}", "x.json: share_percent: unit: use share"));
}

static void missing_keys_are_named(void)
{
    CU_ASSERT_TRUE(refused("{}", "x.json: missing 'instances': number of replicas"));
    struct error error;
    CU_ASSERT_FALSE(option_parse(&table, NULL, &target, &error));
    CU_ASSERT_STRING_EQUAL(error.text, "pool: missing 'instances': number of replicas");
}

static void wrong_types_are_refused(void)
{
    CU_ASSERT_TRUE(refused("[]", "x.json: expected an object (instances of one role), not a list"));
    CU_ASSERT_TRUE(refused("{\"trace\": 1}", "x.json: trace: expected true or false, not a number"));
    CU_ASSERT_TRUE(refused("{\"instances\": \"1\"}", "x.json: instances: expected an integer, not a string"));
    CU_ASSERT_TRUE(refused("{\"share\": null}", "x.json: share: expected a number, not null"));
    CU_ASSERT_TRUE(refused("{\"label\": {}}", "x.json: label: expected a string, not an object"));
    CU_ASSERT_TRUE(refused("{\"policy\": true}", "x.json: policy: expected a string, not true or false"));
}

static void numbers_are_checked(void)
{
    struct error error;
    CU_ASSERT_TRUE(refused("{\"instances\": 2.5}", "x.json: instances: expected an integer, not 2.5"));
    CU_ASSERT_TRUE(refused("{\"instances\": 0}", "x.json: instances: 0 is out of bounds: from 1 to 4096"));
    CU_ASSERT_TRUE(
        refused("{\"instances\": 4097}", "x.json: instances: 4097 is out of bounds: from 1 to 4096"));
    CU_ASSERT_TRUE(refused("{\"instances\": 1e17}",
                           "x.json: instances: 1e+17 is too large: integers have to be within +-2^53"));
    CU_ASSERT_TRUE(refused("{\"control_latency_us\": 0.5}",
                           "x.json: control_latency_us: 0.5 is out of bounds: at least 1"));
    CU_ASSERT_TRUE(refused("{\"share\": -0.1}", "x.json: share: -0.1 is out of bounds: from 0 to 1"));
    CU_ASSERT_TRUE(parse("{\"instances\": 2.0, \"share\": 0}", &error));
    CU_ASSERT_TRUE(parse("{\"instances\": 4096, \"share\": 1}", &error));
}

static void choices_are_listed(void)
{
    CU_ASSERT_TRUE(refused("{\"policy\": \"least-load\"}",
                           "x.json: policy: unknown 'least-load' (did you mean "
                           "'least-loaded'?): one of round-robin, least-loaded, random"));
    CU_ASSERT_TRUE(refused("{\"policy\": \"x\"}",
                           "x.json: policy: unknown 'x': one of round-robin, least-loaded, random"));
}

struct second {
    int64_t blocks;
};

static const struct option second_rows[] = {
    {"blocks", OPTION_INTEGER, "0", 0, 1e6, NULL, offsetof(struct second, blocks), "0: automatic"},
};

static OPTION_TABLE(second_table, "kv", "the cache", second_rows);

static void several_tables_share_an_object(void)
{
    struct error error;
    struct config *config = NULL;
    struct second second = {-1};
    const struct option_part parts[] = {{&table, &target}, {&second_table, &second}};
    CU_ASSERT_TRUE_FATAL(config_parse("{\"instances\": 2, \"blocks\": 70}", "x", &config, &error));
    CU_ASSERT_TRUE(option_parse_parts(parts, 2, config_root(config), &error));
    CU_ASSERT_EQUAL(target.instances, 2);
    CU_ASSERT_EQUAL(second.blocks, 70);
    config_free(config);
    CU_ASSERT_TRUE_FATAL(config_parse("{\"instances\": 2, \"block\": 70}", "x", &config, &error));
    CU_ASSERT_FALSE(option_parse_parts(parts, 2, config_root(config), &error));
    CU_ASSERT_STRING_EQUAL(error.text, "x: block: unknown key (did you mean 'blocks'?)");
    config_free(config);
    CU_ASSERT_TRUE_FATAL(config_parse("{\"blocks\": 70}", "x", &config, &error));
    CU_ASSERT_FALSE(option_parse_parts(parts, 2, config_root(config), &error));
    CU_ASSERT_STRING_EQUAL(error.text, "x: missing 'instances': number of replicas");
    config_free(config);
    CU_ASSERT_TRUE(option_parse(&second_table, NULL, &second, &error));
    CU_ASSERT_EQUAL(second.blocks, 0);
}

/* As in files of other programs: more keys than the tables have, and null for what is not set. */
static void foreign_objects_are_read(void)
{
    const struct option_part part = {&table, &target};
    struct config *config = NULL;
    struct error error = {{0}};
    const char *good = "{\"instances\": 3, \"share\": null, \"colour\": \"red\", \"instance\": 7}";
    CU_ASSERT_TRUE_FATAL(config_parse(good, "x.json", &config, &error));
    memset(&target, 0x55, sizeof target);
    CU_ASSERT_TRUE(option_parse_foreign(&part, 1, config_root(config), &error));
    CU_ASSERT_EQUAL(target.instances, 3);
    CU_ASSERT_EQUAL(target.share, 0.9);
    config_free(config);
    CU_ASSERT_TRUE_FATAL(config_parse("{\"instances\": null}", "x.json", &config, &error));
    CU_ASSERT_FALSE(option_parse_foreign(&part, 1, config_root(config), &error));
    CU_ASSERT_STRING_EQUAL(error.text, "x.json: missing 'instances': number of replicas");
    config_free(config);
    CU_ASSERT_TRUE_FATAL(config_parse("{\"instances\": true}", "x.json", &config, &error));
    CU_ASSERT_FALSE(option_parse_foreign(&part, 1, config_root(config), &error));
    CU_ASSERT_STRING_EQUAL(error.text, "x.json: instances: expected an integer, not true or false");
    config_free(config);
}

static void tables_are_described(void)
{
    struct text text = {0};
    option_describe(&table, &text);
    const char *wanted = //
        "pool: instances of one role\n"
        "  trace               true/false  false           -                                    write a "
        "trace\n"
        "  instances           integer     required        1 .. 4096                            number of "
        "replicas\n"
        "  control_latency_us  number      1000            >= 1                                 time of a "
        "control message\n"
        "  share               number      0.9             0 .. 1                               share of the "
        "memory\n"
        "  label               string      \"none\"          -                                    a word\n"
        "  note                string      none            -                                    free text\n"
        "  policy              choice      \"least-loaded\"  round-robin | least-loaded | random  how to "
        "choose\n"
        "  gpu                 value       none            -                                    a GPU\n";
    if (strcmp(text_string(&text), wanted) != 0)
        printf("got:\n%s", text_string(&text));
    CU_ASSERT_STRING_EQUAL(text_string(&text), wanted);
    text_clear(&text);
}

static void parse_broken_choice(void)
{
    static const struct option broken[] = {{"policy", OPTION_CHOICE, "\"best\"", 0, 0, policies, 0, ""}};
    static OPTION_TABLE(broken_table, "broken", "", broken);
    struct error error;
    option_parse(&broken_table, NULL, &target, &error);
}

static void parse_broken_number(void)
{
    static const struct option broken[] = {{"share", OPTION_NUMBER, "0.9x", 0, 0, NULL, 0, ""}};
    static OPTION_TABLE(broken_table, "broken", "", broken);
    struct error error;
    option_parse(&broken_table, NULL, &target, &error);
}

static void broken_tables_abort(void)
{
    CU_ASSERT_TRUE(child_run(parse_broken_choice).aborted);
    CU_ASSERT_TRUE(child_run(parse_broken_number).aborted);
}

static void nothing_is_leaked(void)
{
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    const struct test_case cases[] = {
        {"defaults come from the table", defaults_come_from_the_table},
        {"values come from the object", values_come_from_the_object},
        {"unknown keys are refused with a suggestion", unknown_keys_are_refused},
        {"another unit of a known key is named", other_units_are_named},
        {"missing keys are named", missing_keys_are_named},
        {"wrong types are refused", wrong_types_are_refused},
        {"numbers are checked", numbers_are_checked},
        {"choices are listed", choices_are_listed},
        {"several tables share an object", several_tables_share_an_object},
        {"objects of other programs are read", foreign_objects_are_read},
        {"tables are described", tables_are_described},
        {"broken tables abort", broken_tables_abort},
        {"nothing is leaked", nothing_is_leaked},
    };
    return test_main("option", cases, sizeof cases / sizeof cases[0]);
}
