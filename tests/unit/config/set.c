/* Values from the command line. */
#include "folder.h"
#include "tandem/config.h"
#include "tandem/mem.h"
#include "test.h"

static const struct config_reference references[] = {
    {"cluster.pools[*].widget", "widgets", "widget"},
    {"cluster", "", "cluster"},
};

static const char base[] =
    "{\"cluster\":{\"pools\":[{\"name\":\"p\",\"n\":1},{\"name\":\"d\",\"widget\":\"big\"},"
    "{\"name\":\"d2\"},{\"name\":\"d2\"},7]},\"slo\":{\"ttft_ms\":5},\"name\":\"x\"}";

static bool load_with(const char *const *sets, size_t count, struct config **config, struct error *error)
{
    *config = NULL;
    error->text[0] = '\0';
    return config_load("e.json", references, 2, sets, count, config, error);
}

/* The value at the key of the root, after one set value, printed. */
static bool sets(const char *argument, const char *part)
{
    struct error error;
    struct config *config;
    if (!load_with(&argument, 1, &config, &error)) {
        printf("%s\n", error.text);
        return false;
    }
    struct text text = {0};
    config_print(config, false, NULL, &text);
    bool found = strstr(text_string(&text), part) != NULL;
    if (!found)
        printf("got: %s\n", text_string(&text));
    text_clear(&text);
    config_free(config);
    return found;
}

static bool refused(const char *argument, const char *message)
{
    struct error error;
    struct config *config;
    if (load_with(&argument, 1, &config, &error)) {
        printf("accepted: %s\n", argument);
        config_free(config);
        return false;
    }
    if (strcmp(error.text, message) != 0)
        printf("got: %s\n", error.text);
    return strcmp(error.text, message) == 0;
}

static void enter(void)
{
    folder_enter();
    folder_write("e.json", base);
    folder_write("clusters/widgets/big.json", "{\"size\":9}");
    folder_write("clusters/widgets/small.json", "{\"size\":1}");
    folder_write("clusters/other.json", "{\"pools\":[{\"widget\":\"small\"}]}");
}

static void values_are_set(void)
{
    enter();
    CU_ASSERT_TRUE(sets("slo.ttft_ms=7.5", "\"slo\":{\"ttft_ms\":7.5}"));
    CU_ASSERT_TRUE(sets("name=y", "\"name\":\"y\"}"));
    CU_ASSERT_TRUE(sets("name=\"3\"", "\"name\":\"3\"}"));
    CU_ASSERT_TRUE(sets("name=", "\"name\":\"\"}"));
    CU_ASSERT_TRUE(sets("name=a=b", "\"name\":\"a=b\"}"));
    CU_ASSERT_TRUE(sets("name=true", "\"name\":true}"));
    CU_ASSERT_TRUE(sets("slo={\"a\": [1]}", "\"slo\":{\"a\":[1]}"));
    CU_ASSERT_TRUE(sets("slo.tpot_ms=3", "\"slo\":{\"ttft_ms\":5,\"tpot_ms\":3}"));
    CU_ASSERT_TRUE(sets("seed=3", "\"name\":\"x\",\"seed\":3}"));
    CU_ASSERT_TRUE(sets("slo[\"a.b[0]=\"]=3", "\"slo\":{\"ttft_ms\":5,\"a.b[0]=\":3}"));
    folder_leave();
}

static void elements_are_set_by_index_and_name(void)
{
    enter();
    CU_ASSERT_TRUE(sets("cluster.pools[0].n=4", "{\"name\":\"p\",\"n\":4}"));
    CU_ASSERT_TRUE(sets("cluster.pools[p].n=4", "{\"name\":\"p\",\"n\":4}"));
    CU_ASSERT_TRUE(sets("cluster.pools[d].n=4", "{\"name\":\"d\",\"widget\":{\"size\":9},\"n\":4}"));
    CU_ASSERT_TRUE(sets("cluster.pools[4]=8", "{\"name\":\"d2\"},8]"));
    folder_leave();
}

static void references_are_expanded_again(void)
{
    enter();
    CU_ASSERT_TRUE(sets("cluster.pools[d].widget=small", "{\"name\":\"d\",\"widget\":{\"size\":1}}"));
    CU_ASSERT_TRUE(sets("cluster.pools[p].widget=small", "\"widget\":{\"size\":1}}"));
    CU_ASSERT_TRUE(sets("cluster=other", "{\"cluster\":{\"pools\":[{\"widget\":{\"size\":1}}]}"));
    CU_ASSERT_TRUE(sets("cluster.pools[d].widget.size=4", "{\"name\":\"d\",\"widget\":{\"size\":4}}"));
    CU_ASSERT_TRUE(sets("output.deep.x=3", "\"output\":{\"deep\":{\"x\":3}}"));
    CU_ASSERT_TRUE(refused("cluster.pools[d].widget=smal",
                           "--set: cluster.pools[1].widget: unknown widget 'smal' (did you mean 'small'?)"));
    folder_leave();
}

static void later_values_see_earlier_ones(void)
{
    enter();
    const char *const list[] = {"cluster=other", "cluster.pools[0].widget=big",
                                "cluster.pools[0].widget.size=5"};
    struct error error;
    struct config *config;
    CU_ASSERT_TRUE_FATAL(load_with(list, 3, &config, &error));
    struct text text = {0};
    config_print(config, false, NULL, &text);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(text_string(&text), "{\"cluster\":{\"pools\":[{\"widget\":{\"size\":5}}]}"));
    text_clear(&text);
    config_free(config);
    folder_leave();
}

static void set_values_know_where_they_are(void)
{
    enter();
    const char *const list[] = {"cluster=other", "cluster.pools[0].n=5", "cluster.pools[0].widget=big",
                                "slo=[[1]]", "cluster.pools[0].file=t.csv"};
    struct error error;
    struct config *config;
    CU_ASSERT_TRUE_FATAL(load_with(list, 5, &config, &error));
    const struct node *pool = node_at(node_get(node_get(config_root(config), "cluster"), "pools"), 0);
    const struct node *number = node_get(pool, "n");
    CU_ASSERT_STRING_EQUAL(node_file(number), "--set");
    CU_ASSERT_STRING_EQUAL(node_folder(number), "clusters");
    struct text path = {0};
    node_append_path(node_get(pool, "file"), &path);
    CU_ASSERT_STRING_EQUAL(text_string(&path), "t.csv");
    text_clear(&path);
    node_error(number, &error, "bad");
    CU_ASSERT_STRING_EQUAL(error.text, "--set: cluster.pools[0].n: bad");
    node_error(node_get(node_get(pool, "widget"), "size"), &error, "bad");
    CU_ASSERT_STRING_EQUAL(error.text, "clusters/widgets/big.json: size: bad");
    node_error(node_at(node_at(node_get(config_root(config), "slo"), 0), 0), &error, "bad");
    CU_ASSERT_STRING_EQUAL(error.text, "--set: slo[0][0]: bad");
    config_free(config);
    folder_leave();
}

static void malformed_arguments_are_refused(void)
{
    enter();
    const char *const remedy = " (write path=value, as in cluster.pools[decode].instances=4)";
    const char *const arguments[][2] = {
        {"name", "there is no '='"},
        {"", "there is no '='"},
        {"=3", "a key is missing"},
        {".name=3", "a key is missing"},
        {"slo.=3", "a key is missing"},
        {"slo..ttft_ms=3", "a key is missing"},
        {"cluster.pools[0=3", "a ']' is missing"},
        {"cluster.pools[]=3", "the brackets are empty"},
        {"cluster.pools[0]n=3", "a '.' or '[' is missing after a ']'"},
        {"slo[\"=\"]", "there is no '=' after the path"},
    };
    for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++) {
        char message[256];
        snprintf(message, sizeof message, "--set %s: %s%s", arguments[i][0], arguments[i][1], remedy);
        CU_ASSERT_TRUE(refused(arguments[i][0], message));
    }
    folder_leave();
}

static void paths_that_do_not_exist_are_refused(void)
{
    enter();
    CU_ASSERT_TRUE(
        refused("sol.ttft_ms=3", "--set sol.ttft_ms=3: the experiment has no 'sol' (did you mean 'slo'?)"));
    CU_ASSERT_TRUE(refused("cluster.pool[0].n=3",
                           "--set cluster.pool[0].n=3: cluster has no 'pool' (did you mean 'pools'?)"));
    CU_ASSERT_TRUE(
        refused("cluster.pools[5].n=3",
                "--set cluster.pools[5].n=3: cluster.pools has 5 elements, counted from 0: there is no [5]"));
    CU_ASSERT_TRUE(refused("cluster.pools[x].n=3",
                           "--set cluster.pools[x].n=3: cluster.pools has no element named 'x' "
                           "(it has: p, d, d2, d2)"));
    CU_ASSERT_TRUE(refused("cluster.pools[d2].n=3",
                           "--set cluster.pools[d2].n=3: cluster.pools has more than one "
                           "element named 'd2': use its index [3]"));
    CU_ASSERT_TRUE(refused("name[0]=3", "--set name[0]=3: name is a string, [0] needs a list"));
    CU_ASSERT_TRUE(refused("name.x=3", "--set name.x=3: name is a string, 'x' needs an object"));
    CU_ASSERT_TRUE(
        refused("cluster.pools.n=3",
                "--set cluster.pools.n=3: cluster.pools is a list: use [index] or [name] instead of 'n'"));
    CU_ASSERT_TRUE(refused("cluster.pools[0][1]=3",
                           "--set cluster.pools[0][1]=3: cluster.pools[0] is an object, [1] needs a list"));
    folder_leave();
}

static void bad_values_are_refused(void)
{
    enter();
    CU_ASSERT_TRUE(refused("slo={\"a\": 1",
                           "--set slo={\"a\": 1: the value is not JSON: line 1, column 8: the text ends "
                           "too early (a '}', ']' or value is missing)"));
    CU_ASSERT_TRUE(refused("slo={\"a\": 1, \"a\": 2}", "--set: slo.a: duplicate key"));
    CU_ASSERT_TRUE(refused("slo.ttft_ms=1e999", "--set: slo.ttft_ms: the number is too large"));
    folder_leave();
}

/* Values for what is not there, with the file that they are from; the rest stays. */
static void defaults_fill_in(void)
{
    struct config *config;
    struct error error = {{0}};
    struct text text = {0};
    CU_ASSERT_TRUE(
        config_parse("{\"a\": {\"b\": 1}, \"n\": 2, \"x\": [3, {\"y\": true}]}", "to", &config, &error));
    const struct node *value = node_get(config_root(config), "x");
    CU_ASSERT_TRUE(config_default(config, config_root(config), "a.b", value, &error));
    CU_ASSERT_TRUE(config_default(config, node_get(config_root(config), "a"), "c.d", value, &error));
    CU_ASSERT_FALSE(config_default(config, config_root(config), "n.d", value, &error));
    CU_ASSERT_STRING_EQUAL(error.text, "to: n: expected an object, not a number");
    config_print(config, false, NULL, &text);
    CU_ASSERT_STRING_EQUAL(text_string(&text),
                           "{\"a\":{\"b\":1,\"c\":{\"d\":[3,{\"y\":true}]}},\"n\":2,\"x\":[3,{\"y\":true}]}");
    text_clear(&text);
    config_free(config);
}

static void nothing_is_leaked(void)
{
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

/* A copy with a value of another file put into it: references in it are found beside that file, and errors
 * have the path that was put. */
static void values_are_put_into_a_copy(void)
{
    struct config *config, *copy, *values;
    struct error error;
    enter();
    CU_ASSERT_FATAL(load_with(NULL, 0, &config, &error));
    folder_write("far/v.json", "{\"widget\": \"red\", \"n\": 4, \"odd\": \"green\"}");
    folder_write("far/widgets/red.json", "{\"size\": 3}");
    CU_ASSERT_FATAL(config_load("far/v.json", NULL, 0, NULL, 0, &values, &error));
    const struct node *root = config_root(values);
    config_copy(config, (const char *const[]){"slo", NULL}, &copy);
    CU_ASSERT_PTR_NULL(config_at(copy, "slo"));
    CU_ASSERT_PTR_NOT_NULL(config_at(config, "slo.ttft_ms"));
    CU_ASSERT(
        config_put(copy, "cluster.pools[p].widget", node_get(root, "widget"), "v:", references, 2, &error));
    CU_ASSERT(config_put(copy, "cluster.pools[0].n", node_get(root, "n"), "v:", references, 2, &error));
    CU_ASSERT_EQUAL(node_number(config_at(copy, "cluster.pools[p].widget.size")), 3);
    CU_ASSERT_EQUAL(node_number(config_at(copy, "cluster.pools[0].n")), 4);
    CU_ASSERT_EQUAL(node_number(config_at(config, "cluster.pools[0].n")), 1);
    CU_ASSERT_PTR_NULL(config_at(copy, "cluster.pools[9]"));
    CU_ASSERT_PTR_NULL(config_at(copy, "cluster.pools[nobody].n"));
    CU_ASSERT_PTR_NULL(config_at(copy, "cluster.pools.n"));
    node_error(config_at(copy, "cluster.pools[0].n"), &error, "bad");
    CU_ASSERT_STRING_EQUAL(error.text, "far/v.json: cluster.pools[0].n: bad");
    CU_ASSERT(!config_put(copy, "cluster.pools[x].n", node_get(root, "n"), "v:", references, 2, &error));
    CU_ASSERT_STRING_EQUAL(
        error.text, "v: cluster.pools[x].n=4: cluster.pools has no element named 'x' (it has: p, d, d2, d2)");
    CU_ASSERT(!config_put(copy, "a=b", node_get(root, "n"), "v:", references, 2, &error));
    CU_ASSERT(strstr(error.text, "a key with '=' is written [\"key\"]") != NULL);
    CU_ASSERT(
        !config_put(copy, "cluster.pools[p].widget", node_get(root, "odd"), "v:", references, 2, &error));
    CU_ASSERT(strstr(error.text, "far/v.json: cluster.pools[0].widget: unknown widget 'green'") != NULL);
    config_free(copy);
    config_free(values);
    config_free(config);
    folder_leave();
}

/* Of what is in the tree, not of where it is written. */
static void hashes_are_of_values(void)
{
    struct config *config, *copy;
    struct error error;
    const char *const skip[] = {"name", NULL};
    enter();
    CU_ASSERT_FATAL(load_with(NULL, 0, &config, &error));
    config_copy(config, NULL, &copy);
    CU_ASSERT_EQUAL(config_hash(config, NULL), config_hash(copy, NULL));
    CU_ASSERT(config_set(copy, "slo.ttft_ms=5", &error));
    CU_ASSERT_EQUAL(config_hash(config, NULL), config_hash(copy, NULL));
    CU_ASSERT(config_set(copy, "name=y", &error));
    CU_ASSERT_NOT_EQUAL(config_hash(config, NULL), config_hash(copy, NULL));
    CU_ASSERT_EQUAL(config_hash(config, skip), config_hash(copy, skip));
    CU_ASSERT(config_set(copy, "slo.ttft_ms=5.000001", &error));
    CU_ASSERT_NOT_EQUAL(config_hash(config, skip), config_hash(copy, skip));
    config_free(copy);
    config_free(config);
    folder_leave();
}

int main(void)
{
    const struct test_case cases[] = {
        {"values are JSON, else strings", values_are_set},
        {"elements are set by index and by name", elements_are_set_by_index_and_name},
        {"references are expanded again", references_are_expanded_again},
        {"later values see earlier ones", later_values_see_earlier_ones},
        {"set values know file, folder and path", set_values_know_where_they_are},
        {"malformed arguments are refused", malformed_arguments_are_refused},
        {"paths that do not exist are refused", paths_that_do_not_exist_are_refused},
        {"bad values are refused", bad_values_are_refused},
        {"defaults fill in what is not there", defaults_fill_in},
        {"values are put into a copy", values_are_put_into_a_copy},
        {"hashes are of values", hashes_are_of_values},
        {"nothing is leaked", nothing_is_leaked},
    };
    return test_main("set", cases, sizeof cases / sizeof cases[0]);
}
