/* SPDX-License-Identifier: MIT */
#include "clock/rate.h"

enum { STEER_PPB = 2000 };

/* Rates are added here, though they multiply: off by less than that, as none is off another by more than twice the bound. */
static int32_t rounding(const struct rates *r)
{
	return (int32_t)((uint64_t)r->bound_ppb * r->bound_ppb / 100000000);
}

static uint32_t most(int32_t lo, int32_t hi)
{
	return (uint32_t)(-lo > hi ? -lo : hi);
}

/* Leave of it what is between these, too. If nothing is, one of the two is wrong, and it stays as it is. */
static void cut(struct rate *r, int64_t lo, int64_t hi)
{
	lo = lo > r->lo ? lo : r->lo;
	hi = hi < r->hi ? hi : r->hi;
	if (lo <= hi)
		*r = (struct rate){ (int32_t)lo, (int32_t)hi };
}

/* How much steeper than told the line of a core is best that leads. */
static int32_t best_steep(const struct rates *r, const struct core_rate *c)
{
	return (c->own.lo + c->own.hi) / 2 + (r->truth.lo + r->truth.hi) / 2;
}

static void weigh(struct rates *r)
{
	r->reference_ppb = most(r->lead.lo + r->truth.lo, r->lead.hi + r->truth.hi);
}

void rate_unknown(const struct rates *r, struct core_rate *c)
{
	int32_t most = 2 * (int32_t)r->bound_ppb;

	*c = (struct core_rate){ .own = { -most, most }, .now = { -most, most } };
}

void rate_first(struct rates *r, struct core_rate *c)
{
	r->truth = (struct rate){ -(int32_t)r->bound_ppb, (int32_t)r->bound_ppb };
	*c = (struct core_rate){ .lead = 0 };
}

uint32_t rate_follow(const struct rates *r, struct core_rate *c)
{
	if (c->lead == r->leads)
		return 0;
	struct rate was = c->now;

	c->lead = r->leads;
	c->now = (struct rate){ c->own.lo - r->lead.hi - rounding(r), c->own.hi - r->lead.lo + rounding(r) };
	uint32_t lo = magnitude(c->now.lo - was.lo), hi = magnitude(c->now.hi - was.hi);

	return lo > hi ? lo : hi;
}

uint32_t rate_lead(struct rates *r, struct core_rate *c, uint64_t now)
{
	int32_t steep = best_steep(r, c);

	rate_follow(r, c);
	uint32_t change = most(steep - c->now.hi, steep - c->now.lo) + (uint32_t)rounding(r);

	r->lead = (struct rate){ c->own.lo - steep - rounding(r), c->own.hi - steep + rounding(r) };
	r->lead_ns = now;
	weigh(r);
	c->lead = ++r->leads;
	c->now = (struct rate){ steep, steep };
	return change;
}

void rate_learn(struct rates *r, struct core_rate *c, uint32_t role, uint64_t tsc, uint32_t khz, const struct span *ref,
		int64_t pulled_ns)
{
	if (!r->bound_ppb)
		return;
	if (!c->anchor_tsc || c->anchor_role != role || c->anchor.lo <= r->lead_ns || ref->lo <= c->anchor.hi) {
		c->anchor_tsc = tsc;
		c->anchor_role = role;
		c->anchor = *ref;
		c->anchor_pulled_ns = pulled_ns;
		return;
	}
	int64_t told = (int64_t)ticks_ns(tsc - c->anchor_tsc, khz, 0), pulled = pulled_ns - c->anchor_pulled_ns;
	int64_t lo = (int64_t)(ref->lo - c->anchor.hi) - pulled - 1, hi = (int64_t)(ref->hi - c->anchor.lo) - pulled + 1;

	lo = (int64_t)((__int128)(lo - told) * 1000000000 / told) - 1;
	hi = (int64_t)((__int128)(hi - told) * 1000000000 / told) + 1;
	cut(&c->now, lo, hi);
	cut(&c->own, lo + r->lead.lo - rounding(r), hi + r->lead.hi + rounding(r));
}

bool rate_look(struct rates *r, const struct core_rate *c, uint64_t ns, int64_t lo, int64_t hi, int64_t pulled_ns)
{
	int64_t told = (int64_t)(ns - r->look.ns), pulled = pulled_ns - r->look.pulled_ns;

	if (!r->bound_ppb)
		return false;
	if (r->look.lead != r->leads || told <= 0) {
		r->look.lead = r->leads;
		r->look.ns = ns;
		r->look.lo = lo;
		r->look.hi = hi;
		r->look.pulled_ns = pulled_ns;
		return false;
	}
	int64_t slower_lo = (int64_t)((__int128)(r->look.lo - hi + pulled - 1) * 1000000000 / told) - 1;
	int64_t slower_hi = (int64_t)((__int128)(r->look.hi - lo + pulled + 1) * 1000000000 / told) + 1;

	cut(&r->truth, slower_lo - r->lead.hi, slower_hi - r->lead.lo);
	weigh(r);
	int32_t better = best_steep(r, c) - rate_ppb(c), doubt = (r->truth.hi - r->truth.lo) / 2;

	doubt = doubt > STEER_PPB ? doubt : STEER_PPB;
	return better > doubt || better < -doubt;
}
