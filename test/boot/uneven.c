/* SPDX-License-Identifier: MIT */
/*
 * Firmware that leaves the cores' raw TSCs unequal: before a core first does anything in C, its TSC_ADJUST is set, or its
 * TSC written, as the marked numbers below say; cases.cfg patches them (8 bytes each, the lowest first; 0: nothing is
 * done). At the end it is told what TSC_ADJUST holds where it was set. Linked around Howler: entry.mk.
 */
#include "smp/smp.h"
#include "smp/x86.h"

void __real_hv_core(struct core *c);
void __wrap_hv_core(struct core *c);
void __real_core_put_back(void);
void __wrap_core_put_back(void);
void __real_cores_put_back(void);
void __wrap_cores_put_back(void);

#define CORES 4u
#define POLLS 100000u

/* volatile: not what the compiler sees, but what the patch made of it. */
static const volatile struct {
	char adjust_mark[8];
	int64_t adjust;
	char tsc_mark[8];
	int64_t tsc_by;
} uneven[CORES] = {
	{ "adjust-0", 0, "tsc-by-0", 0 },
	{ "adjust-1", 0, "tsc-by-1", 0 },
	{ "adjust-2", 0, "tsc-by-2", 0 },
	{ "adjust-3", 0, "tsc-by-3", 0 },
};

static bool done[CORES];             /* each entry: its core */
static _Atomic int64_t left[CORES];  /* TSC_ADJUST at the end; its core, release */
static _Atomic bool stopped[CORES];

void __wrap_hv_core(struct core *c)
{
	unsigned i = c->index;

	if (i < CORES && !done[i]) {
		done[i] = true;
		if (uneven[i].adjust)
			wrmsr(MSR_TSC_ADJUST, (uint64_t)uneven[i].adjust);
		if (uneven[i].tsc_by)
			wrmsr(MSR_TSC, rdtsc_ordered() + (uint64_t)uneven[i].tsc_by);
	}
	__real_hv_core(c);
}

static void look(void)
{
	unsigned i = this_core()->index;

	if (i >= CORES || !uneven[i].adjust)
		return;
	atomic_store_explicit(&left[i], (int64_t)rdmsr(MSR_TSC_ADJUST), memory_order_relaxed);
	atomic_store_explicit(&stopped[i], true, memory_order_release);
}

void __wrap_core_put_back(void)
{
	__real_core_put_back();
	look();
}

void __wrap_cores_put_back(void)
{
	__real_cores_put_back();
	look();
	for (unsigned i = 0; i < core_count && i < CORES; i++) {
		for (unsigned n = 0; n < POLLS && uneven[i].adjust && !atomic_load_explicit(&stopped[i], memory_order_acquire); n++)
			cpu_relax();
		if (atomic_load_explicit(&stopped[i], memory_order_acquire))
			print("firmware: core %u: TSC_ADJUST %ld at the end\n", i, atomic_load_explicit(&left[i], memory_order_relaxed));
	}
	for (unsigned n = 0; n < POLLS; n++)
		console_poll();
}
