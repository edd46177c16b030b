/* Where files are found, for the files of this module only. */
#ifndef TANDEM_CONFIG_LOOKUP_H
#define TANDEM_CONFIG_LOOKUP_H

#include "tandem/config.h"

/* As config_find, but never the file `except` itself (NULL: none): an experiment may have its cluster's name.
 */
bool lookup_find(const char *name, const char *from_folder, const char *except,
                 const struct config_reference *reference, struct text *path, struct error *error);

/* Folder of a path: "." without a slash. The caller frees it (mem_free). */
char *lookup_folder(const char *path);

/* The file in the same folder with the nearest name, appended to path; false when none is near. */
bool lookup_near_file(const char *path, struct text *near);

#endif
