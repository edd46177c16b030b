#include "tandem/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "tandem/check.h"

/* In front of each block: its size, and how far before the block the allocation begins. The union keeps what
 * follows aligned for every type. */
union header {
    struct {
        size_t bytes, offset;
    };
    max_align_t alignment;
};

static size_t live_bytes; /* one per process: Tandem has ranks, not threads */

static size_t block_bytes(size_t count, size_t size)
{
    size_t most = SIZE_MAX - 2 * MEM_LINE_BYTES; /* with a header */
    CHECK(size == 0 || count <= most / size, "%zu elements of %zu bytes", count, size);
    return count * size;
}

void *mem_array(size_t count, size_t size)
{
    size_t bytes = block_bytes(count, size);
    if (bytes == 0)
        return NULL;
    union header *header = calloc(1, sizeof *header + bytes);
    CHECK(header, "out of memory: %zu bytes more than the %zu in use", bytes, live_bytes);
    header->bytes = bytes;
    header->offset = sizeof *header;
    live_bytes += bytes;
    return header + 1;
}

void *mem_lines(size_t count, size_t size)
{
    size_t bytes = block_bytes(count, size),
           lines = bytes / MEM_LINE_BYTES + 2; /* the first for the header */
    char *start = aligned_alloc(MEM_LINE_BYTES, lines * MEM_LINE_BYTES);
    CHECK(start, "out of memory: %zu bytes more than the %zu in use", bytes, live_bytes);
    memset(start, 0, lines * MEM_LINE_BYTES);
    union header *header = (union header *)(start + MEM_LINE_BYTES) - 1;
    header->bytes = bytes;
    header->offset = MEM_LINE_BYTES;
    live_bytes += bytes;
    return header + 1;
}

void *mem_grow(void *pointer, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity)
        return pointer;
    size_t count = *capacity < 8 ? 8 : *capacity + *capacity / 2;
    if (count < needed)
        count = needed;
    size_t bytes = block_bytes(count, size);
    size_t old_bytes = *capacity * size;
    union header *header = realloc(pointer ? (union header *)pointer - 1 : NULL, sizeof *header + bytes);
    CHECK(header, "out of memory: %zu bytes more than the %zu in use", bytes - old_bytes, live_bytes);
    header->bytes = bytes;
    header->offset = sizeof *header;
    live_bytes += bytes - old_bytes;
    memset((char *)(header + 1) + old_bytes, 0, bytes - old_bytes);
    *capacity = count;
    return header + 1;
}

char *mem_string(const char *string)
{
    size_t bytes = strlen(string) + 1;
    char *copy = mem_array(bytes, 1);
    memcpy(copy, string, bytes);
    return copy;
}

void mem_free(void *pointer)
{
    if (!pointer)
        return;
    union header *header = (union header *)pointer - 1;
    live_bytes -= header->bytes;
    free((char *)pointer - header->offset);
}

#define KEPT_BYTES   (1 << 30)
#define MAPPED_BYTES (32 << 20) /* larger blocks have pages of their own; the most that glibc takes */

void mem_keep_freed(void)
{
#ifdef __GLIBC__
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
#endif
}

size_t mem_live_bytes(void)
{
    return live_bytes;
}
