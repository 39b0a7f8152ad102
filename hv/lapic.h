/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's local APIC (SDM vol. 3, ch. 10). Its registers lie in the virtual-APIC
 * page, where the processor itself reads and writes some of them; software does so
 * on the vCPU's core only. A core that sends an interrupt reads `base` and the few
 * registers that select destinations (hence relaxed atomics), sets `posted`, `events`
 * or `nmis_sent`, then kicks the vCPU's core with REQ_WAKE, which orders the two.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock/tempo.h"

struct vcpu;

/* The page's default place: only there does the processor virtualise it. */
#define LAPIC_GPA 0xfee00000u

/* lapic.events: SIPI's vector is in bits 15:8 */
#define EVENT_INIT (1u << 0)
#define EVENT_SIPI (1u << 1)

struct lapic {
	_Atomic uint32_t *regs;     /* the virtual-APIC page; a register is at its offset */
	_Atomic uint32_t posted[8]; /* fixed interrupts that were sent and are not in IRR yet */
	_Atomic uint32_t events, nmis_sent;
	unsigned nmis;              /* pending: at most two, or one while NMIs are blocked, as in a processor */
	_Atomic uint64_t base;      /* IA32_APIC_BASE */
	/*
	 * In all its modes the timer expires when the vCPU's TSC, `tsc`, reaches timer_tsc; timer_raw
	 * is that instant by the raw TSC of core tsc_core; UINT64_MAX: it does not run. A tempo change
	 * of the core leaves timer_tsc as it is; a move to another core keeps the ticks that are left.
	 */
	uint64_t timer_tsc, timer_raw;
	struct tempo_piece tsc;
	bool moved;          /* set in a stopped machine: placed on another core since, even if it did not run there */
	unsigned tsc_core;
	bool is_deadline; /* the mode in force: the processor may have changed the LVT register already (30.4.3.2) */
};

void lapic_make(struct vcpu *v); /* boot: power-up state */
void lapic_reset(struct vcpu *v); /* INIT: all but IA32_APIC_BASE */
bool lapic_enabled(const struct vcpu *v);
/* MMIO at `offset` in the page; RDMSR, WRMSR of any MSR, false: #GP. From here on: on the vCPU's core. */
uint32_t lapic_read(struct vcpu *v, unsigned offset);
void lapic_write(struct vcpu *v, unsigned offset, uint32_t value);
bool lapic_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool lapic_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value);
/* Is `gpa` in its MMIO page? */
bool lapic_has(const struct vcpu *v, uint64_t gpa);

/* Expire the timer if it is due at `now`: like all raw instants here, by its core's own counter. */
void lapic_timer_poll(struct vcpu *v, uint64_t now);
/*
 * The vCPU's TSC changes: by a write of the guest's, which adds `by`; or it is `tsc` from `now` on, an instant that is
 * `then` by the raw TSC of the core of the last call. one_counter: the TSCs of all cores are one counter (sync=scale).
 */
void lapic_timer_move(struct vcpu *v, uint64_t by);
void lapic_timer_follow(struct vcpu *v, const struct tempo_piece *tsc, uint64_t now, uint64_t then, bool one_counter);

/* The vector to deliver now if RFLAGS.IF allows; 0: none. *barred: the class of one that TPR alone holds off, or 0. */
unsigned lapic_pending(struct vcpu *v, unsigned *barred);
void lapic_accept(struct vcpu *v, unsigned vector);

/* Any core: the UART's interrupt line, vCPU 0's LINT0. A rising edge posts its vector if it is fixed and unmasked. */
void lapic_lint0(bool level);
