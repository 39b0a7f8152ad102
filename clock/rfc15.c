/* SPDX-License-Identifier: MIT */
/*
 * sync=rfc15: the protocol of the mail "kvm tsc virtualization 15/20: Fix
 * longstanding races" (2009), with its known weaknesses:
 *
 *   R1  a core's tempo variable is written only on that core, interrupts off
 *   R2  the base changes only in take-down, machine stopped
 *
 * To the letter (policy `mail`, for the simulator) it does not keep what it
 * promises. What rfc15 adds, each point shown to be needed (docs/rfc15.md):
 *   - a resync that finds a core between its two notices leaves it alone: its
 *     tempo is not known, and its own notice after synchronises it; likewise a
 *     base between its notices does not resync: its notice after does;
 *   - when the base role moves, the new base leads (or resyncs, if it is not
 *     synchronised itself) the cores that counted on the old one;
 *   - what a core that left has shown counts when the highest value is sought.
 */
#include "clock/rfc15.h"

#include "clock/port.h"

/* Is this core between its notices, and does that matter? */
static bool unsettled(const struct clock *c, const struct clock_core *core)
{
	return !c->policy->letter && flag(&core->in_transition);
}

static uint64_t last_ref_ns(const struct clock *c, unsigned core)
{
	return atomic_load_explicit(&c->core[core].last_ref_ns, memory_order_relaxed);
}

/*
 * On the base, or stopped: a base that broke a resync off, as a core was lost, has passed over some cores, has not asked
 * those that come, and may have no line itself any more.
 */
static void begin_anew(struct clock *c)
{
	c->resync = RESYNC_IDLE;
	c->waiting_for = 0;
}

enum clock_step rfc15_notice_before(struct clock *c, unsigned core, uint32_t khz)
{
	atomic_store_explicit(&c->core[core].notice_khz, khz, memory_order_release);
	port_request(core, REQ_BEFORE);
	return CLOCK_DONE;
}

enum clock_step rfc15_notice_after(struct clock *c, unsigned core)
{
	(void)c;
	port_request(core, REQ_AFTER);
	return CLOCK_DONE;
}

void rfc15_evict(struct clock *c, uint32_t new_khz)
{
	struct clock_core *me = self(c);
	uint32_t round = atomic_load_explicit(&c->round, memory_order_acquire);

	/* Answered already, by the request of a round that was broken off; this core may have been led since. */
	if (!new_khz && round == atomic_load_explicit(&me->evicted, memory_order_relaxed))
		return;
	atomic_store_explicit(&me->last_ref_ns, line_read(&me->line, port_tsc()), memory_order_relaxed);
	if (new_khz)
		me->tempo_khz = new_khz;
	exchange_begin(&me->exchange);
	atomic_store_explicit(&me->synced, 0, memory_order_seq_cst);
	/* Publishes last_ref_ns; pairs with the acquire in all_evicted. Only REQ_EVICT itself answers a round. */
	if (!new_khz)
		atomic_store_explicit(&me->evicted, round, memory_order_release);
}

/* A new line for this core; from here on it may run guests. */
static void set_line(struct clock *c, uint64_t tsc, uint64_t ref_ns, uint32_t generation)
{
	struct clock_core *me = self(c);

	line_start(&me->line, tsc, ref_ns, me->tempo_khz);
	me->line_count++;
	atomic_store_explicit(&me->generation, generation, memory_order_relaxed);
	atomic_store_explicit(&me->synced, 1, memory_order_seq_cst);
}

static void rfc15_after(struct clock *c)
{
	struct clock_core *me = self(c);
	unsigned base = clock_base(c);

	/*
	 * Crosswise with lead, seq_cst: either the base sees that this core is out of
	 * its transition and leads it, or this core sees that the base is synchronised
	 * and asks to be led.
	 */
	atomic_store_explicit(&me->in_transition, 0, memory_order_seq_cst);
	if (base == port_core()) {
		if (!c->policy->letter)
			begin_anew(c);
		port_request(base, REQ_RESYNC);
	} else if (flag(&c->core[base].synced)) {
		port_request(base, REQ_SYNC);
	}
}

/*
 * Is the exchange good enough for a line? A round that an emulator's scheduler or
 * an SMI fell into says little; earlier exchanges tell how quick a good one is.
 */
static bool quick_enough(struct clock *c, struct clock_core *me, unsigned base)
{
	const struct exchange *x = &me->exchange;
	uint64_t rtt_ns = x->best_rtt * 1000000 / me->tempo_khz;
	uint64_t any = atomic_load_explicit(&c->rtt_floor_ns, memory_order_relaxed);
	uint64_t pair = me->rtt_base == base ? me->rtt_pair_ns : 0;

	if (x->rounds - x->best_round < (any ? c->rounds_min : c->rounds_first) - 1 && x->rounds < c->rounds_max)
		return false;
	if (x->rounds < c->rounds_max && any &&
	    (pair ? 100 * rtt_ns > pair * c->rtt_pair_percent : 100 * rtt_ns > any * c->rtt_any_percent))
		return false;
	/* One core follows at a time; if two did, a lost minimum would be learned again. */
	if (!any || rtt_ns < any)
		atomic_store_explicit(&c->rtt_floor_ns, rtt_ns, memory_order_relaxed);
	if (!pair || rtt_ns < pair) {
		me->rtt_pair_ns = rtt_ns;
		me->rtt_base = base;
	}
	return true;
}

bool rfc15_exchange(struct clock *c)
{
	struct clock_core *me = self(c);
	struct exchange *x = &me->exchange;
	uint32_t led = atomic_load_explicit(&me->led, memory_order_acquire);

	if (flag(&me->synced) || unsettled(c, me))
		return false;
	/* Stamps from another lead don't count: its base, or its base's line, may have been another. */
	if (led != me->led_begun) {
		me->led_begun = led;
		exchange_begin(x);
	}
	return exchange_round(x);
}

void rfc15_join(struct clock *c)
{
	const struct clock_core *base = &c->core[clock_base(c)];
	const struct exchange *x = &self(c)->exchange;

	/* The base's line is stable while it leads: before the base writes it, it evicts this core. */
	set_line(c, x->best_before + x->best_rtt / 2, line_read(&base->line, x->best_leader),
		 atomic_load_explicit(&base->generation, memory_order_relaxed));
}

static void rfc15_follow(struct clock *c)
{
	if (rfc15_exchange(c) && quick_enough(c, self(c), clock_base(c)))
		rfc15_join(c);
}

/*
 * Synchronise, one after another, each core that is not and may be. A base that
 * is unsynchronised itself leads no core, and lets go of the one that it was
 * leading. One pass is enough: a core passed over in transition asks for another.
 */
static enum clock_step rfc15_lead(struct clock *c)
{
	unsigned me = port_core();

	if (me != clock_base(c))
		return CLOCK_NOT_BASE;
	for (unsigned i = c->waiting_for; i < c->count; i++) {
		struct clock_core *other = &c->core[i];
		bool led = atomic_load_explicit(&other->led, memory_order_relaxed);

		if (i == me || !flag(&c->core[me].synced) || !clock_online(c, i) || flag(&other->synced) ||
		    unsettled(c, other)) {
			if (led)
				atomic_store_explicit(&other->led, 0, memory_order_release);
			continue;
		}
		c->waiting_for = c->core[me].waits_for = i;
		if (!led) {
			c->lead_count += c->lead_count == UINT32_MAX ? 2 : 1; /* 0 = not led */
			atomic_store_explicit(&other->led, c->lead_count, memory_order_release);
			port_request(i, REQ_FOLLOW);
		}
		exchange_answer_on(&other->exchange, 0, 0);
		return CLOCK_NOT_YET;
	}
	c->waiting_for = 0;
	return CLOCK_DONE;
}

static bool all_evicted(struct clock *c, uint32_t round)
{
	for (unsigned i = c->waiting_for; i < c->count; i++)
		if (clock_online(c, i) &&
		    atomic_load_explicit(&c->core[i].evicted, memory_order_acquire) != round) {
			c->waiting_for = self(c)->waits_for = i;
			return false;
		}
	c->waiting_for = 0;
	return true;
}

/* Take the highest value that any core can have shown: no reading steps back behind it. */
static void lead_from_highest(struct clock *c)
{
	uint64_t highest = c->left_ns;
	uint32_t generation = atomic_load_explicit(&c->generation, memory_order_relaxed) + 1;

	for (unsigned i = 0; i < c->count; i++)
		if (clock_online(c, i) && last_ref_ns(c, i) > highest)
			highest = last_ref_ns(c, i);
	atomic_store_explicit(&c->generation, generation, memory_order_relaxed);
	set_line(c, port_tsc(), highest, generation);
}

enum clock_step rfc15_resync(struct clock *c)
{
	unsigned me = port_core();

	if (me != clock_base(c))
		return CLOCK_NOT_BASE;
	/* The base has served its own notice before: its notice after begins the resync anew. */
	if (unsettled(c, &c->core[me])) {
		begin_anew(c);
		return rfc15_lead(c);
	}
	switch (c->resync) {
	case RESYNC_IDLE:
		/* Release: a core that serves the evict answers this round. */
		atomic_fetch_add_explicit(&c->round, 1, memory_order_release);
		for (unsigned i = 0; i < c->count; i++)
			if (clock_online(c, i))
				port_request(i, REQ_EVICT);
		c->waiting_for = 0;
		c->resync = RESYNC_EVICTING;
		return CLOCK_NOT_YET;
	case RESYNC_EVICTING:
		if (!all_evicted(c, atomic_load_explicit(&c->round, memory_order_relaxed)))
			return CLOCK_NOT_YET;
		lead_from_highest(c);
		c->resync = RESYNC_LEADING;
		return CLOCK_NOT_YET;
	case RESYNC_LEADING:
		break;
	}
	if (rfc15_lead(c) == CLOCK_NOT_YET)
		return CLOCK_NOT_YET;
	c->resync = RESYNC_IDLE;
	return CLOCK_DONE;
}

void rfc15_take_down(struct clock *c, unsigned core)
{
	/* In this order: should this core die half way, `core` runs no guest. */
	atomic_store_explicit(&c->core[core].synced, 0, memory_order_relaxed);
	atomic_store_explicit(&c->core[core].online, 0, memory_order_release);
	atomic_store_explicit(&c->core[core].in_transition, 0, memory_order_relaxed);
	if (!c->policy->letter && last_ref_ns(c, core) > c->left_ns)
		c->left_ns = last_ref_ns(c, core);
	begin_anew(c);
	if (core != clock_base(c))
		return;
	/* A base that was lost may have been leading. */
	for (unsigned i = 0; !c->policy->letter && i < c->count; i++)
		atomic_store_explicit(&c->core[i].led, 0, memory_order_relaxed);
	for (unsigned i = 0; i < c->count; i++) {
		if (!clock_online(c, i))
			continue;
		if (!c->policy->letter) /* first: should this core be lost in between, the request is made all the same */
			port_request(i, flag(&c->core[i].synced) ? REQ_SYNC : REQ_RESYNC);
		atomic_store_explicit(&c->base, i, memory_order_relaxed);
		return;
	}
	CLOCK_CHECK(!"the last core is never taken down");
}

void rfc15_bring_up(struct clock *c, unsigned core)
{
	struct clock_core *new = &c->core[core];

	begin_anew(c);
	new->line = (struct line){ 0 };
	atomic_store_explicit(&new->last_ref_ns, 0, memory_order_relaxed);
	new->rtt_pair_ns = 0;
	atomic_store_explicit(&new->led, 0, memory_order_relaxed);
	atomic_store_explicit(&new->synced, 0, memory_order_relaxed);
	atomic_store_explicit(&new->online, 1, memory_order_release);
	port_request(clock_base(c), REQ_SYNC);
}

#define RFC15                                                       \
	.notice_before = rfc15_notice_before,                       \
	.notice_after = rfc15_notice_after, .evict = rfc15_evict,   \
	.after = rfc15_after, .follow = rfc15_follow,               \
	.resync = rfc15_resync, .lead = rfc15_lead,                 \
	.take_down = rfc15_take_down, .bring_up = rfc15_bring_up

const struct policy rfc15_policy = { .name = "rfc15", RFC15 };
const struct policy mail_policy = { .name = "mail", .letter = true, RFC15 };
