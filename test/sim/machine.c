/* SPDX-License-Identifier: MIT */
/* Cores as fibers on one thread, true time, store buffers; and what the code under test asks of a machine. */
#include "optimum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock/port.h"

enum {
	AWAIT_POLLS = 6, QUIET_STEPS = 20000, BUSY_STEPS = 8000000, JOIN_STEPS = 10000, HANG_LOOK_STEPS = 64,
	DEAD_QUIET_STEPS = 400000, /* per core; a leader looks for lost cores now and then only */
	DEAD_TIMES = 4, /* to find a dead core takes 5 s, in which all others may be checked against the base each ms */
	PAIRS_MAX = 64, LOOKS = 32, TURNS = 512, SLICE_NS = 100000000, NAPS_MAX = 64, LOOK_NS = 10000000,
	PART_BYTES = 8, NEWS_CORES_MAX = 128, IDLE_LOOKS = 3,
};

struct sim sim;
const char *sim_at;
struct core *cores[CORES_MAX];
unsigned core_count;
struct guest guest;
struct options options;

static struct clock_core *clocks;
static uint32_t *distance; /* [from * cores + to], ns */
void watch(void);
static struct core nobody = { .index = UINT32_MAX }; /* the conductor is no core */
static void *main_sp;
static bool on_fiber;
static int wanted = -1;        /* a decision's core */
static bool called;            /* the running core was chosen by a decision */
static jmp_buf violated;
static uint64_t progress_step; /* when memory last changed, or the conductor acted */
static unsigned naps;          /* how often sleeper_wakes has let time jump since */
static uint64_t acted_step;    /* when the conductor last acted */
static uint64_t still_raw;     /* true time when memory last changed, other than by polling */
static uint64_t *due;          /* [cores]: settle() */
static uint8_t *states;        /* [cores] */
static unsigned waiting;       /* cores, for a message */
static uint32_t looks, *look;  /* looks so far; [cores]: the number of a core's present one */
static uint32_t *looked;       /* [part * cores + core]: the number of its last one there */
static uint64_t calm_raw;      /* ... when something last happened from outside: the conductor, a core that is back */

/* fiber_switch(&from, to): callee-saved registers on the old stack, then the other one's. */
void fiber_switch(void **from, void *to);
__asm__(".text\n.globl fiber_switch\nfiber_switch:\n"
	"push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
	"mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
	"pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");

void __asan_unpoison_memory_region(const volatile void *p, size_t bytes) __attribute__((weak));

static void settle(const struct sim_core *c);

void sim_start_fiber(unsigned i)
{
	struct sim_core *c = &sim.core[i];
	void **sp = (void **)(c->stack + STACK_BYTES - 16);

	if (__asan_unpoison_memory_region) /* the functions that ran on it before have not returned */
		__asan_unpoison_memory_region(c->stack, STACK_BYTES);
	*--sp = 0; /* a core's main function never returns */
	*--sp = (void *)(uintptr_t)(sim.life ? sim.life : world_core);
	for (unsigned r = 0; r < 6; r++)
		*--sp = 0;
	c->sp = sp;
	c->state = FIBER_READY;
	c->news = true;
	c->gives_up = false;
	c->kick = false;
	c->stores = 0;
	c->shot_raw = 0;
	settle(c);
}

/*
 * The least delays from core to core: different for each pair and direction. Where a relay
 * by a third core is quicker, that counts.
 */
static void place_cores(void)
{
	unsigned n = sim.cores;

	distance = realloc(distance, (size_t)n * n * sizeof(*distance));
	for (unsigned i = 0; i < n * n; i++) {
		struct random r = { .state = sim.seed ^ ((uint64_t)(i / n) << 32 | i % n) };

		distance[i] = sim.near_ns + (uint32_t)random_below(&r, sim.spread_ns);
	}
	for (unsigned by = 0; by < n; by++)
		for (unsigned i = 0; i < n * n; i++) {
			uint32_t relayed = distance[i / n * n + by] + distance[by * n + i % n];

			if (i / n != by && i % n != by && relayed < distance[i])
				distance[i] = relayed;
		}
}

void machine_reset(void)
{
	static unsigned made;
	static _Atomic uint32_t gaps[PAIRS_MAX * PAIRS_MAX];
	static struct span spans[PAIRS_MAX];
	static uint32_t placed[PAIRS_MAX];
	static struct bound bounds[CORES_MAX];
	size_t parts = 1 + sim.cores * (1 + sizeof(*clocks) / PART_BYTES);

	if (made < sim.cores) {
		sim.core = realloc(sim.core, sim.cores * sizeof(*sim.core));
		clocks = aligned_alloc(64, sim.cores * sizeof(*clocks));
		for (unsigned i = made; i < sim.cores; i++)
			sim.core[i].stack = aligned_alloc(64, STACK_BYTES);
		look = realloc(look, sim.cores * sizeof(*look));
		due = realloc(due, sim.cores * sizeof(*due));
		states = realloc(states, sim.cores);
		free(looked); /* with more than NEWS_CORES_MAX every look is news */
		looked = sim.cores <= NEWS_CORES_MAX ? calloc(parts * sim.cores, sizeof(*looked)) : 0;
		made = sim.cores;
	}
	if (sim.far)
		place_cores();
	sim.raw = 1000000;
	sim.steps = progress_step = acted_step = 0;
	sim.current = -1;
	sim.violation = V_NONE;
	sim.random.state = sim.seed * 2 + 1;
	wanted = -1;
	naps = 0;
	waiting = 0;
	on_fiber = false;
	core_count = sim.cores;
	atomic_init(&cores_lost, 0);
	sim.truth = (struct sim_truth){ 0 };
	for (unsigned i = 0; i < sim.cores; i++) {
		char *stack = sim.core[i].stack;

		memset(&sim.core[i], 0, sizeof(sim.core[i]));
		sim.core[i].stack = stack;
		states[i] = FIBER_OFF;
		look[i] = ++looks;
		sim.core[i].core.self = cores[i] = &sim.core[i].core;
		sim.core[i].core.index = sim.core[i].core.apic_id = i;
	}
	the_stop = (struct stop){ 0 };
	clock_init(&the_clock, sim.policy, clocks, sim.cores, 0);
	the_clock.howler.use_timebase = true;
	timebase_boot();
	still_raw = calm_raw = sim.raw;
	the_clock.howler.rates.bound_ppb = sim.tempo_error * 1000;
	clock_pairs(&the_clock, sim.cores <= PAIRS_MAX ? gaps : 0, spans, placed, bounds);
	/* Without delays there is no minimum round trip to compare others with. */
	the_clock.rtt_pair_percent = the_clock.rtt_any_percent = UINT32_MAX;
	if (sim.far) {
		the_clock.rtt_pair_percent = 104;
		the_clock.rounds_max = 128;
	}
	if (sim.optimum)
		optimum_reset();
	the_clock.rounds_min = the_clock.rounds_first = sim.exhaustive ? 1 : sim.far ? 16 : 4;
}

/* --- schedule --- */

static void resume(unsigned i)
{
	if (sim.core[i].late_raw) { /* whatever happened meanwhile, it sees now */
		sim.core[i].late_raw = 0;
		sim.core[i].local_raw = still_raw = calm_raw = sim.raw;
	}
	settle(&sim.core[i]);
	sim.current = (int)i;
	on_fiber = true;
	fiber_switch(&main_sp, sim.core[i].sp);
	on_fiber = false;
	sim.current = -1;
}

static void leave(void)
{
	struct sim_core *c = &sim.core[sim.current];

	settle(c);
	fiber_switch(&c->sp, main_sp);
}

static void drain(struct sim_core *c);
static uint64_t wake_of(const struct sim_core *c);

void sim_pass(uint64_t ns)
{
	if (sim.current < 0) {
		sim.raw += ns;
		return;
	}
	sim.core[sim.current].wake_raw = sim.raw + ns;
	sim_rest(FIBER_WAITING);
}

void sim_late(uint64_t ns)
{
	struct sim_core *c = &sim.core[sim.current];

	drain(c); /* whatever delays it, its store buffer drains meanwhile */
	c->late_raw = ns == NEVER ? NEVER : sim.raw + ns;
	leave();
}

void sim_deaf(uint64_t ns)
{
	struct sim_core *c = &sim.core[sim.current];

	if (c->deaf_raw < sim.raw + ns)
		c->deaf_raw = sim.raw + ns;
	if (c->kick && c->kick_raw < c->deaf_raw)
		c->kick_raw = c->deaf_raw;
}

/* The message in this word; NULL: it is no word of an exchange, or messages take no time. */
static struct message *message(const volatile void *p)
{
	size_t at = (size_t)((const volatile char *)p - (const volatile char *)clocks), size = sizeof(*clocks);

	if (!sim.far || (const volatile char *)p < (const volatile char *)clocks || at >= sim.cores * size)
		return 0;
	struct sim_core *c = &sim.core[at / size];
	at %= size;
	return at == offsetof(struct clock_core, exchange.ask) ? &c->ask :
	       at == offsetof(struct clock_core, exchange.answer) ? &c->answer : 0;
}

/* A message's delay beyond the least: mostly small, one in 8 up to 16 times as much: a heavy tail. */
static uint64_t late_ns(void)
{
	uint64_t d = random_below(&sim.random, 4) ? random_below(&sim.random, 40) : 0;

	return random_below(&sim.random, 8) ? d : d * (1 + random_below(&sim.random, 16));
}

/* Words that polling cores write again and again: to change them is no progress. */
static bool fleeting(const volatile void *p)
{
	size_t at = (size_t)((const volatile char *)p - (const volatile char *)clocks), in = at % sizeof(*clocks);
	const struct core *me = this_core();

	return p == (const volatile void *)&the_clock.howler.busy || p == (const volatile void *)&me->beats ||
	       p == (const volatile void *)&me->requests ||
	       (at < sim.cores * sizeof(*clocks) &&
		(in == offsetof(struct clock_core, exchange.ask) || in == offsetof(struct clock_core, howler.answers) ||
		 in == offsetof(struct clock_core, howler.partner)));
}

/* What others may wait for while one core has it: parts of the clock, a stopped machine and all stores in it, its requests. */
static bool contended(const volatile void *p)
{
	const struct howler *h = &the_clock.howler;

	return the_stop.by == (unsigned)sim.current + 1 || p == (const volatile void *)&h->busy || p == (const volatile void *)&h->joiner ||
	       p == (const volatile void *)&the_clock.base || p == (const volatile void *)&the_stop.state ||
	       p == (const volatile void *)&sim.core[sim.current].core.stop ||
	       p == (const volatile void *)&sim.core[sim.current].core.requests;
}

static uint64_t fetch(const volatile void *p, unsigned size)
{
	const void *from = (const void *)(uintptr_t)p;
	uint64_t v = 0;

	if (size == sizeof(uint32_t))
		memcpy(&v, from, sizeof(uint32_t));
	else if (size == sizeof(uint64_t))
		memcpy(&v, from, sizeof(uint64_t));
	else
		memcpy(&v, from, size);
	return v;
}

/* The part of memory that p is in: each word of the clock is one, so is each core's block, and all the rest. */
static size_t part_of(const volatile void *p)
{
	size_t at = (size_t)((const volatile char *)p - (const volatile char *)clocks);

	if (at < sim.cores * sizeof(*clocks))
		return (1 + sim.cores + at / PART_BYTES) * sim.cores;
	at = (size_t)((const volatile char *)p - (const volatile char *)sim.core);
	return at < sim.cores * sizeof(*sim.core) ? (1 + at / sizeof(*sim.core)) * sim.cores : 0;
}

/* The running core looks there. */
static void look_at(const volatile void *p)
{
	if (sim.current >= 0 && looked)
		looked[part_of(p) + (unsigned)sim.current] = look[sim.current];
}

/* Memory changes at p: that is news for cores that have looked there, and the writer isn't idle. */
static void change(const volatile void *p)
{
	if (sim.current >= 0)
		sim.core[sim.current].news = true;
	if (!looked)
		return;
	const uint32_t *at = looked + part_of(p);

	for (unsigned i = 0; i < sim.cores; i++)
		if (at[i] == look[i])
			sim.core[i].news = true;
}

static void apply(const struct store *s)
{
	struct message *m = message(s->p);

	if (m && sim.current >= 0) {
		sim.truth.exchanges += m == &sim.core[sim.current].ask;
		*m = (struct message){ sim.core[sim.current].local_raw + STEP_NS, late_ns(), (unsigned)sim.current };
	}
	if ((fetch(s->p, s->size) ^ s->value) << (64 - 8 * s->size)) {
		change(s->p);
		if (!(sim.sick && fleeting(s->p))) {
			progress_step = sim.steps;
			naps = 0;
			still_raw = sim.raw;
		}
	}
	memcpy((void *)(uintptr_t)s->p, &s->value, s->size);
	if (sim.sick && sim.current >= 0 && contended(s->p))
		sick_near();
}

/* To the others it is as if that core made the store just now. */
static void drain_one(struct sim_core *c)
{
	struct store oldest = c->buffer[0];
	int me = sim.current;

	memmove(c->buffer, c->buffer + 1, --c->stores * sizeof(c->buffer[0]));
	sim.current = (int)(c - sim.core);
	apply(&oldest);
	sim.current = me;
}

void machine_drain(unsigned core)
{
	struct sim_core *c = &sim.core[core];

	drain_one(c);
	c->buffer[c->stores] = (struct store){ 0 };
}

static void drain(struct sim_core *c)
{
	while (c->stores)
		machine_drain((unsigned)(c - sim.core));
}

static void hang(void)
{
	const struct core *c = &sim.core[sim.current].core;

	int n = snprintf(sim.text, sizeof(sim.text), "nobody gets on: core %d is at \"%s\" %u;", sim.current,
			 c->where ? c->where : "?", c->where_arg);
	for (unsigned i = 0; i < sim.cores && n < (int)sizeof(sim.text); i++) {
		const struct clock_core *k = &the_clock.core[i];

		n += snprintf(sim.text + n, sizeof(sim.text) - (size_t)n, " [%u] %s%s%s%s%s%s%s %x", i,
			      sim.core[i].core.state >= CORE_FENCED ? "lost " : sim.core[i].late_raw == NEVER ? "dead " : "",
			      sim.core[i].task ? "busy " : "", (the_clock.base & BASE_CORE) == i ? "base " : "", k->online ? "" : "off ",
			      k->synced ? "" : "unsynced ", k->in_transition ? "in transition " : "",
			      k->led ? "led" : "", sim.core[i].core.requests);
	}
	sim_stop(V_HANG);
}

/*
 * Cores poll and nothing happens, but one may wait for a time that is many polls away: let time jump to the earliest
 * such. If that happens again and again, it is a hang all the same.
 */
static bool sleeper_wakes(void)
{
	uint64_t until = UINT64_MAX;

	for (unsigned i = 0; i < sim.cores; i++) {
		uint64_t wake = wake_of(&sim.core[i]);

		until = wake > sim.raw && wake < until ? wake : until;
	}
	if (until == UINT64_MAX || ++naps > NAPS_MAX)
		return false;
	sim.raw = until;
	progress_step = sim.steps;
	return true;
}

static void look_for_hang(void)
{
	/* All cores may be brought online in a row, and each has to measure all others, while the rest poll. */
	uint64_t most = (sim.sick ? DEAD_TIMES : 1) * BUSY_STEPS + JOIN_STEPS * (uint64_t)sim.cores * sim.cores * (16 + sim.cores) / 16;

	if ((sim.steps - progress_step > QUIET_STEPS + (sim.sick & SICK_DEAD ? DEAD_QUIET_STEPS : 2000) * (uint64_t)sim.cores && !sleeper_wakes()) || sim.steps - acted_step > most)
		hang();
}

/*
 * every.c: the running core accesses this word next. If the order of that and other cores' accesses matters, its move
 * ends here, and it goes on when chosen again. Locked: the access also drains its buffer.
 */
void sim_touch(const volatile void *p, bool write, bool locked)
{
	if (!sim.every)
		return;
	bool hot = every_hot(p, write);

	if (!on_fiber || !(hot || (locked && sim.core[sim.current].stores)))
		return;
	sim.core[sim.current].next = hot ? p : 0;
	sim.core[sim.current].at = sim_at;
	leave();
	sim.core[sim.current].next = 0;
	every_did(p, write, sim.core[sim.current].at);
}

void sim_step(void)
{
	if (sim.current < 0 || sim.every)
		return;
	do {
		sim.raw += STEP_NS;
		if (sim.sick) {
			struct sim_core *c = &sim.core[sim.current];

			sick_step();
			if (c->shot_raw && sim.raw >= c->shot_raw) {
				sim_log("takes the NMI, and halts");
				sim_late(NEVER);
			}
		}
		if (!(++sim.steps % HANG_LOOK_STEPS))
			look_for_hang();
	} while (sim.steps >= explore_next && explore_decide());
}

void sim_yield(void)
{
	if (sim.current < 0)
		return;
	struct sim_core *c = &sim.core[sim.current];

	sim_step();
	/* PAUSE drains nothing; but while a core polls its stores do reach memory. */
	if (c->stores && !sim.every && !explore_hold())
		drain(c);
	c->state = FIBER_YIELDED;
	c->yields++;
	leave();
}

void sim_rest(enum fiber_state s)
{
	/* An interrupt or VM exit wakes it and drains its buffer (SDM 3A, 12.10); a wait for a message doesn't. */
	struct sim_core *c = &sim.core[sim.current];

	if (s != FIBER_WAITING && c->stores && !sim.every) {
		sim_step();
		drain(c);
	}
	c->state = s;
	leave();
	if (sim.every)
		drain(c);
	if (s != FIBER_WAITING)
		c->local_raw = sim.raw;
}

bool sim_kicked(void)
{
	struct sim_core *c = &sim.core[sim.current];

	if (!c->kick || sim.raw < c->kick_raw)
		return false;
	c->kick = false;
	still_raw = calm_raw = sim.raw;
	return true;
}

/* When can this core go on, be it only to poll? UINT64_MAX: not before it is kicked. */
static uint64_t wake_of(const struct sim_core *c)
{
	uint64_t at = UINT64_MAX;

	if (c->state == FIBER_READY || c->state == FIBER_YIELDED)
		at = 0;
	else if (c->state == FIBER_WAITING || (c->state == FIBER_RESTING && c->wake_raw))
		at = c->wake_raw;
	if ((c->state == FIBER_RESTING || c->state == FIBER_HALTED) && c->kick && c->kick_raw < at)
		at = c->kick_raw;
	return at < c->late_raw ? c->late_raw : at;
}

static bool runnable(const struct sim_core *c)
{
	return c->state != FIBER_YIELDED && wake_of(c) <= sim.raw;
}

static bool polling(const struct sim_core *c)
{
	return c->state == FIBER_YIELDED && c->late_raw <= sim.raw;
}

/* Would a poll find the same again? Not if the core gives up after some polls; if nothing happens at all, all poll. */
static bool idle(const struct sim_core *c)
{
	return !c->news && !c->gives_up && c->idle >= IDLE_LOOKS && sim.steps - progress_step < QUIET_STEPS / 4;
}

/* Keeps in arrays what loops over all cores need: when each can run (UINT64_MAX if it only polls), and its state. */
static void settle(const struct sim_core *c)
{
	unsigned i = (unsigned)(c - sim.core);

	waiting += (c->state == FIBER_WAITING) - (states[i] == FIBER_WAITING);
	states[i] = (uint8_t)c->state;
	due[i] = c->state == FIBER_YIELDED ? UINT64_MAX : wake_of(c);
}

/*
 * The next core: one that can run, the first in this schedule's order of
 * priorities, else, in turn, one that only polls, and of those one that may find
 * something; -1: all rest.
 */
static int next_core(int from)
{
	int poller = -1;

	for (unsigned n = 0; n < sim.cores; n++)
		if (due[sim.order[n]] <= sim.raw)
			return (int)sim.order[n];
	for (unsigned n = 1; n <= sim.cores; n++) {
		unsigned i = (unsigned)(from + (int)n);

		i -= i < sim.cores ? 0 : sim.cores;
		if (states[i] != FIBER_YIELDED || sim.core[i].late_raw > sim.raw)
			continue;
		if (!idle(&sim.core[i]))
			return (int)i;
		if (poller < 0)
			poller = (int)i;
	}
	return poller;
}

/* Can a core still run, or is a kick on its way? Timers don't count, as they go on for ever, nor do lost cores. */
static bool message_pending(void)
{
	for (unsigned i = 0; i < sim.cores; i++) {
		const struct sim_core *c = &sim.core[i];

		if (c->state != FIBER_OFF && c->core.state != CORE_LOST && wake_of(c) != UINT64_MAX && (c->state != FIBER_RESTING || c->kick))
			return true;
	}
	return false;
}

/* Nobody can run: true time passes until a kick arrives or the conductor can act. */
static bool pass_time(void)
{
	uint64_t until = UINT64_MAX, raw;

	for (unsigned i = 0; i < sim.cores; i++) {
		uint64_t wake = wake_of(&sim.core[i]);

		until = wake < until ? wake : until;
	}
	if (conductor_done() && !message_pending())
		return false;
	if (conductor_wait(&raw) && raw < until)
		until = raw;
	if (until == UINT64_MAX)
		return false;
	if (until > sim.raw)
		sim.raw = until;
	if (sim.read_ns)
		progress_step = sim.steps; /* they all rest: nobody is stuck */
	return true;
}

unsigned machine_enabled(uint16_t *what, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sim.cores && n < max; i++)
		if ((int)i != sim.current &&
		    (due[i] <= sim.raw ||
		     (states[i] == FIBER_YIELDED && polling(&sim.core[i]) && !idle(&sim.core[i])) ||
		     (states[i] == FIBER_RESTING && sim.core[i].late_raw <= sim.raw)))
			what[n++] = (uint16_t)i;
	if (n < max && conductor_ready())
		what[n++] = DECISION_CONDUCTOR;
	for (unsigned i = 0; i < sim.cores && n < max; i++)
		if (sim.core[i].stores)
			what[n++] = (uint16_t)(DECISION_DRAIN | i);
	return n;
}

bool machine_obey(uint16_t what)
{
	if (what == DECISION_CONDUCTOR) {
		int me = sim.current;

		if (conductor_ready()) {
			sim.current = -1;
			conductor_act();
			acted_step = progress_step = sim.steps;
			calm_raw = sim.raw;
			sim.current = me;
		}
		return false;
	}
	if (what & DECISION_DRAIN) {
		what &= (uint16_t)~DECISION_DRAIN;
		if (what < sim.cores && sim.core[what].stores)
			drain_one(&sim.core[what]);
		return false;
	}
	if (what >= sim.cores || (int)what == sim.current || sim.core[what].state == FIBER_OFF ||
	    sim.core[what].late_raw > sim.raw ||
	    ((sim.core[what].state == FIBER_HALTED || sim.core[what].state == FIBER_WAITING) &&
	     !runnable(&sim.core[what])))
		return false;
	wanted = what;
	leave();
	return !called;
}

/* Only polling cores can run: true time passes until a message or a kick arrives. */
static bool pass_until_message(void)
{
	uint64_t until = UINT64_MAX;
	bool message = false;

	for (unsigned i = 0; waiting && i < sim.cores; i++) {
		const struct sim_core *c = &sim.core[i];

		if (c->late_raw > sim.raw)
			continue;
		message = message || c->state == FIBER_WAITING;
		if (c->state == FIBER_WAITING && c->wake_raw < until)
			until = c->wake_raw;
		if (c->kick && c->kick_raw > sim.raw && c->kick_raw < until)
			until = c->kick_raw;
	}
	if (!message || until <= sim.raw)
		return false;
	sim.raw = until;
	return true;
}

/*
 * ... while a core is late or dead: the longer nothing happens, the longer a poll takes. So such
 * a time costs hundreds of polls, each of which may see what others did meanwhile, or thousands
 * of turns of a core that loops without a wait.
 */
static void pass_slowly(void)
{
	uint64_t still = (sim.raw - still_raw) / LOOKS, calm = (sim.raw - calm_raw) / TURNS;
	uint64_t most = still > calm ? still : calm, until = sim.raw + (most < LOOK_NS ? most : LOOK_NS), raw;

	for (unsigned i = 0; i < sim.cores; i++) {
		uint64_t wake = wake_of(&sim.core[i]);

		if (wake > sim.raw && wake < until)
			until = wake;
	}
	if (conductor_wait(&raw) && raw > sim.raw && raw < until)
		until = raw;
	sim.raw = until;
}

/* Is a core late, or a kick on its way to one, and it is not lost yet? Others may wait for it: that is no hang. */
static bool anybody_sick(void)
{
	for (unsigned i = 0; i < sim.cores; i++) {
		const struct sim_core *c = &sim.core[i];

		if ((c->late_raw > sim.raw || (c->kick && c->kick_raw > sim.raw)) && c->core.state != CORE_LOST) {
			progress_step = sim.steps;
			return true;
		}
	}
	return false;
}

void machine_go_on(unsigned core)
{
	sim.core[core].state = FIBER_READY;
	resume(core);
}

void machine_settled(void)
{
	if (!setjmp(violated))
		world_settled();
}

void machine_memory(void (*add)(void *p, size_t bytes))
{
	for (unsigned i = 0; i < sim.cores; i++) {
		struct sim_core *c = &sim.core[i];

		add(&c->core, offsetof(struct core, gdt));
		add(&c->sp, offsetof(struct sim_core, ask) - offsetof(struct sim_core, sp));
		add(c->buffer, sizeof(c->buffer));
		add(&clocks[i], sim.policy->first_base ? sizeof(clocks[i]) : offsetof(struct clock_core, howler));
	}
	add(&the_clock, sizeof(the_clock));
	add(&the_stop, sizeof(the_stop));
	add(&sim.raw, sizeof(sim.raw));
	add(&sim.last, sizeof(sim.last) + sizeof(sim.last_slack));
}

void machine_run(void)
{
	volatile int last = -1; /* survives the longjmp */

	if (setjmp(violated))
		return;
	for (;;) {
		int next = wanted >= 0 ? wanted : next_core(last);

		if (sim.far && next >= 0 && wanted < 0 && sim.core[next].state == FIBER_YIELDED && pass_until_message())
			next = next_core(last);
		if (sim.sick && next >= 0 && wanted < 0 && polling(&sim.core[next]) && anybody_sick()) {
			pass_slowly();
			next = next_core(last);
		}
		called = wanted >= 0;
		wanted = -1;
		if (next < 0 || (sim.core[next].state == FIBER_YIELDED && sim.steps - progress_step > 64 &&
				 conductor_ready())) {
			if (conductor_ready()) {
				conductor_act();
				acted_step = progress_step = sim.steps;
				still_raw = calm_raw = sim.raw;
			} else if (next < 0 && !pass_time()) {
				break;
			}
			if (next < 0)
				continue;
		}
		if (sim.core[next].state == FIBER_YIELDED) {
			struct sim_core *c = &sim.core[next];

			c->idle = c->news ? 0 : c->idle + 1;
			if (c->news)
				look[next] = ++looks;
			c->news = !looked;
		}
		sim.core[next].state = FIBER_READY;
		last = next;
		resume((unsigned)next);
		if (sim.violation)
			return;
	}
	world_settled();
}

void sim_violation(enum violation_kind kind, const char *fmt, ...)
{
	va_list args;

	if (!(sim.watch >> kind & 1))
		return;
	va_start(args, fmt);
	vsnprintf(sim.text, sizeof(sim.text), fmt, args);
	va_end(args);
	sim_stop(kind);
}

_Noreturn void sim_stop(enum violation_kind kind)
{
	sim.violation = kind;
	sim_log("*** %s: %s", violation_name(kind), sim.text);
	sim.current = -1;
	if (on_fiber) {
		void *dead;

		fiber_switch(&dead, main_sp);
		abort(); /* nobody comes back to this stack */
	}
	longjmp(violated, 1);
}

void sim_log(const char *fmt, ...)
{
	va_list args;

	if (!sim.log)
		return;
	printf("%8lu %9lu  ", (unsigned long)sim.steps, (unsigned long)sim.raw);
	for (int i = 0; i < sim.current; i++)
		fputs("            ", stdout);
	if (sim.current >= 0)
		printf("[%d] ", sim.current);
	else
		printf("conductor: ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

/* --- memory: x86-TSO (Owens, Sarkar, Sewell). Each access is a step, and takes place at its end. --- */

uint64_t sim_distance(unsigned from, unsigned to)
{
	return from == to || !sim.far ? 0 : distance[from * sim.cores + to];
}

/*
 * Waits until the message has arrived, which is when the next stamp is taken. If
 * a newer one is sent meanwhile, that one counts.
 */
static uint64_t receive(const struct message *m)
{
	struct sim_core *c = &sim.core[sim.current];
	uint64_t here;

	while ((here = m->raw + sim_distance(m->from, (unsigned)sim.current) + m->late_ns) > sim.raw) {
		c->wake_raw = here;
		sim_rest(FIBER_WAITING);
	}
	return here;
}

/* What the running core reads there: its own buffered stores come first. */
static uint64_t peek(const volatile void *p, unsigned size)
{
	if (sim.current >= 0) {
		struct sim_core *c = &sim.core[sim.current];

		for (unsigned i = c->stores; i-- > 0;) {
			const struct store *s = &c->buffer[i];
			const volatile char *from = p, *at = s->p;

			if (at == from && s->size == size)
				return s->value;
			if (at < from + size && from < at + s->size) { /* not forwarded: the load waits for it */
				drain(c);
				break;
			}
		}
	}
	return fetch(p, size);
}

uint64_t sim_load(const volatile void *p, unsigned size)
{
	sim_touch(p, false, false);
	sim_step();
	look_at(p);
	uint64_t v = peek(p, size);

	if (sim.optimum)
		optimum_load(p, v);
	return v;
}

/* Every other online core stands still, and has said so. */
static bool stopped(void)
{
	uint64_t state = peek(&the_stop.state, sizeof(the_stop.state));

	for (unsigned i = 0; i < sim.cores; i++)
		if ((int)i != sim.current && the_clock.core[i].online && cores[i]->state != CORE_LOST &&
		    cores[i]->stop != state)
			return false;
	return state % STOP_NUMBER == STOP_STILL;
}

static void check_base_change(const volatile void *p)
{
	if (sim.policy->first_base || p != (volatile void *)&the_clock.base || sim.current < 0)
		return;
	if (!stopped())
		sim_violation(V_RULES, "R2: the base changes and not every core stands still");
	world_base_moves();
}

void sim_store(volatile void *p, unsigned size, uint64_t value, memory_order order)
{
	struct store s = { p, value, size };
	bool locked = order == memory_order_seq_cst;

	if (locked || sim.current < 0 || p == (volatile void *)&the_clock.base)
		sim_touch(p, true, locked);
	sim_step();
	check_base_change(p);
	if (p == (volatile void *)&the_clock.base && !(value & BASE_CLAIMED) && sim.current >= 0 && !sim.truth.lines++) {
		/* The very first line, made just now, defines the origin of the reference. */
		struct core *me = &sim.core[sim.current].core;

		sim.start_ns = (int64_t)(line_read(&the_clock.core[me->index].line, tempo_tsc(&me->tempo, sim.raw)) -
					 timebase_true(sim.raw));
		if (sim.optimum)
			optimum_start();
	}
	if (sim.optimum)
		optimum_store(p, value);
	if (sim.current < 0) {
		apply(&s);
		return;
	}
	struct sim_core *c = &sim.core[sim.current];

	if (locked) /* XCHG: done and visible before anything after it */
		drain(c);
	else if (c->stores == TSO_DEPTH)
		drain_one(c);
	if (sim.every ? !locked && every_hot(p, true) : c->stores || (!locked && explore_hold()))
		c->buffer[c->stores++] = s;
	else
		apply(&s);
}

static const char fenced; /* the word of a fence: never hot */

void sim_fence(memory_order order)
{
	if (order == memory_order_seq_cst)
		sim_touch(&fenced, false, true);
	sim_step();
	if (order == memory_order_seq_cst && sim.current >= 0)
		drain(&sim.core[sim.current]);
}

uint64_t sim_rmw(volatile void *p, unsigned size, enum sim_rmw op, uint64_t value)
{
	sim_touch(p, true, true);
	sim_step();
	if (sim.current >= 0)
		drain(&sim.core[sim.current]);
	look_at(p);
	uint64_t old = fetch(p, size);
	uint64_t new = op == SIM_OR ? old | value : op == SIM_AND ? old & value : op == SIM_ADD ? old + value : value;
	struct store s = { p, new, size };

	apply(&s);
	return old;
}

/* R2': the base role moves away from a core that is not synchronised, or is none any more. */
static void check_base_swap(const volatile void *p)
{
	uint32_t base = the_clock.base;

	if (p == (volatile void *)&the_clock.base && !(base & (BASE_LOST | BASE_CLAIMED)) &&
	    the_clock.core[base & BASE_CORE].synced && the_clock.core[base & BASE_CORE].online)
		sim_violation(V_RULES, "R2': the base role is taken from core %u, which is synchronised", base & BASE_CORE);
}

bool sim_cas(volatile void *p, unsigned size, void *expected, uint64_t value)
{
	sim_touch(p, true, true);
	sim_step();
	if (sim.current >= 0)
		drain(&sim.core[sim.current]);
	look_at(p);
	uint64_t old = fetch(p, size);
	struct store s = { p, value, size };

	if (memcmp(&old, expected, size)) {
		memcpy(expected, &old, size);
		return false;
	}
	check_base_swap(p);
	apply(&s);
	return true;
}

/* --- smp/ as the code under test sees it --- */

struct core *this_core(void)
{
	return sim.current < 0 ? &nobody : &sim.core[sim.current].core;
}

uint64_t raw_now(void)
{
	sim_touch(&sim.raw, false, false);
	sim_step();
	if (sim.current >= 0)
		sim.core[sim.current].news = true;
	return sim.raw;
}

uint64_t raw_of_ns(uint64_t ns)
{
	return ns;
}

/* Mostly quick, sometimes late: one in 16 takes up to 16 times as long. */
static uint64_t delay_ns(uint64_t typical)
{
	if (sim.exhaustive)
		return 0;
	uint64_t d = typical / 2 + random_below(&sim.random, typical);

	return random_below(&sim.random, 16) ? d : d * (1 + random_below(&sim.random, 16));
}

/* smp/watch.c's is called watch() here. It costs steps, so only runs with dead cores have it. */
void core_watch(void)
{
	if (sim.sick & SICK_DEAD)
		watch();
}

uint64_t sim_slice(void)
{
	return sim.sick & SICK_DEAD ? sim.raw + SLICE_NS : 0;
}

/* The NMI; half of the cores that were only late come back at about the same time. */
const char *core_shoot(const struct core *who)
{
	struct sim_core *c = &sim.core[who->index];

	c->shot_raw = sim.raw + delay_ns(100);
	if (c->late_raw > sim.raw && c->late_raw != NEVER && random_below(&sim.random, 2))
		c->late_raw = sim.raw + random_below(&sim.random, 200);
	settle(c);
	return "fenced";
}

void print(const char *fmt, ...)
{
	char text[200];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	sim_log("%.*s", (int)strcspn(text, "\n"), text);
}

_Noreturn void core_halt(void)
{
	sim_log("finds itself fenced, and halts");
	for (;;)
		sim_late(NEVER);
}

void core_relax(void)
{
	sim_yield();
}

void apic_send(uint32_t to, uint32_t nmi)
{
	struct sim_core *c = &sim.core[to];
	uint64_t at = sim.raw + delay_ns(100);

	(void)nmi;
	at = at < c->deaf_raw ? c->deaf_raw : at;
	if (!c->kick || at < c->kick_raw)
		c->kick_raw = at;
	c->kick = true;
	settle(c);
}

void halt_until_nmi(void)
{
	while (!(sim.core[sim.current].core.requests) && !sim_kicked())
		sim_rest(FIBER_HALTED);
}

void halt_until_interrupt(void)
{
	sim_yield();
}

void apic_timer(uint32_t count)
{
	(void)count;
}

_Noreturn void panic_at(const char *file, int line, const char *fmt, ...)
{
	int n = snprintf(sim.text, sizeof(sim.text), "%s:%d: ", file, line);
	va_list args;

	va_start(args, fmt);
	vsnprintf(sim.text + n, sizeof(sim.text) - (size_t)n, fmt, args);
	va_end(args);
	sim_stop(V_CHECK);
}

_Noreturn void port_panic(const char *file, int line, const char *what)
{
	panic_at(file, line, "check failed: %s", what);
}

uint32_t raw_khz = 1000000, apic_timer_khz = 1000000;

/* --- clock/port.h --- */

unsigned port_core(void)
{
	return (unsigned)sim.current;
}

uint64_t port_tsc(void)
{
	struct sim_core *c = &sim.core[sim.current];

	sim_touch(&sim.raw, false, false);
	sim_step();
	c->news = true;
	if (c->awaited) {
		uint64_t here = receive(c->awaited);

		c->local_raw = (here > c->local_raw ? here : c->local_raw) + STEP_NS;
		c->awaited = 0;
	} else {
		c->local_raw = sim.raw;
	}
	uint64_t tsc = tempo_tsc(&c->core.tempo, c->local_raw);

	if (sim.optimum)
		optimum_stamp(tsc);
	return tsc;
}

void port_request(unsigned core, unsigned bits)
{
	core_request(core, bits);
}

/*
 * every.c: give up polling this word? To poll in vain any number of times and then find it changed is the same as
 * not to have run meanwhile. But a follower whose leader is slow asks anew, once per lead.
 */
static bool give_up(struct sim_core *c, const _Atomic uint32_t *word)
{
	const struct clock_core *k = &the_clock.core[sim.current];

	if (word != &k->exchange.answer)
		return true;
	uint32_t led = (uint32_t)sim_load(&k->led, sizeof(k->led)), requests = (uint32_t)sim_load(&c->core.requests, sizeof(c->core.requests));
	if (requests & (REQ_NOW | REQ_STOP) || led != k->led_begun)
		return true;
	bool first = c->gave_up != led;
	c->gave_up = led;
	return first;
}

bool port_await_change(const _Atomic uint32_t *word, uint32_t old)
{
	struct sim_core *c = &sim.core[sim.current];

	while (sim.every) {
		if (sim_load(word, sizeof(*word)) != old)
			return true;
		if (give_up(c, word))
			return false;
	}
	for (unsigned i = 0; i < AWAIT_POLLS; i++) {
		if (sim_load(word, sizeof(*word)) != old) {
			c->awaited = message(word);
			if (c->awaited)
				receive(c->awaited);
			return true;
		}
		c->gives_up = true;
		sim_yield();
		c->gives_up = false;
	}
	c->news = true; /* it stops polling and does something else */
	return !sim.far && sim_load(word, sizeof(*word)) != old;
}
