/* SPDX-License-Identifier: MIT */
/* sync=howler where the world is slow: a time of seconds is not cut to 32 bits of ns. */
#include "unit.h"
#include "clock/howler_parts.h"
#include "port_fake.h"

enum { KHZ = 1000000 }; /* a tick is a ns */

static struct clock c;
static struct clock_core core;
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
	clock_init(&c, policy_find("howler"), &core, 1, 0);
	c.howler.use_timebase = true;
	port_fake_core = 0;
	port_fake_tsc = tsc;
	port_fake_timebase = slow_timebase;
	core.tempo_khz = KHZ;
	line_start(&core.line, 0, 0, KHZ);
	atomic_store(&core.synced, 1);
	for (lasts_ns = 1; lasts_ns < 1ull << 40; lasts_ns *= 3) {
		howler_note(&c);
		assert_true(core.howler.out_base_known);
		assert_in_range(core.howler.out_base_early_ns, lasts_ns, lasts_ns + 2);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_timebase),
	};

	return cmocka_run_group_tests_name("howler", tests, NULL, NULL);
}
