/* The fabric: KV transfers as flows over the ports of instances: one a lane, since a lane's cache is on its
 * GPUs alone. */
#ifndef TANDEM_FABRIC_H
#define TANDEM_FABRIC_H

#include <stdint.h>

#include "tandem/engine.h"

enum fabric_sharing {
    SHARING_MAX_MIN, /* max-min fair over sender and receiver ports */
    SHARING_SENDER,  /* one flow after another at the sender's port */
    SHARING_NONE     /* every flow as if alone */
};
extern const char *const sharing_names[];

struct fabric_config {
    int sharing;          /* enum fabric_sharing */
    int64_t latency_ns;   /* control latency L */
    uint32_t entities;    /* of the engine */
    const double *rates;  /* bytes/s of each port of each entity, each way; read while it is created */
    const int64_t *lanes; /* ports of each entity; likewise. NULL: one each */
};

struct fabric;

/* The fabric of this rank. Attaches itself to ENTITY_FABRIC. Caller: fabric_free. Local. */
struct fabric *fabric_create(struct engine *engine, const struct fabric_config *config);
void fabric_free(struct fabric *fabric);

#endif
