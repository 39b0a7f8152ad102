/* SPDX-License-Identifier: MIT */
/*
 * What firmware tables say of the machine. The readers are pure on physical
 * memory seen through phys_at(), believe nothing that they read, allocate
 * nothing, take no lock and may run before anything else is set up.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "smp/format.h"

#define MACHINE_CORES_MAX 256u

struct machine {
	uint32_t core_count;                 /* enabled ones, in the table's order */
	uint32_t apic_id[MACHINE_CORES_MAX]; /* no two alike; which one runs is not known here */
	uint32_t surplus;                    /* further cores, for which there was no room */
	uint64_t lapic_phys;                 /* as the table says; not relied on: IA32_APIC_BASE counts (apic.c) */
	uint16_t pm_timer_port;              /* 0: none, or not in I/O space */
	bool pm_timer_32bit;                 /* else it wraps at 24 bits */
	uint64_t hpet_phys;                  /* 0: none */
	const char *source;                  /* which table named the cores */
	uint16_t serial_port;                /* of a 16550; 0: none is named */
	uint16_t pm1_control[2];             /* I/O ports to switch off by; 0: none */
	uint64_t dsdt_phys;                  /* names the value to write there (\_S5); 0: none */
	uint16_t reset_port;                 /* 0: none */
	uint8_t reset_value;
};

enum tables_result {
	TABLES_OK = 0,
	TABLES_NOTED = 1, /* usable, and the complaint says what was left out */
	TABLES_NONE = -1, /* there is no such table: ask the next source */
	TABLES_BAD = -2,  /* there is one, but it names no core */
};

/*
 * `bytes` bytes of physical memory for reading, NULL when any of them cannot be
 * read (also when phys + bytes passes 2^64). Bound at link time: Howler gives
 * its identity map, tests a made-up machine. No alignment is promised.
 */
const void *phys_at(uint64_t phys, size_t bytes);

/*
 * acpi_read fills *m from ACPI, by the RSDP at `rsdp` if that is sound (0: the boot loader named none), else by one
 * where a BIOS has it. mptable_read puts the cores of the MP table into *m, but no timers. Both return enum
 * tables_result and set *why: empty on TABLES_OK, else one line. On a negative result *m has no cores; it may have timers.
 */
int acpi_read(uint64_t rsdp, struct machine *m, struct complaint *why);
int mptable_read(struct machine *m, struct complaint *why);

/* What to write to each PM1 control register to switch off, SLP_TYPx of \_S5; false: unknown, *why says why. */
bool acpi_s5(const struct machine *m, uint8_t type[2], struct complaint *why);

/* A fresh *m and an empty complaint. */
void tables_begin(struct machine *m, struct complaint *why);
/* Adds a core; a duplicate id is counted in *repeated instead. */
void tables_add_core(struct machine *m, uint32_t apic_id, uint32_t *repeated);

/* For the readers only. */

/* Little-endian fields at any alignment. */
static inline uint16_t tables_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t tables_u32(const uint8_t *p)
{
	return tables_u16(p) | (uint32_t)tables_u16(p + 2) << 16;
}

static inline uint64_t tables_u64(const uint8_t *p)
{
	return tables_u32(p) | (uint64_t)tables_u32(p + 4) << 32;
}

struct table {
	const char *name, *signature; /* what people say, and the table itself in its first 4 bytes */
	uint64_t phys;                /* 0: not listed */
	const uint8_t *bytes;
	uint32_t length; /* all of it readable at `bytes` */
};

/* Opens the table at t->phys and checks it, least .. most bytes long. */
bool tables_open(struct table *t, uint32_t least, uint32_t most, struct complaint *why);
/* Has it named cores? */
bool tables_cores(const struct table *t, const struct machine *m, uint32_t repeated, struct complaint *why);

/* The sum of all bytes, modulo 256: 0 in a sound table. */
uint8_t tables_sum(const uint8_t *table, size_t bytes);
/* The extended BIOS data area, 0: none. */
uint32_t tables_ebda(void);
/* The verdict on *m and the complaint. */
int tables_result(const struct machine *m, const struct complaint *why);
