/* SPDX-License-Identifier: MIT */
/*
 * VM exits. Handlers return a verdict; only the dispatcher moves RIP. What
 * Howler can't do is the guest's fault: that vCPU is parked with a dump, and
 * everything else goes on.
 */
#include "clock/page.h"
#include "clock/port.h"
#include "hv/hv.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/x86.h"

enum verdict {
	RESUME, /* on with the guest, at the same instruction */
	NEXT,   /* ... after the instruction */
	YIELD,  /* after the instruction, by way of the core's loop */
	LEAVE,  /* to the core's loop, at the same instruction */
};

#define RFLAGS_IF (1ull << 9)
#define INTERRUPTION_NMI 0x80000202u
#define INJECT_GP 0x80000b0du /* valid, hardware exception, error code, vector 13 */
#define INJECT_UD 0x80000306u

static void inject(uint32_t info)
{
	vmcs_write(ENTRY_INTERRUPTION_INFO, info);
	vmcs_write(ENTRY_EXCEPTION_ERROR, 0);
}

static enum verdict fault_gp(void)
{
	inject(INJECT_GP);
	return RESUME;
}

void vcpu_park(struct vcpu *v, const char *why)
{
	print("howler: vCPU %u parked: %s; exit reason %lu, qualification %lx, guest-physical %lx\n", v->index,
	      why, vmcs_read(EXIT_REASON), vmcs_read(EXIT_QUALIFICATION), vmcs_read(GUEST_PHYSICAL_ADDRESS));
	vmcs_dump(v);
	atomic_store_explicit(&v->state, VCPU_PARKED, memory_order_release);
}

static enum verdict park(struct vcpu *v, const char *why)
{
	vcpu_park(v, why);
	return LEAVE;
}

static void set_cpuid(struct vcpu *v, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	v->regs[RAX] = eax;
	v->regs[RBX] = ebx;
	v->regs[RCX] = ecx;
	v->regs[RDX] = edx;
}

static void set_signature(struct vcpu *v, uint32_t last, const char text[12])
{
	uint32_t part[3];

	__builtin_memcpy(part, text, sizeof(part));
	set_cpuid(v, last, part[0], part[1], part[2]);
}

/* Bits of the processor that this guest does not get. */
#define CPUID1_ECX_HIDDEN (1u << 3 | 1u << 5 | 1u << 6 | 1u << 21 | 1u << 24 | 7u << 26)
	/* MONITOR, VMX, SMX, x2APIC, TSC deadline, XSAVE, OSXSAVE, AVX */
#define CPUID1_ECX_HYPERVISOR (1u << 31)
#define CPUID1_EDX_HIDDEN (1u << 7 | 1u << 9 | 1u << 12 | 1u << 14) /* MCE, APIC, MTRR, MCA */
#define CPUID7_EBX_SHOWN (1u << 0 | 1u << 7 | 1u << 9 | 1u << 20) /* FSGSBASE, SMEP, ERMS, SMAP */
#define CPUID7_EBX_TSC_ADJUST (1u << 1) /* Howler's own doing, whatever the processor has */
#define CPUID_INVARIANT_TSC (1u << 8) /* leaf 80000007H EDX: not while tempos change */

static enum verdict exit_cpuid(struct vcpu *v)
{
	uint32_t leaf = (uint32_t)v->regs[RAX], subleaf = (uint32_t)v->regs[RCX];

	switch (leaf) {
	case CPUID_KVM_SIGNATURE:
		set_signature(v, CPUID_KVM_FEATURES, "KVMKVMKVM\0\0\0");
		return NEXT;
	case CPUID_KVM_FEATURES:
		set_cpuid(v, KVM_FEATURE_CLOCKSOURCE | KVM_FEATURE_NOP_IO_DELAY | KVM_FEATURE_CLOCKSOURCE2, 0, 0, 0);
		return NEXT;
	case CPUID_HOWLER_SIGNATURE:
		set_signature(v, CPUID_HOWLER_BOUNDS, "HowlerHowler");
		return NEXT;
	case CPUID_HOWLER_VCPU:
		set_cpuid(v, guest.vcpu_count, v->index, 0, 0);
		return NEXT;
	case CPUID_HOWLER_BOUNDS:
		set_cpuid(v, the_clock.policy->bounds ? MSR_HOWLER_BOUNDS : 0, 0, 0, 0);
		return NEXT;
	case 5: case 6: case 0xa: case 0xb: case 0xd: case 0x14: case 0x15: case 0x16: case 0x1f:
		set_cpuid(v, 0, 0, 0, 0);
		return NEXT;
	}
	struct cpuid c = cpuid(leaf, subleaf);
	if (leaf == 1) {
		c.ebx = (c.ebx & 0x0000ffff) | v->index << 24 | guest.vcpu_count << 16;
		c.ecx = (c.ecx & ~CPUID1_ECX_HIDDEN) | CPUID1_ECX_HYPERVISOR;
		c.edx &= ~CPUID1_EDX_HIDDEN;
	} else if (leaf == 7) {
		c = (struct cpuid){ .ebx = subleaf ? 0 : (c.ebx & CPUID7_EBX_SHOWN) | CPUID7_EBX_TSC_ADJUST };
	} else if (leaf == 0x80000007) {
		c.edx &= ~CPUID_INVARIANT_TSC;
	} else if (leaf >= 0x40000000 && leaf < 0x50000000) {
		c = (struct cpuid){ 0 };
	}
	set_cpuid(v, c.eax, c.ebx, c.ecx, c.edx);
	return NEXT;
}

static uint64_t guest_tsc(const struct vcpu *v)
{
	return tempo_tsc(&this_core()->tempo, rdtsc_ordered()) + v->tsc_adjust;
}

static void set_edx_eax(struct vcpu *v, uint64_t value)
{
	v->regs[RAX] = (uint32_t)value;
	v->regs[RDX] = value >> 32;
}

static enum verdict exit_rdtsc(struct vcpu *v, bool p)
{
	set_edx_eax(v, guest_tsc(v));
	if (p)
		v->regs[RCX] = v->index; /* TSC_AUX, as Linux sets it */
	return NEXT;
}

static enum verdict hypercall_start(struct vcpu *v)
{
	uint32_t index = (uint32_t)v->regs[RBX], waiting = VCPU_WAITING;
	struct vcpu *other = &guest.vcpu[index];

	v->regs[RAX] = (uint32_t)HC_EINVAL;
	if (index >= guest.vcpu_count ||
	    !atomic_compare_exchange_strong_explicit(&other->state, &waiting, VCPU_STARTING, memory_order_acquire,
						     memory_order_relaxed))
		return NEXT;
	other->start_eip = (uint32_t)v->regs[RCX];
	other->start_ebx = (uint32_t)v->regs[RDX];
	atomic_store_explicit(&other->state, VCPU_STARTED, memory_order_release);
	/* Its place may change until then: then a stop makes every core look anyway. */
	core_request(other->core, REQ_WAKE);
	v->regs[RAX] = 0;
	return NEXT;
}

static enum verdict exit_hypercall(struct vcpu *v)
{
	uint32_t gpa = (uint32_t)v->regs[RBX];
	const void *report;

	switch ((uint32_t)v->regs[RAX]) {
	case HC_VCPU_START:
		return hypercall_start(v);
	case HC_STATUS:
		v->regs[RAX] = atomic_load_explicit(&guest.finish, memory_order_relaxed);
		return NEXT;
	case HC_REPORT:
		report = guest_at(gpa, sizeof(v->report));
		if (report) {
			memcpy(&v->report, report, sizeof(v->report));
			atomic_store_explicit(&v->reported, 1, memory_order_release);
		}
		v->regs[RAX] = report ? 0 : (uint32_t)HC_EINVAL;
		return NEXT;
	case HC_TSC_PROOF:
		v->regs[RAX] = !vcpu_tsc_proof(v, v->regs[RBX] << 32 | (uint32_t)v->regs[RCX]);
		return NEXT;
	}
	v->regs[RAX] = (uint64_t)HC_ENOSYS;
	return NEXT;
}

/* MOV to CR0 or CR4 that touches a bit of the host's; everything else does not exit. */
static enum verdict exit_cr(struct vcpu *v)
{
	uint64_t q = vmcs_read(EXIT_QUALIFICATION);
	unsigned cr = q & 15, access = q >> 4 & 3, reg = q >> 8 & 15;
	uint64_t value = reg == RSP ? vmcs_read(GUEST_RSP) : v->regs[reg];

	if (access != 0)
		return park(v, "CLTS or LMSW on a bit of the host's");
	if (cr == 0) {
		vmcs_write(CR0_SHADOW, value);
		vmcs_write(GUEST_CR0, (value | CR0_NE) & ~0x60000000ull);
		return NEXT;
	}
	if (cr == 4 && !(value & CR4_VMXE)) {
		vmcs_write(CR4_SHADOW, value);
		vmcs_write(GUEST_CR4, value | CR4_VMXE);
		return NEXT;
	}
	return fault_gp();
}

/* Ports: the serial line and the end; everything else answers as absent hardware does. */
static enum verdict exit_io(struct vcpu *v)
{
	uint64_t q = vmcs_read(EXIT_QUALIFICATION);
	uint16_t port = (uint16_t)(q >> 16);
	unsigned bytes = (q & 7) + 1;
	bool in = q & 8;

	if (q & 16)
		return park(v, "string I/O");
	if (in) {
		uint64_t mask = bytes == 4 ? UINT32_MAX : bytes == 2 ? UINT16_MAX : UINT8_MAX;
		uint64_t value = port == PORT_GUEST_SERIAL + 5 ? 0x60 : UINT32_MAX; /* THR empty, line idle */

		v->regs[RAX] = bytes == 4 ? value : (v->regs[RAX] & ~mask) | (value & mask);
		return NEXT;
	}
	if (port == PORT_GUEST_SERIAL)
		guest_serial((char)v->regs[RAX]);
	if (port == PORT_GUEST_EXIT) {
		atomic_store_explicit(&guest.code, (uint32_t)v->regs[RAX], memory_order_relaxed);
		atomic_store_explicit(&guest.ended, 1, memory_order_release);
	}
	return NEXT;
}

static enum verdict exit_rdmsr(struct vcpu *v)
{
	switch ((uint32_t)v->regs[RCX]) {
	case MSR_TSC:
		set_edx_eax(v, guest_tsc(v));
		return NEXT;
	case MSR_TSC_ADJUST:
		set_edx_eax(v, v->tsc_adjust);
		return NEXT;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		set_edx_eax(v, v->page_gpa);
		return NEXT;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		set_edx_eax(v, atomic_load_explicit(&guest.wall_gpa, memory_order_relaxed));
		return NEXT;
	}
	return fault_gp();
}

/*
 * A guest moves its vCPU's counter, never the hardware's. What a write adds to
 * one of IA32_TIME_STAMP_COUNTER and IA32_TSC_ADJUST it adds to the other (SDM
 * vol. 3, 17.17.3), so the latter is all there is to keep. The clock page is
 * in units of that counter: a stale one would step by as much.
 */
static enum verdict move_tsc(struct vcpu *v, uint64_t adjust)
{
	v->tsc_adjust = adjust;
	v->page_line = 0;
	return YIELD; /* VMCS and page follow at the next entry */
}

static enum verdict write_wall_clock(uint64_t gpa)
{
	void *wall = guest_at(gpa, sizeof(struct pvclock_wall_clock));

	if (gpa & 3 || !wall)
		return fault_gp();
	atomic_store_explicit(&guest.wall_gpa, gpa, memory_order_relaxed);
	if (gpa) /* 0: nowhere, as in KVM */
		page_publish_wall(wall, guest.wall_ns);
	return NEXT;
}

static enum verdict show_bounds(uint64_t value)
{
	_Static_assert(sizeof(struct bound_page) == sizeof(struct howler_bounds) &&
		       offsetof(struct bound_page, drift_ppb) == offsetof(struct howler_bounds, drift_ppb) &&
		       offsetof(struct bound_page, policy) == offsetof(struct howler_bounds, policy), "one page, two names");
	void *page = guest_at(value & ~63ull, sizeof(struct bound_page));

	if (!the_clock.policy->bounds || (value & 63) > 1 || (value & 1 && !page))
		return fault_gp();
	while (!bound_show(&the_clock, value & 1 ? page : 0))
		core_relax(); /* who is at the bounds waits for nobody */
	return NEXT;
}

static enum verdict exit_wrmsr(struct vcpu *v)
{
	uint64_t value = v->regs[RDX] << 32 | (uint32_t)v->regs[RAX];

	switch ((uint32_t)v->regs[RCX]) {
	case MSR_TSC:
		return move_tsc(v, v->tsc_adjust + value - guest_tsc(v));
	case MSR_TSC_ADJUST:
		return move_tsc(v, value);
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		if ((value & 3) > 1 || (value & 1 && !guest_at(value & ~3ull, 32)))
			return fault_gp();
		v->page_gpa = value & 1 ? value : 0;
		v->page_line = 0;
		return YIELD; /* published at the next entry */
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		return write_wall_clock(value);
	case MSR_HOWLER_BOUNDS:
		return show_bounds(value);
	}
	return fault_gp();
}

static enum verdict exit_hlt(struct vcpu *v)
{
	/* No interrupt reaches this guest yet: whoever halts does so for good. */
	atomic_store_explicit(&v->state, VCPU_HALTED, memory_order_release);
	return YIELD;
}

/* The kick. NMIs stay blocked until an IRET (SDM vol. 3, 28.4): INT 2 has one. */
static enum verdict exit_nmi(struct vcpu *v)
{
	if ((uint32_t)vmcs_read(EXIT_INTERRUPTION_INFO) != INTERRUPTION_NMI)
		return park(v, "an exception that is not intercepted");
	__asm__ volatile("int $2" : : : "memory");
	return RESUME;
}

static enum verdict dispatch(struct vcpu *v, uint32_t reason)
{
	switch (reason) {
	case EXIT_CPUID:
		return exit_cpuid(v);
	case EXIT_RDTSC:
	case EXIT_RDTSCP:
		return exit_rdtsc(v, reason == EXIT_RDTSCP);
	case EXIT_EXCEPTION_NMI:
		return exit_nmi(v);
	case EXIT_EXTERNAL_INTERRUPT:
		apic_eoi(); /* the APIC timer's, left from a doze; acknowledged by the exit */
		return RESUME;
	case EXIT_PREEMPTION_TIMER:
		return LEAVE;
	case EXIT_VMCALL:
		return exit_hypercall(v);
	case EXIT_HLT:
		return exit_hlt(v);
	case EXIT_CR_ACCESS:
		return exit_cr(v);
	case EXIT_IO:
		return exit_io(v);
	case EXIT_RDMSR:
		return exit_rdmsr(v);
	case EXIT_WRMSR:
		return exit_wrmsr(v);
	case EXIT_XSETBV:
		inject(INJECT_UD);
		return RESUME;
	case EXIT_TRIPLE_FAULT:
		return park(v, "triple fault");
	case EXIT_EPT_VIOLATION:
		return park(v, "touched memory that it does not have");
	}
	return park(v, reason & EXIT_ENTRY_FAILED ? "VM entry refused its state (SDM vol. 3, 27.3)" :
						     "an exit that Howler does not know");
}

bool vcpu_exit(struct vcpu *v)
{
	enum verdict verdict = dispatch(v, (uint32_t)vmcs_read(EXIT_REASON));

	v->exits++;
	if (verdict == NEXT || verdict == YIELD) {
		vmcs_write(GUEST_RIP, vmcs_read(GUEST_RIP) + vmcs_read(EXIT_INSTRUCTION_LENGTH));
		/* The instruction is over: so is what it was shadowed by (SDM vol. 3, 27.3.1.5). */
		if (vmcs_read(GUEST_INTERRUPTIBILITY) & 3)
			vmcs_write(GUEST_INTERRUPTIBILITY, 0);
	}
	return verdict == YIELD || verdict == LEAVE;
}
