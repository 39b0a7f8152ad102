/* SPDX-License-Identifier: MIT */
/*
 * sync=howler: which core carries the time on (rule R2'), and how the time restarts when none did.
 */
#include "clock/howler_parts.h"

/*
 * Is core a a better heir than b? Preferred is one that needs no check now, nor soon: its
 * error sets cores that are measured against it apart from those measured before.
 */
static bool better_base(const struct clock *c, unsigned a, unsigned b)
{
	bool a_follows = clock_follows(c, a), b_follows = clock_follows(c, b);

	return a_follows != b_follows ? b_follows : fresh_ns(c, a) - 1 >= fresh_ns(c, b) - 1; /* 0, never, is latest */
}

/* The core to carry the time on. count: there is none. */
static unsigned next_base(const struct clock *c)
{
	unsigned heir = c->count;

	for (unsigned i = c->count; i-- > 0;)
		if (carries(c, i) && (heir == c->count || better_base(c, i, heir)))
			heir = i;
	return heir;
}

void howler_settle(struct clock *c)
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
			/* All cores must be checked against the new base: tell the one that it is by now. */
			atomic_fetch_add_explicit(&c->generation, 1, memory_order_seq_cst);
			port_request(atomic_load_explicit(&c->base, memory_order_seq_cst) & BASE_CORE, REQ_SYNC);
		}
	}
}

/* Where the reference can be at *tsc, now, by the timebase since `from` was out. False: unknown. */
static bool passed_by_timebase(const struct clock *c, const struct howler_core *from, uint64_t *tsc, struct span *p)
{
	struct timebase t;
	int32_t lo, hi;

	if (!from->out_ns || !from->out_base_known || !howler_timebase(c, &t))
		return false;
	howler_told(c, &lo, &hi);
	/* Either reading was taken some time after the instant that it stands for. */
	uint64_t most = t.ns - from->out_base_ns + t.late_ns + from->out_base_early_ns;
	uint64_t doubt = t.late_ns + from->out_base_early_ns + from->out_base_late_ns +
			 ticks_ns(t.after - t.before, c->core[port_core()].tempo_khz, hi + (int32_t)c->howler.rates.bound_ppb) + 4;

	*tsc = t.before;
	*p = (struct span){ from->out_ns + (doubt < most ? most - doubt : 0), from->out_ns + most };
	return true;
}

/*
 * Where the reference can be at *tsc, now: by the timebase since the last core was
 * out, or else by this core's own ticks since it was out itself, at any tempo that it
 * can have had. Returns the core that this is reckoned from; count: unknown.
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
	if (!atomic_load_explicit(&h->had_line, memory_order_relaxed))
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

/* May this core, which is not in transition, restart the time? Without a timebase, preferably one that had a line. */
static bool may_restart(const struct clock *c, uint32_t base)
{
	if (!(base & BASE_LOST))
		return false;
	if (!atomic_load_explicit(&c->generation, memory_order_relaxed))
		return port_core() == (base & BASE_CORE); /* the first start of all: the core chosen for it */
	struct timebase t;

	if (howler_timebase(c, &t))
		return true;
	for (unsigned i = 0; i < c->count; i++)
		if (clock_online(c, i) && atomic_load_explicit(&c->core[i].howler.had_line, memory_order_relaxed))
			return atomic_load_explicit(&c->core[port_core()].howler.had_line, memory_order_relaxed);
	return true;
}

/* With `busy`: claim the restart. False, `busy` released: another core restarts the time, or carries it on. */
static bool claim(struct clock *c, uint32_t base, uint32_t word)
{
	if (!atomic_compare_exchange_strong_explicit(&c->base, &base, word | BASE_CLAIMED | port_core(),
						     memory_order_seq_cst, memory_order_seq_cst)) {
		bound_done(c);
		return false;
	}
	/* A core that is just being synchronised either is seen here and carries the time on, or sees the claim. */
	for (unsigned i = 0; i < c->count; i++)
		if (carries(c, i)) {
			bound_done(c);
			set(&c->base, word | BASE_LOST | i); /* still LOST: settle hands it over and tells the core */
			howler_settle(c);
			return false;
		}
	return true;
}

/* With `busy`: the drift bound of a time restarted at `value` that should lie in `p`, as reckoned from core `from`. */
static uint64_t drift_of(const struct clock *c, unsigned from, const struct span *p, uint64_t value)
{
	const struct howler *h = &c->howler;
	uint64_t below = value - p->lo, above = p->hi > value ? p->hi - value : 0;

	return from == c->count ? BOUND_UNKNOWN :
	       bound_aged(h->drift_ns, h->drift_at_ns, h->drift_ppb, value) + bound_radius(c, from, value) +
	       (below > above ? below : above);
}

void howler_restart(struct clock *c)
{
	struct clock_core *me = self(c);
	struct howler *h = &c->howler;
	uint32_t base = atomic_load_explicit(&c->base, memory_order_seq_cst), restarts = (base + BASE_RESTART) & BASE_RESTARTS;

	restarts = restarts ? restarts : BASE_RESTART;
	uint32_t word = restarts | (base & ~(BASE_MOVE - 1));

	if (!may_restart(c, base) || !bound_try(c) || !claim(c, base, word))
		return;
	bool first = !atomic_load_explicit(&c->generation, memory_order_relaxed);
	uint64_t carry = atomic_load_explicit(&h->carry_ns, memory_order_relaxed);
	uint64_t tsc, shown = highest_shown(c);
	struct span p;
	unsigned from = passed(c, &tsc, &p);
	uint64_t value = p.lo / 2 + p.hi / 2;

	value = value < shown ? shown : value;
	h->drift_ns = first ? 0 : drift_of(c, from, &p, value);
	for (unsigned i = 0; i < c->count; i++) {
		h->bound[i] = (struct bound){ .carry_ns = carry };
		atomic_store_explicit(&c->core[i].howler.had_line, 0, memory_order_relaxed); /* its out_ns is of the time before */
	}
	h->drift_at_ns = value;
	howler_let_go(c);
	if (first) {
		int32_t lo, hi;

		howler_told(c, &lo, &hi);
		rate_first(&h->rates, &me->howler.rate, lo, hi);
		atomic_store_explicit(&h->boots, h->rates.bound_ppb ? LEARN_CHECKS : 0, memory_order_relaxed);
	}
	howler_set_pace(c, value);
	howler_knee(h, 0, 0, 0); /* voids all earlier knees */
	howler_knee(h, value, value, rate_best(&h->rates)); /* no line continues: both time scales restart here */
	h->lease_ns = h->plan_ns = value;
	h->drift_ppb = 1 + rate_off(&h->rates, rate_best(&h->rates));
	me->howler.rate.anchor_tsc = 0;
	struct clock_decision d = { .growth_ppb = 1, .radius_ns = 1 };

	line_start_steeper(&d.line, tsc, value, me->tempo_khz, rate_ppb(&me->howler.rate));
	me->howler.straight = d.line;
	if (!first)
		howler_look_now(c); /* while no core shows the reference, a pull may begin at once */
	/* Cores that join are to be checked as soon as their rates require it. */
	atomic_store_explicit(&h->check_at_ns, value + (h->rates.bound_ppb ? CHECK_NS_MIN :
			      atomic_load_explicit(&h->check_ns, memory_order_relaxed)), memory_order_relaxed);
	uint32_t generation = atomic_fetch_add_explicit(&c->generation, 1, memory_order_release) + 1;

	set(&c->base, word | BASE_CLAIMED | port_core());
	atomic_store_explicit(&me->led, 0, memory_order_release);
	howler_take(c, &d, generation, carry);
	set(&c->base, word | port_core());
	howler_settle(c);
}
