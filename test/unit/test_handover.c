/* SPDX-License-Identifier: MIT */
/*
 * The list of free memory against a map of pages: what the list says is free
 * was added and not taken since, always; and all of it, until the table is full.
 */
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "boot/handover.h"
#include "clock/random.h"

enum { PAGES = 1024, RUNS = 3000, STEPS = 400 };

static struct boot_info info;
static bool is_free[PAGES], was_lost;

/* NULL, or what is wrong with the list by itself. */
static const char *list_broken(void)
{
	if (info.mem_count > BOOT_MEM_MAX)
		return "too many ranges";
	for (uint32_t i = 0; i < info.mem_count; i++) {
		const struct boot_mem *m = &info.mem[i];

		if (!m->size || (m->base | m->size) % BOOT_PAGE || m->base + m->size - 1 < m->base)
			return "a range that is empty, or of parts of pages";
		if (i && info.mem[i - 1].base + info.mem[i - 1].size >= m->base)
			return "ranges that overlap, touch or do not ascend";
	}
	return NULL;
}

static bool listed(uint64_t page)
{
	for (uint32_t i = 0; i < info.mem_count; i++)
		if (page * BOOT_PAGE - info.mem[i].base < info.mem[i].size)
			return true;
	return false;
}

static const char *broken(void)
{
	const char *wrong = list_broken();
	bool offered[PAGES] = { false };

	for (uint32_t i = 0; i < info.mem_count && !wrong; i++)
		for (uint64_t p = 0; p < info.mem[i].size / BOOT_PAGE; p++)
			offered[info.mem[i].base / BOOT_PAGE + p] = true;
	for (uint64_t p = 0; p < PAGES && !wrong; p++) {
		if (offered[p] && !is_free[p])
			return "offers what is not free";
		if (is_free[p] && !offered[p]) {
			if (!was_lost)
				return "lost a page though the table was never full";
			is_free[p] = false; /* it is forgotten: fine, but for good */
		}
	}
	return wrong;
}

static void add(uint64_t base, uint64_t end)
{
	was_lost = was_lost || info.mem_count == BOOT_MEM_MAX;
	handover_mem_add(&info, base, end);
	for (uint64_t p = (base + BOOT_PAGE - 1) / BOOT_PAGE; p < end / BOOT_PAGE && p < PAGES; p++)
		is_free[p] = true;
}

static void take(uint64_t base, uint64_t end)
{
	was_lost = was_lost || info.mem_count == BOOT_MEM_MAX;
	handover_mem_remove(&info, base, end);
	if (base < end)
		for (uint64_t p = base / BOOT_PAGE; p * BOOT_PAGE < end && p < PAGES; p++)
			is_free[p] = false;
}

static void begin(void)
{
	memset(&info, 0, sizeof(info));
	memset(is_free, 0, sizeof(is_free));
	was_lost = false;
}

/* Ranges of bytes, mostly small, of all alignments; every third run fills the table. */
static void test_random(void **state)
{
	unsigned full = 0;

	(void)state;
	for (uint64_t seed = 0; seed < RUNS; seed++) {
		struct random r = { seed };
		uint64_t longest = seed % 3 ? PAGES * BOOT_PAGE / 8 : BOOT_PAGE + BOOT_PAGE / 2;

		begin();
		/* From a comb of single pages on, of which the table holds so many. */
		for (uint64_t p = 0; seed % 3 == 0 && p < BOOT_MEM_MAX; p++)
			add(8 * p * BOOT_PAGE, (8 * p + 1) * BOOT_PAGE);
		for (unsigned step = 0; step < STEPS; step++) {
			uint64_t base = random_below(&r, PAGES * BOOT_PAGE - longest), end = base + random_below(&r, longest);
			bool taken = !random_below(&r, 3);

			if (random_below(&r, 2)) {
				base &= ~(BOOT_PAGE - 1);
				end &= ~(BOOT_PAGE - 1);
			}
			(taken ? take : add)(base, end);
			const char *wrong = broken();
			if (wrong)
				fail_msg("seed %llu, step %u, %s [%llx, %llx): %s", (unsigned long long)seed, step,
					 taken ? "take" : "add", (unsigned long long)base, (unsigned long long)end, wrong);
		}
		full += was_lost;
	}
	assert_in_range(full, RUNS / 10, RUNS / 2);
}

static void expect(const char *ranges)
{
	char text[256] = "";

	for (uint32_t i = 0; i < info.mem_count; i++)
		sprintf(text + strlen(text), "%s%llx-%llx", i ? " " : "", (unsigned long long)info.mem[i].base,
			(unsigned long long)(info.mem[i].base + info.mem[i].size));
	assert_string_equal(text, ranges);
}

static void test_by_hand(void **state)
{
	(void)state;
	begin();
	add(0x1001, 0x4fff);
	expect("2000-4000");
	add(0x8000, 0x9000);
	add(0x6000, 0x7000);
	expect("2000-4000 6000-7000 8000-9000");
	add(0x7000, 0x8000);
	expect("2000-4000 6000-9000");
	take(0x7fff, 0x8001);
	expect("2000-4000 6000-7000");
	take(0x2800, 0x2801);
	expect("3000-4000 6000-7000");
	take(0x5000, 0x5000);
	take(0x7000, 0x5000);
	add(0x7000, 0x5000);
	add(0x5100, 0x5fff);
	expect("3000-4000 6000-7000");
	add(0, 0x10000);
	expect("0-10000");
	take(0x4000, 0x5000);
	expect("0-4000 5000-10000");
	take(0, UINT64_MAX);
	expect("");
}

/* The end of the address space. */
static void test_top(void **state)
{
	(void)state;
	begin();
	handover_mem_add(&info, UINT64_MAX - 100, UINT64_MAX);
	expect("");
	handover_mem_add(&info, UINT64_MAX - 0x2fff, UINT64_MAX);
	expect("ffffffffffffd000-fffffffffffff000");
	handover_mem_remove(&info, UINT64_MAX - 0x1fff, UINT64_MAX);
	expect("ffffffffffffd000-ffffffffffffe000");
	handover_mem_remove(&info, 0, UINT64_MAX);
	expect("");
}

/* A full table: of the ranges and the new one, the smallest goes. */
static void test_full(void **state)
{
	(void)state;
	for (unsigned place = 0; place <= 2 * BOOT_MEM_MAX; place += 2) {
		begin();
		for (uint64_t i = 0; i < BOOT_MEM_MAX; i++)
			add((4 * i + 2) * BOOT_PAGE, (4 * i + 4 + (i != 50)) * BOOT_PAGE); /* 50: two pages */
		assert_int_equal(info.mem_count, BOOT_MEM_MAX);
		handover_mem_add(&info, (2 * place + 1) * BOOT_PAGE, (2 * place + 1) * BOOT_PAGE + 1); /* nothing */
		uint64_t at = (4 * (uint64_t)BOOT_MEM_MAX + 2 * place + 2) * BOOT_PAGE;
		handover_mem_add(&info, at, at + BOOT_PAGE); /* smaller than all: is lost itself */
		assert_true(!listed(at / BOOT_PAGE) && listed(202));
		handover_mem_add(&info, at, at + 3 * BOOT_PAGE);
		assert_true(listed(at / BOOT_PAGE) && !listed(202) && !listed(203));
		assert_int_equal(info.mem_count, BOOT_MEM_MAX);
		assert_null(list_broken());
	}
}

/* A split of a full table's largest range: the smallest piece of all goes, not what is left of the largest. */
static void test_full_split(void **state)
{
	(void)state;
	begin();
	for (uint64_t i = 0; i < BOOT_MEM_MAX - 1; i++)
		add(2 * i * BOOT_PAGE, (2 * i + 1) * BOOT_PAGE);
	add(2 * BOOT_MEM_MAX * BOOT_PAGE, PAGES * BOOT_PAGE);
	take((2 * BOOT_MEM_MAX + 2) * BOOT_PAGE, (2 * BOOT_MEM_MAX + 3) * BOOT_PAGE);
	assert_int_equal(info.mem_count, BOOT_MEM_MAX);
	assert_true(listed(2 * BOOT_MEM_MAX) && listed(PAGES - 1));
}

/* A guest's words: the first one is a file's name, given or not. */
static void test_guest_words(void **state)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{ "", "guest" }, { "  ", "guest" }, { "100000 1", "guest 100000 1" }, { "a=b/c d", "guest a=b/c d" },
		{ "k.elf 1", "k.elf 1" }, { "/boot/k 1", "/boot/k 1" }, { "  dir\\k  1\t2\n", "dir\\k 1 2" },
		{ "/k", "/k" },
	};
	char words[BOOT_CMDLINE_MAX], text[BOOT_CMDLINE_MAX + 10];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(words, 0, sizeof(words));
		assert_true(handover_guest_words(words, rows[i].text));
		assert_string_equal(words, rows[i].words);
	}
	for (size_t length = 500; length < sizeof(text); length++) {
		memset(text, 0, sizeof(text));
		memset(text, 'w', length);
		memset(words, 0, sizeof(words));
		assert_int_equal(handover_guest_words(words, text), length + 6 <= BOOT_CMDLINE_MAX - 2);
		assert_in_range(strlen(words), 500, BOOT_CMDLINE_MAX - 2);
	}
}

/* The page that other cores start by: the highest one below 640 KiB that is free, and no part of one. */
static void test_low_page(void **state)
{
	static const struct {
		const char *name;
		struct { uint64_t base, end; } free[3];
		uint64_t page;
	} rows[] = {
		{ "a PC", { { 0, 0x9fc00 }, { 0x100000, 0x8000000 } }, 0x9e000 },
		{ "all of it", { { 0, 0x8000000 } }, 0x9f000 },
		{ "one page", { { 0x5000, 0x6000 }, { 0x100000, 0x200000 } }, 0x5000 },
		{ "the first is no page", { { 0x1000, 0x1fff }, { 0x3001, 0x5000 } }, 0x4000 },
		{ "two", { { 0x1000, 0x58000 }, { 0x60000, 0x61000 } }, 0x60000 },
		{ "from 640 KiB on", { { 0xa0000, 0x100000 }, { 0x100000, 0x200000 } }, 0 },
		{ "around 640 KiB", { { 0x9ffff, 0x100000 } }, 0 },
		{ "the null page alone", { { 0, 0x1000 }, { 0x100000, 0x200000 } }, 0 },
		{ "nothing", { { 0 } }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin();
		for (unsigned k = 0; k < 3; k++)
			handover_mem_add(&info, rows[i].free[k].base, rows[i].free[k].end);
		handover_settle(&info);
		if (info.trampoline_phys != rows[i].page)
			fail_msg("%s: page 0x%llx", rows[i].name, (unsigned long long)info.trampoline_phys);
		assert_true(!listed(info.trampoline_phys / BOOT_PAGE) || !info.trampoline_phys);
		assert_null(list_broken());
	}
}

/* A framebuffer that may be the screen, and what none can be; it is never free memory. */
static void test_screen(void **state)
{
	static const struct {
		uint64_t base;
		uint32_t width, height;
		uint64_t pitch;
		bool taken;
	} rows[] = {
		{ 0xc0000000, 1280, 800, 5120, true },
		{ 0xc0000000, 1366, 768, 5504, true },
		{ 0x3fe0000000, 3840, 2160, 15360, true },
		{ 0x400000, 800, 600, 3200, true },
		{ 0x80000000, 16384, 16384, 65536, true },
		{ (1ull << 47) - 320 * 200 * 4 - 4, 320, 200, 1280, true },
		{ (1ull << 47) - 320 * 200 * 4, 320, 200, 1280, false },
		{ 1ull << 47, 1280, 800, 5120, false },
		{ UINT64_MAX & ~3ull, 1280, 800, 5120, false },
		{ 0, 1280, 800, 5120, false },
		{ 0xc0000002, 1280, 800, 5120, false },
		{ 0xc0000000, 0, 0, 0, false },
		{ 0xc0000000, 319, 800, 5120, false },
		{ 0xc0000000, 1280, 199, 5120, false },
		{ 0xc0000000, 1280, 800, 5116, false },
		{ 0xc0000000, 1280, 800, 5121, false },
		{ 0xc0000000, 16385, 800, 131072, false },
		{ 0xc0000000, 1280, 16385, 5120, false },
		{ 0xc0000000, 1280, 800, 131076, false },
		{ 0xc0000000, 1280, 800, 4ull * UINT32_MAX, false },
		{ 0xc0000000, UINT32_MAX, UINT32_MAX, 4ull * UINT32_MAX, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin();
		if (handover_screen(&info, rows[i].base, rows[i].width, rows[i].height, rows[i].pitch) != rows[i].taken)
			fail_msg("row %zu: %staken", i, rows[i].taken ? "not " : "");
		assert_int_equal(info.screen, rows[i].taken ? BOOT_SCREEN_FRAMEBUFFER : BOOT_SCREEN_NONE);
		assert_int_equal(info.fb_phys, rows[i].taken ? rows[i].base : 0);
		assert_int_equal(info.fb_width, rows[i].taken ? rows[i].width : 0);
		assert_int_equal(info.fb_height, rows[i].taken ? rows[i].height : 0);
		assert_int_equal(info.fb_pitch, rows[i].taken ? rows[i].pitch : 0);
	}
	begin();
	assert_true(handover_screen(&info, 0x200800, 320, 200, 1280));
	handover_mem_add(&info, 0x100000, 0x400000);
	handover_settle(&info);
	expect("100000-200000 23f000-400000");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_hand), cmocka_unit_test(test_top), cmocka_unit_test(test_full),
		cmocka_unit_test(test_full_split), cmocka_unit_test(test_guest_words),
		cmocka_unit_test(test_low_page), cmocka_unit_test(test_screen), cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
