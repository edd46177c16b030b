#include "set.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tandem/mem.h"

/* One step of a path; word is owned: mem_free. */
struct step {
    char *word;
    bool in_brackets; /* [3] or [name]: an element of a list */
};

/* Where the next step is read, and the path so far for messages. */
struct walk {
    const char *label;  /* where the argument is written, for messages */
    struct node *value; /* to be set, owned by who walks; NULL: the text behind the '=' */
    size_t path_length; /* of the argument in front of its '='; 0: up to the first that ends a key */
    const char *argument;
    const char *rest;
    struct text path;
};

static bool malformed(const struct walk *walk, const char *reason, struct error *error)
{
    return error_set(error, "%s %s: %s (write path=value, as in cluster.pools[decode].instances=4)",
                     walk->label, walk->argument, reason);
}

static char *copy_range(const char *start, const char *end)
{
    size_t length = (size_t)(end - start);
    char *copy = mem_array(length + 1, 1);
    memcpy(copy, start, length);
    return copy;
}

/* Reads "[word]" or "["odd key"]"; the latter is a key, not an element. */
static bool read_brackets(struct walk *walk, struct step *step, struct error *error)
{
    const char *start = walk->rest + 1;
    bool quoted = start[0] == '"';
    const char *end = quoted ? strstr(start + 1, "\"]") : strchr(start, ']');
    if (!end)
        return malformed(walk, "a ']' is missing", error);
    step->in_brackets = !quoted;
    step->word = copy_range(start + quoted, end);
    walk->rest = end + (quoted ? 2 : 1);
    if (step->word[0] != '\0' || quoted)
        return true;
    mem_free(step->word);
    return malformed(walk, "the brackets are empty", error);
}

static bool read_step(struct walk *walk, struct step *step, struct error *error)
{
    if (walk->rest[0] == '[')
        return read_brackets(walk, step, error);
    if (walk->path.length > 0) {
        if (walk->rest[0] != '.')
            return malformed(walk, "a '.' or '[' is missing after a ']'", error);
        walk->rest++;
    }
    size_t length = strcspn(walk->rest, ".[=");
    if (length == 0)
        return malformed(walk, "a key is missing", error);
    step->in_brackets = false;
    step->word = copy_range(walk->rest, walk->rest + length);
    walk->rest += length;
    return true;
}

static const char *path_name(const struct walk *walk)
{
    return walk->path.length > 0 ? text_string(&walk->path) : "the experiment";
}

/* Appends " (did you mean 'x'?)", or what there is, for a word that is none of the names. */
static void append_remedy(struct text *message, const char *word, const char *const *names, size_t count)
{
    const char *near = text_suggest(word, names, count);
    if (near) {
        text_append(message, " (did you mean '%s'?)", near);
        return;
    }
    for (size_t i = 0; i < count; i++)
        text_append(message, "%s%s", i > 0 ? ", " : " (it has: ", names[i]);
    if (count > 0)
        text_append(message, ")");
}

/* An object on the way to a value that is not there: made where the word is not near one that is. */
static bool missing_object(const struct walk *walk, struct node *node, const char *key,
                           const struct source *source, struct node **made, struct error *error)
{
    const char **names = mem_array(node->size, sizeof *names);
    for (size_t i = 0; i < node->size; i++)
        names[i] = node->children[i]->key;
    const char *near = text_suggest(key, names, node->size);
    bool good = !near || error_set(error, "%s %s: %s has no '%s' (did you mean '%s'?)", walk->label,
                                   walk->argument, path_name(walk), key, near);
    if (good) {
        *made = tree_create(NODE_OBJECT, source);
        tree_append(node, *made, key);
    }
    mem_free(names);
    return good;
}

static const char *element_name(const struct node *element)
{
    const struct node *name = tree_get(element, "name");
    return name && name->type == NODE_STRING ? name->string : NULL;
}

static bool unknown_element(const struct walk *walk, const struct node *list, const char *word,
                            struct error *error)
{
    const char **names = mem_array(list->size, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < list->size; i++)
        if (element_name(list->children[i]))
            names[count++] = element_name(list->children[i]);
    struct text message = {0};
    text_append(&message, "%s %s: %s has no element named '%s'", walk->label, walk->argument, path_name(walk),
                word);
    append_remedy(&message, word, names, count);
    error_set(error, "%s", text_string(&message));
    text_clear(&message);
    mem_free(names);
    return false;
}

static bool find_by_index(const struct walk *walk, struct node *list, const char *word, struct node **found,
                          struct error *error)
{
    errno = 0;
    unsigned long index = strtoul(word, NULL, 10);
    if (errno != 0 || index >= list->size)
        return error_set(error, "%s %s: %s has %zu elements, counted from 0: there is no [%s]", walk->label,
                         walk->argument, path_name(walk), list->size, word);
    *found = list->children[index];
    return true;
}

static bool find_by_name(const struct walk *walk, struct node *list, const char *word, struct node **found,
                         struct error *error)
{
    *found = NULL;
    for (size_t i = 0; i < list->size; i++) {
        const char *name = element_name(list->children[i]);
        if (!name || strcmp(name, word) != 0)
            continue;
        if (*found)
            return error_set(error, "%s %s: %s has more than one element named '%s': use its index [%zu]",
                             walk->label, walk->argument, path_name(walk), word, i);
        *found = list->children[i];
    }
    return *found || unknown_element(walk, list, word, error);
}

static bool find_element(const struct walk *walk, struct node *node, const char *word, struct node **found,
                         struct error *error)
{
    if (node->type != NODE_ARRAY)
        return error_set(error, "%s %s: %s is %s, [%s] needs a list", walk->label, walk->argument,
                         path_name(walk), node_type_name(node->type), word);
    if (strspn(word, "0123456789") == strlen(word))
        return find_by_index(walk, node, word, found, error);
    return find_by_name(walk, node, word, found, error);
}

/* The child that a step names; *found is NULL for the last key of the path where it is to be added. Objects
 * before it are made: an experiment need not write `"simulation": {}` for simulation.mode to be set. */
static bool find_step(const struct walk *walk, struct node *node, const struct step *step,
                      const struct source *source, struct node **found, struct error *error)
{
    if (step->in_brackets)
        return find_element(walk, node, step->word, found, error);
    if (node->type == NODE_ARRAY)
        return error_set(error, "%s %s: %s is a list: use [index] or [name] instead of '%s'", walk->label,
                         walk->argument, path_name(walk), step->word);
    if (node->type != NODE_OBJECT)
        return error_set(error, "%s %s: %s is %s, '%s' needs an object", walk->label, walk->argument,
                         path_name(walk), node_type_name(node->type), step->word);
    *found = tree_get(node, step->word);
    return *found || walk->rest[0] == '=' || missing_object(walk, node, step->word, source, found, error);
}

/* Value text as a node: JSON, else a string. What starts like JSON has to be JSON. */
static bool parse_value(const struct walk *walk, const char *text, const struct source *source,
                        struct node **value, struct error *error)
{
    struct error reason;
    if (json_parse(text, strlen(text), source, value, &reason))
        return true;
    if (text[0] != '\0' && strchr("{[\"", text[0]))
        return error_set(error, "%s %s: the value is not JSON: %s", walk->label, walk->argument, reason.text);
    *value = tree_create(NODE_STRING, source);
    (*value)->string = mem_string(text);
    return true;
}

static bool put_value(struct walk *walk, struct node *parent, const struct step *step, struct node *target,
                      const struct source *source, struct error *error)
{
    struct node *value = walk->value;
    if (walk->path_length > 0 && (size_t)(walk->rest - walk->argument) != walk->path_length)
        return malformed(walk, "a key with '=' is written [\"key\"]", error);
    if (!value && !parse_value(walk, walk->rest + 1, source, &value, error))
        return false;
    walk->value = NULL;
    if (target)
        tree_replace(target, value);
    else
        tree_append(parent, value, step->word);
    return json_check(value, error);
}

/* Goes down one step at a time, until the value. */
static bool follow(struct walk *walk, struct node *node, const struct source *source, struct error *error)
{
    for (;;) {
        struct step step = {0};
        if (!read_step(walk, &step, error))
            return false;
        struct node *found = NULL;
        bool good = walk->rest[0] != '\0' || malformed(walk, "there is no '=' after the path", error);
        good = good && find_step(walk, node, &step, source, &found, error);
        bool last = walk->rest[0] == '=';
        if (good && last)
            good = put_value(walk, node, &step, found, source, error);
        if (good && step.in_brackets)
            text_append(&walk->path, "[%s]", step.word);
        else if (good)
            tree_append_step(&walk->path, step.word, 0);
        mem_free(step.word);
        if (!good || last)
            return good;
        node = found;
    }
}

bool set_apply(struct node *root, const char *argument, const struct source *source, struct error *error)
{
    struct walk walk = {.label = "--set", .argument = argument, .rest = argument};
    if (!strchr(argument, '='))
        return malformed(&walk, "there is no '='", error);
    bool good = follow(&walk, root, source, error);
    text_clear(&walk.path);
    return good;
}

bool set_put(struct node *root, const char *path, struct node *value, const char *label, struct error *error)
{
    struct text argument = {0};
    text_append(&argument, "%s=", path);
    json_print(value, false, NULL, &argument);
    struct walk walk = {.label = label,
                        .argument = text_string(&argument),
                        .rest = text_string(&argument),
                        .value = value,
                        .path_length = strlen(path)};
    bool good = follow(&walk, root, value->source, error);
    tree_free(walk.value);
    text_clear(&walk.path);
    text_clear(&argument);
    return good;
}

/* An element by index or by name, or NULL. */
static struct node *element(const struct node *list, const char *word)
{
    if (list->type != NODE_ARRAY)
        return NULL;
    if (strspn(word, "0123456789") == strlen(word)) {
        unsigned long index = strtoul(word, NULL, 10);
        return index < list->size ? list->children[index] : NULL;
    }
    for (size_t i = 0; i < list->size; i++) {
        const char *name = element_name(list->children[i]);
        if (name && strcmp(name, word) == 0)
            return list->children[i];
    }
    return NULL;
}

const struct node *set_find(const struct node *root, const char *path)
{
    struct walk walk = {.label = "", .argument = path, .rest = path};
    const struct node *node = root;
    while (node && walk.rest[0] != '\0') {
        struct step step = {0};
        struct error ignored;
        if (!read_step(&walk, &step, &ignored)) {
            node = NULL;
            break;
        }
        node = step.in_brackets ? element(node, step.word) : tree_get(node, step.word);
        text_append(&walk.path, "%s", "."); /* not the first step any more */
        mem_free(step.word);
    }
    text_clear(&walk.path);
    return node;
}
