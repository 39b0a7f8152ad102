/* SPDX-License-Identifier: MIT */
/*
 * Cores that are late, deaf or dead: drawn from the seed and timed by each core's own
 * steps, so that most faults stay in place while a schedule is shortened.
 */
#include "sim.h"

#include <stdlib.h>

enum {
	MEAN_STEPS = 6000,             /* of a core's own steps between its faults */
	NEAR_ODDS = 16, NEAR_STEPS = 48, /* 1 in NEAR_ODDS: a fault soon after a core takes what others may wait for */
	SHORTEST_NS = 50, DOUBLINGS = 23, LONGEST_NS = 300000000,
	DEAD_ODDS = 4,
};
/* Half of those that die come back within that, if they are not fenced by then. */
#define AS_GOOD_AS_DEAD_NS 10000000000ull

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

/* Log-uniform. */
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

	if (sim.sick & SICK_DEAD && !random_below(&s->random, DEAD_ODDS)) {
		bool for_good = random_below(&s->random, 2);

		ns = for_good ? NEVER : random_below(&s->random, AS_GOOD_AS_DEAD_NS);
		if (!conductor_can_spare((unsigned)sim.current))
			return;
		sim_log("is dead%s", for_good ? "" : ", or very late");
		sim_late(ns);
	} else if (conductor_done()) {
		return; /* all events are over: let everything come to rest */
	} else if (sim.sick & SICK_LATE && (!(sim.sick & SICK_DEAF) || random_below(&s->random, 2))) {
		sim_log("is late for %lu ns", (unsigned long)ns);
		sim_late(ns);
	} else if (sim.sick & SICK_DEAF) {
		sim_log("is deaf for %lu ns", (unsigned long)ns);
		sim_deaf(ns);
	}
}

void sick_near(void)
{
	struct sick *s = &sick[sim.current];

	if (random_below(&s->random, NEAR_ODDS))
		return;
	uint64_t at = s->steps + 1 + random_below(&s->random, NEAR_STEPS);

	s->next = at < s->next ? at : s->next;
}
