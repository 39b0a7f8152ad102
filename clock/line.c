/* SPDX-License-Identifier: MIT */
#include "clock/line.h"

#include <stdbool.h>

#include "clock/port.h"
#include "clock/pvclock.h"

#define NS_PER_MS 1000000ull
#define BILLION   1000000000ll

uint64_t line_read(const struct line *l, uint64_t tsc)
{
	return tsc <= l->tsc ? l->ref_ns : l->ref_ns + pvclock_scale(tsc - l->tsc, l->mul, l->shift);
}

/*
 * ns per tick = 10^6 / khz, as mul / 2^32 * 2^shift with mul in [2^31, 2^32):
 * the full 32 bits of the fraction are used, so the slope is off by at most
 * 2^-32 of itself, 0.23 ns a second.
 */
void line_start_steeper(struct line *l, uint64_t tsc, uint64_t ref_ns, uint32_t khz, int32_t ppb)
{
	uint64_t num = NS_PER_MS * (uint64_t)(BILLION + ppb), den = khz * BILLION;
	int8_t shift = 0;

	CLOCK_CHECK(khz && ppb > -BILLION); /* slopes of 0 or infinity can't be normalised */
	while (num >= den) {
		den <<= 1;
		shift++;
	}
	while (2 * num < den) {
		num <<= 1;
		shift--;
	}
	uint64_t mul = (uint64_t)((((unsigned __int128)num << 32) + den / 2) / den);
	*l = (struct line){
		.tsc = tsc,
		.ref_ns = ref_ns,
		.mul = mul > UINT32_MAX ? UINT32_MAX : (uint32_t)mul,
		.shift = shift,
	};
}

void line_start(struct line *l, uint64_t tsc, uint64_t ref_ns, uint32_t khz)
{
	line_start_steeper(l, tsc, ref_ns, khz, 0);
}

void line_start_from(struct line *l, const struct line *of, uint64_t tsc, uint64_t ref_ns, int32_t ppb)
{
	uint64_t mul = (of->mul * (uint64_t)(BILLION + ppb) + BILLION / 2) / BILLION;
	bool carry = mul > UINT32_MAX;

	*l = (struct line){ .tsc = tsc, .ref_ns = ref_ns, .mul = (uint32_t)(mul >> carry), .shift = (int8_t)(of->shift + carry) };
}

uint64_t ticks_ns(uint64_t ticks, uint32_t khz, int32_t ppb)
{
	CLOCK_CHECK(khz);
	return (uint64_t)((unsigned __int128)ticks * (uint64_t)(BILLION + ppb) / ((uint64_t)khz * (BILLION / NS_PER_MS)));
}

/* x ticks of a core in ns; both have 48 fractional bits. */
static unsigned __int128 ticks_through(const struct line *l, uint64_t x)
{
	return ((unsigned __int128)x * l->mul) >> (32 - l->shift);
}

/*
 * The product of the slopes, through the line's origin, which the core passed at raw
 * instant `raw` or less than one tick before. So truncating the multiplier costs 2^-48
 * of the time since the origin, and not of the machine's uptime.
 */
struct tempo_piece line_piece(const struct line *l, const struct tempo_piece *core)
{
	unsigned __int128 origin = (unsigned __int128)(l->tsc - core->offset) << 48;
	uint64_t raw = (uint64_t)((origin + core->mult - 1) / core->mult);
	uint64_t past = (uint64_t)((unsigned __int128)raw * core->mult - origin);
	unsigned __int128 mult = ticks_through(l, core->mult), offset = ticks_through(l, past) - raw * mult;

	return (struct tempo_piece){
		.mult = (uint64_t)mult,
		.offset = l->ref_ns + (uint64_t)((__int128)offset >> 48), /* rounds down, also below 0 */
		.khz = NS_PER_MS,
	};
}
