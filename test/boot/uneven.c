/* SPDX-License-Identifier: MIT */
/*
 * Firmware that leaves the cores' raw TSCs unequal: before a core first does anything in C, its TSC_ADJUST is set, or its
 * TSC written, as one of the rows below says; cases.cfg patches which one. At the end it is told what is in TSC_ADJUST
 * where Howler puts it back; what was not there before is a failure. Linked around Howler: test/entry/entry.mk.
 */
#include "smp/smp.h"
#include "smp/x86.h"

void __real_hv_main(const struct boot_info *boot);
void __wrap_hv_main(const struct boot_info *boot);
void __real_hv_core(struct core *c);
void __wrap_hv_core(struct core *c);
void __real_core_put_back(void);
void __wrap_core_put_back(void);
void __real_cores_put_back(void);
void __wrap_cores_put_back(void);

#define CORES 4u
#define POLLS 100000u

static const struct {
	int64_t adjust[CORES], tsc_by[CORES]; /* 0: nothing is done */
} firmwares[] = {
	['0' - '0'] = { { 0 }, { 0 } },
	['1' - '0'] = { { 0, 0, 200, 0 }, { 0 } },
	['2' - '0'] = { { 0, -50000, 86056, 50000000 }, { 0 } },
	['3' - '0'] = { { 1000000, 0, 0, 1000200 }, { 0 } },
	['4' - '0'] = { { 0 }, { 0, 0, 50000, 0 } },
	['5' - '0'] = { { 0 }, { 0, -50000, 50000000, -50000000 } },
	['6' - '0'] = { { 0 }, { 0, 500000000, 0, 0 } },
};

/* volatile: not what the compiler sees, but what the patch made of it. */
static const volatile char which[] = "firmware 0";

static bool done[CORES];            /* each entry: its core */
static _Atomic int64_t left[CORES]; /* TSC_ADJUST at the end; its core, release */
static _Atomic bool stopped[CORES];

static bool adjusts(void)
{
	bool any = false;

	for (unsigned i = 0; i < CORES; i++)
		any |= firmwares[which[9] - '0'].adjust[i] != 0;
	return any;
}

static void begin(unsigned core)
{
	int64_t adjust = firmwares[which[9] - '0'].adjust[core], by = firmwares[which[9] - '0'].tsc_by[core];

	if (!done[core] && adjust)
		wrmsr(MSR_TSC_ADJUST, (uint64_t)adjust);
	if (!done[core] && by)
		wrmsr(MSR_TSC, rdtsc_ordered() + (uint64_t)by);
	done[core] = true;
}

void __wrap_hv_main(const struct boot_info *boot)
{
	begin(0);
	__real_hv_main(boot);
}

void __wrap_hv_core(struct core *c)
{
	if (c->index < CORES)
		begin(c->index);
	__real_hv_core(c);
}

static void look(void)
{
	unsigned i = this_core()->index;

	if (i >= CORES || !adjusts())
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
	for (unsigned i = 0; i < core_count && i < CORES && adjusts(); i++) {
		for (unsigned n = 0; n < POLLS && !atomic_load_explicit(&stopped[i], memory_order_acquire); n++)
			cpu_relax();
		if (!atomic_load_explicit(&stopped[i], memory_order_acquire))
			continue; /* not asked: it was left alone */
		int64_t is = atomic_load_explicit(&left[i], memory_order_relaxed);
		print("firmware: core %u: TSC_ADJUST %ld at the end\n", i, is);
		if (is != firmwares[which[9] - '0'].adjust[i])
			print("howler: FAIL: TSC_ADJUST was not put back\n{\"verdict\":\"fail\",\"reason\":\"firmware\"}\n");
	}
	for (unsigned n = 0; n < POLLS; n++)
		console_poll();
}
