#include "tandem/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool silent;
static struct text *captured; /* NULL: warnings are printed */

/* One write a line, so that the lines of several processes do not mix. */
static void print_line(const char *prefix, const char *format, va_list arguments)
{
    char message[2048];
    vsnprintf(message, sizeof message, format, arguments);
    fprintf(stderr, "%s%s\n", prefix, message);
}

/* Appends the line unless it is there. */
static void capture(const char *format, va_list arguments)
{
    char message[2048];
    vsnprintf(message, sizeof message, format, arguments);
    size_t length = strlen(message);
    const char *line = text_string(captured);
    while (*line) {
        size_t end = strcspn(line, "\n");
        if (end == length && memcmp(line, message, length) == 0)
            return;
        line += end + (line[end] == '\n');
    }
    text_append(captured, "%s%s", captured->length > 0 ? "\n" : "", message);
}

void log_capture(struct text *warnings)
{
    captured = warnings;
}

void log_warning(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (captured)
        capture(format, arguments);
    else if (!silent)
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
