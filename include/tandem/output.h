/* results.h5: one file a run, the same bytes however many ranks made it. Only rank 0 calls these; local. */
#ifndef TANDEM_OUTPUT_H
#define TANDEM_OUTPUT_H

#include "tandem/error.h"
#include "tandem/results.h"
#include "tandem/text.h"

#define OUTPUT_SCHEMA_VERSION 1

/* Creates the folder (and those above) if needed, checks that a file can be written there, before a long run,
 * and removes the three files of an earlier run. Errors name the folder and what the system said. */
bool output_prepare(const char *folder, struct error *error);

/* Writes FOLDER/results.h5 under a temporary name, fsyncs and renames it. configuration: resolved JSON
 * (attribute). */
bool output_write(const char *folder, const struct results *results, const char *configuration,
                  struct error *error);

/* Writes text to FOLDER/name in the same way. */
bool output_write_text(const char *folder, const char *name, const char *content, struct error *error);

/* Appends the schema: plain lines (markdown false) or the page analysis/OUTPUT.md. */
void output_describe(bool markdown, struct text *text);

#endif
