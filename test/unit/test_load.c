/* SPDX-License-Identifier: MIT */
/* Guest images: good ones are loaded to the byte, bad ones refused in one line, no damage gets out. */
#include "unit.h"
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock/random.h"
#include "image.h"

#define MIB_1 0x100000u
#define INFO 0x9d000u

static uint8_t ram[IMAGE_RAM];
static struct load_entry entry;
static struct complaint why;

static struct image good(bool is64)
{
	struct image m = {
		.entry = MIB_1 + 0x10, .is64 = is64, .header_at = 400, .count = 3,
		.segment = {
			{ MIB_1, 1000, 1000, PT_LOAD },
			{ MIB_1 + 0x2000, 100, 0x3000, PT_LOAD },
			{ 0x5000, 50, 50, PT_NOTE },
		},
	};

	image_build(&m);
	return m;
}

static struct image_modules modules;

static int load(const struct image *m, size_t ram_bytes, const char *words)
{
	int result;
	const char *broken = image_load(m->bytes, m->size, &modules, ram, ram_bytes, words, &entry, &why, &result);

	if (broken)
		fail_msg("%s: result %d, \"%.160s\"", broken, result, why.text);
	return result;
}

static bool all(const uint8_t *p, size_t n, uint8_t value)
{
	while (n--)
		if (*p++ != value)
			return false;
	return true;
}

static uint32_t word(size_t at)
{
	uint32_t v;

	memcpy(&v, ram + at, 4);
	return v;
}

static void test_good(void **state)
{
	(void)state;
	for (int is64 = 0; is64 < 2; is64++) {
		struct image m = good(is64);

		assert_int_equal(load(&m, IMAGE_RAM, "quick vcpus=2"), 0);
		assert_int_equal(entry.eip, MIB_1 + 0x10);
		assert_int_equal(entry.ebx, INFO);
		assert_memory_equal(ram + MIB_1, m.bytes + m.data[0], 1000);
		assert_true(all(ram + MIB_1 + 1000, 0x2000 - 1000, 0xa5));
		assert_memory_equal(ram + MIB_1 + 0x2000, m.bytes + m.data[1], 100);
		assert_true(all(ram + MIB_1 + 0x2000 + 100, 0x3000 - 100, 0)); /* its .bss */
		assert_true(all(ram + MIB_1 + 0x5000, IMAGE_RAM - MIB_1 - 0x5000, 0xa5));
		assert_true(all(ram, INFO, 0xa5)); /* a note is not loaded */
	}
}

/* The multiboot information, by the offsets of its specification. */
static void test_info(void **state)
{
	struct image m = good(true);

	(void)state;
	assert_int_equal(load(&m, IMAGE_RAM, "quick"), 0);
	assert_int_equal(word(INFO), 1 | 4 | 8 | 64);
	assert_int_equal(word(INFO + 4), 628);
	assert_int_equal(word(INFO + 8), (IMAGE_RAM - MIB_1) / 1024);
	assert_string_equal((char *)ram + word(INFO + 16), "guest quick");
	assert_int_equal(word(INFO + 44), 48);
	uint32_t map = word(INFO + 48);
	assert_int_equal(word(map), 20);
	assert_true(!word(map + 4) && !word(map + 8) && word(map + 12) == 628 * 1024 && word(map + 20) == 1);
	map += 24;
	assert_int_equal(word(map), 20);
	assert_true(word(map + 4) == MIB_1 && word(map + 12) == IMAGE_RAM - MIB_1 && word(map + 20) == 1);
	assert_true(word(INFO + 16) >= INFO && word(INFO + 16) < 0x9f000);
}

/* A command line longer than there is room for is cut, and ends. */
static void test_long_words(void **state)
{
	struct image m = good(false);
	char words[4000];

	(void)state;
	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	assert_int_equal(load(&m, IMAGE_RAM, words), 0);
	size_t length = strlen((char *)ram + word(INFO + 16));
	assert_int_equal(length, 2 * BOOT_CMDLINE_MAX - 1);
}

/* Segments that end exactly where the guest's memory does, or begin exactly at 1 MiB. */
static void test_edges(void **state)
{
	struct image m = good(true);

	(void)state;
	m.segment[1] = (struct image_segment){ IMAGE_RAM - 0x1000, 10, 0x1000, PT_LOAD };
	m.entry = IMAGE_RAM - 1;
	image_build(&m);
	assert_int_equal(load(&m, IMAGE_RAM, ""), 0);
	assert_true(all(ram + IMAGE_RAM - 0x1000 + 10, 0x1000 - 10, 0));
	m.segment[1].mem_bytes = 0; /* empty: where it lies does not matter */
	m.segment[1].file_bytes = 0;
	m.segment[1].phys = UINT64_MAX;
	image_build(&m);
	assert_int_equal(load(&m, IMAGE_RAM, ""), 0);
	m.header_at = 8188 - 8; /* the last place of a header within 8 KiB */
	image_build(&m);
	assert_int_equal(load(&m, IMAGE_RAM, ""), 0);
}

/* Below the multiboot information there is room, too: from 0 on, up to it. */
static void test_low(void **state)
{
	struct image m = good(false);

	(void)state;
	m.segment[0] = (struct image_segment){ 0, 1000, 0x2000, PT_LOAD };
	m.segment[1] = (struct image_segment){ INFO - 0x1000, 500, 0x1000, PT_LOAD };
	m.entry = 0x10;
	image_build(&m);
	assert_int_equal(load(&m, IMAGE_RAM, ""), 0);
	assert_int_equal(entry.eip, 0x10);
	assert_memory_equal(ram, m.bytes + m.data[0], 1000);
	assert_true(all(ram + 1000, 0x2000 - 1000, 0));
	assert_memory_equal(ram + INFO - 0x1000, m.bytes + m.data[1], 500);
	assert_true(all(ram + 0x2000, INFO - 0x3000, 0xa5) && all(ram + MIB_1, IMAGE_RAM - MIB_1, 0xa5));
}

/* An entry point by a segment's virtual addresses: the same place of its physical ones. */
static void test_virtual_entry(void **state)
{
	struct image m = good(true);

	(void)state;
	m.entry = ~(uint64_t)(MIB_1 + 0x2000) + 8; /* the complement is what image_build() takes */
	image_build(&m);
	assert_int_equal(load(&m, IMAGE_RAM, ""), 0);
	assert_int_equal(entry.eip, MIB_1 + 0x2008);
	m.entry = ~(uint64_t)(MIB_1 + 0x2000) - 1; /* in front of it */
	image_build(&m);
	assert_int_equal(load(&m, IMAGE_RAM, ""), -1);
}

/* Addresses in the multiboot header are no use to an ELF, and of another file they are not enough. */
static void test_addresses(void **state)
{
	struct image m = good(false);

	(void)state;
	m.flags = 1 << 16 | 3;
	image_build(&m);
	assert_int_equal(load(&m, IMAGE_RAM, ""), 0);
	m.bytes[0] = 0;
	assert_int_equal(load(&m, IMAGE_RAM, ""), -1);
	assert_non_null(strstr(why.text, "no multiboot 1 ELF"));
}

/* Modules: how many there may be, of any size, up to the last byte; image_load() looks at the rest. */
static void test_modules(void **state)
{
	static uint8_t bytes[IMAGE_RAM];
	const uint32_t room = IMAGE_RAM - MIB_1 - 0x5000; /* behind the image */
	struct image m = good(true);

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 41 + i / 256);
	modules.module[0] = (struct boot_module){ (uintptr_t)bytes, room, "all of it" };
	modules.count = 1;
	assert_int_equal(load(&m, IMAGE_RAM, ""), 0);
	modules.module[0].size++;
	assert_int_equal(load(&m, IMAGE_RAM, ""), -1);
	assert_non_null(strstr(why.text, "guest module 1 (492 KiB) does not fit behind the image in the guest's 1 MiB"));
	for (modules.count = 0; modules.count < BOOT_MODULES_MAX - 1; modules.count++) {
		struct boot_module *b = &modules.module[modules.count];

		*b = (struct boot_module){ (uintptr_t)bytes + modules.count, 4095 + modules.count % 3, "" };
		memset(b->words, 'a' + (int)modules.count, sizeof(b->words) - 1);
		if (modules.count == 4)
			b->size = 0;
		assert_int_equal(load(&m, IMAGE_RAM, "more"), 0);
		assert_string_equal((char *)ram + word(INFO + 16), "guest more");
	}
	modules.count = BOOT_MODULES_MAX - 1;
	assert_int_equal(load(&m, IMAGE_RAM, ""), 0);
	modules.count = 0;
}

#define NO_ELF "its ELF header is damaged or missing"
#define NO_HEADER "it has no multiboot header in its first 8 KiB"
#define NO_ROOM(n, phys, kib) "guest image: segment " n " (" phys ", " kib " KiB) does not fit below 628 KiB, nor between " \
			      "1 MiB and the guest's 1 MiB: give it more with mem="
#define DAMAGED(n) "guest image: segment " n " runs past the end of the file: damaged"

/* Each row is one change to a good image. */
static void test_refusals(void **state)
{
	static const struct {
		uint64_t entry, header_at;
		struct image_segment s; /* in the place of segment 1, if it has a type */
		bool no_load, no_magic, cut, machine;
		uint32_t flags;
		const char *why;
	} rows[] = {
		{ .no_magic = true, .why = NO_ELF },
		{ .cut = true, .why = NO_HEADER },
		{ .header_at = 8194, .why = NO_HEADER },
		{ .header_at = 8196, .why = NO_HEADER },
		{ .header_at = 401, .why = NO_HEADER },
		{ .no_load = true, .why = "guest image: it has no segment to load" },
		{ .entry = IMAGE_RAM, .why = "guest image: its entry point lies outside the guest's memory" },
		{ .entry = UINT64_MAX, .why = "guest image: its entry point lies outside the guest's memory" },
		{ .s = { MIB_1 + 0x2000, 30000, 30000, PT_LOAD }, .why = DAMAGED("1") },
		{ .s = { MIB_1 + 0x2000, 100, 99, PT_LOAD }, .why = DAMAGED("1") },
		{ .s = { MIB_1 + 0x2000, UINT64_MAX, UINT64_MAX, PT_LOAD }, .why = DAMAGED("1") },
		{ .s = { MIB_1 - 1, 100, 100, PT_LOAD }, .why = NO_ROOM("1", "fffff", "0") },
		{ .s = { INFO - 4095, 100, 4096, PT_LOAD }, .why = NO_ROOM("1", "9c001", "4") },
		{ .flags = 4, .why = "guest image: its multiboot header asks for what a guest does not get (flags 4)" },
		{ .flags = 0x8000, .why = "asks for what a guest does not get (flags 8000)" },
		{ .machine = true, .why = NO_ELF },
		{ .s = { IMAGE_RAM - 0x1000, 1, 0x1001, PT_LOAD }, .why = NO_ROOM("1", "17f000", "4") },
		{ .s = { IMAGE_RAM, 1, 1, PT_LOAD }, .why = NO_ROOM("1", "180000", "0") },
		{ .s = { UINT64_MAX, 1, 2, PT_LOAD }, .why = NO_ROOM("1", "ffffffffffffffff", "0") },
		{ .s = { MIB_1, 1, UINT64_MAX, PT_LOAD }, .why = NO_ROOM("1", "100000", "18014398509481983") },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct image m = good(true);

		m.entry = rows[i].entry ? rows[i].entry : m.entry;
		m.header_at = rows[i].header_at ? (uint32_t)rows[i].header_at : m.header_at;
		m.flags = rows[i].flags;
		m.segment[1] = rows[i].s.type ? rows[i].s : m.segment[1];
		for (unsigned k = 0; rows[i].no_load && k < m.count; k++)
			m.segment[k].type = PT_NOTE;
		image_build(&m);
		m.bytes[0] ^= rows[i].no_magic;
		m.bytes[offsetof(Elf64_Ehdr, e_machine)] ^= rows[i].machine;
		m.size = rows[i].cut ? m.program_headers + 3 * sizeof(Elf64_Phdr) - 1 : m.size;
		if (load(&m, IMAGE_RAM, "") != -1 || !strstr(why.text, rows[i].why))
			fail_msg("row %zu: \"%.160s\"", i, why.text);
	}
}

/* Program headers that lie outside of the file, or are too small to be any. */
static void test_program_headers(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct image m = good(i & 1);
		size_t phoff = m.is64 ? offsetof(Elf64_Ehdr, e_phoff) : offsetof(Elf32_Ehdr, e_phoff);
		size_t entsize = m.is64 ? offsetof(Elf64_Ehdr, e_phentsize) : offsetof(Elf32_Ehdr, e_phentsize);
		size_t bytes = m.is64 ? 8 : 4;

		if (i / 2 == 0)
			m.bytes[entsize]--;
		if (i / 2 == 1) /* none of them begins behind the end */
			memset(m.bytes + entsize, 0, 2);
		if (i / 2 == 1)
			memcpy(m.bytes + phoff, &(uint64_t){ m.size - 1 }, bytes);
		if (i / 2 == 2)
			memset(m.bytes + entsize + 2, 0xff, 2); /* 65535 of them */
		if (i / 2 == 3)
			memset(m.bytes + phoff, 0xff, bytes);
		assert_int_equal(load(&m, IMAGE_RAM, ""), -1);
		assert_non_null(strstr(why.text, NO_ELF));
	}
}

/* Damage to the headers of good images, most of it where it hurts; some still load. */
static void test_mutations(void **state)
{
	static const uint8_t values[] = { 0, 1, 2, 0x10, 0x7f, 0x80, 0xff };
	unsigned loaded = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 5000; seed++) {
		struct random r = { seed };
		struct image m = good(seed & 1);
		size_t headers = m.program_headers + 3 * (m.is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));
		const char *broken;
		int result;

		for (uint64_t n = 1 + random_below(&r, 5); n; n--)
			m.bytes[random_below(&r, headers)] = random_below(&r, 2) ?
				values[random_below(&r, sizeof(values))] : (uint8_t)random_next(&r);
		if (!random_below(&r, 8))
			m.size = random_below(&r, m.size);
		broken = image_load(m.bytes, m.size, NULL, NULL, MIB_1 + 0x8000, "x", &entry, &why, &result);
		if (broken)
			fail_msg("seed %llu: %s (result %d, \"%.160s\")", (unsigned long long)seed, broken, result,
				 why.text);
		loaded += !result;
	}
	assert_in_range(loaded, 500, 4500);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_info), cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_edges), cmocka_unit_test(test_low), cmocka_unit_test(test_virtual_entry),
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_modules), cmocka_unit_test(test_refusals), cmocka_unit_test(test_program_headers),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
