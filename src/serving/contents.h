/* What the router takes the caches of instances to hold: what it sent there, or what they reported. */
#ifndef TANDEM_SERVING_CONTENTS_H
#define TANDEM_SERVING_CONTENTS_H

#include "tandem/prefix.h"
#include "tandem/request.h"
#include "tandem/router.h"

struct contents {
    uint32_t count; /* of instances; 0: nobody asks */
    int64_t hash_tokens;
    bool reported;
    struct content {
        struct prefix prefix; /* dispatches: none in use; reports: used once for each member that has it */
        int64_t most_blocks;
    } * instances;
    int64_t *held_tokens; /* of the request at hand, by instance */
};

/* Nothing is known of the instances (entities). The caller: contents_clear. */
void contents_init(struct contents *contents, const struct router_config *config,
                   const struct router_cluster *cluster, const uint32_t *entities, uint32_t count);
void contents_clear(struct contents *contents);

/* An instance leaves, and those behind it have the number before; one comes, of which nothing is known. */
void contents_remove(struct contents *contents, uint32_t instance);
void contents_insert(struct contents *contents, const struct router_config *config, uint32_t instance,
                     const struct router_kv *kv);

/* Tokens of the request's prompt, from the first on, by instance; valid until the next call. */
const int64_t *contents_held(struct contents *contents, const struct request *request);

/* The request goes to an instance. */
void contents_sent(struct contents *contents, uint32_t instance, const struct request *request);

/* An instance reported so many changes. */
void contents_report(struct contents *contents, uint32_t instance, const struct prefix_change *changes,
                     size_t count);

#endif
