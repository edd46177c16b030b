/* Values from the command line, for the files of this module only. */
#ifndef TANDEM_CONFIG_SET_H
#define TANDEM_CONFIG_SET_H

#include "tree.h"

/* Sets one "path=value" below root; the new node has the source given. */
bool set_apply(struct node *root, const char *argument, const struct source *source, struct error *error);

#endif
