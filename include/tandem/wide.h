/* Unsigned 128-bit sums: byte-ns and block-ns integrals overflow 64 bits within minutes of a large fleet. */
#ifndef TANDEM_WIDE_H
#define TANDEM_WIDE_H

__extension__ typedef unsigned __int128 wide_t;

/* The value as a double, rounded once. Local. */
static inline double wide_to_double(wide_t value)
{
    return (double)value;
}

#endif
