/* What every unit test shares: a suite that is run by main() and fails the process when a check failed. */
#ifndef TANDEM_TEST_H
#define TANDEM_TEST_H

#include <CUnit/Basic.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEST_SKIP_EXIT_CODE 77 /* ctest's SKIP_RETURN_CODE, set in tests/CMakeLists.txt */

struct test_case {
    const char *name;
    void (*run)(void);
};

/* Runs the cases as one CUnit suite. Returns the exit code for main(): 0 when every check held, else 1. */
static inline int test_main(const char *suite_name, const struct test_case *cases, size_t count)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite suite = CU_add_suite(suite_name, NULL, NULL);
    for (size_t i = 0; suite && i < count; i++)
        if (!CU_add_test(suite, cases[i].name, cases[i].run))
            suite = NULL;
    if (!suite)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    unsigned asserts = CU_get_number_of_asserts();
    CU_cleanup_registry();
    return failures > 0 || asserts == 0;
}

/* Path of a file of ../shared (or $TANDEM_SHARED), or NULL with a message when it is not there. Static
 * buffer. */
static inline const char *test_shared_file(const char *name)
{
    static char path[4096];
    const char *folder = getenv("TANDEM_SHARED");
    snprintf(path, sizeof path, "%s/%s", folder ? folder : TANDEM_SOURCE_DIR "/../shared", name);
    FILE *file = fopen(path, "r");
    if (!file) {
        printf("skipped: %s is not there (set TANDEM_SHARED)\n", path);
        return NULL;
    }
    fclose(file);
    return path;
}

#endif
