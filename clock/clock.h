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
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock/exchange.h"
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

	struct exchange exchange;
};

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
	/*
	 * Any core, top of its loop: core's tempo is going to be khz; it has changed.
	 * CLOCK_NOT_YET: call again until it is done.
	 */
	enum clock_step (*notice_before)(struct clock *c, unsigned core, uint32_t khz);
	enum clock_step (*notice_after)(struct clock *c, unsigned core);
	/* this core, interrupts off; new_khz 0: the tempo stays */
	void (*evict)(struct clock *c, uint32_t new_khz);
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
};

struct clock {
	const struct policy *policy;
	unsigned count;            /* cores, online or not */
	_Atomic uint32_t base;     /* stopped */
	/* base, top */
	_Atomic uint32_t generation;
	_Atomic uint32_t round;    /* resync rounds begun; cores answer it in `evicted` */
	enum resync_state { RESYNC_IDLE, RESYNC_EVICTING, RESYNC_LEADING } resync;
	uint32_t lead_count;
	/* own, now: the fastest round trip of any exchange yet, ns; 0: there was none */
	_Atomic uint64_t rtt_floor_ns;
	uint64_t left_ns;          /* stopped: the highest value that a core which left has shown */
	unsigned waiting_for;      /* the core that the base waits for: all before it are done */
	/*
	 * Fixed at start: how many exchanges in a row must not be quicker than one
	 * before them, for a line and for the first line of all; and how near to the
	 * fastest round trip of the same two cores, or else of any two, percent, the
	 * best of them must come.
	 */
	uint32_t rounds_min, rounds_first, rtt_pair_percent, rtt_any_percent;
	struct clock_core *core;   /* [count] */
};

/* The policy of that name, or NULL. */
const struct policy *policy_find(const char *name);

/* All cores offline and unsynchronised, core `base` the base. Before other cores run. */
void clock_init(struct clock *c, const struct policy *p, struct clock_core *cores, unsigned count,
		unsigned base);

/*
 * Serve `bits` of REQ_NOW on this core and take a step towards being
 * synchronised if it is led. Interrupts off; never waits for another core.
 */
void clock_serve(struct clock *c, unsigned bits);

/* This core, before the machine stops: note what it can have shown by now. */
void clock_note(struct clock *c);

/* May this core enter a guest? */
bool clock_synced(const struct clock *c, unsigned core);

/* The reference now, ns, on this core, which must be synchronised; interrupts off. */
uint64_t clock_now(const struct clock *c);

extern const struct policy rfc15_policy, mail_policy;
