/* SPDX-License-Identifier: MIT */
/* Placement of vCPUs on cores. Pure; tested on the host. */
#include "hv/hv.h"

/* The online core with the fewest vCPUs (most = false) or the most, lowest index first. */
static unsigned extreme(const bool *online, const unsigned *load, unsigned cores, bool most)
{
	unsigned best = cores;

	for (unsigned c = 0; c < cores; c++)
		if (online[c] && (best == cores || (most ? load[c] > load[best] : load[c] < load[best])))
			best = c;
	return best;
}

/*
 * Move each vCPU whose core is not online to the online core with the fewest,
 * then even out until no two cores differ by more than one. No other vCPU moves.
 * At least one core must be online.
 */
void place_all(const bool *online, unsigned cores, unsigned *core_of, unsigned vcpus)
{
	unsigned load[CORES_MAX] = { 0 };

	for (unsigned v = 0; v < vcpus; v++)
		if (core_of[v] < cores)
			load[core_of[v]]++;
	for (unsigned v = 0; v < vcpus; v++)
		if (core_of[v] != PLACE_STAYS && (core_of[v] >= cores || !online[core_of[v]])) {
			core_of[v] = extreme(online, load, cores, false);
			load[core_of[v]]++;
		}
	for (;;) {
		unsigned from = extreme(online, load, cores, true), to = extreme(online, load, cores, false), v = vcpus;

		if (load[from] <= load[to] + 1)
			return;
		do
			v--;
		while (core_of[v] != from);
		core_of[v] = to;
		load[from]--;
		load[to]++;
	}
}
