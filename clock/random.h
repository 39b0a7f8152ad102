/* SPDX-License-Identifier: MIT */
/* Seeded random numbers (SplitMix64, public domain, S. Vigna): the same seed, the same run. */
#pragma once
#include <stdint.h>

struct random {
	uint64_t state; /* any value is a good seed */
};

static inline uint64_t random_next(struct random *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* 0 .. n-1, n >= 1; the bias of 2^-64 * n does not matter here. */
static inline uint64_t random_below(struct random *r, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)random_next(r) * n) >> 64);
}
