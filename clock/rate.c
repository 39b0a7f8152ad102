/* SPDX-License-Identifier: MIT */
#include "clock/rate.h"

#define PPB 1000000000ll
enum { STEER_PPB = 2000, PART_MAX = 500000000 };

static int64_t nearest(int64_t a, int64_t b)
{
	return (a + b / 2) / b;
}

/* Slower by a than what is itself slower by b; and the inverse: slower by a, seen from what is slower by b. */
static int32_t both(int32_t a, int32_t b)
{
	return (int32_t)(nearest((PPB + a) * (PPB + b), PPB) - PPB);
}

static int32_t seen_from(int32_t a, int32_t b)
{
	return (int32_t)(nearest((PPB + a) * PPB, PPB + b) - PPB);
}

/* `ns` in ppb of `all`, which is not 0; limited to PART_MAX. */
static int32_t part(int64_t ns, int64_t all)
{
	__int128 ppb = (__int128)ns * PPB / all;

	return (int32_t)(ppb < -PART_MAX ? -PART_MAX : ppb > PART_MAX ? PART_MAX : ppb);
}

/* A result may be off by 1 ppb. Without hidden rates it is so for all cores alike, and cancels. */
static int32_t rounding(const struct rates *r)
{
	return r->bound_ppb != 0;
}

static uint32_t most(int32_t lo, int32_t hi)
{
	return (uint32_t)(-lo > hi ? -lo : hi);
}

/* Intersect with lo to hi. If nothing is left, one of the two is wrong, and *r stays. */
static void cut(struct rate *r, int32_t lo, int32_t hi)
{
	lo = lo > r->lo ? lo : r->lo;
	hi = hi < r->hi ? hi : r->hi;
	if (lo <= hi)
		*r = (struct rate){ lo, hi };
}

int32_t rate_best(const struct rates *r)
{
	return both((r->lead.lo + r->lead.hi) / 2, (r->truth.lo + r->truth.hi) / 2);
}

uint32_t rate_off(const struct rates *r, int32_t ppb)
{
	int32_t lo = both(r->lead.lo, r->truth.lo), hi = both(r->lead.hi, r->truth.hi);

	return lo | hi | ppb ? most(both(ppb, seen_from(0, hi)), both(ppb, seen_from(0, lo))) + 1 : 0;
}

void rate_unknown(const struct rates *r, struct core_rate *c)
{
	int32_t most = 2 * (int32_t)r->bound_ppb;

	*c = (struct core_rate){ .own = { -most, most }, .now = { -most, most } };
}

void rate_first(struct rates *r, struct core_rate *c, int32_t lo, int32_t hi)
{
	r->truth = (struct rate){ lo - (int32_t)r->bound_ppb, hi + (int32_t)r->bound_ppb };
	*c = (struct core_rate){ .lead = 0 };
}

void rate_told(struct rates *r, int32_t lo, int32_t hi)
{
	int32_t bound = (int32_t)r->bound_ppb;

	if (!bound)
		r->truth = (struct rate){ lo, hi };
	else
		cut(&r->truth, lo - bound, hi + bound);
}

uint32_t rate_follow(const struct rates *r, struct core_rate *c)
{
	if (c->lead == r->leads)
		return 0;
	struct rate was = c->now;

	c->lead = r->leads;
	c->now = (struct rate){ seen_from(c->own.lo, r->lead.hi) - rounding(r), seen_from(c->own.hi, r->lead.lo) + rounding(r) };
	uint32_t lo = magnitude(c->now.lo - was.lo), hi = magnitude(c->now.hi - was.hi);

	return lo > hi ? lo : hi;
}

uint32_t rate_lead(struct rates *r, struct core_rate *c, uint64_t now)
{
	rate_follow(r, c);

	int32_t steep = rate_ppb(c);
	uint32_t change = most(seen_from(steep, c->now.hi), seen_from(steep, c->now.lo)) + (uint32_t)rounding(r);

	r->lead = (struct rate){ seen_from(c->own.lo, steep) - rounding(r), seen_from(c->own.hi, steep) + rounding(r) };
	r->lead_ns = now;
	c->lead = ++r->leads;
	c->now = (struct rate){ steep, steep };
	return change;
}

void rate_learn(struct rates *r, struct core_rate *c, uint32_t role, uint64_t tsc, uint32_t khz, const struct span *ref)
{
	if (!r->bound_ppb)
		return;
	if (!c->anchor_tsc || c->anchor_role != role || c->anchor.lo <= r->lead_ns || ref->lo <= c->anchor.hi) {
		c->anchor_tsc = tsc;
		c->anchor_role = role;
		c->anchor = *ref;
		return;
	}
	int64_t told = (int64_t)ticks_ns(tsc - c->anchor_tsc, khz, 0);

	if (told <= 0) /* the straight time went on, and this core's TSC did not: nothing to learn */
		return;
	int64_t lo = (int64_t)(ref->lo - c->anchor.hi) - 1, hi = (int64_t)(ref->hi - c->anchor.lo) + 1;

	int32_t now_lo = part(lo - told, told) - 1, now_hi = part(hi - told, told) + 1;

	cut(&c->now, now_lo, now_hi);
	cut(&c->own, both(now_lo, r->lead.lo) - 1, both(now_hi, r->lead.hi) + 1);
}

void rate_look(struct rates *r, uint64_t ns, int64_t lo, int64_t hi)
{
	int64_t told = (int64_t)(ns - r->look.ns);

	if (!r->bound_ppb)
		return;
	if (r->look.lead != r->leads || told <= 0) {
		r->look.lead = r->leads;
		r->look.ns = ns;
		r->look.lo = lo;
		r->look.hi = hi;
		return;
	}
	int32_t slower_lo = part(r->look.lo - hi - 1, told) - 1, slower_hi = part(r->look.hi - lo + 1, told) + 1;

	cut(&r->truth, seen_from(seen_from(0, -slower_lo), r->lead.hi) - 1, seen_from(seen_from(0, -slower_hi), r->lead.lo) + 1);
}

bool rate_steers(const struct rates *r, int32_t ppb)
{
	int32_t better = rate_best(r) - ppb, doubt = (r->truth.hi - r->truth.lo) / 2;

	doubt = doubt > STEER_PPB ? doubt : STEER_PPB;
	return better > doubt || better < -doubt;
}
