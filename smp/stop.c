/* SPDX-License-Identifier: MIT */
/*
 * The stopped machine: one core runs a function while every other online core
 * stands still at the top of its loop.
 *
 *   IDLE     nothing
 *   GATHER   all are asked to come; those here still serve REQ_NOW, because a
 *            core that is not here yet may be in a resync that waits for that
 *   STILL    all are here and serve nothing any more; when all have said so,
 *            the function runs
 *
 * `state` is written by the stopping core (release) and read by the others
 * (acquire), so a core that sees a state sees what happened before it. Each of
 * the others acknowledges a state in its own word, core.stop (release; acquire in
 * all_in). Stops are numbered, so that a core that is late to leave one stop is
 * not taken for a participant of the next.
 *
 * A lost core is not waited for. If the stopping core itself is lost, the others leave by
 * themselves, and the next stop takes `by` over: the function's work may be half done then.
 */
#include "clock/port.h"
#include "smp/smp.h"

struct stop the_stop;

/* Has every other core that takes part reached that state? */
static bool all_in(void *arg)
{
	uint32_t state = *(uint32_t *)arg;

	for (unsigned i = 0; i < core_count; i++) {
		uint32_t in = atomic_load_explicit(&cores[i]->stop, memory_order_acquire);
		/* GATHER: each online core takes part. STILL: each core that joined this stop, by its number. */
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

/* One stop at a time. The acquire pairs with the release at the end of the last one. */
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
	core_serve(); /* so that fn finds no core with REQ_NOW pending */
	enter(still);
	wait_until(all_in, &still, "stop: standing still", UINT32_MAX);
	fn(&proof, arg);
	enter(number | STOP_IDLE);
	atomic_store_explicit(&the_stop.by, 0, memory_order_release);
}

/* Is that state over, or is the core lost that would end it? */
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
	core_serve(); /* what was requested before the last core came; from here on nothing is */
	atomic_store_explicit(mine, s - STOP_GATHER + STOP_STILL, memory_order_release);
	core_at("stop: still", 0);
	stop_stand();
	atomic_store_explicit(mine, 0, memory_order_release);
}
