/* Which instance (its entity) had a session's last request: a hash table that grows with the sessions and
 * forgets none, 32 bytes for each at most. */
#ifndef TANDEM_SERVING_SESSIONS_H
#define TANDEM_SERVING_SESSIONS_H

#include <stddef.h>
#include <stdint.h>

#define SESSIONS_NONE UINT32_MAX

struct sessions {
    struct session_place {
        int64_t session;
        uint32_t instance; /* SESSIONS_NONE: the place is free */
    } * places;
    size_t count, capacity; /* capacity: 0 or a power of two */
};

/* The instance of a session >= 0; SESSIONS_NONE where there is none yet. */
uint32_t sessions_find(const struct sessions *sessions, int64_t session);
void sessions_set(struct sessions *sessions, int64_t session, uint32_t instance);
void sessions_clear(struct sessions *sessions);

#endif
