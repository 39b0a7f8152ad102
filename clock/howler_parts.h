/* SPDX-License-Identifier: MIT */
/*
 * What the parts of sync=howler share: howler.c (events, and the top of the loop), howler_role.c (which core carries
 * the time on), howler_follow.c (a core measures itself) and howler_reference.c (the course of the reference).
 * Everything acts on this core, interrupts off.
 */
#pragma once
#include "clock/clock.h"
#include "clock/port.h"
#include "clock/rfc15.h"

enum {
	RTT_PARTS = 8,
	CHECK_NS_MIN = 15000,
	LEARN_CHECKS = 100, /* a rate still unknown after so many can't be known */
};

/* A credible reading of the timebase, taken between two TSC stamps of this core; up to late_ns late. */
struct timebase {
	uint64_t ns, before, after;
	uint32_t late_ns;
};

static inline void set(_Atomic uint32_t *f, uint32_t v)
{
	atomic_store_explicit(f, v, memory_order_seq_cst);
}

static inline bool carries(const struct clock *c, unsigned core)
{
	return clock_online(c, core) && flag(&c->core[core].synced);
}

static inline uint64_t fresh_ns(const struct clock *c, unsigned core)
{
	return atomic_load_explicit(&c->core[core].howler.fresh_ns, memory_order_relaxed);
}

/* The error of its rate may be visible by `now`, straight time. */
static inline bool stale(const struct clock *c, unsigned core, uint64_t now)
{
	uint64_t until = fresh_ns(c, core);

	return until && now >= until;
}

/* An error, ns, that is too small to show on any path, as far as is known. */
static inline uint64_t part_of_rtt(const struct clock *c)
{
	return atomic_load_explicit(&c->rtt_floor_ns, memory_order_relaxed) / RTT_PARTS + 1;
}

/* This core, synchronised: the straight time. */
static inline uint64_t straight_now(const struct clock *c)
{
	return line_read(&c->core[port_core()].howler.straight, port_tsc());
}

/* Count one check, or end them if enough is learned. True: more are to come. */
static inline bool learn_on(_Atomic uint32_t *learns, bool enough)
{
	uint32_t left = atomic_load_explicit(learns, memory_order_relaxed);

	left = enough || !left ? 0 : left - 1;
	atomic_store_explicit(learns, left, memory_order_relaxed);
	return left;
}

/* howler.c: record where this core stands, before it is out. */
void howler_note(struct clock *c);

/* howler_role.c: move the base role if it must move; call it after each change of a `synced`. */
void howler_settle(struct clock *c);

/* ... no core is synchronised: this one starts a new line, if it may, not below anything shown before. */
void howler_restart(struct clock *c);

/* howler_follow.c: drop the measurement under way. */
void howler_let_go(struct clock *c);

/* ... with `busy`, which it releases: give this core its new line. */
void howler_take(struct clock *c, const struct clock_decision *d, uint32_t generation, uint64_t carry_ns);

/* ... with `busy`, or stopped: void the gaps between `core` and all others. */
void howler_forget_gaps(struct clock *c, unsigned core);

void howler_follow(struct clock *c);

/* howler_reference.c: the quickest of some readings. False: none is credible. */
bool howler_timebase(const struct clock *c, struct timebase *t);

/* ... by how much all rates are slower than told, ppb. Symmetric without discipline: only the bounds feel it. */
void howler_told(const struct clock *c, int32_t *lo, int32_t *hi);

/* ... with `busy`: from now on the straight time runs at this core's rate. Returns its change of rate at most, ppb. */
uint32_t howler_set_pace(struct clock *c, uint64_t now);

/* ... with `busy`: from straight time at_ns on, not before `lease_ns`, the reference gains ppb. */
void howler_knee(struct howler *h, uint64_t at_ns, uint64_t ref_ns, int32_t ppb);

/* ... with `busy`: from `tsc` on this core shows the reference, by its straight line and the knees, for one lease. */
void howler_show(struct clock *c, uint64_t tsc);

/* ... the base: schedule the next check of all cores. */
void howler_check_later(struct clock *c);

/* ... with `busy`, the base: compare the reference with the timebase. True: a change of its pace is under way. */
bool howler_look_now(struct clock *c);

/* ... when a core becomes the base; once per generation; when a lease ends. False: `busy` is taken, try again. */
bool howler_account(struct clock *c);
bool howler_look(struct clock *c);
bool howler_renew(struct clock *c);
