// SPDX-License-Identifier: MIT
/*
 * The word bench: what each kind of exit costs, in ticks of the guest's TSC, one
 * line a row. On one of the two cores the conductor sits, who has a look at all that goes
 * by way of the core's loop; a guest can't see on which. So each row is measured by both
 * vCPUs in turn, and has two figures, the smaller one first.
 *
 * A figure is the median of batches, less the median of the same batches without
 * the instruction. Why batches: in Bochs, cores take turns of 5 instructions, so
 * the difference of two readings of the TSC is a multiple of that.
 */
#include "test/guest/guest.h"
#include "test/guest/machine.h"

#define SAMPLES   1000u
#define BATCH     5u
#define TICKS_MAX 32768u /* of a batch; what takes longer lies beyond the median */
#define OUT_MIN   200u   /* a longer gap between two readings: it was out */
#define NOBODY    0x7eu  /* no vCPU has this APIC id */
#define ICR_SIPI  0x600u
#define CPUID1_ECX_X2APIC (1u << 21)

static uint64_t system_time; /* what the vCPU whose turn it is writes to that MSR */
static const struct pvclock_vcpu_time_info *clock;

static struct {
	_Alignas(64) atomic_uint turn;  /* the vCPU that measures; 2: over */
	_Alignas(64) atomic_bool ready; /* it waits for a kick */
} shared;

/* NAME: 5 times `set`, then the instruction; NAME_less: without it. APIC at RSI, system_time in RDI. */
#define TIMED(name, code) \
	static uint64_t name(void) \
	{ \
		uint64_t begin = tsc_read(); \
		__asm__ volatile(".rept 5\n" code "\n.endr" : : "S"((uint64_t)APIC_PAGE), "D"(system_time) \
				 : "rax", "rbx", "rcx", "rdx", "cc", "memory"); \
		return tsc_read() - begin; \
	}
#define ROW(name, set, code) TIMED(name, set "\n" code) TIMED(name##_less, set)
_Static_assert(BATCH == 5, "as in TIMED");

ROW(cpuid_kvm, "movl $0x40000000, %%eax", "cpuid")
ROW(cpuid_0, "xorl %%eax, %%eax", "cpuid")
ROW(cpuid_1, "movl $1, %%eax", "cpuid")
ROW(vmcall, "movl $99, %%eax", "vmcall") /* no such number */
ROW(rdmsr_8b, "movl $0x8b, %%ecx", "rdmsr")
ROW(rdmsr_1b, "movl $0x1b, %%ecx", "rdmsr")
ROW(rdmsr_6e0, "movl $0x6e0, %%ecx", "rdmsr")
ROW(wrmsr_8b, "movl $0x8b, %%ecx; xorl %%eax, %%eax; xorl %%edx, %%edx", "wrmsr")
ROW(out_absent, "movl $0x2f8, %%edx; xorl %%eax, %%eax", "outb %%al, %%dx")
ROW(in_absent, "movl $0x2f8, %%edx", "inb %%dx, %%al")
ROW(tpr, "xorl %%eax, %%eax", "movl %%eax, 0x80(%%rsi)")
ROW(eoi, "xorl %%eax, %%eax", "movl %%eax, 0xb0(%%rsi)")
ROW(icr, "movl $0x45, %%eax", "movl %%eax, 0x300(%%rsi)")
ROW(x2_eoi, "movl $0x80b, %%ecx; xorl %%eax, %%eax; xorl %%edx, %%edx", "wrmsr")
ROW(x2_icr, "movl $0x830, %%ecx; movl $0x45, %%eax; movl $0x7e, %%edx", "wrmsr")
ROW(clock_msr, "movl $0x4b564d01, %%ecx; movl %%edi, %%eax; xorl %%edx, %%edx", "wrmsr")
ROW(adjust, "movl $0x3b, %%ecx; xorl %%eax, %%eax; xorl %%edx, %%edx", "wrmsr")

/* By the shortest reader that keeps to the rule of pvclock.h. */
static uint64_t reading(void)
{
	uint64_t begin = tsc_read();

	for (unsigned i = 0; i < BATCH; i++) {
		uint32_t version;
		uint64_t ns;

		do {
			version = page_version(clock);
			ns = page_ns(clock, page_tsc());
			atomic_thread_fence(memory_order_acquire); /* the version again, after all else */
		} while (version & 1 || page_version(clock) != version);
		__asm__ volatile("" : : "r"(ns));
	}
	return tsc_read() - begin;
}

static uint64_t reading_less(void)
{
	uint64_t begin = tsc_read();

	for (unsigned i = 0; i < BATCH; i++)
		__asm__ volatile("" : : "r"(i));
	return tsc_read() - begin;
}

/* How long a vCPU is out of the guest because another sent it a SIPI, which is nothing to a vCPU that runs. */
static uint64_t kicked(void)
{
	uint64_t first = tsc_read(), last = first, now, turns = 0;

	atomic_store_explicit(&shared.ready, true, memory_order_release);
	for (; (now = tsc_read()) - last < OUT_MIN; last = now)
		turns++;
	return (now - last) - (turns ? (last - first) / turns : 0);
}

static const struct row {
	const char *name;
	uint64_t (*with)(void), (*less)(void);
} rows[] = {
	{ "cpuid-0x40000000", cpuid_kvm, cpuid_kvm_less }, { "cpuid-0", cpuid_0, cpuid_0_less },
	{ "cpuid-1", cpuid_1, cpuid_1_less },              { "vmcall", vmcall, vmcall_less },
	{ "rdmsr-0x8b", rdmsr_8b, rdmsr_8b_less },         { "rdmsr-0x1b", rdmsr_1b, rdmsr_1b_less },
	{ "rdmsr-0x6e0", rdmsr_6e0, rdmsr_6e0_less },      { "wrmsr-0x8b", wrmsr_8b, wrmsr_8b_less },
	{ "out-absent", out_absent, out_absent_less },     { "in-absent", in_absent, in_absent_less },
	{ "tpr", tpr, tpr_less },                          { "eoi", eoi, eoi_less },
	{ "icr", icr, icr_less },                          { "system-time", clock_msr, clock_msr_less },
	{ "tsc-adjust", adjust, adjust_less },             { "clock-page", reading, reading_less },
	{ "kick", kicked, 0 },
	/* as MSRs */
	{ "x2apic-eoi", x2_eoi, x2_eoi_less },             { "x2apic-icr", x2_icr, x2_icr_less },
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]), ROWS_X2 = 2 };

static unsigned rows_here(void)
{
	return cpuid_read(1).ecx & CPUID1_ECX_X2APIC ? ROWS : ROWS - ROWS_X2;
}

static uint32_t figures[2][ROWS]; /* of vCPUs 0 and 1; each its own while it is its turn */

static uint32_t median(uint64_t (*sample)(void))
{
	static uint16_t seen[TICKS_MAX]; /* samples of so many ticks */
	uint32_t ticks = 0, count = 0;

	for (unsigned i = 0; i < TICKS_MAX; i++)
		seen[i] = 0;
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t took = sample();

		seen[took < TICKS_MAX ? took : TICKS_MAX - 1]++;
	}
	while ((count += seen[ticks]) <= SAMPLES / 2)
		ticks++;
	return ticks;
}

static void measure(unsigned me, const struct pvclock_vcpu_time_info *page)
{
	const uint64_t base = msr_read(MSR_APIC_BASE);

	clock = page;
	system_time = (uintptr_t)page | 1;
	msr_write(MSR_KVM_SYSTEM_TIME_NEW, system_time);
	*apic_at(APIC_ICR_HIGH) = NOBODY << 24;
	for (unsigned i = 0; i < rows_here(); i++) {
		if (i == ROWS - ROWS_X2)
			msr_write(MSR_APIC_BASE, base | APIC_BASE_X2);
		uint32_t with = median(rows[i].with);

		figures[me][i] = rows[i].less ? (with - median(rows[i].less) + BATCH / 2) / BATCH : with;
	}
	/* The way back is by off. */
	msr_write(MSR_APIC_BASE, base & ~(uint64_t)APIC_BASE_ON);
	msr_write(MSR_APIC_BASE, base);
}

/* Another one measures: kick it when it waits for that. */
static void help(unsigned other)
{
	while (atomic_load_explicit(&shared.turn, memory_order_acquire) == other) {
		cpu_relax();
		if (!atomic_load_explicit(&shared.ready, memory_order_acquire))
			continue;
		atomic_store_explicit(&shared.ready, false, memory_order_relaxed);
		*apic_at(APIC_ICR_HIGH) = other << 24;
		*apic_at(APIC_ICR) = ICR_SIPI;
	}
}

void bench_run(unsigned me, const struct pvclock_vcpu_time_info *page)
{
	interrupts_off();
	for (unsigned turn = 0; turn < 2; turn++) {
		if (turn != me) {
			help(turn);
			continue;
		}
		measure(me, page);
		atomic_store_explicit(&shared.turn, turn + 1, memory_order_release);
	}
	for (unsigned i = 0; i < rows_here() && !me; i++) {
		uint32_t a = figures[0][i], b = figures[1][i];

		put_text("bench: ");
		put_text(rows[i].name);
		put_text(" ");
		put_num(a < b ? a : b);
		put_text(" ");
		put_num(a < b ? b : a);
		put_text("\n");
	}
}
