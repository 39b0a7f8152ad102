/* SPDX-License-Identifier: MIT */
/*
 * What the parts of sync=howler have of each other: howler.c (events, and the top of the
 * loop), howler_role.c (who carries the time on), howler_follow.c (a core measures itself)
 * and howler_reference.c (how the reference goes on). This core, interrupts off, all of it.
 */
#pragma once
#include "clock/clock.h"
#include "clock/port.h"
#include "clock/rfc15.h"

enum {
	RTT_PARTS = 8,
	CHECK_NS_MIN = 15000,
	LEARN_CHECKS = 100, /* for a rate to be known; then it can't be */
};

/* The timebase, if it may be believed, read between two of this core's ticks. */
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

/* Its rate may show at `now`. */
static inline bool stale(const struct clock *c, unsigned core, uint64_t now)
{
	uint64_t until = fresh_ns(c, core);

	return until && now >= until;
}

/* ns that do not show on any path, as far as is known. */
static inline uint64_t part_of_rtt(const struct clock *c)
{
	return atomic_load_explicit(&c->rtt_floor_ns, memory_order_relaxed) / RTT_PARTS + 1;
}

/* This core, synchronised: the straight time. */
static inline uint64_t straight_now(const struct clock *c)
{
	return line_read(&c->core[port_core()].howler.straight, port_tsc());
}

/* One check more is over; or enough is learned. True: more are to come. */
static inline bool learn_on(_Atomic uint32_t *learns, bool enough)
{
	uint32_t left = atomic_load_explicit(learns, memory_order_relaxed);

	left = enough || !left ? 0 : left - 1;
	atomic_store_explicit(learns, left, memory_order_relaxed);
	return left;
}

/* howler.c: before this core is out: where it stands. */
void howler_note(struct clock *c);

/* howler_role.c: the base role where it belongs; call it after each change of a `synced`. */
void howler_settle(struct clock *c);

/* ... no core is synchronised: this one starts a new line, if it may, behind all that was shown. */
void howler_restart(struct clock *c);

/* howler_follow.c: no measurement any more. */
void howler_let_go(struct clock *c);

/* ... with `busy`, which is given back: a new line for this core, of the time that is. */
void howler_take(struct clock *c, const struct clock_decision *d, uint32_t generation, uint64_t carry_ns);

/* ... with `busy`, or stopped: what is known of core's messages with others is void. */
void howler_forget_gaps(struct clock *c, unsigned core);

void howler_follow(struct clock *c);

/* howler_reference.c: the quickest of some readings. False: there is none to believe. */
bool howler_timebase(const struct clock *c, struct timebase *t);

/* ... how much slower all are than told, ppb. Without discipline it says only how far off the truth that may lead. */
void howler_told(const struct clock *c, int32_t *lo, int32_t *hi);

/* ... with `busy`: the straight time goes as this core does from now on. How much otherwise than before, ppb. */
uint32_t howler_set_pace(struct clock *c, uint64_t now);

/* ... with `busy`, from the straight time at_ns on, beyond `lease_ns`: the reference gains ppb. */
void howler_knee(struct howler *h, uint64_t at_ns, uint64_t ref_ns, int32_t ppb);

/* ... with `busy`, this core shows its straight line, from `tsc` on, as the reference is to go. */
void howler_show(struct clock *c, uint64_t tsc);

/* ... the base: when all are to be held against it again. */
void howler_check_later(struct clock *c);

/* ... with `busy`, the base: against the timebase. True: the reference is pulled. */
bool howler_look_now(struct clock *c);

/* ... as the base for the first time, or once for each generation; where a line ends. False: `busy` is taken, come again. */
bool howler_account(struct clock *c);
bool howler_look(struct clock *c);
bool howler_renew(struct clock *c);
