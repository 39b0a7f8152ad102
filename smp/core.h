/* SPDX-License-Identifier: MIT */
/*
 * One block per core, reached by its owner through %gs (this_core in here.c). Howler runs with interrupts
 * off (halt_until_interrupt excepted), so only an NMI can come between two instructions, and an NMI handler
 * that returns has changed only the return address and `nmis` (trap.c). So "owner" fields need no protection
 * against the core itself.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock/clock.h"
#include "clock/tempo.h"
#include "smp/asm_abi.h"
#include "smp/limits.h"

enum core_state {
	CORE_OFF,      /* not started, or stopped so that INIT-SIPI brings it back */
	CORE_STARTING, /* being started; written by the starter, before it sends INIT */
	CORE_UP,       /* runs its loop; written by itself */
	CORE_FENCED,   /* makes no progress: an NMI is sent to halt it, with time to arrive before the core is LOST */
	CORE_LOST,     /* did not answer its start, or was fenced (watch.c); written by whoever finds it so; final */
};

struct core {
	/* --- assembler knows these (asm_abi.h) --- */
	struct core *self;
	_Atomic uint32_t requests; /* enum request; anyone sets, owner clears */
	uint32_t index;
	void *stack_top;
	uint32_t apic_id;

	/* --- owner only --- */
	struct tempo tempo;
	struct watch { /* the core that it watches, and how many looks in a row found its beats unchanged */
		uint32_t core, beats, looks;
		uint64_t looked_raw;
		uint32_t nmis_sent; /* to the owner itself, as of its last look */
	} watch;
	uint32_t nmis; /* taken, or merged with another one; also written by the owner's NMI handler */

	/* --- owner writes, others read for diagnosis (relaxed) --- */
	_Atomic(const char *) where;
	_Atomic uint32_t where_arg;

	/* --- owner writes --- */
	_Atomic uint32_t beats; /* incremented wherever it loops (release); read by the watching core (acquire) */
	_Atomic uint32_t stop;  /* release/acquire: the state of the stop that it has reached (stop.c); 0: none */

	/* --- shared --- */
	_Atomic uint32_t state; /* enum core_state; writers as said there, release/acquire */
	_Atomic uint32_t nmis_sent; /* incremented before an NMI is sent (release); read by its NMI handler (acquire) */
	/* the conductor writes before it sets REQ_BEFORE: raw ticks from serving that to the change of tempo */
	_Atomic uint64_t effect_delay_raw;
	/* owner writes when it serves REQ_BEFORE (effect_raw last, release; the conductor has set that to 0 before) */
	_Atomic uint64_t before_raw, effect_raw;
	/* the conductor writes before it starts the core: tempo and core TSC to come up with */
	uint32_t start_khz;
	uint64_t start_tsc;
	/* ... once, before any start: hidden rate error, the same at every tempo (tempo.h) */
	int32_t error_ppb;
	/*
	 * Fixed at boot: written by the owner before it is first UP. Its raw TSC + raw_adjust is the boot core's raw
	 * TSC, +/- raw_doubt; UINT64_MAX: not measured.
	 */
	int64_t raw_adjust;
	uint64_t raw_doubt;
	int64_t adjust_found; /* IA32_TSC_ADJUST as the firmware left it */
	uint64_t smis_found, microcode; /* MSR_SMI_COUNT and IA32_BIOS_SIGN_ID at boot; 0: no such MSR */
	uint32_t model; /* CPUID 1, EAX */
	_Atomic bool adjusted; /* owner writes: its TSC_ADJUST holds the boot core's value, not adjust_found */
	/* written while the machine is stopped: this core shall go off at the top of its loop */
	bool leave;
	/* owner writes: raw_now() when it resumed after its last eviction; 0: it has not resumed yet */
	_Atomic uint64_t synced_raw;

	/* --- tables of this core, owner only --- */
	uint64_t gdt[4];
	struct {
		uint32_t pad0;
		uint64_t rsp[3], pad1, ist[7], pad2;
		uint16_t pad3, io_map;
	} __attribute__((packed)) tss;
	void *vmxon; /* one page, for hv */
};

_Static_assert(offsetof(struct core, self) == CORE_SELF, "asm_abi.h");
_Static_assert(offsetof(struct core, requests) == CORE_REQUESTS, "asm_abi.h");
_Static_assert(offsetof(struct core, stack_top) == CORE_STACK_TOP, "asm_abi.h");
_Static_assert(offsetof(struct core, apic_id) == CORE_APIC_ID, "asm_abi.h");
_Static_assert(sizeof(struct core) <= 4096, "one page of the core's memory");

/* Fixed at boot: written by the boot core before any other runs. */
extern struct core *cores[CORES_MAX];
extern unsigned core_count;
extern struct clock the_clock;

struct core *this_core(void);

/* Any core. A fenced core must do nothing more, but may still finish what it was just about to do. */
static inline bool core_fenced(unsigned core)
{
	return atomic_load_explicit(&cores[core]->state, memory_order_acquire) >= CORE_FENCED;
}

/* Any core. Nobody waits for a lost core, what it holds (a lock, a stop) is taken over, its vCPUs stay on it. */
static inline bool core_lost(unsigned core)
{
	return atomic_load_explicit(&cores[core]->state, memory_order_acquire) == CORE_LOST;
}

/* Number of cores lost so far (core_become). Relaxed: readers poll, so a stale value only delays them. */
extern _Atomic uint32_t cores_lost;

/* Record what this core is doing, for the report should it hang. */
static inline void core_at(const char *where, unsigned arg)
{
	struct core *c = this_core();

	atomic_store_explicit(&c->where, where, memory_order_relaxed);
	atomic_store_explicit(&c->where_arg, arg, memory_order_relaxed);
}
