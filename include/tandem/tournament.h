/* A tournament over numbered players: each has a value, and the least value is known at any time with the
 * lowest player that has it. A change costs one comparison a level, without branches that depend on values.
 * All local. */
#ifndef TANDEM_TOURNAMENT_H
#define TANDEM_TOURNAMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "tandem/mem.h"

struct tournament_node {
    int64_t value;
    uint32_t player;
};

struct tournament {
    struct tournament_node *nodes; /* 1: the winner; children of i: 2i, 2i + 1; players from `leaves` on */
    uint32_t leaves;               /* a power of two */
};

/* All players start with INT64_MAX. The caller clears it. */
static inline void tournament_init(struct tournament *tournament, uint32_t players)
{
    tournament->leaves = 1;
    while (tournament->leaves < players)
        tournament->leaves *= 2;
    tournament->nodes = mem_array(2 * (size_t)tournament->leaves, sizeof(struct tournament_node));
    for (uint32_t i = 0; i < tournament->leaves; i++)
        tournament->nodes[tournament->leaves + i] = (struct tournament_node){INT64_MAX, i};
    for (uint32_t i = tournament->leaves - 1; i >= 1; i--)
        tournament->nodes[i] = tournament->nodes[2 * i];
}

static inline void tournament_clear(struct tournament *tournament)
{
    mem_free(tournament->nodes);
    *tournament = (struct tournament){0};
}

/* The least value and the lowest player that has it. */
static inline struct tournament_node tournament_least(const struct tournament *tournament)
{
    return tournament->nodes[1];
}

static inline int64_t tournament_value(const struct tournament *tournament, uint32_t player)
{
    return tournament->nodes[tournament->leaves + player].value;
}

static inline void tournament_set(struct tournament *tournament, uint32_t player, int64_t value)
{
    struct tournament_node *nodes = tournament->nodes;
    uint32_t i = tournament->leaves + player;
    struct tournament_node winner = {value, player};
    nodes[i].value = value;
    for (; i > 1; i /= 2) {
        struct tournament_node other = nodes[i ^ 1];
        /* All ones where the other wins: masks, since who wins cannot be predicted. */
        int64_t lost = -(int64_t)((other.value < winner.value) |
                                  ((other.value == winner.value) & (other.player < winner.player)));
        winner.value ^= (winner.value ^ other.value) & lost;
        winner.player ^= (winner.player ^ other.player) & (uint32_t)lost;
        nodes[i / 2] = winner;
    }
}

/* The first player from `from` on, round and round, that has the least value. */
static inline uint32_t tournament_least_from(const struct tournament *tournament, uint32_t from)
{
    const struct tournament_node *nodes = tournament->nodes;
    int64_t least = nodes[1].value;
    for (uint32_t i = tournament->leaves + from; nodes[1].player < from && i >= 1; i /= 2) {
        if (i == tournament->leaves + from && nodes[i].value == least)
            return from;
        if ((i & 1) == 0 && nodes[i + 1].value == least && i > 1)
            return nodes[i + 1].player;
    }
    return nodes[1].player;
}

#endif
