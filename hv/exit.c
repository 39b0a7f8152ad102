/* SPDX-License-Identifier: MIT */
/*
 * VM exits. Handlers return a verdict; only the dispatcher moves RIP. What
 * Howler can't do is the guest's fault: that vCPU is parked with a dump, and
 * everything else goes on.
 */
#include "clock/port.h"
#include "hv/exit.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/x86.h"

#define INTERRUPTION_NMI 0x80000202u
void inject(uint32_t info)
{
	vmcs_write(ENTRY_INTERRUPTION_INFO, info);
	vmcs_write(ENTRY_EXCEPTION_ERROR, 0);
}

enum verdict fault_gp(void)
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

enum verdict park(struct vcpu *v, const char *why)
{
	vcpu_park(v, why);
	return LEAVE;
}

uint64_t guest_tsc(const struct vcpu *v)
{
	return tempo_piece_tsc(&v->now.tsc, rdtsc_ordered());
}

void set_edx_eax(struct vcpu *v, uint64_t value)
{
	v->regs[RAX] = (uint32_t)value;
	v->regs[RDX] = value >> 32;
}

static enum verdict exit_rdtsc(struct vcpu *v, bool p)
{
	set_edx_eax(v, guest_tsc(v));
	if (p)
		v->regs[RCX] = rdmsr(MSR_TSC_AUX); /* the guest's, while its vCPU is loaded */
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

	if (vmcs_read(GUEST_SS_ACCESS) >> 5 & 3) { /* DPL, which is CPL: VMCALL exits at any */
		v->regs[RAX] = (uint64_t)HC_EPERM;
		return NEXT;
	}
	switch ((uint32_t)v->regs[RAX]) {
	case HC_VCPU_START:
		return hypercall_start(v);
	case HC_STATUS:
		atomic_store_explicit(&guest.asks, 1, memory_order_relaxed);
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

/*
 * MOV to CR0 or CR4 that would change a bit of the host's (SDM vol. 3, 26.1.3); CLTS and LMSW reach none. In CR4
 * those are what a guest does not have. CR0's only need a new shadow: then the processor does it all, with its checks.
 */
static enum verdict exit_cr(struct vcpu *v)
{
	uint64_t q = vmcs_read(EXIT_QUALIFICATION);
	unsigned reg = q >> 8 & 15;
	uint64_t value = reg == RSP ? vmcs_read(GUEST_RSP) : v->regs[reg];

	if ((q & 15) != 0 || (value & (CR0_NW | CR0_CD)) == CR0_NW || (value & (CR0_PG | CR0_PE)) == CR0_PG)
		return fault_gp();
	vmcs_write(CR0_SHADOW, value);
	return RESUME;
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
	/* What exits unconditionally (26.1.2), and what this guest does not have: VMX, SMX, XSAVE */
	case EXIT_INVD: /* the host's data is in those caches, too; none of the guest's is ever stale in memory */
		return NEXT;
	case EXIT_VMCLEAR ... EXIT_VMXON:
	case EXIT_GETSEC:
	case EXIT_INVEPT:
	case EXIT_INVVPID:
	case EXIT_XSETBV:
		inject(INJECT_UD);
		return RESUME;
	case EXIT_TASK_SWITCH:
		return park(v, "a task switch, which Howler does not do: switch tasks in software");
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
