/* The p-norm of two terms, (x^p + y^p)^(1/p), from a table of polynomials: some 5 ns where two powers
 * take 80. Good to NORM_ERROR, which is for its user to allow for: timer.c rounds to whole nanoseconds and
 * asks for the powers where that could matter. All local. */
#ifndef TANDEM_HARDWARE_NORM_H
#define TANDEM_HARDWARE_NORM_H

#include <stdint.h>
#include <string.h>

#include "tandem/mem.h"

#define NORM_ERROR 1e-12 /* relative, at most */

/* (1 + r^p)^(1/p) over a 64th of an octave of r, in Newton's form over the nodes of norm.c. */
#define NORM_DEGREE 5
struct norm_piece {
    double coefficients[NORM_DEGREE + 1]; /* the first is 0 until the piece is made */
};

#define NORM_OCTAVE_BITS 6
#define NORM_OCTAVES     61 /* r from 2^-60 to 1 */
#define NORM_PIECES      (NORM_OCTAVES << NORM_OCTAVE_BITS)

struct norm {
    double p;
    struct norm_piece *pieces; /* NORM_PIECES, made as they are first used; NULL: p is 1 */
};

extern const double norm_nodes[NORM_DEGREE + 1];

/* For an exponent p >= 1. The caller clears it. */
void norm_init(struct norm *norm, double p);
void norm_clear(struct norm *norm);

/* Makes the piece of an index. NaN in it says that its polynomial is not good to NORM_ERROR. */
void norm_make_piece(struct norm *norm, size_t index);

static inline double norm_polynomial(const struct norm_piece *piece, double t)
{
    double sum = piece->coefficients[NORM_DEGREE];
    for (int k = NORM_DEGREE - 1; k >= 0; k--)
        sum = sum * (t - norm_nodes[k]) + piece->coefficients[k];
    return sum;
}

/* The norm of x, y >= 0; NaN where the table cannot tell. */
static inline double norm_of(struct norm *norm, double x, double y)
{
    double high = x > y ? x : y, low = x > y ? y : x;
    if (!norm->pieces)
        return high + low;
    double r = low / high;
    if (!(r >= 0x1p-60)) /* r^p / p is below any bound; NaN where both are 0 */
        return high;
    uint64_t bits, unit = UINT64_C(1023) << 52;
    memcpy(&bits, &r, sizeof bits);
    size_t index = (size_t)((bits - ((UINT64_C(1023) - 60) << 52)) >> (52 - NORM_OCTAVE_BITS));
    struct norm_piece *piece = &norm->pieces[index];
    if (piece->coefficients[0] == 0)
        norm_make_piece(norm, index);
    /* The bits below the index, as a number from 0 to 1. */
    bits = unit | (bits << NORM_OCTAVE_BITS & ~(UINT64_C(0xfff) << 52));
    double t;
    memcpy(&t, &bits, sizeof t);
    return high * norm_polynomial(piece, t - 1);
}

#endif
