/* SPDX-License-Identifier: MIT */
/* What other policies share with rfc15: functions of struct policy, and their building blocks. */
#pragma once
#include "clock/clock.h"
#include "clock/port.h"

static inline struct clock_core *self(struct clock *c)
{
	return &c->core[port_core()];
}

static inline uint32_t flag(const _Atomic uint32_t *f)
{
	return atomic_load_explicit(f, memory_order_seq_cst);
}

enum clock_step rfc15_notice_before(struct clock *c, unsigned core, uint32_t khz);
enum clock_step rfc15_notice_after(struct clock *c, unsigned core);
void rfc15_evict(struct clock *c, uint32_t new_khz);
enum clock_step rfc15_resync(struct clock *c);
void rfc15_take_down(struct clock *c, unsigned core);
void rfc15_bring_up(struct clock *c, unsigned core);

/* This core, led, interrupts off: try one exchange with the base; true: it is complete. */
bool rfc15_exchange(struct clock *c);

/* ... take a line from the best exchange of this lead: from here on it may run guests. */
void rfc15_join(struct clock *c);
