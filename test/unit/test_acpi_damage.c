/* SPDX-License-Identifier: MIT */
#include "unit.h"
#include <string.h>
#include "fake.h"
#include "mutate.h"
#include "smp/tables.h"

#define REFUSE "firmware table damaged; update the firmware or boot with acpi=off"

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

/* One change to the sound machine: the verdict and the whole line. */
static const struct {
	uint64_t phys;
	size_t bytes;
	uint64_t value;
	bool fix; /* all checksums afterwards */
	int result;
	const char *text;
} damages[] = {
	{ FAKE_RSDP, 1, 'r', true, TABLES_BAD,
	  "ACPI: RSDP at 0xe0010: no signature \"RSD PTR \": " REFUSE },
	{ FAKE_RSDP + 9, 1, 0x12, false, TABLES_BAD,
	  "ACPI: RSDP at 0xe0010: checksum is 0x12, not 0: " REFUSE },
	{ FAKE_RSDP + 33, 1, 0x80, false, TABLES_BAD, /* only the longer sum covers it */
	  "ACPI: RSDP at 0xe0010: checksum is 0x80, not 0: " REFUSE },
	{ FAKE_RSDP + 20, 4, 35, true, TABLES_BAD, "ACPI: RSDP at 0xe0010: length is 35: " REFUSE },
	{ FAKE_RSDP + 20, 4, 37, true, TABLES_BAD, "ACPI: RSDP at 0xe0010: length is 37: " REFUSE },
	{ FAKE_RSDP + 20, 4, 0xffffffff, true, TABLES_BAD,
	  "ACPI: RSDP at 0xe0010: length is 4294967295: " REFUSE },
	{ FAKE_RSDP + 24, 8, 0xfffffffffffffff0, true, TABLES_BAD,
	  "ACPI: XSDT at 0xfffffffffffffff0: cannot be read: " REFUSE },
	{ FAKE_RSDP + 24, 8, FAKE_RSDT, true, TABLES_BAD,
	  "ACPI: XSDT at 0x7fe0100: wrong signature: " REFUSE },
	{ FAKE_XSDT + 9, 1, 0, false, TABLES_BAD, NULL },
	{ FAKE_XSDT + 4, 4, 35, true, TABLES_BAD,
	  "ACPI: XSDT at 0x7fe0000: length is 35, not 36..1048576: " REFUSE },
	{ FAKE_XSDT + 4, 4, FAKE_XSDT_SIZE + 1, true, TABLES_BAD,
	  "ACPI: XSDT at 0x7fe0000: length 69 passes readable memory: " REFUSE },
	{ FAKE_XSDT + 4, 4, 36, true, TABLES_NONE, "ACPI: XSDT at 0x7fe0000 lists no readable MADT" },
	{ FAKE_XSDT + 4, 4, 36 + 8 + 8 + 7, true, TABLES_NONE, /* its third pointer is cut off */
	  "ACPI: XSDT at 0x7fe0000 lists no readable MADT" },
	{ FAKE_XSDT + 52, 8, 0xfffffffffffffffe, true, TABLES_NONE,
	  "ACPI: XSDT at 0x7fe0000 lists no readable MADT" },
	{ FAKE_MADT, 4, 0x21212121, true, TABLES_NONE, "ACPI: XSDT at 0x7fe0000 lists no readable MADT" },
	{ FAKE_MADT + 10, 1, 0x12, false, TABLES_BAD,
	  "ACPI: MADT at 0x7fe0203: checksum is 0x12, not 0: " REFUSE },
	{ FAKE_MADT + 4, 4, 43, true, TABLES_BAD,
	  "ACPI: MADT at 0x7fe0203: length is 43, not 44..1048576: " REFUSE },
	{ FAKE_MADT + 4, 4, 0x80000000, true, TABLES_BAD,
	  "ACPI: MADT at 0x7fe0203: length is 2147483648, not 44..1048576: " REFUSE },
	{ FAKE_MADT + 4, 4, FAKE_MADT_SIZE + 1, true, TABLES_BAD,
	  "ACPI: MADT at 0x7fe0203: length 137 passes readable memory: " REFUSE },
	{ FAKE_MADT + 4, 4, 44, true, TABLES_BAD, "ACPI: MADT at 0x7fe0203: no enabled core: " REFUSE },
	{ FAKE_MADT + 4, 4, 53, true, TABLES_BAD, /* a type without its length */
	  "ACPI: MADT at 0x7fe0203: entry at byte 52: runs past the end: " REFUSE },
	{ FAKE_MADT + 4, 4, 59, true, TABLES_BAD,
	  "ACPI: MADT at 0x7fe0203: entry at byte 52: runs past the end: " REFUSE },
	{ FAKE_MADT + 45, 1, 0, true, TABLES_BAD,
	  "ACPI: MADT at 0x7fe0203: entry at byte 44: length below 2: " REFUSE },
	{ FAKE_MADT + 45, 1, 1, true, TABLES_BAD,
	  "ACPI: MADT at 0x7fe0203: entry at byte 44: length below 2: " REFUSE },
	{ FAKE_MADT + 45, 1, 7, true, TABLES_BAD,
	  "ACPI: MADT at 0x7fe0203: entry at byte 44: too short for its type: " REFUSE },
	{ FAKE_MADT + 45, 1, 255, true, TABLES_BAD,
	  "ACPI: MADT at 0x7fe0203: entry at byte 44: runs past the end: " REFUSE },
	{ FAKE_MADT + 81, 1, 15, true, TABLES_BAD,
	  "ACPI: MADT at 0x7fe0203: entry at byte 80: too short for its type: " REFUSE },
	{ FAKE_MADT + 72, 1, 5, true, TABLES_BAD, /* 8 bytes as an address override */
	  "ACPI: MADT at 0x7fe0203: entry at byte 72: too short for its type: " REFUSE },
	{ FAKE_MADT + 36, 4, 0, true, TABLES_BAD,
	  "ACPI: MADT at 0x7fe0203: local APIC is not at a page: " REFUSE },
	{ FAKE_MADT + 36, 4, 0xfee00800, true, TABLES_BAD,
	  "ACPI: MADT at 0x7fe0203: local APIC is not at a page: " REFUSE },
	{ FAKE_FADT + 10, 1, 0x12, false, TABLES_NOTED,
	  "ACPI: FADT at 0x7fe1000: checksum is 0x12, not 0: PM timer not used" },
	{ FAKE_FADT + 4, 4, 115, true, TABLES_NOTED,
	  "ACPI: FADT at 0x7fe1000: length is 115, not 116..1048576: PM timer not used" },
	{ FAKE_FADT + 4, 4, 277, true, TABLES_NOTED,
	  "ACPI: FADT at 0x7fe1000: length 277 passes readable memory: PM timer not used" },
	{ FAKE_FADT + 76, 4, 0xfffd, true, TABLES_NOTED,
	  "ACPI: FADT at 0x7fe1000: PM timer at 0xfffd is no port: PM timer not used" },
	{ FAKE_HPET + 10, 1, 0x12, false, TABLES_NOTED,
	  "ACPI: HPET at 0x7fe1201: checksum is 0x12, not 0: HPET not used" },
	{ FAKE_HPET + 4, 4, 55, true, TABLES_NOTED,
	  "ACPI: HPET at 0x7fe1201: length is 55, not 56..1048576: HPET not used" },
	{ FAKE_HPET + 4, 4, 57, true, TABLES_NOTED,
	  "ACPI: HPET at 0x7fe1201: length 57 passes readable memory: HPET not used" },
	{ FAKE_HPET + 40, 1, 1, true, TABLES_NOTED,
	  "ACPI: HPET at 0x7fe1201: no usable base address: HPET not used" },
	{ FAKE_HPET + 44, 8, 0, true, TABLES_NOTED,
	  "ACPI: HPET at 0x7fe1201: no usable base address: HPET not used" },
	{ FAKE_HPET + 44, 8, 0xfed00004, true, TABLES_NOTED,
	  "ACPI: HPET at 0x7fe1201: no usable base address: HPET not used" },
};

static void test_damage(void **state)
{
	static const struct machine empty;

	(void)state;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		bool fadt = damages[i].phys - FAKE_FADT < FAKE_FADT_SIZE;

		fake_acpi();
		put(damages[i].phys, damages[i].value, damages[i].bytes);
		if (damages[i].fix)
			fake_acpi_fix();
		memset(&m, 0xaa, sizeof(m));
		assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), damages[i].result);
		if (damages[i].text)
			assert_string_equal(why.text, damages[i].text);
		if (damages[i].result < 0) {
			assert_memory_equal(&m, &empty, sizeof(m));
		} else { /* only the damaged timer is lost */
			assert_int_equal(m.core_count, 4);
			assert_int_equal(m.pm_timer_port, fadt ? 0 : 0xb008);
			assert_int_equal(m.hpet_phys, fadt ? 0xfed00000 : 0);
		}
		fake_forget();
	}
}

static void test_no_rsdp(void **state)
{
	(void)state;
	assert_int_equal(acpi_read(0, &m, &why), TABLES_NONE);
	assert_string_equal(why.text, "ACPI: the firmware gives no RSDP");
	assert_int_equal(acpi_read(UINT64_MAX - 7, &m, &why), TABLES_BAD);
	assert_string_equal(why.text, "ACPI: RSDP at 0xfffffffffffffff8: cannot be read: " REFUSE);
	fake_memory(UINT64_MAX - 19, 19);
	assert_int_equal(acpi_read(UINT64_MAX - 19, &m, &why), TABLES_BAD);
}

/* Neither root: address 0 is not readable here, and is no table anywhere. */
static void test_no_root(void **state)
{
	(void)state;
	fake_acpi();
	put(FAKE_RSDP + 16, 0, 4);
	put(FAKE_RSDP + 24, 0, 8);
	fake_acpi_fix();
	assert_int_equal(acpi_read(FAKE_RSDP, &m, &why), TABLES_BAD);
	assert_string_equal(why.text, "ACPI: RSDT at 0x0: cannot be read: " REFUSE);
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
	for (int i = 0; i < 4; i++) /* else the mutations do not reach what they should */
		assert_in_range(results[i], 100, 19000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_damage, forget),
		cmocka_unit_test_teardown(test_no_rsdp, forget),
		cmocka_unit_test_teardown(test_no_root, forget),
		cmocka_unit_test_teardown(test_mutations, forget),
	};

	return cmocka_run_group_tests_name("acpi_damage", tests, NULL, NULL);
}
