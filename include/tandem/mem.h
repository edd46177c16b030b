/* Memory that counts its live bytes, so that a leak is seen at exit. Out of memory aborts. All local. */
#ifndef TANDEM_MEM_H
#define TANDEM_MEM_H

#include <stddef.h>

/* Zeroed array of count elements of size bytes (both may be 0: NULL). The caller owns it: mem_free. */
void *mem_array(size_t count, size_t size);

/* The same, at the begin of a line of the CPU's caches; never NULL, and not for mem_grow. */
#define MEM_LINE_BYTES 64
void *mem_lines(size_t count, size_t size);

/* Array grown (geometrically) to hold at least needed elements of size bytes; new elements are zeroed and
 * *capacity is updated. pointer may be NULL with *capacity 0. Returns the new pointer. */
void *mem_grow(void *pointer, size_t *capacity, size_t needed, size_t size);

/* Copy of a string; the caller owns it: mem_free. */
char *mem_string(const char *string);

/* Gives back what the functions above returned; NULL is allowed. */
void mem_free(void *pointer);

/* Asks for memory that is needed soon, so that it comes while other work is done. A hint: any address will
 * do.
 */
static inline void mem_fetch(const void *pointer, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += MEM_LINE_BYTES)
        __builtin_prefetch((const char *)pointer + i);
}

/* From now on the process keeps what is freed for what it allocates next, where the C library can be told to:
 * for many runs in turn, each of which needs the same again. A hint. */
void mem_keep_freed(void);

/* Bytes that are allocated now. */
size_t mem_live_bytes(void);

#endif
