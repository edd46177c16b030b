/* Simulated time: int64 nanoseconds. A double becomes time here and nowhere else. */
#ifndef TANDEM_SIMTIME_H
#define TANDEM_SIMTIME_H

#include <stdint.h>

#define SIMTIME_NEVER     INT64_MAX
#define SIMTIME_SECOND_NS INT64_C(1000000000)

/* Seconds to nanoseconds, rounded half to even. Aborts on NaN or outside of +-9.2e9 s. Local. */
int64_t simtime_from_seconds(double seconds);

/* Nanoseconds (a double) to time, rounded half to even. Aborts as above. Local. */
int64_t simtime_from_ns(double ns);

#endif
