/* SPDX-License-Identifier: MIT */
/*
 * A hardware counter of few bits as nanoseconds. Portable; the hardware is a function.
 *
 * It may wrap unseen as often as it wants: who reads it knows by the raw TSC what it shows, to half a wrap.
 */
#pragma once
#include <stdint.h>

struct counter {
	uint64_t (*read)(void); /* the hardware; higher bits than it has may be anything */
	uint64_t mask;          /* of the bits that it has */
	uint32_t num, den;      /* a count lasts num / den ns */
	uint64_t start;
};

/* 8 .. 63 bits; num and den not 0. */
void counter_start(struct counter *c, uint64_t (*read)(void), unsigned bits, uint32_t num, uint32_t den);

/* The time since the start when the hardware showed `shown`, ns: of those that can be, the one nearest to near_ns. */
uint64_t counter_time(const struct counter *c, uint64_t shown, uint64_t near_ns);

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
