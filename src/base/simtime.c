#include "tandem/simtime.h"

#include <math.h>

#include "tandem/check.h"

/* The range of int64 nanoseconds, with room for sums of a few times. */
#define MOST_NS 9.2e18

int64_t simtime_from_ns(double ns)
{
    CHECK(fabs(ns) <= MOST_NS, "%g ns is no time", ns); /* false for NaN too */
    return (int64_t)rint(ns);                           /* half to even in the default rounding mode */
}

int64_t simtime_from_seconds(double seconds)
{
    return simtime_from_ns(seconds * 1e9);
}
