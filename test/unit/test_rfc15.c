/* SPDX-License-Identifier: MIT */
/* sync=rfc15: any sequence of notices, take-downs and bring-ups settles, and no reading goes back. */
#include "unit.h"
#include "band.h"
#include "port_fake.h"

enum { EVENTS = 25, SETTLE_STEPS = 60000 };

static uint64_t seed;

static void event(void)
{
	unsigned i = (unsigned)random_below(&dice, CORES), up = 0;

	for (unsigned k = 0; k < CORES; k++)
		up += band_online(k);
	if (!band_online(i)) {
		band_stop(NONE, i);
	} else if (up > 1 && !random_below(&dice, 4)) {
		band_stop(i, NONE);
	} else if (!core[i].noticed) {
		band_notice(i);
	} else if (!random_below(&dice, 4)) {
		port_request(i, REQ_RESYNC); /* whether it is the base or not */
	}
}

/* NULL: all online cores are synchronised, of one generation, and nobody is asked for anything. */
static const char *unsettled(void)
{
	for (unsigned i = 0; i < CORES; i++) {
		if (!band_online(i))
			continue;
		if (core[i].mode || core[i].noticed)
			return "at work";
		if (!clock_synced(&band, i))
			return "a core is not synchronised";
		if (atomic_load(&clock_core[i].generation) != atomic_load(&band.generation))
			return "a core was missed by the last resync";
	}
	return NULL;
}

static void settle(void)
{
	unsigned settled = 0;

	for (unsigned steps = 0; settled < 500 && steps < SETTLE_STEPS && !wrong[0]; steps++) {
		band_pass_time();
		settled = unsettled() ? 0 : settled + 1;
	}
	if (settled < 500)
		band_complain(unsettled(), NONE);
	if (wrong[0])
		fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
}

static void test_random(void **state)
{
	(void)state;
	for (uint64_t s = 1; s <= 500; s++) {
		seed = s;
		band_begin(seed, "rfc15");
		for (unsigned n = 0; n < EVENTS && !wrong[0]; n++) {
			for (uint64_t k = random_below(&dice, random_below(&dice, 3) ? 60 : 3000); k; k--)
				band_pass_time();
			event();
		}
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
