/* SPDX-License-Identifier: MIT */
/* A vCPU's local APIC: who is meant by an IPI, what comes first, and when the timer goes off. */
#include "unit.h"
#include <stdlib.h>
#include <string.h>

#include "smp/x86.h"
#define cpuid(leaf, subleaf) fake_cpuid(leaf, subleaf)
static struct cpuid fake_cpuid(uint32_t leaf, uint32_t subleaf);
#include "hv/lapic.c"

enum { VCPUS = 20, BSP = 1 << 8, X2 = 1 << 10, ON = 1 << 11 };
#define EVERY ((1u << VCPUS) - 1)
#define UNIT (1ull << 48)

struct guest guest;
static struct vcpu vcpus[VCPUS];
static uint64_t now, set_apics;
static uint32_t kicked; /* cores, a bit each; vCPU i is on core i */
static bool has_x2;

static struct cpuid fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
	(void)subleaf;
	return leaf == 1 ? (struct cpuid){ .ecx = has_x2 ? CPUID1_ECX_X2APIC : 0 } : (struct cpuid){ .eax = 36 };
}

uint64_t raw_own(void)
{
	return now;
}

uint64_t raw_of_ns(uint64_t ns)
{
	return ns / 20; /* 50 MHz */
}

void core_request(unsigned core, unsigned bits)
{
	assert_int_equal(bits, REQ_WAKE);
	kicked |= 1u << core;
}

void vmcs_set_apic(const struct vcpu *v)
{
	(void)v;
	set_apics++;
}

void *mem_alloc(uint64_t bytes, uint64_t align)
{
	return aligned_alloc(align, bytes);
}

static int setup(void **state)
{
	(void)state;
	memset(vcpus, 0, sizeof(vcpus));
	guest.vcpu = vcpus;
	guest.vcpu_count = VCPUS;
	now = 1000;
	has_x2 = true;
	for (unsigned i = 0; i < VCPUS; i++) {
		vcpus[i].index = vcpus[i].core = i;
		lapic_make(&vcpus[i]);
		lapic_timer_follow(&vcpus[i], &(struct tempo_piece){ .mult = UNIT, .offset = i * 0x100000 }, now, now, false);
		lapic_write(&vcpus[i], APIC_SVR, 0x1ff);
	}
	lapic_lint0(false);
	kicked = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VCPUS; i++)
		free((void *)vcpus[i].lapic.regs);
	return 0;
}

static void to_x2(unsigned i)
{
	assert_true(lapic_wrmsr(&vcpus[i], MSR_APIC_BASE, LAPIC_GPA | ON | X2 | (i ? 0 : BSP)));
}

static void all_to_x2(void)
{
	for (unsigned i = 0; i < VCPUS; i++)
		to_x2(i);
}

/* Takes the vector: it is in service then. */
static unsigned take(unsigned i)
{
	unsigned barred, vector = lapic_pending(&vcpus[i], &barred);

	if (vector)
		lapic_accept(&vcpus[i], vector);
	return vector;
}

static void eoi(unsigned i)
{
	lapic_write(&vcpus[i], APIC_EOI, 0);
}

/* Who took `vector`, a bit each; nobody has anything pending or in service afterwards. */
static uint32_t takers(unsigned vector)
{
	uint32_t who = 0;

	for (unsigned i = 0; i < VCPUS; i++) {
		unsigned took = take(i);

		assert_true(took == 0 || took == vector);
		who |= (uint32_t)(took != 0) << i;
		if (took)
			eoi(i);
		assert_int_equal(take(i), 0);
	}
	return who;
}

static uint32_t ipi(unsigned from, uint32_t icr, uint32_t destination)
{
	struct vcpu *v = &vcpus[from];

	kicked = 0;
	if (is_x2(v)) {
		assert_true(lapic_wrmsr(v, MSR_X2APIC + 0x30, (uint64_t)destination << 32 | icr | 0x77));
	} else {
		lapic_write(v, APIC_ICR_HIGH, destination << 24);
		lapic_write(v, APIC_ICR, icr | 0x77);
		assert_int_equal(lapic_read(v, APIC_ICR), (icr | 0x77) & ~(1u << 12));
	}
	uint32_t who = takers(0x77);

	assert_int_equal(kicked, who);
	return who;
}

enum { LOGICAL = 1 << 11, SELF = 1 << 18, ALL = 2 << 18, OTHERS = 3 << 18, LOWEST = ICR_LOWEST << 8, PENDING = 1 << 12 };

static void destinations_xapic(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VCPUS; i++) {
		assert_int_equal(ipi(3, PENDING, i), 1u << i);
		assert_int_equal(lapic_read(&vcpus[i], APIC_ID), i << 24);
	}
	assert_int_equal(ipi(3, 0, VCPUS), 0);
	assert_int_equal(ipi(3, 0, 0xff), EVERY);
	assert_int_equal(ipi(3, SELF, 7), 1u << 3);
	assert_int_equal(ipi(3, ALL, 7), EVERY);
	assert_int_equal(ipi(3, OTHERS, 7), EVERY & ~(1u << 3));
	/* Flat: a bit for each of the first eight; who has none is not meant. */
	assert_int_equal(ipi(3, LOGICAL, 1), 0);
	for (unsigned i = 0; i < 8; i++)
		lapic_write(&vcpus[i], APIC_LDR, 1u << i << 24 | 0x123456);
	assert_int_equal(lapic_read(&vcpus[2], APIC_LDR), 4u << 24);
	assert_int_equal(ipi(3, LOGICAL, 0x85), 0x85);
	assert_int_equal(ipi(3, LOGICAL, 0xff), EVERY);
	/* Cluster: four a cluster. */
	for (unsigned i = 0; i < VCPUS; i++) {
		lapic_write(&vcpus[i], APIC_DFR, 0);
		assert_int_equal(lapic_read(&vcpus[i], APIC_DFR), 0x0fffffff);
		lapic_write(&vcpus[i], APIC_LDR, (i / 4 << 4 | 1u << i % 4) << 24);
	}
	assert_int_equal(ipi(3, LOGICAL, 0x25), 5u << 8);
	assert_int_equal(ipi(3, LOGICAL, 0x4f), 0xfu << 16);
	assert_int_equal(ipi(3, LOGICAL, 0x50), 0);
}

static void destinations_x2apic(void **state)
{
	uint64_t value;

	(void)state;
	all_to_x2();
	for (unsigned i = 0; i < VCPUS; i++) {
		assert_int_equal(ipi(3, 0, i), 1u << i);
		assert_true(lapic_rdmsr(&vcpus[i], MSR_X2APIC + 2, &value) && value == i);
		assert_true(lapic_rdmsr(&vcpus[i], MSR_X2APIC + 0xd, &value) && value == (i / 16 << 16 | 1u << i % 16));
	}
	assert_true(lapic_rdmsr(&vcpus[3], MSR_X2APIC + 0x30, &value) && value == ((uint64_t)(VCPUS - 1) << 32 | 0x77));
	assert_int_equal(ipi(3, 0, 0xff), 0); /* not the broadcast here */
	assert_int_equal(ipi(3, 0, UINT32_MAX), EVERY);
	assert_int_equal(ipi(3, LOGICAL, UINT32_MAX), EVERY);
	assert_int_equal(ipi(3, LOGICAL, 0x8005), 0x8005);
	assert_int_equal(ipi(3, LOGICAL, 0x1000a), 0xau << 16);
	assert_int_equal(ipi(3, LOGICAL, 0x20001), 0);
	assert_int_equal(ipi(3, SELF, 7), 1u << 3);
	assert_int_equal(ipi(3, ALL, 7), EVERY);
	assert_int_equal(ipi(3, OTHERS, 7), EVERY & ~(1u << 3));
	kicked = 0;
	assert_true(lapic_wrmsr(&vcpus[5], MSR_X2APIC + 0x3f, 0x66));
	assert_int_equal(takers(0x66), 1u << 5);
}

static void lowest_priority(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		lapic_write(&vcpus[i], APIC_LDR, 1u << i << 24);
	assert_int_equal(__builtin_popcount(ipi(9, LOWEST | LOGICAL, 0xe)), 1);
	/* Who is disabled is not asked. */
	lapic_write(&vcpus[1], APIC_SVR, 0xff);
	assert_true(lapic_wrmsr(&vcpus[2], MSR_APIC_BASE, LAPIC_GPA));
	assert_int_equal(ipi(9, LOWEST | LOGICAL, 0xe), 1u << 3);
	assert_int_equal(ipi(9, LOWEST | LOGICAL, 0x6), 0);
}

static void vectors_below_16_are_none(void **state)
{
	(void)state;
	for (unsigned vector = 0; vector < 32; vector++) {
		lapic_write(&vcpus[3], APIC_ICR, SELF | vector);
		assert_int_equal(takers(vector), vector < 16 ? 0 : 1u << 3);
		assert_int_equal(lapic_read(&vcpus[3], APIC_IRR), 0);
	}
}

static void send_self(unsigned vector)
{
	lapic_write(&vcpus[0], APIC_ICR, SELF | vector);
}

static void priorities(void **state)
{
	struct vcpu *v = &vcpus[0];
	unsigned barred;

	(void)state;
	send_self(0x31);
	send_self(0x55);
	send_self(0x31); /* one and the same */
	send_self(0x58);
	assert_int_equal(lapic_pending(v, &barred), 0x58);
	assert_int_equal(lapic_read(v, APIC_IRR + 0x20), 1u << 0x15 | 1u << 0x18);
	assert_int_equal(take(0), 0x58);
	assert_int_equal(lapic_read(v, APIC_ISR + 0x20), 1u << 0x18);
	assert_int_equal(lapic_read(v, APIC_IRR + 0x20), 1u << 0x15);
	assert_int_equal(lapic_read(v, APIC_PPR), 0x50);
	assert_int_equal(take(0), 0); /* same class: after it */
	send_self(0x63);
	assert_int_equal(take(0), 0x63);
	assert_int_equal(lapic_read(v, APIC_PPR), 0x60);
	eoi(0); /* the highest */
	assert_int_equal(lapic_read(v, APIC_ISR + 0x20), 1u << 0x18);
	assert_int_equal(lapic_read(v, APIC_ISR + 0x30), 0);
	assert_int_equal(take(0), 0);
	eoi(0);
	assert_int_equal(take(0), 0x55);
	eoi(0);
	assert_int_equal(take(0), 0x31);
	eoi(0);
	eoi(0); /* one too many */
	assert_int_equal(take(0), 0);
	assert_int_equal(lapic_read(v, APIC_EOI), 0);
}

static void task_priority(void **state)
{
	struct vcpu *v = &vcpus[0];
	unsigned barred;

	(void)state;
	lapic_write(v, APIC_TPR, 0xffffff4f);
	assert_int_equal(lapic_read(v, APIC_TPR), 0x4f);
	assert_int_equal(lapic_read(v, APIC_PPR), 0x4f);
	send_self(0x4e);
	assert_int_equal(lapic_pending(v, &barred), 0);
	assert_int_equal(barred, 4); /* comes as soon as TPR's class is below */
	lapic_write(v, APIC_TPR, 0x40);
	assert_int_equal(take(0), 0);
	send_self(0x51);
	assert_int_equal(lapic_pending(v, &barred), 0x51);
	assert_int_equal(barred, 0);
	assert_int_equal(take(0), 0x51);
	assert_int_equal(lapic_read(v, APIC_PPR), 0x50);
	lapic_write(v, APIC_TPR, 0x52);
	assert_int_equal(lapic_read(v, APIC_PPR), 0x52);
	lapic_write(v, APIC_TPR, 0);
	/* What is in service bars it now, and no write to TPR lets it in. */
	assert_int_equal(lapic_pending(v, &barred), 0);
	assert_int_equal(barred, 0);
	eoi(0);
	assert_int_equal(take(0), 0x4e);
}

static void disabled_by_svr(void **state)
{
	struct vcpu *v = &vcpus[0];

	(void)state;
	lapic_write(v, APIC_LVT_LINT0, 0x45);
	lapic_write(v, APIC_SVR, 0xf3);
	assert_int_equal(lapic_read(v, APIC_SVR), 0xf3);
	for (unsigned lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR; lvt += 16) {
		assert_true(lapic_read(v, lvt) & LVT_MASKED);
		lapic_write(v, lvt, 0x45);
		assert_int_equal(lapic_read(v, lvt), LVT_MASKED | 0x45); /* stays so */
	}
	assert_int_equal(ipi(1, 0, 0), 0);
	lapic_write(&vcpus[1], APIC_ICR_HIGH, 0);
	lapic_write(&vcpus[1], APIC_ICR, ICR_NMI << 8);
	assert_int_equal(v->lapic.nmis_sent, 1); /* NMI, INIT and SIPI come all the same (10.4.7.2) */
	lapic_write(v, APIC_SVR, 0x1f3);
	assert_int_equal(ipi(1, 0, 0), 1);
}

static void registers_keep_their_bits(void **state)
{
	struct vcpu *v = &vcpus[5];

	(void)state;
	lapic_write(v, APIC_LVT_TIMER, UINT32_MAX & ~(3u << 17));
	assert_int_equal(lapic_read(v, APIC_LVT_TIMER), 0x100ff);
	lapic_write(v, APIC_LVT_LINT0, UINT32_MAX);
	assert_int_equal(lapic_read(v, APIC_LVT_LINT0), 0x1a7ff);
	lapic_write(v, APIC_LDR, UINT32_MAX);
	lapic_write(v, APIC_ID, UINT32_MAX);
	lapic_write(v, APIC_VERSION, 0);
	lapic_write(v, APIC_PPR, 0xff);
	lapic_write(v, APIC_ISR, UINT32_MAX);
	lapic_write(v, APIC_IRR + 0x70, UINT32_MAX);
	lapic_write(v, APIC_SVR, UINT32_MAX);
	lapic_write(v, APIC_ESR, UINT32_MAX);
	lapic_write(v, APIC_TIMER_DIVIDE, UINT32_MAX);
	assert_int_equal(lapic_read(v, APIC_ID), 5u << 24);
	assert_int_equal(lapic_read(v, APIC_LDR), 0xff000000);
	assert_int_equal(lapic_read(v, APIC_VERSION), VERSION);
	assert_int_equal(lapic_read(v, APIC_PPR), 0);
	assert_int_equal(lapic_read(v, APIC_SVR), 0x1ff);
	assert_int_equal(lapic_read(v, APIC_ESR), 0);
	assert_int_equal(lapic_read(v, APIC_TIMER_DIVIDE), 0xb);
	assert_int_equal(take(5), 0);
}

/* --- the timer */

static void tsc_is(unsigned i, uint64_t mult, uint64_t tsc)
{
	struct tempo_piece p = { .mult = mult };

	p.offset = tsc - tempo_piece_tsc(&p, now);
	lapic_timer_follow(&vcpus[i], &p, now, now, false);
}

static uint64_t tsc_now(unsigned i)
{
	return tempo_piece_tsc(&vcpus[i].lapic.tsc, now);
}

/* The raw instant at which it goes off, at `tsc` or a tick or two after it, and not before. */
static void goes_off(unsigned i, uint64_t tsc)
{
	struct vcpu *v = &vcpus[i];

	assert_in_range(v->lapic.timer_raw, now, UINT64_MAX / 2);
	now = v->lapic.timer_raw - 1;
	lapic_timer_poll(v, now);
	assert_int_equal(take(i), 0);
	now++;
	assert_true((int64_t)(tsc_now(i) - tsc) >= 0);
	assert_in_range(tsc_now(i) - tsc, 0, 2 * (v->lapic.tsc.mult / UNIT) + 2);
	lapic_timer_poll(v, now);
	assert_int_equal(take(i), 0x40);
	eoi(i);
}

static void timer_one_shot(void **state)
{
	struct vcpu *v = &vcpus[1];
	uint64_t begin;

	(void)state;
	tsc_is(1, UNIT, UINT64_MAX - 100); /* a count goes over the end of the TSC */
	lapic_write(v, APIC_LVT_TIMER, 0x40);
	lapic_write(v, APIC_TIMER_DIVIDE, 0xb);
	assert_int_equal(lapic_read(v, APIC_TIMER_CURRENT), 0);
	begin = tsc_now(1);
	lapic_write(v, APIC_TIMER_INITIAL, 1000);
	assert_int_equal(lapic_read(v, APIC_TIMER_CURRENT), 1000);
	now += 400;
	assert_int_equal(lapic_read(v, APIC_TIMER_CURRENT), 600);
	assert_int_equal(lapic_read(v, APIC_TIMER_INITIAL), 1000);
	goes_off(1, begin + 1000);
	assert_int_equal(v->lapic.timer_raw, UINT64_MAX);
	assert_int_equal(lapic_read(v, APIC_TIMER_CURRENT), 0);
	/* Written anew it starts anew; 0 stops it; masked it counts and is silent. */
	lapic_write(v, APIC_TIMER_INITIAL, 1000);
	now += 500;
	begin = tsc_now(1);
	lapic_write(v, APIC_TIMER_INITIAL, 1000);
	goes_off(1, begin + 1000);
	lapic_write(v, APIC_TIMER_INITIAL, 1000);
	lapic_write(v, APIC_TIMER_INITIAL, 0);
	assert_int_equal(v->lapic.timer_raw, UINT64_MAX);
	lapic_write(v, APIC_LVT_TIMER, LVT_MASKED | 0x40);
	lapic_write(v, APIC_TIMER_INITIAL, 1000);
	now += 2000;
	lapic_timer_poll(v, now);
	assert_int_equal(take(1), 0);
}

static void timer_divides(void **state)
{
	static const struct {
		uint32_t value;
		unsigned by;
	} divides[] = { { 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 0xa, 128 }, { 0xb, 1 } };

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		uint64_t begin = tsc_now(1);

		lapic_write(&vcpus[1], APIC_LVT_TIMER, 0x40);
		lapic_write(&vcpus[1], APIC_TIMER_DIVIDE, divides[i].value);
		lapic_write(&vcpus[1], APIC_TIMER_INITIAL, 50);
		now += 10 * divides[i].by + 1;
		assert_int_equal(lapic_read(&vcpus[1], APIC_TIMER_CURRENT), divides[i].by == 1 ? 39 : 40);
		goes_off(1, begin + 50 * divides[i].by);
	}
}

static void timer_periodic(void **state)
{
	struct vcpu *v = &vcpus[1];
	uint64_t begin;

	(void)state;
	tsc_is(1, UNIT / 3, 5);
	lapic_write(v, APIC_LVT_TIMER, TIMER_PERIODIC << 17 | 0x40);
	lapic_write(v, APIC_TIMER_DIVIDE, 0);
	begin = tsc_now(1);
	lapic_write(v, APIC_TIMER_INITIAL, 5000);
	for (unsigned i = 1; i <= 3; i++)
		goes_off(1, begin + 10000 * i);
	/* Late by two periods and a half: once, and the next one when it is due. */
	now += 3 * 35000;
	lapic_timer_poll(v, now);
	assert_int_equal(take(1), 0x40);
	assert_int_equal(take(1), 0);
	eoi(1);
	assert_in_range(lapic_read(v, APIC_TIMER_CURRENT), 2498, 2501);
	goes_off(1, begin + 70000);
	lapic_write(v, APIC_LVT_TIMER, 0x40); /* one-shot from now on: once more */
	goes_off(1, begin + 80000);
	assert_int_equal(v->lapic.timer_raw, UINT64_MAX);
}

/* Each tick, it would leave the core no time for anything: 100 us pass, and what has come meanwhile comes as one. */
static void timer_periodic_short(void **state)
{
	struct vcpu *v = &vcpus[1];
	uint64_t begin;

	(void)state;
	tsc_is(1, UNIT, 5);
	lapic_write(v, APIC_LVT_TIMER, TIMER_PERIODIC << 17 | 0x40);
	lapic_write(v, APIC_TIMER_DIVIDE, 0);
	begin = tsc_now(1);
	lapic_write(v, APIC_TIMER_INITIAL, 3);
	goes_off(1, begin + 6);
	for (unsigned i = 1; i <= 3; i++) {
		assert_in_range(lapic_read(v, APIC_TIMER_CURRENT), 1, 3);
		goes_off(1, begin + 6 + i * 5004);
	}
}

static void deadline_set(unsigned i, uint64_t tsc)
{
	assert_true(lapic_wrmsr(&vcpus[i], MSR_TSC_DEADLINE, tsc));
}

static uint64_t deadline(unsigned i)
{
	uint64_t value;

	assert_true(lapic_rdmsr(&vcpus[i], MSR_TSC_DEADLINE, &value));
	return value;
}

static void timer_deadline(void **state)
{
	struct vcpu *v = &vcpus[1];

	(void)state;
	tsc_is(1, UNIT * 3 / 2, 1000);
	deadline_set(1, 5000); /* in another mode it is nothing */
	assert_int_equal(deadline(1), 0);
	assert_int_equal(v->lapic.timer_raw, UINT64_MAX);
	lapic_write(v, APIC_LVT_TIMER, TIMER_DEADLINE << 17 | 0x40);
	deadline_set(1, 5000);
	assert_int_equal(deadline(1), 5000);
	assert_int_equal(lapic_read(v, APIC_TIMER_CURRENT), 0);
	lapic_write(v, APIC_TIMER_INITIAL, 77); /* nor is that, in this mode */
	assert_int_equal(lapic_read(v, APIC_TIMER_INITIAL), 0);
	goes_off(1, 5000);
	assert_int_equal(deadline(1), 0);
	deadline_set(1, 4000); /* past: at once */
	assert_true(v->lapic.timer_raw <= now);
	lapic_timer_poll(v, now);
	assert_int_equal(take(1), 0x40);
	eoi(1);
	deadline_set(1, 9000);
	deadline_set(1, 0);
	assert_int_equal(v->lapic.timer_raw, UINT64_MAX);
	deadline_set(1, 9000);
	lapic_write(v, APIC_LVT_TIMER, 0x40); /* another mode disarms it */
	assert_int_equal(v->lapic.timer_raw, UINT64_MAX);
	lapic_write(v, APIC_TIMER_INITIAL, 100);
	v->lapic.regs[APIC_LVT_TIMER / 4] = TIMER_DEADLINE << 17 | 0x40; /* as the processor does where it helps */
	lapic_write(v, APIC_LVT_TIMER, TIMER_DEADLINE << 17 | 0x40);
	assert_int_equal(v->lapic.timer_raw, UINT64_MAX);
	v->lapic.regs[APIC_TIMER_INITIAL / 4] = 77;
	lapic_write(v, APIC_TIMER_INITIAL, 77);
	assert_int_equal(lapic_read(v, APIC_TIMER_INITIAL), 0);
}

/* Centuries ahead is not past, whatever the sign of the difference; nor does it come nearer by a move. */
static void timer_deadline_far(void **state)
{
	struct vcpu *v = &vcpus[1];
	static const uint64_t far[] = { UINT64_MAX, 1ull << 63, (1ull << 63) + 5000, UINT64_MAX / 2 };

	(void)state;
	lapic_write(v, APIC_LVT_TIMER, TIMER_DEADLINE << 17 | 0x40);
	for (unsigned i = 0; i < 4; i++) {
		tsc_is(1, UNIT, 2000);
		deadline_set(1, far[i]);
		for (unsigned turn = 0; turn < 4; turn++) {
			now += 1ull << 50;
			v->core = turn / 2;
			tsc_is(1, UNIT + ((uint64_t)turn << 40), 3000);
			lapic_timer_poll(v, now);
			assert_int_equal(take(1), 0);
			assert_true(i || deadline(1) == far[0]);
		}
		assert_true(v->lapic.timer_raw >= UINT64_MAX / 4);
	}
}

/* A new tempo on the same core: the guest's TSC still says when. */
static void timer_follows_tempo(void **state)
{
	struct vcpu *v = &vcpus[1];

	(void)state;
	tsc_is(1, UNIT, 1000);
	lapic_write(v, APIC_LVT_TIMER, TIMER_DEADLINE << 17 | 0x40);
	deadline_set(1, 9000);
	now += 2000;
	tsc_is(1, UNIT / 4, tsc_now(1));
	assert_in_range(v->lapic.timer_raw - now, 24000, 24005);
	now += 4000;
	tsc_is(1, 3 * UNIT, tsc_now(1));
	assert_int_equal(deadline(1), 9000);
	goes_off(1, 9000);
	lapic_write(v, APIC_LVT_TIMER, 0x40);
	lapic_write(v, APIC_TIMER_DIVIDE, 0xb);
	uint64_t begin = tsc_now(1);
	lapic_write(v, APIC_TIMER_INITIAL, 9000);
	now += 100;
	tsc_is(1, UNIT, tsc_now(1));
	now += 100;
	assert_int_equal(lapic_read(v, APIC_TIMER_CURRENT), 9000 - 300 - 100);
	goes_off(1, begin + 9000);
}

/* On another core another counter: what is left stays, in its ticks. */
static void timer_follows_core(void **state)
{
	struct vcpu *v = &vcpus[1];

	(void)state;
	tsc_is(1, UNIT, 1000);
	lapic_write(v, APIC_LVT_TIMER, TIMER_DEADLINE << 17 | 0x40);
	deadline_set(1, 9000);
	now += 2000;
	v->core = 7;
	tsc_is(1, UNIT / 2, 1ull << 40);
	assert_in_range(v->lapic.timer_raw - now, 12000, 12002);
	assert_in_range(deadline(1), (1ull << 40) + 6000, (1ull << 40) + 6001);
	now += 2000;
	tsc_is(1, UNIT / 4, tsc_now(1)); /* ... and there its tempo changes, */
	assert_in_range(v->lapic.timer_raw - now, 20000, 20010);
	goes_off(1, deadline(1));
	deadline_set(1, tsc_now(1) + 1000);
	now += 400;
	v->core = 3; /* and all cores' counter is one */
	struct tempo_piece p = v->lapic.tsc;
	p.offset -= 5; /* within its skew */
	uint64_t before = deadline(1);
	lapic_timer_follow(v, &p, now, now, true);
	assert_int_equal(deadline(1), before);
	goes_off(1, before);
}

/* The other core's raw TSC differs, whichever is ahead: what was left is what is left, also where all else is equal. */
static void timer_goes_to_another_raw_tsc(void **state)
{
	struct vcpu *v = &vcpus[1];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		v->core = 1;
		tsc_is(1, UNIT / 2, 1000);
		lapic_write(v, APIC_LVT_TIMER, TIMER_DEADLINE << 17 | 0x40);
		deadline_set(1, 6000);
		assert_in_range(v->lapic.timer_raw - now, 10000, 10002);
		uint64_t then = now + 4000;
		struct tempo_piece p = v->lapic.tsc;
		now = i ? then - 3000000 : then + 3000000;
		v->core = 2;
		lapic_timer_follow(v, &p, now, then, false);
		assert_in_range(v->lapic.timer_raw - now, 6000, 6002);
		assert_int_equal(v->lapic.timer_tsc, tsc_now(1) + 3000);
		goes_off(1, v->lapic.timer_tsc);
	}
}

/* Its core was taken down and came up again, with another counter, before it ran elsewhere. */
static void timer_outlives_its_core(void **state)
{
	struct vcpu *v = &vcpus[1];

	(void)state;
	v->core = 1;
	tsc_is(1, UNIT, 1ull << 40);
	lapic_write(v, APIC_LVT_TIMER, TIMER_DEADLINE << 17 | 0x40);
	deadline_set(1, (1ull << 40) + 6000);
	v->lapic.moved = true;
	tsc_is(1, UNIT, 1000);
	assert_in_range(v->lapic.timer_raw - now, 6000, 6001);
	assert_false(v->lapic.moved);
	goes_off(1, v->lapic.timer_tsc);
}

static void timer_moves_with_tsc_writes(void **state)
{
	struct vcpu *v = &vcpus[1];

	(void)state;
	tsc_is(1, UNIT, 1000);
	lapic_write(v, APIC_LVT_TIMER, TIMER_DEADLINE << 17 | 0x40);
	deadline_set(1, 9000);
	lapic_timer_move(v, 3000);
	assert_int_equal(deadline(1), 9000);
	assert_in_range(v->lapic.timer_raw - now, 5000, 5001);
	lapic_timer_move(v, -6000ull); /* the TSC is before 0: far behind, as an unsigned one says far ahead */
	lapic_timer_poll(v, now);
	assert_int_equal(take(1), 0x40);
	eoi(1);
	lapic_timer_move(v, 4000);
	deadline_set(1, 9000);
	lapic_timer_move(v, -1000ull);
	v->core = 7; /* not run in between */
	tsc_is(1, UNIT, 1ull << 40);
	assert_in_range(deadline(1) - (1ull << 40), 8000, 8001);
	goes_off(1, deadline(1));
	/* What counts down is not the counter's value. */
	lapic_write(v, APIC_LVT_TIMER, 0x40);
	lapic_write(v, APIC_TIMER_DIVIDE, 0xb);
	lapic_write(v, APIC_TIMER_INITIAL, 500);
	lapic_timer_move(v, 1ull << 50);
	assert_int_equal(lapic_read(v, APIC_TIMER_CURRENT), 500);
	goes_off(1, tsc_now(1) + 500);
}

/* --- modes */

static void base_transitions(void **state)
{
	enum { OFF, XAPIC, X2APIC, NEITHER };
	static const uint64_t bits[] = { 0, ON, ON | X2, X2 };
	static const bool legal[3][4] = { { true, true, false, false }, { true, true, true, false }, { true, false, true, false } };
	struct vcpu *v = &vcpus[6];
	uint64_t value;

	(void)state;
	for (unsigned from = OFF; from <= X2APIC; from++)
		for (unsigned to = OFF; to <= NEITHER; to++) {
			assert_true(lapic_wrmsr(v, MSR_APIC_BASE, LAPIC_GPA)); /* off: from anywhere */
			assert_true(from == OFF || lapic_wrmsr(v, MSR_APIC_BASE, LAPIC_GPA | ON));
			assert_true(lapic_wrmsr(v, MSR_APIC_BASE, LAPIC_GPA | bits[from]));
			set_apics = 0;
			assert_int_equal(lapic_wrmsr(v, MSR_APIC_BASE, LAPIC_GPA | bits[to]), legal[from][to]);
			assert_int_equal(set_apics, legal[from][to]);
			assert_true(lapic_rdmsr(v, MSR_APIC_BASE, &value));
			assert_int_equal(value, LAPIC_GPA | bits[legal[from][to] ? to : from]);
			assert_int_equal(lapic_enabled(v), !!(value & ON));
			assert_int_equal(lapic_has(v, LAPIC_GPA), value == (LAPIC_GPA | ON));
			assert_int_equal(lapic_read(v, APIC_ID), value & X2 ? 6 : 6 << 24);
		}
	lapic_wrmsr(v, MSR_APIC_BASE, LAPIC_GPA);
	for (unsigned bit = 0; bit < 64; bit++) /* of 36 address bits, as fake_cpuid says */
		assert_int_equal(lapic_wrmsr(v, MSR_APIC_BASE, 1ull << bit), bit == 8 || bit == 11 || (bit >= 12 && bit < 36));
	lapic_wrmsr(v, MSR_APIC_BASE, ON);
	has_x2 = false;
	assert_false(lapic_wrmsr(v, MSR_APIC_BASE, ON | X2));
	assert_true(lapic_rdmsr(&vcpus[0], MSR_APIC_BASE, &value) && value == (LAPIC_GPA | ON | BSP));
}

static void its_place(void **state)
{
	struct vcpu *v = &vcpus[6];

	(void)state;
	assert_true(lapic_has(v, LAPIC_GPA) && lapic_has(v, LAPIC_GPA + 0xfff) && !lapic_has(v, LAPIC_GPA + 0x1000));
	assert_true(lapic_wrmsr(v, MSR_APIC_BASE, 0xfed40000 | ON));
	assert_true(lapic_has(v, 0xfed40300) && !lapic_has(v, LAPIC_GPA));
	assert_true(lapic_wrmsr(v, MSR_APIC_BASE, 0xfed40000 | ON | X2));
	assert_false(lapic_has(v, 0xfed40300));
}

/* Off: it neither sends, as who could ask it, nor takes anything. */
static void off(void **state)
{
	struct vcpu *v = &vcpus[6];
	unsigned barred;

	(void)state;
	lapic_write(v, APIC_LVT_TIMER, 0x40);
	lapic_write(v, APIC_TIMER_INITIAL, 10);
	assert_true(lapic_wrmsr(v, MSR_APIC_BASE, LAPIC_GPA));
	for (unsigned mode = 0; mode < 7; mode++) {
		lapic_write(&vcpus[0], APIC_ICR_HIGH, 6u << 24);
		lapic_write(&vcpus[0], APIC_ICR, mode << 8 | 0x55);
	}
	assert_int_equal(kicked, 0);
	assert_int_equal(v->lapic.nmis_sent | v->lapic.events, 0);
	now += 100;
	lapic_timer_poll(v, now);
	assert_int_equal(lapic_pending(v, &barred), 0);
}

/* Table 10-6, and all MSRs beside it. */
static void x2apic_registers(void **state)
{
	static const uint32_t others[] = { 0, MSR_X2APIC - 1, MSR_X2APIC + 0x40, 0x10000000 + MSR_X2APIC + 8, UINT32_MAX };
	struct vcpu *v = &vcpus[6];
	uint64_t value;

	(void)state;
	for (unsigned i = 0; i < 0x40; i++)
		assert_false(lapic_rdmsr(v, MSR_X2APIC + i, &value) || lapic_wrmsr(v, MSR_X2APIC + i, 0)); /* xAPIC */
	to_x2(6);
	for (unsigned i = 0; i < 0x40; i++) {
		bool lvt = i >= 0x32 && i <= 0x37;
		bool both = i == 0x08 || i == 0x0f || i == 0x28 || i == 0x30 || lvt || i == 0x38 || i == 0x3e;
		bool reads = both || i == 2 || i == 3 || i == 0xa || i == 0xd || (i >= 0x10 && i < 0x28) || i == 0x39;
		bool writes = both || i == 0x0b || i == 0x3f;

		if (lapic_rdmsr(v, MSR_X2APIC + i, &value) != reads || lapic_wrmsr(v, MSR_X2APIC + i, 0) != writes ||
		    lapic_wrmsr(v, MSR_X2APIC + i, 1ull << 32) != (i == 0x30))
			fail_msg("MSR 8%02x", i);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(lapic_rdmsr(v, others[i], &value) || lapic_wrmsr(v, others[i], 0));
	assert_false(lapic_wrmsr(v, MSR_X2APIC + 0x3f, 0x100));
	assert_false(lapic_wrmsr(v, MSR_X2APIC + 0x0b, 1)); /* EOI, ESR: 0 only */
	assert_false(lapic_wrmsr(v, MSR_X2APIC + 0x28, 1));
	assert_true(lapic_wrmsr(v, MSR_X2APIC + 0x08, 0x35) && lapic_rdmsr(v, MSR_X2APIC + 0x0a, &value) && value == 0x35);
}

/* --- INIT, SIPI, NMI, LINT0 */

static uint32_t events_after(unsigned mode, uint32_t more)
{
	kicked = 0;
	lapic_write(&vcpus[0], APIC_ICR_HIGH, 3u << 24);
	lapic_write(&vcpus[0], APIC_ICR, mode << 8 | more);
	return vcpus[3].lapic.events;
}

static void init_and_sipi(void **state)
{
	(void)state;
	assert_int_equal(events_after(ICR_INIT, 1u << 14), EVENT_INIT);
	assert_int_equal(kicked, 1u << 3);
	assert_int_equal(events_after(ICR_SIPI, 0x9a), EVENT_INIT | EVENT_SIPI | 0x9a00);
	assert_int_equal(events_after(ICR_SIPI, 0x9a), EVENT_INIT | EVENT_SIPI | 0x9a00);
	assert_int_equal(events_after(ICR_INIT, 0), EVENT_INIT); /* a SIPI before it is void */
	assert_int_equal(events_after(ICR_SIPI, 0), EVENT_INIT | EVENT_SIPI);
	assert_int_equal(events_after(ICR_INIT, 1u << 15), EVENT_INIT | EVENT_SIPI); /* de-assert: nothing */
	assert_int_equal(kicked, 0);
	vcpus[3].lapic.events = 0;
	assert_int_equal(events_after(ICR_SIPI, 0x21), EVENT_SIPI | 0x2100);
	assert_int_equal(events_after(ICR_INIT, 1u << 15 | 1u << 14), EVENT_INIT);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_true(i == 3 || !vcpus[i].lapic.events);
	lapic_write(&vcpus[0], APIC_ICR, OTHERS | ICR_INIT << 8);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(vcpus[i].lapic.events, i ? EVENT_INIT : 0);
}

static void reset_is_power_up(void **state)
{
	struct vcpu *v = &vcpus[3];
	uint64_t value;

	(void)state;
	assert_true(lapic_wrmsr(v, MSR_APIC_BASE, 0xfed40000 | ON));
	lapic_write(v, APIC_TPR, 0x20);
	lapic_write(v, APIC_LVT_TIMER, 0x40);
	lapic_write(v, APIC_TIMER_INITIAL, 100);
	lapic_write(v, APIC_ICR, SELF | 0x55);
	lapic_write(v, APIC_ICR, SELF | ICR_NMI << 8);
	assert_int_equal(take(3), 0x55);
	lapic_write(v, APIC_ICR, SELF | 0x66);
	lapic_reset(v);
	for (unsigned i = 0; i < PAGE_SIZE; i += 16) {
		uint32_t is = i == APIC_ID ? 3 << 24 : i == APIC_VERSION ? VERSION : i == APIC_DFR ? UINT32_MAX :
			      i == APIC_SVR ? 0xff : i >= APIC_LVT_TIMER && i <= APIC_LVT_ERROR ? LVT_MASKED : 0;
		if (lapic_read(v, i) != is)
			fail_msg("register %x is %x after reset", i, lapic_read(v, i));
	}
	assert_int_equal(take(3), 0);
	assert_int_equal(v->lapic.nmis_sent + v->lapic.nmis, 0);
	assert_int_equal(v->lapic.timer_raw, UINT64_MAX);
	assert_true(lapic_rdmsr(v, MSR_APIC_BASE, &value) && value == (0xfed40000 | ON)); /* INIT leaves it */
}

static void nmis_are_counted(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		kicked = 0;
		lapic_write(&vcpus[0], APIC_ICR, OTHERS | ICR_NMI << 8 | 2);
		assert_int_equal(kicked, EVERY & ~1u);
		for (unsigned j = 0; j < VCPUS; j++)
			assert_int_equal(vcpus[j].lapic.nmis_sent, j ? i : 0);
	}
	assert_int_equal(takers(2), 0);
}

static void lint0(void **state)
{
	struct vcpu *v = &vcpus[0];

	(void)state;
	lapic_lint0(true); /* masked */
	lapic_lint0(false);
	assert_int_equal(takers(0x44), 0);
	lapic_write(v, APIC_LVT_LINT0, 0x44);
	lapic_lint0(false);
	assert_int_equal(takers(0x44), 0);
	kicked = 0;
	lapic_lint0(true);
	assert_int_equal(kicked, 1);
	assert_int_equal(takers(0x44), 1);
	lapic_lint0(true); /* an edge only */
	assert_int_equal(takers(0x44), 0);
	lapic_lint0(false);
	lapic_lint0(true);
	assert_int_equal(takers(0x44), 1);
	for (unsigned mode = 1; mode < 8; mode++) {
		lapic_write(v, APIC_LVT_LINT0, mode << 8 | 0x44);
		lapic_lint0(false);
		lapic_lint0(true);
		assert_int_equal(takers(0x44), 0);
	}
	lapic_lint0(false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(destinations_xapic), TEST(destinations_x2apic), TEST(lowest_priority), TEST(vectors_below_16_are_none),
		TEST(priorities), TEST(task_priority), TEST(disabled_by_svr), TEST(registers_keep_their_bits),
		TEST(timer_one_shot), TEST(timer_divides), TEST(timer_periodic), TEST(timer_periodic_short), TEST(timer_deadline), TEST(timer_deadline_far),
		TEST(timer_follows_tempo), TEST(timer_follows_core), TEST(timer_goes_to_another_raw_tsc), TEST(timer_outlives_its_core),
		TEST(timer_moves_with_tsc_writes),
		TEST(base_transitions), TEST(its_place), TEST(off), TEST(x2apic_registers),
		TEST(init_and_sipi), TEST(reset_is_power_up), TEST(nmis_are_counted), TEST(lint0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
