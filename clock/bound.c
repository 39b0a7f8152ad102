/* SPDX-License-Identifier: MIT */
#include "clock/bound.h"

#include "clock/clock.h"
#include "clock/port.h"

bool bound_try(struct clock *c)
{
	uint32_t old = 0;

	/* acquire: what the last holder left; pairs with the release in bound_done */
	return atomic_compare_exchange_strong_explicit(&c->howler.busy, &old, port_core() + 1, memory_order_acquire,
						       memory_order_relaxed);
}

void bound_done(struct clock *c)
{
	atomic_store_explicit(&c->howler.busy, 0, memory_order_release);
}

uint64_t bound_radius(const struct clock *c, unsigned core, uint64_t now_ns)
{
	const struct bound *b = &c->howler.bound[core];

	return bound_aged(b->radius_ns, b->at_ns, b->growth_ppb, now_ns) +
	       atomic_load_explicit(&c->howler.carry_ns, memory_order_relaxed) - b->carry_ns;
}

#define put(p, v) atomic_store_explicit(p, v, memory_order_relaxed)
#define get(p) atomic_load_explicit(p, memory_order_relaxed)

/* By the version protocol of pvclock.h. */
static void write_page(struct bound_page *to, const struct bound_page *from)
{
	uint32_t v = (get(&to->version) + 1) | 1;

	put(&to->version, v);
	atomic_thread_fence(memory_order_release); /* pairs with the reader's second look at the version */
	put(&to->generation, from->generation);
	put(&to->base, from->base);
	put(&to->at_ns, from->at_ns);
	put(&to->skew_ns, from->skew_ns);
	put(&to->drift_ns, from->drift_ns);
	put(&to->skew_ppb, from->skew_ppb);
	put(&to->drift_ppb, from->drift_ppb);
	/* Even again; pairs with the reader's first look. */
	atomic_store_explicit(&to->version, v + 1, memory_order_release);
}

bool bound_show(struct clock *c, struct bound_page *page)
{
	struct howler *h = &c->howler;

	if (!bound_try(c))
		return false;
	h->guest_page = page;
	for (unsigned i = 0; page && i < sizeof(page->policy); i++)
		page->policy[i] = h->page.policy[i];
	if (page)
		write_page(page, &h->page);
	bound_done(c);
	return true;
}

bool bound_read(const struct clock *c, uint64_t now_ns, uint64_t *skew_ns, uint64_t *drift_ns)
{
	const struct bound_page *p = &c->howler.page;
	uint32_t v = atomic_load_explicit(&p->version, memory_order_acquire);

	*skew_ns = bound_aged(get(&p->skew_ns), get(&p->at_ns), get(&p->skew_ppb), now_ns);
	*drift_ns = bound_aged(get(&p->drift_ns), get(&p->at_ns), get(&p->drift_ppb), now_ns);
	atomic_thread_fence(memory_order_acquire);
	return v && !(v & 1) && get(&p->version) == v;
}

static void keep_two_largest(uint64_t largest[2], uint64_t value)
{
	if (value > largest[0])
		largest[1] = largest[0], largest[0] = value;
	else if (value > largest[1])
		largest[1] = value;
}

/*
 * Two cores are apart by at most the sum of their radii: the two largest count.
 * A core that is not synchronised shows nothing. Before it shows anything it publishes,
 * and keeps `busy` until it is synchronised, so that no page in between leaves it out.
 */
void bound_publish(struct clock *c, uint64_t now_ns)
{
	struct howler *h = &c->howler;
	uint64_t radius[2] = { 0 }, growth[2] = { 0 };

	for (unsigned i = 0; i < c->count; i++)
		if (i == port_core() || clock_synced(c, i)) {
			keep_two_largest(radius, bound_radius(c, i, now_ns));
			keep_two_largest(growth, h->bound[i].growth_ppb);
		}
	struct bound_page now = {
		.generation = atomic_load_explicit(&c->generation, memory_order_relaxed),
		.base = clock_base(c),
		.at_ns = now_ns,
		.skew_ns = radius[0] + radius[1],
		.drift_ns = bound_aged(h->drift_ns, h->drift_at_ns, h->drift_ppb, now_ns) + radius[0],
		.skew_ppb = (uint32_t)(growth[0] + growth[1]),
		.drift_ppb = h->drift_ppb + (uint32_t)growth[0],
	};

	write_page(&h->page, &now);
	if (h->guest_page)
		write_page(h->guest_page, &now);
}
