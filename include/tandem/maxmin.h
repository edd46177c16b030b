/* Max-min fair rates of flows between ports, kept up to date as flows come and go: no flow can get more
 * without taking from one that has no more than it. Only the connected component of a change is computed
 * anew. All local. */
#ifndef TANDEM_MAXMIN_H
#define TANDEM_MAXMIN_H

#include <stddef.h>
#include <stdint.h>

struct maxmin;

/* Ports 0 .. count-1; capacities (bytes/s) hold for sending and for receiving, each on its own; copied. */
struct maxmin *maxmin_create(const double *capacities, uint32_t ports);
void maxmin_free(struct maxmin *maxmin);

/* A flow (any number that is not in use; small ones keep it compact) starts or ends. The rates of its
 * component change. */
void maxmin_add(struct maxmin *maxmin, uint32_t flow, uint32_t sender, uint32_t receiver);
void maxmin_remove(struct maxmin *maxmin, uint32_t flow);

/* Flows whose rates the last add or remove computed (borrowed until the next one), and the rate of a flow,
 * bytes/s. */
const uint32_t *maxmin_changed(const struct maxmin *maxmin, size_t *count);
double maxmin_rate(const struct maxmin *maxmin, uint32_t flow);

#endif
