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
	GUEST_SKIP = 38, /* no clock to measure */
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
_Noreturn void guest_exit(enum guest_exit code);
_Noreturn void guest_refuse(enum guest_exit code, const char *why, const char *what);
enum guest_exit report_print(struct vcpu *vcpus, unsigned count);

/* trap.c */
void trap_init(void);
void trap_load(void);

/* clocks.c: NULL, or what is wrong with a vCPU's clocks */
const char *clocks_fault(unsigned index, struct pvclock_vcpu_time_info *home);
bool clocks_bounds(uint64_t now_ns, uint64_t *skew_ns, uint64_t *drift_ns);
bool clocks_stable(void); /* does CPUID say so of the TSC? */
const char *clocks_stable_fault(const struct pvclock_vcpu_time_info *home); /* is it? */
uint32_t clocks_wall_s(void); /* the wall clock's seconds; vCPU 0, before it starts others */

/* main.c */
extern unsigned char guest_stacks[GUEST_VCPUS_MAX][GUEST_STACK_SIZE];
