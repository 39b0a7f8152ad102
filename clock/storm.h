/* SPDX-License-Identifier: MIT */
/*
 * What the unseen conductor does, drawn from a seed: which core changes its
 * tempo, leaves or comes back, when, and how long each phase takes. Pure: the
 * same seed and the same answers of the machine give the same storm.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "clock/random.h"

enum storm_kind { STORM_TEMPO, STORM_OFFLINE, STORM_ONLINE, STORM_KINDS };

struct storm_event {
	enum storm_kind kind;
	unsigned core;
	uint32_t khz;       /* STORM_TEMPO: the new tempo */
	uint32_t effect_ns; /* ... takes effect this long after the notice before was served, */
	uint32_t after_ns;  /* ... and the notice after comes this long after that */
};

/* A core as the storm sees it. */
enum storm_core { STORM_CORE_ABSENT, STORM_CORE_ONLINE, STORM_CORE_BUSY, STORM_CORE_OFFLINE };

struct storm {
	struct random random;
	const struct storm_scenario *scenario;
	uint32_t raw_khz;
	uint32_t burst_left; /* events still to come without a pause */
	bool base_leaves;    /* the next event takes the base down, in its resync */
};

/* The scenario of that name, or NULL. */
const struct storm_scenario *storm_find(const char *name);

/* `scenario` must be one. Tempos are drawn between raw_khz / 4 and raw_khz * 3 / 2. */
void storm_start(struct storm *s, const char *scenario, uint64_t seed, uint32_t raw_khz);

/* Does nothing ever happen in this scenario? Then every core keeps the raw TSC's rate. */
bool storm_still(const struct storm *s);

/* How long to wait before the next event, ns. */
uint32_t storm_gap_ns(struct storm *s);

/*
 * The next event, given the state of each core and the base. BUSY: online, with
 * a tempo change in flight: it may leave, but not change again. False: nothing
 * can happen now; ask again when a change is over.
 */
bool storm_next(struct storm *s, const enum storm_core *state, unsigned count, unsigned base,
		bool hotplug_busy, struct storm_event *e);
