/* A tournament over numbered players: each has a value, and the least value is known at any time, with the
 * lowest player that has it. A tree of least values, eight children a node, which share a line of the CPU's
 * caches: a change costs a few comparisons a level, without branches that depend on who wins. All local. */
#ifndef TANDEM_TOURNAMENT_H
#define TANDEM_TOURNAMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "tandem/mem.h"

#define TOURNAMENT_CHILDREN 8 /* MEM_LINE_BYTES / sizeof(int64_t) */

/* The leaves, players in order, lie on two levels: the first `deep` on the lower one. */
struct tournament {
    int64_t *values;     /* 0: the least of all; children of i: 8i + 1 .. 8i + 8 */
    uint32_t inner;      /* nodes that have children: the first ones */
    uint32_t deep;       /* leaves of the lower level */
    uint32_t deep_at;    /* where they begin */
    uint32_t shallow_at; /* + player: of the others (modulo 2^32) */
};

/* All players start with INT64_MAX. The caller clears it. */
static inline void tournament_init(struct tournament *tournament, uint32_t players)
{
    const uint32_t children = TOURNAMENT_CHILDREN, more = children - 1;
    uint32_t level = 1, above = 0; /* nodes of the upper level of leaves, and above it */
    while (children * (uint64_t)level <= players) {
        above += level;
        level *= children;
    }
    uint32_t parents = players > level ? (players - level + more - 1) / more : 0; /* of leaves below */
    tournament->inner = above + parents;
    tournament->deep = children * parents;
    tournament->deep_at = above + level;
    tournament->shallow_at = above - more * parents;
    uint32_t count = tournament->deep_at + tournament->deep;
    int64_t *line = mem_lines(count + more, sizeof(int64_t));
    tournament->values = line + more; /* the root alone, then a line for each eight */
    for (uint32_t i = 0; i < count; i++)
        tournament->values[i] = INT64_MAX;
}

static inline void tournament_clear(struct tournament *tournament)
{
    mem_free(tournament->values ? tournament->values - (TOURNAMENT_CHILDREN - 1) : NULL);
    *tournament = (struct tournament){0};
}

static inline uint32_t tournament_leaf(const struct tournament *tournament, uint32_t player)
{
    return player + (player < tournament->deep ? tournament->deep_at : tournament->shallow_at);
}

static inline int64_t tournament_value(const struct tournament *tournament, uint32_t player)
{
    return tournament->values[tournament_leaf(tournament, player)];
}

static inline int64_t tournament_less(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline void tournament_set(struct tournament *tournament, uint32_t player, int64_t value)
{
    int64_t *values = tournament->values;
    uint32_t i = tournament_leaf(tournament, player);
    while (i > 0) {
        uint32_t parent = (i - 1) / TOURNAMENT_CHILDREN;
        const int64_t *child = &values[TOURNAMENT_CHILDREN * parent + 1];
        values[i] = INT64_MAX; /* the siblings first: nothing of it waits for the level below */
        int64_t least = tournament_less(
            tournament_less(tournament_less(child[0], child[1]), tournament_less(child[2], child[3])),
            tournament_less(tournament_less(child[4], child[5]), tournament_less(child[6], child[7])));
        values[i] = value;
        value = tournament_less(value, least);
        i = parent;
    }
    values[0] = value;
}

/* The least value. */
static inline int64_t tournament_least(const struct tournament *tournament)
{
    return tournament->values[0];
}

/* The lowest player at or below a node that has the node's value. */
static inline uint32_t tournament_descend(const struct tournament *tournament, uint32_t node)
{
    const int64_t *values = tournament->values;
    int64_t value = values[node];
    while (node < tournament->inner) {
        node = TOURNAMENT_CHILDREN * node + 1;
        const int64_t *child = &values[node];
        uint32_t upper =
            (child[0] != value) & (child[1] != value) & (child[2] != value) & (child[3] != value);
        child += 4 * upper;
        uint32_t not_first = child[0] != value, not_second = not_first & (child[1] != value);
        node += 4 * upper + not_first + not_second + (not_second & (child[2] != value));
    }
    return node - (node >= tournament->deep_at ? tournament->deep_at : tournament->shallow_at);
}

/* The lowest player that has the least value. */
static inline uint32_t tournament_winner(const struct tournament *tournament)
{
    return tournament_descend(tournament, 0);
}

/* The first player from `from` on, round and round, that has the least value. */
static inline uint32_t tournament_winner_from(const struct tournament *tournament, uint32_t from)
{
    const int64_t *values = tournament->values;
    uint32_t i = tournament_leaf(tournament, from);
    if (values[i] == values[0])
        return from;
    for (; i > 0; i = (i - 1) / TOURNAMENT_CHILDREN)
        while ((i - 1) % TOURNAMENT_CHILDREN < TOURNAMENT_CHILDREN - 1) /* the siblings behind */
            if (values[++i] == values[0])
                return tournament_descend(tournament, i);
    return tournament_winner(tournament);
}

#endif
