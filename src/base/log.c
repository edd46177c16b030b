#include "tandem/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static bool silent;

/* One write a line, so that the lines of several processes do not mix. */
static void print_line(const char *prefix, const char *format, va_list arguments)
{
    char message[2048];
    vsnprintf(message, sizeof message, format, arguments);
    fprintf(stderr, "%s%s\n", prefix, message);
}

void log_warning(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!silent)
        print_line("tandem: warning: ", format, arguments);
    va_end(arguments);
}

void log_info(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!silent)
        print_line("tandem: ", format, arguments);
    va_end(arguments);
}

void log_fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line("tandem: error: ", format, arguments);
    va_end(arguments);
    exit(1);
}

void log_silence(void)
{
    silent = true;
}
