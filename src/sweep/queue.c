#include "queue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tandem/log.h"
#include "tandem/text.h"

static void claims_path(const char *folder, struct text *path)
{
    text_append(path, "%s/claims", folder);
}

/* Removes the files of a folder whose names are numbers; returns how many there are. */
static size_t each_claim(const char *path, bool removes)
{
    size_t count = 0;
    DIR *directory = opendir(path);
    if (!directory)
        return 0;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name))
            continue;
        count++;
        struct text file = {0};
        text_append(&file, "%s/%s", path, entry->d_name);
        if (removes)
            unlink(text_string(&file));
        text_clear(&file);
    }
    closedir(directory);
    return count;
}

bool queue_prepare(const char *folder, struct error *error)
{
    struct text path = {0};
    claims_path(folder, &path);
    each_claim(text_string(&path), true);
    bool good = mkdir(text_string(&path), 0777) == 0 || errno == EEXIST ||
                error_set(error, "%s: cannot create the folder: %s", text_string(&path), strerror(errno));
    text_clear(&path);
    return good;
}

void queue_remove(const char *folder)
{
    struct text path = {0};
    claims_path(folder, &path);
    each_claim(text_string(&path), true);
    rmdir(text_string(&path));
    text_clear(&path);
}

size_t queue_claims(const char *folder)
{
    struct text path = {0};
    claims_path(folder, &path);
    size_t count = each_claim(text_string(&path), false);
    text_clear(&path);
    return count;
}

bool queue_take(struct queue *queue, size_t *task)
{
    while (queue->next < queue->count) {
        struct text path = {0};
        *task = queue->tasks[queue->next++];
        claims_path(queue->folder, &path);
        text_append(&path, "/%06zu", *task);
        int claim = open(text_string(&path), O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (claim < 0 && errno != EEXIST)
            log_fatal("%s: cannot take a point: %s; --resume goes on with those that are done",
                      text_string(&path), strerror(errno));
        text_clear(&path);
        if (claim < 0)
            continue;
        close(claim);
        return true;
    }
    return false;
}
