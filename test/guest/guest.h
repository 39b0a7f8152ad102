/* SPDX-License-Identifier: MIT */
/* The test guest: what its files share. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "test/guest/check.h"

#define GUEST_VCPUS_MAX  64u
#define GUEST_STACK_SIZE 16384u

/* Exit codes, at PORT_GUEST_EXIT. */
enum guest_exit {
	GUEST_PASS = 0,
	GUEST_FAIL = 1,
	GUEST_TRAP = 3,  /* an exception or interrupt that nobody asked for */
};

/* One vCPU's findings: its own until it sets done (release). */
struct vcpu {
	_Alignas(64) struct check check;
	const char *fault; /* what else was wrong, or NULL */
	atomic_bool done;
};

/* report.c: the serial line, vCPU 0's except after a trap */
void put_text(const char *text);
void put_num(uint64_t value);
void put_hex(uint64_t value);
void serial_flood(void); /* more than the line takes, and it does not ask */
_Noreturn void guest_exit(enum guest_exit code);
_Noreturn void guest_refuse(enum guest_exit code, const char *why, const char *what);
enum guest_exit report_print(struct vcpu *vcpus, unsigned count);

/* start.asm: goes to page 0; how many NMIs came in real mode is counted in the byte sipi_nmis there */
extern const unsigned char sipi_page[], sipi_nmis[], sipi_end[];

/* trap.c */
struct trap_frame {
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};
void trap_init(void);
void trap_load(void);
_Noreturn void guest_trap(const struct trap_frame *frame);

/* irq.c: interrupts that are asked for. What a vCPU has seen of them, by vector; others read it. */
struct irq {
	_Alignas(64) _Atomic uint32_t count[256]; /* all of them */
	uint8_t last[4];            /* vectors, the latest first */
	uint64_t tsc;               /* when the last one came */
	_Atomic uint32_t hold, held; /* NMIs: wait in the handler; it does */
	const char *fault;
	atomic_bool on;             /* it takes them */
	bool x2;                    /* its local APIC's mode, and its page */
	uint64_t page;
	uint32_t nest;              /* send this one to itself from the next one's handler */
	/* word irq */
	const struct pvclock_vcpu_time_info *clock;
	_Atomic uint32_t armed, sent;
	bool stops, counts;         /* it is not armed again; by a count, not by a deadline */
	uint64_t begin, until;      /* of the timer that is armed, in its TSC */
	uint32_t version;           /* of its clock page then */
};
extern struct irq irqs[GUEST_VCPUS_MAX];
struct irq *irq_me(void);
void irq_on(unsigned index); /* this vCPU's APIC from now on, as it is */
void guest_interrupt(const struct trap_frame *frame); /* start.asm calls it */
void irq_begin(unsigned index, unsigned vcpus, const struct pvclock_vcpu_time_info *page, bool one_core);
void irq_step(void); /* after a batch of readings: HLT, until something comes */
const char *irq_end(unsigned index);
void irq_print(void);
uint32_t apic_read(uint32_t at);
void apic_write(uint32_t at, uint32_t value);
void apic_send(uint32_t icr, uint32_t destination);

/* apic.c: word apic. vCPU 0 tries them all, or ends the guest; the others help until it is done. */
void apic_test(unsigned vcpus, bool howler, bool one_counter, const struct pvclock_vcpu_time_info *page);
void apic_help(unsigned index, const struct pvclock_vcpu_time_info *page);

/* bench.c: word bench. Two vCPUs measure what exits cost. */
void bench_run(unsigned index, const struct pvclock_vcpu_time_info *page);

/* hostile.c: word hostile */
bool hostile_only(const char *name);
void hostile_seed(const char *digits);
void hostile_begin(unsigned vcpus, uint64_t ram_bytes); /* vCPU 0, before it starts others */
void hostile_run(unsigned index); /* this vCPU's part, if it has one: before it measures */
void hostile_go(void);
bool hostile_over(void);
bool hostile_print(void);

/* clocks.c: NULL, or what is wrong with a vCPU's clocks */
const char *clocks_fault(unsigned index, struct pvclock_vcpu_time_info *home);
bool clocks_bounds(uint64_t now_ns, uint64_t *skew_ns, uint64_t *drift_ns);
const char *clocks_bounds_fault(void); /* has the bound page from now on */
bool clocks_stable(void); /* does CPUID say so of the TSC? */
const char *clocks_stable_fault(const struct pvclock_vcpu_time_info *home); /* is it? */
uint32_t clocks_wall_s(void); /* the wall clock's seconds; vCPU 0, before it starts others */

/* platform.c: the same of all else; and at the end, of what a vCPU keeps */
const char *platform_fault(unsigned index, unsigned count, const struct pvclock_vcpu_time_info *home);
const char *platform_kept_fault(unsigned index);

/* main.c */
extern unsigned char guest_stacks[GUEST_VCPUS_MAX][GUEST_STACK_SIZE];
