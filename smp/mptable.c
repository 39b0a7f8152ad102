/* SPDX-License-Identifier: MIT */
/*
 * The Intel MultiProcessor table, for machines without usable ACPI. Section
 * numbers are those of the MP specification 1.4.
 */
#include "smp/tables.h"
#include "smp/lib.h"

#define MPTABLE_DEFAULT_LAPIC 0xfee00000u /* 3.6.1 */

enum {
	BDA_BASE_KIB = 0x413,
	FLOATING_SIZE = 16,                  /* 4.1 */
	CONFIG_SIZE = 44,                    /* 4.2 */
	PROCESSOR = 0, OTHER_LAST = 4,       /* 4.3, entry types */
	PROCESSOR_SIZE = 20, OTHER_SIZE = 8,
	PROCESSOR_ENABLED = 1,
	DEFAULT_LAST = 7,                    /* 5 */
};

/*
 * Looks for a sound floating pointer structure (4.1) in [from, from + bytes).
 * The address of an unsound one goes to *damaged: those four letters may be chance.
 */
static const uint8_t *mptable_scan(uint64_t from, uint32_t bytes, uint64_t *damaged)
{
	for (uint64_t at = from; at < from + bytes; at += FLOATING_SIZE) {
		const uint8_t *p = phys_at(at, FLOATING_SIZE);

		if (!p || memcmp(p, "_MP_", 4) != 0)
			continue;
		if (p[8] == 1 && !tables_sum(p, FLOATING_SIZE)) /* length in 16-byte units */
			return p;
		*damaged = at;
	}
	return NULL;
}

/* The three places where it may be (4). */
static const uint8_t *mptable_find(uint64_t *damaged)
{
	const uint8_t *word = phys_at(BDA_BASE_KIB, 2), *found = NULL;
	uint32_t ebda = tables_ebda(), base = word ? tables_u16(word) : 0;

	if (ebda)
		found = mptable_scan(ebda, 1024, damaged);
	if (!found && base && base <= 640)
		found = mptable_scan((base - 1) * 1024, 1024, damaged);
	return found ? found : mptable_scan(0xf0000, 0x10000, damaged);
}

static void mptable_config(uint32_t phys, struct machine *m, struct complaint *why)
{
	struct table t = { "MP table: PCMP", "PCMP", phys, NULL, 0 };
	uint32_t at = CONFIG_SIZE, size, repeated = 0;

	if (!tables_open(&t, CONFIG_SIZE, UINT16_MAX, why))
		return;
	for (uint32_t left = tables_u16(t.bytes + 34); left; left--, at += size) {
		const uint8_t *e = t.bytes + at;

		size = at < t.length && e[0] == PROCESSOR ? PROCESSOR_SIZE : OTHER_SIZE;
		if (size > t.length - at || e[0] > OTHER_LAST) {
			format_note(why, "%s at 0x%lx: entry at byte %u: %s: not used from there on", t.name, t.phys, at,
				    size > t.length - at ? "runs past the end" : "unknown type");
			break;
		}
		/* 4.3.1. An id has 8 bits, and 0xff means all cores. */
		if (e[0] == PROCESSOR && e[3] & PROCESSOR_ENABLED && e[1] != 0xff)
			tables_add_core(m, e[1], &repeated);
	}
	m->lapic_phys = tables_u32(t.bytes + 36);
	m->source = "MP table";
	tables_cores(&t, m, repeated, why);
}

int mptable_read(struct machine *m, struct complaint *why)
{
	const uint8_t *floating;
	uint64_t damaged = 0;

	m->core_count = m->surplus = 0;
	why->text[0] = '\0';
	floating = mptable_find(&damaged);
	if (!floating && !damaged) {
		format_complaint(why, "MP table: the firmware gives none");
		return TABLES_NONE;
	}
	if (!floating) {
		format_complaint(why, "MP table: _MP_ at 0x%lx: wrong length or checksum: not used", damaged);
	} else if (!floating[11]) {
		mptable_config(tables_u32(floating + 4), m, why);
	} else if (floating[11] > DEFAULT_LAST) {
		format_complaint(why, "MP table: default configuration %u is unknown: not used", floating[11]);
	} else { /* 5: no table, two cores with ids 0 and 1, registers where they are at reset */
		m->core_count = 2;
		m->apic_id[0] = 0;
		m->apic_id[1] = 1;
		m->lapic_phys = MPTABLE_DEFAULT_LAPIC;
		m->source = "MP default configuration";
	}
	return tables_result(m, why);
}
