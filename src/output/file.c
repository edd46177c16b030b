#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tandem/mem.h"
#include "tandem/output.h"

/* A file without a name, which goes with the process however it ends; -1 where the system has none, or no way
 * to name it later. */
static int open_nameless(const char *folder)
{
#ifdef O_TMPFILE
    if (access("/proc/self/fd", X_OK) == 0)
        return open(folder, O_TMPFILE | O_RDWR, 0666);
#endif
    (void)folder;
    return -1;
}

/* Gives a nameless file the temporary's name. */
static bool give_name(const struct file *file)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file->descriptor);
    unlink(
        text_string(&file->temporary)); /* of a run that was killed where files have names from the start */
    return linkat(AT_FDCWD, link, AT_FDCWD, text_string(&file->temporary), AT_SYMLINK_FOLLOW) == 0;
}

void file_begin(struct file *file, const char *folder, const char *name)
{
    *file = (struct file){0};
    text_append(&file->path, "%s/%s", folder, name);
    text_append(&file->temporary, "%s.tmp", text_string(&file->path));
    file->descriptor = open_nameless(folder);
    file->nameless = file->descriptor >= 0;
    if (!file->nameless)
        file->descriptor = open(text_string(&file->temporary), O_RDWR | O_CREAT | O_TRUNC, 0666);
    file->reason = file->descriptor < 0 ? errno : 0;
}

void file_put(struct file *file, uint64_t offset, const void *bytes, size_t count)
{
    while (count > 0 && file->reason == 0) {
        ssize_t written = pwrite(file->descriptor, bytes, count, (off_t)offset);
        if (written < 0 && errno != EINTR)
            file->reason = errno;
        if (written <= 0)
            continue;
        bytes = (const char *)bytes + written;
        offset += (uint64_t)written;
        count -= (size_t)written;
    }
}

void file_get(const struct file *file, uint64_t offset, void *bytes, size_t count)
{
    while (count > 0) {
        ssize_t taken = file->reason == 0 ? pread(file->descriptor, bytes, count, (off_t)offset) : 0;
        if (taken < 0 && errno == EINTR)
            continue;
        if (taken <= 0) {
            memset(bytes, 0, count);
            return;
        }
        bytes = (char *)bytes + taken;
        offset += (uint64_t)taken;
        count -= (size_t)taken;
    }
}

void file_resize(struct file *file, uint64_t count)
{
    if (file->reason == 0 && ftruncate(file->descriptor, (off_t)count) != 0)
        file->reason = errno;
}

/* A rename is on the disk when its folder is. A file system that cannot sync folders has done what it can. */
static void sync_folder(const char *path)
{
    struct text folder = {0};
    text_append(&folder, "%.*s", (int)(strrchr(path, '/') - path + 1), path);
    int descriptor = open(text_string(&folder), O_RDONLY);
    text_clear(&folder);
    if (descriptor < 0)
        return;
    (void)fsync(descriptor);
    close(descriptor);
}

/* Closes the temporary; it is on the disk, with its name, when reason is 0. */
static void close_file(struct file *file)
{
    if (file->reason == 0 && fsync(file->descriptor) != 0)
        file->reason = errno;
    if (file->reason == 0 && file->nameless && !give_name(file))
        file->reason = errno;
    if (file->descriptor >= 0 && close(file->descriptor) != 0 && file->reason == 0)
        file->reason = errno;
    file->descriptor = -1;
}

bool file_end(struct file *file, struct error *error)
{
    const char *path = text_string(&file->path), *temporary = text_string(&file->temporary);
    bool good = true;
    close_file(file);
    if (file->reason != 0)
        good = error_set(error, "%s: cannot write: %s", temporary, strerror(file->reason));
    else if (rename(temporary, path) != 0)
        good =
            error_set(error, "%s: cannot rename the finished file to this name: %s", path, strerror(errno));
    if (good)
        sync_folder(path);
    else
        unlink(temporary);
    text_clear(&file->path);
    text_clear(&file->temporary);
    return good;
}

void file_abandon(struct file *file)
{
    if (file->descriptor >= 0) {
        close(file->descriptor);
        if (!file->nameless)
            unlink(text_string(&file->temporary));
    }
    text_clear(&file->path);
    text_clear(&file->temporary);
}

bool output_write_text(const char *folder, const char *name, const char *content, struct error *error)
{
    struct file file;
    file_begin(&file, folder, name);
    file_put(&file, 0, content, strlen(content));
    return file_end(&file, error);
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
static bool remove_old(const char *folder, const char *const *names, struct error *error)
{
    bool good = true;
    for (size_t i = 0; good && names[i]; i++) {
        struct text path = {0};
        text_append(&path, "%s/%s", folder, names[i]);
        if (unlink(text_string(&path)) != 0 && errno != ENOENT)
            good = error_set(error, "%s: cannot remove the file of an earlier run: %s", text_string(&path),
                             strerror(errno));
        text_clear(&path);
    }
    return good;
}

const char *const output_run_files[] = {"results.h5", "config.used.json", "run.json", NULL};

bool output_make_folder(const char *folder, struct error *error)
{
    if (folder[0] == '\0')
        return error_set(error, "the name of the output folder is empty");
    if (!make_folders(folder, error))
        return false;
    struct stat status;
    if (stat(folder, &status) == 0 && !S_ISDIR(status.st_mode))
        return error_set(error, "%s: the output folder is a file", folder);

    struct file probe;
    file_begin(&probe, folder, output_run_files[0]);
    bool good = probe.reason == 0 || error_set(error, "%s: cannot write into the output folder: %s", folder,
                                               strerror(probe.reason));
    file_abandon(&probe);
    return good;
}

bool output_prepare(const char *folder, const char *const *files, struct error *error)
{
    return output_make_folder(folder, error) && remove_old(folder, files, error);
}
