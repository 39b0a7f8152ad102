/* SPDX-License-Identifier: MIT */
/* A line against exact arithmetic: slope, readings, order, and the clock page's own formula. */
#include "unit.h"
#include "clock/line.h"
#include "clock/pvclock.h"
#include "clock/random.h"
#include "test/guest/check.h"

typedef __int128 wide;

static const uint32_t edges[] = {
	1, 2, 3, 7, 999, 1000, 32767, 32768, 499999, 500000, 500001, 999999, 1000000, 1000001, 1999999,
	2000000, 2000001, 2399999, 2600000, 3000000, 3999999, 4000000, 4000001, 4300000, 1u << 31,
	(1u << 31) + 1, 4095999999u, 4096000000u, 4096000001u, UINT32_MAX - 1, UINT32_MAX,
};
enum { EDGES = sizeof(edges) / sizeof(edges[0]), RANDOM = 1000000 };

/* The edges, then random rates: as many of each length in bits. */
static uint32_t rate(struct random *r, unsigned i)
{
	uint32_t khz = i < EDGES ? edges[i] : (uint32_t)(random_next(r) >> (32 + random_below(r, 32)));

	return khz ? khz : 1;
}

/*
 * |mul / 2^32 * 2^shift - 10^6 / khz| <= 2^-32 * 10^6 / khz, without division,
 * and the fraction uses all its bits.
 */
static void test_slope(void **state)
{
	struct random r = { 1 };

	(void)state;
	for (unsigned i = 0; i < EDGES + RANDOM; i++) {
		uint32_t khz = rate(&r, i);
		struct line l;

		line_start(&l, i, ~(uint64_t)i, khz);
		wide up = (wide)1 << (l.shift > 0 ? l.shift : 0), down = (wide)1 << (l.shift < 0 ? -l.shift : 0);
		wide error = (wide)l.mul * khz * up - ((wide)1000000 << 32) * down;
		if (l.mul < 1u << 31 || l.tsc != i || l.ref_ns != ~(uint64_t)i ||
		    (error < 0 ? -error : error) > 1000000 * down)
			fail_msg("%u kHz: mul %u, shift %d", khz, l.mul, l.shift);
	}
}

/* Steeper or flatter, up to 10^6 ppb: the same, of 10^6 / khz * (1 + ppb / 10^9). */
static void test_steeper(void **state)
{
	struct random r = { 2 };
	const wide billion = 1000000000;

	(void)state;
	for (unsigned i = 0; i < EDGES + RANDOM; i++) {
		uint32_t khz = rate(&r, i);
		int32_t ppb = (int32_t)random_below(&r, 2000001) - 1000000;
		struct line l;

		ppb = i % 8 == 0 ? 1000000 : i % 8 == 1 ? -1000000 : i % 8 == 2 ? 0 : ppb;
		line_start_steeper(&l, i, ~(uint64_t)i, khz, ppb);
		wide up = (wide)1 << (l.shift > 0 ? l.shift : 0), down = (wide)1 << (l.shift < 0 ? -l.shift : 0);
		wide exact = 1000000 * (billion + ppb) * down, error = l.mul * up * khz * billion - (exact << 32);
		if (l.mul < 1u << 31 || l.tsc != i || l.ref_ns != ~(uint64_t)i || (error < 0 ? -error : error) > exact)
			fail_msg("%u kHz, %d ppb: mul %u, shift %d", khz, ppb, l.mul, l.shift);
		if (!ppb) {
			struct line plain;

			line_start(&plain, i, ~(uint64_t)i, khz);
			assert_int_equal(plain.mul, l.mul);
			assert_int_equal(plain.shift, l.shift);
		}
	}
}

/* ns <= ticks * 10^6 / khz * (1 + ppb / 10^9) < ns + 1, without division. */
static void test_ticks_ns(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < RANDOM; seed++) {
		struct random r = { seed };
		uint32_t khz = rate(&r, seed % (2 * EDGES));
		int32_t ppb = (int32_t)random_below(&r, 2000001) - 1000000;
		/* Up to 2^63, if that is less than a century. */
		wide most = (wide)khz * 1000 * 3600 * 24 * 36500;
		uint64_t ticks = random_below(&r, most >> 63 ? 1ull << 63 : (uint64_t)most) >> random_below(&r, 64);
		wide ns = ticks_ns(ticks, khz, ppb), exact = (wide)ticks * (1000000000 + ppb);

		if (ns * khz * 1000 > exact || (ns + 1) * khz * 1000 <= exact)
			fail_msg("seed %u: %llu ticks, %u kHz, %d ppb", seed, (unsigned long long)ticks, khz, ppb);
	}
	assert_int_equal(ticks_ns(3000000, 3000000, 0), 1000000);
	assert_int_equal(ticks_ns(2999999, 3000000, 0), 999999);
	assert_int_equal(ticks_ns(3000000000, 3000000, 200000), 1000200000);
	assert_int_equal(ticks_ns(3000000000, 3000000, -200000), 999800000);
}

static struct line some_line(struct random *r, unsigned i, uint32_t *khz)
{
	struct line l;

	*khz = rate(r, i % (2 * EDGES));
	line_start(&l, random_next(r) >> 1, random_next(r) >> 2, *khz);
	return l;
}

/* Up to an hour behind its origin. */
static uint64_t some_ticks(struct random *r, uint32_t khz)
{
	return random_below(r, (uint64_t)khz * 3600000 + 1) >> random_below(r, 40);
}

/*
 * A reading is the exact time, less what is cut off: a part of a nanosecond,
 * and the ticks that a right shift drops; give or take the slope's 2^-32.
 */
static void test_reading(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 200000; seed++) {
		struct random r = { seed };
		uint32_t khz;
		struct line l = some_line(&r, seed, &khz);
		uint64_t ticks = some_ticks(&r, khz);
		wide ns = (wide)(line_read(&l, l.tsc + ticks) - l.ref_ns) * khz, exact = (wide)ticks * 1000000;
		wide slope = exact >> 32, cut = khz + (((wide)1 << (l.shift < 0 ? -l.shift : 0)) - 1) * 1000000;

		if (ns > exact + slope + 1 || ns < exact - slope - cut - 1)
			fail_msg("seed %u: %u kHz, %llu ticks: %lld ns off", seed, khz,
				 (unsigned long long)ticks, (long long)((ns - exact) / khz));
	}
}

static void test_monotone(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 2000; seed++) {
		struct random r = { seed };
		uint32_t khz;
		struct line l = some_line(&r, seed, &khz);
		uint64_t tsc = l.tsc - random_below(&r, 100), last = 0;

		for (unsigned i = 0; i < 200; i++) {
			uint64_t now = line_read(&l, tsc);

			if (now < last || now < l.ref_ns)
				fail_msg("seed %u: %u kHz, step %u: %llu after %llu", seed, khz, i,
					 (unsigned long long)now, (unsigned long long)last);
			last = now;
			tsc += random_below(&r, 1ull << random_below(&r, 30));
		}
	}
}

static void test_before_origin(void **state)
{
	struct line l;

	(void)state;
	line_start(&l, 5000, 77, 3000000);
	assert_int_equal(line_read(&l, 0), 77);
	assert_int_equal(line_read(&l, 4999), 77);
	assert_int_equal(line_read(&l, 5000), 77);
	assert_int_equal(line_read(&l, 8000), 1077);
}

/* A TSC that stands still, or a slope that falls: nobody may ask for such a line, and it is no endless loop. */
static void test_no_rate(void **state)
{
	struct line l;

	(void)state;
	expect_assert_failure(line_start(&l, 0, 0, 0));
	expect_assert_failure(line_start_steeper(&l, 0, 0, 1000, -1000000000));
	expect_assert_failure(ticks_ns(1, 0, 0));
}

/* By hand: 4.3 GHz is 4300000 ticks a millisecond, 1 kHz one, 2^32-1 kHz 2^32-1. */
static void test_by_hand(void **state)
{
	struct line l;

	(void)state;
	line_start(&l, 0, 0, 4300000);
	assert_in_range(line_read(&l, 4300000000ull), 999999998, 1000000000); /* a second */
	assert_in_range(line_read(&l, 4300000000ull * 1000), 999999999760ull, 1000000000240ull);
	line_start(&l, 0, 5, 1000000);
	assert_int_equal(l.mul, 1u << 31);
	assert_int_equal(l.shift, 1);
	assert_int_equal(line_read(&l, 123456789), 123456794);
	line_start(&l, 0, 0, 1);
	assert_int_equal(line_read(&l, 3), 3000000);
	line_start(&l, 0, 0, UINT32_MAX);
	assert_in_range(line_read(&l, UINT32_MAX * 1000ull), 999999998, 1000000000);
}

enum { PIECE_CUT_NS = 3 };

/*
 * A line as a counter: never more than 1 ns below the line, nor a tick and 2 ns
 * above it, for some seconds, on a machine that has been on for years; and a line that
 * goes on from it, at another slope, is another counter that goes on from this one.
 */
static void test_piece(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 200000; seed++) {
		struct random r = { seed };
		uint32_t raw_khz = 50000 + (uint32_t)random_below(&r, 4950000);
		uint32_t khz = raw_khz / 3 + (uint32_t)random_below(&r, raw_khz);
		uint64_t raw = random_next(&r) >> (2 + random_below(&r, 40)), tick_ns = 1000000 / khz + 1;
		struct tempo_piece core = { .mult = (uint64_t)(((wide)khz << 48) / raw_khz), .offset = random_next(&r) };
		struct line l;

		line_start_steeper(&l, tempo_piece_tsc(&core, raw), random_next(&r) >> 2, khz,
				   (int32_t)random_below(&r, 1000001) - 500000);
		if (l.tsc > UINT64_MAX >> 1) /* a core's TSC does not come round */
			core.offset -= UINT64_MAX / 2, l.tsc -= UINT64_MAX / 2;
		for (unsigned i = 0; i < 8; i++) {
			struct tempo_piece p = line_piece(&l, &core), q;

			for (unsigned n = 0; n < 4; n++) {
				uint64_t at = raw + random_below(&r, (uint64_t)raw_khz << random_below(&r, 14));
				uint64_t ns = line_read(&l, tempo_piece_tsc(&core, at)), is = tempo_piece_tsc(&p, at);

				if (is + 1 < ns || is > ns + tick_ns + 2)
					fail_msg("seed %u: %lld ns off", seed, (long long)(is - ns));
			}
			raw += random_below(&r, (uint64_t)raw_khz << random_below(&r, 14));
			uint64_t tsc = tempo_piece_tsc(&core, raw), ns = line_read(&l, tsc);

			line_start_steeper(&l, tsc, ns, khz, (int32_t)random_below(&r, 1000001) - 500000);
			q = line_piece(&l, &core);
			int64_t step = (int64_t)(tempo_piece_tsc(&q, raw) - tempo_piece_tsc(&p, raw));
			if (step < -PIECE_CUT_NS || step > 1)
				fail_msg("seed %u: a step of %lld ns", seed, (long long)step);
		}
	}
}

/* By hand: a 2 GHz core of a 1 GHz raw TSC counts two for each ns; from 500 on, at ns 7. */
static void test_piece_by_hand(void **state)
{
	const struct tempo_piece core = { .mult = 2ull << 48, .offset = 100 };
	struct tempo_piece p;
	struct line l;

	(void)state;
	line_start(&l, 500, 7, 2000000);
	p = line_piece(&l, &core);
	assert_int_equal(p.mult, 1ull << 48);
	assert_int_equal(tempo_piece_tsc(&p, 200), 7);
	assert_int_equal(tempo_piece_tsc(&p, 1200), 1007);
}

/* pvclock's formula by 32-bit halves, as a guest without 128-bit numbers computes it. */
static uint64_t by_halves(uint64_t ticks, uint32_t mul, int8_t shift)
{
	ticks = shift < 0 ? ticks >> -shift : ticks << shift;
	return (ticks >> 32) * mul + ((ticks & UINT32_MAX) * mul >> 32);
}

static void test_page_arithmetic(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 200000; seed++) {
		struct random r = { seed };
		uint32_t khz;
		struct line l = some_line(&r, seed, &khz);
		uint64_t ticks = some_ticks(&r, khz), tsc = l.tsc + ticks;
		struct pvclock_vcpu_time_info page = {
			.tsc_timestamp = l.tsc, .system_time = l.ref_ns,
			.tsc_to_system_mul = l.mul, .tsc_shift = l.shift,
		};

		if (line_read(&l, tsc) != page_ns(&page, tsc) ||
		    pvclock_scale(ticks, l.mul, l.shift) != by_halves(ticks, l.mul, l.shift))
			fail_msg("seed %u: %u kHz, %llu ticks", seed, khz, (unsigned long long)ticks);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slope), cmocka_unit_test(test_reading), cmocka_unit_test(test_monotone),
		cmocka_unit_test(test_before_origin), cmocka_unit_test(test_by_hand), cmocka_unit_test(test_no_rate),
		cmocka_unit_test(test_page_arithmetic), cmocka_unit_test(test_steeper), cmocka_unit_test(test_ticks_ns),
		cmocka_unit_test(test_piece), cmocka_unit_test(test_piece_by_hand),
	};

	return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
