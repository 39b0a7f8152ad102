/* SPDX-License-Identifier: MIT */
#include "clock/exchange.h"

#include "clock/port.h"

void exchange_begin(struct exchange *x)
{
	x->rounds = 0;
	x->best_rtt = UINT64_MAX;
}

bool exchange_round(struct exchange *x)
{
	uint32_t n = atomic_load_explicit(&x->ask, memory_order_relaxed) + 1;
	uint32_t old = atomic_load_explicit(&x->answer, memory_order_relaxed);

	uint64_t before = port_tsc();
	atomic_store_explicit(&x->ask, n, memory_order_release);
	uint64_t after;
	do {
		/* A late answer to a round that was given up says nothing about this one: wait on. */
		if (!port_await_change(&x->answer, old))
			return false;
		/* Which answer it is before the stamp: one that comes later was not stamped by then. */
		old = atomic_load_explicit(&x->answer, memory_order_acquire);
		after = port_tsc();
	} while (old != n);
	x->rounds++;
	x->before = before;
	x->after = after;
	x->leader = atomic_load_explicit(&x->answer_tsc, memory_order_relaxed);
	if (after - before < x->best_rtt) {
		x->best_round = x->rounds;
		x->best_rtt = after - before;
		x->best_before = before;
		x->best_leader = x->leader;
	}
	return true;
}

bool exchange_answer_on(struct exchange *x, const struct line *line, uint64_t tag)
{
	uint32_t old = atomic_load_explicit(&x->answer, memory_order_relaxed);

	if (!port_await_change(&x->ask, old))
		return false;
	/* Which question is read before the stamp: one asked after it must not get it. */
	uint32_t n = atomic_load_explicit(&x->ask, memory_order_acquire);
	/* The follower waits for this answer: it looks at no line now. */
	if (line && x->line_tag != tag) {
		x->line = *line;
		x->line_tag = tag;
	}
	uint64_t tsc = port_tsc();
	atomic_store_explicit(&x->answer_tsc, tsc, memory_order_relaxed);
	atomic_store_explicit(&x->answer, n, memory_order_release);
	return true;
}
