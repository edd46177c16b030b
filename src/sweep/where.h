/* Conditions on points: numbers, texts in single or double quotes, true, false, null, variables (paths), + -
 * * /,
 * == != < <= > >=, and && or || not !, parentheses. Local. */
#ifndef TANDEM_SWEEP_WHERE_H
#define TANDEM_SWEEP_WHERE_H

#include <stdbool.h>
#include <stddef.h>

#include "tandem/error.h"

enum where_kind { WHERE_NULL, WHERE_BOOL, WHERE_NUMBER, WHERE_TEXT };

struct where_value {
    enum where_kind kind;
    double number;    /* of WHERE_BOOL 0 or 1 */
    const char *text; /* borrowed */
    size_t length;
};

/* Gives the index-th variable of the expression (from 0, as written), NUL-ended. */
typedef struct where_value where_lookup(void *context, size_t index, const char *name);

/* Evaluates an expression to a condition. Calculating with null gives null; of comparisons null only equals
 * null; as a condition it is false. Every variable is looked up. Errors: "column N: ..". */
bool where_evaluate(const char *expression, where_lookup *lookup, void *context, bool *holds,
                    struct error *error);

#endif
