/* SPDX-License-Identifier: MIT */
#include "clock/clock.h"

#include "clock/port.h"

#define CHECK_NS 1000000000ull /* between checks of all cores: a line's rounding is worth 0.23 ns by then */

static const struct policy *const policies[] = { &howler_policy, &scale_policy, &rfc15_policy, &rendezvous_policy };

const struct policy *policy_find(const char *name)
{
	for (unsigned i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		if (!strcmp(policies[i]->name, name))
			return policies[i];
	return 0;
}

void clock_init(struct clock *c, const struct policy *p, struct clock_core *cores, unsigned count, unsigned base)
{
	*c = (struct clock){ .policy = p, .core = cores, .count = count,
			     .rounds_min = 16, .rounds_first = 256, .rounds_max = 4000, .rtt_pair_percent = 125,
			     .rtt_any_percent = 150 };
	atomic_init(&c->base, base | p->first_base);
	for (unsigned i = 0; p->name[i] && i + 1 < sizeof(c->howler.page.policy); i++)
		c->howler.page.policy[i] = p->name[i];
	atomic_init(&c->howler.check_ns, CHECK_NS);
	for (unsigned i = 0; i < count; i++)
		cores[i] = (struct clock_core){ .tempo_khz = 0 };
}

void clock_pairs(struct clock *c, _Atomic uint32_t *gap, struct span *span, uint32_t *placed, struct bound *bound)
{
	c->howler.gap = gap;
	c->howler.span = span;
	c->howler.placed = placed;
	c->howler.bound = bound;
	for (unsigned i = 0; gap && i < c->count * c->count; i++)
		atomic_init(&gap[i], GAP_UNKNOWN);
	for (unsigned i = 0; i < c->count; i++)
		bound[i] = (struct bound){ .at_ns = 0 };
}

void clock_serve(struct clock *c, unsigned bits)
{
	struct clock_core *me = &c->core[port_core()];

	if (bits & REQ_BEFORE) {
		/* in_transition first: a core that sees this one unsynchronised must also see why. */
		atomic_store_explicit(&me->in_transition, 1, memory_order_seq_cst);
		c->policy->evict(c, atomic_load_explicit(&me->notice_khz, memory_order_acquire));
	}
	if (bits & REQ_EVICT)
		c->policy->evict(c, 0);
	if (bits & REQ_AFTER)
		c->policy->after(c);
	if (atomic_load_explicit(&me->led, memory_order_acquire))
		c->policy->follow(c);
}

void clock_note(struct clock *c)
{
	struct clock_core *me = &c->core[port_core()];

	if (c->policy->note)
		c->policy->note(c);
	else if (clock_synced(c, port_core()))
		atomic_store_explicit(&me->last_ref_ns, line_read(&me->line, port_tsc()), memory_order_relaxed);
}

bool clock_follows(const struct clock *c, unsigned core)
{
	return atomic_load_explicit(&c->core[core].led, memory_order_acquire) && clock_online(c, core) &&
	       (c->policy->checks || !clock_synced(c, core));
}

bool clock_learns(const struct clock *c, unsigned core)
{
	return atomic_load_explicit(&c->howler.boots, memory_order_relaxed) ||
	       atomic_load_explicit(&c->core[core].howler.learns, memory_order_relaxed);
}

uint64_t clock_read(const struct clock *c, unsigned core, uint64_t tsc)
{
	const struct clock_core *k = &c->core[core];
	uint64_t ns = line_read(&k->line, tsc);

	return !k->howler.until_ns || ns < k->howler.until_ns ? ns : howler_reference(&c->howler, line_read(&k->howler.straight, tsc));
}

uint64_t clock_now(const struct clock *c)
{
	return clock_read(c, port_core(), port_tsc());
}
