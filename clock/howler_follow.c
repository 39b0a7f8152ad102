/* SPDX-License-Identifier: MIT */
/*
 * sync=howler: how a core measures itself, against the base and, if it is new, against all
 * others; what it knows of each pair; and the line that it takes.
 */
#include "clock/howler_parts.h"

enum {
	WIDTH_SLACK_NS = 2, NARROWER = 32, FRESH_TIMES = 3,
	/*
	 * A core shows its clock once its rate error takes at least LEARNED_NS to be visible on any path.
	 * Until then it is checked every LEARN_NS, which leaves the base time for others.
	 */
	LEARNED_NS = 2000000, LEARN_NS = 4000000,
	UNSEEN = 1, /* fresh_ns of a core that has just learned: stale, and no core has seen its clock */
};

void howler_let_go(struct clock *c)
{
	struct clock_core *me = self(c);
	uint32_t mine = port_core() + 1;

	me->howler.tsc = 0;
	me->howler.ready = me->howler.meets = 0;
	set(&me->howler.partner, 0);
	atomic_compare_exchange_strong_explicit(&c->howler.joiner, &mine, 0, memory_order_release, memory_order_relaxed);
}

void howler_take(struct clock *c, const struct clock_decision *d, uint32_t generation, uint64_t carry_ns)
{
	struct clock_core *me = self(c);
	uint64_t now = howler_reference(&c->howler, d->line.ref_ns);
	struct bound *b = &c->howler.bound[port_core()];
	/* The core is out, so its line may step. Until it has, publish the larger of both radii. */
	bool steps = flag(&me->synced) && line_read(&me->howler.straight, d->line.tsc) != d->line.ref_ns;
	uint64_t was = steps ? bound_radius(c, port_core(), now) : 0;

	*b = (struct bound){ .radius_ns = was > d->radius_ns ? was : d->radius_ns, .at_ns = now,
			     .growth_ppb = d->growth_ppb, .carry_ns = carry_ns };
	bound_publish(c, now); /* before the line: too wide a bound is still true */
	me->howler.straight = d->line;
	me->howler.lines++;
	howler_show(c, d->line.tsc);
	if (was > d->radius_ns) {
		b->radius_ns = d->radius_ns;
		bound_publish(c, now);
	}
	atomic_store_explicit(&me->generation, generation, memory_order_release);
	set(&me->synced, 1);
	atomic_store_explicit(&me->howler.had_line, 1, memory_order_relaxed);
	bound_done(c); /* a core that concludes later sees this one, and has met it or meets it first */
	howler_settle(c);
	port_request(port_core(), REQ_SYNC); /* a follower may have asked it for stamps while it was out */
}

/* While it measures itself a core reads gaps without `busy`, as a hint; what it decides by, it reads with `busy`. */
static uint32_t gap(const struct clock *c, unsigned from, unsigned to)
{
	return atomic_load_explicit(&c->howler.gap[from * c->count + to], memory_order_relaxed);
}

static void set_gap(struct clock *c, unsigned from, unsigned to, uint32_t ns)
{
	atomic_store_explicit(&c->howler.gap[from * c->count + to], ns, memory_order_relaxed);
}

static bool learns(const struct clock *c, unsigned core)
{
	return atomic_load_explicit(&c->core[core].howler.learns, memory_order_relaxed);
}

void howler_forget_gaps(struct clock *c, unsigned core)
{
	for (unsigned i = 0; c->howler.gap && i < c->count; i++) {
		set_gap(c, i, core, GAP_UNKNOWN);
		set_gap(c, core, i, GAP_UNKNOWN);
	}
}

/*
 * The next core to exchange stamps with; count: there is none. First the base, then
 * each synchronised core that this one has not met since either came online. Not one that
 * is stale or learns: it is about to step, and meets this core then.
 */
static unsigned next_partner(struct clock *c)
{
	const struct howler_core *h = &self(c)->howler;
	uint32_t base = atomic_load_explicit(&c->base, memory_order_seq_cst);

	if (!h->tsc)
		return base & (BASE_LOST | BASE_CLAIMED) || (base & BASE_CORE) == port_core() ||
		       !carries(c, base & BASE_CORE) ? c->count : base & BASE_CORE;
	if (!c->howler.gap || learns(c, port_core()))
		return c->count;
	/* Without gaps to the base the old place is worth nothing: meet all others anew. */
	bool new = gap(c, h->base, port_core()) == GAP_UNKNOWN;

	for (unsigned i = 0; i < c->count; i++)
		if (i != port_core() && i != h->base && carries(c, i) && !learns(c, i) && !stale(c, i, h->base_span.lo) &&
		    (new || gap(c, i, port_core()) == GAP_UNKNOWN) && !(h->meets && c->howler.span[i].hi))
			return i;
	return c->count;
}

static uint32_t placed(const struct clock *c, unsigned core)
{
	return atomic_load_explicit(&c->core[core].howler.placed, memory_order_relaxed);
}

/*
 * Become the joiner. One core meets others at a time, as there is one array for their spans. False: not yet. A core may
 * still be it, though it meets nobody: if the one that took it down died half way.
 */
static bool meet(struct clock *c)
{
	struct howler_core *h = &self(c)->howler;
	uint32_t none = 0;

	if (h->meets)
		return true;
	if (!atomic_compare_exchange_strong_explicit(&c->howler.joiner, &none, port_core() + 1, memory_order_acquire,
						     memory_order_relaxed) && none != port_core() + 1)
		return false;
	for (unsigned i = 0; i < c->count; i++)
		c->howler.span[i] = (struct span){ 0, 0 };
	h->meets = 1;
	return true;
}

static void begin_with(struct clock *c, unsigned other)
{
	struct clock_core *me = self(c);
	struct howler_core *h = &me->howler;

	/* One core answers at a time. Crosswise with answer: the old partner sees this, or its `answers` shows here. */
	set(&h->partner, 0);
	if (flag(&c->core[h->with].howler.answers) == port_core() + 1)
		return;
	if (h->tsc)
		c->howler.placed[other] = placed(c, other);
	else
		h->base_placed = placed(c, other);
	if (!h->tsc) {
		h->role = atomic_load_explicit(&c->base, memory_order_seq_cst);
		h->generation = atomic_load_explicit(&c->generation, memory_order_acquire);
		h->carry_ns = atomic_load_explicit(&c->howler.carry_ns, memory_order_relaxed);
		h->base = other;
		if ((h->role & (BASE_CORE | BASE_LOST | BASE_CLAIMED)) != other) /* the role has moved since */
			return;
		if (fresh_ns(c, port_core())) /* if the line is stale in the end, the new one need not continue it */
			howler_note(c);
		else if (flag(&me->synced)) /* it shows nothing more until it has another line */
			atomic_store_explicit(&me->last_ref_ns, clock_now(c), memory_order_relaxed);
	}
	h->rounds = h->narrowed = h->quick = 0;
	h->tag = 0;
	h->span = (struct span){ 0, UINT64_MAX };
	h->with = other;
	me->waits_for = other;
	exchange_begin(&me->exchange);
	set(&h->partner, other + 1);
	port_request(other, REQ_SYNC);
}

/*
 * Narrow the span of the leader's straight time at h->tsc by the last round. False: by this round that may have been
 * before the clock began. It wasn't, but an end that no message gives must not become a gap: measure again later.
 */
static bool narrow(struct clock *c)
{
	struct clock_core *me = self(c);
	struct howler_core *h = &me->howler;
	const struct exchange *x = &me->exchange;
	uint64_t ref = line_read(&x->line, x->leader);

	if (h->tag != x->line_tag) { /* first round, or a new line of the leader's: earlier rounds don't refer to it */
		if (h->with == h->base) /* the straight time may run at another rate, too: measure from here on */
			h->tsc = x->before;
		h->tag = x->line_tag;
		h->span = (struct span){ 0, UINT64_MAX };
		h->rounds = h->narrowed = 0;
	}
	/* Rounded outwards, at either end of what is known of this core's rate. */
	uint64_t since_lo = ticks_ns(x->after - h->tsc, me->tempo_khz, h->rate.now.hi) + 1;
	uint64_t since_hi = ticks_ns(x->before - h->tsc, me->tempo_khz, h->rate.now.lo);
	uint64_t lo = ref - since_lo, hi = ref + 1 - since_hi, width = h->span.hi - h->span.lo;

	if (ref <= since_lo) {
		howler_let_go(c);
		return false;
	}
	h->rounds++;
	h->quick += x->after - x->before <= 2 * x->best_rtt;
	h->span.lo = lo > h->span.lo ? lo : h->span.lo;
	h->span.hi = hi < h->span.hi ? hi : h->span.hi;
	/* A smaller gain is not worth more rounds. */
	if (h->span.hi - h->span.lo < width - width / NARROWER)
		h->narrowed = h->rounds;
	return true;
}

/*
 * Enough exchanges with this partner? Not while they narrow the span. Nor while all
 * were slow, as when an SMI or an emulator's scheduler fell into each: earlier
 * measurements tell how narrow a good span is.
 */
static bool enough(struct clock *c, const struct howler_core *h, unsigned partner)
{
	uint64_t any = atomic_load_explicit(&c->rtt_floor_ns, memory_order_relaxed), width = h->span.hi - h->span.lo;
	uint64_t limit = any * c->rtt_any_percent / 100;
	uint32_t in = c->howler.gap ? gap(c, partner, port_core()) : GAP_UNKNOWN;
	uint32_t out = c->howler.gap ? gap(c, port_core(), partner) : GAP_UNKNOWN;

	if (in != GAP_UNKNOWN && out != GAP_UNKNOWN)
		limit = ((uint64_t)in + out) * c->rtt_pair_percent / 100;
	/*
	 * A core with a line stays out only briefly: a poor measurement leaves the line as it is. One without stays
	 * out until it has a good one; but after so many rounds near the best there are no quicker ones to wait for.
	 */
	if (clock_synced(c, port_core()) ? h->rounds >= 4 * c->rounds_min : h->quick >= c->rounds_max)
		return true;
	if (h->rounds - h->narrowed < (any ? c->rounds_min : c->rounds_first) - 1)
		return false;
	if (any && width > limit + WIDTH_SLACK_NS)
		return false;
	if (!any || width < any) /* two cores may store at once: a lost minimum is learned again */
		atomic_store_explicit(&c->rtt_floor_ns, width, memory_order_relaxed);
	return true;
}

/* The intersection of the spans of the base and the cores met; if empty, lo > hi: the ends that disagree most. */
static struct span agree(const struct span *base, const struct span *s, unsigned count)
{
	struct span all = *base;

	for (unsigned i = 0; i < count; i++) {
		if (!s[i].hi)
			continue;
		all.lo = s[i].lo > all.lo ? s[i].lo : all.lo;
		all.hi = s[i].hi < all.hi ? s[i].hi : all.hi;
	}
	return all;
}

/*
 * With `busy`: keep the minimum apparent delays between the two, on their clocks as
 * they are now. Two that contradict each other have no place to return to: they meet again.
 */
static void keep_gaps(struct clock *c, unsigned other, const struct span *s, uint64_t x)
{
	bool known = x >= s->lo && x <= s->hi && s->hi - s->lo < GAP_UNKNOWN;

	set_gap(c, other, port_core(), known ? (uint32_t)(x - s->lo) : GAP_UNKNOWN);
	set_gap(c, port_core(), other, known ? (uint32_t)(s->hi - x) : GAP_UNKNOWN);
}

/*
 * With `busy`: the gaps with a core not measured just now. If this core moved against the
 * base, it moved against that core by as much. If its old place is `lost`, the distance is
 * unknown: then they must meet again.
 */
static void move_gaps(struct clock *c, unsigned other, bool lost, int64_t moved_ns)
{
	uint32_t in = gap(c, other, port_core()), out = gap(c, port_core(), other);
	int64_t to_in = (int64_t)in + moved_ns, to_out = (int64_t)out - moved_ns;
	bool unknown = lost || in == GAP_UNKNOWN || to_in < 0 || to_out < 0;

	set_gap(c, other, port_core(), unknown ? GAP_UNKNOWN : (uint32_t)to_in);
	set_gap(c, port_core(), other, unknown ? GAP_UNKNOWN : (uint32_t)to_out);
}

/* How long this core, its rate uncertain by `err` (not 0), may go unchecked before a core it has met can see that. */
static uint64_t alone_ns(const struct clock *c, uint32_t err)
{
	uint64_t most = atomic_load_explicit(&c->howler.check_ns, memory_order_relaxed), room = part_of_rtt(c);
	unsigned me = port_core();

	for (unsigned i = 0; c->howler.gap && i < c->count; i++) {
		uint32_t in = gap(c, i, me), out = gap(c, me, i), least = in < out ? in : out;

		if (clock_online(c, i) && least / 2 + 1 < room)
			room = least / 2 + 1;
	}
	uint64_t ns = room * 1000000000 / err;

	return ns < CHECK_NS_MIN ? CHECK_NS_MIN : ns < most ? ns : most;
}

/* Until when a line that was right at `was` is fresh; for alone_ns from now at least, to be of some use. */
static uint64_t fresh(const struct clock *c, uint64_t was, uint64_t now)
{
	uint64_t alone = alone_ns(c, rate_err(&c->core[port_core()].howler.rate));

	return was + FRESH_TIMES * alone > now + alone ? was + FRESH_TIMES * alone : now + alone;
}

/*
 * With `busy`: is this core's rate known well enough by now, or can't it be known? Then, as
 * nobody has seen its clock yet, the core meets all others as a new one, also those that have
 * learned at the same time, and steps to where they put it.
 */
static bool learned(struct clock *c)
{
	struct howler_core *h = &self(c)->howler;

	/* While the reference is still pulled in haste no core may show its clock anyway (clock_learns). */
	bool boots = atomic_load_explicit(&c->howler.boots, memory_order_relaxed);

	if (learn_on(&h->learns, !boots && part_of_rtt(c) * 1000000000 >= (uint64_t)LEARNED_NS * rate_err(&h->rate)))
		return false;
	howler_forget_gaps(c, port_core());
	atomic_store_explicit(&h->fresh_ns, UNSEEN, memory_order_relaxed);
	howler_let_go(c);
	return true;
}

/*
 * With `busy`: discard what was measured of each core that has taken a new place since. False: all is
 * void, because the base is one of them, or the time was lost and restarted meanwhile (with `busy`).
 */
static bool still_true(struct clock *c)
{
	const struct howler_core *h = &self(c)->howler;

	if (h->base_placed != placed(c, h->base) ||
	    (atomic_load_explicit(&c->base, memory_order_seq_cst) ^ h->role) & BASE_RESTARTS)
		return false;
	for (unsigned i = 0; h->meets && i < c->count; i++)
		if (c->howler.placed[i] != placed(c, i))
			c->howler.span[i].hi = 0;
	return true;
}

/* With `busy`: update the gaps with each other core for the new line. */
static void place(struct clock *c, const struct clock_input *in, const struct clock_decision *d, bool lost)
{
	const struct howler_core *h = &self(c)->howler;

	for (unsigned i = 0; c->howler.gap && i < c->count; i++) {
		if (i == port_core())
			continue;
		if (h->meets && c->howler.span[i].hi)
			keep_gaps(c, i, &c->howler.span[i], d->x_ns);
		else if (i == h->base && (in->gap_in == GAP_UNKNOWN || d->moved_ns ||
					  in->base.hi - in->base.lo < (uint64_t)in->gap_in + in->gap_out))
			keep_gaps(c, i, &in->base, d->x_ns);
		else if (i != h->base)
			move_gaps(c, i, lost, d->moved_ns);
	}
}

/*
 * With `busy`: is the measurement still valid? It is widened, and learned from; one that is too old for a line is then
 * dropped. False: this core measures all again, or another core as well.
 */
static bool still_good(struct clock *c)
{
	unsigned my = port_core();
	struct howler_core *h = &self(c)->howler;
	uint32_t khz = self(c)->tempo_khz;

	if (!still_true(c)) {
		howler_let_go(c);
		return false;
	}
	if (next_partner(c) < c->count) { /* another core has become synchronised meanwhile */
		h->ready = 0;
		return false;
	}
	/* The spans were made with the rate as known before: if the base's pace has changed, they are off. */
	uint64_t age = ticks_ns(port_tsc() - h->tsc, khz, 0) + 1;
	uint64_t other = age * rate_follow(&c->howler.rates, &h->rate) / 1000000000;

	h->base_span.lo -= other < h->base_span.lo ? other : h->base_span.lo;
	h->base_span.hi += other;
	rate_learn(&c->howler.rates, &h->rate, h->role, h->tsc, khz, &h->base_span);
	/*
	 * If that can show, the spans of the cores met don't fit either: measure again, with the rate known
	 * now. Likewise if this core was held up since: a line extrapolated to now could be visibly off.
	 */
	if ((other > part_of_rtt(c) && h->meets) ||
	    (age * rate_err(&h->rate) / 1000000000 > part_of_rtt(c) && !clock_learns(c, my))) {
		howler_let_go(c);
		return false;
	}
	return !learns(c, my) || !learned(c);
}

/* With `busy`: all that the decision depends on. */
static struct clock_input measured(struct clock *c)
{
	unsigned my = port_core();
	const struct clock_core *me = self(c);
	const struct howler_core *h = &me->howler;
	struct clock_input in = {
		.khz = me->tempo_khz, .rate_ppb = rate_ppb(&h->rate), .rate_err_ppb = rate_err(&h->rate),
		.is_ns = flag(&me->synced) && !stale(c, my, straight_now(c)) ? line_read(&h->straight, h->tsc) : 0,
		.tsc = h->tsc, .now_tsc = port_tsc(), .all = h->base_span, .base = h->base_span,
		.gap_in = GAP_UNKNOWN, .gap_out = GAP_UNKNOWN,
	};

	if (h->meets)
		in.all = agree(&in.base, c->howler.span, c->count);
	if (c->howler.gap) {
		in.gap_in = gap(c, h->base, my);
		in.gap_out = gap(c, my, h->base);
	}
	/* Gaps from a slow measurement may be so wide that this one says more by itself. */
	if (in.gap_in != GAP_UNKNOWN && (uint64_t)in.gap_in + in.gap_out > 2 * (in.base.hi - in.base.lo) + WIDTH_SLACK_NS)
		in.gap_in = in.gap_out = GAP_UNKNOWN;
	return in;
}

/* All is measured: take a line, once `busy` is free. */
static void conclude(struct clock *c)
{
	unsigned my = port_core();
	struct clock_core *me = self(c);
	struct howler_core *h = &me->howler;

	if (!bound_try(c))
		return;
	if (!still_good(c)) {
		bound_done(c);
		return;
	}
	struct clock_input in = measured(c);
	struct clock_decision d;
	bool lost = in.gap_in == GAP_UNKNOWN && !in.is_ns, unseen = learns(c, my) || fresh_ns(c, my) == UNSEEN;

	decide(&in, &d);
	/* It has already shown a later value: stay out until the new line gets there. */
	if (!unseen && howler_reference(&c->howler, d.line.ref_ns) < atomic_load_explicit(&me->last_ref_ns, memory_order_relaxed)) {
		bound_done(c);
		return;
	}
	place(c, &in, &d, lost);
	trace_put(&h->trace, &(struct trace_record){ .base = h->base, .generation = h->generation, .rounds = h->rounds,
						     .in = in, .out = d });
	if (!flag(&me->synced) || lost || d.moved_ns) /* else, stale or not, it is back at its place */
		atomic_fetch_add_explicit(&h->placed, 1, memory_order_relaxed);
	howler_let_go(c);
	uint64_t carry = h->carry_ns, now = d.line.ref_ns, was = line_read(&h->straight, d.line.tsc);
	uint64_t known = bound_radius(c, my, howler_reference(&c->howler, now)) + (was > now ? was - now : now - was);

	/* A line that only continues is still within its old radius. */
	if (in.is_ns && known < d.radius_ns) {
		d.radius_ns = known;
		carry = atomic_load_explicit(&c->howler.carry_ns, memory_order_relaxed);
	}
	/* Crosswise: either the base finds this core synchronised, or this core finds its generation old. */
	howler_take(c, &d, h->generation, carry);
	if (flag(&c->generation) == h->generation)
		atomic_store_explicit(&me->led, 0, memory_order_release);
	atomic_store_explicit(&h->fresh_ns, learns(c, my) ? d.line.ref_ns + LEARN_NS :
			      rate_err(&h->rate) ? fresh(c, d.x_ns, d.line.ref_ns) : 0, memory_order_relaxed);
}

/* This core, led, so online: one step towards a line. */
void howler_follow(struct clock *c)
{
	struct clock_core *me = self(c);
	struct howler_core *h = &me->howler;
	unsigned partner = atomic_load_explicit(&h->partner, memory_order_relaxed);

	if (flag(&me->in_transition))
		return;
	if (clock_synced(c, port_core()) && clock_base(c) == port_core()) {
		howler_let_go(c);
		atomic_store_explicit(&me->led, 0, memory_order_release);
		return;
	}
	if (h->ready) {
		conclude(c);
		return;
	}
	if (!partner) {
		unsigned next = next_partner(c);

		me->waits_for = clock_base(c);
		if (next == c->count && h->tsc)
			h->ready = 1;
		else if (next == c->count && !clock_synced(c, port_core()))
			howler_restart(c);
		else if (next < c->count && (!h->tsc || meet(c)))
			begin_with(c, next);
		return;
	}
	if (!carries(c, partner - 1)) { /* it no longer answers */
		if (partner - 1 == h->base)
			howler_let_go(c);
		else
			set(&h->partner, 0);
		return;
	}
	if (!exchange_round(&me->exchange) || !narrow(c) || !enough(c, h, partner - 1))
		return;
	if (partner - 1 == h->base)
		h->base_span = h->span;
	else
		c->howler.span[partner - 1] = h->span;
	set(&h->partner, 0);
	h->ready = next_partner(c) == c->count;
	if (h->ready)
		conclude(c);
}
