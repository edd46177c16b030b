/* Files that appear under their name only when they are whole. What goes wrong with the disk is remembered
 * and told at the end, so that callers need not check each step. All local. */
#ifndef TANDEM_OUTPUT_FILE_H
#define TANDEM_OUTPUT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/error.h"
#include "tandem/text.h"

struct file {
    struct text path, temporary;
    int descriptor; /* of the temporary; -1: it could not be created */
    bool nameless;  /* it gets its name when it is whole */
    int reason;     /* errno of what failed first; 0: nothing. Whatever is written after that is dropped. */
};

/* Creates FOLDER/name.tmp, empty; where the system can, without showing it yet. Ends with file_end or
 * file_abandon. */
void file_begin(struct file *file, const char *folder, const char *name);

/* Writes bytes at an offset; reads them (zeros beyond the end); gives the file its length. */
void file_put(struct file *file, uint64_t offset, const void *bytes, size_t count);
void file_get(const struct file *file, uint64_t offset, void *bytes, size_t count);
void file_resize(struct file *file, uint64_t count);

/* Syncs the file and renames it to FOLDER/name. False: the error names the path and what the system said,
 * and nothing is left. */
bool file_end(struct file *file, struct error *error);

/* Removes the temporary. */
void file_abandon(struct file *file);

#endif
