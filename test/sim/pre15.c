/* SPDX-License-Identifier: MIT */
/*
 * sync=pre15, in the simulator only: the code before the mail, rebuilt from the
 * lines that the mail removes. Where those lines call what the mail does not
 * show, this is assumed:
 *
 *   - kvm_do_sync_tsc(cpu): an exchange between the core that runs the work and
 *     `cpu`, and the line of the former is handed on; nothing if the base is
 *     unsynchronised;
 *   - the work runs in process context: between two cpus anything may happen,
 *     a stopped machine too; work of a core that dies goes on at another.
 *
 * What the mail changes, in its state before:
 *   - resync runs in the IPI itself (after), so it interrupts readers on the base;
 *   - tempo_khz and synced of a core are written by the core that carries the notice;
 *   - a resync evicts no other core, and a plain flag says that the work is scheduled;
 *   - the base moves when a take-down is prepared, with the machine running.
 */
#include "sim.h"

#include "clock/port.h"

void pre15_down_prepare(struct clock *c, unsigned core);

static bool work_scheduled;
static unsigned work_next;         /* the cpu that the work comes to next */
static uint32_t work_generation;   /* of the resync that it was scheduled for */
static bool working;
static unsigned notice_phase[CORES_MAX];
static uint32_t notice_seen[CORES_MAX];

static struct clock_core *self(struct clock *c)
{
	return &c->core[port_core()];
}

static bool is(const _Atomic uint32_t *f)
{
	return atomic_load_explicit(f, memory_order_seq_cst);
}

static unsigned base_of(const struct clock *c)
{
	return atomic_load_explicit(&c->base, memory_order_relaxed);
}

static void set_line(struct clock *c, uint64_t tsc, uint64_t ref_ns, uint32_t generation)
{
	struct clock_core *me = self(c);

	line_start(&me->line, tsc, ref_ns, me->tempo_khz);
	me->line_count++;
	atomic_store_explicit(&me->generation, generation, memory_order_relaxed);
	atomic_store_explicit(&me->synced, 1, memory_order_seq_cst);
}

/* static void evict(void *info) { nothing }: the IPI alone brings the core out of its guest. */
static void pre15_evict(struct clock *c, uint32_t new_khz)
{
	(void)new_khz;
	atomic_fetch_add_explicit(&self(c)->evicted, 1, memory_order_release);
}

/* CPUFREQ_PRECHANGE, on any core. */
static enum clock_step pre15_notice_before(struct clock *c, unsigned core, uint32_t khz)
{
	struct clock_core *other = &c->core[core];

	if (!notice_phase[core]++) {
		atomic_store_explicit(&other->synced, 0, memory_order_seq_cst);
		notice_seen[core] = atomic_load_explicit(&other->evicted, memory_order_acquire);
		port_request(core, REQ_EVICT);
		return CLOCK_NOT_YET;
	}
	if (is(&other->online) && atomic_load_explicit(&other->evicted, memory_order_acquire) == notice_seen[core])
		return CLOCK_NOT_YET;
	notice_phase[core] = 0;
	other->tempo_khz = khz;
	return CLOCK_DONE;
}

/* CPUFREQ_POSTCHANGE, on any core: "can't do this if base is not yet updated". */
static enum clock_step pre15_notice_after(struct clock *c, unsigned core)
{
	unsigned base = base_of(c);

	if (core == base)
		port_request(core, REQ_AFTER);
	else if (is(&c->core[base].synced))
		port_request(base, REQ_SYNC);
	return CLOCK_DONE;
}

/* static void resync(void *info), in the IPI. */
static void pre15_after(struct clock *c)
{
	struct clock_core *me = self(c);
	uint32_t generation = atomic_load_explicit(&c->generation, memory_order_relaxed) + 1;
	uint64_t ref_ns = line_read(&me->line, port_tsc());

	atomic_store_explicit(&c->generation, generation, memory_order_relaxed);
	set_line(c, port_tsc(), ref_ns, generation);
	if (!work_scheduled) {
		work_scheduled = true;
		port_request(port_core(), REQ_SYNC);
	}
}

static void pre15_follow(struct clock *c)
{
	struct clock_core *me = self(c);
	struct exchange *x = &me->exchange;
	uint32_t led = atomic_load_explicit(&me->led, memory_order_acquire);
	const struct clock_core *leader = &c->core[led - 1];

	if (led != me->led_begun) {
		me->led_begun = led;
		exchange_begin(x);
	}
	if (x->rounds >= c->rounds_min || !exchange_round(x) || x->rounds < c->rounds_min)
		return;
	set_line(c, x->best_before + x->best_rtt / 2, line_read(&leader->line, x->best_leader),
		 atomic_load_explicit(&leader->generation, memory_order_relaxed));
	me->led_begun = 0;
	atomic_store_explicit(&me->led, 0, memory_order_release);
}

/* Each online core that the work has passed must have its resync's generation. */
static void work_over(struct clock *c)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->core[i].online && c->core[i].synced && (int32_t)(c->core[i].generation - work_generation) < 0)
			sim_violation(V_MISSED, "the resync ends and core %u runs on at generation %u, before %u", i,
				      c->core[i].generation, work_generation);
}

/* static void resync_user(struct work_struct *work): one cpu, then by way of the loop's top. */
static enum clock_step pre15_lead(struct clock *c)
{
	unsigned me = port_core();

	if (!working) {
		working = true;
		work_scheduled = false;
		work_next = 0;
		work_generation = atomic_load_explicit(&c->generation, memory_order_relaxed);
	}
	while (work_next < c->count) {
		struct clock_core *other = &c->core[work_next];
		bool stale = !is(&other->synced) || atomic_load_explicit(&other->generation, memory_order_relaxed) !=
							    atomic_load_explicit(&c->generation, memory_order_relaxed);
		bool led = atomic_load_explicit(&other->led, memory_order_acquire) == me + 1;

		if (work_next == me || work_next == base_of(c) || !is(&other->online) || (!stale && !led) ||
		    !is(&c->core[base_of(c)].synced)) {
			if (led)
				atomic_store_explicit(&other->led, 0, memory_order_release);
			work_next++;
			continue;
		}
		if (!led) {
			atomic_store_explicit(&other->led, me + 1, memory_order_release);
			port_request(work_next, REQ_EVICT);
		}
		exchange_answer_on(&other->exchange, 0, 0);
		port_request(me, REQ_SYNC);
		return CLOCK_DONE;
	}
	working = false;
	work_over(c);
	return CLOCK_DONE;
}

static enum clock_step pre15_resync(struct clock *c)
{
	pre15_after(c);
	return CLOCK_DONE;
}

/* CPU_DOWN_PREPARE: under a lock, but with the machine running. */
void pre15_down_prepare(struct clock *c, unsigned core)
{
	if (core != base_of(c))
		return;
	for (unsigned i = 0; i < c->count; i++)
		if (i != core && is(&c->core[i].online)) {
			atomic_store_explicit(&c->base, i, memory_order_relaxed);
			return;
		}
}

/* CPU_DYING */
static void pre15_take_down(struct clock *c, unsigned core)
{
	pre15_down_prepare(c, core);
	atomic_store_explicit(&c->core[core].online, 0, memory_order_relaxed);
	atomic_store_explicit(&c->core[core].synced, 0, memory_order_relaxed);
	atomic_store_explicit(&c->core[core].led, 0, memory_order_relaxed);
}

static void pre15_bring_up(struct clock *c, unsigned core)
{
	struct clock_core *new = &c->core[core];

	if (!atomic_load_explicit(&c->generation, memory_order_relaxed)) {
		work_scheduled = working = false;
		for (unsigned i = 0; i < c->count; i++)
			notice_phase[i] = 0;
	}
	new->line = (struct line){ 0 };
	atomic_store_explicit(&new->led, 0, memory_order_relaxed);
	atomic_store_explicit(&new->synced, 0, memory_order_relaxed);
	atomic_store_explicit(&new->online, 1, memory_order_relaxed);
	if (atomic_load_explicit(&c->generation, memory_order_relaxed))
		port_request(base_of(c), REQ_SYNC);
}

const struct policy pre15_policy = {
	.name = "pre15",
	.notice_before = pre15_notice_before,
	.notice_after = pre15_notice_after,
	.evict = pre15_evict,
	.after = pre15_after,
	.follow = pre15_follow,
	.resync = pre15_resync,
	.lead = pre15_lead,
	.take_down = pre15_take_down,
	.bring_up = pre15_bring_up,
};
