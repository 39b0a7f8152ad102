/* SPDX-License-Identifier: MIT */
/* VM exits: what the handlers of exit.c, cpuid.c, msr.c and port.c share. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "hv/hv.h"
#include "hv/vmx.h"

enum verdict {
	RESUME, /* on with the guest, where RIP is */
	LEAVE,  /* to the core's loop, RIP as it is */
	NEXT,   /* on with the guest after the instruction */
	YIELD,  /* ... by way of the core's loop */
};

/* Valid, hardware exception, the vector; with an error code, of 0 */
#define INJECT_GP (0x8000030du | INTERRUPTION_ERROR)
#define INJECT_PF (0x8000030eu | INTERRUPTION_ERROR)
#define INJECT_UD 0x80000306u

/* exit.c */
enum verdict inject(uint32_t info); /* the fault of the instruction at RIP, at the next entry */
enum verdict again(enum verdict verdict); /* RESUME or LEAVE: its breakpoint is not met twice (SDM vol. 3, 28.3.3) */
enum verdict park(struct vcpu *v, const char *why);
void set_edx_eax(struct vcpu *v, uint64_t value);
uint64_t guest_tsc(const struct vcpu *v);

enum verdict exit_cpuid(struct vcpu *v); /* cpuid.c */
enum verdict exit_rdmsr(struct vcpu *v); /* msr.c */
enum verdict exit_wrmsr(struct vcpu *v);
void msr_make_bitmap(uint8_t *bitmap);   /* of a page */
enum verdict exit_io(struct vcpu *v);    /* port.c */
/*
 * ports=on: a guest finds nothing there, told once for each number: a page's below 4 GiB, which those above share, or
 * TELL_PORTS + a port's. Any core; LEAVE: the log has no room for it now, try again.
 */
#define TELL_PORTS 0x100000u
enum verdict tell_absent(const struct vcpu *v, const char *what, uint64_t at, uint32_t number, bool write);
