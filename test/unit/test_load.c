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
#define EBDA 0x9d000u
#define INFO 0x9d400u
#define INFO_END 0x9f000u

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
		assert_true(all(ram + 0x500, EBDA - 0x500, 0xa5)); /* a note is not loaded */
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

/* Where BIOSes leave it, the same end of low memory; and nothing of what was in RAM where guests search for tables. */
static void test_bios_data(void **state)
{
	struct image m = good(true);

	(void)state;
	assert_int_equal(load(&m, IMAGE_RAM, "_MP_ RSD PTR "), 0);
	assert_true(all(ram, 0x400, 0xa5)); /* no BIOS: no interrupt vectors either */
	assert_int_equal((word(0x40e) & 0xffff) << 4, EBDA);
	assert_int_equal((word(0x413) & 0xffff) * 1024, EBDA);
	assert_true(all(ram + 0x400, 0xe, 0) && all(ram + 0x410, 3, 0) && all(ram + 0x415, 0xeb, 0));
	assert_true(ram[EBDA] * 1024 == INFO_END - EBDA && all(ram + EBDA + 1, 1023, 0)); /* its size, no table */
	assert_true(all(ram + INFO_END, MIB_1 - INFO_END, 0));
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

/* Below the multiboot information there is room, too: from 0 on, up to it. What lies on a BIOS' data wins. */
static void test_low(void **state)
{
	struct image m = good(false);

	(void)state;
	m.segment[0] = (struct image_segment){ 0, 1040, 0x2000, PT_LOAD };
	m.segment[1] = (struct image_segment){ EBDA - 0x1000, 500, 0x1000, PT_LOAD };
	m.entry = 0x10;
	image_build(&m);
	assert_int_equal(load(&m, IMAGE_RAM, ""), 0);
	assert_int_equal(entry.eip, 0x10);
	assert_memory_equal(ram, m.bytes + m.data[0], 1040);
	assert_true(all(ram + 1040, 0x2000 - 1040, 0));
	assert_memory_equal(ram + EBDA - 0x1000, m.bytes + m.data[1], 500);
	assert_true(all(ram + 0x2000, EBDA - 0x3000, 0xa5) && all(ram + MIB_1, IMAGE_RAM - MIB_1, 0xa5));
}

/* And behind it up to 1 MiB: as where a linker puts the file's headers in front of a text that begins at 1 MiB. */
static void test_below_1_mib(void **state)
{
	struct image m = good(false);

	(void)state;
	m.segment[0] = (struct image_segment){ MIB_1 - 0x1000, 2000, 0x2000, PT_LOAD };
	m.segment[1] = (struct image_segment){ INFO_END, 10, 0x1000, PT_LOAD };
	m.entry = MIB_1;
	image_build(&m);
	assert_int_equal(load(&m, IMAGE_RAM, ""), 0);
	assert_memory_equal(ram + MIB_1 - 0x1000, m.bytes + m.data[0], 2000);
	assert_true(all(ram + MIB_1 - 0x1000 + 2000, 0x2000 - 2000, 0));
	assert_memory_equal(ram + INFO_END, m.bytes + m.data[1], 10);
	assert_true(all(ram + MIB_1 + 0x1000, IMAGE_RAM - MIB_1 - 0x1000, 0xa5));
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

/*
 * Flag 16: the addresses in the multiboot header count, those of an ELF header don't,
 * if there is one. Fields are drawn near to what makes a difference; what must come of them
 * is reckoned by the specification's sentences (3.1.3).
 */
static uint64_t near(struct random *r, uint64_t a, uint64_t below, uint64_t above)
{
	return random_below(r, 4) ? a + random_below(r, above) : a - random_below(r, below);
}

static struct image draw(struct random *r)
{
	static const uint32_t places[] = { 0, 0x400, EBDA - 0x800, EBDA, INFO_END, MIB_1 - 0x800, MIB_1, IMAGE_RAM - 0x1000 };
	struct image m = { .flags = 1 << 16, .is64 = random_below(r, 2),
			   .header_at = 4 * (1 + (uint32_t)random_below(r, 2047)) };
	uint32_t *a = m.address;

	a[1] = (uint32_t)near(r, places[random_below(r, 8)], 0x800, 0x1000);
	a[0] = (uint32_t)near(r, a[1], 100, m.header_at + 100);
	a[2] = random_below(r, 3) ? (uint32_t)near(r, a[1], 100, 0x2000) : 0;
	a[3] = random_below(r, 3) ? (uint32_t)near(r, a[2] ? a[2] : a[1] + 0x2000, 0x1000, 0x2000) : 0;
	a[4] = random_below(r, 8) ? (uint32_t)random_below(r, IMAGE_RAM) : IMAGE_RAM + (uint32_t)random_below(r, 2);
	image_build(&m);
	m.bytes[0] ^= (uint8_t)random_below(r, 2);
	m.size = near(r, m.header_at + 32, 40, IMAGE_BYTES_MAX - m.header_at - 32);
	return m;
}

static void test_addresses(void **state)
{
	unsigned loaded = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 3000; seed++) {
		struct random r = { seed };
		struct image m = draw(&r);
		int64_t at = m.header_at, size = (int64_t)m.size, begin = m.address[1], end = m.address[2], bss_end = m.address[3];
		int64_t offset = at - (m.address[0] - begin);
		bool sound = at + 32 <= size && at + 32 <= 8192 && begin <= m.address[0] && offset >= 0;

		end = end ? end : begin + size - offset;
		bss_end = bss_end ? bss_end : end;
		sound = sound && begin <= end && end <= bss_end && begin < bss_end && offset + end - begin <= size;
		sound = sound && (bss_end <= EBDA || begin >= INFO_END) && bss_end <= IMAGE_RAM && m.address[4] < IMAGE_RAM;
		if (load(&m, IMAGE_RAM, "") != (sound ? 0 : -1))
			fail_msg("seed %llu: \"%.160s\"", (unsigned long long)seed, why.text);
		if (!sound)
			continue;
		loaded++;
		if (entry.eip != m.address[4] || memcmp(ram + begin, m.bytes + offset, (size_t)(end - begin)) ||
		    !all(ram + end, (size_t)(bss_end - end), 0) ||
		    (bss_end > MIB_1 && !all(ram + bss_end, (size_t)(IMAGE_RAM - bss_end), 0xa5)))
			fail_msg("seed %llu: loaded otherwise", (unsigned long long)seed);
	}
	assert_in_range(loaded, 300, 2700);
}

/* Modules go behind the .bss that such a header tells, and not below 1 MiB; image_load() looks at where. */
static void test_addresses_modules(void **state)
{
	struct image m = good(true);

	(void)state;
	m.flags = 1 << 16 | 3;
	memcpy(m.address, (uint32_t[]){ MIB_1 + 400, MIB_1, MIB_1 + 600, MIB_1 + 0x7001, MIB_1 + 0x6000 }, sizeof(m.address));
	image_build(&m);
	modules.module[0] = (struct boot_module){ (uintptr_t)"module", 6, "a" };
	modules.count = 1;
	assert_int_equal(load(&m, IMAGE_RAM, ""), 0);
	assert_int_equal(word(word(INFO + 24)), MIB_1 + 0x8000);
	memcpy(m.address, (uint32_t[]){ 0x8000 + 400, 0x8000, 0x8000 + 600, 0x9000, 0x8000 }, sizeof(m.address));
	image_build(&m);
	assert_int_equal(load(&m, IMAGE_RAM, ""), 0);
	assert_int_equal(word(word(INFO + 24)), MIB_1);
	modules.count = 0;
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
#define NO_ROOM(phys, kib) "guest image: segment at " phys " (" kib " KiB) does not fit below 628 KiB, nor from 636 KiB to " \
			   "the guest's 1 MiB: give more with mem=, or link it elsewhere"
#define DAMAGED "guest image: segment at 102000 runs past the end of the file: damaged"

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
		{ .s = { MIB_1 + 0x2000, 30000, 30000, PT_LOAD }, .why = DAMAGED },
		{ .s = { MIB_1 + 0x2000, 100, 99, PT_LOAD }, .why = DAMAGED },
		{ .s = { MIB_1 + 0x2000, UINT64_MAX, UINT64_MAX, PT_LOAD }, .why = DAMAGED },
		{ .s = { INFO_END - 1, 100, 100, PT_LOAD }, .why = NO_ROOM("9efff", "0") },
		{ .s = { EBDA, 1, 1, PT_LOAD }, .why = NO_ROOM("9d000", "0") },
		{ .s = { 0, 1, IMAGE_RAM, PT_LOAD }, .why = NO_ROOM("0", "1536") },
		{ .s = { EBDA - 4095, 100, 4096, PT_LOAD }, .why = NO_ROOM("9c001", "4") },
		{ .flags = 4, .why = "guest image: its multiboot header asks for what a guest does not get (flags 4)" },
		{ .flags = 0x8000, .why = "asks for what a guest does not get (flags 8000)" },
		{ .machine = true, .why = NO_ELF },
		{ .s = { IMAGE_RAM - 0x1000, 1, 0x1001, PT_LOAD }, .why = NO_ROOM("17f000", "4") },
		{ .s = { IMAGE_RAM, 1, 1, PT_LOAD }, .why = NO_ROOM("180000", "0") },
		{ .s = { UINT64_MAX, 1, 2, PT_LOAD }, .why = NO_ROOM("ffffffffffffffff", "0") },
		{ .s = { MIB_1, 1, UINT64_MAX, PT_LOAD }, .why = NO_ROOM("100000", "18014398509481983") },
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

/* The same for the addresses in a multiboot header; the first row is the sound one. */
static void test_address_refusals(void **state)
{
	static const struct {
		uint32_t header_at, size, address[5];
		const char *why;
	} rows[] = {
		{ 400, 1000, { MIB_1 + 300, MIB_1, MIB_1 + 900, MIB_1 + 999, MIB_1 }, "" },
		{ 400, 1000, { MIB_1 - 1, MIB_1, MIB_1 + 900, MIB_1 + 999, MIB_1 },
		  "guest image: its multiboot header's addresses do not go together (it fffff, at byte 400; load 100000 to 100384, "
		  "bss to 1003e7): correct them, or clear flag 16 of an ELF" },
		{ 400, 1000, { MIB_1 + 401, MIB_1, MIB_1 + 900, MIB_1 + 999, MIB_1 }, "do not go together" },
		{ 400, 1000, { MIB_1 + 300, MIB_1, MIB_1 - 1, MIB_1 + 999, MIB_1 }, "do not go together" },
		{ 400, 1000, { MIB_1 + 300, MIB_1, MIB_1 - 1, 0, MIB_1 }, "do not go together" },
		{ 400, 1000, { MIB_1 + 300, MIB_1, MIB_1, 0, MIB_1 }, "do not go together" },
		{ 400, 1000, { MIB_1 + 300, MIB_1, MIB_1 + 900, MIB_1 + 899, MIB_1 }, "do not go together" },
		{ 400, 1000, { MIB_1 + 300, MIB_1, MIB_1 + 900, MIB_1 - 1, MIB_1 }, "do not go together" },
		{ 400, 1000, { MIB_1 + 300, MIB_1, 0, MIB_1 + 899, MIB_1 }, "do not go together" },
		{ 400, 1000, { MIB_1 + 300, MIB_1, MIB_1 + 901, 0, MIB_1 },
		  "guest image: segment at 100000 runs past the end of the file: damaged" },
		{ 400, 1000, { MIB_1 + 300, MIB_1, UINT32_MAX, UINT32_MAX, MIB_1 }, "runs past the end of the file" },
		{ 400, 1000, { MIB_1 + 300, MIB_1, MIB_1 + 900, IMAGE_RAM + 1, MIB_1 }, NO_ROOM("100000", "512") },
		{ 400, 1000, { UINT32_MAX, UINT32_MAX - 300, 0, UINT32_MAX, MIB_1 }, "do not go together" },
		{ 400, 1000, { UINT32_MAX, UINT32_MAX - 300, UINT32_MAX, 0, MIB_1 }, NO_ROOM("fffffed3", "0") },
		{ 400, 1000, { INFO_END + 300, INFO_END - 1, 0, 0, MIB_1 }, NO_ROOM("9efff", "0") },
		{ 400, 1000, { 400, 0, 0, IMAGE_RAM, MIB_1 }, NO_ROOM("0", "1536") },
		{ 400, 1000, { MIB_1 + 300, MIB_1, 0, 0, IMAGE_RAM }, "guest image: its entry point lies outside the guest's memory" },
		{ 400, 431, { MIB_1 + 300, MIB_1, 0, 0, MIB_1 }, NO_HEADER },
		{ 8164, 9000, { MIB_1 + 300, MIB_1, 0, 0, MIB_1 }, NO_HEADER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct image m = { .flags = 1 << 16, .header_at = rows[i].header_at };

		memcpy(m.address, rows[i].address, sizeof(m.address));
		image_build(&m);
		m.bytes[0] = 0;
		m.size = rows[i].size;
		if (load(&m, IMAGE_RAM, "") != -!!i || !strstr(why.text, rows[i].why))
			fail_msg("row %zu: \"%.190s\"", i, why.text);
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
		cmocka_unit_test(test_good), cmocka_unit_test(test_info), cmocka_unit_test(test_bios_data),
		cmocka_unit_test(test_long_words), cmocka_unit_test(test_edges), cmocka_unit_test(test_low),
		cmocka_unit_test(test_below_1_mib), cmocka_unit_test(test_virtual_entry), cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_addresses_modules), cmocka_unit_test(test_address_refusals),
		cmocka_unit_test(test_modules), cmocka_unit_test(test_refusals), cmocka_unit_test(test_program_headers),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
