/* SPDX-License-Identifier: MIT */
/* What a policy that differs from rfc15 only in how a core follows needs of it, beside rfc15_policy. */
#pragma once
#include <stdbool.h>

struct clock;

/* This core, led, interrupts off: one exchange with the base; true: there is one more. */
bool rfc15_exchange(struct clock *c);

/* ... and its line by the best exchange since it was led: from here on it may run guests. */
void rfc15_join(struct clock *c);
