/* Points from the section of an experiment: their order and their values. */
#include "../../../src/sweep/space.h"
#include "tandem/mem.h"
#include "tandem/results.h"
#include "test.h"

/* What a point sets, as "name a=1 b=2". */
static void check_point(const struct space *space, size_t point, const char *expected)
{
    struct space_value values[SPACE_MOST_PATHS];
    struct text text = {0};
    size_t count = space_values(space, point, values);
    text_append(&text, "%s", space_name(space, point));
    for (size_t i = 0; i < count; i++) {
        text_append(&text, " %s=", values[i].path);
        space_print(values[i].value, &text);
    }
    CU_ASSERT_STRING_EQUAL(text_string(&text), expected);
    text_clear(&text);
}

static bool parse(const char *json, struct config **config, struct space *space, struct error *error)
{
    *space = (struct space){0};
    error->text[0] = '\0';
    return config_parse(json, "s.json", config, error) && space_parse(config_root(*config), space, error);
}

static void check_points(const char *json, const char *const *expected, size_t count)
{
    struct config *config;
    struct space space;
    struct error error;
    CU_ASSERT_FATAL(parse(json, &config, &space, &error));
    CU_ASSERT_EQUAL_FATAL(space.count, count);
    for (size_t i = 0; i < count; i++)
        check_point(&space, i, expected[i]);
    space_clear(&space);
    config_free(config);
}

static void the_last_axis_is_fastest(void)
{
    static const char *const expected[] = {" a=1 b.c=x", " a=1 b.c=y", " a=1 b.c=[3]",
                                           " a=2 b.c=x", " a=2 b.c=y", " a=2 b.c=[3]"};
    check_points("{\"axes\": {\"a\": [1, 2], \"b.c\": [\"x\", \"y\", [3]]}}", expected, 6);
}

static void zipped_axes_go_together(void)
{
    static const char *const expected[] = {" a=1 b=true", " a=2 b=null", " a=3 b=thing"};
    check_points(
        "{\"mode\": \"zip\", \"axes\": {\"a\": [1, 2, 3], \"b\": [true, null, {\"name\": \"thing\"}]}}",
        expected, 3);
}

static void named_points_are_outermost_and_come_first(void)
{
    static const char *const expected[] = {"base a=1", "base a=2", "wide x=7 y=q a=1", "wide x=7 y=q a=2"};
    check_points(
        "{\"axes\": {\"a\": [1, 2]}, \"points\": [{\"name\": \"base\"}, {\"name\": \"wide\", \"set\": "
        "{\"x\": 7, \"y\": \"q\"}}]}",
        expected, 4);
    check_points("{\"points\": [{\"name\": \"base\"}, {\"name\": \"wide\", \"set\": {\"x\": 7}}]}",
                 (const char *const[]){"base", "wide x=7"}, 2);
}

static void paths_are_listed_once(void)
{
    struct config *config;
    struct space space;
    struct error error;
    CU_ASSERT_FATAL(parse(
        "{\"axes\": {\"a\": [1]}, \"points\": [{\"name\": \"p\", \"set\": {\"x\": 1, \"y\": 1}}, "
        "{\"name\": \"q\", \"set\": {\"y\": 2}}], \"keep\": [\"requests\", \"links\"], \"where\": \"x\"}",
        &config, &space, &error));
    CU_ASSERT_EQUAL_FATAL(space.path_count, 3);
    CU_ASSERT_STRING_EQUAL(space.paths[0], "x");
    CU_ASSERT_STRING_EQUAL(space.paths[1], "y");
    CU_ASSERT_STRING_EQUAL(space.paths[2], "a");
    CU_ASSERT_EQUAL(space.keep, 1u << RESULTS_REQUESTS | 1u << RESULTS_LINKS);
    CU_ASSERT_STRING_EQUAL(space.where, "x");
    space_clear(&space);
    config_free(config);
}

/* 1000 x 1000 points and one more. */
static void there_is_a_limit(void)
{
    struct text json = {0};
    struct config *config;
    struct space space;
    struct error error;
    text_append(&json, "{\"axes\": {");
    for (int axis = 0; axis < 2; axis++) {
        text_append(&json, "%s\"a%d\": [0", axis > 0 ? ", " : "", axis);
        for (int i = 1; i < 1000 + axis; i++)
            text_append(&json, ",%d", i);
        text_append(&json, "]");
    }
    text_append(&json, "}}");
    CU_ASSERT(!parse(text_string(&json), &config, &space, &error));
    CU_ASSERT_STRING_EQUAL(error.text, "s.json: axes.a1: more than 1000000 points");
    space_clear(&space);
    config_free(config);
    text_clear(&json);
}

int main(void)
{
    const struct test_case cases[] = {
        {"the last axis is fastest", the_last_axis_is_fastest},
        {"zipped axes go together", zipped_axes_go_together},
        {"named points are outermost and come first", named_points_are_outermost_and_come_first},
        {"paths are listed once", paths_are_listed_once},
        {"there is a limit", there_is_a_limit}};
    int code = test_main("space", cases, sizeof cases / sizeof *cases);
    return mem_live_bytes() == 0 ? code : 1;
}
