/* A tournament over numbered players: each has a value, and the least value is known at any time, with the
 * lowest player that has it. A 4-ary tree of least values: a change costs three comparisons a level, without
 * branches that depend on who wins. All local. */
#ifndef TANDEM_TOURNAMENT_H
#define TANDEM_TOURNAMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "tandem/mem.h"

struct tournament {
    int64_t *values; /* 0: the least of all; children of i: 4i + 1 .. 4i + 4; players from first on */
    uint32_t first;
};

/* All players start with INT64_MAX. The caller clears it. */
static inline void tournament_init(struct tournament *tournament, uint32_t players)
{
    uint32_t leaves = 1, inner = 0;
    while (leaves < players) {
        inner += leaves;
        leaves *= 4;
    }
    tournament->first = inner;
    tournament->values = mem_array((size_t)inner + leaves, sizeof(int64_t));
    for (uint32_t i = 0; i < inner + leaves; i++)
        tournament->values[i] = INT64_MAX;
}

static inline void tournament_clear(struct tournament *tournament)
{
    mem_free(tournament->values);
    *tournament = (struct tournament){0};
}

static inline int64_t tournament_value(const struct tournament *tournament, uint32_t player)
{
    return tournament->values[tournament->first + player];
}

static inline void tournament_set(struct tournament *tournament, uint32_t player, int64_t value)
{
    int64_t *values = tournament->values;
    uint32_t i = tournament->first + player;
    values[i] = value;
    while (i > 0) {
        /* Of the siblings first: nothing of it waits for the level below. */
        uint32_t place = (i - 1) % 4, group = i - place;
        int64_t a = values[group + (place ^ 1)], b = values[group + (place ^ 2)],
                c = values[group + (place ^ 3)];
        a = a < b ? a : b;
        a = a < c ? a : c;
        value = value < a ? value : a;
        i = (i - 1) / 4;
        values[i] = value;
    }
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
    while (node < tournament->first) {
        const int64_t *child = &values[4 * node + 1];
        uint32_t not_first = child[0] != value, not_second = not_first & (child[1] != value);
        node = 4 * node + 1 + not_first + not_second + (not_second & (child[2] != value));
    }
    return node - tournament->first;
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
    uint32_t i = tournament->first + from;
    if (values[i] == values[0])
        return from;
    for (; i > 0; i = (i - 1) / 4)
        while ((i - 1) % 4 < 3) /* the siblings behind */
            if (values[++i] == values[0])
                return tournament_descend(tournament, i);
    return tournament_winner(tournament);
}

#endif
