/* What is JSON and what is not, and printing. */
#include "tandem/config.h"
#include "tandem/mem.h"
#include "test.h"

/* Whether the text is refused with just this message. */
static bool refused(const char *text, const char *message)
{
    struct error error = {0};
    struct config *config = NULL;
    if (config_parse(text, "x.json", &config, &error)) {
        printf("accepted: %s\n", text);
        config_free(config);
        return false;
    }
    if (strcmp(error.text, message) != 0)
        printf("got: %s\n", error.text);
    return strcmp(error.text, message) == 0;
}

static void syntax_errors_name_line_and_column(void)
{
    CU_ASSERT_TRUE(refused("", "x.json: line 1, column 1: the text is empty"));
    CU_ASSERT_TRUE(refused("{\n  \"a\": 1,\n}",
                           "x.json: line 3, column 1: unexpected '}' (remove the comma before it)"));
    CU_ASSERT_TRUE(
        refused("[1, 2,]", "x.json: line 1, column 7: unexpected ']' (remove the comma before it)"));
    CU_ASSERT_TRUE(
        refused("{\"a\": 1\n \"b\": 2}",
                "x.json: line 2, column 2: unexpected '\"' (a comma or colon is missing before it)"));
    CU_ASSERT_TRUE(refused(
        "{\"a\": 1", "x.json: line 1, column 8: the text ends too early (a '}', ']' or value is missing)"));
    CU_ASSERT_TRUE(refused("{\"a\": [1}", "x.json: line 1, column 9: unexpected '}'"));
    CU_ASSERT_TRUE(refused("{a: 1}",
                           "x.json: line 1, column 2: unexpected 'a' (only true, false and null stand "
                           "without double quotes)"));
    CU_ASSERT_TRUE(
        refused("{\"a\": 'x'}", "x.json: line 1, column 7: unexpected ' (strings need double quotes)"));
    CU_ASSERT_TRUE(refused("[1] // one", "x.json: line 1, column 5: text after the end of the value"));
    CU_ASSERT_TRUE(
        refused("[1, # one\n2]", "x.json: line 1, column 5: unexpected '#' (JSON has no comments)"));
    CU_ASSERT_TRUE(refused("{}\n{}", "x.json: line 2, column 1: text after the end of the value"));
    CU_ASSERT_TRUE(
        refused("[\"abc]", "x.json: line 1, column 2: a string without an end, or with a bad escape"));
}

static void words_that_are_no_numbers_are_refused(void)
{
    const char *reason =
        "x.json: line 1, column 2: unexpected '%s' (only true, false and null stand without double quotes)";
    const char *const words[] = {"NaN", "nan", "Infinity", "inf", "yes"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char text[64], message[256];
        snprintf(text, sizeof text, "[%s]", words[i]);
        snprintf(message, sizeof message, reason, words[i]);
        CU_ASSERT_TRUE(refused(text, message));
    }
}

static void huge_numbers_are_refused(void)
{
    CU_ASSERT_TRUE(refused("{\"a\": [1, 1e999]}", "x.json: a[1]: the number is too large"));
    CU_ASSERT_TRUE(refused("{\"a\": -1e999}", "x.json: a: the number is too large"));
}

static void duplicate_keys_are_refused(void)
{
    CU_ASSERT_TRUE(
        refused("{\"a\": {\"b\": [{\"c\": 1, \"d\": 2, \"c\": 3}]}}", "x.json: a.b[0].c: duplicate key"));
    struct error error;
    struct config *config = NULL;
    CU_ASSERT_TRUE(config_parse("{\"a\": 1, \"A\": 2, \"b\": {\"a\": 3}}", "x.json", &config, &error));
    config_free(config);
}

/* Whether text prints as itself in one line. */
static bool prints(const char *text, const char *wanted)
{
    struct error error = {0};
    struct config *config = NULL, *again = NULL;
    if (!config_parse(text, "x.json", &config, &error))
        return false;
    struct text printed = {0}, twice = {0}, indented = {0};
    config_print(config, false, NULL, &printed);
    config_print(config, true, NULL, &indented);
    bool good = strcmp(text_string(&printed), wanted) == 0;
    if (!good)
        printf("got: %s\n", text_string(&printed));
    if (config_parse(text_string(&indented), "again", &again, &error)) {
        config_print(again, false, NULL, &twice);
        good = good && strcmp(text_string(&twice), wanted) == 0;
    } else
        good = false;
    text_clear(&printed);
    text_clear(&twice);
    text_clear(&indented);
    config_free(config);
    config_free(again);
    return good;
}

static void printing_round_trips(void)
{
    CU_ASSERT_TRUE(prints(" { } ", "{}"));
    CU_ASSERT_TRUE(prints("[1, 2.50, true, null, \"x\"]", "[1,2.5,true,null,\"x\"]"));
    CU_ASSERT_TRUE(prints("{\"b\": {\"z\": []}, \"a\": 1}", "{\"b\":{\"z\":[]},\"a\":1}"));
    CU_ASSERT_TRUE(prints("[\"a\\\"b\\n\\u00e9\"]", "[\"a\\\"b\\n\xc3\xa9\"]"));
    CU_ASSERT_TRUE(
        prints("[1e3, 1.0, 100000000, 9007199254740992, -7]", "[1000,1,100000000,9007199254740992,-7]"));
    CU_ASSERT_TRUE(prints("[0.1, 0.3, 79.2, 1e-7, 1e100]", "[0.1,0.3,79.2,1e-07,1e+100]"));
}

static void numbers_round_trip_exactly(void)
{
    const double numbers[] = {0.1 + 0.2, 1.0 / 3, 5e-324, 1.7976931348623157e308, 123456789.123456789, 1e22};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "[%.17g]", numbers[i]);
        struct error error = {0};
        struct config *config = NULL, *again = NULL;
        struct text printed = {0};
        CU_ASSERT_TRUE_FATAL(config_parse(text, "x", &config, &error));
        config_print(config, false, NULL, &printed);
        CU_ASSERT_TRUE_FATAL(config_parse(text_string(&printed), "x", &again, &error));
        CU_ASSERT_EQUAL(node_number(node_at(config_root(again), 0)), numbers[i]);
        text_clear(&printed);
        config_free(config);
        config_free(again);
    }
}

static void keys_can_be_left_out(void)
{
    struct error error = {0};
    struct config *config = NULL;
    struct text printed = {0};
    const char *const skip[] = {"output", "simulation", NULL};
    CU_ASSERT_TRUE_FATAL(config_parse("{\"a\": {\"output\": 1}, \"output\": 2, \"b\": 3, \"simulation\": {}}",
                                      "x", &config, &error));
    config_print(config, false, skip, &printed);
    CU_ASSERT_STRING_EQUAL(text_string(&printed), "{\"a\":{\"output\":1},\"b\":3}");
    text_clear(&printed);
    config_free(config);
}

static void nothing_is_leaked(void)
{
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    const struct test_case cases[] = {
        {"syntax errors name line, column and reason", syntax_errors_name_line_and_column},
        {"words that are no numbers are refused", words_that_are_no_numbers_are_refused},
        {"huge numbers are refused", huge_numbers_are_refused},
        {"duplicate keys are refused", duplicate_keys_are_refused},
        {"printing round-trips and is stable", printing_round_trips},
        {"numbers round-trip exactly", numbers_round_trip_exactly},
        {"root keys can be left out", keys_can_be_left_out},
        {"nothing is leaked", nothing_is_leaked},
    };
    return test_main("parse", cases, sizeof cases / sizeof cases[0]);
}
