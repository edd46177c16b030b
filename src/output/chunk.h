/* A chunk of /requests in assembly: its columns, filled row by row, and their bytes as they go into the file.
 * All local. */
#ifndef TANDEM_OUTPUT_CHUNK_H
#define TANDEM_OUTPUT_CHUNK_H

#include <stdbool.h>
#include <stdint.h>
#include <zlib.h>

#include "tandem/column.h"
#include "tandem/row.h"

struct chunk {
    uint64_t first_row; /* its first row's number in the file */
    size_t rows;        /* room, those that pad the last chunk included */
    size_t missing;     /* rows that have not come */
    char *values;       /* of one column after the other, zero where no row is; owned */
    bool *present;      /* by place; owned */
};

/* A chunk for that many rows, of which expected will come. The caller owns it: chunk_free. */
struct chunk *chunk_new(uint64_t first_row, size_t rows, size_t expected);
void chunk_free(struct chunk *chunk);

/* Puts a row at its place in the chunk. Aborts when one is there. */
void chunk_put(struct chunk *chunk, size_t place, const struct row *row);

/* Bytes of one row over all columns. */
size_t chunk_row_bytes(void);

/* Does what HDF5's filters shuffle and deflate would do. */
struct packer {
    int compression; /* 0: values stay as they are */
    z_stream stream;
    char *shuffled; /* scratch for a column; owned */
};

void packer_init(struct packer *packer, int compression, size_t rows);
void packer_clear(struct packer *packer);

/* Packs each column of a chunk, one after the other, into bytes (room for chunk_row_bytes() * rows) and says
 * how long each came out; one that is as long as its values was not deflated, since it would not have shrunk.
 */
void packer_pack(struct packer *packer, const struct chunk *chunk, char *bytes, uint32_t *lengths);

#endif
