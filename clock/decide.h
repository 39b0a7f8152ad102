/* SPDX-License-Identifier: MIT */
/*
 * What howler makes of its measurements: pure, so that a trace of what was
 * measured on metal gives the same decisions on any host.
 *
 * A measurement says between which values the leader's reference lay when this
 * core's TSC was `tsc`: `lo` by what the leader said, `hi` by what it was told.
 * Any line between them agrees with every message seen.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "clock/line.h"

#define GAP_UNKNOWN UINT32_MAX

/* Of a rate: how much it is off, either way. */
static inline uint32_t magnitude(int32_t ppb)
{
	return ppb < 0 ? -(uint32_t)ppb : (uint32_t)ppb;
}

struct span {
	uint64_t lo, hi; /* ns */
};

struct clock_input {
	uint32_t khz;
	int32_t rate_ppb;     /* its TSC is slower than told by that */
	uint32_t rate_err_ppb; /* ... give or take that */
	uint64_t is_ns;       /* what its line showed at `tsc`: it stays unless something is wrong with it; 0: none that fits */
	uint64_t tsc, now_tsc; /* of the measurement; of the decision */
	struct span all;      /* where lines agree with all that was measured; lo > hi: nowhere */
	struct span base;     /* ... with the base: from this the radius comes */
	uint32_t gap_in, gap_out; /* how long the quickest message from the base, to it, took; GAP_UNKNOWN: both are */
};

struct clock_decision {
	struct line line;
	uint64_t x_ns;        /* the value at in->tsc that it aims at */
	int64_t moved_ns;     /* that much ahead of where it was, against the base, to suit those that it met */
	uint64_t radius_ns;   /* the line is off the base's by at most that now, */
	uint32_t growth_ppb;  /* and so much more as time goes on */
};

void decide(const struct clock_input *in, struct clock_decision *out);
