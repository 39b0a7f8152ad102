// SPDX-License-Identifier: MIT
/* Attacks by interrupts and timers: storms on the victim, counters and deadlines at the ends of their ranges. */
#include "test/guest/hostile.h"
#include "test/guest/guest.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NMI      2u
#define TIMER    0x62u
#define ICR_SELF (1u << 18)
#define ICR_LEVEL (1u << 14)
#define ICR_NMI  (4u << 8)
#define ICR_INIT (5u << 8)
#define ICR_SIPI (6u << 8)
#define NOBODY   0x7eu
#define CPUID1_ECX_X2APIC (1u << 21)
#define LOOKS    (1u << 20)
#define LEAP_NS  1000000000u
#define SIGN     (1ull << 63)

/* The victim's, which an INIT stops anywhere. */
static struct {
	_Atomic uint32_t starts, beats, ends;
} victim;

static _Alignas(4096) uint8_t pages[HOSTILES_MAX][64]; /* clock pages of those that attack */

void hostile_victim(struct hostile *me)
{
	atomic_store_explicit(&me->events, 0, memory_order_relaxed);
	atomic_fetch_add_explicit(&victim.starts, 1, memory_order_release);
	interrupts_on();
	for (uint32_t i = 0; !atomic_load_explicit(&victim.ends, memory_order_acquire); i++) {
		atomic_fetch_add_explicit(&victim.beats, 1, memory_order_release);
		if (i % 4 == 0)
			cpuid_read(0x40000000);
		if (i % 8 == 1)
			(void)*apic_at(APIC_ID);
		cpu_relax();
	}
	interrupts_off();
}

void hostile_victim_ends(void)
{
	atomic_store_explicit(&victim.ends, 1, memory_order_release);
}

static bool grows(const _Atomic uint32_t *word, uint32_t than)
{
	for (uint32_t looks = 0; looks < LOOKS; looks++) {
		if (atomic_load_explicit(word, memory_order_acquire) > than)
			return true;
		cpu_relax();
	}
	return false;
}

static bool lives(void)
{
	return hostile_vcpus < 3 || grows(&victim.beats, atomic_load_explicit(&victim.beats, memory_order_acquire));
}

static unsigned victim_index(void)
{
	return hostile_vcpus - 1;
}

/* All of it once by page and once by MSR, where there are any. */
static enum end in_both(struct hostile *me, enum end (*attack)(struct hostile *me))
{
	uint64_t base = msr_read(MSR_APIC_BASE);
	enum end came = attack(me);

	if (came != END_RIGHT || !(cpuid_read(1).ecx & CPUID1_ECX_X2APIC))
		return came;
	msr_write(MSR_APIC_BASE, base | APIC_BASE_X2);
	irq_on(me->index);
	came = attack(me);
	msr_write(MSR_APIC_BASE, base & ~(uint64_t)APIC_BASE_ON);
	msr_write(MSR_APIC_BASE, base);
	irq_on(me->index);
	return came;
}

/* --- the victim */

static enum end nmis(struct hostile *me)
{
	if (hostile_vcpus < 3)
		return END_RIGHT;
	for (unsigned i = 0; i < 400; i++) {
		apic_send(ICR_NMI, victim_index());
		if (!(hostile_random(me) & 7) && !lives())
			return hostile_wrong(me, "NMIs stop their vCPU", i, 0, 0);
	}
	return lives() ? END_RIGHT : hostile_wrong(me, "NMIs stop their vCPU", 400, 0, 0);
}

enum end attack_nmis(struct hostile *me)
{
	return in_both(me, nmis);
}

/* Any ICR but INIT and SIPI, to the victim, to nobody, and to itself where it is a vector. */
static enum end ipis(struct hostile *me)
{
	for (unsigned i = 0; i < 1000; i++) {
		uint32_t icr = (uint32_t)hostile_random(me), mode = icr >> 8 & 7;
		uint32_t to = hostile_vcpus > 2 && i & 3 ? victim_index() : NOBODY;

		icr &= ~(uint32_t)(3u << 18 | 1u << 11); /* physical, by destination */
		if (mode == 5 || mode == 6 || (mode == 4 && to != NOBODY))
			icr &= ~0x700u;
		if (i % 16 == 0)
			icr = ICR_SELF | (icr & 0xff);
		if ((icr & 0xf0) == 0x10) /* taken for an exception, without its error code */
			icr |= 0x20;
		apic_send(icr, to);
	}
	uint32_t before = atomic_load_explicit(&me->events, memory_order_acquire);
	apic_send(ICR_SELF | 0xfe, 0);
	interrupts_on();
	bool came = grows(&me->events, before);
	for (uint32_t i = 0; i < 8; i++) /* those that it has sent itself */
		while (apic_read(APIC_IRR + i * 16) & (i ? UINT32_MAX : 0xffff0000))
			cpu_relax();
	interrupts_off();
	return came && lives() ? END_RIGHT :
	       hostile_wrong(me, "after random ICRs no interrupt comes, or the victim stands", came, 0, 0);
}

enum end attack_ipis(struct hostile *me)
{
	return in_both(me, ipis);
}

static enum end inits(struct hostile *me)
{
	if (hostile_vcpus < 3)
		return END_RIGHT;
	for (unsigned i = 0; i < 60; i++) {
		uint32_t before = atomic_load_explicit(&victim.starts, memory_order_acquire), how = (uint32_t)hostile_random(me);

		for (unsigned k = how & 3; k > 0; k--)
			apic_send(ICR_INIT | ICR_LEVEL, victim_index());
		if (how & 4)
			apic_send(0x40 + (how >> 8 & 0x7f), victim_index());
		apic_send(ICR_INIT | (how & 8 ? ICR_LEVEL | 1u << 15 : 0), victim_index());
		for (unsigned k = (how >> 4 & 3) + 1; k > 0; k--)
			apic_send(ICR_SIPI, victim_index());
		if (!grows(&victim.starts, before))
			return hostile_wrong(me, "INIT and SIPI do not start the victim", i, how, 0);
		for (unsigned k = how >> 16 & 0xfff; k > 0; k--)
			cpu_relax();
	}
	return lives() ? END_RIGHT : hostile_wrong(me, "INITs stop their vCPU", 0, 0, 0);
}

enum end attack_inits(struct hostile *me)
{
	return in_both(me, inits);
}

/* --- x2APIC */

/* Which are there, to be read and written (SDM vol. 3, table 11-6). */
#define X2_BOTH  (1ull << 0x08 | 1ull << 0x0f | 1ull << 0x28 | 1ull << 0x30 | 0x3full << 0x32 | 1ull << 0x38 | 1ull << 0x3e)
#define X2_READ  (X2_BOTH | 1ull << 0x02 | 1ull << 0x03 | 1ull << 0x0a | 1ull << 0x0d | 0xffffffull << 0x10 | 1ull << 0x39)
#define X2_WRITE (X2_BOTH | 1ull << 0x0b | 1ull << 0x3f)

static enum end x2_msrs(struct hostile *me, bool on)
{
	for (uint32_t i = 0; i < 0x100; i++) {
		bool reads = on && i < 0x40 && X2_READ >> i & 1, writes = on && i < 0x40 && X2_WRITE >> i & 1;

		if (hostile_rdmsr(me, MSR_X2APIC + i) != (reads ? END_RIGHT : END_GP))
			return hostile_wrong(me, "RDMSR of an x2APIC register", MSR_X2APIC + i, me->vector, on);
		/* Bit 32, reserved in all but ICR: so none of them takes it. */
		if (!(writes && i == APIC_ICR / 16) && hostile_wrmsr(me, MSR_X2APIC + i, 1ull << 32) != END_GP)
			return hostile_wrong(me, "WRMSR of an x2APIC register", MSR_X2APIC + i, me->vector, on);
	}
	return END_RIGHT;
}

enum end attack_x2apic(struct hostile *me)
{
	uint64_t base = msr_read(MSR_APIC_BASE);
	enum end came = x2_msrs(me, false);

	if (came != END_RIGHT || !(cpuid_read(1).ecx & CPUID1_ECX_X2APIC))
		return came;
	msr_write(MSR_APIC_BASE, base | APIC_BASE_X2);
	came = x2_msrs(me, true);
	for (unsigned i = 0; i < 8 && came == END_RIGHT; i++) { /* its page is nowhere */
		uint32_t value = 0;

		__asm__ volatile(ATTACK("xchgl %0, (%1)") : "+a"(value) : "r"(apic_at(i * 0x10)) : "r11", "memory");
		if (me->vector != END_RIGHT || value != UINT32_MAX || *apic_at(i * 0x10) != UINT32_MAX)
			came = hostile_wrong(me, "an x2APIC has a page", i * 0x10, me->vector, value);
	}
	msr_write(MSR_APIC_BASE, base & ~(uint64_t)APIC_BASE_ON);
	msr_write(MSR_APIC_BASE, base);
	irq_on(me->index);
	return came;
}

/* --- counters */

static const uint64_t extremes[] = {
	0, 1, ~0ull, ~1ull, SIGN, SIGN - 1, SIGN + 1, 1ull << 62, 1ull << 32, (1ull << 32) - 1, 3ull << 62,
	~0ull - 5000, SIGN - 5000,
};

/* Whatever is written to the TSC: the clock goes on. */
enum end attack_tsc(struct hostile *me)
{
	struct pvclock_vcpu_time_info *page = (void *)pages[me->index];
	uint64_t now_ns, then_ns, retries = 0;

	msr_write(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)page | 1);
	then_ns = page_read(page, &retries);
	for (unsigned i = 0; i < 2 * COUNT(extremes) + 40; i++) {
		uint32_t msr = i & 1 ? MSR_TSC : MSR_TSC_ADJUST;
		uint64_t value = i / 2 < COUNT(extremes) ? extremes[i / 2] : hostile_random(me);

		msr_write(msr, value);
		now_ns = page_read(page, &retries);
		if (now_ns - then_ns >= LEAP_NS)
			return hostile_wrong(me, "a clock leaps or steps back: MSR, value", msr, value, now_ns - then_ns);
		then_ns = now_ns;
	}
	msr_write(MSR_TSC_ADJUST, 0);
	msr_write(MSR_KVM_SYSTEM_TIME_NEW, 0);
	return END_RIGHT;
}

static void timer_off(void)
{
	apic_write(APIC_TIMER, LVT_MASKED);
	apic_write(APIC_INITIAL, 0);
}

/* From each extreme of the TSC to each: one that is past comes at once, one that is far does not come. */
enum end attack_deadline(struct hostile *me)
{
	for (unsigned i = 0; i < COUNT(extremes); i++)
		for (unsigned k = 0; k < COUNT(extremes); k++) {
			uint32_t before = atomic_load_explicit(&me->events, memory_order_acquire);
			uint64_t from, until;

			msr_write(MSR_TSC, extremes[i]);
			apic_write(APIC_TIMER, TIMER | TIMER_DEADLINE);
			msr_write(MSR_TSC_DEADLINE, extremes[k]);
			from = tsc_read();
			interrupts_on();
			for (unsigned n = 0; n < 20; n++)
				cpu_relax();
			interrupts_off();
			until = tsc_read();
			bool past = extremes[k] && extremes[k] <= extremes[i] && until >= extremes[i];
			bool far = !extremes[k] || (extremes[k] > until && from <= until && until >= extremes[i]);
			uint32_t came = atomic_load_explicit(&me->events, memory_order_acquire) - before;

			timer_off();
			interrupts_on(); /* one that came since they were switched off is none of the next deadline's */
			cpu_relax();
			interrupts_off();
			if ((past && came != 1) || (far && came) || came > 1)
				return hostile_wrong(me, "a deadline: the TSC, it, interrupts", extremes[i], extremes[k], came);
		}
	msr_write(MSR_TSC_ADJUST, 0);
	return END_RIGHT;
}

/* Counts of 0 and 1, the fastest of periods, and its handler that stops it; the slowest, and modes that are none. */
enum end attack_counts(struct hostile *me)
{
	static const struct { uint32_t mode, divide, initial, budget; } counts[] = {
		{ 0, 0xb, 1, 1 }, { 0, 0xa, 1, 1 }, { TIMER_PERIODIC, 0xb, 1, 200 }, { TIMER_PERIODIC, 0, 1, 200 },
		{ TIMER_PERIODIC, 0xb, 100, 50 }, { TIMER_PERIODIC, 0xb, 0, 0 }, { 0, 0xb, 0, 0 }, { 0, 0xa, UINT32_MAX, 0 },
		{ TIMER_PERIODIC, 0xa, UINT32_MAX, 0 }, { 3u << 17, 0xb, UINT32_MAX, 0 },
	};

	for (unsigned i = 0; i < COUNT(counts); i++) {
		uint32_t before = atomic_load_explicit(&me->events, memory_order_acquire);

		me->budget = counts[i].budget;
		apic_write(APIC_DIVIDE, counts[i].divide);
		apic_write(APIC_TIMER, TIMER | counts[i].mode);
		apic_write(APIC_INITIAL, counts[i].initial);
		interrupts_on();
		bool all = !counts[i].budget || grows(&me->events, before + counts[i].budget - 1);
		for (unsigned n = 0; n < 100; n++)
			cpu_relax();
		interrupts_off();
		timer_off();
		uint32_t came = atomic_load_explicit(&me->events, memory_order_acquire) - before;

		me->budget = 0;
		if (!all || came > counts[i].budget + 1)
			return hostile_wrong(me, "a timer: its number, interrupts, how many", i, came, counts[i].budget);
	}
	return END_RIGHT;
}
