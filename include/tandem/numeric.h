/* exp, log and pow with the same bits on every CPU and libm (own code: libm picks CPU-specific variants). */
#ifndef TANDEM_NUMERIC_H
#define TANDEM_NUMERIC_H

/* e^x; 0 on underflow, infinity on overflow. Relative error below 4 units in the last place. Local. */
double numeric_exp(double x);

/* Natural logarithm of x > 0 (x <= 0 aborts). Relative error below 4 ulp. Local. */
double numeric_log(double x);

/* x^y for x >= 0 (0^y is 0 for y > 0). Relative error below 1e-14. Local. */
double numeric_pow(double x, double y);

#endif
