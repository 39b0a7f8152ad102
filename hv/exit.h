/* SPDX-License-Identifier: MIT */
/* VM exits: what the handlers of exit.c, cpuid.c, msr.c and port.c share. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "hv/hv.h"

enum verdict {
	RESUME, /* on with the guest, where RIP is */
	LEAVE,  /* to the core's loop, RIP as it is */
	NEXT,   /* on with the guest after the instruction */
	YIELD,  /* ... by way of the core's loop */
};

#define INJECT_GP 0x80000b0du /* valid, hardware exception, error code, vector 13 */
#define INJECT_UD 0x80000306u

/* exit.c */
enum verdict inject(uint32_t info); /* at the next entry, error code 0 */
enum verdict park(struct vcpu *v, const char *why);
void set_edx_eax(struct vcpu *v, uint64_t value);
uint64_t guest_tsc(const struct vcpu *v);

enum verdict exit_cpuid(struct vcpu *v); /* cpuid.c */
enum verdict exit_rdmsr(struct vcpu *v); /* msr.c */
enum verdict exit_wrmsr(struct vcpu *v);
void msr_make_bitmap(uint8_t *bitmap);   /* of a page */
enum verdict exit_io(struct vcpu *v);    /* port.c */
