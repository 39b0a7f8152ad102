/* SPDX-License-Identifier: MIT */
/*
 * What the published bounds could be at best: by all stamps that were taken until then, and by nothing else.
 *
 * When each stamp was taken is unknown, t; what is known are differences. A message was sent before it was
 * received: t_sent - t_received <= 0. Between two stamps of one core as much time has passed as its ticks say, at
 * the tempo that it was told, give or take the error that it was told of. The timebase shows a whole number of
 * its units. Shortest paths in the graph of these are the most that any t_p - t_q can be, and a run that looks the
 * same to everybody exists for each of them (Patt-Shamir and Rajsbaum 1994; Attiya, Herzberg and Rajsbaum 1996):
 * so a bound that is narrower than what they say for the lines in use is wrong, or this is.
 *
 * Of the whole graph, which grows without end, it keeps the distances between what later edges can touch: the last
 * stamp of each core, messages under way, and two that stand still, the timebase and where the truth began
 * (Ostrovsky and Patt-Shamir 1999).
 *
 * Like the protocol, it takes a stamp for the instant at which the counter became that, and a message for
 * slower than a tick. It does not know that a rate's error stays what it is; the protocol, which does, may do
 * better where there are such errors. There it is held against the truth only.
 */
#pragma once
#include "sim.h"

void optimum_reset(void);

/* The running core: its counter has begun anew; it has taken a stamp; and is about to store, has loaded. */
void optimum_up(void);
void optimum_stamp(uint64_t tsc);
void optimum_store(const volatile void *p, uint64_t value);
void optimum_load(const volatile void *p, uint64_t value);

/* ... reads the timebase, since its last stamp and before its next one: `ns`, late by no more than late_ns. */
void optimum_timebase(uint64_t ns, uint32_t late_ns);

/* ... has just made the first line of all: the truth is what that says. */
void optimum_start(void);

/* A guest is promised that just now, which must be true as long as no more is published. Not each time is looked at. */
void optimum_reading(uint64_t skew_ns, uint64_t drift_ns);

/* Fields of score's line of JSON; was no bound narrower, and the truth possible? How often bounds were published. */
void optimum_print(void);
bool optimum_holds(void);
uint64_t optimum_published(void);
