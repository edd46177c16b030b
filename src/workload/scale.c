#include <math.h>
#include <string.h>

#include "internal.h"
#include "tandem/check.h"
#include "tandem/wide.h"

#define MANTISSA_BITS 52 /* beside the leading one */
#define EXPONENT_BIAS 1023

/* The divisor is a whole number of 53 bits times a power of two, so the quotient is a fraction of two
 * integers and can be rounded once: no time depends on how a division of doubles rounds, and errors do not
 * add up over gaps. */
bool scale_time(int64_t time_ns, double divisor, int64_t *scaled_ns)
{
    CHECK(time_ns >= 0 && divisor > 0 && isfinite(divisor), "scale_time of a negative value");
    *scaled_ns = time_ns;
    if (divisor == 1 || time_ns == 0)
        return true;
    if ((double)time_ns / divisor > 9.2e18)
        return false; /* as for every subnormal divisor, which the bits below would not be */
    if (divisor >= 0x1p64) {
        *scaled_ns = 0; /* below one half */
        return true;
    }
    uint64_t bits = 0;
    memcpy(&bits, &divisor, sizeof bits);
    uint64_t leading = UINT64_C(1) << MANTISSA_BITS;
    uint64_t denominator = (bits & (leading - 1)) | leading;
    int shift = (int)(bits >> MANTISSA_BITS) - EXPONENT_BIAS - MANTISSA_BITS;
    wide_t numerator = (wide_t)time_ns;
    if (shift >= 0)
        denominator <<= shift;
    else
        numerator <<= -shift; /* quotient < 2^64 and denominator < 2^53, so this is below 2^117 */
    uint64_t quotient = (uint64_t)(numerator / denominator);
    uint64_t rest = (uint64_t)(numerator - (wide_t)quotient * denominator);
    if (rest > denominator - rest || (rest == denominator - rest && (quotient & 1) != 0))
        quotient++;
    *scaled_ns = (int64_t)quotient;
    return true;
}
