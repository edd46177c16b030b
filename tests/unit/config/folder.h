/* A temporary working folder with files, for tests of what is read from disk. */
#ifndef TANDEM_TEST_FOLDER_H
#define TANDEM_TEST_FOLDER_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder_path[4096];

/* Makes the folder and goes there; CUnit's start of a case. */
static inline void folder_enter(void)
{
    const char *parent = getenv("TMPDIR");
    snprintf(folder_path, sizeof folder_path, "%s/tandem-test-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(folder_path) || chdir(folder_path) != 0) {
        perror(folder_path);
        exit(1);
    }
    unsetenv("TANDEM_PATH");
}

/* Writes a file, making the folders above it (two levels at most). */
static inline void folder_write(const char *path, const char *content)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        char parent[256];
        snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
        mkdir(parent, 0700);
    }
    FILE *file = fopen(path, "wb");
    if (!file || fputs(content, file) == EOF || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static inline void folder_empty(const char *path)
{
    DIR *directory = opendir(path);
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry; entry = readdir(directory)) {
        char name[4096];
        struct stat status;
        int length = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || length >= (int)sizeof name)
            continue;
        if (lstat(name, &status) == 0 && S_ISDIR(status.st_mode))
            folder_empty(name);
        else
            unlink(name);
    }
    if (directory)
        closedir(directory);
    rmdir(path);
}

/* Removes the folder and all in it. */
static inline void folder_leave(void)
{
    if (chdir("/") == 0)
        folder_empty(folder_path);
}

#endif
