/* SPDX-License-Identifier: MIT */
/*
 * The cross-core code as it runs on metal (clock/, smp/request.c, smp/stop.c,
 * hv/sync.c, hv/place.c, unchanged, with the real <stdatomic.h>) on threads that
 * run at the same time, under ThreadSanitizer: what is shared by protocol must
 * be free of races, and no reading may step back.
 *
 *   machine.c    cores as threads, kicks, the modelled TSCs
 *   world.c      what runs on a core: its loop, the reading of clock pages, the properties
 *   conductor.c  events, carried out by any core at any time; or, for `seat`,
 *   seat.c       hv/conduct.c itself, which causes them as on metal
 *   main.c       the command line, the verdict
 *
 * The checks must not order what the protocol leaves unordered: wherever they
 * lead from one core to another they are relaxed, and a core halts by futex,
 * which ThreadSanitizer does not see.
 */
#pragma once
#include "hv/hv.h"

enum { ROUNDING_NS = 6 }; /* a tick of the slowest TSC, 4 ns, and the arithmetic of two lines */

struct thread_core {
	struct core core;
	_Atomic uint64_t width_ns; /* uncertainty of its line against the resync's line, from which all others derive */
	_Atomic uint64_t readings;
};
extern struct thread_core thread_core[CORES_MAX];

/* machine.c */
void machine_start(const struct policy *p, unsigned count); /* the threads; all cores are off */
void machine_boot(void);                  /* core 0 last: it calls conduct_begin when all others are up */
void machine_join(void);                  /* waits until every core is off */
void machine_kick(unsigned core);         /* wakes it if it has halted */
void machine_pause(uint64_t ns);          /* this thread sleeps */
void machine_where(int signal);           /* prints what each core is doing; ends the program */

/* world.c */
struct world {
	_Atomic uint64_t certain, highest; /* highest reading less its uncertainty; highest reading */
	_Atomic uint64_t warps, worst_ns;  /* steps back beyond the uncertainty, and by how much beyond */
	_Atomic uint64_t back_ns;          /* the largest step back within it */
	_Atomic uint64_t widest_ns, widths_ns, lines; /* uncertainties of lines from exchanges: largest, sum, number */
	/* with a policy that promises bounds: the uncertainty is the skew bound of `looks` readings; likewise drift */
	_Atomic uint64_t looks, drift_ns, drift_bound_ns, adrift;
	_Atomic uint32_t ended;
	/* written by the core that ends the run */
	unsigned missed, lost; /* cores without the newest generation; vCPUs on cores that are off */
	bool apart;            /* two cores differ by more than their uncertainty */
};
extern struct world world;
const struct policy *world_start(const struct policy *p, unsigned count); /* p, wrapped in checks: to be run */
void world_core(struct core *me); /* from its start until it is taken down */
bool world_synced(void);          /* is every online core synchronised, by the newest resync? */
void world_end(void);             /* on a core at the top of its loop: judge, and all cores go off */

/* conductor.c or seat.c, besides conduct_... of hv.h: a storm of so many events, to its end */
void conductor_run(unsigned events, const char *scenario, uint64_t seed);
