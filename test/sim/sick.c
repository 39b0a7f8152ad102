/* SPDX-License-Identifier: MIT */
/*
 * Cores that are late or deaf, drawn from the seed and counted by each core's own
 * steps, so that most of it stays where it is while a schedule is shortened.
 */
#include "sim.h"

#include <stdlib.h>

enum {
	MEAN_STEPS = 6000,             /* of a core's own, from one to the next */
	NEAR_ODDS = 16, NEAR_STEPS = 48, /* who takes what others may wait for is late while it has it: one in so many times */
	SHORTEST_NS = 50, DOUBLINGS = 23, LONGEST_NS = 300000000,
};

static struct sick {
	struct random random;
	uint64_t steps, next;
} sick[CORES_MAX];

void sick_reset(void)
{
	for (unsigned i = 0; sim.sick && i < sim.cores; i++) {
		sick[i] = (struct sick){ .random.state = sim.seed ^ 0x7369636b ^ (uint64_t)i << 40 };
		sick[i].next = 1 + random_below(&sick[i].random, 2 * MEAN_STEPS);
	}
}

/* As often of any order of magnitude as of any other. */
static uint64_t length_ns(struct random *r)
{
	uint64_t ns = (uint64_t)SHORTEST_NS << random_below(r, DOUBLINGS);

	ns += random_below(r, ns);
	return ns < LONGEST_NS ? ns : LONGEST_NS;
}

void sick_step(void)
{
	struct sick *s = &sick[sim.current];

	if (++s->steps < s->next)
		return;
	s->next = s->steps + 1 + random_below(&s->random, 2 * MEAN_STEPS);
	uint64_t ns = length_ns(&s->random);
	bool late = sim.sick & SICK_LATE && (!(sim.sick & SICK_DEAF) || random_below(&s->random, 2));

	sim_log("is %s for %lu ns", late ? "late" : "deaf", (unsigned long)ns);
	if (late)
		sim_late(ns);
	else
		sim_deaf(ns);
}

void sick_near(void)
{
	struct sick *s = &sick[sim.current];

	if (random_below(&s->random, NEAR_ODDS))
		return;
	uint64_t at = s->steps + 1 + random_below(&s->random, NEAR_STEPS);

	s->next = at < s->next ? at : s->next;
}
