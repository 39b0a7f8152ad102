/* SPDX-License-Identifier: MIT */
#include "test/entry/here.h"

#include "hv/vmx.h"
#include "smp/x86.h"

#define CPUID7_EBX_SGX (1u << 2)
#define CPUID7_EBX_RTM (1u << 11)
#define CPUID_EXT_EDX_NX (1u << 20)
#define EFER_SCE_LME_LMA 0x501u

struct entry_machine entry_here(const void *vmcs)
{
	struct cpuid features = cpuid(7, 0), sizes = cpuid(0x80000008, 0);

	return (struct entry_machine){
		.vmx_basic = rdmsr(MSR_VMX_BASIC), .vmx_misc = rdmsr(MSR_VMX_MISC),
		.cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0), .cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1),
		.cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0), .cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1),
		.ept_vpid_cap = rdmsr(MSR_VMX_EPT_VPID_CAP),
		.pin = rdmsr(MSR_VMX_TRUE_PINBASED), .proc = rdmsr(MSR_VMX_TRUE_PROCBASED), .proc2 = rdmsr(MSR_VMX_PROCBASED2),
		.exit = rdmsr(MSR_VMX_TRUE_EXIT), .entry = rdmsr(MSR_VMX_TRUE_ENTRY),
		.physical_bits = sizes.eax & 0xff, .linear_bits = sizes.eax >> 8 & 0xff,
		.efer = EFER_SCE_LME_LMA | (cpuid(0x80000001, 0).edx & CPUID_EXT_EDX_NX ? EFER_NXE : 0),
		.sgx = features.ebx & CPUID7_EBX_SGX, .rtm = features.ebx & CPUID7_EBX_RTM,
		.vmcs = (uint64_t)vmcs,
	};
}

uint64_t entry_here_read(void *unused, uint32_t field)
{
	uint64_t value;
	bool ok;

	(void)unused;
	__asm__ volatile("vmread %2, %1" : "=@cca"(ok), "=r"(value) : "r"((uint64_t)field));
	return ok ? value : 0;
}
