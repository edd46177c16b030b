#include "tandem/node.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tandem/check.h"
#include "tree.h"

enum node_type node_type(const struct node *node)
{
    return node->type;
}

const char *node_type_name(enum node_type type)
{
    static const char *const names[] = {"null",     "true or false", "a number",
                                        "a string", "a list",        "an object"};
    return names[type];
}

static void check_type(const struct node *node, enum node_type type)
{
    CHECK(node->type == type, "%s was asked for, the node is %s", node_type_name(type),
          node_type_name(node->type));
}

bool node_bool(const struct node *node)
{
    check_type(node, NODE_BOOL);
    return node->boolean;
}

double node_number(const struct node *node)
{
    check_type(node, NODE_NUMBER);
    return node->number;
}

const char *node_string(const struct node *node)
{
    check_type(node, NODE_STRING);
    return node->string;
}

size_t node_size(const struct node *node)
{
    return node->size;
}

const struct node *node_at(const struct node *node, size_t index)
{
    CHECK(index < node->size, "element %zu of %zu", index, node->size);
    return node->children[index];
}

const char *node_key(const struct node *node)
{
    return node->key;
}

bool node_is_in(const struct node *node, const struct node *other)
{
    while (node && node != other)
        node = node->parent;
    return node != NULL;
}

const struct node *node_get(const struct node *node, const char *key)
{
    return tree_get(node, key);
}

const char *node_file(const struct node *node)
{
    return node->source->name;
}

const char *node_folder(const struct node *node)
{
    while (!node->source->is_file && node->parent)
        node = node->parent;
    return node->source->folder;
}

void node_append_path(const struct node *node, struct text *path)
{
    const char *name = node_string(node);
    bool as_written = name[0] == '/' || !node->source->is_file || strcmp(node->source->folder, ".") == 0;
    text_append(path, "%s%s%s", as_written ? "" : node->source->folder, as_written ? "" : "/", name);
}

/* Values from the command line have the whole path, as the user typed it. */
static void append_path(struct text *path, const struct node *node, bool whole)
{
    if (!node->parent || (node->is_file_root && !whole))
        return;
    append_path(path, node->parent, whole);
    tree_append_step(path, node->key, node->index);
}

bool node_error(const struct node *node, struct error *error, const char *format, ...)
{
    char message[sizeof error->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    struct text path = {0};
    append_path(&path, node, !node->source->is_file || node->source->whole_paths);
    error_set(error, "%s: %s%s%s", node->source->name, text_string(&path), path.length > 0 ? ": " : "",
              message);
    text_clear(&path);
    return false;
}
