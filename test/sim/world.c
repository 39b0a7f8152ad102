/* SPDX-License-Identifier: MIT */
/* What runs on a simulated core, and the properties that are checked while it does. */
#include "optimum.h"
#include "score.h"

#include <string.h>

#include "clock/port.h"

enum {
	READ_AGAIN_MAX = 1000,
	ROUNDING_NS = 2,
	PIECE_CUT_NS = 3, /* line.h: by the old line 1, by the new one 2 */
	PULL_PPB_MAX = 400000,
	/* from a reading's TSC to that of one that depends on it, beside the message's delay: tell, see, read page */
	READ_PATH_NS = 8 * STEP_NS,
};

extern const struct policy pre15_policy;
void pre15_down_prepare(struct clock *c, unsigned core);

static struct vcpu vcpus[CORES_MAX];
static struct pvclock_vcpu_time_info pages[CORES_MAX];
static struct reading readings[CORES_MAX];

void *guest_at(uint64_t gpa, uint64_t bytes)
{
	(void)bytes;
	return (char *)pages + gpa;
}

void vcpu_unload(void)
{
}

void conduct_sit(const struct stopped *s)
{
	(void)s;
	timebase_sit();
}

void world_reset(void)
{
	memset(vcpus, 0, sim.cores * sizeof(vcpus[0]));
	memset(pages, 0, sim.cores * sizeof(pages[0]));
	memset(readings, 0, sim.cores * sizeof(readings[0]));
	guest.vcpu = vcpus;
	guest.vcpu_count = sim.cores;
	for (unsigned i = 0; i < sim.cores; i++) {
		vcpus[i].index = vcpus[i].core = i;
		vcpus[i].page_gpa = 1 + i * sizeof(pages[0]);
		vcpus[i].state = VCPU_RUNNING;
		sim_start_fiber(i);
	}
	sim.last = sim.last_slack = 0;
	sim.error_set = false;
}

static struct sim_core *self(void)
{
	return &sim.core[sim.current];
}

/* Does the policy promise I2 and R1? The code before the mail does not. */
static bool strict(void)
{
	return sim.policy != &pre15_policy;
}

/* What this resync has done to the reference. */
static void score(struct sim_core *c, const struct clock_core *cc)
{
	int64_t error = (int64_t)(line_read(&cc->line, tempo_tsc(&c->core.tempo, sim.raw)) - sim.raw);

	if (sim.error_set && error > sim.error_ns)
		sim.ahead_ns += (uint64_t)(error - sim.error_ns);
	if (sim.error_set && error < sim.error_ns)
		sim.behind_ns += (uint64_t)(sim.error_ns - error);
	sim.error_ns = error;
	sim.error_set = true;
	sim.resyncs++;
}

/* Does the policy promise both bounds, and no warp on any path that takes at least a message's delay? */
static bool exact(void)
{
	return sim.policy->first_base != 0;
}

static bool scales(void)
{
	return sim.policy->scales;
}

/* The most that the reference can gain or lose in `ns`: by rate errors and by a pull. */
static uint64_t gain_most(uint64_t ns)
{
	uint64_t told_ppb = sim.timers ? TOLD_PPB_MAX : 1000 * sim.told_error;

	return ns * (PULL_PPB_MAX + 2 * told_ppb + 2000 * sim.tempo_error) / 1000000000 + ROUNDING_NS;
}

static void check_slope(const struct clock_core *cc)
{
	uint64_t second = cc->tempo_khz * 1000ull, ns = line_read(&cc->line, cc->line.tsc + second) - cc->line.ref_ns;
	const struct line *straight = &cc->howler.straight;
	uint64_t exact = line_read(straight, straight->tsc + second) - straight->ref_ns, off = ns > exact ? ns - exact : exact - ns;

	if (off > gain_most(exact))
		sim_violation(V_STEP, "the clock of core %d gains or loses %lu ns a second", sim.current, (unsigned long)off);
}

static uint64_t skew_bound(const struct bound_page *p, uint64_t now)
{
	return bound_aged(p->skew_ns, p->at_ns, p->skew_ppb, now);
}

static uint32_t measured(const struct clock_core *cc)
{
	return cc->howler.trace.head + cc->howler.trace.lost;
}

/*
 * With sync=scale the guest's TSC is continuous, too, at the instant at which the line was
 * made. It may lose what rounding takes, as every guest is out for longer than that,
 * and gain the 2 ns that the last piece may have lost in that way (line.h).
 */
static void check_piece(struct sim_core *c, const struct clock_core *cc, uint64_t out)
{
	const struct tempo_piece *core = tempo_at(&c->core.tempo, sim.raw);
	unsigned __int128 origin = (unsigned __int128)(cc->line.tsc - core->offset) << 48;
	struct tempo_piece new = sync_tsc((unsigned)sim.current, sim.raw);
	uint64_t raw = (uint64_t)(origin / core->mult) + 1;
	int64_t step = (int64_t)(tempo_piece_tsc(&new, raw) - tempo_piece_tsc(&c->shown_tsc, raw));

	if (scales() && c->shown.mul && c->shown_out == out && measured(cc) == c->shown_measured &&
	    cc->line.ref_ns <= c->shown_until && (step < -PIECE_CUT_NS || step > 2))
		sim_violation(V_STEP, "the TSC of guests on core %d steps by %ld", sim.current, (long)step);
	c->shown_tsc = new;
}

/*
 * Unless the core was out in between, a line continues the one before it: exactly, but for rounding, if nothing was
 * measured since; else within the skew bound as published when it last ran a guest (a pull that began since may have
 * raised it) or now. (That no reading of its own is below an earlier one, check_order checks.)
 */
static void note_exact(struct sim_core *c, const struct clock_core *cc)
{
	uint64_t out = cc->howler.out_tsc, step;

	if (c->shown.mul && c->shown_out == out) {
		uint64_t old = line_read(&c->shown, cc->line.tsc), new = cc->line.ref_ns;
		uint64_t now = skew_bound(&the_clock.howler.page, old), then = skew_bound(&c->shown_page, old), most = then > now ? then : now;

		/* An expired line could not be read: the reference may have gained or lost a little since. */
		most = (measured(cc) == c->shown_measured ? ROUNDING_NS : most) +
		       (old > c->shown_until ? gain_most(old - c->shown_until) : 0);
		step = new > old ? new - old : old - new;
		sim.truth.worst_step_ns = step > sim.truth.worst_step_ns ? step : sim.truth.worst_step_ns;
		if (step > most)
			sim_violation(V_STEP, "the clock of core %d steps by %ld ns", sim.current, (long)(new - old));
	}
	check_piece(c, cc, out);
	c->shown = cc->line;
	c->shown_count = cc->line_count;
	c->shown_until = cc->howler.until_ns;
	c->shown_out = out;
	c->shown_measured = measured(cc);
	check_slope(cc);
	sim_log("line %u: %lu ns at tsc %lu, %u kHz, generation %u; off the base by %lu ns at most", cc->line_count,
		(unsigned long)cc->line.ref_ns, (unsigned long)cc->line.tsc, cc->tempo_khz, cc->generation,
		(unsigned long)the_clock.howler.bound[sim.current].radius_ns);
}

static uint64_t half_round_trip(const struct clock_core *cc)
{
	return cc->exchange.best_rtt * 1000000 / cc->tempo_khz / 2 + ROUNDING_NS;
}

/* The base's slack, even if note_line has not seen its line yet, which is from the base before it. */
static uint64_t base_slack_ns(void)
{
	const struct sim_core *c = &sim.core[the_clock.base & BASE_CORE];
	const struct clock_core *cc = &the_clock.core[c->core.index];

	return c->lines_seen != cc->line_count && cc->exchange.rounds ? c->left_slack_ns + half_round_trip(cc) : c->slack_ns;
}

/* A core with a line that note_line has not seen yet got it from the base that moves away now. */
void world_base_moves(void)
{
	uint64_t slack_ns = base_slack_ns();

	for (unsigned i = 0; i < sim.cores; i++) {
		struct sim_core *c = &sim.core[i];

		if (c->left_line == the_clock.core[i].line_count)
			continue; /* it is from an earlier base */
		c->left_line = the_clock.core[i].line_count;
		c->left_slack_ns = slack_ns;
	}
}

/* A line from an exchange is accurate to half its round trip plus its leader's slack. */
static void note_line(struct sim_core *c, const struct clock_core *cc)
{
	if (c->lines_seen == cc->line_count)
		return;
	c->lines_seen = cc->line_count;
	if (!sim.truth.lines++) { /* the very first one defines the origin of the reference */
		unsigned base = the_clock.base & BASE_CORE;

		sim.start_ns = (int64_t)(line_read(&the_clock.core[base].line,
						   tempo_tsc(&sim.core[base].core.tempo, sim.raw)) -
					 timebase_true(sim.raw));
	}
	if (exact()) {
		note_exact(c, cc);
		return;
	}
	if (cc->exchange.rounds)
		c->slack_ns = half_round_trip(cc) + (c->left_line == cc->line_count ? c->left_slack_ns : base_slack_ns());
	else if (strict() && cc->generation == c->generation_seen)
		sim_violation(V_MISSED, "core %d made a line of its own within generation %u", sim.current,
			      cc->generation);
	else {
		c->slack_ns = 0;
		score(c, cc);
	}
	c->generation_seen = cc->generation;
	sim_log("line %u: %lu ns at tsc %lu, %u kHz, generation %u", cc->line_count, (unsigned long)cc->line.ref_ns,
		(unsigned long)cc->line.tsc, cc->tempo_khz, cc->generation);
}

bool world_dark(unsigned core)
{
	const struct clock_core *c = &the_clock.core[core];
	uint64_t tsc = tempo_tsc(&sim.core[core].core.tempo, sim.raw);

	return !c->online || !c->synced || sim.core[core].late_raw == NEVER ||
	       (c->howler.until_ns && line_read(&c->line, tsc) >= c->howler.until_ns);
}

/* Records the clocks of all cores now, to compare the reading of this instant with. */
static void look(struct reading *r)
{
	const struct bound_page *p = &the_clock.howler.page;
	uint64_t own = scales() ? r->tsc : line_read(&the_clock.core[sim.current].line, r->tsc);

	r->core = (unsigned)sim.current;
	r->raw = sim.raw;
	r->low = r->high = own;
	for (unsigned i = 0; sim.far && i < sim.cores; i++) {
		if (world_dark(i))
			continue;
		uint64_t ns = sync_read(i, sim.raw);

		r->low = ns < r->low ? ns : r->low;
		r->high = ns > r->high ? ns : r->high;
	}
	r->skew_ns = !exact() || p->version & 1 ? 0 : bound_aged(p->skew_ns, p->at_ns, p->skew_ppb, own);
	r->drift_ns = !exact() || p->version & 1 ? 0 : bound_aged(p->drift_ns, p->at_ns, p->drift_ppb, own);
	if (sim.optimum && r->skew_ns)
		optimum_reading(r->skew_ns, r->drift_ns);
}

static void check_bounds(const struct reading *r, uint64_t ns, unsigned v)
{
	struct sim_truth *t = &sim.truth;
	uint64_t skew = ns - r->low > r->high - ns ? ns - r->low : r->high - ns;
	int64_t error = (int64_t)(ns - timebase_true(r->raw)) - sim.start_ns;
	uint64_t drift = (uint64_t)(error < 0 ? -error : error);

	t->looks++;
	if (sim.score)
		score_reading(r, v, skew, error);
	t->worst_skew_ns = skew > t->worst_skew_ns ? skew : t->worst_skew_ns;
	t->worst_drift_ns = drift > t->worst_drift_ns ? drift : t->worst_drift_ns;
	if (!r->skew_ns)
		return;
	t->skew_bounds_ns += r->skew_ns;
	t->drift_bounds_ns += r->drift_ns;
	t->worst_skew_bound_ns = r->skew_ns > t->worst_skew_bound_ns ? r->skew_ns : t->worst_skew_bound_ns;
	t->worst_drift_bound_ns = r->drift_ns > t->worst_drift_bound_ns ? r->drift_ns : t->worst_drift_bound_ns;
	t->beyond_skew += skew > r->skew_ns;
	t->beyond_drift += drift > r->drift_ns;
	if (skew > r->skew_ns)
		sim_violation(V_SKEW, "vCPU %u on core %d reads %lu ns; others read %lu to %lu then: more than %lu apart", v,
			      sim.current, (unsigned long)ns, (unsigned long)r->low, (unsigned long)r->high,
			      (unsigned long)r->skew_ns);
	if (drift > r->drift_ns + timebase_lied(r->raw))
		sim_violation(V_DRIFT, "vCPU %u on core %d reads %lu ns, which is %ld off the truth: more than %lu", v,
			      sim.current, (unsigned long)ns, (long)error, (unsigned long)r->drift_ns);
}

/* No reading is smaller than one of which a message could have arrived before it. */
static void check_order(const struct reading *r, uint64_t ns, unsigned v)
{
	struct sim_core *me = &sim.core[r->core];
	uint64_t highest = 0;

	for (unsigned i = 0; i < sim.cores; i++) {
		const struct sim_core *c = &sim.core[i];
		uint64_t far, floor = 0;

		if (c->taken_most <= ns)
			continue;
		far = sim_distance(i, r->core) + READ_PATH_NS;
		if (c->taken_before.raw + far <= r->raw)
			floor = c->taken_before.ns;

		for (unsigned n = 0; n < TAKEN_MAX && n < c->takes; n++)
			if (c->taken[n].ns > floor && c->taken[n].raw + far <= r->raw)
				floor = c->taken[n].ns;
		highest = floor > highest ? floor : highest;
		if (ns < floor)
			sim_violation(V_WARP, "vCPU %u on core %u reads %lu ns after core %u had read %lu ns, %lu less", v,
				      r->core, (unsigned long)ns, i, (unsigned long)floor, (unsigned long)(floor - ns));
	}
	if (ns < highest) {
		sim.truth.warps++;
		if (highest - ns > sim.truth.worst_warp_ns)
			sim.truth.worst_warp_ns = highest - ns;
	}
	struct taken *t = &me->taken[me->takes++ % TAKEN_MAX];
	if (t->ns > me->taken_before.ns)
		me->taken_before = *t;
	*t = (struct taken){ r->raw, ns };
	me->taken_most = ns > me->taken_most ? ns : me->taken_most;
}

static void check_reading(struct reading *r, uint64_t ns, unsigned v)
{
	if (sim.far)
		check_bounds(r, ns, v);
	if ((exact() || sim.score) && sim.far) {
		sim.readings++;
		check_order(r, ns, v);
		return;
	}
	uint64_t slack = r->floor_slack + self()->slack_ns + ROUNDING_NS;

	sim.readings++;
	if (ns + slack < r->floor)
		sim_violation(V_WARP, "vCPU %u on core %d reads %lu ns after %lu ns had been read, %lu less", v,
			      sim.current, (unsigned long)ns, (unsigned long)r->floor,
			      (unsigned long)(r->floor - ns));
	if (ns < r->floor) {
		sim.micro_warps++;
		if (r->floor - ns > sim.worst_micro_warp_ns)
			sim.worst_micro_warp_ns = r->floor - ns;
	}
	if (ns > sim.last) {
		sim.last = ns;
		sim.last_slack = self()->slack_ns;
	}
}

/* One phase of a guest's reading, by the reader's rule of pvclock.h; true: a reading is complete. */
static bool read_phase(struct reading *r, unsigned v)
{
	const struct pvclock_vcpu_time_info *page = &pages[v];

	switch (r->phase++) {
	case 0:
		r->floor = sim.last;
		r->floor_slack = sim.last_slack;
		r->page.version = page->version;
		if (r->page.version & 1) {
			r->phase = 0;
			if (++r->again > READ_AGAIN_MAX)
				sim_violation(V_TORN, "vCPU %u: its page's version stays odd", v);
		}
		return false;
	case 1:
		r->page.tsc_timestamp = page->tsc_timestamp;
		r->page.system_time = page->system_time;
		return false;
	case 2:
		r->page.tsc_to_system_mul = page->tsc_to_system_mul;
		r->page.tsc_shift = page->tsc_shift;
		if (scales() ? r->page.version != 2 || !(page->flags & PVCLOCK_TSC_STABLE) : page->flags)
			sim_violation(V_STEP, "vCPU %u: its page says of the TSC what is not so, or is written again", v);
		return false;
	case 3:
		/* A stop's words are there at once: who moves by one may be quicker than any message that was measured. */
		if (scales() && tempo_piece_tsc(&self()->tsc, sim.raw) < r->tsc && r->raw + sim_distance(r->core, (unsigned)sim.current) <= sim.raw)
			sim_violation(V_WARP, "the TSC of vCPU %u steps back on core %d", v, sim.current);
		r->tsc = scales() ? tempo_piece_tsc(&self()->tsc, sim.raw) : tempo_tsc(&self()->core.tempo, sim.raw);
		if (sim.far)
			look(r);
		return false;
	default:
		r->phase = 0;
		if (r->page.version != page->version)
			return false;
		r->again = 0;
		check_reading(r, r->page.system_time + pvclock_scale(r->tsc - r->page.tsc_timestamp,
								     r->page.tsc_to_system_mul, r->page.tsc_shift), v);
		return true;
	}
}

static void check_entry(unsigned v)
{
	struct sim_core *c = self();
	const struct clock_core *cc = &the_clock.core[sim.current];

	if (vcpus[v].core != (unsigned)sim.current)
		sim_violation(V_LOST, "vCPU %u runs on core %d but belongs to %u", v, sim.current, vcpus[v].core);
	if (!strict())
		return;
	if (!cc->synced)
		sim_violation(V_UNSYNCED, "vCPU %u runs on core %d, which is unsynchronised", v, sim.current);
	if (cc->howler.learns || the_clock.howler.boots)
		sim_violation(V_UNSYNCED, "vCPU %u runs on core %d, while rates are not known", v, sim.current);
	if (tempo_at(&c->core.tempo, sim.raw)->khz != cc->tempo_khz)
		sim_violation(V_RULES, "core %d runs guests at %u kHz and believes in %u kHz", sim.current,
			      tempo_at(&c->core.tempo, sim.raw)->khz, cc->tempo_khz);
}

/* The earlier of the two. 0: never. */
static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a && (!b || a < b) ? a : b;
}

/* When this core must look around by itself, true time. 0: never. */
static uint64_t due(void)
{
	uint64_t ns = sim.far ? clock_due_ns(&the_clock) : UINT64_MAX;

	return sooner(sooner(ns == UINT64_MAX ? 0 : sim.raw + ns, timebase_due()), sim_slice());
}

/* In the guest until a kick. */
static void run_guest(unsigned v)
{
	struct core *me = this_core();

	sync_publish(&vcpus[v]);
	note_line(self(), &the_clock.core[sim.current]);
	/* The last look before VM entry; a kick from here on makes the guest exit (trap.c). */
	if (sim_load(&me->requests, sizeof(me->requests)))
		return;
	sim_fence(memory_order_seq_cst); /* VM entry serializes */
	check_entry(v);
	self()->tsc = sync_tsc((unsigned)sim.current, sim.raw);
	self()->shown_page = the_clock.howler.page;
	if (sim.score)
		score_in();
	uint64_t due_raw = due();

	self()->wake_raw = due_raw;
	if (sim.every && !sim.ticks) { /* time stands still: a reading would show nothing */
		while (!sim_kicked())
			sim_rest(FIBER_RESTING);
		return;
	}
	for (;;) {
		if (readings[v].phase == 0 || readings[v].phase == 3)
			sim_touch(&sim.last, true, false);
		sim_step();
		bool is_due = due_raw && sim.raw >= due_raw;

		if (sim_kicked() || is_due) {
			self()->shown_page = the_clock.howler.page;
			if (sim.score)
				score_out(is_due);
			return;
		}
		if (strict() && !the_clock.core[sim.current].synced)
			sim_violation(V_UNSYNCED, "vCPU %u goes on on core %d, which is unsynchronised", v, sim.current);
		if (!read_phase(&readings[v], v))
			continue;
		if (sim.every)
			readings[v] = (struct reading){ 0 }, self()->read_raw = sim.raw;
		if (sim.read_ns) {
			uint64_t mean = sim.read_ns * sim.cores, next = sim.raw + mean / 2 + random_below(&sim.random, mean);

			self()->wake_raw = due_raw && due_raw < next ? due_raw : next;
		}
		sim_rest(FIBER_RESTING);
	}
}

/*
 * A host reader with interrupts on: requests that are served "now" may come
 * between any two of its steps. What it returns must lie between the reference
 * when it began and when it ended.
 */
static void interruptible(void)
{
	sim_step();
	if (this_core()->requests & REQ_NOW)
		core_serve();
}

static void host_reader(void)
{
	const struct line *line = &the_clock.core[sim.current].line;
	struct line copy;
	uint64_t first = line_read(line, tempo_tsc(&self()->core.tempo, sim.raw));

	interruptible();
	copy.tsc = line->tsc;
	copy.ref_ns = line->ref_ns;
	interruptible();
	copy.mul = line->mul;
	copy.shift = line->shift;
	interruptible();
	uint64_t value = line_read(&copy, tempo_tsc(&self()->core.tempo, sim.raw));
	interruptible();
	uint64_t final = line_read(line, tempo_tsc(&self()->core.tempo, sim.raw));
	if (value < first || value > (final > first ? final : first) + ROUNDING_NS)
		sim_violation(V_READER, "a host reader on core %d got %lu ns, between %lu and %lu", sim.current,
			      (unsigned long)value, (unsigned long)first, (unsigned long)final);
}

static void do_task(struct sim_core *c)
{
	sim_touch(&c->task, false, false);
	unsigned task = c->task, core = c->task_core;
	enum clock_step (*notice)(struct clock *, unsigned, uint32_t) = the_clock.policy->notice_before;

	switch (task) {
	case TASK_NONE:
		return;
	case TASK_BEFORE:
		sim_log("notice before: core %u will run at %u kHz", core, c->task_khz);
		while (notice(&the_clock, core, c->task_khz) == CLOCK_NOT_YET)
			core_serve(), sim_yield();
		break;
	case TASK_AFTER:
		sim_log("notice after: core %u", core);
		while (the_clock.policy->notice_after(&the_clock, core) == CLOCK_NOT_YET)
			core_serve(), sim_yield();
		break;
	case TASK_DOWN:
		c->errand = false; /* it stops them all, and itself */
		sim_log("takes core %u down", core);
		if (sim.policy == &pre15_policy)
			pre15_down_prepare(&the_clock, core);
		sync_take_down(core);
		break;
	default:
		c->errand = false;
		sim_log("brings cores online");
		sync_bring_up();
		if (!the_clock.generation)
			core_request(the_clock.base & BASE_CORE, REQ_RESYNC);
	}
	sim_fence(memory_order_seq_cst); /* the conductor sees all that was done for it */
	sim_touch(&c->task, true, false);
	c->task = TASK_NONE;
}

static void halt(const char *why)
{
	core_at(why, 0);
	sim_touch(&this_core()->requests, false, false);
	self()->wake_raw = sooner(sim_slice(), timebase_due());
	if (!self()->wake_raw)
		halt_until_nmi();
	else if (!this_core()->requests && !sim_kicked())
		sim_rest(FIBER_RESTING);
}

static void run_something(struct sim_core *c)
{
	const struct clock_core *cc = &the_clock.core[sim.current];

	/* The host asks for the time whether or not guests may run. */
	if (sim.readers && cc->line.mul)
		host_reader();
	if (!clock_synced(&the_clock, (unsigned)sim.current) || cc->led) {
		if (sim.score)
			score_unsynced();
		/* As main.c's run(). */
		if (sim.readers || sim_load(&cc->led, sizeof(cc->led)))
			sim_yield();
		else
			halt("unsynchronised");
		return;
	}
	if (clock_learns(&the_clock, (unsigned)sim.current)) {
		if (sim.score)
			score_unsynced();
		c->wake_raw = due();
		if (!this_core()->requests)
			sim_rest(FIBER_RESTING);
		sim_kicked();
		return;
	}
	note_line(c, cc);
	for (unsigned v = 0; v < guest.vcpu_count; v++)
		if (vcpus[v].core == (unsigned)sim.current) {
			run_guest(v);
			return;
		}
	if (sim.score)
		score_idle();
	halt("idle");
}

_Noreturn void world_core(void)
{
	struct sim_core *c = self();
	struct core *me = &c->core;

	for (;;) {
		unsigned i = (unsigned)sim.current;

		tempo_start(&me->tempo, raw_khz, me->start_khz, me->error_ppb, sim.raw, me->start_tsc);
		the_clock.core[i].tempo_khz = me->start_khz;
		if (sim.optimum)
			optimum_up();
		me->leave = false;
		sim_touch(&me->state, true, false);
		me->state = CORE_UP;
		c->shown.mul = 0;
		sim_log("up at %u kHz", me->start_khz);
		while (sync_turn()) {
			timebase_seat();
			do_task(c);
			if (!me->leave)
				run_something(c);
			if (sim.sick && me->requests & REQ_TOP) /* to itself, until another core makes progress */
				sim_yield();
		}
		sim_log("off");
		sim_touch(&c->task, true, false);
		c->task = TASK_NONE; /* it took itself down */
		me->requests = 0;
		if (me->state >= CORE_FENCED)
			core_halt();
		me->state = CORE_OFF;
		score_idle();
		c->came = true; /* when it is brought up again */
		sim_rest(FIBER_OFF);
	}
}

void world_memory(void (*add)(void *p, size_t bytes))
{
	for (unsigned i = 0; i < sim.cores; i++) {
		add(&vcpus[i].core, sizeof(uint64_t));
		add(&vcpus[i].page_gpa, 2 * sizeof(uint64_t));
	}
	add(pages, sim.cores * sizeof(pages[0]));
	add(readings, sim.cores * sizeof(readings[0]));
}

void world_settled(void)
{
	if (!conductor_done())
		sim_violation(V_HANG, "everything rests, and an event is not over");
	for (unsigned i = 0; i < sim.cores; i++) {
		const struct clock_core *c = &the_clock.core[i];

		if (!c->online)
			continue;
		if (!c->synced || c->generation != the_clock.generation)
			sim_violation(V_MISSED, "core %u is left behind: synchronised %u, generation %u of %u", i,
				      c->synced, c->generation, the_clock.generation);
		unsigned base = the_clock.base & BASE_CORE;
		if (exact() && i != base && c->howler.base != base)
			sim_violation(V_MISSED, "core %u is left behind: held against core %u, the base is %u", i,
				      c->howler.base, base);
		if (world_dark(i)) /* nobody waits for timers here, and its line may be over since it came to rest */
			continue;
		uint64_t ns = sync_read(i, sim.raw);
		struct reading r = { .tsc = 0, .floor = sim.last, .floor_slack = sim.last_slack };
		sim.current = (int)i;
		note_line(&sim.core[i], c);
		r.tsc = scales() ? ns : tempo_tsc(&sim.core[i].core.tempo, sim.raw);
		look(&r);
		check_reading(&r, ns, i);
		sim.current = -1;
	}
	for (unsigned v = 0; v < guest.vcpu_count; v++)
		if (!the_clock.core[vcpus[v].core].online && !vcpu_lost(&vcpus[v]))
			sim_violation(V_LOST, "vCPU %u is left on core %u, which is off", v, vcpus[v].core);
}
