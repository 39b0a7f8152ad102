/* SPDX-License-Identifier: MIT */
#include "clock/storm.h"

#include "clock/port.h"

struct storm_scenario {
	const char *name;
	/* odds, of 100: tempo of the base, of another core, base leaves, other leaves, one returns */
	uint8_t tempo_base, tempo_other, base_leaves, other_leaves, returns;
	uint8_t bursts;       /* odds of 100 that an event begins a burst */
	uint32_t gap_ns_max;  /* pause between bursts */
};

enum { BURST_MAX = 6, BURST_GAP_NS_MAX = 60000, PHASE_NS_MAX = 100000, PHASE_NS_MIN = 2000 };

static const struct storm_scenario scenarios[] = {
	{ "storm",   32, 34, 8, 8, 18, 40, 2000000 },
	{ "calm",    20, 30, 10, 15, 25, 0, 5000000 },
	{ "tempo",   45, 55, 0, 0, 0, 60, 1000000 },
	{ "hotplug", 5, 5, 25, 25, 40, 20, 2000000 },
	{ "sparse",  20, 30, 10, 15, 25, 0, 200000000 }, /* most of the time nothing happens: much is read */
	{ "still",   0, 0, 0, 0, 0, 0, 1000000 }, /* no events: for measuring what things cost */
};

const struct storm_scenario *storm_find(const char *name)
{
	for (unsigned i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		if (!strcmp(scenarios[i].name, name))
			return &scenarios[i];
	return 0;
}

bool storm_still(const struct storm *s)
{
	return !s->scenario->tempo_base && !s->scenario->returns;
}

void storm_start(struct storm *s, const char *scenario, uint64_t seed, uint32_t raw_khz)
{
	*s = (struct storm){
		.random = { .state = seed },
		.scenario = storm_find(scenario),
		.raw_khz = raw_khz,
	};
	CLOCK_CHECK(s->scenario);
}

uint32_t storm_gap_ns(struct storm *s)
{
	if (s->burst_left) {
		s->burst_left--;
		return (uint32_t)random_below(&s->random, BURST_GAP_NS_MAX);
	}
	if (random_below(&s->random, 100) < s->scenario->bursts)
		s->burst_left = 1 + (uint32_t)random_below(&s->random, BURST_MAX);
	return (uint32_t)random_below(&s->random, s->scenario->gap_ns_max);
}

/* One of the cores in `state`, other than `except`; -1: there is none. */
static int pick(struct storm *s, const enum storm_core *state, unsigned count, unsigned wanted_mask, unsigned except)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count; i++)
		n += i != except && (wanted_mask >> state[i] & 1);
	if (!n)
		return -1;
	n = (unsigned)random_below(&s->random, n);
	for (unsigned i = 0;; i++)
		if (i != except && (wanted_mask >> state[i] & 1) && n-- == 0)
			return (int)i;
}

static uint32_t phase_ns(struct storm *s)
{
	return PHASE_NS_MIN + (uint32_t)random_below(&s->random, PHASE_NS_MAX - PHASE_NS_MIN);
}

static struct storm_event event(struct storm *s, enum storm_kind kind, unsigned core)
{
	struct storm_event e = { .kind = kind, .core = core };
	uint32_t low = s->raw_khz / 4, high = s->raw_khz + s->raw_khz / 2;

	if (kind == STORM_TEMPO) {
		e.khz = low + (uint32_t)random_below(&s->random, high - low);
		e.effect_ns = phase_ns(s);
		e.after_ns = phase_ns(s);
	}
	return e;
}

bool storm_next(struct storm *s, const enum storm_core *state, unsigned count, unsigned base,
		bool hotplug_busy, struct storm_event *e)
{
	const struct storm_scenario *o = s->scenario;
	const unsigned idle = 1u << STORM_CORE_ONLINE, up = idle | 1u << STORM_CORE_BUSY;
	const unsigned down = 1u << STORM_CORE_OFFLINE;
	bool alone = true;

	for (unsigned i = 0; i < count; i++)
		alone = alone && (i == base || !(up >> state[i] & 1));
	bool leaves = s->base_leaves && !alone && !hotplug_busy;
	s->base_leaves = false;
	if (leaves) {
		*e = event(s, STORM_OFFLINE, base);
		return true;
	}
	/* What was drawn may be impossible now. If none of a few draws is possible, nothing is. */
	for (unsigned draw = 0; draw < 8; draw++) {
		unsigned odds = (unsigned)random_below(&s->random, 100);
		enum storm_kind kind = STORM_OFFLINE;
		int core = -1;

		if (odds < o->tempo_base) {
			kind = STORM_TEMPO;
			core = state[base] == STORM_CORE_ONLINE ? (int)base : -1;
			/* Now and then the base leaves while its change, or the resync after it, lasts. */
			s->base_leaves = core >= 0 && o->base_leaves && random_below(&s->random, 100) < 20;
		} else if ((odds -= o->tempo_base) < o->tempo_other) {
			kind = STORM_TEMPO;
			core = pick(s, state, count, idle, base);
		} else if (hotplug_busy) {
			continue;
		} else if ((odds -= o->tempo_other) < o->base_leaves) {
			core = alone ? -1 : (int)base;
		} else if ((odds -= o->base_leaves) < o->other_leaves) {
			core = pick(s, state, count, up, base);
		} else if (o->returns) {
			kind = STORM_ONLINE;
			core = pick(s, state, count, down, count);
		}
		if (core >= 0) {
			*e = event(s, kind, (unsigned)core);
			return true;
		}
	}
	return false;
}
