/* SPDX-License-Identifier: MIT */
/* The two bounds: what is published holds for any two cores, then and later; the page by its version. */
#include "unit.h"
#include <pthread.h>
#include <string.h>
#include "clock/clock.h"
#include "clock/random.h"
#include "port_fake.h"

enum { CORES = 5, RANDOM = 20000, WRITES = 200000 };

static struct clock c;
static struct clock_core core[CORES];
static struct bound bounds[CORES];

static int setup(void **state)
{
	(void)state;
	clock_init(&c, policy_find("howler"), core, CORES, 0);
	clock_pairs(&c, 0, 0, 0, bounds);
	port_fake_core = 0;
	return 0;
}

static void put(unsigned i, uint64_t radius_ns, uint64_t at_ns, uint32_t growth_ppb, uint64_t carry_ns)
{
	atomic_store(&core[i].synced, 1);
	bounds[i] = (struct bound){ .radius_ns = radius_ns, .at_ns = at_ns, .growth_ppb = growth_ppb, .carry_ns = carry_ns };
}

static void test_aged(void **state)
{
	(void)state;
	assert_int_equal(bound_aged(10, 1000, 500000, 1000), 11);
	assert_int_equal(bound_aged(10, 1000, 500000, 2000001000), 10 + 1000000 + 1);
	assert_int_equal(bound_aged(10, 1000, 500000, 3000), 10 + 1 + 1);
	assert_int_equal(bound_aged(10, 1000, 500000, 2999), 10 + 1); /* 0.9995: that 1 is for */
	assert_int_equal(bound_aged(10, 1000, 500000, 0), 11); /* another core's clock, a little behind */
	assert_int_equal(bound_aged(0, 0, 1000000000, UINT64_MAX / 2), UINT64_MAX / 2 + 1);
}

static void test_two_largest(void **state)
{
	(void)state;
	put(0, 1, 1000, 1, 0);
	put(1, 50, 1000, 30, 0);
	put(2, 10, 1000, 100, 0);
	put(3, 40, 1000, 20, 0);
	put(4, 1000, 1000, 1000, 0);
	atomic_store(&core[4].synced, 0); /* it shows nothing */
	bound_publish(&c, 1000);
	assert_int_equal(c.howler.page.skew_ns, 51 + 41);
	assert_int_equal(c.howler.page.skew_ppb, 130);
	assert_int_equal(c.howler.page.at_ns, 1000);
	port_fake_core = 4; /* but it is about to */
	bound_publish(&c, 1000);
	assert_int_equal(c.howler.page.skew_ns, 1001 + 51);
	assert_int_equal(c.howler.page.skew_ppb, 1100);
	/* The reference is off the truth by drift, and a core by its radius more. */
	c.howler.drift_ns = 7000;
	c.howler.drift_at_ns = 500;
	c.howler.drift_ppb = 1000000;
	bound_publish(&c, 1000500);
	assert_int_equal(c.howler.page.drift_ns, 7000 + 1000 + 1 + 1000 + 1);
	assert_int_equal(c.howler.page.drift_ppb, 1000000 + 1000);
}

/* The base role went on twice, by 30 and 100: who was measured before is off by that more. */
static void test_carry(void **state)
{
	(void)state;
	atomic_store(&c.howler.carry_ns, 130);
	put(0, 1, 1000, 0, 130);
	put(1, 5, 1000, 0, 0);
	put(2, 5, 1000, 0, 30);
	put(3, 5, 1000, 0, 130);
	assert_int_equal(bound_radius(&c, 1, 1000), 136);
	assert_int_equal(bound_radius(&c, 2, 1000), 106);
	assert_int_equal(bound_radius(&c, 3, 1000), 6);
	bound_publish(&c, 1000);
	assert_int_equal(c.howler.page.skew_ns, 136 + 106);
}

/* Published then, read later: no two cores are further apart, nor one from the truth. */
static void test_holds(void **state)
{
	for (unsigned seed = 0; seed < RANDOM; seed++) {
		struct random r = { seed };
		uint64_t now = 1000000000, later = now + (random_below(&r, 1ull << 40) >> random_below(&r, 40)), skew, drift;

		setup(state);
		atomic_store(&c.howler.carry_ns, 1000);
		for (unsigned i = 0; i < CORES; i++)
			put(i, random_below(&r, 1 << 20) >> random_below(&r, 20), now - random_below(&r, now),
			    (uint32_t)random_below(&r, 1 << 20) >> random_below(&r, 20), random_below(&r, 1001));
		c.howler.drift_ns = random_below(&r, 1 << 20);
		c.howler.drift_ppb = (uint32_t)random_below(&r, 1 << 20);
		bound_publish(&c, now);
		assert_true(bound_read(&c, later, &skew, &drift));
		for (unsigned i = 0; i < CORES; i++) {
			uint64_t mine = bound_radius(&c, i, later) - 1; /* its own rounding */

			for (unsigned k = 0; k < i; k++)
				if (skew < mine + bound_radius(&c, k, later) - 1)
					fail_msg("seed %u: cores %u and %u", seed, i, k);
			if (drift < mine + bound_aged(c.howler.drift_ns, 0, c.howler.drift_ppb, later) - 1)
				fail_msg("seed %u: core %u and the truth", seed, i);
		}
	}
}

static void test_version(void **state)
{
	uint64_t skew, drift;

	(void)state;
	assert_false(bound_read(&c, 0, &skew, &drift)); /* never written */
	put(0, 1, 1000, 1, 0);
	for (unsigned n = 1; n < 10; n++) {
		bound_publish(&c, 1000 * n);
		assert_int_equal(c.howler.page.version, 2 * n);
		assert_true(bound_read(&c, 1000 * n, &skew, &drift));
	}
	assert_string_equal(c.howler.page.policy, "howler");
	atomic_store(&c.howler.page.version, 19); /* being written */
	assert_false(bound_read(&c, 1000, &skew, &drift));
}

static void test_busy(void **state)
{
	(void)state;
	assert_true(bound_try(&c));
	assert_false(bound_try(&c));
	bound_done(&c);
	assert_true(bound_try(&c));
}

/* The guest's copy is a page like the other, as long as it wants one. */
static void test_guest_page(void **state)
{
	static _Alignas(64) struct bound_page page;

	(void)state;
	put(0, 1, 1000, 1, 0);
	bound_publish(&c, 1000);
	assert_true(bound_show(&c, &page));
	assert_int_equal(page.version, 2);
	assert_int_equal(page.at_ns, 1000);
	assert_string_equal(page.policy, "howler");
	assert_true(bound_try(&c)); /* bound_show has given it back */
	bound_publish(&c, 2000);
	bound_done(&c);
	assert_int_equal(page.version, 4);
	assert_int_equal(page.skew_ns, c.howler.page.skew_ns);
	assert_int_equal(page.at_ns, 2000);
	assert_true(bound_try(&c));
	assert_false(bound_show(&c, 0)); /* another core has it: it does not wait */
	bound_done(&c);
	assert_true(bound_show(&c, 0));
	bound_publish(&c, 3000);
	assert_int_equal(page.at_ns, 2000);
	assert_int_equal(c.howler.page.at_ns, 3000);
}

static void *write_on(void *over)
{
	for (uint64_t n = 1; n <= WRITES; n++) {
		bounds[0].radius_ns = n;
		bounds[1].radius_ns = n;
		bound_publish(&c, 1);
	}
	atomic_store((_Atomic bool *)over, true);
	return 0;
}

/* Read while it is written: all of one time, or not at all. */
static void test_consistent(void **state)
{
	static _Atomic bool over;
	pthread_t writer;
	uint64_t skew, drift;
	unsigned good = 0;

	(void)state;
	put(0, 1, 1, 0, 0);
	put(1, 1, 1, 0, 0);
	bound_publish(&c, 1);
	assert_int_equal(pthread_create(&writer, 0, write_on, &over), 0);
	for (bool last = false; !last;) {
		last = atomic_load(&over);
		if (!bound_read(&c, 1, &skew, &drift))
			continue;
		good++;
		if (skew - 1 != 2 * (drift - 2)) /* twice n + 1, and n + 1 and no drift */
			fail_msg("skew %llu of one time, drift %llu of another", (unsigned long long)skew, (unsigned long long)drift);
	}
	assert_int_equal(pthread_join(writer, 0), 0);
	assert_true(good > 0);
	assert_int_equal(skew, 2 * (WRITES + 1) + 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aged), cmocka_unit_test_setup(test_two_largest, setup),
		cmocka_unit_test_setup(test_carry, setup), cmocka_unit_test(test_holds),
		cmocka_unit_test_setup(test_version, setup), cmocka_unit_test_setup(test_busy, setup),
		cmocka_unit_test_setup(test_guest_page, setup), cmocka_unit_test_setup(test_consistent, setup),
	};

	return cmocka_run_group_tests_name("bound", tests, NULL, NULL);
}
