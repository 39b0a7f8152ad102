/* SPDX-License-Identifier: MIT */
/*
 * The word hostile: attacks, in a table, each with its expected end. An attack is a
 * function that does what no guest should, and says what came of it.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "test/guest/machine.h"

#define HOSTILES_MAX 8u /* vCPUs */
#define LOW_AT       0x10000u /* a page below 1 MiB for each: real mode */
#define CODE_BYTES   64u

/* How an attack ends: an exception's vector, or one of these. */
enum end {
	END_DB = 1, END_UD = 6, END_GP = 13, END_PF = 14,
	END_RIGHT = 256, /* no exception, and the result is as it must be */
	END_WRONG,       /* neither; `what` says more */
	END_PARKED,      /* this vCPU is stopped: Howler ends the run */
};

/* A vCPU that attacks; at GS. The first part is hostile_low.asm's (hostile.inc). */
struct hostile {
	uint64_t resume, rsp; /* where an exception goes on, with what stack */
	uint64_t vector;      /* of the exception, or END_RIGHT */
	uint64_t error, rip, cs, rflags, rax;
	uint64_t random;      /* state */
	unsigned index;
	const char *what;     /* ... was wrong, and its numbers */
	uint64_t at[3];
	struct low *low;
	struct tables *tables;
	_Atomic uint32_t events, nmis; /* interrupts that came */
	uint32_t budget;      /* so many, then the timer is masked */
	_Alignas(64) uint8_t code[CODE_BYTES];
};
_Static_assert(offsetof(struct hostile, rax) == 56, "hostile.inc");

/* A copy of hostile_low; real mode's segment begins here. */
struct low {
	uint64_t rsp;
	uint32_t real, stub, eax, ebx, ecx, edx, flags, sp, frame[4];
	uint32_t cr0, cr3, cr4, efer, base, back, segment;
	uint8_t gdt_at[10], idt_at[10], ivt_at[10], zeros[78];
};
_Static_assert(offsetof(struct low, segment) == 80 && offsetof(struct low, ivt_at) == 104, "hostile.inc");
_Static_assert(sizeof(struct low) == 192, "hostile.inc");

/* Its page tables: 1 TiB above all, windows on any guest-physical page. */
struct tables {
	_Alignas(4096) uint64_t pml4[512], pdpt[512], pd[512], pt[512];
};
#define WINDOW       (1ull << 39) /* one page at a time */
#define WINDOW_LARGE (WINDOW + (1u << 21))
#define WINDOW_TABLE (WINDOW + (2u << 21)) /* its page table is wherever told */

struct registers {
	uint64_t a, b, c, d, flags;
};

/* An exception in it, or in what it calls, ends it, with registers as they are then; `vector` says which. */
#define ATTACK(code) "movq %%rsp, %%gs:8\nleaq 9f(%%rip), %%r11\nmovq %%r11, %%gs:0\n" \
	"movq $256, %%gs:16\n" code "\n9:\nmovq $hostile_lost, %%gs:0\n"

enum mode { MODE_LONG, MODE_PROTECTED, MODE_REAL, MODES };

/* hostile.c */
uint64_t hostile_random(struct hostile *me);
enum end hostile_wrong(struct hostile *me, const char *what, uint64_t at0, uint64_t at1, uint64_t at2);
/* One instruction. An exception must be of this instruction, its frame as the mode wants it (else END_WRONG). */
enum end hostile_try(struct hostile *me, enum mode mode, const void *bytes, unsigned count, struct registers *r);
/* The exception of an access to an MSR, or END_RIGHT. */
uint64_t hostile_rdmsr(struct hostile *me, uint32_t msr);
uint64_t hostile_wrmsr(struct hostile *me, uint32_t msr, uint64_t value);
extern uint64_t hostile_ram;   /* bytes of guest memory */
extern unsigned hostile_vcpus, hostile_attackers;

typedef enum end attack(struct hostile *me);
/* hostile_cpu.c */
attack attack_instructions, attack_codes, attack_steps, attack_msrs, attack_msr_values, attack_cpuid, attack_ports, attack_ports_all,
	attack_cr0, attack_cr4, attack_efer, attack_flags, attack_debug, attack_hypercalls;
/* hostile_memory.c */
attack attack_apic_page, attack_apic_odd, attack_apic_off, attack_apic_moved, attack_absent, attack_absent_odd,
	attack_fetch, attack_page_table, attack_scan, attack_scan_all, attack_high, attack_clock_pages, attack_ram_end;
attack attack_idt_absent, attack_idt_apic, attack_stack_absent, attack_stack_apic, attack_gdt_absent, attack_cr3_absent,
	attack_triple, attack_task_switch, attack_ins, attack_outs;
/* hostile_apic.c */
attack attack_x2apic, attack_nmis, attack_ipis, attack_inits, attack_tsc, attack_deadline, attack_counts;
void hostile_victim(struct hostile *me);
void hostile_victim_ends(void);
