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

/* All is known from `first` on. The rate is between lo and hi, mHz, not 0. */
void truth_begin(struct truth *t, const struct instant *first, uint64_t lo, uint64_t hi);

/*
 * The timer again. False: by that the rate isn't what it was known to be, so the timer or the TSC
 * has wandered; then all that it can have been is kept.
 */
bool truth_learn(struct truth *t, const struct instant *now);

/* How long so many raw ticks are, ns: at least, and at most. */
void truth_ns(const struct truth *t, uint64_t raw, uint64_t *lo, uint64_t *hi);

/* The middle of the two, mHz. */
uint64_t truth_middle(const struct truth *t);

/* By how much the rate is off that at most, ppb. */
uint64_t truth_doubt_ppb(const struct truth *t);

/* By how much a rate that is told as `khz` is slower than it is by the truth, ppb; 200 000 000 either way at most. */
void truth_slower(const struct truth *t, uint32_t khz, int32_t *lo, int32_t *hi);
