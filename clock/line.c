/* SPDX-License-Identifier: MIT */
#include "clock/line.h"

#include "clock/pvclock.h"

#define NS_PER_MS 1000000u

uint64_t line_read(const struct line *l, uint64_t tsc)
{
	return tsc <= l->tsc ? l->ref_ns : l->ref_ns + pvclock_scale(tsc - l->tsc, l->mul, l->shift);
}

/*
 * ns per tick = 10^6 / khz, as mul / 2^32 * 2^shift with mul in [2^31, 2^32):
 * the full 32 bits of the fraction are used, so the slope is off by at most
 * 2^-32 of itself, 0.23 ns a second.
 */
void line_start(struct line *l, uint64_t tsc, uint64_t ref_ns, uint32_t khz)
{
	uint64_t num = NS_PER_MS, den = khz;
	int8_t shift = 0;

	while (num >= den) {
		den <<= 1;
		shift++;
	}
	while (2 * num < den) {
		num <<= 1;
		shift--;
	}
	/* num < den < 2^32: neither the sum nor the rounded quotient can overflow. */
	*l = (struct line){
		.tsc = tsc,
		.ref_ns = ref_ns,
		.mul = (uint32_t)(((num << 32) + den / 2) / den),
		.shift = shift,
	};
}
