/* 64-bit mixing for checksums, and SHA-256 for naming input files. All local. */
#ifndef TANDEM_HASH_H
#define TANDEM_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A bijective 64-bit finalizer with full avalanche. Source: splitmix64 (Steele, Lea, Flood 2014). */
static inline uint64_t hash_mix64(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Hash of (seed, value); order matters, so fields can be chained. */
static inline uint64_t hash_combine(uint64_t seed, uint64_t value)
{
    return hash_mix64(hash_mix64(seed) ^ value);
}

/* Hash of bytes, going on from a seed: for finding damage and changes, not against malice. */
uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t count);

/* SHA-256 of an open file's bytes, as 64 lower-case hex digits and a NUL. Reads block by block from the
 * beginning; the descriptor's position stays. False with errno set when the file cannot be read or has no
 * positions (a pipe). */
bool hash_sha256_file(int descriptor, char hex[65]);

#endif
