/* What the files of the command line share. */
#ifndef TANDEM_CLI_H
#define TANDEM_CLI_H

#include <stdbool.h>

#include "tandem/error.h"
#include "tandem/text.h"

/* Prints the error; returns the exit code. */
int cli_fail(const struct error *error);

/* Sets "WHAT 'ARGUMENT'; see `tandem --help`" (argument may be NULL). Returns false. */
bool cli_bad_usage(struct error *error, const char *what, const char *argument);

/* Starts MPI; its counterpart ends it and returns the exit code, which is of a failure where memory was not
 * given back after all went well. */
void cli_begin_mpi(void);
int cli_end_mpi(int status);

/* A word that is no key: a flag, or one with a value. */
struct cli_option {
    const char *word; /* NULL ends a list of them */
    bool *flag;       /* set where the word is there; NULL: it has a value */
    const char **value;
};

/* Words "key=value"; room for as many as there were arguments. */
struct cli_keys {
    struct text *owned;
    const char **sets; /* its strings are in owned, or live longer */
    size_t count;
};

/* Reads `--set path=value`, `--some-key value` (some_key=value; those of common objects are put into them)
 * and the options. Errors: another argument, a value that is missing. The caller calls cli_clear_keys, after
 * an error too. */
bool cli_parse_keys(int count, char **values, const struct cli_option *options, struct cli_keys *keys,
                    struct error *error);
void cli_clear_keys(struct cli_keys *keys);

/* A command with the arguments behind its word; returns the exit code. */
int command_roofline(int count, char **values);
int command_memory(int count, char **values);
int command_sweep(int count, char **values);

#endif
