/* SPDX-License-Identifier: MIT */
/*
 * The platform's timers, sound and broken, and what is made of them: who is believed, what a reading is off by at most,
 * and the raw TSC's rate. True time is the made-up machine's; a timer shows it as its bits, rate and faults let it.
 */
#include "unit.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock/random.h"
#include "smp/counter.h"
#include "smp/smp.h"
#include "smp/x86.h"
#define cpuid(leaf, subleaf) fake_cpuid(leaf, subleaf)
#define rdtsc() fake_rdtsc()
#define rdtsc_ordered() fake_rdtsc()
#define in_emulator() is_emulator
#define inb(port) fake_inb(port)
#define inl(port) fake_inl(port)
#define outb(port, value) fake_outb(port, value)
#define counter_start(c, read, bits, num, den) fake_start(c, read, bits, num, den)
static bool is_emulator;
static struct cpuid fake_cpuid(uint32_t leaf, uint32_t subleaf);
static uint64_t fake_rdtsc(void);
static uint8_t fake_inb(uint16_t port);
static uint32_t fake_inl(uint16_t port);
static void fake_outb(uint16_t port, uint8_t value);
static void fake_start(struct counter *c, uint64_t (*read)(void), unsigned bits, uint32_t num, uint32_t den);
#include "smp/timebase.c"
#include "smp/timer.c"
#undef counter_start

#define KHZ 2000000u /* a tick of the raw TSC is half a ns */
#define PM_PORT 0x608
#define US 1000ull
#define MS 1000000ull
#define SECOND 1000000000ull
#define HPET_PHYS ((uint64_t)(uintptr_t)registers)
#define ALWAYS UINT64_MAX

enum { HPET, PM, PIT, KINDS };

static struct fake_timer {
	bool absent;
	int32_t ppb;          /* it is quicker than it says by that */
	uint64_t stops_ns;    /* it stands still from then on */
	uint64_t jumps_ns;    /* it is `by` further from then on */
	int64_t by;
	unsigned bad;         /* so many readings from now on are by `by` further */
	uint64_t fits_ns;     /* it stands still in each second one of such spans; 0: it doesn't */
} timer[KINDS];

static struct {
	uint64_t ns;          /* true time */
	int64_t raw_jump;     /* of the raw TSC */
	uint64_t slow_ns;     /* a reading of a timer is held up for so long, when .. */
	uint64_t slow_every, readings;
	uint64_t away_at, away_ns; /* .. and once, at that reading */
	bool latched;
	uint32_t told_khz, crystal_hz, ratio, apic_khz;
	uint64_t apic_from;
	uint16_t latch;
	struct random random;
} fake;
static uint64_t registers[HPET_BYTES / 8];
static uint64_t (*hpet_of)(void);
static char log_text[4096];
static struct core me = { .self = &me };

void print(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(log_text + strlen(log_text), sizeof(log_text) - strlen(log_text), fmt, args);
	va_end(args);
}

static unsigned said(const char *what)
{
	unsigned n = 0;

	for (const char *at = log_text; (at = strstr(at, what)); at++)
		n++;
	return n;
}

struct core *this_core(void) { return &me; }
void mem_map_device(uint64_t phys, uint64_t bytes) { assert_int_equal(phys, HPET_PHYS); assert_int_equal(bytes, HPET_BYTES); }
uint64_t raw_now(void) { return fake_rdtsc() + (uint64_t)me.raw_adjust; }
void apic_timer(uint32_t count) { if (count) fake.apic_from = fake.ns; }
uint32_t apic_timer_left(void) { return UINT32_MAX - (uint32_t)((fake.ns - fake.apic_from) * fake.apic_khz / MS); }

static uint64_t fake_rdtsc(void)
{
	fake.ns += 1 + random_below(&fake.random, 20);
	return (uint64_t)((int64_t)(fake.ns * (KHZ / 1000) / 1000) + fake.raw_jump);
}

/* The processor of a machine: its addresses have 48 bits; what it says of its TSC. */
static struct cpuid fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
	(void)subleaf;
	switch (leaf) {
	case 0: return (struct cpuid){ .eax = fake.told_khz || fake.crystal_hz ? 0x16 : 0xd };
	case 0x15: return (struct cpuid){ .eax = 2, .ebx = fake.ratio, .ecx = fake.crystal_hz };
	case 0x16: return (struct cpuid){ .eax = fake.told_khz / 1000 };
	default: return (struct cpuid){ .eax = 48 };
	}
}

/* What it counts now, of so many a second; the bus takes its time both ways. */
static uint64_t count(unsigned kind, long double hz)
{
	struct fake_timer *t = &timer[kind];

	fake.ns += 100 + random_below(&fake.random, 300);
	uint64_t ns = fake.ns < t->stops_ns ? fake.ns : t->stops_ns;

	if (t->fits_ns)
		ns = ns / (2 * t->fits_ns) * t->fits_ns + (ns % (2 * t->fits_ns) < t->fits_ns ? ns % t->fits_ns : t->fits_ns);
	if (fake.ns >= t->jumps_ns || (t->bad && t->bad--))
		ns += (uint64_t)t->by;
	fake.readings++;
	fake.ns += fake.slow_every && !(fake.readings % fake.slow_every) ? fake.slow_ns : 0;
	fake.ns += fake.readings == fake.away_at ? fake.away_ns : 0;
	fake.ns += 100 + random_below(&fake.random, 300);
	return (uint64_t)((long double)ns * hz * (1 + (long double)t->ppb / 1e9L) / 1e9L);
}

/* 10 ns a count, of 64 bits. */
static uint64_t hpet_shown(void)
{
	registers[HPET_COUNTER] = registers[HPET_CONFIG] & HPET_ENABLE ? count(HPET, 1e8L) : 0;
	return hpet_of();
}

static void fake_start(struct counter *c, uint64_t (*read)(void), unsigned bits, uint32_t num, uint32_t den)
{
	bool is_hpet = bits == 32;

	hpet_of = is_hpet ? read : hpet_of;
	counter_start(c, is_hpet ? hpet_shown : read, bits, num, den);
}

/* Of 24 bits; the others are anything. */
static uint32_t fake_inl(uint16_t port)
{
	assert_int_equal(port, PM_PORT);
	return timer[PM].absent ? UINT32_MAX : (uint32_t)count(PM, 3579545) ^ (uint32_t)random_next(&fake.random) << 24;
}

/* Channel 2 counts down, and is read low byte first once it is latched. */
static uint8_t fake_inb(uint16_t port)
{
	if (port != PIT_CH2)
		return 0;
	assert_true(fake.latched);
	uint8_t byte = (uint8_t)fake.latch;

	fake.latch = (uint16_t)(fake.latch >> 8 | byte << 8);
	return timer[PIT].absent ? 0xff : byte;
}

static void fake_outb(uint16_t port, uint8_t value)
{
	fake.latched = port == PIT_COMMAND ? value == 0x80 : fake.latched;
	if (port == PORT_B)
		timer[PIT].stops_ns = value & 1 ? ALWAYS : fake.ns; /* its gate */
	if (port == PIT_COMMAND && value == 0x80)
		fake.latch = (uint16_t)-count(PIT, 1193182);
}

static int setup(void **state)
{
	(void)state;
	memset(timer, 0, sizeof(timer));
	for (unsigned i = 0; i < KINDS; i++)
		timer[i].stops_ns = timer[i].jumps_ns = ALWAYS;
	timer[PIT].stops_ns = 0;
	memset(&fake, 0, sizeof(fake));
	fake.ns = 3 * SECOND;
	fake.apic_khz = 100000;
	memset(registers, 0, sizeof(registers));
	registers[HPET_CAPABILITIES] = 10000000ull << 32 | 2 << 8 | 1; /* 10 ns, three timers */
	is_emulator = false;
	log_text[0] = 0;
	me.raw_adjust = 0;
	me.raw_doubt = 0;
	timers[0] = (struct timer){ .rate = &the_truth };
	timers[1] = (struct timer){ .rate = &other_rate };
	the_truth = other_rate = (struct truth){ .lo = 0 };
	raw_khz = apic_timer_khz = 0;
	look_raw = 0;
	wandered = false;
	return 0;
}

static const char *calibrate(void)
{
	if (timer[HPET].absent)
		registers[HPET_CAPABILITIES] = UINT64_MAX;
	return timer_calibrate(&(struct machine){ .hpet_phys = HPET_PHYS, .pm_timer_port = PM_PORT });
}

static void check_rate(void)
{
	/* by a PIT of 838 ns, over 30 ms, the most */
	assert_in_range(raw_khz, KHZ - KHZ / 5000, KHZ + KHZ / 5000);
	assert_in_range(apic_timer_khz, 99900, 100100);
	assert_true(the_truth.lo <= KHZ * MHZ_OF_KHZ && the_truth.hi >= KHZ * MHZ_OF_KHZ);
}

/* Both run: the HPET is the clock, the other one checks it; and the firmware's interrupts by it are over. */
static void test_both(void **state)
{
	struct timebase_check c;

	(void)state;
	registers[HPET_CONFIG] = HPET_LEGACY;
	for (unsigned i = 0; i < 3; i++)
		registers[HPET_TIMER + i * HPET_TIMER_NEXT] = HPET_TIMER_INTERRUPT | 1ull << 3;
	timer[PM].ppb = 300000;
	assert_string_equal(calibrate(), "HPET");
	check_rate();
	assert_in_range(truth_middle(&the_truth) + MHZ_OF_KHZ / 2 - raw_khz * MHZ_OF_KHZ, 0, MHZ_OF_KHZ);
	assert_true(timebase_check(&c));
	assert_string_equal(c.by, "HPET");
	assert_string_equal(c.checked_by, "ACPI PM timer");
	assert_int_equal(c.where, HPET_PHYS);
	assert_int_equal(c.count_ns, 10);
	/* It is quicker, so a second of its has fewer ticks. */
	assert_in_range(300000 + c.off_ppb + (int64_t)c.doubt_ppb, 0, 2 * c.doubt_ppb);
	assert_true(c.doubt_ppb < 300000);
	assert_int_equal(registers[HPET_CONFIG], HPET_ENABLE);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(registers[HPET_TIMER + i * HPET_TIMER_NEXT], 1ull << 3);
	assert_string_equal(log_text, "");
}

/* One of them is none, in whatever way: it is named, and the next one is the clock. */
static void test_next(void **state)
{
	static const struct {
		struct fake_timer hpet, pm;
		uint64_t capabilities;
		const char *by, *says;
	} rows[] = {
		{ .hpet.absent = true, .by = "ACPI PM timer", .says = "HPET at 0x%lx: there is none: not used" },
		{ .capabilities = 10000000ull << 32, .by = "ACPI PM timer", .says = "HPET at 0x%lx: there is none: not used" },
		{ .capabilities = 999999ull << 32 | 1, .by = "ACPI PM timer", .says = "HPET at 0x%lx: there is none: not used" },
		{ .capabilities = 100000001ull << 32 | 1, .by = "ACPI PM timer", .says = "HPET at 0x%lx: there is none: not used" },
		{ .hpet.stops_ns = 1, .by = "ACPI PM timer", .says = "HPET at 0x%lx: it stands still: not used" },
		{ .hpet.fits_ns = 7 * MS, .by = "ACPI PM timer", .says = "HPET at 0x%lx: it goes by fits and starts: not used" },
		{ .hpet.stops_ns = 3 * SECOND + 5 * MS, .by = "ACPI PM timer", .says = "HPET at 0x%lx: it goes by fits and starts: not used" },
		{ .pm.absent = true, .by = "HPET", .says = "ACPI PM timer at 0x608: it stands still: not used" },
		{ .pm.stops_ns = 3 * SECOND + 7 * MS, .by = "HPET", .says = "ACPI PM timer at 0x608: it goes by fits and starts: not used" },
		{ .hpet.absent = true, .pm.absent = true, .by = "PIT", .says = "ACPI PM timer at 0x608: it stands still: not used" },
		{ .hpet.stops_ns = 1, .pm.stops_ns = 3 * SECOND + 12 * MS, .by = "PIT", .says = "ACPI PM timer at 0x608: it goes by fits and starts: not used" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct timebase_check c;
		uint64_t t, before, after;
		uint32_t late;
		char says[120];

		setup(state);
		timer[HPET].absent = rows[i].hpet.absent, timer[HPET].fits_ns = rows[i].hpet.fits_ns;
		timer[HPET].stops_ns = rows[i].hpet.stops_ns ? rows[i].hpet.stops_ns : ALWAYS;
		timer[PM].absent = rows[i].pm.absent;
		timer[PM].stops_ns = rows[i].pm.stops_ns ? rows[i].pm.stops_ns : ALWAYS;
		if (rows[i].capabilities)
			registers[HPET_CAPABILITIES] = rows[i].capabilities;
		const char *by = calibrate();
		if (!by || strcmp(by, rows[i].by))
			fail_msg("row %u: by %s", i, by ? by : "nothing");
		check_rate();
		snprintf(says, sizeof(says), rows[i].says, HPET_PHYS);
		if (said(says) != 1)
			fail_msg("row %u says: %s", i, log_text);
		/* A PIT gives the rate, and is read no more. */
		assert_int_equal(timebase_check(&c), strcmp(by, "PIT") != 0);
		assert_int_equal(timebase_ns(&t, &late, &before, &after), strcmp(by, "PIT") != 0);
	}
	/* Where no page can be of. */
	for (uint64_t end = 1ull << 47, phys = end - HPET_BYTES + 1; phys <= end; phys += HPET_BYTES - 1) {
		setup(state);
		assert_string_equal(timer_calibrate(&(struct machine){ .hpet_phys = phys, .pm_timer_port = PM_PORT }), "ACPI PM timer");
		assert_int_equal(said("there is none: not used"), 1);
	}
}

/* No timer: by what the processor says, if it does; else nobody knows. */
static void test_none(void **state)
{
	static const struct {
		uint32_t told_khz, crystal_hz, ratio;
		bool emulator; /* what it tells of is another processor */
		uint32_t khz;
	} rows[] = {
		{ .khz = 0 }, { .told_khz = KHZ, .khz = KHZ }, { .crystal_hz = KHZ * 1000u / 80, .ratio = 160, .khz = KHZ },
		{ .told_khz = KHZ, .crystal_hz = 25000000, .khz = KHZ }, { .told_khz = KHZ, .ratio = 160, .khz = KHZ },
		{ .told_khz = KHZ, .emulator = true }, { .crystal_hz = UINT32_MAX, .ratio = 160 },
	};

	for (unsigned n = 0; n < ARRAY_SIZE(rows); n++) {
		setup(state);
		for (unsigned i = 0; i < KINDS; i++)
			timer[i].absent = true;
		fake.told_khz = rows[n].told_khz;
		fake.crystal_hz = rows[n].crystal_hz;
		fake.ratio = rows[n].ratio;
		is_emulator = rows[n].emulator;
		const char *by = calibrate();
		assert_true(rows[n].khz ? by && !strcmp(by, "CPUID") : !by);
		assert_int_equal(raw_khz, rows[n].khz);
		assert_int_equal(said("no timer runs"), rows[n].khz != 0);
	}
}

/* The processor says otherwise: said, by more than 1 % only. */
static void test_contradicted(void **state)
{
	for (uint32_t told = 972; told <= 1028; told += 4) {
		setup(state);
		fake.told_khz = KHZ / 1000 * told;
		assert_string_equal(calibrate(), "HPET");
		check_rate();
		assert_int_equal(said("one of the two is wrong"), told < 990 || told > 1010);
	}
}

/* The host is away while a timer is measured, once or now and then: it is asked again, and is as good as ever. */
static void test_host_away(void **state)
{
	for (unsigned n = 1; n < 400; n++) {
		setup(state);
		fake.away_at = n;
		fake.away_ns = 40 * MS;
		fake.slow_every = 5;
		fake.slow_ns = 200 * US;
		assert_string_equal(calibrate(), "HPET");
		check_rate();
		assert_string_equal(log_text, "");
	}
}

/* So is one that moves on by itself once, as a guest's does whose host was away. */
static void test_moves_on(void **state)
{
	for (unsigned n = 1; n < 50; n++) {
		setup(state);
		timer[HPET].jumps_ns = 3 * SECOND + n * MS / 5;
		timer[HPET].by = n % 2 ? 3 * (int64_t)MS : -3 * (int64_t)MS;
		assert_string_equal(calibrate(), "HPET");
		check_rate();
		assert_string_equal(log_text, "");
	}
}

/* On whatever core, for hours, with wraps between any two readings: never early, and late by no more than it says. */
static void test_readings(void **state)
{
	for (unsigned alone = 0; alone < 2; alone++) {
		uint64_t first, ns, before, after;
		uint32_t late;

		setup(state);
		timer[HPET].absent = alone;
		fake.slow_every = 100;
		fake.slow_ns = 30 * US;
		timer[alone ? PM : HPET].ppb = 40000; /* an oscillator's: what it shows is a second */
		assert_non_null(calibrate());
		uint64_t start = fake.ns;

		assert_true(timebase_ns(&first, &late, &before, &after));
		for (unsigned n = 0; n < 30000; n++) {
			fake.ns += random_below(&fake.random, n % 2 ? SECOND : 4 * MS);
			/* Another core: its TSC is elsewhere. */
			me.raw_adjust = (int64_t)random_below(&fake.random, 1000000000) - 500000000;
			fake.raw_jump = -me.raw_adjust + (int64_t)random_below(&fake.random, 200) - 100;
			me.raw_doubt = 100;
			timebase_look(raw_now());
			/* A host that is away for longer than the jump that would show is none of a timer's. */
			uint64_t begin = fake.ns;
			assert_true(timebase_ns(&ns, &late, &before, &after));
			long double rate = 1 + 40000e-9L, least = (begin - start) * rate, most = (fake.ns - start) * rate;
			/* The first one was late, too. */
			if (ns - first + 2 * late < least || ns - first > most + 2 * late)
				fail_msg("reading %u: %lu, not %.0Lf to %.0Lf, late by %u", n, ns - first, least, most, late);
			assert_true(after >= before && late < 2000);
		}
		assert_int_equal(said("used any more") + said("wanders"), 0);
		assert_true(truth_doubt_ppb(&the_truth) < 100);
	}
}

static bool reads(void)
{
	uint64_t ns, before, after;
	uint32_t late;

	return timebase_ns(&ns, &late, &before, &after);
}

static void go_on(uint64_t ns)
{
	for (uint64_t end = fake.ns + ns; fake.ns < end; fake.ns += MS)
		timebase_look(raw_now());
}

/* The longer it is known, the more rarely it is looked at. */
static void test_rarely(void **state)
{
	(void)state;
	calibrate();
	for (unsigned n = 0; n < 8; n++) {
		go_on(n * SECOND);
		uint64_t before = fake.readings;

		go_on(2 * SECOND);
		assert_in_range(fake.readings - before, 2 * READINGS, 2 * READINGS * (n < 4 ? 100 : 3));
	}
}

/* It stops or jumps while Howler runs: no reading of it is believed any more, it is named once, with how it went wrong. */
static void test_goes_wrong(void **state)
{
	for (unsigned kind = HPET; kind <= PM; kind++)
		for (int way = -1; way <= 1; way++) {
			struct timebase_check c;

			setup(state);
			assert_non_null(calibrate());
			go_on(SECOND);
			timer[kind].by = way * 300 * (int64_t)US;
			*(way ? &timer[kind].jumps_ns : &timer[kind].stops_ns) = fake.ns;
			fake.ns += 2 * MS;
			assert_int_equal(reads(), kind != HPET); /* at once: not after somebody has looked */
			go_on(10 * SECOND);
			assert_int_equal(reads(), kind != HPET);
			assert_int_equal(said("stopped or jumped"), 1);
			assert_int_equal(said("the reference goes on without it"), kind == HPET);
			assert_int_equal(said("wanders"), 0);
			assert_true(timebase_check(&c)); /* what it was is still told */
			assert_true(kind == HPET || !c.checked_by);
			check_rate();
			long off_us = strtol(strstr(log_text, "jumped: it is ") + 14, 0, 10);
			if (way ? off_us * way < 250 || off_us * way > 350 : off_us > -1500)
				fail_msg("%ld us: %s", off_us, log_text);
		}
}

/* One bad reading is nobody's end; nor is it seen. */
static void test_bad_reading(void **state)
{
	(void)state;
	calibrate();
	for (unsigned n = 0; n < 100; n++) {
		go_on(100 * MS);
		timer[HPET].by = n % 2 ? 1000 * (int64_t)MS : -1000 * (int64_t)MS;
		timer[HPET].bad = 1;
		assert_true(reads());
		timer[HPET].bad = n % 8; /* of the readings of one look */
		go_on(100 * MS);
		timer[HPET].bad = 0;
	}
	assert_string_equal(log_text, "");
	check_rate();
}

/* Both timers contradict the raw TSC in the same way: it is the one that jumped, and they stay. It is said once. */
static void test_raw_jumps(void **state)
{
	struct timebase_check c;

	(void)state;
	calibrate();
	go_on(SECOND);
	fake.raw_jump = KHZ; /* a ms */
	go_on(3 * SECOND);
	assert_int_equal(said("stopped or jumped"), 0);
	assert_int_equal(said("one of the two wanders"), 1);
	assert_true(timebase_check(&c) && c.checked_by);
}

/* Raw ticks and ns, there and back: cut, and for as long as anybody lives. */
static void test_units(void **state)
{
	struct random r = { 1 };

	(void)state;
	for (unsigned n = 0; n < 100000; n++) {
		uint64_t ns = random_next(&r) >> (2 + random_below(&r, 50));

		raw_khz = 10000 + (uint32_t)random_below(&r, KHZ_MAX - 10000);
		uint64_t raw = (uint64_t)((unsigned __int128)(ns >> 3) * raw_khz / NS_PER_MS);

		assert_int_equal(raw_of_ns(ns >> 3), raw);
		assert_int_equal(ns_of_raw(raw), (uint64_t)((unsigned __int128)raw * NS_PER_MS / raw_khz));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_both, setup), cmocka_unit_test(test_next), cmocka_unit_test(test_none),
		cmocka_unit_test(test_contradicted), cmocka_unit_test(test_host_away), cmocka_unit_test(test_moves_on),
		cmocka_unit_test(test_readings), cmocka_unit_test_setup(test_rarely, setup),
		cmocka_unit_test(test_goes_wrong), cmocka_unit_test_setup(test_bad_reading, setup),
		cmocka_unit_test_setup(test_raw_jumps, setup), cmocka_unit_test(test_units),
	};

	return cmocka_run_group_tests_name("timebase", tests, NULL, NULL);
}
