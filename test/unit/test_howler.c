/* SPDX-License-Identifier: MIT */
/* sync=howler where the simulator doesn't go: timers that are slow or late, fall silent, or are none; a core that isn't as told. */
#include "unit.h"
#include "band.h"
#include "clock/howler_parts.h"
#include "port_fake.h"

enum { KHZ = 1000000, SEEDS = 60 }; /* a tick is a ns */

static struct clock c;
static struct clock_core one;
static uint64_t lasts_ns;

static uint64_t tsc(unsigned i)
{
	(void)i;
	return 1000;
}

/* The host takes the processor away while the timer is read, each time. */
static bool slow_timebase(uint64_t *ns, uint64_t *before, uint64_t *after)
{
	*ns = 500;
	*before = 1000;
	*after = 1000 + lasts_ns;
	return true;
}

static void test_slow_timebase(void **state)
{
	(void)state;
	clock_init(&c, policy_find("howler"), &one, 1, 0);
	c.howler.use_timebase = true;
	port_fake_core = 0;
	port_fake_tsc = tsc;
	port_fake_timebase = slow_timebase;
	one.tempo_khz = KHZ;
	line_start(&one.line, 0, 0, KHZ);
	atomic_store(&one.synced, 1);
	for (lasts_ns = 1; lasts_ns < 1ull << 40; lasts_ns *= 3) {
		howler_note(&c);
		assert_true(one.howler.out_base_known);
		assert_in_range(one.howler.out_base_early_ns, lasts_ns, lasts_ns + 2);
	}
}

static uint64_t reads, silent_from, silent_of;

/* It tells nothing from some reading on, or half of the time. */
static bool silent_timebase(uint64_t *ns, uint64_t *before, uint64_t *after)
{
	reads++;
	return (silent_of ? reads % silent_of < silent_of / 2 : reads < silent_from) && band_timebase(ns, before, after);
}

/* It shows a time of some time ago. */
static bool late_timebase(uint64_t *ns, uint64_t *before, uint64_t *after)
{
	bool told = band_timebase(ns, before, after);

	*ns -= random_below(&dice, port_fake_late_ns - 100);
	return told;
}

static void begin(uint64_t seed, bool (*timebase)(uint64_t *, uint64_t *, uint64_t *))
{
	port_fake_timebase = timebase;
	port_fake_late_ns = timebase == late_timebase ? 40000 : 101;
	reads = 0;
	band_begin(seed, "howler");
	band_settle();
}

static void sound(uint64_t seed)
{
	if (wrong[0])
		fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
}

/* How far the reference may be off the truth by now. */
static uint64_t drift_ns(void)
{
	uint64_t skew, drift;

	port_fake_core = clock_base(&band);
	assert_true(bound_read(&band, clock_now(&band), &skew, &drift));
	return drift;
}

static void storms(bool (*timebase)(uint64_t *, uint64_t *, uint64_t *), uint64_t most_ns)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		begin(seed, timebase);
		band_storm();
		band_settle();
		sound(seed);
		assert_true(readings > 1000 && drift_ns() < most_ns);
	}
}

static void test_sound(void **state)
{
	(void)state;
	storms(band_timebase, 1000); /* it is held to the timer, and says so */
}

static void test_none(void **state)
{
	(void)state;
	storms(NULL, UINT64_MAX);
}

static void test_silent(void **state)
{
	(void)state;
	for (silent_of = 8; silent_of < 100; silent_of *= 3)
		storms(silent_timebase, UINT64_MAX);
	silent_of = 0;
	for (silent_from = 3; silent_from < 200; silent_from *= 4)
		storms(silent_timebase, UINT64_MAX);
}

static void test_late(void **state)
{
	(void)state;
	storms(late_timebase, UINT64_MAX);
}

/* Without a timer only a core that had a line knows what has passed: one that is new waits for it, though it could begin at once. */
static void test_who_knows(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		begin(seed, NULL);
		band_stop(3, NONE);
		band_settle();
		for (unsigned i = 0; i < 3; i++)
			band_notice(i);
		while (clock_synced(&band, 0) || clock_synced(&band, 1) || clock_synced(&band, 2))
			band_pass_time();
		band_stop(NONE, 3);
		band_settle();
		sound(seed);
		assert_true(drift_ns() < 1000000);
	}
}

/* Half taken down, by a core that was lost then: core 1 is the joiner still, but has begun to meet nobody. */
static void test_still_joiner(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		begin(seed, band_timebase);
		band_stop(1, NONE);
		band_stop(NONE, 1);
		band.howler.joiner = 2;
		band_settle();
		sound(seed);
		assert_true(clock_synced(&band, 1));
	}
}

/* A core went quicker than it was told, and has shown what is still to come: it is out until the time has come. */
static void test_shown(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		uint64_t shown = 0;

		begin(seed, band_timebase);
		sound(seed);
		band_quicken(1);
		for (unsigned n = 0; n < 3000; n++)
			band_pass_time();
		band_notice(1);
		for (unsigned n = 0; n < 20000; n++) {
			band_pass_time();
			if (core[1].last_ns < shown)
				fail_msg("seed %llu: %llu ns back", (unsigned long long)seed, (unsigned long long)(shown - core[1].last_ns));
			shown = core[1].last_ns;
		}
		assert_true(clock_synced(&band, 1));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_timebase), cmocka_unit_test(test_sound), cmocka_unit_test(test_none),
		cmocka_unit_test(test_silent), cmocka_unit_test(test_late), cmocka_unit_test(test_who_knows), cmocka_unit_test(test_shown),
		cmocka_unit_test(test_still_joiner),
	};

	return cmocka_run_group_tests_name("howler", tests, NULL, NULL);
}
