/* SPDX-License-Identifier: MIT */
/*
 * sync=howler: how the reference goes on, by the base: at which pace, how far off the truth it
 * may be, when it is held against the timebase, and how it is pulled back.
 */
#include "clock/howler_parts.h"

enum {
	PULL_PPB = 50000, PULL_PPB_MAX = 400000, PULL_NS_MIN = 50,
	/* Between looks at the timebase, when rates are not known; and less, for the reference not to be off by more. */
	LOOK_NS = 20000000, LOOK_OFF_NS = 400, READINGS = 3,
	TRUTH_PPB = 10000,
	LATE_TIMES = 16, /* who was late may be later */
};

/* The quickest of some readings: something may come in between, as an SMI, or an emulator's next core. */
bool howler_timebase(const struct clock *c, struct timebase *t)
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

void howler_told(const struct clock *c, int32_t *lo, int32_t *hi)
{
	port_rate(lo, hi);
	if (c->howler.use_timebase)
		return;
	*hi = -*lo > *hi ? -*lo : *hi;
	*lo = -*hi;
}

/* With `busy`: the reference goes as this core does from now on. Returns how much otherwise than before, ppb. */
uint32_t howler_set_pace(struct clock *c, uint64_t now, int32_t step_ppb)
{
	struct howler_core *me = &self(c)->howler;
	int32_t lo, hi;

	howler_told(c, &lo, &hi);
	rate_told(&c->howler.rates, lo, hi);
	atomic_store_explicit(&me->learns, 0, memory_order_relaxed);
	atomic_store_explicit(&me->fresh_ns, 0, memory_order_relaxed);
	return rate_lead(&c->howler.rates, &me->rate, now, step_ppb);
}

/* With `busy`: what the reference has gained by being pulled, until then. */
int64_t howler_pulled(const struct howler *h, uint64_t now)
{
	uint64_t until = now < h->pull_until_ns ? now : h->pull_until_ns;

	return h->pulled_ns + (until > h->pull_from_ns ? (int64_t)(until - h->pull_from_ns) * h->pull_ppb / 1000000000 : 0);
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

	rate_follow(&c->howler.rates, &me->howler.rate);
	if (clock_base(c) != port_core()) /* it is not off itself */
		b->radius_ns = bound_aged(b->radius_ns, b->at_ns, b->growth_ppb, now);
	b->at_ns = now;
	line_start_pulled(&me->line, tsc, now, me->tempo_khz, rate_ppb(&me->howler.rate), h->pull_ppb, h->pull_until_ns);
	b->growth_ppb = 1 + (clock_base(c) == port_core() ? 0 : rate_err(&me->howler.rate)) + magnitude(me->line.pull_ppb);
	me->line_count++;
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
 * With `busy`: by how much otherwise the reference may go all at once, ppb. Who is told last
 * must not be off by more than a part of a round trip; while rates are not known, nobody looks.
 */
static int32_t step_ppb(const struct clock *c)
{
	uint64_t lag = LATE_TIMES * atomic_load_explicit(&c->howler.late_ns, memory_order_relaxed), pass = c->howler.pass_ns;

	if (atomic_load_explicit(&c->howler.boots, memory_order_relaxed) || !(lag | pass))
		return INT32_MAX;
	uint64_t most = part_of_rtt(c) * 1000000000 / (pass > lag ? pass : lag) + 1;

	return most < INT32_MAX ? (int32_t)most : INT32_MAX;
}

/*
 * With `busy`, the base: it leads on from (tsc, now), and as steep as is best by now. All
 * others' rates are doubtful by what that changes, and by what was doubtful of this one's.
 */
static void lead_on(struct clock *c, uint64_t tsc, uint64_t now)
{
	uint32_t change = howler_set_pace(c, now, step_ppb(c));

	doubt_all(c, change, now);
	/* A line that goes on as it is spoils no exchange. */
	if (change || self(c)->line.straight_ns || now < c->howler.pull_until_ns)
		straight_line(c, tsc, now);
}

/* How long the base may go without a look at the timebase, which is one at all others, too. */
static uint64_t check_ns(const struct clock *c)
{
	uint64_t most = atomic_load_explicit(&c->howler.check_ns, memory_order_relaxed), off = c->howler.rates.reference_ppb;

	if (c->howler.rates.bound_ppb && most > LOOK_NS)
		most = LOOK_NS;
	return off * most / 1000000000 > LOOK_OFF_NS ? LOOK_OFF_NS * 1000000000ull / off : most;
}

/* The base: when all are to be held against it again. */
void howler_check_later(struct clock *c)
{
	atomic_store_explicit(&c->howler.check_at_ns, clock_now(c) + check_ns(c), memory_order_relaxed);
}

/*
 * As the base for the first time: its own radius is everybody else's from now
 * on. And what it still had to make good is no error any more: all will go by
 * it, and must not lag behind a line that goes on to slew. False: not yet.
 */
bool howler_account(struct clock *c)
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
	howler_check_later(c);
	return true;
}

/* With `busy`, the base, (tsc, now): the reference is ahead by `off`, and is pulled back from here on. */
static void begin_pull(struct clock *c, int64_t off, uint64_t tsc, uint64_t now)
{
	struct howler *h = &c->howler;
	bool boots = atomic_load_explicit(&h->boots, memory_order_relaxed);
	/* Quicker than the reference may run away by itself. */
	int32_t pull = boots ? PULL_PPB_MAX : PULL_PPB + (int32_t)h->rates.reference_ppb, most = step_ppb(c);

	most = most < PULL_PPB_MAX ? most : PULL_PPB_MAX;
	pull = pull < most ? pull : most;
	doubt_all(c, (uint32_t)pull, now);
	h->pulled_ns = howler_pulled(h, now);
	h->pull_ppb = off > 0 ? -pull : pull;
	h->pull_from_ns = now;
	h->pull_until_ns = now + (uint64_t)(off > 0 ? off : -off) * (uint64_t)(1000000000 / pull);
	straight_line(c, tsc, now);
	set_drift(c, h->drift_ns, now);
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

	if (!howler_timebase(c, &t))
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

	most = bound_aged(most, before, h->drift_ppb, now); /* this core may have been late since */
	set_drift(c, most < known ? most : known, now);
	int32_t lo, hi;

	howler_told(c, &lo, &hi);
	rate_told(&h->rates, lo, hi);
	rate_look(&h->rates, ns, (int64_t)(before - ns - late), (int64_t)(after - ns), howler_pulled(h, before));
	bool steers = rate_steers(&h->rates, &me->howler.rate);

	if (steers) {
		lead_on(c, tsc, now);
		set_drift(c, h->drift_ns, now);
	}
	if (now < h->pull_until_ns || (low < PULL_NS_MIN && high > -PULL_NS_MIN))
		return steers;
	begin_pull(c, off, tsc, now);
	return true;
}

/* The base looks at the timebase once for each generation. False: not yet. */
bool howler_look(struct clock *c)
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

/* The error is made good: go on straight from where the clock is. False: not yet. */
bool howler_straighten(struct clock *c)
{
	struct clock_core *me = self(c);
	uint64_t tsc, now;

	if (!me->line.straight_ns || (now = line_read(&me->line, tsc = port_tsc())) < me->line.straight_ns)
		return true;
	if (!bound_try(c))
		return false;
	late(c, now - me->line.straight_ns);
	straight_line(c, tsc, now);
	if (clock_base(c) == port_core())
		set_drift(c, bound_aged(c->howler.drift_ns, c->howler.drift_at_ns, c->howler.drift_ppb, now), now);
	bound_publish(c, now);
	bound_done(c);
	return true;
}
