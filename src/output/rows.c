#include "rows.h"

#include <string.h>

#include "tandem/check.h"
#include "tandem/mem.h"

#include "chunk.h"

#define ROUND_ROWS (1 << 18) /* that a rank sends at once: bounds buffers, and MPI counts in int */

enum { TAG_LENGTHS = 1, TAG_BYTES = 2 };

struct rows {
    MPI_Comm comm;
    int rank, ranks;
    MPI_Datatype row_type;
    uint64_t count, one_in;
    size_t chunk_rows;
    uint64_t chunk_count;
    uint64_t next;         /* chunks before it are written */
    uint64_t whole;        /* this rank's first chunk at or after next that lacks rows */
    struct chunk **chunks; /* this rank's: c at c / ranks; NULL: nothing of it has come, or it is written */
    struct packer packer;
    struct packed_chunk packed;
    struct row *out, *in; /* rows to and from other ranks */
    size_t out_capacity, in_capacity;
    int *counts; /* by rank: rows to it, their first; rows from it, their first */
};

uint64_t rows_expected(const struct output_config *config)
{
    return config->one_in == 0 ? 0
                               : config->requests / config->one_in + (config->requests % config->one_in > 0);
}

struct rows *rows_new(MPI_Comm comm, const struct output_config *config)
{
    struct rows *rows = mem_array(1, sizeof *rows);
    uint64_t count = rows_expected(config);
    size_t chunk_rows = count == 0 ? 1 : count < config->chunk_rows ? (size_t)count : config->chunk_rows;
    *rows = (struct rows){.comm = comm, .count = count, .one_in = config->one_in, .chunk_rows = chunk_rows};
    CHECK(chunk_rows <= INT32_MAX / chunk_row_bytes(), "chunks of %zu rows", chunk_rows);
    MPI_Comm_rank(comm, &rows->rank);
    MPI_Comm_size(comm, &rows->ranks);
    MPI_Type_contiguous((int)sizeof(struct row), MPI_BYTE, &rows->row_type);
    MPI_Type_commit(&rows->row_type);
    rows->chunk_count = count > 0 ? (count - 1) / chunk_rows + 1 : 0;
    rows->whole = (uint64_t)rows->rank;
    rows->chunks = mem_array(rows->chunk_count / (uint64_t)rows->ranks + 1, sizeof(struct chunk *));
    packer_init(&rows->packer, config->compression, chunk_rows);
    rows->packed.bytes = mem_array(chunk_rows, chunk_row_bytes());
    rows->packed.lengths = mem_array(column_requests.count, sizeof(uint32_t));
    rows->counts = mem_array(4 * (size_t)rows->ranks, sizeof(int));
    return rows;
}

void rows_free(struct rows *rows)
{
    for (uint64_t i = 0; i <= rows->chunk_count / (uint64_t)rows->ranks; i++)
        chunk_free(rows->chunks[i]);
    MPI_Type_free(&rows->row_type);
    packer_clear(&rows->packer);
    mem_free(rows->chunks);
    mem_free(rows->packed.bytes);
    mem_free(rows->packed.lengths);
    mem_free(rows->out);
    mem_free(rows->in);
    mem_free(rows->counts);
    mem_free(rows);
}

static int owner_of(const struct rows *rows, const struct row *row)
{
    return (int)(row->id / rows->one_in / rows->chunk_rows % (uint64_t)rows->ranks);
}

/* Puts a row into its chunk, which is this rank's. */
static void keep(struct rows *rows, const struct row *row)
{
    uint64_t number = row->id / rows->one_in, index = number / rows->chunk_rows;
    CHECK(number < rows->count && row->id % rows->one_in == 0, "request %llu has a row that is not expected",
          (unsigned long long)row->id);
    CHECK(index >= rows->next, "request %llu has two rows", (unsigned long long)row->id);
    struct chunk **chunk = &rows->chunks[index / (uint64_t)rows->ranks];
    uint64_t first = index * rows->chunk_rows;
    if (!*chunk) {
        uint64_t left = rows->count - first;
        *chunk =
            chunk_new(first, rows->chunk_rows, left < rows->chunk_rows ? (size_t)left : rows->chunk_rows);
    }
    chunk_put(*chunk, (size_t)(number - first), row);
}

/* Positions from counts, one after the other; returns the sum. */
static size_t positions(const int *counts, int *firsts, int ranks)
{
    size_t sum = 0;
    for (int i = 0; i < ranks; i++) {
        firsts[i] = (int)sum;
        sum += (size_t)counts[i];
    }
    CHECK(sum <= INT32_MAX, "%zu rows for one rank at once", sum);
    return sum;
}

static void grow(struct row **rows, size_t *capacity, size_t count)
{
    if (count > *capacity)
        *rows = mem_grow(*rows, capacity, count, sizeof **rows);
}

/* Each row to the owner of its chunk. Collective. */
static void exchange(struct rows *rows, const struct row *from, size_t count)
{
    int ranks = rows->ranks;
    int *out_counts = rows->counts, *out_firsts = out_counts + ranks, *in_counts = out_firsts + ranks,
        *in_firsts = in_counts + ranks;
    memset(out_counts, 0, (size_t)ranks * sizeof *out_counts);
    for (size_t i = 0; i < count; i++) {
        int owner = owner_of(rows, &from[i]);
        if (owner == rows->rank)
            keep(rows, &from[i]);
        else
            out_counts[owner]++;
    }
    if (ranks == 1)
        return;
    grow(&rows->out, &rows->out_capacity, positions(out_counts, out_firsts, ranks));
    for (size_t i = 0; i < count; i++) {
        int owner = owner_of(rows, &from[i]);
        if (owner != rows->rank)
            rows->out[out_firsts[owner]++] = from[i];
    }
    positions(out_counts, out_firsts, ranks); /* they were moved on */
    MPI_Alltoall(out_counts, 1, MPI_INT, in_counts, 1, MPI_INT, rows->comm);
    size_t came = positions(in_counts, in_firsts, ranks);
    grow(&rows->in, &rows->in_capacity, came);
    MPI_Alltoallv(rows->out, out_counts, out_firsts, rows->row_type, rows->in, in_counts, in_firsts,
                  rows->row_type, rows->comm);
    for (size_t i = 0; i < came; i++)
        keep(rows, &rows->in[i]);
}

/* Chunks before this one have all their rows. Collective. */
static uint64_t first_unfinished(struct rows *rows)
{
    uint64_t ranks = (uint64_t)rows->ranks;
    while (rows->whole < rows->chunk_count && rows->chunks[rows->whole / ranks] &&
           rows->chunks[rows->whole / ranks]->missing == 0)
        rows->whole += ranks;
    uint64_t mine = rows->whole < rows->chunk_count ? rows->whole : rows->chunk_count, first;
    MPI_Allreduce(&mine, &first, 1, MPI_UINT64_T, MPI_MIN, rows->comm);
    return first;
}

/* Packs a chunk of this rank and lets it go. */
static void pack(struct rows *rows, struct chunk **chunk)
{
    packer_pack(&rows->packer, *chunk, rows->packed.bytes, rows->packed.lengths);
    chunk_free(*chunk);
    *chunk = NULL;
}

static int packed_bytes(const struct packed_chunk *packed)
{
    size_t bytes = 0;
    for (size_t i = 0; i < column_requests.count; i++)
        bytes += packed->lengths[i];
    return (int)bytes;
}

/* The next chunk, packed, from its owner to rank 0. */
static void bring(struct rows *rows)
{
    struct packed_chunk *packed = &rows->packed;
    int owner = (int)(rows->next % (uint64_t)rows->ranks), columns = (int)column_requests.count;
    if (rows->rank == owner)
        pack(rows, &rows->chunks[rows->next / (uint64_t)rows->ranks]);
    if (rows->rank == owner && owner != 0) {
        MPI_Send(packed->lengths, columns, MPI_UINT32_T, 0, TAG_LENGTHS, rows->comm);
        MPI_Send(packed->bytes, packed_bytes(packed), MPI_BYTE, 0, TAG_BYTES, rows->comm);
    } else if (rows->rank == 0 && owner != 0) {
        MPI_Recv(packed->lengths, columns, MPI_UINT32_T, owner, TAG_LENGTHS, rows->comm, MPI_STATUS_IGNORE);
        MPI_Recv(packed->bytes, packed_bytes(packed), MPI_BYTE, owner, TAG_BYTES, rows->comm,
                 MPI_STATUS_IGNORE);
    }
    packed->first_row = rows->next * rows->chunk_rows;
    packed->rows = rows->chunk_rows;
}

void rows_take(struct rows *rows, const struct row *from, size_t count,
               void (*write)(void *context, const struct packed_chunk *chunk), void *context)
{
    uint64_t mine = count, most;
    MPI_Allreduce(&mine, &most, 1, MPI_UINT64_T, MPI_MAX, rows->comm);
    for (uint64_t done = 0; done < most; done += ROUND_ROWS) {
        size_t left = done < count ? count - (size_t)done : 0;
        exchange(rows, left > 0 ? from + done : NULL, left < ROUND_ROWS ? left : ROUND_ROWS);
        uint64_t end = first_unfinished(rows);
        for (; rows->next < end; rows->next++) {
            bring(rows);
            if (rows->rank == 0)
                write(context, &rows->packed);
        }
    }
}

void rows_check_all(const struct rows *rows)
{
    CHECK(rows->next == rows->chunk_count, "requests from %llu on have no rows",
          (unsigned long long)(rows->next * rows->chunk_rows * rows->one_in));
}
