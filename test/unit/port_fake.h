/* SPDX-License-Identifier: MIT */
/*
 * clock/port.h for host tests. The test says what time it is and what happens
 * while a core polls; requests are kept in words that the test empties.
 */
#pragma once
#include "clock/port.h"

#define PORT_FAKE_CORES 8u

extern _Thread_local unsigned port_fake_core; /* what port_core() says in this thread */
extern unsigned port_fake_polls;              /* bound of port_await_change */
extern uint64_t (*port_fake_tsc)(unsigned core);
extern void (*port_fake_poll)(void);          /* after each look; NULL: nothing */

extern bool (*port_fake_timebase)(uint64_t *ns, uint64_t *before, uint64_t *after); /* NULL: there is none */

extern uint32_t port_fake_late_ns; /* what it is late by at most */

/* Takes what is set of `mask`, as a core does. */
unsigned port_fake_take(unsigned core, unsigned mask);
