/* What ranks tell each other between two windows. Fused: one message to and from every other rank carries the
 * events, the minimum of the sender's next event and of everything that it just sent, so that no reduction is
 * needed. Sparse, for many ranks: a reduction, and messages only where there are events. Both give the same
 * windows. */
#include "internal.h"

#include <string.h>

#include "tandem/check.h"
#include "tandem/simtime.h"

enum { TAG_EAGER = 1, TAG_REST = 2, TAG_SPARSE = 3 };

static void mpi_check(int code)
{
    CHECK(code == MPI_SUCCESS, "MPI call failed with code %d", code);
}

static void *buffer_extend(struct buffer *buffer, size_t count)
{
    if (buffer->count + count > buffer->capacity)
        buffer->bytes = mem_grow(buffer->bytes, &buffer->capacity, buffer->count + count, 1);
    void *place = buffer->bytes + buffer->count;
    buffer->count += count;
    return place;
}

/* Empties a buffer but for the place of its header. */
static void exchange_restart(struct buffer *buffer)
{
    buffer->count = 0;
    buffer_extend(buffer, sizeof(struct exchange_header));
}

void exchange_init(struct engine *engine)
{
    struct exchange *exchange = &engine->exchange;
    size_t ranks = (size_t)engine->ranks;
    exchange->fused = engine->config.exchange == ENGINE_EXCHANGE_FUSED ||
                      (engine->config.exchange == ENGINE_EXCHANGE_AUTO && engine->ranks <= 8);
    exchange->out = mem_array(ranks, sizeof(struct buffer));
    exchange->requests = mem_array(2 * ranks, sizeof(MPI_Request));
    exchange->min_sent_ns = SIMTIME_NEVER;
    for (size_t rank = 0; rank < ranks; rank++)
        exchange_restart(&exchange->out[rank]);
    if (exchange->fused) {
        exchange->eager_in = mem_array(ranks, EXCHANGE_EAGER_BYTES);
    } else {
        exchange->counts = mem_array(ranks, sizeof(int));
    }
}

void exchange_clear(struct engine *engine)
{
    struct exchange *exchange = &engine->exchange;
    for (int rank = 0; rank < engine->ranks; rank++)
        mem_free(exchange->out[rank].bytes);
    mem_free(exchange->out);
    mem_free(exchange->in.bytes);
    mem_free(exchange->eager_in);
    mem_free(exchange->requests);
    mem_free(exchange->counts);
}

void exchange_add(struct engine *engine, int rank, const struct queue_item *item)
{
    struct buffer *buffer = &engine->exchange.out[rank];
    const struct event *event = &item->event;
    memcpy(buffer_extend(buffer, sizeof *item), item, sizeof *item);
    if (event->body) {
        memcpy(buffer_extend(buffer, engine->config.body_bytes), event->body, engine->config.body_bytes);
        const struct engine_tail *tail = body_tail(engine, event->body);
        if (tail && tail->count > 0)
            memcpy(buffer_extend(buffer, tail->count), tail->bytes, tail->count);
        engine_body_free(engine, event->body);
    }
    if (event->time_ns < engine->exchange.min_sent_ns)
        engine->exchange.min_sent_ns = event->time_ns;
    engine->stats.remote_messages++;
}

/* A body that has come gets its tail, which the bytes begin with. Returns its size. */
static size_t take_tail(struct engine *engine, void *body, const char *bytes, size_t left)
{
    struct engine_tail *tail = body_tail(engine, body);
    if (!tail || tail->count == 0)
        return 0;
    size_t count = tail->count;
    CHECK(count <= left, "cut tail of a body");
    *tail = (struct engine_tail){0};
    memcpy(engine_body_extend(engine, body, count), bytes, count);
    return count;
}

/* On the wire an event is a queue_item; where it has a body (whose address means nothing here), body_bytes of
 * it follow, and then its tail. */
static void take_events(struct engine *engine, int rank, const char *bytes, size_t count)
{
    const char *end = bytes + count;
    while (bytes < end) {
        struct queue_item item;
        CHECK((size_t)(end - bytes) >= sizeof item, "cut message");
        memcpy(&item, bytes, sizeof item);
        bytes += sizeof item;
        if (item.event.body) {
            CHECK((size_t)(end - bytes) >= engine->config.body_bytes, "cut body");
            item.event.body = body_take(engine);
            memcpy(item.event.body, bytes, engine->config.body_bytes);
            bytes += engine->config.body_bytes;
            bytes += take_tail(engine, item.event.body, bytes, (size_t)(end - bytes));
        }
        queue_push(&engine->queue, rank, &item);
    }
}

static int64_t own_minimum(struct engine *engine)
{
    int64_t next_ns = engine_next_ns(engine);
    return next_ns < engine->exchange.min_sent_ns ? next_ns : engine->exchange.min_sent_ns;
}

/* Posts the first part of each message and, where it does not fit, the rest. Returns the number of requests.
 */
static int fused_send(struct engine *engine, int64_t min_ns, uint64_t held, MPI_Request *requests)
{
    struct exchange *exchange = &engine->exchange;
    int posted = 0;
    for (int rank = 0; rank < engine->ranks; rank++) {
        if (rank == engine->rank)
            continue;
        struct buffer *out = &exchange->out[rank];
        struct exchange_header header = {min_ns, engine->counted, held, out->count};
        memcpy(out->bytes, &header, sizeof header);
        size_t first = out->count < EXCHANGE_EAGER_BYTES ? out->count : EXCHANGE_EAGER_BYTES;
        size_t rest = out->count - first;
        CHECK(rest <= INT32_MAX, "a window's messages exceed 2 GiB");
        mpi_check(
            MPI_Isend(out->bytes, (int)first, MPI_BYTE, rank, TAG_EAGER, engine->comm, &requests[posted++]));
        if (rest > 0)
            mpi_check(MPI_Isend(out->bytes + first, (int)rest, MPI_BYTE, rank, TAG_REST, engine->comm,
                                &requests[posted++]));
    }
    return posted;
}

/* Takes the events of one peer, whose first part has come. */
static void fused_take(struct engine *engine, int rank, const struct exchange_header *header)
{
    struct exchange *exchange = &engine->exchange;
    const char *all = exchange->eager_in + (size_t)rank * EXCHANGE_EAGER_BYTES;
    if (header->bytes > EXCHANGE_EAGER_BYTES) {
        size_t rest = header->bytes - EXCHANGE_EAGER_BYTES;
        exchange->in.count = 0;
        char *in = buffer_extend(&exchange->in, header->bytes);
        memcpy(in, all, EXCHANGE_EAGER_BYTES);
        mpi_check(MPI_Recv(in + EXCHANGE_EAGER_BYTES, (int)rest, MPI_BYTE, rank, TAG_REST, engine->comm,
                           MPI_STATUS_IGNORE));
        all = in;
    }
    take_events(engine, rank, all + sizeof *header, header->bytes - sizeof *header);
}

static int64_t fused_round(struct engine *engine, uint64_t *held)
{
    struct exchange *exchange = &engine->exchange;
    MPI_Request receives[ENGINE_FUSED_RANKS];
    CHECK(engine->ranks <= ENGINE_FUSED_RANKS, "fused exchange is for few ranks");
    int64_t min_ns = own_minimum(engine);
    for (int rank = 0; rank < engine->ranks; rank++) {
        receives[rank] = MPI_REQUEST_NULL;
        if (rank != engine->rank)
            mpi_check(MPI_Irecv(exchange->eager_in + (size_t)rank * EXCHANGE_EAGER_BYTES,
                                EXCHANGE_EAGER_BYTES, MPI_BYTE, rank, TAG_EAGER, engine->comm,
                                &receives[rank]));
    }
    int posted = fused_send(engine, min_ns, *held, exchange->requests);
    uint64_t total = engine->counted;
    for (int rank = 0; rank < engine->ranks; rank++) {
        if (rank == engine->rank)
            continue;
        mpi_check(MPI_Wait(&receives[rank], MPI_STATUS_IGNORE));
        struct exchange_header header;
        memcpy(&header, exchange->eager_in + (size_t)rank * EXCHANGE_EAGER_BYTES, sizeof header);
        if (header.min_ns < min_ns)
            min_ns = header.min_ns;
        if (header.held > *held)
            *held = header.held;
        total += header.counted;
        fused_take(engine, rank, &header);
    }
    mpi_check(MPI_Waitall(posted, exchange->requests, MPI_STATUSES_IGNORE));
    engine->total_counted = total;
    return min_ns;
}

static int64_t sparse_round(struct engine *engine, uint64_t *held)
{
    struct exchange *exchange = &engine->exchange;
    int posted = 0, incoming = 0;
    for (int rank = 0; rank < engine->ranks; rank++)
        exchange->counts[rank] = exchange->out[rank].count > sizeof(struct exchange_header);
    mpi_check(MPI_Reduce_scatter_block(exchange->counts, &incoming, 1, MPI_INT, MPI_SUM, engine->comm));
    for (int rank = 0; rank < engine->ranks; rank++) {
        struct buffer *out = &exchange->out[rank];
        CHECK(out->count <= INT32_MAX, "a window's messages exceed 2 GiB");
        if (exchange->counts[rank] > 0)
            mpi_check(MPI_Isend(out->bytes, (int)out->count, MPI_BYTE, rank, TAG_SPARSE, engine->comm,
                                &exchange->requests[posted++]));
    }
    int64_t sent_ns = exchange->min_sent_ns;
    for (; incoming > 0; incoming--) {
        MPI_Status status;
        MPI_Message message;
        int bytes;
        mpi_check(MPI_Mprobe(MPI_ANY_SOURCE, TAG_SPARSE, engine->comm, &message, &status));
        mpi_check(MPI_Get_count(&status, MPI_BYTE, &bytes));
        exchange->in.count = 0;
        char *all = buffer_extend(&exchange->in, (size_t)bytes);
        mpi_check(MPI_Mrecv(all, bytes, MPI_BYTE, &message, MPI_STATUS_IGNORE));
        take_events(engine, status.MPI_SOURCE, all + sizeof(struct exchange_header),
                    (size_t)bytes - sizeof(struct exchange_header));
    }
    mpi_check(MPI_Waitall(posted, exchange->requests, MPI_STATUSES_IGNORE));
    int64_t next_ns = engine_next_ns(engine);
    int64_t mine[2] = {next_ns < sent_ns ? next_ns : sent_ns, -(int64_t)*held}, least[2];
    mpi_check(MPI_Allreduce(mine, least, 2, MPI_INT64_T, MPI_MIN, engine->comm));
    *held = (uint64_t)-least[1];
    if (engine->stats.windows % 1024 == 0)
        mpi_check(
            MPI_Allreduce(&engine->counted, &engine->total_counted, 1, MPI_UINT64_T, MPI_SUM, engine->comm));
    return least[0];
}

int64_t exchange_round(struct engine *engine, uint64_t *held)
{
    struct exchange *exchange = &engine->exchange;
    int64_t min_ns = exchange->fused ? fused_round(engine, held) : sparse_round(engine, held);
    for (int rank = 0; rank < engine->ranks; rank++)
        exchange_restart(&exchange->out[rank]);
    exchange->min_sent_ns = SIMTIME_NEVER;
    return min_ns;
}
