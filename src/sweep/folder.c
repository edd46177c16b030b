/* DIR/points: one file a finished point, the claims of the queue, and what sweep it is. */
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tandem/log.h"
#include "tandem/mem.h"
#include "tandem/output.h"
#include "queue.h"

#define IDENTITY_FILE "sweep.json"

const char *const sweep_files[] = {"results.h5", "config.used.json", "run.json", NULL};

void folder_identity(const struct sweep *sweep, char identity[IDENTITY_BYTES])
{
    snprintf(identity, IDENTITY_BYTES, "%016llx", (unsigned long long)sweep->candidates.identity);
}

/* Content of IDENTITY_FILE. */
static void identity_text(const struct sweep *sweep, struct text *text)
{
    char identity[IDENTITY_BYTES];
    folder_identity(sweep, identity);
    text_append(text, "{\"tandem_version\": \"%s\", \"sweep\": \"%s\", \"points\": %zu}\n", TANDEM_VERSION,
                identity, sweep->candidates.count);
}

static bool exists(const char *folder, const char *name)
{
    struct text path = {0};
    struct stat status;
    text_append(&path, "%s/%s", folder, name);
    bool found = stat(text_string(&path), &status) == 0;
    text_clear(&path);
    return found;
}

/* Whether the folder has this sweep; a folder without any file of points is anyone's. */
static bool is_same(const struct sweep *sweep)
{
    struct text path = {0}, expected = {0};
    struct error ignored;
    char *bytes = NULL;
    size_t count;
    text_append(&path, "%s/" IDENTITY_FILE, text_string(&sweep->folder));
    identity_text(sweep, &expected);
    bool same = config_read_file(text_string(&path), &bytes, &count, &ignored);
    same = same && strcmp(bytes, text_string(&expected)) == 0;
    mem_free(bytes);
    text_clear(&path);
    text_clear(&expected);
    return same;
}

/* What run.json says of a sweep that has ended; false: it is of another. */
static bool read_report(const struct sweep *sweep, struct assembly *ended)
{
    struct text path = {0};
    struct error ignored;
    struct config *file = NULL;
    char *bytes = NULL, identity[IDENTITY_BYTES];
    size_t size;
    text_append(&path, "%s/run.json", sweep->options->sim.output);
    bool good = config_read_file(text_string(&path), &bytes, &size, &ignored) &&
                config_parse(bytes, "run.json", &file, &ignored);
    const struct node *said = good ? node_get(config_root(file), "identity") : NULL,
                      *checksum = good ? node_get(config_root(file), "checksum") : NULL;
    folder_identity(sweep, identity);
    good = said && node_type(said) == NODE_STRING && strcmp(node_string(said), identity) == 0 && checksum &&
           node_type(checksum) == NODE_STRING;
    for (int status = 0; good && point_status_names[status]; status++) {
        const struct node *count = node_get(config_root(file), point_status_names[status]);
        good = count && node_type(count) == NODE_NUMBER;
        ended->count[status] = good ? (size_t)node_number(count) : 0;
    }
    ended->checksum = good ? strtoull(node_string(checksum), NULL, 16) : 0;
    mem_free(bytes);
    config_free(file);
    text_clear(&path);
    return good;
}

#define OTHER                                                                                                \
    "is of another experiment, file or version of Tandem than this sweep; use another folder for -o, or "    \
    "remove it and start without --resume"

static bool check_old(const struct sweep *sweep, bool there, struct assembly *ended, struct error *error)
{
    const char *points = text_string(&sweep->folder), *folder = sweep->options->sim.output;
    bool resume = sweep->options->resume;
    if (there && !resume)
        return error_set(
            error,
            "%s: points of a sweep that has not ended: --resume goes on with it; or remove the folder, "
            "or use another for -o",
            points);
    if (there && !is_same(sweep))
        return error_set(error, "%s: " OTHER, points);
    if (!there && resume && exists(folder, "results.h5") && !read_report(sweep, ended))
        return error_set(error, "%s: " OTHER, folder);
    return true;
}

/* Of points that are still to be put together, whatever else lies there. */
static bool make_folder(const struct sweep *sweep, bool there, struct error *error)
{
    const char *points = text_string(&sweep->folder);
    struct text identity = {0};
    if (mkdir(points, 0777) != 0 && errno != EEXIST)
        return error_set(error, "%s: cannot create the folder: %s", points, strerror(errno));
    identity_text(sweep, &identity);
    bool good = queue_prepare(points, error) &&
                (there || output_write_text(points, IDENTITY_FILE, text_string(&identity), error));
    text_clear(&identity);
    return good;
}

enum folder_state folder_prepare(struct sweep *sweep, struct assembly *ended, struct error *error)
{
    const char *folder = sweep->options->sim.output;
    if (!output_make_folder(folder, error) || !lock_take(sweep, error))
        return FOLDER_WRONG;
    bool there = exists(text_string(&sweep->folder), IDENTITY_FILE);
    if (!check_old(sweep, there, ended, error))
        return FOLDER_WRONG;
    if (!there && sweep->options->resume && exists(folder, "results.h5")) {
        folder_remove(sweep); /* where it was killed while it did so */
        return FOLDER_COMPLETE;
    }
    return output_prepare(folder, sweep_files, error) && make_folder(sweep, there, error) ? FOLDER_READY
                                                                                          : FOLDER_WRONG;
}

/* A point that failed is done again; an invalid one would be invalid again. */
static bool is_done(const struct sweep *sweep, size_t number)
{
    struct point point = {.keep = sweep->candidates.space.keep};
    bool done = point_read(text_string(&sweep->folder), number, sweep->candidates.identity, &point) &&
                point.status != POINT_FAILED;
    point_clear(&point);
    return done;
}

static const struct candidate *candidate_of(const struct sweep *sweep, size_t point)
{
    return &sweep->candidates.all[sweep->candidates.chosen[point]];
}

static const struct sweep *sorted; /* qsort has no context */

static int longest_first(const void *a, const void *b)
{
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    double left_s = candidate_of(sorted, left)->wall_s, right_s = candidate_of(sorted, right)->wall_s;
    return left_s != right_s ? (left_s < right_s) - (left_s > right_s) : (left > right) - (left < right);
}

void folder_check(const struct sweep *sweep)
{
    if (!is_same(sweep))
        log_fatal(
            "rank %d does not see %s as rank 0 has written it: -o must name a folder that all ranks share",
            sweep->rank, text_string(&sweep->folder));
}

void folder_find(struct sweep *sweep)
{
    size_t count = sweep->candidates.count;
    sweep->done = mem_array(count, sizeof *sweep->done);
    sweep->tasks = mem_array(count, sizeof *sweep->tasks);
    for (size_t i = (size_t)sweep->rank; sweep->options->resume && i < count; i += (size_t)sweep->ranks)
        sweep->done[i] = is_done(sweep, i);
    MPI_Allreduce(MPI_IN_PLACE, sweep->done, (int)count, MPI_C_BOOL, MPI_LOR, sweep->comm);
    for (size_t i = 0; i < count; i++) {
        bool invalid = candidate_of(sweep, i)->state == CANDIDATE_INVALID;
        sweep->resumed += sweep->done[i];
        if (!sweep->done[i] && !invalid)
            sweep->tasks[sweep->task_count++] = i;
    }
    sorted = sweep;
    qsort(sweep->tasks, sweep->task_count, sizeof *sweep->tasks, longest_first);
}

void folder_remove(const struct sweep *sweep)
{
    const char *points = text_string(&sweep->folder);
    struct text identity = {0};
    text_append(&identity, "%s/" IDENTITY_FILE, points);
    unlink(text_string(&identity)); /* first: without it the rest is nobody's, wherever this is killed */
    text_clear(&identity);
    DIR *directory = opendir(points);
    queue_remove(points);
    for (struct dirent *entry = directory ? readdir(directory) : NULL; entry; entry = readdir(directory)) {
        size_t digits = strspn(entry->d_name, "0123456789");
        if (digits == 0 || strncmp(entry->d_name + digits, ".json", 5) != 0)
            continue; /* not ours */
        struct text path = {0};
        text_append(&path, "%s/%s", points, entry->d_name);
        unlink(text_string(&path));
        text_clear(&path);
    }
    if (directory)
        closedir(directory);
    rmdir(points);
}
