/* SPDX-License-Identifier: MIT */
#include "unit.h"
#include "port_fake.h"
#include <stdio.h>
#include <stdlib.h>

_Thread_local unsigned port_fake_core;
unsigned port_fake_polls = 1000;
uint64_t (*port_fake_tsc)(unsigned core);
void (*port_fake_poll)(void);
uint32_t port_fake_late_ns;
bool (*port_fake_timebase)(uint64_t *ns, uint64_t *before, uint64_t *after);

static _Atomic unsigned requests[PORT_FAKE_CORES];

unsigned port_core(void)
{
	return port_fake_core;
}

uint64_t port_tsc(void)
{
	return port_fake_tsc(port_fake_core);
}

bool port_timebase(uint64_t *ns, uint32_t *resolution_ns, uint64_t *before, uint64_t *after)
{
	*resolution_ns = port_fake_late_ns;
	return port_fake_timebase && port_fake_timebase(ns, before, after);
}

/* Rates are as told here, but for `tempo_error`. */
void port_rate(int32_t *slower_lo, int32_t *slower_hi)
{
	*slower_lo = *slower_hi = 0;
}

void port_request(unsigned core, unsigned bits)
{
	atomic_fetch_or_explicit(&requests[core], bits, memory_order_seq_cst);
}

unsigned port_fake_take(unsigned core, unsigned mask)
{
	return atomic_fetch_and_explicit(&requests[core], ~mask, memory_order_seq_cst) & mask;
}

bool port_await_change(const _Atomic uint32_t *word, uint32_t old)
{
	for (unsigned i = 0; i < port_fake_polls; i++) {
		if (atomic_load_explicit(word, memory_order_acquire) != old)
			return true;
		if (port_fake_poll)
			port_fake_poll();
	}
	return false;
}

/* expect_assert_failure() catches it; else the test fails. Not from threads. */
_Noreturn void port_panic(const char *file, int line, const char *what)
{
	mock_assert(0, what, file, line);
	abort();
}
