/* SPDX-License-Identifier: MIT */
/* Counters of few bits as time: across wraps that nobody saw. */
#include "unit.h"
#include "clock/random.h"
#include "smp/counter.h"

typedef unsigned __int128 wide;

static uint64_t truth, dirt; /* what the hardware counts, and what is above its bits */

static uint64_t read_truth(void)
{
	return truth ^ dirt;
}

/* Every number of bits, anything in the bits above, and any number of wraps that nobody saw: it is known to half a wrap. */
static void test_extends(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 2000; seed++) {
		struct random r = { seed };
		unsigned bits = 8 + (unsigned)random_below(&r, 56);
		uint64_t half = 1ull << (bits - 1), start;
		struct counter c;

		truth = start = random_next(&r) >> 2;
		dirt = random_next(&r) << bits;
		counter_start(&c, read_truth, bits, 1, 1);
		for (unsigned step = 0; step < 200; step++) {
			truth += step % 3 ? random_below(&r, half) : random_next(&r) >> (20 + random_below(&r, 40));
			uint64_t passed = truth - start, off = step % 5 ? random_below(&r, half) : step % 2 ? half - 1 : 0;
			uint64_t near = step % 2 ? passed + off : passed > off ? passed - off : 0;
			uint64_t got = counter_time(&c, read_truth(), near);
			if (got != passed)
				fail_msg("seed %u, step %u, %u bits: %llx, not %llx", seed, step, bits, (unsigned long long)got,
					 (unsigned long long)passed);
		}
	}
}

/* The PM timer's 24 bits, once a day for a year, by a raw TSC that is 10 ppm off. */
static void test_a_year(void **state)
{
	struct counter c;

	(void)state;
	truth = 0xfffff0;
	dirt = 0;
	counter_start(&c, read_truth, 24, 200000000, 715909);
	for (uint64_t day = 1, was = 0; day < 365; day++) {
		truth += 3579545ull * 86400;
		uint64_t ns = counter_time(&c, read_truth(), was + 86400ull * 1000010000);
		assert_in_range(ns, day * 86400000000000, day * 86400000000000 + 1);
		was = ns;
	}
}

static void test_ns(void **state)
{
	struct counter c = { .num = 200000000, .den = 715909 }; /* 3.579545 MHz */

	(void)state;
	assert_int_equal(counter_ns(&c, 0), 0);
	assert_int_equal(counter_ns(&c, 1), 279);
	assert_int_equal(counter_ns(&c, 3579545), 1000000000);
	assert_int_equal(counter_ns(&c, 3579544), 999999720);
	assert_true(counter_ns(&c, 3579545ull * 86400 * 365 * 500) == 1000000000ull * 86400 * 365 * 500);
	c = (struct counter){ .num = 69841279, .den = 1000000 }; /* 14.31818 MHz, in fs */
	assert_int_equal(counter_ns(&c, 1000000), 69841279);
	for (unsigned seed = 0; seed < 100000; seed++) {
		struct random r = { seed };
		uint64_t counts = random_next(&r) >> (8 + random_below(&r, 56));

		c.num = 1000000 + (uint32_t)random_below(&r, 99000001);
		wide rest = (wide)counts * c.num - (wide)counter_ns(&c, counts) * c.den;
		if (rest >= c.den)
			fail_msg("seed %u", seed);
	}
}

/* It moves by `grain` at once, and a reading takes `takes`. */
static uint64_t grain, takes;

static uint64_t read_grain(void)
{
	truth += takes;
	return truth / grain * grain;
}

static void test_step(void **state)
{
	struct counter c;

	(void)state;
	for (grain = 1; grain < 60; grain++)
		for (takes = 1; takes < 200; takes += 1 + takes / 7) {
			truth = 12345;
			counter_start(&c, read_grain, 32, 1, 1);
			uint64_t step = counter_step(&c, 100000);
			if (step < grain || step > grain + takes)
				fail_msg("grain %u, a reading takes %u: %u", (unsigned)grain, (unsigned)takes,
					 (unsigned)step);
		}
	takes = 0;
	counter_start(&c, read_grain, 32, 1, 1);
	assert_int_equal(counter_step(&c, 100000), 0);
	grain = 1000000, takes = 1; /* one step is too few to tell */
	counter_start(&c, read_grain, 32, 1, 1);
	assert_int_equal(counter_step(&c, 1000000), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extends), cmocka_unit_test(test_a_year), cmocka_unit_test(test_ns),
		cmocka_unit_test(test_step),
	};

	return cmocka_run_group_tests_name("counter", tests, NULL, NULL);
}
