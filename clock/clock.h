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
 *              "not joining a stop" = "the base and who is online are stable"
 *
 * Barriers: the base's `led` (release; acquire in follow) hands its line and
 * generation to the core that it leads; `evicted` (release; acquire in
 * all_evicted) hands last_ref_ns to the base. `in_transition` of a core and
 * `synced` of the base are stored and then read crosswise (after / lead), so
 * all four accesses are seq_cst.
 *
 * With sync=howler it is otherwise in this:
 *   base         any core, at any time, by compare-and-swap (rule R2', howler.c)
 *   line         the core itself, at the top of its loop, too
 *   generation   any core that moves `base` adds to it, and the base
 *   led          the core itself, too: it begins and ends to follow
 *   busy         who has taken it (acquire; release in bound_done) has the bounds,
 *                the gaps, drift, pull and the page for itself
 *
 * Barriers there: `ask` and `answer` hand stamps and the leader's line over
 * (exchange.h). Stored and then read crosswise, seq_cst: `synced` and `base`, so
 * that a role at a core without a line is seen (settle); `partner` and the
 * other's `answers`, so that one answers at a time (begin_with / answer);
 * `generation` and `synced`, so that no core misses a check (conclude / lead).
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
	/* own, now; another core may read it only after synced/evicted said so */
	struct line line;
	_Atomic uint64_t last_ref_ns; /* the highest value that it could have shown when last evicted or stopped */
	uint32_t tempo_khz;     /* what the clock code believes of its tempo */
	uint32_t line_count;    /* lines it has had: a page that was made from another is stale */
	uint32_t led_begun;     /* the value of `led` that its exchange began with */
	uint32_t rtt_base;      /* the base of rtt_pair_ns, the fastest round trip with it yet */
	uint64_t rtt_pair_ns;   /* 0: there was none */
	_Atomic uint32_t generation;    /* of the resync that its line goes back to */
	_Atomic uint32_t synced;        /* may run guests */
	_Atomic uint32_t in_transition; /* between a notice before and its notice after */
	_Atomic uint32_t evicted;       /* the last resync round that it was evicted for */

	/* written by who asks, before REQ_BEFORE is set */
	_Atomic uint32_t notice_khz;

	/* base, top: this core shall follow the base now; each lead has a number, 0: none */
	_Atomic uint32_t led;

	/* stopped */
	_Atomic uint32_t online;

	/* own: the core that it waits for, for who looks why it hangs */
	uint32_t waits_for;

	struct exchange exchange;
	struct howler_core howler;
};

/* `base` of struct clock: a core, and with sync=howler what is the matter with it. */
#define BASE_CORE     0xfffu
#define BASE_LOST     (1u << 12) /* no core is synchronised: time stands with whoever ends its transition first */
#define BASE_CLAIMED  (1u << 13) /* ... which is this one: it makes a new line just now */
#define BASE_RESTART  (1u << 14) /* unit of the number of such new lines, */
#define BASE_RESTARTS (0x3ffu << 14)
#define BASE_MOVE     (1u << 24) /* and of the number of moves: the same core again is another word */

enum clock_step {
	CLOCK_DONE,
	CLOCK_NOT_YET,  /* call again, after serving requests */
	CLOCK_NOT_BASE, /* the base is elsewhere by now: ask there */
};

struct clock;

/* One complete answer to "what do we do when tempo or cores change". */
struct policy {
	const char *name;
	bool letter; /* rfc15.c: the mail to the letter */
	bool breaks_off; /* who leads joins a stop at once and goes on after it; else it ends its lead first */
	uint32_t first_base; /* flags of the base word before the first line of all */
	bool bounds;         /* it keeps bounds (bound.h) */
	bool scales;         /* the guest's TSC is the reference, by TSC scaling: no tempo shows in it */
	bool checks;         /* a synchronised core may be led, too; it stays out of guests meanwhile */
	/*
	 * Any core, top of its loop: core's tempo is going to be khz; it has changed.
	 * CLOCK_NOT_YET: call again until it is done.
	 */
	enum clock_step (*notice_before)(struct clock *c, unsigned core, uint32_t khz);
	enum clock_step (*notice_after)(struct clock *c, unsigned core);
	/* this core, interrupts off; new_khz 0: the tempo stays, which only rfc15.c asks for */
	void (*evict)(struct clock *c, uint32_t new_khz);
	/* this core, before the machine stops, while synchronised; NULL: nothing more */
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
	/*
	 * Any core, interrupts off: ns until this core must lead of its own accord, 0:
	 * now. NULL: it never must.
	 */
	uint64_t (*due_ns)(const struct clock *c);
};

struct clock {
	const struct policy *policy;
	unsigned count;            /* cores, online or not */
	_Atomic uint32_t base;     /* stopped; sync=howler: howler.c has a rule of its own */
	/* base, top */
	_Atomic uint32_t generation;
	_Atomic uint32_t round;    /* resync rounds begun; cores answer it in `evicted` */
	enum resync_state { RESYNC_IDLE, RESYNC_EVICTING, RESYNC_LEADING } resync;
	uint32_t lead_count;
	/* own, now: the fastest round trip of any exchange yet, ns; 0: there was none */
	_Atomic uint64_t rtt_floor_ns;
	uint64_t left_ns;          /* stopped: the highest value that a core which left has shown */
	unsigned waiting_for;      /* base, top: all cores before it are done */
	/*
	 * Fixed at start: how many exchanges in a row must not be quicker than one
	 * before them, for a line and for the first line of all; and how near to the
	 * fastest round trip of the same two cores, or else of any two, percent, the
	 * best of them must come; and how many exchanges there are at most.
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

/* Stopped: written; who does not join a stop may rely on it. */
static inline bool clock_online(const struct clock *c, unsigned core)
{
	return atomic_load_explicit(&c->core[core].online, memory_order_relaxed);
}

/* The policy of that name, or NULL. */
const struct policy *policy_find(const char *name);

/* All cores offline and unsynchronised, core `base` the base. Before other cores run. */
void clock_init(struct clock *c, const struct policy *p, struct clock_core *cores, unsigned count, unsigned base);

/*
 * For sync=howler, after clock_init: what pairs of cores know of each other,
 * [count * count] and three of [count]. Without them a core goes by the base
 * only, and two others may be caught in a warp on a path quicker than that.
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

/* Does this core follow another just now? Then it steps on by clock_serve, and enters no guest. */
bool clock_follows(const struct clock *c, unsigned core);

/*
 * Any core. Is too little known of the core's rate to show its clock to anybody? It is
 * synchronised meanwhile, enters no guest, and is due now and then (clock_due_ns).
 */
bool clock_learns(const struct clock *c, unsigned core);

/* This core, interrupts off: ns until it must lead of its own accord; 0: now; UINT64_MAX: never. */
static inline uint64_t clock_due_ns(const struct clock *c)
{
	return c->policy->due_ns ? c->policy->due_ns(c) : UINT64_MAX;
}

/*
 * What the core shows at `tsc`, ns: also where its line is over by then, and no guest of it reads it. This core, interrupts
 * off, or the machine stopped.
 */
uint64_t clock_read(const struct clock *c, unsigned core, uint64_t tsc);

/* The reference now, ns, on this core, which must be synchronised; interrupts off. */
uint64_t clock_now(const struct clock *c);

extern const struct policy rfc15_policy, mail_policy, howler_policy, scale_policy, rendezvous_policy;
