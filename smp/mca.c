/* SPDX-License-Identifier: MIT */
/*
 * Machine checks: hardware reports a failure (SDM vol. 3, 15); without CR4.MCE the processor shuts down instead.
 * Most are broadcast to all cores, and some banks are per core: each core records what it finds and stops, the first
 * one prints everything.
 */
#include "smp/format.h"
#include "smp/smp.h"
#include "smp/x86.h"

#define MC_VALID (1ull << 63)
#define FOUND_MAX 32u

static struct found {
	char text[100];
	_Atomic bool whole; /* `text` is complete: release in look, acquire in mca_end */
} found[FOUND_MAX];

static void look(void)
{
	static _Atomic unsigned count;
	uint64_t cap = 0;

	msr_read(MSR_MCG_CAP, &cap);
	for (uint32_t i = 0, msr = MSR_MC0_CTL; i < (cap & 0xff); i++, msr += 4) {
		uint64_t status, address = 0, misc = 0;

		if (!msr_read(msr + 1, &status) || !(status & MC_VALID))
			continue;
		unsigned n = atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
		if (n >= FOUND_MAX)
			return;
		msr_read(msr + 2, &address);
		msr_read(msr + 3, &misc);
		format(found[n].text, sizeof(found[n].text), "  bank %u of APIC id %u: status %lx, address %lx, misc %lx\n", i,
		       apic_id(), status, address, misc);
		atomic_store_explicit(&found[n].whole, true, memory_order_release);
	}
}

_Noreturn void mca_end(void)
{
	const struct core *c = this_core();
	uint64_t mcg = 0;

	look();
	panic_begin(); /* takes long enough for the other cores to record theirs */
	msr_read(MSR_MCG_CAP + 1, &mcg);
	print("\nhowler: machine check on core %u (APIC id %u), at \"%s\" %d, MCG_STATUS %lx: hardware has failed: keep these "
	      "lines; check memory, cooling and power\n", c->index, apic_id(), atomic_load(&c->where),
	      (int)atomic_load(&c->where_arg), mcg);
	for (const struct found *f = found; f < found + FOUND_MAX; f++)
		if (atomic_load_explicit(&f->whole, memory_order_acquire))
			print("%s", f->text);
	print("{\"verdict\":\"fail\",\"reason\":\"machine check\"}\n");
	machine_end(false);
}
