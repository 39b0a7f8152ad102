/* SPDX-License-Identifier: MIT */
/*
 * sync=howler: intervals, not points.
 *
 * Each core that needs a line measures itself: it asks the base for stamps, and
 * by causality alone each answer says between which values the base's reference
 * lay (decide.h). When it comes online it asks every other synchronised core,
 * and takes a line that agrees with them all, because two cores that each agree
 * with a third may still disagree with each other. Later the base is enough: it
 * goes back to where it was between the two ends.
 *
 * R1  as in the mail: a core's tempo and line are written only on that core,
 *     interrupts off.
 * R2' the base role moves by compare-and-swap only, and only away from a core
 *     that is not synchronised (or leaves, machine stopped), to one that is.
 *     Whoever has changed a `synced` looks whether the role must move (settle).
 *     Both words are seq_cst: of two cores that change them crosswise, at least
 *     one sees what the other did. The role's word counts its moves, so that a swap
 *     that was prepared before the role went round and came back comes to nothing.
 *
 * So a tempo change stops its own core only, the base's too: another core that
 * is synchronised carries the time on, as its own line says, without a step.
 * When none is, the role is LOST; the first core whose transition ends claims
 * it and starts a new line, behind all that was ever shown, at the middle of
 * what can have passed. That, and only that, is a guess; the drift bound says
 * by how much.
 */
#include "clock/port.h"
#include "clock/rfc15.h"

enum {
	WIDTH_SLACK_NS = 2, NARROWER = 32, RTT_PARTS = 8,
	CHECK_NS_MIN = 15000, FRESH_TIMES = 3,
	PULL_PPB = 50000, PULL_PPB_MAX = 400000, PULL_NS_MIN = 50,
	/* Between looks at the timebase, when rates are not known; and less, for the reference not to be off by more. */
	LOOK_NS = 20000000, LOOK_OFF_NS = 400, READINGS = 3,
	/*
	 * Nobody shows its clock before its rate would take so long to show on any path; asked
	 * for it is so often, so that the base has time for others; and so many times at most.
	 */
	LEARNED_NS = 2000000, LEARN_NS = 4000000, LEARN_CHECKS = 100, TRUTH_PPB = 10000,
};

static void set(_Atomic uint32_t *f, uint32_t v)
{
	atomic_store_explicit(f, v, memory_order_seq_cst);
}

/* The timebase, if it may be believed, read between two of this core's ticks. */
struct timebase {
	uint64_t ns, before, after;
	uint32_t late_ns;
};

/* The quickest of some readings: something may come in between, as an SMI, or an emulator's next core. */
static bool timebase(const struct clock *c, struct timebase *t)
{
	struct timebase r;

	for (unsigned i = 0; i < READINGS; i++) {
		if (!c->howler.use_timebase || !port_timebase(&r.ns, &r.late_ns, &r.before, &r.after))
			return false;
		if (!i || r.after - r.before < t->after - t->before)
			*t = r;
	}
	return true;
}

static bool carries(const struct clock *c, unsigned core)
{
	return clock_online(c, core) && flag(&c->core[core].synced);
}

/* Is the role this core's, and nothing the matter with it? */
static bool is_base(uint32_t base, unsigned core)
{
	return (base & (BASE_CORE | BASE_LOST | BASE_CLAIMED)) == core;
}

static uint64_t fresh_ns(const struct clock *c, unsigned core)
{
	return atomic_load_explicit(&c->core[core].howler.fresh_ns, memory_order_relaxed);
}

/*
 * Does core a carry the time on better than b? Best one that needs no check just
 * now, nor soon: what it is off by, those that come later are off against the others.
 */
static bool better_base(const struct clock *c, unsigned a, unsigned b)
{
	bool a_follows = clock_follows(c, a), b_follows = clock_follows(c, b);

	return a_follows != b_follows ? b_follows : fresh_ns(c, a) - 1 >= fresh_ns(c, b) - 1; /* 0: for good */
}

/* Who carries the time on. count: nobody. */
static unsigned next_base(const struct clock *c)
{
	unsigned heir = c->count;

	for (unsigned i = c->count; i-- > 0;)
		if (carries(c, i) && (heir == c->count || better_base(c, i, heir)))
			heir = i;
	return heir;
}

/* The base role where it belongs; call it after each change of a `synced`. */
static void settle(struct clock *c)
{
	for (;;) {
		uint32_t was = atomic_load_explicit(&c->base, memory_order_seq_cst), base = was & BASE_CORE, heir;

		if (was & BASE_CLAIMED || (!(was & BASE_LOST) && carries(c, base)))
			return;
		heir = next_base(c);
		uint32_t to = (was & ~(BASE_LOST | BASE_CORE)) | heir;

		if (heir == c->count) {
			for (heir = 0; heir < c->count && !clock_online(c, heir); heir++)
				;
			to = (was & ~BASE_CORE) | BASE_LOST | (clock_online(c, base) ? base : heir);
			if (to == was)
				return;
		}
		to += BASE_MOVE;
		if (!atomic_compare_exchange_strong_explicit(&c->base, &was, to, memory_order_seq_cst,
							     memory_order_seq_cst))
			continue;
		if (!(to & BASE_LOST)) {
			/* Everybody is to be held against the new base: the one that it is by now. */
			atomic_fetch_add_explicit(&c->generation, 1, memory_order_seq_cst);
			port_request(atomic_load_explicit(&c->base, memory_order_seq_cst) & BASE_CORE, REQ_SYNC);
		}
	}
}

static void let_go(struct clock *c)
{
	struct clock_core *me = self(c);
	uint32_t mine = port_core() + 1;

	me->howler.tsc = 0;
	me->howler.ready = me->howler.meets = 0;
	set(&me->howler.partner, 0);
	atomic_compare_exchange_strong_explicit(&c->howler.joiner, &mine, 0, memory_order_release, memory_order_relaxed);
}

/* This core, before it is out: where it stands. */
static void howler_note(struct clock *c)
{
	struct clock_core *me = self(c);
	struct howler_core *h = &me->howler;

	if (!clock_synced(c, port_core()))
		return;
	struct timebase t = { .late_ns = 0 };

	h->out_base_known = timebase(c, &t);
	h->out_tsc = h->out_base_known ? t.before : port_tsc();
	h->out_ns = line_read(&me->line, h->out_tsc);
	h->out_khz_min = h->out_khz_max = me->tempo_khz;
	h->out_base_ns = t.ns;
	h->out_base_late_ns = t.late_ns;
	h->out_base_early_ns = (uint32_t)(line_read(&me->line, t.after) - h->out_ns) + 1;
	atomic_store_explicit(&me->last_ref_ns, line_read(&me->line, port_tsc()), memory_order_relaxed);
}

static void howler_evict(struct clock *c, uint32_t new_khz)
{
	struct clock_core *me = self(c);
	struct howler_core *h = &me->howler;

	if (!new_khz)
		return;
	howler_note(c);
	h->out_khz_min = new_khz < h->out_khz_min ? new_khz : h->out_khz_min;
	h->out_khz_max = new_khz > h->out_khz_max ? new_khz : h->out_khz_max;
	h->rate.anchor_tsc = 0;
	me->tempo_khz = new_khz;
	let_go(c);
	atomic_store_explicit(&me->led, 0, memory_order_relaxed);
	set(&me->synced, 0);
	settle(c);
}

/* A new line for this core, with `busy`; true: it may show it. */
static bool take(struct clock *c, const struct clock_decision *d, uint32_t generation, uint32_t restarts, uint64_t carry_ns)
{
	struct clock_core *me = self(c);
	uint64_t now = d->line.ref_ns;
	struct bound *b = &c->howler.bound[port_core()];
	/* A line that was stale is left by a step. Until then both bounds hold. */
	bool steps = flag(&me->synced) && line_read(&me->line, d->line.tsc) != now;
	uint64_t was = steps ? bound_radius(c, port_core(), now) : 0;

	*b = (struct bound){ .radius_ns = was > d->radius_ns ? was : d->radius_ns, .at_ns = now,
			     .growth_ppb = d->growth_ppb, .carry_ns = carry_ns };
	bound_publish(c, now); /* before the line: a bound that is too wide is true as well */
	me->line = d->line;
	if (was > d->radius_ns) {
		b->radius_ns = d->radius_ns;
		bound_publish(c, now);
	}
	me->line_count++;
	me->howler.straight_ns = d->straight_ns;
	atomic_store_explicit(&me->generation, generation, memory_order_release);
	set(&me->synced, 1);
	/* If the time was lost meanwhile and begun anew elsewhere, this line is of another time. */
	if ((atomic_load_explicit(&c->base, memory_order_seq_cst) & BASE_RESTARTS) != restarts)
		set(&me->synced, 0);
	else
		atomic_store_explicit(&me->howler.had_line, 1, memory_order_relaxed);
	bound_done(c); /* who concludes after this core sees it, and has met it or meets it first */
	settle(c);
	port_request(port_core(), REQ_SYNC); /* somebody may have asked it for stamps while it was out */
	return flag(&me->synced);
}

/* By the timebase: what passed since core `from` was out, until *tsc. */
static bool passed_by_timebase(const struct clock *c, const struct howler_core *from, uint64_t *tsc, struct span *p)
{
	struct timebase t;

	if (!from->out_base_known || !timebase(c, &t))
		return false;
	/* Both readings were some time after the instant that is meant. */
	uint64_t most = t.ns - from->out_base_ns + t.late_ns + from->out_base_early_ns;
	uint64_t doubt = t.late_ns + from->out_base_early_ns + from->out_base_late_ns +
			 ticks_ns(t.after - t.before, c->core[port_core()].tempo_khz, 0) + 4;

	*tsc = t.before;
	*p = (struct span){ from->out_ns + (doubt < most ? most - doubt : 0), from->out_ns + most };
	return true;
}

/*
 * Where the reference can be at *tsc, now, by what passed since the last core was
 * out, or else, without a timebase, by this core's own ticks since, at a tempo
 * between these. The core that it is reckoned from; count: nobody knows.
 */
static unsigned passed(const struct clock *c, uint64_t *tsc, struct span *p)
{
	const struct howler_core *h = &c->core[port_core()].howler;
	unsigned last = 0;
	int32_t lead = 2 * (int32_t)c->howler.rates.bound_ppb; /* no reference was off the first base's rate by more */

	for (unsigned i = 1; i < c->count; i++)
		if (c->core[i].howler.out_ns > c->core[last].howler.out_ns)
			last = i;
	if (passed_by_timebase(c, &c->core[last].howler, tsc, p))
		return last;
	*tsc = port_tsc();
	*p = (struct span){ 0, 0 };
	if (!atomic_load_explicit(&h->had_line, memory_order_relaxed) || !h->out_khz_max)
		return c->count;
	*p = (struct span){ h->out_ns + ticks_ns(*tsc - h->out_tsc, h->out_khz_max, h->rate.own.lo - lead),
			    h->out_ns + ticks_ns(*tsc - h->out_tsc, h->out_khz_min, h->rate.own.hi + lead) };
	return port_core();
}

static uint64_t highest_shown(const struct clock *c)
{
	uint64_t highest = c->left_ns;

	for (unsigned i = 0; i < c->count; i++) {
		uint64_t ns = atomic_load_explicit(&c->core[i].last_ref_ns, memory_order_relaxed);

		highest = clock_online(c, i) && ns > highest ? ns : highest;
	}
	return highest;
}

/* May this core start a new line? Best one that knows what has passed. */
static bool may_restart(const struct clock *c, uint32_t base)
{
	if (!(base & BASE_LOST) || base & BASE_CLAIMED || flag(&c->core[port_core()].in_transition))
		return false;
	if (!atomic_load_explicit(&c->generation, memory_order_relaxed))
		return port_core() == (base & BASE_CORE); /* the first of all: it is told to */
	struct timebase t;

	if (timebase(c, &t))
		return true;
	for (unsigned i = 0; i < c->count; i++)
		if (clock_online(c, i) && atomic_load_explicit(&c->core[i].howler.had_line, memory_order_relaxed))
			return atomic_load_explicit(&c->core[port_core()].howler.had_line, memory_order_relaxed);
	return true;
}

/* With `busy`: the reference goes as this core does from now on. Returns how much otherwise than before, ppb. */
static uint32_t lead(struct clock *c, uint64_t now)
{
	struct howler_core *me = &self(c)->howler;

	atomic_store_explicit(&me->learns, 0, memory_order_relaxed);
	atomic_store_explicit(&me->fresh_ns, 0, memory_order_relaxed);
	return rate_lead(&c->howler.rates, &me->rate, now);
}

/* No core is synchronised: this one starts a new line, behind all that was shown. */
static void restart(struct clock *c)
{
	struct clock_core *me = self(c);
	struct howler *h = &c->howler;
	uint32_t base = atomic_load_explicit(&c->base, memory_order_seq_cst), restarts = (base + BASE_RESTART) & BASE_RESTARTS;

	restarts = restarts ? restarts : BASE_RESTART;
	uint32_t word = restarts | (base & ~(BASE_MOVE - 1));

	if (!may_restart(c, base) || !bound_try(c))
		return;
	if (!atomic_compare_exchange_strong_explicit(&c->base, &base, word | BASE_CLAIMED | port_core(),
						     memory_order_seq_cst, memory_order_seq_cst)) {
		bound_done(c);
		return;
	}
	/* A core that was about to be synchronised just then carries the time after all, or sees this one's mark. */
	for (unsigned i = 0; i < c->count; i++)
		if (carries(c, i)) {
			bound_done(c);
			set(&c->base, word | BASE_LOST | i); /* not just its: settle tells it, too */
			settle(c);
			return;
		}
	bool first = !atomic_load_explicit(&c->generation, memory_order_relaxed);
	uint64_t carry = atomic_load_explicit(&h->carry_ns, memory_order_relaxed);
	uint64_t tsc, shown = highest_shown(c);
	struct span p;
	unsigned from = passed(c, &tsc, &p);
	uint64_t value = p.lo / 2 + p.hi / 2;

	value = value < shown ? shown : value;
	uint64_t doubt = value - p.lo > p.hi - value && p.hi > value ? value - p.lo :
			 p.hi > value ? p.hi - value : value - p.lo;
	if (first)
		h->drift_ns = 0;
	else if (from < c->count)
		h->drift_ns = bound_aged(h->drift_ns, h->drift_at_ns, h->drift_ppb, value) +
			      bound_radius(c, from, value) + doubt;
	else
		h->drift_ns = BOUND_UNKNOWN;
	for (unsigned i = 0; i < c->count; i++)
		h->bound[i] = (struct bound){ .carry_ns = carry };
	h->drift_at_ns = value;
	let_go(c);
	if (first) {
		rate_first(&h->rates, &me->howler.rate);
		atomic_store_explicit(&h->boots, h->rates.bound_ppb ? LEARN_CHECKS : 0, memory_order_relaxed);
	}
	lead(c, value);
	h->drift_ppb = 1 + h->rates.reference_ppb;
	me->howler.rate.anchor_tsc = 0;
	struct clock_decision d = { .growth_ppb = 1, .radius_ns = 1 };

	h->pulled_ns = 0;
	h->pull_from_ns = h->pull_until_ns = 0;
	line_start_steeper(&d.line, tsc, value, me->tempo_khz, rate_ppb(&me->howler.rate));
	/* Whoever comes is to be looked after as soon as its rate asks for it. */
	atomic_store_explicit(&h->check_at_ns, value + (h->rates.bound_ppb ? CHECK_NS_MIN :
			      atomic_load_explicit(&h->check_ns, memory_order_relaxed)), memory_order_relaxed);
	uint32_t generation = atomic_fetch_add_explicit(&c->generation, 1, memory_order_release) + 1;

	set(&c->base, word | BASE_CLAIMED | port_core());
	atomic_store_explicit(&me->led, 0, memory_order_release);
	if (take(c, &d, generation, restarts, carry)) {
		set(&c->base, word | port_core());
		settle(c);
	}
}

/* Who measures itself looks at its gaps without `busy`, too; what counts is looked at with it. */
static uint32_t gap(const struct clock *c, unsigned from, unsigned to)
{
	return atomic_load_explicit(&c->howler.gap[from * c->count + to], memory_order_relaxed);
}

static void set_gap(struct clock *c, unsigned from, unsigned to, uint32_t ns)
{
	atomic_store_explicit(&c->howler.gap[from * c->count + to], ns, memory_order_relaxed);
}

/* Its rate may show at `now`. */
static bool stale(const struct clock *c, unsigned core, uint64_t now)
{
	uint64_t until = fresh_ns(c, core);

	return until && now >= until;
}

static bool learns(const struct clock *c, unsigned core)
{
	return atomic_load_explicit(&c->core[core].howler.learns, memory_order_relaxed);
}

/*
 * The next core to exchange stamps with; count: there is none. First the base,
 * then each synchronised core that this one has not met since it came online. Not who is
 * stale or learns: it is about to step, and meets this one then.
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
	/* New against the base, new against all: nobody knows what the old place is worth now. */
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

/* Who meets others does so alone: there is one array for what they say. False: not yet. */
static bool meet(struct clock *c)
{
	struct howler_core *h = &self(c)->howler;
	uint32_t none = 0;

	if (h->meets)
		return true;
	if (!atomic_compare_exchange_strong_explicit(&c->howler.joiner, &none, port_core() + 1, memory_order_acquire,
						     memory_order_relaxed))
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

	/* One answers at a time. Crosswise with answer: it sees that it is no longer asked, or is seen here. */
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
		if (fresh_ns(c, port_core())) /* should it be stale in the end, it may begin anew */
			howler_note(c);
	}
	h->rounds = h->narrowed = 0;
	h->tag = 0;
	h->span = (struct span){ 0, UINT64_MAX };
	h->with = other;
	me->waits_for = other;
	exchange_begin(&me->exchange);
	set(&h->partner, other + 1);
	port_request(other, REQ_SYNC);
}

/* What the last round says of where the leader's reference was at h->tsc. */
static void narrow(struct clock_core *me)
{
	struct howler_core *h = &me->howler;
	const struct exchange *x = &me->exchange;
	uint64_t ref = line_read(&x->line, x->leader);

	if (h->tag != x->line_tag) { /* its line is another one now: what was said before is not of it */
		if (h->with == h->base) /* nor does the reference go as it did */
			h->tsc = x->before;
		h->tag = x->line_tag;
		h->span = (struct span){ 0, UINT64_MAX };
		h->rounds = h->narrowed = 0;
	}
	h->rounds++;
	/* Rounded outwards, and a tick takes a little less or more time than was told. */
	uint64_t since_lo = ticks_ns(x->after - h->tsc, me->tempo_khz, h->rate.now.hi) + 1;
	uint64_t since_hi = ticks_ns(x->before - h->tsc, me->tempo_khz, h->rate.now.lo);
	uint64_t lo = ref > since_lo ? ref - since_lo : 0, hi = ref > since_hi ? ref + 1 - since_hi : 1;

	uint64_t width = h->span.hi - h->span.lo;

	h->span.lo = lo > h->span.lo ? lo : h->span.lo;
	h->span.hi = hi < h->span.hi ? hi : h->span.hi;
	/* By a grain, it is not worth the wait. */
	if (h->span.hi - h->span.lo < width - width / NARROWER)
		h->narrowed = h->rounds;
}

/*
 * Enough exchanges with this partner? As long as they say something new. And a
 * round that an emulator's scheduler or an SMI fell into says little: how quick
 * a good one is, earlier ones know.
 */
static bool enough(struct clock *c, const struct howler_core *h, unsigned partner)
{
	uint64_t any = atomic_load_explicit(&c->rtt_floor_ns, memory_order_relaxed), width = h->span.hi - h->span.lo;
	uint64_t limit = any * c->rtt_any_percent / 100;
	uint32_t in = c->howler.gap ? gap(c, partner, port_core()) : GAP_UNKNOWN;
	uint32_t out = c->howler.gap ? gap(c, port_core(), partner) : GAP_UNKNOWN;

	if (in != GAP_UNKNOWN && out != GAP_UNKNOWN)
		limit = ((uint64_t)in + out) * c->rtt_pair_percent / 100;
	/* Who has a line already does not stay out for long: if this says nothing, the line stays as it is. */
	if (h->rounds >= (clock_synced(c, port_core()) ? 4 * c->rounds_min : c->rounds_max))
		return true;
	if (h->rounds - h->narrowed < (any ? c->rounds_min : c->rounds_first) - 1)
		return false;
	if (any && width > limit + WIDTH_SLACK_NS)
		return false;
	if (!any || width < any) /* should two do so at once, a lost minimum is learnt again */
		atomic_store_explicit(&c->rtt_floor_ns, width, memory_order_relaxed);
	return true;
}

/* Where the spans of the base and of those that it met agree; if nowhere, lo > hi: what those that disagree most say. */
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
 * With `busy`: keep how quick messages between the two were, on the clocks as
 * they are now. Two that are at odds have nothing to go back to: they meet again.
 */
static void keep_gaps(struct clock *c, unsigned other, const struct span *s, uint64_t x)
{
	bool known = x >= s->lo && x <= s->hi && s->hi - s->lo < GAP_UNKNOWN;

	set_gap(c, other, port_core(), known ? (uint32_t)(x - s->lo) : GAP_UNKNOWN);
	set_gap(c, port_core(), other, known ? (uint32_t)(s->hi - x) : GAP_UNKNOWN);
}

/*
 * With `busy`: of one that it has not measured just now. If this core was moved
 * against the base, it was against that one, too; by how much nobody knows if it
 * had not met the base: then they must meet again.
 */
static void move_gaps(struct clock *c, unsigned other, bool lost, int64_t moved_ns)
{
	uint32_t in = gap(c, other, port_core()), out = gap(c, port_core(), other);
	int64_t to_in = (int64_t)in + moved_ns, to_out = (int64_t)out - moved_ns;
	bool unknown = lost || in == GAP_UNKNOWN || out == GAP_UNKNOWN || to_in < 0 || to_out < 0;

	set_gap(c, other, port_core(), unknown ? GAP_UNKNOWN : (uint32_t)to_in);
	set_gap(c, port_core(), other, unknown ? GAP_UNKNOWN : (uint32_t)to_out);
}

/* With `busy`: what the reference has gained by being pulled, until then. */
static int64_t pulled(const struct howler *h, uint64_t now)
{
	uint64_t until = now < h->pull_until_ns ? now : h->pull_until_ns;

	return h->pulled_ns + (until > h->pull_from_ns ? (int64_t)(until - h->pull_from_ns) * h->pull_ppb / 1000000000 : 0);
}

/* One check more is over; or enough is learned. True: more are to come. */
static bool learn_on(_Atomic uint32_t *learns, bool enough)
{
	uint32_t left = atomic_load_explicit(learns, memory_order_relaxed);

	left = enough || !left ? 0 : left - 1;
	atomic_store_explicit(learns, left, memory_order_relaxed);
	return left;
}

/* ns that do not show on any path, as far as is known. */
static uint64_t part_of_rtt(const struct clock *c)
{
	return atomic_load_explicit(&c->rtt_floor_ns, memory_order_relaxed) / RTT_PARTS + 1;
}

/* How long the base may go without a look at the timebase, which is one at all others, too. */
static uint64_t check_ns(const struct clock *c)
{
	uint64_t most = atomic_load_explicit(&c->howler.check_ns, memory_order_relaxed), off = c->howler.rates.reference_ppb;

	if (c->howler.rates.bound_ppb && most > LOOK_NS)
		most = LOOK_NS;
	return off * most / 1000000000 > LOOK_OFF_NS ? LOOK_OFF_NS * 1000000000ull / off : most;
}

/* How long this core, whose rate is known to `err`, may be left alone before that shows to anybody that it knows. */
static uint64_t alone_ns(const struct clock *c, uint32_t err)
{
	uint64_t most = atomic_load_explicit(&c->howler.check_ns, memory_order_relaxed), room = part_of_rtt(c);
	unsigned me = port_core();

	for (unsigned i = 0; err && c->howler.gap && i < c->count; i++) {
		uint32_t in = gap(c, i, me), out = gap(c, me, i), least = in < out ? in : out;

		if (clock_online(c, i) && least / 2 + 1 < room)
			room = least / 2 + 1;
	}
	uint64_t ns = err ? room * 1000000000 / err : most;

	return ns < CHECK_NS_MIN ? CHECK_NS_MIN : ns < most ? ns : most;
}

/* Of a line that was right at `was`: until then it is fresh. But it must be of some use, too. */
static uint64_t fresh(const struct clock *c, uint64_t was, uint64_t now)
{
	uint64_t alone = alone_ns(c, rate_err(&c->core[port_core()].howler.rate));

	return was + FRESH_TIMES * alone > now + alone ? was + FRESH_TIMES * alone : now + alone;
}

/* The base: when all are to be held against it again. */
static void check_later(struct clock *c)
{
	atomic_store_explicit(&c->howler.check_at_ns, clock_now(c) + check_ns(c), memory_order_relaxed);
}

/*
 * With `busy`: does this core know enough of its rate by now, or can't it be known here?
 * Then nobody has seen its clock yet: it meets all as one that is new, those that came
 * to know theirs at the same time among them, and steps to where that says.
 */
static bool learned(struct clock *c)
{
	struct howler_core *h = &self(c)->howler;

	/* While the reference is still pulled in haste, who was told of it last is elsewhere. */
	bool boots = atomic_load_explicit(&c->howler.boots, memory_order_relaxed);

	if (learn_on(&h->learns, !boots && part_of_rtt(c) * 1000000000 >= (uint64_t)LEARNED_NS * rate_err(&h->rate)))
		return false;
	for (unsigned i = 0; c->howler.gap && i < c->count; i++)
		set_gap(c, i, port_core(), GAP_UNKNOWN), set_gap(c, port_core(), i, GAP_UNKNOWN);
	atomic_store_explicit(&h->fresh_ns, 1, memory_order_relaxed);
	let_go(c);
	return true;
}

/* All is measured: a line, as soon as nobody else is at the bounds. */
static void conclude(struct clock *c)
{
	unsigned my = port_core();
	struct clock_core *me = self(c);
	struct howler_core *h = &me->howler;
	unsigned base = h->base;
	bool pairs = c->howler.gap;

	if (!bound_try(c))
		return;
	/*
	 * What was measured of a core that took another place since is of no use, nor is
	 * anything if the time was lost meanwhile and begun anew (with `busy`) elsewhere.
	 */
	if (h->base_placed != placed(c, base) ||
	    (atomic_load_explicit(&c->base, memory_order_seq_cst) ^ h->role) & BASE_RESTARTS) {
		let_go(c);
		bound_done(c);
		return;
	}
	for (unsigned i = 0; h->meets && i < c->count; i++)
		if (c->howler.placed[i] != placed(c, i))
			c->howler.span[i].hi = 0;
	if (next_partner(c) < c->count) { /* one that was synchronised just now */
		h->ready = 0;
		bound_done(c);
		return;
	}
	/* It was measured by what was known of rates when it followed last. */
	uint64_t other = (ticks_ns(port_tsc() - h->tsc, me->tempo_khz, 0) + 1) * rate_follow(&c->howler.rates, &h->rate) / 1000000000;

	h->base_span.lo -= other < h->base_span.lo ? other : h->base_span.lo;
	h->base_span.hi += other;
	rate_learn(&c->howler.rates, &h->rate, h->role, h->tsc, me->tempo_khz, &h->base_span, pulled(&c->howler, h->base_span.lo));
	if (learns(c, my) && learned(c)) {
		bound_done(c);
		return;
	}
	struct clock_input in = {
		.khz = me->tempo_khz, .rate_ppb = rate_ppb(&h->rate), .rate_err_ppb = rate_err(&h->rate),
		.continues = flag(&me->synced) && !stale(c, my, clock_now(c)), .old = me->line,
		.last_ns = atomic_load_explicit(&me->last_ref_ns, memory_order_relaxed),
		.tsc = h->tsc, .now_tsc = port_tsc(), .all = h->base_span, .base = h->base_span,
		.gap_in = GAP_UNKNOWN, .gap_out = GAP_UNKNOWN,
		.pull_ppb = c->howler.pull_ppb, .pull_until_ns = c->howler.pull_until_ns, .late_ns = h->late_ns,
	};
	struct clock_decision d;

	if (h->meets)
		in.all = agree(&in.base, c->howler.span, c->count);
	if (pairs) {
		in.gap_in = gap(c, base, my);
		in.gap_out = gap(c, my, base);
	}
	/* What it knew of its place may be so little, from a slow measurement, that this one says more. */
	if (in.gap_in != GAP_UNKNOWN && (uint64_t)in.gap_in + in.gap_out > 2 * (in.base.hi - in.base.lo) + WIDTH_SLACK_NS)
		in.gap_in = in.gap_out = GAP_UNKNOWN;
	bool lost = in.gap_in == GAP_UNKNOWN && !in.continues;

	decide(&in, &d);
	for (unsigned i = 0; pairs && i < c->count; i++) {
		if (i == my)
			continue;
		if (h->meets && c->howler.span[i].hi)
			keep_gaps(c, i, &c->howler.span[i], d.x_ns);
		else if (i == base && (in.gap_in == GAP_UNKNOWN || d.moved_ns ||
				       in.base.hi - in.base.lo < (uint64_t)in.gap_in + in.gap_out))
			keep_gaps(c, base, &in.base, d.x_ns);
		else if (i != base)
			move_gaps(c, i, lost, d.moved_ns);
	}
	trace_put(&h->trace, &(struct trace_record){ .base = base, .generation = h->generation, .rounds = h->rounds,
						     .in = in, .out = d });
	if (!flag(&me->synced) || lost || d.moved_ns) /* who was stale is back where it was */
		atomic_fetch_add_explicit(&h->placed, 1, memory_order_relaxed);
	let_go(c);
	uint64_t carry = h->carry_ns, known = bound_radius(c, my, d.line.ref_ns);

	/* A line that only goes on is off by no more than was known before. */
	if (in.continues && known < d.radius_ns) {
		d.radius_ns = known;
		carry = atomic_load_explicit(&c->howler.carry_ns, memory_order_relaxed);
	}
	/* Crosswise: either the base finds this core synchronised, or this core finds its generation old. */
	if (!take(c, &d, h->generation, h->role & BASE_RESTARTS, carry))
		return;
	if (flag(&c->generation) == h->generation)
		atomic_store_explicit(&me->led, 0, memory_order_release);
	atomic_store_explicit(&h->fresh_ns, learns(c, my) ? d.line.ref_ns + LEARN_NS :
			      rate_err(&h->rate) ? fresh(c, d.x_ns, d.line.ref_ns) : 0, memory_order_relaxed);
}

/* This core, led: one step towards a line. */
static void howler_follow(struct clock *c)
{
	struct clock_core *me = self(c);
	struct howler_core *h = &me->howler;
	unsigned partner = atomic_load_explicit(&h->partner, memory_order_relaxed);

	if (flag(&me->in_transition) || !clock_online(c, port_core()))
		return;
	if (clock_synced(c, port_core()) && clock_base(c) == port_core()) {
		let_go(c);
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
			restart(c);
		else if (next < c->count && (!h->tsc || meet(c)))
			begin_with(c, next);
		return;
	}
	if (!carries(c, partner - 1)) { /* it answers no more */
		if (partner - 1 == h->base)
			let_go(c);
		else
			set(&h->partner, 0);
		return;
	}
	if (!exchange_round(&me->exchange))
		return;
	narrow(me);
	if (!enough(c, h, partner - 1))
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

static void howler_after(struct clock *c)
{
	struct clock_core *me = self(c);

	set(&me->in_transition, 0);
	if (!clock_synced(c, port_core()))
		atomic_store_explicit(&me->led, 1, memory_order_relaxed);
}

/* With `busy`, the base: the reference is off the truth by that now, and by so much more as time goes on. */
static void set_drift(struct clock *c, uint64_t drift_ns, uint64_t now)
{
	c->howler.drift_ns = drift_ns;
	c->howler.drift_at_ns = now;
	c->howler.drift_ppb = c->howler.rates.reference_ppb + c->howler.bound[port_core()].growth_ppb;
}

/*
 * With `busy`: go on from (tsc, now), the clock as it is, with nothing but the
 * pull, if there is one.
 */
static void straight_line(struct clock *c, uint64_t tsc, uint64_t now)
{
	struct clock_core *me = self(c);
	const struct howler *h = &c->howler;
	struct bound *b = &h->bound[port_core()];
	int32_t pull = now < h->pull_until_ns ? h->pull_ppb : 0;

	rate_follow(&c->howler.rates, &me->howler.rate);
	if (clock_base(c) != port_core()) /* it is not off itself */
		b->radius_ns = bound_aged(b->radius_ns, b->at_ns, b->growth_ppb, now);
	b->at_ns = now;
	b->growth_ppb = 1 + (clock_base(c) == port_core() ? 0 : rate_err(&me->howler.rate)) + magnitude(pull);
	line_start_steeper(&me->line, tsc, now, me->tempo_khz, rate_ppb(&me->howler.rate) + pull);
	me->line_count++;
	me->howler.straight_ns = pull ? h->pull_until_ns : 0;
}

/* With `busy`: until they are told, all others may go by so much more otherwise than the reference does. */
static void doubt_all(struct clock *c, uint32_t ppb, uint64_t now)
{
	for (unsigned i = 0; ppb && i < c->count; i++) {
		struct bound *b = &c->howler.bound[i];

		if (i == port_core())
			continue;
		b->radius_ns = bound_aged(b->radius_ns, b->at_ns, b->growth_ppb, now);
		b->at_ns = now;
		b->growth_ppb += ppb;
	}
}

/*
 * With `busy`, the base: it leads on from (tsc, now), and as steep as is best by now. All
 * others' rates are doubtful by what that changes, and by what was doubtful of this one's.
 */
static void lead_on(struct clock *c, uint64_t tsc, uint64_t now)
{
	uint32_t change = lead(c, now);

	doubt_all(c, change, now);
	/* A line that goes on as it is spoils no exchange. */
	if (change || self(c)->howler.straight_ns || now < c->howler.pull_until_ns)
		straight_line(c, tsc, now);
}

/*
 * As the base for the first time: its own radius is everybody else's from now
 * on. And what it still had to make good is no error any more: all will go by
 * it, and must not lag behind a line that goes on to slew. False: not yet.
 */
static bool account(struct clock *c)
{
	struct howler *h = &c->howler;
	struct bound *b = &h->bound[port_core()];
	uint64_t carry = atomic_load_explicit(&h->carry_ns, memory_order_relaxed);

	if (b->radius_ns <= 1 && b->carry_ns == carry)
		return true;
	if (!bound_try(c))
		return false;
	uint64_t tsc = port_tsc(), now = line_read(&self(c)->line, tsc), radius;

	carry = atomic_load_explicit(&h->carry_ns, memory_order_relaxed);
	radius = bound_radius(c, port_core(), now);
	set_drift(c, bound_aged(h->drift_ns, h->drift_at_ns, h->drift_ppb, now) + radius, now);
	lead_on(c, tsc, now);
	atomic_store_explicit(&h->carry_ns, carry + radius, memory_order_relaxed);
	*b = (struct bound){ .radius_ns = 1, .at_ns = now, .growth_ppb = b->growth_ppb, .carry_ns = carry + radius };
	set_drift(c, h->drift_ns, now);
	bound_publish(c, now);
	bound_done(c);
	check_later(c);
	return true;
}

static uint64_t howler_due_ns(const struct clock *c)
{
	const struct clock_core *me = &c->core[port_core()];
	uint64_t straight = me->howler.straight_ns, check = UINT64_MAX;

	if (!clock_synced(c, port_core()))
		return UINT64_MAX;
	if (is_base(atomic_load_explicit(&c->base, memory_order_relaxed), port_core()))
		check = atomic_load_explicit(&c->howler.check_at_ns, memory_order_relaxed);
	else if (fresh_ns(c, port_core()) && !atomic_load_explicit(&me->led, memory_order_relaxed))
		check = fresh_ns(c, port_core());
	check = straight && straight < check ? straight : check;
	if (check == UINT64_MAX)
		return check;
	uint64_t now = clock_now(c);

	return now < check ? check - now : 0;
}

/*
 * The base, with `busy`: hold the reference against the timebase. That says how
 * far off it is at most, which may be less than was known; and if it is off for
 * sure, it is pulled back: by all cores alike, never by a step. True: a pull begins.
 */
static bool look_at_timebase(struct clock *c)
{
	struct clock_core *me = self(c);
	struct howler *h = &c->howler;
	struct timebase t;

	if (!timebase(c, &t))
		return false;
	uint64_t ns = t.ns, late = t.late_ns, before = line_read(&me->line, t.before), after = line_read(&me->line, t.after);

	if (!h->timebase_set) {
		h->timebase_set = true;
		h->timebase_ns = ns;
		h->timebase_ref_ns = before;
		h->timebase_doubt_ns = after - before + late + 2 +
				       bound_aged(h->drift_ns, h->drift_at_ns, h->drift_ppb, after);
		return false;
	}
	/* The right time lay between these when the reference did between `before` and `after`. */
	uint64_t right = h->timebase_ref_ns + (ns - h->timebase_ns);
	int64_t low = (int64_t)(before - right - late - h->timebase_doubt_ns);
	int64_t high = (int64_t)(after - right + h->timebase_doubt_ns), off = low / 2 + high / 2;
	uint64_t most = -low > high ? (uint64_t)-low : (uint64_t)high, tsc = port_tsc(), now = line_read(&me->line, tsc);

	uint64_t known = bound_aged(h->drift_ns, h->drift_at_ns, h->drift_ppb, now);

	set_drift(c, most < known ? most : known, now);
	bool steers = rate_look(&h->rates, &me->howler.rate, ns, (int64_t)(before - ns - late), (int64_t)(after - ns), pulled(h, before));

	if (steers) {
		lead_on(c, tsc, now);
		set_drift(c, h->drift_ns, now);
	}
	if (now < h->pull_until_ns || (low < PULL_NS_MIN && high > -PULL_NS_MIN))
		return steers;
	/*
	 * Quicker than the reference may run away by itself; but who is told last, or is
	 * late to end it, must not be off by more than a part of a round trip.
	 */
	uint64_t lag = h->pass_ns > me->howler.late_ns ? h->pass_ns : me->howler.late_ns;
	bool boots = atomic_load_explicit(&h->boots, memory_order_relaxed); /* nobody looks yet */
	uint64_t most_ppb = lag && !boots ? part_of_rtt(c) * 1000000000 / lag + 1 : SLEW_PPB_MAX;
	int32_t pull = boots ? PULL_PPB_MAX : PULL_PPB + (int32_t)h->rates.reference_ppb;

	if (most_ppb < (uint64_t)pull)
		pull = (int32_t)most_ppb;

	doubt_all(c, (uint32_t)pull, now);
	h->pulled_ns = pulled(h, now);
	h->pull_ppb = off > 0 ? -pull : pull;
	h->pull_from_ns = now;
	h->pull_until_ns = now + (uint64_t)(off > 0 ? off : -off) * (uint64_t)(1000000000 / pull);
	straight_line(c, tsc, now);
	set_drift(c, h->drift_ns, now);
	return true;
}

/* The base looks at the timebase once for each generation. False: not yet. */
static bool look(struct clock *c)
{
	struct clock_core *me = self(c);

	if (me->howler.looked == flag(&c->generation))
		return true;
	if (!bound_try(c))
		return false;
	bool begun = look_at_timebase(c);

	if (begun) /* everybody is to know of the pull */
		atomic_fetch_add_explicit(&c->generation, 1, memory_order_seq_cst);
	me->howler.looked = flag(&c->generation);
	/* Who has been told of the last pull goes by it. */
	learn_on(&c->howler.boots, !c->howler.use_timebase || (!begun && c->howler.rates.reference_ppb <= TRUTH_PPB &&
							      clock_now(c) >= c->howler.pull_until_ns));
	bound_publish(c, line_read(&me->line, port_tsc()));
	bound_done(c);
	return true;
}

/* The most that it took lately, of which `ns` is the last one. */
static uint64_t lately(uint64_t ns, uint64_t before)
{
	return ns > before - before / 8 ? ns : before - before / 8;
}

/* The error is made good: go on straight from where the clock is. False: not yet. */
static bool straighten(struct clock *c)
{
	struct clock_core *me = self(c);
	uint64_t tsc, now;

	if (!me->howler.straight_ns || (now = line_read(&me->line, tsc = port_tsc())) < me->howler.straight_ns)
		return true;
	if (!bound_try(c))
		return false;
	uint64_t late = now - me->howler.straight_ns;

	me->howler.late_ns = lately(late, me->howler.late_ns);
	/* The reference was pulled for longer; who learns how it goes reckons with that. */
	if (clock_base(c) == port_core() && me->howler.straight_ns == c->howler.pull_until_ns)
		c->howler.pulled_ns += (int64_t)late * c->howler.pull_ppb / 1000000000;
	straight_line(c, tsc, now);
	if (clock_base(c) == port_core())
		set_drift(c, bound_aged(c->howler.drift_ns, c->howler.drift_at_ns, c->howler.drift_ppb, now), now);
	bound_publish(c, now);
	bound_done(c);
	return true;
}

/* Answer core `other`, if it asks this one. */
static void answer(struct clock *c, unsigned other)
{
	struct clock_core *me = self(c);

	me->waits_for = other;
	set(&me->howler.answers, other + 1);
	if (flag(&c->core[other].howler.partner) == port_core() + 1)
		exchange_answer_on(&c->core[other].exchange, &me->line,
				   ((uint64_t)port_core() + 1) << 32 | me->line_count);
	atomic_store_explicit(&me->howler.answers, 0, memory_order_release);
}

/*
 * Any synchronised core, top of its loop: answer whoever exchanges stamps with it. The base
 * also holds each core of an older generation against itself: one after another,
 * so that each is out of its guest for its own exchange only.
 */
static enum clock_step howler_lead(struct clock *c)
{
	unsigned my = port_core();
	struct clock_core *me = self(c);

	if (!clock_online(c, my) || !clock_synced(c, my)) {
		if (clock_online(c, my) && !flag(&me->in_transition))
			restart(c);
		return CLOCK_DONE;
	}
	bool base = is_base(atomic_load_explicit(&c->base, memory_order_seq_cst), my);

	/* A pull that goes on for longer than all were told would pass for the base's rate. */
	if (base && (!account(c) || !straighten(c))) {
		port_await_change(&c->howler.busy, 1);
		return CLOCK_NOT_YET;
	}
	/* To the end whom it has begun with, then the next one: nobody is passed over by who asks more often. */
	for (unsigned n = 0; n < c->count; n++) {
		unsigned i = (me->howler.asked + n) % c->count;

		if (i != my && clock_online(c, i) && flag(&c->core[i].howler.partner) == my + 1) {
			me->howler.asked = i;
			answer(c, i);
			return CLOCK_NOT_YET;
		}
	}
	if (!straighten(c) || (base && !look(c))) {
		port_await_change(&c->howler.busy, 1);
		return CLOCK_NOT_YET;
	}
	uint32_t generation = atomic_load_explicit(&c->generation, memory_order_relaxed);

	/* It may show by now that its rate is not what it is taken for: no guest before it is known again. */
	if (!base && stale(c, my, clock_now(c)))
		set(&me->led, 1);
	if (base)
		atomic_store_explicit(&me->generation, generation, memory_order_release);
	for (unsigned i = 0; base && i < c->count; i++) {
		struct clock_core *other = &c->core[i];

		if (i == my || !carries(c, i) ||
		    atomic_load_explicit(&other->generation, memory_order_acquire) == generation)
			continue;
		if (!me->howler.pass_from_ns)
			me->howler.pass_from_ns = clock_now(c);
		if (!atomic_load_explicit(&other->led, memory_order_acquire)) {
			atomic_store_explicit(&other->led, 1, memory_order_release);
			port_request(i, REQ_FOLLOW);
		}
		/* Until it asks this core. */
		port_await_change(&other->howler.partner, flag(&other->howler.partner));
		return CLOCK_NOT_YET;
	}
	if (base && me->howler.pass_from_ns) /* of all, or of some that were late */
		c->howler.pass_ns = lately(clock_now(c) - me->howler.pass_from_ns, c->howler.pass_ns);
	me->howler.pass_from_ns = 0;
	if (!base)
		return CLOCK_DONE;
	/*
	 * Not before the last time is over, and some time for guests: on a slow machine
	 * the last cores would never have their turn.
	 */
	bool due = clock_now(c) >= atomic_load_explicit(&c->howler.check_at_ns, memory_order_relaxed);

	if (due || me->howler.checks)
		check_later(c);
	if (due && !me->howler.checks) {
		me->howler.checks = 1;
		atomic_fetch_add_explicit(&c->generation, 1, memory_order_seq_cst);
		return CLOCK_NOT_YET;
	}
	me->howler.checks = 0;
	return CLOCK_DONE;
}

static void howler_take_down(struct clock *c, unsigned core)
{
	struct clock_core *gone = &c->core[core];
	uint32_t joiner = core + 1;
	uint64_t shown = atomic_load_explicit(&gone->last_ref_ns, memory_order_relaxed);

	atomic_store_explicit(&gone->online, 0, memory_order_relaxed);
	atomic_store_explicit(&gone->in_transition, 0, memory_order_relaxed);
	atomic_store_explicit(&gone->led, 0, memory_order_relaxed);
	atomic_store_explicit(&gone->howler.partner, 0, memory_order_relaxed);
	atomic_compare_exchange_strong_explicit(&c->howler.joiner, &joiner, 0, memory_order_relaxed, memory_order_relaxed);
	c->left_ns = shown > c->left_ns ? shown : c->left_ns;
	set(&gone->synced, 0);
	settle(c);
}

static void howler_bring_up(struct clock *c, unsigned core)
{
	struct clock_core *new = &c->core[core];
	struct howler_core *h = &new->howler;

	atomic_store_explicit(&new->last_ref_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&h->had_line, 0, memory_order_relaxed);
	for (unsigned i = 0; c->howler.gap && i < c->count; i++)
		set_gap(c, i, core, GAP_UNKNOWN), set_gap(c, core, i, GAP_UNKNOWN);
	h->tsc = h->ready = h->meets = h->out_khz_max = 0;
	h->out_khz_min = UINT32_MAX;
	if (!new->line_count) {
		rate_unknown(&c->howler.rates, &h->rate);
		atomic_store_explicit(&h->learns, c->howler.rates.bound_ppb ? LEARN_CHECKS : 0, memory_order_relaxed);
	}
	h->rate.anchor_tsc = 0;
	h->late_ns = c->howler.late_first_ns;
	h->pass_from_ns = 0;
	atomic_store_explicit(&new->synced, 0, memory_order_relaxed);
	atomic_store_explicit(&new->online, 1, memory_order_release);
	atomic_store_explicit(&new->led, 1, memory_order_release);
	port_request(core, REQ_FOLLOW);
}

/*
 * sync=scale: the same clock. What a guest sees of it is its TSC itself, through
 * a page that never changes (hv/sync.c).
 */
#define HOWLER \
	.breaks_off = true, .first_base = BASE_LOST, .checks = true, .bounds = true, \
	.notice_before = rfc15_notice_before, .notice_after = rfc15_notice_after, \
	.evict = howler_evict, .note = howler_note, .after = howler_after, .follow = howler_follow, \
	.resync = howler_lead, .lead = howler_lead, \
	.take_down = howler_take_down, .bring_up = howler_bring_up, .due_ns = howler_due_ns

const struct policy howler_policy = { .name = "howler", HOWLER };
const struct policy scale_policy = { .name = "scale", .scales = true, HOWLER };
