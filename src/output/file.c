#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tandem/mem.h"
#include "tandem/output.h"

static bool write_all(int descriptor, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(descriptor, bytes, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        bytes += written;
        count -= (size_t)written;
    }
    return true;
}

/* A rename is on the disk when its folder is. A file system that cannot sync folders has done what it can. */
static void sync_folder(const char *folder)
{
    int descriptor = open(folder, O_RDONLY);
    if (descriptor < 0)
        return;
    (void)fsync(descriptor);
    close(descriptor);
}

/* Creates the file with the bytes, on the disk when this returns true; else errno says why not. */
static bool create(const char *path, const void *bytes, size_t count)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (descriptor < 0)
        return false;
    bool good = write_all(descriptor, bytes, count) && fsync(descriptor) == 0;
    int reason = errno;
    if (close(descriptor) != 0 && good) {
        good = false;
        reason = errno;
    }
    errno = reason;
    return good;
}

bool file_write(const char *folder, const char *name, const void *bytes, size_t count, struct error *error)
{
    struct text path = {0}, temporary = {0};
    text_append(&path, "%s/%s", folder, name);
    text_append(&temporary, "%s.tmp", text_string(&path));

    bool good = create(text_string(&temporary), bytes, count);
    if (!good)
        error_set(error, "%s: cannot write: %s", text_string(&temporary), strerror(errno));
    else if (rename(text_string(&temporary), text_string(&path)) != 0)
        good = error_set(error, "%s: cannot rename the finished file to this name: %s", text_string(&path),
                         strerror(errno));
    if (good)
        sync_folder(folder);
    else
        unlink(text_string(&temporary));
    text_clear(&path);
    text_clear(&temporary);
    return good;
}

bool output_write_text(const char *folder, const char *name, const char *content, struct error *error)
{
    return file_write(folder, name, content, strlen(content), error);
}

/* mkdir -p */
static bool make_folders(const char *folder, struct error *error)
{
    char *path = mem_string(folder);
    bool good = true;
    for (char *end = path; good && *end; end++) {
        bool last = end[1] == '\0';
        if (!last && (end[1] != '/' || *end == '/'))
            continue;
        char next = end[1];
        end[1] = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST && errno != EISDIR)
            good = error_set(error, "%s: cannot create the output folder: %s", path, strerror(errno));
        end[1] = next;
    }
    mem_free(path);
    return good;
}

/* Files of an earlier run into this folder: left there, they would pass for the results of one that fails. */
static bool remove_old(const char *folder, struct error *error)
{
    static const char *const names[] = {"results.h5", "config.used.json", "run.json"};
    bool good = true;
    for (size_t i = 0; good && i < sizeof names / sizeof names[0]; i++) {
        struct text path = {0};
        text_append(&path, "%s/%s", folder, names[i]);
        if (unlink(text_string(&path)) != 0 && errno != ENOENT)
            good = error_set(error, "%s: cannot remove the file of an earlier run: %s", text_string(&path),
                             strerror(errno));
        text_clear(&path);
    }
    return good;
}

bool output_prepare(const char *folder, struct error *error)
{
    if (folder[0] == '\0')
        return error_set(error, "the name of the output folder is empty");
    if (!make_folders(folder, error))
        return false;
    struct stat status;
    if (stat(folder, &status) == 0 && !S_ISDIR(status.st_mode))
        return error_set(error, "%s: the output folder is a file", folder);

    struct text probe = {0};
    text_append(&probe, "%s/results.h5.tmp", folder);
    bool good = create(text_string(&probe), NULL, 0);
    if (!good)
        error_set(error, "%s: cannot write into the output folder: %s", folder, strerror(errno));
    else
        unlink(text_string(&probe));
    text_clear(&probe);
    return good && remove_old(folder, error);
}
