/*
 * Randomness: the kernel's, for secrets and identifiers, and a seeded generator for tests, the
 * simulation and jitter. Server code that must repeat in the simulation takes its bytes from rt.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include "base/str.h"

/* Secure bytes from getrandom(2); never fails (a kernel without it is our own bug). */
void random_bytes(void *to, size_t n);

/* xoshiro256++ (Blackman, Vigna): fast, good statistics, not secret. */
struct random {
	uint64_t s[4];
};
/* Any seed gives a good state (splitmix64). */
void random_seed(struct random *r, uint64_t seed);
uint64_t random_u64(struct random *r);
/* Evenly in 0 .. n-1; n is not 0. */
uint64_t random_below(struct random *r, uint64_t n);
void random_fill(struct random *r, void *to, size_t n);

enum { UUID_TEXT_BYTES = 36 };
/* Text of the version 4 UUID (RFC 9562) made of 16 random bytes; no NUL is written. */
void uuid_v4_text(const uint8_t bytes[16], char ret_text[UUID_TEXT_BYTES]);

#endif
