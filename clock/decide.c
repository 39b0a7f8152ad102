/* SPDX-License-Identifier: MIT */
#include "clock/decide.h"

enum { ROUNDING_NS = 3, ROUNDING_PPB = 1 }; /* of a line's arithmetic: 2^-32 of itself, and a ns here and there */

#define BILLION 1000000000

static uint64_t middle(uint64_t a, uint64_t b)
{
	return a / 2 + b / 2 + (a & b & 1);
}

static uint64_t within(uint64_t x, const struct span *s)
{
	return x < s->lo ? s->lo : x > s->hi ? s->hi : x;
}

/*
 * Where in the span? The first time in the middle of all spans. Later at the old place against the
 * base: minimum delays don't change, so a measurement wider than the old gaps has its excess on either
 * side, in unknown parts. Without a valid line it is split evenly. A valid line stays if some split
 * allows it, else moves to the nearest value that one allows: a measurement widened by a time slice of
 * the host's says nothing, or something of one side only. So this core keeps what it once agreed on
 * with others, though it has asked the base only. If it has met some for the first time, it must suit
 * them, too; if it can't suit all of them, each of the two that disagree most bears half of it.
 */
static uint64_t aim(const struct clock_input *in, int64_t *moved)
{
	*moved = 0;
	if (in->gap_in == GAP_UNKNOWN && in->is_ns && in->all.lo <= in->all.hi) {
		/* Nothing contradicts the line as long as it is between the ends. */
		uint64_t x = within(in->is_ns, &in->all);

		*moved = (int64_t)(x - in->is_ns);
		return x;
	}
	if (in->gap_in == GAP_UNKNOWN)
		return middle(in->all.lo, in->all.hi);
	uint64_t from_hi = in->base.hi > in->gap_out ? in->base.hi - in->gap_out : 0;
	struct span room = { in->base.lo + in->gap_in, from_hi };
	bool wide = in->is_ns && room.lo <= room.hi;
	uint64_t was = within(wide ? within(in->is_ns, &room) : middle(room.lo, room.hi), &in->base);
	uint64_t x = in->all.lo > in->all.hi ? middle(in->all.lo, in->all.hi) : within(was, &in->all);

	*moved = (int64_t)(x - was);
	return x;
}

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

void decide(const struct clock_input *in, struct clock_decision *out)
{
	uint64_t x = aim(in, &out->moved_ns), age = ticks_ns(in->now_tsc - in->tsc, in->khz, in->rate_ppb);

	line_start_steeper(&out->line, in->now_tsc, x + age, in->khz, in->rate_ppb);
	out->x_ns = x;
	uint64_t low = apart(x, in->base.lo), high = apart(x, in->base.hi);
	out->radius_ns = (low > high ? low : high) + ROUNDING_NS + age * in->rate_err_ppb / BILLION;
	out->growth_ppb = ROUNDING_PPB + in->rate_err_ppb;
}
