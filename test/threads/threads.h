/* SPDX-License-Identifier: MIT */
/*
 * The cross-core code as it runs on metal (clock/, smp/request.c, smp/stop.c,
 * hv/sync.c, hv/place.c, unchanged, with the real <stdatomic.h>) on threads that
 * run at the same time, under ThreadSanitizer: what is shared by protocol must
 * be free of races, and no reading may step back.
 *
 *   machine.c    cores as threads, kicks, the modelled TSCs
 *   world.c      what runs on a core: its loop, the reading of clock pages, the properties
 *   conductor.c  what is done to them, by any core and at any time; or, for `seat`,
 *   seat.c       hv/conduct.c itself, which does it as on metal
 *   main.c       the command line, the verdict
 *
 * What is here to watch must not order what the protocol leaves unordered: it
 * is relaxed wherever it leads from one core to another, and a core that halts
 * does so by futex, which ThreadSanitizer does not see.
 */
#pragma once
#include "hv/hv.h"

enum { ROUNDING_NS = 6 }; /* a tick of the slowest TSC, 4 ns, and the arithmetic of two lines */

struct thread_core {
	struct core core;
	_Atomic uint64_t width_ns; /* how far its line may be from the one that all lines go back to */
	_Atomic uint64_t readings;
};
extern struct thread_core thread_core[CORES_MAX];

/* machine.c */
void machine_start(const struct policy *p, unsigned count); /* the threads; all cores are off */
void machine_boot(void);                  /* core 0 last: it calls conduct_begin when all others are up */
void machine_join(void);                  /* when every core is off, or goes off */
void machine_kick(unsigned core);         /* if it halts it looks around */
void machine_pause(uint64_t ns);          /* this thread */
void machine_where(int signal);           /* where is each core? Ends the program. */

/* world.c */
struct world {
	_Atomic uint64_t certain, highest; /* of all readings: that less its uncertainty; as read */
	_Atomic uint64_t warps, worst_ns;  /* steps back beyond the uncertainty, and by how much beyond */
	_Atomic uint64_t back_ns;          /* the largest step back within it */
	_Atomic uint64_t widest_ns, widths_ns, lines; /* uncertainty of lines that were got by an exchange */
	/* of a policy that promises bounds: uncertainty is the skew bound, of so many readings; and the same of drift */
	_Atomic uint64_t looks, drift_ns, drift_bound_ns, adrift;
	_Atomic uint32_t ended;
	/* by who ends it */
	unsigned missed, lost; /* cores without the newest generation; vCPUs on cores that are off */
	bool apart;            /* two cores differ by more than their uncertainty */
};
extern struct world world;
const struct policy *world_start(const struct policy *p, unsigned count); /* to be run: p, and looked at */
void world_core(struct core *me); /* from its start until it is taken down */
bool world_synced(void);          /* every online core, and by the newest resync */
void world_end(void);             /* a core at the top of its loop: judge, all go off */

/* conductor.c or seat.c, besides conduct_... of hv.h: a storm of so many events, to its end */
void conductor_run(unsigned events, const char *scenario, uint64_t seed);
