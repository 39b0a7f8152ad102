/* SPDX-License-Identifier: MIT */
/*
 * What is known of rates that are other than told, by `tempo_error=` or a bad oscillator.
 *
 * A core's rate is so many ppb: its TSC is slower than its tempo says by that, the
 * same part of each tempo, and for good. What each is against the first base of all is
 * therefore never forgotten (`own`). The straight time (howler.h) goes as its base's line
 * did when that took over (`lead`). So each core's rate against it (`now`) follows
 * whoever leads: it is known as well as its own and the base's are. The reference gains on
 * it what is best by what is known of the truth's rate.
 *
 * Everything is an interval that contains the right value. Nothing here is atomic: who
 * calls has `busy` (bound.h), and a core_rate is its own core's.
 */
#pragma once
#include "clock/decide.h"

struct rate {
	int32_t lo, hi; /* ppb */
};

/* Of the straight time. */
struct rates {
	uint32_t bound_ppb;      /* fixed at start: no core's rate is off what all others' are by more; 0: by nothing */
	uint32_t leads;          /* how often a core has begun to lead */
	uint64_t lead_ns;        /* since then .. */
	struct rate lead;        /* .. it is slower than the first base of all by that */
	struct rate truth;       /* the first base of all is slower than the truth by that */
	struct {
		uint32_t lead;
		uint64_t ns;
		int64_t lo, hi;
	} look;                  /* the first look at the timebase in this lead: the straight time was ahead of it by that */
};

/* Of a core. All zero: as told. */
struct core_rate {
	struct rate own;         /* against the first base of all */
	struct rate now;         /* against the straight time .. */
	uint32_t lead;           /* .. as it goes since that lead */
	uint64_t anchor_tsc;     /* where that was at some time, to learn the rate from; 0: nothing */
	uint32_t anchor_role;    /* the base word then */
	struct span anchor;
};

/* A line is to be steeper by that, ppb, .. */
static inline int32_t rate_ppb(const struct core_rate *c)
{
	return (int32_t)(((int64_t)c->now.lo + c->now.hi) / 2);
}

/* .. give or take that. */
static inline uint32_t rate_err(const struct core_rate *c)
{
	return (uint32_t)(((int64_t)c->now.hi - c->now.lo + 1) / 2);
}

/* A core of which nothing is known but the bound. */
void rate_unknown(const struct rates *r, struct core_rate *c);

/* The first base of all: what others are held against. What is told is slower than it is, as in rate_told. */
void rate_first(struct rates *r, struct core_rate *c, int32_t lo, int32_t hi);

/* By now it is known that all rates are slower than they are told by lo to hi ppb, and a core's by bound_ppb more or less. */
void rate_told(struct rates *r, int32_t lo, int32_t hi);

/* This core goes by whoever leads now. Returns by how much the ends of `now` have moved at most, ppb. */
uint32_t rate_follow(const struct rates *r, struct core_rate *c);

/*
 * The straight time goes as this core's line does from `now`, ns, on, by a line as steep as rate_ppb says then.
 * Returns how much otherwise than before that may be, ppb.
 */
uint32_t rate_lead(struct rates *r, struct core_rate *c, uint64_t now);

/*
 * This core follows (rate_follow), and `ref` says between what the straight time was when its TSC
 * was `tsc`, by the base that the word `role` names: learn from it.
 */
void rate_learn(struct rates *r, struct core_rate *c, uint32_t role, uint64_t tsc, uint32_t khz, const struct span *ref);

/* The straight time is ahead of the timebase, which says `ns`, by lo to hi ns: learn from it. */
void rate_look(struct rates *r, uint64_t ns, int64_t lo, int64_t hi);

/* So much the reference should gain on the straight time, ppb. */
int32_t rate_best(const struct rates *r);

/* If it gains `ppb`, it goes wrong by so much at most. */
uint32_t rate_off(const struct rates *r, int32_t ppb);

/* ... it goes wrong for sure, by what is known now. */
bool rate_steers(const struct rates *r, int32_t ppb);
