/* SPDX-License-Identifier: MIT */
#include "smp/counter.h"

#define STEPS 32u

void counter_start(struct counter *c, uint64_t (*read)(void), unsigned bits, uint32_t num, uint32_t den)
{
	c->read = read;
	c->mask = UINT64_MAX >> (64 - bits);
	c->num = num;
	c->den = den;
	c->start = read() & c->mask;
	atomic_init(&c->seen, c->start);
}

uint64_t counter_read(struct counter *c)
{
	uint64_t again = atomic_load_explicit(&c->seen, memory_order_acquire), seen, now;

	/* Loads stay in order, also around I/O and uncached ones (SDM vol. 3, 8.2.2, 11.3). */
	do {
		seen = again;
		now = seen + ((c->read() - seen) & c->mask);
		again = atomic_load_explicit(&c->seen, memory_order_acquire);
	} while (again != seen);
	if (now - seen > c->mask / 4)
		atomic_compare_exchange_strong_explicit(&c->seen, &seen, now, memory_order_release,
							memory_order_relaxed);
	return now - c->start;
}

uint64_t counter_ns(const struct counter *c, uint64_t counts)
{
	return (uint64_t)((unsigned __int128)counts * c->num / c->den);
}

uint64_t counter_step(const struct counter *c, unsigned polls)
{
	uint64_t last = c->read(), least = 0;

	/* As quick as can be: what passes between two readings counts as a step. */
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
