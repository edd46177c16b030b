/* The fabric: KV transfers as flows over the ports of instances (one a lane, since a lane's cache is on its
 * GPUs alone) and the uplinks of leaves between them. */
#ifndef TANDEM_FABRIC_H
#define TANDEM_FABRIC_H

#include <stdint.h>

#include "tandem/engine.h"
#include "tandem/traffic.h"

enum fabric_sharing {
    SHARING_MAX_MIN, /* max-min fair over all that is on the path */
    SHARING_SENDER,  /* one flow after another at the sender's port */
    SHARING_NONE     /* every flow as if alone */
};
extern const char *const sharing_names[];

/* Where an entity is. */
struct fabric_place {
    uint32_t pool;   /* traffic is counted by pool */
    uint32_t domain; /* its GPUs reach those of others in it without the network */
    uint32_t leaf;
    double local_rate; /* bytes/s of each of its ports inside the domain, each way */
    /* Of transfers that it gets inside the domain: descriptors go by blocks. */
    int64_t block_bytes;
    double local_ns_per_block;
};

struct fabric_config {
    int sharing;                       /* enum fabric_sharing */
    int64_t latency_ns;                /* control latency L */
    uint32_t entities;                 /* of the engine */
    const double *rates;               /* bytes/s of each port of each entity, each way */
    const int64_t *lanes;              /* ports of each entity. NULL: one each */
    const struct fabric_place *places; /* of each entity. NULL: of one pool, all zeros */
    uint32_t pools;
    bool local;             /* transfers inside a domain take ports of their own */
    int64_t local_setup_ns; /* their set-up without the descriptors */
    uint32_t leaves;
    const double *leaf_rates; /* bytes/s of the uplinks of each leaf, each way. leaves 0: none are modelled */
    int64_t interval_ns;      /* bins of the traffic; 0: one */
};

struct fabric;

/* The fabric of this rank. Attaches itself to ENTITY_FABRIC; arrays of config are read here only. Caller:
 * fabric_free. Local. */
struct fabric *fabric_create(struct engine *engine, const struct fabric_config *config);
void fabric_free(struct fabric *fabric);

/* Links that a fabric counts: the network's ports of each pool; with local those inside domains of each pool;
 * then of each leaf up and down. And what passed them; borrowed. Local. */
uint32_t fabric_links(const struct fabric_config *config);
const struct traffic *fabric_traffic(const struct fabric *fabric);

#endif
