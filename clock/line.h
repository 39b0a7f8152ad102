/* SPDX-License-Identifier: MIT */
/*
 * A line: how one core's TSC maps to the reference clock, in exactly the form
 * and arithmetic of the clock page, so that host and guest compute the same
 * nanosecond from the same tick.
 */
#pragma once
#include <stdint.h>

#include "clock/tempo.h"

struct line {
	uint64_t tsc;    /* origin, this core's ticks */
	uint64_t ref_ns; /* reference at the origin */
	uint32_t mul;    /* as pvclock's tsc_to_system_mul */
	int8_t shift;    /* as pvclock's tsc_shift */
};

/* Reference at `tsc`, ns. Before its origin a line stands still at ref_ns. */
uint64_t line_read(const struct line *l, uint64_t tsc);

/* Start the line at (tsc, ref_ns) with the slope of a TSC of `khz` (1 .. 2^32-1). */
void line_start(struct line *l, uint64_t tsc, uint64_t ref_ns, uint32_t khz);

/* The same, steeper by `ppb` (up to 10^6 either way). */
void line_start_steeper(struct line *l, uint64_t tsc, uint64_t ref_ns, uint32_t khz, int32_t ppb);

/* `of`, steeper by `ppb` (up to 10^7 either way), from (tsc, ref_ns) on. */
void line_start_from(struct line *l, const struct line *of, uint64_t tsc, uint64_t ref_ns, int32_t ppb);

/* The ns that `ticks` (< 2^63) take on a TSC that is slower than `khz` by `ppb`, rounded down. */
uint64_t ticks_ns(uint64_t ticks, uint32_t khz, int32_t ppb);

/*
 * The line as a counter: multiplier and offset by which the raw TSC (of 16 kHz or more)
 * shows the reference, one tick per ns, on a core whose TSC is `core`. It is the line
 * without truncation: at most 1 ns (and 1 ns more per day) below line_read, and at most a
 * tick of the core and 2 ns above. It depends neither on the machine's uptime nor on when
 * it is computed.
 */
struct tempo_piece line_piece(const struct line *l, const struct tempo_piece *core);
