/* SPDX-License-Identifier: MIT */
/* What a guest sees of the processor: of each leaf what it can use, and nothing of what Howler does not switch. */
#include "clock/port.h"
#include "hv/exit.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/util.h"
#include "smp/x86.h"

#define ALL UINT32_MAX
#define B(n) (1u << (n))
#define TEXT(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

/* SSE3, PCLMULQDQ, SSSE3, CNXT-ID, CX16, PCID, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, RDRAND; without XSAVE no AVX */
#define LEAF1_ECX (B(0) | B(1) | B(9) | B(10) | B(13) | B(17) | B(19) | B(20) | B(22) | B(23) | B(25) | B(30))
#define HYPERVISOR B(31)
/* FPU to PAE, CX8, SEP, PGE, CMOV, PAT, PSE-36, CLFSH, MMX, FXSR, SSE, SSE2, SS; no MCE, MTRR, MCA */
#define LEAF1_EDX (0x7fu | B(8) | B(11) | B(13) | B(15) | B(16) | B(17) | B(19) | B(23) | B(24) | B(25) | B(26) | B(27))
#define HTT B(28)
#define INVARIANT_TSC B(8)
#define ARAT B(2) /* the APIC timer never stops */
#define INVPCID B(10)
/* FSGSBASE, BMI1, SMEP, BMI2, ERMS, INVPCID, RDSEED, ADX, SMAP, CLFLUSHOPT, CLWB, SHA */
#define LEAF7_EBX (B(0) | B(3) | B(7) | B(8) | B(9) | INVPCID | B(18) | B(19) | B(20) | B(23) | B(24) | B(29))
#define TSC_ADJUST B(1) /* Howler's own doing, whatever the processor has */
#define LEAF7_ECX (B(2) | B(22)) /* UMIP, RDPID */
#define EXTENDED1_ECX (B(0) | B(5) | B(8)) /* LAHF, LZCNT, PREFETCHW */
#define EXTENDED1_EDX (B(11) | B(20) | B(26) | B(27) | B(29)) /* SYSCALL, NX, 1 GiB pages, RDTSCP, 64-bit mode */

static void howler_vcpu(const struct vcpu *v, uint32_t subleaf, struct cpuid *c)
{
	(void)subleaf;
	c->eax = guest.vcpu_count;
	c->ebx = v->index;
}

static void howler_bounds(const struct vcpu *v, uint32_t subleaf, struct cpuid *c)
{
	(void)v, (void)subleaf;
	c->eax = the_clock.policy->bounds ? MSR_HOWLER_BOUNDS : 0;
}

static void features(const struct vcpu *v, uint32_t subleaf, struct cpuid *c)
{
	(void)subleaf;
	c->ebx |= v->index << 24 | guest.vcpu_count << 16;
	c->edx |= guest.vcpu_count > 1 ? HTT : 0;
}

/* With sync=scale a guest's TSC runs at one rate, the same on all cores; else at the tempo of its core. */
static void kvm_features(const struct vcpu *v, uint32_t subleaf, struct cpuid *c)
{
	(void)v, (void)subleaf;
	c->eax |= the_clock.policy->scales ? KVM_FEATURE_CLOCKSOURCE_STABLE : 0;
}

static void power(const struct vcpu *v, uint32_t subleaf, struct cpuid *c)
{
	(void)v, (void)subleaf;
	c->edx |= the_clock.policy->scales ? INVARIANT_TSC : 0;
}

/* Each core has all caches for itself. */
static void caches(const struct vcpu *v, uint32_t subleaf, struct cpuid *c)
{
	(void)v, (void)subleaf;
	c->eax |= c->eax ? (guest.vcpu_count - 1) << 26 : 0;
}

static void more_features(const struct vcpu *v, uint32_t subleaf, struct cpuid *c)
{
	(void)v;
	if (subleaf)
		*c = (struct cpuid){ 0 };
	if (!(vmx.proc2 & PROC2_INVPCID))
		c->ebx &= ~INVPCID;
}

/* vCPUs are cores of one thread each, in one package. */
static void topology(const struct vcpu *v, uint32_t level, struct cpuid *c)
{
	*c = (struct cpuid){ .ecx = level & 0xff, .edx = v->index };
	if (level > 1)
		return;
	while (level && 1u << c->eax < guest.vcpu_count)
		c->eax++;
	c->ebx = level ? guest.vcpu_count : 1;
	c->ecx |= (level + 1) << 8;
}

static void as_it_is(const struct vcpu *v, uint32_t subleaf, struct cpuid *c)
{
	(void)v, (void)subleaf, (void)c;
}

/*
 * The processor's bits under `keep`, and `set`, and what depends on vCPU and run; without `adapt` it is `set` alone.
 * All other leaves are zero. First what clocks ask for.
 */
static const struct row {
	uint32_t leaf;
	struct cpuid keep, set;
	void (*adapt)(const struct vcpu *v, uint32_t subleaf, struct cpuid *c);
} rows[] = {
	{ CPUID_KVM_SIGNATURE, { 0 }, { CPUID_KVM_FEATURES, TEXT('K', 'V', 'M', 'K'), TEXT('V', 'M', 'K', 'V'), 'M' }, 0 },
	{ CPUID_KVM_FEATURES, { 0 },
	  { .eax = KVM_FEATURE_CLOCKSOURCE | KVM_FEATURE_NOP_IO_DELAY | KVM_FEATURE_CLOCKSOURCE2 }, kvm_features },
	{ CPUID_HOWLER_SIGNATURE, { 0 },
	  { CPUID_HOWLER_BOUNDS, TEXT('H', 'o', 'w', 'l'), TEXT('e', 'r', 'H', 'o'), TEXT('w', 'l', 'e', 'r') }, 0 },
	{ CPUID_HOWLER_VCPU, { 0 }, { 0 }, howler_vcpu },
	{ CPUID_HOWLER_BOUNDS, { 0 }, { 0 }, howler_bounds },
	{ 0x00, { 0, ALL, ALL, ALL }, { .eax = 0xb }, as_it_is },
	{ 0x01, { ALL, 0xff00, LEAF1_ECX, LEAF1_EDX }, { .ecx = HYPERVISOR }, features },
	{ 0x02, { ALL, ALL, ALL, ALL }, { 0 }, as_it_is },
	{ 0x04, { 0x3fff, ALL, ALL, ALL }, { 0 }, caches },
	{ 0x06, { 0 }, { .eax = ARAT }, 0 },
	{ 0x07, { 0, LEAF7_EBX, LEAF7_ECX, 0 }, { .ebx = TSC_ADJUST }, more_features },
	{ 0x0b, { 0 }, { 0 }, topology },
	{ 0x80000000, { 0 }, { .eax = 0x80000008 }, 0 },
	{ 0x80000001, { 0, 0, EXTENDED1_ECX, EXTENDED1_EDX }, { 0 }, as_it_is },
	{ 0x80000002, { ALL, ALL, ALL, ALL }, { 0 }, as_it_is },
	{ 0x80000003, { ALL, ALL, ALL, ALL }, { 0 }, as_it_is },
	{ 0x80000004, { ALL, ALL, ALL, ALL }, { 0 }, as_it_is },
	{ 0x80000006, { 0, 0, ALL, 0 }, { 0 }, as_it_is },
	{ 0x80000007, { 0 }, { 0 }, power },
	{ 0x80000008, { 0xffff, 0, 0, 0 }, { 0 }, as_it_is },
};

static enum verdict answer(struct vcpu *v, const struct cpuid *c)
{
	v->regs[RAX] = c->eax;
	v->regs[RBX] = c->ebx;
	v->regs[RCX] = c->ecx;
	v->regs[RDX] = c->edx;
	return NEXT;
}

/* Out of line: exit_cpuid is the fastest exit that there is, and guests measure exits by it. */
__attribute__((noinline)) static enum verdict answer_varying(struct vcpu *v, const struct row *r)
{
	uint32_t subleaf = (uint32_t)v->regs[RCX];
	struct cpuid c = cpuid(r->leaf, subleaf);

	c = (struct cpuid){ (c.eax & r->keep.eax) | r->set.eax, (c.ebx & r->keep.ebx) | r->set.ebx,
			    (c.ecx & r->keep.ecx) | r->set.ecx, (c.edx & r->keep.edx) | r->set.edx };
	r->adapt(v, subleaf, &c);
	return answer(v, &c);
}

enum verdict exit_cpuid(struct vcpu *v)
{
	static const struct cpuid none;
	uint32_t leaf = (uint32_t)v->regs[RAX];

	for (const struct row *r = rows; r < rows + ARRAY_SIZE(rows); r++)
		if (r->leaf == leaf)
			return r->adapt ? answer_varying(v, r) : answer(v, &r->set);
	return answer(v, &none);
}
