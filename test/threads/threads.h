/* SPDX-License-Identifier: MIT */
/*
 * The cross-core code as it runs on metal (clock/, smp/request.c, smp/stop.c,
 * hv/sync.c, hv/place.c, unchanged, with the real <stdatomic.h>) on threads that
 * run at the same time, under ThreadSanitizer: what is shared by protocol must
 * be free of races, and no reading may step back.
 *
 *   machine.c    cores as threads, kicks, the modelled TSCs
 *   world.c      what runs on a core: its loop, the reading of clock pages, the properties
 *   conductor.c  what is done to them, and the command line
 *
 * What is here to watch must not order what the protocol leaves unordered: it
 * is relaxed wherever it leads from one core to another, and a core that halts
 * does so by futex, which ThreadSanitizer does not see.
 */
#pragma once
#include "hv/hv.h"

enum { ROUNDING_NS = 6 }; /* a tick of the slowest TSC, 4 ns, and the arithmetic of two lines */

/* What the conductor wants a core to do at the top of its loop. */
struct task {
	uint64_t kind : 4, core : 8, effect_ns : 20, khz : 32;
};
enum { TASK_NONE, TASK_BEFORE, TASK_AFTER, TASK_DOWN, TASK_UP, TASK_END };

struct thread_core {
	struct core core;
	_Atomic(struct task) task;       /* the conductor sets it, the core clears it */
	_Atomic uint64_t width_ns;       /* how far its line may be from the one that all lines go back to */
	_Atomic uint64_t readings;
};
extern struct thread_core thread_core[CORES_MAX];

/* machine.c */
void machine_start(const struct policy *p, unsigned count);
void machine_join(void);
void machine_kick(const _Atomic uint32_t *word);       /* who halts on it looks around */
void machine_halt(const _Atomic uint32_t *word, uint32_t value); /* while it is that, or until a kick */
void machine_where(int signal);                        /* where is each core? Ends the program. */

/* world.c */
struct world {
	_Atomic uint64_t certain, highest; /* of all readings: that less its uncertainty; as read */
	_Atomic uint64_t warps, worst_ns;  /* steps back beyond the uncertainty, and by how much beyond */
	_Atomic uint64_t back_ns;          /* the largest step back within it */
	_Atomic uint64_t widest_ns, widths_ns, lines; /* uncertainty of lines that were got by an exchange */
	/* by who stops the machine at the end */
	unsigned missed, lost;
	int64_t apart_ns;                  /* the pair of cores that is farthest apart, less its uncertainty */
};
extern struct world world;
const struct policy *world_start(const struct policy *p, unsigned count); /* what the cores run, to be watched */
void world_core(struct core *me); /* from its start until it is taken down */
