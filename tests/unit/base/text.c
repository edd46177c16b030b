#include "tandem/text.h"

#include "tandem/mem.h"
#include "test.h"

#define SUGGEST(word, ...)                                                                                   \
    text_suggest(word, (const char *const[]){__VA_ARGS__},                                                   \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void appends(void)
{
    size_t before = mem_live_bytes();
    struct text text = {0};
    CU_ASSERT_STRING_EQUAL(text_string(&text), "");
    text_append(&text, "%s", "");
    CU_ASSERT_STRING_EQUAL(text_string(&text), "");
    for (int i = 0; i < 1000; i++)
        text_append(&text, "%d,", i % 10);
    CU_ASSERT_EQUAL(text.length, 2000);
    CU_ASSERT_EQUAL(strlen(text_string(&text)), 2000);
    CU_ASSERT_EQUAL(strncmp(text_string(&text), "0,1,2,3,", 8), 0);
    text_clear(&text);
    CU_ASSERT_EQUAL(text.length, 0);
    CU_ASSERT_STRING_EQUAL(text_string(&text), "");
    CU_ASSERT_EQUAL(mem_live_bytes(), before);
}

static void suggests_the_nearest(void)
{
    CU_ASSERT_STRING_EQUAL(SUGGEST("prefil", "decode", "prefill", "unified"), "prefill");
    CU_ASSERT_STRING_EQUAL(SUGGEST("unifeid", "decode", "prefill", "unified"), "unified");
    CU_ASSERT_STRING_EQUAL(SUGGEST("decode", "decoder", "decode"), "decode");
    CU_ASSERT_STRING_EQUAL(SUGGEST("pagde", "slab", "paged"), "paged");
    CU_ASSERT_STRING_EQUAL(SUGGEST("xdecode", "decode"), "decode");
}

static void a_swap_is_one_edit(void)
{
    CU_ASSERT_STRING_EQUAL(SUGGEST("abc", "bac"),
                           "bac"); /* one of three letters; two edits would be too far */
    CU_ASSERT_PTR_NULL(SUGGEST("abc", "bad"));
}

static void completes_a_prefix(void)
{
    CU_ASSERT_STRING_EQUAL(SUGGEST("h10", "a100-sxm", "h100-sxm"), "h100-sxm");
    CU_ASSERT_STRING_EQUAL(SUGGEST("h100", "h200", "h100-sxm-80gb"), "h100-sxm-80gb");
    CU_ASSERT_PTR_NULL(SUGGEST("h", "h100-sxm", "h200-sxm"));
    CU_ASSERT_STRING_EQUAL(SUGGEST("h1", "h100-sxm", "h100-sxm"), "h100-sxm");
}

static void is_silent_when_nothing_is_near(void)
{
    CU_ASSERT_PTR_NULL(SUGGEST("scheduler", "kv", "gpu", "network"));
    CU_ASSERT_PTR_NULL(SUGGEST("", "kv"));
    CU_ASSERT_PTR_NULL(text_suggest("kv", NULL, 0));
    CU_ASSERT_PTR_NULL(SUGGEST("abcdef", "abcxyz")); /* 3 of 6 */
    CU_ASSERT_STRING_EQUAL(SUGGEST("abcdef", "abcdxy"), "abcdxy");
}

static void json_strings_are_escaped(void)
{
    struct text text = {0};
    text_append_json(&text, "a \"b\" \\ c\n\x01\xc3\xa9");
    CU_ASSERT_STRING_EQUAL(text_string(&text), "\"a \\\"b\\\" \\\\ c\\u000a\\u0001\xc3\xa9\"");
    text_clear(&text);
    text_append_json(&text, "");
    CU_ASSERT_STRING_EQUAL(text_string(&text), "\"\"");
    text_clear(&text);
}

int main(void)
{
    const struct test_case cases[] = {
        {"text grows", appends},
        {"JSON strings are escaped", json_strings_are_escaped},
        {"the nearest candidate is suggested", suggests_the_nearest},
        {"a swap of neighbours is one edit", a_swap_is_one_edit},
        {"the only completion is suggested", completes_a_prefix},
        {"nothing is suggested when nothing is near", is_silent_when_nothing_is_near},
    };
    return test_main("text", cases, sizeof cases / sizeof cases[0]);
}
