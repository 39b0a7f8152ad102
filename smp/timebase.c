/* SPDX-License-Identifier: MIT */
/*
 * A clock of the platform's own that owes the TSC nothing: the HPET where the
 * tables name one, else the ACPI PM timer, else none. Coarse and slow to read,
 * but steady, and the same on every core. Section numbers: HPET those of the
 * IA-PC HPET specification 1.0a, PM timer those of ACPI 6.4.
 */
#include "smp/counter.h"
#include "smp/smp.h"
#include "smp/x86.h"

/* HPET registers (2.3.1), each of 64 bits, by their index. */
enum {
	HPET_CAPABILITIES = 0, HPET_CONFIG = 2, HPET_COUNTER = 30,
	HPET_TIMER = 32, HPET_TIMER_NEXT = 4,
	HPET_BYTES = 1024,
};
#define HPET_REVISION 0xffull        /* of the capabilities; never 0 (2.3.4) */
#define HPET_LAST_TIMER(cap) ((cap) >> 8 & 31)
#define HPET_COUNTER_64 (1ull << 13)
#define HPET_PERIOD_MIN 1000000u     /* fs: faster than 1 GHz is no HPET, and would wrap too soon */
#define HPET_PERIOD_MAX 100000000u   /* 2.3.4 */
#define HPET_ENABLE (1ull << 0)      /* of the configuration (2.3.5) */
#define HPET_LEGACY (1ull << 1)
#define HPET_TIMER_INTERRUPT (1ull << 2) /* of a timer's configuration (2.3.8) */

/* 4.8.3.3: 3.579545 MHz, so that a count is 10^9 / 3579545 ns; both are divided by 5. */
#define PM_NUM 200000000u
#define PM_DEN 715909u

#define POLLS 10000u /* readings: more than any timer's step takes, and a bound if it stands still */
#define READINGS 8u  /* of which the quickest counts: an SMI, or an emulator's next core, may come in between */
#define MEASURE_NS 10000000u /* at boot; it goes on while Howler runs */
#define MEASURE_POLLS 1000000u
#define LOOK_PARTS 16u /* a look when so much of the time since the first one has passed again, .. */
#define LOOK_NS_MIN 1000000u    /* .. but not more often, .. */
#define LOOK_NS_MAX 1000000000u /* .. nor less: a counter of 24 bits wraps */

/* A timer of known rate. Fixed at boot. */
struct timer {
	struct counter counter;
	const char *name; /* NULL: there is none */
	uint64_t where;
	uint32_t late_ns; /* a reading, at most */
	struct truth *rate; /* what it says of the raw TSC's */
};
static struct truth other_rate;
static struct timer best = { .rate = &the_truth };
static struct timer other = { .rate = &other_rate, .counter.den = 1 }; /* which only checks the best one; none: of no period */
static uint64_t looked_raw, look_raw; /* the last look, the next one; the seat's */
static bool wandered;     /* ... it has said so */

static volatile uint64_t *hpet; /* device registers, not memory: volatile is right here */
static uint16_t pm_port;

static uint64_t hpet_read_64(void)
{
	return hpet[HPET_COUNTER];
}

static uint64_t hpet_read_32(void)
{
	return *(volatile uint32_t *)&hpet[HPET_COUNTER];
}

static uint64_t pm_read(void)
{
	return inl(pm_port);
}

/* Can this physical address be mapped as itself? */
static bool can_map(uint64_t phys)
{
	uint32_t bits = cpuid(0x80000008, 0).eax & 0xff; /* of a physical address, SDM vol. 2, CPUID */
	uint64_t end = 1ull << (bits < 47 ? bits : 47); /* the lower half of 48 bits of virtual ones */

	return phys < end && end - phys >= HPET_BYTES;
}

/* Starts it. NULL, or why it can't be used. */
static const char *start_hpet(uint64_t phys)
{
	if (!can_map(phys))
		return "no such address";
	mem_map_device(phys, HPET_BYTES);
	hpet = (volatile uint64_t *)phys;
	uint64_t capabilities = hpet[HPET_CAPABILITIES]; /* all ones where nothing answers */
	uint32_t period_fs = (uint32_t)(capabilities >> 32);
	if (!(capabilities & HPET_REVISION) || period_fs < HPET_PERIOD_MIN || period_fs > HPET_PERIOD_MAX)
		return "there is none";
	/* What the firmware had it interrupt for is over. */
	for (unsigned i = 0; i <= HPET_LAST_TIMER(capabilities); i++)
		hpet[HPET_TIMER + i * HPET_TIMER_NEXT] &= ~HPET_TIMER_INTERRUPT;
	hpet[HPET_CONFIG] = (hpet[HPET_CONFIG] & ~HPET_LEGACY) | HPET_ENABLE;
	if (capabilities & HPET_COUNTER_64)
		counter_start(&best.counter, hpet_read_64, 64, period_fs, 1000000);
	else
		counter_start(&best.counter, hpet_read_32, 32, period_fs, 1000000);
	return counter_step(&best.counter, POLLS) ? 0 : "it stands still";
}

static void use(struct timer *t, const char *name, uint64_t where)
{
	t->name = name;
	t->where = where;
	t->late_ns = (uint32_t)counter_ns(&t->counter, counter_step(&t->counter, POLLS) + 2) + 1;
}

static void find_hpet(uint64_t phys)
{
	const char *wrong = phys ? start_hpet(phys) : 0;

	if (wrong)
		print("howler: HPET at 0x%lx: %s: not used\n", phys, wrong);
	else if (phys)
		use(&best, "HPET", phys);
}

static void find_pm_timer(const struct machine *m)
{
	struct timer *t = best.name ? &other : &best;

	if (!m->pm_timer_port)
		return;
	pm_port = m->pm_timer_port;
	counter_start(&t->counter, pm_read, m->pm_timer_32bit ? 32 : 24, PM_NUM, PM_DEN);
	if (counter_step(&t->counter, POLLS))
		use(t, "ACPI PM timer", pm_port);
	else
		print("howler: ACPI PM timer at port 0x%x stands still: not used\n", pm_port);
}

/* What a timer shows now: of some readings, the quickest. Any core. */
static struct instant look(struct timer *t)
{
	struct instant quickest = { .raw_hi = UINT64_MAX };

	for (unsigned i = 0; t->name && i < READINGS; i++) {
		uint64_t before = raw_now(), counts = counter_read(&t->counter), after = raw_now();

		if (after - before < quickest.raw_hi - quickest.raw_lo)
			quickest = (struct instant){ counter_ns(&t->counter, counts), before, after, t->late_ns };
	}
	quickest.raw_lo -= this_core()->raw_doubt;
	quickest.raw_hi += this_core()->raw_doubt;
	return quickest;
}

/* The rate of the raw TSC by a timer, since `first`; if it has stopped, there is none. */
static void measure(struct timer *t, const struct instant *first)
{
	struct instant now;
	uint64_t lo, hi;
	unsigned polls = 0;

	do
		now = look(t);
	while (now.ns - first->ns < MEASURE_NS && ++polls < MEASURE_POLLS);
	if (truth_rate(first, &now, &lo, &hi))
		truth_begin(t->rate, first, lo, hi);
	else
		t->name = 0;
}

const char *timebase_find(const struct machine *m)
{
	find_hpet(m->hpet_phys);
	find_pm_timer(m);
	struct instant first = look(&best), first_other = look(&other);

	if (best.name)
		measure(&best, &first);
	if (other.name)
		measure(&other, &first_other);
	return best.name;
}

bool timebase_check(struct timebase_check *c)
{
	if (!best.name)
		return false;
	*c = (struct timebase_check){ .by = best.name, .where = best.where, .count_ns = counter_ns(&best.counter, 1),
				      .late_ns = best.late_ns, .checked_by = other.name };
	if (other.name) {
		int64_t rate = (int64_t)truth_middle(&the_truth), off = (int64_t)truth_middle(&other_rate) - rate;

		c->off_ppb = (int64_t)((__int128)off * 1000000000 / rate);
		c->doubt_ppb = truth_doubt_ppb(&the_truth) + truth_doubt_ppb(&other_rate);
	}
	return true;
}

void timebase_look(uint64_t now_raw)
{
	if (!best.name || (int64_t)(now_raw - look_raw) < 0)
		return;
	struct instant now = look(&best);
	uint64_t past = (now.ns - the_truth.first.ns) / LOOK_PARTS;

	look_raw = now_raw + raw_of_ns(past < LOOK_NS_MIN ? LOOK_NS_MIN : past > LOOK_NS_MAX ? LOOK_NS_MAX : past);
	if (!truth_learn(&the_truth, &now) && !wandered) {
		wandered = true;
		print("howler: %s and raw TSC part otherwise than they did: one of the two wanders; the truth is doubtful by that\n", best.name);
	}
	uint64_t wrap_ns = counter_ns(&other.counter, other.counter.mask / 2);
	bool unseen = raw_since(looked_raw, now_raw) > raw_of_ns(wrap_ns);

	looked_raw = now_raw;
	now = look(&other);
	if (unseen) /* it may have wrapped, where the host was away for so long */
		other_rate.first = now;
	else if (other.name)
		truth_learn(&other_rate, &now);
}

bool timebase_ns(uint64_t *ns, uint32_t *resolution, uint64_t *raw_before, uint64_t *raw_after)
{
	if (!best.name)
		return false;
	*raw_before = rdtsc_ordered();
	uint64_t counts = counter_read(&best.counter);
	*raw_after = rdtsc_ordered();
	*ns = counter_ns(&best.counter, counts);
	*resolution = best.late_ns;
	return true;
}
