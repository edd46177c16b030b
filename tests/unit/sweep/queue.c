/* The queue: two that take from it share the tasks. */
#include "../../../src/sweep/queue.h"
#include "tandem/mem.h"
#include "test.h"

#include <unistd.h>

static char folder[160];

static void each_task_is_taken_once(void)
{
    static const size_t tasks[] = {5, 3, 1, 8};
    struct queue first = {folder, tasks, 4, 0}, second = {folder, tasks, 4, 0};
    struct error error = {0};
    size_t task = 99;
    CU_ASSERT_FATAL(queue_prepare(folder, &error));
    CU_ASSERT(queue_take(&first, &task) && task == 5);
    CU_ASSERT(queue_take(&second, &task) && task == 3);
    CU_ASSERT(queue_take(&second, &task) && task == 1);
    CU_ASSERT(queue_take(&first, &task) && task == 8);
    CU_ASSERT_EQUAL(queue_claims(folder), 4);
    CU_ASSERT(!queue_take(&first, &task));
    CU_ASSERT(!queue_take(&second, &task));
}

/* As after a sweep that was killed. */
static void old_claims_go(void)
{
    static const size_t tasks[] = {5};
    struct queue queue = {folder, tasks, 1, 0};
    struct error error = {0};
    size_t task;
    CU_ASSERT_FATAL(queue_prepare(folder, &error));
    CU_ASSERT_EQUAL(queue_claims(folder), 0);
    CU_ASSERT(queue_take(&queue, &task));
    queue_remove(folder);
    CU_ASSERT_EQUAL(queue_claims(folder), 0);
}

int main(void)
{
    const struct test_case cases[] = {{"each task is taken once", each_task_is_taken_once},
                                      {"old claims go", old_claims_go}};
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/tandem-test-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    int code = test_main("queue", cases, sizeof cases / sizeof *cases);
    return rmdir(folder) == 0 && mem_live_bytes() == 0 ? code : 1;
}
