/* SPDX-License-Identifier: MIT */
/* The CMOS clock's registers into Unix seconds, against libc's calendar. */
#include "unit.h"
#include <string.h>
#include <time.h>
#include "clock/random.h"
#include "smp/rtc.h"

enum { BINARY = 4, HOURS_24 = 2, AFTERNOON = 0x80, LAST_YEAR = 2199 };

static uint8_t coded(int v, uint8_t status_b)
{
	return (uint8_t)(status_b & BINARY ? v : v / 10 << 4 | v % 10);
}

static struct rtc rtc_of(uint64_t unix_s, uint8_t status_b)
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	gmtime_r(&t, &tm);
	int hour = status_b & HOURS_24 ? tm.tm_hour : (tm.tm_hour + 11) % 12 + 1;

	return (struct rtc){
		.second = coded(tm.tm_sec, status_b), .minute = coded(tm.tm_min, status_b),
		.hour = coded(hour, status_b) | (!(status_b & HOURS_24) && tm.tm_hour >= 12 ? AFTERNOON : 0),
		.day = coded(tm.tm_mday, status_b), .month = coded(tm.tm_mon + 1, status_b),
		.year = coded(tm.tm_year % 100, status_b), .century = coded(tm.tm_year / 100 + 19, status_b),
		.status_b = status_b,
	};
}

static void check(uint64_t unix_s)
{
	for (uint8_t status_b = 0; status_b < 8; status_b += 2) {
		struct rtc r = rtc_of(unix_s, status_b);

		if (rtc_unix_s(&r) != unix_s)
			fail_msg("%llu, status B %u: %llu", (unsigned long long)unix_s, status_b,
				 (unsigned long long)rtc_unix_s(&r));
		/* Bit 7 of status B stops the clock, the others are its interrupts and square wave. */
		r.status_b |= 0xf9;
		assert_true(rtc_unix_s(&r) == unix_s);
	}
}

/* The other way: a clock that shows this time is read as it. */
static void check_shown(uint64_t unix_s)
{
	const uint64_t ns = unix_s * 1000000000;
	time_t t = (time_t)unix_s;
	struct tm tm;
	struct rtc r = {
		rtc_register(0x00, ns), rtc_register(0x02, ns), rtc_register(0x04, ns), rtc_register(0x07, ns),
		rtc_register(0x08, ns), rtc_register(0x09, ns), rtc_register(0x32, ns), rtc_register(0x0b, ns),
	};

	gmtime_r(&t, &tm);
	if (rtc_unix_s(&r) != unix_s)
		fail_msg("%llu is shown as %llu", (unsigned long long)unix_s, (unsigned long long)rtc_unix_s(&r));
	assert_int_equal(rtc_register(0x06, ns), tm.tm_wday + 1);
}

/* A reader that sees no update under way has 244 us until the next one. */
static void test_update(void **state)
{
	(void)state;
	for (uint64_t ns = 0; ns < 2000000000; ns += 1000) {
		bool updating = rtc_register(0x0a, ns) & 0x80;

		if (!updating)
			assert_int_equal(rtc_register(0x00, ns), rtc_register(0x00, ns + 244000));
		assert_true(!updating || ns % 1000000000 > 990000000);
	}
	assert_int_equal(rtc_register(0x0d, 0), 0);
	assert_int_equal(rtc_register(0x0d, 365ull * 86400 * 1000000000), 0x80);
	assert_int_equal(rtc_register(0x0c, 0), 0);
}

static void test_days(void **state)
{
	struct tm end = { .tm_year = LAST_YEAR - 1900, .tm_mon = 11, .tm_mday = 31 };
	uint64_t days = (uint64_t)timegm(&end) / 86400;
	struct random r = { 1 };

	(void)state;
	for (uint64_t day = 0; day <= days; day++)
		check(day * 86400 + random_below(&r, 86400) + !day), check_shown(day * 86400 + random_below(&r, 86400) + !day);
	for (uint64_t s = 0; s < 86400; s += 59)
		check(951782400 + s); /* 2000-02-29 */
}

static void test_century(void **state)
{
	static const struct { uint8_t century, year, status_b; uint64_t unix_s; } rows[] = {
		{ 0x20, 0x26, 2, 1767225600 }, { 0x19, 0x99, 2, 915148800 }, { 0x20, 26, 6, 1767225600 },
		{ 20, 26, 6, 1767225600 }, { 0x00, 0x26, 2, 1767225600 }, { 0xff, 0x99, 2, 915148800 },
		{ 0x1a, 0x26, 2, 1767225600 }, { 0x00, 0x70, 2, 1 }, { 0x21, 0x00, 2, 4102444800 },
		{ 0x19, 0x69, 2, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rtc r = { .second = rows[i].unix_s == 1, .day = 1, .month = 1, .year = rows[i].year,
				 .century = rows[i].century, .status_b = rows[i].status_b };

		if (rtc_unix_s(&r) != rows[i].unix_s)
			fail_msg("row %u: %llu", i, (unsigned long long)rtc_unix_s(&r));
	}
}

/* What no clock shows: a port that nobody answers, digits that are none, dates that are none. */
static void test_refused(void **state)
{
	static const struct rtc wrong[] = {
		{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, { 0 },
		{ 0x60, 0, 0, 1, 1, 0x26, 0x20, 2 }, { 0x1a, 0, 0, 1, 1, 0x26, 0x20, 2 },
		{ 0, 0x60, 0, 1, 1, 0x26, 0x20, 2 }, { 0, 0, 0x24, 1, 1, 0x26, 0x20, 2 },
		{ 0, 0, 0x00, 1, 1, 0x26, 0x20, 0 }, { 0, 0, 0x13, 1, 1, 0x26, 0x20, 0 },
		{ 0, 0, 0x90, 1, 1, 0x26, 0x20, 2 }, { 0, 0, 0, 0, 1, 0x26, 0x20, 2 },
		{ 0, 0, 0, 0x32, 1, 0x26, 0x20, 2 }, { 0, 0, 0, 0x31, 4, 0x26, 0x20, 2 },
		{ 0, 0, 0, 1, 0, 0x26, 0x20, 2 }, { 0, 0, 0, 1, 0x13, 0x26, 0x20, 2 },
		{ 0, 0, 0, 0x29, 2, 0x26, 0x20, 2 }, { 0, 0, 0, 0x29, 2, 0x00, 0x21, 2 },
		{ 0, 0, 0, 1, 1, 0xa0, 0x20, 2 }, { 0, 0, 0, 1, 1, 100, 20, 6 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (rtc_unix_s(&wrong[i]))
			fail_msg("row %u: %llu", i, (unsigned long long)rtc_unix_s(&wrong[i]));
}

/* Any bytes at all: an answer, and one that says the same time again. */
static void test_any(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 1000000; seed++) {
		struct random rand = { seed };
		uint64_t bits = random_next(&rand);
		struct rtc r;

		memcpy(&r, &bits, sizeof(r));
		uint64_t unix_s = rtc_unix_s(&r);
		struct rtc again = rtc_of(unix_s, r.status_b & (BINARY | HOURS_24));
		if (unix_s && rtc_unix_s(&again) != unix_s)
			fail_msg("seed %llu", (unsigned long long)seed);
		assert_true(unix_s < 7258118400); /* 2200 */
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_days), cmocka_unit_test(test_update), cmocka_unit_test(test_century),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_any),
	};

	return cmocka_run_group_tests_name("rtc", tests, NULL, NULL);
}
