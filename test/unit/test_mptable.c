/* SPDX-License-Identifier: MIT */
#include "unit.h"
#include <string.h>
#include "fake.h"
#include "mutate.h"
#include "smp/tables.h"

static struct machine m; /* no timers: mptable_read leaves them as they are */
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

static void check_sound(void)
{
	int result = mptable_read(&m, &why);

	assert_string_equal(why.text, "");
	assert_int_equal(result, TABLES_OK);
	assert_int_equal(m.core_count, 2);
	assert_int_equal(m.apic_id[0], 0);
	assert_int_equal(m.apic_id[1], 6);
	assert_int_equal(m.lapic_phys, 0xfee00000);
	assert_int_equal(m.pm_timer_port, 0);
	assert_int_equal(m.hpet_phys, 0);
	assert_string_equal(m.source, "MP table");
}

static void test_base_memory(void **state)
{
	(void)state;
	fake_mptable();
	check_sound();
}

/* The same pointer in the other places, and just outside of them. */
static void test_places(void **state)
{
	static const struct { uint64_t phys; uint16_t ebda; bool found; } places[] = {
		{ 0x9fc00, 0x9fc0, true }, { 0x90000, 0x9000, true }, { 0x903f0, 0x9000, true },
		{ 0x90400, 0x9000, false }, { 0x9f7f0, 0, false }, { 0x9f810, 0, false },
		{ 0xf0000, 0, true }, { 0xffff0, 0, true }, { 0xeffe0, 0, false },
		{ 0xf0008, 0, false }, /* not on 16 bytes */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		fake_mptable();
		memcpy(fake_memory(places[i].phys, 16), fake_at(FAKE_MP), 16);
		put(FAKE_MP, 0, 4);
		put(0x40e, places[i].ebda, 2);
		if (places[i].found)
			check_sound();
		else
			assert_int_equal(mptable_read(&m, &why), TABLES_NONE);
		fake_forget();
	}
}

/* Four letters by chance do not hide the true one behind them. */
static void test_decoy(void **state)
{
	(void)state;
	fake_mptable();
	memcpy(fake_memory(0x90000, 16), "_MP_", 4);
	put(0x40e, 0x9000, 2);
	check_sound();
}

static void test_none(void **state)
{
	(void)state;
	assert_int_equal(mptable_read(&m, &why), TABLES_NONE); /* not even a BIOS data area */
	assert_string_equal(why.text, "MP table: the firmware gives none");
	fake_memory(0, 0x100000);
	assert_int_equal(mptable_read(&m, &why), TABLES_NONE);
	put(0x413, 0xffff, 2); /* nonsense, but nothing that stops us */
	assert_int_equal(mptable_read(&m, &why), TABLES_NONE);
	assert_string_equal(why.text, "MP table: the firmware gives none");
}

static void test_default_configuration(void **state)
{
	(void)state;
	fake_mptable();
	put(FAKE_MP + 11, 5, 1);
	put(FAKE_MP + 4, 0, 4);
	fake_mptable_fix();
	assert_int_equal(mptable_read(&m, &why), TABLES_OK);
	assert_int_equal(m.core_count, 2);
	assert_int_equal(m.apic_id[0], 0);
	assert_int_equal(m.apic_id[1], 1);
	assert_int_equal(m.lapic_phys, 0xfee00000);
	assert_string_equal(m.source, "MP default configuration");
	put(FAKE_MP + 11, 8, 1);
	fake_mptable_fix();
	assert_int_equal(mptable_read(&m, &why), TABLES_BAD);
	assert_string_equal(why.text, "MP table: default configuration 8 is unknown: not used");
}

static void test_repeated(void **state)
{
	(void)state;
	fake_mptable();
	put(FAKE_PCMP + 44 + 20 + 1, 0, 1);
	fake_mptable_fix();
	assert_int_equal(mptable_read(&m, &why), TABLES_NOTED);
	assert_string_equal(why.text, "MP table: PCMP at 0xf8001: 1 repeated APIC id dropped");
	assert_int_equal(m.core_count, 1);
	put(FAKE_PCMP + 44 + 40 + 1, 0, 1);
	put(FAKE_PCMP + 44 + 40 + 3, 1, 1);
	fake_mptable_fix();
	assert_int_equal(mptable_read(&m, &why), TABLES_NOTED);
	assert_string_equal(why.text, "MP table: PCMP at 0xf8001: 2 repeated APIC ids dropped");
}

/* Ids have 8 bits and 0xff means all cores: as many entries as one likes, they fit. */
static void test_all_ids(void **state)
{
	enum { COUNT = 300, BYTES = 44 + COUNT * 20 };
	uint8_t *p;

	(void)state;
	fake_mptable();
	p = fake_memory(0x1000, BYTES);
	memcpy(p, fake_at(FAKE_PCMP), 44);
	fake_put(p + 4, BYTES, 2);
	fake_put(p + 34, COUNT, 2);
	for (int i = 0; i < COUNT; i++) {
		p[44 + 20 * i + 1] = (uint8_t)i;
		p[44 + 20 * i + 3] = 1;
	}
	fake_fix(p, BYTES, 7);
	put(FAKE_MP + 4, 0x1000, 4);
	fake_mptable_fix();
	assert_int_equal(mptable_read(&m, &why), TABLES_NOTED);
	assert_int_equal(m.core_count, 255);
	assert_int_equal(m.apic_id[254], 254);
	assert_string_equal(why.text, "MP table: PCMP at 0x1000: 44 repeated APIC ids dropped");
}

static const struct {
	uint64_t phys;
	size_t bytes;
	uint64_t value;
	bool fix;
	unsigned cores; /* that are found all the same */
	const char *text;
} damages[] = {
	{ FAKE_MP + 13, 1, 7, false, 0, "MP table: _MP_ at 0x9fc10: wrong length or checksum: not used" },
	{ FAKE_MP + 8, 1, 2, true, 0, "MP table: _MP_ at 0x9fc10: wrong length or checksum: not used" },
	{ FAKE_MP + 4, 4, 0, true, 0, "MP table: PCMP at 0x0: cannot be read: not used" },
	{ FAKE_MP + 4, 4, 0xfffffff0, true, 0, "MP table: PCMP at 0xfffffff0: cannot be read: not used" },
	{ FAKE_PCMP, 1, 'p', true, 0, "MP table: PCMP at 0xf8001: wrong signature: not used" },
	{ FAKE_PCMP + 8, 1, 0x12, false, 0, "MP table: PCMP at 0xf8001: checksum is 0x12, not 0: not used" },
	{ FAKE_PCMP + 4, 2, 43, true, 0,
	  "MP table: PCMP at 0xf8001: length is 43, not 44..65535: not used" },
	{ FAKE_PCMP + 4, 2, FAKE_PCMP_SIZE + 1, true, 0,
	  "MP table: PCMP at 0xf8001: length 137 passes readable memory: not used" },
	{ FAKE_PCMP + 34, 2, 8, true, 2,
	  "MP table: PCMP at 0xf8001: entry at byte 136: runs past the end: not used from there on" },
	{ FAKE_PCMP + 4, 2, FAKE_PCMP_SIZE - 1, true, 2,
	  "MP table: PCMP at 0xf8001: entry at byte 128: runs past the end: not used from there on" },
	{ FAKE_PCMP + 4, 2, 44 + 19, true, 0,
	  "MP table: PCMP at 0xf8001: entry at byte 44: runs past the end: not used from there on; "
	  "MP table: PCMP at 0xf8001: no enabled core: not used" },
	{ FAKE_PCMP + 64, 1, 5, true, 1,
	  "MP table: PCMP at 0xf8001: entry at byte 64: unknown type: not used from there on" },
	{ FAKE_PCMP + 34, 2, 0, true, 0, "MP table: PCMP at 0xf8001: no enabled core: not used" },
	{ FAKE_PCMP + 36, 4, 0, true, 2, "" }, /* the processor knows where its APIC is */
};

static void test_damage(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		fake_mptable();
		put(damages[i].phys, damages[i].value, damages[i].bytes);
		if (damages[i].fix)
			fake_mptable_fix();
		memset(&m, 0xaa, sizeof(m));
		m.hpet_phys = 0xfed00000; /* ACPI may have had a good HPET all the same */
		assert_int_equal(mptable_read(&m, &why), !damages[i].cores ? TABLES_BAD : damages[i].text[0] ? TABLES_NOTED : TABLES_OK);
		assert_string_equal(why.text, damages[i].text);
		assert_int_equal(m.core_count, damages[i].cores);
		assert_int_equal(m.hpet_phys, 0xfed00000);
		fake_forget();
	}
}

static void test_mutations(void **state)
{
	static const struct mutate_range ranges[] = {
		{ 0x40e, 7 }, { FAKE_MP, 16 }, { FAKE_PCMP, 44 }, { FAKE_PCMP, FAKE_PCMP_SIZE }, { 0, 0 },
	};
	unsigned results[4] = { 0 };

	(void)state;
	for (uint64_t seed = 1; seed <= 20000; seed++) {
		mutate_begin(seed);
		fake_mptable();
		mutate(seed, ranges, fake_mptable_fix);
		results[2 + mutate_check(mptable_read(&m, &why), &m, &why)]++;
		fake_forget();
	}
	for (int i = 0; i < 4; i++) /* else the mutations do not reach what they should */
		assert_in_range(results[i], 5, 19000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_base_memory, forget),
		cmocka_unit_test_teardown(test_places, forget),
		cmocka_unit_test_teardown(test_decoy, forget),
		cmocka_unit_test_teardown(test_none, forget),
		cmocka_unit_test_teardown(test_default_configuration, forget),
		cmocka_unit_test_teardown(test_repeated, forget),
		cmocka_unit_test_teardown(test_all_ids, forget),
		cmocka_unit_test_teardown(test_damage, forget),
		cmocka_unit_test_teardown(test_mutations, forget),
	};

	return cmocka_run_group_tests_name("mptable", tests, NULL, NULL);
}
