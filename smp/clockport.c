/* SPDX-License-Identifier: MIT */
/* clock/port.h on metal. */
#include "clock/port.h"
#include "smp/smp.h"

#define AWAIT_POLLS 512u

unsigned port_core(void)
{
	return this_core()->index;
}

uint64_t port_tsc(void)
{
	return tempo_tsc(&this_core()->tempo, raw_own());
}

bool port_timebase(uint64_t *ns, uint32_t *resolution_ns, uint64_t *before, uint64_t *after)
{
	struct tempo *t = &this_core()->tempo;

	if (!timebase_ns(ns, resolution_ns, before, after))
		return false;
	*before = tempo_tsc(t, *before);
	*after = tempo_tsc(t, *after);
	return true;
}

void port_rate(int32_t *slower_lo, int32_t *slower_hi)
{
	truth_slower(&the_truth, raw_khz, slower_lo, slower_hi);
}

void port_request(unsigned core, unsigned bits)
{
	core_request(core, bits);
}

bool port_await_change(const _Atomic uint32_t *word, uint32_t old)
{
	for (unsigned i = 0; i < AWAIT_POLLS; i++)
		if (atomic_load_explicit(word, memory_order_acquire) != old)
			return true;
	return false;
}

_Noreturn void port_panic(const char *file, int line, const char *what)
{
	panic_at(file, line, "check failed: %s", what);
}
