/* SPDX-License-Identifier: MIT */
/*
 * A hardware counter of few bits, extended to nanoseconds. Portable; the hardware is a function.
 *
 * It may wrap unnoticed any number of times: the reader knows the time by the raw TSC to within half a wrap.
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

/* When the hardware showed `shown`, ns since the start: of the candidates, a wrap apart, the one nearest to near_ns. */
uint64_t counter_time(const struct counter *c, uint64_t shown, uint64_t near_ns);

/* The duration of `counts`, rounded down to whole ns. Overflows after 2^64 ns, which are 584 years. */
uint64_t counter_ns(const struct counter *c, uint64_t counts);

/*
 * The smallest step between consecutive readings, over a few steps and at most
 * `polls` readings; 0: it stands still. Hardware that updates less often than it
 * counts never steps by less than its update interval; but both the step and a
 * reading are rounded down to whole counts. So a reading is late by no more than
 * this plus two counts.
 */
uint64_t counter_step(const struct counter *c, unsigned polls);
