/* SPDX-License-Identifier: MIT */
/*
 * The core TSC: a modelled variable-rate counter, affine in the raw TSC,
 *
 *     core = ((raw * mult) >> 48) + offset      (modulo 2^64)
 *
 * which is the form of VMX TSC scaling with TSC offset (SDM vol. 3, 25.6.5, 26.3), so
 * the guest's own RDTSC shows the same value to the bit.
 *
 * A change of tempo takes effect at one raw instant, known to the conductor
 * only: before it the old piece applies, from it on the new one, and the two
 * meet there. A struct tempo is read and written by its own core only.
 *
 * The rate that is told is not quite the true one: real oscillators err. The
 * error belongs to the core, so it is the same for all its tempos, and it is as
 * hidden from the clock code as the truth: only `mult` contains it.
 */
#pragma once
#include <stdint.h>

struct tempo_piece {
	uint64_t mult;   /* 48 fractional bits, the VMX TSC multiplier */
	uint64_t offset; /* the VMX TSC offset */
	uint32_t khz;    /* the rate of the core TSC, as it is told */
};

struct tempo {
	uint32_t raw_khz; /* rate of the raw TSC */
	int32_t error_ppb; /* the true rate of every piece is khz * (1 + error_ppb / 10^9) */
	uint64_t at_raw;  /* `next` applies from here on; UINT64_MAX: no change is pending */
	struct tempo_piece now, next;
};

/*
 * Run at `khz`, off by `error_ppb`, from raw instant 0 on, with the core TSC at
 * `start` at raw instant `raw`. The true rate must be below 65536 * raw_khz,
 * here and below.
 */
void tempo_start(struct tempo *t, uint32_t raw_khz, uint32_t khz, int32_t error_ppb, uint64_t raw, uint64_t start);

/* Change to `khz` (not 0) at raw instant `at_raw`. No change may be pending. */
void tempo_change(struct tempo *t, uint32_t khz, uint64_t at_raw);

/* The piece that applies at `raw`. Call with ascending raw instants only: it drops the old piece. */
const struct tempo_piece *tempo_at(struct tempo *t, uint64_t raw);

/* One piece's counter at `raw`: the multiplication of the VMX hardware. */
static inline uint64_t tempo_piece_tsc(const struct tempo_piece *p, uint64_t raw)
{
	return (uint64_t)(((unsigned __int128)raw * p->mult) >> 48) + p->offset;
}

/* The core TSC at `raw`. */
static inline uint64_t tempo_tsc(struct tempo *t, uint64_t raw)
{
	return tempo_piece_tsc(tempo_at(t, raw), raw);
}
