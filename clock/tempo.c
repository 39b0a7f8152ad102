/* SPDX-License-Identifier: MIT */
#include "clock/tempo.h"

#include "clock/port.h"

#define PPB 1000000000 /* a whole, in parts per billion */

/* (khz + error) / raw_khz, cut to 48 fractional bits: 32 + 31 + 48 bits before the division. */
static uint64_t piece_mult(const struct tempo *t, uint32_t khz)
{
	unsigned __int128 rate = (unsigned __int128)((uint64_t)khz * (uint32_t)(PPB + t->error_ppb)) << 48;

	rate /= (uint64_t)t->raw_khz * PPB;
	CLOCK_CHECK(!(rate >> 64));
	return (uint64_t)rate;
}

void tempo_start(struct tempo *t, uint32_t raw_khz, uint32_t khz, int32_t error_ppb, uint64_t raw, uint64_t start)
{
	CLOCK_CHECK(raw_khz && khz && error_ppb > -PPB && error_ppb < PPB);
	t->raw_khz = raw_khz;
	t->error_ppb = error_ppb;
	t->at_raw = UINT64_MAX;
	t->now = (struct tempo_piece){ .mult = piece_mult(t, khz), .khz = khz };
	t->now.offset = start - tempo_piece_tsc(&t->now, raw);
}

void tempo_change(struct tempo *t, uint32_t khz, uint64_t at_raw)
{
	CLOCK_CHECK(khz && t->at_raw == UINT64_MAX);
	t->next = (struct tempo_piece){ .mult = piece_mult(t, khz), .khz = khz };
	t->next.offset = tempo_piece_tsc(&t->now, at_raw) - tempo_piece_tsc(&t->next, at_raw);
	t->at_raw = at_raw;
}

const struct tempo_piece *tempo_at(struct tempo *t, uint64_t raw)
{
	if (raw >= t->at_raw) {
		t->now = t->next;
		t->at_raw = UINT64_MAX;
	}
	return &t->now;
}
