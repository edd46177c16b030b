/* Max-min fair rates of flows over resources (ports, uplinks), kept up to date as flows come and go: no flow
 * can get more without taking from one that has no more than it. Only the connected component of a change is
 * computed anew, where only resources that are full connect. Rates depend on which flows there are, not on
 * how they came about. All local. */
#ifndef TANDEM_MAXMIN_H
#define TANDEM_MAXMIN_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#define MAXMIN_RESOURCES 4          /* on the path of a flow, at most */
#define MAXMIN_NO_CAP    INFINITY   /* a flow is limited by its resources alone */
#define MAXMIN_BOUND     UINT32_MAX /* for a resource: none, what limits a flow is its own */

struct maxmin;

/* Resources 0 .. count-1 with their capacities, bytes/s; copied. */
struct maxmin *maxmin_create(const double *capacities, uint32_t count);
void maxmin_free(struct maxmin *maxmin);

/* A flow (any number that is not in use; small ones keep it compact) starts, over that many (1 ..
 * MAXMIN_RESOURCES) different resources, and at no more than cap (bytes/s, > 0, or
 * MAXMIN_NO_CAP); its cap becomes another; or it ends. The rates of its component change. */
void maxmin_add(struct maxmin *maxmin, uint32_t flow, const uint32_t *resources, uint32_t count, double cap);
void maxmin_set_cap(struct maxmin *maxmin, uint32_t flow, double cap);
void maxmin_remove(struct maxmin *maxmin, uint32_t flow);

/* Flows whose rates the last of these calls computed (borrowed until the next one), and the rate of a flow,
 * bytes/s. */
const uint32_t *maxmin_changed(const struct maxmin *maxmin, size_t *count);
double maxmin_rate(const struct maxmin *maxmin, uint32_t flow);

/* What these flows have in common, so many of them after the other: a rate, and the resource that limits them
 * and nobody else. With MAXMIN_BOUND it is one flow that has its cap, or all that the narrowest resource on
 * its path could give. Where a flow comes to a limiter or leaves it, all that stay are in such a level.
 * Borrowed likewise. */
struct maxmin_level {
    double rate;
    uint32_t limiter, count;
};
const struct maxmin_level *maxmin_levels(const struct maxmin *maxmin, size_t *count);

#endif
