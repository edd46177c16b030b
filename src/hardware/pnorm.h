/* (x^p + y^p + ..)^(1/p) by powers, taken relative to the largest so that none leaves the range of a double.
 */
#ifndef TANDEM_HARDWARE_PNORM_H
#define TANDEM_HARDWARE_PNORM_H

#include <math.h>

#include "tandem/numeric.h"

static inline double pnorm4(double p, double w, double x, double y, double z)
{
    double top = fmax(fmax(w, x), fmax(y, z));
    if (top <= 0)
        return 0;
    if (p == 1)
        return w + x + y + z;
    double sum = 0;
    const double terms[] = {w, x, y, z};
    for (int i = 0; i < 4; i++)
        sum += terms[i] == top ? 1 : numeric_pow(terms[i] / top, p);
    return top * numeric_pow(sum, 1 / p);
}

static inline double pnorm3(double p, double x, double y, double z)
{
    return pnorm4(p, x, y, z, 0);
}

#endif
