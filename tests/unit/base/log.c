#include "tandem/log.h"

#include "child.h"
#include "test.h"

static void print_both(void)
{
    log_info("%d requests", 5);
    log_warning("%s is long", "it");
}

static void print_silenced(void)
{
    log_info("before");
    log_silence();
    print_both();
}

static void end_silenced(void)
{
    log_silence();
    log_fatal("%s: gone", "t.csv");
}

static void lines_have_prefixes(void)
{
    struct child child = child_run(print_both);
    CU_ASSERT_STRING_EQUAL(child.output, "tandem: 5 requests\ntandem: warning: it is long\n");
}

static void silence_lasts(void)
{
    struct child child = child_run(print_silenced);
    CU_ASSERT_STRING_EQUAL(child.output, "tandem: before\n");
}

static void fatal_ends_and_is_never_silent(void)
{
    struct child child = child_run(end_silenced);
    CU_ASSERT_STRING_EQUAL(child.output, "tandem: error: t.csv: gone\n");
    CU_ASSERT_EQUAL(child.exit_code, 1);
}

int main(void)
{
    const struct test_case cases[] = {
        {"lines have prefixes", lines_have_prefixes},
        {"nothing is printed after log_silence", silence_lasts},
        {"log_fatal ends the process, silenced or not", fatal_ends_and_is_never_silent},
    };
    return test_main("log", cases, sizeof cases / sizeof cases[0]);
}
