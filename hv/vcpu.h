/* SPDX-License-Identifier: MIT */
/*
 * A virtual processor. It belongs to one core at a time, `core`, and only that
 * core touches it. `core` changes only while the machine is stopped and every
 * VMCS is cleared (place in sync.c); a core reads it at the top of its loop.
 * Shared: `state`, and what is said to be below.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock/tempo.h"
#include "hv/abi.h"
#include "hv/lapic.h"
#include "smp/core.h"
#include "smp/limits.h"

/* Written by its core. */
enum vcpu_state {
	VCPU_WAITING, /* for a SIPI */
	VCPU_RUNNING,
	VCPU_HALTED,  /* in HLT */
	VCPU_PARKED,  /* stopped for good, its state dumped: it did what Howler does not handle */
};

/* A turn in the guest: the TSC that it saw, and begin and end by its core's own raw TSC. */
struct vcpu_stretch {
	struct tempo_piece tsc;
	uint64_t from_raw, to_raw;
};

enum { VCPU_STRETCHES = 8, VCPU_MSRS = 6 };

struct vcpu {
	uint64_t regs[16]; /* in the order of instruction encodings; RSP is in the VMCS */

	unsigned index;
	_Atomic uint32_t state;
	unsigned core;          /* core_count: not placed yet */
	bool nmi_stray;         /* the processor blocks NMIs, but its state does not: see nmi_blocked */
	bool halt_deaf, halt_in_nmi; /* in HLT with interrupts off; with NMIs blocked */
	uint64_t halt_rip;
	uint64_t cr2, dr[5];    /* DR0 to DR3, DR6; DR7 is in the VMCS */
	void *vmcs;             /* physical = virtual */
	unsigned last_core;     /* where it ran last */
	uint32_t proc, barred;  /* PROC_CONTROLS and TPR_THRESHOLD, as the VMCS has them */
	struct lapic lapic;
	uint64_t msr[VCPU_MSRS];

	/* The clock page: where, and from which line it was made */
	uint64_t page_gpa;      /* GPA | 1, as the MSR has it; 0: not registered */
	unsigned page_core;
	uint32_t page_line;     /* line_count of that core; 0: publish in any case */

	/* IA32_TSC_ADJUST: this vCPU's TSC minus sync_tsc of the core that it is on, modulo 2^64 */
	uint64_t tsc_adjust;
	struct vcpu_stretch now, before[VCPU_STRETCHES]; /* by number of entry; several, as turns may be short */
	uint64_t until_raw;     /* end of its turn, by its core's own raw TSC */
	bool tsc_set;           /* now.tsc is in the VMCS as loaded on this core */
	/* Figures; others read them when the run is over */
	uint64_t entries, exits, evictions, moves;
	uint64_t out_raw;           /* aligned raw TSC when it was last forced out; 0: it has entered since */
	uint64_t blackout_raw;      /* the longest time that an event kept it out, raw ticks */
	_Atomic uint32_t reported;
	struct guest_report report;

	_Alignas(16) struct {
		uint16_t fcw, pad[11];
		uint32_t mxcsr, rest[121];
	} fpu; /* the FXSAVE area (SDM vol. 1, 10.5.1) */
};

/* Its core is lost, and it with the core. A core that does not come back from a take-down had no vCPUs left. */
static inline bool vcpu_lost(const struct vcpu *v)
{
	return v->core < core_count && core_lost(v->core);
}

_Static_assert(offsetof(struct vcpu, regs) == 0, "entry.asm");
_Static_assert(sizeof(((struct vcpu *)0)->fpu) == 512, "FXSAVE");

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
