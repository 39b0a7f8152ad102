/* SPDX-License-Identifier: MIT */
#include "smp/truth.h"

#define MHZ_OF_TICKS_A_NS 1000000000000ull
#define PPB 1000000000
#define PPB_MAX 200000000

/* Rates of a raw TSC: below would be an emulator at a crawl, above no processor, so the timer is no clock. */
#define MHZ_MIN 10000000000ull
#define MHZ_MAX 10000000000000ull

#define LOOK_PARTS 16u /* the interval between readings is this part of the time since the first one, .. */
#define LOOK_NS_MIN 1000000u    /* .. at least this, .. */
#define LOOK_NS_MAX 1000000000u /* .. at most this */
#define WANDER_PARTS 1000 /* part of that interval; a crystal wanders far less */

#define get(p) atomic_load_explicit(p, memory_order_relaxed)

static void set(struct truth *t, uint64_t lo, uint64_t hi)
{
	atomic_store_explicit(&t->lo, lo, memory_order_relaxed);
	atomic_store_explicit(&t->hi, hi, memory_order_relaxed);
}

bool truth_rate(const struct instant *a, const struct instant *b, uint64_t *lo, uint64_t *hi)
{
	int64_t raw_lo = (int64_t)(b->raw_lo - a->raw_hi), raw_hi = (int64_t)(b->raw_hi - a->raw_lo);
	int64_t ns_lo = (int64_t)(b->ns - a->ns - a->late_ns), ns_hi = (int64_t)(b->ns + b->late_ns - a->ns);

	if (raw_lo <= 0 || ns_lo <= 0)
		return false;
	*lo = (uint64_t)((unsigned __int128)raw_lo * MHZ_OF_TICKS_A_NS / (uint64_t)ns_hi);
	*hi = (uint64_t)((unsigned __int128)raw_hi * MHZ_OF_TICKS_A_NS / (uint64_t)ns_lo) + 1;
	return *lo;
}

void truth_begin(struct truth *t, const struct instant *first, uint64_t lo, uint64_t hi)
{
	t->first = *first;
	set(t, lo, hi);
}

bool truth_measure(struct truth *t, const struct instant at[3])
{
	uint64_t lo, hi, then_lo, then_hi, all_lo, all_hi;
	bool steady = truth_rate(&at[0], &at[1], &lo, &hi) && truth_rate(&at[1], &at[2], &then_lo, &then_hi) &&
		      lo <= then_hi && then_lo <= hi && truth_rate(&at[0], &at[2], &all_lo, &all_hi) && all_lo >= MHZ_MIN && all_hi <= MHZ_MAX;

	truth_begin(t, &at[0], steady ? all_lo : 0, steady ? all_hi : 0);
	return steady;
}

bool truth_learn(struct truth *t, const struct instant *now)
{
	uint64_t lo, hi, was_lo = get(&t->lo), was_hi = get(&t->hi);

	if (!truth_rate(&t->first, now, &lo, &hi))
		return true;
	bool meets = lo <= was_hi && hi >= was_lo;

	set(t, (lo > was_lo) == meets ? lo : was_lo, (hi < was_hi) == meets ? hi : was_hi);
	return meets;
}

static uint64_t ns_of(uint64_t raw, uint64_t mhz)
{
	return (uint64_t)((unsigned __int128)raw * MHZ_OF_TICKS_A_NS / mhz);
}

void truth_ns(const struct truth *t, uint64_t raw, uint64_t *lo, uint64_t *hi)
{
	*lo = ns_of(raw, get(&t->hi));
	*hi = ns_of(raw, get(&t->lo)) + 1;
}

uint64_t truth_expect(const struct truth *t, uint64_t raw)
{
	return t->first.ns + ns_of(raw - t->first.raw_lo, truth_middle(t));
}

uint64_t truth_look_ns(uint64_t past_ns)
{
	uint64_t part = past_ns / LOOK_PARTS;

	return part < LOOK_NS_MIN ? LOOK_NS_MIN : part > LOOK_NS_MAX ? LOOK_NS_MAX : part;
}

int64_t truth_jump(const struct truth *t, const struct instant *now)
{
	uint64_t least = ns_of(now->raw_lo - t->first.raw_hi, get(&t->hi)), most = ns_of(now->raw_hi - t->first.raw_lo, get(&t->lo));
	int64_t shown = (int64_t)(now->ns - t->first.ns), wander = (int64_t)truth_look_ns(most) / WANDER_PARTS;
	int64_t ahead = shown - t->first.late_ns - (int64_t)most, behind = shown + now->late_ns - (int64_t)least;

	return ahead > wander ? ahead : behind < -wander ? behind : 0;
}

uint64_t truth_middle(const struct truth *t)
{
	return get(&t->lo) / 2 + get(&t->hi) / 2;
}

uint64_t truth_doubt_ppb(const struct truth *t)
{
	uint64_t lo = get(&t->lo), hi = get(&t->hi);

	return hi > lo ? (uint64_t)((unsigned __int128)(hi - lo) * (PPB / 2) / lo) + 1 : 1;
}

static int32_t slower(uint32_t khz, uint64_t mhz)
{
	__int128 ppb = (__int128)khz * 1000000 * PPB / mhz - PPB;

	return (int32_t)(ppb < -PPB_MAX ? -PPB_MAX : ppb > PPB_MAX ? PPB_MAX : ppb);
}

void truth_slower(const struct truth *t, uint32_t khz, int32_t *lo, int32_t *hi)
{
	*lo = slower(khz, get(&t->hi)) - 1;
	*hi = slower(khz, get(&t->lo)) + 1;
}
