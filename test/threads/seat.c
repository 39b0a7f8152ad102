/* SPDX-License-Identifier: MIT */
/* What hv/conduct.c asks for: it conducts from a core, as on metal. */
#include <pthread.h>
#include <stdio.h>

#include "threads.h"

struct options options;
bool vmx_usable;

/* Exact: raw ticks are ns here. */
struct truth the_truth = { .lo = 1000000000000, .hi = 1000000000000 };

void timebase_look(uint64_t now_raw)
{
	(void)now_raw;
}

void console_poll(void)
{
}

void trap_tell(void)
{
}

void report_event(const struct event_record *e)
{
	(void)e;
}

bool guest_foreign(void)
{
	return false;
}

unsigned guest_lost(void)
{
	return 0;
}

const char *guest_stuck(void)
{
	return 0;
}

void report_decision(unsigned core, const struct trace_record *r)
{
	(void)core, (void)r;
}

/* On the seat, at the top of its loop, to which it does not return. */
_Noreturn void report_end(const char *failure)
{
	struct core *me = this_core();

	if (failure)
		panic("%s", failure);
	while (!world_synced())
		CHECK(sync_turn());
	world_end();
	atomic_store_explicit(&me->state, CORE_OFF, memory_order_release);
	pthread_exit(0);
}

void conductor_run(unsigned events, const char *scenario, uint64_t seed)
{
	options.events = events;
	options.seed = seed;
	snprintf(options.scenario, sizeof(options.scenario), "%s", scenario);
	conduct_init();
	machine_boot();
	while (!atomic_load_explicit(&world.ended, memory_order_acquire))
		machine_pause(1000000);
}
