/* SPDX-License-Identifier: MIT */
#include "smp/counter.h"

#define STEPS 32u

void counter_start(struct counter *c, uint64_t (*read)(void), unsigned bits, uint32_t num, uint32_t den)
{
	c->read = read;
	c->mask = UINT64_MAX >> (64 - bits);
	c->num = num;
	c->den = den;
	c->start = read();
}

uint64_t counter_time(const struct counter *c, uint64_t shown, uint64_t near_ns)
{
	uint64_t near = (uint64_t)((unsigned __int128)near_ns * c->den / c->num), ahead = (shown - c->start - near) & c->mask;

	return counter_ns(c, near + ahead - (ahead > c->mask / 2 ? c->mask + 1 : 0));
}

uint64_t counter_ns(const struct counter *c, uint64_t counts)
{
	return (uint64_t)((unsigned __int128)counts * c->num / c->den);
}

uint64_t counter_step(const struct counter *c, unsigned polls)
{
	uint64_t last = c->read(), least = 0;

	/* A tight loop: any delay between two readings adds to the step. */
	for (unsigned steps = 0; steps < STEPS && polls; polls--) {
		uint64_t now = c->read(), step = (now - last) & c->mask;

		if (!step)
			continue;
		/* The first step may have begun before the first reading. */
		if (steps++ && (!least || step < least))
			least = step;
		last = now;
	}
	return least;
}
