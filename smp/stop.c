/* SPDX-License-Identifier: MIT */
/*
 * The stopped machine: one core runs a function while every other online core
 * stands still at the top of its loop. Four states, one counter.
 *
 *   IDLE     nothing
 *   GATHER   asked to come; who is here still serves REQ_NOW, because a core that
 *            is not here yet may be in a resync and wait for just that
 *   STILL    all are here and serve nothing any more; when all said so, the
 *            function runs
 *   RELEASE  go on; when all have left: IDLE
 *
 * `state` is written by the core that stops the others (release) and read by
 * them (acquire): what happened before a state is seen by who sees the state.
 * `here` counts the others into each state. One stop at a time: there is one
 * conductor, and if it moved in a stop it waits until that one has ended.
 */
#include "clock/port.h"
#include "smp/smp.h"

struct stop the_stop;

static bool all_here(void *others)
{
	return atomic_load_explicit(&the_stop.here, memory_order_acquire) == *(unsigned *)others;
}

static void enter(enum stop_state s)
{
	atomic_store_explicit(&the_stop.here, 0, memory_order_relaxed);
	atomic_store_explicit(&the_stop.state, s, memory_order_release);
}

/* How many cores other than this one are online; asks each of them. */
static unsigned ask_others(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < core_count; i++)
		if (i != this_core()->index && atomic_load_explicit(&the_clock.core[i].online, memory_order_relaxed)) {
			core_request(i, REQ_STOP);
			n++;
		}
	return n;
}

static bool idle(void *unused)
{
	(void)unused;
	return atomic_load_explicit(&the_stop.state, memory_order_acquire) == STOP_IDLE;
}

void stop_run(void (*fn)(const struct stopped *, void *), void *arg)
{
	struct stopped proof = { .by = this_core()->index };

	wait_until(idle, 0, "stop: the last one to end", UINT32_MAX);
	enter(STOP_GATHER);
	unsigned others = ask_others();
	wait_until(all_here, &others, "stop: gathering", UINT32_MAX);
	core_serve(); /* fn finds no core with something left to serve now */
	enter(STOP_STILL);
	wait_until(all_here, &others, "stop: standing still", UINT32_MAX);
	fn(&proof, arg);
	enter(STOP_RELEASE);
	wait_until(all_here, &others, "stop: release", UINT32_MAX);
	enter(STOP_IDLE);
}

static bool past(void *s)
{
	return atomic_load_explicit(&the_stop.state, memory_order_acquire) != *(enum stop_state *)s;
}

void stop_join(void)
{
	enum stop_state s = STOP_GATHER;

	atomic_fetch_add_explicit(&the_stop.here, 1, memory_order_release);
	wait_until(past, &s, "stop: joined", UINT32_MAX);
	core_serve(); /* what was asked before the last one came; nobody asks any more */
	atomic_fetch_add_explicit(&the_stop.here, 1, memory_order_release);
	core_at("stop: still", 0);
	while (atomic_load_explicit(&the_stop.state, memory_order_acquire) == STOP_STILL)
		core_relax();
	atomic_fetch_add_explicit(&the_stop.here, 1, memory_order_release);
}
