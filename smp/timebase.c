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
#define EDGES 8u
#define MEASURE_NS 10000000u
#define MEASURE_PM_NS 100000000u /* an edge of the PM timer is known to about a us: its rate, then, to 10 ppm */
#define MEASURE_POLLS 10000000u

/* Fixed at boot. */
static struct counter timer;
static const char *name; /* NULL: there is none */
static uint64_t where;
static uint32_t resolution_ns;
static struct counter second; /* another one to hold it against, or itself */
static const char *second_name;

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
		counter_start(&timer, hpet_read_64, 64, period_fs, 1000000);
	else
		counter_start(&timer, hpet_read_32, 32, period_fs, 1000000);
	return counter_step(&timer, POLLS) ? 0 : "it stands still";
}

static bool find_hpet(uint64_t phys)
{
	const char *wrong = phys ? start_hpet(phys) : "";

	if (!wrong) {
		name = "HPET";
		where = phys;
	} else if (phys) {
		print("howler: HPET at 0x%lx: %s: not used\n", phys, wrong);
	}
	return !wrong;
}

static bool find_pm_timer(const struct machine *m, struct counter *c)
{
	if (!m->pm_timer_port)
		return false;
	pm_port = m->pm_timer_port;
	counter_start(c, pm_read, m->pm_timer_32bit ? 32 : 24, PM_NUM, PM_DEN);
	if (counter_step(c, POLLS))
		return true;
	print("howler: ACPI PM timer at port 0x%x stands still: not used\n", pm_port);
	return false;
}

const char *timebase_find(const struct machine *m)
{
	bool by_hpet = find_hpet(m->hpet_phys), pm = find_pm_timer(m, by_hpet ? &second : &timer);

	if (!by_hpet && pm) {
		name = "ACPI PM timer";
		where = pm_port;
	}
	second_name = by_hpet && pm ? "ACPI PM timer" : 0;
	if (name) /* never 0: it steps */
		resolution_ns = (uint32_t)counter_ns(&timer, counter_step(&timer, POLLS) + 2) + 1;
	return name;
}

/* An instant at which a timer went on, by it and by the raw TSC: of a few, the one known best. */
static void edge(struct counter *c, uint64_t *ns, uint64_t *raw)
{
	uint64_t last = counter_read(c), narrowest = UINT64_MAX;

	for (unsigned i = 0; i < EDGES; i++) {
		uint64_t before, now, after;
		unsigned polls = 0;

		do {
			before = rdtsc_ordered();
			now = counter_read(c);
			after = rdtsc_ordered();
		} while (now == last && ++polls < POLLS);
		last = now;
		if (after - before >= narrowest)
			continue;
		narrowest = after - before;
		*ns = counter_ns(c, now);
		*raw = before + narrowest / 2;
	}
}

/* The same time, `least` ns or some more, in ns by a timer and in ticks of the raw TSC. */
static void measure(struct counter *c, uint64_t least, uint64_t *ns, uint64_t *raw)
{
	uint64_t ns0 = 0, raw0 = 0;
	unsigned polls = 0;

	edge(c, &ns0, &raw0);
	while (counter_ns(c, counter_read(c)) - ns0 < least && ++polls < MEASURE_POLLS)
		cpu_relax();
	edge(c, ns, raw);
	*ns -= ns0;
	*raw -= raw0;
}

uint32_t timebase_raw_khz(void)
{
	uint64_t ns, raw;

	measure(&timer, timer.read == pm_read ? MEASURE_PM_NS : MEASURE_NS, &ns, &raw);
	return ns ? (uint32_t)((raw * 1000000 + ns / 2) / ns) : 0;
}

bool timebase_check(int32_t *ppm)
{
	uint64_t ns, raw;

	if (!name) {
		print("timebase: none: no HPET and no ACPI PM timer that the tables name runs\n");
		return false;
	}
	measure(second_name ? &second : &timer, MEASURE_NS, &ns, &raw);
	int64_t by_tsc = (int64_t)ns_of_raw(raw), off = ((int64_t)ns - by_tsc) * 1000000 / by_tsc;
	*ppm = (int32_t)(off > INT32_MAX ? INT32_MAX : off);
	print("timebase: %s at 0x%lx, %lu ns a count, late by %u ns at most; checked by %s: %d ppm\n", name, where,
	      counter_ns(&timer, 1), resolution_ns, second_name ? second_name : "itself", *ppm);
	return true;
}

bool timebase_ns(uint64_t *ns, uint32_t *resolution, uint64_t *raw_before, uint64_t *raw_after)
{
	if (!name)
		return false;
	*raw_before = rdtsc_ordered();
	uint64_t counts = counter_read(&timer);
	*raw_after = rdtsc_ordered();
	*ns = counter_ns(&timer, counts);
	*resolution = resolution_ns;
	return true;
}
