/* SPDX-License-Identifier: MIT */
#include "clock/decide.h"

enum { LATE_PARTS = 16, ROUNDING_NS = 3, ROUNDING_PPB = 1 }; /* of a line's arithmetic: 2^-32 of itself, and a ns here and there */

static uint64_t middle(uint64_t a, uint64_t b)
{
	return a / 2 + b / 2 + (a & b & 1);
}

static uint64_t within(uint64_t x, const struct span *s)
{
	return x < s->lo ? s->lo : x > s->hi ? s->hi : x;
}

/*
 * Where in the span? The first time in the middle of all. Then where it was
 * against the base: quickest messages are as quick as ever, so a measurement
 * that is wider than the last one is so on either side, nobody knows on which.
 * That keeps what this core once agreed on with others, though now it asked the
 * base only. If it has met some for the first time, it must suit them, too; if it
 * can't suit all of them, each of the two that disagree most bears half of it.
 */
static uint64_t aim(const struct clock_input *in, int64_t *moved)
{
	*moved = 0;
	if ((in->gap_in == GAP_UNKNOWN || in->gap_out == GAP_UNKNOWN) && in->continues && in->all.lo <= in->all.hi) {
		/* Nothing says that the line is wrong, as long as it is between the ends. */
		uint64_t is = line_read(&in->old, in->tsc), x = within(is, &in->all);

		*moved = (int64_t)(x - is);
		return x;
	}
	if (in->gap_in == GAP_UNKNOWN || in->gap_out == GAP_UNKNOWN)
		return middle(in->all.lo, in->all.hi);
	uint64_t from_hi = in->base.hi > in->gap_out ? in->base.hi - in->gap_out : 0;
	uint64_t was = within(middle(in->base.lo + in->gap_in, from_hi), &in->base);
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
	uint64_t x = aim(in, &out->moved_ns), age = ticks_ns(in->now_tsc - in->tsc, in->khz, in->rate_ppb), target = x + age;
	uint64_t value = in->continues ? line_read(&in->old, in->now_tsc) : target < in->last_ns ? in->last_ns : target;
	uint64_t off = apart(value, target), width = in->base.hi - in->base.lo, known = (uint64_t)in->gap_in + in->gap_out;
	/* So slow that being late does not matter. */
	uint64_t most = off > 1000 || in->rate_err_ppb > SLEW_PPB / 2 ? SLEW_PPB_MAX : SLEW_PPB;
	int32_t pull = value < in->pull_until_ns ? in->pull_ppb : 0;
	uint64_t left = SLEW_PPB_MAX - magnitude(pull);

	most = most < left ? most : left;
	uint64_t slow = in->late_ns ? off * (1000000000 / LATE_PARTS) / in->late_ns + 1 : most;
	int32_t slew = (int32_t)(slow < most ? slow : most) * (value > target ? -1 : 1);

	/* A measurement that is wider than one before it can't tell so small an error from none. */
	bool good = off <= 1 || (in->continues && in->gap_in != GAP_UNKNOWN && !out->moved_ns &&
				 width > known && off <= (width - known) / 2 + 1);
	if (good)
		slew = 0;
	line_start_steeper(&out->line, in->now_tsc, value, in->khz, in->rate_ppb + slew + pull);
	uint32_t steep = magnitude(slew);
	out->straight_ns = steep ? value + off * (1000000000 / steep) : 0;
	if (pull && (!steep || in->pull_until_ns < out->straight_ns))
		out->straight_ns = in->pull_until_ns;
	out->x_ns = x;
	uint64_t low = apart(x, in->base.lo), high = apart(x, in->base.hi);
	/* When it was measured, there may have been no pull yet; or there was one that is over. */
	uint64_t pulls = x < in->pull_until_ns ? magnitude(in->pull_ppb) : 0;
	out->radius_ns = (low > high ? low : high) + off + ROUNDING_NS + age * (in->rate_err_ppb + pulls) / 1000000000;
	/* A core that was not told of the pull yet, or not of its end, is off by that more. */
	out->growth_ppb = ROUNDING_PPB + in->rate_err_ppb + steep + magnitude(pull);
}
