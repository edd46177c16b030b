/* Rows of several ranks, in random order and in batches of any size, give the same results.h5 as one rank
 * gives that has them all in order: over more chunks than ranks, the last one in part, of all requests and of
 * a sample, packed in every way. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tandem/mem.h"
#include "tandem/output.h"
#include "tandem/rng.h"

#define REQUESTS   4321
#define CHUNK_ROWS 300
#define LATE       17 /* this request's row comes last: whatever follows has to wait for it */

static char folder[256];
static int rank, ranks;

static uint64_t draw(uint64_t purpose, uint64_t count)
{
    return rng_bits(11, (uint32_t)purpose, RNG_ROUTER, count);
}

/* Columns that are constant, small, and noise that does not compress. */
static struct row row_of(uint64_t id)
{
    struct row row;
    memset(&row, 0, sizeof row);
    row.id = id;
    row.arrival_ns = (int64_t)(id * 1000003);
    row.prompt_tokens = (uint32_t)(draw(1, id) % 5000);
    row.e2e_ns = (int64_t)draw(2, id);
    row.decode_instance = -1;
    row.status = id % 50 == 0;
    return row;
}

/* The rows that this rank has, shuffled; all of them in order where order is set. */
static size_t make_rows(struct row *rows, uint64_t one_in, bool order)
{
    size_t count = 0;
    for (uint64_t id = 0; id < REQUESTS; id++)
        if (id % one_in == 0 && (order || (int)(draw(3, id) % (uint64_t)ranks) == rank))
            rows[count++] = row_of(id);
    for (size_t i = count; !order && i > 1; i--) {
        size_t other = draw(4 + (uint64_t)rank, i) % i;
        struct row row = rows[i - 1];
        rows[i - 1] = rows[other];
        rows[other] = row;
    }
    for (size_t i = 0; !order && i + 1 < count; i++)
        if (rows[i].id / one_in == LATE) {
            struct row row = rows[i];
            rows[i] = rows[count - 1];
            rows[count - 1] = row;
        }
    return count;
}

/* Writes results.h5 and returns its bytes, on rank 0 of the communicator. */
static char *write_file(MPI_Comm comm, uint64_t one_in, int compression, bool order, size_t *bytes)
{
    static struct row rows[REQUESTS];
    struct results results = {0};
    struct error error = {0};
    struct output_config config = {folder, REQUESTS, one_in, compression, CHUNK_ROWS};
    struct output *output = output_open(comm, &config);
    size_t count = make_rows(rows, one_in, order), rounds = order ? 1 : 20, done = 0;
    for (size_t i = 0; i < rounds; i++) {
        size_t left = count - done;
        size_t part = i + 1 == rounds ? left : draw(100 + (uint64_t)rank, i) % (left / 4 + 1);
        if (!output_rows(output, rows + done, part))
            exit(1);
        done += part;
    }
    if (!output_close(output, &results, "{}", &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    if (rank != 0)
        return NULL;
    char path[300];
    snprintf(path, sizeof path, "%s/results.h5", folder);
    FILE *file = fopen(path, "rb");
    char *content = malloc(1 << 22);
    *bytes = file && content ? fread(content, 1, 1 << 22, file) : 0;
    if (file)
        fclose(file);
    unlink(path);
    return content;
}

static int check(uint64_t one_in, int compression)
{
    size_t bytes = 0, reference_bytes = 0;
    char *content = write_file(MPI_COMM_WORLD, one_in, compression, false, &bytes);
    if (rank != 0)
        return 0;
    char *reference = write_file(MPI_COMM_SELF, one_in, compression, true, &reference_bytes);
    bool same = bytes == reference_bytes && bytes > 20000 && memcmp(content, reference, bytes) == 0;
    printf("%d ranks, one in %d, compression %d: %zu bytes, %s\n", ranks, (int)one_in, compression, bytes,
           same ? "the same" : "NOT as on one rank");
    free(content);
    free(reference);
    return !same;
}

int main(void)
{
    MPI_Init(NULL, NULL);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/tandem-test-XXXXXX", parent ? parent : "/tmp");
    if (rank == 0 && !mkdtemp(folder))
        return 1;
    int bad = check(1, 1) + check(1, 0) + check(1, 6) + check(7, 1) + check(REQUESTS + 1, 1);
    if (rank == 0 && rmdir(folder) != 0)
        bad++;
    if (mem_live_bytes() > 0) {
        printf("%zu bytes are left on rank %d\n", mem_live_bytes(), rank);
        bad++;
    }
    MPI_Finalize();
    return bad > 0;
}
