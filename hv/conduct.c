/* SPDX-License-Identifier: MIT */
/*
 * The unseen conductor: draws events from the storm, sends the notices, takes
 * cores down and brings them up, sees that each event ends, has it scored.
 *
 * It sits on one online core (`seat`) and is a step function at the top of that
 * core's loop: it never waits but for a stopped machine, so that several
 * events are in flight at once. Each stopped machine draws a new seat. All state
 * here belongs to the seat; conduct_sit's release hands it to conduct_seat's
 * acquire. (The stop's own barriers don't: a core that comes online in the stop
 * is no part of it, and may sit down while the others still stand.) If the core that
 * sits here is lost, whoever finds that first sits down, and does again what was half done.
 */
#include "clock/port.h"
#include "hv/hv.h"
#include "smp/lib.h"

#define EVENT_LIMIT_NS 30000000000ull /* an event that takes longer hangs */
#define FINISH_LIMIT_NS 10000000000ull
#define SETTLE_NS 2000000ull         /* after the last event: everybody reads on */
#define LOOK_NS 200000ull            /* how often the seat looks at events in flight */
#define SLICE_NS 1000000ull

enum phase {
	PHASE_NONE,
	PHASE_BEFORE,  /* REQ_BEFORE sent */
	PHASE_AFTER,   /* REQ_AFTER sent, or joined: wait until synchronised */
	PHASE_START,   /* INIT sent */
	PHASE_LEAVE,   /* taken down: wait until it is off */
	PHASE_SCORE,   /* over: to be scored when the seat is synchronised */
};

struct flight {
	enum phase phase;
	struct event_record record;
	uint64_t begin_raw, after_raw; /* after_raw: length, from the effect on */
};

static _Atomic unsigned seat; /* written in a stopped machine, release; read at the top of loops, acquire */
static unsigned sat;         /* who sat here last */
static struct storm storm;
static struct flight flight[CORES_MAX]; /* of each core: one event at a time */
static uint64_t due_raw;                /* of the next event */
static uint64_t lost_raw;               /* when a lost core was taken down last: then limits count from there */
static uint64_t settle_raw;             /* the guest is told to finish then; 0: not yet */
static uint64_t begin_ref, begin_raw;   /* the reference, and the raw TSC, when the storm began; 0: not yet */
static uint64_t begin_doubt;            /* ... of the latter, as of any instant by another core's */
struct figures figures;
static struct random tempos;            /* first tempos and TSC starts: unlike from core to core */

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
		/* Its own error, hidden and for good; not drawn if there is none, so that all else stays the same. */
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
 * Stopped: nobody's line changes, so all that may run guests can be read for one
 * instant, and held against the bound that was published.
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
	figures.beyond += high - low > skew_ns + ns_of_raw(2 * doubt); /* which instant is the same there, is known no better */
	if (high - low > figures.worst_skew_ns)
		figures.worst_skew_ns = high - low;
}

/*
 * Stopped, the last thing done there: draw who conducts from now on, so that the
 * base is not the one who takes cores down, and a take-down meets resyncs. Whoever
 * sat here must not touch anything of this file any more.
 */
void conduct_sit(const struct stopped *s)
{
	unsigned to;

	score_skew(s);
	do
		to = (unsigned)random_below(&tempos, core_count);
	while (!clock_online(&the_clock, to) || core_lost(to));
	atomic_store_explicit(&seat, to, memory_order_release);
	core_request(to, REQ_WAKE); /* a core that comes online now may sleep and not be part of the stop */
}

void conduct_begin(void)
{
	due_raw = raw_now() + raw_of_ns(SETTLE_NS);
	sync_bring_up();
	core_request(0, REQ_RESYNC);
}

/*
 * Bring one flight forward by what has happened meanwhile; again, if who was about to do so is lost. False: the seat
 * may be elsewhere now.
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
		the_clock.policy->notice_after(&the_clock, c->index); /* again, if who has is lost before it says so */
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

	/* A tempo change in flight on a core that leaves ends there: two events, one record. */
	if (cut) {
		f->record.cut = true;
		report_event(&f->record);
	}
	figures.over += cut;
	*f = (struct flight){
		.record = { .number = ++figures.begun, .core = e->core, .base = clock_base(&the_clock), .kind = e->kind,
			    /* Of a core that leaves within a change only the seat's own word is stable. */
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
	step(f, c); /* the seat may be elsewhere after it */
}

/* The reference against the truth, now, on this core. The clock code never sees this. */
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
		/* The truth began with a reading that was as uncertain as its bound then. */
		if (!figures.first_ns)
			figures.first_ns = drift_ns + 1;
		/* Untrue for sure: nothing that it allows is what the truth can have been. */
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

/* After the storm: has the guest ended, or every host reader gone on reading? With a vCPU lost a guest may have no end. */
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

/* Stopped: what is on its way from one vCPU to another can be told. The guest may have ended before it halted. */
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

/* Is there nothing to wait for? */
static void look_after_guest(uint64_t now)
{
	const char *stuck = guest_stuck(); /* before guest_ended(): who has ended may halt */
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

/* This core has sat down. If who sat here is lost, amid a step maybe: what it has not asked for by now it never has. */
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

/* A core that was lost leaves the clock. False: there was none. Else the seat may be elsewhere now. */
static bool take_lost_down(uint64_t now)
{
	for (unsigned i = 0; i < core_count; i++)
		if (core_lost(i) && (clock_online(&the_clock, i) || !cores[i]->leave)) { /* or who did that was lost amid it */
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
		if (!figures.begun && !raw_since(now, due_raw) && anybody_learns()) /* they have not all begun to read */
			due_raw = now + raw_of_ns(SETTLE_NS);
		else if (!raw_since(now, due_raw))
			launch(); /* last: the seat may be elsewhere after it */
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
