/* SPDX-License-Identifier: MIT */
#include "unit.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "smp/format.h"

/* The same call by libc and by us: text and result must agree. */
#define SAME(...) do { \
	char ours_[256], libc_[256]; \
	int n_ = format(ours_, sizeof(ours_), __VA_ARGS__); \
	assert_int_equal(snprintf(libc_, sizeof(libc_), __VA_ARGS__), n_); \
	assert_string_equal(ours_, libc_); \
} while (0)

/* Without the compiler's check of formats, for what it warns of. */
static int (*volatile unchecked)(char *, size_t, const char *, ...) = format;

static void test_plain(void **state)
{
	(void)state;
	SAME("%s", "");
	SAME("no conversion");
	SAME("100%%, ok");
}

static void test_signed(void **state)
{
	(void)state;
	SAME("%d %d %d %d %d", 0, -1, 42, INT_MIN, INT_MAX);
	SAME("%ld %lld", LONG_MIN, LLONG_MIN);
	SAME("%ld %lld", LONG_MAX, LLONG_MAX);
	SAME("[%8d|%-8d|%08d]", -42, -42, -42);
	SAME("[%20lld|%-21lld|%025lld]", LLONG_MIN, LLONG_MIN, LLONG_MIN);
	SAME("[%1d|%02d|%03d]", 12345, 7, -7);
}

static void test_unsigned(void **state)
{
	(void)state;
	SAME("%u %u %lu %llu", 0u, UINT_MAX, ULONG_MAX, ULLONG_MAX);
	SAME("%x %x %lx %llx", 0u, 0xbeefu, ULONG_MAX, 0x123456789abcdefull);
	SAME("[%08x|%-8x|%8x|%016llx|%2x]", 0xfeu, 0xfeu, 0xfeu, 1ull << 63, 0x12345u);
	SAME("[%40llu|%-40llu|%040llu]", ULLONG_MAX, ULLONG_MAX, ULLONG_MAX);
}

static void test_string(void **state)
{
	char text[32];

	(void)state;
	SAME("[%s|%8s|%-8s|%2s]", "four", "four", "four", "four");
	unchecked(text, sizeof(text), "%s|%7s", (char *)NULL, (char *)NULL);
	assert_string_equal(text, "(null)| (null)");
}

/* Cut anywhere: NUL-ended within the size, full length returned, nothing beyond touched. */
static void test_size(void **state)
{
	const char *whole = "core 12: -7 (0x00ff) [   hi]";

	(void)state;
	for (size_t size = 0; size <= 40; size++) {
		char *heap = malloc(size ? size : 1);

		heap[0] = '?';
		assert_int_equal(format(size ? heap : NULL, size, "core %u: %d (0x%04x) [%5s]", 12u,
					-7, 0xffu, "hi"), strlen(whole));
		if (size) {
			assert_int_equal(strlen(heap), size > strlen(whole) ? strlen(whole) : size - 1);
			assert_memory_equal(heap, whole, strlen(heap));
		} else {
			assert_int_equal(heap[0], '?');
		}
		free(heap);
	}
}

static void test_huge_width(void **state)
{
	char text[8];

	(void)state;
	assert_int_equal(unchecked(text, sizeof(text), "%2147483647d", 1), INT_MAX);
	assert_string_equal(text, "       ");
	assert_int_equal(unchecked(text, sizeof(text), "%2147483647d%2147483647d", 1, 1), INT_MAX);
	assert_int_equal(unchecked(text, sizeof(text), "%-2147483648s|", "x"), INT_MAX);
	assert_string_equal(text, "x      ");
}

/* What is not ours comes out as it stands, with the rest. */
static void test_unsupported(void **state)
{
	static const char *const cases[] = {
		"%", "%5", "%-", "%l", "%hd", "%zu", "%o %s", "%f", "%+d", "%#x", "% d", "%.3d", "%.3s", "%*d",
		"%n", "%lll", "%i", "%X", "%c", "%p", "%99999999999999999999q",
	};
	char text[64], want[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(want, sizeof(want), "%s", cases[i]);
		assert_int_equal(unchecked(text, sizeof(text), cases[i]), strlen(want));
		assert_string_equal(text, want);
	}
}

/* Random flags, widths, lengths and values, against libc; the seed is in the message. */
static void test_random(void **state)
{
	static const char *const lengths[] = { "", "l", "ll" };
	int (*volatile libc)(char *, size_t, const char *, ...) = (void *)snprintf;

	(void)state;
	for (unsigned seed = 1; seed <= 20000; seed++) {
		char fmt[32], a[128], b[128];
		long long value;
		int n, m;

		srand(seed);
		value = (long long)((uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand());
		value >>= rand() % 64;
		snprintf(fmt, sizeof(fmt), "%%%s%s%d%s%c", rand() % 2 ? "-" : "",
			 rand() % 2 ? "0" : "", 1 + rand() % 40, lengths[rand() % 3],
			 "dux"[rand() % 3]);
		n = unchecked(a, sizeof(a), fmt, value);
		m = libc(b, sizeof(b), fmt, value);
		if (n != m || strcmp(a, b))
			fail_msg("seed %u: \"%s\" of %lld: \"%s\", libc has \"%s\"", seed, fmt, value, a, b);
	}
}

static void test_complaint(void **state)
{
	struct complaint why;

	(void)state;
	memset(&why, '?', sizeof(why));
	format_complaint(&why, "core %d", 3);
	assert_string_equal(why.text, "core 3");
	format_note(&why, "and %s", "more");
	assert_string_equal(why.text, "core 3; and more");
	format_complaint(&why, "%s", "");
	format_note(&why, "first %x", 0x1fu);
	assert_string_equal(why.text, "first 1f");
}

static void test_complaint_full(void **state)
{
	struct complaint why;
	const int size = sizeof(why.text);

	(void)state;
	for (int length = 0; length < size + 40; length++) {
		int kept = length < size - 1 ? length : size - 1;
		char long_text[sizeof(why.text) + 40] = "";

		memset(long_text, ' ', (size_t)length);
		format_complaint(&why, "%s", long_text);
		assert_int_equal(strlen(why.text), kept);
		format_note(&why, "%s", "note");
		if (kept + 3 < size) /* room for "; " and a letter at least, or for nothing */
			assert_string_equal(why.text + kept + (length ? 2 : 0),
					    kept + 2 + 4 < size ? "note" : kept + 2 + 3 < size ? "not" :
					    kept + 2 + 2 < size ? "no" : "n");
		else
			assert_int_equal(strlen(why.text), kept);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain), cmocka_unit_test(test_signed),
		cmocka_unit_test(test_unsigned), cmocka_unit_test(test_string),
		cmocka_unit_test(test_size), cmocka_unit_test(test_huge_width),
		cmocka_unit_test(test_unsupported), cmocka_unit_test(test_random),
		cmocka_unit_test(test_complaint), cmocka_unit_test(test_complaint_full),
	};

	return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
