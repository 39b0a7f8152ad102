/* SPDX-License-Identifier: MIT */
/* The state of sync=howler (howler.c): of all cores, and of each. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#include "clock/bound.h"
#include "clock/decide.h"
#include "clock/rate.h"
#include "clock/trace.h"

/*
 * What cores measure and hold against each other is the straight time: it goes as the base does. What they show is the
 * reference: from the straight time at_ns on, when it shows ref_ns, it gains ppb on that. Written once, before it
 * counts (`knees`), and read by whoever shows a clock; relaxed, but for the count.
 */
struct knee {
	_Atomic uint64_t at_ns, ref_ns;
	_Atomic int32_t ppb;
};


enum { KNEES = 16 };

struct howler {
	_Atomic uint32_t busy;    /* core + 1 of the one that has it; guards bounds and gaps: bound.h */
	_Atomic uint32_t joiner;  /* core + 1 of the one that is measuring itself against all; 0: none */
	/* busy, to be changed: */
	_Atomic uint32_t *gap;    /* [from * count + to]: the quickest message between two cores, on their clocks, ns */
	/* busy: */
	struct bound *bound;      /* [count] */
	_Atomic uint64_t carry_ns; /* the radii of all bases when they became it; busy to write */
	uint64_t drift_ns, drift_at_ns; /* the base against the truth */
	uint32_t drift_ppb;
	/*
	 * At most so many looks at the timebase more before anybody shows its clock. The base, with
	 * `busy`; relaxed: it only ever falls, and who sees an old one lets its guest in later.
	 */
	_Atomic uint32_t boots;
	struct rates rates;       /* busy; the bound is fixed at start, and the base, which writes, may read without */
	/* the joiner: */
	struct span *span;        /* [count]: by what each other core said, .. */
	uint32_t *placed;         /* [count]: .. where it was then */
	/* busy: the base writes, at the top of its loop, who begins the time anew, too */
	struct knee knee[KNEES];
	_Atomic uint32_t knees;   /* there have been so many; the later one counts more. Release: the knee is there */
	uint64_t plan_ns;         /* ... and the last pull begins then, straight time */
	uint64_t lease_ns;        /* nobody shows the reference beyond that straight time before it has looked at the knees */
	bool use_timebase;        /* fixed at start */
	bool timebase_set;
	uint64_t timebase_ns, timebase_ref_ns, timebase_doubt_ns; /* when the clock began, by both, and give or take */
	/*
	 * When the base holds all against itself next: it writes, and so does who takes a
	 * line that must be looked after sooner. Relaxed: one that is lost comes with the next check.
	 */
	_Atomic uint64_t check_at_ns;
	_Atomic uint64_t check_ns;    /* how often; fixed at start */
	struct bound_page page;   /* busy to write; to read, by its version */
	struct bound_page *guest_page; /* busy: a copy in the guest's memory; NULL: it wants none */
};

struct howler_core {
	/* own, now: the straight time; clock_core has the line that is shown, which is good until the reference is that */
	struct line straight;
	uint32_t lines;             /* it has had; each is another one for who measures it */
	uint64_t until_ns;
	_Atomic uint32_t partner;   /* core + 1 of the one that it exchanges stamps with; 0: none. Own, now */
	_Atomic uint32_t answers;   /* core + 1 of the one that it is answering just now; 0: none. Own, top */
	_Atomic uint32_t placed;    /* how often it took a place anew. Own, with `busy` */
	/*
	 * At most so many checks more before it shows its clock: of its rate too little is known. Own,
	 * with `busy`; relaxed: who sees an old one leaves it out, and is met by it.
	 */
	_Atomic uint32_t learns;
	_Atomic uint32_t had_line;  /* it has been synchronised since it came, in this time. With `busy` */
	/*
	 * Its line must be checked again when the clock shows this; 0: by the base's own time. Own, now.
	 * Relaxed: who chooses an heir by an old one chooses worse, not wrong.
	 */
	_Atomic uint64_t fresh_ns;
	/* own, now */
	uint32_t with;              /* its last partner */
	uint32_t role, base;        /* the base word that its measurement began with; the base, and what that said */
	struct span base_span;
	uint32_t base_placed;
	uint32_t meets;             /* it has the array of what others say */
	uint32_t generation;        /* of the clock when the exchange began */
	uint64_t carry_ns;          /* ... likewise */
	uint32_t asked;             /* whom it answered last */
	uint32_t checks;            /* as the base: it holds all against itself, because it was time */
	uint32_t looked;            /* the last generation that it held against the timebase, as the base */
	uint32_t ready;             /* all is measured, only `busy` was missing */
	uint32_t rounds, narrowed;  /* exchanges with this partner, and which one said something new */
	uint32_t quick;             /* ... how many were as quick as the best one until then, or half as quick */
	uint64_t tag;               /* the leader's line that `span` goes by */
	uint64_t tsc;               /* the instant that all spans of one measurement are of; 0: none yet */
	struct span span;
	/*
	 * Where it was when it was out last. Own, while synchronised; who restarts the time
	 * reads all cores': the seq_cst store of synced = 0, or the stop, hands them over.
	 */
	uint64_t out_tsc, out_ns;
	uint32_t out_khz_min, out_khz_max;
	uint64_t out_base_ns;       /* by the timebase */
	uint64_t out_base_late_ns, out_base_early_ns;
	bool out_base_known;
	struct core_rate rate;      /* own, with `busy` to write; when it is brought up first, in the stop */
	struct trace trace;
};

/* Any core: what the reference shows at that straight time, which is now, or a little earlier or later. */
uint64_t howler_reference(const struct howler *h, uint64_t straight);
