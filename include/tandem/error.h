/* User errors: a message that names file, path and remedy. Internal errors abort (check.h). */
#ifndef TANDEM_ERROR_H
#define TANDEM_ERROR_H

#include <stdbool.h>

struct error {
    char text[2048]; /* empty while nothing went wrong */
};

/* Writes the message into error (printf format) and returns false, so that callers can `return
 * error_set(..)`. Local. A message that is too long is cut. */
bool error_set(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before the message. Returns false. Local. */
bool error_prefix(struct error *error, const char *prefix);

#endif
