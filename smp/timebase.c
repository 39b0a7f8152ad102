/* SPDX-License-Identifier: MIT */
/*
 * A platform timer that is independent of the TSC: the HPET where the tables
 * name one, else the ACPI PM timer, else none. Coarse and slow to read, but
 * steady, and the same for every core. Section numbers: HPET those of the
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
#define HPET_PERIOD_MIN 1000000u     /* fs: faster than 1 GHz is no HPET */
#define HPET_PERIOD_MAX 100000000u   /* 2.3.4 */
#define HPET_ENABLE (1ull << 0)      /* of the configuration (2.3.5) */
#define HPET_LEGACY (1ull << 1)
#define HPET_TIMER_INTERRUPT (1ull << 2) /* of a timer's configuration (2.3.8) */

/* 4.8.3.3: 3.579545 MHz, so that a count is 10^9 / 3579545 ns; both are divided by 5. */
#define PM_NUM 200000000u
#define PM_DEN 715909u

#define PIT_HZ 1193182u
#define PIT_CH2 0x42
#define PIT_COMMAND 0x43
#define PORT_B 0x61 /* bit 0: gate of channel 2, bit 1: speaker */

#define POLLS 10000u /* readings: enough for a step of any timer; the limit if it stands still */
#define READINGS 8u  /* of which the quickest counts: an SMI or, in an emulator, another core may come in between */
#define MEASURE_NS 5000000u /* at boot, twice; refined while Howler runs */
#define PIT_MEASURE_NS 15000000u /* slow to read; it wraps after 55 ms */
#define MEASURE_POLLS 200000u /* in all */
#define TRIES 5u
#define NS_PER_US 1000

/* A timer of known rate. Fixed at boot, but for `out`. */
struct timer {
	struct counter counter;
	const char *name; /* NULL: there is none */
	_Atomic bool out; /* it stopped or jumped; set by the seat, relaxed: each reading is checked before use */
	uint64_t where;
	uint32_t late_ns; /* a reading is late by at most this */
	struct truth *rate; /* the raw TSC's rate, by this timer */
};
static struct truth other_rate;
static struct timer timers[] = { { .rate = &the_truth }, { .rate = &other_rate } };
static struct timer *const best = &timers[0], *const other = &timers[1]; /* `other` only checks `best` */
static uint64_t look_raw; /* when the next look is due; the seat's */
static bool wandered;     /* ... a wander has been logged */

static volatile uint64_t *hpet; /* device registers, not memory: volatile is right here */
static uint16_t pm_port;

/* The low half only: a 32-bit bus splits a 64-bit read in two, and the low half may wrap in between (2.4.7). */
static uint64_t hpet_read(void)
{
	return *(volatile uint32_t *)&hpet[HPET_COUNTER];
}

static uint64_t pm_read(void)
{
	return inl(pm_port);
}

/* Three port accesses, so not usable by several cores at once. It counts down. */
static uint64_t pit_read(void)
{
	outb(PIT_COMMAND, 0x80); /* latch channel 2 */
	uint64_t low = inb(PIT_CH2);

	return -(low | (uint64_t)inb(PIT_CH2) << 8);
}

/* Can this physical address be mapped as itself? */
static bool can_map(uint64_t phys)
{
	uint32_t bits = cpuid(0x80000008, 0).eax & 0xff; /* of a physical address, SDM vol. 2, CPUID */
	uint64_t end = 1ull << (bits < 47 ? bits : 47); /* the lower half of 48 bits of virtual ones */

	return phys < end && end - phys >= HPET_BYTES;
}

static const char *unused(const char *name, uint64_t where, const char *why)
{
	print("howler: %s at 0x%lx: %s: not used\n", name, where, why);
	return 0;
}

/* Registers a timer, if it runs: as the best one, or as the other one if there is a best one already. */
static void find(const char *name, uint64_t where, uint64_t (*read)(void), unsigned bits, uint32_t num, uint32_t den)
{
	struct timer *t = best->name ? other : best;

	counter_start(&t->counter, read, bits, num, den);
	uint64_t step = counter_step(&t->counter, POLLS);
	t->name = step ? name : unused(name, where, "it stands still");
	t->where = where;
	t->late_ns = (uint32_t)counter_ns(&t->counter, step + 2) + 1;
}

static void find_hpet(uint64_t phys)
{
	uint64_t capabilities = 0;

	if (can_map(phys)) {
		mem_map_device(phys, HPET_BYTES);
		hpet = (volatile uint64_t *)phys;
		capabilities = hpet[HPET_CAPABILITIES]; /* all ones where nothing answers */
	}
	uint32_t period_fs = (uint32_t)(capabilities >> 32);
	if (!(capabilities & HPET_REVISION) || period_fs < HPET_PERIOD_MIN || period_fs > HPET_PERIOD_MAX) {
		unused("HPET", phys, "there is none");
		return;
	}
	/* No interrupts that the firmware had set up. */
	for (unsigned i = 0; i <= HPET_LAST_TIMER(capabilities); i++)
		hpet[HPET_TIMER + i * HPET_TIMER_NEXT] &= ~HPET_TIMER_INTERRUPT;
	hpet[HPET_CONFIG] = (hpet[HPET_CONFIG] & ~HPET_LEGACY) | HPET_ENABLE;
	find("HPET", phys, hpet_read, 32, period_fs, 1000000);
}

static bool in_use(const struct timer *t)
{
	return t->name && !atomic_load_explicit(&t->out, memory_order_relaxed);
}

/* A reading as time. Until the raw TSC's rate is known, the timer must not have wrapped. */
static uint64_t time_of(const struct timer *t, uint64_t shown, uint64_t raw)
{
	uint64_t first = counter_ns(&t->counter, t->counter.mask / 2 + 1);

	return counter_time(&t->counter, shown, truth_middle(t->rate) ? truth_expect(t->rate, raw) : first);
}

/* What a timer shows now: the quickest of some readings. Any core. */
static void look(const struct timer *t, struct instant *now)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < READINGS; i++) {
		uint64_t before = raw_now(), shown = t->counter.read(), after = raw_now();

		if (after - before >= least)
			continue;
		least = after - before;
		*now = (struct instant){ shown, before, after, t->late_ns };
	}
	now->ns = time_of(t, now->ns, now->raw_lo);
	now->raw_lo -= this_core()->raw_doubt;
	now->raw_hi += this_core()->raw_doubt;
}

/* Over `ns`, twice. Retried, as a host may have been away; a timer that stays unsteady is not used. */
static void measure(uint32_t ns)
{
	struct instant at[ARRAY_SIZE(timers)][3];
	unsigned polls = 0, unsteady = 1;

	for (unsigned tries = 0; best->name && unsteady && tries < TRIES; tries++) {
		for (struct timer *t = timers; t <= other && t->name; t++)
			t->counter.start = t->counter.read();
		for (unsigned n = 0; n < 3; n++)
			do
				for (unsigned i = 0; i < 2 && timers[i].name; i++)
					look(&timers[i], &at[i][n]);
			while (n && at[0][n].ns - at[0][n - 1].ns < ns && ++polls < MEASURE_POLLS);
		unsteady = 0;
		for (unsigned i = 0; i < 2 && timers[i].name; i++)
			unsteady += !truth_measure(timers[i].rate, at[i]);
	}
	for (struct timer *t = timers; t <= other && unsteady; t++)
		if (t->name && !truth_middle(t->rate))
			t->name = unused(t->name, t->where, "it goes by fits and starts");
}

const char *timebase_find(const struct machine *m)
{
	if (m->hpet_phys)
		find_hpet(m->hpet_phys);
	pm_port = m->pm_timer_port;
	do { /* again if the first timer was dropped and the second one was not: that becomes the best */
		other->name = 0;
		if (pm_port)
			find("ACPI PM timer", pm_port, pm_read, 24, PM_NUM, PM_DEN); /* some claim 32 bits and don't have them */
		measure(MEASURE_NS);
	} while (!best->name && other->name);
	if (best->name)
		return best->name;
	outb(PORT_B, (inb(PORT_B) & ~2u) | 1u);
	outb(PIT_COMMAND, 0xb4); /* channel 2, low and high byte, mode 2; from 65536 */
	outb(PIT_CH2, 0);
	outb(PIT_CH2, 0);
	find("PIT", PIT_CH2, pit_read, 16, 1000000000, PIT_HZ);
	measure(PIT_MEASURE_NS);
	const char *pit = best->name;
	best->name = 0; /* good for calibration only: no timebase */
	return pit;
}

bool timebase_check(struct timebase_check *c)
{
	if (!best->name)
		return false;
	*c = (struct timebase_check){ .by = best->name, .where = best->where, .count_ns = counter_ns(&best->counter, 1),
				      .late_ns = best->late_ns, .checked_by = in_use(other) ? other->name : 0 };
	if (c->checked_by) {
		int64_t rate = (int64_t)truth_middle(&the_truth), off = (int64_t)truth_middle(&other_rate) - rate;

		c->off_ppb = (int64_t)((__int128)off * 1000000000 / rate);
		c->doubt_ppb = truth_doubt_ppb(&the_truth) + truth_doubt_ppb(&other_rate);
	}
	return true;
}

void timebase_look(uint64_t now_raw)
{
	struct instant now[ARRAY_SIZE(timers)];
	int64_t jump[ARRAY_SIZE(timers)] = { 0 };

	if (!in_use(best) || (int64_t)(now_raw - look_raw) < 0)
		return;
	/* A reading that seems to jump is repeated once: a single one may be bad. */
	for (unsigned i = 0; i < 2; i++)
		for (unsigned n = 0; in_use(&timers[i]) && n < 2 && (!n || jump[i]); n++) {
			look(&timers[i], &now[i]);
			jump[i] = truth_jump(timers[i].rate, &now[i]);
		}
	look_raw = now_raw + raw_of_ns(truth_look_ns(now[0].ns - the_truth.first.ns));
	for (unsigned i = 0; i < 2; i++) {
		struct timer *t = &timers[i];

		if (!in_use(t))
			continue;
		/* A timer that alone contradicts the raw TSC is dropped; if both do, it is the raw TSC. */
		if (jump[i] && !jump[!i]) {
			atomic_store_explicit(&t->out, true, memory_order_relaxed);
			print("howler: %s at 0x%lx stopped or jumped: it is %ld us off what the raw TSC says: not used any more%s\n", t->name,
			      t->where, jump[i] / NS_PER_US, i ? "" : ", and the reference goes on without it");
		} else if (!truth_learn(t->rate, &now[i]) && !i && !wandered) {
			wandered = true;
			print("howler: %s and raw TSC part otherwise than they did: one of the two wanders; the truth is doubtful by that\n", t->name);
		}
	}
}

bool timebase_ns(uint64_t *ns, uint32_t *resolution, uint64_t *raw_before, uint64_t *raw_after)
{
	if (!in_use(best))
		return false;
	const struct core *me = this_core();

	*resolution = best->late_ns;
	for (unsigned n = 0; n < 2; n++) { /* a single reading may be bad */
		*raw_before = rdtsc_ordered();
		uint64_t shown = best->counter.read();
		*raw_after = rdtsc_ordered();
		struct instant now = { 0, *raw_before + (uint64_t)me->raw_adjust - me->raw_doubt,
				       *raw_after + (uint64_t)me->raw_adjust + me->raw_doubt, best->late_ns };

		now.ns = *ns = time_of(best, shown, now.raw_lo);
		if (!truth_jump(&the_truth, &now))
			return true;
	}
	return false;
}
