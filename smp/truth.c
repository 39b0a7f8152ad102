/* SPDX-License-Identifier: MIT */
#include "smp/truth.h"

#define MHZ_OF_TICKS_A_NS 1000000000000ull
#define PPB 1000000000
#define PPB_MAX 200000000

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
