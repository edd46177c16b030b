/* Fields of delimited text, for trace readers: exact times and whole numbers, without going through doubles.
 */
#ifndef TANDEM_WORKLOAD_FIELDS_H
#define TANDEM_WORKLOAD_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/error.h"

/* One line split into fields; strings live until the next split. */
struct fields {
    const char **at;
    size_t count;
    size_t at_capacity;
    char *buffer;
    size_t capacity;
};

/* Splits at the delimiter. A field in double quotes may hold delimiters and doubled quotes; blanks around
 * other fields are dropped. */
bool fields_split(struct fields *fields, const char *line, char delimiter, struct error *error);
void fields_clear(struct fields *fields);

/* A number of tokens from least to 10^9 ("374", also "374.0" as data frames write it). Errors name the
 * column. */
bool fields_tokens(const char *field, const char *column, int64_t least, int64_t *tokens,
                   struct error *error);

/* A class of priority, from 0 to 255. Errors name the column. */
bool fields_priority(const char *field, const char *column, int64_t *priority, struct error *error);

/* A number of a conversation. Errors name the column. */
bool fields_session(const char *field, const char *column, int64_t *session, struct error *error);

/* A time stamp as in 2023-11-16 18:15:46.6805900: T or a blank between, up to nine fractional digits, then
 * nothing, Z or an offset such as +01:00. ns since 1970, exactly. */
bool fields_timestamp(const char *field, const char *column, int64_t *time_ns, struct error *error);

/* A decimal number of units of 10^exponent ns, rounded half to even where it has digits below 1 ns. */
bool fields_time(const char *field, const char *column, int exponent, int64_t *time_ns, struct error *error);

#endif
