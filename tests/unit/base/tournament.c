/* The tournament against a linear search. */
#include "test.h"

#include "tandem/rng.h"
#include "tandem/tournament.h"

#define MOST 600

static uint64_t draws;

static uint64_t draw(uint64_t below)
{
    return rng_bits(3, 0, RNG_ROUTER, draws++) % below;
}

static uint32_t search(const int64_t *values, uint32_t count, uint32_t from)
{
    uint32_t best = from;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t candidate = (from + i) % count;
        if (values[candidate] < values[best])
            best = candidate;
    }
    return best;
}

/* Few distinct values, so that most searches meet ties. */
static void play(uint32_t players, uint64_t distinct)
{
    int64_t values[MOST];
    struct tournament tournament;
    tournament_init(&tournament, players);
    CU_ASSERT_EQUAL(tournament_least(&tournament), INT64_MAX);
    CU_ASSERT_EQUAL(tournament_winner(&tournament), 0);
    for (uint32_t i = 0; i < players; i++)
        values[i] = INT64_MAX;
    for (int round = 0; round < 2000; round++) {
        uint32_t player = (uint32_t)draw(players), from = (uint32_t)draw(players);
        values[player] = draw(8) == 0 ? INT64_MAX : (int64_t)draw(distinct) - 2;
        tournament_set(&tournament, player, values[player]);
        uint32_t least = search(values, players, 0);
        CU_ASSERT_EQUAL(tournament_least(&tournament), values[least]);
        CU_ASSERT_EQUAL(tournament_winner(&tournament), least);
        CU_ASSERT_EQUAL(tournament_value(&tournament, player), values[player]);
        CU_ASSERT_EQUAL(tournament_winner_from(&tournament, from), search(values, players, from));
    }
    tournament_clear(&tournament);
}

static void test_against_search(void)
{
    static const uint32_t many[] = {511, 512, 513, 519, 520, MOST};
    for (uint32_t players = 1; players <= 70; players++) {
        play(players, 4);
        play(players, 1000000);
    }
    for (size_t i = 0; i < sizeof many / sizeof many[0]; i++) /* a level begins at 512 */
        play(many[i], 40);
    CU_ASSERT_EQUAL(mem_live_bytes(), 0);
}

int main(void)
{
    static const struct test_case cases[] = {{"against a linear search", test_against_search}};
    return test_main("tournament", cases, sizeof cases / sizeof cases[0]);
}
