/* SPDX-License-Identifier: MIT */
/* Explores the schedules of one configuration, which is in `sim`. */
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
 * average. *taken gets the decisions made.
 */
void explore_random(uint64_t seed, unsigned few, uint64_t length, struct schedule *taken);
/*
 * All schedules with at most `bound` decisions. Calls found() at a violation,
 * true: go on. Returns how many schedules were run.
 */
uint64_t explore_all(unsigned bound, bool (*found)(const struct schedule *), uint64_t most);
/* Replaces *s by a shorter schedule with the same kind of violation. */
void explore_shrink(struct schedule *s);

/* swarm.c: a run of this seed's mix, with the policy in `sim`. False: it failed. Prints the mix then, or if `tell`. */
bool swarm_run(uint64_t seed, bool tell, struct schedule *taken);
