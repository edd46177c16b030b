/* JSON text to nodes and back, for the files of this module only. cJSON stays behind this. */
#ifndef TANDEM_CONFIG_JSON_H
#define TANDEM_CONFIG_JSON_H

#include "tree.h"

/* Parses text (NUL-ended after count bytes) into nodes of a source. An error has the line and column, not the
 * file. The caller owns *root and has yet to call json_check, when the node is at its place. */
bool json_parse(const char *text, size_t count, const struct source *source, struct node **root,
                struct error *error);

/* Refuses what is JSON but no configuration: duplicate keys and numbers that are too large. */
bool json_check(const struct node *node, struct error *error);

/* Appends a node as JSON, without the members of the root that skip (NULL-ended, may be NULL) names. */
void json_print(const struct node *node, bool indented, const char *const *skip, struct text *text);

#endif
