/* Workloads and folders of temporary files for the tests of the workload module. */
#ifndef TANDEM_TESTS_WORKLOAD_SUPPORT_H
#define TANDEM_TESTS_WORKLOAD_SUPPORT_H

#include "test.h"

#include <stdint.h>
#include <unistd.h>

#include "tandem/config.h"
#include "tandem/mem.h"
#include "tandem/workload.h"

/* A workload of a "workload" object given as JSON text; NULL with the message in *error when it is refused.
 * The folder for relative paths is that of name. */
static inline struct workload *support_create_in(const char *name, const char *json, uint64_t seed,
                                                 struct error *error)
{
    struct config *config = NULL;
    struct workload *workload = NULL;
    *error = (struct error){0};
    if (config_parse(json, name, &config, error))
        workload_create(config_root(config), seed, &workload, error);
    config_free(config); /* a workload keeps nothing of the tree */
    return workload;
}

static inline struct workload *support_create(const char *json, uint64_t seed, struct error *error)
{
    return support_create_in("test.json", json, seed, error);
}

/* A workload that must be accepted. */
static inline struct workload *support_good(const char *json, uint64_t seed)
{
    struct error error;
    struct workload *workload = support_create(json, seed, &error);
    if (!workload)
        printf("\n  %s\n", error.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(workload);
    return workload;
}

/* A workload that must be refused with a message that contains the words. */
static inline void support_refused(const char *json, const char *words)
{
    struct error error;
    struct workload *workload = support_create(json, 1, &error);
    CU_ASSERT_PTR_NULL(workload);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, words));
    if (!strstr(error.text, words))
        printf("\n  expected: %s\n  found:    %s\n", words, error.text);
    workload_free(workload);
}

/* Sums over the requests that a workload has still to give. */
struct support_sums {
    int64_t requests, prompt_tokens, output_tokens;
};

static inline struct support_sums support_walk(struct workload *workload)
{
    struct support_sums sums = {0};
    struct workload_request request;
    for (; workload_next(workload, &request); sums.requests++) {
        sums.prompt_tokens += request.prompt_tokens;
        sums.output_tokens += request.output_tokens;
    }
    return sums;
}

/* A file in a temporary folder that is made on the first call; its path lives until the next call. */
static inline const char *support_path(const char *name)
{
    static char folder[512], path[1024];
    const char *base = getenv("TMPDIR");
    if (!*folder) {
        snprintf(folder, sizeof folder, "%s/tandem-workload-XXXXXX", base ? base : "/tmp");
        CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    }
    if (!name) {
        rmdir(folder);
        return folder;
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Writes a file into the temporary folder. */
static inline const char *support_write(const char *name, const char *content, size_t size)
{
    const char *path = support_path(name);
    FILE *file = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(content, 1, size, file), size);
    fclose(file);
    return path;
}

#endif
