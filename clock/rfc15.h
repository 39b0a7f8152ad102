/* SPDX-License-Identifier: MIT */
/* What a policy that differs from rfc15 in how a core follows needs of it: functions of struct policy. */
#pragma once
#include "clock/clock.h"

enum clock_step rfc15_notice_before(struct clock *c, unsigned core, uint32_t khz);
enum clock_step rfc15_notice_after(struct clock *c, unsigned core);
void rfc15_evict(struct clock *c, uint32_t new_khz);
enum clock_step rfc15_resync(struct clock *c);
void rfc15_take_down(struct clock *c, unsigned core);
void rfc15_bring_up(struct clock *c, unsigned core);

/* This core, led, interrupts off: one exchange with the base; true: there is one more. */
bool rfc15_exchange(struct clock *c);

/* ... and its line by the best exchange since it was led: from here on it may run guests. */
void rfc15_join(struct clock *c);
