/* SPDX-License-Identifier: MIT */
/* What is known of the raw TSC's rate, against what it is: the interval has it, and is as narrow as the readings were good. */
#include "unit.h"
#include <math.h>
#include "clock/random.h"
#include "smp/truth.h"

enum { SEEDS = 2000, LOOKS = 60, READ_NS = 5000 };

static long double mhz, ns; /* the right rate; the right time */
static uint64_t origin;

/* A reading takes up to `most` ns, the timer is asked anywhere in it, and what it shows is late by up to `late`. */
static struct instant look(struct random *r, uint32_t most, uint32_t late)
{
	/* At the ends more often than not: what is true there is true. */
	uint64_t takes = random_below(r, 3) ? most : random_below(r, most + 1), asked = random_below(r, 2) * takes;
	long double begin = ns, ask = ns + asked, end = ns + takes;

	ns = end;
	return (struct instant){ .ns = (uint64_t)ask - random_below(r, 2) * late, .late_ns = late + 1,
				 .raw_lo = origin + (uint64_t)floorl(begin * mhz / 1e12L), .raw_hi = origin + (uint64_t)ceill(end * mhz / 1e12L) };
}

static void test_contains(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < SEEDS; seed++) {
		struct random r = { seed };
		uint32_t most = 1 + (uint32_t)random_below(&r, READ_NS), late = (uint32_t)random_below(&r, READ_NS);
		struct instant first, now;
		struct truth t;
		uint64_t lo, hi;

		origin = random_next(&r);
		ns = 1e9L + (long double)random_below(&r, 1ull << 50);
		mhz = 1e10L + (long double)random_below(&r, 5000000000000);
		first = look(&r, most, late);
		ns += 1e7L;
		now = look(&r, most, late);
		assert_true(truth_rate(&first, &now, &lo, &hi));
		truth_begin(&t, &first, lo, hi);
		for (unsigned n = 0; n < LOOKS; n++) {
			long double since = ns;

			ns += (long double)random_below(&r, 1ull << (20 + random_below(&r, 12)));
			now = look(&r, most, late);
			if (truth_jump(&t, &now))
				fail_msg("seed %u, look %u: it is said to jump by %ld ns", seed, n, (long)truth_jump(&t, &now));
			if (!truth_learn(&t, &now))
				fail_msg("seed %u, look %u: it is said to wander", seed, n);
			if (t.lo > mhz || t.hi < mhz)
				fail_msg("seed %u, look %u: %.0Lf mHz is not in %lu..%lu", seed, n, mhz, (long)t.lo, (long)t.hi);
			truth_ns(&t, (uint64_t)((ns - since) * mhz / 1e12L), &lo, &hi);
			if (lo > ns - since || hi + 1000 < ns - since) /* a tick of 10 MHz is 100 ns */
				fail_msg("seed %u, look %u: %.0Lf ns are not in %lu..%lu", seed, n, ns - since, (long)lo, (long)hi);
		}
		/* All that both ends were in doubt by, over what passed between them. */
		long double due = (2 * most + 2 * late + 4) / (long double)(now.ns - first.ns) * 1e9L / 2 + 2e12L / mhz;

		if (truth_doubt_ppb(&t) > due * 1.01L + 2)
			fail_msg("seed %u: in doubt by %lu ppb, %.1Lf are due", seed, (long)truth_doubt_ppb(&t), due);
	}
}

/* With readings at their worst the doubt is due to the last ppb: half of it would not be true. */
static void test_no_less(void **state)
{
	(void)state;
	for (unsigned sign = 0; sign < 2; sign++) {
		const uint64_t rate = 2400000000000, most = 1000, s = 1000000000;
		/* The timer is asked as soon as may be, then as late; or the other way round: the rate looks wrong by all of it. */
		struct instant first = { .ns = sign ? most : 0, .raw_hi = most * rate / 1000000000000 };
		struct instant now = { .ns = s + (sign ? 0 : most), .raw_lo = 2400000000, .raw_hi = 2400000000 + 2400 };
		struct truth t;
		uint64_t lo, hi;

		assert_true(truth_rate(&first, &now, &lo, &hi));
		truth_begin(&t, &first, lo, hi);
		assert_true(t.lo <= rate && rate <= t.hi);
		/* It lies at an end. */
		uint64_t left = sign ? rate - t.lo : t.hi - rate;

		assert_in_range(left, 0, rate / 1000000000 + 2);
	}
}

/* A timer that goes otherwise than it did is told, and both of its rates are possible from then on. */
static void test_wanders(void **state)
{
	struct random r = { 1 };
	struct instant first, now;
	struct truth t;
	uint64_t lo, hi;
	const long double was = 1e12L, is = 1.0001e12L;

	(void)state;
	mhz = was;
	ns = 1e9L;
	first = look(&r, 100, 0);
	ns += 1e8L;
	now = look(&r, 100, 0);
	assert_true(truth_rate(&first, &now, &lo, &hi));
	truth_begin(&t, &first, lo, hi);
	ns += 1e9L;
	now = look(&r, 100, 0);
	now.raw_lo += 100000;
	now.raw_hi += 100000;
	assert_false(truth_learn(&t, &now));
	assert_true(t.lo <= was && t.hi >= is * 0.99999L);
}

/* What is no clock: it stops, jumps, or its rate is one that no processor has; one that is late by all that it may be is one. */
static void test_measure(void **state)
{
	static const struct {
		uint64_t ns[3], mhz;
		bool sound;
	} cases[] = {
		{ { 0, 5000000, 10000000 }, 2596142000000, true },
		{ { 0, 4999000, 10000000 }, 2596142000000, true },   /* late by 1 us, as it may be */
		{ { 1000, 5000000, 10000000 }, 2596142000000, true },
		{ { 0, 4996000, 10000000 }, 2596142000000, false },
		{ { 0, 5000000, 5000000 }, 2596142000000, false },   /* it has stopped, .. */
		{ { 0, 0, 5000000 }, 2596142000000, false },
		{ { 0, 5000000, 4704967296 }, 2596142000000, false }, /* .. or jumped, .. */
		{ { 0, 5000000, 2000000 }, 2596142000000, false },   /* .. back, too */
		{ { 0, 5000000, 10000000 }, 20000000000, true },
		{ { 0, 5000000, 10000000 }, 3968000000, false },     /* a PIT that isn't there */
		{ { 0, 5000000, 10000000 }, 12000000000000, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct instant at[3];
		struct truth t = { .lo = 0 };

		for (unsigned n = 0; n < 3; n++) {
			uint64_t raw = 1000000 + n * 5 * (cases[i].mhz / 1000000);

			at[n] = (struct instant){ cases[i].ns[n], raw, raw + 2 + cases[i].mhz / 1000000 / 1000, 1000 };
		}
		if (truth_measure(&t, at) != cases[i].sound)
			fail_msg("case %u", (unsigned)i);
		if (cases[i].sound)
			assert_in_range(cases[i].mhz, t.lo, t.hi);
		else
			assert_int_equal(truth_middle(&t), 0);
	}
}

/* Stops and jumps either way: what is in doubt is none, nor is what a crystal wanders in a sixteenth of the time, a second at most. */
static void test_jump(void **state)
{
	static const struct {
		uint64_t after_ns;
		int64_t off_ns, least, most; /* what is to be told */
	} cases[] = {
		{ 16000000, 1900, 0, 0 }, { 16000000, 3200, 3200 - 2100, 3200 - 1900 }, { 16000000, -3200, 1900 - 3200, 2100 - 3200 },
		{ 16000000000, 900000, 0, 0 }, { 16000000000, 1010000, 1007000, 1009000 }, { 16000000000, -1010000, -1009000, -1007000 },
		{ 16000000000, -16000000000, -16000000000, -15999990000 },          /* it shows what it did at first */
		{ 1600000000000, 900000, 0, 0 }, { 1600000000000, 1200000, 1000000, 1200000 },
		{ 16000000000, 1ll << 62, (1ll << 62) - 10000, 1ll << 62 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* 1 GHz: raw ticks are ns. The first may be late by 1 us, and so may each. */
		struct truth t = { .first = { 5000000, 70000000, 70000000, 1000 }, .lo = 1000000000000, .hi = 1000000000001 };
		uint64_t raw = 70000000 + cases[i].after_ns;
		struct instant now = { 5000000 + cases[i].after_ns + (uint64_t)cases[i].off_ns, raw - 1000, raw + 1000, 1000 };
		int64_t jump = truth_jump(&t, &now);

		if (jump < cases[i].least || jump > cases[i].most)
			fail_msg("case %u: %ld", (unsigned)i, (long)jump);
		assert_in_range(truth_expect(&t, raw), 5000000 + cases[i].after_ns - 10, 5000000 + cases[i].after_ns);
	}
	assert_int_equal(truth_look_ns(0), 1000000);
	assert_int_equal(truth_look_ns(160000000), 10000000);
	assert_int_equal(truth_look_ns(UINT64_MAX), 1000000000);
}

static void test_near(void **state)
{
	struct instant a = { .ns = 1000, .raw_lo = 10, .raw_hi = 20 }, b = { .ns = 1000, .raw_lo = 20, .raw_hi = 30 };
	struct truth t;
	uint64_t lo, hi;

	(void)state;
	assert_false(truth_rate(&a, &b, &lo, &hi)); /* it stands still */
	b.ns = 2000;
	assert_false(truth_rate(&a, &b, &lo, &hi));
	b.raw_lo = 40;
	b.raw_hi = 50;
	assert_true(truth_rate(&a, &b, &lo, &hi));
	truth_begin(&t, &a, lo, hi);
	b = a;
	assert_true(truth_learn(&t, &b)); /* and learns nothing */
	assert_true(t.lo == lo && t.hi == hi);
}

static void test_slower(void **state)
{
	struct truth t = { .lo = 50000000000, .hi = 50000000000 };
	int32_t lo, hi;

	(void)state;
	truth_slower(&t, 50000, &lo, &hi);
	assert_true(lo == -1 && hi == 1);
	t.lo = 49990000000; /* told 50000 kHz: 200 ppm too much, 100 ppm too little */
	t.hi = 50005000000;
	truth_slower(&t, 50000, &lo, &hi);
	assert_in_range(hi, 200039, 200042);
	assert_in_range(-lo, 99990, 99993);
	t.lo = 1;
	t.hi = UINT64_MAX / 2;
	truth_slower(&t, 50000, &lo, &hi);
	assert_true(lo == -200000001 && hi == 200000001);
	assert_in_range(truth_doubt_ppb(&t), 1000000000, UINT64_MAX);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contains), cmocka_unit_test(test_no_less), cmocka_unit_test(test_wanders),
		cmocka_unit_test(test_near), cmocka_unit_test(test_slower), cmocka_unit_test(test_measure), cmocka_unit_test(test_jump),
	};

	return cmocka_run_group_tests_name("truth", tests, NULL, NULL);
}
