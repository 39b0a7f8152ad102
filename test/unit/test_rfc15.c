/* SPDX-License-Identifier: MIT */
/* sync=rfc15: any sequence of notices, take-downs and bring-ups settles, and no reading goes back. */
#include "unit.h"
#include "band.h"
#include "port_fake.h"

static uint64_t seed;

static void settle(void)
{
	band_settle();
	if (wrong[0])
		fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
}

static void test_random(void **state)
{
	(void)state;
	for (uint64_t s = 1; s <= 500; s++) {
		seed = s;
		band_begin(seed, "rfc15");
		band_storm();
		settle();
	}
}

/* What is asked of a core that is not the base, or not fit to lead, changes nothing. */
static void test_refused(void **state)
{
	unsigned round;

	(void)state;
	seed = 1;
	band_begin(seed, "rfc15");
	settle();
	round = atomic_load(&band.round);
	port_fake_core = 1;
	assert_int_equal(band.policy->resync(&band), CLOCK_NOT_BASE);
	assert_int_equal(band.policy->lead(&band), CLOCK_NOT_BASE);
	port_fake_core = 0;
	clock_serve(&band, REQ_EVICT); /* late: a request for a round before that, which was broken off */
	assert_true(clock_synced(&band, 0));
	atomic_store(&clock_core[0].notice_khz, RAW_KHZ);
	clock_serve(&band, REQ_BEFORE);
	assert_false(clock_synced(&band, 0));
	assert_int_equal(band.policy->resync(&band), CLOCK_DONE);
	assert_int_equal(atomic_load(&band.round), round);
	for (unsigned i = 0; i < CORES; i++)
		assert_int_equal(port_fake_take(i, ~0u), 0);
	clock_serve(&band, REQ_AFTER);
	assert_int_equal(port_fake_take(0, ~0u), REQ_RESYNC);
	assert_int_equal(band.policy->resync(&band), CLOCK_NOT_YET);
	assert_int_equal(port_fake_take(1, ~0u), REQ_EVICT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused), cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("rfc15", tests, NULL, NULL);
}
