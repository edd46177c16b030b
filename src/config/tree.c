#include "tree.h"

#include <string.h>

#include "tandem/check.h"
#include "tandem/mem.h"

struct node *tree_create(enum node_type type, const struct source *source)
{
    struct node *node = mem_array(1, sizeof *node);
    node->type = type;
    node->source = source;
    return node;
}

void tree_append(struct node *parent, struct node *child, const char *key)
{
    parent->children =
        mem_grow(parent->children, &parent->capacity, parent->size + 1, sizeof *parent->children);
    child->key = key ? mem_string(key) : NULL;
    child->parent = parent;
    child->index = parent->size;
    parent->children[parent->size++] = child;
}

void tree_replace(struct node *old, struct node *replacement)
{
    CHECK(old->parent, "the root is never replaced");
    replacement->key = old->key;
    replacement->parent = old->parent;
    replacement->index = old->index;
    old->parent->children[old->index] = replacement;
    old->key = NULL;
    tree_free(old);
}

void tree_free(struct node *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->size; i++)
        tree_free(node->children[i]);
    mem_free(node->children);
    mem_free(node->string);
    mem_free(node->key);
    mem_free(node);
}

struct node *tree_copy(const struct node *node)
{
    struct node *copy = tree_create(node->type, node->source);
    copy->boolean = node->boolean;
    copy->number = node->number;
    copy->is_file_root = node->is_file_root;
    copy->string = node->string ? mem_string(node->string) : NULL;
    for (size_t i = 0; i < node->size; i++)
        tree_append(copy, tree_copy(node->children[i]), node->children[i]->key);
    return copy;
}

void tree_set_source(struct node *node, const struct source *source)
{
    node->source = source;
    for (size_t i = 0; i < node->size; i++)
        tree_set_source(node->children[i], source);
}

struct node *tree_get(const struct node *node, const char *key)
{
    if (node->type != NODE_OBJECT)
        return NULL;
    for (size_t i = 0; i < node->size; i++)
        if (strcmp(node->children[i]->key, key) == 0)
            return node->children[i];
    return NULL;
}

void tree_append_step(struct text *path, const char *key, size_t index)
{
    if (!key)
        text_append(path, "[%zu]", index);
    else if (key[0] == '\0' || strpbrk(key, ".[]\"= \t\n"))
        text_append(path, "[\"%s\"]", key); /* keys of sweep axes are paths themselves */
    else
        text_append(path, "%s%s", path->length > 0 ? "." : "", key);
}
