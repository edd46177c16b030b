#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "internal.h"
#include "tandem/mem.h"

static const unsigned char byte_order_mark[3] = {0xef, 0xbb, 0xbf};

bool lines_open(struct lines *lines, const char *file, struct error *error)
{
    *lines = (struct lines){0};
    errno = 0;
    lines->file = gzopen(file, "rb");
    if (!lines->file)
        return error_set(error, "%s: cannot be opened: %s", file, errno ? strerror(errno) : "out of memory");
    gzbuffer(lines->file, 1 << 16);
    return true;
}

static bool read_failed(const struct lines *lines, const char *file, struct error *error)
{
    int code = Z_OK;
    const char *message = gzerror(lines->file, &code);
    if (code == Z_OK || code == Z_STREAM_END)
        return false;
    error_set(error, "%s:%lld: cannot be read further: %s (a damaged or incomplete file?)", file,
              (long long)lines->number, code == Z_ERRNO ? strerror(errno) : message);
    return true;
}

/* Drops what is no content: a byte order mark before the first line, the \r of CRLF. */
static void strip(struct lines *lines, size_t length)
{
    if (length > 0 && lines->line[length - 1] == '\r')
        lines->line[--length] = '\0';
    if (lines->number == 1 && length >= sizeof byte_order_mark &&
        memcmp(lines->line, byte_order_mark, sizeof byte_order_mark) == 0)
        memmove(lines->line, lines->line + sizeof byte_order_mark, length + 1 - sizeof byte_order_mark);
}

bool lines_next(struct lines *lines, const char *file, bool *more, struct error *error)
{
    size_t length = 0;
    int byte = 0;
    lines->number++;
    while ((byte = gzgetc(lines->file)) != -1 && byte != '\n') {
        if (byte == 0)
            return error_set(error, "%s:%lld: expected text, found a zero byte (not UTF-8 or gzip?)", file,
                             (long long)lines->number);
        if (length + 1 >= lines->capacity)
            lines->line = mem_grow(lines->line, &lines->capacity, length + 2, 1);
        lines->line[length++] = (char)byte;
    }
    if (byte == -1 && read_failed(lines, file, error))
        return false;
    *more = byte == '\n' || length > 0;
    if (!lines->line)
        lines->line = mem_grow(NULL, &lines->capacity, 1, 1);
    lines->line[length] = '\0';
    strip(lines, length);
    return true;
}

void lines_close(struct lines *lines)
{
    if (lines->file)
        gzclose(lines->file);
    mem_free(lines->line);
    *lines = (struct lines){0};
}
