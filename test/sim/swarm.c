/* SPDX-License-Identifier: MIT */
/*
 * Swarm testing (Groce and others, 2012): each seed draws its own mix of the features of a storm, so that a great many
 * short storms each look where the others don't.
 */
#include "sim.h"

#include <stdio.h>

#include "explore.h"


static struct random mix;

static bool one_in(unsigned n)
{
	return !random_below(&mix, n);
}

static uint64_t between(uint64_t lo, uint64_t hi)
{
	return lo + random_below(&mix, hi - lo + 1);
}

/* From 2^lo to below 2^hi, log-uniform. */
static uint64_t magnitude_of(unsigned lo, unsigned hi)
{
	uint64_t least = 1ull << between(lo, hi - 1);

	return least + random_below(&mix, least);
}

static int64_t either_way(uint64_t v)
{
	return one_in(2) ? (int64_t)v : -(int64_t)v;
}

/* Nine in ten have 2 to 8 cores, one in a hundred more than 16. */
static unsigned draw_cores(void)
{
	uint64_t n = random_below(&mix, 100);

	return (unsigned)(n < 90 ? between(2, 8) : n < 99 ? between(9, 16) : 16 + magnitude_of(0, 4));
}

/* Half of the timers are right, if rough; most of the others lie in one way only. */
static void draw_timer(struct timer_mix *t)
{
	static const struct { uint32_t num, den, bits; } kinds[] = {
		{ 10, 1, 32 }, { 69841279, 1000000, 32 }, { 200000000, 715909, 24 }, { 1000000000, 1193182, 20 }, { 1, 1, 32 }, { 1000, 33, 24 },
	};
	unsigned kind = (unsigned)random_below(&mix, sizeof(kinds) / sizeof(kinds[0])), lies = one_in(2) ? 1u << random_below(&mix, 5) : 0;
	/* Some lie at boot already, some much later. */
	uint64_t at = one_in(8) ? between(1000000, 12000000) : 11000000 + magnitude_of(10, 26);

	*t = (struct timer_mix){ .num = kinds[kind].num, .den = kinds[kind].den, .bits = kinds[kind].bits,
				 .start = random_next(&mix), .grain = one_in(2) ? 1 : (uint32_t)magnitude_of(0, 6) };
	t->ppb = one_in(4) ? 0 : (int32_t)either_way(magnitude_of(0, one_in(4) ? 19 : 16));
	t->read_ns = (uint32_t)magnitude_of(3, 12);
	t->slow_odds = one_in(2) ? 0 : (uint32_t)magnitude_of(0, 6);
	lies |= lies && one_in(4) ? 1u << random_below(&mix, 5) : 0;
	if (lies & 1)
		t->noise_ns = (uint32_t)magnitude_of(2, 16);
	if (lies & 2) {
		t->torn_odds = (uint32_t)magnitude_of(1, 10);
		t->torn_bit = (uint32_t)between(2, t->bits - 1);
	}
	if (lies & 4) {
		t->step_at = at;
		t->step_ns = either_way(magnitude_of(3, 34));
	}
	if (lies & 8) {
		t->stop_at = at;
		t->go_at = one_in(2) ? 0 : at + magnitude_of(8, 26);
	}
	if (lies & 16) {
		t->bend_at = at;
		t->bend_ppb = (int32_t)either_way(magnitude_of(4, 18));
	}
}

static void tell_truth(struct timer_mix *t)
{
	t->noise_ns = t->torn_odds = 0;
	t->step_at = t->stop_at = t->bend_at = 0;
}

static void draw(uint64_t seed)
{
	static const char *const scenarios[] = { "storm", "storm", "storm", "tempo", "hotplug", "calm", "sparse" };

	mix.state = seed ^ 0x737761726d;
	sim.seed = seed;
	sim.cores = draw_cores();
	sim.events = (unsigned)magnitude_of(0, sim.cores > 16 ? 2 : 5);
	sim.scenario = scenarios[random_below(&mix, sizeof(scenarios) / sizeof(scenarios[0]))];
	bool sparse = sim.scenario[1] == 'p', exact = sim.policy->first_base;
	sim.gap_parts = one_in(2) ? 0 : magnitude_of(sparse ? 5 : 0, sparse ? 12 : 8);
	sim.read_ns = sim.gap_parts ? magnitude_of(12, 17) : 0;
	sim.near_ns = one_in(2) ? 20 : (uint32_t)magnitude_of(2, 10);
	sim.spread_ns = one_in(2) ? 200 : (uint32_t)magnitude_of(2, 12);
	/* howler.md, section 10: with rate errors many cores in a rush may break the order; rfc15 ignores them. */
	sim.tempo_error = one_in(4) && exact && sim.cores <= (sim.gap_parts ? 16 : 8) ? (uint32_t)between(1, 200) : 0;
	sim.told_error = one_in(4) ? (uint32_t)between(1, 500) : 0;
	sim.timers = exact && !sim.told_error && !one_in(4);
	sim.sick = one_in(exact ? 4 : 8) ? (unsigned)between(1, SICK_LATE | SICK_DEAF | SICK_DEAD) : 0;
	for (unsigned i = 0; i < TIMERS; i++) {
		sim.timer[i] = (struct timer_mix){ .bits = 0 };
		if (sim.timers && !one_in(i ? 2 : 8))
			draw_timer(&sim.timer[i]);
		if (sim.sick || sim.tempo_error) /* ... a lie's effect on learned rates or late cores can't be judged */
			tell_truth(&sim.timer[i]);
	}
	if (sim.timers && !sim.timer[0].bits)
		sim.timer[0].ppb = (int32_t)either_way(magnitude_of(0, 17));
}

static void print_timer(const struct timer_mix *t)
{
	if (!t->bits) {
		printf("  no timer; %d ppb\n", t->ppb);
		return;
	}
	printf("  timer: %u / %u ns a count, %u at once, %u bits, %d ppb, read in %u ns", t->num, t->den, t->grain, t->bits, t->ppb, t->read_ns);
	if (t->slow_odds)
		printf(", one of %u in more", t->slow_odds);
	if (t->noise_ns)
		printf("; off by up to %u ns", t->noise_ns);
	if (t->torn_odds)
		printf("; one of %u torn at bit %u", t->torn_odds, t->torn_bit);
	if (t->step_at)
		printf("; steps by %ld ns at %lu", (long)t->step_ns, (unsigned long)t->step_at);
	if (t->stop_at)
		printf("; stops at %lu until %lu", (unsigned long)t->stop_at, (unsigned long)t->go_at);
	if (t->bend_at)
		printf("; %d ppb more from %lu on", t->bend_ppb, (unsigned long)t->bend_at);
	printf("\n");
}

static void print_mix(unsigned mean)
{
	printf("seed %lu: %s, %u cores, %u events of %s, ", (unsigned long)sim.seed, sim.policy->name, sim.cores, sim.events, sim.scenario);
	printf(sim.gap_parts ? "pauses / %lu, read each %lu ns" : "no pauses", (unsigned long)sim.gap_parts, (unsigned long)sim.read_ns);
	printf(", messages of %u to %u ns, rates %u ppm off, told ones %u ppm, %s%s%swell, a decision in %u steps\n", sim.near_ns,
	       sim.near_ns + sim.spread_ns, sim.tempo_error, sim.told_error, sim.sick & SICK_LATE ? "late, " : "",
	       sim.sick & SICK_DEAF ? "deaf, " : "", sim.sick & SICK_DEAD ? "dead, else " : "", mean);
	for (unsigned i = 0; sim.timers && i < TIMERS; i++)
		print_timer(&sim.timer[i]);
}

bool swarm_run(uint64_t seed, bool verbose, struct schedule *s)
{
	static const uint16_t means[] = { 12, 24, 24, 24, 200, 1000 };

	draw(seed);
	unsigned mean = means[random_below(&mix, sizeof(means) / sizeof(means[0]))];

	/* While rates are learned or a dead core is not found yet, decisions only make cores poll, for a long time. */
	if (sim.tempo_error || sim.sick)
		mean *= sim.cores;
	explore_random(seed, 0, mean, s);
	if (sim.violation || verbose)
		print_mix(mean);
	return !sim.violation;
}
