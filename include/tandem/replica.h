/* An instance as an entity of the engine: a model replica of lanes (attention data parallelism) and pipeline
 * stages, which holds one batch for each lane and micro-batch, its members. What they do: README of
 * src/serving. */
#ifndef TANDEM_REPLICA_H
#define TANDEM_REPLICA_H

#include <stdint.h>

#include "tandem/engine.h"
#include "tandem/instance.h"
#include "tandem/metrics.h"

struct replica;

/* An instance of this rank as the given entity; config and metrics are borrowed. Caller: replica_free.
 * Local. */
struct replica *replica_create(struct engine *engine, uint32_t entity, const struct instance_config *config,
                               struct metrics *metrics);
void replica_free(struct replica *replica);

/* Sums over its members (kv_peak_blocks: most of all together); at the end of a run, after replica_close. */
struct usage replica_usage(const struct replica *replica);

/* Accounts the time up to the end of the run and checks that nothing is left: no request, no block. */
void replica_close(struct replica *replica, int64_t end_ns);

#endif
