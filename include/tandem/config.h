/* A resolved configuration: a JSON tree whose references to other files are expanded. All local. */
#ifndef TANDEM_CONFIG_H
#define TANDEM_CONFIG_H

#include <stdint.h>

#include "tandem/error.h"
#include "tandem/node.h"
#include "tandem/text.h"

struct config;

/* A place where a string names another file: path pattern from the root ("cluster.pools[*].gpu"), the folder
 * to look in ("gpus", "" for the search folders themselves) and the word for messages ("GPU"). */
struct config_reference {
    const char *pattern;
    const char *folder;
    const char *noun;
};

/* Loads an experiment: parses the file, expands references (each relative to the file that names it; a name
 * without a slash is looked up, with .json added, in that file's folder, its clusters/, ./clusters, each
 * folder of $TANDEM_PATH, and the source or install folder known at build time, always in FOLDER/ of it and
 * in itself; never the naming file itself), then applies set values "path=value" in order (value is JSON,
 * else a string; a reference set to a name is expanded again; pools[name] selects a list element by its
 * "name", ["a.b"] a key that is no word; objects that are missing on the way are made). A string where an
 * inline object could stand may be that object itself. Duplicate keys are refused. An error names file, line
 * or path, and a suggestion. The caller owns *config: config_free. */
bool config_load(const char *file, const struct config_reference *references, size_t reference_count,
                 const char *const *sets, size_t set_count, struct config **config, struct error *error);

/* The same from JSON text; name stands for the text and for the set values in messages. */
bool config_compose(const char *text, const char *name, const struct config_reference *references,
                    size_t reference_count, const char *const *sets, size_t set_count, struct config **config,
                    struct error *error);

/* Applies one "path=value" as config_load does, without expanding references in it. */
bool config_set(struct config *config, const char *argument, struct error *error);

/* A copy without the members of the root that skip (NULL-ended, may be NULL) names; it ends before what it is
 * a copy of. The caller owns *copy: config_free. */
void config_copy(const struct config *config, const char *const *skip, struct config **copy);

/* Puts a copy of a value at a path, as a set value would be, and
 * expands references in it, relative to the file that the value is written in. label: where that is, for
 * messages about the path. */
bool config_put(struct config *config, const char *path, const struct node *value, const char *label,
                const struct config_reference *references, size_t reference_count, struct error *error);

/* The node at a path as config_load's set values have it, or NULL. */
const struct node *config_at(const struct config *config, const char *path);

/* Sets the value at a path of keys ("scheduler.order") below an object of this configuration to a copy of a
 * value, which is of it too, where nothing is yet; objects on the way are made. */
bool config_default(struct config *config, const struct node *object, const char *path,
                    const struct node *value, struct error *error);

/* Parses JSON text (already resolved) under a name for messages. */
bool config_parse(const char *text, const char *name, struct config **config, struct error *error);

/* Looks a name up as config_load does and appends the path that was found; false with a suggestion when
 * nowhere. */
bool config_find(const char *name, const char *from_folder, const struct config_reference *reference,
                 struct text *path, struct error *error);

/* Names (without .json) of the files in the search folders for a reference, sorted, one a line. */
void config_names(const struct config_reference *reference, struct text *names);

const struct node *config_root(const struct config *config);

/* Appends the tree as JSON, indented or in one line; keys named in skip (NULL-ended, root level only) are
 * left out. */
void config_print(const struct config *config, bool indented, const char *const *skip, struct text *text);

/* A hash of the tree without the members of the root that skip (NULL-ended, may be NULL) names: of keys and
 * values, not of files. */
uint64_t config_hash(const struct config *config, const char *const *skip);

void config_free(struct config *config);

/* Reads a whole file. The caller owns *bytes (mem_free), NUL-ended. Errors name the file. */
bool config_read_file(const char *path, char **bytes, size_t *count, struct error *error);

#endif
