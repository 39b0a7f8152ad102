/* SPDX-License-Identifier: MIT */
/*
 * The reference clock over all cores, and the policies that keep it.
 *
 * Who writes what, and when:
 *   own, now   only the core itself, while it serves REQ_NOW or follows
 *              (interrupts off): rule R1 of the mail, so "interrupts off" =
 *              "my tempo and my line are stable"
 *   base, top  only the base core, at the top of its loop (resync, lead)
 *   stopped    only while the machine is stopped (smp/stop.c): rule R2, so
 *              "not joining a stop" = "the base and `online` are stable"
 *
 * Barriers: the base's `led` (release; acquire in follow) hands its line and
 * generation to the core that it leads; `evicted` (release; acquire in
 * all_evicted) hands last_ref_ns to the base. A core stores `in_transition` and
 * reads the base's `synced`, the base stores `synced` and reads `in_transition`
 * (after / lead), so all four accesses are seq_cst.
 *
 * What differs with sync=howler:
 *   base         moved by any core, at any time, by compare-and-swap (rule R2', howler.c)
 *   line         written by the core itself at the top of its loop, too
 *   generation   incremented by any core that moves `base` or takes a lost core down, and by the base
 *   led          written by the core itself, too, when it starts or stops following
 *   busy         its owner (acquire in bound_try, release in bound_done) has the
 *                bounds, the gaps, drift, knees and the page for itself
 *
 * Barriers there: `ask` and `answer` hand over stamps and the leader's line
 * (exchange.h). Seq_cst, as each side stores one word and then reads the other's:
 * `synced` and `base`, so that a role left at a core without a line is noticed
 * (settle); `partner` and the other core's `answers`, so that one core answers at
 * a time (begin_with / answer); `generation` and `synced`, so that no core misses
 * a check (conclude / lead).
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock/bound.h"
#include "clock/exchange.h"
#include "clock/howler.h"
#include "clock/line.h"

struct clock_core {
	/* own, now; another core may read it only once synced/evicted allow it */
	struct line line;
	_Atomic uint64_t last_ref_ns; /* the highest value that it could have shown when last evicted or stopped */
	uint32_t tempo_khz;     /* what the clock code believes of its tempo */
	uint32_t line_count;    /* lines so far: a page made from an earlier one is stale */
	uint32_t led_begun;     /* the value of `led` that its exchange began with */
	uint32_t rtt_base;      /* the base that rtt_pair_ns was measured with */
	uint64_t rtt_pair_ns;   /* the fastest round trip yet with that base; 0: none */
	_Atomic uint32_t generation;    /* of the resync that its line derives from */
	_Atomic uint32_t synced;        /* may run guests */
	_Atomic uint32_t in_transition; /* between a notice before and its notice after */
	_Atomic uint32_t evicted;       /* the last resync round that it was evicted for */

	/* written by the requester, before it sets REQ_BEFORE */
	_Atomic uint32_t notice_khz;

	/* base, top: number of the lead in which this core shall follow the base now; 0: none */
	_Atomic uint32_t led;

	/* stopped */
	_Atomic uint32_t online;

	/* own: the core that it waits for, to be reported if it hangs */
	uint32_t waits_for;

	struct exchange exchange;
	struct howler_core howler;
};

/* `base` of struct clock: a core, and with sync=howler the state of the role. */
#define BASE_CORE     0xfffu
#define BASE_LOST     (1u << 12) /* no core is synchronised: the first to end its transition restarts the time */
#define BASE_CLAIMED  (1u << 13) /* ... which this core is doing: it is making a new line */
#define BASE_RESTART  (1u << 14) /* unit of the count of restarts, */
#define BASE_RESTARTS (0x3ffu << 14)
#define BASE_MOVE     (1u << 24) /* and of the count of moves, against ABA: the same core again is another word */

enum clock_step {
	CLOCK_DONE,
	CLOCK_NOT_YET,  /* call again, after serving requests */
	CLOCK_NOT_BASE, /* the base has moved: ask there */
};

struct clock;

/* One complete answer to "what do we do when tempo or cores change". */
struct policy {
	const char *name;
	bool letter; /* rfc15.c: the mail to the letter */
	bool breaks_off; /* a leading core joins a stop at once and resumes after it; else it ends its lead first */
	uint32_t first_base; /* flags of the base word before the first line of all */
	bool bounds;         /* it keeps bounds (bound.h) */
	bool scales;         /* the guest's TSC is the reference, by TSC scaling: no tempo shows in it */
	bool checks;         /* a synchronised core may be led, too; it stays out of guests meanwhile */
	/*
	 * Any core, top of its loop: the tempo of `core` is about to change to khz; it has changed.
	 * CLOCK_NOT_YET: call again until it is done.
	 */
	enum clock_step (*notice_before)(struct clock *c, unsigned core, uint32_t khz);
	enum clock_step (*notice_after)(struct clock *c, unsigned core);
	/* this core, interrupts off; new_khz 0: the tempo stays, which only rfc15.c asks for */
	void (*evict)(struct clock *c, uint32_t new_khz);
	/* this core, before the machine stops, while synchronised; NULL: last_ref_ns alone is noted */
	void (*note)(struct clock *c);
	/* this core, interrupts off: its tempo change is over */
	void (*after)(struct clock *c);
	/* this core, interrupts off, while unsynchronised: one step towards the base */
	void (*follow)(struct clock *c);
	/* base core, top of its loop */
	enum clock_step (*resync)(struct clock *c);
	enum clock_step (*lead)(struct clock *c);
	/* any core, machine stopped */
	void (*take_down)(struct clock *c, unsigned core);
	void (*bring_up)(struct clock *c, unsigned core);
	/* any core, interrupts off: ns until this core must lead() unasked; 0: now. NULL: it never must */
	uint64_t (*due_ns)(const struct clock *c);
};

struct clock {
	const struct policy *policy;
	unsigned count;            /* cores, online or not */
	_Atomic uint32_t base;     /* stopped; sync=howler: rule R2' */
	/* base, top */
	_Atomic uint32_t generation;
	_Atomic uint32_t round;    /* resync rounds begun; cores answer it in `evicted` */
	enum resync_state { RESYNC_IDLE, RESYNC_EVICTING, RESYNC_LEADING } resync;
	uint32_t lead_count;
	/* any core, now: the fastest round trip of any exchange yet (howler: the narrowest span), ns; 0: none */
	_Atomic uint64_t rtt_floor_ns;
	uint64_t left_ns;          /* stopped: the highest value that any core which left has shown */
	unsigned waiting_for;      /* base, top: all cores before it are done */
	/*
	 * Fixed at start. Exchanges with a leader end when rounds_min in a row (rounds_first before the first
	 * line of all) brought nothing better, and the best is within rtt_pair_percent of the fastest round trip
	 * of the same two cores, or else within rtt_any_percent of that of any two. rounds_max limits them.
	 */
	uint32_t rounds_min, rounds_first, rounds_max, rtt_pair_percent, rtt_any_percent;
	struct clock_core *core;   /* [count] */
	struct howler howler;
};

/* The base core. */
static inline unsigned clock_base(const struct clock *c)
{
	return atomic_load_explicit(&c->base, memory_order_relaxed) & BASE_CORE;
}

/* Written in a stop: stable for a core that does not join one. */
static inline bool clock_online(const struct clock *c, unsigned core)
{
	return atomic_load_explicit(&c->core[core].online, memory_order_relaxed);
}

/* The policy of that name, or NULL. */
const struct policy *policy_find(const char *name);

/* All cores offline and unsynchronised, core `base` the base. Before other cores run. */
void clock_init(struct clock *c, const struct policy *p, struct clock_core *cores, unsigned count, unsigned base);

/*
 * For sync=howler, after clock_init: memory for what pairs of cores know of each other, [count * count], and three
 * arrays of [count]. With gap NULL a core is measured against the base only, and two other cores may show a warp on
 * a quicker path between them.
 */
void clock_pairs(struct clock *c, _Atomic uint32_t *gap, struct span *span, uint32_t *placed, struct bound *bound);

/*
 * Serve `bits` of REQ_NOW on this core and take a step towards being
 * synchronised if it is led. Interrupts off; never waits for another core.
 */
void clock_serve(struct clock *c, unsigned bits);

/* This core, before the machine stops: note what it can have shown by now. */
void clock_note(struct clock *c);

/* Is this core's line good? */
static inline bool clock_synced(const struct clock *c, unsigned core)
{
	return atomic_load_explicit(&c->core[core].synced, memory_order_acquire);
}

/* Is this core following another one? Then clock_serve takes its steps, and it enters no guest. */
bool clock_follows(const struct clock *c, unsigned core);

/*
 * Any core. Is the core's rate still too uncertain to show its clock? Until then it is
 * synchronised, enters no guest, and is due now and then (clock_due_ns).
 */
bool clock_learns(const struct clock *c, unsigned core);

/* This core, interrupts off: ns until it must lead() unasked; 0: now; UINT64_MAX: never. */
static inline uint64_t clock_due_ns(const struct clock *c)
{
	return c->policy->due_ns ? c->policy->due_ns(c) : UINT64_MAX;
}

/*
 * What the core shows at `tsc`, ns; after its lease, when no guest reads its line, the reference as it goes on. This
 * core, interrupts off, or the machine stopped.
 */
uint64_t clock_read(const struct clock *c, unsigned core, uint64_t tsc);

/* The reference now, ns, on this core, which must be synchronised; interrupts off. */
uint64_t clock_now(const struct clock *c);

extern const struct policy rfc15_policy, mail_policy, howler_policy, scale_policy, rendezvous_policy;
