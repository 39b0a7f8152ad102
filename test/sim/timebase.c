/* SPDX-License-Identifier: MIT */
/*
 * Timers as in struct timer_mix, and the real smp/timebase.c, truth.c and counter.c, which measure them at boot and
 * then believe them or not. Here are only the registers that these read, in place of find_hpet's and pm_read's, and the
 * judge: the clock may be off by what the timer lies, but of that no more than a wander must be believed.
 *
 * The raw TSC is in ns of the simulation; "true" is that by the best timer's rate, as its second is the second.
 */
#include "optimum.h"

#include <stdlib.h>

#include "clock/port.h"
#include "smp/x86.h"

#define rdtsc_ordered raw_now
#include "smp/timebase.c"

#define PPB 1000000000
#define EPOCH_NS (1ll << 40) /* a timer's age when the machine begins: no step back is longer */

enum {
	EXACT_NS = 100,             /* resolution of the exact timer */
	STEADY_PPB = 1000000,       /* hv/main.c: two timers further apart than that are no timebase */
	BOOT_HOP_NS = 400000,       /* at boot, when no core runs, time is let pass between readings */
	NONE_DOUBT_PPB = 110000,    /* of the rate if no timer runs: that of a calibration by PIT, in 10 ms */
	WANDER_PARTS = 1000,        /* howler.md: a timer may wander by this part of the time between two looks */
	DISBELIEVED_TIMES = 4, SLACK_NS = 2000, /* a lie beyond so many times the believable must be found */
};

struct truth the_truth;
static struct random rough;
static unsigned seat, readings;
static const struct timer_mix *second; /* the timer whose second is the truth's; NULL: none's */
static int32_t second_ppb;
static int64_t zero_ns, lied_first, lied_lo, lied_hi; /* true time at its 0; its readings' errors */
static uint64_t booted;
static bool lied;

void mem_map_device(uint64_t phys, uint64_t bytes)
{
	(void)phys, (void)bytes;
	abort();
}

static uint64_t elapsed(uint64_t raw, int32_t ppb)
{
	return raw + (uint64_t)((__int128)raw * ppb / PPB);
}

uint64_t timebase_true(uint64_t raw)
{
	return sim.timers ? elapsed(raw, second_ppb) : raw;
}

/* By how much its steps, stops and bends have put it ahead of a steady course; noise and tearing aside. */
static int64_t lie(const struct timer_mix *m, uint64_t raw)
{
	int64_t ahead = 0;

	if (m->step_at && raw >= m->step_at)
		ahead += m->step_ns;
	if (m->stop_at && raw >= m->stop_at)
		ahead -= (int64_t)((m->go_at && raw >= m->go_at ? m->go_at : raw) - m->stop_at);
	if (m->bend_at && raw >= m->bend_at)
		ahead += (int64_t)((__int128)(raw - m->bend_at) * m->bend_ppb / PPB);
	return ahead;
}

/* Its rate at `raw`, until when it was measured: a bend before that is no lie. */
static int32_t rate_at(const struct timer_mix *m, uint64_t raw)
{
	return m->ppb + (m->bend_at && m->bend_at <= raw ? m->bend_ppb : 0);
}

static int64_t lie_since(const struct timer_mix *m, uint64_t from, uint64_t raw)
{
	return lie(m, raw) - lie(m, from) - (int64_t)((__int128)(raw - from) * (rate_at(m, booted) - m->ppb) / PPB);
}

static bool since(uint64_t at, uint64_t from, uint64_t raw)
{
	return at > from && at <= raw;
}

static bool lies(const struct timer_mix *m, uint64_t from, uint64_t raw)
{
	return m->noise_ns || m->torn_odds || since(m->step_at, from, raw) || since(m->bend_at, from, raw) || since(m->stop_at, from, raw) ||
	       since(m->go_at, from, raw);
}

/* The count now, not yet cut to its bits. */
static uint64_t count(const struct timer_mix *m, int64_t off_ns)
{
	uint64_t ns = elapsed(sim.raw, m->ppb) + (uint64_t)(EPOCH_NS + lie(m, sim.raw) + off_ns);
	uint64_t n = m->start + (uint64_t)((unsigned __int128)ns * m->den / m->num);

	return n - n % m->grain;
}

static uint64_t show(const struct timer_mix *m)
{
	uint64_t takes = m->read_ns * (m->slow_odds && !random_below(&rough, m->slow_odds) ? 1 + random_below(&rough, 16) : 1);
	uint64_t early = random_below(&rough, takes + 1);

	if (sim.current < 0 && !(readings++ % READINGS))
		sim.raw += BOOT_HOP_NS + random_below(&rough, BOOT_HOP_NS);
	sim_pass(early);
	uint64_t n = count(m, (int64_t)random_below(&rough, 2 * (uint64_t)m->noise_ns + 1) - m->noise_ns);
	if (m->torn_odds && !random_below(&rough, m->torn_odds))
		n += random_below(&rough, 2) ? 1ull << m->torn_bit : -(1ull << m->torn_bit);
	sim_pass(takes - early);
	return n & UINT64_MAX >> (64 - m->bits);
}

static uint64_t show_first(void)
{
	return show(&sim.timer[0]);
}

static uint64_t show_second(void)
{
	return show(&sim.timer[1]);
}

static const struct timer_mix *mix_of(const struct timer *t)
{
	return &sim.timer[t->counter.read == show_second];
}

/* By how much a reading of the best timer is off what was possible, ns. */
static int64_t off(uint64_t ns, uint32_t late_ns, uint64_t before, uint64_t after)
{
	uint64_t shown = ns + (uint64_t)zero_ns;
	int64_t ahead = (int64_t)(shown - timebase_true(after)), behind = (int64_t)(shown + late_ns - timebase_true(before));

	return ahead > 0 ? ahead : behind < 0 ? behind : 0;
}

/* As timebase_find, but without the PIT, which only calibrates. */
static void find_timers(void)
{
	const struct timer_mix *m = sim.timer;

	if (m[0].bits)
		find("first timer", 0, show_first, m[0].bits, m[0].num, m[0].den);
	do {
		other->name = 0;
		if (m[1].bits)
			find("second timer", 1, show_second, m[1].bits, m[1].num, m[1].den);
		measure(MEASURE_NS);
	} while (!best->name && other->name);
}

/* No timer runs: the rate is known as well as by a PIT. */
static void find_none(void)
{
	struct instant now = { .raw_lo = sim.raw, .raw_hi = sim.raw };
	uint64_t mhz = (uint64_t)((__int128)1000000000000 * PPB / (PPB + second_ppb)), doubt = mhz / PPB * NONE_DOUBT_PPB;
	uint64_t lo = mhz - random_below(&rough, doubt);

	truth_begin(&the_truth, &now, lo, lo + doubt);
}

/* On metal nominal rates use this second; here they are fixed, and so off by what the second is off. Not too far? */
static bool playable(void)
{
	int32_t lo, hi;

	truth_slower(&the_truth, raw_khz, &lo, &hi);
	return lo > -TOLD_PPB_MAX && hi < TOLD_PPB_MAX;
}

void timebase_boot(void)
{
	struct timebase_check t = { .off_ppb = 0 };

	if (!sim.timers)
		return;
	rough.state = sim.seed ^ 0x74696d657273;
	for (unsigned i = 0; i < TIMERS; i++)
		timers[i] = (struct timer){ .rate = timers[i].rate };
	the_truth = other_rate = (struct truth){ .lo = 0 };
	look_raw = 0;
	wandered = lied = false;
	seat = readings = 0;
	find_timers();
	booted = sim.raw;
	if (best->name && !playable())
		best->name = 0;
	second = best->name ? mix_of(best) : 0;
	second_ppb = second ? rate_at(second, booted) : sim.timer[0].ppb;
	if (!second)
		find_none();
	bool any = timebase_check(&t);

	the_clock.howler.use_timebase = any && t.off_ppb >= -STEADY_PPB && t.off_ppb <= STEADY_PPB;
	if (!any)
		return;
	/* Its count when its time began, from what it shows now: the first reading was less than a wrap ago. */
	uint64_t first = the_truth.first.raw_lo, n = count(second, 0);
	uint64_t then = (uint64_t)((unsigned __int128)the_truth.first.ns * second->den / second->num);
	uint64_t counted = then + ((n - best->counter.start - then) & best->counter.mask);
	uint64_t at = (uint64_t)((unsigned __int128)(n - counted - second->start) * second->num / second->den);

	zero_ns = (int64_t)(at - EPOCH_NS - (uint64_t)lie(second, first) - elapsed(first, second->ppb) + elapsed(first, second_ppb));
	lied_lo = lied_hi = lied_first = off(the_truth.first.ns, best->late_ns, first, the_truth.first.raw_hi);
	lied = lied_lo || lies(second, first, sim.raw);
	look_raw = sim.raw;
}

/* By how much the time since the first reading differs between what was measured of the rate and the timer's own. */
static uint64_t rate_lied(const struct timer *timer, uint64_t raw, int32_t ppb)
{
	uint64_t passed = raw - timer->rate->first.raw_lo, is = elapsed(passed, ppb), least, most;
	int me = sim.current;

	sim.current = -1; /* the judge takes no time */
	truth_ns(timer->rate, passed, &least, &most);
	sim.current = me;
	return least > is ? least - is : is > most ? is - most : 0;
}

uint64_t timebase_lied(uint64_t raw)
{
	return sim.timers && lied ? (uint64_t)(lied_hi - lied_lo) + rate_lied(best, raw, second_ppb) : 0;
}

/* How large a lie may be believed: the wander since a look, plus the rate's uncertainty. */
static uint64_t believable(const struct timer *timer, uint64_t raw)
{
	const struct truth *t = timer->rate;
	uint64_t passed = raw - t->first.raw_lo, doubt = t->hi - t->lo;

	return counter_ns(&timer->counter, mix_of(timer)->grain) + 2 * truth_look_ns(passed) / WANDER_PARTS +
	       (uint64_t)((unsigned __int128)passed * 2 * doubt / t->lo) + rate_lied(timer, raw, rate_at(mix_of(timer), booted)) + SLACK_NS;
}

bool port_timebase(uint64_t *ns, uint32_t *resolution_ns, uint64_t *before, uint64_t *after)
{
	struct random r = { sim.seed ^ 0x74696d6562617365 };
	struct tempo *t = &this_core()->tempo;

	if (!sim.timers) { /* true time, but coarse, and with another origin for each seed */
		*before = port_tsc();
		sim_step();
		*ns = (sim.raw + random_below(&r, 1ull << 40)) / EXACT_NS * EXACT_NS;
		*resolution_ns = EXACT_NS;
		if (sim.optimum)
			optimum_timebase(*ns, *resolution_ns);
		*after = port_tsc();
		return true;
	}
	if (!timebase_ns(ns, resolution_ns, before, after)) {
		if (second && !lied && !lies(second, the_truth.first.raw_lo, sim.raw))
			sim_violation(V_TIMER, "a timer that is right is not believed");
		return false;
	}
	int64_t by = off(*ns, *resolution_ns, *before, *after);
	bool may_lie = lies(second, the_truth.first.raw_lo, sim.raw);

	lied = lied || by || may_lie;
	lied_lo = by < lied_lo ? by : lied_lo;
	lied_hi = by > lied_hi ? by : lied_hi;
	if (by && !may_lie)
		sim_violation(V_TIMER, "a timer that is right is read as %ld ns more than it may have shown", (long)by);
	if ((uint64_t)llabs(by - lied_first) > believable(best, sim.raw))
		sim_violation(V_TIMER, "a timer is believed that is %ld ns off", (long)by);
	*before = tempo_tsc(t, *before);
	*after = tempo_tsc(t, *after);
	return true;
}

/*
 * With the exact timer: as a measurement that goes on would know it, i.e. to a reading's uncertainty over the time
 * that has passed; the true value is anywhere in that interval.
 */
void port_rate(int32_t *slower_lo, int32_t *slower_hi)
{
	struct random r = { sim.seed ^ 0x726174652070706d };
	int64_t is = 1000000000ll * 1000000000 / (1000000000 + sim.told_ppb) - 1000000000, most = sim.told_error * 1000;
	int64_t doubt = (int64_t)(1000000000000 / (sim.raw + 1000000000000 / (2 * most + 1))), side = (int64_t)random_below(&r, 1001);

	*slower_lo = *slower_hi = 0;
	if (sim.timers)
		truth_slower(&the_truth, raw_khz, slower_lo, slower_hi);
	if (!most)
		return;
	*slower_lo = (int32_t)(is - doubt * side / 1000 - 1);
	*slower_hi = (int32_t)(is + doubt * (1000 - side) / 1000 + 1);
}

void timebase_sit(void)
{
	if (!sim.timers)
		return;
	do
		seat = (unsigned)random_below(&rough, sim.cores);
	while (!the_clock.core[seat].online || cores[seat]->state == CORE_LOST);
	core_request(seat, REQ_WAKE);
}

/* After a look at both timers, begun at since_raw: is a right one still in use, and is one that lies not? */
static void check_looked(unsigned i, bool was_out, uint64_t since_raw)
{
	uint64_t first = timers[i].rate->first.raw_lo, least;
	const struct timer_mix *m = mix_of(&timers[i]), *o = mix_of(&timers[!i]);
	int64_t then = lie_since(m, first, since_raw), now = lie_since(m, first, sim.raw);

	bool is_out = !in_use(&timers[i]); /* maybe only in this core's store buffer yet */

	least = then > 0 && now > 0 ? (uint64_t)(then < now ? then : now) : then < 0 && now < 0 ? (uint64_t)(then > now ? -then : -now) : 0;
	if (is_out && !was_out && !lies(m, first, sim.raw))
		sim_violation(V_TIMER, "timer %u is right, and is not used any more", i);
	if (!is_out && least > DISBELIEVED_TIMES * believable(&timers[i], sim.raw) &&
	    !(timers[!i].name && lies(o, timers[!i].rate->first.raw_lo, sim.raw)))
		sim_violation(V_TIMER, "timer %u is %lu ns off, and is still used", i, (unsigned long)least);
}

void timebase_seat(void)
{
	if (!sim.timers || (unsigned)sim.current != seat || !in_use(best))
		return;
	uint64_t due = look_raw, began = raw_now();
	bool was_out[TIMERS] = { !in_use(&timers[0]), !in_use(&timers[1]) };

	timebase_look(began);
	for (unsigned i = 0; i < TIMERS && look_raw != due; i++)
		if (timers[i].name)
			check_looked(i, was_out[i], began);
}

uint64_t timebase_due(void)
{
	return sim.timers && (unsigned)sim.current == seat && best->name && !best->out ? look_raw : 0;
}
