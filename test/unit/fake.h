/* SPDX-License-Identifier: MIT */
/*
 * A made-up machine: provides phys_at() over ranges that tests add, and builds
 * sound firmware tables in them for tests to damage. Each phys_at() gives a
 * fresh heap copy of exactly what was asked for, so that ASan sees any byte
 * read beyond it.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "smp/tables.h"

/* Makes [phys, phys + bytes) readable, filled with 0, and gives it. Ranges must not overlap. */
uint8_t *fake_memory(uint64_t phys, size_t bytes);
/* The byte at phys of a range added before. */
uint8_t *fake_at(uint64_t phys);
/* Frees all ranges and all copies. */
void fake_forget(void);

void fake_put(uint8_t *p, uint64_t value, size_t bytes); /* little-endian */
/* Sets p[at] so that the n bytes at p sum to 0. */
void fake_fix(uint8_t *p, size_t n, size_t at);

/* A sound ACPI machine: two cores by type 0, two by type 9, PM timer, HPET. */
enum {
	FAKE_RSDP = 0xe0010,
	FAKE_XSDT = 0x7fe0000, FAKE_XSDT_SIZE = 36 + 4 * 8,
	FAKE_RSDT = 0x7fe0100, FAKE_RSDT_SIZE = 36 + 4 * 4,
	FAKE_MADT = 0x7fe0203, FAKE_MADT_SIZE = 44 + 8 + 8 + 12 + 8 + 16 + 16 + 8 + 16, /* unaligned */
	FAKE_FADT = 0x7fe3000, FAKE_FADT_SIZE = 276,
	FAKE_HPET = 0x7fe3201, FAKE_HPET_SIZE = 56,
};
void fake_acpi(void);
/* Recomputes the checksum of every table of fake_acpi() that is still in its place. */
void fake_acpi_fix(void);
/* MADT with only these entries' bytes; keeps the header, moves nothing else. */
void fake_madt(const uint8_t *entries, size_t bytes);

/* A sound MP table at the end of base memory: three cores (one disabled), four others. */
enum {
	FAKE_MP = 639 * 1024 + 16, FAKE_PCMP = 0xf8001, /* the latter unaligned */
	FAKE_PCMP_SIZE = 44 + 3 * 20 + 4 * 8,
};
void fake_mptable(void);
void fake_mptable_fix(void);

/* NULL, or which promise of tables.h an answer breaks. */
const char *fake_broken(int result, const struct machine *m, const struct complaint *why);

/* Seeded: xorshift64*, so that a failure can be played again. */
uint64_t fake_random(uint64_t *state);
