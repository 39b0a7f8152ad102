/* SPDX-License-Identifier: MIT */
/*
 * VMX as Howler uses it: VMCS fields and control bits in the manual's order
 * and under its names (SDM vol. 3, 25 and appendix B; vol. 4 for the MSRs),
 * and checked access to the current VMCS.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define MSR_VMX_BASIC           0x480u
#define MSR_VMX_CR0_FIXED0      0x486u
#define MSR_VMX_CR0_FIXED1      0x487u
#define MSR_VMX_CR4_FIXED0      0x488u
#define MSR_VMX_CR4_FIXED1      0x489u
#define MSR_VMX_MISC            0x485u
#define MSR_VMX_PROCBASED2      0x48bu
#define MSR_VMX_EPT_VPID_CAP    0x48cu
#define MSR_VMX_TRUE_PINBASED   0x48du
#define MSR_VMX_TRUE_PROCBASED  0x48eu
#define MSR_VMX_TRUE_EXIT       0x48fu
#define MSR_VMX_TRUE_ENTRY      0x490u

#define FEATURE_CONTROL_LOCK 1u
#define FEATURE_CONTROL_VMXON 4u /* outside SMX */

enum vmcs_field {
	/* 16-bit. Guest segments, here and below: two apart, in the order ES, CS, SS, DS, FS, GS, LDTR, TR. */
	VPID = 0x0000, GUEST_ES = 0x0800, GUEST_CS = 0x0802,
	HOST_ES = 0x0c00, HOST_CS = 0x0c02, HOST_SS = 0x0c04, HOST_DS = 0x0c06,
	HOST_FS = 0x0c08, HOST_GS = 0x0c0a, HOST_TR = 0x0c0c,
	/* 64-bit */
	IO_BITMAP_A = 0x2000, IO_BITMAP_B = 0x2002, MSR_BITMAP = 0x2004,
	TSC_OFFSET = 0x2010, VIRTUAL_APIC_ADDRESS = 0x2012, APIC_ACCESS_ADDRESS = 0x2014,
	EPT_POINTER = 0x201a, ENCLS_BITMAP = 0x202e, TSC_MULTIPLIER = 0x2032,
	GUEST_PHYSICAL_ADDRESS = 0x2400,
	VMCS_LINK_POINTER = 0x2800, GUEST_DEBUGCTL = 0x2802, GUEST_PAT = 0x2804, GUEST_EFER = 0x2806,
	HOST_PAT = 0x2c00, HOST_EFER = 0x2c02,
	/* 32-bit */
	PIN_CONTROLS = 0x4000, PROC_CONTROLS = 0x4002, EXCEPTION_BITMAP = 0x4004,
	PAGE_FAULT_MASK = 0x4006, PAGE_FAULT_MATCH = 0x4008, CR3_TARGET_COUNT = 0x400a,
	EXIT_CONTROLS = 0x400c, EXIT_MSR_STORE_COUNT = 0x400e, EXIT_MSR_LOAD_COUNT = 0x4010,
	ENTRY_CONTROLS = 0x4012, ENTRY_MSR_LOAD_COUNT = 0x4014, ENTRY_INTERRUPTION_INFO = 0x4016,
	ENTRY_EXCEPTION_ERROR = 0x4018, TPR_THRESHOLD = 0x401c, PROC_CONTROLS2 = 0x401e,
	VM_INSTRUCTION_ERROR = 0x4400, EXIT_REASON = 0x4402, EXIT_INTERRUPTION_INFO = 0x4404,
	IDT_VECTORING_INFO = 0x4408, EXIT_INSTRUCTION_LENGTH = 0x440c,
	GUEST_ES_LIMIT = 0x4800, GUEST_GDTR_LIMIT = 0x4810, GUEST_IDTR_LIMIT = 0x4812,
	GUEST_ES_ACCESS = 0x4814, GUEST_CS_ACCESS = 0x4816, GUEST_SS_ACCESS = 0x4818,
	GUEST_INTERRUPTIBILITY = 0x4824, GUEST_ACTIVITY = 0x4826, GUEST_SYSENTER_CS = 0x482a, PREEMPTION_TIMER = 0x482e,
	HOST_SYSENTER_CS = 0x4c00,
	/* natural width */
	CR0_MASK = 0x6000, CR4_MASK = 0x6002, CR0_SHADOW = 0x6004, CR4_SHADOW = 0x6006,
	EXIT_QUALIFICATION = 0x6400, GUEST_LINEAR_ADDRESS = 0x640a,
	GUEST_CR0 = 0x6800, GUEST_CR3 = 0x6802, GUEST_CR4 = 0x6804, GUEST_ES_BASE = 0x6806, GUEST_CS_BASE = 0x6808,
	GUEST_GDTR_BASE = 0x6816, GUEST_IDTR_BASE = 0x6818, GUEST_DR7 = 0x681a, GUEST_RSP = 0x681c,
	GUEST_RIP = 0x681e, GUEST_RFLAGS = 0x6820, GUEST_PENDING_DEBUG = 0x6822,
	GUEST_SYSENTER_ESP = 0x6824, GUEST_SYSENTER_EIP = 0x6826,
	HOST_CR0 = 0x6c00, HOST_CR3 = 0x6c02, HOST_CR4 = 0x6c04, HOST_FS_BASE = 0x6c06, HOST_GS_BASE = 0x6c08,
	HOST_TR_BASE = 0x6c0a, HOST_GDTR_BASE = 0x6c0c, HOST_IDTR_BASE = 0x6c0e,
	HOST_SYSENTER_ESP = 0x6c10, HOST_SYSENTER_EIP = 0x6c12, HOST_RSP = 0x6c14, HOST_RIP = 0x6c16,
};

/* Pin-based controls */
#define PIN_EXTERNAL_INTERRUPT (1u << 0)
#define PIN_NMI                (1u << 3)
#define PIN_VIRTUAL_NMI        (1u << 5)
#define PIN_PREEMPTION_TIMER   (1u << 6)
/* Primary processor-based controls */
#define PROC_INTERRUPT_WINDOW  (1u << 2)
#define PROC_TSC_OFFSETTING    (1u << 3)
#define PROC_HLT               (1u << 7)
#define PROC_MWAIT             (1u << 10)
#define PROC_RDPMC             (1u << 11)
#define PROC_RDTSC             (1u << 12)
#define PROC_TPR_SHADOW        (1u << 21)
#define PROC_NMI_WINDOW        (1u << 22)
#define PROC_IO_BITMAPS        (1u << 25)
#define PROC_MSR_BITMAPS       (1u << 28)
#define PROC_MONITOR           (1u << 29)
#define PROC_SECONDARY         (1u << 31)
/* Secondary processor-based controls */
#define PROC2_APIC_ACCESSES    (1u << 0)
#define PROC2_EPT              (1u << 1)
#define PROC2_RDTSCP           (1u << 3)
#define PROC2_VPID             (1u << 5)
#define PROC2_UNRESTRICTED     (1u << 7)
#define PROC2_APIC_REGISTERS   (1u << 8)
#define PROC2_INVPCID          (1u << 12)
#define PROC2_ENCLS            (1u << 15)
#define PROC2_TSC_SCALING      (1u << 25)
/* VM-exit controls */
#define EXIT_SAVE_DEBUG        (1u << 2)
#define EXIT_HOST_64           (1u << 9)
#define EXIT_ACK_INTERRUPT     (1u << 15)
#define EXIT_SAVE_PAT          (1u << 18)
#define EXIT_LOAD_PAT          (1u << 19)
#define EXIT_SAVE_EFER         (1u << 20)
#define EXIT_LOAD_EFER         (1u << 21)
#define EXIT_SAVE_TIMER        (1u << 22)
/* VM-entry controls */
#define ENTRY_IA32E            (1u << 9)
#define ENTRY_LOAD_DEBUG       (1u << 2)
#define ENTRY_LOAD_PAT         (1u << 14)
#define ENTRY_LOAD_EFER        (1u << 15)

#define RFLAGS_TF (1ull << 8)
#define RFLAGS_IF (1ull << 9)
#define RFLAGS_RF (1ull << 16)
#define INTERRUPTION_VALID (1u << 31)
#define INTERRUPTION_ERROR (1u << 11) /* deliver an error code */
#define INTERRUPTION_NMI 0x80000202u
#define INTERRUPTION_MC  0x80000312u
/* Interruptibility state (25.4.2) */
#define INTERRUPTIBILITY_STI    (1u << 0)
#define INTERRUPTIBILITY_MOV_SS (1u << 1)
#define INTERRUPTIBILITY_NMI    (1u << 3)
#define PENDING_DEBUG_BS        (1u << 14) /* a single-step trap (25.4.2) */
/* Segment access rights (25.4.1) */
#define ACCESS_LONG (1u << 13)
#define ACCESS_32   (1u << 14)

/* Exit qualification of an EPT violation (table 28-7) */
#define EPT_WRITE         (1u << 1)
#define EPT_FETCH         (1u << 2)
#define EPT_FINAL         (1u << 8) /* access to the translated linear address; else to a paging-structure entry */
#define EPT_NMI_UNBLOCKED (1u << 12)
/* ... and of an APIC access, bits 15:12 (table 28-6); higher types are guest-physical ones */
enum { APIC_ACCESS_FETCH = 2, APIC_ACCESS_EVENT = 3 };
/* Error code of #PF (4.7) */
enum { PF_PRESENT = 1 << 0, PF_USER = 1 << 2, PF_RESERVED = 1 << 3 };

#define EPT_CAP_WALK_4   (1ull << 6)
#define EPT_CAP_WB       (1ull << 14)
#define EPT_CAP_2M       (1ull << 16)
#define EPT_CAP_INVEPT   (1ull << 20)

/* Basic exit reasons, appendix C */
enum exit_reason {
	EXIT_EXCEPTION_NMI = 0, EXIT_EXTERNAL_INTERRUPT = 1, EXIT_TRIPLE_FAULT = 2, EXIT_INTERRUPT_WINDOW = 7,
	EXIT_NMI_WINDOW = 8, EXIT_TASK_SWITCH = 9, EXIT_CPUID = 10, EXIT_GETSEC = 11, EXIT_HLT = 12, EXIT_INVD = 13,
	EXIT_RDPMC = 15, EXIT_RDTSC = 16, EXIT_VMCALL = 18, EXIT_VMCLEAR = 19, EXIT_VMXON = 27, EXIT_CR_ACCESS = 28,
	EXIT_IO = 30, EXIT_RDMSR = 31, EXIT_WRMSR = 32, EXIT_MWAIT = 36, EXIT_MONITOR = 39, EXIT_MACHINE_CHECK = 41,
	EXIT_TPR_BELOW_THRESHOLD = 43, EXIT_APIC_ACCESS = 44, EXIT_EPT_VIOLATION = 48, EXIT_INVEPT = 50, EXIT_RDTSCP = 51,
	EXIT_PREEMPTION_TIMER = 52, EXIT_INVVPID = 53, EXIT_XSETBV = 55, EXIT_APIC_WRITE = 56, EXIT_ENCLS = 60,
};
#define EXIT_ENTRY_FAILED (1u << 31)

/* The features in use: the boot core's. All are uint32_t, as other cores' are compared word by word. */
struct vmx_features {
	uint32_t revision, pin, proc, proc2, exit, entry;
	uint32_t timer_shift;  /* the preemption timer counts raw TSC >> this */
	uint32_t tsc_scaling;  /* 0: RDTSC exits */
	uint32_t cr4;          /* bits that VMX operation allows to be 1 */
};
extern struct vmx_features vmx;

/* VMXON, VMCLEAR, VMPTRLD on a page's physical address; false: the instruction failed. */
#define ON_PAGE(name, instruction)                                                          \
	static inline bool name(uint64_t phys)                                              \
	{                                                                                   \
		bool ok;                                                                    \
		__asm__ volatile(instruction " %1" : "=@cca"(ok) : "m"(phys) : "memory");   \
		return ok;                                                                  \
	}
ON_PAGE(vmx_on_page, "vmxon")
ON_PAGE(vmcs_clear, "vmclear")
ON_PAGE(vmcs_load, "vmptrld")
#undef ON_PAGE

static inline void vmx_off_now(void)
{
	__asm__ volatile("vmxoff" : : : "memory");
}

/* A field of the current VMCS. Only fields that exist are read: no check needed. */
static inline uint64_t vmcs_read(enum vmcs_field field)
{
	uint64_t value;

	__asm__ volatile("vmread %1, %0" : "=rm"(value) : "r"((uint64_t)field));
	return value;
}

void vmcs_write_failed(enum vmcs_field field, uint64_t value);

static inline void vmcs_write(enum vmcs_field field, uint64_t value)
{
	bool ok;

	__asm__ volatile("vmwrite %1, %2" : "=@cca"(ok) : "rm"(value), "r"((uint64_t)field));
	if (__builtin_expect(!ok, 0))
		vmcs_write_failed(field, value);
}

/* Drop all guest translations that this core may have cached (SDM vol. 3, 29.4.3). */
static inline void invept_all(void)
{
	struct { uint64_t eptp, zero; } d = { 0, 0 };

	__asm__ volatile("invept %0, %1" : : "m"(d), "r"(2ull) : "memory");
}
