/* SPDX-License-Identifier: MIT */
/* VM exits: what the handlers of exit.c, cpuid.c, msr.c and port.c share. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "hv/hv.h"
#include "hv/vmx.h"

enum verdict {
	RESUME, /* back to the guest, RIP unchanged */
	LEAVE,  /* to the core's loop, RIP unchanged */
	NEXT,   /* back to the guest, past the instruction */
	YIELD,  /* to the core's loop, past the instruction */
};

/* Entry interruption information: valid, hardware exception, vector; #GP and #PF have an error code */
#define INJECT_GP (0x8000030du | INTERRUPTION_ERROR)
#define INJECT_PF (0x8000030eu | INTERRUPTION_ERROR)
#define INJECT_UD 0x80000306u

/* exit.c */
enum verdict inject(uint32_t info); /* the next entry delivers it as a fault of the instruction at RIP, error code 0 */
enum verdict again(enum verdict verdict); /* RESUME or LEAVE: retry it; its breakpoint hits once (SDM vol. 3, 28.3.3) */
enum verdict park(struct vcpu *v, const char *why);
void set_edx_eax(struct vcpu *v, uint64_t value);
uint64_t guest_tsc(const struct vcpu *v);

enum verdict exit_cpuid(struct vcpu *v); /* cpuid.c */
enum verdict exit_rdmsr(struct vcpu *v); /* msr.c */
enum verdict exit_wrmsr(struct vcpu *v);
void msr_make_bitmap(uint8_t *bitmap);   /* of a page */
enum verdict exit_io(struct vcpu *v);    /* port.c */
/*
 * ports=on: log that a guest accessed absent hardware, once per `number`: the page's, modulo TELL_PORTS (pages above
 * 4 GiB alias those below), or TELL_PORTS + port. Any core. LEAVE: the log is full now, try again.
 */
#define TELL_PORTS 0x100000u
enum verdict tell_absent(const struct vcpu *v, const char *what, uint64_t at, uint32_t number, bool write);
