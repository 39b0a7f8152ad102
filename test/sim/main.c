/* SPDX-License-Identifier: MIT */
/*
 * sim races [SCHEDULES]
 *	the three races of the mail, before and after it
 * sim storm POLICY CORES EVENTS FIRST_SEED SEEDS [SCENARIO [TEMPO_ERROR [late+deaf+dead|none [TOLD_ERROR]]]]
 *	long random storms; stops at a violation, shortens and shows it. Cores may be late, deaf or dead;
 *	TOLD_ERROR: limit of the rate error that all cores have in common, ppm
 * sim find, as storm
 *	... and shortens nothing
 * sim optimum, sim whole, as storm
 *	... and a published bound that is tighter than the stamps taken allow is a violation (optimum.h); whole: that
 *	optimum is checked against the whole graph of stamps, too; for short storms
 * sim swarm POLICY FIRST_SEED SEEDS
 *	short storms, each seed with its own mix of cores, scenario, delays, rates, timers and their lies; stops at a
 *	violation, prints the mix, shortens and shows it. With SEEDS = 1 the mix is always printed
 * sim truth POLICY CORES EVENTS FIRST_SEED SEEDS [SCENARIO]
 *	how far the reference drifts from the truth
 * sim score POLICY CORES EVENTS FIRST_SEED SEEDS [SCENARIO]
 *	any policy against true time, and its bounds against the tightest that its stamps allow (optimum.h):
 *	a line of JSON, and two of histograms
 * sim trace POLICY CORES EVENTS SEED 1 [SCENARIO]
 *	each reading of one storm: true time, core, its error, the bounds of skew and drift (or -)
 * sim every POLICY CORES EVENTS TICKS SEED [SCENARIO [boot+plain]]
 *	every order of steps, however often cores are preempted (every.c); from a state in which all are up and rest or,
 *	with boot, from the start; true time passes TICKS times; plain: without reduction
 * sim all POLICY CORES EVENTS BOUND SEED [SCENARIO]
 *	every schedule with at most BOUND decisions
 * sim litmus
 *	litmus tests: the simulator's memory shows exactly what x86-TSO allows
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "every.h"
#include "explore.h"
#include "litmus.h"
#include "optimum.h"
#include "score.h"

extern const struct policy pre15_policy;

enum { STORM_MEAN = 24, SCORE_MEAN = 1000, SCORE_READ_NS = 500, PCT_LENGTH = 3000, PCT_DECISIONS = 8 };

#define ALL_KINDS (~0u)

static struct decision decisions[SCHEDULE_MAX];
static double began;

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void configure(const char *policy, unsigned cores, unsigned events, const char *scenario)
{
	sim.policy = !strcmp(policy, "pre15") ? &pre15_policy : !strcmp(policy, "mail") ? &mail_policy : policy_find(policy);
	sim.cores = cores;
	sim.events = events;
	sim.scenario = scenario;
	sim.watch = ALL_KINDS;
	sim.readers = sim.exhaustive = sim.every = false;
	sim.far = sim.policy && sim.policy->first_base;
	sim.near_ns = 20;
	sim.spread_ns = 200;
	if (!sim.policy || !storm_find(scenario) || !cores || cores > CORES_MAX) {
		fprintf(stderr, "sim: no such policy, scenario or number of cores\n");
		exit(2);
	}
}

/* Shortens the schedule that was found and shows what each core did. */
static void show(struct schedule *s)
{
	unsigned before = s->count;
	const char *name = violation_name(sim.violation);

	explore_shrink(s);
	printf("violated: %s\n  %s\n  event seed %lu, order seed %lu, %u cores; schedule of %u decisions, shortened from %u:",
	       name, sim.text, (unsigned long)sim.seed, (unsigned long)s->order_seed, sim.cores, s->count, before);
	for (unsigned i = 0; i < s->count && i < 24; i++) {
		const struct decision *d = &s->decision[i];

		printf(d->what == DECISION_HOLD ? " %u:hold" : d->what == DECISION_CONDUCTOR ? " %u:conductor" :
		       d->what & DECISION_DRAIN ? " %u:drain %u" : " %u:core %u", d->step, d->what & ~DECISION_DRAIN);
	}
	printf("\n    step   time ns  what\n");
	sim.log = true;
	explore_replay(s);
	sim.log = false;
}

/* Mean steps between decisions: with many cores, most of them only wait for others, or read. */
static uint64_t storm_mean(void)
{
	return STORM_MEAN * (1 + (sim.cores < 128 ? sim.cores : 128) / 16);
}

static int storm(const char *policy, unsigned cores, unsigned events, uint64_t first, uint64_t seeds,
		 const char *scenario, bool shows)
{
	uint64_t steps = 0;

	configure(policy, cores, events, scenario);
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		struct schedule s = { .decision = decisions };

		sim.seed = seed;
		explore_random(seed, 0, storm_mean(), &s);
		steps += sim.steps;
		if (sim.violation) {
			printf("seed %lu: %s: %s\n", (unsigned long)seed, violation_name(sim.violation), sim.text);
			if (shows)
				show(&s);
			return 1;
		}
	}
	double t = seconds() - began;
	printf("%s, %u cores, %s: %lu storms of %u events, %lu steps, %lu readings, no violation; %.1f s, %.1f M steps/s\n",
	       policy, cores, scenario, (unsigned long)seeds, events, (unsigned long)steps,
	       (unsigned long)sim.readings, t, (double)steps / t / 1e6);
	printf("  within the exchanges' uncertainty: %lu readings stepped back, by %lu ns at most\n",
	       (unsigned long)sim.micro_warps, (unsigned long)sim.worst_micro_warp_ns);
	if (sim.optimum)
		printf("  %lu times bounds were published, none narrower than what was known allows%s\n",
		       (unsigned long)optimum_published(), sim.whole ? ", by all paths" : "");
	return 0;
}

static int swarm(const char *policy, uint64_t first, uint64_t seeds)
{
	uint64_t steps = 0;

	configure(policy, 2, 0, "storm");
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		struct schedule s = { .decision = decisions };

		if (!swarm_run(seed, seeds == 1, &s)) {
			show(&s);
			return 1;
		}
		steps += sim.steps;
	}
	double t = seconds() - began;
	printf("%s, swarm: %lu storms, %lu steps, %lu readings, no violation; %.1f s, %.1f M steps/s\n", policy, (unsigned long)seeds,
	       (unsigned long)steps, (unsigned long)sim.readings, t, (double)steps / t / 1e6);
	return 0;
}

/* Watches for no violation: rfc15 is measured, too. */
static int truth(const char *policy, unsigned cores, unsigned events, uint64_t first, uint64_t seeds,
		 const char *scenario)
{
	uint64_t time_ns = 0, all_events = 0;
	int64_t net = 0;

	configure(policy, cores, events, scenario);
	sim.watch = 0;
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		struct schedule s = { .decision = decisions };

		sim.seed = seed;
		explore_random(seed, 0, STORM_MEAN, &s);
		int64_t start = -1000000; /* the reference is 0 when the machine is 1 ms old, or a little later */
		net += sim.error_ns - start;
		time_ns += sim.raw - 1000000;
		all_events += sim.events_done;
	}
	double per = 1000.0 / (double)all_events;
	printf("%s, %u cores, %s, seeds %lu..%lu: %lu events, %lu resyncs in %.1f ms\n", policy, cores, scenario,
	       (unsigned long)first, (unsigned long)(first + seeds - 1), (unsigned long)all_events,
	       (unsigned long)sim.resyncs, (double)time_ns / 1e6);
	printf("  per 1,000 events: %.0f ns ahead, %.0f ns behind, %+.0f ns in all, %+.0f ppm of the time\n",
	       (double)sim.ahead_ns * per, (double)sim.behind_ns * per, (double)net * per,
	       (double)net / (double)time_ns * 1e6);
	return 0;
}

static int score(const char *policy, unsigned cores, unsigned events, uint64_t first, uint64_t seeds,
		 const char *scenario, bool trace)
{
	configure(policy, cores, events, scenario);
	sim.watch = 0;
	sim.far = sim.score = true;
	sim.gap_parts = 1;
	sim.read_ns = SCORE_READ_NS;
	sim.trace = trace;
	sim.optimum = sim.policy->bounds && !trace;
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		struct schedule s = { .decision = decisions };

		sim.seed = seed;
		explore_random(seed, 0, SCORE_MEAN, &s);
		score_add();
	}
	if (!trace)
		score_print(policy, first, seeds);
	return !optimum_holds();
}

static bool stop_at_first(const struct schedule *s)
{
	memcpy(decisions, s->decision, s->count * sizeof(*decisions));
	return false;
}

static int all(const char *policy, unsigned cores, unsigned events, unsigned bound, uint64_t seed,
	       const char *scenario)
{
	configure(policy, cores, events, scenario);
	sim.exhaustive = true;
	sim.seed = seed;
	uint64_t n = explore_all(bound, stop_at_first, UINT64_MAX);
	printf("%s, %u cores, %u events (%s, seed %lu): %lu schedules, each with at most %u decisions, none left out; %.1f s\n",
	       policy, cores, events, scenario, (unsigned long)seed, (unsigned long)n, bound, seconds() - began);
	if (!sim.violation)
		return 0;
	struct schedule s = { .decision = decisions, .count = bound };
	show(&s);
	return 1;
}

/* how: "boot", "plain", or both with +, or nothing */
static int every(const char *policy, unsigned cores, unsigned events, unsigned ticks, uint64_t seed, const char *scenario,
		 const char *how)
{
	configure(policy, cores, events, scenario);
	sim.exhaustive = sim.every = true;
	sim.far = false;
	sim.boot = strstr(how, "boot");
	sim.plain = strstr(how, "plain");
	sim.ticks = ticks;
	sim.seed = seed;
	printf("%s, %u cores, %u events (%s, seed %lu)%s%s, time passes %u times: ", policy, cores, events, scenario,
	       (unsigned long)seed, *how ? ", " : "", how, ticks);
	bool sound = every_order();
	printf("; %.1f s: %s\n", seconds() - began, sound ? "every order, no violation" : "stopped");
	if (sound)
		return 0;
	printf("violated: %s\n  %s\n", violation_name(sim.violation), sim.text);
	every_show();
	return 1;
}

static const struct race {
	const char *name, *scenario;
	unsigned cores, events, watch;
	bool readers;
} race_table[] = {
	{ "A: changes in rapid succession, a core misses the resync", "tempo", 3, 4, 1u << V_MISSED, false },
	{ "B: resync against a core that goes or comes", "storm", 3, 5, 1u << V_MISSED | 1u << V_LOST, false },
	{ "C: a reader on the base is interrupted by the resync", "tempo", 2, 3, 1u << V_READER, true },
};

static int races(uint64_t schedules)
{
	int result = 0;

	for (unsigned p = 0; p < 2; p++)
		for (unsigned i = 0; i < 3; i++) {
			const struct race *r = &race_table[i];
			struct schedule s = { .decision = decisions };
			uint64_t n = 0, most = p ? schedules / 3 : 10000;

			configure(p ? "rfc15" : "pre15", r->cores, r->events, r->scenario);
			sim.readers = r->readers;
			if (!p)
				sim.watch = r->watch;
			do {
				sim.seed = 1 + n % 64; /* the events; the schedule is n's own */
				s.count = 0;
				explore_random(1 + n, 1 + n % PCT_DECISIONS, PCT_LENGTH, &s);
			} while (!sim.violation && ++n < most);
			printf("%-6s %s: ", p ? "rfc15" : "pre15", r->name);
			if (sim.violation)
				printf("FOUND by schedule %lu\n", (unsigned long)(1 + n));
			else
				printf("not found in %lu schedules\n", (unsigned long)n);
			fflush(stdout);
			if (sim.violation)
				show(&s);
			result |= p == 1 ? sim.violation != V_NONE : sim.violation == V_NONE;
		}
	printf("races: %s\n", result ? "FAIL" : "PASS");
	return result;
}

static unsigned sickness(const char *name)
{
	unsigned sick = (strstr(name, "late") ? SICK_LATE : 0) | (strstr(name, "deaf") ? SICK_DEAF : 0) |
			(strstr(name, "dead") ? SICK_DEAD : 0);

	if (sick || !strcmp(name, "none"))
		return sick;
	fprintf(stderr, "sim: late, deaf or dead, or some of them with +, not %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, 0, _IOLBF, 0);
	began = seconds();
	if (argc >= 2 && !strcmp(argv[1], "races"))
		return races(argc > 2 ? strtoull(argv[2], 0, 0) : 1000000);
	if (argc == 2 && !strcmp(argv[1], "litmus")) {
		configure("rfc15", 1, 0, "storm");
		return litmus();
	}
	if (argc == 5 && !strcmp(argv[1], "swarm"))
		return swarm(argv[2], strtoull(argv[3], 0, 0), strtoull(argv[4], 0, 0));
	if (argc >= 7 && !strcmp(argv[1], "every"))
		return every(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]),
			     strtoull(argv[6], 0, 0), argc > 7 ? argv[7] : "storm", argc > 8 ? argv[8] : "");
	sim.tempo_error = argc > 8 ? (uint32_t)atoi(argv[8]) : 0;
	sim.told_error = argc > 10 ? (uint32_t)atoi(argv[10]) : 0;
	sim.sick = argc > 9 ? sickness(argv[9]) : 0;
	sim.whole = argc >= 7 && !strcmp(argv[1], "whole");
	sim.optimum = argc >= 7 && (sim.whole || !strcmp(argv[1], "optimum"));
	if (argc >= 7 && (!strcmp(argv[1], "storm") || !strcmp(argv[1], "find") || sim.optimum))
		return storm(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), strtoull(argv[5], 0, 0),
			     strtoull(argv[6], 0, 0), argc > 7 ? argv[7] : "storm", argv[1][0] != 'f');
	if (argc >= 7 && !strcmp(argv[1], "truth"))
		return truth(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), strtoull(argv[5], 0, 0),
			     strtoull(argv[6], 0, 0), argc > 7 ? argv[7] : "storm");
	if (argc >= 7 && (!strcmp(argv[1], "score") || !strcmp(argv[1], "trace")))
		return score(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), strtoull(argv[5], 0, 0),
			     strtoull(argv[6], 0, 0), argc > 7 ? argv[7] : "storm", argv[1][0] == 't');
	if (argc >= 7 && !strcmp(argv[1], "all"))
		return all(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]),
			   strtoull(argv[6], 0, 0), argc > 7 ? argv[7] : "storm");
	fprintf(stderr, "sim: races [SCHEDULES] | swarm POLICY FIRST_SEED SEEDS | "
			"storm|find|optimum|whole|truth|score|trace POLICY CORES EVENTS FIRST_SEED SEEDS [SCENARIO] | "
			"all POLICY CORES EVENTS BOUND SEED [SCENARIO] | "
			"every POLICY CORES EVENTS TICKS SEED [SCENARIO [boot+plain]]\n");
	return 2;
}
