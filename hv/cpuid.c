/* SPDX-License-Identifier: MIT */
/* What a guest sees of the processor. */
#include "clock/port.h"
#include "hv/exit.h"
#include "smp/x86.h"

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

enum verdict exit_cpuid(struct vcpu *v)
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
