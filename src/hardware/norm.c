#include "norm.h"

#include <math.h>
#include <stdbool.h>

#include "tandem/check.h"
#include "tandem/numeric.h"

/* Chebyshev's on [0, 1]: (1 - cos((2k + 1) pi / 12)) / 2. */
const double norm_nodes[NORM_DEGREE + 1] = {0.017037086855465844, 0.14644660940672624, 0.37059047744873963,
                                            0.62940952255126037,  0.85355339059327376, 0.98296291314453416};

void norm_init(struct norm *norm, double p)
{
    CHECK(p >= 1, "a norm of exponent %g", p);
    *norm = (struct norm){.p = p};
    if (p != 1)
        norm->pieces = mem_array(NORM_PIECES, sizeof(struct norm_piece));
}

void norm_clear(struct norm *norm)
{
    mem_free(norm->pieces);
    *norm = (struct norm){0};
}

/* (1 + r^p)^(1/p) at t of a piece, by powers. */
static double exact(const struct norm *norm, size_t index, double t)
{
    double octave = ldexp(1, (int)(index >> NORM_OCTAVE_BITS) - 60);
    double part = ((double)(index & ((1 << NORM_OCTAVE_BITS) - 1)) + t) / (1 << NORM_OCTAVE_BITS);
    return numeric_pow(1 + numeric_pow(octave * (1 + part), norm->p), 1 / norm->p);
}

void norm_make_piece(struct norm *norm, size_t index)
{
    struct norm_piece piece = {{0}};
    double *c = piece.coefficients;
    for (int k = 0; k <= NORM_DEGREE; k++)
        c[k] = exact(norm, index, norm_nodes[k]);
    for (int order = 1; order <= NORM_DEGREE; order++) /* divided differences */
        for (int k = NORM_DEGREE; k >= order; k--)
            c[k] = (c[k] - c[k - 1]) / (norm_nodes[k] - norm_nodes[k - order]);
    /* The error is largest at the ends and about half way between nodes. */
    bool good = true;
    for (int i = 0; i <= 12; i++) {
        double t = i / 12.0, value = exact(norm, index, t);
        good = good && fabs(norm_polynomial(&piece, t) - value) <= NORM_ERROR / 4 * value;
    }
    if (!good)
        c[0] = NAN;
    norm->pieces[index] = piece;
}
