/* SPDX-License-Identifier: MIT */
/*
 * sync=howler: intervals, not points.
 *
 * A core that needs a line measures itself: it exchanges stamps with the base, and
 * by causality alone each answer bounds the base's time from both sides (decide.h).
 * A core that comes online then does the same with every other synchronised core,
 * and takes a line that agrees with them all, because two cores that each agree
 * with a third may still disagree with each other. Later the base is enough: the
 * core returns to its old place between the two ends.
 *
 * R1  as in the mail: a core's tempo and line are written only on that core,
 *     interrupts off.
 * R2' the base role moves by compare-and-swap only, and only away from a core
 *     that is not synchronised (or leaves, machine stopped), to one that is.
 *     A core that has changed a `synced` then checks whether the role must move
 *     (howler_settle). Both words are seq_cst: of two cores, one of which stores
 *     `synced` and the other the role, at least one sees the other's store. The
 *     role's word counts its moves, so that a compare-and-swap fails if the role
 *     has gone away and come back meanwhile (ABA).
 *
 * So a tempo change stops its own core only, even the base: another synchronised
 * core carries the time on by its own line, without a step. When there is none,
 * the role is LOST; the first core whose transition ends claims it and starts a
 * new line in the middle of where the time can be by now, but not below anything
 * ever shown. Only this is a guess; the drift bound grows by its possible error.
 *
 * Here: what happens to a core, and the top of its loop. howler_parts.h names the
 * other parts: the role, a core that measures itself, the reference.
 */
#include "clock/howler_parts.h"

void howler_note(struct clock *c)
{
	struct clock_core *me = self(c);
	struct howler_core *h = &me->howler;

	if (!clock_synced(c, port_core()))
		return;
	struct timebase t = { .late_ns = 0 };

	h->out_ns = 0; /* none: should this core die before the record is complete */
	atomic_signal_fence(memory_order_seq_cst);
	h->out_base_known = howler_timebase(c, &t);
	h->out_tsc = h->out_base_known ? t.before : port_tsc();
	uint64_t ns = clock_read(c, port_core(), h->out_tsc);
	h->out_khz_min = h->out_khz_max = me->tempo_khz;
	h->out_base_ns = t.ns;
	h->out_base_late_ns = t.late_ns;
	h->out_base_early_ns = clock_read(c, port_core(), t.after) - ns + 1;
	atomic_signal_fence(memory_order_seq_cst);
	h->out_ns = ns;
	atomic_store_explicit(&me->last_ref_ns, clock_now(c), memory_order_relaxed);
}

static void howler_evict(struct clock *c, uint32_t new_khz)
{
	struct clock_core *me = self(c);
	struct howler_core *h = &me->howler;

	howler_note(c);
	h->out_khz_min = new_khz < h->out_khz_min ? new_khz : h->out_khz_min;
	h->out_khz_max = new_khz > h->out_khz_max ? new_khz : h->out_khz_max;
	h->rate.anchor_tsc = 0;
	me->tempo_khz = new_khz;
	howler_let_go(c);
	atomic_store_explicit(&me->led, 0, memory_order_relaxed);
	set(&me->synced, 0);
	howler_settle(c);
}

static void howler_after(struct clock *c)
{
	struct clock_core *me = self(c);

	set(&me->in_transition, 0);
	if (!clock_synced(c, port_core()))
		atomic_store_explicit(&me->led, 1, memory_order_relaxed);
}

/* Does `core` hold the role, neither lost nor only claimed? */
static bool is_base(uint32_t base, unsigned core)
{
	return (base & (BASE_CORE | BASE_LOST | BASE_CLAIMED)) == core;
}

static uint64_t howler_due_ns(const struct clock *c)
{
	const struct clock_core *me = &c->core[port_core()];
	uint64_t check = UINT64_MAX;

	if (!clock_synced(c, port_core()))
		return UINT64_MAX;
	if (is_base(atomic_load_explicit(&c->base, memory_order_relaxed), port_core()))
		check = atomic_load_explicit(&c->howler.check_at_ns, memory_order_relaxed);
	else if (fresh_ns(c, port_core()) && !atomic_load_explicit(&me->led, memory_order_relaxed))
		check = fresh_ns(c, port_core());
	uint64_t tsc = port_tsc(), now = line_read(&me->howler.straight, tsc), shown = line_read(&me->line, tsc);
	uint64_t left = now < check ? check - now : 0, shows = shown < me->howler.until_ns ? me->howler.until_ns - shown : 0;

	return left < shows ? left : shows;
}

/* Answer core `other`, if it asks this one. */
static void answer(struct clock *c, unsigned other)
{
	struct clock_core *me = self(c);

	me->waits_for = other;
	set(&me->howler.answers, other + 1);
	if (flag(&c->core[other].howler.partner) == port_core() + 1)
		exchange_answer_on(&c->core[other].exchange, &me->howler.straight,
				   ((uint64_t)port_core() + 1) << 32 | me->howler.lines);
	atomic_store_explicit(&me->howler.answers, 0, memory_order_release);
}

/* Answer the same follower until it is done, then the next in turn, so that none starves. False: none asks. */
static bool answer_next(struct clock *c)
{
	uint32_t *asked = &self(c)->howler.asked;

	for (unsigned n = 0; n < c->count; n++) {
		unsigned i = (*asked + n) % c->count;

		if (i != port_core() && clock_online(c, i) && flag(&c->core[i].howler.partner) == port_core() + 1) {
			*asked = i;
			answer(c, i);
			return true;
		}
	}
	return false;
}

/* The base: lead the next core of an older generation, and wait a moment for it to ask. False: there is none. */
static bool check_next(struct clock *c, uint32_t generation)
{
	for (unsigned i = 0; i < c->count; i++) {
		struct clock_core *other = &c->core[i];

		if (i == port_core() || !carries(c, i) ||
		    atomic_load_explicit(&other->generation, memory_order_acquire) == generation)
			continue;
		if (!atomic_load_explicit(&other->led, memory_order_acquire)) {
			atomic_store_explicit(&other->led, 1, memory_order_release);
			port_request(i, REQ_FOLLOW);
		}
		self(c)->waits_for = i;
		port_await_change(&other->howler.partner, flag(&other->howler.partner));
		return true;
	}
	return false;
}

static enum clock_step await_busy(struct clock *c)
{
	uint32_t holder = atomic_load_explicit(&c->howler.busy, memory_order_relaxed);

	if (holder) {
		self(c)->waits_for = holder - 1;
		port_await_change(&c->howler.busy, holder);
	}
	return CLOCK_NOT_YET;
}

/*
 * Any synchronised core, top of its loop: answer the cores that exchange stamps with it. The
 * base also checks each core of an older generation against itself, one after another,
 * so that each is out of its guest for its own exchange only.
 */
static enum clock_step howler_lead(struct clock *c)
{
	unsigned my = port_core();
	struct clock_core *me = self(c);

	if (!clock_online(c, my) || !clock_synced(c, my)) {
		if (clock_online(c, my) && !flag(&me->in_transition))
			howler_restart(c);
		return CLOCK_DONE;
	}
	bool base = is_base(atomic_load_explicit(&c->base, memory_order_seq_cst), my);

	if (base && !howler_account(c))
		return await_busy(c);
	if (answer_next(c))
		return CLOCK_NOT_YET;
	if ((base && !howler_look(c)) || !howler_renew(c))
		return await_busy(c);
	uint32_t generation = atomic_load_explicit(&c->generation, memory_order_relaxed);

	if (!base) {
		/* Its rate error may be visible by now: no guest before its line has been checked. */
		if (stale(c, my, straight_now(c)))
			set(&me->led, 1);
		return CLOCK_DONE;
	}
	atomic_store_explicit(&me->generation, generation, memory_order_release);
	if (check_next(c, generation))
		return CLOCK_NOT_YET;
	/*
	 * Not before the last check is over and guests have had some time: on a slow
	 * machine the last cores would never have their turn.
	 */
	bool due = straight_now(c) >= atomic_load_explicit(&c->howler.check_at_ns, memory_order_relaxed);

	if (due || me->howler.checks)
		howler_check_later(c);
	if (due && !me->howler.checks) {
		me->howler.checks = 1;
		atomic_fetch_add_explicit(&c->generation, 1, memory_order_seq_cst);
		return CLOCK_NOT_YET;
	}
	me->howler.checks = 0;
	return CLOCK_DONE;
}

/*
 * Stopped: a core was lost while it had `busy`, so what that guards may be half written, the page included. Make the
 * bounds useless but true, until the base has taken them over (howler_account) and has checked all cores. What is known
 * of rates stays: each end of an interval is valid by itself.
 */
static void forget_bounds(struct clock *c)
{
	struct howler *h = &c->howler;

	h->drift_ns = BOUND_FORGOTTEN;
	for (unsigned i = 0; i < c->count; i++) {
		h->bound[i].radius_ns = BOUND_FORGOTTEN;
		howler_forget_gaps(c, i);
	}
	atomic_fetch_add_explicit(&c->generation, 1, memory_order_seq_cst);
	bound_done(c);
}

/*
 * The order matters: should this core be lost half way, the machine runs on before all this is repeated. So `core` first
 * runs no guest; what other cores may wait for is released while a leader still sees a lost core online (sync.c); and
 * `core` takes no line while its tempo is unknown.
 */
static void howler_take_down(struct clock *c, unsigned core)
{
	struct clock_core *gone = &c->core[core];
	struct howler_core *h = &gone->howler;
	uint32_t joiner = core + 1, base = atomic_load_explicit(&c->base, memory_order_relaxed);
	uint64_t shown = atomic_load_explicit(&gone->last_ref_ns, memory_order_relaxed);

	set(&gone->synced, 0);
	h->tsc = h->ready = h->meets = 0;
	atomic_store_explicit(&h->partner, 0, memory_order_relaxed);
	atomic_compare_exchange_strong_explicit(&c->howler.joiner, &joiner, 0, memory_order_relaxed, memory_order_relaxed);
	/* What a lost core leaves behind; one that leaves in order has none of these. */
	atomic_store_explicit(&h->answers, 0, memory_order_relaxed);
	if (base & BASE_CLAIMED && (base & BASE_CORE) == core)
		set(&c->base, (base & ~BASE_CLAIMED) | BASE_LOST);
	if (atomic_load_explicit(&c->howler.busy, memory_order_relaxed) == core + 1)
		forget_bounds(c);
	c->left_ns = shown > c->left_ns ? shown : c->left_ns;
	atomic_store_explicit(&gone->online, 0, memory_order_release);
	atomic_store_explicit(&gone->in_transition, 0, memory_order_relaxed);
	atomic_store_explicit(&gone->led, 0, memory_order_relaxed);
	howler_settle(c);
}

static void howler_bring_up(struct clock *c, unsigned core)
{
	struct clock_core *new = &c->core[core];
	struct howler_core *h = &new->howler;

	atomic_store_explicit(&new->last_ref_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&h->had_line, 0, memory_order_relaxed);
	howler_forget_gaps(c, core);
	h->out_khz_max = 0;
	h->out_khz_min = UINT32_MAX;
	if (!h->lines) {
		rate_unknown(&c->howler.rates, &h->rate);
		atomic_store_explicit(&h->learns, c->howler.rates.bound_ppb ? LEARN_CHECKS : 0, memory_order_relaxed);
	}
	h->rate.anchor_tsc = 0;
	atomic_store_explicit(&new->synced, 0, memory_order_relaxed);
	/* In this order: should this core be lost in between, the other one is led once it is online. */
	atomic_store_explicit(&new->led, 1, memory_order_release);
	atomic_store_explicit(&new->online, 1, memory_order_release);
	port_request(core, REQ_FOLLOW);
}

/*
 * sync=scale: the same clock, but the guest sees it in its TSC itself, through a
 * page that never changes (hv/sync.c).
 */
#define HOWLER \
	.breaks_off = true, .first_base = BASE_LOST, .checks = true, .bounds = true, \
	.notice_before = rfc15_notice_before, .notice_after = rfc15_notice_after, \
	.evict = howler_evict, .note = howler_note, .after = howler_after, .follow = howler_follow, \
	.resync = howler_lead, .lead = howler_lead, \
	.take_down = howler_take_down, .bring_up = howler_bring_up, .due_ns = howler_due_ns

const struct policy howler_policy = { .name = "howler", HOWLER };
const struct policy scale_policy = { .name = "scale", .scales = true, HOWLER };
