/* SPDX-License-Identifier: MIT */
/*
 * The machine as the clock code sees it. Bound at link time: smp/clockport.c on
 * metal, test/ on the host. All of clock/ runs with interrupts off and never
 * waits: a return value says what is not ready yet, and loops, pauses and
 * time-outs belong to the caller.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Requests to a core: bits of its one request word. The first group is served
 * on the core with interrupts off wherever it waits or before it enters a guest
 * ("interrupt context" of the mail); serving them never waits for another core.
 * The second group is served only at the top of the core's loop: they may wait.
 */
enum request {
	REQ_EVICT  = 1u << 0, /* leave the guest, be unsynchronised */
	REQ_BEFORE = 1u << 1, /* notice before a tempo change: evict with the new tempo */
	REQ_AFTER  = 1u << 2, /* notice after it */
	REQ_FOLLOW = 1u << 3, /* the base leads this core: follow */
	REQ_NOW    = REQ_EVICT | REQ_BEFORE | REQ_AFTER | REQ_FOLLOW,

	REQ_RESYNC = 1u << 8,  /* to the base core: re-derive every core's line */
	REQ_SYNC   = 1u << 9,  /* to the base core: synchronise the cores that are not */
	REQ_STOP   = 1u << 10, /* join a stopped machine */
	REQ_WAKE   = 1u << 11, /* look around: there may be something to run */
	REQ_TOP    = REQ_RESYNC | REQ_SYNC | REQ_STOP | REQ_WAKE,
};

/* Index of the core that executes this. */
unsigned port_core(void);

/* This core's own TSC; the read is ordered against all accesses before and after it. */
uint64_t port_tsc(void);

/*
 * The independent timebase: ns since it was started, monotonic over all cores. Slow
 * to read. A reading may be late by up to *resolution_ns and is never early; it was
 * taken between *before and *after of this core's TSC. Any core, interrupts off.
 * False: there is none, or no credible reading, this time or from now on.
 */
bool port_timebase(uint64_t *ns, uint32_t *resolution_ns, uint64_t *before, uint64_t *after);

/*
 * By how much all rates are slower than told, ppb, as an interval: as well as the platform knows by now
 * how many ticks its timer's second has. Any core.
 */
void port_rate(int32_t *slower_lo, int32_t *slower_hi);

/* Set request bits of a core (release) and make sure that it looks at them. Returns at once. */
void port_request(unsigned core, unsigned bits);

/*
 * Poll *word (acquire) a bounded number of times until it is no longer `old`;
 * false: it still was. The time-critical part of an exchange between two cores.
 */
bool port_await_change(const _Atomic uint32_t *word, uint32_t old);

/* libc's, or smp/lib.c's. */
int strcmp(const char *a, const char *b);

/* Our own bug: say what and where, stop the machine. */
_Noreturn void port_panic(const char *file, int line, const char *what);

#define CLOCK_CHECK(cond) ((cond) ? (void)0 : port_panic(__FILE__, __LINE__, #cond))
