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
		/* A late answer to an abandoned round says nothing about this one: wait on. */
		if (!port_await_change(&x->answer, old))
			return false;
		/* Read which answer it is, then stamp: an answer after the stamp must not be paired with it. */
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
	/* Read which question it is, then stamp: a question after the stamp must not be paired with it. */
	uint32_t n = atomic_load_explicit(&x->ask, memory_order_acquire);
	/* Plain stores: the follower waits for this answer, and reads no line now. */
	if (line && x->line_tag != tag) {
		x->line = *line;
		x->line_tag = tag;
	}
	uint64_t tsc = port_tsc();
	atomic_store_explicit(&x->answer_tsc, tsc, memory_order_relaxed);
	atomic_store_explicit(&x->answer, n, memory_order_release);
	return true;
}
