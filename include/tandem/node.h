/* A JSON value that knows where it came from: each node has a path and a file, for errors that name both.
 * Nodes live as long as the tree (config.h) that owns them. All local. */
#ifndef TANDEM_NODE_H
#define TANDEM_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "tandem/error.h"
#include "tandem/text.h"

struct node;

enum node_type { NODE_NULL, NODE_BOOL, NODE_NUMBER, NODE_STRING, NODE_ARRAY, NODE_OBJECT };

enum node_type node_type(const struct node *node);

/* "null", "true or false", "a number", "a string", "a list", "an object": for messages. */
const char *node_type_name(enum node_type type);

/* The value; aborts on another type. Strings live as long as the tree. */
bool node_bool(const struct node *node);
double node_number(const struct node *node);
const char *node_string(const struct node *node);

/* Number of members or elements; 0 for scalars. */
size_t node_size(const struct node *node);

/* Member or element by position (aborts beyond the end), and its key (NULL for elements of lists). */
const struct node *node_at(const struct node *node, size_t index);
const char *node_key(const struct node *node);

/* Whether a node is another one, or anywhere below it. */
bool node_is_in(const struct node *node, const struct node *other);

/* Member by key, NULL when there is none or the node is no object. */
const struct node *node_get(const struct node *node, const char *key);

/* Appends the node as JSON in one line. */
void node_print(const struct node *node, struct text *text);

/* File that the node was written in ("--set" for values from the command line), and the folder of the nearest
 * real file above it, where names in this node are looked up first. */
const char *node_file(const struct node *node);
const char *node_folder(const struct node *node);

/* Appends the file that a string names: relative to the file that it was written in, or to the working
 * directory when it comes from the command line. */
void node_append_path(const struct node *node, struct text *path);

/* Sets "FILE: PATH: message", PATH from the root of that file, such as pools[1].gpu. Returns false. */
bool node_error(const struct node *node, struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
