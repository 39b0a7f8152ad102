/* SPDX-License-Identifier: MIT */
/*
 * Host readers: without VMX each core reads the reference itself, with the test
 * guest's check: the highest reading of any core so far (acquire; pairs with the
 * release when it was stored) must not exceed one taken after it.
 */
#include "hv/hv.h"
#include "smp/x86.h"

#define BATCH 1000

struct guest_report reader_report[CORES_MAX]; /* each entry: its core only, until a stop */

_Atomic uint32_t reader_batches[CORES_MAX];

static _Alignas(64) _Atomic uint64_t last;
static uint64_t previous_ns[CORES_MAX];

static void check(struct guest_report *r)
{
	uint64_t floor = atomic_load_explicit(&last, memory_order_acquire);
	uint64_t now = clock_now(&the_clock);

	if (now < floor) {
		r->warps++;
		if (floor - now > r->worst_warp_ns)
			r->worst_warp_ns = floor - now;
	}
	while (now > floor && !atomic_compare_exchange_weak_explicit(&last, &floor, now, memory_order_release,
								     memory_order_relaxed))
		;
	uint64_t *previous = &previous_ns[this_core()->index];
	if (*previous && now > *previous && now - *previous > r->blackout_ns)
		r->blackout_ns = now - *previous;
	*previous = now;
	r->readings++;
}

void reader_run(void)
{
	struct core *me = this_core();
	struct guest_report *r = &reader_report[me->index];
	uint64_t before = previous_ns[me->index];

	core_at("host reader", 0);
	for (unsigned i = 0; i < BATCH; i++) {
		if (atomic_load_explicit(&me->requests, memory_order_relaxed))
			return;
		check(r);
	}
	r->stalls += previous_ns[me->index] == before;
	atomic_fetch_add_explicit(&reader_batches[me->index], 1, memory_order_relaxed);
}
