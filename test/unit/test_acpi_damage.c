/* SPDX-License-Identifier: MIT */
#include "unit.h"
#include <string.h>
#include "fake.h"
#include "mutate.h"
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

/* One change to the sound machine: what is left of it, and the whole line. */
enum { CORES = 1, PM_TIMER = 2, HPET = 4, ALL = 7 };
static const struct {
	uint64_t phys;
	size_t bytes;
	uint64_t value;
	bool fix; /* all checksums afterwards */
	unsigned left;
	const char *text;
} damages[] = {
	{ FAKE_RSDP, 1, 'r', true, 0, "ACPI: RSDP at 0xe0010: no signature \"RSD PTR \": not used" },
	{ FAKE_RSDP + 9, 1, 0x12, false, 0, "ACPI: RSDP at 0xe0010: wrong checksum: not used" },
	/* only the longer sum covers it */
	{ FAKE_RSDP + 33, 1, 0x80, false, ALL, "ACPI: RSDP at 0xe0010: wrong extended checksum: its XSDT not used" },
	{ FAKE_RSDP + 20, 4, 35, true, ALL, "ACPI: RSDP at 0xe0010: wrong length: its XSDT not used" },
	{ FAKE_RSDP + 20, 4, 37, true, ALL, "ACPI: RSDP at 0xe0010: wrong length: its XSDT not used" },
	{ FAKE_RSDP + 20, 4, 0xffffffff, true, ALL, "ACPI: RSDP at 0xe0010: wrong length: its XSDT not used" },
	{ FAKE_RSDP + 24, 8, 0x180000000, true, ALL, "ACPI: XSDT at 0x180000000: cannot be read: not used" },
	{ FAKE_RSDP + 24, 8, 0xfffffffffffffff0, true, ALL, "ACPI: XSDT at 0xfffffffffffffff0: cannot be read: not used" },
	{ FAKE_RSDP + 24, 8, FAKE_RSDT, true, ALL, "ACPI: XSDT at 0x7fe0100: wrong signature: not used" },
	{ FAKE_XSDT + 9, 1, 0, false, ALL, NULL },
	{ FAKE_XSDT + 4, 4, 35, true, ALL, "ACPI: XSDT at 0x7fe0000: length is 35, not 36..1048576: not used" },
	{ FAKE_XSDT + 4, 4, FAKE_XSDT_SIZE + 1, true, ALL,
	  "ACPI: XSDT at 0x7fe0000: length 69 passes readable memory: not used" },
	/* an empty one; its third pointer cut off, to nowhere, a table of another name: the RSDT has all */
	{ FAKE_XSDT + 4, 4, 36, true, ALL, "" },
	{ FAKE_XSDT + 4, 4, 36 + 8 + 8 + 7, true, ALL, "" },
	{ FAKE_XSDT + 52, 8, 0xfffffffffffffffe, true, ALL, "" },
	{ FAKE_MADT, 4, 0x21212121, true, PM_TIMER | HPET, "ACPI: RSDP at 0xe0010 leads to no MADT" },
	{ FAKE_MADT + 10, 1, 0x12, false, PM_TIMER | HPET, "ACPI: MADT at 0x7fe0203: checksum is 0x12, not 0: not used" },
	{ FAKE_MADT + 4, 4, 43, true, PM_TIMER | HPET,
	  "ACPI: MADT at 0x7fe0203: length is 43, not 44..1048576: not used" },
	{ FAKE_MADT + 4, 4, 0x80000000, true, PM_TIMER | HPET,
	  "ACPI: MADT at 0x7fe0203: length is 2147483648, not 44..1048576: not used" },
	{ FAKE_MADT + 4, 4, FAKE_MADT_SIZE + 1, true, PM_TIMER | HPET,
	  "ACPI: MADT at 0x7fe0203: length 137 passes readable memory: not used" },
	{ FAKE_MADT + 4, 4, 44, true, PM_TIMER | HPET, "ACPI: MADT at 0x7fe0203: no enabled core: not used" },
	{ FAKE_MADT + 45, 1, 0, true, PM_TIMER | HPET,
	  "ACPI: MADT at 0x7fe0203: entry at byte 44: length below 2: not used from there on; "
	  "ACPI: MADT at 0x7fe0203: no enabled core: not used" },
	{ FAKE_MADT + 45, 1, 1, true, PM_TIMER | HPET, NULL },
	{ FAKE_MADT + 45, 1, 7, true, PM_TIMER | HPET,
	  "ACPI: MADT at 0x7fe0203: entry at byte 44: too short for its type: not used from there on; "
	  "ACPI: MADT at 0x7fe0203: no enabled core: not used" },
	{ FAKE_MADT + 45, 1, 255, true, PM_TIMER | HPET,
	  "ACPI: MADT at 0x7fe0203: entry at byte 44: runs past the end: not used from there on; "
	  "ACPI: MADT at 0x7fe0203: no enabled core: not used" },
	{ FAKE_FADT + 10, 1, 0x12, false, CORES | HPET, "ACPI: FADT at 0x7fe3000: checksum is 0x12, not 0: not used" },
	{ FAKE_FADT + 4, 4, 115, true, CORES | HPET,
	  "ACPI: FADT at 0x7fe3000: length is 115, not 116..1048576: not used" },
	{ FAKE_FADT + 4, 4, 277, true, CORES | HPET,
	  "ACPI: FADT at 0x7fe3000: length 277 passes readable memory: not used" },
	{ FAKE_FADT + 76, 4, 0xfffd, true, CORES | HPET,
	  "ACPI: FADT at 0x7fe3000: PM timer at 0xfffd is no port: not used" },
	{ FAKE_HPET + 10, 1, 0x12, false, CORES | PM_TIMER, "ACPI: HPET at 0x7fe3201: checksum is 0x12, not 0: not used" },
	{ FAKE_HPET + 4, 4, 55, true, CORES | PM_TIMER, "ACPI: HPET at 0x7fe3201: length is 55, not 56..1048576: not used" },
	{ FAKE_HPET + 4, 4, 57, true, CORES | PM_TIMER,
	  "ACPI: HPET at 0x7fe3201: length 57 passes readable memory: not used" },
	{ FAKE_HPET + 40, 1, 1, true, CORES | PM_TIMER, "ACPI: HPET at 0x7fe3201: no usable base address: not used" },
	{ FAKE_HPET + 44, 8, 0, true, CORES | PM_TIMER, "ACPI: HPET at 0x7fe3201: no usable base address: not used" },
	{ FAKE_HPET + 44, 8, 0xfed00004, true, CORES | PM_TIMER,
	  "ACPI: HPET at 0x7fe3201: no usable base address: not used" },
};

static void test_damage(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		unsigned left = damages[i].left;
		bool told = !damages[i].text || damages[i].text[0];

		fake_acpi();
		put(damages[i].phys, damages[i].value, damages[i].bytes);
		if (damages[i].fix)
			fake_acpi_fix();
		memset(&m, 0xaa, sizeof(m));
		assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), !(left & CORES) ? TABLES_BAD : told ? TABLES_NOTED : TABLES_OK);
		if (damages[i].text)
			assert_string_equal(why.text, damages[i].text);
		assert_int_equal(m.core_count, left & CORES ? 4 : 0);
		assert_int_equal(m.pm_timer_port, left & PM_TIMER ? 0xb008 : 0);
		assert_int_equal(m.hpet_phys, left & HPET ? 0xfed00000 : 0);
		fake_forget();
	}
}

/* A list that is damaged further on: so many of its four cores are before that. */
static void test_damaged_list(void **state)
{
	static const struct { uint64_t phys; size_t bytes; uint64_t value; unsigned cores; const char *text; } lists[] = {
		{ FAKE_MADT + 4, 4, 53, 1, "byte 52: runs past the end" }, /* a type without its length */
		{ FAKE_MADT + 4, 4, 59, 1, "byte 52: runs past the end" },
		{ FAKE_MADT + 53, 1, 0, 1, "byte 52: length below 2" },
		{ FAKE_MADT + 81, 1, 15, 2, "byte 80: too short for its type" },
		{ FAKE_MADT + 72, 1, 5, 2, "byte 72: too short for its type" }, /* 8 bytes as an address override */
		{ FAKE_MADT + 97, 1, 200, 3, "byte 96: runs past the end" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		char text[200];

		fake_acpi();
		put(lists[i].phys, lists[i].value, lists[i].bytes);
		fake_acpi_fix();
		assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_NOTED);
		format(text, sizeof(text), "ACPI: MADT at 0x7fe0203: entry at %s: not used from there on", lists[i].text);
		assert_string_equal(why.text, text);
		assert_int_equal(m.core_count, lists[i].cores);
		assert_int_equal(m.pm_timer_port, 0xb008);
		assert_int_equal(m.hpet_phys, 0xfed00000);
		fake_forget();
	}
}

static void test_no_rsdp(void **state)
{
	(void)state;
	assert_int_equal(acpi_read(0, &m, &why), TABLES_NONE);
	assert_string_equal(why.text, "ACPI: the firmware gives no RSDP");
	assert_int_equal(acpi_read(UINT64_MAX - 7, &m, &why), TABLES_BAD);
	assert_string_equal(why.text, "ACPI: RSDP at 0xfffffffffffffff8: cannot be read: not used");
	fake_memory(UINT64_MAX - 19, 19);
	assert_int_equal(acpi_read(UINT64_MAX - 19, &m, &why), TABLES_BAD);
}

/* Neither root; and two that are both damaged. */
static void test_no_root(void **state)
{
	(void)state;
	fake_acpi();
	put(FAKE_RSDP + 16, 0, 4);
	put(FAKE_RSDP + 24, 0, 8);
	fake_acpi_fix();
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_BAD);
	assert_string_equal(why.text, "ACPI: RSDP at 0xe0010 leads to no MADT");
	put(FAKE_RSDP + 16, FAKE_RSDT, 4);
	put(FAKE_RSDP + 24, FAKE_XSDT, 8);
	put(FAKE_XSDT + 10, 1, 1);
	put(FAKE_RSDT + 10, 2, 1);
	fake_fix(fake_at(FAKE_RSDP), 20, 8);
	fake_fix(fake_at(FAKE_RSDP), 36, 32);
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_BAD);
	assert_string_equal(why.text, "ACPI: XSDT at 0x7fe0000: checksum is 0x01, not 0: not used; "
			    "ACPI: RSDT at 0x7fe0100: checksum is 0x02, not 0: not used");
}

static void test_mutations(void **state)
{
	static const struct mutate_range ranges[] = {
		{ FAKE_RSDP, 36 }, { FAKE_XSDT, FAKE_XSDT_SIZE }, { FAKE_RSDT, FAKE_RSDT_SIZE },
		{ FAKE_MADT, FAKE_MADT_SIZE }, { FAKE_MADT, FAKE_MADT_SIZE },
		{ FAKE_FADT, FAKE_FADT_SIZE }, { FAKE_HPET, FAKE_HPET_SIZE }, { 0, 0 },
	};
	unsigned results[4] = { 0 };

	(void)state;
	for (uint64_t seed = 1; seed <= 20000; seed++) {
		mutate_begin(seed);
		fake_acpi();
		mutate(seed, ranges, fake_acpi_fix);
		results[2 + mutate_check(acpi_read(FAKE_RSDP, &m, &why), &m, &why)]++;
		fake_forget();
	}
	for (int i = 0; i < 4; i++) /* else the mutations do not reach what they should; there is an RSDP, so never TABLES_NONE */
		assert_in_range(results[i], i == 1 ? 0 : 100, i == 1 ? 0 : 19000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_damage, forget),
		cmocka_unit_test_teardown(test_damaged_list, forget),
		cmocka_unit_test_teardown(test_no_rsdp, forget),
		cmocka_unit_test_teardown(test_no_root, forget),
		cmocka_unit_test_teardown(test_mutations, forget),
	};

	return cmocka_run_group_tests_name("acpi_damage", tests, NULL, NULL);
}
