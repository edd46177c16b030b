#include "sessions.h"

#include "tandem/hash.h"
#include "tandem/mem.h"

/* The session's place, or the free one that it would take. There is at least one free place. */
static struct session_place *place_of(const struct sessions *sessions, int64_t session)
{
    size_t i = hash_mix64((uint64_t)session) & (sessions->capacity - 1);
    while (sessions->places[i].instance != SESSIONS_NONE && sessions->places[i].session != session)
        i = (i + 1) & (sessions->capacity - 1);
    return &sessions->places[i];
}

static void grow(struct sessions *sessions)
{
    struct sessions larger = {.count = sessions->count,
                              .capacity = sessions->capacity > 0 ? 2 * sessions->capacity : 16};
    larger.places = mem_array(larger.capacity, sizeof *larger.places);
    for (size_t i = 0; i < larger.capacity; i++)
        larger.places[i].instance = SESSIONS_NONE;
    for (size_t i = 0; i < sessions->capacity; i++)
        if (sessions->places[i].instance != SESSIONS_NONE)
            *place_of(&larger, sessions->places[i].session) = sessions->places[i];
    mem_free(sessions->places);
    *sessions = larger;
}

uint32_t sessions_find(const struct sessions *sessions, int64_t session)
{
    return sessions->count > 0 ? place_of(sessions, session)->instance : SESSIONS_NONE;
}

void sessions_set(struct sessions *sessions, int64_t session, uint32_t instance)
{
    if (2 * (sessions->count + 1) > sessions->capacity)
        grow(sessions);
    struct session_place *place = place_of(sessions, session);
    sessions->count += place->instance == SESSIONS_NONE;
    *place = (struct session_place){session, instance};
}

void sessions_clear(struct sessions *sessions)
{
    mem_free(sessions->places);
    *sessions = (struct sessions){0};
}
