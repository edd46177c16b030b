/* Conditions: what holds, and what is refused. */
#include "../../../src/sweep/where.h"
#include "test.h"

static struct where_value look_up(void *context, size_t index, const char *name)
{
    size_t *count = context;
    CU_ASSERT_EQUAL(index, (*count)++);
    if (strcmp(name, "gpus_total") == 0)
        return (struct where_value){.kind = WHERE_NUMBER, .number = 16};
    if (strcmp(name, "cluster.pools[prefill].instances") == 0)
        return (struct where_value){.kind = WHERE_NUMBER, .number = 3};
    if (strcmp(name, "router[\"odd key\"].name") == 0)
        return (struct where_value){.kind = WHERE_TEXT, .text = "round-robin", .length = 11};
    if (strcmp(name, "sort") == 0)
        return (struct where_value){.kind = WHERE_BOOL, .number = 1};
    return (struct where_value){.kind = WHERE_NULL};
}

/* 1: holds, 0: does not, -1: refused. */
static int of(const char *expression, struct error *error)
{
    bool holds = false;
    size_t count = 0;
    error->text[0] = '\0';
    return where_evaluate(expression, look_up, &count, &holds, error) ? holds : -1;
}

static void conditions_hold(void)
{
    static const struct {
        const char *expression;
        int holds;
    } cases[] = {
        {"gpus_total == 16", 1},
        {"gpus_total != 16", 0},
        {"1 + 2 * 3 == 7", 1},
        {"(1 + 2) * 3 == 9", 1},
        {"10 - 4 - 3 == 3 and 24 / 4 / 2 == 3", 1}, /* from the left */
        {"-gpus_total < -15", 1},
        {"2 - -1 == 3", 1},
        {"cluster.pools[prefill].instances * 4 <= gpus_total - 4", 1},
        {"cluster.pools[prefill].instances * 4 < gpus_total - 4", 0},
        {"gpus_total >= 16 && gpus_total > 15", 1},
        {"gpus_total > 16 || gpus_total == 1.6e1", 1},
        {"1 == 1 or 1 == 2 and 1 == 3", 1}, /* and binds tighter */
        {"not 1 == 2 and not (1 == 1)", 0},
        {"!(1 == 2)", 1},
        {"!!sort", 1},
        {"sort and true", 1},
        {"sort == false", 0},
        {"router[\"odd key\"].name == 'round-robin'", 1},
        {"router[\"odd key\"].name != \"round\"", 1},
        {"'a' < 'ab' and 'b' > 'ab' and 'ab' <= 'ab'", 1},
        {"missing == 3", 0},
        {"missing != 3", 1},
        {"missing == null", 1},
        {"missing + 1 > 0", 0},
        {"missing", 0},
        {"not missing", 1},
        {"notable == null", 1}, /* a word that begins like `not` */
        {"  gpus_total==16  ", 1},
    };
    struct error error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int found = of(cases[i].expression, &error);
        if (found != cases[i].holds)
            printf("%s: %d, %s\n", cases[i].expression, found, error.text);
        CU_ASSERT_EQUAL(found, cases[i].holds);
    }
}

static void what_is_wrong_is_told(void)
{
    static const struct {
        const char *expression, *message;
    } cases[] = {
        {"", "column 1: expected a number, a text or a variable, found the end"},
        {"gpus_total = 16", "column 12: '=' is written '=='"},
        {"gpus_total ==", "column 14: expected a number, a text or a variable, found the end"},
        {"(gpus_total == 16", "column 18: expected ')'"},
        {"gpus_total == 16 )", "column 18: unexpected )"},
        {"gpus_total", "column 1: expected a condition, not a number"},
        {"gpus_total == '16'", "column 12: a number is compared with a text"},
        {"'a' + 1 == 2", "column 1: expected a number, not a text"},
        {"1 + 'a' == 2", "column 4: expected a number, not a text"},
        {"1 == 1 and 2", "column 11: expected a condition, not a number"},
        {"not 3", "column 4: expected a condition, not a number"},
        {"'a == 1", "column 1: a text without an end"},
        {"gpus_total == 16 == 3", "column 18: unexpected == 3"},
    };
    struct error error;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CU_ASSERT_EQUAL(of(cases[i].expression, &error), -1);
        CU_ASSERT_STRING_EQUAL(error.text, cases[i].message);
    }
    char deep[400];
    memset(deep, '(', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    CU_ASSERT_EQUAL(of(deep, &error), -1);
    CU_ASSERT_STRING_EQUAL(error.text, "column 102: too many parentheses");
}

int main(void)
{
    const struct test_case cases[] = {{"conditions hold", conditions_hold},
                                      {"what is wrong is told", what_is_wrong_is_told}};
    return test_main("where", cases, sizeof cases / sizeof *cases);
}
