/* SPDX-License-Identifier: MIT */
/*
 * sync=rendezvous: all cores meet, as in Xen's calibration rendezvous. The
 * example of how a policy is added (docs/policies.md).
 *
 * Whatever happens to any core, the base calls all of them together: it starts
 * from the highest value that any can have shown, and exchanges stamps with each
 * in turn, five times. The fifth counts, however quick it was: the first four only
 * warm the caches. A core that has its line goes on.
 *
 * Rules R1 and R2 hold as in rfc15.c, which also provides the resync.
 */
#include "clock/port.h"
#include "clock/rfc15.h"

enum { ROUNDS = 5 };

/* Seq_cst: a base that is leading sees that this core may follow, or is asked to resync again. */
static void rendezvous_after(struct clock *c)
{
	atomic_store_explicit(&c->core[port_core()].in_transition, 0, memory_order_seq_cst);
	port_request(clock_base(c), REQ_RESYNC);
}

static void rendezvous_follow(struct clock *c)
{
	struct exchange *x = &c->core[port_core()].exchange;

	x->best_rtt = UINT64_MAX; /* makes the next round the best: the last one counts */
	if (rfc15_exchange(c) && x->rounds >= ROUNDS)
		rfc15_join(c);
}

const struct policy rendezvous_policy = {
	.name = "rendezvous",
	.notice_before = rfc15_notice_before,
	.notice_after = rfc15_notice_after,
	.evict = rfc15_evict,
	.after = rendezvous_after,
	.follow = rendezvous_follow,
	.resync = rfc15_resync,
	.lead = rfc15_resync, /* for one core, too: when one has come, or its base has gone, all meet */
	.take_down = rfc15_take_down,
	.bring_up = rfc15_bring_up,
};
