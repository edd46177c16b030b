#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "internal.h"
#include "tandem/check.h"
#include "tandem/hash.h"
#include "tandem/mem.h"

#define BLOCK_BYTES (1 << 16)

static const unsigned char byte_order_mark[3] = {0xef, 0xbb, 0xbf};

bool lines_open(struct lines *lines, const char *file, struct error *error)
{
    *lines = (struct lines){.descriptor = open(file, O_RDONLY)};
    if (lines->descriptor < 0)
        return error_set(error, "%s: cannot be opened: %s", file, strerror(errno));
    lines->file = gzdopen(lines->descriptor, "rb");
    CHECK(lines->file, "out of memory: a reader of %s", file);
    gzbuffer(lines->file, BLOCK_BYTES / 2); /* reads of twice as much go past it into our own */
    lines->buffer = mem_grow(NULL, &lines->capacity, 2 * BLOCK_BYTES, 1); /* a block behind a line's part */
    return true;
}

bool lines_sha256(const struct lines *lines, const char *file, char hex[65], struct error *error)
{
    return hash_sha256_file(lines->descriptor, hex) ||
           error_set(error, "%s: cannot be read: %s", file, strerror(errno));
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

/* Puts more bytes behind those that were not given yet, which move to the front. False where there are none.
 */
static bool read_block(struct lines *lines)
{
    size_t rest = lines->end - lines->at;
    if (lines->at > 0)
        memmove(lines->buffer, lines->buffer + lines->at, rest);
    lines->buffer = mem_grow(lines->buffer, &lines->capacity, rest + BLOCK_BYTES + 1, 1);
    int got = gzread(lines->file, lines->buffer + rest, BLOCK_BYTES);
    lines->at = 0;
    lines->end = rest + (got > 0 ? (size_t)got : 0);
    lines->zero = got > 0 ? memchr(lines->buffer + rest, '\0', (size_t)got) : NULL;
    return got > 0;
}

/* The line [at, at + length), without what is no content: a byte order mark before the first line, the \r of
 * CRLF. */
static void give_line(struct lines *lines, size_t length)
{
    char *line = lines->buffer + lines->at;
    line[length] = '\0';
    if (length > 0 && line[length - 1] == '\r')
        line[length - 1] = '\0';
    bool marked = lines->number == 1 && strncmp(line, (const char *)byte_order_mark, 3) == 0;
    lines->line = marked ? line + sizeof byte_order_mark : line;
}

bool lines_next(struct lines *lines, const char *file, bool *more, struct error *error)
{
    const char *end = NULL;
    size_t length = 0; /* of the line, as far as it was looked at */
    bool ended = false;
    lines->number++;
    while (!ended &&
           !(end = memchr(lines->buffer + lines->at + length, '\n', lines->end - lines->at - length))) {
        length = lines->end - lines->at;
        ended = lines->zero || !read_block(lines);
    }
    if (end)
        length = (size_t)(end - lines->buffer) - lines->at;
    if (lines->zero && lines->zero <= lines->buffer + lines->at + length)
        return error_set(error, "%s:%lld: expected text, found a zero byte (not UTF-8 or gzip?)", file,
                         (long long)lines->number);
    if (ended && read_failed(lines, file, error))
        return false;
    *more = !ended || length > 0;
    give_line(lines, length);
    lines->at += length + !ended;
    return true;
}

void lines_rewind(struct lines *lines, const char *file)
{
    CHECK(gzrewind(lines->file) == 0, "%s cannot be read from its beginning again", file);
    lines->at = lines->end = 0;
    lines->zero = NULL;
    lines->number = 0;
}

void lines_close(struct lines *lines)
{
    if (lines->file)
        gzclose(lines->file);
    mem_free(lines->buffer);
    *lines = (struct lines){0};
}
