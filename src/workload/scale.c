#include <math.h>

#include "internal.h"
#include "tandem/check.h"
#include "tandem/wide.h"

#define MANTISSA_BITS 53

/* The divisor is a whole number of 53 bits times a power of two, so the quotient is a fraction of two
 * integers and can be rounded once: no time depends on how a division of doubles rounds, and errors do not
 * add up over gaps. */
bool scale_time(int64_t time_ns, double divisor, int64_t *scaled_ns)
{
    CHECK(time_ns >= 0 && divisor > 0 && isfinite(divisor), "scale_time of a negative value");
    if ((double)time_ns / divisor > 9.2e18)
        return false;
    int exponent = 0;
    double fraction = frexp(divisor, &exponent);
    wide_t numerator = (wide_t)time_ns;
    wide_t denominator = (wide_t)ldexp(fraction, MANTISSA_BITS);
    int shift = exponent - MANTISSA_BITS;
    while (shift < 0 && (denominator & 1) == 0) {
        denominator >>= 1;
        shift++;
    }
    if (shift > 63) { /* a divisor above 2^63 leaves nothing of any time */
        *scaled_ns = 0;
        return true;
    }
    if (shift >= 0)
        denominator <<= shift;
    else if (time_ns > 0 && -shift < 128)
        numerator <<= -shift; /* quotient < 2^63 and denominator < 2^53, so this is below 2^117 */
    wide_t quotient = numerator / denominator;
    wide_t rest = numerator % denominator;
    if (rest * 2 > denominator || (rest * 2 == denominator && (quotient & 1) != 0))
        quotient++;
    *scaled_ns = (int64_t)quotient;
    return true;
}
