/* One sweep at a time in a folder. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tandem/log.h"

#define LOCK_FILE "sweep.lock"

static void lock_path(const struct sweep *sweep, struct text *path)
{
    text_append(path, "%s/" LOCK_FILE, sweep->options->sim.output);
}

/* Whether the name is still that of the open file: who had it before removes it at its end. */
static bool is_named(int descriptor, const char *path)
{
    struct stat open_file, named;
    return fstat(descriptor, &open_file) == 0 && stat(path, &named) == 0 &&
           open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

/* fcntl's locks go with the process, and are those that other nodes see over NFS. */
static bool try_lock(int descriptor, const struct sweep *sweep, const char *path, struct error *error)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(descriptor, F_SETLK, &whole) == 0)
        return true;
    if (errno == EACCES || errno == EAGAIN)
        return error_set(error,
                         "%s: another `tandem sweep` runs in this folder: wait for its end, or use another "
                         "folder for -o",
                         sweep->options->sim.output);
    log_warning("%s: cannot be locked: %s; see to it that no two sweeps run in this folder", path,
                strerror(errno));
    return true;
}

bool lock_take(struct sweep *sweep, struct error *error)
{
    struct text path = {0};
    bool good = true;
    lock_path(sweep, &path);
    while (good && sweep->lock < 0) {
        int descriptor = open(text_string(&path), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        good = descriptor >= 0
                   ? try_lock(descriptor, sweep, text_string(&path), error)
                   : error_set(error, "%s: cannot create the file: %s", text_string(&path), strerror(errno));
        if (good && is_named(descriptor, text_string(&path)))
            sweep->lock = descriptor;
        else if (descriptor >= 0)
            close(descriptor);
    }
    text_clear(&path);
    return good;
}

void lock_release(struct sweep *sweep)
{
    struct text path = {0};
    if (sweep->lock < 0)
        return;
    lock_path(sweep, &path);
    unlink(text_string(&path)); /* before the lock goes, so that it is not another's */
    close(sweep->lock);
    sweep->lock = -1;
    text_clear(&path);
}
