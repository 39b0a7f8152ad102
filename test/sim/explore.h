/* SPDX-License-Identifier: MIT */
/* Ways through the schedules of one configuration. The configuration is in `sim`. */
#pragma once
#include "sim.h"

enum { SCHEDULE_MAX = 65536, DECISIONS_MAX = 64 /* of explore_all */ };

struct schedule {
	struct decision *decision;
	unsigned count;
	uint64_t order_seed; /* priorities of the cores; 0: by index */
};

/* One run, by this schedule and nothing else. */
void explore_replay(const struct schedule *s);
/*
 * One run with decisions drawn from `seed`: `few` decisions at random steps of
 * the first `length` (PCT), or, with few = 0, one in each `length` steps on
 * average. The decisions that were taken are left in *taken.
 */
void explore_random(uint64_t seed, unsigned few, uint64_t length, struct schedule *taken);
/*
 * All schedules with at most `bound` decisions. Calls found() at a violation,
 * true: go on. Returns how many schedules were run.
 */
uint64_t explore_all(unsigned bound, bool (*found)(const struct schedule *), uint64_t most);
/* Shorter, with the same kind of violation; the result replaces *s. */
void explore_shrink(struct schedule *s);

/* swarm.c: one run of the mix that this seed draws, which is told if asked for, or if it fails: false. The policy is in `sim`. */
bool swarm_run(uint64_t seed, bool tell, struct schedule *taken);
