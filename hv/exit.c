/* SPDX-License-Identifier: MIT */
/*
 * VM exits. Handlers return a verdict that says where to go on, and if RIP moves.
 * What Howler does not handle is the guest's fault: the vCPU is parked with a dump,
 * and everything else goes on.
 */
#include "clock/port.h"
#include "hv/exit.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/util.h"
#include "smp/x86.h"

/* An instruction completes or faults, so blocking by STI or MOV SS ends (SDM vol. 3, 27.3.1.5). */
static inline void unshadow(void)
{
	uint64_t blocking = vmcs_read(GUEST_INTERRUPTIBILITY);

	if (blocking & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS))
		vmcs_write(GUEST_INTERRUPTIBILITY, blocking & INTERRUPTIBILITY_NMI);
}

static inline bool single_steps(void)
{
	return vmcs_read(GUEST_RFLAGS) & RFLAGS_TF;
}

static unsigned cpl(void)
{
	return vmcs_read(GUEST_SS_ACCESS) >> 5 & 3; /* the DPL of SS */
}

static bool runs_64bit(void)
{
	return vmcs_read(ENTRY_CONTROLS) & ENTRY_IA32E && vmcs_read(GUEST_CS_ACCESS) & ACCESS_LONG;
}

/* An instruction is done: a single-step trap becomes pending. RIP wraps at 32 bits, or stays canonical (27.3.1.4). */
static inline void next_instruction(uint64_t length)
{
	uint64_t old = vmcs_read(GUEST_RIP), rip = old + length;

	if (__builtin_expect((old ^ rip) >> 32, 0))
		rip = runs_64bit() ? (uint64_t)((int64_t)(rip << 16) >> 16) : (uint32_t)rip;
	vmcs_write(GUEST_RIP, rip);
	unshadow();
	if (single_steps())
		vmcs_write(GUEST_PENDING_DEBUG, PENDING_DEBUG_BS);
}

enum verdict again(enum verdict verdict)
{
	bool shadowed = vmcs_read(GUEST_INTERRUPTIBILITY) & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);
	uint64_t held = vmcs_read(GUEST_PENDING_DEBUG) | (single_steps() ? PENDING_DEBUG_BS : 0);

	/* In a shadow BS must be set if TF is (27.3.1.5). Else none is pending: drop the one that Bochs leaves behind. */
	vmcs_write(GUEST_PENDING_DEBUG, shadowed ? held : 0);
	vmcs_write(GUEST_RFLAGS, vmcs_read(GUEST_RFLAGS) | RFLAGS_RF);
	return verdict;
}

/* As the processor does for faults: RFLAGS is saved with RF set (17.3.1.1), no error code in real mode (27.2.1.3). */
enum verdict inject(uint32_t info)
{
	if (!(vmcs_read(GUEST_CR0) & CR0_PE))
		info &= ~INTERRUPTION_ERROR;
	vmcs_write(ENTRY_INTERRUPTION_INFO, info);
	vmcs_write(ENTRY_EXCEPTION_ERROR, 0);
	vmcs_write(GUEST_RFLAGS, vmcs_read(GUEST_RFLAGS) | RFLAGS_RF);
	unshadow();
	return RESUME;
}

enum verdict park(struct vcpu *v, const char *why)
{
	print("howler: vCPU %u parked: %s; exit reason %lu, qualification %lx, guest-physical %lx\n", v->index,
	      why, vmcs_read(EXIT_REASON), vmcs_read(EXIT_QUALIFICATION), vmcs_read(GUEST_PHYSICAL_ADDRESS));
	vmcs_dump(v);
	atomic_store_explicit(&v->state, VCPU_PARKED, memory_order_release);
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

/* Returns RAX. */
static uint64_t hypercall(struct vcpu *v)
{
	const void *report;

	if (cpl()) /* VMCALL exits at every CPL */
		return (uint64_t)HC_EPERM;
	switch ((uint32_t)v->regs[RAX]) {
	case HC_STATUS:
		atomic_store_explicit(&guest.asks, 1, memory_order_relaxed);
		return atomic_load_explicit(&guest.finish, memory_order_relaxed);
	case HC_REPORT:
		report = guest_at((uint32_t)v->regs[RBX], sizeof(v->report));
		if (!report)
			return (uint64_t)HC_EINVAL;
		memcpy(&v->report, report, sizeof(v->report));
		atomic_store_explicit(&v->reported, 1, memory_order_release);
		return 0;
	case HC_TSC_PROOF:
		return !vcpu_tsc_proof(v, v->regs[RBX] << 32 | (uint32_t)v->regs[RCX]);
	default:
		return (uint64_t)HC_ENOSYS;
	}
}

/*
 * MOV to CR0 or CR4 that would change a host-owned bit (SDM vol. 3, 26.1.3); CLTS and LMSW reach none. In CR4 these
 * are the features that the guest does not have (#GP), and MCE, which is always set. For MCE and for CR0 a new shadow
 * is enough: the processor then executes the instruction again, with all its own checks.
 */
static enum verdict exit_cr(struct vcpu *v)
{
	uint64_t q = vmcs_read(EXIT_QUALIFICATION);
	unsigned reg = q >> 8 & 15, is_cr4 = q & 15;
	uint64_t value = reg == RSP ? vmcs_read(GUEST_RSP) : v->regs[reg];

	if (!(vmcs_read(GUEST_CS_ACCESS) & ACCESS_LONG))
		value &= UINT32_MAX;
	if (is_cr4 ? value & vmcs_read(CR4_MASK) & ~CR4_MCE :
		     value >> 32 || (value & (CR0_NW | CR0_CD)) == CR0_NW || (value & (CR0_PG | CR0_PE)) == CR0_PG)
		return inject(INJECT_GP);
	vmcs_write(is_cr4 ? CR4_SHADOW : CR0_SHADOW, value);
	return again(RESUME);
}

static enum verdict exit_hlt(struct vcpu *v)
{
	if (single_steps()) /* the trap ends HLT at once */
		return NEXT;
	v->halt_deaf = !(vmcs_read(GUEST_RFLAGS) & RFLAGS_IF);
	v->halt_rip = vmcs_read(GUEST_RIP);
	v->halt_in_nmi = !v->nmi_stray && vmcs_read(GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_NMI;
	atomic_store_explicit(&v->state, VCPU_HALTED, memory_order_release);
	return YIELD;
}

/* An NMI is a kick. NMIs are blocked after the exit, until an IRET (SDM vol. 3, 28.4): INT 2's handler executes one. */
static enum verdict exit_nmi(struct vcpu *v)
{
	uint32_t info = (uint32_t)vmcs_read(EXIT_INTERRUPTION_INFO);

	if (info == INTERRUPTION_MC)
		mca_end();
	if (info != INTERRUPTION_NMI)
		return park(v, "an exception that is not intercepted");
	int_nmi();
	return RESUME;
}

static struct insn insn_here(void)
{
	uint64_t rip = vmcs_read(GUEST_CS_BASE) + vmcs_read(GUEST_RIP);
	bool code64 = runs_64bit();
	uint8_t code[15] = { 0 };

	rip = code64 ? rip : (uint32_t)rip;
	unsigned first = PAGE_SIZE - (rip & (PAGE_SIZE - 1));
	first = first < sizeof(code) ? first : sizeof(code);
	const void *at = guest_linear(rip), *rest = first < sizeof(code) ? guest_linear(rip + first) : 0;
	if (at)
		memcpy(code, at, first);
	if (rest)
		memcpy(code + first, rest, sizeof(code) - first);
	return insn_decode(code, code64, vmcs_read(GUEST_CS_ACCESS) & ACCESS_32);
}

/*
 * The instruction at RIP accessed the local APIC's page, or an address with nothing behind it: reads return ones,
 * writes are lost. #GP if it can't be decoded, or for APIC accesses that are not 32 bits, aligned: undefined (10.4.1).
 */
static enum verdict access(struct vcpu *v, uint64_t gpa)
{
	struct insn i = insn_here();
	bool apic = lapic_has(v, gpa);
	unsigned offset = gpa & (PAGE_SIZE - 1);

	if (!apic && options.ports &&
	    tell_absent(v, "memory", gpa, gpa / PAGE_SIZE % TELL_PORTS, vmcs_read(EXIT_QUALIFICATION) & EPT_WRITE) == LEAVE)
		return again(LEAVE);
	if (!i.length || (apic && (i.bytes != 4 || offset & 3)))
		return inject(INJECT_GP);
	uint64_t memory = apic ? lapic_read(v, offset) : UINT64_MAX, rflags = vmcs_read(GUEST_RFLAGS);
	uint64_t rsp = vmcs_read(GUEST_RSP), *reg = i.reg == RSP ? &rsp : &v->regs[i.reg];
	bool writes = insn_run(&i, &memory, reg, &rflags);

	vmcs_write(GUEST_RSP, rsp);
	vmcs_write(GUEST_RFLAGS, rflags & ~RFLAGS_RF); /* the exit saved it as 1, to resume a faulting access (28.3.3) */
	next_instruction(i.length);
	if (apic && writes)
		lapic_write(v, offset, (uint32_t)memory);
	return apic && writes ? LEAVE : RESUME;
}

/*
 * ... or the access was a fetch: bytes of ones are no instruction, #UD; or to a paging structure: ones have reserved
 * bits set, #PF. If it was part of an event's delivery, that can't be completed: park.
 */
static enum verdict reach(struct vcpu *v, uint64_t gpa, bool fetch, bool walk)
{
	if (vmcs_read(IDT_VECTORING_INFO) & INTERRUPTION_VALID)
		return park(v, "has its stack, IDT or GDT in its local APIC's page, or where there is no memory");
	if (fetch)
		return inject(INJECT_UD);
	if (!walk)
		return access(v, gpa);
	write_cr2(vmcs_read(GUEST_LINEAR_ADDRESS));
	inject(INJECT_PF);
	vmcs_write(ENTRY_EXCEPTION_ERROR, PF_PRESENT | PF_RESERVED | (cpl() == 3 ? PF_USER : 0));
	return RESUME;
}

static enum verdict exit_apic(struct vcpu *v)
{
	uint64_t q = vmcs_read(EXIT_QUALIFICATION);
	unsigned type = q >> 12 & 15;

	return reach(v, LAPIC_GPA | (q & (PAGE_SIZE - 1)), type == APIC_ACCESS_FETCH, type > APIC_ACCESS_EVENT);
}

/* The processor has written to the virtual-APIC page (SDM vol. 3, 30.4.3.2); the register's side effects remain. */
static enum verdict exit_apic_write(struct vcpu *v)
{
	unsigned offset = vmcs_read(EXIT_QUALIFICATION) & (PAGE_SIZE - 1);

	lapic_write(v, offset, atomic_load_explicit(&v->lapic.regs[offset / 4], memory_order_relaxed));
	return LEAVE;
}

static enum verdict exit_ept(struct vcpu *v)
{
	uint64_t q = vmcs_read(EXIT_QUALIFICATION);

	if (q & EPT_NMI_UNBLOCKED) /* by an IRET that has yet to complete (28.2.3) */
		vmcs_write(GUEST_INTERRUPTIBILITY, vmcs_read(GUEST_INTERRUPTIBILITY) | INTERRUPTIBILITY_NMI);
	return reach(v, vmcs_read(GUEST_PHYSICAL_ADDRESS), q & EPT_FETCH && q & EPT_FINAL, !(q & EPT_FINAL));
}

static enum verdict dispatch(struct vcpu *v, uint32_t reason)
{
	switch (reason) {
	case EXIT_CPUID: return exit_cpuid(v);
	case EXIT_RDTSC:
	case EXIT_RDTSCP: return exit_rdtsc(v, reason == EXIT_RDTSCP);
	case EXIT_EXCEPTION_NMI: return exit_nmi(v);
	case EXIT_EXTERNAL_INTERRUPT:
		apic_eoi(); /* the APIC timer's, armed by core_doze; acknowledged by the exit */
		return RESUME;
	case EXIT_PREEMPTION_TIMER:
	case EXIT_INTERRUPT_WINDOW: /* by way of the loop, where events are injected */
	case EXIT_NMI_WINDOW:
	case EXIT_TPR_BELOW_THRESHOLD: return LEAVE;
	case EXIT_APIC_ACCESS: return exit_apic(v);
	case EXIT_APIC_WRITE: return exit_apic_write(v);
	case EXIT_VMCALL:
		v->regs[RAX] = hypercall(v);
		return NEXT;
	case EXIT_HLT: return exit_hlt(v);
	case EXIT_CR_ACCESS: return exit_cr(v);
	case EXIT_RDPMC: return inject(INJECT_GP); /* CPUID leaf 0AH shows no counters */
	case EXIT_IO: return exit_io(v);
	case EXIT_RDMSR: return exit_rdmsr(v);
	case EXIT_WRMSR: return exit_wrmsr(v);
	case EXIT_EPT_VIOLATION: return exit_ept(v);
	case EXIT_INVD: return NEXT; /* it would drop the host's dirty lines, too; memory is coherent without it */
	/* Features the guest does not have: VMX, SMX and XSETBV exit unconditionally (26.1.2), the rest by a control. */
	case EXIT_MWAIT:
	case EXIT_MONITOR:
	case EXIT_ENCLS:
	case EXIT_VMCLEAR ... EXIT_VMXON:
	case EXIT_GETSEC:
	case EXIT_INVEPT:
	case EXIT_INVVPID:
	case EXIT_XSETBV: return inject(INJECT_UD);
	case EXIT_TASK_SWITCH: return park(v, "a task switch, which Howler does not do: switch tasks in software");
	case EXIT_ENTRY_FAILED | EXIT_MACHINE_CHECK: mca_end();
	case EXIT_TRIPLE_FAULT: return park(v, "triple fault");
	}
	return park(v, reason & EXIT_ENTRY_FAILED ? "VM entry refused its state (SDM vol. 3, 27.3)" :
						     "an exit that Howler does not know");
}

/* The preemption timer stops during an exit, the guest's APIC timer does not: is it due? If not, shorten the former. */
static bool timer_due(const struct vcpu *v)
{
	uint64_t at = v->lapic.timer_raw, now;

	if (at == UINT64_MAX)
		return false;
	now = rdtsc();
	if (now < at && (at - now) >> vmx.timer_shift < vmcs_read(PREEMPTION_TIMER))
		vmcs_write(PREEMPTION_TIMER, ((at - now) >> vmx.timer_shift) + 1);
	return now >= at;
}

#define EXITS_LOOK 32 /* a few thousand ticks */

bool vcpu_exit(struct vcpu *v)
{
	enum verdict verdict = dispatch(v, (uint32_t)vmcs_read(EXIT_REASON));

	v->exits++;
	if (verdict >= NEXT)
		next_instruction(vmcs_read(EXIT_INSTRUCTION_LENGTH));
	/* The preemption timer does not count the time that exits take, so check for the turn's end now and then. */
	return verdict == LEAVE || verdict == YIELD || timer_due(v) || (!(v->exits % EXITS_LOOK) && rdtsc() >= v->until_raw);
}
