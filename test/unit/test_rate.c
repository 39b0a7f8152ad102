/* SPDX-License-Identifier: MIT */
/* What is known of rates against what they are: intervals that always contain it, and that become narrow. */
#include "unit.h"
#include "clock/random.h"
#include "clock/rate.h"

enum { CORES = 5, SEEDS = 300, STEPS = 2000, KHZ = 1000000 };

static struct rates rates;
static struct core_rate core[CORES];
static long double slower[CORES]; /* than the truth, a part of 1 */
static long double all_slower; /* as a part of all, and between which ppb that is known to be */
static struct rate all;
static long double truth, ref, told[CORES]; /* ns that have passed, by each */
static unsigned base;
static uint32_t role;
static int32_t gains; /* what is shown gains on the straight time, ppb */

static long double ref_rate(void)
{
	return (1 - slower[base]) * (1 + rate_ppb(&core[base]) / 1e9L);
}

static void pass(uint64_t ns)
{
	truth += ns;
	ref += ns * ref_rate();
	for (unsigned i = 0; i < CORES; i++)
		told[i] += ns * (1 - slower[i]);
}

static bool within(const struct rate *r, long double part)
{
	return r->lo - 1 <= part * 1e9L && part * 1e9L <= r->hi + 1;
}

static const char *wrong(void)
{
	if (!within(&rates.truth, 1 / (1 - slower[0]) - 1))
		return "the first base against the truth";
	if (!within(&rates.lead, (1 - slower[0]) / ref_rate() - 1))
		return "the reference against the first base";
	int32_t off = (int32_t)rate_off(&rates, gains);

	if (!within(&(struct rate){ -off, off }, 1 - ref_rate() * (1 + gains / 1e9L)))
		return "the reference against the truth";
	for (unsigned i = 0; i < CORES; i++) {
		if (!within(&core[i].own, (1 - slower[0]) / (1 - slower[i]) - 1))
			return "a core against the first base";
		if (core[i].lead == rates.leads && !within(&core[i].now, ref_rate() / (1 - slower[i]) - 1))
			return "a core against the reference";
	}
	return NULL;
}

static const char *lead(unsigned to)
{
	long double was = ref_rate();

	rate_follow(&rates, &core[to]);
	role += to != base;
	base = to;
	uint32_t change = rate_lead(&rates, &core[to], (uint64_t)ref);

	return within(&(struct rate){ -(int32_t)change - 1, (int32_t)change + 1 }, ref_rate() / was - 1) ? NULL :
		"the reference goes otherwise than told";
}

static void measure(unsigned i, struct random *r)
{
	struct span s = { (uint64_t)ref - random_below(r, 100), (uint64_t)ref + 1 + random_below(r, 100) };

	struct rate was = core[i].now;
	uint32_t moved = rate_follow(&rates, &core[i]);

	assert_true(magnitude(core[i].now.lo - was.lo) <= moved && magnitude(core[i].now.hi - was.hi) <= moved);
	rate_learn(&rates, &core[i], role, (uint64_t)told[i], KHZ, &s);
}

static void look(struct random *r)
{
	int64_t ahead = (int64_t)ref - (int64_t)truth;

	/* The platform comes to know its timer's second, too. */
	int32_t at = (int32_t)((1 / (1 - all_slower) - 1) * 1e9L);

	all.lo += (int32_t)random_below(r, (uint64_t)(at - all.lo) / 2 + 1);
	all.hi -= (int32_t)random_below(r, (uint64_t)(all.hi - at) / 2 + 1);
	rate_told(&rates, all.lo, all.hi);
	rate_look(&rates, (uint64_t)truth, ahead - 1 - (int64_t)random_below(r, 100), ahead + 1 + (int64_t)random_below(r, 100));
	if (rate_steers(&rates, gains))
		gains = rate_best(&rates);
}

/* Cores are off each other by twice bound_ppb, and all are off what is told by doubt_ppb. */
static void begin(struct random *r, uint32_t bound_ppb, uint32_t doubt_ppb)
{
	all_slower = doubt_ppb ? ((long double)random_below(r, 2 * doubt_ppb) - doubt_ppb) / 1e9L : 0;
	all = (struct rate){ -(int32_t)doubt_ppb - (int32_t)(doubt_ppb / 1000), (int32_t)doubt_ppb + (int32_t)(doubt_ppb / 1000) };
	rates = (struct rates){ .bound_ppb = bound_ppb };
	base = 0;
	gains = 0;
	truth = ref = 1e9L;
	for (unsigned i = 0; i < CORES; i++) {
		slower[i] = bound_ppb ? ((long double)random_below(r, 2 * bound_ppb) - bound_ppb) / 1e9L : 0;
		slower[i] = 1 - (1 - slower[i]) * (1 - all_slower);
		told[i] = 1e9L + (long double)random_below(r, 1ull << 40);
		rate_unknown(&rates, &core[i]);
	}
	rate_first(&rates, &core[0], all.lo, all.hi);
	rate_lead(&rates, &core[0], (uint64_t)ref);
}

/* Whoever leads, and whenever the others ask. */
static void test_any(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < SEEDS; seed++) {
		struct random r = { seed };
		const char *is = NULL;

		begin(&r, (uint32_t)random_below(&r, 300000), (uint32_t)random_below(&r, 500000));
		for (unsigned n = 0; n < STEPS && !is; n++) {
			pass(10000 + (random_below(&r, 1ull << 28) >> random_below(&r, 16)));
			if (!random_below(&r, 8))
				is = lead((unsigned)random_below(&r, CORES));
			else if (!random_below(&r, 3))
				look(&r);
			else
				for (unsigned i = 0; i < CORES; i++)
					if (i != base && random_below(&r, 2))
						measure(i, &r);
			is = is ? is : wrong();
		}
		if (is)
			fail_msg("seed %u: %s", seed, is);
	}
}

/* In a second, under one base, rates are known to 1 ppm, and the reference goes right; who leads then hardly matters. */
static void test_narrow(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < SEEDS; seed++) {
		struct random r = { seed };

		begin(&r, 200000, seed % 2 ? 500000 : 0);
		for (unsigned n = 0; n < 50; n++) {
			pass(20000000);
			look(&r);
			for (unsigned i = 1; i < CORES; i++)
				measure(i, &r);
		}
		assert_null(wrong());
		assert_in_range(rate_off(&rates, gains), 0, 8000);
		for (unsigned i = 1; i < CORES; i++)
			assert_in_range(rate_err(&core[i]), 0, 1000);
		for (unsigned n = 0; n < 100; n++)
			assert_null(lead(1 + n % (CORES - 1)));
		rate_follow(&rates, &core[0]);
		assert_in_range(rate_err(&core[0]), 0, 2500);
		assert_null(wrong());
	}
}

/* Where all goes as told, nothing is learned, and nothing is in doubt. */
static void test_as_told(void **state)
{
	struct random r = { 1 };

	(void)state;
	begin(&r, 0, 0);
	for (unsigned n = 0; n < 100; n++) {
		pass(20000000);
		look(&r);
		measure(1 + n % (CORES - 1), &r);
		assert_null(lead(n % CORES));
		assert_int_equal(rate_off(&rates, gains), 0);
		assert_int_equal(gains, 0);
		assert_int_equal(rate_ppb(&core[1]), 0);
		assert_int_equal(rate_err(&core[1]), 0);
	}
}

/* Stamps of one instant, and those of a TSC that stepped back, say nothing of a rate. */
static void test_no_time(void **state)
{
	static const uint64_t anchors[] = { 1000, 1001, 1000000 }, ticks[] = { 0, 1, 3, (uint64_t)-1, (uint64_t)-5000 };
	struct rates r = { .bound_ppb = 1000 };

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned n = 0; n < 5; n++) {
			struct core_rate c;

			rate_unknown(&r, &c);
			struct rate was = c.own;

			rate_learn(&r, &c, 7, anchors[i] * 10, 4000000, &(struct span){ 100, 110 });
			rate_learn(&r, &c, 7, anchors[i] * 10 + ticks[n], 4000000, &(struct span){ 200, 210 });
			assert_true(c.own.lo == was.lo && c.own.hi == was.hi);
		}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any), cmocka_unit_test(test_narrow), cmocka_unit_test(test_as_told),
		cmocka_unit_test(test_no_time),
	};

	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
