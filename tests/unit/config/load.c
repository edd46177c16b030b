/* References to other files: where they are looked up, and what is said when they are not found. */
#include "folder.h"
#include "tandem/config.h"
#include "tandem/mem.h"
#include "test.h"

/* Kinds that the real clusters/ folder does not have, so that its files cannot answer. */
static const struct config_reference references[] = {
    {"cluster.pools[*].widget", "widgets", "widget"},
    {"cluster.network.cable", "cables", "cable"},
    {"cluster", "", "cluster"},
    {"thing", "things", "thing"},
};

static bool load(const char *file, struct config **config, struct error *error)
{
    *config = NULL;
    error->text[0] = '\0';
    return config_load(file, references, sizeof references / sizeof references[0], NULL, 0, config, error);
}

/* Whether a file loads and prints as wanted. */
static bool loads(const char *file, const char *wanted)
{
    struct error error;
    struct config *config;
    if (!load(file, &config, &error)) {
        printf("%s\n", error.text);
        return false;
    }
    struct text text = {0};
    config_print(config, false, NULL, &text);
    bool same = strcmp(text_string(&text), wanted) == 0;
    if (!same)
        printf("got: %s\n", text_string(&text));
    text_clear(&text);
    config_free(config);
    return same;
}

static bool refused(const char *file, const char *message)
{
    struct error error;
    struct config *config;
    if (load(file, &config, &error)) {
        config_free(config);
        return false;
    }
    if (strcmp(error.text, message) != 0)
        printf("got: %s\n", error.text);
    return strcmp(error.text, message) == 0;
}

static void references_are_expanded(void)
{
    folder_enter();
    folder_write("e.json", "{\"cluster\": \"pair\", \"seed\": 1}");
    folder_write("clusters/pair.json", "{\"pools\": [{\"widget\": \"big\"}, {\"widget\": {\"size\": 3}}, {}],"
                                       " \"network\": {\"cable\": \"../cables/c\"}}");
    folder_write("clusters/widgets/big.json", "{\"size\": 9}");
    folder_write("cables/c.json", "{\"speed\": 1}");
    CU_ASSERT_TRUE(loads("e.json",
                         "{\"cluster\":{\"pools\":[{\"widget\":{\"size\":9}},{\"widget\":{\"size\":3}},{}],"
                         "\"network\":{\"cable\":{\"speed\":1}}},\"seed\":1}"));
    folder_leave();
}

static void nodes_know_their_own_file(void)
{
    folder_enter();
    folder_write("d/e.json", "{\"cluster\": \"pair\"}");
    folder_write("d/clusters/pair.json", "{\"pools\": [{\"widget\": \"big\"}]}");
    folder_write("d/clusters/widgets/big.json", "{\"parts\": [{\"size\": 9}]}");
    struct error error;
    struct config *config;
    CU_ASSERT_TRUE_FATAL(load("d/e.json", &config, &error));
    const struct node *pool = node_at(node_get(node_get(config_root(config), "cluster"), "pools"), 0);
    const struct node *widget = node_get(pool, "widget");
    const struct node *size = node_get(node_at(node_get(widget, "parts"), 0), "size");
    CU_ASSERT_STRING_EQUAL(node_folder(config_root(config)), "d");
    CU_ASSERT_STRING_EQUAL(node_folder(pool), "d/clusters");
    CU_ASSERT_STRING_EQUAL(node_file(widget), "d/clusters/widgets/big.json");
    node_error(pool, &error, "bad");
    CU_ASSERT_STRING_EQUAL(error.text, "d/clusters/pair.json: pools[0]: bad");
    node_error(size, &error, "bad");
    CU_ASSERT_STRING_EQUAL(error.text, "d/clusters/widgets/big.json: parts[0].size: bad");
    node_error(widget, &error, "bad");
    CU_ASSERT_STRING_EQUAL(error.text, "d/clusters/widgets/big.json: bad");
    config_free(config);
    folder_leave();
}

/* Each place that is searched hides those after it. */
static void folders_are_searched_in_order(void)
{
    const char *const places[] = {
        "d/things/t.json",        "d/t.json",        "d/clusters/things/t.json", "d/clusters/t.json",
        "clusters/things/t.json", "clusters/t.json", "p1/things/t.json",         "p1/t.json",
        "p2/things/t.json"};
    const size_t count = sizeof places / sizeof places[0];
    folder_enter();
    setenv("TANDEM_PATH", "p1::none:p2", 1);
    folder_write("d/e.json", "{\"thing\": \"t\"}");
    for (size_t i = 0; i < count; i++) {
        char content[32];
        snprintf(content, sizeof content, "{\"at\": %zu}", i);
        folder_write(places[i], content);
    }
    for (size_t i = 0; i < count; i++) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "{\"thing\":{\"at\":%zu}}", i);
        CU_ASSERT_TRUE(loads("d/e.json", wanted));
        unlink(places[i]);
    }
    struct error error;
    struct config *config;
    CU_ASSERT_FALSE(load("d/e.json", &config, &error));
    folder_leave();
}

static void a_file_never_means_itself(void)
{
    folder_enter();
    folder_write("same.json", "{\"cluster\": \"same\"}");
    folder_write("clusters/same.json", "{\"a\": 1}");
    CU_ASSERT_TRUE(loads("same.json", "{\"cluster\":{\"a\":1}}"));
    folder_leave();
}

static void paths_are_relative_to_the_naming_file(void)
{
    folder_enter();
    folder_write("d/e.json", "{\"thing\": \"./x/t\", \"cluster\": \"c.json\"}");
    folder_write("d/x/t.json", "{\"a\": 1}");
    folder_write("d/c.json", "{\"b\": 2}");
    CU_ASSERT_TRUE(loads("d/e.json", "{\"thing\":{\"a\":1},\"cluster\":{\"b\":2}}"));
    char absolute[5000];
    snprintf(absolute, sizeof absolute, "{\"thing\": \"%s/d/x/t.json\"}", folder_path);
    folder_write("f.json", absolute);
    CU_ASSERT_TRUE(loads("f.json", "{\"thing\":{\"a\":1}}"));
    folder_leave();
}

static void what_is_not_found_is_named(void)
{
    folder_enter();
    folder_write("e.json", "{\"cluster\": \"pair\"}");
    folder_write("clusters/pair.json", "{\"pools\": [{\"widget\": \"bgi\"}]}");
    CU_ASSERT_TRUE(refused("e.json",
                           "clusters/pair.json: pools[0].widget: unknown widget 'bgi' (there are none in "
                           "clusters/widgets or in the folders of $TANDEM_PATH)"));
    folder_write("clusters/widgets/small.json", "{}");
    folder_write("clusters/widgets/note.txt", "");
    folder_write("widgets/tiny.json", "{}");
    CU_ASSERT_TRUE(
        refused("e.json", "clusters/pair.json: pools[0].widget: unknown widget 'bgi' (known: small)"));
    folder_write("clusters/widgets/big.json", "{}");
    CU_ASSERT_TRUE(
        refused("e.json", "clusters/pair.json: pools[0].widget: unknown widget 'bgi' (did you mean 'big'?)"));
    folder_write("e.json", "{\"thing\": \"./thing\"}");
    CU_ASSERT_TRUE(refused("e.json",
                           "e.json: thing: there is no thing file './thing' (paths are relative to the file "
                           "that names them; names without '/': `tandem list things`)"));
    folder_write("thyng.json", "{}");
    CU_ASSERT_TRUE(
        refused("e.json", "e.json: thing: there is no thing file './thing' (did you mean 'thyng.json'?)"));
    folder_leave();
}

static void files_that_cannot_be_read_are_named(void)
{
    folder_enter();
    CU_ASSERT_TRUE(refused("quickstrat.json", "quickstrat.json: cannot open: No such file or directory"));
    folder_write("quickstart.json", "{}");
    CU_ASSERT_TRUE(refused("quickstrat.json",
                           "quickstrat.json: cannot open: No such file or directory (did you mean "
                           "'quickstart.json'?)"));
    folder_write("d/x", "");
    CU_ASSERT_TRUE(refused("d", "d: cannot open: Is a directory"));
    folder_leave();
}

static void wrong_content_is_refused(void)
{
    folder_enter();
    folder_write("e.json", "[1]");
    CU_ASSERT_TRUE(refused("e.json", "e.json: expected an object, not a list"));
    folder_write("e.json", "3");
    CU_ASSERT_TRUE(refused("e.json", "e.json: expected an object, not a number"));
    folder_write("e.json", "{\"thing\": \"t\"}");
    folder_write("things/t.json", "\"t\"");
    CU_ASSERT_TRUE(refused("e.json", "things/t.json: expected an object, not a string"));
    folder_write("things/t.json", "{\"a\": 1, \"a\": 2}");
    CU_ASSERT_TRUE(refused("e.json", "things/t.json: a: duplicate key"));
    folder_write("things/t.json", "{\n1}");
    CU_ASSERT_TRUE(refused("e.json", "things/t.json: line 2, column 1: unexpected '1'"));
    folder_leave();
}

/* Text as a file: references in it and in set values are expanded; its name is in what goes wrong. */
static void text_is_composed(void)
{
    struct error error = {{0}};
    struct config *config = NULL;
    struct text text = {0};
    const size_t count = sizeof references / sizeof references[0];
    folder_enter();
    folder_write("clusters/things/big.json", "{\"size\": 9}");
    folder_write("clusters/things/small.json", "{\"size\": 1}");
    const char *sets[] = {"thing=small", "thing.size=2", "deep.key=word"};
    CU_ASSERT_FATAL(
        config_compose("{\"thing\": \"big\"}", "the text", references, count, sets, 3, &config, &error));
    config_print(config, false, NULL, &text);
    CU_ASSERT_STRING_EQUAL(text_string(&text), "{\"thing\":{\"size\":2},\"deep\":{\"key\":\"word\"}}");
    text_clear(&text);
    node_error(node_get(node_get(config_root(config), "deep"), "key"), &error, "wrong");
    CU_ASSERT_STRING_EQUAL(error.text, "the text: deep.key: wrong");
    config_free(config);
    const char *unknown[] = {"thing=bag"};
    CU_ASSERT_FALSE(config_compose("{}", "the text", references, count, unknown, 1, &config, &error));
    CU_ASSERT_STRING_EQUAL(error.text, "the text: thing: unknown thing 'bag' (did you mean 'big'?)");
    CU_ASSERT_FALSE(config_compose("[]", "the text", references, count, NULL, 0, &config, &error));
    CU_ASSERT_STRING_EQUAL(error.text, "the text: expected an object, not a list");
    folder_leave();
}

static void names_are_listed(void)
{
    folder_enter();
    setenv("TANDEM_PATH", "p", 1);
    folder_write("clusters/widgets/b.json", "{}");
    folder_write("clusters/widgets/.hidden.json", "{}");
    folder_write("p/widgets/a.json", "{}");
    folder_write("p/widgets/b.json", "{}");
    struct text names = {0};
    config_names(&references[0], &names);
    CU_ASSERT_STRING_EQUAL(text_string(&names), "a\nb\n");
    text_clear(&names);
    folder_leave();
}

static void find_appends_the_path(void)
{
    folder_enter();
    folder_write("d/widgets/w.json", "{}");
    struct text path = {0};
    struct error error;
    CU_ASSERT_TRUE(config_find("w", "d", &references[0], &path, &error));
    CU_ASSERT_STRING_EQUAL(text_string(&path), "d/widgets/w.json");
    CU_ASSERT_FALSE(config_find("ww", "d", &references[0], &path, &error));
    CU_ASSERT_STRING_EQUAL(error.text, "unknown widget 'ww' (known: w)");
    CU_ASSERT_FALSE(config_find("", "d", &references[0], &path, &error));
    CU_ASSERT_STRING_EQUAL(error.text, "unknown widget '' (known: w)");
    text_clear(&path);
    folder_leave();
}

static void files_are_read_whole(void)
{
    folder_enter();
    struct error error;
    char *bytes;
    size_t count;
    FILE *file = fopen("big", "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (int i = 0; i < 300000; i++)
        fputc(i % 251, file);
    fclose(file);
    CU_ASSERT_TRUE_FATAL(config_read_file("big", &bytes, &count, &error));
    bool same = count == 300000;
    for (size_t i = 0; same && i < count; i++)
        same = (unsigned char)bytes[i] == i % 251;
    CU_ASSERT_TRUE(same);
    CU_ASSERT_EQUAL(bytes[count], '\0');
    mem_free(bytes);
    folder_write("e.json", "x");
    file = fopen("e.json", "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fwrite("{\n\0}", 1, 4, file);
    fclose(file);
    CU_ASSERT_TRUE(refused("e.json", "e.json: line 2, column 1: a NUL byte (no JSON text)"));
    folder_leave();
}

static void nothing_is_leaked(void)
{
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    const struct test_case cases[] = {
        {"references are expanded, also in files that are referred to", references_are_expanded},
        {"nodes know their own file, folder and path", nodes_know_their_own_file},
        {"folders are searched in order", folders_are_searched_in_order},
        {"a file never means itself", a_file_never_means_itself},
        {"paths are relative to the file that names them", paths_are_relative_to_the_naming_file},
        {"what is not found is named, with a suggestion", what_is_not_found_is_named},
        {"files that cannot be read are named", files_that_cannot_be_read_are_named},
        {"wrong content is refused", wrong_content_is_refused},
        {"text is composed with set values", text_is_composed},
        {"names are listed, sorted and once", names_are_listed},
        {"config_find appends the path", find_appends_the_path},
        {"files are read whole", files_are_read_whole},
        {"nothing is leaked", nothing_is_leaked},
    };
    return test_main("load", cases, sizeof cases / sizeof cases[0]);
}
