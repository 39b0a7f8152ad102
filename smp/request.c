/* SPDX-License-Identifier: MIT */
/*
 * One request word per core. A requester sets bits (release) and kicks the
 * core by NMI; the core takes them (acquire) in core_serve or at the top of its
 * loop. An NMI reaches a core wherever it is, even in a guest that has
 * interrupts off; trap.c explains why no kick is lost.
 *
 * No core waits without listening: each wait for another core is wait_until, which
 * serves REQ_NOW in every turn. No core waits for another while it holds a lock. Waits
 * have no time-outs of their own: watch.c declares a stuck core lost, and that ends them.
 */
#include "clock/port.h"
#include "smp/smp.h"

struct clock the_clock;

static void send_nmi(struct core *c)
{
	atomic_fetch_add_explicit(&c->nmis_sent, 1, memory_order_release);
	apic_send(c->apic_id, APIC_NMI);
}

/* NMIs may merge, so fewer are taken than were sent, never more; core_watch makes up the difference. */
bool core_nmi_strays(void)
{
	struct core *c = this_core();
	uint32_t sent = atomic_load_explicit(&c->nmis_sent, memory_order_acquire);

	if ((int32_t)(++c->nmis - sent) <= 0)
		return false;
	c->nmis = sent;
	return true;
}

void core_request(unsigned core, unsigned bits)
{
	struct core *c = cores[core];
	/* seq_cst: the core that serves the bits sees the caller's earlier stores. */
	unsigned old = atomic_fetch_or_explicit(&c->requests, bits, memory_order_seq_cst);

	/* Bits that were all set already have a kick under way, or the core is looking at them. */
	if (c != this_core() && (old & bits) != bits)
		send_nmi(c);
}

/* REQ_BEFORE: the tempo itself changes effect_delay_raw after the notice is served. */
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

void core_kick(unsigned core)
{
	atomic_fetch_or_explicit(&cores[core]->requests, REQ_WAKE, memory_order_seq_cst);
	send_nmi(cores[core]); /* even if the bit was set: the NMI sent with it may be lost */
}

_Atomic uint32_t cores_lost;

bool core_become(unsigned core, uint32_t from, enum core_state to)
{
	if (!atomic_compare_exchange_strong_explicit(&cores[core]->state, &from, to, memory_order_acq_rel, memory_order_acquire))
		return false;
	if (to == CORE_LOST)
		atomic_fetch_add_explicit(&cores_lost, 1, memory_order_relaxed);
	return true;
}

void core_lock(_Atomic uint32_t *holder)
{
	uint32_t who = 0;

	while (!atomic_compare_exchange_strong_explicit(holder, &who, this_core()->index + 1, memory_order_acquire,
							memory_order_relaxed)) {
		if (who && core_lost(who - 1))
			continue;
		who = 0;
		core_watch();
		core_relax();
	}
}

void core_unlock(_Atomic uint32_t *holder)
{
	atomic_store_explicit(holder, 0, memory_order_release);
}

void wait_until(bool (*ready)(void *), void *arg, const char *what, unsigned other)
{
	core_at(what, other);
	while (!ready(arg)) {
		core_serve();
		core_watch();
		core_relax();
	}
}
