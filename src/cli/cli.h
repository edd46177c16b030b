/* What the files of the command line share. */
#ifndef TANDEM_CLI_H
#define TANDEM_CLI_H

#include <stdbool.h>

#include "tandem/error.h"

/* Prints the error; returns the exit code. */
int cli_fail(const struct error *error);

/* Sets "WHAT 'ARGUMENT'; see `tandem --help`" (argument may be NULL). Returns false. */
bool cli_bad_usage(struct error *error, const char *what, const char *argument);

/* `tandem roofline` with the arguments behind the word; returns the exit code. */
int command_roofline(int count, char **values);

#endif
