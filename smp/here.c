/* SPDX-License-Identifier: MIT */
/*
 * What the portable files of smp/ and hv/ (request.c, stop.c, sync.c) ask of the
 * processor that they run on. Host tests and the simulator have their own.
 */
#include "smp/smp.h"
#include "smp/x86.h"

struct core *this_core(void)
{
	struct core *c;

	__asm__("mov %%gs:0, %0" : "=r"(c));
	return c;
}

uint64_t raw_own(void)
{
	return rdtsc_ordered();
}

uint64_t raw_now(void)
{
	return raw_own() + this_core()->raw_adjust;
}

void core_relax(void)
{
	cpu_relax();
}

_Noreturn void core_halt(void)
{
	halt_forever();
}
