#include "tandem/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool error_set(struct error *error, const char *format, ...)
{
    /* Through a copy, so that the old text may be one of the arguments. */
    char text[sizeof error->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(error->text, text, sizeof text);
    return false;
}

bool error_prefix(struct error *error, const char *prefix)
{
    return error_set(error, "%s: %s", prefix, error->text);
}
