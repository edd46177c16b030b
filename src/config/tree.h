/* The nodes behind node.h, for the files of this module only. */
#ifndef TANDEM_CONFIG_TREE_H
#define TANDEM_CONFIG_TREE_H

#include "tandem/node.h"
#include "tandem/text.h"

/* A file that was read, or the command line. */
struct source {
    char *name;
    char *folder;
    bool is_file;     /* false: "--set" */
    bool whole_paths; /* errors have paths from the root of all, not of the file */
    struct source *next;
};

struct node {
    enum node_type type;
    bool boolean;
    double number;
    char *string;
    char *key; /* NULL in lists and at the root */
    struct node *parent;
    size_t index; /* position in the parent */
    const struct source *source;
    bool is_file_root; /* where the paths of its file start */
    struct node **children;
    size_t size;
    size_t capacity;
};

/* A new node without parent; tree_free, unless it is put into a tree. */
struct node *tree_create(enum node_type type, const struct source *source);

/* Adds child at the end of a list or object; the key is copied, NULL for lists. The parent owns child then.
 */
void tree_append(struct node *parent, struct node *child, const char *key);

/* Puts a new node where an old one with a parent was, which is freed. */
void tree_replace(struct node *old, struct node *replacement);

/* Frees a node and all below; NULL is allowed. */
void tree_free(struct node *node);

/* A copy without parent of a node and all below; and what it says of its source made another one. */
struct node *tree_copy(const struct node *node);
void tree_set_source(struct node *node, const struct source *source);

/* Child by key that may be changed, or NULL. */
struct node *tree_get(const struct node *node, const char *key);

/* Appends one step of a path: ".key", "[index]" or ["odd key"]; no dot at the start of the text. */
void tree_append_step(struct text *path, const char *key, size_t index);

#endif
