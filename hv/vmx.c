/* SPDX-License-Identifier: MIT */
/* The VMX features that Howler needs, each by name; VMX on and off for a core. */
#include "hv/vmx.h"

#include "hv/hv.h"
#include "smp/smp.h"
#include "smp/x86.h"

#define CPUID1_EAX_SIGNATURE 0x0fff3fffu /* family, model, stepping */
#define CPUID1_ECX_VMX (1u << 5)
#define VMX_BASIC_TRUE_CONTROLS (1ull << 55)

struct vmx_features vmx;

/* The required bits of each word of controls, with the SDM's names, for the complaint if one is missing. */
static const struct group {
	uint32_t msr, controls;
	struct wanted {
		uint32_t bit;
		const char *name;
	} wanted[10]; /* up to a 0 */
} groups[] = {
	{ MSR_VMX_TRUE_PROCBASED, offsetof(struct vmx_features, proc), {
		{ PROC_TSC_OFFSETTING, "TSC offsetting" }, { PROC_HLT, "HLT exiting" }, { PROC_TPR_SHADOW, "the TPR shadow" },
		{ PROC_MWAIT, "MWAIT exiting" }, { PROC_RDPMC, "RDPMC exiting" }, { PROC_MONITOR, "MONITOR exiting" },
		{ PROC_IO_BITMAPS, "I/O bitmaps" }, { PROC_MSR_BITMAPS, "MSR bitmaps" }, { PROC_SECONDARY, "secondary controls" } } },
	{ MSR_VMX_PROCBASED2, offsetof(struct vmx_features, proc2), {
		{ PROC2_APIC_ACCESSES, "virtual APIC accesses" }, { PROC2_EPT, "EPT" }, { PROC2_VPID, "VPID" },
		{ PROC2_UNRESTRICTED, "unrestricted guest" }, { PROC2_RDTSCP, "RDTSCP" } } },
	{ MSR_VMX_TRUE_PINBASED, offsetof(struct vmx_features, pin), {
		{ PIN_EXTERNAL_INTERRUPT, "external-interrupt exiting" }, { PIN_NMI, "NMI exiting" },
		{ PIN_VIRTUAL_NMI, "virtual NMIs" }, { PIN_PREEMPTION_TIMER, "the VMX-preemption timer" } } },
	{ MSR_VMX_TRUE_EXIT, offsetof(struct vmx_features, exit), {
		{ EXIT_SAVE_DEBUG, "save debug controls" }, { EXIT_HOST_64, "64-bit host" },
		{ EXIT_ACK_INTERRUPT, "acknowledge interrupt on exit" }, { EXIT_SAVE_PAT, "save PAT" }, { EXIT_LOAD_PAT, "load PAT" },
		{ EXIT_SAVE_EFER, "save EFER" }, { EXIT_LOAD_EFER, "load EFER" }, { EXIT_SAVE_TIMER, "save VMX-preemption timer" } } },
	{ MSR_VMX_TRUE_ENTRY, offsetof(struct vmx_features, entry), {
		{ ENTRY_LOAD_DEBUG, "load debug controls" }, { ENTRY_LOAD_PAT, "load PAT" }, { ENTRY_LOAD_EFER, "load EFER" } } },
};

/*
 * Controls from a capability MSR: low half = bits that must be 1, high half =
 * bits that may be 1 (appendix A.3). NULL, or the name of what is missing.
 */
static const char *adjust(const struct group *g, struct vmx_features *f)
{
	uint64_t cap = rdmsr(g->msr);
	uint32_t *controls = (uint32_t *)f + g->controls / sizeof(uint32_t);

	*controls = (uint32_t)cap;
	for (const struct wanted *w = g->wanted; w->name; w++) {
		if (!(cap >> 32 & w->bit))
			return w->name;
		*controls |= w->bit;
	}
	return 0;
}

static const char *ept_missing(void)
{
	uint64_t cap = rdmsr(MSR_VMX_EPT_VPID_CAP);

	return !(cap & EPT_CAP_WALK_4) ? "EPT with 4 levels" :
	       !(cap & EPT_CAP_WB)     ? "EPT write-back memory" :
	       !(cap & EPT_CAP_2M)     ? "EPT 2 MiB pages" :
	       !(cap & EPT_CAP_INVEPT) ? "INVEPT" : 0;
}

/* Processors that have all the rest. Nehalem has the erratum, too, but fails for lack of unrestricted guest. */
static const char *timer_missing(void)
{
	switch (cpuid(1, 0).eax & CPUID1_EAX_SIGNATURE) {
	case 0x20652: /* Westmere clients, C2: AAT59, AAU65; Xeon L3406: AAX65 */
	case 0x20655: /* ... K0: AAU65 */
	case 0x306a8: /* Xeon E3-1220 v2 */
		return "a preemption timer that comes in time (errata AAT59, AAU65 and the like)";
	}
	return 0;
}

static bool find(struct vmx_features *f, struct complaint *why)
{
	const char *missing = 0;

	if (!(cpuid(1, 0).ecx & CPUID1_ECX_VMX))
		return format_complaint(why, "VMX: this processor has none (CPUID 1, ECX bit 5): "
					     "needs an Intel core with VT-x, or an emulator that has it, as Bochs");
	uint64_t control = rdmsr(MSR_FEATURE_CONTROL);
	if ((control & FEATURE_CONTROL_LOCK) && !(control & FEATURE_CONTROL_VMXON))
		return format_complaint(why, "VMX: switched off and locked by the firmware (MSR 3AH = %lx): "
					     "enable VT-x in the firmware's set-up", control);
	uint64_t basic = rdmsr(MSR_VMX_BASIC);
	f->revision = (uint32_t)basic & 0x7fffffff;
	if (!(basic & VMX_BASIC_TRUE_CONTROLS))
		missing = "true controls";
	for (const struct group *g = groups; g < groups + ARRAY_SIZE(groups) && !missing; g++)
		missing = adjust(g, f);
	if (!missing)
		missing = ept_missing();
	if (!missing)
		missing = timer_missing();
	if (missing)
		return format_complaint(why, "VMX: this processor's VMX lacks %s, which Howler needs: "
					     "use a newer one (Sandy Bridge, 2011, has all)", missing);
	uint32_t may2 = (uint32_t)(rdmsr(MSR_VMX_PROCBASED2) >> 32);
	f->tsc_scaling = may2 & PROC2_TSC_SCALING;
	f->proc2 |= may2 & (PROC2_TSC_SCALING | PROC2_INVPCID | PROC2_APIC_REGISTERS | PROC2_ENCLS);
	if (!f->tsc_scaling)
		f->proc |= PROC_RDTSC; /* every processor allows it (A.3.2) */
	f->timer_shift = rdmsr(MSR_VMX_MISC) & 31;
	f->cr4 = (uint32_t)rdmsr(MSR_VMX_CR4_FIXED1);
	return true;
}

bool vmx_find(struct complaint *why)
{
	return find(&vmx, why);
}

bool vmx_on(struct complaint *why)
{
	struct vmx_features mine;
	uint32_t *region = this_core()->vmxon;

	if (!find(&mine, why))
		return false;
	for (unsigned i = 0; i < sizeof(mine) / sizeof(uint32_t); i++)
		if (((uint32_t *)&mine)[i] != ((uint32_t *)&vmx)[i])
			return format_complaint(why, "VMX: not of core 0's kind (struct vmx_features, word %u: %x, there %x)", i,
						((uint32_t *)&mine)[i], ((uint32_t *)&vmx)[i]);
	uint64_t control = rdmsr(MSR_FEATURE_CONTROL);

	if (!(control & FEATURE_CONTROL_LOCK))
		wrmsr(MSR_FEATURE_CONTROL, control | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMXON);
	/* Bits that VMX operation fixes (A.7, A.8); no bit that Howler needs is fixed to 0. */
	write_cr0((read_cr0() | rdmsr(MSR_VMX_CR0_FIXED0)) & rdmsr(MSR_VMX_CR0_FIXED1));
	write_cr4((read_cr4() | rdmsr(MSR_VMX_CR4_FIXED0)) & rdmsr(MSR_VMX_CR4_FIXED1));
	*region = vmx.revision;
	if (!vmx_on_page((uint64_t)region))
		panic("VMXON failed on core %u: MSR 3AH = %lx", this_core()->index, rdmsr(MSR_FEATURE_CONTROL));
	invept_all();
	return true;
}

void vmx_off(void)
{
	vmx_off_now();
	write_cr4(read_cr4() & ~CR4_VMXE);
}
