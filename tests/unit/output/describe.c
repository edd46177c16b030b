/* The schema page names every column, and the committed page is the one that the program prints. */
#include "test.h"

#include "tandem/mem.h"
#include "tandem/output.h"

static const struct column_table *const tables[] = {&column_requests,   &column_instances,  &column_pools,
                                                    &column_timeseries, &column_histograms, &column_summary};

static void check_names_all(bool markdown)
{
    struct text text = {0};
    output_describe(markdown, &text);
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), tables[t]->group));
        for (size_t i = 0; i < tables[t]->count; i++) {
            CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), tables[t]->columns[i].name));
            CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), tables[t]->columns[i].doc));
        }
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(text_string(&text), "0: completed, 1: refused"));
    text_clear(&text);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

static void plain_names_all(void)
{
    check_names_all(false);
}

static void markdown_names_all(void)
{
    check_names_all(true);
}

static void committed_page_is_current(void)
{
    static char page[1 << 17];
    struct text text = {0};
    FILE *file = fopen(TANDEM_SOURCE_DIR "/analysis/OUTPUT.md", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    page[fread(page, 1, sizeof page - 1, file)] = '\0';
    fclose(file);
    output_describe(true, &text);
    CU_ASSERT(strcmp(page, text_string(&text)) == 0);
    if (strcmp(page, text_string(&text)) != 0)
        printf("run: tandem describe output --markdown > analysis/OUTPUT.md\n");
    text_clear(&text);
}

/* With --print: the page, to write it without the tandem program. */
int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"plain text names all columns", plain_names_all},
        {"markdown names all columns", markdown_names_all},
        {"the committed page is current", committed_page_is_current},
    };
    if (argc > 1 && strcmp(argv[1], "--print") == 0) {
        struct text text = {0};
        output_describe(true, &text);
        fputs(text_string(&text), stdout);
        text_clear(&text);
        return 0;
    }
    return test_main("output/describe", cases, sizeof cases / sizeof cases[0]);
}
