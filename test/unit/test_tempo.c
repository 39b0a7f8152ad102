/* SPDX-License-Identifier: MIT */
/* The core TSC against VMX's own formula, and its continuity through changes. */
#include "unit.h"
#include "clock/random.h"
#include "clock/tempo.h"
#include "port_fake.h"

typedef unsigned __int128 wide;

/* SDM: the product of TSC and multiplier, shifted right 48 bits, plus the offset; by 32-bit halves. */
static uint64_t vmx_tsc(uint64_t raw, uint64_t mult, uint64_t offset)
{
	uint64_t a = raw >> 32, b = raw & UINT32_MAX, c = mult >> 32, d = mult & UINT32_MAX;
	uint64_t mid = (b * d >> 32) + (a * d & UINT32_MAX) + (b * c & UINT32_MAX);
	uint64_t high = a * c + (a * d >> 32) + (b * c >> 32) + (mid >> 32);
	uint64_t low = mid << 32 | (b * d & UINT32_MAX);

	return (high << 16 | low >> 48) + offset;
}

static uint32_t some_khz(struct random *r)
{
	return 1 + (uint32_t)(random_next(r) >> (36 + random_below(r, 24)));
}

static void test_formula(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 200000; seed++) {
		struct random r = { seed };
		uint64_t raw = random_next(&r) >> random_below(&r, 64);
		struct tempo_piece p = { .mult = random_next(&r) >> random_below(&r, 64),
					 .offset = random_next(&r) };

		if (tempo_piece_tsc(&p, raw) != vmx_tsc(raw, p.mult, p.offset))
			fail_msg("seed %u", seed);
	}
}

/* From `raw` on at `start`, at a rate that falls short by less than 2^-48 of the raw one. */
static void test_start(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 100000; seed++) {
		struct random r = { seed };
		struct tempo t;
		uint64_t raw = random_next(&r) >> 16, start = random_next(&r), ticks = random_next(&r) >> 20;
		uint32_t raw_khz = 10000 + some_khz(&r), khz = some_khz(&r);
		wide exact = (wide)ticks * khz / raw_khz;

		tempo_start(&t, raw_khz, khz, 0, raw, start);
		wide part = ((wide)khz << 48) - (wide)t.now.mult * raw_khz;
		uint64_t at_start = tempo_tsc(&t, raw), went = tempo_tsc(&t, raw + ticks) - start;
		if (at_start != start || t.now.khz != khz || part >= raw_khz || went > exact + 1 || went + 2 < exact)
			fail_msg("seed %u: %u of %u kHz, %llu ticks: %llu", seed, khz, raw_khz,
				 (unsigned long long)ticks, (unsigned long long)went);
	}
}

/* At the raw rate the core TSC is the raw TSC, shifted. */
static void test_one_to_one(void **state)
{
	struct tempo t;

	(void)state;
	tempo_start(&t, 2600000, 2600000, 0, 1000, 5);
	assert_int_equal(t.now.mult, 1ull << 48);
	assert_int_equal(tempo_tsc(&t, 1000), 5);
	assert_int_equal(tempo_tsc(&t, UINT64_MAX - 1), UINT64_MAX - 996); /* UINT64_MAX means never */
}

/*
 * Many changes: before its instant the old piece applies to the bit, from it on
 * the new one, both agree there, and no step of raw time takes the counter back.
 */
static void test_changes(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 300; seed++) {
		struct random r = { seed };
		const uint32_t raw_khz = 1000000 + some_khz(&r) % 4000000;
		struct tempo t;
		uint64_t raw = random_next(&r) >> 24, last = random_next(&r) >> 2;

		tempo_start(&t, raw_khz, raw_khz, 0, raw, last);
		for (unsigned change = 0; change < 100; change++) {
			struct tempo_piece old = t.now;
			uint32_t khz = raw_khz / 4 + (uint32_t)random_below(&r, raw_khz * 5ull / 4);
			uint64_t at = raw + random_below(&r, 1000);

			tempo_change(&t, khz, at);
			if (tempo_piece_tsc(&t.next, at) != tempo_piece_tsc(&old, at))
				fail_msg("seed %u, change %u: a step at the switch", seed, change);
			for (uint64_t end = at + 1 + random_below(&r, 3); raw <= end;
			     raw += raw + 3 < at ? 1 + random_below(&r, at - raw - 2) : 1) {
				uint64_t tsc = tempo_tsc(&t, raw);
				const struct tempo_piece *p = tempo_at(&t, raw);
				bool right = raw < at ? p->mult == old.mult && p->offset == old.offset : p->khz == khz;

				if (tsc < last || !right || tsc != vmx_tsc(raw, p->mult, p->offset))
					fail_msg("seed %u, change %u at %llu, raw %llu: %llu after %llu", seed,
						 change, (unsigned long long)at, (unsigned long long)raw,
						 (unsigned long long)tsc, (unsigned long long)last);
				last = tsc;
			}
			assert_true(t.at_raw == UINT64_MAX);
		}
	}
}

/*
 * Off by a hidden error: every piece, and no other thing, has it. The true rate
 * falls short of the exact one by less than 2^-48 of the raw one.
 */
static void test_error(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 20000; seed++) {
		struct random r = { seed };
		struct tempo t, told;
		uint32_t raw_khz = 10000 + some_khz(&r), khz = some_khz(&r);
		int32_t ppb = (int32_t)random_below(&r, 400001) - 200000;
		uint64_t raw = random_next(&r) >> 16, start = random_next(&r);

		tempo_start(&t, raw_khz, khz, ppb, raw, start);
		tempo_start(&told, raw_khz, khz, 0, raw, start);
		if (tempo_tsc(&t, raw) != start || tempo_tsc(&told, raw) != start)
			fail_msg("seed %u: not at the start", seed);
		for (unsigned change = 0; change < 4; change++) {
			wide whole = (wide)raw_khz * 1000000000;
			wide part = ((wide)khz * (wide)(1000000000 + ppb) << 48) - t.now.mult * whole;

			if (part >= whole || t.now.khz != khz || told.now.khz != khz ||
			    (ppb == 0 && (t.now.mult != told.now.mult || t.now.offset != told.now.offset)) ||
			    tempo_tsc(&t, raw) != vmx_tsc(raw, t.now.mult, t.now.offset))
				fail_msg("seed %u, change %u: %u of %u kHz off by %d ppb: mult %llx", seed, change,
					 khz, raw_khz, (int)ppb, (unsigned long long)t.now.mult);
			raw += random_below(&r, 1000);
			khz = some_khz(&r);
			uint64_t before = tempo_tsc(&t, raw);
			tempo_change(&t, khz, raw);
			tempo_change(&told, khz, raw);
			if (tempo_tsc(&t, raw) != before)
				fail_msg("seed %u, change %u: a step at the switch", seed, change);
			tempo_at(&told, raw);
		}
	}
}

/* 200 ppm of a second are 200 us, either way, at any tempo. */
static void test_error_adds_up(void **state)
{
	(void)state;
	for (int sign = -1; sign <= 1; sign += 2) {
		struct tempo t;

		tempo_start(&t, 2000000, 2000000, sign * 200000, 0, 0);
		assert_in_range(tempo_tsc(&t, 2000000000) - (uint64_t)(2000000000ll + sign * 400000) + 1, 0, 1);
		tempo_change(&t, 1000000, 2000000000);
		uint64_t half = tempo_tsc(&t, 2000000000);
		assert_in_range(tempo_tsc(&t, 4000000000) - half - (uint64_t)(1000000000ll + sign * 200000) + 1, 0, 1);
	}
}

/* Rates far apart, at raw instants near the end of their range. */
static void test_far(void **state)
{
	struct tempo t;
	uint64_t raw = UINT64_MAX - 1000, before;

	(void)state;
	tempo_start(&t, 1, 65535, 0, 0, 0);
	before = tempo_tsc(&t, raw);
	tempo_change(&t, 1, raw + 10);
	assert_int_equal(tempo_tsc(&t, raw + 10), before + 655350);
	assert_int_equal(tempo_tsc(&t, raw + 11), before + 655351);
}

static void test_refused(void **state)
{
	static struct tempo t;

	(void)state;
	expect_assert_failure(tempo_start(&t, 0, 1, 0, 0, 0));
	expect_assert_failure(tempo_start(&t, 1, 0, 0, 0, 0));
	expect_assert_failure(tempo_start(&t, 1, 65536, 0, 0, 0));
	expect_assert_failure(tempo_start(&t, 1, 65535, 200000, 0, 0)); /* no room for the error */
	expect_assert_failure(tempo_start(&t, 1, 1, -1000000000, 0, 0));
	tempo_start(&t, 1000, 1000, 0, 0, 0);
	expect_assert_failure(tempo_change(&t, 0, 5));
	tempo_change(&t, 500, 5);
	expect_assert_failure(tempo_change(&t, 700, 9)); /* one is pending */
	assert_int_equal(tempo_tsc(&t, 15), 10);
	tempo_change(&t, 700, 20);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formula), cmocka_unit_test(test_start), cmocka_unit_test(test_one_to_one),
		cmocka_unit_test(test_changes), cmocka_unit_test(test_error), cmocka_unit_test(test_error_adds_up),
		cmocka_unit_test(test_far), cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("tempo", tests, NULL, NULL);
}
