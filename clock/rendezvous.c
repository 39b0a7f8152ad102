/* SPDX-License-Identifier: MIT */
/*
 * sync=rendezvous: all cores meet, as in Xen's calibration rendezvous. The
 * example of how a policy is added (docs/policies.md).
 *
 * Whatever happens to any core, the base calls all of them together: it takes
 * the highest value that any can have shown, exchanges stamps with each in
 * turn, five times, and the fifth counts, however quick it was: the first four
 * only warm the caches. Who has its line goes on.
 *
 * Rules R1 and R2 hold as in rfc15.c, from which the calling together and the
 * highest value come.
 */
#include "clock/clock.h"
#include "clock/port.h"
#include "clock/rfc15.h"

enum { ROUNDS = 5 };

static enum clock_step rendezvous_notice_before(struct clock *c, unsigned core, uint32_t khz)
{
	return rfc15_policy.notice_before(c, core, khz);
}

static enum clock_step rendezvous_notice_after(struct clock *c, unsigned core)
{
	return rfc15_policy.notice_after(c, core);
}

static void rendezvous_evict(struct clock *c, uint32_t new_khz)
{
	rfc15_policy.evict(c, new_khz);
}

/* Seq_cst: a base that leads just now sees that this core may follow, or is asked to lead again. */
static void rendezvous_after(struct clock *c)
{
	atomic_store_explicit(&c->core[port_core()].in_transition, 0, memory_order_seq_cst);
	port_request(clock_base(c), REQ_RESYNC);
}

static void rendezvous_follow(struct clock *c)
{
	struct exchange *x = &c->core[port_core()].exchange;

	x->best_rtt = UINT64_MAX; /* the next one is better than any before */
	if (rfc15_exchange(c) && x->rounds >= ROUNDS)
		rfc15_join(c);
}

/* For a single core as well: it has come, or its base has gone, and all meet. */
static enum clock_step rendezvous_resync(struct clock *c)
{
	return rfc15_policy.resync(c);
}

static void rendezvous_take_down(struct clock *c, unsigned core)
{
	rfc15_policy.take_down(c, core);
}

static void rendezvous_bring_up(struct clock *c, unsigned core)
{
	rfc15_policy.bring_up(c, core);
}

const struct policy rendezvous_policy = {
	.name = "rendezvous",
	.notice_before = rendezvous_notice_before,
	.notice_after = rendezvous_notice_after,
	.evict = rendezvous_evict,
	.after = rendezvous_after,
	.follow = rendezvous_follow,
	.resync = rendezvous_resync,
	.lead = rendezvous_resync,
	.take_down = rendezvous_take_down,
	.bring_up = rendezvous_bring_up,
};
