/* SPDX-License-Identifier: MIT */
/* The state of sync=howler (howler.c): shared, and per core. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#include "clock/bound.h"
#include "clock/decide.h"
#include "clock/rate.h"
#include "clock/trace.h"

/*
 * Two time scales. Cores measure and compare the straight time, which runs at the base's rate and is never steered.
 * They show the reference: from straight time at_ns on, where it reads ref_ns, it gains ppb on the straight time. A
 * knee is written before `knees` counts it, and read by every core that shows a clock; relaxed, ordered by `knees`.
 */
struct knee {
	_Atomic uint64_t at_ns, ref_ns;
	_Atomic int32_t ppb;
};


enum { KNEES = 16 };

struct howler {
	_Atomic uint32_t busy;    /* try-lock for bounds and gaps (bound.h): its owner, core + 1; 0: free */
	_Atomic uint32_t joiner;  /* the core that is measuring itself against all others, core + 1; 0: none */
	/* written with `busy`: */
	_Atomic uint32_t *gap;    /* [from * count + to]: minimum apparent one-way delay, by the two clocks, ns */
	/* with `busy`: */
	struct bound *bound;      /* [count] */
	_Atomic uint64_t carry_ns; /* sum of the radius of each base when it became base; read without `busy` */
	uint64_t drift_ns, drift_at_ns; /* bound on the base's error against the truth; grows by drift_ppb */
	uint32_t drift_ppb;
	/*
	 * Looks at the timebase left, at most, before any core shows its clock. Set by the first start, then counted
	 * down by the base, with `busy`; relaxed: a stale read only delays a guest.
	 */
	_Atomic uint32_t boots;
	struct rates rates;       /* with `busy`; the base, which writes, may read without. bound_ppb: fixed at start */
	/* the joiner's: */
	struct span *span;        /* [count]: where each other core puts it, .. */
	uint32_t *placed;         /* [count]: .. and that core's `placed` then */
	/* with `busy`; written by the base at the top of its loop, by a core that restarts the time, or as noted */
	struct knee knee[KNEES];
	_Atomic uint32_t knees;   /* how many there have been; a later one overrides. Release: its knee is written */
	uint64_t plan_ns;         /* straight time at which the last planned change of pace begins */
	uint64_t lease_ns;        /* the latest end of any lease (howler_show), straight time; any core writes it */
	bool use_timebase;        /* fixed at start */
	bool timebase_set;
	uint64_t timebase_ns, timebase_ref_ns, timebase_doubt_ns; /* both at the first look, and their uncertainty */
	/*
	 * When the base checks all cores next, straight time. Written by the base, or by a core that restarts the time;
	 * relaxed: a lost update is made up for by the next check.
	 */
	_Atomic uint64_t check_at_ns;
	_Atomic uint64_t check_ns;    /* the longest time between two checks; fixed at start */
	struct bound_page page;   /* read without `busy`, by its version */
	struct bound_page *guest_page; /* with `busy`: a copy in the guest's memory; NULL: it wants none */
};

struct howler_core {
	/* own, now: the straight time. clock_core.line is what the core shows, until that reaches until_ns */
	struct line straight;
	uint32_t lines;             /* straight lines so far: a follower sees by it that the line has changed */
	uint64_t until_ns;
	_Atomic uint32_t partner;   /* the leader it exchanges stamps with, core + 1; 0: none. Own, now */
	_Atomic uint32_t answers;   /* the follower it is answering, core + 1; 0: none. Own, top */
	_Atomic uint32_t placed;    /* counts its new places: each voids what others measured of it. Own, with `busy` */
	/*
	 * Checks left, at most, before it shows its clock: its rate is too uncertain. Own, with `busy`; relaxed: a
	 * stale read is harmless, as that core is skipped and meets the reader later.
	 */
	_Atomic uint32_t learns;
	_Atomic uint32_t had_line;  /* synchronised since it came online and since the last restart. With `busy` */
	/*
	 * Straight time by which its line must be checked; 0: by the base's schedule only. Own, now. Relaxed: a stale
	 * read makes a worse choice of heir, not a wrong one.
	 */
	_Atomic uint64_t fresh_ns;
	/* own, now */
	uint32_t with;              /* its last partner */
	uint32_t role, base;        /* when its measurement began: the base word, and the base in it */
	struct span base_span;      /* where the base puts it */
	uint32_t base_placed;
	uint32_t meets;             /* it is the joiner: `span` and `placed` of struct howler are its own */
	uint32_t generation;        /* of the clock when the measurement began */
	uint64_t carry_ns;          /* ... likewise */
	uint32_t asked;             /* the core that it answered last */
	uint32_t checks;            /* as the base: a periodic check of all cores is under way */
	uint32_t looked;            /* the last generation in which it, as the base, read the timebase */
	uint32_t ready;             /* all is measured; it waits for `busy` only */
	uint32_t rounds, narrowed;  /* exchanges with this partner, and the last one that narrowed `span` */
	uint32_t quick;             /* ... how many took at most twice the best round trip until then */
	uint64_t tag;               /* which of the leader's lines `span` refers to */
	uint64_t tsc;               /* the local instant to which all spans of one measurement refer; 0: none yet */
	struct span span;
	/*
	 * Where it stood when last out. Own, while synchronised; a core that restarts the time reads all cores':
	 * the seq_cst store of synced = 0, or the stop, hands them over.
	 */
	uint64_t out_tsc, out_ns;
	uint32_t out_khz_min, out_khz_max;
	uint64_t out_base_ns;       /* by the timebase */
	uint64_t out_base_late_ns, out_base_early_ns;
	bool out_base_known;
	struct core_rate rate;      /* own; written with `busy`, anchor_tsc also without; initialised in a stop */
	struct trace trace;
};

/* Any core: the reference at a straight time, which must be near now: only the last few knees are known. */
uint64_t howler_reference(const struct howler *h, uint64_t straight);
