/* What the tests of results.h5 share: a temporary folder, and reading back. */
#ifndef TANDEM_TEST_OUTPUT_H
#define TANDEM_TEST_OUTPUT_H

#include "test.h"

#include <hdf5.h>
#include <mpi.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tandem/mem.h"
#include "tandem/output.h"

static char folder[160];

static inline bool folder_make(void)
{
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/tandem-test-XXXXXX", parent ? parent : "/tmp");
    return mkdtemp(folder) != NULL;
}

static inline const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static inline bool exists(const char *name)
{
    struct stat status;
    return stat(path_of(name), &status) == 0;
}

/* Removes the folder, which has to be empty; for the end of main. */
static inline int folder_remove(int code)
{
    if (rmdir(folder) == 0)
        return code;
    printf("%s is not empty\n", folder);
    return 1;
}

/* The whole file; the caller frees it. */
static inline char *slurp(const char *name, size_t *count)
{
    FILE *file = fopen(path_of(name), "rb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fseek(file, 0, SEEK_END);
    *count = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*count + 1);
    CU_ASSERT_EQUAL(fread(bytes, 1, *count, file), *count);
    fclose(file);
    return bytes;
}

static inline int64_t int_attribute(hid_t file, const char *object, const char *name)
{
    int64_t value = -1;
    hid_t attribute = H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    H5Aread(attribute, H5T_NATIVE_INT64, &value);
    H5Aclose(attribute);
    return value;
}

static inline void read_all(hid_t file, const char *name, hid_t type, void *values)
{
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    CU_ASSERT_FATAL(dataset >= 0);
    CU_ASSERT(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(dataset);
}

#endif
