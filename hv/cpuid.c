/* SPDX-License-Identifier: MIT */
/*
 * What a guest sees of the processor: the features that it can use, without those whose state Howler does not
 * switch; no caches, no brand string.
 */
#include "clock/port.h"
#include "hv/exit.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/util.h"
#include "smp/x86.h"

#define ALL UINT32_MAX
#define B(n) (1u << (n))
#define TEXT(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

/* SSE3, PCLMULQDQ, SSSE3, CNXT-ID, CX16, PCID, SSE4.1, SSE4.2, x2APIC, MOVBE, POPCNT, AES, RDRAND; without XSAVE no AVX */
#define LEAF1_ECX (B(0) | B(1) | B(9) | B(10) | B(13) | B(17) | B(19) | B(20) | B(21) | B(22) | B(23) | B(25) | B(30))
#define HYPERVISOR B(31)
/* FPU to PAE, CX8, SEP, PGE, CMOV, PAT, PSE-36, CLFSH, MMX, FXSR, SSE, SSE2, SS; no MCE, MTRR, MCA */
#define LEAF1_EDX (0x7fu | B(8) | B(11) | B(13) | B(15) | B(16) | B(17) | B(19) | B(23) | B(24) | B(25) | B(26) | B(27))
#define HTT B(28)
#define TSC_DEADLINE B(24) /* this and APIC: emulated by lapic.c */
#define APIC B(9)
#define INVARIANT_TSC B(8)
#define NS_KHZ 1000000u /* rate of a TSC that is the reference */
#define ARAT B(2) /* the APIC timer never stops */
#define INVPCID B(10)
/* FSGSBASE, BMI1, SMEP, BMI2, ERMS, INVPCID, RDSEED, ADX, SMAP, CLFLUSHOPT, CLWB, SHA */
#define LEAF7_EBX (B(0) | B(3) | B(7) | B(8) | B(9) | INVPCID | B(18) | B(19) | B(20) | B(23) | B(24) | B(29))
#define TSC_ADJUST B(1) /* emulated, whatever the processor has */
#define LEAF7_ECX (B(2) | B(22)) /* UMIP, RDPID */
#define EXTENDED1_ECX (B(0) | B(5) | B(8)) /* LAHF, LZCNT, PREFETCHW */
#define EXTENDED1_EDX (B(11) | B(20) | B(26) | B(27) | B(29)) /* SYSCALL, NX, 1 GiB pages, RDTSCP, 64-bit mode */

/* What depends on the vCPU, the policy or the processor's VMX. */
static void adapt(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid *c)
{
	/* With sync=scale a guest's TSC runs at one rate, the same on all cores; else at the tempo of its core. */
	bool steady = the_clock.policy->scales;

	switch (leaf) {
	case CPUID_KVM_FEATURES: c->eax |= steady ? KVM_FEATURE_CLOCKSOURCE_STABLE : 0; break;
	case CPUID_TIMING: c->eax = c->ebx = steady ? NS_KHZ : 0; break;
	case CPUID_HOWLER_VCPU: *c = (struct cpuid){ .eax = guest.vcpu_count, .ebx = v->index }; break;
	case CPUID_HOWLER_BOUNDS: c->eax = the_clock.policy->bounds ? MSR_HOWLER_BOUNDS : 0; break;
	case 0x01:
		c->ebx |= v->index << 24 | guest.vcpu_count << 16;
		c->ecx |= TSC_DEADLINE;
		c->edx |= (guest.vcpu_count > 1 ? HTT : 0) | (lapic_enabled(v) ? APIC : 0);
		break;
	case 0x07:
		if (subleaf)
			*c = (struct cpuid){ 0 };
		c->ebx &= vmx.proc2 & PROC2_INVPCID ? ALL : ~INVPCID;
		break;
	case 0x0b:
		/* vCPUs are cores of one thread each, in one package: level 0, one thread; level 1, all of them. */
		*c = (struct cpuid){ 0, !subleaf ? 1 : subleaf == 1 ? guest.vcpu_count : 0,
				     (subleaf & 0xff) | (subleaf < 2 ? (subleaf + 1) << 8 : 0), v->index };
		while (subleaf == 1 && 1u << c->eax < guest.vcpu_count)
			c->eax++;
		break;
	case 0x80000007: c->edx = steady ? INVARIANT_TSC : 0; break;
	}
}

/*
 * A leaf is the processor's bits in `keep`, plus `set`, changed by adapt(); if fixed, `set` alone. Any other leaf is
 * what adapt() makes of zeros. First come the leaves that guests' clock code reads.
 */
static const struct row {
	uint32_t leaf;
	bool fixed;
	struct cpuid keep, set;
} rows[] = {
	{ CPUID_KVM_SIGNATURE, true, { 0 }, { CPUID_TIMING, TEXT('K', 'V', 'M', 'K'), TEXT('V', 'M', 'K', 'V'), 'M' } },
	{ CPUID_KVM_FEATURES, false, { 0 },
	  { .eax = KVM_FEATURE_CLOCKSOURCE | KVM_FEATURE_NOP_IO_DELAY | KVM_FEATURE_CLOCKSOURCE2 } },
	{ CPUID_HOWLER_SIGNATURE, true, { 0 },
	  { CPUID_HOWLER_BOUNDS, TEXT('H', 'o', 'w', 'l'), TEXT('e', 'r', 'H', 'o'), TEXT('w', 'l', 'e', 'r') } },
	{ 0x00, false, { 0, ALL, ALL, ALL }, { .eax = 0xb } },
	{ 0x01, false, { ALL, 0xff00, LEAF1_ECX, LEAF1_EDX }, { .ecx = HYPERVISOR } },
	{ 0x06, true, { 0 }, { .eax = ARAT } },
	{ 0x07, false, { 0, LEAF7_EBX, LEAF7_ECX, 0 }, { .ebx = TSC_ADJUST } },
	{ 0x80000000, true, { 0 }, { .eax = 0x80000008 } },
	{ 0x80000001, false, { 0, 0, EXTENDED1_ECX, EXTENDED1_EDX }, { 0 } },
	{ 0x80000008, false, { 0xffff, 0, 0, 0 }, { 0 } },
};

static enum verdict answer(struct vcpu *v, const struct cpuid *c)
{
	v->regs[RAX] = c->eax;
	v->regs[RBX] = c->ebx;
	v->regs[RCX] = c->ecx;
	v->regs[RDX] = c->edx;
	return NEXT;
}

/* Out of line, to keep exit_cpuid the fastest exit: guests measure the cost of an exit by it. */
__attribute__((noinline)) static enum verdict answer_varying(struct vcpu *v, uint32_t leaf, const struct row *r)
{
	uint32_t subleaf = (uint32_t)v->regs[RCX];
	struct cpuid c = cpuid(leaf, subleaf);

	c = (struct cpuid){ (c.eax & r->keep.eax) | r->set.eax, (c.ebx & r->keep.ebx) | r->set.ebx,
			    (c.ecx & r->keep.ecx) | r->set.ecx, (c.edx & r->keep.edx) | r->set.edx };
	adapt(v, leaf, subleaf, &c);
	return answer(v, &c);
}

enum verdict exit_cpuid(struct vcpu *v)
{
	static const struct row none;
	uint32_t leaf = (uint32_t)v->regs[RAX];

	for (const struct row *r = rows; r < rows + ARRAY_SIZE(rows); r++)
		if (r->leaf == leaf)
			return r->fixed ? answer(v, &r->set) : answer_varying(v, leaf, r);
	return answer_varying(v, leaf, &none);
}
