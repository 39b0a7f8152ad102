/* SPDX-License-Identifier: MIT */
/*
 * The truth: the raw TSC, whose second is that of the best timer that the machine has. How
 * many ticks that second has is measured, so it is an interval: it contains the right rate,
 * and becomes narrow while the run goes on. Pure; the timer is read by timebase.c.
 *
 * Writer: at boot the boot core, then the conductor's seat, which is handed over in a
 * stopped machine. Readers: any core, relaxed: whichever ends it sees, both are true.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A timer showed `ns`, and was late by `late_ns` at most, at some instant when the raw TSC was between these. */
struct instant {
	uint64_t ns, raw_lo, raw_hi;
	uint32_t late_ns;
};

struct truth {
	struct instant first;
	_Atomic uint64_t lo, hi; /* ticks in 1000 s: mHz */
};

/* Between which rates the raw TSC was from `a` to `b`, mHz; false: they are too near to each other to tell. */
bool truth_rate(const struct instant *a, const struct instant *b, uint64_t *lo, uint64_t *hi);

/*
 * Three in a row: the rate, known from the first on. False, and nothing is known: it isn't one from 10 MHz to 10 GHz, or was
 * another from each to the next.
 */
bool truth_measure(struct truth *t, const struct instant at[3]);

/* All is known from `first` on. The rate is between lo and hi, mHz; both 0: nothing is known. */
void truth_begin(struct truth *t, const struct instant *first, uint64_t lo, uint64_t hi);

/*
 * The timer again. False: by that the rate isn't what it was known to be, so the timer or the TSC
 * has wandered; then all that it can have been is kept.
 */
bool truth_learn(struct truth *t, const struct instant *now);

/* Where the timer is at `raw`, which is after the first, ns. */
uint64_t truth_expect(const struct truth *t, uint64_t raw);

/* After so much time the timer is to be looked at when so much has passed again, ns. */
uint64_t truth_look_ns(uint64_t past_ns);

/*
 * By how much the timer is ahead of all that it can show, ns; behind: less than 0. 0: by no more than an oscillator can
 * wander between two looks. Else the timer stopped or jumped, or the raw TSC did, or this reading is bad. Any core.
 */
int64_t truth_jump(const struct truth *t, const struct instant *now);

/* How long so many raw ticks are, ns: at least, and at most. */
void truth_ns(const struct truth *t, uint64_t raw, uint64_t *lo, uint64_t *hi);

/* The middle of the two, mHz; 0: nothing is known. */
uint64_t truth_middle(const struct truth *t);

/* By how much the rate is off that at most, ppb. */
uint64_t truth_doubt_ppb(const struct truth *t);

/* By how much a rate that is told as `khz` is slower than it is by the truth, ppb; 200 000 000 either way at most. */
void truth_slower(const struct truth *t, uint32_t khz, int32_t *lo, int32_t *hi);
