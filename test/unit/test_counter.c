/* SPDX-License-Identifier: MIT */
/* Counters of few bits as counters of 64: alone, across wraps, and by many threads at once. */
#include "unit.h"
#include <pthread.h>
#include <stdatomic.h>
#include "clock/random.h"
#include "smp/counter.h"

typedef unsigned __int128 wide;

static uint64_t truth, dirt; /* what the hardware counts, and what is above its bits */

static uint64_t read_truth(void)
{
	return truth ^ dirt;
}

/* Every number of bits: steps of up to half a wrap, from anywhere, with anything in the bits above. */
static void test_extends(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 2000; seed++) {
		struct random r = { seed };
		unsigned bits = 8 + (unsigned)random_below(&r, 57);
		uint64_t half = 1ull << (bits - 1), start;
		struct counter c;

		truth = start = random_next(&r);
		dirt = bits < 64 ? random_next(&r) << bits : 0;
		counter_start(&c, read_truth, bits, 1, 1);
		for (unsigned step = 0; step < 200; step++) {
			truth += step % 3 ? random_below(&r, half) : step % 2 ? half : random_below(&r, 3);
			uint64_t got = counter_read(&c);
			if (got != truth - start)
				fail_msg("seed %u, step %u, %u bits: %llx, not %llx", seed, step, bits,
					 (unsigned long long)got, (unsigned long long)(truth - start));
		}
	}
}

/* Half a wrap again and again: the PM timer's 24 bits for a year. */
static void test_a_year(void **state)
{
	struct counter c;

	(void)state;
	truth = 0xfffff0;
	dirt = 0;
	counter_start(&c, read_truth, 24, 200000000, 715909);
	for (uint64_t halves = 0; halves < 13457000; halves++, truth += 1 << 23)
		if (counter_read(&c) != truth - 0xfffff0)
			fail_msg("after %llu halves", (unsigned long long)halves);
	assert_in_range(counter_ns(&c, counter_read(&c)) / 1000000000 / 86400, 364, 366);
}

/* A counter whose reading was held up for many wraps, while another core read on. */
static struct counter held;
static unsigned hold;

static uint64_t read_held(void)
{
	uint64_t now = truth;

	if (hold) { /* the other core, each time less than half a wrap later */
		unsigned n = hold;

		for (hold = 0; n; n--) {
			truth += 100;
			uint64_t got = counter_read(&held);
			assert_int_equal(got, truth - 7);
		}
		now = truth; /* only now does the held one look */
	}
	return now;
}

static void test_held_up(void **state)
{
	(void)state;
	truth = 7;
	counter_start(&held, read_held, 8, 1, 1);
	for (unsigned n = 1; n < 50; n++) {
		hold = n;
		uint64_t got = counter_read(&held);
		assert_int_equal(got, truth - 7);
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

/*
 * Many threads, a counter of 8 bits that goes on when it is read. Each reading
 * is the true one, and no smaller than any that was over before it began.
 */
#define THREADS 4
#define READINGS 100000

static _Atomic uint64_t time_now, latest;
static _Thread_local uint64_t mine; /* what this thread's last look at the hardware truly was */
static struct counter shared;

static uint64_t read_shared(void)
{
	mine = atomic_fetch_add_explicit(&time_now, 3, memory_order_acq_rel);
	return mine & 0xff;
}

static void *reader(void *wrong)
{
	for (unsigned i = 0; i < READINGS; i++) {
		uint64_t floor = atomic_load_explicit(&latest, memory_order_acquire);
		uint64_t now = counter_read(&shared);

		if (now != mine || now < floor)
			atomic_fetch_add((_Atomic unsigned *)wrong, 1);
		while (now > floor && !atomic_compare_exchange_weak_explicit(&latest, &floor, now,
									     memory_order_release,
									     memory_order_relaxed))
			;
	}
	return NULL;
}

static void test_threads(void **state)
{
	static _Atomic unsigned wrong;
	pthread_t thread[THREADS];

	(void)state;
	counter_start(&shared, read_shared, 8, 1, 1);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, reader, &wrong), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(wrong, 0);
	assert_true(time_now >= 3ull * THREADS * READINGS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extends), cmocka_unit_test(test_a_year), cmocka_unit_test(test_held_up),
		cmocka_unit_test(test_ns), cmocka_unit_test(test_step), cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("counter", tests, NULL, NULL);
}
