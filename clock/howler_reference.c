/* SPDX-License-Identifier: MIT */
/*
 * sync=howler: the course of the reference, as the base steers it: its pace, its bound against the
 * truth, when it is compared with the timebase, and how it is pulled (slewed) back to that.
 */
#include "clock/howler_parts.h"

enum {
	PULL_PPB = 50000, PULL_PPB_MAX = 400000, PULL_NS_MIN = 50,
	/* Between looks at the timebase while rates are unknown; less if the reference could be off by LOOK_OFF_NS. */
	LOOK_NS = 20000000, LOOK_OFF_NS = 400, READINGS = 3,
	TRUTH_PPB = 10000,
	LEASES = 4,      /* leases between two looks, each with a look at the knees */
	PULL_KNEES = 6,  /* two each for a pull, the one that it replaces and the one before */
};

#define BILLION 1000000000

/* The course of the reference around some straight time; until_ns: the next knee, UINT64_MAX: none. */
struct pace {
	uint64_t at_ns, ref_ns, until_ns;
	int32_t ppb;
};

static uint64_t gained(const struct pace *p, uint64_t straight)
{
	uint64_t ns = straight > p->at_ns ? straight - p->at_ns : 0;

	return p->ref_ns + ns + (uint64_t)((__int128)ns * p->ppb / BILLION);
}

/* `straight` must not be before the last pull but one. */
static struct pace pace_at(const struct howler *h, uint64_t straight)
{
	struct pace p;
	uint32_t n, i;

	do {
		n = i = atomic_load_explicit(&h->knees, memory_order_acquire);
		p.at_ns = p.until_ns = UINT64_MAX;
		do {
			const struct knee *k = &h->knee[--i % KNEES];

			p.until_ns = p.at_ns < p.until_ns ? p.at_ns : p.until_ns;
			p.at_ns = atomic_load_explicit(&k->at_ns, memory_order_relaxed);
			p.ref_ns = atomic_load_explicit(&k->ref_ns, memory_order_relaxed);
			p.ppb = atomic_load_explicit(&k->ppb, memory_order_relaxed);
		} while (p.at_ns > straight && n - i < PULL_KNEES);
		atomic_thread_fence(memory_order_acquire); /* pairs with howler_knee's: a knee overwritten is noticed */
	} while (atomic_load_explicit(&h->knees, memory_order_relaxed) != n);
	return p;
}

void howler_knee(struct howler *h, uint64_t at_ns, uint64_t ref_ns, int32_t ppb)
{
	uint32_t n = atomic_load_explicit(&h->knees, memory_order_relaxed);
	struct knee *k = &h->knee[n % KNEES];

	atomic_thread_fence(memory_order_release); /* a reader that sees a store below also sees `knees` change */
	atomic_store_explicit(&k->at_ns, at_ns, memory_order_relaxed);
	atomic_store_explicit(&k->ref_ns, ref_ns, memory_order_relaxed);
	atomic_store_explicit(&k->ppb, ppb, memory_order_relaxed);
	atomic_store_explicit(&h->knees, n + 1, memory_order_release);
}

uint64_t howler_reference(const struct howler *h, uint64_t straight)
{
	struct pace p = pace_at(h, straight);

	return gained(&p, straight);
}

/* The quickest of some readings: an SMI, or an emulator's switch of cores, may fall into one. */
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

uint32_t howler_set_pace(struct clock *c, uint64_t now)
{
	struct howler_core *me = &self(c)->howler;
	int32_t lo, hi;

	howler_told(c, &lo, &hi);
	rate_told(&c->howler.rates, lo, hi);
	atomic_store_explicit(&me->learns, 0, memory_order_relaxed);
	atomic_store_explicit(&me->fresh_ns, 0, memory_order_relaxed);
	return rate_lead(&c->howler.rates, &me->rate, now);
}

static int32_t ppb_of(const struct howler *h, uint32_t before_last)
{
	uint32_t n = atomic_load_explicit(&h->knees, memory_order_relaxed) - 1 - before_last;

	return atomic_load_explicit(&h->knee[n % KNEES].ppb, memory_order_relaxed);
}

/* With `busy`: the largest rate error of the reference once no pull is under way, ppb. */
static uint32_t off_ppb(const struct howler *h)
{
	return rate_off(&h->rates, ppb_of(h, 0));
}

/* With `busy`, the base: set the drift bound at `straight`; it grows by the worst pace from there on. */
static void set_drift(struct clock *c, uint64_t drift_ns, uint64_t straight)
{
	struct howler *h = &c->howler;
	uint32_t most = 0, n = atomic_load_explicit(&h->knees, memory_order_relaxed);

	for (uint32_t i = 0; i < PULL_KNEES; i++) {
		uint32_t off = rate_off(&h->rates, ppb_of(h, i));

		most = off > most ? off : most;
		if (atomic_load_explicit(&h->knee[(n - 1 - i) % KNEES].at_ns, memory_order_relaxed) <= straight)
			break;
	}
	h->drift_ns = drift_ns;
	h->drift_at_ns = howler_reference(h, straight);
	h->drift_ppb = most + 1;
}

/* How long the base may go without a look at the timebase, at which it also checks all others. */
static uint64_t check_ns(const struct clock *c)
{
	uint64_t most = atomic_load_explicit(&c->howler.check_ns, memory_order_relaxed), off = off_ppb(&c->howler);

	if (c->howler.rates.bound_ppb)
		most = LOOK_NS;
	return off * most / BILLION > LOOK_OFF_NS ? LOOK_OFF_NS * (uint64_t)BILLION / off : most;
}

void howler_show(struct clock *c, uint64_t tsc)
{
	struct clock_core *me = self(c);
	struct howler *h = &c->howler;
	uint64_t straight = line_read(&me->howler.straight, tsc), until = straight + check_ns(c) / LEASES;
	struct pace p = pace_at(h, straight);

	until = until < p.until_ns ? until : p.until_ns;
	h->lease_ns = until > h->lease_ns ? until : h->lease_ns;
	line_start_from(&me->line, &me->howler.straight, tsc, gained(&p, straight), p.ppb);
	me->howler.until_ns = gained(&p, until);
	me->line_count++;
}

/* With `busy`: the straight time's rate has changed by up to ppb, by which all others drift off until they follow. */
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

/* With `busy`, the base: it leads from `tsc` on. What was uncertain of its rate is now uncertain of all others'. */
static void lead_on(struct clock *c, uint64_t tsc)
{
	struct clock_core *me = self(c);
	uint64_t straight = line_read(&me->howler.straight, tsc);
	uint32_t change = howler_set_pace(c, straight);

	doubt_all(c, change, howler_reference(&c->howler, straight));
	if (!change) /* the line stays, and exchanges under way remain valid */
		return;
	line_start_steeper(&me->howler.straight, tsc, straight, me->tempo_khz, rate_ppb(&me->howler.rate));
	me->howler.lines++;
	howler_show(c, tsc);
}

void howler_check_later(struct clock *c)
{
	atomic_store_explicit(&c->howler.check_at_ns, straight_now(c) + check_ns(c), memory_order_relaxed);
}

/* A core that has become the base: its own radius adds to all others' from now on. False: not yet. */
bool howler_account(struct clock *c)
{
	struct howler *h = &c->howler;
	struct bound *b = &h->bound[port_core()];

	if (b->radius_ns <= 1)
		return true;
	if (!bound_try(c))
		return false;
	uint64_t tsc = port_tsc(), straight = line_read(&self(c)->howler.straight, tsc), now = howler_reference(h, straight);
	uint64_t radius = bound_radius(c, port_core(), now), carry = atomic_load_explicit(&h->carry_ns, memory_order_relaxed);

	lead_on(c, tsc);
	atomic_store_explicit(&h->carry_ns, carry + radius, memory_order_relaxed);
	*b = (struct bound){ .radius_ns = 1, .at_ns = now, .growth_ppb = 1, .carry_ns = carry + radius };
	set_drift(c, bound_aged(h->drift_ns, h->drift_at_ns, h->drift_ppb, now) + radius, straight);
	bound_publish(c, now);
	bound_done(c);
	howler_check_later(c);
	return true;
}

/*
 * With `busy`, the base: the reference is ahead by `off` at straight time `now`: plan a new pace. It begins beyond all
 * leases, so that each core sees the knee before it gets there. The pace is the best by what is known of rates, if that
 * is better for sure; if `pulls`, the reference is slewed relative to it until the error is gone.
 */
static void plan(struct clock *c, int64_t off, bool pulls, uint64_t now)
{
	struct howler *h = &c->howler;
	int32_t is = ppb_of(h, 0), best = rate_steers(&h->rates, is) ? rate_best(&h->rates) : is;
	uint64_t from = h->lease_ns > now ? h->lease_ns : now;
	struct pace p = pace_at(h, from);

	off += (int64_t)(gained(&p, from) - howler_reference(h, now) - (from - now)) - (int64_t)(from - now) * best / BILLION;
	h->plan_ns = from;
	if (!pulls) {
		howler_knee(h, from, gained(&p, from), best);
		return;
	}
	/* Faster than the reference can drift away meanwhile. */
	int32_t pull = atomic_load_explicit(&h->boots, memory_order_relaxed) ? PULL_PPB_MAX : PULL_PPB + (int32_t)rate_off(&h->rates, best);

	pull = pull < PULL_PPB_MAX ? pull : PULL_PPB_MAX;
	struct pace pulled = { from, gained(&p, from), .ppb = off > 0 ? best - pull : best + pull };
	uint64_t until = from + (uint64_t)(off > 0 ? off : -off) * (uint64_t)(BILLION / pull);

	howler_knee(h, from, pulled.ref_ns, pulled.ppb);
	howler_knee(h, until, gained(&pulled, until), best);
}

/*
 * The base, with `busy`: compare the reference with the timebase. That bounds its
 * error, maybe better than was known; and if it is certainly off, it is pulled back,
 * on all cores alike, never by a step. True: a change of pace is under way.
 */
bool howler_look_now(struct clock *c)
{
	const struct line *l = &self(c)->howler.straight;
	struct howler *h = &c->howler;
	struct timebase t;

	if (!howler_timebase(c, &t))
		return false;
	uint64_t ns = t.ns, late = t.late_ns, from = line_read(l, t.before), to = line_read(l, t.after);
	uint64_t before = howler_reference(h, from), after = howler_reference(h, to);

	if (!h->timebase_set) {
		h->timebase_ns = ns;
		h->timebase_ref_ns = before;
		h->timebase_doubt_ns = after - before + late + 2 +
				       bound_aged(h->drift_ns, h->drift_at_ns, h->drift_ppb, after);
		atomic_signal_fence(memory_order_seq_cst); /* last: should this core be lost in between, it is not set */
		h->timebase_set = true;
		return false;
	}
	/* The reference, between `before` and `after`, was ahead of the right time by low to high. */
	uint64_t right = h->timebase_ref_ns + (ns - h->timebase_ns);
	int64_t low = (int64_t)(before - right - late - h->timebase_doubt_ns);
	int64_t high = (int64_t)(after - right + h->timebase_doubt_ns);
	uint64_t most = -low > high ? (uint64_t)-low : (uint64_t)high, straight = straight_now(c), now = howler_reference(h, straight);
	uint64_t known = bound_aged(h->drift_ns, h->drift_at_ns, h->drift_ppb, now);
	int32_t lo, hi;

	most = bound_aged(most, before, h->drift_ppb, now); /* this core may have been held up since */
	howler_told(c, &lo, &hi);
	rate_told(&h->rates, lo, hi);
	rate_look(&h->rates, ns, (int64_t)(from - ns - late), (int64_t)(to - ns));
	bool over = pace_at(h, straight).until_ns == UINT64_MAX, pulls = low >= PULL_NS_MIN || high <= -PULL_NS_MIN;
	bool begins = straight >= h->plan_ns && ((pulls && over) || rate_steers(&h->rates, ppb_of(h, 0)));

	if (begins)
		plan(c, low / 2 + high / 2, pulls, straight);
	set_drift(c, most < known ? most : known, straight);
	return begins || !over;
}

/* The base looks at the timebase once per generation. False: not yet. */
bool howler_look(struct clock *c)
{
	struct clock_core *me = self(c);

	if (me->howler.looked == flag(&c->generation))
		return true;
	if (!bound_try(c))
		return false;
	bool pulled = howler_look_now(c);

	me->howler.looked = flag(&c->generation);
	learn_on(&c->howler.boots, !c->howler.use_timebase || (!pulled && off_ppb(&c->howler) <= TRUTH_PPB));
	bound_publish(c, clock_now(c));
	bound_done(c);
	return true;
}

/* When this core's lease is over: a new one, on a line by the pace that is now. False: not yet. */
bool howler_renew(struct clock *c)
{
	struct clock_core *me = self(c);
	struct howler *h = &c->howler;

	if (clock_now(c) < me->howler.until_ns)
		return true;
	if (!bound_try(c))
		return false;
	uint64_t tsc = port_tsc(), straight = line_read(&me->howler.straight, tsc), now = howler_reference(h, straight);

	howler_show(c, tsc);
	if (clock_base(c) == port_core()) {
		set_drift(c, bound_aged(h->drift_ns, h->drift_at_ns, h->drift_ppb, now), straight);
		bound_publish(c, now);
	}
	bound_done(c);
	return true;
}
