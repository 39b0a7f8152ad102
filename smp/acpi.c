/* SPDX-License-Identifier: MIT */
/*
 * ACPI: RSDP -> XSDT or RSDT -> MADT for the cores, FADT and HPET for the
 * timers. Section numbers are those of ACPI 6.4. A damaged table that names
 * cores is refused; one that describes a timer only costs that timer.
 */
#include "smp/tables.h"
#include "smp/lib.h"

#define ACPI_REFUSE "firmware table damaged; update the firmware or boot with acpi=off"

#define ACPI_TABLE_MAX (1u << 20) /* larger than any sane one; bounds the time that a sum takes */

enum {
	RSDP_CHECKED_V0 = 20, RSDP_SIZE = 36,       /* 5.2.5.3 */
	SDT_SIZE = 36,                              /* 5.2.6 */
	MADT_ENTRIES = 44, MADT_LAPIC = 0,          /* 5.2.12 */
	MADT_LAPIC_ADDRESS = 5, MADT_X2APIC = 9,
	MADT_ENABLED = 1,
	FADT_V1 = 116, FADT_X_PM_TMR_END = 220,     /* 5.2.9 */
	FADT_TMR_VAL_EXT = 1 << 8, FADT_HW_REDUCED = 1 << 20,
	HPET_SIZE = 56,                             /* IA-PC HPET 1.0a, 3.2.4 */
	GAS_MEMORY = 0, GAS_IO = 1,                 /* 5.2.3.2 */
};

/* Checks the RSDP (5.2.5.3) and gives the root table. */
static bool acpi_root(uint64_t rsdp, struct table *root, struct complaint *why)
{
	const uint8_t *p = phys_at(rsdp, RSDP_CHECKED_V0);
	uint32_t length = RSDP_CHECKED_V0;
	uint8_t sum;

	if (!p || memcmp(p, "RSD PTR ", 8) != 0)
		return format_complaint(why, "ACPI: RSDP at 0x%lx: %s: " ACPI_REFUSE, rsdp,
					p ? "no signature \"RSD PTR \"" : "cannot be read");
	sum = tables_sum(p, RSDP_CHECKED_V0);
	*root = (struct table){ "ACPI: RSDT", "RSDT", tables_u32(p + 16), NULL, 0 };
	if (!sum && p[15] >= 2) { /* revision; before ACPI 2.0 it was 0 */
		p = phys_at(rsdp, RSDP_SIZE);
		length = p ? tables_u32(p + 20) : 0;
		p = length >= RSDP_SIZE && length <= ACPI_TABLE_MAX ? phys_at(rsdp, length) : NULL;
		if (!p)
			return format_complaint(why, "ACPI: RSDP at 0x%lx: length is %u: " ACPI_REFUSE, rsdp, length);
		sum = tables_sum(p, length);
		if (tables_u64(p + 24))
			*root = (struct table){ "ACPI: XSDT", "XSDT", tables_u64(p + 24), NULL, 0 };
	}
	if (sum)
		return format_complaint(why, "ACPI: RSDP at 0x%lx: checksum is 0x%02x, not 0: " ACPI_REFUSE, rsdp, sum);
	return true;
}

/* The first table with this signature in a root that was opened; phys 0: none (5.2.7, 5.2.8). */
static struct table acpi_find(const struct table *root, const char *signature, const char *name)
{
	uint32_t pointer = root->signature[0] == 'X' ? 8 : 4; /* bytes */
	struct table t = { name, signature, 0, NULL, 0 };

	for (uint32_t at = SDT_SIZE; root->length - at >= pointer; at += pointer) {
		const uint8_t *p = root->bytes + at, *found;
		uint64_t phys = pointer == 8 ? tables_u64(p) : tables_u32(p);

		found = phys ? phys_at(phys, 4) : NULL; /* unreadable: not one that we want */
		if (found && memcmp(found, signature, 4) == 0) {
			t.phys = phys;
			break;
		}
	}
	return t;
}

/* Takes one entry, all of it within the MADT. NULL, or what is wrong with it. */
static const char *acpi_madt_entry(const uint8_t *e, struct machine *m, uint32_t *repeated)
{
	static const uint8_t least[] = { [MADT_LAPIC] = 8, [MADT_LAPIC_ADDRESS] = 12, [MADT_X2APIC] = 16 };
	uint32_t id, flags, none;

	if (e[0] < sizeof(least) && e[1] < least[e[0]])
		return "too short for its type: " ACPI_REFUSE;
	switch (e[0]) {
	case MADT_LAPIC: /* 5.2.12.2 */
		id = e[3], flags = tables_u32(e + 4), none = 0xff;
		break;
	case MADT_X2APIC: /* 5.2.12.12 */
		id = tables_u32(e + 4), flags = tables_u32(e + 8), none = 0xffffffff;
		break;
	case MADT_LAPIC_ADDRESS: /* 5.2.12.8 */
		m->lapic_phys = tables_u64(e + 4);
		return NULL;
	default:
		return NULL;
	}
	/* "Online capable" without "enabled" is a slot for later; the highest id means all cores. */
	if (!(flags & MADT_ENABLED) || id == none)
		return NULL;
	if (!tables_add_core(m, id, repeated))
		return "more enabled cores than fit: disable some in the firmware setup";
	return NULL;
}

static bool acpi_madt(struct table *t, struct machine *m, struct complaint *why)
{
	uint32_t repeated = 0;

	if (!tables_open(t, MADT_ENTRIES, ACPI_TABLE_MAX, why, ACPI_REFUSE))
		return false;
	m->lapic_phys = tables_u32(t->bytes + 36);
	for (uint32_t at = MADT_ENTRIES; at < t->length; at += t->bytes[at + 1]) {
		const uint8_t *e = t->bytes + at;
		const char *wrong;

		if (t->length - at < 2 || e[1] > t->length - at)
			wrong = "runs past the end: " ACPI_REFUSE;
		else if (e[1] < 2) /* would never advance */
			wrong = "length below 2: " ACPI_REFUSE;
		else
			wrong = acpi_madt_entry(e, m, &repeated);
		if (wrong)
			return format_complaint(why, "%s at 0x%lx: entry at byte %u: %s", t->name, t->phys, at, wrong);
	}
	return tables_cores(t, m, repeated, why, ACPI_REFUSE);
}

/* PM timer, 4.8.3.3. Its extended address counts alone if it is not 0 (5.2.9, X_PM_TMR_BLK). */
static void acpi_fadt(struct table t, struct machine *m, struct complaint *why)
{
	uint64_t port;
	uint32_t flags;

	if (!t.phys || !tables_open(&t, FADT_V1, ACPI_TABLE_MAX, why, "PM timer not used"))
		return;
	flags = tables_u32(t.bytes + 112);
	port = t.bytes[91] == 4 ? tables_u32(t.bytes + 76) : 0; /* PM_TMR_LEN, PM_TMR_BLK */
	if (t.length >= FADT_X_PM_TMR_END && tables_u64(t.bytes + 212))
		port = t.bytes[208] == GAS_IO ? tables_u64(t.bytes + 212) : 0;
	if (!port || flags & FADT_HW_REDUCED)
		return;
	if (port > 0xffff - 3) {
		format_note(why, "%s at 0x%lx: PM timer at 0x%lx is no port: PM timer not used", t.name, t.phys, port);
		return;
	}
	m->pm_timer_port = (uint16_t)port;
	m->pm_timer_32bit = flags & FADT_TMR_VAL_EXT;
}

static void acpi_hpet(struct table t, struct machine *m, struct complaint *why)
{
	uint64_t base;

	if (!t.phys || !tables_open(&t, HPET_SIZE, ACPI_TABLE_MAX, why, "HPET not used"))
		return;
	base = tables_u64(t.bytes + 44);
	if (t.bytes[40] == GAS_MEMORY && base && !(base & 7)) /* registers are 64 bits wide */
		m->hpet_phys = base;
	else
		format_note(why, "%s at 0x%lx: no usable base address: HPET not used", t.name, t.phys);
}

int acpi_read(uint64_t rsdp, struct machine *m, struct complaint *why)
{
	struct table root, madt;

	tables_begin(m, why);
	if (!rsdp) {
		format_complaint(why, "ACPI: the firmware gives no RSDP");
		return tables_end(m, why, TABLES_NONE);
	}
	if (!acpi_root(rsdp, &root, why) || !tables_open(&root, SDT_SIZE, ACPI_TABLE_MAX, why, ACPI_REFUSE))
		return tables_end(m, why, TABLES_BAD);
	madt = acpi_find(&root, "APIC", "ACPI: MADT");
	if (!madt.phys) {
		format_complaint(why, "%s at 0x%lx lists no readable MADT", root.name, root.phys);
		return tables_end(m, why, TABLES_NONE);
	}
	if (!acpi_madt(&madt, m, why))
		return tables_end(m, why, TABLES_BAD);
	m->source = "ACPI MADT";
	acpi_fadt(acpi_find(&root, "FACP", "ACPI: FADT"), m, why);
	acpi_hpet(acpi_find(&root, "HPET", "ACPI: HPET"), m, why);
	return tables_end(m, why, TABLES_OK);
}
