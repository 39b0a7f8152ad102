/* SPDX-License-Identifier: MIT */
/* A core's loop, the reading of clock pages, and the properties that are checked meanwhile. */
#include <sched.h>

#include "clock/port.h"
#include "clock/pvclock.h"
#include "threads.h"

enum { BATCH = 64, TICKS_NS = 12 }; /* an exchange's rounding, three ticks, beside half its round trip */
enum { LINES = 1 << 16, FOLLOW_TURNS = 16 };

struct world world;
_Atomic uint32_t reader_batches[CORES_MAX]; /* as in hv/reader.c: complete ones */
static struct vcpu vcpus[CORES_MAX];
static struct pvclock_vcpu_time_info pages[CORES_MAX];
static const struct policy *real;
static struct policy watched; /* `real`, wrapped in checks */
static _Atomic uint64_t highest_of[LINES]; /* [version / 2 of the bounds]: the highest reading under them */
static _Atomic int64_t start_ns; /* reference - true time at the very first line; 0: there is none yet */

void *guest_at(uint64_t gpa, uint64_t bytes)
{
	(void)bytes;
	return (char *)pages + gpa;
}

void vcpu_unload(void)
{
}

/* Relaxed on purpose; a locked operation all the same, so on x86 nothing passes it. */
static void raise(_Atomic uint64_t *highest, uint64_t value)
{
	uint64_t old = atomic_load_explicit(highest, memory_order_relaxed);

	while (value > old && !atomic_compare_exchange_weak_explicit(highest, &old, value, memory_order_relaxed,
								     memory_order_relaxed))
		;
}

/* A slope is off by 2^-32 of itself, so two of them by twice that. */
static uint64_t aged(uint64_t width_ns, uint64_t age_ns)
{
	return width_ns + (age_ns >> 31);
}

/* Does the policy promise bounds? Then it is judged by them. */
static bool bounded(void)
{
	return real->bounds;
}

/* The very first line defines the origin of the reference. */
static void note_start(const struct clock_core *me)
{
	if (!bounded() || !me->line_count || atomic_load_explicit(&start_ns, memory_order_relaxed))
		return;
	uint64_t raw = raw_now();

	atomic_store_explicit(&start_ns, (int64_t)(line_read(&me->line, tempo_tsc(&this_core()->tempo, raw)) - raw),
			      memory_order_relaxed);
}

/*
 * A core that has followed is off its base by half the round trip at most, in addition
 * to the base's own uncertainty. A resync starts over with 0.
 */
static void watch_follow(struct clock *c)
{
	struct clock_core *me = &c->core[port_core()];
	uint32_t lines = me->line_count;

	real->follow(c);
	note_start(me);
	if (me->line_count == lines)
		return;
	if (bounded()) {
		atomic_fetch_add_explicit(&world.lines, 1, memory_order_relaxed);
		return;
	}
	unsigned base = clock_base(c);
	uint64_t own = me->exchange.best_rtt * 1000000 / me->tempo_khz / 2 + TICKS_NS;
	uint64_t of_base = atomic_load_explicit(&thread_core[base].width_ns, memory_order_relaxed);

	atomic_store_explicit(&thread_core[port_core()].width_ns,
			      own + aged(of_base, me->line.ref_ns - c->core[base].line.ref_ns), memory_order_relaxed);
	raise(&world.widest_ns, own);
	atomic_fetch_add_explicit(&world.widths_ns, own, memory_order_relaxed);
	atomic_fetch_add_explicit(&world.lines, 1, memory_order_relaxed);
}

static enum clock_step watch_resync(struct clock *c)
{
	uint32_t lines = c->core[port_core()].line_count;
	enum clock_step s = real->resync(c);

	note_start(&c->core[port_core()]);
	if (c->core[port_core()].line_count != lines)
		atomic_store_explicit(&thread_core[port_core()].width_ns, 0, memory_order_relaxed);
	return s;
}

static enum clock_step watch_lead(struct clock *c)
{
	enum clock_step s = real->lead(c);

	note_start(&c->core[port_core()]);
	return s;
}

const struct policy *world_start(const struct policy *p, unsigned count)
{
	guest.vcpu = vcpus;
	guest.vcpu_count = count;
	for (unsigned i = 0; i < count; i++)
		vcpus[i] = (struct vcpu){ .index = i, .core = i, .page_gpa = 1 + i * sizeof(pages[0]) };
	real = p;
	watched = *p;
	watched.follow = watch_follow;
	watched.resync = watch_resync;
	watched.lead = watch_lead;
	return &watched;
}

/* A reading by the reader's rule of pvclock.h. The same thread writes and reads a page: it is never torn. */
static uint64_t read_page(const struct pvclock_vcpu_time_info *p, uint64_t *raw, uint64_t *tsc)
{
	uint32_t version = p->version;

	CHECK(!(version & 1));
	*raw = raw_now();
	struct tempo_piece piece = sync_tsc(this_core()->index, *raw);
	*tsc = tempo_piece_tsc(&piece, *raw);
	uint64_t ns = p->system_time + pvclock_scale(*tsc - p->tsc_timestamp, p->tsc_to_system_mul, p->tsc_shift);
	CHECK(p->version == version);
	return ns;
}

struct published {
	uint32_t version;
	uint64_t at_ns, skew_ns, drift_ns;
	uint32_t skew_ppb, drift_ppb;
};

/* Are the bounds still those of *p? An odd version: they were being written. */
static bool still(const struct published *p)
{
	return !(p->version & 1) &&
	       atomic_load_explicit(&the_clock.howler.page.version, memory_order_relaxed) == p->version;
}

/*
 * Relaxed, so that ThreadSanitizer sees no ordering here; x86 does these loads in
 * program order, and the fences make the compiler do so.
 */
static struct published published(void)
{
	const struct bound_page *p = &the_clock.howler.page;
	struct published b = { .version = atomic_load_explicit(&p->version, memory_order_relaxed) };

	atomic_signal_fence(memory_order_seq_cst);
	b.at_ns = atomic_load_explicit(&p->at_ns, memory_order_relaxed);
	b.skew_ns = atomic_load_explicit(&p->skew_ns, memory_order_relaxed);
	b.drift_ns = atomic_load_explicit(&p->drift_ns, memory_order_relaxed);
	b.skew_ppb = atomic_load_explicit(&p->skew_ppb, memory_order_relaxed);
	b.drift_ppb = atomic_load_explicit(&p->drift_ppb, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	return b;
}

static void count_warp(uint64_t by_ns)
{
	atomic_fetch_add_explicit(&world.warps, 1, memory_order_relaxed);
	raise(&world.worst_ns, by_ns);
}

/* Within the drift bound? Unknown until note_start has recorded the first line. */
static void check_drift(const struct published *b, uint64_t ns, uint64_t raw)
{
	int64_t start = atomic_load_explicit(&start_ns, memory_order_relaxed), error = (int64_t)(ns - raw) - start;
	uint64_t drift = (uint64_t)(error < 0 ? -error : error);
	uint64_t bound = bound_aged(b->drift_ns, b->at_ns, b->drift_ppb, ns) + ROUNDING_NS;

	if (!start)
		return;
	raise(&world.drift_ns, drift);
	raise(&world.drift_bound_ns, bound);
	if (drift > bound)
		atomic_fetch_add_explicit(&world.adrift, 1, memory_order_relaxed);
}

/*
 * Two clocks never differ by more than the skew bound of that time. So under the same
 * published bounds no reading is below an earlier one by more than that; under
 * different ones, by no more than the sum of the old bound and the new one.
 */
static void check_bounds(const struct core *me, const struct vcpu *v)
{
	struct published b = published();
	uint64_t certain = atomic_load_explicit(&world.certain, memory_order_relaxed);
	_Atomic uint64_t *of = &highest_of[b.version / 2 % LINES];
	uint64_t highest = b.version / 2 < LINES ? atomic_load_explicit(of, memory_order_relaxed) : 0, tsc, raw;

	atomic_signal_fence(memory_order_seq_cst);
	uint64_t ns = read_page(&pages[v->index], &raw, &tsc);

	atomic_signal_fence(memory_order_seq_cst);
	if (ns >= the_clock.core[me->index].howler.until_ns) /* on metal a timer has taken the guest out by then */
		return;
	CHECK(ns == sync_read(me->index, raw)); /* host and guest: the same nanosecond */
	if (!still(&b))
		return;
	uint64_t skew = bound_aged(b.skew_ns, b.at_ns, b.skew_ppb, ns) + ROUNDING_NS;

	if (ns + skew < highest)
		count_warp(highest - ns - skew);
	else if (ns + skew < certain)
		count_warp(certain - ns - skew);
	else if (ns < highest)
		raise(&world.back_ns, highest - ns);
	check_drift(&b, ns, raw);
	raise(&world.widest_ns, skew);
	atomic_fetch_add_explicit(&world.widths_ns, skew, memory_order_relaxed);
	atomic_fetch_add_explicit(&world.looks, 1, memory_order_relaxed);
	raise(of, ns);
	raise(&world.certain, ns > skew ? ns - skew : 0);
}

static void check_reading(const struct core *me, const struct vcpu *v)
{
	const struct clock_core *cc = &the_clock.core[me->index];
	uint64_t certain = atomic_load_explicit(&world.certain, memory_order_relaxed);
	uint64_t highest = atomic_load_explicit(&world.highest, memory_order_relaxed), tsc, raw;
	uint64_t ns = read_page(&pages[v->index], &raw, &tsc);
	uint64_t width = aged(atomic_load_explicit(&thread_core[me->index].width_ns, memory_order_relaxed),
			      ns - cc->line.ref_ns);

	CHECK(ns == line_read(&cc->line, tsc)); /* host and guest: the same nanosecond */
	if (ns + width + ROUNDING_NS < certain) {
		atomic_fetch_add_explicit(&world.warps, 1, memory_order_relaxed);
		raise(&world.worst_ns, certain - ns - width);
	} else if (ns < highest) {
		raise(&world.back_ns, highest - ns);
	}
	raise(&world.certain, ns > width ? ns - width : 0);
	raise(&world.highest, ns);
}

/* As a guest: readings until a request arrives, or BATCH are done. */
static void run_guest(struct core *me, struct vcpu *v)
{
	const struct clock_core *cc = &the_clock.core[me->index];
	unsigned n = 0;

	core_at("guest, vCPU", v->index);
	sync_publish(v);
	while (n < BATCH && !atomic_load_explicit(&me->requests, memory_order_relaxed)) {
		CHECK(v->core == me->index && clock_synced(&the_clock, me->index));
		CHECK(tempo_at(&me->tempo, raw_now())->khz == cc->tempo_khz);
		(bounded() ? check_bounds : check_reading)(me, v);
		n++;
	}
	atomic_fetch_add_explicit(&thread_core[me->index].readings, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&reader_batches[me->index], n == BATCH, memory_order_relaxed);
}

/* As run() in hv/main.c. */
static void run(struct core *me)
{
	static _Thread_local unsigned turns;

	if (clock_follows(&the_clock, me->index)) {
		core_at("follows", 0);
		if (++turns % FOLLOW_TURNS == 0)
			core_relax();
		return;
	}
	if (!clock_synced(&the_clock, me->index)) {
		if (conduct_seat())
			core_relax();
		else
			core_at("unsynchronised", 0), halt_until_nmi();
		return;
	}
	if (!atomic_load_explicit(&me->synced_raw, memory_order_relaxed))
		atomic_store_explicit(&me->synced_raw, raw_now(), memory_order_relaxed);
	for (unsigned i = 0; i < guest.vcpu_count; i++)
		if (guest.vcpu[i].core == me->index)
			run_guest(me, &guest.vcpu[i]);
	sched_yield();
}

bool world_synced(void)
{
	uint32_t newest = atomic_load_explicit(&the_clock.generation, memory_order_relaxed);

	for (unsigned i = 0; i < core_count; i++)
		if (atomic_load_explicit(&the_clock.core[i].online, memory_order_relaxed) &&
		    (!clock_synced(&the_clock, i) || !newest ||
		     atomic_load_explicit(&the_clock.core[i].generation, memory_order_relaxed) != newest))
			return false;
	return true;
}

/* Stopped: checks what must hold then and ends the run; or, if a core has fallen behind since, does nothing. */
static void end(const struct stopped *s, void *arg)
{
	uint64_t raw = raw_now(), low = UINT64_MAX, high = 0, skew = UINT64_MAX;
	struct published b = published();

	(void)s, (void)arg;
	if (bounded() && !world_synced())
		return;
	for (unsigned i = 0; i < core_count; i++) {
		const struct clock_core *c = &the_clock.core[i];

		if (!c->online)
			continue;
		uint64_t ns = line_read(&c->line, tempo_tsc(&cores[i]->tempo, raw));
		uint64_t width = bounded() ? 0 : aged(thread_core[i].width_ns, ns - c->line.ref_ns) + ROUNDING_NS;

		if (bounded()) {
			CHECK(still(&b));
			check_drift(&b, ns, raw);
			uint64_t bound = bound_aged(b.skew_ns, b.at_ns, b.skew_ppb, ns) + ROUNDING_NS;
			skew = bound < skew ? bound : skew;
		}
		low = ns + width < low ? ns + width : low;
		high = ns - width > high ? ns - width : high;
		world.missed += !c->synced || c->generation != the_clock.generation;
		cores[i]->leave = true;
	}
	world.apart = bounded() ? high - low > skew || low + skew < world.certain : low < high || low < world.certain;
	for (unsigned v = 0; v < guest.vcpu_count; v++)
		world.lost += !the_clock.core[guest.vcpu[v].core].online;
	world.ended = 1;
}

void world_end(void)
{
	while (!atomic_load_explicit(&world.ended, memory_order_relaxed)) {
		/* When the base begins a check of all others, they are all behind for a moment. */
		while (!world_synced()) {
			CHECK(sync_turn());
			core_relax();
		}
		clock_note(&the_clock);
		stop_run(end, 0);
	}
}

/* As core_started, core_loop and core_stop of main.c and smp/core.c. */
void world_core(struct core *me)
{
	me->leave = false;
	tempo_start(&me->tempo, raw_khz, me->start_khz, me->error_ppb, raw_now(), me->start_tsc);
	the_clock.core[me->index].tempo_khz = me->start_khz;
	atomic_store_explicit(&me->synced_raw, 0, memory_order_relaxed);
	core_at("started", 0);
	atomic_store_explicit(&me->state, CORE_UP, memory_order_release);
	if (!atomic_load_explicit(&the_clock.generation, memory_order_relaxed) && me->index == 0)
		conduct_begin();
	while (sync_turn()) {
		if (conduct_seat())
			conduct_poll();
		if (!me->leave)
			run(me);
	}
	core_at("off", 0);
	atomic_store_explicit(&me->requests, 0, memory_order_relaxed);
	atomic_store_explicit(&me->state, CORE_OFF, memory_order_release);
}
