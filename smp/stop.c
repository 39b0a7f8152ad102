/* SPDX-License-Identifier: MIT */
/*
 * The stopped machine: one core runs a function while every other online core
 * stands still at the top of its loop.
 *
 *   IDLE     nothing
 *   GATHER   asked to come; who is here still serves REQ_NOW, because a core that
 *            is not here yet may be in a resync and wait for just that
 *   STILL    all are here and serve nothing any more; when all said so, the
 *            function runs
 *
 * `state` is written by the core that stops the others (release) and read by
 * them (acquire): what happened before a state is seen by who sees the state.
 * Each of them says in a word of its own (release; acquire in all_in) to which
 * state it has come. Each stop has a number, so that nobody who is late to leave
 * one is taken for a part of the next.
 *
 * A core that is lost is not waited for. If it is the one that has stopped the others,
 * each leaves by itself, and the next stop takes `by` over: what the function was to do may
 * be half done then.
 */
#include "clock/port.h"
#include "smp/smp.h"

struct stop the_stop;

/* Has every other core come to that state, of those that are to? */
static bool all_in(void *arg)
{
	uint32_t state = *(uint32_t *)arg;

	for (unsigned i = 0; i < core_count; i++) {
		uint32_t in = atomic_load_explicit(&cores[i]->stop, memory_order_acquire);
		/* Who came when it gathered is a part of this stop. */
		bool part = state % STOP_NUMBER == STOP_GATHER ? clock_online(&the_clock, i) : (in ^ state) < STOP_NUMBER;

		if (i != this_core()->index && in != state && part && !core_lost(i))
			return false;
	}
	return true;
}

static void enter(uint32_t state)
{
	atomic_store_explicit(&the_stop.state, state, memory_order_release);
}

/* One stop at a time. Acquire: what the last one did; pairs with the release at its end. */
static bool begin(void *unused)
{
	uint32_t by = atomic_load_explicit(&the_stop.by, memory_order_relaxed);

	(void)unused;
	return (!by || core_lost(by - 1)) &&
	       atomic_compare_exchange_strong_explicit(&the_stop.by, &by, this_core()->index + 1, memory_order_acquire,
						       memory_order_relaxed);
}

void stop_run(void (*fn)(const struct stopped *, void *), void *arg)
{
	struct stopped proof = { .by = this_core()->index };

	wait_until(begin, 0, "stop: the last one to end", UINT32_MAX);
	uint32_t last = atomic_load_explicit(&the_stop.state, memory_order_relaxed);
	uint32_t number = last - last % STOP_NUMBER + STOP_NUMBER;
	uint32_t gather = number | STOP_GATHER, still = number | STOP_STILL;

	enter(gather);
	for (unsigned i = 0; i < core_count; i++)
		if (i != proof.by && clock_online(&the_clock, i))
			core_request(i, REQ_STOP);
	wait_until(all_in, &gather, "stop: gathering", UINT32_MAX);
	core_serve(); /* fn finds no core with something left to serve now */
	enter(still);
	wait_until(all_in, &still, "stop: standing still", UINT32_MAX);
	fn(&proof, arg);
	enter(number | STOP_IDLE);
	atomic_store_explicit(&the_stop.by, 0, memory_order_release);
}

/* Is that state over, or nobody there any more to end it? */
static bool past(void *state)
{
	uint32_t now = atomic_load_explicit(&the_stop.state, memory_order_acquire);
	uint32_t by = atomic_load_explicit(&the_stop.by, memory_order_relaxed);

	return now != *(uint32_t *)state || (by && core_lost(by - 1));
}

void stop_stand(void)
{
	uint32_t s = atomic_load_explicit(&the_stop.state, memory_order_acquire);

	while (s % STOP_NUMBER == STOP_STILL && !past(&s)) {
		core_watch();
		core_relax();
	}
}

void stop_join(void)
{
	_Atomic uint32_t *mine = &this_core()->stop;
	uint32_t s = atomic_load_explicit(&the_stop.state, memory_order_acquire);

	if (s % STOP_NUMBER != STOP_GATHER) /* who has asked was lost */
		return;
	atomic_store_explicit(mine, s, memory_order_release);
	wait_until(past, &s, "stop: joined", UINT32_MAX);
	core_serve(); /* what was asked before the last one came; nobody asks any more */
	atomic_store_explicit(mine, s - STOP_GATHER + STOP_STILL, memory_order_release);
	core_at("stop: still", 0);
	stop_stand();
	atomic_store_explicit(mine, 0, memory_order_release);
}
