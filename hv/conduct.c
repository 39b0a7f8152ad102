/* SPDX-License-Identifier: MIT */
/*
 * The unseen conductor: draws events from the storm, sends the notices, takes
 * cores down and brings them up, sees that each event ends, and scores it.
 *
 * It runs on one online core, the `seat`, as a step function at the top of that
 * core's loop: it waits for nothing but a stopped machine, so several events are
 * in flight at once. Each stop draws a new seat. The seat owns all state here: it is
 * handed over by conduct_sit's release, which pairs with conduct_seat's acquire. (The
 * stop's own barriers don't do: a core that comes online in the stop takes no part in
 * it, and may become the seat while the others still stand.) If the seat is lost, the
 * first core that finds out takes over, and repeats what may be half done.
 */
#include "clock/port.h"
#include "hv/hv.h"
#include "smp/lib.h"

#define EVENT_LIMIT_NS 30000000000ull /* an event that takes longer has hung */
#define FINISH_LIMIT_NS 10000000000ull
#define SETTLE_NS 2000000ull         /* after the last event: readers go on */
#define LOOK_NS 200000ull            /* how often the seat looks at events in flight */
#define SLICE_NS 1000000ull

enum phase {
	PHASE_NONE,
	PHASE_BEFORE,  /* REQ_BEFORE sent */
	PHASE_AFTER,   /* REQ_AFTER sent, or the core is up: wait until it is online and synchronised */
	PHASE_START,   /* INIT sent */
	PHASE_LEAVE,   /* taken down: wait until it is off */
	PHASE_SCORE,   /* over: score it once the seat is synchronised */
};

struct flight {
	enum phase phase;
	struct event_record record;
	uint64_t begin_raw, after_raw; /* after_raw: from the change of tempo to the notice after it */
};

static _Atomic unsigned seat; /* written when stopped, or if its core is lost (release); read at loop tops (acquire) */
static unsigned sat;         /* the seat at the last poll */
static struct storm storm;
static struct flight flight[CORES_MAX]; /* by core: one event at a time on each */
static uint64_t due_raw;                /* of the next event */
static uint64_t lost_raw;               /* when a lost core was last taken down: limits count anew then; 0: never */
static uint64_t settle_raw;             /* when the guest will be told to finish; 0: the storm goes on */
static uint64_t begin_ref, begin_raw;   /* reference and aligned raw TSC at the first score; 0: not yet */
static uint64_t begin_doubt;            /* raw_doubt of the core that took begin_raw */
struct figures figures;
static struct random tempos;            /* for the cores' first tempos and TSCs, and for seats */

static void draw_start(struct core *c)
{
	c->start_khz = storm_still(&storm) ? raw_khz : raw_khz / 2 + (uint32_t)random_below(&tempos, raw_khz);
	c->start_tsc = random_below(&tempos, 1ull << 40);
}

void conduct_init(void)
{
	uint32_t most_ppb = options.tempo_error * 1000;

	storm_start(&storm, options.scenario, options.seed, raw_khz);
	if (storm_still(&storm))
		options.events = 0;
	tempos.state = ~options.seed;
	for (unsigned i = 0; i < core_count; i++) {
		draw_start(cores[i]);
		/* A fixed rate error, hidden from the clock code; drawn only if asked for, to keep the other draws the same. */
		if (most_ppb)
			cores[i]->error_ppb = (int32_t)random_below(&tempos, 2 * most_ppb + 1) - (int32_t)most_ppb;
	}
}

bool conduct_seat(void)
{
	unsigned me = this_core()->index, at = atomic_load_explicit(&seat, memory_order_acquire);

	return at == me || (core_lost(at) && clock_online(&the_clock, me) &&
			    atomic_compare_exchange_strong_explicit(&seat, &at, me, memory_order_acq_rel, memory_order_relaxed));
}

/*
 * Stopped: no line changes, so the clocks of all synchronised cores can be read for
 * one instant, and their spread checked against the published bound.
 */
static void score_skew(const struct stopped *s)
{
	uint64_t raw = raw_now(), low = UINT64_MAX, high = 0, doubt = 0, skew_ns, drift_ns;

	(void)s;
	for (unsigned i = 0; i < core_count; i++) {
		if (!clock_online(&the_clock, i) || !clock_synced(&the_clock, i))
			continue;
		uint64_t ns = sync_read(i, raw);

		low = ns < low ? ns : low;
		high = ns > high ? ns : high;
		doubt = cores[i]->raw_doubt > doubt ? cores[i]->raw_doubt : doubt;
	}
	if (high < low || !the_clock.policy->bounds || !bound_read(&the_clock, high, &skew_ns, &drift_ns))
		return;
	figures.looks++;
	figures.beyond += high - low > skew_ns + ns_of_raw(2 * doubt); /* "the same instant" is known no better */
	if (high - low > figures.worst_skew_ns)
		figures.worst_skew_ns = high - low;
}

/*
 * Stopped, the last action there: draw a new seat, so that it is not always the base
 * that takes cores down, and take-downs meet resyncs. The old seat must not touch
 * this file's state any more.
 */
void conduct_sit(const struct stopped *s)
{
	unsigned to;

	score_skew(s);
	do
		to = (unsigned)random_below(&tempos, core_count);
	while (!clock_online(&the_clock, to) || core_lost(to));
	atomic_store_explicit(&seat, to, memory_order_release);
	core_request(to, REQ_WAKE); /* a core that comes online now is not part of the stop, and may doze */
}

void conduct_begin(void)
{
	due_raw = raw_now() + raw_of_ns(SETTLE_NS);
	sync_bring_up();
	core_request(0, REQ_RESYNC);
}

/*
 * Advance one event by what has happened since. Idempotent, as it may repeat what a lost seat had begun. False: the
 * seat may have moved.
 */
static bool step(struct flight *f, struct core *c)
{
	uint64_t now = raw_now(), raw;

	if (core_lost(c->index)) {
		f->record.cut = true;
		f->phase = PHASE_SCORE;
	}
	switch (f->phase) {
	case PHASE_BEFORE:
		raw = atomic_load_explicit(&c->effect_raw, memory_order_acquire);
		if (!raw || raw_since(raw, now) < f->after_raw)
			break;
		the_clock.policy->notice_after(&the_clock, c->index); /* maybe again: a seat lost before the next line */
		f->phase = PHASE_AFTER;
		break;
	case PHASE_START:
		if (atomic_load_explicit(&c->state, memory_order_acquire) == CORE_OFF)
			core_start_begin(c);
		if (!core_start_step(c) || core_lost(c->index))
			break;
		f->phase = PHASE_AFTER;
		/* fall through */
	case PHASE_AFTER:
		if (!clock_online(&the_clock, c->index)) {
			sync_bring_up();
			return false;
		}
		raw = atomic_load_explicit(&c->synced_raw, memory_order_relaxed);
		if (!raw)
			break;
		f->record.out_raw = raw_since(f->record.kind == STORM_TEMPO ? atomic_load(&c->before_raw) : f->begin_raw, raw);
		f->phase = PHASE_SCORE;
		break;
	case PHASE_LEAVE:
		if (clock_online(&the_clock, c->index) || !c->leave) {
			sync_take_down(c->index);
			return false;
		}
		if (atomic_load_explicit(&c->state, memory_order_acquire) != CORE_OFF)
			break;
		f->record.out_raw = raw_since(f->begin_raw, now);
		f->phase = PHASE_SCORE;
		break;
	default:
		break;
	}
	return true;
}

static void begin_event(const struct storm_event *e)
{
	struct flight *f = &flight[e->core];
	struct core *c = cores[e->core];
	bool cut = f->phase != PHASE_NONE;

	/* A take-down ends a tempo change in flight on that core: report that one now, as its record is reused. */
	if (cut) {
		f->record.cut = true;
		report_event(&f->record);
	}
	figures.over += cut;
	*f = (struct flight){
		.record = { .number = ++figures.begun, .core = e->core, .base = clock_base(&the_clock), .kind = e->kind,
			    /* During a change the core may be writing its tempo_khz: use what the seat asked for. */
			    .khz_before = cut ? f->record.khz_after : the_clock.core[e->core].tempo_khz,
			    .khz_after = e->khz },
		.phase = e->kind == STORM_TEMPO ? PHASE_BEFORE : e->kind == STORM_ONLINE ? PHASE_START : PHASE_LEAVE,
		.begin_raw = raw_now(),
		.after_raw = raw_of_ns(e->after_ns),
	};
	if (e->kind == STORM_TEMPO) {
		atomic_store_explicit(&c->effect_raw, 0, memory_order_relaxed);
		atomic_store_explicit(&c->effect_delay_raw, raw_of_ns(e->effect_ns), memory_order_relaxed);
		the_clock.policy->notice_before(&the_clock, e->core, e->khz);
	} else if (e->kind == STORM_ONLINE) {
		draw_start(c);
		f->record.khz_after = c->start_khz;
	}
	step(f, c); /* last: the seat may have moved */
}

/* Reference minus truth, now, on this core. The clock code never sees it. False: this core is not synchronised. */
static bool score(struct flight *f)
{
	unsigned me = this_core()->index;

	if (!clock_synced(&the_clock, me))
		return false;
	uint64_t raw = raw_now();
	uint64_t ref = sync_read(me, raw);
	uint64_t skew_ns = 0, drift_ns = 0, least, most;

	timebase_look(raw);
	if (!begin_raw) {
		begin_ref = ref;
		begin_raw = raw;
		begin_doubt = cores[me]->raw_doubt;
	}
	truth_ns(&the_truth, raw_since(begin_raw, raw), &least, &most);
	uint64_t doubt = ns_of_raw(begin_doubt + cores[me]->raw_doubt);
	least -= doubt;
	most += doubt;
	int64_t ahead = (int64_t)(ref - begin_ref - least), behind = (int64_t)(ref - begin_ref - most);
	int64_t error = ahead / 2 + behind / 2;

	if (the_clock.policy->bounds && bound_read(&the_clock, ref, &skew_ns, &drift_ns)) {
		figures.looks++;
		/* The error is relative to the first reading, which was itself uncertain by its drift bound. */
		if (!figures.first_ns)
			figures.first_ns = drift_ns + 1;
		/* Violated for certain: what the bound allows, and what the truth can have been, do not intersect. */
		figures.beyond += behind > (int64_t)(drift_ns + figures.first_ns) || -ahead > (int64_t)(drift_ns + figures.first_ns);
		figures.drift_bound_ns = drift_ns;
		figures.skew_bound_ns = skew_ns;
	}
	if (f) {
		f->record.error_ns = error;
		f->record.truth_doubt_ns = (most - least) / 2;
		f->record.skew_bound_ns = skew_ns;
		f->record.drift_bound_ns = drift_ns;
		if (!f->record.cut && raw_magnitude(error) > figures.worst_error_ns)
			figures.worst_error_ns = raw_magnitude(error);
		report_event(&f->record);
		f->phase = PHASE_NONE;
		figures.over++;
	}
	return true;
}

static void launch(void)
{
	enum storm_core state[CORES_MAX];
	struct storm_event e;
	bool hotplug = false;

	for (unsigned i = 0; i < core_count; i++) {
		enum core_state s = atomic_load_explicit(&cores[i]->state, memory_order_relaxed);

		hotplug |= flight[i].phase == PHASE_LEAVE || (flight[i].phase && flight[i].record.kind == STORM_ONLINE);
		state[i] = clock_online(&the_clock, i) ? (flight[i].phase ? STORM_CORE_BUSY : STORM_CORE_ONLINE) :
			   s == CORE_OFF && !flight[i].phase ? STORM_CORE_OFFLINE : STORM_CORE_ABSENT;
	}
	if (!storm_next(&storm, state, core_count, clock_base(&the_clock), hotplug, &e))
		return;
	due_raw = raw_now() + raw_of_ns(storm_gap_ns(&storm));
	begin_event(&e);
}

static bool late(uint64_t since, uint64_t now, uint64_t limit_ns)
{
	return raw_since(since, now) > raw_of_ns(limit_ns) && (!lost_raw || raw_since(lost_raw, now) > raw_of_ns(limit_ns));
}

static bool anybody_learns(void)
{
	for (unsigned i = 0; i < core_count; i++)
		if (clock_online(&the_clock, i) && clock_learns(&the_clock, i))
			return true;
	return false;
}

static bool guest_ended(void)
{
	return vmx_usable && atomic_load_explicit(&guest.ended, memory_order_acquire);
}

static bool storm_over(void)
{
	if (options.events != OPTIONS_EVENTS_AUTO)
		return figures.begun >= options.events || guest_ended();
	return guest_foreign() ? guest_ended() : figures.begun >= EVENTS_DEFAULT;
}

/* Has the guest ended, or each host reader read on, since the storm? If a vCPU is lost, the others' reports suffice. */
static bool all_read_on(void)
{
	if (vmx_usable && (guest_ended() || !guest_lost()))
		return guest_ended();
	for (const struct vcpu *v = guest.vcpu; vmx_usable && v < guest.vcpu + guest.vcpu_count; v++)
		if (!vcpu_lost(v) && !atomic_load_explicit(&v->reported, memory_order_relaxed))
			return false;
	for (unsigned i = 0; i < core_count; i++)
		if (!vmx_usable && clock_online(&the_clock, i) && !atomic_load_explicit(&reader_batches[i], memory_order_relaxed))
			return false;
	return true;
}

static void finish(uint64_t now)
{
	if (guest_foreign() && !guest_ended())
		return;
	if (!settle_raw) {
		settle_raw = now + raw_of_ns(SETTLE_NS);
		for (unsigned i = 0; i < core_count; i++)
			atomic_store_explicit(&reader_batches[i], 0, memory_order_relaxed);
	}
	if (raw_since(now, settle_raw))
		return;
	atomic_store_explicit(&guest.finish, 1, memory_order_release);
	if (all_read_on())
		report_end(0);
	if (late(settle_raw, now, FINISH_LIMIT_NS))
		report_end(vmx_usable ? "the guest did not end within 10 s after it was told to" :
					"a host reader does not go on");
}

/* Stopped: no wake-up is in flight, so guest_stuck is conclusive. The guest may have ended before it halted. */
static void judge_stuck(const struct stopped *s, void *unused)
{
	const char *stuck = guest_stuck();

	(void)s, (void)unused;
	if (!stuck || guest_ended())
		return;
	for (const struct vcpu *v = guest.vcpu; v < guest.vcpu + guest.vcpu_count; v++)
		if (atomic_load_explicit(&v->state, memory_order_relaxed) == VCPU_HALTED && v->halt_deaf)
			print("howler: vCPU %u: in HLT with interrupts off, RIP %lx\n", v->index, v->halt_rip);
	report_end(stuck);
}

/* End the run if the guest has ended too early, can never end, or is past its limit. */
static void look_after_guest(uint64_t now)
{
	const char *stuck = guest_stuck(); /* before guest_ended(): a guest that has ended may halt */
	uint64_t first = atomic_load_explicit(&guest.first_entry_tsc, memory_order_relaxed);

	if (guest_ended()) {
		if (!guest_foreign() && !atomic_load_explicit(&guest.finish, memory_order_relaxed))
			report_end("the guest ended before the storm");
		return;
	}
	if (stuck) {
		vcpu_unload();
		stop_run(judge_stuck, 0);
	}
	if (options.limit_s && first && ns_of_raw(raw_since(first, now)) / 1000000000 >= options.limit_s)
		report_end("the guest did not end within limit=");
}

/* This core is the seat. If the last one was lost, maybe within a step: recount, and send notices that are missing. */
static void sit_down(unsigned me)
{
	unsigned was = sat;

	sat = me;
	if (was == me || !core_lost(was))
		return;
	figures.over = figures.begun;
	for (unsigned i = 0; i < core_count; i++) {
		figures.over -= flight[i].phase != PHASE_NONE;
		if (flight[i].phase == PHASE_BEFORE && !atomic_load_explicit(&cores[i]->effect_raw, memory_order_relaxed) &&
		    !(atomic_load_explicit(&cores[i]->requests, memory_order_relaxed) & REQ_BEFORE))
			the_clock.policy->notice_before(&the_clock, i, flight[i].record.khz_after);
	}
}

/* Take one lost core down. False: there is none. True: the seat may have moved. */
static bool take_lost_down(uint64_t now)
{
	for (unsigned i = 0; i < core_count; i++)
		if (core_lost(i) && (clock_online(&the_clock, i) || !cores[i]->leave)) { /* or its take-down was cut short */
			lost_raw = now;
			sync_take_down(i);
			return true;
		}
	return false;
}

void conduct_poll(void)
{
	uint64_t now = raw_now();

	sit_down(this_core()->index);
	console_poll();
	trap_tell();
	timebase_look(now);
	if (take_lost_down(now))
		return;
	for (unsigned i = 0; i < core_count; i++) {
		struct trace_record r;

		while (trace_take(&the_clock.core[i].howler.trace, &r))
			report_decision(i, &r);
	}
	if (!begin_raw && !score(0))
		return;
	for (unsigned i = 0; i < core_count; i++) {
		struct flight *f = &flight[i];

		if (f->phase == PHASE_NONE)
			continue;
		if (!step(f, cores[i]))
			return;
		if (f->phase == PHASE_SCORE)
			score(f);
		else if (late(f->begin_raw, now, EVENT_LIMIT_NS))
			report_end("an event is not over after 30 s");
	}
	if (vmx_usable)
		look_after_guest(now);
	if (!storm_over()) {
		if (!figures.begun && !raw_since(now, due_raw) && anybody_learns()) /* wait until all cores show their clocks */
			due_raw = now + raw_of_ns(SETTLE_NS);
		else if (!raw_since(now, due_raw))
			launch(); /* last: the seat may have moved */
	} else if (figures.over == figures.begun) {
		finish(now);
	}
}

uint64_t conduct_slice_raw(void)
{
	bool busy = figures.begun > figures.over || atomic_load_explicit(&guest.finish, memory_order_relaxed);
	uint64_t slice = raw_of_ns(busy ? LOOK_NS : SLICE_NS);
	uint64_t left = raw_since(raw_now(), due_raw);

	return !storm_over() && left < slice ? left : slice;
}
