#include "tandem/check.h"

#include "child.h"
#include "test.h"

static void fail(void)
{
    int blocks = -1;
    CHECK(blocks >= 0, "%d blocks", blocks);
}

static void hold(void)
{
    int evaluations = 0;
    CHECK(++evaluations > 0, "never");
    CHECK(evaluations == 1, "the condition is evaluated once, not %d times", evaluations);
}

static void a_broken_condition_aborts(void)
{
    struct child child = child_run(fail);
    CU_ASSERT_TRUE(child.aborted);
    CU_ASSERT_PTR_NOT_NULL(strstr(child.output, "tandem: internal error: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(child.output, "check.c:9: blocks >= 0: -1 blocks\n"));
}

static void a_true_condition_is_silent(void)
{
    struct child child = child_run(hold);
    CU_ASSERT_FALSE(child.aborted);
    CU_ASSERT_STRING_EQUAL(child.output, "");
}

int main(void)
{
    const struct test_case cases[] = {
        {"a broken condition aborts with place and message", a_broken_condition_aborts},
        {"a true condition is silent", a_true_condition_is_silent},
    };
    return test_main("check", cases, sizeof cases / sizeof cases[0]);
}
