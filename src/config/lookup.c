#include "lookup.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tandem/check.h"
#include "tandem/mem.h"

#define MOST_NAMES_SHOWN 20

struct strings {
    char **items;
    size_t count;
    size_t capacity;
};

/* Takes string, which the caller must have from mem. */
static void strings_add(struct strings *strings, char *string)
{
    strings->items = mem_grow(strings->items, &strings->capacity, strings->count + 1, sizeof *strings->items);
    strings->items[strings->count++] = string;
}

static void strings_clear(struct strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        mem_free(strings->items[i]);
    mem_free(strings->items);
    *strings = (struct strings){0};
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void strings_sort_unique(struct strings *strings)
{
    if (strings->count == 0)
        return;
    qsort(strings->items, strings->count, sizeof *strings->items, compare_strings);
    size_t kept = 1;
    for (size_t i = 1; i < strings->count; i++) {
        if (strcmp(strings->items[i], strings->items[kept - 1]) == 0)
            mem_free(strings->items[i]);
        else
            strings->items[kept++] = strings->items[i];
    }
    strings->count = kept;
}

/* folder/name, without a needless "./"; an absolute name stands alone. The caller frees it. */
static char *join(const char *folder, const char *name)
{
    if (name[0] == '/' || folder[0] == '\0' || strcmp(folder, ".") == 0)
        return mem_string(name);
    if (name[0] == '\0')
        return mem_string(folder);
    size_t length = strlen(folder) + strlen(name) + 2;
    char *path = mem_array(length, 1);
    snprintf(path, length, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", name);
    return path;
}

char *lookup_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_string(".");
    char *folder = mem_string(path);
    folder[slash == path ? 1 : slash - path] = '\0';
    return folder;
}

static bool ends_with(const char *string, const char *end)
{
    size_t length = strlen(string), end_length = strlen(end);
    return length >= end_length && strcmp(string + length - end_length, end) == 0;
}

static bool is_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && !S_ISDIR(status.st_mode);
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat status_a, status_b;
    return stat(a, &status_a) == 0 && stat(b, &status_b) == 0 && status_a.st_dev == status_b.st_dev &&
           status_a.st_ino == status_b.st_ino;
}

static void add_environment_folders(struct strings *folders)
{
    const char *list = getenv("TANDEM_PATH");
    while (list && *list) {
        size_t length = strcspn(list, ":");
        if (length > 0) {
            char *folder = mem_array(length + 1, 1);
            memcpy(folder, list, length);
            strings_add(folders, folder);
        }
        list += length + (list[length] == ':');
    }
}

/* The search folders in order; from_folder may be NULL. */
static struct strings search_folders(const char *from_folder)
{
    struct strings folders = {0};
    if (from_folder) {
        strings_add(&folders, mem_string(from_folder));
        strings_add(&folders, join(from_folder, "clusters"));
    }
    strings_add(&folders, mem_string("clusters"));
    add_environment_folders(&folders);
    strings_add(&folders, mem_string(TANDEM_SOURCE_CLUSTERS));
    strings_add(&folders, mem_string(TANDEM_INSTALLED_CLUSTERS));
    return folders;
}

/* Names without .json of the JSON files in a folder. */
static void add_names(const char *folder, struct strings *names)
{
    DIR *directory = opendir(folder[0] ? folder : ".");
    if (!directory)
        return;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        if (entry->d_name[0] == '.' || !ends_with(entry->d_name, ".json"))
            continue;
        char *name = mem_string(entry->d_name);
        name[strlen(name) - strlen(".json")] = '\0';
        strings_add(names, name);
    }
    closedir(directory);
}

static struct strings known_names(const char *from_folder, const struct config_reference *reference)
{
    struct strings folders = search_folders(from_folder);
    struct strings names = {0};
    for (size_t i = 0; i < folders.count; i++) {
        char *folder = join(folders.items[i], reference->folder);
        add_names(folder, &names);
        mem_free(folder);
    }
    strings_clear(&folders);
    strings_sort_unique(&names);
    return names;
}

/* Keeps those of the names that begin with a word, if any does; whether so. */
static bool keep_beginning(struct strings *names, const char *word)
{
    size_t length = strlen(word), kept = 0;
    for (size_t i = 0; i < names->count; i++)
        kept += strncmp(names->items[i], word, length) == 0;
    if (kept == 0)
        return false;
    kept = 0;
    for (size_t i = 0; i < names->count; i++)
        if (strncmp(names->items[i], word, length) == 0)
            names->items[kept++] = names->items[i];
        else
            mem_free(names->items[i]);
    names->count = kept;
    return true;
}

static bool unknown_name(const char *name, const char *from_folder, const struct config_reference *reference,
                         struct error *error)
{
    struct strings names = known_names(from_folder, reference);
    struct text message = {0};
    text_append(&message, "unknown %s '%s'", reference->noun, name);
    const char *near = text_suggest(name, (const char *const *)names.items, names.count);
    if (near)
        text_append(&message, " (did you mean '%s'?)", near);
    else if (names.count == 0)
        text_append(&message, " (there are none in clusters/%s or in the folders of $TANDEM_PATH)",
                    reference->folder);
    else {
        bool some = name[0] && keep_beginning(&names, name);
        text_append(&message, some ? " (did you mean one of " : " (known: ");
        for (size_t i = 0; i < names.count && i < MOST_NAMES_SHOWN; i++)
            text_append(&message, "%s%s", i > 0 ? ", " : "", names.items[i]);
        text_append(&message, "%s%s)", names.count > MOST_NAMES_SHOWN ? ", .." : "", some ? "?" : "");
    }
    error_set(error, "%s", text_string(&message));
    text_clear(&message);
    strings_clear(&names);
    return false;
}

bool lookup_near_file(const char *path, struct text *near)
{
    char *folder = lookup_folder(path);
    struct strings names = {0};
    add_names(folder, &names);
    strings_sort_unique(&names);
    const char *slash = strrchr(path, '/');
    char *wanted = mem_string(slash ? slash + 1 : path);
    if (ends_with(wanted, ".json"))
        wanted[strlen(wanted) - strlen(".json")] = '\0';
    const char *name = text_suggest(wanted, (const char *const *)names.items, names.count);
    if (name) {
        char *found = join(folder, name);
        text_append(near, "%s.json", found);
        mem_free(found);
    }
    mem_free(wanted);
    strings_clear(&names);
    mem_free(folder);
    return name != NULL;
}

static bool try_file(const char *folder, const char *name, const char *suffix, const char *except,
                     struct text *path)
{
    struct text file = {0};
    text_append(&file, "%s%s", name, suffix);
    char *candidate = join(folder, text_string(&file));
    bool found = is_file(candidate) && !(except && is_same_file(candidate, except));
    if (found)
        text_append(path, "%s", candidate);
    mem_free(candidate);
    text_clear(&file);
    return found;
}

/* Appends folder/name.json when that is a file; a path or a whole file name may also stand as it is. */
static bool find_in(const char *folder, const char *name, const char *except, struct text *path)
{
    bool has_suffix = ends_with(name, ".json");
    if ((has_suffix || strchr(name, '/')) && try_file(folder, name, "", except, path))
        return true;
    return !has_suffix && try_file(folder, name, ".json", except, path);
}

static bool find_path(const char *name, const char *from_folder, const struct config_reference *reference,
                      struct text *path, struct error *error)
{
    if (find_in(from_folder, name, NULL, path))
        return true;
    char *wanted = join(from_folder, name);
    struct text near = {0};
    if (lookup_near_file(wanted, &near))
        error_set(error, "there is no %s file '%s' (did you mean '%s'?)", reference->noun, wanted,
                  text_string(&near));
    else
        error_set(
            error,
            "there is no %s file '%s' (paths are relative to the file that names them; names without '/': "
            "`tandem list %s`)",
            reference->noun, wanted, reference->folder[0] ? reference->folder : "clusters");
    text_clear(&near);
    mem_free(wanted);
    return false;
}

bool lookup_find(const char *name, const char *from_folder, const char *except,
                 const struct config_reference *reference, struct text *path, struct error *error)
{
    if (strchr(name, '/'))
        return find_path(name, from_folder, reference, path, error);
    struct strings folders = search_folders(from_folder);
    bool found = false;
    for (size_t i = 0; i < folders.count && !found && name[0]; i++) {
        char *folder = join(folders.items[i], reference->folder);
        found = find_in(folder, name, except, path) || find_in(folders.items[i], name, except, path);
        mem_free(folder);
    }
    strings_clear(&folders);
    return found || unknown_name(name, from_folder, reference, error);
}

bool config_find(const char *name, const char *from_folder, const struct config_reference *reference,
                 struct text *path, struct error *error)
{
    return lookup_find(name, from_folder, NULL, reference, path, error);
}

void config_names(const struct config_reference *reference, struct text *names)
{
    struct strings found = known_names(NULL, reference);
    for (size_t i = 0; i < found.count; i++)
        text_append(names, "%s\n", found.items[i]);
    strings_clear(&found);
}

bool config_read_file(const char *path, char **bytes, size_t *count, struct error *error)
{
    FILE *file = is_file(path) ? fopen(path, "rb") : NULL;
    if (!file) {
        struct stat status;
        if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
            errno = EISDIR;
        return error_set(error, "%s: cannot open: %s", path, strerror(errno));
    }
    char *content = NULL;
    size_t capacity = 0, length = 0, got = 0;
    do {
        length += got;
        content = mem_grow(content, &capacity, length + 65536, 1);
        got = fread(content + length, 1, capacity - length - 1, file);
    } while (got > 0);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed) {
        mem_free(content);
        return error_set(error, "%s: cannot read: %s", path, strerror(errno));
    }
    content[length] = '\0';
    *bytes = content;
    *count = length;
    return true;
}
