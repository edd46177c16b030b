#include "tandem/config.h"

#include <string.h>

#include "json.h"
#include "lookup.h"
#include "set.h"
#include "tandem/check.h"
#include "tandem/hash.h"
#include "tandem/mem.h"
#include "tree.h"

struct config {
    struct node *root;
    struct source *sources; /* of all nodes, also of replaced ones */
};

static struct source *add_source(struct config *config, const char *name, const char *folder, bool is_file)
{
    struct source *source = mem_array(1, sizeof *source);
    source->name = mem_string(name);
    source->folder = folder ? mem_string(folder) : lookup_folder(name);
    source->is_file = is_file;
    source->next = config->sources;
    config->sources = source;
    return source;
}

static bool parse_text(struct config *config, const char *text, size_t count, const char *name,
                       struct node **root, struct error *error)
{
    const struct source *source = add_source(config, name, NULL, true);
    if (!json_parse(text, count, source, root, error))
        return error_prefix(error, name);
    (*root)->is_file_root = true;
    if (json_check(*root, error))
        return true;
    tree_free(*root);
    *root = NULL;
    return false;
}

/* Adds the nearest name to the error for a file that cannot be read. */
static bool suggest_file(const char *file, struct error *error)
{
    struct text near = {0};
    if (lookup_near_file(file, &near) && strcmp(text_string(&near), file) != 0)
        error_set(error, "%s (did you mean '%s'?)", error->text, text_string(&near));
    text_clear(&near);
    return false;
}

static bool parse_file(struct config *config, const char *file, struct node **root, struct error *error)
{
    char *bytes;
    size_t count;
    if (!config_read_file(file, &bytes, &count, error))
        return suggest_file(file, error);
    bool good = parse_text(config, bytes, count, file, root, error);
    mem_free(bytes);
    if (good && (*root)->type != NODE_OBJECT && (*root)->type != NODE_ARRAY) {
        node_error(*root, error, "expected an object, not %s", node_type_name((*root)->type));
        tree_free(*root);
        *root = NULL;
        return false;
    }
    return good;
}

/* The file in which a node from the command line takes effect, or the node's own. */
static const char *naming_file(const struct node *node)
{
    while (!node->source->is_file && node->parent)
        node = node->parent;
    return node->source->name;
}

static bool expand_node(struct config *config, struct node *node, const struct config_reference *reference,
                        struct error *error)
{
    struct text path = {0};
    struct error reason;
    struct node *content = NULL;
    bool good = lookup_find(node->string, node_folder(node), naming_file(node), reference, &path, &reason);
    if (!good)
        node_error(node, error, "%s", reason.text);
    else
        good = parse_file(config, text_string(&path), &content, error);
    text_clear(&path);
    if (good)
        tree_replace(node, content);
    return good;
}

/* Expands the strings at all places that a pattern names, from a node on. */
static bool expand_pattern(struct config *config, struct node *node, const char *pattern,
                           const struct config_reference *reference, bool *changed, struct error *error)
{
    if (pattern[0] == '\0') {
        if (node->type != NODE_STRING)
            return true;
        *changed = true;
        return expand_node(config, node, reference, error);
    }
    if (strncmp(pattern, "[*]", 3) == 0) {
        for (size_t i = 0; node->type == NODE_ARRAY && i < node->size; i++)
            if (!expand_pattern(config, node->children[i], pattern + 3, reference, changed, error))
                return false;
        return true;
    }
    pattern += pattern[0] == '.';
    size_t length = strcspn(pattern, ".[");
    for (size_t i = 0; node->type == NODE_OBJECT && i < node->size; i++) {
        struct node *child = node->children[i];
        if (strlen(child->key) == length && strncmp(child->key, pattern, length) == 0)
            return expand_pattern(config, child, pattern + length, reference, changed, error);
    }
    return true;
}

/* An expanded file may itself hold references, so until none is left. It ends: a file is an object or a list,
 * so each place is expanded once, and patterns are finite. */
static bool expand_all(struct config *config, const struct config_reference *references, size_t count,
                       struct error *error)
{
    bool changed = true;
    while (changed) {
        changed = false;
        for (size_t i = 0; i < count; i++)
            if (!expand_pattern(config, config->root, references[i].pattern, &references[i], &changed, error))
                return false;
    }
    return true;
}

/* name: where the value is from, for messages. */
static bool set_value(struct config *config, const char *argument, const char *name, struct error *error)
{
    return set_apply(config->root, argument, add_source(config, name, ".", false), error);
}

bool config_set(struct config *config, const char *argument, struct error *error)
{
    return set_value(config, argument, "--set", error);
}

/* Expands the references of what was parsed, then applies the set values. */
static bool complete(struct config *config, const struct config_reference *references, size_t reference_count,
                     const char *const *sets, size_t set_count, const char *sets_name, struct error *error)
{
    if (config->root->type != NODE_OBJECT)
        return node_error(config->root, error, "expected an object, not a list");
    if (!expand_all(config, references, reference_count, error))
        return false;
    for (size_t i = 0; i < set_count; i++)
        if (!set_value(config, sets[i], sets_name, error) ||
            !expand_all(config, references, reference_count, error))
            return false;
    return true;
}

static bool is_skipped(const struct node *child, const char *const *skip)
{
    while (skip && *skip && strcmp(child->key, *skip) != 0)
        skip++;
    return skip && *skip;
}

static uint64_t hash_node(uint64_t hash, const struct node *node)
{
    uint64_t number;
    memcpy(&number, &node->number, sizeof number);
    hash = hash_combine(hash, (uint64_t)node->type << 32 | node->size << 1 | node->boolean);
    hash = hash_combine(hash, number);
    if (node->key)
        hash = hash_bytes(hash, node->key, strlen(node->key));
    if (node->string)
        hash = hash_bytes(hash, node->string, strlen(node->string));
    for (size_t i = 0; i < node->size; i++)
        hash = hash_node(hash, node->children[i]);
    return hash;
}

uint64_t config_hash(const struct config *config, const char *const *skip)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < config->root->size; i++)
        if (!is_skipped(config->root->children[i], skip))
            hash = hash_node(hash, config->root->children[i]);
    return hash;
}

void config_copy(const struct config *config, const char *const *skip, struct config **copy)
{
    struct config *copied = mem_array(1, sizeof *copied);
    copied->root = tree_create(config->root->type, config->root->source);
    copied->root->is_file_root = config->root->is_file_root;
    for (size_t i = 0; i < config->root->size; i++) {
        const struct node *child = config->root->children[i];
        if (!is_skipped(child, skip))
            tree_append(copied->root, tree_copy(child), child->key);
    }
    *copy = copied;
}

bool config_put(struct config *config, const char *path, const struct node *value, const char *label,
                const struct config_reference *references, size_t reference_count, struct error *error)
{
    struct source *source = add_source(config, value->source->name, value->source->folder, true);
    source->whole_paths = true;
    struct node *copy = tree_copy(value);
    tree_set_source(copy, source);
    return set_put(config->root, path, copy, label, error) &&
           expand_all(config, references, reference_count, error);
}

const struct node *config_at(const struct config *config, const char *path)
{
    return set_find(config->root, path);
}

bool config_load(const char *file, const struct config_reference *references, size_t reference_count,
                 const char *const *sets, size_t set_count, struct config **config, struct error *error)
{
    struct config *loaded = mem_array(1, sizeof *loaded);
    if (!parse_file(loaded, file, &loaded->root, error) ||
        !complete(loaded, references, reference_count, sets, set_count, "--set", error)) {
        config_free(loaded);
        return false;
    }
    *config = loaded;
    return true;
}

bool config_compose(const char *text, const char *name, const struct config_reference *references,
                    size_t reference_count, const char *const *sets, size_t set_count, struct config **config,
                    struct error *error)
{
    struct config *composed = mem_array(1, sizeof *composed);
    if (!parse_text(composed, text, strlen(text), name, &composed->root, error) ||
        !complete(composed, references, reference_count, sets, set_count, name, error)) {
        config_free(composed);
        return false;
    }
    *config = composed;
    return true;
}

bool config_default(struct config *config, const struct node *object, const char *path,
                    const struct node *value, struct error *error)
{
    struct node *at = object->parent ? object->parent->children[object->index] : config->root;
    CHECK(at == object, "an object of another configuration");
    while (true) {
        size_t length = strcspn(path, ".");
        char key[64];
        CHECK(length > 0 && length < sizeof key, "a path %s", path);
        memcpy(key, path, length);
        key[length] = '\0';
        if (at->type != NODE_OBJECT)
            return node_error(at, error, "expected an object, not %s", node_type_name(at->type));
        struct node *child = tree_get(at, key);
        bool last = path[length] == '\0';
        if (last && child)
            return true;
        if (!child) {
            child = last ? tree_copy(value) : tree_create(NODE_OBJECT, value->source);
            tree_append(at, child, key);
        }
        if (last)
            return true;
        at = child;
        path += length + 1;
    }
}

bool config_parse(const char *text, const char *name, struct config **config, struct error *error)
{
    struct config *parsed = mem_array(1, sizeof *parsed);
    if (!parse_text(parsed, text, strlen(text), name, &parsed->root, error)) {
        config_free(parsed);
        return false;
    }
    *config = parsed;
    return true;
}

const struct node *config_root(const struct config *config)
{
    return config->root;
}

void config_print(const struct config *config, bool indented, const char *const *skip, struct text *text)
{
    json_print(config->root, indented, skip, text);
}

void config_free(struct config *config)
{
    if (!config)
        return;
    tree_free(config->root);
    while (config->sources) {
        struct source *source = config->sources;
        config->sources = source->next;
        mem_free(source->name);
        mem_free(source->folder);
        mem_free(source);
    }
    mem_free(config);
}
