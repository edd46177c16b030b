/* Files that appear under their name only when they are whole. All local. */
#ifndef TANDEM_OUTPUT_FILE_H
#define TANDEM_OUTPUT_FILE_H

#include <stddef.h>

#include "tandem/error.h"

/* Writes bytes to FOLDER/name.tmp, fsyncs it and renames it to FOLDER/name. After an error no temporary is
 * left; the message names the path and what the system said. */
bool file_write(const char *folder, const char *name, const void *bytes, size_t count, struct error *error);

#endif
