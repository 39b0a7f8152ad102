/* SPDX-License-Identifier: MIT */
/* Seeded damage to the tables of fake.h, and what must hold of any answer. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "smp/tables.h"

struct mutate_range {
	uint64_t phys;
	size_t bytes; /* 0: end of the list */
};

/* From here on a crash prints this seed. */
void mutate_begin(uint64_t seed);
/* Changes 1 to 6 bytes within the ranges; half of the time `fix` follows. */
void mutate(uint64_t seed, const struct mutate_range *ranges, void (*fix)(void));
/* Fails the test, with the seed, when an answer breaks its promises; gives `result`. */
int mutate_check(int result, const struct machine *m, const struct complaint *why);
