/* The groups of results as they are in results.h5, of a run below /, of a point of a sweep below its own.
 * Local. */
#ifndef TANDEM_OUTPUT_GROUPS_H
#define TANDEM_OUTPUT_GROUPS_H

#include "h5.h"
#include "tandem/results.h"

/* The attributes of /; trace_sha256 may be NULL. */
void groups_root(struct h5 *h5, const char *checksum, const char *configuration, const char *trace_sha256);

/* Whether there is a group: links and iterations may not be there. */
bool groups_has(const struct results *results, enum results_group group);

/* Writes one group below prefix ("", "/point/000001"). */
void groups_write(struct h5 *h5, const char *prefix, enum results_group group, const struct results *results);

#endif
