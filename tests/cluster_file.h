/* Loads a data file of clusters/ for a test of one module: "gpus/h100-sxm". */
#ifndef TANDEM_TEST_CLUSTER_FILE_H
#define TANDEM_TEST_CLUSTER_FILE_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tandem/config.h"
#include "tandem/mem.h"

/* The tree of clusters/NAME.json, or the process ends. The caller owns it: config_free. */
static inline struct config *cluster_file(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/clusters/%s.json", TANDEM_SOURCE_DIR, name);
    struct error error = {{0}};
    struct config *config = NULL;
    char *bytes = NULL;
    size_t count = 0;
    if (!config_read_file(path, &bytes, &count, &error) || !config_parse(bytes, path, &config, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    mem_free(bytes);
    return config;
}

/* Calls visit with each "FOLDER/NAME" of clusters/FOLDER; returns how many there are. */
static inline int cluster_files(const char *folder, void (*visit)(const char *name))
{
    char path[4096];
    snprintf(path, sizeof path, "%s/clusters/%s", TANDEM_SOURCE_DIR, folder);
    DIR *directory = opendir(path);
    if (!directory)
        return 0;
    int count = 0;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        size_t length = strlen(entry->d_name);
        if (length < 6 || strcmp(entry->d_name + length - 5, ".json") != 0)
            continue;
        char name[600];
        snprintf(name, sizeof name, "%s/%.*s", folder, (int)(length - 5), entry->d_name);
        visit(name);
        count++;
    }
    closedir(directory);
    return count;
}

#endif
