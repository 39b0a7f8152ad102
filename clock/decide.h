/* SPDX-License-Identifier: MIT */
/*
 * How howler decides on a line from measurements: pure, so that a trace of what
 * was measured on metal gives the same decisions on any host.
 *
 * A measurement bounds the leader's straight time (howler.h) at the instant when this
 * core's TSC was `tsc`: `lo` from the leader's answers, `hi` from the questions to it.
 * Any line between the two agrees with every message seen.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "clock/line.h"

#define GAP_UNKNOWN UINT32_MAX

/* Of a rate: its error without the sign. */
static inline uint32_t magnitude(int32_t ppb)
{
	return ppb < 0 ? -(uint32_t)ppb : (uint32_t)ppb;
}

struct span {
	uint64_t lo, hi; /* ns */
};

struct clock_input {
	uint32_t khz;
	int32_t rate_ppb;     /* its TSC is slower than told by this */
	uint32_t rate_err_ppb; /* ... with this uncertainty, either way */
	uint64_t is_ns;       /* its line at `tsc`, kept unless a measurement contradicts it; 0: no valid line */
	uint64_t tsc, now_tsc; /* of the measurement; of the decision */
	struct span all;      /* where a line agrees with all that was measured; lo > hi: nowhere */
	struct span base;     /* ... with what was measured against the base, from which the radius follows */
	uint32_t gap_in, gap_out; /* minimum apparent delay from the base, and to it; GAP_UNKNOWN: both are */
};

struct clock_decision {
	struct line line;
	uint64_t x_ns;        /* the value at in->tsc that it aims at */
	int64_t moved_ns;     /* how far ahead of its old place against the base, to agree with the cores it met */
	uint64_t radius_ns;   /* bound on the line's offset from the base's now, */
	uint32_t growth_ppb;  /* and how that grows */
};

void decide(const struct clock_input *in, struct clock_decision *out);
