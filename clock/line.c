/* SPDX-License-Identifier: MIT */
#include "clock/line.h"

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

uint64_t ticks_ns(uint64_t ticks, uint32_t khz, int32_t ppb)
{
	return (uint64_t)((unsigned __int128)ticks * (uint64_t)(BILLION + ppb) / ((uint64_t)khz * (BILLION / NS_PER_MS)));
}
