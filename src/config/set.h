/* Values from the command line, for the files of this module only. */
#ifndef TANDEM_CONFIG_SET_H
#define TANDEM_CONFIG_SET_H

#include "tree.h"

/* Sets one "path=value" below root; the new node has the source given. */
bool set_apply(struct node *root, const char *argument, const struct source *source, struct error *error);

/* Puts a value (taken over, an error included) at a path below root; label: where path and value are written,
 * for messages. */
bool set_put(struct node *root, const char *path, struct node *value, const char *label, struct error *error);

/* The node at a path, or NULL. */
const struct node *set_find(const struct node *root, const char *path);

#endif
