/* SPDX-License-Identifier: MIT */
/*
 * The processor's instructions, registers and bits, under the names of Intel's
 * manual (SDM). All inline assembly of Howler lives here and in hv/vmx.h.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define CR0_PE (1ull << 0)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)
#define CR4_PAE (1ull << 5)
#define CR4_MCE (1ull << 6)
#define CR4_OSFXSR (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_VMXE (1ull << 13)
#define EFER_LME (1ull << 8)
#define EFER_NXE (1ull << 11)

#define MSR_TSC             0x10u
#define MSR_APIC_BASE       0x1bu
#define MSR_SMI_COUNT       0x34u
#define MSR_FEATURE_CONTROL 0x3au
#define MSR_TSC_ADJUST      0x3bu
#define MSR_BIOS_SIGN_ID    0x8bu
#define MSR_SYSENTER_CS     0x174u /* then ESP, EIP */
#define MSR_SYSENTER_EIP    0x176u
#define MSR_MCG_CAP         0x179u /* then STATUS */
#define MSR_MISC_ENABLE     0x1a0u
#define MSR_MC0_CTL         0x400u /* then STATUS, ADDR, MISC; then the next bank */
#define MSR_TSC_DEADLINE    0x6e0u
#define MSR_PAT             0x277u
#define MSR_EFER            0xc0000080u
#define MSR_STAR            0xc0000081u
#define MSR_LSTAR           0xc0000082u
#define MSR_CSTAR           0xc0000083u
#define MSR_FMASK           0xc0000084u
#define MSR_FS_BASE         0xc0000100u
#define MSR_GS_BASE         0xc0000101u
#define MSR_KERNEL_GS_BASE  0xc0000102u
#define MSR_TSC_AUX         0xc0000103u
#define MSR_X2APIC          0x800u /* + register offset / 16 */

#define CPUID1_ECX_X2APIC (1u << 21)
#define CPUID1_ECX_HYPERVISOR (1u << 31)
#define CPUID1_EDX_MCE (1u << 7)

#define VECTOR_NMI 2
#define VECTOR_DF  8
#define VECTOR_GP  13
#define VECTOR_MC  18
#define VECTOR_TIMER 32 /* the local APIC's */
#define VECTOR_PIC 0xe0 /* and the next 15: the 8259s' */

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* The raw TSC, unordered: for stamps where a few dozen cycles do not matter. */
static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/*
 * The raw TSC, read after all earlier loads and before all later instructions:
 * LFENCE on both sides (SDM, RDTSC: it is not serializing).
 */
static inline uint64_t rdtsc_ordered(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

/* inb, outb, inw ... */
#define PORT_IO(letter, type)                                                     \
	static inline type in##letter(uint16_t port)                              \
	{                                                                         \
		type v;                                                           \
		__asm__ volatile("in" #letter " %1, %0" : "=a"(v) : "Nd"(port));  \
		return v;                                                         \
	}                                                                         \
	static inline void out##letter(uint16_t port, type v)                     \
	{                                                                         \
		__asm__ volatile("out" #letter " %0, %1" : : "a"(v), "Nd"(port)); \
	}
PORT_IO(b, uint8_t)
PORT_IO(w, uint16_t)
PORT_IO(l, uint32_t)

/* read_cr0, write_cr0 ... */
#define CONTROL_REGISTER(n)                                                   \
	static inline uint64_t read_cr##n(void)                               \
	{                                                                     \
		uint64_t v;                                                   \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(v));             \
		return v;                                                     \
	}                                                                     \
	static inline void write_cr##n(uint64_t v)                            \
	{                                                                     \
		__asm__ volatile("mov %0, %%cr" #n : : "r"(v) : "memory");    \
	}
CONTROL_REGISTER(0)
CONTROL_REGISTER(2)
CONTROL_REGISTER(3)
CONTROL_REGISTER(4)

/* DR0 to DR3, and DR6 */
static inline void read_debug(uint64_t dr[5])
{
	__asm__ volatile("mov %%dr0, %0; mov %%dr1, %1; mov %%dr2, %2; mov %%dr3, %3; mov %%dr6, %4"
			 : "=r"(dr[0]), "=r"(dr[1]), "=r"(dr[2]), "=r"(dr[3]), "=r"(dr[4]));
}

static inline void write_debug(const uint64_t dr[5])
{
	__asm__ volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2; mov %3, %%dr3; mov %4, %%dr6"
			 : : "r"(dr[0]), "r"(dr[1]), "r"(dr[2]), "r"(dr[3]), "r"(dr[4]));
}

static inline uint64_t read_idt_base(void)
{
	struct { uint16_t limit; uint64_t base; } __attribute__((packed)) idtr;

	__asm__ volatile("sidt %0" : "=m"(idtr));
	return idtr.base;
}

/* Runs the NMI handler; its IRET ends the blocking of NMIs. */
static inline void int_nmi(void)
{
	__asm__ volatile("int $2" : : : "memory");
}

static inline void cpu_relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}

static inline void invlpg(uint64_t address)
{
	__asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static inline void wbinvd(void)
{
	__asm__ volatile("wbinvd" : : : "memory");
}

static inline void fxsave(void *area_512)
{
	__asm__ volatile("fxsave64 (%0)" : : "r"(area_512) : "memory");
}

static inline void fxrstor(const void *area_512)
{
	__asm__ volatile("fxrstor64 (%0)" : : "r"(area_512) : "memory");
}

/* Bochs doesn't set CPUID's hypervisor bit, but its port E9H reads as E9H. True in any virtual machine, too. */
static inline bool in_emulator(void)
{
	return cpuid(1, 0).ecx & CPUID1_ECX_HYPERVISOR || inb(0xe9) == 0xe9;
}

/* Stop this core for good; only INIT (or reset) brings it back. */
static inline _Noreturn void halt_forever(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}
