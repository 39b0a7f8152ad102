/* SPDX-License-Identifier: MIT */
/*
 * The tightest bounds that could have been published, given all stamps taken until then and nothing else.
 *
 * The time t of each stamp is unknown; known are constraints on differences. A message was sent before it was
 * received: t_sent - t_received <= 0. The time between two stamps of one core is what its ticks say at its nominal
 * tempo, within the limits of its rate error. The timebase shows a whole number of its units. The shortest path
 * between two stamps in the graph of these constraints is the most that t_p - t_q can be, and for each of them an
 * execution exists that no core can tell from this one (Patt-Shamir and Rajsbaum 1994; Attiya, Herzberg and Rajsbaum
 * 1996). So a bound tighter than that, for the lines in use, is wrong, or this file is.
 *
 * Of the graph, which grows without limit, only distances between nodes that later edges can touch are kept: the last
 * stamp of each core, messages in transit, and two fixed ones, the timebase and the beginning of the truth
 * (Ostrovsky and Patt-Shamir 1999).
 *
 * Like the protocol, it takes a stamp for the instant at which the counter reached that value, and assumes that a
 * message takes longer than a tick. It does not use that a rate error is constant; the protocol does, and may be
 * better where there are such errors. With those only the truth is checked.
 */
#pragma once
#include "sim.h"

void optimum_reset(void);

/* The running core: its counter has restarted; it has taken a stamp; is about to store; has loaded. */
void optimum_up(void);
void optimum_stamp(uint64_t tsc);
void optimum_store(const volatile void *p, uint64_t value);
void optimum_load(const volatile void *p, uint64_t value);

/* ... reads the timebase, since its last stamp and before its next one: `ns`, late by no more than late_ns. */
void optimum_timebase(uint64_t ns, uint32_t late_ns);

/* ... has just made the very first line, which defines the truth. */
void optimum_start(void);

/* The bounds that a guest is promised now, which must hold until new ones are published. Checked now and then. */
void optimum_reading(uint64_t skew_ns, uint64_t drift_ns);

/* Fields of score's line of JSON; was no bound too narrow, and the truth always possible? Number of publications. */
void optimum_print(void);
bool optimum_holds(void);
uint64_t optimum_published(void);
