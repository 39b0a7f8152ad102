/* SPDX-License-Identifier: MIT */
#include "clock/tempo.h"

#include "clock/port.h"

static uint64_t piece_mult(uint32_t raw_khz, uint32_t khz)
{
	return (uint64_t)(((unsigned __int128)khz << 48) / raw_khz);
}

void tempo_start(struct tempo *t, uint32_t raw_khz, uint32_t khz, uint64_t raw, uint64_t start)
{
	CLOCK_CHECK(raw_khz && khz);
	t->raw_khz = raw_khz;
	t->at_raw = UINT64_MAX;
	t->now = (struct tempo_piece){ .mult = piece_mult(raw_khz, khz), .khz = khz };
	t->now.offset = start - tempo_piece_tsc(&t->now, raw);
}

void tempo_change(struct tempo *t, uint32_t khz, uint64_t at_raw)
{
	CLOCK_CHECK(khz && t->at_raw == UINT64_MAX);
	t->next = (struct tempo_piece){ .mult = piece_mult(t->raw_khz, khz), .khz = khz };
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
