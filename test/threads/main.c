/* SPDX-License-Identifier: MIT */
/*
 * threads (or seat) POLICY CORES EVENTS SEED [SCENARIO [SECONDS]]
 *
 * A storm over cores that are threads. Its events are drawn from the seed; the
 * schedule is up to the host. It passes if every event is over, every online core
 * is synchronised by the newest resync, no reading stepped back and
 * ThreadSanitizer found nothing; after SECONDS (240) of processor time it counts as hung.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/time.h>

#include "threads.h"

enum { SECONDS = 240 };

static _Atomic unsigned races;

/* ThreadSanitizer calls it with each of its reports. */
void __tsan_on_report(void *report);
void __tsan_on_report(void *report)
{
	(void)report;
	races++;
}

static bool verdict(const char *what, unsigned events)
{
	uint64_t readings = 0;

	for (unsigned i = 0; i < core_count; i++)
		readings += thread_core[i].readings;
	bool good = figures.over == events && readings && !races && !world.warps && !world.missed && !world.lost &&
		    !world.apart && !world.adrift;
	uint64_t number = world.looks ? world.looks : world.lines;

	printf("%s: %s: %u events done, %" PRIu64 " readings, %" PRIu64 " warps, worst warp %" PRIu64 " ns, %u races; "
	       "%u resyncs, %" PRIu64 " exchanges, uncertain by %" PRIu64 " ns (worst %" PRIu64 "), "
	       "steps back within that by %" PRIu64 " ns at most",
	       what, good ? "PASS" : "FAIL", figures.over, readings, world.warps, world.worst_ns, races, the_clock.generation,
	       world.lines, number ? world.widths_ns / number : 0, world.widest_ns, world.back_ns);
	if (world.looks)
		printf("; off the truth by %" PRIu64 " ns, bound %" PRIu64 " ns, %" PRIu64 " beyond it", world.drift_ns,
		       world.drift_bound_ns, world.adrift);
	if (world.missed || world.lost)
		printf("; %u cores were missed by a resync, %u vCPUs are lost", world.missed, world.lost);
	printf(world.apart ? "; in the end the cores are too far apart\n" : "\n");
	return good;
}

int main(int argc, char **argv)
{
	const struct policy *p = argc > 1 ? policy_find(argv[1]) : 0;
	int count = argc > 2 ? atoi(argv[2]) : 0, events = argc > 3 ? atoi(argv[3]) : 0;
	const char *scenario = argc > 5 ? argv[5] : "storm";
	char what[80];

	if (argc < 5 || !p || count < 1 || count > (int)CORES_MAX || events < 1 || !storm_find(scenario)) {
		fprintf(stderr, "threads: POLICY CORES EVENTS SEED [SCENARIO [SECONDS]]\n");
		return 2;
	}
	snprintf(what, sizeof(what), "%s %s, %d cores, %s, seed %s", argv[0], argv[1], count, scenario, argv[4]);
	prctl(PR_SET_TIMERSLACK, 1ul);
	machine_start(world_start(p, (unsigned)count), (unsigned)count);
	signal(SIGPROF, machine_where);
	setitimer(ITIMER_PROF, &(struct itimerval){ .it_value.tv_sec = argc > 6 ? atoi(argv[6]) : SECONDS }, 0);
	conductor_run((unsigned)events, scenario, strtoull(argv[4], 0, 0));
	machine_join();
	return !verdict(what, (unsigned)events);
}
