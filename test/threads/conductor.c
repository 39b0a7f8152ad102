/* SPDX-License-Identifier: MIT */
/*
 * threads POLICY CORES EVENTS SEED [SCENARIO [SECONDS]]
 *
 * A storm over cores that are threads. Which events there are is drawn from the
 * seed, who runs when is up to the processors. It ends well when every event is
 * over, every online core is synchronised with the newest generation, no
 * reading stepped back and ThreadSanitizer found nothing; after SECONDS (120)
 * it hangs.
 *
 * The conductor is a thread of its own and no core: it lets any online core
 * carry out any step, the base or not, in its resync or not. It takes from all
 * cores (acquire) and gives to none but the one that it starts.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "threads.h"

enum { SETTLE_READINGS = 2000, LOOK_NS = 30000, SECONDS = 120 };

enum phase { PHASE_NONE, PHASE_BEFORE, PHASE_AFTER, PHASE_DOWN, PHASE_START, PHASE_UP, PHASE_SYNC };

struct flight {
	enum phase phase;
	unsigned by; /* who carries out the present step */
	uint64_t after_ns;
};

static struct flight flight[CORES_MAX];
static struct storm storm;
static struct random chance;
static struct storm_event next;   /* drawn, and not begun yet */
static bool drawn;
static unsigned events, begun, over, cut, kinds[STORM_KINDS];

static bool online(unsigned core)
{
	return atomic_load_explicit(&the_clock.core[core].online, memory_order_relaxed);
}

static unsigned state(unsigned core)
{
	return atomic_load_explicit(&cores[core]->state, memory_order_acquire);
}

static struct task task_of(unsigned core)
{
	struct task t = atomic_load_explicit(&thread_core[core].task, memory_order_acquire);

	return t;
}

static void look(void)
{
	struct timespec t = { .tv_nsec = (long)random_below(&chance, LOOK_NS) };

	nanosleep(&t, 0);
	for (unsigned i = 0; i < core_count; i++) /* it may halt, and no request says why it should not */
		if (task_of(i).kind)
			machine_kick(&cores[i]->requests);
}

static void give(unsigned by, struct task t)
{
	atomic_store_explicit(&thread_core[by].task, t, memory_order_relaxed);
}

/* Some online core without a task that does not leave; -1: there is none now. */
static int executor(void)
{
	unsigned wish = (unsigned)random_below(&chance, core_count);

	for (unsigned n = 0; n < core_count; n++) {
		unsigned i = (wish + n) % core_count;

		if (online(i) && !task_of(i).kind && flight[i].phase != PHASE_DOWN)
			return (int)i;
	}
	return -1;
}

static void start_core(unsigned core)
{
	struct core *c = cores[core];

	c->start_khz = raw_khz / 2 + (uint32_t)random_below(&chance, raw_khz);
	c->start_tsc = random_below(&chance, 1ull << 40);
	atomic_store_explicit(&c->requests, 0, memory_order_relaxed);
	atomic_store_explicit(&c->state, CORE_STARTING, memory_order_release);
	machine_kick(&c->state);
}

static void draw(void)
{
	enum storm_core states[CORES_MAX];
	bool hotplug = false;

	for (unsigned i = 0; i < core_count; i++) {
		hotplug = hotplug || flight[i].phase >= PHASE_DOWN;
		states[i] = online(i) ? (flight[i].phase ? STORM_CORE_BUSY : STORM_CORE_ONLINE) :
			    state(i) == CORE_OFF && !flight[i].phase ? STORM_CORE_OFFLINE : STORM_CORE_ABSENT;
	}
	drawn = storm_next(&storm, states, core_count, atomic_load_explicit(&the_clock.base, memory_order_relaxed),
			   hotplug, &next);
}

/* False: not yet. A core leaves when no step is its own or meant for it. */
static bool begin(const struct storm_event *e)
{
	struct flight *f = &flight[e->core];
	int by = executor();

	if (by < 0)
		return false;
	for (unsigned i = 0; e->kind == STORM_OFFLINE && i < core_count; i++)
		if (task_of(i).kind && (i == e->core || task_of(i).core == e->core))
			return false;
	cut += f->phase != PHASE_NONE; /* a tempo change on a core that leaves ends there */
	over += f->phase != PHASE_NONE;
	begun++;
	kinds[e->kind]++;
	*f = (struct flight){ .by = (unsigned)by, .after_ns = e->after_ns };
	switch (e->kind) {
	case STORM_TEMPO:
		f->phase = PHASE_BEFORE;
		give(f->by, (struct task){ TASK_BEFORE, e->core, e->effect_ns, e->khz });
		break;
	case STORM_OFFLINE:
		f->phase = PHASE_DOWN;
		give(f->by, (struct task){ .kind = TASK_DOWN, .core = e->core });
		break;
	default:
		f->phase = PHASE_START;
		start_core(e->core);
	}
	return true;
}

static void step(struct flight *f, unsigned core)
{
	struct core *c = cores[core];
	int by = executor();
	uint64_t effect;

	if (f->phase != PHASE_START && task_of(f->by).kind)
		return; /* its last step, or another one */
	switch (f->phase) {
	case PHASE_BEFORE:
		effect = atomic_load_explicit(&c->effect_raw, memory_order_acquire);
		if (by < 0 || !effect || raw_now() < effect + f->after_ns)
			return;
		*f = (struct flight){ .phase = PHASE_AFTER, .by = (unsigned)by };
		give(f->by, (struct task){ .kind = TASK_AFTER, .core = core });
		return;
	case PHASE_START:
		if (by < 0 || state(core) != CORE_UP)
			return;
		*f = (struct flight){ .phase = PHASE_UP, .by = (unsigned)by };
		give(f->by, (struct task){ .kind = TASK_UP });
		return;
	case PHASE_DOWN:
		if (state(core) != CORE_OFF)
			return;
		break;
	default:
		if (!atomic_load_explicit(&c->synced_raw, memory_order_relaxed))
			return;
	}
	f->phase = PHASE_NONE;
	over++;
}

static void conduct(void)
{
	uint64_t due = 0;

	while (over < events) {
		for (unsigned i = 0; i < core_count; i++)
			if (flight[i].phase)
				step(&flight[i], i);
		if (begun < events && !drawn && raw_now() >= due)
			draw();
		if (drawn && begin(&next)) {
			drawn = false;
			due = raw_now() + storm_gap_ns(&storm);
		}
		look();
	}
}

/* Every online core is synchronised, by the newest resync. */
static bool all_synced(void)
{
	uint32_t newest = atomic_load_explicit(&the_clock.generation, memory_order_relaxed);

	for (unsigned i = 0; i < core_count; i++)
		if (online(i) && (!clock_synced(&the_clock, i) || !newest ||
				  atomic_load_explicit(&the_clock.core[i].generation, memory_order_relaxed) != newest))
			return false;
	return true;
}

static bool all_read(uint64_t than)
{
	for (unsigned i = 0; i < core_count; i++)
		if (online(i) && atomic_load_explicit(&thread_core[i].readings, memory_order_relaxed) < than)
			return false;
	return true;
}

static uint64_t most_readings(uint64_t *sum)
{
	uint64_t most = 0;

	*sum = 0;
	for (unsigned i = 0; i < core_count; i++) {
		uint64_t n = atomic_load_explicit(&thread_core[i].readings, memory_order_relaxed);

		most = n > most ? n : most;
		*sum += n;
	}
	return most;
}

static void boot(void)
{
	for (unsigned i = 0; i < core_count; i++)
		start_core(i);
	for (unsigned i = 0; i < core_count; i++)
		while (state(i) != CORE_UP)
			look();
	give(0, (struct task){ .kind = TASK_UP });
	while (!online(0) || !all_synced() || !all_read(1))
		look();
}

static void finish(void)
{
	uint64_t sum, than = most_readings(&sum) + SETTLE_READINGS;
	int by;

	while (!all_synced() || !all_read(than) || (by = executor()) < 0)
		look();
	give((unsigned)by, (struct task){ .kind = TASK_END });
	for (unsigned i = 0; i < core_count; i++)
		while (state(i) != CORE_OFF)
			look();
	machine_join();
}

int main(int argc, char **argv)
{
	const struct policy *p = argc > 1 ? policy_find(argv[1]) : 0;
	unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	const char *scenario = argc > 5 ? argv[5] : "storm";
	uint64_t sum, seed = argc > 4 ? strtoull(argv[4], 0, 0) : 0;

	if (argc < 5 || !p || count < 1 || count > CORES_MAX || !storm_known(scenario)) {
		fprintf(stderr, "threads: POLICY CORES EVENTS SEED [SCENARIO [SECONDS]]\n");
		return 2;
	}
	events = (unsigned)atoi(argv[3]);
	storm_start(&storm, scenario, seed, raw_khz);
	chance.state = ~seed;
	prctl(PR_SET_TIMERSLACK, 1ul);
	machine_start(world_start(p, count), count);
	signal(SIGALRM, machine_where);
	alarm(argc > 6 ? (unsigned)atoi(argv[6]) : SECONDS);
	boot();
	conduct();
	finish();
	most_readings(&sum);

	bool good = !world.warps && !world.missed && !world.lost && world.apart_ns <= 2 * ROUNDING_NS;
	printf("threads: %s, %u cores, seed %" PRIu64 ": %u events (%u tempo, %u down, %u up; %u cut), %u resyncs, "
	       "%" PRIu64 " lines to %" PRIu64 " ns (worst %" PRIu64 "); at the end %u cores missed, %u vCPUs lost, "
	       "%" PRId64 " ns apart%s\n",
	       p->name, count, seed, over, kinds[STORM_TEMPO], kinds[STORM_OFFLINE], kinds[STORM_ONLINE], cut,
	       the_clock.generation, world.lines, world.lines ? world.widths_ns / world.lines : 0, world.widest_ns,
	       world.missed, world.lost, world.apart_ns, world.apart_ns > 2 * ROUNDING_NS ? ": too far" : "");
	printf("threads: %s: %u events done, %" PRIu64 " readings, %" PRIu64 " warps, worst %" PRIu64
	       " ns (within the exchanges' uncertainty: steps back by %" PRIu64 " ns at most)\n",
	       good ? "PASS" : "FAIL", over, sum, world.warps, world.worst_ns, world.back_ns);
	return !good;
}
