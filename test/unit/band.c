/* SPDX-License-Identifier: MIT */
#include "band.h"
#include <stdio.h>
#include <stdlib.h>
#include "port_fake.h"

enum { STOP_STEPS = 60000, SETTLE_STEPS = 60000, EVENTS = 25, READ_NS = 8 /* what reading a TSC takes, by itself */ };

struct fake_core core[CORES];
struct clock band;
struct clock_core clock_core[CORES];
struct random dice;
char wrong[160];
unsigned readings;

static uint64_t raw, highest_ns;
static unsigned depth;
static _Atomic uint32_t gaps[CORES * CORES];
static struct span spans[CORES];
static uint32_t placed[CORES];
static struct bound bounds[CORES];
static int64_t began_ns, began_doubt_ns; /* true time - the reference's, when it began, give or take */
static bool began;

static void step(unsigned i);

bool band_online(unsigned i)
{
	return atomic_load(&clock_core[i].online);
}

void band_complain(const char *what, unsigned i)
{
	if (!wrong[0])
		snprintf(wrong, sizeof(wrong), "raw %llu, core %u, base %u: %s", (unsigned long long)raw, i,
			 atomic_load(&band.base), what);
}

/* Somebody else goes on while this one is at it. */
static void meanwhile(void)
{
	unsigned me = port_fake_core;

	if (depth == 3)
		return;
	depth++;
	step((unsigned)random_below(&dice, CORES));
	depth--;
	port_fake_core = me;
}

static uint64_t tsc(unsigned i)
{
	raw += 1 + random_below(&dice, 20);
	uint64_t stamp = tempo_tsc(&core[i].tempo, raw);

	if (!random_below(&dice, 16))
		meanwhile();
	return stamp;
}

static void serve(unsigned i)
{
	unsigned bits = port_fake_take(i, REQ_NOW);
	bool was_synced = clock_synced(&band, i);

	clock_serve(&band, bits);
	if (bits & REQ_BEFORE) {
		uint64_t effect = raw + 6000 + random_below(&dice, 30000);

		tempo_tsc(&core[i].tempo, raw);
		tempo_change(&core[i].tempo, atomic_load(&clock_core[i].notice_khz), effect);
		core[i].after_raw = effect + 1000 + random_below(&dice, 30000);
	}
	if (bits & REQ_AFTER)
		core[i].noticed = core[i].told = false;
	if ((core[i].noticed && core[i].after_raw) && clock_synced(&band, i))
		band_complain("synchronised between its notices", i);
	if (!was_synced && clock_synced(&band, i) && !band.policy->checks &&
	    atomic_load(&clock_core[i].generation) != atomic_load(&band.generation))
		band_complain("synchronised to an old generation", i);
}

static int64_t true_ns(uint64_t at)
{
	return (int64_t)(at * 1000000 / RAW_KHZ);
}

/* The timebase of a band: cut to 100 ns. */
bool band_timebase(uint64_t *ns, uint64_t *before, uint64_t *after)
{
	*before = port_tsc();
	*ns = (uint64_t)true_ns(raw) / 100 * 100;
	*after = port_tsc();
	return true;
}

/* As a guest that has been let in: nothing steps back, or is off the truth, by more than is promised. */
static void read_clock(unsigned i)
{
	uint64_t before = highest_ns, begin = raw, now = clock_now(&band); /* others may read meanwhile */
	uint64_t skew_ns = SKEW_NS, drift_ns = INT64_MAX / 4;

	if (band.policy->bounds && !bound_read(&band, now, &skew_ns, &drift_ns))
		return;
	skew_ns = skew_ns < SKEW_NS ? skew_ns : SKEW_NS;
	if (!began) { /* as far as that reading says when */
		began_ns = true_ns(begin) - (int64_t)now;
		began_doubt_ns = (int64_t)drift_ns + READ_NS;
	}
	began = true;
	if (now < core[i].last_ns || now + skew_ns < before)
		band_complain("a reading went back", i);
	/* Where others did something meanwhile, what is promised by now may not be of this reading. */
	int64_t off = (int64_t)now + began_ns - true_ns(begin);
	if (true_ns(raw - begin) < READ_NS && llabs(off) > (int64_t)drift_ns + began_doubt_ns + READ_NS)
		band_complain("a reading is off the truth", i);
	core[i].last_ns = now;
	highest_ns = now > highest_ns ? now : highest_ns;
	readings++;
}

/* Somebody else wants it to come to a stop. */
static bool asked_to_stop(unsigned i)
{
	unsigned stop = port_fake_take(i, REQ_STOP);

	port_request(i, stop);
	return stop;
}

static void lead(unsigned i)
{
	bool resync = core[i].mode & REQ_RESYNC;
	enum clock_step s = resync ? band.policy->resync(&band) : band.policy->lead(&band);

	if (s == CLOCK_NOT_YET && band.policy->breaks_off && asked_to_stop(i))
		port_request(i, core[i].mode);
	if (s != CLOCK_NOT_YET || (band.policy->breaks_off && asked_to_stop(i)))
		core[i].mode = 0;
	if (!band.policy->checks && (s == CLOCK_NOT_BASE) != (i != atomic_load(&band.base)))
		band_complain("CLOCK_NOT_BASE from the base, or not from another", i);
}

/* A turn at the top of a core's loop, or a part of it. */
static void step(unsigned i)
{
	if (core[i].busy || !band_online(i))
		return;
	core[i].busy = true;
	port_fake_core = i;
	serve(i);
	if (core[i].mode) {
		lead(i);
	} else if (!core[i].joined) {
		unsigned top = port_fake_take(i, REQ_TOP);

		core[i].joined = top & REQ_STOP;
		if (core[i].joined)
			clock_note(&band);
		core[i].held = top & (REQ_RESYNC | REQ_SYNC);
		if (!core[i].joined)
			core[i].mode = core[i].held | (clock_due_ns(&band) ? 0 : REQ_SYNC);
		if (!core[i].joined && !core[i].mode && clock_synced(&band, i) && !clock_follows(&band, i) && !clock_learns(&band, i))
			read_clock(i);
	}
	core[i].busy = false;
}

void band_pass_time(void)
{
	unsigned i = (unsigned)random_below(&dice, CORES);

	raw += random_below(&dice, 400);
	step(i);
	for (i = 0; i < CORES; i++)
		if (band_online(i) && core[i].after_raw && core[i].noticed && !core[i].told && raw >= core[i].after_raw) {
			core[i].told = true;
			band.policy->notice_after(&band, i);
		}
}

/* All stand still, nothing is pending (stop.c); then `gone` leaves, or `new` comes, and all go on. */
void band_stop(unsigned gone, unsigned new)
{
	unsigned left;

	for (unsigned i = 0; i < CORES; i++)
		if (band_online(i))
			port_request(i, REQ_STOP);
	for (unsigned steps = 0, here = 0; here < CORES; steps++) {
		band_pass_time();
		here = 0;
		for (unsigned i = 0; i < CORES; i++)
			here += core[i].joined || !band_online(i);
		if (steps == STOP_STEPS) {
			band_complain("does not come to a stop", NONE);
			return;
		}
	}
	for (unsigned i = 0; i < CORES; i++)
		step(i);
	if (gone < CORES) {
		band.policy->take_down(&band, gone);
		left = port_fake_take(gone, ~0u) & (REQ_RESYNC | REQ_SYNC);
		port_request(clock_base(&band), left);
	}
	if (new < CORES) {
		core[new] = (struct fake_core){ .held = 0 };
		port_fake_take(new, ~0u);
		clock_core[new].tempo_khz = RAW_KHZ / 2 + (uint32_t)random_below(&dice, RAW_KHZ);
		tempo_start(&core[new].tempo, RAW_KHZ, clock_core[new].tempo_khz, 0, raw, random_below(&dice, 1ull << 40));
		band.policy->bring_up(&band, new);
	}
	for (unsigned i = 0; i < CORES; i++) {
		core[i].mode = core[i].joined ? core[i].held : 0;
		core[i].joined = false;
	}
}

void band_notice(unsigned i)
{
	core[i].noticed = true;
	core[i].after_raw = 0;
	band.policy->notice_before(&band, i, RAW_KHZ / 4 + (uint32_t)random_below(&dice, RAW_KHZ * 5ull / 4));
}

void band_quicken(unsigned i)
{
	struct tempo *t = &core[i].tempo;

	tempo_tsc(t, raw); /* what is due has happened */
	tempo_change(t, clock_core[i].tempo_khz + clock_core[i].tempo_khz / 4, raw + 1);
}

void band_begin(uint64_t seed, const char *policy)
{
	dice.state = seed;
	raw = highest_ns = readings = 0;
	wrong[0] = 0;
	began = false;
	port_fake_tsc = tsc;
	port_fake_poll = meanwhile;
	port_fake_polls = 6;
	clock_init(&band, policy_find(policy), clock_core, CORES, 0);
	clock_pairs(&band, gaps, spans, placed, bounds);
	band.howler.use_timebase = port_fake_timebase;
	if (seed & 1) /* hasty: nothing holds because it takes long */
		band.rounds_min = band.rounds_first = 1;
	for (unsigned i = 0; i < CORES; i++)
		port_fake_take(i, ~0u);
	for (unsigned i = 0; i < CORES; i++)
		band_stop(NONE, i);
	port_request(0, REQ_RESYNC);
}

static void event(void)
{
	unsigned i = (unsigned)random_below(&dice, CORES), up = 0;

	for (unsigned k = 0; k < CORES; k++)
		up += band_online(k);
	if (!band_online(i)) {
		band_stop(NONE, i);
	} else if (up > 1 && !random_below(&dice, 4)) {
		band_stop(i, NONE);
	} else if (!core[i].noticed) {
		band_notice(i);
	} else if (!random_below(&dice, 4)) {
		port_request(i, REQ_RESYNC); /* whether it is the base or not */
	}
}

void band_storm(void)
{
	for (unsigned n = 0; n < EVENTS && !wrong[0]; n++) {
		for (uint64_t k = random_below(&dice, random_below(&dice, 3) ? 60 : 3000); k; k--)
			band_pass_time();
		event();
	}
}

/* NULL: all online cores are synchronised, of one generation, and nobody is asked for anything. */
static const char *unsettled(void)
{
	for (unsigned i = 0; i < CORES; i++) {
		if (!band_online(i))
			continue;
		if (core[i].mode || core[i].noticed)
			return "at work";
		if (!clock_synced(&band, i))
			return "a core is not synchronised";
		if (atomic_load(&clock_core[i].generation) != atomic_load(&band.generation))
			return "a core was missed by the last resync";
	}
	return NULL;
}

void band_settle(void)
{
	unsigned settled = 0;

	for (unsigned steps = 0; settled < 500 && steps < SETTLE_STEPS && !wrong[0]; steps++) {
		band_pass_time();
		settled = unsettled() ? 0 : settled + 1;
	}
	if (settled < 500)
		band_complain(unsettled(), NONE);
}
