#include "tandem/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    /* One write, so that the lines of several ranks do not mix. */
    fprintf(stderr, "tandem: internal error: %s:%d: %s: %s\n", file, line, condition, message);
    fflush(NULL);
    abort();
}
