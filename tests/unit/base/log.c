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

static void capture_twice(void)
{
    struct text text = {0};
    log_silence();
    log_capture(&text);
    log_warning("%s is long", "it");
    log_warning("it");
    log_warning("it is long");
    log_capture(NULL);
    log_warning("silent");
    fputs(text_string(&text), stderr);
    text_clear(&text);
}

static void captured_lines_are_there_once(void)
{
    struct child child = child_run(capture_twice);
    CU_ASSERT_STRING_EQUAL(child.output, "it is long\nit");
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
        {"captured lines are there once, silenced or not", captured_lines_are_there_once},
        {"log_fatal ends the process, silenced or not", fatal_ends_and_is_never_silent},
    };
    return test_main("log", cases, sizeof cases / sizeof cases[0]);
}
