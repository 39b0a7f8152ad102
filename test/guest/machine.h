/* SPDX-License-Identifier: MIT */
/* The test guest's instructions: everything here that C has no word for. */
#pragma once
#include <stdint.h>

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid_read(uint32_t leaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
		: "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
		: "a"(leaf), "c"(0));
	return r;
}

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

/* start.asm: 1 if #GP came of it; else 0 */
int msr_write_try(uint32_t msr, uint64_t value);

static inline void msr_write(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
		: : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline void port_out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
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

static inline void cpu_relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}

_Noreturn static inline void cpu_halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" : : : "memory");
}
