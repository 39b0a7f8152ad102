/* SPDX-License-Identifier: MIT */
/*
 * What is done to the simulated machine: a plan of events drawn from the seed
 * before the run, so that a schedule can be shortened without changing it, and
 * carried out in order. When each step of it happens is the schedule's choice.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#include "clock/port.h"

extern const struct policy pre15_policy;

struct planned {
	struct storm_event event;
	unsigned by; /* the core that carries it out */
	uint32_t gap_ns; /* the least time since the event before it began */
};

#define DEAD_NS 1000000000ull

enum phase { PHASE_NONE, PHASE_BEFORE, PHASE_EFFECT, PHASE_AFTER, PHASE_DOWN, PHASE_START, PHASE_UP };

struct flight {
	enum phase phase;
	const struct planned *plan;
	unsigned by;
	uint64_t after_raw; /* when the notice after may come; 0: not known yet */
};

static struct planned *plan;
static struct flight flight[CORES_MAX];
static struct {
	unsigned next_event, booted, flights, pad;
	uint64_t next_raw; /* the next event begins then, or later */
} progress;
#define next_event progress.next_event
#define booted progress.booted
#define flights progress.flights
#define next_raw progress.next_raw
static struct random tempos;

static void draw_start(struct core *c)
{
	c->start_khz = raw_khz / 2 + (uint32_t)random_below(&tempos, raw_khz);
	c->start_tsc = random_below(&tempos, 1ull << 40);
}

static void draw_error(struct core *c)
{
	uint32_t most_ppb = sim.tempo_error * 1000;

	c->error_ppb = 0;
	if (most_ppb)
		c->error_ppb = (int32_t)random_below(&tempos, 2 * most_ppb + 1) - (int32_t)most_ppb;
	c->error_ppb += sim.told_ppb + (int32_t)((int64_t)c->error_ppb * sim.told_ppb / 1000000000);
}

/* Events as the storm draws them, against a model of which cores are online. */
static void make_plan(void)
{
	static enum storm_core state[CORES_MAX];
	struct storm storm;
	unsigned base = 0;

	plan = realloc(plan, (sim.events + 1) * sizeof(*plan));
	storm_start(&storm, sim.scenario, sim.seed, raw_khz);
	for (unsigned i = 0; i < sim.cores; i++)
		state[i] = STORM_CORE_ONLINE;
	for (unsigned n = 0; n < sim.events; n++) {
		struct planned *p = &plan[n];

		while (!storm_next(&storm, state, sim.cores, base, false, &p->event))
			;
		p->by = (unsigned)random_below(&storm.random, sim.cores);
		/* To find faults events come in one rush; to measure, with the pauses that they have on metal. */
		p->gap_ns = sim.gap_parts ? (uint32_t)(storm_gap_ns(&storm) / sim.gap_parts) : 0;
		if (sim.every) /* when a change takes effect is a choice of the search */
			p->event.effect_ns = p->event.after_ns = 0;
		if (p->event.kind == STORM_TEMPO)
			continue;
		state[p->event.core] = p->event.kind == STORM_ONLINE ? STORM_CORE_ONLINE : STORM_CORE_OFFLINE;
		while (state[base] != STORM_CORE_ONLINE)
			base = (base + 1) % sim.cores;
	}
}

void conductor_reset(void)
{
	make_plan();
	memset(flight, 0, sim.cores * sizeof(flight[0]));
	next_event = booted = flights = 0;
	next_raw = 0;
	sim.events_done = 0;
	tempos.state = ~sim.seed;
	struct random told = { sim.seed ^ 0x746f6c64 };
	int64_t most_ppb = sim.told_error * 1000;
	sim.told_ppb = (int32_t)((int64_t)random_below(&told, 2 * (uint64_t)most_ppb + 1) - most_ppb);
	for (unsigned i = 0; i < sim.cores; i++) {
		draw_start(&sim.core[i].core);
		draw_error(&sim.core[i].core);
	}
}

static bool online(unsigned core)
{
	return the_clock.core[core].online;
}

/* Online, or half taken down by a core that was lost. */
static bool present(unsigned core)
{
	return online(core) || !cores[core]->leave;
}

static bool lost(unsigned core)
{
	return cores[core]->state == CORE_LOST;
}

/* An online core without a task, preferably `wish`; -1: none. It may be dead, if that was not found yet. */
static int executor(unsigned wish)
{
	for (unsigned n = 0; n < sim.cores; n++) {
		unsigned i = (wish + n) % sim.cores;

		if (online(i) && !lost(i) && sim.core[i].task == TASK_NONE && flight[i].phase != PHASE_DOWN)
			return (int)i;
	}
	return -1;
}

static void give(unsigned by, unsigned task, unsigned core, uint32_t khz)
{
	sim.core[by].task_core = core;
	sim.core[by].task_khz = khz;
	sim.core[by].task = task;
	core_request(by, REQ_WAKE);
}

static void over(struct flight *f)
{
	f->phase = PHASE_NONE;
	flights--;
	sim.events_done++;
}

/* How many other cores are online and stay so, and are neither dead nor late by DEAD_NS or more. */
static unsigned others_live(unsigned core)
{
	unsigned others = 0;

	for (unsigned i = 0; i < sim.cores; i++)
		others += i != core && online(i) && !lost(i) && flight[i].phase != PHASE_DOWN &&
			  sim.core[i].late_raw < sim.raw + DEAD_NS;
	return others;
}

/* One stop at a time, as there is one conductor. */
static bool stopping(void)
{
	for (unsigned i = 0; i < sim.cores; i++)
		if (sim.core[i].task == TASK_DOWN || sim.core[i].task == TASK_UP)
			return true;
	return false;
}

static bool hotplugging(void)
{
	for (unsigned i = 0; i < sim.cores; i++)
		if (flight[i].phase >= PHASE_DOWN)
			return true;
	return stopping();
}

bool conductor_can_spare(unsigned core)
{
	return booted == 2 && cores[core]->state == CORE_UP && others_live(core) >= 2;
}

/* A lost core that has a task or a change, or is online, if another core can deal with that now; -1: none. */
static int lost_work(void)
{
	for (unsigned i = 0; sim.sick && i < sim.cores; i++)
		if (lost(i) && (sim.core[i].task != TASK_NONE || flight[i].phase || (present(i) && !stopping())))
			return executor(i) < 0 ? -1 : (int)i;
	return -1;
}

/* For a lost core, one at a time: ends its own change, passes on its task unless known to be done, takes it down. */
static void carry_on(unsigned core)
{
	struct sim_core *c = &sim.core[core];
	unsigned by = (unsigned)executor(core), to = c->task_core;
	bool pending = cores[to]->requests & REQ_BEFORE || cores[to]->effect_raw;

	if (flight[core].phase) {
		sim_log("core %u is lost within its change", core);
		over(&flight[core]);
	} else if (c->task == TASK_NONE) {
		give(by, TASK_DOWN, core, 0);
	} else {
		unsigned task = c->task;

		c->task = TASK_NONE;
		if (lost(to) || (task == TASK_BEFORE && pending) || (task == TASK_DOWN && !present(to)))
			return;
		if (flight[to].phase && flight[to].by == core)
			flight[to].by = by;
		give(by, task, to, c->task_khz);
	}
}

/* Can the plan's next event begin? */
static bool event_ready(void)
{
	if (next_event == sim.events || booted < 2)
		return false;
	for (unsigned i = 0; !next_event && i < sim.cores; i++)
		if ((online(i) && the_clock.core[i].howler.learns) || the_clock.howler.boots)
			return false;
	const struct storm_event *e = &plan[next_event].event;
	const struct flight *f = &flight[e->core];

	if (executor(plan[next_event].by) < 0)
		return false;
	if (lost(e->core))
		return true; /* nothing to do */
	if (e->kind == STORM_TEMPO)
		return !f->phase;
	if (e->kind == STORM_ONLINE)
		return !hotplugging() && !f->phase && (online(e->core) || sim.core[e->core].state == FIBER_OFF);
	for (unsigned i = 0; i < sim.cores; i++) /* a notice on its way to the core arrives first */
		if (sim.core[i].task != TASK_NONE && sim.core[i].task_core == e->core)
			return false;
	return !hotplugging() && sim.core[e->core].task == TASK_NONE;
}

/* Can this flight go on? *raw: not before then, if that is known. */
static bool flight_ready(const struct flight *f, unsigned core, uint64_t *raw)
{
	*raw = 0;
	switch (f->phase) {
	case PHASE_BEFORE:
		if (sim.core[f->by].task != TASK_NONE && sim.core[f->by].task_core == core)
			return false;
		if (sim.policy == &pre15_policy)
			return true;
		*raw = sim.core[core].core.effect_raw ? sim.core[core].core.effect_raw + f->plan->event.after_ns : 0;
		return *raw && executor(f->plan->by) >= 0;
	case PHASE_EFFECT:
		*raw = f->after_raw;
		return executor(f->plan->by) >= 0;
	case PHASE_AFTER: /* a notice is over when the core has served it, as smp_call_function waits */
		return (sim.core[f->by].task == TASK_NONE || sim.core[f->by].task_core != core) &&
		       !(sim.core[core].core.requests & REQ_AFTER);
	case PHASE_DOWN:
		return sim.core[core].state == FIBER_OFF && (f->by == core || sim.core[f->by].task == TASK_NONE);
	case PHASE_START:
		return sim.core[core].core.state == CORE_UP && !stopping() && executor(f->plan->by) >= 0;
	case PHASE_UP:
		return sim.core[f->by].task == TASK_NONE;
	default:
		return false;
	}
}

/* The flight that can go on earliest; -1: none. */
static int due_flight(uint64_t *when)
{
	int best = -1;

	for (unsigned i = 0; flights && i < sim.cores; i++) {
		uint64_t raw;

		if (flight[i].phase && flight_ready(&flight[i], i, &raw) && (best < 0 || raw < *when)) {
			best = (int)i;
			*when = raw;
		}
	}
	return best;
}

static bool all_up(void)
{
	for (unsigned i = 0; i < sim.cores; i++)
		if (sim.core[i].core.state != CORE_UP)
			return false;
	return true;
}

bool conductor_wait(uint64_t *raw)
{
	*raw = 0;
	if (!booted)
		return all_up();
	if (booted == 1)
		return sim.core[0].task == TASK_NONE;
	if (lost_work() >= 0)
		return true;
	bool due = due_flight(raw) >= 0;

	if (!event_ready())
		return due;
	if (!due || next_raw < *raw)
		*raw = next_raw;
	return true;
}

bool conductor_ready(void)
{
	uint64_t raw;

	return conductor_wait(&raw) && raw <= sim.raw;
}

bool conductor_done(void)
{
	for (unsigned i = 0; sim.sick && i < sim.cores; i++)
		if ((sim.core[i].late_raw == NEVER && !lost(i)) || (lost(i) && present(i)))
			return false;
	return booted == 2 && next_event == sim.events && !flights;
}

static void begin(void)
{
	const struct planned *p = &plan[next_event++];
	struct flight *f = &flight[p->event.core];
	struct core *c = &sim.core[p->event.core].core;
	unsigned by = (unsigned)executor(p->by);

	next_raw = sim.gap_parts && next_event < sim.events ? sim.raw + plan[next_event].gap_ns : 0;
	/* The plan's model was wrong: nothing to do. */
	if (lost(p->event.core) || online(p->event.core) != (p->event.kind != STORM_ONLINE) ||
	    (p->event.kind == STORM_OFFLINE && !others_live(p->event.core))) {
		sim.events_done++;
		return;
	}
	if (f->phase) { /* a change on a core that leaves */
		sim_log("core %u leaves within its change", p->event.core);
		over(f);
	}
	*f = (struct flight){ .plan = p, .by = by };
	flights++;
	switch (p->event.kind) {
	case STORM_TEMPO:
		f->phase = PHASE_BEFORE;
		c->effect_raw = 0;
		c->effect_delay_raw = p->event.effect_ns / 16;
		give(by, TASK_BEFORE, p->event.core, p->event.khz);
		break;
	case STORM_OFFLINE:
		f->phase = PHASE_DOWN;
		give(by, TASK_DOWN, p->event.core, 0);
		break;
	default:
		f->phase = PHASE_START;
		draw_start(c);
		c->state = CORE_STARTING;
		c->requests = 0;
		sim_start_fiber(p->event.core);
	}
}

static void go_on(struct flight *f, unsigned core)
{
	const struct storm_event *e = &f->plan->event;
	int by = executor(f->plan->by);

	switch (f->phase) {
	case PHASE_BEFORE:
		if (!online(core)) {
			over(f);
			return;
		}
		if (sim.policy == &pre15_policy) {
			/* Nothing but the conductor knows when the tempo itself changes. */
			tempo_at(&sim.core[core].core.tempo, sim.raw);
			tempo_change(&sim.core[core].core.tempo, e->khz, sim.raw);
			sim_log("the tempo of core %u is %u kHz now", core, e->khz);
			f->phase = PHASE_EFFECT;
			f->after_raw = sim.raw + e->after_ns / 16;
			return;
		}
		/* fall through */
	case PHASE_EFFECT:
		if (!online(core)) {
			over(f);
			return;
		}
		f->phase = PHASE_AFTER;
		sim.core[core].after_raw = sim.raw;
		f->by = (unsigned)by;
		give(f->by, TASK_AFTER, core, 0);
		return;
	case PHASE_START:
		f->phase = PHASE_UP;
		f->by = (unsigned)by;
		give(f->by, TASK_UP, core, 0);
		return;
	default:
		over(f);
	}
}

void conductor_act(void)
{
	uint64_t raw;

	if (booted < 2) {
		if (booted++ == 0)
			give(0, TASK_UP, 0, 0);
		return;
	}
	int i = lost_work();

	if (i >= 0) {
		carry_on((unsigned)i);
		return;
	}
	i = due_flight(&raw);
	/* With both possible, take turns by the step: which one is the schedule's choice, too. */
	bool event = event_ready() && next_raw <= sim.raw;

	if (i >= 0 && raw <= sim.raw && (!event || (sim.steps & 1)))
		go_on(&flight[i], (unsigned)i);
	else if (event)
		begin();
}

/* The words that it reads, 0-terminated; the first one of each core it also writes. */
enum { LOOKED = 5 };
static const volatile void *looked(unsigned n)
{
	const struct sim_core *c = &sim.core[n / LOOKED];
	const volatile void *const word[LOOKED] = {
		&c->task, &c->core.requests, &c->core.effect_raw, &c->core.state, &the_clock.core[n / LOOKED].online,
	};

	return n < LOOKED * sim.cores ? word[n % LOOKED] : 0;
}

bool conductor_looks(const volatile void *p)
{
	for (unsigned n = 0; looked(n); n++)
		if (looked(n) == p)
			return true;
	return false;
}

bool conductor_booted(void)
{
	return booted == 2;
}

uint64_t conductor_moves(void)
{
	uint64_t moves = 0, raw;

	for (unsigned n = 0; looked(n); n++)
		every_hot(looked(n), n % LOOKED == 0);
	if (booted < 2)
		return conductor_ready();
	for (unsigned i = 0; flights && i < sim.cores; i++)
		moves |= (uint64_t)(flight[i].phase && flight_ready(&flight[i], i, &raw)) << (i + 1);
	return moves | event_ready();
}

void conductor_move(unsigned m)
{
	if (booted < 2)
		conductor_act();
	else if (m)
		go_on(&flight[m - 1], m - 1);
	else
		begin();
}

void conductor_memory(void (*add)(void *p, size_t bytes))
{
	add(flight, sim.cores * sizeof(flight[0]));
	add(&progress, sizeof(progress));
	add(&tempos, sizeof(tempos));
}
