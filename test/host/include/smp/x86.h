/* SPDX-License-Identifier: MIT */
/*
 * smp/x86.h for the handlers on the host, which find this one first: what only
 * a kernel may do is done to the machine of test/host/machine.c. Bits, numbers
 * and the rest are the true ones.
 */
#pragma once

#define cpuid(leaf, subleaf) true_cpuid(leaf, subleaf)
#define rdmsr true_rdmsr
#define wrmsr true_wrmsr
#define rdtsc true_rdtsc
#define rdtsc_ordered true_rdtsc_ordered
#define inb true_inb
#define outb true_outb
#define inl true_inl
#define outl true_outl
#define read_cr0 true_read_cr0
#define write_cr0 true_write_cr0
#define read_cr2 true_read_cr2
#define write_cr2 true_write_cr2
#define read_cr3 true_read_cr3
#define write_cr3 true_write_cr3
#define read_cr4 true_read_cr4
#define write_cr4 true_write_cr4
#define read_debug true_read_debug
#define write_debug true_write_debug
#define read_idt_base true_read_idt_base
#define int_nmi true_int_nmi
#define fxsave true_fxsave
#define fxrstor true_fxrstor
#include_next "smp/x86.h"
#undef cpuid
#undef rdmsr
#undef wrmsr
#undef rdtsc
#undef rdtsc_ordered
#undef inb
#undef outb
#undef inl
#undef outl
#undef read_cr0
#undef write_cr0
#undef read_cr2
#undef write_cr2
#undef read_cr3
#undef write_cr3
#undef read_cr4
#undef write_cr4
#undef read_debug
#undef write_debug
#undef read_idt_base
#undef int_nmi
#undef fxsave
#undef fxrstor

struct cpuid cpuid(uint32_t leaf, uint32_t subleaf);
uint64_t rdmsr(uint32_t msr);
void wrmsr(uint32_t msr, uint64_t value);
uint64_t rdtsc(void);
uint64_t rdtsc_ordered(void);
uint8_t inb(uint16_t port);
void outb(uint16_t port, uint8_t value);
uint32_t inl(uint16_t port);
void outl(uint16_t port, uint32_t value);
uint64_t read_cr0(void);
void write_cr0(uint64_t value);
uint64_t read_cr2(void);
void write_cr2(uint64_t value);
uint64_t read_cr3(void);
uint64_t read_cr4(void);
void write_cr4(uint64_t value);
void read_debug(uint64_t dr[5]);
void write_debug(const uint64_t dr[5]);
uint64_t read_idt_base(void);
void int_nmi(void);
void fxsave(void *area_512);
void fxrstor(const void *area_512);
