/* SPDX-License-Identifier: MIT */
/*
 * One block per core, reached by its owner through %gs (this_core in here.c). Howler runs with
 * interrupts off from its first instruction to its last: the only thing that
 * can happen to it between two instructions is an NMI, and its handler touches
 * nothing but the return address (trap.c). So "owner" fields need no protection
 * at all against the core itself.
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
	CORE_STARTING, /* INIT is sent; written by who starts it */
	CORE_UP,       /* runs its loop; written by itself */
	CORE_FENCED,   /* ... and the NMI is sent that halts it: not lost before that had time to come */
	CORE_LOST,     /* did not answer its start, or makes no progress (watch.c); written by who finds it so; for good */
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
	struct watch { /* the core that it watches: how often in a row its beats were the same */
		uint32_t core, beats, looks;
		uint64_t looked_raw;
		uint32_t nmis_sent; /* then */
	} watch;
	uint32_t nmis; /* taken, or come as one with another; its NMI handler writes, too */

	/* --- owner writes, others read for diagnosis (relaxed) --- */
	_Atomic(const char *) where;
	_Atomic uint32_t where_arg;

	/* --- owner writes --- */
	_Atomic uint32_t beats; /* wherever it loops, release; who watches it reads, acquire */
	_Atomic uint32_t stop;  /* release/acquire: the state of the stop that it has come to (stop.c); 0: none */

	/* --- shared --- */
	_Atomic uint32_t state; /* enum core_state; writers as said there, release/acquire */
	_Atomic uint32_t nmis_sent; /* a sender counts before (release), its NMI handler compares (acquire) */
	/* the conductor writes before REQ_BEFORE: how long after it the tempo changes, raw ticks */
	_Atomic uint64_t effect_delay_raw;
	/* owner writes when REQ_BEFORE is served (release); the conductor resets it to 0 before */
	_Atomic uint64_t before_raw, effect_raw;
	/* the conductor writes before the start: tempo and TSC to come up with */
	uint32_t start_khz;
	uint64_t start_tsc;
	/* ... once, before any start: by how much its rate is off every tempo that it is told */
	int32_t error_ppb;
	/*
	 * Fixed at boot: the owner writes before it is UP first. Its raw TSC and raw_adjust are the boot core's raw
	 * TSC, give or take raw_doubt; UINT64_MAX: it was not measured.
	 */
	int64_t raw_adjust;
	uint64_t raw_doubt;
	int64_t adjust_found; /* IA32_TSC_ADJUST as the firmware left it */
	uint64_t smis_found, microcode; /* ... MSRs 34H and 8BH; 0 where there is none */
	uint32_t model; /* CPUID 1, EAX */
	_Atomic bool adjusted; /* owner writes: it holds the boot core's instead */
	/* written in a stopped machine: stop at the top of the loop */
	bool leave;
	/* owner writes: when it went on after it was last evicted; 0: it did not yet */
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

/* Any core. It must do nothing more; what it is about to do just now it may still do. */
static inline bool core_fenced(unsigned core)
{
	return atomic_load_explicit(&cores[core]->state, memory_order_acquire) >= CORE_FENCED;
}

/* Any core. Lost: nobody waits for it, what it holds is taken from it, its vCPUs stay where they are. */
static inline bool core_lost(unsigned core)
{
	return atomic_load_explicit(&cores[core]->state, memory_order_acquire) == CORE_LOST;
}

/* How many have become so: core_become. Relaxed: who sees an old one looks again. */
extern _Atomic uint32_t cores_lost;

/* Say where this core is, for who finds it hanging. */
static inline void core_at(const char *where, unsigned arg)
{
	struct core *c = this_core();

	atomic_store_explicit(&c->where, where, memory_order_relaxed);
	atomic_store_explicit(&c->where_arg, arg, memory_order_relaxed);
}
