/* SPDX-License-Identifier: MIT */
/*
 * The truth: time by the raw TSC, with the second of the machine's best timer. How many ticks
 * that second has is measured, so it is an interval: it contains the true rate and narrows as
 * the run goes on. Pure; timebase.c reads the timer.
 *
 * Writer: at boot the boot core, then the conductor's seat, which is handed over in a
 * stopped machine. Readers: any core, relaxed: an old end is as valid as a new one.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A timer, late by at most late_ns, showed `ns` at some instant between raw_lo and raw_hi. */
struct instant {
	uint64_t ns, raw_lo, raw_hi;
	uint32_t late_ns;
};

struct truth {
	struct instant first;
	_Atomic uint64_t lo, hi; /* the rate, mHz (ticks in 1000 s) */
};

/* The raw TSC's mean rate from `a` to `b` as an interval, mHz; false: they are too close together to tell. */
bool truth_rate(const struct instant *a, const struct instant *b, uint64_t *lo, uint64_t *hi);

/*
 * Begins at the first of three instants, with the rate that they give. False, and the rate is unknown: it is not within
 * 10 MHz to 10 GHz, or the rates of the two parts contradict each other.
 */
bool truth_measure(struct truth *t, const struct instant at[3]);

/* Begins at `first`, with a rate between lo and hi, mHz; both 0: unknown. */
void truth_begin(struct truth *t, const struct instant *first, uint64_t lo, uint64_t hi);

/*
 * Narrows the interval by one more reading. False: the two don't meet, so the timer or the TSC
 * has wandered; then the interval is widened to cover both.
 */
bool truth_learn(struct truth *t, const struct instant *now);

/* What the timer should show at `raw`, which is not before `first`, ns. */
uint64_t truth_expect(const struct truth *t, uint64_t raw);

/* past_ns after `first`, the next reading is due in so many ns. */
uint64_t truth_look_ns(uint64_t past_ns);

/*
 * How far the timer is ahead (behind: < 0) of anything that *t allows it to show, ns. 0: no more than an oscillator can
 * wander between two readings. Else the timer or the raw TSC stopped or jumped, or this reading is bad. Any core.
 */
int64_t truth_jump(const struct truth *t, const struct instant *now);

/* The duration of `raw` ticks, ns: at least *lo, at most *hi. */
void truth_ns(const struct truth *t, uint64_t raw, uint64_t *lo, uint64_t *hi);

/* The midpoint of the rate's interval, mHz; 0: unknown. */
uint64_t truth_middle(const struct truth *t);

/* By how much the rate may be off that midpoint, ppb. */
uint64_t truth_doubt_ppb(const struct truth *t);

/* How much slower the true rate is than the nominal one: khz / true - 1, ppb; +/- 200 000 000 at most. */
void truth_slower(const struct truth *t, uint32_t khz, int32_t *lo, int32_t *hi);
