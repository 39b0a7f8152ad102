/* SPDX-License-Identifier: MIT */
/* lib.c under other names: the real ones are libc's here, and what it is compared with. */
#include "unit.h"
#include <stdlib.h>
#include <string.h>

#include "smp/util.h"

#define memcpy lib_memcpy
#define memmove lib_memmove
#define memset lib_memset
#define memcmp lib_memcmp
#define strlen lib_strlen
#define strcmp lib_strcmp
#define strncmp lib_strncmp
#define strchr lib_strchr
#include "smp/lib.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strcmp
#undef strncmp
#undef strchr

enum { SIZE = 64 };

static void fill(uint8_t *p, size_t n, unsigned seed)
{
	srand(seed);
	while (n--)
		*p++ = (uint8_t)rand();
}

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

/* Every pair of places and every length within one buffer: all overlaps, all alignments. */
static void test_memmove(void **state)
{
	uint8_t ours[SIZE], libc[SIZE];

	(void)state;
	for (size_t to = 0; to < SIZE / 2; to++)
		for (size_t from = 0; from < SIZE / 2; from++)
			for (size_t n = 0; n <= SIZE / 2; n++) {
				fill(ours, SIZE, (unsigned)n);
				memcpy(libc, ours, SIZE);
				assert_ptr_equal(lib_memmove(ours + to, ours + from, n), ours + to);
				memmove(libc + to, libc + from, n);
				if (memcmp(ours, libc, SIZE))
					fail_msg("memmove to %zu from %zu, %zu bytes", to, from, n);
			}
}

/* Heap blocks of the exact size: ASan sees one byte too many. */
static void test_memcpy_memset(void **state)
{
	(void)state;
	for (size_t n = 0; n < 100; n++) {
		uint8_t *a = malloc(n ? n : 1), *b = malloc(n ? n : 1);

		fill(a, n, (unsigned)n);
		assert_ptr_equal(lib_memcpy(b, a, n), b);
		assert_memory_equal(a, b, n);
		assert_ptr_equal(lib_memset(b, 0x1a5 + (int)n, n), b);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(b[i], (0x1a5 + n) & 0xff);
		free(a);
		free(b);
	}
}

static void test_memset_place(void **state)
{
	uint8_t ours[SIZE], libc[SIZE];

	(void)state;
	for (size_t at = 0; at < 16; at++)
		for (size_t n = 0; n < SIZE - 16; n++) {
			fill(ours, SIZE, (unsigned)n);
			memcpy(libc, ours, SIZE);
			lib_memset(ours + at, -1, n);
			memset(libc + at, -1, n);
			assert_memory_equal(ours, libc, SIZE);
		}
}

static void test_memcmp(void **state)
{
	uint8_t a[SIZE], b[SIZE];

	(void)state;
	assert_int_equal(lib_memcmp("a", "b", 0), 0);
	assert_true(lib_memcmp("\x80", "\x7f", 1) > 0); /* bytes are unsigned */
	for (unsigned seed = 1; seed < 2000; seed++) {
		size_t at;

		fill(a, SIZE, seed);
		memcpy(b, a, SIZE);
		at = (size_t)rand() % SIZE;
		b[at] = (uint8_t)rand();
		assert_int_equal(sign(lib_memcmp(a, b, SIZE)), sign(memcmp(a, b, SIZE)));
		assert_int_equal(lib_memcmp(a, b, at), 0);
	}
}

static void test_str(void **state)
{
	static const char *const words[] = {
		"", "a", "ab", "abc", "abd", "b", "\x80", "abcabc", "ab\xff",
	};
	enum { WORDS = sizeof(words) / sizeof(words[0]) };

	(void)state;
	for (size_t i = 0; i < WORDS; i++) {
		assert_int_equal(lib_strlen(words[i]), strlen(words[i]));
		for (int c = -1; c < 256; c++)
			assert_ptr_equal(lib_strchr(words[i], c), strchr(words[i], c));
		for (size_t j = 0; j < WORDS; j++) {
			assert_int_equal(sign(lib_strcmp(words[i], words[j])),
					 sign(strcmp(words[i], words[j])));
			for (size_t n = 0; n < 8; n++)
				assert_int_equal(sign(lib_strncmp(words[i], words[j], n)),
						 sign(strncmp(words[i], words[j], n)));
		}
	}
}

static void test_strncmp_bound(void **state)
{
	static const char open_end[2] = { 'a', 'b' }; /* no NUL: must not look further */

	(void)state;
	assert_int_equal(lib_strncmp(open_end, "abz", 2), 0);
	assert_true(lib_strncmp(open_end, "aa", 2) > 0);
}

/* Of two cores: who looks may hold an instant that is earlier than what it finds. */
static void test_raw_since(void **state)
{
	(void)state;
	assert_int_equal(raw_since(100, 103), 3);
	assert_int_equal(raw_since(100, 100), 0);
	assert_int_equal(raw_since(103, 100), 0);
	assert_int_equal(raw_since(UINT64_MAX - 1, 3), 5);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memmove), cmocka_unit_test(test_memcpy_memset),
		cmocka_unit_test(test_memset_place), cmocka_unit_test(test_memcmp),
		cmocka_unit_test(test_str), cmocka_unit_test(test_strncmp_bound),
		cmocka_unit_test(test_raw_since),
	};

	return cmocka_run_group_tests_name("lib", tests, NULL, NULL);
}
