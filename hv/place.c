/* SPDX-License-Identifier: MIT */
/* Which vCPU on which core: pure, tested on the host. */
#include "hv/hv.h"

static unsigned load_of(unsigned core, const unsigned *core_of, unsigned vcpus)
{
	unsigned n = 0;

	for (unsigned v = 0; v < vcpus; v++)
		n += core_of[v] == core;
	return n;
}

/* The online core with the fewest vCPUs (most = false) or the most, lowest index first. */
static unsigned extreme(const bool *online, unsigned cores, const unsigned *core_of, unsigned vcpus, bool most)
{
	unsigned best = cores, best_load = 0;

	for (unsigned c = 0; c < cores; c++) {
		unsigned load = load_of(c, core_of, vcpus);

		if (online[c] && (best == cores || (most ? load > best_load : load < best_load)))
			best = c, best_load = load;
	}
	return best;
}

/*
 * Move each vCPU whose core is not online to the online core with the fewest,
 * then even out until no two cores differ by more than one. Nobody else moves. At least
 * one core is online. Returns the number of moves.
 */
unsigned place_all(const bool *online, unsigned cores, unsigned *core_of, unsigned vcpus)
{
	unsigned moves = 0;

	for (unsigned v = 0; v < vcpus; v++)
		if (core_of[v] != PLACE_STAYS && (core_of[v] >= cores || !online[core_of[v]])) {
			core_of[v] = cores; /* nowhere, while the others are counted */
			core_of[v] = extreme(online, cores, core_of, vcpus, false);
			moves++;
		}
	for (;;) {
		unsigned from = extreme(online, cores, core_of, vcpus, true);
		unsigned to = extreme(online, cores, core_of, vcpus, false);

		if (load_of(from, core_of, vcpus) <= load_of(to, core_of, vcpus) + 1)
			return moves;
		for (unsigned v = vcpus; v-- > 0;)
			if (core_of[v] == from) {
				core_of[v] = to;
				moves++;
				break;
			}
	}
}
