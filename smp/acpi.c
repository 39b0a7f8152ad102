/* SPDX-License-Identifier: MIT */
/*
 * ACPI: RSDP -> XSDT or RSDT -> MADT for the cores, FADT and HPET for the
 * timers. Section numbers are those of ACPI 6.4. Each table is trusted on its own:
 * a damaged one costs only what it holds, is reported, and the next of its kind is tried.
 */
#include "smp/tables.h"
#include "smp/lib.h"

#define ACPI_TABLE_MAX (1u << 20) /* larger than any sane one; bounds the time that a sum takes */

enum {
	RSDP_CHECKED_V0 = 20, RSDP_SIZE = 36,       /* 5.2.5.3 */
	RSDP_STEP = 16, SCAN_BLOCK = 1024,          /* 5.2.5.1 */
	SDT_SIZE = 36,                              /* 5.2.6 */
	MADT_ENTRIES = 44, MADT_LAPIC = 0,          /* 5.2.12 */
	MADT_LAPIC_ADDRESS = 5, MADT_X2APIC = 9,
	MADT_ENABLED = 1,
	FADT_V1 = 116, FADT_X_PM_TMR_END = 220,     /* 5.2.9 */
	FADT_TMR_VAL_EXT = 1 << 8, FADT_HW_REDUCED = 1 << 20, FADT_RESET_REG_SUP = 1 << 10,
	FADT_RESET_END = 129, FADT_X_DSDT_END = 148,
	HPET_SIZE = 56,                             /* IA-PC HPET 1.0a, 3.2.4 */
	SPCR_SIZE = 80, SPCR_16450 = 1, SPCR_16550 = 0x12, /* Microsoft's SPCR specification; 0 is a 16550, too */
	AML_BYTE = 0x0a, AML_PACKAGE = 0x12,        /* 20.2.3, 20.2.5.4 */
	GAS_MEMORY = 0, GAS_IO = 1,                 /* 5.2.3.2 */
};

/* Takes one entry, all of it within the MADT. NULL, or what is wrong with it. */
static const char *acpi_madt_entry(const uint8_t *e, struct machine *m, uint32_t *repeated)
{
	static const uint8_t least[] = { [MADT_LAPIC] = 8, [MADT_LAPIC_ADDRESS] = 12, [MADT_X2APIC] = 16 };
	uint32_t id, flags, none;

	if (e[0] < sizeof(least) && e[1] < least[e[0]])
		return "too short for its type";
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
	if (flags & MADT_ENABLED && id != none)
		tables_add_core(m, id, repeated);
	return NULL;
}

/* Where an entry is malformed, those before it still count: as the checksum is right, the firmware meant them so. */
static bool acpi_madt(const struct table *t, struct machine *m, struct complaint *why)
{
	uint32_t repeated = 0;

	m->source = "ACPI MADT";
	m->lapic_phys = tables_u32(t->bytes + 36);
	for (uint32_t at = MADT_ENTRIES; at < t->length; at += t->bytes[at + 1]) {
		const uint8_t *e = t->bytes + at;
		const char *wrong;

		if (t->length - at < 2 || e[1] > t->length - at)
			wrong = "runs past the end";
		else if (e[1] < 2) /* would never advance */
			wrong = "length below 2";
		else
			wrong = acpi_madt_entry(e, m, &repeated);
		if (wrong) {
			format_note(why, "%s at 0x%lx: entry at byte %u: %s: not used from there on", t->name, t->phys, at, wrong);
			break;
		}
	}
	return tables_cores(t, m, repeated, why);
}

static uint16_t acpi_port(uint64_t at)
{
	return at >= 0x20 && at <= 0xfff8 ? (uint16_t)at : 0;
}

/* How to end the machine: PM1 control (4.8.3.2.1) and DSDT, or the reset register (4.8.3.6). */
static void acpi_end(const struct table *t, struct machine *m)
{
	const uint8_t *p = t->bytes;

	m->pm1_control[0] = acpi_port(tables_u32(p + 64));
	m->pm1_control[1] = acpi_port(tables_u32(p + 68));
	m->dsdt_phys = tables_u32(p + 40);
	if (t->length >= FADT_RESET_END && tables_u32(p + 112) & FADT_RESET_REG_SUP && p[116] == GAS_IO) {
		m->reset_port = acpi_port(tables_u64(p + 120));
		m->reset_value = p[128];
	}
	if (t->length >= FADT_X_DSDT_END && tables_u64(p + 140))
		m->dsdt_phys = tables_u64(p + 140);
}

/* PM timer, 4.8.3.3. A non-zero extended address overrides the other one (5.2.9, X_PM_TMR_BLK). */
static bool acpi_fadt(const struct table *t, struct machine *m, struct complaint *why)
{
	uint64_t port = t->bytes[91] == 4 ? tables_u32(t->bytes + 76) : 0; /* PM_TMR_LEN, PM_TMR_BLK */
	uint32_t flags = tables_u32(t->bytes + 112);

	acpi_end(t, m);
	if (t->length >= FADT_X_PM_TMR_END && tables_u64(t->bytes + 212))
		port = t->bytes[208] == GAS_IO ? tables_u64(t->bytes + 212) : 0;
	if (!port || flags & FADT_HW_REDUCED)
		return true;
	if (port > 0xffff - 3)
		return format_note(why, "%s at 0x%lx: PM timer at 0x%lx is no port: not used", t->name, t->phys, port);
	m->pm_timer_port = (uint16_t)port;
	m->pm_timer_32bit = flags & FADT_TMR_VAL_EXT;
	return true;
}

static bool acpi_hpet(const struct table *t, struct machine *m, struct complaint *why)
{
	uint64_t base = tables_u64(t->bytes + 44);

	if (t->bytes[40] != GAS_MEMORY || !base || base & 7) /* registers are 64 bits wide */
		return format_note(why, "%s at 0x%lx: no usable base address: not used", t->name, t->phys);
	m->hpet_phys = base;
	return true;
}

static bool acpi_spcr(const struct table *t, struct machine *m, struct complaint *why)
{
	(void)why;
	if ((t->bytes[36] <= SPCR_16450 || t->bytes[36] == SPCR_16550) && t->bytes[40] == GAS_IO)
		m->serial_port = acpi_port(tables_u64(t->bytes + 44));
	return true;
}

static const struct kind {
	const char *signature, *name;
	uint32_t least; /* bytes */
	bool (*take)(const struct table *t, struct machine *m, struct complaint *why);
} kinds[] = {
	{ "APIC", "ACPI: MADT", MADT_ENTRIES, acpi_madt },
	{ "FACP", "ACPI: FADT", FADT_V1, acpi_fadt },
	{ "HPET", "ACPI: HPET", HPET_SIZE, acpi_hpet },
	{ "SPCR", "ACPI: SPCR", SPCR_SIZE, acpi_spcr },
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]), ALL_KINDS = 7 /* but SPCR: most machines have none */ };

struct search {
	unsigned taken;        /* a bit for each kind */
	uint64_t tried[KINDS]; /* the last one tried: RSDT and XSDT list the same tables */
};

/* The tables of a root (5.2.7, 5.2.8): the first sound one of each kind that no earlier root had. */
static void acpi_tables(struct table *root, struct search *s, struct machine *m, struct complaint *why)
{
	const uint32_t pointer = root->signature[0] == 'X' ? 8 : 4; /* bytes */
	const unsigned before = s->taken;

	if (!root->phys || (before & ALL_KINDS) == ALL_KINDS || !tables_open(root, SDT_SIZE, ACPI_TABLE_MAX, why))
		return;
	for (uint32_t at = SDT_SIZE; root->length - at >= pointer; at += pointer) {
		const uint8_t *p = root->bytes + at;
		uint64_t phys = pointer == 8 ? tables_u64(p) : tables_u32(p);
		const uint8_t *found = phys ? phys_at(phys, 4) : NULL; /* unreadable: not one that we want */

		for (unsigned k = 0; found && k < KINDS; k++) {
			struct table t = { kinds[k].name, kinds[k].signature, phys, NULL, 0 };

			if (memcmp(found, t.signature, 4) != 0 || before & 1u << k || s->tried[k] == phys)
				continue;
			s->tried[k] = phys;
			if (!(s->taken & 1u << k))
				s->taken |= (unsigned)(tables_open(&t, kinds[k].least, ACPI_TABLE_MAX, why) &&
						       kinds[k].take(&t, m, why)) << k;
			else if (kinds[k].take != acpi_hpet) /* a machine may have several HPETs */
				format_note(why, "%s at 0x%lx: not the first: not used", t.name, phys);
		}
	}
}

/* By one RSDP (5.2.5.3). Its first sum is for the RSDT, its second for the XSDT. */
static void acpi_rsdp(uint64_t rsdp, struct search *s, struct machine *m, struct complaint *why)
{
	const uint8_t *p = phys_at(rsdp, RSDP_CHECKED_V0);
	struct table rsdt = { "ACPI: RSDT", "RSDT", 0, NULL, 0 }, xsdt = { "ACPI: XSDT", "XSDT", 0, NULL, 0 };
	uint32_t length;

	if (!p || memcmp(p, "RSD PTR ", 8) != 0 || tables_sum(p, RSDP_CHECKED_V0)) {
		format_note(why, "ACPI: RSDP at 0x%lx: %s: not used", rsdp, !p ? "cannot be read" :
			    memcmp(p, "RSD PTR ", 8) != 0 ? "no signature \"RSD PTR \"" : "wrong checksum");
		return;
	}
	rsdt.phys = tables_u32(p + 16);
	if (p[15] >= 2) { /* revision; before ACPI 2.0 it was 0 */
		p = phys_at(rsdp, RSDP_SIZE);
		length = p ? tables_u32(p + 20) : 0;
		p = length >= RSDP_SIZE && length <= ACPI_TABLE_MAX ? phys_at(rsdp, length) : NULL;
		if (p && !tables_sum(p, length))
			xsdt.phys = tables_u64(p + 24);
		else
			format_note(why, "ACPI: RSDP at 0x%lx: wrong %s: its XSDT not used", rsdp,
				    p ? "extended checksum" : "length");
	}
	acpi_tables(&xsdt, s, m, why);
	acpi_tables(&rsdt, s, m, why);
	if (!m->core_count && !why->text[0])
		format_note(why, "ACPI: RSDP at 0x%lx leads to no MADT", rsdp);
}

/* Looks for the RSDP where a BIOS has it: in [from, end), whole KiB. False: there is none. */
static bool acpi_scan(uint64_t from, uint64_t end, struct search *s, struct machine *m, struct complaint *why)
{
	bool any = false;

	for (uint64_t block = from; block < end; block += SCAN_BLOCK) {
		const uint8_t *p = phys_at(block, SCAN_BLOCK);

		for (uint32_t at = 0; p && at < SCAN_BLOCK && !m->core_count; at += RSDP_STEP)
			if (tables_u64(p + at) == 0x2052545020445352u) { /* "RSD PTR " */
				any = true;
				acpi_rsdp(block + at, s, m, why);
			}
	}
	return any;
}

int acpi_read(uint64_t rsdp, struct machine *m, struct complaint *why)
{
	struct search s = { 0, { 0 } };
	bool any = rsdp;

	tables_begin(m, why);
	if (rsdp)
		acpi_rsdp(rsdp, &s, m, why);
	any |= acpi_scan(tables_ebda(), tables_ebda() + SCAN_BLOCK, &s, m, why);
	any |= acpi_scan(0xe0000, 0x100000, &s, m, why);
	if (!any)
		format_note(why, "ACPI: the firmware gives no RSDP");
	return any ? tables_result(m, why) : TABLES_NONE;
}

/*
 * The first two elements of the package \_S5 (7.4.2.5): 0, 1, or a byte, as compilers write small integers. AML can't
 * be parsed from the middle: this searches for what looks like it.
 */
bool acpi_s5(const struct machine *m, uint8_t type[2], struct complaint *why)
{
	struct table t = { "ACPI: DSDT", "DSDT", m->dsdt_phys, NULL, 0 };

	why->text[0] = '\0';
	if (!m->pm1_control[0] || !t.phys)
		return format_complaint(why, "end=off: ACPI names no register for it: the machine will only halt");
	if (!tables_open(&t, SDT_SIZE, ACPI_TABLE_MAX, why))
		return false;
	for (uint32_t at = SDT_SIZE; at + 7 <= t.length; at++) {
		/* Behind name and opcode: the length, of 1 to 4 bytes by the first one's highest bits (20.2.4); how many elements. */
		uint32_t next = at + 5 + (t.bytes[at + 5] >> 6) + 2, found = 0;

		if (memcmp(t.bytes + at, "_S5_", 4) != 0 || t.bytes[at + 4] != AML_PACKAGE)
			continue;
		for (; found < 2 && next < t.length; found++, next++) {
			bool byte = t.bytes[next] == AML_BYTE;

			next += byte;
			if (next >= t.length || t.bytes[next] > (byte ? 7 : 1))
				break;
			type[found] = t.bytes[next];
		}
		if (found == 2)
			return true;
	}
	return format_complaint(why, "%s at 0x%lx: no \\_S5 found: end=off only halts", t.name, t.phys);
}
