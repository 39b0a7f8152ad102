/* SPDX-License-Identifier: MIT */
/* decide(): from what was measured to a line, by hand and for anything that may be measured. */
#include "unit.h"
#include "clock/decide.h"
#include "clock/random.h"

enum { KHZ = 1000000, RANDOM = 200000 }; /* a tick a nanosecond */
#define AT 5000000ull
#define LO 1000000000ull

/* The base said LO .. LO + 100 at AT; 500 ns later. */
static struct clock_input first(void)
{
	return (struct clock_input){
		.khz = KHZ, .tsc = AT, .now_tsc = AT + 500, .base = { LO, LO + 100 }, .all = { LO, LO + 100 },
		.gap_in = GAP_UNKNOWN, .gap_out = GAP_UNKNOWN,
	};
}

/* It has met the base: messages took 30 ns on the clocks, and 70 ns the other way. It has a line. */
static struct clock_input again(uint64_t old_ns_at)
{
	struct clock_input in = first();

	in.gap_in = 30;
	in.gap_out = 70;
	in.is_ns = old_ns_at;
	return in;
}

static void test_middle(void **state)
{
	struct clock_input in = first();
	struct clock_decision d;

	(void)state;
	decide(&in, &d);
	assert_int_equal(d.x_ns, LO + 50);
	assert_int_equal(d.moved_ns, 0);
	assert_int_equal(d.line.tsc, in.now_tsc);
	assert_int_equal(line_read(&d.line, in.now_tsc), LO + 550);
	assert_int_equal(line_read(&d.line, in.now_tsc + 1000000), LO + 1000550);
	assert_in_range(d.radius_ns, 50, 55);
	assert_in_range(d.growth_ppb, 1, 2);
	/* Of all that it met; the radius is against the base. */
	in.all = (struct span){ LO + 80, LO + 90 };
	decide(&in, &d);
	assert_int_equal(d.x_ns, LO + 85);
	assert_in_range(d.radius_ns, 85, 90);
	/* Unsure of its own rate: the longer ago it was. */
	in.rate_err_ppb = 200000;
	in.now_tsc = AT + 1000000;
	decide(&in, &d);
	assert_in_range(d.radius_ns, 285, 290);
	assert_in_range(d.growth_ppb, 200001, 200002);
}

static void test_keeps_place(void **state)
{
	struct clock_input in = again(LO + 30);
	struct clock_decision d;

	(void)state;
	decide(&in, &d);
	assert_int_equal(d.x_ns, LO + 30);
	/* 300 wider: on which side, nobody knows; so a line stays. */
	in.base = in.all = (struct span){ LO - 100, LO + 300 };
	decide(&in, &d);
	assert_int_equal(d.x_ns, LO + 30);
	assert_int_equal(d.moved_ns, 0);
	/* Narrower, and even off its place. */
	in.base = in.all = (struct span){ LO, LO + 20 };
	decide(&in, &d);
	assert_int_equal(d.x_ns, LO);
	assert_int_equal(d.moved_ns, 0);
	/* Beneath what is left of the time: no wrap below zero. */
	in.base = in.all = (struct span){ 0, 50 };
	in.is_ns = 0;
	decide(&in, &d);
	assert_in_range(d.x_ns, 0, 50);
}

static void test_suits_others(void **state)
{
	struct clock_input in = again(LO + 30);
	struct clock_decision d;

	(void)state;
	in.all = (struct span){ LO + 40, LO + 60 };
	decide(&in, &d);
	assert_int_equal(d.x_ns, LO + 40);
	assert_int_equal(d.moved_ns, 10);
	in.all = (struct span){ LO + 5, LO + 10 };
	decide(&in, &d);
	assert_int_equal(d.x_ns, LO + 10);
	assert_int_equal(d.moved_ns, -20);
	/* They have no room for it: half of what is missing for each. */
	in.all = (struct span){ LO + 80, LO + 20 };
	decide(&in, &d);
	assert_int_equal(d.x_ns, LO + 50);
	assert_int_equal(d.moved_ns, 20);
}

/* What a line gains on one of the right slope within a second, in ppb. */
static int64_t steepness(const struct line *l)
{
	return (int64_t)(line_read(l, l->tsc + 1000000000) - l->ref_ns) - 1000000000;
}

static void test_continues(void **state)
{
	struct clock_input in;
	struct clock_decision d;

	(void)state;
	for (int off = -3000; off <= 3000; off++) { /* against its place, LO + 30: it is back there at once */
		in = again(LO + 30 + (uint64_t)off);
		decide(&in, &d);
		assert_int_equal(line_read(&d.line, in.now_tsc), LO + 530);
		assert_in_range(steepness(&d.line) + 2, 0, 4);
	}
	/* A measurement that is 300 wider can't tell 150 from nothing; what is more, it can. */
	for (int off = -152; off <= 152; off++) {
		in = again(LO + 80 + (uint64_t)off);
		in.base = in.all = (struct span){ LO - 100, LO + 300 };
		decide(&in, &d);
		assert_int_equal(d.x_ns, LO + 80 + (uint64_t)(off < -150 ? -150 : off > 150 ? 150 : off));
	}
	/* One that is wide on one side by a time slice says what it says on the other, and no more. */
	in = again(LO + 50);
	in.base = in.all = (struct span){ LO - 4000000, LO + 100 };
	decide(&in, &d);
	assert_int_equal(d.x_ns, LO + 30);
	/* Who has no line has nothing better than the middle. */
	in.base = in.all = (struct span){ LO - 100, LO + 300 };
	in.is_ns = 0;
	decide(&in, &d);
	assert_int_equal(d.x_ns, LO + 80);
}

static struct clock_input any(struct random *r)
{
	struct clock_input in = { .khz = (uint32_t)(100000 + random_below(r, 5000000)) };

	in.rate_ppb = (int32_t)random_below(r, 400001) - 200000;
	in.rate_err_ppb = (uint32_t)random_below(r, 3) ? 0 : (uint32_t)random_below(r, 400000);
	in.tsc = random_below(r, 1ull << 60);
	in.now_tsc = in.tsc + (random_below(r, 1ull << 32) >> random_below(r, 32));
	in.base.lo = 1000000 + random_below(r, 1ull << 55);
	in.base.hi = in.base.lo + (random_below(r, 1 << 20) >> random_below(r, 20));
	in.all.lo = in.base.lo + random_below(r, in.base.hi - in.base.lo + 1);
	in.all.hi = in.all.lo + random_below(r, in.base.hi - in.all.lo + 1);
	if (!random_below(r, 2))
		in.all = in.base;
	bool met = random_below(r, 2);
	in.gap_in = met ? (uint32_t)(random_below(r, 1 << 16) >> random_below(r, 16)) : GAP_UNKNOWN;
	in.gap_out = met ? (uint32_t)(random_below(r, 1 << 16) >> random_below(r, 16)) : GAP_UNKNOWN;
	uint64_t off = random_below(r, 1 << 20) >> random_below(r, 20);

	if (met && random_below(r, 2))
		in.is_ns = random_below(r, 2) ? in.base.lo + off : in.base.lo - off;
	return in;
}

/* Whatever was measured: a straight line from where it ought to be, off by the radius at most. */
static void test_any(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < RANDOM; seed++) {
		struct random r = { seed };
		struct clock_input in = any(&r);
		struct clock_decision d;

		decide(&in, &d);
		uint64_t value = line_read(&d.line, in.now_tsc), age = ticks_ns(in.now_tsc - in.tsc, in.khz, in.rate_ppb);
		uint64_t lo = in.base.lo + age, hi = in.base.hi + age, target = d.x_ns + age;
		const char *wrong = 0;

		if (d.line.tsc != in.now_tsc)
			wrong = "not from now on";
		else if (d.x_ns < in.all.lo || d.x_ns > in.all.hi)
			wrong = "it does not agree with what was measured";
		else if (value != target)
			wrong = "it does not begin where it ought to";
		else if (value > lo + d.radius_ns || hi > value + d.radius_ns)
			wrong = "off by more than the radius";
		uint64_t second = in.khz * 1000ull;
		int64_t exact = (int64_t)ticks_ns(second, in.khz, in.rate_ppb);
		int64_t steep = (int64_t)(line_read(&d.line, in.now_tsc + second) - value) - exact;
		if (steep > 16 || steep < -16)
			wrong = "it is not straight";
		if (wrong)
			fail_msg("seed %u: %s", seed, wrong);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_middle), cmocka_unit_test(test_keeps_place), cmocka_unit_test(test_suits_others),
		cmocka_unit_test(test_continues),
		cmocka_unit_test(test_any),
	};

	return cmocka_run_group_tests_name("decide", tests, NULL, NULL);
}
