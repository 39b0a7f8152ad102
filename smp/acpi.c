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

struct acpi_table {
	const char *signature, *name; /* what the table says, what people say */
	uint64_t phys;                /* 0: not listed */
	const uint8_t *bytes;
	uint32_t length; /* all of it readable at `bytes` */
};

/* Opens and checks the table at t->phys; `tail` ends the complaint. */
static bool acpi_open(struct acpi_table *t, uint32_t least, struct complaint *why, const char *tail)
{
	const uint8_t *header = phys_at(t->phys, SDT_SIZE);
	unsigned long long phys = t->phys;
	uint8_t sum;

	if (!header || memcmp(header, t->signature, 4) != 0) {
		format_note(why, "ACPI: %s at 0x%llx: %s: %s", t->name, phys,
			    header ? "wrong signature" : "cannot be read", tail);
		return false;
	}
	t->length = tables_u32(header + 4);
	if (t->length < least || t->length > ACPI_TABLE_MAX) {
		format_note(why, "ACPI: %s at 0x%llx: length is %u, not %u..%u: %s", t->name, phys,
			    t->length, least, ACPI_TABLE_MAX, tail);
		return false;
	}
	t->bytes = phys_at(t->phys, t->length);
	if (!t->bytes) {
		format_note(why, "ACPI: %s at 0x%llx: length %u passes readable memory: %s",
			    t->name, phys, t->length, tail);
		return false;
	}
	sum = tables_sum(t->bytes, t->length);
	if (sum)
		format_note(why, "ACPI: %s at 0x%llx: checksum is 0x%02x, not 0: %s", t->name, phys,
			    sum, tail);
	return !sum;
}

/* Checks the RSDP (5.2.5.3) and gives the root table and its pointers' size, 8 or 4 bytes. */
static int acpi_root(uint64_t rsdp, struct acpi_table *root, uint32_t *pointer,
		     struct complaint *why)
{
	const uint8_t *p = phys_at(rsdp, RSDP_CHECKED_V0);
	unsigned long long at = rsdp;
	uint32_t length = RSDP_CHECKED_V0;
	uint8_t sum;

	if (!p || memcmp(p, "RSD PTR ", 8) != 0) {
		format_complaint(why, "ACPI: RSDP at 0x%llx: %s: " ACPI_REFUSE, at,
				 p ? "no signature \"RSD PTR \"" : "cannot be read");
		return TABLES_BAD;
	}
	sum = tables_sum(p, RSDP_CHECKED_V0);
	*root = (struct acpi_table){ "RSDT", "RSDT", tables_u32(p + 16), NULL, 0 };
	*pointer = 4;
	if (!sum && p[15] >= 2) { /* revision; before ACPI 2.0 it was 0 */
		p = phys_at(rsdp, RSDP_SIZE);
		length = p ? tables_u32(p + 20) : 0;
		p = length >= RSDP_SIZE && length <= ACPI_TABLE_MAX ? phys_at(rsdp, length) : NULL;
		if (!p) {
			format_complaint(why, "ACPI: RSDP at 0x%llx: length is %u: " ACPI_REFUSE,
					 at, length);
			return TABLES_BAD;
		}
		sum = tables_sum(p, length);
		if (tables_u64(p + 24)) {
			*root = (struct acpi_table){ "XSDT", "XSDT", tables_u64(p + 24), NULL, 0 };
			*pointer = 8;
		}
	}
	if (sum) {
		format_complaint(why, "ACPI: RSDP at 0x%llx: checksum is 0x%02x, not 0: "
				 ACPI_REFUSE, at, sum);
		return TABLES_BAD;
	}
	return TABLES_OK;
}

/* The first table with this signature in a root that was opened; phys 0: none (5.2.7, 5.2.8). */
static struct acpi_table acpi_find(const struct acpi_table *root, uint32_t pointer,
				   const char *signature, const char *name)
{
	struct acpi_table t = { signature, name, 0, NULL, 0 };

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
	uint32_t id, flags, none;

	switch (e[0]) {
	case MADT_LAPIC: /* 5.2.12.2 */
		if (e[1] < 8)
			return "too short for its type: " ACPI_REFUSE;
		id = e[3], flags = tables_u32(e + 4), none = 0xff;
		break;
	case MADT_X2APIC: /* 5.2.12.12 */
		if (e[1] < 16)
			return "too short for its type: " ACPI_REFUSE;
		id = tables_u32(e + 4), flags = tables_u32(e + 8), none = 0xffffffff;
		break;
	case MADT_LAPIC_ADDRESS: /* 5.2.12.8 */
		if (e[1] < 12)
			return "too short for its type: " ACPI_REFUSE;
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

static int acpi_madt(struct acpi_table *t, struct machine *m, struct complaint *why)
{
	unsigned long long phys = t->phys;
	uint32_t repeated = 0;

	if (!acpi_open(t, MADT_ENTRIES, why, ACPI_REFUSE))
		return TABLES_BAD;
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
		if (wrong) {
			format_complaint(why, "ACPI: MADT at 0x%llx: entry at byte %u: %s",
					 phys, at, wrong);
			return TABLES_BAD;
		}
	}
	if (!m->core_count || !m->lapic_phys || m->lapic_phys & 0xfff) {
		format_complaint(why, "ACPI: MADT at 0x%llx: %s: " ACPI_REFUSE, phys,
				 m->core_count ? "local APIC is not at a page" : "no enabled core");
		return TABLES_BAD;
	}
	if (repeated)
		format_note(why, "ACPI: MADT at 0x%llx: %u repeated APIC id%s dropped", phys,
			    repeated, repeated == 1 ? "" : "s");
	return TABLES_OK;
}

/* PM timer, 4.8.3.3. Its extended address counts alone if it is not 0 (5.2.9, X_PM_TMR_BLK). */
static void acpi_fadt(struct acpi_table *t, struct machine *m, struct complaint *why)
{
	uint64_t port;
	uint32_t flags;
	bool io = true;

	if (!acpi_open(t, FADT_V1, why, "PM timer not used"))
		return;
	flags = tables_u32(t->bytes + 112);
	port = t->bytes[91] == 4 ? tables_u32(t->bytes + 76) : 0; /* PM_TMR_LEN, PM_TMR_BLK */
	if (t->length >= FADT_X_PM_TMR_END && tables_u64(t->bytes + 212)) {
		port = tables_u64(t->bytes + 212);
		io = t->bytes[208] == GAS_IO;
	}
	if (!port || !io || flags & FADT_HW_REDUCED)
		return;
	if (port > 0xffff - 3) {
		format_note(why, "ACPI: FADT at 0x%llx: PM timer at 0x%llx is no port: PM timer not used",
			    (unsigned long long)t->phys, (unsigned long long)port);
		return;
	}
	m->pm_timer_port = (uint16_t)port;
	m->pm_timer_32bit = flags & FADT_TMR_VAL_EXT;
}

static void acpi_hpet(struct acpi_table *t, struct machine *m, struct complaint *why)
{
	uint64_t base;

	if (!acpi_open(t, HPET_SIZE, why, "HPET not used"))
		return;
	base = tables_u64(t->bytes + 44);
	if (t->bytes[40] == GAS_MEMORY && base && !(base & 7)) /* registers are 64 bits wide */
		m->hpet_phys = base;
	else
		format_note(why, "ACPI: HPET at 0x%llx: no usable base address: HPET not used",
			    (unsigned long long)t->phys);
}

int acpi_read(uint64_t rsdp, struct machine *m, struct complaint *why)
{
	struct acpi_table root, table;
	uint32_t pointer;

	tables_begin(m, why);
	if (!rsdp) {
		format_complaint(why, "ACPI: the firmware gives no RSDP");
		return tables_end(m, why, TABLES_NONE);
	}
	if (acpi_root(rsdp, &root, &pointer, why) < 0 ||
	    !acpi_open(&root, SDT_SIZE, why, ACPI_REFUSE))
		return tables_end(m, why, TABLES_BAD);
	table = acpi_find(&root, pointer, "APIC", "MADT");
	if (!table.phys) {
		format_complaint(why, "ACPI: %s at 0x%llx lists no readable MADT", root.name,
				 (unsigned long long)root.phys);
		return tables_end(m, why, TABLES_NONE);
	}
	if (acpi_madt(&table, m, why) < 0)
		return tables_end(m, why, TABLES_BAD);
	m->source = "ACPI MADT";
	table = acpi_find(&root, pointer, "FACP", "FADT");
	if (table.phys)
		acpi_fadt(&table, m, why);
	table = acpi_find(&root, pointer, "HPET", "HPET");
	if (table.phys)
		acpi_hpet(&table, m, why);
	return tables_end(m, why, TABLES_OK);
}
