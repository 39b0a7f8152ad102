/* SPDX-License-Identifier: MIT */
/*
 * A core that makes no progress is found, named and fenced.
 *
 * Each core increments a heartbeat wherever it loops or waits, at least once per slice; guests and sleep last no longer
 * than a slice. Each core watches the next one that is up. So all are watched, the seat and a core that has stopped the
 * machine included, and nobody needs to know who waits for whom. A core looks at most every LOOK_NS, and counts the
 * consecutive looks that found no new beat. It does not measure the time between them, in which a host may have taken
 * the watcher's own processor away, or the whole machine's.
 *
 * After KICK such looks it kicks the other core again. After FENCE looks it fences it by NMI, and at the next look
 * declares it lost: had the core come back, the NMI would have halted it by then. From then on nobody waits for it, and
 * what it holds is taken over. It stays online for the clock until the conductor takes it down in a stop (sync.c). It
 * is never started again, and its vCPUs never run elsewhere.
 */
#include "clock/port.h"
#include "smp/smp.h"

#define LOOK_NS 250000000ull
enum { KICK = 4, FENCE = 20 };

/* The next core that is up; `me` if there is none. */
static struct core *next_core(unsigned me)
{
	unsigned i = me;

	do
		i = (i + 1) % core_count;
	while (i != me && (atomic_load_explicit(&cores[i]->state, memory_order_relaxed) < CORE_UP || core_lost(i)));
	return cores[i];
}

static void tell(const struct core *c, unsigned looks, const char *what)
{
	print("howler: core %u (APIC id %u) makes no progress for %u ms, at \"%s\" %d: %s\n", c->index, c->apic_id,
	      looks * (unsigned)(LOOK_NS / 1000000), atomic_load_explicit(&c->where, memory_order_relaxed),
	      (int)atomic_load_explicit(&c->where_arg, memory_order_relaxed), what);
}

void core_watch(void)
{
	struct core *me = this_core();
	struct watch *w = &me->watch;
	uint64_t now = raw_now();

	if (core_fenced(me->index))
		core_halt();
	/* Release, pairs with the watcher's acquire: if this is the last beat, it sees all that came before. */
	atomic_store_explicit(&me->beats, atomic_load_explicit(&me->beats, memory_order_relaxed) + 1, memory_order_release);
	if (!core_count || now - w->looked_raw < raw_of_ns(LOOK_NS))
		return;
	if ((int32_t)(w->nmis_sent - me->nmis) > 0) /* sent a look ago and not taken: it merged with another one */
		me->nmis = w->nmis_sent;
	w->nmis_sent = atomic_load_explicit(&me->nmis_sent, memory_order_relaxed);
	struct core *other = next_core(me->index);
	uint32_t beats = atomic_load_explicit(&other->beats, memory_order_acquire);

	w->looked_raw = now;
	if (other == me || other->index != w->core || beats != w->beats) {
		w->core = other->index;
		w->beats = beats;
		w->looks = 0;
		return;
	}
	if (++w->looks == KICK) {
		tell(other, KICK, "kicked again");
		core_kick(other->index);
	} else if (w->looks == FENCE && core_become(other->index, CORE_UP, CORE_FENCED)) {
		tell(other, FENCE, core_shoot(other));
	} else if (w->looks > FENCE) {
		core_become(other->index, CORE_FENCED, CORE_LOST);
	}
}
