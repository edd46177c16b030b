/* Option tables: one row an option with its unit, default, bounds and documentation. The parser, `tandem
 * describe` and the errors all come from the table; a key that is in none of the tables is refused. All
 * local. */
#ifndef TANDEM_OPTION_H
#define TANDEM_OPTION_H

#include <stdbool.h>
#include <stddef.h>

#include "tandem/error.h"
#include "tandem/node.h"
#include "tandem/text.h"

enum option_type {
    OPTION_BOOL,    /* target: bool */
    OPTION_INTEGER, /* target: int64_t; a number with a fraction is refused */
    OPTION_NUMBER,  /* target: double */
    OPTION_STRING,  /* target: const char *, lives as long as the tree */
    OPTION_CHOICE,  /* target: int, index into choices */
    OPTION_NODE     /* target: const struct node *, any type; the owner of the table parses it further */
};

struct option {
    const char *name; /* JSON key, its unit as suffix: _ms, _gib, _tokens */
    enum option_type type;
    const char *fallback; /* default as JSON text ("0.9", "\"paged\""); NULL: required. "null" (a NULL target)
                           * is the only one of a node, and one that a string may have */
    double min, max;      /* inclusive bounds of numbers, max may be INFINITY; both 0: none */
    const char *const *choices; /* NULL-ended, for OPTION_CHOICE */
    size_t offset;              /* of the target in the structure */
    const char *doc;            /* one line; says "0: automatic" where that is so */
};

struct option_table {
    const char *name; /* what it configures: "pool", "network" */
    const char *doc;
    const struct option *options;
    size_t count;
};

#define OPTION_TABLE(variable, table_name, table_doc, rows)                                                  \
    const struct option_table variable = {table_name, table_doc, rows, sizeof(rows) / sizeof(rows)[0]}

/* One table and the structure that it fills. */
struct option_part {
    const struct option_table *table;
    void *target;
};

/* Fills the target from an object, defaults first. Refuses unknown keys (with a suggestion; a known key with
 * another unit suffix is named so), wrong types and values out of bounds, with file and path. Strings in
 * target live as long as the tree, default ones as long as the process. object NULL: as an object without
 * keys. */
bool option_parse(const struct option_table *table, const struct node *object, void *target,
                  struct error *error);

/* The same over several tables: each key of the object must be in one of them. */
bool option_parse_parts(const struct option_part *parts, size_t count, const struct node *object,
                        struct error *error);

/* The same for the file of another program: keys that are in no table are passed over, and null is as if the
 * key were not there. */
bool option_parse_foreign(const struct option_part *parts, size_t count, const struct node *object,
                          struct error *error);

/* Appends the table as aligned text: key, type, default, bounds, documentation. */
void option_describe(const struct option_table *table, struct text *text);

#endif
