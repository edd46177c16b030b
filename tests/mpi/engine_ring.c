/* The engine over ranks: entities pass tokens on, wake themselves, and now and then send bursts that no eager
 * buffer holds. Every entity hashes what it handled, in order; the hashes of a run over all ranks, with
 * either exchange and with any owners, must be those of the same run on one rank. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tandem/engine.h"
#include "tandem/hash.h"
#include "tandem/rng.h"
#include "tandem/simtime.h"

#define ENTITIES   23
#define LOOKAHEAD  1000
#define BODY_BYTES 520 /* with a tail of up to 512 bytes */
#define TAIL_AT    504
#define HOPS       40
#define BURST      200 /* messages: 200 x 520 bytes and more, against an eager buffer of 8 KiB */

#define COLLECT_AT 100 /* messages that a rank holds before all bring them together */

struct node {
    uint32_t entity;
    uint64_t hash, handled, draws;
};

/* Messages that this rank handled and did not bring yet; what all brought. */
struct collection {
    MPI_Comm comm;
    uint64_t held, brought, rounds;
};

static struct collection collection;

static uint64_t held(void *context)
{
    return ((const struct collection *)context)->held;
}

/* Collective: hangs, and is ended by the test's timeout, where a rank is not called. */
static bool collect(void *context)
{
    struct collection *all = context;
    uint64_t sum;
    MPI_Allreduce(&all->held, &sum, 1, MPI_UINT64_T, MPI_SUM, all->comm);
    all->brought += sum;
    all->held = 0;
    all->rounds++;
    return true;
}

static uint64_t draw(struct node *node)
{
    return rng_bits(7, node->entity, RNG_ROUTER, node->draws++);
}

static void mix(struct node *node, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, (const char *)bytes + i, count - i < sizeof word ? count - i : sizeof word);
        node->hash = hash_combine(node->hash, word);
    }
}

static void send(struct engine *engine, struct node *node, uint32_t destination, int64_t now_ns, int64_t hops)
{
    uint64_t bits = draw(node);
    int64_t words[ENGINE_WORDS] = {hops, (int64_t)(bits & 0xffff), -1, INT64_MAX};
    unsigned char *body = NULL;
    if (bits >> 16 & 3) {
        body = engine_body_new(engine);
        memset(body, (int)(bits >> 24 & 0xff), TAIL_AT);
        size_t tail = bits >> 43 & 0x3ff; /* half of them have none */
        if (tail >= 0x200)
            memset(engine_body_extend(engine, body, tail - 0x1ff), (int)(bits >> 24 & 0xff), tail - 0x1ff);
    }
    /* Few distinct times: many events at the same time, at the same entity. */
    engine_send(engine, node->entity, destination, now_ns + LOOKAHEAD + (int64_t)(bits >> 32) % 3 * 500,
                (uint32_t)(bits >> 40 & 7), words, body);
}

static uint32_t other(struct node *node)
{
    return (node->entity + 1 + (uint32_t)(draw(node) % (ENTITIES - 1))) % ENTITIES;
}

static void on_message(void *state, struct engine *engine, const struct event *event)
{
    struct node *node = state;
    node->handled++;
    collection.held++;
    mix(node, &event->time_ns, sizeof event->time_ns);
    mix(node, &event->source, sizeof event->source);
    mix(node, &event->type, sizeof event->type);
    mix(node, event->words, sizeof event->words);
    if (event->body) {
        const struct engine_tail *tail = (const void *)((const char *)event->body + TAIL_AT);
        mix(node, event->body, TAIL_AT);
        mix(node, &tail->count, sizeof tail->count);
        mix(node, tail->bytes, tail->count);
        engine_body_free(engine, event->body);
    }
    engine_count(engine, 1);
    if (event->words[0] == 0)
        return; /* the end of a token, or part of a burst */
    send(engine, node, other(node), event->time_ns, event->words[0] - 1);
    if (draw(node) % 4 == 0)
        engine_wake(engine, node->entity, event->time_ns + (int64_t)(draw(node) % 3) * 500);
}

static void on_wake(void *state, struct engine *engine, uint32_t entity, int64_t now_ns)
{
    struct node *node = state;
    node->handled++;
    mix(node, &now_ns, sizeof now_ns);
    if (draw(node) % 16 != 0)
        return;
    uint32_t destination = other(node);
    for (int i = 0; i < BURST; i++)
        send(engine, node, destination, now_ns, 0);
    (void)entity;
}

/* Sums over ranks; hash differs whenever any entity saw anything else, or in another order. */
struct outcome {
    uint64_t hash, handled, events, remote, windows, windows_most;
    uint64_t messages, brought, collections;
};

static struct outcome simulate(MPI_Comm comm, int exchange, const uint32_t *owners)
{
    struct node nodes[ENTITIES];
    struct engine_config config = {.entities = ENTITIES,
                                   .owners = owners,
                                   .lookahead_ns = LOOKAHEAD,
                                   .body_bytes = BODY_BYTES,
                                   .tail_at = TAIL_AT,
                                   .exchange = exchange};
    struct engine *engine = engine_create(comm, &config);
    for (uint32_t i = 0; i < ENTITIES; i++) {
        nodes[i] = (struct node){.entity = i};
        if (!engine_is_local(engine, i))
            continue;
        engine_attach(engine, i, &(struct engine_handler){on_message, on_wake}, &nodes[i]);
        for (int token = 0; token < 3; token++)
            send(engine, &nodes[i], (i + 1) % ENTITIES, 0, HOPS);
    }
    collection = (struct collection){.comm = comm};
    engine_run(engine,
               &(struct engine_hooks){
                   .context = &collection, .held = held, .collect = collect, .collect_at = COLLECT_AT});
    struct outcome outcome = {.collections = collection.rounds};
    collect(&collection);
    struct engine_stats stats = engine_stats(engine);
    uint64_t mine[5] = {0, 0, stats.messages + stats.wakes, stats.remote_messages, stats.messages}, sums[5];
    for (uint32_t i = 0; i < ENTITIES; i++) {
        if (engine_is_local(engine, i))
            mine[0] += hash_combine(nodes[i].hash, i);
        mine[1] += nodes[i].handled;
    }
    outcome.windows = stats.windows;
    outcome.brought = collection.brought;
    MPI_Allreduce(mine, sums, 5, MPI_UINT64_T, MPI_SUM, comm);
    MPI_Allreduce(&stats.windows, &outcome.windows_most, 1, MPI_UINT64_T, MPI_MAX, comm);
    outcome.hash = sums[0];
    outcome.handled = sums[1];
    outcome.events = sums[2];
    outcome.remote = sums[3];
    outcome.messages = sums[4];
    engine_free(engine);
    return outcome;
}

static int compare(const char *name, const struct outcome *got, const struct outcome *expected, int ranks)
{
    int rank;
    bool good = got->hash == expected->hash && got->handled == expected->handled &&
                got->events == expected->events && got->windows == got->windows_most &&
                (got->remote > 0) == (ranks > 1) && got->brought == got->messages &&
                (ranks == 1 || got->collections > 10);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0)
        printf("%-28s %d ranks: hash %016llx, %llu events, %llu remote, %llu windows: %s\n", name, ranks,
               (unsigned long long)got->hash, (unsigned long long)got->events,
               (unsigned long long)got->remote, (unsigned long long)got->windows,
               good ? "same" : "DIFFERENT");
    return !good;
}

int main(int argc, char **argv)
{
    static const int exchanges[] = {ENGINE_EXCHANGE_AUTO, ENGINE_EXCHANGE_FUSED, ENGINE_EXCHANGE_SPARSE};
    static const char *const names[] = {"auto", "fused", "sparse"};
    int ranks, failures = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    uint32_t owners[ENTITIES] = {0}, scattered[ENTITIES], last_only[ENTITIES];
    double weights[ENTITIES];
    struct outcome expected = simulate(MPI_COMM_SELF, ENGINE_EXCHANGE_AUTO, owners);
    for (uint32_t i = 0; i < ENTITIES; i++) {
        weights[i] = 1 + i % 5;
        scattered[i] = i * 7 % (uint32_t)ranks;
        last_only[i] = i < 12 ? 0 : (uint32_t)ranks - 1; /* ranks between have nothing */
    }
    engine_partition(weights, ENTITIES, ranks, owners);
    for (int i = 0; i < 3; i++) {
        struct outcome got = simulate(MPI_COMM_WORLD, exchanges[i], owners);
        failures += compare(names[i], &got, &expected, ranks);
        got = simulate(MPI_COMM_WORLD, exchanges[i], scattered);
        failures += compare("  scattered owners", &got, &expected, ranks);
        got = simulate(MPI_COMM_WORLD, exchanges[i], last_only);
        failures += compare("  first and last rank only", &got, &expected, ranks);
    }
    if (expected.events < 3 * ENTITIES * HOPS) {
        printf("only %llu events: nothing was tested\n", (unsigned long long)expected.events);
        failures++;
    }
    MPI_Allreduce(MPI_IN_PLACE, &failures, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    MPI_Finalize();
    return failures > 0;
}
