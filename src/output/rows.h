/* Rows of requests on their way into /requests. A chunk is assembled by its owner (chunk c by rank c mod
 * ranks), wherever its rows come from, and packed there; rank 0 gets the packed chunks in order. So each rank
 * holds the chunks from that of the oldest row that has not come to that of the newest, and the file does not
 * depend on the number of ranks. */
#ifndef TANDEM_OUTPUT_ROWS_H
#define TANDEM_OUTPUT_ROWS_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem/output.h"

struct rows;

/* A packed chunk: what packer_pack made of each column. */
struct packed_chunk {
    uint64_t first_row;
    size_t rows;       /* those that pad the last chunk included */
    char *bytes;       /* of the columns, one after the other */
    uint32_t *lengths; /* one a column */
};

/* Collective; the caller owns it: rows_free. config: chunk_rows > 0, one_in > 0. */
struct rows *rows_new(MPI_Comm comm, const struct output_config *config);
void rows_free(struct rows *rows);

/* How many there will be: a multiple of one_in each. Local. */
uint64_t rows_expected(const struct output_config *config);

/* Takes rows of this rank and calls write, on rank 0, for each chunk whose turn it is. Collective. */
void rows_take(struct rows *rows, const struct row *from, size_t count,
               void (*write)(void *context, const struct packed_chunk *chunk), void *context);

/* Aborts unless all rows came and were written. Local; the same on all ranks. */
void rows_check_all(const struct rows *rows);

#endif
