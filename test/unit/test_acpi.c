/* SPDX-License-Identifier: MIT */
/* Sound tables in all their forms; test_acpi_damage.c has the others. */
#include "unit.h"
#include <string.h>
#include "fake.h"
#include "smp/tables.h"

static struct machine m;
static struct complaint why;

static int forget(void **state)
{
	(void)state;
	fake_forget();
	return 0;
}

static void put(uint64_t phys, uint64_t value, size_t bytes)
{
	fake_put(fake_at(phys), value, bytes);
}

/* What fake_acpi() describes, whichever way it was reached. */
static void check_sound(int result)
{
	static const uint32_t ids[] = { 0, 2, 0x100, 7 };

	assert_string_equal(why.text, "");
	assert_int_equal(result, TABLES_OK);
	assert_int_equal(m.core_count, 4);
	assert_memory_equal(m.apic_id, ids, sizeof(ids));
	assert_int_equal(m.lapic_phys, 0xfee00000);
	assert_int_equal(m.pm_timer_port, 0xb008);
	assert_true(m.pm_timer_32bit);
	assert_int_equal(m.hpet_phys, 0xfed00000);
	assert_string_equal(m.source, "ACPI MADT");
}

static void test_xsdt(void **state)
{
	(void)state;
	fake_acpi();
	fake_at(FAKE_RSDT)[0] = 'x'; /* not looked at: the XSDT goes first */
	check_sound(acpi_read(FAKE_RSDP, &m, &why));
}

static void test_rsdt(void **state)
{
	(void)state;
	fake_acpi();
	put(FAKE_RSDP + 24, 0, 8); /* no XSDT */
	fake_acpi_fix();
	check_sound(acpi_read(FAKE_RSDP, &m, &why));
}

/* Version 0: 20 bytes, and nothing behind them may be read. */
static void test_version_0(void **state)
{
	uint8_t *p;

	(void)state;
	fake_acpi();
	fake_at(FAKE_RSDP)[15] = 0;
	fake_acpi_fix();
	p = fake_memory(0x1000, 20);
	memcpy(p, fake_at(FAKE_RSDP), 20);
	check_sound(acpi_read(0x1000, &m, &why));
}

static void test_lapic_override(void **state)
{
	static const uint8_t entries[] = {
		5, 12, 0, 0, 0, 0x10, 0, 0x80, 1, 0, 0, 0,
		0, 8, 0, 3, 1, 0, 0, 0,
		0xe0, 2, /* reserved types are stepped over */
		9, 17, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, /* longer than today's */
	};

	(void)state;
	fake_acpi();
	fake_madt(entries, sizeof(entries));
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_OK);
	assert_int_equal(m.lapic_phys, 0x180001000);
	assert_int_equal(m.core_count, 2);
	assert_int_equal(m.apic_id[0], 3);
	assert_int_equal(m.apic_id[1], 9);
}

static void test_repeated_core(void **state)
{
	static const uint8_t once[] = { 0, 8, 0, 3, 1, 0, 0, 0, 0, 8, 1, 3, 1, 0, 0, 0 };
	static const uint8_t twice[] = {
		0, 8, 0, 3, 1, 0, 0, 0, 0, 8, 1, 3, 1, 0, 0, 0,
		9, 16, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0,
	};

	(void)state;
	fake_acpi();
	fake_madt(once, sizeof(once));
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_NOTED);
	assert_string_equal(why.text, "ACPI: MADT at 0x7fe0203: 1 repeated APIC id dropped");
	assert_int_equal(m.core_count, 1);
	fake_madt(twice, sizeof(twice));
	fake_at(FAKE_HPET)[9]++;
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_NOTED);
	assert_string_equal(why.text, "ACPI: MADT at 0x7fe0203: 2 repeated APIC ids dropped; "
			    "ACPI: HPET at 0x7fe3201: checksum is 0x01, not 0: not used");
}

/* 256 fit, by type 9; of 288 the others are left out, and nothing else is lost. */
static void test_many_cores(void **state)
{
	static uint8_t entries[288 * 16];

	(void)state;
	for (unsigned i = 0; i < 288; i++) {
		entries[16 * i] = 9;
		entries[16 * i + 1] = 16;
		fake_put(entries + 16 * i + 4, 1000 + i, 4);
		entries[16 * i + 8] = 1;
	}
	fake_acpi();
	fake_madt(entries, 256 * 16);
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_OK);
	assert_int_equal(m.core_count, 256);
	assert_int_equal(m.surplus, 0);
	assert_int_equal(m.apic_id[255], 1255);
	fake_madt(entries, sizeof(entries));
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_OK);
	assert_int_equal(m.core_count, 256);
	assert_int_equal(m.surplus, 32);
	assert_int_equal(m.apic_id[255], 1255);
	assert_int_equal(m.pm_timer_port, 0xb008);
	assert_int_equal(m.hpet_phys, 0xfed00000);
}

static void test_pm_timer(void **state)
{
	static const struct {
		uint8_t length, space; /* PM_TMR_LEN, of X_PM_TMR_BLK */
		uint32_t port, flags;
		uint64_t x_port;
		uint16_t want;
		bool want_32bit;
	} cases[] = {
		{ 4, 0, 0xb008, 0, 0, 0xb008, false },
		{ 4, 1, 0xb008, 1 << 8, 0x408, 0x408, true },  /* the extended one goes first */
		{ 4, 0, 0xb008, 1 << 8, 0xfed80000, 0, false }, /* in memory: not for us */
		{ 0, 0, 0xb008, 1 << 8, 0, 0, false },          /* no length: no timer */
		{ 0, 1, 0, 1 << 8, 0x408, 0x408, true },
		{ 4, 0, 0xb008, 1 << 20, 0, 0, false },         /* hardware-reduced ACPI: none */
		{ 4, 0, 0, 1 << 8, 0, 0, false },
		{ 4, 0, 0xfffc, 0, 0, 0xfffc, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_acpi();
		put(FAKE_FADT + 76, cases[i].port, 4);
		put(FAKE_FADT + 91, cases[i].length, 1);
		put(FAKE_FADT + 112, cases[i].flags, 4);
		put(FAKE_FADT + 208, cases[i].space, 1);
		put(FAKE_FADT + 212, cases[i].x_port, 8);
		fake_acpi_fix();
		assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_OK);
		assert_int_equal(m.pm_timer_port, cases[i].want);
		assert_int_equal(m.pm_timer_32bit, cases[i].want_32bit);
		fake_forget();
	}
}

/* ACPI 1.0's FADT ends before the extended block: what follows it is not read. */
static void test_fadt_v1(void **state)
{
	(void)state;
	fake_acpi();
	put(FAKE_FADT + 4, 116, 4);
	put(FAKE_FADT + 212, 0x408, 8);
	fake_acpi_fix();
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_OK);
	assert_int_equal(m.pm_timer_port, 0xb008);
}

static void test_no_timers(void **state)
{
	(void)state;
	fake_acpi();
	put(FAKE_XSDT + 36, 0, 8);
	put(FAKE_XSDT + 60, 0, 8);
	put(FAKE_RSDT + 36, 0, 4);
	put(FAKE_RSDT + 48, 0, 4);
	fake_acpi_fix();
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_OK);
	assert_int_equal(m.core_count, 4);
	assert_int_equal(m.pm_timer_port, 0);
	assert_int_equal(m.hpet_phys, 0);
}

/* Nobody asks the MADT where the local APIC is. */
static void test_lapic_nowhere(void **state)
{
	(void)state;
	fake_acpi();
	put(FAKE_MADT + 36, 0, 4);
	fake_acpi_fix();
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_OK);
	assert_int_equal(m.core_count, 4);
}

/* A list that ends in zeros, or in the middle of an entry: what is before that counts. */
static void test_tail(void **state)
{
	static const uint8_t zeros[] = { 0, 8, 0, 3, 1, 0, 0, 0, 0, 8, 1, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t cut[] = { 0, 8, 0, 3, 1, 0, 0, 0, 0, 8, 1, 5, 1, 0, 0, 0, 0, 8, 2, 7 };

	(void)state;
	fake_acpi();
	fake_madt(zeros, sizeof(zeros));
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_NOTED);
	assert_string_equal(why.text, "ACPI: MADT at 0x7fe0203: entry at byte 60: length below 2: not used from there on");
	assert_int_equal(m.core_count, 2);
	assert_int_equal(m.apic_id[1], 5);
	assert_int_equal(m.hpet_phys, 0xfed00000);
	fake_madt(cut, sizeof(cut));
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_NOTED);
	assert_string_equal(why.text, "ACPI: MADT at 0x7fe0203: entry at byte 60: runs past the end: not used from there on");
	assert_int_equal(m.core_count, 2);
	assert_int_equal(m.pm_timer_port, 0xb008);
}

/* A copy of the MADT or HPET, changed at one byte, in a root before the sound one, and behind it. */
static void test_two_of_a_kind(void **state)
{
	enum { COPY = 0x7fd0000, OTHER = 0x123456789abc };
	static const struct { uint64_t table, changed; uint8_t value; bool first; const char *text; } cases[] = {
		{ FAKE_MADT, 10, 1, true, "ACPI: MADT at 0x7fd0000: checksum is 0x01, not 0: not used" },
		{ FAKE_MADT, 10, 1, false, "ACPI: MADT at 0x7fd0000: not the first: not used" },
		{ FAKE_MADT, 47, 9, false, "ACPI: MADT at 0x7fd0000: not the first: not used" },
		{ FAKE_HPET, 40, 1, true, "ACPI: HPET at 0x7fd0000: no usable base address: not used" },
		{ FAKE_HPET, 44, 8, false, "" }, /* there may be more than one */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t bytes = cases[i].table == FAKE_MADT ? FAKE_MADT_SIZE : FAKE_HPET_SIZE;

		fake_acpi();
		uint8_t *copy = memcpy(fake_memory(COPY, bytes), fake_at(cases[i].table), bytes);
		copy[cases[i].changed] = (uint8_t)(copy[cases[i].changed] + cases[i].value);
		if (cases[i].changed != 10)
			fake_fix(copy, bytes, 9);
		/* Of the XSDT the first entry is the FADT's, which goes to the end. */
		put(FAKE_XSDT + 36, cases[i].first ? COPY : OTHER, 8);
		put(FAKE_XSDT + 44, FAKE_FADT, 8);
		put(FAKE_XSDT + 60, FAKE_HPET, 8);
		if (!cases[i].first) {
			put(FAKE_XSDT + 36, FAKE_HPET, 8);
			put(FAKE_XSDT + 60, COPY, 8);
		}
		fake_acpi_fix();
		assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), cases[i].text[0] ? TABLES_NOTED : TABLES_OK);
		assert_string_equal(why.text, cases[i].text);
		assert_int_equal(m.core_count, 4);
		assert_int_equal(m.apic_id[0], 0);
		assert_int_equal(m.pm_timer_port, 0xb008);
		assert_int_equal(m.hpet_phys, 0xfed00000);
		fake_forget();
	}
}

/* What the XSDT has is not sought in the RSDT, whose FADT may be an older one; what it has not is. */
static void test_both_roots(void **state)
{
	enum { OLD = 0x7fd0000 };

	(void)state;
	fake_acpi();
	uint8_t *old = memcpy(fake_memory(OLD, 116), fake_at(FAKE_FADT), 116);
	fake_put(old + 4, 116, 4);
	fake_put(old + 76, 0x1234, 4);
	fake_fix(old, 116, 9);
	put(FAKE_RSDT + 36, OLD, 4);
	put(FAKE_XSDT + 60, 0, 8); /* the HPET's */
	fake_acpi_fix();
	check_sound(acpi_read(FAKE_RSDP, &m, &why));
}

/* Two RSDPs where a BIOS has them, in the EBDA and in its ROM: either is enough. */
static void test_two_rsdps(void **state)
{
	enum { EBDA = 0x9fc00, ROM = 0xf0000 };
	static const struct { unsigned at, value; const char *text; } cases[] = {
		{ 9, 1, "ACPI: RSDP at 0x9fe00: wrong checksum: not used" },
		{ 33, 1, "ACPI: RSDP at 0x9fe00: wrong extended checksum: its XSDT not used" },
		{ 20, 200, "ACPI: RSDP at 0x9fe00: wrong extended checksum: its XSDT not used" },
		{ 22, 200, "ACPI: RSDP at 0x9fe00: wrong length: its XSDT not used" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_acpi();
		put(FAKE_RSDP + 16, 0, 4); /* no RSDT */
		fake_acpi_fix();
		fake_put(fake_memory(0x40e, 2), EBDA >> 4, 2);
		uint8_t *first = fake_memory(EBDA, 1024) + 0x200, *second = fake_memory(ROM, 1024) + 0x130;
		memcpy(first, fake_at(FAKE_RSDP), 36);
		memcpy(second, fake_at(FAKE_RSDP), 36);
		memset(fake_at(FAKE_RSDP), 0, 36);
		check_sound(acpi_read(0, &m, &why));
		/* Behind a good one nobody looks for damage. */
		memcpy(first + 0x100, first, 36);
		first[0x109]++;
		second[9]++;
		check_sound(acpi_read(0, &m, &why));
		memset(first + 0x100, 0, 36);
		second[9]--;
		first[cases[i].at] = (uint8_t)(first[cases[i].at] + cases[i].value);
		assert_int_equal(acpi_read(0, &m, &why), TABLES_NOTED);
		assert_string_equal(why.text, cases[i].text);
		assert_int_equal(m.core_count, 4);
		assert_int_equal(m.pm_timer_port, 0xb008);
		memset(first, 0, 36);
		check_sound(acpi_read(0, &m, &why));
		second[33] = 0xee; /* and no other */
		assert_int_equal(acpi_read(0, &m, &why), TABLES_BAD);
		fake_forget();
	}
}

/* A UART that the firmware talks to: only if it is a 16550 at a port. */
static void test_spcr(void **state)
{
	static const struct {
		uint8_t type, space;
		uint64_t at;
		uint16_t want;
	} cases[] = {
		{ 0, 1, 0x2f8, 0x2f8 },    { 1, 1, 0x3e8, 0x3e8 }, { 0x12, 1, 0xd040, 0xd040 },
		{ 3, 1, 0x2f8, 0 }, /* ARM's */
		{ 0, 0, 0xfe030000, 0 }, /* in memory */
		{ 0, 1, 0, 0 }, /* switched off */
		{ 0, 1, 0x100002f8, 0 },   { 0, 1, 0xfffc, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t *p = fake_memory(0x7ff2000, 80);

		fake_acpi();
		memcpy(p, "SPCR", 4);
		fake_put(p + 4, 80, 4);
		p[36] = cases[i].type;
		p[40] = cases[i].space;
		fake_put(p + 44, cases[i].at, 8);
		fake_fix(p, 80, 9);
		put(FAKE_XSDT + 36 + 8, 0x7ff2000, 8);
		fake_acpi_fix();
		check_sound(acpi_read(FAKE_RSDP, &m, &why));
		assert_int_equal(m.serial_port, cases[i].want);
		p[9]++;
		assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_NOTED);
		assert_string_equal(why.text, "ACPI: SPCR at 0x7ff2000: checksum is 0x01, not 0: not used");
		assert_int_equal(m.serial_port, 0);
		fake_forget();
	}
}

static void test_reset_register(void **state)
{
	static const struct {
		uint32_t flags, length;
		uint8_t space;
		uint64_t at;
		uint16_t want;
	} cases[] = {
		{ 1 << 10, 244, 1, 0xcf9, 0xcf9 }, { 1 << 10, 129, 1, 0xb2, 0xb2 },
		{ 1 << 10, 128, 1, 0xcf9, 0 }, /* its value is beyond the end */
		{ 0, 244, 1, 0xcf9, 0 },	   { 1 << 10, 244, 0, 0xcf9, 0 },
		{ 1 << 10, 244, 1, 0x100000cf9, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_acpi();
		put(FAKE_FADT + 4, cases[i].length, 4);
		put(FAKE_FADT + 112, cases[i].flags, 4);
		put(FAKE_FADT + 116, cases[i].space, 1);
		put(FAKE_FADT + 120, cases[i].at, 8);
		put(FAKE_FADT + 128, 6, 1);
		fake_acpi_fix();
		assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_OK);
		assert_int_equal(m.reset_port, cases[i].want);
		assert_true(!cases[i].want || m.reset_value == 6);
		fake_forget();
	}
}

enum { DSDT = 0x7ff3001 };

/* A machine whose DSDT has this AML; then reads it. */
static void read_dsdt(const uint8_t *aml, size_t bytes)
{
	uint8_t *p = fake_memory(DSDT, 36 + bytes);

	fake_acpi();
	memcpy(p, "DSDT", 4);
	fake_put(p + 4, 36 + bytes, 4);
	memcpy(p + 36, aml, bytes);
	fake_fix(p, 36 + bytes, 9);
	put(FAKE_FADT + 64, 0x404, 4);
	put(FAKE_FADT + 40, DSDT, 4);
	fake_acpi_fix();
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_OK);
	assert_int_equal(m.pm1_control[0], 0x404);
	assert_int_equal(m.pm1_control[1], 0);
}

/* \_S5 in all forms that compilers give it, and in some that say nothing. */
static void test_s5(void **state)
{
	static const struct {
		uint8_t bytes, aml[24];
		int want[2]; /* -1: not found */
	} cases[] = {
		{ 11, { 8, '_', 'S', '5', '_', 0x12, 5, 2, 0x0a, 5, 0 }, { 5, 0 } },
		{ 12, { 8, '_', 'S', '5', '_', 0x12, 6, 2, 0x0a, 7, 0x0a, 6 }, { 7, 6 } },
		{ 10, { 8, '_', 'S', '5', '_', 0x12, 4, 2, 1, 1 }, { 1, 1 } },
		{ 12, { 8, '\\', '_', 'S', '5', '_', 0x12, 0x40, 0, 2, 0, 1 }, { 0, 1 } },      /* a length of 2 bytes */
		{ 13, { 8, '_', 'S', '5', '_', 0x12, 0xc7, 0, 0, 0, 4, 1, 0 }, { 1, 0 } },      /* 4 */
		{ 17, { '_', 'S', '5', '_', '_', 'S', '5', '_', 0x12, 0x06, 4, 0x0a, 0, 0x0a, 1, 0, 0 }, { 0, 1 } },
		{ 20, { '_', 'S', '5', '_', 0x12, 4, 2, 1, 2, 8, '_', 'S', '5', '_', 0x12, 4, 2, 1, 0, 0 }, { 1, 0 } },
		{ 4, { '_', 'S', '5', '_' }, { -1, 0 } },
		{ 6, { '_', 'S', '5', '_', 0x12, 4 }, { -1, 0 } },
		{ 8, { '_', 'S', '5', '_', 0x12, 4, 2, 1 }, { -1, 0 } },                         /* each ends in it */
		{ 9, { '_', 'S', '5', '_', 0x12, 4, 2, 1, 0x0a }, { -1, 0 } },
		{ 7, { '_', 'S', '5', '_', 0x12, 0xff, 0xff }, { -1, 0 } },
		{ 10, { '_', 'S', '5', '_', 0x12, 6, 2, 0x0a, 8, 0 }, { -1, 0 } },               /* of 3 bits */
		{ 10, { '_', 'S', '5', '_', 0x13, 6, 2, 0x0a, 5, 0 }, { -1, 0 } },
		{ 10, { '_', 'S', '4', '_', 0x12, 6, 2, 0x0a, 5, 0 }, { -1, 0 } },
		{ 1, { 0 }, { -1, 0 } },
	};
	uint8_t type[2];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_dsdt(cases[i].aml, cases[i].bytes);
		assert_int_equal(acpi_s5(&m, type, &why), cases[i].want[0] >= 0);
		if (cases[i].want[0] >= 0) {
			assert_int_equal(type[0], cases[i].want[0]);
			assert_int_equal(type[1], cases[i].want[1]);
			assert_string_equal(why.text, "");
		} else
			assert_string_equal(why.text, "ACPI: DSDT at 0x7ff3001: no \\_S5 found: end=off only halts");
		fake_forget();
	}
}

/* No DSDT, one that can't be read, no register; and any bytes at all: nothing is read beyond its end. */
static void test_s5_damage(void **state)
{
	static const uint8_t aml[] = { 8, '_', 'S', '5', '_', 0x12, 5, 2, 0x0a, 5, 0 };
	static const uint8_t some[] = { '_', 'S', '5', 0x12, 0x0a, 1, 0xff, 0x40 };
	uint64_t random = 1;
	uint8_t type[2] = { 0, 0 }, noise[64];
	unsigned found = 0;

	(void)state;
	read_dsdt(aml, sizeof(aml));
	fake_at(DSDT)[20]++;
	assert_false(acpi_s5(&m, type, &why));
	assert_string_equal(why.text, "ACPI: DSDT at 0x7ff3001: checksum is 0x01, not 0: not used");
	m.dsdt_phys++;
	assert_false(acpi_s5(&m, type, &why));
	m.dsdt_phys = 0;
	assert_false(acpi_s5(&m, type, &why));
	assert_string_equal(why.text, "end=off: ACPI names no register for it: the machine will only halt");
	put(FAKE_FADT + 140, DSDT + 1, 8); /* the extended address goes first */
	fake_acpi_fix();
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_OK);
	assert_int_equal(m.dsdt_phys, DSDT + 1);
	put(FAKE_FADT + 64, 0x10404, 4);
	fake_acpi_fix();
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_OK);
	assert_false(acpi_s5(&m, type, &why));
	fake_forget();
	for (unsigned i = 0; i < 20000; i++) {
		size_t bytes = 1 + fake_random(&random) % sizeof(noise);

		for (size_t n = 0; n < bytes; n++)
			noise[n] = some[fake_random(&random) % sizeof(some)];
		if (bytes > 12)
			memcpy(noise + fake_random(&random) % (bytes - 5), "_S5_\x12", 5);
		read_dsdt(noise, bytes);
		found += acpi_s5(&m, type, &why);
		assert_true(type[0] < 8 && type[1] < 8);
		fake_forget();
	}
	assert_in_range(found, 100, 19900);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_xsdt, forget),
		cmocka_unit_test_teardown(test_rsdt, forget),
		cmocka_unit_test_teardown(test_version_0, forget),
		cmocka_unit_test_teardown(test_lapic_override, forget),
		cmocka_unit_test_teardown(test_repeated_core, forget),
		cmocka_unit_test_teardown(test_many_cores, forget),
		cmocka_unit_test_teardown(test_pm_timer, forget),
		cmocka_unit_test_teardown(test_fadt_v1, forget),
		cmocka_unit_test_teardown(test_no_timers, forget),
		cmocka_unit_test_teardown(test_lapic_nowhere, forget),
		cmocka_unit_test_teardown(test_tail, forget),
		cmocka_unit_test_teardown(test_two_of_a_kind, forget),
		cmocka_unit_test_teardown(test_both_roots, forget),
		cmocka_unit_test_teardown(test_two_rsdps, forget),
		cmocka_unit_test_teardown(test_spcr, forget),
		cmocka_unit_test_teardown(test_reset_register, forget),
		cmocka_unit_test_teardown(test_s5, forget),
		cmocka_unit_test_teardown(test_s5_damage, forget),
	};

	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
