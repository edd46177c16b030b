#include "tandem/node.h"

#include "../base/child.h"
#include "tandem/config.h"
#include "tandem/mem.h"
#include "test.h"

static struct config *config;

static const struct node *parse(const char *text)
{
    struct error error = {0};
    config = NULL;
    if (!config_parse(text, "dir/x.json", &config, &error))
        printf("%s\n", error.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(config);
    return config_root(config);
}

static void values_have_types(void)
{
    const struct node *root = parse("[null, true, false, -2.5e3, \"a\\u00e9\", [1, 2], {\"k\": 1}]");
    const enum node_type types[] = {NODE_NULL,   NODE_BOOL,  NODE_BOOL,  NODE_NUMBER,
                                    NODE_STRING, NODE_ARRAY, NODE_OBJECT};
    CU_ASSERT_EQUAL_FATAL(node_size(root), 7);
    for (size_t i = 0; i < 7; i++)
        CU_ASSERT_EQUAL(node_type(node_at(root, i)), types[i]);
    CU_ASSERT_TRUE(node_bool(node_at(root, 1)));
    CU_ASSERT_FALSE(node_bool(node_at(root, 2)));
    CU_ASSERT_EQUAL(node_number(node_at(root, 3)), -2500);
    CU_ASSERT_STRING_EQUAL(node_string(node_at(root, 4)), "a\xc3\xa9");
    CU_ASSERT_EQUAL(node_size(node_at(root, 5)), 2);
    CU_ASSERT_EQUAL(node_size(node_at(root, 0)), 0);
    config_free(config);
}

static void members_have_keys(void)
{
    const struct node *root = parse("{\"b\": 1, \"a\": [5]}");
    CU_ASSERT_STRING_EQUAL(node_key(node_at(root, 0)), "b");
    CU_ASSERT_PTR_EQUAL(node_get(root, "a"), node_at(root, 1));
    CU_ASSERT_PTR_NULL(node_get(root, "A"));
    CU_ASSERT_PTR_NULL(node_get(node_get(root, "b"), "a"));
    CU_ASSERT_PTR_NULL(node_get(node_get(root, "a"), "a"));
    CU_ASSERT_PTR_NULL(node_key(node_at(node_get(root, "a"), 0)));
    CU_ASSERT_PTR_NULL(node_key(root));
    config_free(config);
}

static void nodes_know_their_file(void)
{
    const struct node *root = parse("{\"a\": [5], \"path\": \"t.csv\", \"absolute\": \"/t.csv\"}");
    struct text path = {0};
    node_append_path(node_get(root, "path"), &path);
    node_append_path(node_get(root, "absolute"), &path);
    CU_ASSERT_STRING_EQUAL(text_string(&path), "dir/t.csv/t.csv");
    text_clear(&path);
    const struct node *five = node_at(node_get(root, "a"), 0);
    CU_ASSERT_STRING_EQUAL(node_file(five), "dir/x.json");
    CU_ASSERT_STRING_EQUAL(node_folder(five), "dir");
    config_free(config);
}

static void errors_have_a_path(void)
{
    struct error error;
    const struct node *root =
        parse("{\"pools\": [{}, {\"name\": \"d\", \"gpu\": 1}], \"axes\": {\"a.b[0]\": 1}}");
    const struct node *pool = node_at(node_get(root, "pools"), 1);
    CU_ASSERT_FALSE(node_error(node_get(pool, "gpu"), &error, "unknown %s", "GPU"));
    CU_ASSERT_STRING_EQUAL(error.text, "dir/x.json: pools[1].gpu: unknown GPU");
    node_error(node_at(node_get(root, "axes"), 0), &error, "odd");
    CU_ASSERT_STRING_EQUAL(error.text, "dir/x.json: axes[\"a.b[0]\"]: odd");
    node_error(root, &error, "empty");
    CU_ASSERT_STRING_EQUAL(error.text, "dir/x.json: empty");
    config_free(config);
}

static void types_have_names(void)
{
    CU_ASSERT_STRING_EQUAL(node_type_name(NODE_NULL), "null");
    CU_ASSERT_STRING_EQUAL(node_type_name(NODE_BOOL), "true or false");
    CU_ASSERT_STRING_EQUAL(node_type_name(NODE_NUMBER), "a number");
    CU_ASSERT_STRING_EQUAL(node_type_name(NODE_STRING), "a string");
    CU_ASSERT_STRING_EQUAL(node_type_name(NODE_ARRAY), "a list");
    CU_ASSERT_STRING_EQUAL(node_type_name(NODE_OBJECT), "an object");
}

static void number_of_string(void)
{
    node_number(parse("\"x\""));
}

static void string_of_list(void)
{
    node_string(parse("[]"));
}

static void bool_of_number(void)
{
    node_bool(parse("1"));
}

static void element_beyond_the_end(void)
{
    node_at(parse("[1]"), 1);
}

static void misuse_aborts(void)
{
    CU_ASSERT_TRUE(child_run(number_of_string).aborted);
    CU_ASSERT_TRUE(child_run(string_of_list).aborted);
    CU_ASSERT_TRUE(child_run(bool_of_number).aborted);
    CU_ASSERT_TRUE(child_run(element_beyond_the_end).aborted);
}

static void nothing_is_leaked(void)
{
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    const struct test_case cases[] = {
        {"values have types", values_have_types},
        {"members have keys", members_have_keys},
        {"nodes know file and folder", nodes_know_their_file},
        {"errors have file and path", errors_have_a_path},
        {"types have names", types_have_names},
        {"misuse aborts", misuse_aborts},
        {"nothing is leaked", nothing_is_leaked},
    };
    return test_main("node", cases, sizeof cases / sizeof cases[0]);
}
