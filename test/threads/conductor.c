/* SPDX-License-Identifier: MIT */
/*
 * A storm from a thread that is no core: it lets any online core carry out any
 * step, base or not, in a resync or not. hv/conduct.c can't do that: its seat
 * moves with the base. The conductor acquires from all cores, but releases only to
 * the one that it starts, so that it creates no order between cores.
 */
#include "clock/port.h"
#include "threads.h"

enum { SETTLE_READINGS = 2000, LOOK_NS = 30000 };

/* What the conductor wants a core to do at the top of its loop. */
struct task {
	uint64_t kind : 4, core : 8, effect_ns : 20, khz : 32;
};
enum { TASK_NONE, TASK_BEFORE, TASK_AFTER, TASK_DOWN, TASK_UP, TASK_END };

enum phase { PHASE_NONE, PHASE_BEFORE, PHASE_AFTER, PHASE_DOWN, PHASE_START, PHASE_UP, PHASE_SYNC };

struct flight {
	enum phase phase;
	unsigned by; /* the core that carries out the present step */
	uint64_t after_ns;
};

static _Atomic(struct task) task[CORES_MAX]; /* the conductor sets it, the core clears it */
static struct flight flight[CORES_MAX];
static struct storm storm;
static struct random chance;
static struct storm_event next;   /* drawn, and not begun yet */
static bool drawn;
struct figures figures;

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
	struct task t = atomic_load_explicit(&task[core], memory_order_acquire);

	return t;
}

static void look(void)
{
	machine_pause(random_below(&chance, LOOK_NS));
	for (unsigned i = 0; i < core_count; i++) /* a task sets no request, so the core may have halted */
		if (task_of(i).kind)
			machine_kick(i);
}

static void give(unsigned by, struct task t)
{
	atomic_store_explicit(&task[by], t, memory_order_relaxed);
}

/* A random online core that has no task and isn't leaving; -1: none now. */
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

static void draw_start(struct core *c)
{
	c->start_khz = raw_khz / 2 + (uint32_t)random_below(&chance, raw_khz);
	c->start_tsc = random_below(&chance, 1ull << 40);
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
	drawn = storm_next(&storm, states, core_count, clock_base(&the_clock), hotplug, &next);
}

/* False: not yet. A core is taken down only when no task is its own or concerns it. */
static bool begin(const struct storm_event *e)
{
	struct flight *f = &flight[e->core];
	int by = executor();

	if (by < 0)
		return false;
	for (unsigned i = 0; e->kind == STORM_OFFLINE && i < core_count; i++)
		if (task_of(i).kind && (i == e->core || task_of(i).core == e->core))
			return false;
	figures.over += f->phase != PHASE_NONE; /* a tempo change on a core that leaves ends there */
	figures.begun++;
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
		draw_start(cores[e->core]);
		core_start_begin(cores[e->core]);
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
	figures.over++;
}

/* Has every online core made that many readings? */
static bool all_read(uint64_t than)
{
	for (unsigned i = 0; i < core_count; i++)
		if (online(i) && atomic_load_explicit(&thread_core[i].readings, memory_order_relaxed) < than)
			return false;
	return true;
}

/* When all cores have made some more readings, one of them ends the run. */
static void finish(void)
{
	uint64_t most = 0;
	int by = -1;

	for (unsigned i = 0; i < core_count; i++) {
		uint64_t n = atomic_load_explicit(&thread_core[i].readings, memory_order_relaxed);

		most = n > most ? n : most;
	}
	while (!world_synced() || !all_read(most + SETTLE_READINGS) || (by = executor()) < 0)
		look();
	give((unsigned)by, (struct task){ .kind = TASK_END });
	while (!atomic_load_explicit(&world.ended, memory_order_acquire))
		look();
}

void conductor_run(unsigned events, const char *scenario, uint64_t seed)
{
	uint64_t due = 0;

	storm_start(&storm, scenario, seed, raw_khz);
	chance.state = ~seed;
	for (unsigned i = 0; i < core_count; i++)
		draw_start(cores[i]);
	machine_boot();
	while (!online(0) || !world_synced() || !all_read(1))
		look();
	while (figures.over < events) {
		for (unsigned i = 0; i < core_count; i++)
			if (flight[i].phase)
				step(&flight[i], i);
		if (figures.begun < events && !drawn && raw_now() >= due)
			draw();
		if (drawn && begin(&next)) {
			drawn = false;
			due = raw_now() + storm_gap_ns(&storm);
		}
		look();
	}
	finish();
}

/* --- on the cores, as hv/conduct.c --- */

void conduct_begin(void)
{
	sync_bring_up();
	core_request(0, REQ_RESYNC);
}

void conduct_sit(const struct stopped *s)
{
	(void)s;
}

/* Is there something to do for this core? */
bool conduct_seat(void)
{
	struct task t = atomic_load_explicit(&task[this_core()->index], memory_order_relaxed);

	return t.kind != TASK_NONE;
}

void conduct_poll(void)
{
	_Atomic(struct task) *mine = &task[this_core()->index];
	struct task t = atomic_load_explicit(mine, memory_order_relaxed);
	struct core *c = cores[t.core];

	switch (t.kind) {
	case TASK_BEFORE:
		atomic_store_explicit(&c->effect_raw, 0, memory_order_relaxed);
		atomic_store_explicit(&c->effect_delay_raw, t.effect_ns, memory_order_relaxed);
		while (the_clock.policy->notice_before(&the_clock, t.core, (uint32_t)t.khz) == CLOCK_NOT_YET)
			core_serve(), core_relax();
		break;
	case TASK_AFTER:
		while (the_clock.policy->notice_after(&the_clock, t.core) == CLOCK_NOT_YET)
			core_serve(), core_relax();
		break;
	case TASK_DOWN:
		sync_take_down(t.core);
		break;
	case TASK_UP:
		sync_bring_up();
		break;
	default:
		world_end();
	}
	/* Release, pairs with task_of: to the conductor, which passes nothing on. */
	atomic_store_explicit(mine, (struct task){ .kind = TASK_NONE }, memory_order_release);
}
