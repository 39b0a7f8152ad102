// SPDX-License-Identifier: MIT
/*
 * The test guest: every vCPU reads its own clock page as fast as it can, and
 * compares each reading with the highest that any vCPU has seen. It runs as
 * Howler's guest, and without Howler for a fixed number of readings: under a
 * KVM, or where there is no KVM clock either, of the TSC itself.
 */
#include "test/guest/guest.h"
#include "test/guest/machine.h"

#define BATCH_READINGS  1000u
#define PROOF_BATCHES   4u    /* a TSC proof every so many batches */
#define ALONE_BATCHES   50u   /* without Howler nobody says when to stop */
#define ADJUST_STEP     (1ull << 42) /* of TSC_ADJUST: hours */
#define CPUID_TRIES     100u
#define BOUND_NS_MAX    10000000u /* 10 ms */
#define REPORT_WAIT_NS  2000000000u
#define ALONE_WAIT_NS   20000000000u /* an emulator has less time for each vCPU */
#define REPORT_WAIT_MAX (1u << 27) /* looks, should the clock stand still */
#define PAGE_GAP        36u   /* bytes from one vCPU's clock page to the next */
#define PAGE_FIRST      (4096u - PAGE_GAP - 16u)
#define PORT_FW_CFG     0x510u /* which item; its bytes are at the next port */
#define FW_CFG_VCPUS    5u
#define ICR_OTHERS      0x000c4000u /* all but this one, assert (SDM vol. 3, 11.6.1) */
#define ICR_INIT        0x500u
#define ICR_SIPI        0x600u      /* vector 0: page 0 */
#define ICR_PENDING     (1u << 12)
#define PORT_PIC1_MASK  0x21u
#define PORT_PIC2_MASK  0xa1u
#define MULTIBOOT_LOADED      0x2badb002u
#define MULTIBOOT_HAS_CMDLINE (1u << 2)

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
};

_Noreturn void guest_enter(unsigned index, uint32_t magic, const struct multiboot_info *info);

_Alignas(16) unsigned char guest_stacks[GUEST_VCPUS_MAX][GUEST_STACK_SIZE];
extern const uint32_t guest_stack_size;
const uint32_t guest_stack_size = GUEST_STACK_SIZE;

/* Shared words, each alone on its cache line. */
static struct {
	_Alignas(64) _Atomic uint64_t last_ns; /* highest reading of all */
	_Alignas(64) atomic_bool stop;         /* vCPU 0: the experiment is over */
	_Alignas(64) atomic_uint enough;       /* vCPUs that have read enough, without Howler */
} shared;

/* Written by vCPU 0 before it starts another. */
static bool guest_howler, guest_clock, guest_stable;
static bool guest_spin, guest_apic, guest_irq, guest_bench, guest_one_core, guest_flood, guest_exits; /* words */
static bool guest_hostile;
extern uint32_t guest_vcpus;
uint32_t guest_vcpus = 1;
static struct vcpu vcpus[GUEST_VCPUS_MAX];

/*
 * The ABI promises 4-byte alignment and no more, so take the writer at its
 * word: many of these straddle a cache line, and vCPU 1's straddles a page; not
 * without Howler, as Linux's KVM leaves a clock page that straddles one alone.
 */
_Alignas(4096) static unsigned char guest_pages[4096 + GUEST_VCPUS_MAX * PAGE_GAP];

static struct pvclock_vcpu_time_info *vcpu_page(unsigned index)
{
	return (struct pvclock_vcpu_time_info *)(void *)
		&guest_pages[(guest_howler ? PAGE_FIRST : 4096) + index * PAGE_GAP];
}

static bool cpuid_signed(uint32_t leaf, const char *name)
{
	struct cpuid id = cpuid_read(leaf);
	const uint32_t word[3] = { id.ebx, id.ecx, id.edx };

	for (unsigned i = 0; i < 12; i++)
		if ((char)(word[i / 4] >> (i % 4 * 8)) != name[i])
			return false;
	return id.eax > leaf;
}

static bool clock_present(void)
{
	/* The MSRs at their first numbers, and at those of today. */
	const uint32_t both = KVM_FEATURE_CLOCKSOURCE | KVM_FEATURE_CLOCKSOURCE2;

	return cpuid_signed(CPUID_KVM_SIGNATURE, "KVMKVMKVM\0\0") &&
	       (cpuid_read(CPUID_KVM_FEATURES).eax & both) == both;
}

/* The fastest exit there is: what one costs, without evictions in it. */
static uint64_t cpuid_ticks(void)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < CPUID_TRIES; i++) {
		uint64_t begin = tsc_read(), ticks;

		cpuid_read(CPUID_KVM_SIGNATURE);
		ticks = tsc_read() - begin;
		if (ticks < best)
			best = ticks;
	}
	return best;
}

/* False: its page moved. */
static bool batch_run(struct check *check, const struct pvclock_vcpu_time_info *page)
{
	struct guest_report *r = &check->report;
	uint32_t version = page_version(page);
	uint64_t begin = tsc_read(), ticks, first_ns, now_ns = 0;

	first_ns = check_clock(check, &shared.last_ns, page);
	for (unsigned i = 1; i < BATCH_READINGS; i++)
		now_ns = check_clock(check, &shared.last_ns, page);
	ticks = (tsc_read() - begin) / BATCH_READINGS;
	if (now_ns == first_ns)
		r->stalls++;
	/* A page that moved may mean another tempo or core: two counters. */
	bool same = version == page_version(page);
	if (same && (!r->ticks_per_reading || ticks < r->ticks_per_reading))
		r->ticks_per_reading = ticks;
	return same;
}

static void tsc_prove(struct guest_report *r)
{
	r->tsc_proofs++;
	if (guest_irq) /* whose handler exits */
		interrupts_off();
	if (hypercall_tsc(HC_TSC_PROOF))
		r->tsc_proof_failures++;
	if (guest_irq)
		interrupts_on();
}

/* Without Howler: when each has read so often, while all others read as well; or one of them does not come. */
static bool alone_stops(uint64_t batches, uint64_t ns)
{
	if (batches == ALONE_BATCHES)
		atomic_fetch_add_explicit(&shared.enough, 1, memory_order_relaxed);
	return atomic_load_explicit(&shared.enough, memory_order_relaxed) == guest_vcpus || ns > ALONE_WAIT_NS;
}

/* Is it time to stop? A vCPU that spins asks only vCPU 0, and without an exit. */
static bool vcpu_stops(unsigned index, uint64_t batches, uint64_t ns)
{
	if (!guest_howler)
		return alone_stops(batches, ns);
	if (guest_spin && index)
		return atomic_load_explicit(&shared.stop, memory_order_relaxed);
	return hypercall(HC_STATUS, 0, 0, 0) == 1 && (!guest_hostile || index || hostile_over());
}

static void vcpu_measure(unsigned index)
{
	struct vcpu *v = &vcpus[index];
	struct guest_report *r = &v->check.report;
	struct pvclock_vcpu_time_info *page = vcpu_page(index);
	uint64_t batches = 0, adjust = ADJUST_STEP * (index + 1), begin_ns;

	r->cpuid_ticks = cpuid_ticks();
	if (guest_clock)
		msr_write(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)page | 1);
	if (guest_howler) {
		v->fault = clocks_fault(index, page);
		if (!v->fault)
			v->fault = platform_fault(index, guest_vcpus, page);
		if (cpuid_read(CPUID_HOWLER_VCPU).ebx != index)
			v->fault = "has another index in CPUID";
		msr_write(MSR_TSC_ADJUST, adjust);
	}
	if (guest_irq)
		irq_begin(index, guest_vcpus, page, guest_one_core || guest_stable);
	begin_ns = page_read(page, &r->retries);
	if (guest_hostile && index == 0)
		hostile_go();
	do {
		if (!batch_run(&v->check, page) && guest_stable)
			v->fault = "has a page that moves, though its TSC is stable";
		batches++;
		if (guest_irq)
			irq_step();
		if (guest_flood && !index)
			serial_flood();
		while (guest_exits && index % 2) /* and has no time of its own */
			cpuid_read(0x40000000);
		if (!guest_howler || (guest_spin && index))
			continue;
		if (batches % PROOF_BATCHES == 0)
			tsc_prove(r);
		/*
		 * The counter leaps, the clock must not: every vCPU's readings show if it
		 * does. Not next to a proof, as the write ends this vCPU's turn.
		 */
		if (batches % PROOF_BATCHES == PROOF_BATCHES / 2)
			msr_write(MSR_TSC_ADJUST, adjust += ADJUST_STEP);
	} while (!vcpu_stops(index, batches, v->check.prev_ns - begin_ns));
	if (guest_irq && !v->fault)
		v->fault = irq_end(index);
	if (guest_howler && !v->fault && msr_read(MSR_TSC_ADJUST) != adjust)
		v->fault = "lost its TSC_ADJUST";
	if (guest_howler && !v->fault)
		v->fault = clocks_stable_fault(page);
	if (guest_howler && !v->fault)
		v->fault = platform_kept_fault(index);
	if (r->stalls == batches)
		v->fault = "has a clock that never moves";
}

static void vcpu_report(unsigned index)
{
	struct vcpu *v = &vcpus[index];

	if (guest_howler && hypercall(HC_REPORT, (uint32_t)(uintptr_t)&v->check.report, 0, 0))
		v->fault = "could not deliver its report";
	/* Pairs with the acquire in others_wait() and report_print(). */
	atomic_store_explicit(&v->done, true, memory_order_release);
}

static void others_send(uint32_t command)
{
	*apic_at(APIC_ICR) = ICR_OTHERS | command;
	while (*apic_at(APIC_ICR) & ICR_PENDING)
		cpu_relax();
}

/* INIT and one SIPI, one right after the other: a hypervisor has no wires to settle. */
static void others_start(void)
{
	copy_to_page_0(sipi_page, (uint64_t)(sipi_end - sipi_page));
	*apic_at(APIC_SVR) = 0x1ff;
	others_send(ICR_INIT);
	others_send(ICR_SIPI);
}

/* Returns when all have reported, or when it is clear that some won't. */
static void others_wait(void)
{
	uint64_t retries = 0, begin_ns = page_read(vcpu_page(0), &retries);
	unsigned i = 1;

	for (uint32_t looks = 0; i < guest_vcpus && looks < REPORT_WAIT_MAX; looks++) {
		if (atomic_load_explicit(&vcpus[i].done, memory_order_acquire)) {
			i++;
			continue;
		}
		if (page_read(vcpu_page(0), &retries) - begin_ns > (guest_howler ? REPORT_WAIT_NS : ALONE_WAIT_NS))
			return;
		cpu_relax();
	}
}

static const char *word_end(const char *text)
{
	while (*text && *text != ' ')
		text++;
	return text;
}

static bool word_is(const char *text, const char *word)
{
	while (*word && *text == *word)
		text++, word++;
	return !*word && (!*text || *text == ' ');
}

/* What follows the prefix, or NULL. */
static const char *word_after(const char *text, const char *prefix)
{
	while (*prefix && *text == *prefix)
		text++, prefix++;
	return *prefix ? NULL : text;
}

/* Words after the first, which names the file. An unknown one is no guess. */
static void cmdline_parse(const char *text)
{
	for (text = word_end(text); *text; text = word_end(text)) {
		while (*text == ' ')
			text++;
		if (word_is(text, "spin"))
			guest_spin = true;
		else if (word_is(text, "apic"))
			guest_apic = true;
		else if (word_is(text, "irq"))
			guest_irq = true;
		else if (word_is(text, "bench"))
			guest_bench = true;
		else if (word_is(text, "one-core"))
			guest_one_core = true;
		else if (word_is(text, "flood"))
			guest_flood = true;
		else if (word_is(text, "exits"))
			guest_exits = true;
		else if (word_is(text, "hostile") || (word_after(text, "hostile=") && hostile_only(word_after(text, "hostile="))))
			guest_hostile = true;
		else if (word_after(text, "seed="))
			hostile_seed(word_after(text, "seed="));
		else if (*text)
			guest_refuse(GUEST_FAIL, "known words: spin, apic, irq, bench, one-core, flood, exits, hostile, hostile=ATTACK, seed=N; unknown: ", text);
	}
}

/* By fw_cfg, as on QEMU; where it has none, a port reads as ones. */
static uint32_t vcpus_count(void)
{
	port_out16(PORT_FW_CFG, FW_CFG_VCPUS);
	uint32_t count = port_in16_bytes(PORT_FW_CFG + 1), howlers = guest_howler ? cpuid_read(CPUID_HOWLER_VCPU).eax : 1;

	if (count == 0 || count == 0xffff)
		return howlers;
	if (guest_howler && count != howlers)
		guest_refuse(GUEST_FAIL, "another number of vCPUs by fw_cfg than in CPUID", "");
	return count;
}

static void guest_begin(uint32_t magic, const struct multiboot_info *info)
{
	/* No interrupt is of use here, and a firmware may have left a timer on. */
	port_out8(PORT_PIC1_MASK, 0xff);
	port_out8(PORT_PIC2_MASK, 0xff);
	if (magic != MULTIBOOT_LOADED)
		guest_refuse(GUEST_FAIL, "not loaded by multiboot", "");
	if (info->flags & MULTIBOOT_HAS_CMDLINE)
		cmdline_parse((const char *)(uintptr_t)info->cmdline);
	guest_howler = cpuid_signed(CPUID_HOWLER_SIGNATURE, "HowlerHowler");
	guest_clock = clock_present();
	if (guest_howler && !guest_clock)
		guest_refuse(GUEST_FAIL, "no KVM clock", "");
	/* No clock: pages that say that a ns is a tick of the TSC. */
	for (unsigned i = 0; !guest_clock && i < GUEST_VCPUS_MAX; i++)
		*vcpu_page(i) = (struct pvclock_vcpu_time_info){ .tsc_to_system_mul = 1u << 31, .tsc_shift = 1 };
	guest_stable = guest_howler && clocks_stable();
	guest_vcpus = vcpus_count();
	if (guest_vcpus < 1 || guest_vcpus > GUEST_VCPUS_MAX)
		guest_refuse(GUEST_FAIL, "not 1 to 64 vCPUs", "");
	if (guest_bench && (!guest_clock || guest_vcpus != 2))
		guest_refuse(GUEST_FAIL, "bench: wants a KVM clock, and two vCPUs: one kicks the other", "");
	if (guest_hostile && !guest_howler)
		guest_refuse(GUEST_FAIL, "hostile: wants Howler", "");
	if (guest_hostile)
		hostile_begin(guest_vcpus, (info->mem_upper + 1024ull) * 1024);
	put_num(guest_vcpus);
	put_text(guest_clock ? " vCPUs, KVM clock at MSR " : " vCPUs, no KVM clock: its readings are of the TSC, a ns is a tick");
	if (guest_clock) {
		put_hex(MSR_KVM_SYSTEM_TIME_NEW);
		put_text(", wall clock ");
		put_num(clocks_wall_s());
		put_text(" s");
	}
	put_text(guest_stable ? ", TSC stable" : "");
	put_text(guest_spin ? ", spin" : "");
	put_text(guest_howler ? "\n" : ", no Howler\n");
}

/* What the guest can tell of its clock without any other: between what and what the time is. */
static void bounds_print(void)
{
	uint64_t retries = 0, skew_ns, drift_ns;

	if (!clocks_bounds(page_read(vcpu_page(0), &retries), &skew_ns, &drift_ns))
		return;
	put_text("any other vCPU reads within ");
	put_num(skew_ns);
	put_text(" ns of this one, the true time is within ");
	put_num(drift_ns);
	put_text(" ns\n");
	if (skew_ns > BOUND_NS_MAX && !vcpus[0].fault)
		vcpus[0].fault = "has a bound on the skew that says nothing";
}

_Noreturn void guest_enter(unsigned index, uint32_t magic, const struct multiboot_info *info)
{
	if (index == 0)
		trap_init();
	trap_load();
	if (index == 0)
		guest_begin(magic, info);
	if (index == 0)
		others_start();
	if (guest_apic && guest_clock)
		msr_write(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)vcpu_page(index) | 1);
	if (guest_apic)
		index ? apic_help(index, vcpu_page(index)) :
			apic_test(guest_vcpus, guest_howler, guest_one_core || guest_stable || !guest_howler, vcpu_page(0));
	if (guest_bench)
		bench_run(index, vcpu_page(index));
	if (guest_hostile)
		hostile_run(index);
	/* Odd ones stay deaf for ever: a hypervisor must get its core back anyway. */
	if (index % 2 == 0)
		interrupts_on();
	vcpu_measure(index);
	if (index == 0)
		atomic_store_explicit(&shared.stop, true, memory_order_relaxed);
	vcpu_report(index);
	if (index)
		cpu_halt();
	others_wait();
	bounds_print();
	if (guest_irq)
		irq_print();
	if (guest_hostile && !hostile_print() && !vcpus[0].fault)
		vcpus[0].fault = "knows of attacks that did not end as expected";
	guest_exit(report_print(vcpus, guest_vcpus));
}
