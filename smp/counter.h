/* SPDX-License-Identifier: MIT */
/*
 * A hardware counter of few bits as one of 64 that any core reads, and its
 * counts as nanoseconds. Portable; the hardware is a function.
 *
 * Wraps: `seen` is the extended value of a reading that is over. Who reads takes
 * it first (acquire) and the hardware after it, so the hardware is ahead of it
 * by what it shows, modulo a wrap. Who is more than a quarter of a wrap ahead
 * moves it up (release). So if some core reads once per half wrap, `seen` is
 * never three quarters behind. Whoever was held up between its two looks for
 * longer than that finds `seen` moved, and looks again. Moving it may fail:
 * then another core did it, no later than a quarter of a wrap ago.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct counter {
	uint64_t (*read)(void); /* the hardware; higher bits than it has may be anything */
	uint64_t mask;          /* of the bits that it has */
	uint32_t num, den;      /* a count lasts num / den ns */
	uint64_t start;
	_Atomic uint64_t seen;
};

/* 8 .. 64 bits; num and den not 0. Before other cores read it. */
void counter_start(struct counter *c, uint64_t (*read)(void), unsigned bits, uint32_t num, uint32_t den);

/* Counts since the start. Any core; some core at least once per half wrap of the hardware. */
uint64_t counter_read(struct counter *c);

/* How long so many counts last: exact, cut to whole ns. Years do not overflow: 2^64 ns are 584 of them. */
uint64_t counter_ns(const struct counter *c, uint64_t counts);

/*
 * The smallest step between readings in a row, of a few steps and not more than
 * `polls` readings; 0: it stands still. Hardware that moves on more rarely than
 * it counts can't step by less than it does then; but both the step and what a
 * reading shows are cut to whole counts. So with two counts added this is no
 * less than what a reading may be late by.
 */
uint64_t counter_step(const struct counter *c, unsigned polls);
