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

/* ns that `ticks` (< 2^63) of a TSC of `khz` last, if it is slower than that by `ppb`: rounded down. */
uint64_t ticks_ns(uint64_t ticks, uint32_t khz, int32_t ppb);

/*
 * The line as a counter: what makes the raw TSC (of 16 kHz or more) show the
 * reference, a tick a ns, on a core whose TSC is `core`. It is what the line is
 * before anything is cut: from one ns below line_read (and one more a day) to a tick
 * of the core and two ns above. However long the machine has been on, and whenever
 * it is asked for, it is the same.
 */
struct tempo_piece line_piece(const struct line *l, const struct tempo_piece *core);
