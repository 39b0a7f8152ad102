/* SPDX-License-Identifier: MIT */
/* The storm, played against a machine of states alone: only what can happen, and all of it. */
#include "unit.h"
#include <string.h>
#include "clock/storm.h"

#define RAW_KHZ 2600000u

enum { CORES_MAX = 8, EVENTS = 400 };

static const char *const scenarios[] = { "storm", "calm", "tempo", "hotplug", "sparse", "still" };

/* What a machine answers: changes end, cores come and go, after some events each. */
struct machine {
	enum storm_core state[CORES_MAX];
	unsigned count, base, left[CORES_MAX]; /* events until the core is idle again; 0: it is */
	struct random random;
};

static bool is_up(enum storm_core s)
{
	return s == STORM_CORE_ONLINE || s == STORM_CORE_BUSY;
}

static void machine_begin(struct machine *m, uint64_t seed, bool some_offline)
{
	*m = (struct machine){ .random = { seed ^ 0x5eed } };
	m->count = 1 + (unsigned)random_below(&m->random, CORES_MAX);
	m->base = (unsigned)random_below(&m->random, m->count);
	for (unsigned i = 0; i < m->count; i++)
		m->state[i] = i == m->base || !some_offline || random_below(&m->random, 3) ? STORM_CORE_ONLINE :
			      random_below(&m->random, 2) ? STORM_CORE_OFFLINE : STORM_CORE_ABSENT;
}

/* NULL, or what is wrong with the event; then it has happened. */
static const char *play(struct machine *m, const struct storm_event *e, bool hotplug_busy)
{
	unsigned up = 0, next = m->count;

	if (e->core >= m->count || e->kind >= STORM_KINDS)
		return "no such core or kind";
	for (unsigned i = 0; i < m->count; i++) {
		up += is_up(m->state[i]);
		if (i != e->core && is_up(m->state[i]) && next == m->count)
			next = i;
	}
	switch (e->kind) {
	case STORM_TEMPO:
		if (m->state[e->core] != STORM_CORE_ONLINE)
			return "a tempo change on a core that is busy or not there";
		if (e->khz < RAW_KHZ / 4 || e->khz >= RAW_KHZ / 2 * 3)
			return "a tempo out of range";
		if (e->effect_ns < 2000 || e->after_ns < 2000 || e->effect_ns >= 100000 || e->after_ns >= 100000)
			return "a phase out of range";
		m->state[e->core] = STORM_CORE_BUSY;
		m->left[e->core] = 1 + (unsigned)random_below(&m->random, 6);
		return NULL;
	case STORM_OFFLINE:
		if (hotplug_busy || !is_up(m->state[e->core]) || up < 2)
			return "the last core leaves, or one that is not there, or two at a time";
		m->state[e->core] = STORM_CORE_OFFLINE;
		if (e->core == m->base)
			m->base = next;
		return NULL;
	default:
		if (hotplug_busy || m->state[e->core] != STORM_CORE_OFFLINE)
			return "a core returns that did not leave, or two at a time";
		m->state[e->core] = STORM_CORE_ONLINE;
		return NULL;
	}
}

static void pass_time(struct machine *m)
{
	for (unsigned i = 0; i < m->count; i++)
		if (m->state[i] == STORM_CORE_BUSY && m->left[i]-- <= 1)
			m->state[i] = STORM_CORE_ONLINE;
}

/* Plays a storm; counts kinds, [STORM_KINDS]: base leaves, and gives a number that tells storms apart. */
static uint64_t run(const char *scenario, uint64_t seed, uint64_t machine, unsigned *kinds)
{
	struct machine m;
	struct storm s;
	struct storm_event e;
	uint64_t hash = 1;

	machine_begin(&m, machine, !!strcmp(scenario, "still"));
	storm_start(&s, scenario, seed, RAW_KHZ);
	for (unsigned i = 0; i < EVENTS; i++) {
		unsigned base = m.base;
		bool busy = !random_below(&m.random, 4), happens;
		const char *wrong = NULL;

		memset(&e, 0xee, sizeof(e));
		happens = storm_next(&s, m.state, m.count, m.base, busy, &e);
		if (happens)
			wrong = play(&m, &e, busy);
		if (wrong)
			fail_msg("%s, seed %llu, event %u: %s (kind %d, core %u of %u, base %u)", scenario,
				 (unsigned long long)seed, i, wrong, e.kind, e.core, m.count, base);
		if (happens) {
			kinds[e.kind]++;
			kinds[STORM_KINDS] += e.kind == STORM_OFFLINE && e.core == base;
			hash = (hash ^ e.kind ^ e.core << 8 ^ e.khz ^ (uint64_t)e.effect_ns << 32 ^ e.after_ns) *
			       0x100000001b3;
		}
		hash = (hash ^ storm_gap_ns(&s)) * 0x100000001b3;
		pass_time(&m);
	}
	return hash;
}

static void test_valid(void **state)
{
	(void)state;
	for (unsigned k = 0; k < sizeof(scenarios) / sizeof(scenarios[0]); k++) {
		unsigned kinds[STORM_KINDS + 1] = { 0 };
		bool tempo = !strcmp(scenarios[k], "tempo"), still = !strcmp(scenarios[k], "still");
		struct storm s;

		for (uint64_t seed = 0; seed < 2000; seed++)
			run(scenarios[k], seed, seed, kinds);
		assert_int_equal(!kinds[STORM_TEMPO], still);
		assert_int_equal(!kinds[STORM_OFFLINE], tempo || still);
		assert_int_equal(!kinds[STORM_KINDS], tempo || still);
		storm_start(&s, scenarios[k], 1, RAW_KHZ);
		assert_int_equal(storm_still(&s), still);
		if (tempo || still)
			assert_int_equal(kinds[STORM_ONLINE], 0);
		else
			assert_true(kinds[STORM_ONLINE] > 100);
	}
}

static void test_same_seed(void **state)
{
	unsigned kinds[STORM_KINDS + 1] = { 0 };
	uint64_t last = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		uint64_t hash = run("storm", seed, 8, kinds);

		if (hash != run("storm", seed, 8, kinds))
			fail_msg("seed %llu: another storm the second time", (unsigned long long)seed);
		if (hash == last)
			fail_msg("seed %llu: the storm of the seed before", (unsigned long long)seed);
		last = hash;
	}
}

/* Pauses within their bounds; bursts, but none in "calm". */
static void test_gaps(void **state)
{
	static const struct { const char *scenario; uint32_t max; bool bursts; } rows[] = {
		{ "storm", 2000000, true }, { "calm", 5000000, false }, { "tempo", 1000000, true },
		{ "hotplug", 2000000, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct storm s;
		unsigned small = 0, run_length = 0, longest = 0;

		storm_start(&s, rows[i].scenario, 7, RAW_KHZ);
		for (unsigned n = 0; n < 10000; n++) {
			uint32_t gap = storm_gap_ns(&s);

			assert_true(gap < rows[i].max);
			small += gap < 60000;
			run_length = gap < 60000 ? run_length + 1 : 0;
			longest = run_length > longest ? run_length : longest;
		}
		if (rows[i].bursts)
			assert_in_range(small, 2000, 9000);
		else
			assert_in_range(small, 1, 500);
		assert_int_equal(longest > 5, rows[i].bursts);
	}
}

/* A core that is alone is never told to leave; one whose only core is busy has no event. */
static void test_alone(void **state)
{
	enum storm_core lonely[3] = { STORM_CORE_ABSENT, STORM_CORE_ONLINE, STORM_CORE_ABSENT };
	struct storm_event e;
	struct storm s;

	(void)state;
	storm_start(&s, "hotplug", 3, RAW_KHZ);
	for (unsigned i = 0; i < 1000; i++)
		if (storm_next(&s, lonely, 3, 1, false, &e))
			assert_int_equal(e.kind, STORM_TEMPO);
	lonely[1] = STORM_CORE_BUSY;
	for (unsigned i = 0; i < 1000; i++)
		assert_false(storm_next(&s, lonely, 3, 1, false, &e));
}

static void test_known(void **state)
{
	(void)state;
	for (unsigned k = 0; k < sizeof(scenarios) / sizeof(scenarios[0]); k++)
		assert_non_null(storm_find(scenarios[k]));
	assert_null(storm_find(""));
	assert_null(storm_find("stor"));
	assert_null(storm_find("storms"));
	assert_null(storm_find("Storm"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid), cmocka_unit_test(test_same_seed), cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_alone), cmocka_unit_test(test_known),
	};

	return cmocka_run_group_tests_name("storm", tests, NULL, NULL);
}
