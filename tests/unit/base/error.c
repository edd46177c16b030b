#include "tandem/error.h"

#include "test.h"

static void sets_and_returns_false(void)
{
    struct error error;
    CU_ASSERT_FALSE(error_set(&error, "%s has %d", "pool", 3));
    CU_ASSERT_STRING_EQUAL(error.text, "pool has 3");
}

static void prefixes(void)
{
    struct error error;
    error_set(&error, "unknown");
    CU_ASSERT_FALSE(error_prefix(&error, "x.json"));
    CU_ASSERT_STRING_EQUAL(error.text, "x.json: unknown");
}

static void own_text_may_be_an_argument(void)
{
    struct error error;
    error_set(&error, "inner");
    error_set(&error, "outer (%s)", error.text);
    CU_ASSERT_STRING_EQUAL(error.text, "outer (inner)");
}

static void long_messages_are_cut(void)
{
    struct error error;
    error_set(&error, "%4000d", 7);
    CU_ASSERT_EQUAL(strlen(error.text), sizeof error.text - 1);
    error_prefix(&error, "file");
    CU_ASSERT_EQUAL(strlen(error.text), sizeof error.text - 1);
    CU_ASSERT_EQUAL(strncmp(error.text, "file:  ", 7), 0);
}

int main(void)
{
    const struct test_case cases[] = {
        {"a message is formatted", sets_and_returns_false},
        {"a prefix goes in front", prefixes},
        {"the old text may be an argument", own_text_may_be_an_argument},
        {"long messages are cut", long_messages_are_cut},
    };
    return test_main("error", cases, sizeof cases / sizeof cases[0]);
}
