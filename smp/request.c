/* SPDX-License-Identifier: MIT */
/*
 * One request word per core. Who wants something of a core sets bits (release)
 * and kicks it by NMI; the core takes them (acquire) in core_serve or at the
 * top of its loop. An NMI reaches a core wherever it is, also a guest that has
 * interrupts off; how none is lost is in trap.c.
 *
 * No core waits deaf: each wait for another core is wait_until, which serves
 * REQ_NOW in every turn. No core waits for another while it holds a lock.
 */
#include "clock/port.h"
#include "smp/smp.h"

#define WAIT_NS 20000000000ull

struct clock the_clock;

void core_request(unsigned core, unsigned bits)
{
	struct core *c = cores[core];
	/* seq_cst: the caller's earlier stores are seen by whoever serves the bits. */
	unsigned old = atomic_fetch_or_explicit(&c->requests, bits, memory_order_seq_cst);

	/* A bit that was set already has a kick of its own under way or is being looked at. */
	if (c != this_core() && (old & bits) != bits)
		apic_send(c->apic_id, APIC_NMI);
}

/* REQ_BEFORE: the tempo itself changes a while after the notice was served. */
static void schedule_tempo(struct core *c)
{
	uint64_t now = raw_now();
	uint64_t at = now + atomic_load_explicit(&c->effect_delay_raw, memory_order_acquire);

	tempo_at(&c->tempo, now - c->raw_adjust);
	tempo_change(&c->tempo, atomic_load_explicit(&the_clock.core[c->index].notice_khz, memory_order_acquire),
		     at - c->raw_adjust);
	atomic_store_explicit(&c->before_raw, now, memory_order_relaxed);
	atomic_store_explicit(&c->effect_raw, at, memory_order_release);
}

void core_serve(void)
{
	struct core *c = this_core();
	unsigned bits = 0;

	if (atomic_load_explicit(&c->requests, memory_order_relaxed) & REQ_NOW)
		bits = atomic_fetch_and_explicit(&c->requests, ~(uint32_t)REQ_NOW, memory_order_seq_cst) & REQ_NOW;
	if (bits & (REQ_EVICT | REQ_BEFORE))
		atomic_store_explicit(&c->synced_raw, 0, memory_order_relaxed);
	clock_serve(&the_clock, bits);
	if (bits & REQ_BEFORE)
		schedule_tempo(c);
}

unsigned core_take_top(void)
{
	struct core *c = this_core();

	if (!(atomic_load_explicit(&c->requests, memory_order_relaxed) & REQ_TOP))
		return 0;
	return atomic_fetch_and_explicit(&c->requests, ~(uint32_t)REQ_TOP, memory_order_seq_cst) & REQ_TOP;
}

void core_idle(const char *why)
{
	core_at(why, 0);
	halt_until_nmi();
}

void core_doze(const char *why, uint64_t raw)
{
	uint64_t count = (uint64_t)((unsigned __int128)raw * apic_timer_khz / raw_khz);

	core_at(why, 0);
	if (!count)
		return;
	apic_timer(count < UINT32_MAX ? (uint32_t)count : UINT32_MAX);
	halt_until_interrupt();
	apic_timer(0);
}

/* Who is waited for: `other`, or else the first core that did not come to a stop. */
static unsigned missing(unsigned other)
{
	for (unsigned i = 0; i < core_count && other >= core_count; i++)
		if (atomic_load_explicit(&cores[i]->requests, memory_order_relaxed) & REQ_STOP)
			other = i;
	return other;
}

void wait_until(bool (*ready)(void *), void *arg, const char *what, unsigned other)
{
	uint64_t start = raw_now(), limit = raw_of_ns(WAIT_NS);

	core_at(what, other);
	while (!ready(arg)) {
		core_serve();
		core_relax();
		if (raw_now() - start > limit)
			panic("core %u waited 20 s for core %u: %s", this_core()->index, missing(other), what);
	}
}
