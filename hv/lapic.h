/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's local APIC (SDM vol. 3, ch. 10). Its registers lie in the virtual-APIC
 * page, where the processor itself reads and writes some of them; all that is
 * done by software belongs to the vCPU's core. Other vCPUs reach it by `posted`
 * and `events` only, and read the few registers by which a destination is told
 * (hence relaxed atomics): set the bit, then kick its core with REQ_WAKE, which
 * orders the two.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock/tempo.h"

struct vcpu;

/* Where the page is by default: there the processor helps. */
#define LAPIC_GPA 0xfee00000u

/* lapic.events: SIPI's vector is in bits 15:8 */
#define EVENT_INIT (1u << 0)
#define EVENT_SIPI (1u << 1)

struct lapic {
	_Atomic uint32_t *regs;     /* the virtual-APIC page; a register is at its offset */
	_Atomic uint32_t posted[8]; /* fixed interrupts that were sent and are not in IRR yet */
	_Atomic uint32_t events, nmis_sent;
	unsigned nmis;              /* pending: two at most, one while NMIs are blocked, as a processor keeps them */
	_Atomic uint64_t base;      /* IA32_APIC_BASE */
	/*
	 * The timer, in all its modes, goes off when the vCPU's TSC, `tsc`, is at timer_tsc.
	 * timer_raw is the raw TSC of core tsc_core then; UINT64_MAX: it does not run. When the
	 * rate of its core changes the former holds; on another core, what was left of it.
	 */
	uint64_t timer_tsc, timer_raw;
	struct tempo_piece tsc;
	bool moved;          /* written in a stopped machine: it has been on another core since, maybe not run there */
	unsigned tsc_core;
	bool is_deadline; /* its mode; the processor may have written the LVT register already (30.4.3.2) */
};

void lapic_make(struct vcpu *v); /* boot: power-up state */
void lapic_reset(struct vcpu *v); /* INIT: all but IA32_APIC_BASE */
bool lapic_enabled(const struct vcpu *v);
/* MMIO within the page; RDMSR, WRMSR of any MSR, false: #GP. The vCPU's core, as all below. */
uint32_t lapic_read(struct vcpu *v, unsigned offset);
void lapic_write(struct vcpu *v, unsigned offset, uint32_t value);
bool lapic_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool lapic_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value);
/* Is `gpa` one of its MMIO page's? */
bool lapic_has(const struct vcpu *v, uint64_t gpa);

/* The timer, against raw instant `now`, as all here by its core's own counter: moves on if it is due. */
void lapic_timer_poll(struct vcpu *v, uint64_t now);
/*
 * The vCPU's TSC is another one from now on: by a write of the guest's; or its core's is, where the raw TSC is `now`, and
 * `then` on the core that this was last called on; one_counter: as all cores' is.
 */
void lapic_timer_move(struct vcpu *v, uint64_t by);
void lapic_timer_follow(struct vcpu *v, const struct tempo_piece *tsc, uint64_t now, uint64_t then, bool one_counter);

/* The vector that the vCPU would take now if it takes interrupts; 0: none. `barred`: one below TPR waits, or 0. */
unsigned lapic_pending(struct vcpu *v, unsigned *barred);
void lapic_accept(struct vcpu *v, unsigned vector);

/* Any core: the one device's line, LINT0 of vCPU 0. An edge from 0 to 1 posts its vector if it is fixed and unmasked. */
void lapic_lint0(bool level);
