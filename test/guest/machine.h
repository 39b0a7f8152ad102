/* SPDX-License-Identifier: MIT */
/* The test guest's instructions: everything here that C has no word for. */
#pragma once
#include <stdint.h>

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid_read2(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
		: "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
		: "a"(leaf), "c"(subleaf));
	return r;
}

static inline struct cpuid cpuid_read(uint32_t leaf)
{
	return cpuid_read2(leaf, 0);
}

/*
 * An instruction that may fault: R11 is the vector, or 0. TRY_AFTER: it is hit
 * when it is over, by an interrupt.
 */
#define TRY_PAIR(from) ".pushsection .tries, \"a\"\n.quad " from ", 2b\n.popsection\n"
#define TRY(code) "xorl %%r11d, %%r11d\n1: " code "\n2:\n" TRY_PAIR("1b")
#define TRY_AFTER(code) "xorl %%r11d, %%r11d\n" code "\n2:\n" TRY_PAIR("2b")
#define TRIED(name) register uint64_t name __asm__("r11")

static inline uint64_t tsc_read(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

#define MSR_TSC        0x10u
#define MSR_TSC_ADJUST 0x3bu

static inline uint64_t msr_read(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
	return (uint64_t)high << 32 | low;
}

static inline uint64_t msr_write_try(uint32_t msr, uint64_t value)
{
	TRIED(vector);

	__asm__ volatile(TRY("wrmsr") : "=r"(vector)
		: "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
	return vector;
}

static inline uint64_t msr_read_try(uint32_t msr)
{
	TRIED(vector);

	__asm__ volatile(TRY("rdmsr") : "=r"(vector) : "c"(msr) : "rax", "rdx", "memory");
	return vector;
}

static inline void msr_write(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
		: : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline void port_out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void port_out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void port_out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t port_in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline uint16_t port_in16_bytes(uint16_t port)
{
	uint16_t low = port_in8(port);

	return (uint16_t)(low | port_in8(port) << 8);
}

/* The local APIC's page, as start.asm maps it (SDM vol. 3, 11.4.1). */
#define APIC_PAGE  0xfee00000u
#define APIC_ID    0x20u
#define APIC_TPR   0x80u
#define APIC_PPR   0xa0u
#define APIC_EOI   0xb0u
#define APIC_LDR   0xd0u
#define APIC_DFR   0xe0u
#define APIC_SVR   0xf0u
#define APIC_ISR   0x100u
#define APIC_IRR   0x200u
#define APIC_ICR   0x300u
#define APIC_ICR_HIGH 0x310u
#define APIC_TIMER 0x320u /* its LVT entry */
#define APIC_LINT0 0x350u
#define APIC_INITIAL 0x380u
#define APIC_CURRENT 0x390u
#define APIC_DIVIDE  0x3e0u
#define LVT_MASKED     (1u << 16)
#define TIMER_PERIODIC (1u << 17)
#define TIMER_DEADLINE (2u << 17)
#define MSR_APIC_BASE    0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC       0x800u
#define APIC_BASE_X2 (1u << 10)
#define APIC_BASE_ON (1u << 11)

static inline volatile uint32_t *apic_at(uint32_t at)
{
	return (volatile uint32_t *)(uintptr_t)(APIC_PAGE + at);
}

/* C has no way to write to address 0. */
static inline void copy_to_page_0(const unsigned char *from, uint64_t bytes)
{
	uint64_t to = 0;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static inline int32_t hypercall(uint32_t number, uint32_t b, uint32_t c, uint32_t d)
{
	int32_t result;

	__asm__ volatile("vmcall" : "=a"(result) : "a"(number), "b"(b), "c"(c), "d"(d) : "memory");
	return result;
}

/* One block, so that no compiler puts anything between RDTSC and VMCALL. */
static inline int32_t hypercall_tsc(uint32_t number)
{
	int32_t result;

	__asm__ volatile("rdtsc\n\t"
			 "movl %%edx, %%ebx\n\t"
			 "movl %%eax, %%ecx\n\t"
			 "movl %1, %%eax\n\t"
			 "vmcall"
		: "=&a"(result) : "r"(number) : "rbx", "rcx", "rdx", "memory", "cc");
	return result;
}

struct idt_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

static inline void idt_load(const struct idt_pointer *idt)
{
	__asm__ volatile("lidt %0" : : "m"(*idt) : "memory");
}

static inline uint64_t fault_address(void)
{
	uint64_t cr2;

	__asm__ volatile("movq %%cr2, %0" : "=r"(cr2));
	return cr2;
}

static inline void interrupts_on(void)
{
	__asm__ volatile("sti" : : : "memory");
}

static inline void interrupts_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}

/* Interrupts on, and HLT: STI holds them off until it is there. */
static inline void halt_open(void)
{
	__asm__ volatile("sti; hlt" : : : "memory");
}

static inline void cr8_write(uint64_t value)
{
	__asm__ volatile("movq %0, %%cr8" : : "r"(value) : "memory");
}

static inline uint64_t cr8_read(void)
{
	uint64_t value;

	__asm__ volatile("movq %%cr8, %0" : "=r"(value));
	return value;
}

static inline void cpu_relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}

_Noreturn static inline void cpu_halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" : : : "memory");
}
