/* Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011; librandom123): a pure function of
 * (seed, entity, purpose, count). Nothing is stored, so the order of draws cannot matter. All local. */
#ifndef TANDEM_RNG_H
#define TANDEM_RNG_H

#include <stdint.h>

/* What a number is drawn for: one value a use, never reused for another. */
enum rng_purpose {
    RNG_ARRIVAL = 1,
    RNG_PROMPT_TOKENS = 2,
    RNG_OUTPUT_TOKENS = 3,
    RNG_THINK_TIME = 4,
    RNG_ROUTER = 5,
    RNG_PRIORITY = 6,
    RNG_TIE = 7,
    RNG_TURNS = 8,
    RNG_SYSTEM_PROMPT = 9
};

/* 64 random bits. */
uint64_t rng_bits(uint64_t seed, uint32_t entity, enum rng_purpose purpose, uint64_t count);

/* Uniform in the open interval (0, 1), 53 bits. */
double rng_uniform(uint64_t seed, uint32_t entity, enum rng_purpose purpose, uint64_t count);

/* Exponential with mean 1. */
double rng_exponential(uint64_t seed, uint32_t entity, enum rng_purpose purpose, uint64_t count);

/* Standard normal (Box-Muller). Uses counts 2 count and 2 count + 1 of the purpose. */
double rng_normal(uint64_t seed, uint32_t entity, enum rng_purpose purpose, uint64_t count);

/* Gamma with the given shape > 0 and mean 1 (Marsaglia and Tsang 2000); rejections draw from a sub-stream of
 * count. */
double rng_gamma(uint64_t seed, uint32_t entity, enum rng_purpose purpose, uint64_t count, double shape);

#endif
