/* SPDX-License-Identifier: MIT */
/*
 * What is known of rates that differ from what is told, by `tempo_error=` or a bad oscillator.
 *
 * A core's rate is the ppb by which its TSC is slower than its tempo says: the same for each
 * tempo, and constant. So what is known of it against the first base of all (`own`) stays
 * valid for good. The straight time (howler.h) runs at the rate that the base's line had when
 * the base took over (`lead`). A core's rate against that (`now`) changes with the base, and is
 * known as well as both cores' own rates are. The reference gains on the straight time what is
 * best by what is known of the truth's rate.
 *
 * Everything is an interval that contains the right value. Nothing here is atomic: the caller
 * has `busy` (bound.h), and a core_rate belongs to its core.
 */
#pragma once
#include "clock/decide.h"

struct rate {
	int32_t lo, hi; /* ppb */
};

/* Of the straight time. */
struct rates {
	uint32_t bound_ppb;      /* fixed at start: largest error of one core's rate, beyond what all share; 0: none */
	uint32_t leads;          /* how often a core has begun to lead */
	uint64_t lead_ns;        /* since when, straight time, .. */
	struct rate lead;        /* .. it is slower than the first base of all by this */
	struct rate truth;       /* the first base of all is slower than the truth by this */
	struct {
		uint32_t lead;
		uint64_t ns;
		int64_t lo, hi;
	} look;                  /* first look at the timebase in this lead: how far the straight time was ahead */
};

/* Of a core. All zero: as told. */
struct core_rate {
	struct rate own;         /* against the first base of all */
	struct rate now;         /* against the straight time .. */
	uint32_t lead;           /* .. as it goes since that lead */
	uint64_t anchor_tsc;     /* of an earlier measurement, to learn the rate from; 0: none */
	uint32_t anchor_role;    /* the base word then */
	struct span anchor;      /* the straight time then */
};

/* How much steeper than told its line must be, ppb, .. */
static inline int32_t rate_ppb(const struct core_rate *c)
{
	return (int32_t)(((int64_t)c->now.lo + c->now.hi) / 2);
}

/* .. and the uncertainty of that, either way. */
static inline uint32_t rate_err(const struct core_rate *c)
{
	return (uint32_t)(((int64_t)c->now.hi - c->now.lo + 1) / 2);
}

/* A core of which nothing is known but the bound. */
void rate_unknown(const struct rates *r, struct core_rate *c);

/* The core is the first base of all, to which the rates of others refer. lo, hi: as in rate_told. */
void rate_first(struct rates *r, struct core_rate *c, int32_t lo, int32_t hi);

/* All rates are now known to be slower than told by lo to hi ppb, one core's by up to bound_ppb more or less. */
void rate_told(struct rates *r, int32_t lo, int32_t hi);

/* Refer the core's `now` to the lead that is. Returns by how much the ends of `now` have moved at most, ppb. */
uint32_t rate_follow(const struct rates *r, struct core_rate *c);

/*
 * From `now`, ns, on the straight time runs at the rate of this core's line, which must be as steep as rate_ppb says
 * after the call. Returns by how much that may differ from its rate before, ppb.
 */
uint32_t rate_lead(struct rates *r, struct core_rate *c, uint64_t now);

/*
 * The core, after rate_follow, has measured that the straight time was in `ref` when its TSC was `tsc`,
 * against the base that the word `role` names: learn from it.
 */
void rate_learn(struct rates *r, struct core_rate *c, uint32_t role, uint64_t tsc, uint32_t khz, const struct span *ref);

/* The straight time is ahead of the timebase, which says `ns`, by lo to hi ns: learn from it. */
void rate_look(struct rates *r, uint64_t ns, int64_t lo, int64_t hi);

/* How much the reference should gain on the straight time, ppb. */
int32_t rate_best(const struct rates *r);

/* If it gains `ppb`: its largest possible rate error against the truth, ppb. */
uint32_t rate_off(const struct rates *r, int32_t ppb);

/* ... is its rate certainly wrong, by what is known now? */
bool rate_steers(const struct rates *r, int32_t ppb);
